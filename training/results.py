"""Results of an experiment: a row per trial, groups over seeds, and the table as text, Markdown, CSV and picture."""

from __future__ import annotations

import csv
import itertools
import json
import math
import statistics
import textwrap
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from PIL import Image

from ..nn_layers import InputError
from ..nn_layers.files import atomic
from ..nn_layers.storage import read_json
from .pictures import save_picture
from .ranking import default_metrics, find_best, lower_is_better

RESULTS, VERSION = "results", 1
PICTURE_LINES = 200
Cell = tuple[str, bool]


@dataclass(frozen=True)
class Row:
    """What one trial came to.

    Attributes:
        scores: Metric → value on the split that was tested.
        validation: The same on the validation split, to choose by; empty where there is none.
        classes: Class → metric → value, on the split that was tested.
        validation_classes: The same on the validation split.
        best_epoch: Whose weights were tested, of `epochs`.
        seconds: Of training.
        folder: Below the experiment's folder; {train, test} are inside.
        error: Why it failed, in one sentence; empty for a trial that ended well.
        key: Changes whenever the network, the data or a setting does.
        split: Which one was tested.
        training: Loss and metric of the best epoch over the batches that were learned from, measured meanwhile (see `TrainMeter`).
    """

    model: str
    dataset: str
    loss: str
    seed: int
    scores: Mapping[str, float] = field(default_factory=dict)
    validation: Mapping[str, float] = field(default_factory=dict)
    classes: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    best_epoch: int = 0
    epochs: int = 0
    parameters: int = 0
    seconds: float = 0.0
    folder: str = ""
    error: str = ""
    key: str = ""
    split: str = "test"
    validation_classes: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    training: Mapping[str, float] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """For JSON, which has no NaN: what could not be measured is null."""
        return _without_nan(asdict(self))

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Row:
        """Read what `to_dict` gave."""
        return cls(**{key: _with_nan(value) for key, value in data.items()})


def _without_nan(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nan(entry) for key, entry in value.items()}
    return None if isinstance(value, float) and math.isnan(value) else value


def _with_nan(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _with_nan(entry) for key, entry in value.items()}
    return math.nan if value is None else value


@dataclass(frozen=True)
class Group:
    """The trials that differ in their seed only; `rows` has those that ended well, `trials` counts all."""

    model: str
    dataset: str
    loss: str
    rows: tuple[Row, ...]
    trials: int

    def mean(self, split: str = "scores") -> dict[str, float]:
        """Metric → mean over the seeds; `split` is "scores" (tested) or "validation"."""
        return {name: statistics.fmean(values) for name, values in self._values(split).items()}

    def deviation(self) -> dict[str, float]:
        """Metric → sample standard deviation over the seeds (divided by n − 1); nothing for a single seed."""
        found = {name: _deviation(values) for name, values in self._values("scores").items() if len(values) > 1}
        return {name: value for name, value in found.items() if math.isfinite(value)}

    def class_means(self) -> dict[str, dict[str, float]]:
        """Class → metric → mean over the seeds."""
        return self._over_seeds(statistics.fmean)

    def class_deviations(self) -> dict[str, dict[str, float]]:
        """Class → metric → sample standard deviation over the seeds; empty for a single seed."""
        return self._over_seeds(_deviation) if len(self.rows) > 1 else {}

    def _over_seeds(self, summary: Callable[[list[float]], float]) -> dict[str, dict[str, float]]:
        first = self.rows[0].classes if self.rows else {}
        return {
            name: {m: summary([row.classes[name][m] for row in self.rows]) for m in metrics}
            for name, metrics in first.items()
        }

    def _values(self, split: str) -> dict[str, list[float]]:
        tables = [getattr(row, split) for row in self.rows]
        names = [name for name in (tables[0] if tables else {}) if all(name in table for table in tables)]
        return {name: [table[name] for table in tables] for name in names}


@dataclass(frozen=True)
class Results:
    """The table of an experiment. `split` is the one that was tested."""

    project: str
    name: str
    split: str
    rows: tuple[Row, ...]

    @cached_property
    def groups(self) -> tuple[Group, ...]:
        """Rows put together over seeds, in the order in which they came."""
        found: dict[tuple[str, str, str], list[Row]] = {}
        for row in self.rows:
            found.setdefault((row.dataset, row.model, row.loss), []).append(row)
        return tuple(
            Group(model, dataset, loss, tuple(row for row in rows if not row.error), len(rows))
            for (dataset, model, loss), rows in sorted(found.items(), key=lambda item: self._order(item[0][0]))
        )

    def _order(self, dataset: str) -> int:
        return next(i for i, row in enumerate(self.rows) if row.dataset == dataset)

    @property
    def metrics(self) -> tuple[str, ...]:
        """Every metric that was measured."""
        return tuple(dict.fromkeys(name for row in self.rows for name in row.scores))

    @property
    def failed(self) -> tuple[Row, ...]:
        """The trials that did not end well."""
        return tuple(row for row in self.rows if row.error)

    def best(self, by: Collection[str] = (), on: str = "") -> tuple[Row, tuple[str, ...], str]:
        """The winner: the group with the highest mean of the metrics `by` over its seeds, and in it the best trial.

        Args:
            by: Metrics; by default mIoU and mAcc, or the task's first.
            on: "val", or the name of the split that was tested; by default "val" wherever every trial has one, because what is chosen by
                the test split can no longer be judged by it.

        Returns:
            The row, the metrics and the split it was chosen by.

        Raises:
            InputError: No trial ended well, or none has these metrics.
        """
        good = [row for row in self.rows if not row.error]
        if not good:
            raise InputError(f"no trial of {self.name} has finished well, so there is no best one; see what failed.")
        on = on or ("val" if all(row.validation for row in good) else self.split)
        if on not in ("val", self.split):
            raise InputError(f"on is {on!r}, but the results are of val and {self.split}; choose one of them.")
        kind = "scores" if on == self.split else "validation"
        by = tuple(by) or default_metrics(self.metrics)
        groups = [group for group in self.groups if group.rows]
        group = groups[find_best([group.mean(kind) for group in groups], by)]
        return group.rows[find_best([getattr(row, kind) for row in group.rows], by)], by, on

    def cells(self, metrics: Iterable[str] = (), per: str = "dataset") -> list[list[Cell]]:
        """The table: a head, then a line per group, as (text, bold). Bold is the best mean of a metric among the lines of one `per`.

        Args:
            metrics: Which ones; all by default.
            per: "dataset", "model" or "loss": lines that have it in common compete; "" lets all compete.
        """
        names = tuple(metrics) or self.metrics
        shown = [
            kind
            for kind in ("dataset", "model", "loss")
            if kind == "model" or len({getattr(group, kind) for group in self.groups}) > 1
        ]
        lines: list[list[Cell]] = [[(name, False) for name in (*shown, "seeds", *names)]]
        bold = _bold(self.groups, names, per)
        for number, group in enumerate(self.groups):
            count = len(group.rows)
            seeds = str(count) if count == group.trials else f"{count} of {group.trials}"
            mean, deviation = group.mean(), group.deviation()
            values = [(show(mean.get(m), deviation.get(m)), (number, m) in bold) for m in names]
            lines.append([*((getattr(group, kind), False) for kind in shown), (seeds, False), *values])
        return lines

    def class_cells(self) -> list[list[Cell]]:
        """A line per group and class: mean ± deviation of the per-class metrics; empty where there are none."""
        groups = [(group, group.class_means(), group.class_deviations()) for group in self.groups]
        names = tuple(dict.fromkeys(m for _, means, _ in groups for values in means.values() for m in values))
        if not names:
            return []
        lines = [("dataset", "model", "loss", "class", *names)]
        for group, means, deviations in groups:
            for name, values in means.items():
                spread = deviations.get(name, {})
                cells = (show(values.get(m), spread.get(m)) for m in names)
                lines.append((group.dataset, group.model, group.loss, name, *cells))
        return [[(text, False) for text in line] for line in lines]

    @property
    def title(self) -> str:
        """What the table is of."""
        return f"{self.project} / {self.name}, {self.split} split, {len(self.rows)} trial{'s' * (len(self.rows) != 1)}"

    def text(self, metrics: Iterable[str] = ()) -> str:
        """The table as aligned text, the best marked with a star, and what failed below."""
        lines = [[text + ("*" if bold else " ") for text, bold in line] for line in self.cells(metrics)]
        widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
        left = len(lines[0]) - len(tuple(metrics) or self.metrics) - 1
        body = [
            "  ".join(c.ljust(w) if i < left else c.rjust(w) for i, (c, w) in enumerate(zip(line, widths, strict=True)))
            for line in lines
        ]
        return "\n".join(line.rstrip() for line in [self.title, *body, *self._failures("failed: ")])

    def markdown(self) -> str:
        """The table, the failures and the per-class table as Markdown."""
        parts = [f"# {_escaped(self.title)}", _markdown(self.cells())]
        parts += ["Mean ± sample standard deviation over seeds; the best mean of each dataset is bold."]
        if self.failed:
            parts += ["## Failed", "\n".join(_escaped(line) for line in self._failures("- "))]
        if classes := self.class_cells():
            parts += ["## Per class", _markdown(classes)]
        return "\n\n".join(parts) + "\n"

    def picture(self) -> Image.Image:
        """The table as a picture, of its first `PICTURE_LINES` lines."""
        head, *lines = self.cells()
        left = len(lines) - PICTURE_LINES
        more = [[(f"and {left:,} more", False)]] if left > 0 else []
        return _table_picture(self.title, [head, *lines[:PICTURE_LINES], *more])

    def _failures(self, mark: str) -> list[str]:
        return [f"{mark}{row.model}, {row.dataset}, {row.loss}, seed {row.seed}: {row.error}" for row in self.failed]

    def save(self, folder: Path, picture: bool = True) -> None:
        """Write results.json, .csv, .md, .txt and (which takes longest) .png into `folder`."""
        described = {"version": VERSION, "project": self.project, "name": self.name, "split": self.split}
        described["rows"] = [row.to_dict() for row in self.rows]
        texts = {"json": json.dumps(described, indent=1), "md": self.markdown(), "txt": self.text() + "\n"}
        for suffix, text in texts.items():
            with atomic(folder / f"{RESULTS}.{suffix}") as path:
                path.write_text(text, encoding="utf-8")
        with atomic(folder / f"{RESULTS}.csv") as path, path.open("w", newline="", encoding="utf-8") as stream:
            flat = [_flat(row) for row in self.rows]
            writer = csv.DictWriter(stream, list(dict.fromkeys(key for row in flat for key in row)), restval="")
            writer.writeheader()
            writer.writerows(flat)
        if picture:
            save_picture(self.picture(), folder / f"{RESULTS}.png")

    @classmethod
    def load(cls, folder: Path) -> Results:
        """Read what `save` wrote.

        Raises:
            InputError: The folder holds no results, or damaged ones.
        """
        file = folder / f"{RESULTS}.json"
        if not file.is_file():
            raise InputError(f"{folder} holds no results ({file.name} is missing); choose an experiment's folder.")
        data = read_json(file)
        try:
            rows = tuple(Row.from_dict(row) for row in data["rows"])
            return cls(data["project"], data["name"], data["split"], rows)
        except (KeyError, TypeError, AttributeError) as error:
            raise InputError(f"{file} is damaged ({error}); run the experiment again to write it anew.") from error


def _deviation(values: list[float]) -> float:
    """Sample standard deviation; no number where one of the values is none."""
    return statistics.stdev(values) if all(map(math.isfinite, values)) else math.nan


def show(mean: float | None, deviation: float | None = None) -> str:
    """A figure for people: four decimals, or four digits above a hundred; a dash where there is none."""
    if mean is None or math.isnan(mean):
        return "—"
    form = ".4f" if abs(mean) < 100 else ".4g"
    spread = deviation is not None and not math.isnan(deviation)
    return f"{mean:{form}}" + (f" ± {deviation:{form}}" if spread else "")


def _bold(groups: Sequence[Group], names: Iterable[str], per: str) -> set[tuple[int, str]]:
    """Group number and metric of every mean that is the best among those it competes with; a lone one is not.

    Figures of "loss" compete only where the loss is the same one: a focal loss is always smaller than a cross entropy.
    """
    found = set()
    means = [group.mean() for group in groups]
    for name in names:
        rivals: dict[tuple[str, str], list[int]] = {}
        for number, group in enumerate(groups):
            if math.isfinite(means[number].get(name, math.nan)):
                key = (getattr(group, per) if per else "", group.loss if name == "loss" else "")
                rivals.setdefault(key, []).append(number)
        for numbers in rivals.values():
            if len(numbers) > 1:
                best = (min if lower_is_better(name) else max)(means[n][name] for n in numbers)
                found |= {(n, name) for n in numbers if means[n][name] == best}
    return found


def _flat(row: Row) -> dict[str, Any]:
    head = {key: getattr(row, key) for key in ("model", "dataset", "loss", "seed")}
    classes = {f"{metric} of {name}": value for name, values in row.classes.items() for metric, value in values.items()}
    validation = {f"val {name}": value for name, value in row.validation.items()}
    tail = {key: getattr(row, key) for key in ("best_epoch", "epochs", "parameters", "seconds", "folder", "error")}
    training = {f"train {name}": value for name, value in row.training.items()}
    return {**head, **row.scores, **validation, **training, **classes, **tail}


def _escaped(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def _markdown(cells: list[list[Cell]]) -> str:
    lines = [[f"**{_escaped(text)}**" if bold else _escaped(text) for text, bold in line] for line in cells]
    rule = ["---"] * len(lines[0])
    return "\n".join(f"| {' | '.join(line)} |" for line in (lines[0], rule, *lines[1:]))


def _table_picture(title: str, cells: list[list[Cell]]) -> Image.Image:
    import numpy as np
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    head = [textwrap.wrap(text, 14) or [""] for text, _ in cells[0]]
    titles = max(map(len, head))
    columns = list(itertools.zip_longest(*cells[1:], fillvalue=("", False))) or [()] * len(head)
    longest = [max(map(len, (*top, *(text for text, _ in column)))) for top, column in zip(head, columns, strict=True)]
    edges = list(itertools.accumulate((0.1 * count + 0.25 for count in longest), initial=0.2))
    width, height = max(edges[-1], len(title) * 0.11 + 0.2), 0.3 * (len(cells) + titles) + 0.2
    figure = Figure((width, height), dpi=110)
    FigureCanvasAgg(figure)

    def write(x: float, line: int, text: str, bold: bool, **style) -> None:
        weight = "bold" if bold else "normal"
        y = 1 - (line + 0.8) * 0.3 / height
        figure.text(x / width, y, text.replace("$", r"\$"), fontsize=10, fontweight=weight, **style)

    write(0.2, 0, title, True, color="#3566b8")
    for x, top in zip(edges, head, strict=False):
        for number, text in enumerate(top):
            write(x, 1 + titles - len(top) + number, text, True)
    for number, line in enumerate(cells[1:]):
        for x, (text, bold) in zip(edges, line, strict=False):
            write(x, 1 + titles + number, text, bold)
    figure.canvas.draw()
    return Image.fromarray(np.asarray(figure.canvas.buffer_rgba())).convert("RGB")
