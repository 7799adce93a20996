"""What is set before training, what is wrong with it, and what tells one training from another."""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import re
from dataclasses import dataclass, field, replace

import torch

from ..nn_layers import InputError, Network, network_to_dict
from .dataset import Dataset
from .loader import check_fits
from .losses import Loss, check_loss
from .metrics import METRICS, metric_names
from .optimizers import Optimizer
from .segmentation.samples import check_trainable
from .transforms import SIZED, DefectWindow, Resize

LEAST = {"epochs": 0, "max_steps": 0, "batch_size": 1, "accumulate": 1, "patience": 0, "average": 0, "workers": 0}
LEAST |= {"devices": 1, "nodes": 1}


@dataclass(frozen=True)
class FitSettings:
    """How long and on what to train.

    Attributes:
        epochs: Times through the training split; `max_steps` above 0 counts optimizer steps instead.
        batch_size: Samples at a time, of all devices together; gradients of `accumulate` batches are added before a step.
        metric: What decides which epoch is the best: "loss", one of `METRICS` for the task, or "auto" for the first of them. A sum such as
            "mAcc + mIoU" stands for the mean of these, and of equal epochs the later one is kept, as the reference does it.
        patience: Epochs without improvement before training stops early; 0 never stops early.
        average: Decay of the exponential moving average of the weights that is tested and kept; 0 for none.
        precision: Fabric's: "32-true", "bf16-mixed" or "16-mixed".
        device: "cpu", "cuda", "mps" or "auto".
        workers: Processes that decode pictures; 0 decodes in this one.
        compile: Let torch.compile make the network faster, after a minute or so of waiting.
        devices, nodes: Devices of each machine, and machines, that share every batch; see `processes`. A training may go on with other numbers.
            What looks at a whole batch (Dice and its kin, mixup, batch normalization on CPUs) sees a device's part of it.
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
    devices: int = field(default=1, repr=False)  # not in `run_key`
    nodes: int = field(default=1, repr=False)

    def on(self, device: str) -> FitSettings:
        """The same settings on another device."""
        return replace(self, device=device)

    def for_task(self, task: str) -> FitSettings:
        """The same settings with the task's usual metric, where the metric is "auto"."""
        return replace(self, metric=METRICS[task][0]) if self.metric == "auto" else self


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
    if not set(metric_names(settings.metric)) <= set(metrics):
        raise InputError(
            f"metric {settings.metric!r} does not suit {dataset.task}; choose one of {', '.join(metrics)}, or several joined by +."
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
    _check_machine(settings)
    if dataset.task == "segmentation":
        check_trainable(dataset)
    check_fits(dataset, network.prepare, network.spec.input_shape)
    warnings = check_loss(loss, network.spec, dataset)
    warnings += _unused_size(dataset, network)
    if "val" not in dataset.splits:
        warnings.append(
            f"Dataset {dataset.name} has no val split: the best epoch is chosen by the training loss, which favours overfitting."
        )
    if settings.device == "cpu" and settings.precision != "32-true":
        warnings.append(f"Precision {settings.precision} is slower than 32-true on a CPU.")
    return warnings


def _unused_size(dataset: Dataset, network: Network) -> list[str]:
    """A warning where Resize asks for a size that nothing looks at: without a random crop behind it the network's Input decides."""
    sizes = [(t.height, t.width) for t in dataset.transforms if isinstance(t, Resize)]
    prepare, cropped = network.prepare, any(isinstance(t, SIZED) for t in dataset.transforms)
    if not sizes or prepare is None or cropped or sizes[-1] == (prepare.height, prepare.width):
        return []
    (height, width), wanted = sizes[-1], f"{prepare.height} × {prepare.width}"
    return [
        f"Resize says {height} × {width}, but pictures become {wanted}, as the network's Input wants; change one of them, or put a random crop "
        f"behind Resize."
    ]


def _check_machine(settings: FitSettings) -> None:
    """Refuse a device or worker processes that this machine does not have."""
    has = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if not has.get(settings.device, True):
        raise InputError(f"device is {settings.device}, which torch does not find on this machine; choose auto or cpu.")
    if settings.workers and "fork" not in multiprocessing.get_all_start_methods():
        raise InputError(f"workers is {settings.workers}, but this system cannot fork processes; set it to 0.")


def samples_per_epoch(dataset: Dataset) -> int:
    """Training samples in an epoch: the pictures or rows, or in segmentation the windows cut out of the pictures."""
    windows = next((t.count for t in dataset.transforms if isinstance(t, DefectWindow)), 1)
    return len(dataset.split("train")) * (windows if dataset.task == "segmentation" else 1)
