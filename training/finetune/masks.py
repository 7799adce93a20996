"""What a checkpoint for inpainting is shown as missing while it learns, and where the loss is looked at."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from .concepts import Size

WHOLE_SHARE = 0.25
"""Of random masks, so many cover everything, so that the model also learns to paint a picture from nothing."""


def random_mask(size: Size, generator: torch.Generator) -> Tensor:
    """A rectangle or an ellipse by chance, or everything: float32 [1, height, width] of zeros and ones."""
    height, width = size
    whole, ellipse, *shares = torch.rand(6, generator=generator).tolist()
    if whole < WHOLE_SHARE:
        return torch.ones(1, height, width)
    tall, wide, down, right = shares
    tall, wide = max(height / 8, tall * height), max(width / 8, wide * width)
    y, x = down * (height - tall) + tall / 2, right * (width - wide) + wide / 2
    rows = (torch.arange(height) + 0.5 - y).abs()[:, None] / (tall / 2)
    columns = (torch.arange(width) + 0.5 - x).abs()[None] / (wide / 2)
    inside = (rows**2 + columns**2 <= 1) if ellipse < 0.5 else torch.maximum(rows, columns) <= 1
    return inside.float()[None]


def at_latent_size(mask: Tensor, multiple: int) -> Tensor:
    """A mask [batch, 1, height, width] for latent pictures: 1 where any of its pixels is, so that thin cracks stay."""
    return F.max_pool2d(mask, multiple)


def without_masked(pictures: Tensor, masks: Tensor) -> Tensor:
    """Pictures in -1..1 with the masked part grey, as ComfyUI and diffusers show them to such checkpoints."""
    return pictures * (masks < 0.5)
