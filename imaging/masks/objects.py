"""The connected objects of a mask: finding, filling, sorting out, taking apart.

Pixels that touch at a corner belong together. Labelling is scipy's, on the processor, one call per mask.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

CORNERS = np.ones((3, 3), dtype=bool)


@dataclass(frozen=True)
class MaskObject:
    """A connected object: its number in the labelled mask, its box and area in pixels, and its mean value."""

    label: int
    x: int
    y: int
    width: int
    height: int
    area: int
    value: float

    def box(self, label: str = "object") -> dict[str, Any]:
        """As ComfyUI's BOUNDING_BOX has it; the mean value is the score."""
        return {
            "x": self.x, "y": self.y, "width": self.width, "height": self.height,
            "label": label, "score": self.value,
        }  # fmt: skip


def find_objects(
    mask: torch.Tensor, threshold: float = 0.5, min_area: int = 1, most: int = 0
) -> tuple[np.ndarray, list[MaskObject]]:
    """Find the connected objects of a mask [height, width].

    Args:
        mask: float32 [height, width].
        threshold: A pixel belongs to an object if it is above.
        min_area: Pixels; smaller objects are left out.
        most: How many at most, the largest; 0 for all.

    Returns:
        The labelled mask (int32 [height, width], 0 where nothing is) and the objects, largest first; the labels of objects that were
        left out are still in it.
    """
    from scipy import ndimage

    values = mask.detach().cpu().numpy()
    labels, count = ndimage.label(values > threshold, CORNERS)
    areas = np.bincount(labels.ravel(), minlength=count + 1)
    sums = np.bincount(labels.ravel(), weights=values.ravel(), minlength=count + 1)
    order = [int(i) for i in 1 + np.argsort(-areas[1:], kind="stable") if areas[i] >= min_area]
    boxes = ndimage.find_objects(labels)
    found = []
    for label in order[: most or None]:
        rows, columns = boxes[label - 1]
        size = (columns.stop - columns.start, rows.stop - rows.start)
        area = int(areas[label])
        found.append(MaskObject(label, columns.start, rows.start, *size, area, float(sums[label] / area)))
    return labels, found


def keep_objects(masks: torch.Tensor, threshold: float = 0.0, min_area: int = 1, most: int = 0) -> torch.Tensor:
    """Masks [batch, height, width] without the objects smaller than `min_area` pixels, and with the `most` largest of each at most.

    Values stay as they are; what is not above `threshold` belongs to no object and goes too.
    """
    kept = []
    for mask in masks:
        labels, objects = find_objects(mask, threshold, min_area, most)
        table = np.zeros(labels.max(initial=0) + 1, dtype=bool)
        table[[found.label for found in objects]] = True
        kept.append(torch.from_numpy(table[labels]))
    return torch.where(torch.stack(kept).to(masks.device), masks, 0)


def fill_holes(masks: torch.Tensor, threshold: float = 0.0) -> torch.Tensor:
    """Masks [batch, height, width] with 1 wherever no way (sideways, up or down) leads to the border through pixels not above `threshold`."""
    from scipy import ndimage

    holes = []
    for mask in masks:
        labels, count = ndimage.label(mask.detach().cpu().numpy() <= threshold)
        outside = np.zeros(count + 1, dtype=bool)
        outside[0] = True  # label 0 is the mask itself
        for border in (labels[0], labels[-1], labels[:, 0], labels[:, -1]):
            outside[border] = True
        holes.append(torch.from_numpy(~outside[labels]))
    return torch.where(torch.stack(holes).to(masks.device), 1, masks)


def split_masks(
    masks: torch.Tensor, threshold: float = 0.5, min_area: int = 1, most: int = 0
) -> tuple[torch.Tensor, list[list[MaskObject]]]:
    """A mask for every connected object.

    Args:
        masks: float32 [batch, height, width].
        threshold, min_area, most: As in `find_objects`, for each mask.

    Returns:
        float32 [objects, height, width] with the values of the pixels as they were, mask after mask and largest first (a single
        empty mask if nothing was found), and the objects of each mask.
    """
    pieces, objects = [], []
    for mask in masks:
        labels, found = find_objects(mask, threshold, min_area, most)
        objects.append(found)
        if found:
            numbers = torch.tensor([piece.label for piece in found], device=mask.device)
            mine = torch.from_numpy(labels).to(mask.device) == numbers[:, None, None]
            pieces.append(torch.where(mine, mask, 0))
    return (torch.cat(pieces) if pieces else torch.zeros_like(masks[:1])), objects
