"""One trial of an experiment: what is trained on what, as data that another process can read, and carrying it out in a folder."""

from __future__ import annotations

import gc
import json
import os
import socket
import time
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch

from ..nn_layers import InputError
from ..nn_layers.files import atomic
from ..nn_layers.storage import read_json
from .dataset import Dataset
from .evaluate import Report, evaluate
from .fit import Progress, fit
from .losses import Loss, LossSum
from .metrics import class_metrics
from .optimizers import Optimizer
from .pictures import confusion_picture, save_picture, scatter_picture
from .plans import Plan, build_dataset, build_loss, build_model, make
from .results import Row
from .run import LAST, SETTINGS, Run
from .segmentation.evaluate import SegmentationReport
from .settings import FitSettings, run_key

TRIAL, SCORES, RUNNING, TRAIN, TEST = "trial.json", "scores.json", "running.json", "train", "test"
TOLD_SECONDS = 1.0

OnShare = Callable[[str, float, Progress | None], None]
"""Called with the stage, "train", "validate" or "test", how much of it is done, 0..1, and what `fit` told; may raise to stop everything."""


class Stopped(BaseException):
    """Whoever watches wants to stop; `reason` is what they raised. No Exception, so that it is not taken for a failed trial."""

    def __init__(self, reason: Exception):
        super().__init__(str(reason))
        self.reason = reason


@dataclass(frozen=True)
class Trial:
    """One network, dataset, loss and seed, with everything that is needed to make them; JSON through `to_dict`.

    Attributes:
        model, dataset, loss: The names a person gave them.
        network, data, criterion: What they are; see `plans`. `data` is empty for a dataset that is handed over in memory.
        optimizer, train: Settings of `Optimizer` and `FitSettings`.
        split: The one to test on.
        folder: Below the experiment's folder.
    """

    model: str
    dataset: str
    loss: str
    seed: int
    network: Plan
    data: Plan
    criterion: Plan
    optimizer: Plan
    train: Plan
    split: str = "test"
    folder: str = ""

    @property
    def title(self) -> str:
        """What to call it."""
        return f"{self.model}, {self.dataset}, {self.loss}, seed {self.seed}"

    @property
    def names(self) -> tuple[str, str, str, int]:
        """What tells it from the other trials of its experiment."""
        return self.model, self.dataset, self.loss, self.seed

    def to_dict(self) -> dict[str, Any]:
        """What trial.json holds."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Trial:
        """Read what `to_dict` gave."""
        return cls(**data)


Datasets = dict[str, Dataset]
"""Datasets by name: those handed over in memory, and those that were read already."""


def run_trial(trial: Trial, root: Path, datasets: Datasets, on_share: OnShare | None = None) -> Row:
    """Train and test in ``root/trial.folder``, or read what was done there before; a failure becomes a row with its sentence.

    A half-done training goes on where it was, also one that was stopped and tested as it was. ``running.json`` is there while this runs, and says where.

    Args:
        datasets: Is read, and written to, so that trials that share a dataset read it once.
    """
    folder = root / trial.folder
    running = {"host": socket.gethostname(), "process": os.getpid(), "since": time.time()}
    told = 0.0

    def tell(stage: str, share: float, training: Progress | None = None) -> None:
        nonlocal told
        if time.monotonic() - told > TOLD_SECONDS:
            told = time.monotonic()
            _write(folder / RUNNING, {**running, "stage": stage, "share": share})
        if on_share:
            try:
                on_share(stage, share, training)
            except Exception as reason:
                raise Stopped(reason) from reason

    try:
        _write(folder / TRIAL, trial.to_dict())
        tell("start", 0.0)
        return _carry_out(trial, folder, datasets, tell)
    except InputError as error:
        return _failed(trial, str(error))
    except Exception as error:  # whatever goes wrong in one trial, the others are to run
        first = (str(error).strip().splitlines() or ["no reason given"])[0]
        return _failed(trial, f"{type(error).__name__}: {first}")
    finally:
        (folder / RUNNING).unlink(missing_ok=True)
        gc.collect()
        if torch.cuda.is_initialized():
            torch.cuda.empty_cache()


def _failed(trial: Trial, sentence: str) -> Row:
    return Row(*trial.names, folder=trial.folder, error=sentence)


def _carry_out(trial: Trial, folder: Path, datasets: Datasets, tell: OnShare) -> Row:
    dataset = _dataset_of(trial, datasets)
    dataset.split(trial.split)  # refuse a missing split before hours of training
    network = build_model(trial.network, trial.model, dataset, trial.seed)
    loss = build_loss(trial.criterion, trial.loss)
    optimizer = make(Optimizer, trial.optimizer, "the optimizer")
    settings = replace(make(FitSettings, trial.train, "train"), seed=trial.seed)
    key = run_key(network, dataset, loss, optimizer, settings)
    known = _row_of(folder) if (folder / TEST / SCORES).is_file() else None
    if known and (known.key, known.split) == (key, trial.split) and not was_stopped(folder / TRAIN):
        return replace(known, model=trial.model, dataset=trial.dataset, loss=trial.loss, folder=trial.folder)
    _keep_older(folder / TRAIN, key)
    with closing(fit(network, dataset, loss, optimizer, settings, folder / TRAIN)) as steps:
        for progress in steps:
            tell("train", progress.step / max(1, progress.steps), progress)
    return _test(trial, folder, key, dataset, loss, settings, tell)


def was_stopped(folder: Path) -> bool:
    """Whether the training in `folder` was ended before its time, so that it can be gone on with."""
    return (folder / LAST).is_file() and not Run.load(folder).finished


def _keep_older(folder: Path, key: str) -> None:
    """Put a training with other settings aside: `fit` would begin anew in its folder."""
    if (folder / SETTINGS).is_file() and (older := read_json(folder / SETTINGS).get("key", "older")) != key:
        aside = folder.with_name(f"{folder.name}-{older}")
        if not aside.exists():
            folder.rename(aside)


def _dataset_of(trial: Trial, datasets: Datasets) -> Dataset:
    if trial.dataset not in datasets:
        if not trial.data:
            raise InputError(f"dataset {trial.dataset} was not handed over; run the experiment where it is made.")
        datasets[trial.dataset] = build_dataset(trial.data, trial.dataset)
    return datasets[trial.dataset]


def _test(
    trial, folder: Path, key: str, dataset: Dataset, loss: Loss | LossSum, settings: FitSettings, tell: OnShare
) -> Row:
    """Test the best epoch's weights, write what is found into ``folder/test``, and give the row."""
    run = Run.load(folder / TRAIN)
    best = run.network()

    def measure(split: str, stage: str):
        return evaluate(
            best,
            dataset,
            split,
            loss=loss,
            batch_size=settings.batch_size,
            device=device_of(settings.device),
            on_batch=lambda done, count: tell(stage, done / count),
        )

    validation = measure("val", "validate") if "val" in dataset.splits and trial.split != "val" else None
    report = measure(trial.split, "test")
    row = Row(
        *trial.names,
        scores=dict(report.scores),
        validation=dict(validation.scores) if validation else {},
        classes=class_scores(report),
        validation_classes=class_scores(validation) if validation else {},
        best_epoch=run.best_epoch,
        epochs=len(run.history),
        parameters=best.spec.parameters,
        seconds=sum(epoch.seconds for epoch in run.history),
        folder=trial.folder,
        key=key,
        split=trial.split,
        training=_learned(run),
    )
    _write_report(report, folder / TEST)
    _write(folder / TEST / SCORES, row.to_dict())
    return row


def _learned(run: Run) -> dict[str, float]:
    """Loss and metric of the best epoch while it learned."""
    best = next((epoch for epoch in run.history if epoch.epoch == run.best_epoch), None)
    if best is None:
        return {}
    return {"loss": best.train_loss} | ({} if best.train_metric is None else {run.metric: best.train_metric})


def class_scores(report: Report | SegmentationReport) -> dict[str, dict[str, float]]:
    """Class → metric → value of a report; empty for regression."""
    if isinstance(report, SegmentationReport):
        return report.rows()
    if report.confusion is None:
        return {}
    found = class_metrics(report.confusion)
    columns = {"precision": found.precision, "recall": found.recall, "F1": found.f1}
    return {name: {m: float(v[i]) for m, v in columns.items()} for i, name in enumerate(report.classes)}


def _write_report(report: Report | SegmentationReport, folder: Path) -> None:
    """The report's table, and its picture: the confusion matrix, or true against predicted values."""
    with atomic(folder / "report.txt") as path:
        path.write_text(report.table() + "\n", encoding="utf-8")
    if report.confusion is not None:
        save_picture(confusion_picture(report.confusion, report.classes), folder / "confusion.png")
    elif report.pairs is not None:
        save_picture(scatter_picture(report), folder / "scatter.png")


def device_of(name: str) -> torch.device:
    """The device that a training with this setting used: "auto" is a GPU where there is one."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    return torch.device({"gpu": "cuda"}.get(name, name))


def _row_of(folder: Path) -> Row | None:
    """What was found before, if it can still be read."""
    try:
        return Row.from_dict(read_json(folder / TEST / SCORES))
    except (InputError, TypeError, AttributeError):
        return None


def _write(file: Path, data: Any) -> None:
    with atomic(file) as path:
        path.write_text(json.dumps(data, indent=1), encoding="utf-8")
