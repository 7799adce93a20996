"""What is in a dataset: samples per class and split, picture sizes, brightness."""

from __future__ import annotations

import torch

from .dataset import Dataset, Samples

PROBED = 500


def statistics_table(dataset: Dataset) -> str:
    """Counts per class and split as aligned text, then the sizes and the mean brightness of (at most 500) training pictures."""
    lines = [f"{dataset.name}: {dataset.task}"]
    lines += _class_counts(dataset) if dataset.task == "classification" else _target_ranges(dataset)
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


def _target_ranges(dataset: Dataset) -> list[str]:
    return [
        f"{split}: {len(samples):,} samples, targets {samples.targets.min():.4g} to {samples.targets.max():.4g}, mean {samples.targets.mean():.4g}"
        for split, samples in dataset.splits.items()
    ]


def _pictures(samples: Samples) -> list[str]:
    step = -(-len(samples) // PROBED)
    pictures = [samples[index] for index in range(0, len(samples), step)]
    heights, widths = [p.shape[1] for p in pictures], [p.shape[2] for p in pictures]
    mean = torch.stack([p.float().mean() / 255 for p in pictures])
    return [
        f"pictures: {pictures[0].shape[0]} channels, height {min(heights)} to {max(heights)}, width {min(widths)} to {max(widths)} pixels",
        f"brightness: {mean.mean():.3f} on average, from {mean.min():.3f} to {mean.max():.3f} (0 black, 1 white)",
    ]
