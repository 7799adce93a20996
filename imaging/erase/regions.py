"""Where to look: one region with context per hole, so that a large picture costs what its holes cost."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch

CELL = 16  # pixels: holes are told apart on a grid this coarse
STEP = 64  # pixels: sizes of regions are multiples of this, so that some are alike and run as one batch


class Box(NamedTuple):
    """A rectangle of pixels; `bottom` and `right` lie behind it."""

    top: int
    left: int
    bottom: int
    right: int

    @property
    def size(self) -> tuple[int, int]:
        """Height and width."""
        return self.bottom - self.top, self.right - self.left

    @property
    def area(self) -> int:
        return (self.bottom - self.top) * (self.right - self.left)

    @property
    def slices(self) -> tuple[slice, slice]:
        """Rows and columns, for indexing."""
        return slice(self.top, self.bottom), slice(self.left, self.right)

    def grown(self, by: int, height: int, width: int) -> Box:
        """`by` pixels more on each side, inside a picture."""
        return Box(
            max(0, self.top - by), max(0, self.left - by), min(height, self.bottom + by), min(width, self.right + by)
        )

    def meets(self, other: Box) -> bool:
        """Whether they have pixels in common."""
        rows = self.top < other.bottom and other.top < self.bottom
        return rows and self.left < other.right and other.left < self.right

    def around(self, other: Box) -> Box:
        """The smallest box with both in it."""
        return Box(
            min(self.top, other.top),
            min(self.left, other.left),
            max(self.bottom, other.bottom),
            max(self.right, other.right),
        )


@dataclass(frozen=True)
class Region:
    """`crop` is what is looked at, `hole` the part of it that may change."""

    crop: Box
    hole: Box


def regions(mask: torch.Tensor, reach: int, margin: int = 128, trigger: int = 800) -> list[Region]:
    """A region per hole of a mask; holes that are near each other share one.

    Args:
        mask: Boolean [height, width].
        reach: Pixels around the mask that may change, too.
        margin: Pixels of context around what may change.
        trigger: A picture whose longer side has at most this many pixels is one region.
    """
    height, width = mask.shape
    if not bool(mask.any()):
        return []
    whole = Box(0, 0, height, width)
    if max(height, width) <= trigger:
        return [Region(whole, whole)]
    margin = max(margin, reach)  # what may change must not depend on what lies outside the crop
    holes = [box.grown(reach, height, width) for box in _boxes(mask.cpu().numpy(), (margin + 2 * reach) // 2)]
    holes = _merged(holes, margin, height, width)
    return [Region(_crop(hole, margin, height, width), hole) for hole in holes]


def _boxes(mask: np.ndarray, near: int) -> list[Box]:
    """Boxes around the parts of a mask; parts less than about twice `near` pixels apart are one."""
    from scipy import ndimage

    height, width = mask.shape
    padded = np.pad(mask, ((0, -height % CELL), (0, -width % CELL)))
    cells = padded.reshape(padded.shape[0] // CELL, CELL, -1, CELL).any((1, 3))
    steps = 2 * (near // CELL) + 1
    labels, _ = ndimage.label(ndimage.maximum_filter(cells, steps), np.ones((3, 3)))
    found = ndimage.find_objects(labels * cells)
    return [_exact(mask, slice(y.start * CELL, y.stop * CELL), slice(x.start * CELL, x.stop * CELL)) for y, x in found]


def _exact(mask: np.ndarray, rows: slice, columns: slice) -> Box:
    """The box around what is masked in these rows and columns."""
    part = mask[rows, columns]
    y, x = part.any(1).nonzero()[0].tolist(), part.any(0).nonzero()[0].tolist()
    return Box(rows.start + y[0], columns.start + x[0], rows.start + y[-1] + 1, columns.start + x[-1] + 1)


def _merged(holes: list[Box], margin: int, height: int, width: int) -> list[Box]:
    """Join holes that overlap, and those whose common crop is no larger than their two."""

    def cost(hole: Box) -> int:
        return _crop(hole, margin, height, width).area

    done: list[Box] = []
    waiting = list(holes)
    while waiting:
        hole = waiting.pop()
        for other in done:
            joined = hole.around(other)
            if hole.meets(other) or cost(joined) <= cost(hole) + cost(other):
                done.remove(other)
                waiting.append(joined)  # it may now meet one that was looked at before
                break
        else:
            done.append(hole)
    return sorted(done)


def _crop(hole: Box, margin: int, height: int, width: int) -> Box:
    """The hole with its margin, widened to a multiple of STEP and moved into the picture."""

    def span(start: int, stop: int, length: int) -> tuple[int, int]:
        size = min(length, -(-(stop - start + 2 * margin) // STEP) * STEP)
        first = min(max(0, (start + stop - size) // 2), length - size)
        return first, first + size

    (top, bottom), (left, right) = span(hole.top, hole.bottom, height), span(hole.left, hole.right, width)
    return Box(top, left, bottom, right)
