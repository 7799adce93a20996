"""Attention inside the UNet, where edits take hold: one processor for every layer, and what steers it.

Everything that no edit touches runs through PyTorch's fused attention, which keeps no maps.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch.nn import functional

from ...nn_layers.errors import InputError

SCOPES = ("up blocks", "all blocks")


@dataclass(frozen=True)
class Residual:
    """RLI, residual linear interpolation: self-attention gives (1 − alpha) · Attention(h) + alpha · h, h its normalised input.

    "Robust Defect Image Synthesis Using Null Embedding Optimization" (github.com/kevin20012/RLI). It has to be the same in inversion,
    optimisation and edit.

    Attributes:
        alpha: 0 for none.
        scope: "up blocks" as in the authors' code, or "all blocks".
    """

    alpha: float = 0.1
    scope: str = SCOPES[0]

    def __post_init__(self) -> None:
        if not 0 <= self.alpha < 1:
            raise InputError(f"rli is {self.alpha:g}; give 0 (off) or more, below 1, 0.1 is usual.")
        if self.scope not in SCOPES:
            raise InputError(f"rli_scope is {self.scope!r}; choose one of {', '.join(SCOPES)}.")

    def at(self, layer: Layer) -> float:
        """alpha in one layer."""
        inside = not layer.is_cross and (self.scope == SCOPES[1] or layer.place == "up")
        return self.alpha if inside else 0.0


@dataclass(frozen=True)
class Layer:
    """An attention layer: its number, whether it reads the words, and "down", "mid" or "up"."""

    number: int
    is_cross: bool
    place: str


class Control(Protocol):
    """What an edit does to attention. Queries, keys and values are [rows, heads, tokens, width]."""

    def attend(self, layer: Layer, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> torch.Tensor | None:
        """What the layer gives, [rows, heads, tokens, width]; None for plain attention."""
        ...


plain = functional.scaled_dot_product_attention


class Attend:
    """diffusers' attention processor of one layer."""

    def __init__(self, layer: Layer, control: Control | None, alpha: float):
        self.layer, self.control, self.alpha = layer, control, alpha

    def __call__(
        self,
        attn: Any,
        hidden_states: torch.Tensor,
        encoder_hidden_states: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        *_: Any,
        **__: Any,
    ) -> torch.Tensor:
        seen = hidden_states if encoder_hidden_states is None else encoder_hidden_states
        query, key, value = (
            part.unflatten(2, (attn.heads, -1)).transpose(1, 2)
            for part in (attn.to_q(hidden_states), attn.to_k(seen), attn.to_v(seen))
        )
        out = self.control.attend(self.layer, query, key, value) if self.control else None
        out = plain(query, key, value) if out is None else out
        out = attn.to_out[1](attn.to_out[0](out.transpose(1, 2).flatten(2)))
        return torch.lerp(out, hidden_states, self.alpha) if self.alpha else out


@contextmanager
def attending(unet: Any, residual: Residual, control: Control | None = None) -> Iterator[None]:
    """Let a UNet's attention follow RLI and an edit inside the block; afterwards it is as it was."""
    before = unet.attn_processors
    processors = {}
    for number, name in enumerate(before):
        layer = Layer(number, ".attn2." in name, name.partition("_")[0])
        processors[name] = Attend(layer, control, residual.at(layer))
    unet.set_attn_processor(processors)
    try:
        yield
    finally:
        unet.set_attn_processor(before)


def probabilities(query: torch.Tensor, key: torch.Tensor) -> torch.Tensor:
    """The attention map itself, [rows, heads, queries, keys]."""
    return (query @ key.transpose(-1, -2) * query.shape[-1] ** -0.5).softmax(-1)
