"""The figures that panels draw (web/views): `ui` entries with class balance, confusion matrix and results table."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from ...training import Dataset, Report
from ...training.results import Results
from ...training.segmentation.evaluate import SegmentationReport
from ...training.statistics import class_counts
from .views import Ui, css

MOST_CLASSES = 40
"""Of a confusion matrix: more than a person can tell apart."""


def balance(dataset: Dataset) -> Ui:
    """For each split and class the samples, or in segmentation the pixels and the pictures that have it; nothing for regression."""
    if dataset.task == "regression":
        return {"visionsmith_balance": []}
    splits = {}
    for name, samples in dataset.splits.items():
        if dataset.task == "segmentation":
            amounts, pictures = samples.targets.sum(0).tolist(), (samples.targets > 0).sum(0).tolist()
        else:
            amounts = pictures = class_counts(samples, len(dataset.classes))
        splits[name] = {"amounts": amounts, "pictures": pictures, "count": len(samples)}
    unit = "pixels" if dataset.task == "segmentation" else "samples"
    colors = [css(color) for color in dataset.colors]
    entry = {"unit": unit, "classes": list(dataset.classes), "colors": colors, "splits": splits}
    return {"visionsmith_balance": [entry]}


def confusion(report: Report | SegmentationReport) -> Ui:
    """The confusion matrix, of the classes that were confused most where there are many; nothing for regression."""
    if report.confusion is None:
        return {"visionsmith_confusion": []}
    chosen = most_confused(report.confusion, MOST_CLASSES)
    entry = {
        "classes": [report.classes[number] for number in chosen],
        "numbers": chosen,
        "counts": report.confusion[chosen][:, chosen].tolist(),
        "totals": report.confusion[chosen].sum(1).tolist(),
        "unit": "pixels" if report.task == "segmentation" else "samples",
        "of": len(report.classes),
    }
    return {"visionsmith_confusion": [entry]}


def most_confused(matrix: Tensor, most: int) -> list[int]:
    """The `most` classes with the most samples on the wrong side of the matrix, in their order; all of them if there are no more."""
    wrong = matrix.sum(0) + matrix.sum(1) - 2 * matrix.diagonal()
    return torch.sort(wrong.argsort(descending=True, stable=True)[:most]).values.tolist()


def results_table(results: Results, metrics: Sequence[str] = (), best: str = "") -> Ui:
    """The table of an experiment: a line per group with what is shown, what to sort by, and whether it is the best of its column.

    Args:
        metrics: Which ones; all by default.
        best: The model, data and loss of the winner, as a sentence.
    """
    head, *lines = results.cells(metrics)
    names = tuple(metrics) or results.metrics
    first = len(head) - len(names)
    rows = []
    for group, line in zip(results.groups, lines, strict=True):
        mean = group.mean()
        figures = [mean.get(name, math.nan) for name in names]
        values = [text for text, _ in line[: first - 1]] + [len(group.rows)]
        values += [value if math.isfinite(value) else None for value in figures]
        rows.append([{"text": text, "value": value, "best": bold} for (text, bold), value in zip(line, values, strict=True)])  # fmt: skip
    failed = [f"{row.model}, {row.dataset}, {row.loss}, seed {row.seed}: {row.error}" for row in results.failed]
    table = {"title": results.title, "head": [text for text, _ in head], "rows": rows, "best": best, "failed": failed}
    return {"visionsmith_results": [table]}
