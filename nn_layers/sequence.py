"""Layers that read a sequence: `Attention`, `Embedding` and `Recurrent`. A sequence is length × features."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from torch import nn

from . import modules
from .errors import InputError
from .recipe import Recipe, Shape, show


@dataclass(frozen=True)
class Attention:
    """Multi-head attention: of one tensor with itself, or (two tensors) of the first asking the second.

    Takes length × features, or a feature map whose positions become the sequence and whose channels are the features.
    """

    heads: int = 4
    dropout: float = 0.0
    bias: bool = True
    causal: bool = False

    def recipe(self, query: Shape, context: Shape | None = None) -> Recipe:
        features, other = _features(query), _features(context) if context else 0
        if features % self.heads:
            raise InputError(
                f"heads = {self.heads} does not divide the {features} incoming features; choose a divisor of {features}."
            )
        options = {
            "context_features": other if other != features else 0,
            "dropout": self.dropout,
            "bias": self.bias,
            "causal": self.causal,
        }
        defaults = {"context_features": 0, "dropout": 0.0, "bias": True, "causal": False}
        return Recipe(modules.Attention, (features, self.heads), {k: v for k, v in options.items() if v != defaults[k]})


def _features(shape: Shape) -> int:
    if len(shape) not in (2, 3):
        raise InputError(
            f"attention wants length × features or a feature map, but {show(shape)} came in; put a View (unflatten) before it."
        )
    return shape[-1] if len(shape) == 2 else shape[0]


@dataclass(frozen=True)
class Embedding:
    """Tokens: a table of `count` vectors looked up by whole numbers. Positions: one learned vector added at each position."""

    type: Literal["tokens", "positions"] = "tokens"
    count: int = 1000
    features: int = 64

    def recipe(self, shape: Shape) -> Recipe:
        if self.type == "tokens":
            if len(shape) != 1:
                raise InputError(
                    f"a token embedding wants a row of whole numbers, but {show(shape)} came in; wire an Input of kind tokens."
                )
            return Recipe(nn.Embedding, (self.count, self.features))
        if len(shape) != 2:
            raise InputError(
                f"a position embedding wants length × features, but {show(shape)} came in; put a View (flatten, permute) before it."
            )
        return Recipe(modules.PositionEmbedding, shape)


@dataclass(frozen=True)
class Recurrent:
    """RNN, LSTM or GRU over a sequence; gives one vector per step, or the last only."""

    type: Literal["RNN", "LSTM", "GRU"] = "LSTM"
    hidden_size: int = 64
    layers: int = 1
    bidirectional: bool = False
    dropout: float = 0.0
    last_only: bool = True

    def recipe(self, shape: Shape) -> Recipe:
        if len(shape) != 2:
            raise InputError(
                f"{self.type} wants length × features, but {show(shape)} came in; put a View (flatten, permute) before it."
            )
        if self.dropout and self.layers == 1:
            raise InputError(
                f"dropout = {self.dropout} acts between layers, but there is one layer only; set it to 0 or use more layers."
            )
        options = {
            "layers": self.layers,
            "bidirectional": self.bidirectional,
            "dropout": self.dropout,
            "last_only": self.last_only,
        }
        defaults = {"layers": 1, "bidirectional": False, "dropout": 0.0, "last_only": False}
        changed = {key: value for key, value in options.items() if value != defaults[key]}
        return Recipe(modules.Recurrent, (self.type, shape[1], self.hidden_size), changed)
