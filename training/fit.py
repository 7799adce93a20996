"""Training: one plain loop over Lightning Fabric that can be stopped and killed at any step, and goes on where it was."""

from __future__ import annotations

import copy
import json
import math
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..nn_layers import InputError, Network, save_network, save_weights
from ..nn_layers.files import atomic
from .checkpoint import load_checkpoint, remembered, save_checkpoint
from .dataset import Dataset
from .evaluate import meter_for, trained
from .loader import Loader, Looked, preparing
from .losses import Loss
from .metrics import better, metric_names
from .optimizers import Optimizer
from .processes import Team, check_devices, together, train_together
from .ranking import merit
from .run import BEST, LAST, SETTINGS, Curve, Epoch, Run
from .segmentation.loader import MaskLoader
from .settings import FitSettings, check, run_key
from .train_meter import TrainMeter

SAVE_SECONDS = 5.0
SAVE_SHARE = 0.05  # of the time, at most, goes into saving, however large the network
CHECK_STEPS_ON_GPU = 10  # looking at a number on a GPU waits for it, so the loss is looked at every tenth step there


@dataclass(slots=True)
class Progress:
    """Where training stands, after every batch. `loss` is left on its device: reading it waits for it.

    `epoch` counts from 1; `record` is set once per epoch, after validation. `stage` is "train" or "validate", and "start" while many
    pictures are looked at for their mean, or several processes come up.

    Whoever reads it may set `stop`: training then ends after the step, or after the validation, that is at work, and keeps the best weights.
    Several processes do not look at it.
    """

    step: int
    steps: int
    epoch: int
    epochs: int
    loss: Tensor
    learning_rate: float
    stage: str = "train"
    record: Epoch | None = None
    stop: bool = False


def fit(
    network: Network, dataset: Dataset, loss: Loss, optimizer: Optimizer, settings: FitSettings, folder: Path
) -> Iterator[Progress]:
    """Train a copy of `network` and leave a run in `folder`; `Run.load(folder)` reads it afterwards.

    A folder that holds the same training is gone on with, bit for bit on one CPU, or left alone if it is finished. Closing the iterator
    (or raising inside the loop that reads it) saves where training stands. So does `Progress.stop`; the run is "stopped" then, and the best
    weights are those of its best epoch, or in the first epoch those of this moment.

    Yields:
        A `Progress` after every batch.

    Raises:
        InputError: Settings that cannot train (see `check`), or a loss that became infinite or no number.
    """
    settings = settings.for_task(dataset.task)
    if settings.devices * settings.nodes == 1:
        yield from train(network, dataset, loss, optimizer, settings, folder, Team())
        return
    check(network, dataset, loss, optimizer, settings)
    check_devices(settings)
    if not _is_finished(folder, run_key(network, dataset, loss, optimizer, settings)):
        yield from train_together(network, dataset, loss, optimizer, settings, folder)


def train(
    network: Network,
    dataset: Dataset,
    loss: Loss,
    optimizer: Optimizer,
    settings: FitSettings,
    folder: Path,
    team: Team,
) -> Iterator[Progress]:
    """`fit` in one process of a team; the settings' metric is no longer "auto"."""
    warnings = check(network, dataset, loss, optimizer, settings)
    key = run_key(network, dataset, loss, optimizer, settings)
    described = _describe(key, network, dataset, loss, optimizer, settings, warnings)
    if _is_finished(folder, key):
        return
    with torch.random.fork_rng(), torch.enable_grad():
        torch.manual_seed(settings.seed)
        fabric, module, step_module, opt, unsynchronized = _set_up(network, optimizer, settings, team)
        criterion = loss.build().to(fabric.device)
        module.train()
        weights = [parameter for parameter in module.parameters() if parameter.requires_grad]
        average = [weight.detach().clone() for weight in weights] if settings.average else None

        for _ in (looking := Looked(preparing(dataset, network.prepare))):
            yield Progress(0, 1, 0, 1, torch.tensor(math.nan), 0.0, "start")
        prepared = trained(network, module, dataset, looking.found)
        loader = _loader(dataset, prepared, settings, team)
        judges = "val" in dataset.splits
        validation = meter_for(prepared, dataset, "val", loss, settings.batch_size) if judges and team.leads else None
        per_epoch = -(-len(loader) // settings.accumulate)
        steps = settings.max_steps or settings.epochs * per_epoch
        epochs = -(-steps // per_epoch)

        state = _start(folder, described, prepared, module, opt, average, team)
        at = _Position(**state["position"])
        history = [Epoch(**epoch) for epoch in state["history"]]
        best, best_epoch, curve = state["best"], state["best_epoch"], Curve(**state["curve"])
        layout = memory_format_of(network)
        exact = torch.float32 if fabric.device.type == "mps" else torch.float64
        total = torch.tensor(at.loss, dtype=exact, device=fabric.device)
        meter = TrainMeter(dataset, settings.metric, fabric.device, team, at.counts)
        outcome, sound, saving = "running", True, _Saving()
        # Where the step began, and whether it is a step of several batches that has not ended:
        begun, midway = (at, total, meter.counts, remembered(module)), False
        every = 1 if fabric.device.type == "cpu" else CHECK_STEPS_ON_GPU

        def loss_of(inputs: Tensor, targets: Tensor) -> Tensor:
            outputs = step_module(inputs)
            meter.add(outputs, targets)
            return criterion(outputs, targets)

        def save() -> None:
            at.loss = float(total)
            if not team.leads or not sound or not math.isfinite(at.loss):
                return
            at.counts = meter.counts.flatten().tolist()
            with saving:
                described = {
                    "position": asdict(at),
                    "history": [asdict(epoch) for epoch in history],
                    "curve": asdict(curve),
                }
                described |= {"key": key, "state": outcome, "best": best, "best_epoch": best_epoch}
                described |= {"steps": steps, "epochs": epochs}
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
                    own, whole = len(inputs), loader.batches.length(at.batch)
                    if settings.accumulate > 1 and at.batch % settings.accumulate == 0:
                        begun = replace(at), total.clone(), meter.counts, remembered(module)
                    team.sow(settings.seed, at.step, at.batch)
                    sound = False  # until the step is whole, what is in memory must not be saved
                    with nullcontext() if last_of_step else unsynchronized():
                        share = team.share(loss_of(inputs, targets), own, whole)
                        fabric.backward(share / _group(at.batch, len(loader), settings.accumulate))
                    value = team.mean(share)
                    total += value * whole
                    if at.batch % every == 0 and not math.isfinite(float(total)):
                        raise InputError(_diverged(at.step + 1, rate, optimizer))
                    at.batch, at.samples = at.batch + 1, at.samples + whole
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
                            curve.add(at.step // every, float(value))
                        if saving.due:
                            save()
                    midway = not last_of_step
                    yield (progress := Progress(at.step, steps, at.epoch + 1, epochs, value, rate))
                    midway = False
                    if at.step >= steps:
                        break
                    if progress.stop and last_of_step:
                        outcome = "stopped"
                        break

                if outcome == "stopped":
                    if not history:
                        if not math.isfinite(float(total)):  # on a GPU it is looked at every tenth batch only
                            sound = False
                            raise InputError(_diverged(at.step, rate, optimizer))
                        with _averaged(weights, average):
                            save_weights(module, folder / BEST)
                    break
                train_loss = float(total) / at.samples
                if not math.isfinite(train_loss):
                    sound = False
                    raise InputError(_diverged(at.step, rate, optimizer))
                val_loss, metric = None, None
                with _averaged(weights, average):
                    if validation:
                        for _ in validation.run(module, fabric.device):
                            yield Progress(at.step, steps, at.epoch + 1, epochs, value, rate, "validate")
                        scores = validation.scores()
                        val_loss, metric = scores["loss"], _metric(scores, settings.metric)
                    val_loss, metric = team.same((val_loss, metric))
                    judged, by = (metric, settings.metric) if judges else (train_loss, "loss")
                    unmeasured = math.isnan(judged)  # of epochs that could not be measured, the last one
                    if best is None if unmeasured else better(by, judged, best):
                        best, best_epoch = None if unmeasured else judged, at.epoch + 1
                        if team.leads:
                            save_weights(module, folder / BEST)
                took, learned = time.monotonic() - began, meter.score(train_loss)
                record = Epoch(at.epoch + 1, at.step, train_loss, val_loss, metric, rate, took, learned)
                history.append(record)
                at.epoch, at.batch, at.samples = at.epoch + 1, 0, 0
                total.zero_()
                meter.reset()
                if settings.patience and at.epoch - best_epoch >= settings.patience and at.step < steps:
                    outcome = "stopped early"
                elif at.step >= steps:
                    outcome = "done"
                if saving.due or outcome != "running":
                    save()
                yield (progress := Progress(at.step, steps, at.epoch, epochs, value, rate, "train", record))
                if progress.stop and outcome == "running":
                    outcome = "stopped"
        finally:
            if outcome in ("running", "stopped") and at.step:
                if midway:  # the weights are those of the last whole step; the batches since then are taken again
                    (at, total, meter.counts, put_back), sound = begun, True
                    put_back()
                save()


def _group(batch: int, batches: int, accumulate: int) -> int:
    """How many batches share the step that batch number `batch` of an epoch belongs to: the last step of an epoch may have fewer."""
    first = batch - batch % accumulate
    return min(accumulate, batches - first)


def _metric(scores: dict[str, float], metric: str) -> float:
    """One metric, or the mean of several (`merit`: of those where less is better, the negative)."""
    return scores[metric] if metric in scores else merit(scores, metric_names(metric))


def _loader(dataset: Dataset, network: Network, settings: FitSettings, team: Team) -> Loader | MaskLoader:
    """The training batches, or this process's part of them."""
    given = {"seed": settings.seed, "workers": settings.workers, "rank": team.rank, "world": team.world}
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
    """How far training has come: optimizer steps, whole epochs, and batches, samples, summed loss and `TrainMeter.counts` of the epoch at
    hand."""

    step: int = 0
    epoch: int = 0
    batch: int = 0
    samples: int = 0
    loss: float = 0.0
    counts: list[float] = field(default_factory=list)


def _set_up(network: Network, optimizer: Optimizer, settings: FitSettings, team: Team):
    """Fabric, a copy of the network's module on the device, the same wrapped for a training step, the optimizer, and (for a team) what keeps
    gradients from being averaged before the last batch of a step."""
    from lightning_fabric import Fabric

    several = together(settings) if team.world > 1 else {}
    fabric = Fabric(accelerator=settings.device, devices=settings.devices, precision=settings.precision, **several)
    if several:
        fabric.launch()
    module = copy.deepcopy(network.module).to(fabric.device, memory_format=memory_format_of(network))
    if several and fabric.device.type == "cuda":
        module = torch.nn.SyncBatchNorm.convert_sync_batchnorm(module)
    opt = optimizer.build(parameter for parameter in module.parameters() if parameter.requires_grad)
    step_module, opt = fabric.setup(torch.compile(module) if settings.compile else module, opt)
    unsynchronized = partial(fabric.no_backward_sync, step_module) if several else nullcontext
    return fabric, module, step_module, opt, unsynchronized


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


def _start(
    folder: Path, described: dict[str, Any], network: Network, module, opt, average, team: Team
) -> dict[str, Any]:
    """Go on with the training in `folder` if it is this one, otherwise begin it there."""
    files = folder / LAST, folder / SETTINGS
    goes_on = all(file.is_file() for file in files) and Run.load(folder).settings["key"] == described["key"]
    goes_on = team.same(goes_on)
    state = {"position": {}, "history": [], "curve": {}, "best": None, "best_epoch": 0}
    if goes_on:
        state = load_checkpoint(folder / LAST, module, opt, average)
    elif team.leads:
        for name in (LAST, BEST):
            (folder / name).unlink(missing_ok=True)
        save_network(network, folder, BEST)  # the untrained weights, until the first epoch
        with atomic(folder / SETTINGS) as path:
            path.write_text(json.dumps(described, indent=1), encoding="utf-8")
    team.same(None)  # nobody writes before all have read
    return state


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
