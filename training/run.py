"""A run: the folder that a training leaves behind, readable from its files alone."""

from __future__ import annotations

import csv
import json
import math
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from ..nn_layers import InputError, Network, load_network
from ..nn_layers.files import atomic
from ..nn_layers.storage import open_weights, read_json
from .pictures import curves_picture, save_picture

SETTINGS, LAST, BEST, METRICS_CSV, CURVES = (
    "settings.json",
    "last.safetensors",
    "best.safetensors",
    "metrics.csv",
    "curves.png",
)


@dataclass(frozen=True)
class Epoch:
    """What one epoch came to; `val_loss` and `metric` are None where there is no validation split.

    `train_metric` is the metric over the batches that were learned from (see `TrainMeter`); None where it was not measured.
    """

    epoch: int
    step: int
    train_loss: float
    val_loss: float | None
    metric: float | None
    learning_rate: float
    seconds: float
    train_metric: float | None = None


@dataclass
class Curve:
    """The training loss by optimizer step, thinned so that it never has more than `MOST` points however long training takes."""

    MOST: ClassVar[int] = 1000
    points: list[tuple[int, float]] = field(default_factory=list)
    stride: int = 1

    def add(self, step: int, loss: float) -> None:
        """Take the loss of one step, if it is its turn."""
        if step % self.stride == 0:
            self.points.append((step, loss))
            if len(self.points) >= self.MOST:
                self.points, self.stride = self.points[1::2], self.stride * 2


@dataclass(frozen=True)
class Run:
    """A training, finished or not.

    Attributes:
        folder: settings.json, network.json, best.safetensors, last.safetensors, metrics.csv and curves.png.
        metric: What decided which epoch is the best.
        best_epoch: Counted from 1; 0 before the first.
        state: "running" (also after a crash), "stopped" (by a person, who goes on with the best weights), "done" or "stopped early".
        settings: Everything that was set, for people.
        curve: The training loss as (step, loss), at most 1,000 points.
        step, steps, epochs: Optimizer steps that were done, and steps and epochs of the whole training; 0 where that was not written down.
    """

    folder: Path
    history: tuple[Epoch, ...]
    metric: str
    best_epoch: int
    state: str
    settings: dict[str, Any]
    warnings: tuple[str, ...] = ()
    curve: tuple[tuple[int, float], ...] = ()
    step: int = 0
    steps: int = 0
    epochs: int = 0

    @property
    def finished(self) -> bool:
        """Whether there is nothing left to train."""
        return self.state not in ("running", "stopped")

    @classmethod
    def load(cls, folder: Path) -> Run:
        """Read a run from its folder.

        Raises:
            InputError: The folder holds no run.
        """
        if not (folder / SETTINGS).is_file():
            raise InputError(f"{folder} holds no run (it has no {SETTINGS}); choose a folder that Train wrote.")
        settings = read_json(folder / SETTINGS)
        if not (folder / LAST).is_file():
            return cls(folder, (), settings["metric"], 0, "running", settings, tuple(settings["warnings"]))
        state = read_state(folder / LAST)
        history = tuple(Epoch(**epoch) for epoch in state["history"])
        warnings = tuple(settings["warnings"])
        if history and all(epoch.metric is not None and math.isnan(epoch.metric) for epoch in history):
            warnings += (
                f"{settings['metric']} could not be measured in any epoch, so that the last one's weights are kept; choose another metric, or "
                f"put samples of every class into the val split.",
            )
        return cls(
            folder,
            history,
            settings["metric"],
            state["best_epoch"],
            state["state"],
            settings,
            warnings,
            tuple((step, loss) for step, loss in state["curve"]["points"]),
            state["position"]["step"],
            state.get("steps", 0),
            state.get("epochs", 0),
        )

    def network(self) -> Network:
        """The network with its weights of the best epoch."""
        if (self.folder / BEST).is_file():
            return load_network(self.folder, BEST)
        raise InputError(f"{self.folder} has no trained network yet; train for at least one epoch.")

    def write_tables(self) -> None:
        """Bring metrics.csv and curves.png up to date with the history."""
        with atomic(self.folder / METRICS_CSV) as path, path.open("w", newline="") as stream:
            writer = csv.DictWriter(stream, list(Epoch.__dataclass_fields__))
            writer.writeheader()
            writer.writerows(asdict(epoch) for epoch in self.history)
        if self.history:
            save_picture(curves_picture(self.history, self.metric), self.folder / CURVES)


def read_state(file: Path) -> dict[str, Any]:
    """What last.safetensors says of where the training stood."""
    with open_weights(file) as weights:
        metadata = weights.metadata() or {}
    try:
        return json.loads(metadata["visionsmith"])
    except (KeyError, ValueError) as error:
        raise InputError(f"{file} does not say where its training stood; remove the folder and train anew.") from error
