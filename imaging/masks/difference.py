"""Where two pictures differ."""

from __future__ import annotations

import torch

from ...nn_layers.errors import InputError
from .batches import checked_images, paired, size_text
from .edges import blur_planes

LUMINANCE = (0.2126, 0.7152, 0.0722)  # Rec. 709


def difference_mask(
    first: torch.Tensor, second: torch.Tensor, threshold: float = 0.1, by: str = "channels", blur: float = 0.0
) -> tuple[torch.Tensor, torch.Tensor]:
    """Where two batches of pictures [batch, height, width, channel] differ.

    Args:
        first: Pictures; a single one goes with every one of the other batch.
        second: Pictures of the same size.
        threshold: A difference above makes the mask 1; 0..1.
        by: "channels" takes the channel that differs most, "luminance" the brightness only.
        blur: Standard deviation in pixels of a Gaussian over both pictures first, against noise and grain.

    Returns:
        The mask (0 or 1) and the difference itself (0..1), both float32 [batch, height, width].

    Raises:
        InputError: Different sizes, batches that cannot be paired, or pictures that are none.
    """
    first, second = checked_images(first, "image_a"), checked_images(second, "image_b").to(first.device)
    if first.shape[1:3] != second.shape[1:3]:
        raise InputError(
            f"image_b is {size_text(second.shape[1:3])} pixels, but image_a is {size_text(first.shape[1:3])}; "
            f"give two pictures of one size."
        )
    first, second = (_planes(images, by, min(first.shape[3], second.shape[3])) for images in (first, second))
    first, second = paired({"image_a": first, "image_b": second})
    difference = blur_planes(first - second, blur) if blur > 0 else first - second
    amount = difference.abs().amax(1).clamp(0, 1)
    return (amount > threshold).float(), amount


def _planes(images: torch.Tensor, by: str, channels: int) -> torch.Tensor:
    """[batch, channel, height, width] of what is compared: the channels that both have, or one of brightness."""
    if by == "luminance" and channels >= 3:
        return (images[..., :3] @ images.new_tensor(LUMINANCE))[:, None]
    return images[..., :channels].movedim(3, 1)
