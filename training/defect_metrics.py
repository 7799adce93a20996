"""Metrics of segmentation that an inspector asks for: defects found, false alarms per picture, and thin cracks judged with tolerance."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from .transforms import IGNORE

STRIP = 512  # rows at a time, so that a distance transform of a large picture stays small


@dataclass(frozen=True, eq=False)
class DefectScores:
    """Whole defects of each class, counted over a split.

    Attributes:
        defects: int64 [classes]: true defects; 0 for the background.
        found: int64 [classes]: those of them that were found.
        false_alarms: int64 [classes]: predicted defects where none of their class is.
        pictures: Pictures counted.
    """

    defects: Tensor
    found: Tensor
    false_alarms: Tensor
    pictures: int

    @property
    def recall_by_class(self) -> Tensor:
        """Share of each class's defects that were found, float64 [classes]; NaN for a class without defects."""
        return self.found.double() / self.defects

    @property
    def false_alarms_by_class(self) -> Tensor:
        """False alarms of each class per picture, float64 [classes]."""
        return self.false_alarms.double() / self.pictures

    @property
    def recall(self) -> float:
        """Share of all defects, of whatever class, that were found (micro); NaN where there are none."""
        return float(self.found.sum() / self.defects.sum())

    @property
    def false_alarms_per_picture(self) -> float:
        """False alarms of all classes together, per picture; NaN where no picture was counted."""
        return float(self.false_alarms.sum() / torch.tensor(self.pictures))


class DefectCounter:
    """Counts defects, found and imagined. A defect is a connected piece of one class; pixels that touch at a corner are connected (8 neighbours).

    A true defect is found if enough of its pixels are predicted as its class. A predicted one is a false alarm if not a single true pixel
    of its class lies in it: one that is too large or hits two defects is none.

    Args:
        classes: Number of classes, the background among them.
        background: The class that has no defects.
        min_overlap: Share of a true defect's pixels that must be predicted for it to be found; 0 asks for a single pixel.
        min_area: Smaller pieces are specks: true ones need not be found, predicted ones are no false alarms.
        ignore: Pixels of this class do not count; a piece that lies only there does not either.
    """

    def __init__(
        self, classes: int, background: int = 0, min_overlap: float = 0.0, min_area: int = 1, ignore: int = IGNORE
    ):
        self.classes, self.background, self.ignore = classes, background, ignore
        self.min_overlap, self.min_area = min_overlap, max(1, min_area)
        self.defects, self.found, self.false = (torch.zeros(classes, dtype=torch.int64) for _ in range(3))
        self.pictures = 0

    def update(self, truth: Tensor, predicted: Tensor) -> None:
        """Count one whole picture: class numbers [height, width] of any integer type."""
        true_classes, predicted_classes = truth.cpu().numpy(), predicted.cpu().numpy()
        valid = true_classes != self.ignore
        self.pictures += 1
        for c in range(self.classes):
            if c == self.background:
                continue
            true, guess = true_classes == c, predicted_classes == c
            area, hit = _pieces(true, true, guess)
            real = area >= self.min_area
            enough = np.maximum(1, self.min_overlap * area)
            self.defects[c] += int(real.sum())
            self.found[c] += int((real & (hit >= enough - 1e-9)).sum())
            area, hit = _pieces(guess, valid, true)
            self.false[c] += int(((area >= self.min_area) & (hit == 0)).sum())

    def result(self) -> DefectScores:
        """What was counted so far."""
        return DefectScores(self.defects.clone(), self.found.clone(), self.false.clone(), self.pictures)


def _pieces(mask: np.ndarray, counted: np.ndarray, other: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """For each connected piece of `mask`: how many of its pixels are in `counted`, and how many in `other`. All bool [height, width]."""
    from scipy import ndimage

    box = _box(mask)
    if box is None:
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    labels, count = ndimage.label(mask[box], np.ones((3, 3)))
    area, hit = (np.bincount(labels[which[box]], minlength=count + 1)[1:] for which in (counted, other))
    return area, hit


def _box(mask: np.ndarray) -> tuple[slice, slice] | None:
    """The smallest rows and columns that hold all of `mask`; None if it is empty. Defects are small and pictures large."""
    rows, columns = mask.any(1).nonzero()[0], mask.any(0).nonzero()[0]
    if not len(rows):
        return None
    return slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)


class TolerantF1:
    """F1 for thin things such as cracks, whose true masks are not sure to the pixel; counted over the whole split.

    A predicted pixel is right if a true pixel of its class lies within `tolerance` of it, and a true pixel is found if a predicted one does.

    Args:
        classes: Number of classes, the background among them.
        tolerance: Euclidean distance between pixel centres, in pixels.
        background: The class that is left out.
        ignore: Pixels of this class do not count.
    """

    def __init__(self, classes: int, tolerance: float = 2.0, background: int = 0, ignore: int = IGNORE):
        self.classes, self.tolerance, self.background, self.ignore = classes, tolerance, background, ignore
        self.predicted, self.right, self.true, self.found = (torch.zeros(classes, dtype=torch.int64) for _ in range(4))

    def update(self, truth: Tensor, predicted: Tensor) -> None:
        """Count one whole picture: class numbers [height, width] of any integer type."""
        true_classes, predicted_classes = truth.cpu().numpy(), predicted.cpu().numpy()
        valid = true_classes != self.ignore
        for c in range(self.classes):
            if c == self.background:
                continue
            true, guess = true_classes == c, (predicted_classes == c) & valid
            self.predicted[c] += int(guess.sum())
            self.true[c] += int(true.sum())
            self.right[c] += _near(guess, true, self.tolerance)
            self.found[c] += _near(true, guess, self.tolerance)

    @property
    def precision(self) -> Tensor:
        """Share of the predicted pixels of each class that are right, float64 [classes]; 0 where none was predicted."""
        return self._share(self.right, self.predicted)

    @property
    def recall(self) -> Tensor:
        """Share of the true pixels of each class that were found, float64 [classes]; 0 where there are none."""
        return self._share(self.found, self.true)

    def result(self) -> Tensor:
        """F1 of each class, 2 P R / (P + R), float64 [classes]; NaN for one neither there nor predicted, and for the background."""
        precision, recall = self.precision, self.recall
        return 2 * precision * recall / (precision + recall).where((precision + recall) != 0, 1)

    def mean(self) -> float:
        """The mean F1 of the classes beside the background that are there or were predicted (macro)."""
        return float(self.result().nanmean())

    def _share(self, part: Tensor, whole: Tensor) -> Tensor:
        return torch.where(self.predicted + self.true > 0, part.double() / whole.clamp(min=1), torch.nan)


def _near(pixels: np.ndarray, others: np.ndarray, tolerance: float) -> int:
    """How many of `pixels` have one of `others` within `tolerance`; both bool [height, width].

    Rows are looked at in strips that see `tolerance` rows beyond their edges, which changes no answer.
    """
    from scipy.ndimage import distance_transform_edt

    margin, total = math.floor(tolerance), 0
    box = _box(pixels)
    if box is None:
        return 0
    (top, bottom), (left, right) = ((side.start, side.stop) for side in box)
    columns = slice(max(0, left - margin), right + margin)
    for start in range(top, bottom, STRIP):
        stop = min(start + STRIP, bottom)
        rows = slice(max(0, start - margin), stop + margin)
        seen = others[rows, columns]
        if seen.any():
            near = distance_transform_edt(~seen) <= tolerance
            inside = slice(start - rows.start, stop - rows.start)
            total += int((near[inside] & pixels[start:stop, columns]).sum())
    return total
