"""Metrics of segmentation by pixel, counted over a whole split: the confusion of classes, and precision and recall by threshold.

Counts are exact whole numbers, so counting picture by picture, band by band or all at once gives the same figures. How whole defects fare is
in `defect_metrics`.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from .defect_metrics import DefectCounter, DefectScores, TolerantF1
from .metrics import counts_of
from .transforms import IGNORE

__all__ = [
    "DefectCounter",
    "DefectScores",
    "PixelScores",
    "PrecisionRecall",
    "PrecisionRecallCurve",
    "TolerantF1",
    "pixel_confusion",
    "pixel_scores",
    "segmentation_scores",
]


def pixel_confusion(truth: Tensor, predicted: Tensor, classes: int, ignore: int = IGNORE) -> Tensor:
    """How many pixels of class `row` were taken for class `column`: int64 [classes, classes], on the CPU.

    Args:
        truth: Class numbers, of any integer type and any shape; pixels of `ignore` do not count.
        predicted: Class numbers of the same shape.

    Raises:
        ValueError: Shapes differ, or a class number is not below `classes`.
    """
    if truth.shape != predicted.shape:
        raise ValueError(f"Expected truth and prediction of one shape, but got {truth.shape} and {predicted.shape}.")
    if not truth.numel():
        return torch.zeros(classes, classes, dtype=torch.int64)
    valid = truth != ignore
    for name, labels in (("truth", truth), ("predicted", predicted)):
        low, high = labels.where(valid, 0).aminmax()
        if low < 0 or high >= classes:
            raise ValueError(
                f"Expected {name} to have class numbers below {classes}, but got {int(high if high >= classes else low)}."
            )
    # The smallest type that holds every pair of classes: a picture of 4,096 × 4,096 then takes 16 MB and not 128.
    small = torch.uint8 if classes**2 < 2**8 else torch.int16 if classes**2 < 2**15 else torch.int64
    pairs = (truth.to(small) * classes + predicted.to(small)).where(valid, classes**2)
    return pairs.flatten().bincount(minlength=classes**2 + 1)[:-1].view(classes, classes).cpu()


@dataclass(frozen=True, eq=False)
class PixelScores:
    """Per class, float64 [classes]. With TP, FP and FN as pixels over the whole split:

    iou = TP / (TP + FP + FN), accuracy = TP / (TP + FN) (recall), precision = TP / (TP + FP), dice = 2 TP / (2 TP + FP + FN) (F1).

    All four are NaN where a class neither is there nor was predicted, and averages leave such classes out. Where only one of both is so, nothing
    of the class is right, and all four are 0.

    Attributes:
        count: True pixels of each class.
        overall: Share of all pixels that are right (aAcc).
    """

    iou: Tensor
    accuracy: Tensor
    precision: Tensor
    dice: Tensor
    count: Tensor
    overall: float

    def averages(self, background: int = 0) -> dict[str, float]:
        """The scores of a whole split under their usual names, in 0..1.

        Each mean is over classes, with equal weight (macro), of the classes that are there or were predicted; "of defects" leaves out class
        `background`. NaN where there is no class to average over.

        Returns:
            mIoU (of IoU), mAcc (of accuracy), mDice (of Dice) and mPrecision (of precision), each also "of defects", and aAcc: the share of
            all pixels that are right, whatever their class (micro).
        """
        defects = torch.arange(len(self.iou)) != background
        values = {"mIoU": self.iou, "mAcc": self.accuracy, "mDice": self.dice, "mPrecision": self.precision}
        found: dict[str, float] = {}
        for name, value in values.items():
            found |= {name: float(value.nanmean()), f"{name} of defects": float(value[defects].nanmean())}
        return {**found, "aAcc": self.overall}


def pixel_scores(confusion: Tensor) -> PixelScores:
    """The scores of each class from a confusion [classes, classes] (rows the true class) summed over a split."""
    return pixel_scores_of(counts_of(confusion))


def pixel_scores_of(counts: Tensor) -> PixelScores:
    """The same from `counts_of` the confusion."""
    hits, predicted, count = counts.double()
    either = predicted + count - hits

    def share(part: Tensor, whole: Tensor) -> Tensor:
        return torch.where(either > 0, part / whole.clamp(min=1), torch.nan)

    overall = float(hits.sum() / count.sum()) if count.any() else float("nan")
    dice = share(2 * hits, predicted + count)
    return PixelScores(share(hits, either), share(hits, count), share(hits, predicted), dice, counts[2], overall)


def segmentation_scores(confusion: Tensor, background: int = 0) -> dict[str, float]:
    """mIoU, mAcc, mDice, mPrecision, each also "of defects", and aAcc, from a confusion; see `PixelScores.averages`."""
    return pixel_scores(confusion).averages(background)


@dataclass(frozen=True, eq=False)
class PrecisionRecallCurve:
    """Precision and recall of each class where a pixel is taken for it from a probability of `thresholds` on.

    Attributes:
        thresholds: float64 [bins], from 0 up.
        precision: float64 [classes, bins]; 1 where nothing is taken for the class.
        recall: float64 [classes, bins]; NaN for a class with no true pixel, as are the following.
        f1: float64 [classes, bins]: 2 TP / (2 TP + FP + FN).
        average_precision: float64 [classes]: Σ (R_k − R_k+1) P_k, the sum of precision over the steps of recall (not interpolated).
        best_threshold: float64 [classes]: where F1 is highest; of several such thresholds the middle one.
        best_f1: float64 [classes].
    """

    thresholds: Tensor
    precision: Tensor
    recall: Tensor
    f1: Tensor
    average_precision: Tensor
    best_threshold: Tensor
    best_f1: Tensor


class PrecisionRecall:
    """A sweep over thresholds, one class against all others, in bounded memory: probabilities are counted in `bins` equal steps.

    Args:
        bins: Thresholds are 0, 1/bins, 2/bins and so on.
        ignore: Pixels of this class do not count.
    """

    def __init__(self, classes: int, bins: int = 1000, ignore: int = IGNORE):
        self.classes, self.bins, self.ignore = classes, bins, ignore
        self.counts = torch.zeros(classes, 2, bins, dtype=torch.int64)
        """Pixels by class, whether they are of it (1) or not (0), and step of probability."""

    def update(self, probabilities: Tensor, truth: Tensor) -> None:
        """Count one picture, or a part of one.

        Args:
            probabilities: float [classes, height, width] in 0..1; further channels are left out.
            truth: Class numbers [height, width].
        """
        ignored = truth == self.ignore
        for c in range(self.classes):
            step = (probabilities[c] * self.bins).int().clamp(0, self.bins - 1)
            step = (step + self.bins * (truth == c)).masked_fill(ignored, 2 * self.bins)
            counted = step.flatten().bincount(minlength=2 * self.bins + 1)[:-1]
            self.counts[c] += counted.view(2, self.bins).cpu()

    def result(self) -> PrecisionRecallCurve:
        """The curve of everything counted so far."""
        # Taken for the class at threshold k is what lies in step k or above.
        false, hits = self.counts.flip(2).cumsum(2).flip(2).double().unbind(1)
        total = hits[:, :1]
        precision = torch.where(hits + false > 0, hits / (hits + false), 1.0)
        recall = hits / total  # 0 / 0 is NaN
        f1 = torch.where(total > 0, 2 * hits / (hits + false + total), torch.nan)
        steps = recall - torch.cat((recall[:, 1:], torch.zeros_like(total)), 1)
        thresholds = torch.arange(self.bins, dtype=torch.float64) / self.bins
        best = f1.nan_to_num(0).amax(1)
        middle = [(row == top).nonzero()[:, 0] for row, top in zip(f1.nan_to_num(0), best, strict=True)]
        at = torch.stack([thresholds[ties[len(ties) // 2]] for ties in middle])
        none = total[:, 0] == 0
        return PrecisionRecallCurve(
            thresholds,
            precision,
            recall,
            f1,
            (steps * precision).sum(1),
            at.masked_fill(none, torch.nan),
            best.masked_fill(none, torch.nan),
        )
