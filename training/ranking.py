"""Choosing: the best of several results by the mean of some metrics, and the augmented dataset that helps most."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from ..nn_layers import InputError
from .metrics import LOWER_IS_BETTER, METRICS

LOWER_WORDS = ("loss", "error", "false alarm")
SLACK = 1e-9  # decimal figures are not exact in binary: 37.02 − 37 is a little more than 0.02


def lower_is_better(metric: str) -> bool:
    """Whether a small value of `metric` is a good one: losses, errors and false alarms; "IoU of paint loss" is none of them."""
    what = metric.partition(" of ")[0].lower()
    return metric in LOWER_IS_BETTER or any(word in what for word in LOWER_WORDS)


def merit(scores: Mapping[str, float], by: Collection[str]) -> float:
    """The mean of the metrics `by`, those where lower is better taken negative; NaN if one is missing or no number."""
    values = [-scores[name] if lower_is_better(name) else scores[name] for name in by if name in scores]
    return sum(values) / len(values) if values and len(values) == len(by) else math.nan


def default_metrics(names: Collection[str]) -> tuple[str, ...]:
    """What to choose by if nobody says: mIoU and mAcc where they are, otherwise the first metric of the task."""
    if "mIoU" in names and "mAcc" in names:
        return ("mIoU", "mAcc")
    first = next((metrics[0] for metrics in METRICS.values() if metrics[0] in names), None)
    return (first or next(iter(names)),)


def find_best(rows: Sequence[Mapping[str, float]], by: Collection[str]) -> int:
    """Which of several results (trials, or the checkpoints of one training) is the best: the highest mean of the metrics `by`.

    A metric where lower is better counts negative; of equal results the later one is taken, which has trained longer. The reference
    takes by = aAcc, mAcc, mIoU and, in its later form, mAcc and mIoU (it divides their sum by three, which chooses the same).

    Args:
        rows: Metric → value for each result; one that lacks a metric (a failed trial) is never chosen.

    Returns:
        The number of the best row, counted from 0.

    Raises:
        InputError: No row has all these metrics.
    """
    best, highest = -1, -math.inf
    for number, row in enumerate(rows):
        value = merit(row, by)
        if value >= highest:  # never true of NaN
            best, highest = number, value
    if best < 0:
        there = ", ".join(dict.fromkeys(name for row in rows for name in row)) or "none, as no trial has finished"
        raise InputError(f"by is {', '.join(by) or 'empty'}, which no result has; the metrics there are: {there}.")
    return best


@dataclass(frozen=True)
class Selection:
    """What `select_augmentation` chose and why.

    Attributes:
        chosen: The dataset to train on; the original where no augmented one may be kept.
        dropped: Augmented dataset → the first metric on which it is worse than the original.
        first_places: Kept dataset → on how many metrics no other kept one is better.
        rank_sums: Kept dataset → the sum of its ranks over the metrics, 1 the best.
    """

    chosen: str
    dropped: Mapping[str, str]
    first_places: Mapping[str, int]
    rank_sums: Mapping[str, int]


def select_augmentation(table: Mapping[str, Mapping[str, float]], tolerance: float = 0.02) -> Selection:
    """Choose among augmented datasets as the reference does (github.com/kevin20012, "Finding the Best-Performing Augmented Dataset").

    1. Drop every augmented dataset that is worse than the original on any metric by more than `tolerance`.
    2. Of those that are left take the one with most first places over the metrics; a shared first place counts for each.
    3. Of equals the one with the lowest sum of ranks (1, 2, 2, 4 where two are equal), then the one named first.

    Args:
        table: Dataset → metric → value, the original dataset first; all with the original's metrics. Choose on validation figures: what
            was chosen by the test split can no longer be judged by it.
        tolerance: In the units of the metrics. The reference's are percentages, of which it lets 0.02 pass.

    Raises:
        InputError: No augmented dataset, or one that lacks a metric.
    """
    if len(table) < 2:
        raise InputError(f"there are {len(table)} datasets; give the original one first and at least one augmented.")
    original, *augmented = table
    metrics = list(table[original])
    for name in augmented:
        if missing := [metric for metric in metrics if metric not in table[name]]:
            raise InputError(f"dataset {name} has no {missing[0]}, which {original} has; test both in the same way.")
    gains = {name: {m: _gain(table[name][m], table[original][m], m) for m in metrics} for name in augmented}
    worse = {name: [m for m, gain in gains[name].items() if not gain >= -tolerance - SLACK] for name in augmented}
    kept = [name for name in augmented if not worse[name]]
    ranks = {
        name: [1 + sum(gains[other][m] > gains[name][m] + SLACK for other in kept) for m in metrics] for name in kept
    }
    firsts = {name: ranks[name].count(1) for name in kept}
    sums = {name: sum(ranks[name]) for name in kept}
    chosen = min(kept, key=lambda name: (-firsts[name], sums[name])) if kept else original
    return Selection(chosen, {name: found[0] for name, found in worse.items() if found}, firsts, sums)


def _gain(value: float, reference: float, metric: str) -> float:
    """How much better `value` is, whichever direction is good."""
    return reference - value if lower_is_better(metric) else value - reference
