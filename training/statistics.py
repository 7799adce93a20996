"""What is in a dataset: how much of each class, picture sizes, brightness, and the class weights that would even it out."""

from __future__ import annotations

import torch
from PIL import Image
from torch import Tensor

from ..nn_layers.errors import InputError
from .dataset import Dataset, Samples
from .pictures import balance_picture

PROBED = 500


def statistics_table(dataset: Dataset) -> str:
    """Counts per class and split as aligned text, then the sizes and the mean brightness of (at most 500) training pictures."""
    lines = [f"{dataset.name}: {dataset.task}"]
    tables = {"classification": _class_counts, "regression": _target_ranges, "segmentation": _pixel_counts}
    lines += tables[dataset.task](dataset)
    lines += (
        _pictures(dataset.split("train")) if dataset.is_pictures else [f"{len(dataset.split('train')[0])} features"]
    )
    return "\n".join([*lines, *dataset.notes])


def class_counts(samples: Samples, classes: int) -> list[int]:
    """How many samples of a split each class has."""
    return torch.bincount(samples.targets, minlength=classes).tolist()


def _class_counts(dataset: Dataset) -> list[str]:
    counts = {split: class_counts(samples, len(dataset.classes)) for split, samples in dataset.splits.items()}
    width = max(len("samples"), *(len(name) for name in dataset.classes))
    head = "class".ljust(width) + "".join(split.rjust(9) for split in counts)
    rows = [
        name.ljust(width) + "".join(f"{counts[split][i]:>9,}" for split in counts)
        for i, name in enumerate(dataset.classes)
    ]
    total = "samples".ljust(width) + "".join(f"{sum(values):>9,}" for values in counts.values())
    return [head, *rows, "─" * len(head), total]


def _pixel_counts(dataset: Dataset) -> list[str]:
    width = max(len("pictures"), *(len(name) for name in dataset.classes))
    head = "class".ljust(width) + "".join(
        f"{split} pixels".rjust(16) + "pictures".rjust(10) for split in dataset.splits
    )
    rows = []
    for i, name in enumerate(dataset.classes):
        cells = [
            f"{share:>14.4%}  {count:>10,}"
            for share, count in (_share_of(samples.targets, i) for samples in dataset.splits.values())
        ]
        rows.append(name.ljust(width) + "".join(cells))
    total = "pictures".ljust(width) + "".join(f"{len(samples):>26,}" for samples in dataset.splits.values())
    return [head, *rows, "─" * len(head), total]


def _share_of(counts: Tensor, number: int) -> tuple[float, int]:
    """The share of the pixels that one class has, and the pictures it is in."""
    return float(counts[:, number].sum() / counts.sum().clamp(min=1)), int((counts[:, number] > 0).sum())


def class_totals(dataset: Dataset) -> Tensor:
    """int64 [classes]: training samples of each class, or in segmentation training pixels.

    Raises:
        InputError: The dataset has values, not classes.
    """
    targets = dataset.split("train").targets
    if dataset.task == "regression":
        raise InputError(f"dataset {dataset.name} is for regression and has no classes; use one with classes.")
    return targets.sum(0) if dataset.task == "segmentation" else torch.bincount(targets, minlength=len(dataset.classes))


def statistics_picture(dataset: Dataset) -> Image.Image:
    """The share of each class in the training split as bars, on a logarithmic scale so that rare ones show."""
    if dataset.task == "regression":
        raise InputError(f"dataset {dataset.name} is for regression and has no classes to draw bars of.")
    totals = class_totals(dataset).double()
    unit = "pixels" if dataset.task == "segmentation" else "samples"
    return balance_picture(dataset.classes, (totals / totals.sum()).tolist(), unit, dataset.colors)


WEIGHTINGS = ("inverse frequency", "median frequency", "effective number")


def class_weights(dataset: Dataset, scheme: str, power: float = 1.0) -> tuple[float, ...]:
    """Factors for the classes of a loss, raised to `power` and scaled so that their mean is 1.

    With n_c the training samples (in segmentation pixels) of class c:
    "inverse frequency" is 1 / n_c; "median frequency" is median(f) / f_c with f_c the share of c among the pixels of the pictures that have
    it (Eigen & Fergus 2015, arXiv:1411.4734); "effective number" is (1 − β) / (1 − β^n_c) with β = (N − 1) / N and N = Σ n_c
    (Cui et al. 2019, arXiv:1901.05555).

    Raises:
        InputError: A class has no training sample, so that its weight would be infinite.
    """
    totals = class_totals(dataset).double()
    if (totals == 0).any():
        empty = dataset.classes[int((totals == 0).nonzero()[0])]
        raise InputError(f"class {empty} has nothing in the training split of {dataset.name}; add samples of it.")
    match scheme:
        case "inverse frequency":
            weights = 1 / totals
        case "median frequency":
            frequency = totals / totals.sum()
            if dataset.task == "segmentation":
                counts = dataset.split("train").targets.double()
                frequency = totals / ((counts > 0) * counts.sum(1, keepdim=True)).sum(0)
            weights = frequency.median() / frequency
        case "effective number":
            whole = totals.sum()
            weights = 1 / -torch.expm1(totals * torch.log1p(-1 / whole))  # 1 − β^n without losing digits
        case _:
            raise InputError(f"weighting {scheme!r} is unknown; choose one of {', '.join(WEIGHTINGS)}.")
    weights = weights**power
    return tuple((weights / weights.mean()).tolist())


def _target_ranges(dataset: Dataset) -> list[str]:
    return [
        f"{split}: {len(samples):,} samples, targets {samples.targets.min():.4g} to {samples.targets.max():.4g}, mean {samples.targets.mean():.4g}"
        for split, samples in dataset.splits.items()
    ]


def _pictures(samples: Samples) -> list[str]:
    step = -(-len(samples) // PROBED)
    shapes, means = [], []
    for index in range(0, len(samples), step):  # one at a time: five hundred photographs would fill the memory
        picture = samples[index]
        shapes.append(picture.shape)
        means.append(picture.mean(dtype=torch.float64) / 255)
    (channels, *_), heights, widths = shapes[0], [s[1] for s in shapes], [s[2] for s in shapes]
    mean = torch.stack(means)
    return [
        f"pictures: {channels} channels, height {min(heights)} to {max(heights)}, width {min(widths)} to {max(widths)} pixels",
        f"brightness: {mean.mean():.3f} on average, from {mean.min():.3f} to {mean.max():.3f} (0 black, 1 white)",
    ]
