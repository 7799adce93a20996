"""Which augmented dataset an experiment speaks for: chosen on the validation split, reported on the test split, said in words."""

from __future__ import annotations

import math
import statistics
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

from PIL import Image

from ..nn_layers import InputError
from .metrics import METRICS
from .pictures import curve_figure, render
from .ranking import Selection, lower_is_better, select_augmentation
from .results import Results, Row

DEFAULTS = {**METRICS, "segmentation": ("mIoU of defects", "mAcc of defects"), "regression": ("R2",)}
"""Task → the metrics that choose where nobody says; for masks with several defects also IoU and accuracy of each."""
BY_CLASS = ("IoU", "accuracy")
LEARNED = 1.0  # per cent: below, a network guesses
COLORS = {"original": "#3566b8", "chosen": "#2e9e5b", "kept": "#9cc9ae", "dropped": "#b9b4b2"}
Figures = Mapping[str, Mapping[str, tuple[float, ...]]]
"""Dataset → metric → a value for each seed, in per cent."""


@dataclass(frozen=True)
class DatasetChoice:
    """What was chosen and why.

    Attributes:
        original: The dataset without augmentation.
        on, tested: The split that chose and the split to report.
        seeds: Those with which every dataset was trained.
        tolerance: Percentage points.
        selection: By the published rule.
        figures, test: Of the two splits; `figures` has the metrics that chose, `test` those of them that are measured over all classes.
        failed: Datasets none of whose trainings ended well.
        best: The best training on the chosen dataset.
    """

    original: str
    on: str
    tested: str
    seeds: tuple[int, ...]
    tolerance: float
    selection: Selection
    figures: Figures
    test: Figures
    failed: tuple[str, ...]
    best: Row

    @property
    def chosen(self) -> str:
        """The dataset to train on."""
        return self.selection.chosen

    def sentence(self) -> str:
        """Which one to keep and why, for a person."""
        metrics = list(self.figures[self.original])
        first = next((metric for metric in metrics if metric in self.test[self.original]), metrics[0])
        if all(statistics.fmean(values[first]) < LEARNED for values in self.figures.values()):
            return (
                f"Nothing can be chosen: {first} on {self.on} is below {LEARNED:g} % with every dataset, "
                f"so no network has learned anything yet; train longer."
            )
        if self.chosen == self.original:
            return f"Keep {self.original} as it is: every augmented dataset is worse on {self.on} by more than {self.tolerance:g} points."
        firsts, ranks = self.selection.first_places[self.chosen], self.selection.rank_sums[self.chosen]
        why = f"it has {firsts} of {len(metrics)} first places (sum of ranks {ranks})"
        if len(self.selection.first_places) == 1:
            why = "it is the only one of which that can be said"
        return (
            f"Keep {self.chosen}: on {self.on} none of its figures is more than {self.tolerance:g} points below {self.original}, "
            f"and {why}. {self._on_test()}"
        )

    def _on_test(self) -> str:
        """What the test split says of it, and how far that can be relied on."""
        metric = next(iter(self.test[self.chosen]))
        new, old = self.test[self.chosen][metric], self.test[self.original][metric]
        gains = tuple(a - b for a, b in zip(new, old, strict=True))
        gain, spread = statistics.fmean(gains), _deviation(gains)
        told = f"On {self.tested}, its {metric} is {_shown(new)} % where {self.original} has {_shown(old)} %: " + (
            f"{gain:+.2f} ± {spread:.2f} points over {len(gains)} seeds." if len(gains) > 1 else f"{gain:+.2f} points."
        )
        if self.on == self.tested:
            return (
                f"{told} The same split chose and judges, so these figures are too good; give the datasets a val split."
            )
        if len(gains) == 1:
            return f"{told} One seed says little; give Experiment three."
        if gain <= 0:
            return f"{told} It did not help there, so its lead on {self.on} may be chance; take more seeds."
        if gain < spread:
            return f"{told} That is less than the spread over the seeds; take more of them before you rely on it."
        return told

    def table(self) -> str:
        """Every dataset with its figures on the split that chose, what became of it, and its figures on the test split."""
        lines = [["dataset", *self.figures[self.original], "first places", "sum of ranks"]]
        for name, values in self.figures.items():
            places = [str(found.get(name, "–")) for found in (self.selection.first_places, self.selection.rank_sums)]
            lines.append([name, *map(_shown, values.values()), *places])
        verdicts = ["", *(f"  {self._verdict(name)}" for name in self.figures)]
        tested = [["dataset", *self.test[self.original]]]
        tested += [[name, *map(_shown, values.values())] for name, values in self.test.items()]
        seeds = "mean ± deviation over the seeds" if len(self.seeds) > 1 else "seed"
        head = f"chosen on {self.on} (per cent, {seeds} {', '.join(map(str, self.seeds))})"
        chosen = [line + verdict for line, verdict in zip(_aligned(lines), verdicts, strict=True)]
        failed = [f"{name}: no training ended well" for name in self.failed]
        return "\n".join([head, *chosen, "", f"on {self.tested}", *_aligned(tested), *failed])

    def _verdict(self, name: str) -> str:
        if name == self.chosen:
            return "<- keep"
        if name == self.original:
            return "original"
        if name not in self.selection.dropped:
            return "kept"
        metric = self.selection.dropped[name]
        lost = statistics.fmean(self.figures[self.original][metric]) - statistics.fmean(self.figures[name][metric])
        return f"dropped: {metric} is {lost:.2f} lower"

    def picture(self) -> Image.Image:
        """A bar for each metric and dataset, with the spread over the seeds, and a line where the original stands."""
        names, metrics = list(self.figures), list(self.figures[self.original])
        figure, axes = curve_figure(7.5, 0.9 + (0.27 * len(names) + 0.35) * len(metrics))
        ticks: list[float] = []
        for group, metric in enumerate(metrics):
            rows = [group * (len(names) + 1.4) + number for number in range(len(names))]
            means = [statistics.fmean(self.figures[name][metric]) for name in names]
            spreads = [_deviation(self.figures[name][metric]) for name in names]
            colors = [COLORS[self._state(name)] for name in names]
            axes.barh(rows, means, xerr=spreads if len(self.seeds) > 1 else None, color=colors, capsize=3)
            axes.plot([means[0]] * 2, [rows[0] - 0.5, rows[-1] + 0.5], color="#234", linestyle="--", linewidth=1)
            axes.text(0, rows[0] - 0.6, metric, fontsize=10, fontweight="bold")
            ticks += rows
        axes.set_yticks(ticks, [name if name != self.chosen else f"{name}  <-" for name in names] * len(metrics))
        axes.set_ylim(ticks[-1] + 0.7, -1.4)
        axes.set_xlabel(f"per cent on {self.on}; blue: original, green: kept, grey: dropped")
        for side in ("top", "right"):
            axes.spines[side].set_visible(False)
        return render(figure)

    def _state(self, name: str) -> str:
        if name in (self.chosen, self.original):
            return "chosen" if name == self.chosen else "original"
        return "dropped" if name in self.selection.dropped else "kept"


def choose_dataset(
    results: Results, original: str = "", metrics: Collection[str] = (), tolerance: float = 0.02, on: str = ""
) -> DatasetChoice:
    """Choose among the datasets of an experiment by `select_augmentation`.

    Only what was trained with every dataset (network, loss and seed) is compared; networks and losses are averaged.

    Args:
        original: The dataset that the others must not fall behind; the first one if empty.
        metrics: By default `DEFAULTS`, and for masks with several defects IoU and accuracy of each, such as "IoU of crack".
        tolerance: Percentage points.
        on: "val", or the name of the split that was tested; by default "val" wherever every trial has one.

    Raises:
        InputError: Fewer than two datasets, no such dataset, split or metric, or trainings that cannot be compared.
    """
    good = [row for row in results.rows if not row.error]
    names = list(dict.fromkeys(row.dataset for row in results.rows))
    there = [name for name in names if any(row.dataset == name for row in good)]
    original = original.strip() or names[0]
    if original not in there:
        raise InputError(
            f"original is {original!r}, which no training ended well with; choose one of {', '.join(there) or 'none'}."
        )
    on = on or ("val" if all(row.validation for row in good) else results.split)
    if on not in ("val", results.split) or (on == "val" and not all(row.validation for row in good)):
        raise InputError(f"split is {on!r}, which not every training was measured on; choose {results.split}.")
    ordered = [original, *(name for name in there if name != original)]
    figures, seeds = _compared(good, ordered, on == "val" and results.split != "val")
    everywhere = [m for m in figures[original] if all(m in values for values in figures.values())]
    wanted = tuple(metrics) or _usual(everywhere, good[0])
    if unknown := [metric for metric in wanted if metric not in figures[original] or lower_is_better(metric)]:
        known = [metric for metric in figures[original] if not lower_is_better(metric)]
        raise InputError(f"metrics names {unknown[0]!r}; the shares that were measured are {', '.join(known)}.")
    figures = {name: {m: values[m] for m in wanted if m in values} for name, values in figures.items()}
    means = {n: {m: statistics.fmean(v) for m, v in values.items()} for n, values in figures.items()}
    selection = select_augmentation(means, tolerance)
    test, _ = _compared(good, ordered, False)
    whole = [m for m in wanted if m in good[0].scores] or [
        next(m for m in DEFAULTS[_task(good[0])] if m in test[original])
    ]
    rows = tuple(row for row in good if row.dataset == selection.chosen)
    best, _, _ = replace(results, rows=rows).best([m for m in whole if m in good[0].scores], on)
    return DatasetChoice(
        original,
        on,
        results.split,
        seeds,
        tolerance,
        selection,
        figures,
        {name: {m: values[m] for m in whole} for name, values in test.items()},
        tuple(name for name in names if name not in there),
        best,
    )


def _compared(rows: list[Row], names: list[str], validation: bool) -> tuple[Figures, tuple[int, ...]]:
    """Of what was trained with every dataset, dataset → metric → per cent for each seed; and the seeds."""
    tables = {
        name: {(r.model, r.loss, r.seed): _figures(r, validation) for r in rows if r.dataset == name} for name in names
    }
    common = [key for key in tables[names[0]] if all(key in table for table in tables.values())]
    if not common:
        raise InputError(
            "no network, loss and seed was trained with every dataset, so they cannot be compared; run the experiment again."
        )
    seeds = tuple(dict.fromkeys(seed for _, _, seed in common))
    return {
        name: {
            m: tuple(statistics.fmean(table[key][m] for key in common if key[2] == seed) for seed in seeds)
            for m in table[common[0]]
            if all(m in table[key] for key in common)
        }
        for name, table in tables.items()
    }, seeds  # fmt: skip


def _figures(row: Row, validation: bool) -> dict[str, float]:
    """Metric → per cent, those of single classes behind; what has no value is left out."""
    scores, classes = (row.validation, row.validation_classes) if validation else (row.scores, row.classes)
    found = {metric: 100 * value for metric, value in scores.items()}
    for name, values in list(classes.items())[1:] if _task(row) == "segmentation" else ():
        found |= {f"{m} of {name}": 100 * values[m] for m in BY_CLASS if m in values}
    return {metric: value for metric, value in found.items() if math.isfinite(value)}


def _usual(measured: Collection[str], row: Row) -> tuple[str, ...]:
    """The metrics that choose where nobody says, of those that were measured with every dataset."""
    whole = tuple(metric for metric in DEFAULTS[_task(row)] if metric in measured)
    single = tuple(m for m in measured if m.partition(" of ")[0] in BY_CLASS)
    return (*single, *whole) if len(single) > len(BY_CLASS) else whole


def _task(row: Row) -> str:
    return next((task for task, names in METRICS.items() if names[0] in row.scores), "classification")


def _deviation(values: Collection[float]) -> float:
    """Sample standard deviation; 0 for a single value."""
    return statistics.stdev(values) if len(values) > 1 else 0.0


def _shown(values: tuple[float, ...]) -> str:
    mean = f"{statistics.fmean(values):.2f}"
    return f"{mean} ± {_deviation(values):.2f}" if len(values) > 1 else mean


def _aligned(lines: list[list[str]]) -> list[str]:
    """Cells in columns: names to the left, figures to the right."""
    names, *columns = (max(map(len, column)) for column in zip(*lines, strict=True))
    return [
        line[0].ljust(names) + "".join(c.rjust(w + 2) for c, w in zip(line[1:], columns, strict=True)) for line in lines
    ]
