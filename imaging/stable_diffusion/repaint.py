"""Repaint what masks cover, each place cut out with its surroundings and at the size that the model learned from."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch

from ...nn_layers.errors import InputError
from ..boxes import FixedSize
from ..crop import Crops, CropSettings, crop_masked, stitch_crops
from .load import StableDiffusion

# How noise is taken away: class of diffusers and its settings. DDIM: Song et al. 2021; Euler: Karras et al. 2022; DPM++: Lu et al. 2022.
SAMPLERS: dict[str, tuple[str, dict[str, Any]]] = {
    "dpm++ 2m": ("DPMSolverMultistepScheduler", {"use_karras_sigmas": True}),
    "euler": ("EulerDiscreteScheduler", {}),
    "euler ancestral": ("EulerAncestralDiscreteScheduler", {}),
    "ddim": ("DDIMScheduler", {}),
}


@dataclass(frozen=True)
class Repaint:
    """What to paint, and how.

    Attributes:
        prompt: What should be there.
        negative: What should not.
        strength: How much of the old is given up: 1 for all of it.
        steps: Of noise taken away, if the strength is 1.
        guidance: How closely the prompt is followed; 1 leaves the negative prompt out.
        seed: Of the noise; every crop has its own noise, whatever the others are.
        sampler: A key of `SAMPLERS`.
    """

    prompt: str = ""
    negative: str = ""
    strength: float = 1.0
    steps: int = 25
    guidance: float = 7.0
    seed: int = 0
    sampler: str = "dpm++ 2m"


def model_size(model: StableDiffusion, side: int, crop: CropSettings) -> CropSettings:
    """The settings with squares of `side` pixels, or of the model's own size if that is 0."""
    side = side or model.side
    side = max(model.multiple, round(side / model.multiple) * model.multiple)
    return replace(crop, size=FixedSize(side, side))


def repaint(
    model: StableDiffusion,
    images: torch.Tensor,
    masks: torch.Tensor,
    how: Repaint,
    crop: CropSettings,
    device: torch.device | str = "cpu",
    on_step: Callable[[float, float], None] | None = None,
) -> tuple[torch.Tensor, Crops]:
    """Repaint what masks cover; outside of the blend every pixel stays as it is, bit for bit.

    Args:
        model: From `load_stable_diffusion`; on the device already, or the device is the CPU.
        images: float32 [batch, height, width, 1, 3 or 4] in 0..1.
        masks: float32 [batch, height, width]: one per picture, one for all, or many for one picture.
        how: What to paint.
        crop: Where to cut; see `model_size`.
        on_step: Called with steps done and steps in all; may raise to stop.

    Returns:
        The pictures, and what was cropped (no regions if the masks are empty).

    Raises:
        InputError: Sizes or numbers do not fit, values are no numbers, or the model can take no mask.
    """
    crops = crop_masked(images, masks, crop)
    if not crops.stitch.regions:
        return crops.stitch.images, crops
    pipeline = inpainting(model, how.sampler)
    painted = []
    count = len(crops.images)
    for number, (picture, mask) in enumerate(zip(crops.images, crops.masks, strict=True)):

        def tell(pipe: Any, step: int, timestep: Any, values: dict[str, Any], number: int = number) -> dict[str, Any]:
            if on_step:
                on_step(number * pipe.num_timesteps + step + 1, count * pipe.num_timesteps)
            return values

        painted.append(_painted(pipeline, picture, mask, how, number, device, tell))
    return stitch_crops(crops.stitch, torch.stack(painted).to(images.device)), crops


def inpainting(model: StableDiffusion, sampler: str) -> Any:
    """diffusers' pipeline for inpainting, made of the same parts.

    Raises:
        InputError: The model takes neither 4 nor 9 channels.
    """
    import diffusers

    if model.channels not in (4, 9):
        raise InputError(
            f"{model.name} was made for something else (it has {model.channels} input channels); choose an ordinary checkpoint or one for "
            f"inpainting."
        )
    name, options = SAMPLERS[sampler]
    parts = dict(model.pipeline.components)
    parts["scheduler"] = getattr(diffusers, name).from_config(parts["scheduler"].config, **options)
    if model.is_xl:
        pipeline = diffusers.StableDiffusionXLInpaintPipeline(**parts, add_watermarker=False)
    else:
        pipeline = diffusers.StableDiffusionInpaintPipeline(**parts, requires_safety_checker=False)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def _painted(
    pipeline: Any,
    picture: torch.Tensor,
    mask: torch.Tensor,
    how: Repaint,
    number: int,
    device: torch.device | str,
    tell: Callable[..., dict[str, Any]],
) -> torch.Tensor:
    """One crop [height, width, 3], repainted.

    Raises:
        InputError: The numbers of the network ran over.
    """
    height, width = mask.shape
    steps = max(how.steps, math.ceil(1 / how.strength))  # so that one step is left at least
    with torch.no_grad():
        result = pipeline(
            prompt=how.prompt,
            negative_prompt=how.negative,
            image=picture.movedim(2, 0)[None],
            mask_image=(mask > 0.5).float()[None, None],
            height=height,
            width=width,
            strength=how.strength,
            num_inference_steps=steps,
            guidance_scale=how.guidance,
            generator=torch.Generator("cpu").manual_seed(how.seed + number),
            output_type="pt",
            callback_on_step_end=tell,
        ).images
    if not torch.isfinite(result).all():
        raise InputError("the model made values that are no numbers (NaN); choose precision float32.")
    return result[0].movedim(0, 2).float().cpu()
