"""What a person sees while a node works for long: the progress bar, a line of text, and the events that draw the chart."""

from __future__ import annotations

import time
from typing import Any

from ...training import Progress, Run
from ..host import UPDATES_PER_SECOND, host


class LiveTraining:
    """Tells the host how training goes, at most ten times a second, and looks for Cancel at every step.

    The chart's points are [epoch, training loss, validation loss or None, metric or None]; epochs are fractions in between.
    """

    def __init__(self, node_id: str, metric: str):
        self.node_id, self.metric = node_id, metric
        self.points: list[list[float | None]] = []
        self.sent = self.began = time.monotonic()
        self.first_step: int | None = None

    def update(self, progress: Progress) -> None:
        """Take one step's progress; raises the host's interrupt if the user pressed Cancel."""
        host().check_interrupt()
        if progress.stage == "start":
            return
        now = time.monotonic()
        if self.first_step is None:
            self.first_step, self.began = progress.step, now
        record = progress.record
        if record is None and now - self.sent < 1 / UPDATES_PER_SECOND:
            return
        self.sent = now
        loss = float(progress.loss)
        if record:
            self.points.append([record.epoch, record.train_loss, record.val_loss, record.metric])
        elif progress.stage == "train":
            self.points.append([progress.step / progress.steps * progress.epochs, loss, None, None])
        done = progress.step - self.first_step
        left = (now - self.began) / done * (progress.steps - progress.step) if done else 0.0
        host().progress(self.node_id, progress.step, progress.steps)
        host().text(
            self.node_id,
            f"epoch {progress.epoch}/{progress.epochs} · {progress.stage} loss {loss:.4f} · {_clock(left)} left",
        )
        self._send("running", progress, left)

    def _send(self, state: str, progress: Progress, left: float) -> None:
        message: dict[str, Any] = {
            "node": self.node_id,
            "state": state,
            "step": progress.step,
            "steps": progress.steps,
            "epoch": progress.epoch,
            "epochs": progress.epochs,
            "lr": progress.learning_rate,
            "eta": left,
            "metric": self.metric,
            "points": self.points,
        }
        self.points = []
        host().send("visionsmith.train", message)


def finished_curve(run: Run) -> dict[str, Any]:
    """The whole chart of a run, for the node's `ui` entry."""
    last_step = max((epoch.step for epoch in run.history), default=1)
    epochs = len(run.history)
    steps = (
        [[step / max(1, run.curve[-1][0]) * epochs, loss, None, None] for step, loss in run.curve] if run.curve else []
    )
    records = [[epoch.epoch, epoch.train_loss, epoch.val_loss, epoch.metric] for epoch in run.history]
    return {
        "state": run.state,
        "metric": run.metric,
        "best": run.best_epoch,
        "steps": last_step,
        "epochs": epochs,
        "points": [*steps, *records],
    }


def run_summary(run: Run) -> str:
    """A finished run in one line, and its warnings below."""
    best = next((epoch for epoch in run.history if epoch.epoch == run.best_epoch), None)
    seconds = sum(epoch.seconds for epoch in run.history)
    text = f"{run.state} after {len(run.history)} epochs in {_clock(seconds)} · best epoch {run.best_epoch}"
    if best:
        measured = best.val_loss if best.val_loss is not None else best.train_loss
        text += f": loss {measured:.4f}" + (
            f", {run.metric} {best.metric:.4f}" if best.metric is not None and run.metric != "loss" else ""
        )
    return "\n".join([text, f"run: {run.folder}", *run.warnings])


def _clock(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"
