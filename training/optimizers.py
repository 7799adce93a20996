"""Optimizers and learning-rate schedules. An `Optimizer` says which; `build` makes torch's."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from torch import nn

from ..nn_layers import InputError

MAX_LEARNING_RATE = 100.0
LIMITS = {
    "weight_decay": (0, 1e6),
    "momentum": (0, 0.99999),
    "beta1": (0, 0.99999),
    "beta2": (0, 0.999999),
    "warmup": (0, 1e9),
    "final": (0, 1),
    "power": (0, 1000),
    "end": (0, 1e9),
    "every": (1, 1e9),
    "factor": (0, 1),
    "clip": (0, 1e9),
}
"""Setting, and the least and the most that it may be; a negative `clip` would turn the gradients round."""


@dataclass(frozen=True)
class Optimizer:
    """Which optimizer, its settings, and how the learning rate goes; each type reads only those it knows.

    Attributes:
        type: A key of `OPTIMIZERS`.
        learning_rate: The highest, after warm-up.
        weight_decay: AdamW's is decoupled (arXiv:1711.05101); the others add it to the gradient.
        schedule: A key of `SCHEDULES`.
        warmup: Optimizer steps in which the rate rises from zero in a straight line.
        final: What cosine and poly end at, as a share of the learning rate.
        power: Of poly.
        eta_min: What poly ends at, as a learning rate; the higher of it and `final` holds.
        end: Step at which poly, cosine and one cycle come to their end and stay; 0 for the last of training.
        every: Epochs after which the schedule "step" multiplies the rate by `factor`.
        clip: Largest norm of all gradients together; 0 for no limit.
    """

    type: str = "AdamW"
    learning_rate: float = 1e-3
    weight_decay: float = 0.01
    momentum: float = 0.9
    nesterov: bool = False
    beta1: float = 0.9
    beta2: float = 0.999
    schedule: str = "cosine"
    warmup: int = 0
    final: float = 0.0
    power: float = 0.9
    eta_min: float = 0.0
    end: int = 0
    every: int = 10
    factor: float = 0.1
    clip: float = 0.0

    def build(self, parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
        """The optimizer over `parameters`."""
        return OPTIMIZERS[self.type](self, list(parameters))

    def rate(self, step: int, steps: int, steps_per_epoch: int) -> float:
        """The learning rate of optimizer step `step`, counted from 0, out of `steps`."""
        warm = min(1.0, (step + 1) / (self.warmup + 1))
        done = min(1.0, max(0, step - self.warmup) / max(1, (self.end or steps) - self.warmup))
        return self.learning_rate * warm * SCHEDULES[self.schedule](self, done, step // max(1, steps_per_epoch))

    def check(self) -> None:
        """Refuse settings that cannot train.

        Raises:
            InputError: An unknown name, or a learning rate that is not a number that anyone trains with.
        """
        for name, table in (("type", OPTIMIZERS), ("schedule", SCHEDULES)):
            if getattr(self, name) not in table:
                raise InputError(
                    f"optimizer {name} {getattr(self, name)!r} is unknown; choose one of {', '.join(table)}."
                )
        if not 0 < self.learning_rate <= MAX_LEARNING_RATE:
            raise InputError(
                f"learning_rate is {self.learning_rate:g}; choose one above 0 and at most {MAX_LEARNING_RATE:g}, usually 0.0001 to 0.1."
            )
        for name, (least, most) in LIMITS.items():
            if not least <= (value := getattr(self, name)) <= most:
                raise InputError(f"{name} is {value:g}; choose a number from {least:g} to {most:g}.")
        if self.schedule == "poly" and not 0 <= self.eta_min <= self.learning_rate:
            raise InputError(
                f"eta_min is {self.eta_min:g}, but the schedule goes down from learning_rate {self.learning_rate:g}; choose one from 0 to that."
            )
        if self.end and self.end <= self.warmup:
            raise InputError(
                f"end is step {self.end}, but warmup alone takes {self.warmup} steps; choose a later end, or 0 for the last step."
            )


def _betas(o: Optimizer) -> tuple[float, float]:
    return o.beta1, o.beta2


OPTIMIZERS: dict[str, Callable[[Optimizer, list[nn.Parameter]], torch.optim.Optimizer]] = {
    "AdamW": lambda o, p: torch.optim.AdamW(p, o.learning_rate, _betas(o), weight_decay=o.weight_decay, fused=True),
    "Adam": lambda o, p: torch.optim.Adam(p, o.learning_rate, _betas(o), weight_decay=o.weight_decay, fused=True),
    "SGD": lambda o, p: torch.optim.SGD(
        p, o.learning_rate, o.momentum, weight_decay=o.weight_decay, nesterov=o.nesterov and o.momentum > 0, fused=True
    ),
    "RMSprop": lambda o, p: torch.optim.RMSprop(p, o.learning_rate, momentum=o.momentum, weight_decay=o.weight_decay),
    "Adagrad": lambda o, p: torch.optim.Adagrad(p, o.learning_rate, weight_decay=o.weight_decay),
    "Adadelta": lambda o, p: torch.optim.Adadelta(p, o.learning_rate, weight_decay=o.weight_decay),
    "Adamax": lambda o, p: torch.optim.Adamax(p, o.learning_rate, _betas(o), weight_decay=o.weight_decay),
    "NAdam": lambda o, p: torch.optim.NAdam(p, o.learning_rate, _betas(o), weight_decay=o.weight_decay),
    "RAdam": lambda o, p: torch.optim.RAdam(p, o.learning_rate, _betas(o), weight_decay=o.weight_decay),
}


def _one_cycle(o: Optimizer, done: float, epoch: int) -> float:
    """Up from 1/25 over the first 30 %, then down to 1/10,000 (Smith & Topin 2019, arXiv:1708.07120)."""
    low, high, part = (1 / 25, 1.0, done / 0.3) if done < 0.3 else (1e-4, 1.0, 1 - (done - 0.3) / 0.7)
    return low + (high - low) * (1 - math.cos(math.pi * part)) / 2


def _poly(o: Optimizer, done: float, epoch: int) -> float:
    """(rate − eta_min) (1 − done)^power + eta_min, by step, as a share of the rate: PolyLR of mmsegmentation and DeepLab (arXiv:1606.00915)."""
    least = max(o.final, o.eta_min / o.learning_rate)
    return least + (1 - least) * (1 - done) ** o.power


SCHEDULES: dict[str, Callable[[Optimizer, float, int], float]] = {
    "constant": lambda o, done, epoch: 1.0,
    "cosine": lambda o, done, epoch: o.final + (1 - o.final) * (1 + math.cos(math.pi * done)) / 2,
    "poly": _poly,
    "step": lambda o, done, epoch: o.factor ** (epoch // max(1, o.every)),
    "one cycle": _one_cycle,
}
"""Share of the learning rate by progress (0..1 after warm-up) and epoch."""
