"""Symbolic tensors: what travels on the wires while a network is being drawn, and how their shapes are found."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Literal, Protocol

import torch

from .errors import InputError
from .meta import Meta, TooSlowError
from .recipe import Recipe, Shape, show

BATCH = 2  # BatchNorm refuses one sample, and a layer that swallows the batch dimension shows with any number above 1
MAX_PARAMETERS = 4_000_000_000  # 16 GB of float32 weights: more is a slip of the finger, or a file made to hurt
MAX_NUMBERS = 1_000_000_000  # in one activation of one sample
MAX_LAYERS = 20_000  # in one network


class Layer(Protocol):
    """Settings of one layer; see `layers.py` for what an implementation looks like."""

    def recipe(self, *shapes: Shape) -> Recipe:
        """The module that fits the incoming `shapes`, or an `InputError`."""
        ...


@dataclass(frozen=True)
class Input:
    """Where data enters the network. `shape` has no batch: channels × height × width for a picture, one number for features."""

    kind: Literal["image", "features", "sequence", "tokens", "signal", "volume"] = "image"
    shape: tuple[int, ...] = (3, 224, 224)

    @property
    def dtype(self) -> torch.dtype:
        """Tokens are whole numbers, everything else is float32."""
        return torch.int64 if self.kind == "tokens" else torch.float32

    def recipe(self) -> Recipe:
        raise InputError("an Input is where data enters; it makes no module.")


@dataclass(frozen=True, eq=False)
class SymbolicTensor:
    """A tensor of a network that is being drawn: who made it, from what, and its shape. Immutable, and holds no weights.

    Attributes:
        layer: The layer that made it.
        inputs: The tensors that the layer read.
        shape: Without the batch dimension.
        parameters: Weights of this one layer.
        macs: Multiply-adds of this one layer for one sample.
        weights: Where trained weights of this layer come from, if it is part of a saved network.
        frozen: Whether training leaves the layer as it is.
    """

    layer: Layer
    inputs: tuple[SymbolicTensor, ...] = field(repr=False)
    shape: Shape
    dtype: torch.dtype = torch.float32
    parameters: int = 0
    macs: int = 0
    weights: WeightSource | None = None
    frozen: bool = False


@dataclass(frozen=True)
class WeightSource:
    """One layer's weights inside a safetensors file: the keys that start with `prefix`."""

    file: Path
    prefix: str


@dataclass(frozen=True)
class Inferred:
    """What running a layer on the meta device tells about it; see `SymbolicTensor` for the units."""

    shape: Shape
    dtype: torch.dtype
    parameters: int
    macs: int


def input_tensor(layer: Input) -> SymbolicTensor:
    """The tensor where data enters a network."""
    if not layer.shape or any(size < 1 for size in layer.shape):
        raise InputError(f"Input: every size must be at least 1, but the shape is {show(layer.shape)}; correct it.")
    _check_numbers("Input", layer.shape)
    return SymbolicTensor(layer, (), tuple(layer.shape), layer.dtype)


def apply(layer: Layer, *inputs: SymbolicTensor) -> SymbolicTensor:
    """Put `layer` behind `inputs` and infer the shape of what comes out.

    Costs the same however deep the drawing already is, and allocates no weights.

    Raises:
        InputError: The layer does not accept what came in.
    """
    found = infer(layer, tuple(t.shape for t in inputs), tuple(t.dtype for t in inputs))
    return SymbolicTensor(layer, inputs, found.shape, found.dtype, found.parameters, found.macs)


@lru_cache(maxsize=16_384)
def infer(layer: Layer, shapes: tuple[Shape, ...], dtypes: tuple[torch.dtype, ...]) -> Inferred:
    """Make the layer on the meta device, run it once on tensors that hold no numbers, and read off what it gives."""
    kind = type(layer).__name__
    try:
        recipe = untrained(layer).recipe(*shapes)
        meta = Meta()
        module = meta.build(recipe.build)
        inputs = [
            torch.empty(BATCH, *shape, dtype=dtype, device="meta") for shape, dtype in zip(shapes, dtypes, strict=True)
        ]
        output, macs = meta.run(module, inputs)
    except InputError as error:
        raise InputError(f"{kind}: {error}") from None
    except TooSlowError:
        raise
    except Exception as error:
        came = " and ".join(map(show, shapes))
        raise InputError(
            f"{kind}: {_first_line(error)} ({came} came in); change the layer's settings or what is wired into it."
        ) from error
    if output.dim() < 1 or output.shape[0] != BATCH:
        raise InputError(
            f"{kind}: the batch dimension got lost ({' and '.join(map(show, shapes))} came in); keep it out of the layer's sizes."
        )
    parameters = sum(p.numel() for p in module.parameters())
    if parameters > MAX_PARAMETERS:
        raise InputError(
            f"{kind}: this layer alone would have {parameters:,} parameters; the limit is {MAX_PARAMETERS:,}, so make it smaller."
        )
    shape = tuple(output.shape[1:])
    _check_numbers(kind, shape)
    return Inferred(shape, output.dtype, parameters, macs // BATCH)


def untrained(layer: Layer) -> Layer:
    """The same layer, except that it does not fetch pretrained weights."""
    return replace(layer, pretrained=False) if getattr(layer, "pretrained", False) else layer


def _check_numbers(kind: str, shape: Shape) -> None:
    numbers = 1
    for size in shape:
        numbers *= size
    if numbers > MAX_NUMBERS:
        raise InputError(
            f"{kind}: {show(shape)} is {numbers:,} numbers for one sample; the limit is {MAX_NUMBERS:,}, so make it smaller."
        )


def _first_line(error: Exception) -> str:
    text = str(error).strip().splitlines() or [type(error).__name__]
    return text[0].rstrip(".")


def walk(outputs: tuple[SymbolicTensor, ...], until: SymbolicTensor | None = None) -> list[SymbolicTensor]:
    """Every tensor that `outputs` depend on, makers before readers; does not look past `until`.

    The order depends on the drawing alone, not on when its parts were made.
    """
    done: dict[int, SymbolicTensor] = {}
    stack = [(tensor, False) for tensor in reversed(outputs)]
    while stack:
        tensor, ready = stack.pop()
        if id(tensor) in done:
            continue
        if ready:
            done[id(tensor)] = tensor
            continue
        stack.append((tensor, True))
        if tensor is not until:
            stack.extend((source, False) for source in reversed(tensor.inputs))
    return list(done.values())


def repeat(start: SymbolicTensor, end: SymbolicTensor, times: int) -> SymbolicTensor:
    """The block drawn from `start` (where it begins) to `end` (what it gives), `times` times in a row, each with weights of its own.

    Tensors from outside the block stay wired into every copy.

    Raises:
        InputError: `end` does not come from `start`, or a copy does not fit behind the one before.
    """
    block = walk((end,), until=start)
    inside = {id(start)}
    for tensor in block:
        if any(id(source) in inside for source in tensor.inputs):
            inside.add(id(tensor))
    if end is start or id(end) not in inside:
        raise InputError(
            "Repeat: the end of the block does not come from its start; wire start to where the block begins and end to its last layer."
        )
    if len(inside) * times > MAX_LAYERS:
        raise InputError(
            f"Repeat: {times} blocks of {len(inside) - 1} layers are more than {MAX_LAYERS:,} layers; repeat fewer."
        )
    result = end
    for _ in range(times - 1):
        copies = {id(start): result}
        for tensor in block:
            if id(tensor) in inside and tensor is not start:
                copies[id(tensor)] = _again(tensor, tuple(copies.get(id(source), source) for source in tensor.inputs))
        result = copies[id(end)]
    return result


def _again(tensor: SymbolicTensor, inputs: tuple[SymbolicTensor, ...]) -> SymbolicTensor:
    try:
        copy = apply(tensor.layer, *inputs)
    except InputError as error:
        raise InputError(
            f"Repeat: the block does not fit behind itself, because {error} Make its end the shape of its start."
        ) from error
    return replace(copy, weights=tensor.weights, frozen=tensor.frozen)
