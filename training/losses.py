"""Losses: what training makes small. A `Loss` says which; `build` makes the module."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..nn_layers import Activation, InputError, NetworkSpec
from .dataset import Dataset

Function = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class Loss:
    """Which loss, and its settings; each type reads only those it knows.

    Attributes:
        type: A key of `LOSSES`.
        class_weights: One factor per class, for rare classes; empty for none.
        label_smoothing: Share of the target that is spread over all classes (Szegedy et al. 2016, arXiv:1512.00567).
        gamma: How strongly focal loss turns away from what is easy already.
        alpha: Focal loss's factor per class; empty for none.
        delta: Where Huber loss turns from square to straight.
    """

    type: str = "cross entropy"
    class_weights: tuple[float, ...] = ()
    label_smoothing: float = 0.0
    gamma: float = 2.0
    alpha: tuple[float, ...] = ()
    delta: float = 1.0

    def build(self) -> nn.Module:
        """The loss as a module: (outputs, targets) → one number, the mean over the batch."""
        return LOSSES[self.type](self)


class Focal(nn.Module):
    """Focal loss over a softmax: mean of −α_y (1 − p_y)^γ log p_y (Lin et al. 2017, arXiv:1708.02002, equation 5).

    Takes logits [batch, classes] and class numbers [batch] or soft targets [batch, classes].
    """

    def __init__(self, gamma: float, alpha: tuple[float, ...] = ()):
        super().__init__()
        self.gamma = gamma
        self.register_buffer("alpha", torch.tensor(alpha) if alpha else None)

    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        log_p = logits.log_softmax(1)
        loss = -((1 - log_p.exp()) ** self.gamma) * log_p
        if self.alpha is not None:
            loss = loss * self.alpha
        if targets.is_floating_point():
            return (loss * targets).sum(1).mean()
        return loss.gather(1, targets[:, None]).mean()


class BinaryCrossEntropy(nn.Module):
    """Binary cross entropy on logits: one yes-or-no question per output (two classes may share a single output)."""

    def __init__(self, class_weights: tuple[float, ...]):
        super().__init__()
        self.register_buffer("weight", torch.tensor(class_weights) if class_weights else None)

    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        if not targets.is_floating_point():
            targets = (
                targets[:, None].to(logits) if logits.shape[1] == 1 else F.one_hot(targets, logits.shape[1]).to(logits)
            )
        return F.binary_cross_entropy_with_logits(logits, targets, self.weight)


class NegativeLogLikelihood(nn.Module):
    """Mean of −w_y log p_y for a network that ends in a LogSoftmax."""

    def __init__(self, class_weights: tuple[float, ...]):
        super().__init__()
        self.register_buffer("weight", torch.tensor(class_weights) if class_weights else None)

    def forward(self, log_p: Tensor, targets: Tensor) -> Tensor:
        if targets.is_floating_point():
            return -(targets * log_p * (1 if self.weight is None else self.weight)).sum(1).mean()
        return F.nll_loss(log_p, targets, self.weight)


def _cross_entropy(loss: Loss) -> nn.Module:
    weight = torch.tensor(loss.class_weights) if loss.class_weights else None
    return nn.CrossEntropyLoss(weight, label_smoothing=loss.label_smoothing)


LOSSES: dict[str, Callable[[Loss], nn.Module]] = {
    "cross entropy": _cross_entropy,
    "binary cross entropy": lambda loss: BinaryCrossEntropy(loss.class_weights),
    "focal": lambda loss: Focal(loss.gamma, loss.alpha),
    "negative log likelihood": lambda loss: NegativeLogLikelihood(loss.class_weights),
    "mean squared error": lambda loss: nn.MSELoss(),
    "mean absolute error": lambda loss: nn.L1Loss(),
    "huber": lambda loss: nn.HuberLoss(delta=loss.delta),
}
REGRESSION = ("mean squared error", "mean absolute error", "huber")


def read_numbers(text: str, name: str) -> tuple[float, ...]:
    """Numbers from a text field, divided by commas, spaces or line ends; brackets around them are ignored.

    Raises:
        InputError: Something else stands in the text; `name` says in which field.
    """
    words = text.strip().strip("[]()").replace(",", " ").split()
    try:
        return tuple(float(word) for word in words)
    except ValueError:
        raise InputError(f"{name} is {text!r}; write numbers divided by commas, such as 0.1, 0.3, 0.6.") from None


def check_loss(loss: Loss, spec: NetworkSpec, dataset: Dataset) -> list[str]:
    """Refuse a loss that cannot work with this network and dataset; return warnings about one that works badly.

    Raises:
        InputError: The wrong kind of loss, the wrong number of weights, or a network whose outputs do not match the classes.
    """
    if loss.type not in LOSSES:
        raise InputError(f"loss {loss.type!r} is unknown; choose one of {', '.join(LOSSES)}.")
    if (loss.type in REGRESSION) != (dataset.task == "regression"):
        fitting = ", ".join(
            REGRESSION if dataset.task == "regression" else [name for name in LOSSES if name not in REGRESSION]
        )
        raise InputError(f"loss {loss.type} does not suit {dataset.task}; choose one of {fitting}.")
    classes, shape = len(dataset.classes), spec.output_shape
    for name in ("class_weights", "alpha"):
        if (count := len(getattr(loss, name))) not in (0, classes):
            raise InputError(
                f"{name} has {count} numbers, but {dataset.name} has {classes} classes; give one number per class, or none."
            )
    if len(shape) != 1:
        raise InputError(
            f"the network gives {' × '.join(map(str, shape))} for a sample, but {dataset.task} needs one row of {classes} numbers; end it with "
            f"Pooling (global) or View (flatten) and Linear."
        )
    return [*_check_width(loss, shape[0], classes, dataset), *_check_activation(loss, spec)]


def _check_width(loss: Loss, width: int, classes: int, dataset: Dataset) -> list[str]:
    single = loss.type == "binary cross entropy" and width == 1 and classes == 2
    if width == classes or single:
        return []
    fix = f"set out_features of the last Linear to {classes}"
    if width < classes or dataset.task == "regression":
        raise InputError(
            f"the network's last layer gives {width} numbers, but {dataset.name} has {classes} classes; {fix}."
        )
    return [
        f"The network's last layer gives {width} numbers, but {dataset.name} has {classes} classes: {width - classes} of them stay unused; {fix}."
    ]


def _check_activation(loss: Loss, spec: NetworkSpec) -> list[str]:
    last = next(node.layer for node in spec.nodes if node.name == spec.outputs[0])
    name = last.type if isinstance(last, Activation) else ""
    if loss.type == "negative log likelihood":
        return (
            []
            if name == "LogSoftmax"
            else ["Negative log likelihood wants a network that ends in LogSoftmax; add one, or use cross entropy."]
        )
    if name in ("Softmax", "LogSoftmax", "Sigmoid", "LogSigmoid") and loss.type not in REGRESSION:
        return [
            f"The network ends in {name}, but {loss.type} brings its own; remove the last Activation, or it will learn slowly and badly."
        ]
    if name == "ReLU" and loss.type not in REGRESSION:
        return [f"The network ends in ReLU, so {loss.type} never sees a negative number; remove the last Activation."]
    return []
