"""Layers that reshape or join tensors and hold no weights: `View` and `Merge`."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

from torch import nn

from . import modules
from .errors import InputError
from .layers import module_dim
from .recipe import Recipe, Shape, show


@dataclass(frozen=True)
class View:
    """Give a tensor another shape; the batch dimension stays out of it and is never named.

    `sizes` is the new shape (reshape), the new order (permute) or what `dim` becomes (unflatten); one size may be -1.
    """

    type: str = "flatten"
    sizes: tuple[int, ...] = ()
    dim: int = 0
    end_dim: int = -1
    factor: int = 2

    def recipe(self, shape: Shape) -> Recipe:
        if self.type not in VIEWS:
            raise InputError(f"view {self.type!r} is unknown; choose one of {', '.join(VIEWS)}.")
        extra = self.type == "unsqueeze"
        for name in ("dim", "end_dim") if self.type == "flatten" else ("dim",):
            value, count = getattr(self, name), len(shape) + extra
            if not -count <= value < count:
                raise InputError(
                    f"{name} = {value}, but {show(shape)} has dimensions 0 to {count - 1}; choose one of them."
                )
        return VIEWS[self.type](self, shape)


def _reshape(view: View, shape: Shape) -> Recipe:
    _check_product(view.sizes, math.prod(shape), f"the {math.prod(shape)} numbers of {show(shape)}")
    return Recipe(modules.Reshape, view.sizes)


def _unflatten(view: View, shape: Shape) -> Recipe:
    size = shape[view.dim]
    _check_product(view.sizes, size, f"the {size} numbers of dimension {view.dim} of {show(shape)}")
    return Recipe(nn.Unflatten, (module_dim(view.dim), view.sizes))


def _check_product(sizes: tuple[int, ...], total: int, what: str) -> None:
    known = math.prod(size for size in sizes if size != -1)
    fits = known == total if -1 not in sizes else known > 0 and total % known == 0
    if not sizes or sizes.count(-1) > 1 or any(size < 1 and size != -1 for size in sizes) or not fits:
        raise InputError(
            f"sizes {list(sizes)} cannot hold {what}; give sizes whose product is {total}, one of them may be -1."
        )


def _permute(view: View, shape: Shape) -> Recipe:
    if sorted(view.sizes) != list(range(len(shape))):
        raise InputError(
            f"sizes {list(view.sizes)} is not an order of the dimensions of {show(shape)}; name each of 0 to {len(shape) - 1} once."
        )
    return Recipe(modules.Permute, view.sizes)


def _squeeze(view: View, shape: Shape) -> Recipe:
    if shape[view.dim] != 1:
        raise InputError(
            f"dimension {view.dim} of {show(shape)} has size {shape[view.dim]}, not 1; choose a dimension of size 1."
        )
    return Recipe(modules.Squeeze, (module_dim(view.dim),))


def _shuffle(view: View, shape: Shape) -> Recipe:
    if len(shape) != 3 or shape[0] % view.factor**2:
        raise InputError(
            f"pixel shuffle by {view.factor} wants channels × height × width with channels divisible by {view.factor**2}, but "
            f"{show(shape)} came in; put a Conv with a fitting number of channels before it."
        )
    return Recipe(nn.PixelShuffle, (view.factor,))


def _unshuffle(view: View, shape: Shape) -> Recipe:
    if len(shape) != 3 or shape[1] % view.factor or shape[2] % view.factor:
        raise InputError(
            f"pixel unshuffle by {view.factor} wants channels × height × width with both sides divisible by {view.factor}, but "
            f"{show(shape)} came in; resize the picture or choose another factor."
        )
    return Recipe(nn.PixelUnshuffle, (view.factor,))


VIEWS: dict[str, Callable[[View, Shape], Recipe]] = {
    "flatten": lambda v, s: Recipe(nn.Flatten, (module_dim(v.dim), module_dim(v.end_dim))),
    "reshape": _reshape,
    "permute": _permute,
    "unflatten": _unflatten,
    "squeeze": _squeeze,
    "unsqueeze": lambda v, s: Recipe(modules.Unsqueeze, (module_dim(v.dim),)),
    "pixel shuffle": _shuffle,
    "pixel unshuffle": _unshuffle,
}

OPERATIONS = ("add", "subtract", "multiply", "divide", "mean", "max", "concat", "matmul")


@dataclass(frozen=True)
class Merge:
    """Join any number of tensors: element by element with broadcasting, by concatenation on `dim`, or by matrix product."""

    operation: Literal[OPERATIONS] = "add"
    dim: int = 0

    def recipe(self, *shapes: Shape) -> Recipe:
        if len(shapes) < 2:
            raise InputError(
                f"{self.operation} needs at least two tensors, but only {len(shapes)} came in; connect another one."
            )
        check = {"concat": self._check_concat, "matmul": self._check_matmul}.get(self.operation, self._check_broadcast)
        check(shapes)
        return Recipe(
            modules.Merge, (self.operation,), {"dim": module_dim(self.dim)} if self.operation == "concat" else {}
        )

    def _check_concat(self, shapes: tuple[Shape, ...]) -> None:
        count = len(shapes[0])
        if any(len(shape) != count for shape in shapes) or not -count <= self.dim < count:
            raise InputError(
                f"concat on dimension {self.dim} needs tensors that all have that dimension, but {_list(shapes)} came in; put a View before the odd one."
            )
        others = {tuple(size for i, size in enumerate(shape) if i != self.dim % count) for shape in shapes}
        if len(others) > 1:
            raise InputError(
                f"concat on dimension {self.dim} needs every other dimension equal, but {_list(shapes)} came in; bring them to one size "
                f"with Pooling, Upsample or a strided Conv."
            )

    def _check_matmul(self, shapes: tuple[Shape, ...]) -> None:
        for left, right in pairwise(shapes):
            if len(left) < 2 or len(right) < 2 or left[-1] != right[-2]:
                raise InputError(
                    f"a matrix product needs rows × n and n × columns, but {_list(shapes)} came in; use a View (permute) to turn one of them."
                )

    def _check_broadcast(self, shapes: tuple[Shape, ...]) -> None:
        if len({len(shape) for shape in shapes}) == 1 and all(
            len(set(sizes) - {1}) <= 1 for sizes in zip(*shapes, strict=True)
        ):
            return
        same_size = len({shape[1:] for shape in shapes}) == 1
        fix = (
            f"put a Conv with kernel 1 and {shapes[0][0]} channels on the other branch, or merge with concat"
            if same_size and len(shapes[0]) > 1
            else "bring them to one size with Pooling, Upsample, View or a strided Conv"
        )
        raise InputError(f"{self.operation} needs tensors of one shape, but {_list(shapes)} came in; {fix}.")


def _list(shapes: tuple[Shape, ...]) -> str:
    return " and ".join(show(shape) for shape in shapes)
