"""Testing and using a trained network. Neither changes it: no weight, no running statistic, no training flag."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from ..nn_layers import InputError, Network, Prepare
from ..nn_layers.recipe import show
from .dataset import Dataset
from .inference import class_probabilities, evaluating, on_device
from .loader import Loader, check_fits, prepare_for
from .losses import Loss, check_loss
from .metrics import class_metrics, classification_scores, confusion_matrix, regression_scores
from .segmentation.evaluate import PixelMeter, SegmentationReport

OnBatch = Callable[[int, int], None]
WORST = 16


@dataclass(frozen=True)
class Example:
    """One sample of a split: its number in the split, its name, and what it is and was taken for (class numbers, or values).

    `error` is −log p of the true class, or the absolute error of a regression.
    """

    index: int
    name: str
    error: float
    target: float
    predicted: float
    confidence: float


@dataclass(frozen=True, eq=False)
class Report:
    """What a test found.

    Attributes:
        scores: Metric → value; "loss" first.
        confusion: int64 [classes, classes], rows the true class; None for regression.
        worst: The samples with the largest error, the worst first.
        pairs: For regression, true and predicted values [count, 2]; None for classification.
    """

    network: str
    dataset: str
    split: str
    task: str
    classes: tuple[str, ...]
    count: int
    scores: dict[str, float]
    confusion: Tensor | None
    worst: tuple[Example, ...]
    pairs: Tensor | None = None

    def table(self) -> str:
        """The scores, and precision, recall and F1 of every class, as aligned text."""
        lines = [f"{self.network} on {self.split} of {self.dataset}, {self.count:,} samples"]
        lines += [f"{name.ljust(18)}{value:>10.4f}" for name, value in self.scores.items()]
        if self.confusion is None:
            return "\n".join(lines)
        found = class_metrics(self.confusion)
        width = max(18, *(len(name) + 2 for name in self.classes))
        lines += [
            "",
            "class".ljust(width) + "".join(name.rjust(11) for name in ("precision", "recall", "F1", "samples")),
        ]
        for i, name in enumerate(self.classes):
            values = (found.precision[i], found.recall[i], found.f1[i])
            lines.append(
                name.ljust(width) + "".join(f"{value:>11.4f}" for value in values) + f"{int(found.count[i]):>11,}"
            )
        return "\n".join(lines)


def evaluate(
    network: Network,
    dataset: Dataset,
    split: str = "test",
    *,
    loss: Loss | None = None,
    batch_size: int = 64,
    device: torch.device | str = "cpu",
    flips: bool = False,
    on_batch: OnBatch | None = None,
) -> Report | SegmentationReport:
    """Test `network` on one split.

    Args:
        flips: In segmentation, average over the picture and its three mirror images.
        loss: What to measure beside the metrics; by default cross entropy, or the mean squared error for regression.
        on_batch: Called with samples done and samples in all; may raise to stop.

    Raises:
        InputError: No such split, or classes that are not those the network was trained on.
    """
    check_classes(network, dataset)
    check_fits(dataset, network.prepare, network.spec.input_shape)
    device = torch.device(device)
    if not network.task:
        network = replace(network, prepare=prepare_for(dataset, network.prepare, on_batch))
    loss = loss or Loss("mean squared error" if dataset.task == "regression" else "cross entropy")
    check_loss(loss, network.spec, dataset)
    meter = meter_for(network, dataset, split, loss, batch_size, full=True, flips=flips)
    for done in meter.run(on_device(network.module, device), device):
        if on_batch:
            on_batch(done, len(dataset.split(split)))
    return meter.report() if isinstance(meter, PixelMeter) else _report(network, dataset, split, meter.outputs, loss)


class Meter:
    """The outputs of a network for one split, and the scores that come from them."""

    def __init__(self, network: Network, dataset: Dataset, split: str, loss: Loss, batch_size: int):
        self.dataset, self.loss = dataset, loss
        self.loader = Loader(dataset, split, batch_size, network.prepare)
        self.outputs = torch.empty(0)

    def run(self, module: nn.Module, device: torch.device) -> Iterator[int]:
        """Look at every sample; yields how many are done. The module is as before once the last one was taken."""
        outputs: list[Tensor] = []
        with evaluating(module):
            for inputs, _ in self.loader.epoch():
                outputs.append(module(inputs.to(device)).float().cpu())
                yield sum(map(len, outputs))
        self.outputs = torch.cat(outputs)

    def scores(self) -> dict[str, float]:
        """The loss and the metrics of the whole split."""
        return scores_of(self.outputs, self.loader.targets, self.loss, self.dataset)


def meter_for(
    network: Network,
    dataset: Dataset,
    split: str,
    loss: Loss,
    batch_size: int,
    *,
    full: bool = False,
    flips: bool = False,
) -> Meter | PixelMeter:
    """What measures a network on a split of a dataset of its task, with `network.prepare` as it is.

    `full` and `flips` are a segmentation test's (see `PixelMeter`).
    """
    if dataset.task == "segmentation":
        return PixelMeter(network, dataset, split, loss, batch_size, full=full, flips=flips)
    return Meter(network, dataset, split, loss, batch_size)


def scores_of(outputs: Tensor, targets: Tensor, loss: Loss, dataset: Dataset) -> dict[str, float]:
    """The loss and the metrics of a whole split from all its outputs."""
    scores = {"loss": float(loss.build()(outputs, targets))}
    if dataset.task == "regression":
        return scores | regression_scores(targets, outputs)
    probabilities = class_probabilities(outputs)[:, : len(dataset.classes)]
    scores |= classification_scores(confusion_matrix(targets, probabilities.argmax(1), len(dataset.classes)))
    if len(dataset.classes) > 5:
        scores["top-5 accuracy"] = float((probabilities.topk(5, 1).indices == targets[:, None]).any(1).double().mean())
    return scores


def check_classes(network: Network, dataset: Dataset) -> None:
    """Refuse a dataset of another task, or whose classes differ from those the network was trained on, in name or in order."""
    if network.task and network.task != dataset.task:
        raise InputError(
            f"the network was trained for {network.task}, but dataset {dataset.name} is for {dataset.task}; choose another dataset."
        )
    needed = 3 if dataset.task == "segmentation" else 1
    if len(network.spec.output_shape) != needed:
        wanted = "a map of classes for a picture" if needed == 3 else "one row of numbers for a sample"
        raise InputError(
            f"{network.spec.name} gives {show(network.spec.output_shape)}, but {dataset.task} needs {wanted}; choose another network or dataset."
        )
    if network.classes and network.classes != dataset.classes:
        raise InputError(
            f"the network knows the classes {', '.join(network.classes)}, but dataset {dataset.name} has {', '.join(dataset.classes)}; use a dataset "
            f"with the same classes in the same order."
        )


def _report(network: Network, dataset: Dataset, split: str, outputs: Tensor, loss: Loss) -> Report:
    samples, targets = dataset.split(split), dataset.split(split).targets
    if dataset.task == "regression":
        confusion, predicted, truth = None, outputs[:, 0], targets[:, 0]
        error, confidence = (outputs - targets).abs().mean(1), torch.ones(len(outputs))
    else:
        probabilities = class_probabilities(outputs)[:, : len(dataset.classes)]
        (confidence, predicted), truth = probabilities.max(1), targets
        error = -probabilities[torch.arange(len(targets)), targets].clamp(min=1e-12).log()
        confusion = confusion_matrix(targets, predicted, len(dataset.classes))
    examples = tuple(
        Example(i, samples.name(i), float(error[i]), float(truth[i]), float(predicted[i]), float(confidence[i]))
        for i in error.argsort(descending=True)[:WORST].tolist()
    )
    pairs = torch.stack((truth, predicted), 1) if confusion is None else None
    return Report(
        network.spec.name,
        dataset.name,
        split,
        dataset.task,
        dataset.classes,
        len(samples),
        scores_of(outputs, targets, loss, dataset),
        confusion,
        examples,
        pairs,
    )


@dataclass(frozen=True, eq=False)
class Prediction:
    """What a network says of a batch of pictures: class names and probabilities [batch, classes], or values [batch, values]."""

    labels: tuple[str, ...]
    confidence: tuple[float, ...]
    outputs: Tensor

    def table(self, classes: tuple[str, ...]) -> str:
        """The outputs as comma-separated text: a header of `classes`, then a line per picture."""
        names = classes or tuple(str(i) for i in range(self.outputs.shape[1]))
        rows = [",".join(f"{value:.6f}" for value in row) for row in self.outputs[:, : len(names)].tolist()]
        return "\n".join([",".join(names), *rows])


def predict(
    network: Network,
    images: Tensor,
    *,
    batch_size: int = 64,
    device: torch.device | str = "cpu",
    on_batch: OnBatch | None = None,
) -> Prediction:
    """Let `network` look at pictures.

    Args:
        images: float32 [batch, height, width, channels] in 0..1, of any size.

    Raises:
        InputError: The network does not read pictures, or gives no single row of numbers for one.
    """
    if network.prepare is None or len(network.spec.output_shape) != 1:
        raise InputError(
            f"{network.spec.name} does not turn a picture into one row of numbers; use a network with an image Input that ends in Linear."
        )
    device = torch.device(device)
    module = on_device(network.module, device)
    outputs = []
    with evaluating(module):
        for part in images.split(batch_size):
            outputs.append(module(network.prepare(part.permute(0, 3, 1, 2)).to(device)).float().cpu())
            if on_batch:
                on_batch(sum(map(len, outputs)), len(images))
    result = torch.cat(outputs)
    if network.task == "regression":
        labels = tuple(", ".join(f"{value:.4g}" for value in row) for row in result.tolist())
        return Prediction(labels, (1.0,) * len(result), result)
    probabilities = class_probabilities(result)
    names = network.classes or tuple(str(i) for i in range(probabilities.shape[1]))
    confidence, best = probabilities[:, : len(names)].max(1)
    return Prediction(tuple(names[i] for i in best.tolist()), tuple(confidence.tolist()), probabilities)


def activations(network: Network, images: Tensor, layer: str) -> Tensor:
    """What one layer gives for a batch of pictures, [batch, …].

    Raises:
        InputError: No such layer; names the layers there are.
    """
    names = [node.name for node in network.spec.nodes if node.name in dict(network.module.named_children())]
    if layer not in names:
        raise InputError(f"the network has no layer {layer!r}; choose one of {', '.join(names)}.")
    if network.prepare is None:
        raise InputError(f"{network.spec.name} does not read pictures; wire a network with an image Input.")
    caught: list[Tensor] = []
    handle = network.module.get_submodule(layer).register_forward_hook(
        lambda module, inputs, output: caught.append(output)
    )
    try:
        with evaluating(network.module):
            network.module(network.prepare(images.permute(0, 3, 1, 2)))
    finally:
        handle.remove()
    return caught[0]


def trained(network: Network, module: nn.Module, dataset: Dataset, prepare: Prepare | None) -> Network:
    """`network` with trained weights, and with what it learned of the dataset: task, classes, how to prepare a picture (see `prepare_for`)."""
    return replace(
        network, module=module, classes=dataset.classes, colors=dataset.colors, task=dataset.task, prepare=prepare
    )
