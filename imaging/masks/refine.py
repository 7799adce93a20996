"""One mask made better, a step after the other."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from .batches import checked_masks
from .edges import blurred, grown, shrunk, smoothed
from .objects import fill_holes, keep_objects


@dataclass(frozen=True)
class Refinement:
    """What to do, in the order in which it is done.

    Attributes:
        threshold: Above becomes 1, all else 0; at 0 the values stay, and everything above 0 counts as mask.
        fill_holes: Fill what is enclosed.
        min_area: Remove objects with fewer pixels.
        keep_largest: Keep this many objects, the largest; 0 keeps all.
        smooth: Round off jags of about this many pixels; the result is 0 or 1.
        grow: Pixels by which the mask grows, or shrinks if negative.
        feather: Pixels on each side of the edge over which it fades (two standard deviations of a Gaussian).
    """

    threshold: float = 0.5
    fill_holes: bool = False
    min_area: int = 0
    keep_largest: int = 0
    smooth: int = 0
    grow: int = 0
    feather: float = 0.0


def refine_masks(masks: torch.Tensor, how: Refinement) -> torch.Tensor:
    """Refine each mask of a batch [batch, height, width].

    Raises:
        InputError: No mask, or values that are no numbers.
    """
    masks = checked_masks(masks)
    if how.threshold > 0:
        masks = (masks > how.threshold).float()
    if how.fill_holes:
        masks = fill_holes(masks)
    if how.min_area > 1 or how.keep_largest:
        masks = keep_objects(masks, 0.0, how.min_area, how.keep_largest)
    masks = smoothed(masks, how.smooth)
    masks = grown(masks, how.grow) if how.grow >= 0 else shrunk(masks, -how.grow)
    return blurred(masks, how.feather / 2)
