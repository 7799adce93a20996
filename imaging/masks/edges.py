"""The outline of a mask: growing and shrinking by a round element, blurring, smoothing.

Each looks only at the window that holds something, so a small mask in a large picture costs what the small mask costs.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch.nn import functional

Change = Callable[[torch.Tensor], torch.Tensor]


def grown(masks: torch.Tensor, radius: int) -> torch.Tensor:
    """Every pixel takes the highest value within `radius` pixels (Euclidean distance), soft values included.

    Args:
        masks: float32 [batch, height, width].
        radius: Pixels; 0 leaves them as they are.
    """
    return _in_window(masks, radius, lambda window: _highest_in_disc(window, radius)) if radius > 0 else masks


def shrunk(masks: torch.Tensor, radius: int) -> torch.Tensor:
    """Every pixel takes the lowest value within `radius` pixels; the border of the picture itself takes nothing away."""
    return _in_window(masks, radius, lambda window: 1 - _highest_in_disc(1 - window, radius)) if radius > 0 else masks


def blurred(masks: torch.Tensor, sigma: float) -> torch.Tensor:
    """Gaussian blur with the standard deviation `sigma` in pixels; beyond the picture its border goes on."""
    if sigma <= 0:
        return masks
    reach = math.ceil(3 * sigma)
    return _in_window(masks, reach, lambda window: blur_planes(window[:, None], sigma)[:, 0].clamp_(0, 1))


def smoothed(masks: torch.Tensor, radius: int) -> torch.Tensor:
    """Round off corners and jags smaller than about `radius` pixels: blur, then cut at a half. The result is 0 or 1."""
    return (blurred(masks, radius / 2) > 0.5).float() if radius > 0 else masks


def window_of(masks: torch.Tensor) -> tuple[slice, slice] | None:
    """Rows and columns that hold everything above 0 in a batch [batch, height, width]; None if there is nothing."""
    filled = masks.amax(0) > 0
    rows, columns = filled.any(1).nonzero()[:, 0], filled.any(0).nonzero()[:, 0]
    if not len(rows):
        return None
    return slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1)


def _in_window(masks: torch.Tensor, reach: int, change: Change) -> torch.Tensor:
    """`change` applied where it can do something: around what is there, `reach` pixels wide. It must leave 0 as 0."""
    window = window_of(masks)
    result = torch.zeros_like(masks, memory_format=torch.contiguous_format)
    if window is not None:
        rows, columns = (slice(max(0, side.start - reach), side.stop + reach) for side in window)
        result[:, rows, columns] = change(masks[:, rows, columns])
    return result


def _highest_in_disc(masks: torch.Tensor, radius: int) -> torch.Tensor:
    """Dilation by the disc x² + y² <= radius², a row of the disc at a time from its narrow top to its wide middle.

    `wide` holds the highest value within `half` columns, so that widening it by one costs two passes, whatever the width.
    """
    binary = bool(((masks == 0) | (masks == 1)).all())
    batch, height, width = masks.shape
    source = functional.pad(masks.to(torch.uint8) if binary else masks, (radius, radius, radius, radius))
    wide, half = source[:, :, radius : radius + width].clone(), 0
    result = torch.zeros(batch, height, width, dtype=source.dtype, device=source.device)
    for row in range(radius, -1, -1):
        while half < math.isqrt(radius * radius - row * row):
            half += 1
            for start in (radius - half, radius + half):
                torch.maximum(wide, source[:, :, start : start + width], out=wide)
        for start in {radius - row, radius + row}:
            torch.maximum(result, wide[:, start : start + height], out=result)
    return result.to(masks.dtype)


def blur_planes(planes: torch.Tensor, sigma: float) -> torch.Tensor:
    """Gaussian blur of every plane of [batch, channel, height, width], cut off at three standard deviations."""
    reach = math.ceil(3 * sigma)
    places = torch.arange(-reach, reach + 1, dtype=planes.dtype, device=planes.device)
    kernel = torch.exp(-(places**2) / (2 * sigma**2))
    kernel = kernel / kernel.sum()
    single = functional.pad(planes.flatten(0, 1)[:, None], (reach, reach, reach, reach), mode="replicate")
    single = functional.conv2d(functional.conv2d(single, kernel.view(1, 1, -1, 1)), kernel.view(1, 1, 1, -1))
    return single.view(planes.shape)
