"""Conditioning and latents for repainting, for models made for it and for ordinary ones.

ComfyUI's MODEL, VAE and CONDITIONING are used through what they offer, so this file needs nothing of ComfyUI to be imported.
"""

from __future__ import annotations

from typing import Any

import torch

from ...imaging.masks import checked_images, colours, fit_masks, paired
from ...imaging.masks.batches import size_text
from ...nn_layers.errors import InputError

GREY = 0.5


def is_inpainting(model: Any) -> bool:
    """Whether a MODEL takes a mask and the masked picture beside the noise.

    A Stable Diffusion made for inpainting has 9 input channels (4 noise, 1 mask, 4 masked picture) and 4 outputs, Flux Fill 96 and 16.
    Models with twice as many inputs as outputs (edit by instruction, depth) take a picture, but no mask.
    """
    base = getattr(model, "model", None)
    if any("mask" in str(key) for key in getattr(base, "concat_keys", ())):
        return True
    config = getattr(getattr(base, "model_config", None), "unet_config", None) or {}
    inputs, outputs = config.get("in_channels"), config.get("out_channels")
    return bool(inputs and outputs and inputs > 2 * outputs)


def pixels_for(vae: Any, images: torch.Tensor, masks: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Pictures [batch, height, width, 3] and as many masks, cut around the middle to sides that the VAE can take.

    Raises:
        InputError: Sizes that differ, batches that cannot be paired, values that are no numbers, or a picture that is too small.
    """
    images = checked_images(images)
    images, masks = paired({"image": images, "mask": fit_masks(masks, images)})
    images = colours(images)
    factor = int(vae.spacial_compression_encode())
    height, width = images.shape[1:3]
    if min(height, width) < factor:
        raise InputError(
            f"image is {size_text((height, width))} pixels, but the VAE takes {factor} × {factor} at least; put Inpaint Crop before it."
        )
    top, left = height % factor // 2, width % factor // 2
    rows, columns = slice(top, top + height // factor * factor), slice(left, left + width // factor * factor)
    return images[:, rows, columns], masks[:, rows, columns]


def without_masked(images: torch.Tensor, masks: torch.Tensor) -> torch.Tensor:
    """The pictures with the masked part grey, so that the VAE sees nothing of it."""
    return torch.where(masks[..., None] > 0.5, GREY, images)


def with_values(conditioning: list[Any], values: dict[str, Any]) -> list[Any]:
    """A CONDITIONING with further values in each of its entries."""
    return [[tensor, {**options, **values}] for tensor, options in conditioning]


def with_soft_mask(model: Any) -> Any:
    """A copy of a MODEL that repaints a pixel the earlier, the whiter its mask is.

    Levin and Fried, "Differential Diffusion: Giving Each Pixel Its Strength", 2023: a pixel is held to the picture until the share
    of the schedule that is left falls to the value of its mask.
    """
    model = model.clone()
    model.set_model_denoise_mask_function(open_at_step)
    return model


def open_at_step(sigma: torch.Tensor, denoise_mask: torch.Tensor, extra_options: dict[str, Any]) -> torch.Tensor:
    """The mask of one step: 1 where a pixel may change already. ComfyUI's sampler calls it with the step's noise level."""
    sampling, sigmas = extra_options["model"].inner_model.model_sampling, extra_options["sigmas"]
    lowest = torch.as_tensor(max(float(sigmas[-1]), float(sampling.sigma_min)), device=sigmas.device)
    first, last, now = (float(sampling.timestep(level)) for level in (sigmas[0], lowest, sigma[0]))
    left = (now - last) / (first - last) if first != last else 0.0
    return ((denoise_mask >= left) & (denoise_mask > 0)).to(denoise_mask.dtype)
