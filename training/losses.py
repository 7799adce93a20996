"""Losses: what training makes small. A `Loss` or a `LossSum` says which; `build` makes the module."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ..nn_layers import Activation, InputError, NetworkSpec
from .class_losses import BinaryCrossEntropy, CrossEntropy, Focal, NegativeLogLikelihood
from .dataset import Dataset
from .region_losses import Lovasz, Tversky

__all__ = [
    "LOSSES",
    "REGION",
    "REGRESSION",
    "BinaryCrossEntropy",
    "CrossEntropy",
    "Focal",
    "Loss",
    "LossSum",
    "Lovasz",
    "NegativeLogLikelihood",
    "Tversky",
    "check_loss",
    "read_numbers",
]


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
        false_positives: Tversky's α: what a pixel falsely taken for a class costs.
        false_negatives: Tversky's β: what a missed pixel costs; above α for classes that must not be missed.
        exponent: Of Tversky's loss of each class (focal Tversky); 1 for none.
        smooth: Pixels that dice, jaccard and tversky count as right from the start.
    """

    type: str = "cross entropy"
    class_weights: tuple[float, ...] = ()
    label_smoothing: float = 0.0
    gamma: float = 2.0
    alpha: tuple[float, ...] = ()
    delta: float = 1.0
    false_positives: float = 0.3
    false_negatives: float = 0.7
    exponent: float = 1.0
    smooth: float = 1.0

    @property
    def terms(self) -> tuple[tuple[float, Loss], ...]:
        """The loss as a sum of one."""
        return ((1.0, self),)

    @property
    def title(self) -> str:
        """For tables: the type."""
        return self.type

    def build(self) -> nn.Module:
        """The loss as a module: (outputs, targets) → one number, the mean over the batch."""
        return LOSSES[self.type](self)


@dataclass(frozen=True)
class LossSum:
    """A weighted sum of losses, such as Dice + cross entropy. A sum within a sum is flattened, its weights multiplied.

    Attributes:
        terms: (weight, loss) of each; a loss of weight 0 is left out.
    """

    terms: tuple[tuple[float, Loss | LossSum], ...]

    def __post_init__(self):
        flat = tuple((float(outer * inner), loss) for outer, term in self.terms for inner, loss in term.terms)
        object.__setattr__(self, "terms", flat)

    @property
    def title(self) -> str:
        """For tables, such as "focal + 0.5 × tversky"."""
        return " + ".join(loss.title if weight == 1 else f"{weight:g} × {loss.title}" for weight, loss in self.terms)

    def build(self) -> nn.Module:
        """The sum as a module: (outputs, targets) → one number."""
        return _Sum([(weight, loss.build()) for weight, loss in self.terms if weight])


class _Sum(nn.Module):
    """Σ weight × loss."""

    def __init__(self, terms: list[tuple[float, nn.Module]]):
        super().__init__()
        self.weights = [weight for weight, _ in terms]
        self.losses = nn.ModuleList(loss for _, loss in terms)

    def forward(self, outputs: Tensor, targets: Tensor) -> Tensor:
        values = [weight * loss(outputs, targets) for weight, loss in zip(self.weights, self.losses, strict=True)]
        return torch.stack(values).sum()


LOSSES: dict[str, Callable[[Loss], nn.Module]] = {
    "cross entropy": lambda loss: CrossEntropy(loss.class_weights, loss.label_smoothing),
    "binary cross entropy": lambda loss: BinaryCrossEntropy(loss.class_weights),
    "focal": lambda loss: Focal(loss.gamma, loss.alpha),
    "negative log likelihood": lambda loss: NegativeLogLikelihood(loss.class_weights),
    "dice": lambda loss: Tversky(0.5, 0.5, loss.smooth, class_weights=loss.class_weights),
    "jaccard": lambda loss: Tversky(1.0, 1.0, loss.smooth, class_weights=loss.class_weights),
    "tversky": lambda loss: Tversky(
        loss.false_positives, loss.false_negatives, loss.smooth, loss.exponent, loss.class_weights
    ),
    "lovasz": lambda loss: Lovasz(loss.class_weights),
    "mean squared error": lambda loss: nn.MSELoss(),
    "mean absolute error": lambda loss: nn.L1Loss(),
    "huber": lambda loss: nn.HuberLoss(delta=loss.delta),
}
REGRESSION = ("mean squared error", "mean absolute error", "huber")
REGION = ("dice", "jaccard", "tversky", "lovasz")
SINGLE_OUTPUT = ("binary cross entropy", *REGION)
"""Losses that can tell two classes apart by one output."""


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


def check_loss(loss: Loss | LossSum, spec: NetworkSpec, dataset: Dataset) -> list[str]:
    """Refuse a loss that cannot work with this network and dataset; return warnings about one that works badly.

    Raises:
        InputError: The wrong kind of loss, the wrong number of weights, or a network whose outputs do not match the classes.
    """
    weights = [weight for weight, _ in loss.terms]
    if not any(weights) or not all(math.isfinite(weight) and weight >= 0 for weight in weights):
        raise InputError(
            f"the weights of the summed losses are {_listed(f'{weight:g}' for weight in weights) or 'none'}; give each loss a weight of 0 or more, "
            f"and at least one a weight above 0."
        )
    warnings: list[str] = []
    for weight, term in loss.terms:
        if weight:
            warnings += _check_term(term, spec, dataset)
    return list(dict.fromkeys(warnings))


def _check_term(loss: Loss, spec: NetworkSpec, dataset: Dataset) -> list[str]:
    if loss.type not in LOSSES:
        raise InputError(f"loss {loss.type!r} is unknown; choose one of {', '.join(LOSSES)}.")
    if loss.type not in (fitting := _fitting(dataset.task)):
        raise InputError(f"loss {loss.type} does not suit {dataset.task}; choose one of {', '.join(fitting)}.")
    classes = len(dataset.classes)
    _check_settings(loss, dataset)
    _check_shape(spec, dataset)
    return [*_check_width(loss, spec.output_shape[0], classes, dataset), *_check_activation(loss, spec)]


def _fitting(task: str) -> tuple[str, ...]:
    """The losses that suit a task."""
    if task == "regression":
        return REGRESSION
    return tuple(name for name in LOSSES if name not in REGRESSION and (task == "segmentation" or name not in REGION))


def _listed(names) -> str:
    """Names for a sentence, the first ten of them."""
    names = list(names)
    return ", ".join(names[:10]) + (", …" if len(names) > 10 else "")


def _check_settings(loss: Loss, dataset: Dataset) -> None:
    """Refuse factors that are too many, too few or no sensible numbers."""
    classes = len(dataset.classes)
    for name in ("class_weights", "alpha"):
        numbers = getattr(loss, name)
        if len(numbers) not in (0, classes):
            raise InputError(
                f"{name} has {len(numbers)} numbers, but {dataset.name} has {classes} classes ({_listed(dataset.classes)}); give one number "
                f"per class, or none."
            )
        if numbers and not (all(math.isfinite(number) and number >= 0 for number in numbers) and any(numbers)):
            raise InputError(
                f"{name} is {_listed(f'{number:g}' for number in numbers)}; every number must be 0 or more, and one of them above 0."
            )
    for name, lowest, highest in LIMITS:
        if not lowest <= getattr(loss, name) <= highest:
            raise InputError(
                f"{name} of loss {loss.type} is {getattr(loss, name):g}; choose a number from {lowest:g} to {highest:g}."
            )
    if loss.type == "tversky" and loss.false_positives + loss.false_negatives == 0:
        raise InputError("false_positives and false_negatives are both 0, so nothing costs anything; try 0.3 and 0.7.")


LIMITS = (
    ("label_smoothing", 0.0, 1.0),
    ("gamma", 0.0, 100.0),
    ("false_positives", 0.0, 1000.0),
    ("false_negatives", 0.0, 1000.0),
    ("exponent", 0.01, 100.0),
    ("smooth", 0.0, 1e6),
    ("delta", 1e-6, 1e6),
)
"""Setting, and the least and the most that it may be."""


def _check_shape(spec: NetworkSpec, dataset: Dataset) -> None:
    """Refuse a network that ends in a map where a row is needed, or in a row or a smaller map where a map is."""
    classes, shape = len(dataset.classes), spec.output_shape
    given = " × ".join(map(str, shape))
    if dataset.task != "segmentation":
        if len(shape) != 1:
            raise InputError(
                f"the network gives {given} for a sample, but {dataset.task} needs one row of {classes} numbers; end it with "
                f"Pooling (global) or View (flatten) and Linear."
            )
        return
    if len(shape) != 3:
        raise InputError(
            f"the network gives {given} for a picture, but segmentation needs a map of {classes} × height × width; end it with Conv "
            f"(out_channels {classes}) without View or Linear before it."
        )
    wanted = spec.input_shape[-2:]
    if shape[-2:] != wanted:
        raise InputError(
            f"the network gives a map of {shape[1]} × {shape[2]} for a picture of {wanted[0]} × {wanted[1]}, but segmentation needs every pixel; "
            f"end it with Upsample to the size of the picture."
        )


def _check_width(loss: Loss, width: int, classes: int, dataset: Dataset) -> list[str]:
    if width == classes or (loss.type in SINGLE_OUTPUT and width == 1 and classes == 2):
        return []
    maps = dataset.task == "segmentation"
    fix = (
        f"set out_channels of the last Conv to {classes}"
        if maps
        else f"set out_features of the last Linear to {classes}"
    )
    what = f"gives {width} channels" if maps else f"gives {width} numbers"
    if width < classes or dataset.task == "regression":
        named = f" ({_listed(dataset.classes)})" if maps else ""
        raise InputError(f"the network's last layer {what}, but {dataset.name} has {classes} classes{named}; {fix}.")
    return [
        f"The network's last layer {what}, but {dataset.name} has {classes} classes: {width - classes} of them stay unused; {fix}."
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
