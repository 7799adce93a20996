"""What comes in: pictures and masks looked at once, made the same size, and paired one to many."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from ...nn_layers.errors import InputError


def checked_masks(masks: torch.Tensor, name: str = "mask") -> torch.Tensor:
    """Masks as float32 [batch, height, width] in 0..1; one without a batch gets one.

    Raises:
        InputError: Another number of dimensions, no mask at all, or values that are no numbers.
    """
    if masks.ndim == 4 and 1 in (
        masks.shape[1],
        masks.shape[3],
    ):  # [batch, 1, height, width] or [batch, height, width, 1]
        masks = masks[:, 0] if masks.shape[1] == 1 else masks[..., 0]
    masks = masks[None] if masks.ndim == 2 else masks
    if masks.ndim != 3 or not masks.numel():
        raise InputError(f"{name} has the shape {shape_text(masks)}; give masks of the shape batch × height × width.")
    masks = masks.float()
    least, most = masks.aminmax()  # both are NaN where any value is
    if least.isnan():
        raise InputError(f"{name} holds values that are no numbers (NaN); look at the node that made it.")
    return masks if least >= 0 and most <= 1 else masks.clamp(0, 1)


def checked_images(images: torch.Tensor, name: str = "image") -> torch.Tensor:
    """Pictures as float32 [batch, height, width, channel] with 1, 3 or 4 channels.

    Raises:
        InputError: Another shape, no picture at all, or values that are no numbers.
    """
    if images.ndim != 4 or images.shape[3] not in (1, 3, 4) or not images.numel():
        raise InputError(
            f"{name} has the shape {shape_text(images)}; give pictures of the shape batch × height × width × 3 (or 4, or 1)."
        )
    if not torch.isfinite(images).all():
        bad = 1 + int((~torch.isfinite(images)).flatten(1).any(1).nonzero()[0])
        raise InputError(
            f"{name} holds values that are no numbers (NaN or infinite) in picture {bad}; look at the node that made it, "
            f"often a VAE in half precision."
        )
    return images.float()


def colours(images: torch.Tensor) -> torch.Tensor:
    """Red, green and blue of pictures [batch, height, width, 1, 3 or 4]: [batch, height, width, 3], without a copy."""
    return images[..., :3] if images.shape[3] >= 3 else images[..., :1].expand(-1, -1, -1, 3)


def fit_masks(masks: torch.Tensor, images: torch.Tensor, name: str = "mask") -> torch.Tensor:
    """Masks [batch, height, width] for `images`; ones with nothing in them may have any size and become empty ones of the right size.

    ComfyUI's Load Image gives 64 × 64 zeros for a picture without transparency, so such a mask means "none".

    Raises:
        InputError: The sizes differ, or a mask is no mask.
    """
    masks = checked_masks(masks, name).to(images.device)
    height, width = images.shape[1:3]
    if masks.shape[1:] == (height, width):
        return masks
    if not masks.any():
        return masks.new_zeros(len(masks), height, width)
    raise InputError(
        f"{name} is {size_text(masks.shape[1:])} pixels, but the picture is {size_text((height, width))}; "
        f"give the mask of this picture, or resize it."
    )


def paired(batches: dict[str, torch.Tensor]) -> list[torch.Tensor]:
    """The batches, each as long as the longest: those with one entry are repeated (as views).

    Raises:
        InputError: Two of them have more than one entry, and not equally many.
    """
    count = max(len(batch) for batch in batches.values())
    if any(len(batch) not in (1, count) for batch in batches.values()):
        held = ", ".join(f"{name} holds {len(batch)}" for name, batch in batches.items())
        raise InputError(f"the batches do not go together: {held}; give equally many of each, or one.")
    return [batch.expand(count, *batch.shape[1:]) for batch in batches.values()]


def size_text(size: Sequence[int]) -> str:
    """(height, width) as people say it: width × height."""
    return f"{size[1]} × {size[0]}"


def shape_text(tensor: torch.Tensor) -> str:
    """A shape in words."""
    return " × ".join(str(length) for length in tensor.shape) or "of one number"
