"""The chosen metric over the training split, from what the network says of each batch while it learns; no sample is looked at twice."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from .dataset import Dataset
from .metrics import classification_scores_of, metric_names, regression_scores_of, regression_sums
from .processes import Team
from .ranking import merit
from .segmentation_metrics import pixel_scores_of
from .transforms import Mixup

HELD = 2**16  # numbers of outputs that are counted at once: small batches cost next to nothing so


class TrainMeter:
    """Sums over the batches of an epoch from which the metric follows: exact, and as small as the number of classes.

    It costs no second pass, so that it is measured as loss is: with dropout and augmentation on, on weights that change from batch to batch.
    Nothing is measured where the metric is the loss, nor under mixup, whose targets are no classes.

    Args:
        dataset: Its task and classes.
        metric: As in `FitSettings`, no longer "auto".
        device: Where outputs and targets are.
        team: The processes whose batches are counted together.
        counts: `counts` of an earlier meter, as a list, to go on from; empty to begin.
    """

    def __init__(self, dataset: Dataset, metric: str, device: torch.device, team: Team, counts: Sequence[float] = ()):
        names = metric_names(metric)
        mixed = any(isinstance(transform, Mixup) for transform in dataset.transforms)
        self.measures = not mixed and any(name != "loss" for name in names)
        self.names, self.task, self.classes, self.team = names, dataset.task, len(dataset.classes), team
        self.place = torch.device("cpu") if device.type == "mps" else device  # which has no float64
        self.waiting: list[tuple[Tensor, Tensor]] = []
        self.held = 0
        regression = dataset.task == "regression"
        shape, kind = ((5, self.classes), torch.float64) if regression else ((3, self.classes), torch.int64)
        self._counts = torch.zeros(shape, dtype=kind, device=self.place)
        if len(counts) == self._counts.numel():
            self._counts = torch.tensor(counts, dtype=kind, device=self.place).view(shape)

    def add(self, outputs: Tensor, targets: Tensor) -> None:
        """Take a batch: what the network says, as the loss is handed it, and what is right."""
        if not self.measures:
            return
        self.waiting.append((outputs.detach(), targets))
        self.held += outputs.numel()
        if self.held >= HELD or self.team.world > 1:  # a team's processes count in step with each other
            self._count()

    @property
    def counts(self) -> Tensor:
        """Everything so far: int64 [3, classes] (see `class_counts`), or for regression float64 [5, values] (see `regression_sums`)."""
        if self.waiting:
            self._count()
        return self._counts

    @counts.setter
    def counts(self, counts: Tensor) -> None:
        """Go back to what was counted earlier."""
        self._counts, self.waiting, self.held = counts, [], 0

    def reset(self) -> None:
        """Begin another epoch."""
        self.counts = torch.zeros_like(self._counts)

    def score(self, loss: float) -> float | None:
        """The metric of what was counted, NaN if it cannot be measured; None if nothing was. A sum of metrics may have the `loss` in it."""
        counts = self.counts.cpu()
        if not self.measures or not counts.any():
            return None
        scores = {"loss": loss, **SCORES[self.task](counts)}
        return scores[self.names[0]] if len(self.names) == 1 else merit(scores, self.names)

    def _count(self) -> None:
        outputs, targets = (torch.cat(parts).to(self.place) for parts in zip(*self.waiting, strict=True))
        self.waiting, self.held = [], 0
        if self.task == "regression":
            part = regression_sums(targets, outputs)
        else:
            part = class_counts(predicted_classes(outputs, self.classes), targets, self.classes)
        self._counts = self._counts + self.team.sum(part)


SCORES: dict[str, Callable[[Tensor], dict[str, float]]] = {
    "classification": classification_scores_of,
    "segmentation": lambda counts: pixel_scores_of(counts).averages(),
    "regression": regression_scores_of,
}


def predicted_classes(outputs: Tensor, classes: int) -> Tensor:
    """Logits [batch, channels, …] → int64 [batch, …]; a single channel says whether it is the second of two classes."""
    if outputs.shape[1] == 1:
        return (outputs[:, 0] > 0).long()
    return outputs[:, :classes].max(1).indices  # argmax takes ten times as long on a CPU


def class_counts(predicted: Tensor, targets: Tensor, classes: int) -> Tensor:
    """int64 [3, classes]: how many were rightly taken for each class, were taken for it, and are of it; targets from `classes` on do not count.

    Nothing is read from the device, so that a GPU is not waited for.
    """
    predicted, targets = (labels.reshape(-1, labels.shape[-1]) for labels in (predicted, targets))
    counted = targets < classes
    targets, ones = targets.where(counted, 0), counted.long()
    hits = ones * (predicted == targets)
    zeros = torch.zeros(
        len(targets), classes, dtype=torch.int64, device=targets.device
    )  # by row: one sum for all would be a bottleneck

    def count(labels: Tensor, amounts: Tensor) -> Tensor:
        return zeros.scatter_add(1, labels, amounts).sum(0)

    return torch.stack((count(targets, hits), count(predicted, ones), count(targets, ones)))
