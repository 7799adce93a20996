"""Whether a synthetic defect is worth learning from, and where the part is in a picture."""

from __future__ import annotations

import math

import numpy as np

from .scene import Patch, Range

LEAST_CHANGE = 3 / 255
FLAT = 4 / 255
APART = 25 / 255
LEAST_PART = 0.3


def noise_of(pixels: np.ndarray) -> float:
    """The standard deviation of the grain of float32 [height, width, channels], robustly from second differences (Immerkær 1996's mask and
    the median in place of the mean)."""
    grey = pixels.mean(2)
    if min(grey.shape) < 3:
        return 0.0
    wide = grey[:, :-2] - 2 * grey[:, 1:-1] + grey[:, 2:]
    both = wide[:-2] - 2 * wide[1:-1] + wide[2:]
    return float(np.median(np.abs(both))) / 0.6745 / 6


def flaw(before: np.ndarray, patch: Patch, areas: Range | None = None, seamless: bool = True) -> str | None:
    """Why a defect should not be used, or None.

    Args:
        before: float32 [height, width, channels]: the picture below the patch.
        areas: Smallest and largest area of real defects of its class; a third to three times that is accepted.
        seamless: What is around the defect must change less than the defect itself.
    """
    area = int(patch.mask.sum())
    if area == 0:
        return "empty"
    if areas and not areas[0] / 3 <= area <= areas[1] * 3:
        return "unusual size"
    change = float(np.abs(patch.pixels - before)[patch.mask].mean())
    if change < max(LEAST_CHANGE, 0.5 * noise_of(before)):
        return "invisible"
    beyond = patch.changed & ~patch.mask
    if seamless and beyond.any() and float(np.abs(patch.pixels - before)[beyond].mean()) > 1.5 * change:
        return "more changed around than inside"
    return None


def find_part(image: np.ndarray) -> np.ndarray | None:
    """Where the part is, bool [height, width], if an even, much darker or much brighter surface surrounds it; None if nothing does.

    The surroundings are what hangs together with the picture's border, is even, and differs from the rest; three tenths at least must remain.
    """
    from scipy.ndimage import label, minimum_filter

    step = max(1, math.ceil(math.sqrt(image.shape[0] * image.shape[1] / 40_000)))
    small = image[::step, ::step].astype(np.float32)
    grey = small.mean(2) / (255 if image.dtype == np.uint8 else 1)
    border = np.concatenate([grey[0], grey[-1], grey[:, 0], grey[:, -1]])
    for color in (np.percentile(border, 10), np.percentile(border, 90)):
        parts, _ = label(np.abs(grey - color) < 3 * FLAT)
        edges = np.unique(np.concatenate([parts[0], parts[-1], parts[:, 0], parts[:, -1]]))
        outside = np.isin(parts, edges[edges > 0])
        share = outside.mean()
        if not 0.01 < share < 1 - LEAST_PART or grey[outside].std() > FLAT:
            continue
        if abs(float(np.median(grey[~outside])) - float(np.median(grey[outside]))) > APART:
            inside = minimum_filter(~outside, 3, mode="nearest").repeat(step, 0).repeat(step, 1)
            return inside[: image.shape[0], : image.shape[1]]
    return None
