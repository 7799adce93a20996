"""Where to look: each hole with some context, so that a large picture costs what its holes cost."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from ..boxes import Box, Size

CELL = 16  # pixels: holes are told apart on a grid this coarse
STEP = 64  # pixels: sizes of what is seen are multiples of this, so that some are alike and run as one batch


@dataclass(frozen=True)
class Hole:
    """A part of a picture that may change, `box`, and what is looked at for it, `seen`."""

    box: Box
    seen: Box


def find_holes(mask: torch.Tensor, reach: int, margin: int = 128, trigger: int = 800) -> list[Hole]:
    """The holes that a mask makes, from the top down; those that are near each other are one.

    Args:
        mask: Boolean [height, width].
        reach: Pixels around the mask that may change, too.
        margin: Pixels of context around what may change.
        trigger: A picture whose longer side has at most this many pixels is looked at as a whole.
    """
    height, width = mask.shape
    if not bool(mask.any()):
        return []
    whole = Box(0, 0, width, height)
    if max(height, width) <= trigger:
        return [Hole(whole, whole)]
    margin = max(margin, reach)  # what may change must not depend on what lies outside of what is seen
    boxes = [box.spread(reach, (width, height)) for box in _boxes(mask.cpu().numpy(), (margin + 2 * reach) // 2)]
    return [Hole(box, _seen(box, margin, (width, height))) for box in _merged(boxes, margin, (width, height))]


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
    return Box(columns.start + x[0], rows.start + y[0], x[-1] + 1 - x[0], y[-1] + 1 - y[0])


def _merged(boxes: list[Box], margin: int, picture: Size) -> list[Box]:
    """Join boxes that overlap, and those for which no more is looked at together than apart."""

    def cost(box: Box) -> int:
        return _seen(box, margin, picture).area

    done: list[Box] = []
    waiting = list(boxes)
    while waiting:
        box = waiting.pop()
        for other in done:
            joined = box | other
            if box.meets(other) or cost(joined) <= cost(box) + cost(other):
                done.remove(other)
                waiting.append(joined)  # it may now meet one that was looked at before
                break
        else:
            done.append(box)
    return sorted(done, key=lambda box: (box.y, box.x))


def _seen(box: Box, margin: int, picture: Size) -> Box:
    """The box with its margin, widened to a multiple of STEP and moved into the picture."""

    def span(start: int, length: int, limit: int) -> tuple[int, int]:
        size = min(limit, -(-(length + 2 * margin) // STEP) * STEP)
        return min(max(0, (2 * start + length - size) // 2), limit - size), size

    (x, width), (y, height) = span(box.x, box.width, picture[0]), span(box.y, box.height, picture[1])
    return Box(x, y, width, height)
