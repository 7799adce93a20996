"""What a person sees while a node trains: the progress bar, a line of text, the events that draw the chart; and how a training hears of Cancel and
of Stop-and-keep."""

from __future__ import annotations

import time
import uuid
from pathlib import Path
from types import TracebackType
from typing import Any

from torch import Tensor

from ...training import FitSettings, Progress, Run
from ...training.run import LAST, Epoch
from ..host import host
from . import charts

TELL_SECONDS = 0.25  # between two events
LOOK_SECONDS = 0.02  # between two looks at Cancel and at Stop-and-keep
MOST_AT_ONCE = 50  # points of one event
EVENT = "visionsmith.train"
STATES = {"validate": "validating", "sample": "sampling"}


class Live:
    """A training in a node, as a context. However fast its steps are, it costs next to nothing: it looks up fifty times and tells four times a
    second, in events of bounded size.

    Attributes:
        stopping: Whether a person wants it to end after its step, with the best weights.
        title: Which training this is, where a node does several.
        part: How many of these are done, of how many.
    """

    def __init__(self, node: type, metric: str, samples: int, folder: Path | None = None, title: str = ""):
        """`samples` are those of one step; `folder` is where the run is."""
        self.node_id, self.workflow = node.hidden.unique_id, charts.workflow_of(node)
        self.part = 0, 1
        self.looked = self.told = 0.0
        self.begin(metric, samples, folder, title)

    def begin(self, metric: str, samples: int, folder: Path | None, title: str = "") -> None:
        """Another training begins in this node."""
        self.metric, self.samples, self.folder, self.title = metric, samples, folder, title
        self.stopping, self.state, self.run = False, "preparing", uuid.uuid4().hex
        self.losses: list[charts.Point] = []
        self.epochs: list[charts.Point] = []
        self.fresh: list[charts.Point] = []  # not told yet
        self.first: tuple[int, float] | None = None  # step and time of the first step here
        self.before: tuple[int, float] = 0, 0.0  # the same of the last event
        self.speed, self.stand = 0.0, {}
        if folder:
            charts.remember(self.workflow, self.node_id, folder, title)

    def __enter__(self) -> Live:
        charts.begin(self)
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        charts.end(self)
        self.state = "stopped" if self.stopping else "ended"
        if kind:
            self.state = "failed" if issubclass(kind, Exception) else "cancelled"
        if self.stand:
            self._send()

    @property
    def due(self) -> bool:
        """Whether it is time to look up; raises the host's interrupt if the user pressed Cancel."""
        now = time.monotonic()
        if now - self.looked < LOOK_SECONDS:
            return False
        self.looked = now
        host().check_interrupt()
        return True

    def tell(self, step: int, steps: int, epoch: int, epochs: int, loss: Tensor | float, stage: str = "train") -> None:
        """Move the bar and the chart, if it is time to; a `loss` on a GPU is looked at only then."""
        now = time.monotonic()
        if self.first is None:
            self._resume(step)
            self.first = self.before = step, now
        elif now - self.told < TELL_SECONDS and not (step >= steps > self.before[0]):
            return
        self.told, value = now, float(loss)
        if stage == "train":
            self._add(charts.of_step(step, value))
            done, took = step - self.before[0], now - self.before[1]
            if done and took:
                speed = done * self.samples / took
                self.speed = 0.7 * self.speed + 0.3 * speed if self.speed else speed
        lasting = stage in STATES and step == self.before[0]  # what is over before the next event is not worth a word
        self.state = "stopping" if self.stopping else STATES[stage] if lasting else "running"
        self.before = step, now
        first, began = self.first
        left = (now - began) / (step - first) * (steps - step) if step > first else None
        self.stand = {"step": step, "steps": steps, "epoch": epoch, "epochs": epochs, "left": left}
        done, count = self.part
        host().progress(self.node_id, *((step, steps) if count == 1 else (done + step / steps, count)))
        self._send()

    def prepare(self, done: int, count: int) -> None:
        """Move the bar while something is made ready before the first step, if it is time to."""
        now = time.monotonic()
        if now - self.told >= TELL_SECONDS:
            self.told, self.state = now, "preparing"
            self.stand = {"step": done, "steps": count}
            host().progress(self.node_id, done, count)
            self._send()

    def learned(self, epoch: Epoch) -> None:
        """Take what an epoch came to."""
        point = charts.of_epoch(epoch)
        self.epochs.append(point)
        self.fresh.append(point)
        if len(self.epochs) > 2 * charts.MOST_POINTS:
            self.epochs = charts.thin(self.epochs)
        if len(self.fresh) > 4 * MOST_AT_ONCE:
            self.fresh = charts.thin(self.fresh, MOST_AT_ONCE)

    def chart(self) -> dict[str, Any]:
        """All of its chart so far, for a page that comes late."""
        points = charts.written([*charts.thin(self.losses), *charts.thin(self.epochs)])
        return {**self._told(), "points": points}

    def _add(self, point: charts.Point) -> None:
        if self.losses and self.losses[-1][0] == point[0]:
            return
        self.losses.append(point)
        self.fresh.append(point)
        if len(self.losses) > 2 * charts.MOST_POINTS:
            self.losses = charts.thin(self.losses)

    def _resume(self, step: int) -> None:
        """What was drawn before, where a training goes on."""
        if step <= 1 or self.folder is None or not (self.folder / LAST).is_file():
            return
        points = [point for point in charts.chart_of(self.folder)["points"] if point[0] < step]
        self.epochs = [point for point in points if charts.is_epoch(point)]
        self.losses = [point for point in points if not charts.is_epoch(point)]
        self.fresh = points

    def _told(self) -> dict[str, Any]:
        known = {"node": self.node_id, "workflow": self.workflow, "run": self.run, "title": self.title}
        return {**known, "state": self.state, "metric": self.metric, "speed": float(f"{self.speed:.4g}"), **self.stand}

    def _send(self) -> None:
        points = self.fresh if len(self.fresh) > charts.MOST_POINTS else charts.thin(self.fresh, MOST_AT_ONCE)
        self.fresh = []
        host().send(EVENT, {**self._told(), "points": charts.written(points)})


class LiveTraining(Live):
    """The training of a network, told by `fit`."""

    def __init__(self, node: type, settings: FitSettings, folder: Path | None, title: str = ""):
        """`settings` whose metric is no longer "auto"."""
        super().__init__(node, settings.metric, settings.batch_size * settings.accumulate, folder, title)

    def begin_with(self, settings: FitSettings, folder: Path, title: str) -> None:
        """Another training begins in this node, with these settings."""
        self.begin(settings.metric, settings.batch_size * settings.accumulate, folder, title)

    def update(self, progress: Progress) -> None:
        """Take one step's progress, and ask it to stop if a person wants that; raises the host's interrupt if the user pressed Cancel."""
        if (record := progress.record) is not None:
            self.learned(record)
            progress.stop = self.stopping
        if not self.due:
            return
        progress.stop = self.stopping
        if progress.stage == "start":
            self.prepare(progress.step, progress.steps)
            return
        at = progress.step, progress.steps, progress.epoch, progress.epochs
        self.tell(*at, progress.loss, progress.stage)


def run_summary(run: Run) -> str:
    """A run in one line, and its warnings below."""
    best = next((epoch for epoch in run.history if epoch.epoch == run.best_epoch), None)
    seconds = sum(epoch.seconds for epoch in run.history)
    text = f"{run.state} after {len(run.history)} epochs in {charts.clock(seconds)} · best epoch {run.best_epoch}"
    if run.state == "stopped":
        text = f"stopped at step {run.step} of {run.steps} · " + (
            f"best epoch {run.best_epoch}" if best else "before the first epoch ended: the weights of that moment"
        )
    if best:
        measured = best.val_loss if best.val_loss is not None else best.train_loss
        text += f": loss {measured:.4f}" + (
            f", {run.metric} {best.metric:.4f}" if best.metric is not None and run.metric != "loss" else ""
        )
    return "\n".join([text, f"run: {run.folder}", *run.warnings])
