"""Metrics of classification and regression, counted over a whole split."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor


def confusion_matrix(targets: Tensor, predicted: Tensor, classes: int) -> Tensor:
    """How often class `row` was taken for class `column`: int64 [classes, classes] from two int64 [count]."""
    return torch.bincount(targets * classes + predicted, minlength=classes**2).view(classes, classes)


@dataclass(frozen=True)
class ClassMetrics:
    """Per class, float64 [classes]; 0 where a class was never predicted or never there.

    precision = TP / (TP + FP), recall = TP / (TP + FN), f1 = 2 TP / (2 TP + FP + FN); `count` is how many samples are of the class.
    """

    precision: Tensor
    recall: Tensor
    f1: Tensor
    count: Tensor


def counts_of(matrix: Tensor) -> Tensor:
    """int64 [3, classes]: how many were rightly taken for each class, were taken for it, and are of it, from a confusion matrix."""
    return torch.stack((matrix.diagonal(), matrix.sum(0), matrix.sum(1)))


def class_metrics(matrix: Tensor) -> ClassMetrics:
    """Precision, recall and F1 of each class from a confusion matrix."""
    return class_metrics_of(counts_of(matrix))


def class_metrics_of(counts: Tensor) -> ClassMetrics:
    """The same from `counts_of` it."""
    hits, predicted, count = counts.double()
    return ClassMetrics(_share(hits, predicted), _share(hits, count), _share(2 * hits, predicted + count), count)


def _share(part: Tensor, whole: Tensor) -> Tensor:
    return torch.where(whole > 0, part / whole.clamp(min=1), 0.0)


def classification_scores(matrix: Tensor) -> dict[str, float]:
    """Accuracy, the mean recall of the classes that are there ("balanced accuracy"), and their mean F1 ("macro F1")."""
    return classification_scores_of(counts_of(matrix))


def classification_scores_of(counts: Tensor) -> dict[str, float]:
    """The same from `counts_of` a confusion matrix."""
    found = class_metrics_of(counts)
    there = found.count > 0
    return {
        "accuracy": float(counts[0].sum() / counts[2].sum().clamp(min=1)),
        "balanced accuracy": float(found.recall[there].mean()),
        "macro F1": float(found.f1[there].mean()),
    }


def regression_scores(targets: Tensor, predicted: Tensor) -> dict[str, float]:
    """Mean absolute error, root mean squared error and R² = 1 − Σ(y − ŷ)² / Σ(y − ȳ)², from float [count, values] each."""
    targets, predicted = targets.double(), predicted.double()
    sums = regression_sums(
        targets - targets.mean(0), predicted - targets.mean(0)
    )  # around 0: nothing is lost by rounding
    return regression_scores_of(sums)


def regression_sums(targets: Tensor, predicted: Tensor) -> Tensor:
    """float64 [5, values] from float [count, values] each: count, Σ|ŷ − y|, Σ(ŷ − y)², Σy and Σy² of each value."""
    targets, predicted = targets.double(), predicted.double()
    error = predicted - targets
    parts = torch.ones_like(error), error.abs(), error**2, targets, targets**2
    return torch.stack([part.sum(0) for part in parts])


def regression_scores_of(sums: Tensor) -> dict[str, float]:
    """The scores from `regression_sums`, which may be added up over batches."""
    count, absolute, square, total, total_square = sums
    spread = total_square - total**2 / count
    r2 = 1 - square / spread.clamp(min=1e-12)
    means = (part.sum() / count.sum() for part in (absolute, square))
    mae, mse = map(float, means)
    return {"MAE": mae, "RMSE": math.sqrt(mse), "R2": float(r2.mean())}


LOWER_IS_BETTER = ("loss", "MAE", "RMSE")
METRICS = {
    "classification": ("accuracy", "balanced accuracy", "macro F1"),
    "regression": ("RMSE", "MAE", "R2"),
    "segmentation": ("mIoU of defects", "mIoU", "mDice of defects", "mDice", "mAcc of defects", "mAcc", "aAcc"),
}
"""What can choose the best epoch; the first of each task is what a person who does not choose gets."""


MEANS = ("mAcc + mIoU", "aAcc + mAcc + mIoU")
"""Means of several that the reference chooses a segmenter's epoch by; any other sum will do too."""


def metric_names(metric: str) -> tuple[str, ...]:
    """The metrics that `metric` joins by +; most often it is a single one."""
    return tuple(name.strip() for name in metric.split("+"))


def better(metric: str, new: float, old: float | None) -> bool:
    """Whether `new` is an improvement on `old`; of equal means of several metrics the later one is."""
    if old is None or "+" in metric:
        return old is None or new >= old
    return new < old if metric in LOWER_IS_BETTER else new > old
