"""How much a mask covers, and of how many objects it consists."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from .batches import checked_masks
from .objects import MaskObject, find_objects


@dataclass(frozen=True)
class MaskStatistics:
    """Of one mask: its size in pixels, how many of them are covered, and its objects, largest first."""

    width: int
    height: int
    area: int
    objects: tuple[MaskObject, ...]

    @property
    def share(self) -> float:
        """The covered share of the picture, 0..1."""
        return self.area / (self.width * self.height)


def mask_statistics(masks: torch.Tensor, threshold: float = 0.5, min_area: int = 1) -> list[MaskStatistics]:
    """Measure each mask of a batch [batch, height, width].

    Args:
        masks: The masks.
        threshold: A pixel is covered if it is above.
        min_area: Pixels; smaller objects are not counted, neither in the area.
    """
    masks = checked_masks(masks)
    height, width = masks.shape[1:]
    found = [find_objects(mask, threshold, min_area)[1] for mask in masks]
    return [MaskStatistics(width, height, sum(one.area for one in objects), tuple(objects)) for objects in found]


def statistics_table(measured: list[MaskStatistics]) -> str:
    """Comma-separated: a line per mask (object "all") and below it a line per object; areas in pixels, shares in percent."""
    rows = ["mask,object,x,y,width,height,area,share_percent"]
    for number, mask in enumerate(measured, 1):
        rows.append(
            f"{number},all ({len(mask.objects)}),0,0,{mask.width},{mask.height},{mask.area},{100 * mask.share:.4f}"
        )
        rows += [
            f"{number},{index},{one.x},{one.y},{one.width},{one.height},{one.area},{100 * one.area / (mask.width * mask.height):.4f}"
            for index, one in enumerate(mask.objects, 1)
        ]  # fmt: skip
    return "\n".join(rows)
