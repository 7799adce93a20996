"""Training: one plain loop over Lightning Fabric that can be stopped and killed at any step, and goes on where it was."""

from __future__ import annotations

import copy
import hashlib
import json
import math
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..nn_layers import InputError, Network, network_to_dict, save_network, save_weights
from ..nn_layers.files import atomic
from .checkpoint import load_checkpoint, save_checkpoint
from .dataset import Dataset
from .evaluate import meter_for, trained
from .loader import Loader, check_fits
from .losses import Loss, check_loss
from .metrics import METRICS, better
from .optimizers import Optimizer
from .run import BEST, LAST, SETTINGS, Curve, Epoch, Run
from .segmentation.loader import MaskLoader
from .segmentation.samples import check_trainable
from .transforms import DefectWindow

SAVE_SECONDS = 5.0
SAVE_SHARE = 0.05  # of the time, at most, goes into saving, however large the network
LEAST = {"epochs": 0, "max_steps": 0, "batch_size": 1, "accumulate": 1, "patience": 0, "average": 0, "workers": 0}
CHECK_STEPS_ON_GPU = 10  # looking at a number on a GPU waits for it, so the loss is looked at every tenth step there


@dataclass(frozen=True)
class FitSettings:
    """How long and on what to train.

    Attributes:
        epochs: Times through the training split; `max_steps` above 0 counts optimizer steps instead.
        batch_size: Samples at a time; gradients of `accumulate` batches are added before a step.
        metric: What decides which epoch is the best: "loss", one of `METRICS` for the task, or "auto" for the first of them.
        patience: Epochs without improvement before training stops early; 0 never stops early.
        average: Decay of the exponential moving average of the weights that is tested and kept; 0 for none.
        precision: Fabric's: "32-true", "bf16-mixed" or "16-mixed".
        device: "cpu", "cuda", "mps" or "auto".
        workers: Processes that decode pictures; 0 decodes in this one.
        compile: Let torch.compile make the network faster, after a minute or so of waiting.
    """

    epochs: int = 10
    max_steps: int = 0
    batch_size: int = 32
    accumulate: int = 1
    metric: str = "loss"
    patience: int = 0
    average: float = 0.0
    seed: int = 0
    precision: str = "32-true"
    device: str = "auto"
    workers: int = 0
    compile: bool = False

    def on(self, device: str) -> FitSettings:
        """The same settings on another device."""
        return replace(self, device=device)

    def for_task(self, task: str) -> FitSettings:
        """The same settings with the task's usual metric, where the metric is "auto"."""
        return replace(self, metric=METRICS[task][0]) if self.metric == "auto" else self


@dataclass(slots=True)
class Progress:
    """Where training stands, after every batch. `loss` is left on its device: reading it waits for it.

    `epoch` counts from 1; `record` is set once per epoch, after validation.
    """

    step: int
    steps: int
    epoch: int
    epochs: int
    loss: Tensor
    learning_rate: float
    stage: str = "train"
    record: Epoch | None = None


def run_key(network: Network, dataset: Dataset, loss: Loss, optimizer: Optimizer, settings: FitSettings) -> str:
    """A short text that is the same for two trainings if, and only if, they would come to the same weights on one CPU."""
    digest = hashlib.sha256(json.dumps(network_to_dict(network), sort_keys=True).encode())
    for key, value in network.module.state_dict().items():
        digest.update(key.encode() + value.detach().cpu().reshape(-1).view(torch.uint8).numpy().tobytes())
    same = replace(settings.for_task(dataset.task), workers=0)  # how pictures are decoded changes nothing
    digest.update(repr((loss, optimizer, same, dataset.fingerprint)).encode())
    return digest.hexdigest()[:10]


def run_name(network: Network, dataset: Dataset, key: str) -> str:
    """The name of a run's folder: what was trained on what, and the run's key."""
    return re.sub(r"[^\w.-]+", "-", f"{network.spec.name}-{dataset.name}").strip("-.") + f"-{key}"


def check(network: Network, dataset: Dataset, loss: Loss, optimizer: Optimizer, settings: FitSettings) -> list[str]:
    """Refuse what cannot be trained; return warnings about what will train badly.

    Raises:
        InputError: Says which setting, what it is and what to change.
    """
    settings, count = settings.for_task(dataset.task), samples_per_epoch(dataset)
    if settings.epochs < 1 and settings.max_steps < 1:
        raise InputError(f"epochs is {settings.epochs}; train for at least one.")
    for name, least in LEAST.items():
        if (value := getattr(settings, name)) < least:
            raise InputError(f"{name} is {value}; choose at least {least}.")
    if settings.batch_size > count:
        raise InputError(
            f"batch_size is {settings.batch_size}, but dataset {dataset.name} has {count} training samples; choose at most {count}."
        )
    metrics = ("loss", *METRICS[dataset.task])
    if settings.metric not in metrics:
        raise InputError(
            f"metric {settings.metric!r} does not suit {dataset.task}; choose one of {', '.join(metrics)}."
        )
    if not any(parameter.requires_grad for parameter in network.module.parameters()):
        raise InputError(
            f"nothing in {network.spec.name} can be trained: it has no weights, or all are frozen; add a layer or unfreeze one."
        )
    if len(network.spec.inputs) > 1 or len(network.spec.outputs) > 1:
        raise InputError(
            f"{network.spec.name} has {len(network.spec.inputs)} inputs and {len(network.spec.outputs)} outputs; training needs one of each."
        )
    optimizer.check()
    if dataset.task == "segmentation":
        check_trainable(dataset)
    check_fits(dataset, network.prepare, network.spec.input_shape)
    warnings = check_loss(loss, network.spec, dataset)
    if "val" not in dataset.splits:
        warnings.append(
            f"Dataset {dataset.name} has no val split: the best epoch is chosen by the training loss, which favours overfitting."
        )
    if settings.device == "cpu" and settings.precision != "32-true":
        warnings.append(f"Precision {settings.precision} is slower than 32-true on a CPU.")
    return warnings


def fit(
    network: Network, dataset: Dataset, loss: Loss, optimizer: Optimizer, settings: FitSettings, folder: Path
) -> Iterator[Progress]:
    """Train a copy of `network` and leave a run in `folder`; `Run.load(folder)` reads it afterwards.

    A folder that holds the same training is gone on with, bit for bit on one CPU, or left alone if it is finished. Closing the iterator
    (or raising inside the loop that reads it) saves where training stands.

    Yields:
        A `Progress` after every batch.

    Raises:
        InputError: Settings that cannot train (see `check`), or a loss that became infinite or no number.
    """
    settings = settings.for_task(dataset.task)
    warnings = check(network, dataset, loss, optimizer, settings)
    key = run_key(network, dataset, loss, optimizer, settings)
    described = _describe(key, network, dataset, loss, optimizer, settings, warnings)
    if _is_finished(folder, key):
        return
    with torch.random.fork_rng(), torch.enable_grad():
        torch.manual_seed(settings.seed)
        fabric, module, step_module, opt = _set_up(network, optimizer, settings)
        criterion = loss.build().to(fabric.device)
        module.train()
        weights = [parameter for parameter in module.parameters() if parameter.requires_grad]
        average = [weight.detach().clone() for weight in weights] if settings.average else None

        prepared = trained(network, module, dataset)
        loader = _loader(dataset, prepared, settings)
        validation = meter_for(prepared, dataset, "val", loss, settings.batch_size) if "val" in dataset.splits else None
        per_epoch = -(-len(loader) // settings.accumulate)
        steps = settings.max_steps or settings.epochs * per_epoch
        epochs = -(-steps // per_epoch)

        state = _start(folder, described, prepared, module, opt, average)
        at = _Position(**state["position"])
        history = [Epoch(**epoch) for epoch in state["history"]]
        best, best_epoch, curve = state["best"], state["best_epoch"], Curve(**state["curve"])
        layout = memory_format_of(network)
        exact = torch.float32 if fabric.device.type == "mps" else torch.float64
        total = torch.tensor(at.loss, dtype=exact, device=fabric.device)
        outcome, sound, saving = "running", True, _Saving()
        every = 1 if fabric.device.type == "cpu" else CHECK_STEPS_ON_GPU

        def save() -> None:
            at.loss = float(total)
            if not sound or not math.isfinite(at.loss):
                return
            with saving:
                described = {
                    "position": asdict(at),
                    "history": [asdict(epoch) for epoch in history],
                    "curve": asdict(curve),
                }
                described |= {"key": key, "state": outcome, "best": best, "best_epoch": best_epoch}
                save_checkpoint(folder / LAST, module, opt, average, described)
                Run(folder, tuple(history), settings.metric, best_epoch, outcome, {}).write_tables()

        try:
            while outcome == "running" and (
                at.step < steps or at.batch
            ):  # the last epoch may be trained, but not judged
                began = time.monotonic()
                rate, value = optimizer.rate(max(0, at.step - 1), steps, per_epoch), total / max(1, at.samples)
                for inputs, targets in loader.epoch(at.epoch, skip=at.batch) if at.step < steps else ():
                    rate = optimizer.rate(at.step, steps, per_epoch)
                    inputs, targets = fabric.to_device((inputs.contiguous(memory_format=layout), targets))
                    last_of_step = (at.batch + 1) % settings.accumulate == 0 or at.batch + 1 == len(loader)
                    value = criterion(step_module(inputs), targets)
                    sound = False  # until the step is whole, what is in memory must not be saved
                    fabric.backward(value / settings.accumulate if settings.accumulate > 1 else value)
                    total += value.detach() * len(inputs)
                    if at.batch % every == 0 and not math.isfinite(float(total)):
                        raise InputError(_diverged(at.step + 1, rate, optimizer))
                    at.batch, at.samples = at.batch + 1, at.samples + len(inputs)
                    if last_of_step:
                        for group in opt.param_groups:
                            group["lr"] = rate
                        if optimizer.clip:
                            fabric.clip_gradients(step_module, opt, max_norm=optimizer.clip)
                        opt.step()
                        opt.zero_grad()
                        if average is not None:
                            torch._foreach_lerp_(average, [weight.detach() for weight in weights], 1 - settings.average)
                        at.step += 1
                        sound = True
                        if at.step % every == 0:
                            curve.add(at.step // every, float(value.detach()))
                        if saving.due:
                            save()
                    yield Progress(at.step, steps, at.epoch + 1, epochs, value.detach(), rate)
                    if at.step >= steps:
                        break

                train_loss = float(total) / at.samples
                if not math.isfinite(train_loss):
                    sound = False
                    raise InputError(_diverged(at.step, rate, optimizer))
                val_loss, metric = None, None
                with _averaged(weights, average):
                    if validation:
                        for _ in validation.run(module, fabric.device):
                            yield Progress(at.step, steps, at.epoch + 1, epochs, value.detach(), rate, "validate")
                        scores = validation.scores()
                        val_loss, metric = scores["loss"], scores[settings.metric]
                    judged, by = (metric, settings.metric) if validation else (train_loss, "loss")
                    if not math.isnan(judged) and better(by, judged, best):
                        best, best_epoch = judged, at.epoch + 1
                        save_weights(module, folder / BEST)
                record = Epoch(at.epoch + 1, at.step, train_loss, val_loss, metric, rate, time.monotonic() - began)
                history.append(record)
                at.epoch, at.batch, at.samples = at.epoch + 1, 0, 0
                total.zero_()
                if settings.patience and at.epoch - best_epoch >= settings.patience and at.step < steps:
                    outcome = "stopped early"
                elif at.step >= steps:
                    outcome = "done"
                if saving.due or outcome != "running":
                    save()
                yield Progress(at.step, steps, at.epoch, epochs, value.detach(), rate, "train", record)
        finally:
            if outcome == "running" and at.step:
                save()


def samples_per_epoch(dataset: Dataset) -> int:
    """Training samples in an epoch: the pictures or rows, or in segmentation the windows cut out of the pictures."""
    windows = next((t.count for t in dataset.transforms if isinstance(t, DefectWindow)), 1)
    return len(dataset.split("train")) * (windows if dataset.task == "segmentation" else 1)


def _loader(dataset: Dataset, network: Network, settings: FitSettings) -> Loader | MaskLoader:
    """The training batches."""
    given = {"seed": settings.seed, "workers": settings.workers}
    if dataset.task == "segmentation":
        return MaskLoader(dataset, "train", settings.batch_size, network.prepare, **given)
    return Loader(dataset, "train", settings.batch_size, network.prepare, train=True, **given)


class _Saving:
    """When to save again; as a context, the time that a save takes."""

    def __init__(self) -> None:
        self.ended, self.took = time.monotonic(), 0.0

    @property
    def due(self) -> bool:
        """Whether enough time has gone by."""
        return time.monotonic() - self.ended > max(SAVE_SECONDS, self.took / SAVE_SHARE)

    def __enter__(self) -> None:
        self.began = time.monotonic()

    def __exit__(self, *error: object) -> None:
        self.ended = time.monotonic()
        self.took = self.ended - self.began


@dataclass
class _Position:
    """How far training has come: optimizer steps, whole epochs, and batches, samples and summed loss of the epoch at hand."""

    step: int = 0
    epoch: int = 0
    batch: int = 0
    samples: int = 0
    loss: float = 0.0


def _set_up(network: Network, optimizer: Optimizer, settings: FitSettings):
    """Fabric, a copy of the network's module on the device, the same wrapped for a training step, and the optimizer."""
    from lightning_fabric import Fabric

    fabric = Fabric(accelerator=settings.device, devices=1, precision=settings.precision)
    module = copy.deepcopy(network.module).to(fabric.device, memory_format=memory_format_of(network))
    opt = optimizer.build(parameter for parameter in module.parameters() if parameter.requires_grad)
    step_module, opt = fabric.setup(torch.compile(module) if settings.compile else module, opt)
    return fabric, module, step_module, opt


def memory_format_of(network: Network) -> torch.memory_format:
    """How tensors lie in memory: with the channels last for networks that read pictures, where convolutions are faster so."""
    return torch.channels_last if network.prepare else torch.contiguous_format


def _describe(key, network, dataset, loss, optimizer, settings, warnings) -> dict[str, Any]:
    """settings.json: everything that was set, for people and for `Run.load`."""
    return {
        "key": key,
        "network": network.spec.name,
        "dataset": dataset.name,
        "metric": settings.metric,
        "loss": asdict(loss),
        "optimizer": asdict(optimizer),
        "training": asdict(settings),
        "transforms": [repr(transform) for transform in dataset.transforms],
        "warnings": warnings,
    }


def _is_finished(folder: Path, key: str) -> bool:
    """Whether `folder` holds this very training, finished."""
    if not (folder / SETTINGS).is_file():
        return False
    run = Run.load(folder)
    return run.finished and run.settings["key"] == key and (folder / BEST).is_file()


def _start(folder: Path, described: dict[str, Any], network: Network, module, opt, average) -> dict[str, Any]:
    """Go on with the training in `folder` if it is this one, otherwise begin it there."""
    if (
        (folder / LAST).is_file()
        and (folder / SETTINGS).is_file()
        and Run.load(folder).settings["key"] == described["key"]
    ):
        return load_checkpoint(folder / LAST, module, opt, average)
    for name in (LAST, BEST):
        (folder / name).unlink(missing_ok=True)
    save_network(network, folder, BEST)  # the untrained weights, until an epoch is better
    with atomic(folder / SETTINGS) as path:
        path.write_text(json.dumps(described, indent=1), encoding="utf-8")
    return {"position": {}, "history": [], "curve": {}, "best": None, "best_epoch": 0}


@contextmanager
def _averaged(weights: list[Tensor], average: list[Tensor] | None) -> Iterator[None]:
    """The averaged weights in place of the trained ones, inside the block; without an average nothing changes."""

    def swap() -> None:
        for weight, mean in zip(weights, average or (), strict=False):
            weight.data, mean.data = mean.data, weight.data

    swap()
    try:
        yield
    finally:
        swap()


def _diverged(step: int, rate: float, optimizer: Optimizer) -> str:
    return (
        f"the loss became infinite or no number at step {step}, with learning rate {rate:g}; lower learning_rate (try {optimizer.learning_rate / 10:g}), "
        f"or set clip to 1, and check the data for values that are no numbers."
    )
