"""The layers of a picture network: what each one is set to, and the recipe that a given incoming shape makes of it.

A layer is a frozen dataclass: equal settings are equal layers, and nothing in it holds a weight. `recipe` gets the incoming shapes
(without the batch) and answers with the module to make; what it cannot accept it refuses with an `InputError` that says what came in,
what was wanted and what would fix it. Dimensions are counted without the batch: 0 is the channels of a picture.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from torch import nn

from . import modules
from .errors import InputError
from .recipe import Recipe, Shape, show

Sizes = int | tuple[int, ...]


def per_dimension(size: Sizes, count: int, name: str) -> tuple[int, ...]:
    """`size` as one number for each of `count` dimensions."""
    sizes = (size,) * count if isinstance(size, int) else tuple(size)
    if len(sizes) != count:
        raise InputError(
            f"{name} has {len(sizes)} numbers, but what came in has {count} spatial dimensions; give 1 or {count} numbers."
        )
    return sizes


def spatial(shape: Shape, wanted: str) -> int:
    """How many spatial dimensions `shape` = channels × … has: 1, 2 or 3."""
    if 2 <= len(shape) <= 4:
        return len(shape) - 1
    fix = "put a View (unflatten) before it" if len(shape) == 1 else "put a View (squeeze or flatten) before it"
    raise InputError(f"{wanted} needs channels × positions (2 to 4 numbers), but {show(shape)} came in; {fix}.")


def short(sizes: object) -> object:
    """One number for a tuple of equal ones, as a person would write it in Python; anything else as it is."""
    return sizes[0] if isinstance(sizes, tuple) and len(set(sizes)) == 1 else sizes


def module_dim(dim: int) -> int:
    """A dimension counted without the batch, counted with it."""
    return dim + 1 if dim >= 0 else dim


@dataclass(frozen=True)
class Conv:
    """Convolution over one, two or three spatial dimensions, as many as the incoming tensor has.

    With stride 1 "same" keeps the size; with a larger stride it gives ceil(size / stride), transposed size × stride.
    """

    out_channels: int = 32
    kernel_size: Sizes = 3
    stride: Sizes = 1
    padding: Sizes | Literal["same", "valid"] = "same"
    dilation: Sizes = 1
    groups: int = 1
    bias: bool = True
    transposed: bool = False
    padding_mode: Literal["zeros", "reflect", "replicate", "circular"] = "zeros"

    def recipe(self, shape: Shape) -> Recipe:
        count = spatial(shape, "a convolution")
        channels = shape[0]
        if channels % self.groups or self.out_channels % self.groups:
            raise InputError(
                f"groups = {self.groups} must divide both the {channels} incoming and the {self.out_channels} outgoing channels; "
                f"choose a common divisor or 1."
            )
        kernel, stride, dilation = (
            per_dimension(getattr(self, name), count, name) for name in ("kernel_size", "stride", "dilation")
        )
        padding, extra = self._padding(kernel, stride, dilation, count)
        if not self.transposed and not isinstance(padding, str):
            self._check_fits(shape, kernel, dilation, padding)
        kwargs = {
            "kernel_size": kernel,
            "stride": stride,
            "padding": padding,
            "dilation": dilation,
            "groups": self.groups,
        }
        defaults = {"stride": (1,) * count, "dilation": (1,) * count, "groups": 1}
        kwargs = {key: short(value) for key, value in kwargs.items() if value != defaults.get(key)}
        kwargs |= {} if self.bias else {"bias": False}
        kwargs |= {} if self.padding_mode == "zeros" else {"padding_mode": self.padding_mode}
        kwargs |= {"output_padding": extra} if any(extra) else {}
        return Recipe(CONVOLUTIONS[self.transposed][count - 1], (channels, self.out_channels), kwargs)

    def _padding(self, kernel, stride, dilation, count) -> tuple[str | tuple[int, ...], tuple[int, ...]]:
        """The module's padding and output_padding."""
        none = (0,) * count
        if self.padding == "valid":
            return none, none
        if self.padding != "same":
            return per_dimension(self.padding, count, "padding"), none
        reach = [d * (k - 1) for d, k in zip(dilation, kernel, strict=True)]
        if self.transposed:
            padding = tuple(max(0, -((s - 1 - r) // 2)) for r, s in zip(reach, stride, strict=True))
            return padding, tuple(s - 1 + 2 * p - r for r, s, p in zip(reach, stride, padding, strict=True))
        if set(stride) == {1}:
            return "same", none
        if any(r % 2 for r in reach):
            raise InputError(
                f'padding "same" with stride {self.stride} needs an odd kernel, but kernel_size is {self.kernel_size}; make it odd or set the padding to a number.'
            )
        return tuple(r // 2 for r in reach), none

    def _check_fits(self, shape: Shape, kernel, dilation, padding) -> None:
        for size, k, d, p in zip(shape[1:], kernel, dilation, padding, strict=True):
            if size + 2 * p < d * (k - 1) + 1:
                raise InputError(
                    f"a kernel {d * (k - 1) + 1} wide does not fit into {show(shape)} with padding {p}; use a smaller kernel, more "
                    f'padding (or "same"), or fewer pooling layers before it.'
                )


CONVOLUTIONS = {
    False: (nn.Conv1d, nn.Conv2d, nn.Conv3d),
    True: (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d),
}


@dataclass(frozen=True)
class Linear:
    """Fully connected layer: a vector of features, or the last dimension of a sequence. `anywhere` allows any tensor."""

    out_features: int = 64
    bias: bool = True
    anywhere: bool = False

    def recipe(self, shape: Shape) -> Recipe:
        if len(shape) > 2 and not self.anywhere:
            raise InputError(
                f"a linear layer wants a vector of features, but {show(shape)} came in; put a View (flatten) or a Pooling (global "
                f"average) before it, or switch on anywhere to use it on the last dimension."
            )
        return Recipe(nn.Linear, (shape[-1], self.out_features), {} if self.bias else {"bias": False})


@dataclass(frozen=True)
class Activation:
    """An element-wise non-linearity, or a softmax over `dim`. Each type reads only the fields it knows."""

    type: str = "ReLU"
    negative_slope: float = 0.01
    alpha: float = 1.0
    beta: float = 1.0
    per_channel: bool = False
    approximate: Literal["none", "tanh"] = "none"
    dim: int = 0

    def recipe(self, shape: Shape) -> Recipe:
        if self.type not in ACTIVATIONS:
            raise InputError(f"activation {self.type!r} is unknown; choose one of {', '.join(ACTIVATIONS)}.")
        return ACTIVATIONS[self.type](self, shape)


ACTIVATIONS: dict[str, Callable[[Activation, Shape], Recipe]] = {
    "ReLU": lambda a, s: Recipe(nn.ReLU),
    "ReLU6": lambda a, s: Recipe(nn.ReLU6),
    "LeakyReLU": lambda a, s: Recipe(nn.LeakyReLU, (a.negative_slope,)),
    "PReLU": lambda a, s: Recipe(nn.PReLU, (s[0] if a.per_channel else 1,)),
    "ELU": lambda a, s: Recipe(nn.ELU, (a.alpha,)),
    "SELU": lambda a, s: Recipe(nn.SELU),
    "CELU": lambda a, s: Recipe(nn.CELU, (a.alpha,)),
    "GELU": lambda a, s: Recipe(nn.GELU, (), {"approximate": a.approximate}),
    "SiLU": lambda a, s: Recipe(nn.SiLU),
    "Mish": lambda a, s: Recipe(nn.Mish),
    "Hardswish": lambda a, s: Recipe(nn.Hardswish),
    "Hardsigmoid": lambda a, s: Recipe(nn.Hardsigmoid),
    "Hardtanh": lambda a, s: Recipe(nn.Hardtanh),
    "Sigmoid": lambda a, s: Recipe(nn.Sigmoid),
    "LogSigmoid": lambda a, s: Recipe(nn.LogSigmoid),
    "Tanh": lambda a, s: Recipe(nn.Tanh),
    "Softplus": lambda a, s: Recipe(nn.Softplus, (a.beta,)),
    "Softsign": lambda a, s: Recipe(nn.Softsign),
    "Softmax": lambda a, s: Recipe(nn.Softmax, (module_dim(a.dim),)),
    "LogSoftmax": lambda a, s: Recipe(nn.LogSoftmax, (module_dim(a.dim),)),
    "Identity": lambda a, s: Recipe(nn.Identity),
}


@dataclass(frozen=True)
class Normalization:
    """Batch, instance, group, layer, RMS or local response normalization; the number of dimensions comes from the wire.

    `dims` is how many trailing dimensions layer and RMS normalization span (0: all of them). `track` keeps running statistics.
    """

    type: str = "BatchNorm"
    eps: float = 1e-5
    momentum: float = 0.1
    affine: bool = True
    track: bool = True
    groups: int = 8
    dims: int = 0
    size: int = 5

    def recipe(self, shape: Shape) -> Recipe:
        if self.type not in NORMALIZATIONS:
            raise InputError(f"normalization {self.type!r} is unknown; choose one of {', '.join(NORMALIZATIONS)}.")
        return NORMALIZATIONS[self.type](self, shape)


def _batch_norm(n: Normalization, shape: Shape) -> Recipe:
    if not 1 <= len(shape) <= 4:
        raise InputError(
            f"batch normalization wants 1 to 4 dimensions, but {show(shape)} came in; put a View before it."
        )
    cls = (nn.BatchNorm1d, nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)[len(shape) - 1]
    options = {"eps": n.eps, "momentum": n.momentum, "affine": n.affine, "track_running_stats": n.track}
    return Recipe(cls, (shape[0],), _changed(options, eps=1e-5, momentum=0.1, affine=True, track_running_stats=True))


def _instance_norm(n: Normalization, shape: Shape) -> Recipe:
    cls = (nn.InstanceNorm1d, nn.InstanceNorm2d, nn.InstanceNorm3d)[spatial(shape, "instance normalization") - 1]
    return Recipe(cls, (shape[0],), {"eps": n.eps, "affine": n.affine})


def _group_norm(n: Normalization, shape: Shape) -> Recipe:
    if shape[0] % n.groups:
        small = [g for g in range(1, math.isqrt(shape[0]) + 1) if shape[0] % g == 0]
        near = min(small + [shape[0] // g for g in small], key=lambda g: (abs(g - n.groups), g))
        raise InputError(f"groups = {n.groups} does not divide the {shape[0]} incoming channels; choose {near}, say.")
    return Recipe(
        nn.GroupNorm, (n.groups, shape[0]), _changed({"eps": n.eps, "affine": n.affine}, eps=1e-5, affine=True)
    )


def _trailing(cls: type[nn.Module]) -> Callable[[Normalization, Shape], Recipe]:
    def recipe(n: Normalization, shape: Shape) -> Recipe:
        if n.dims > len(shape):
            raise InputError(
                f"dims = {n.dims}, but only {len(shape)} dimensions ({show(shape)}) came in; use 1 to {len(shape)}, or 0 for all."
            )
        return Recipe(cls, (shape[-n.dims or 0 :],), {"eps": n.eps, "elementwise_affine": n.affine})

    return recipe


def _changed(options: dict, **defaults) -> dict:
    """The options that are not torch's own default, so that exported source reads as a person would write it."""
    return {key: value for key, value in options.items() if value != defaults[key]}


NORMALIZATIONS: dict[str, Callable[[Normalization, Shape], Recipe]] = {
    "BatchNorm": _batch_norm,
    "LayerNorm": _trailing(nn.LayerNorm),
    "GroupNorm": _group_norm,
    "InstanceNorm": _instance_norm,
    "RMSNorm": _trailing(nn.RMSNorm),
    "LocalResponseNorm": lambda n, s: Recipe(nn.LocalResponseNorm, (n.size,)),
}


@dataclass(frozen=True)
class Pooling:
    """Max or average pooling: in windows, to a given size ("adaptive"), or of everything ("global"); dimensions come from the wire."""

    type: Literal["max", "average"] = "max"
    area: Literal["window", "adaptive", "global"] = "window"
    kernel_size: Sizes = 2
    stride: Sizes = 0
    padding: Sizes = 0
    ceil_mode: bool = False
    output_size: Sizes = 1
    keep: bool = False

    def recipe(self, shape: Shape) -> Recipe:
        count = spatial(shape, "pooling")
        if self.area == "global":
            return Recipe(modules.GlobalPool, (self.type,), {"keep": True} if self.keep else {})
        cls = POOLINGS[self.type, self.area][count - 1]
        if self.area == "adaptive":
            return Recipe(cls, (short(per_dimension(self.output_size, count, "output_size")),))
        kernel = per_dimension(self.kernel_size, count, "kernel_size")
        padding = per_dimension(self.padding, count, "padding")
        for size, k, p in zip(shape[1:], kernel, padding, strict=True):
            if size + 2 * p < k:
                raise InputError(
                    f"a pooling window of {k} does not fit into {show(shape)}; use a smaller window, or fewer pooling layers before it."
                )
            if p > k // 2:
                raise InputError(f"padding {p} is more than half of the window {k}; use at most {k // 2}.")
        stride = per_dimension(self.stride or self.kernel_size, count, "stride")
        options = {"stride": stride, "padding": padding, "ceil_mode": self.ceil_mode}
        changed = _changed(options, stride=kernel, padding=(0,) * count, ceil_mode=False)
        return Recipe(cls, (short(kernel),), {key: short(value) for key, value in changed.items()})


POOLINGS = {
    ("max", "window"): (nn.MaxPool1d, nn.MaxPool2d, nn.MaxPool3d),
    ("average", "window"): (nn.AvgPool1d, nn.AvgPool2d, nn.AvgPool3d),
    ("max", "adaptive"): (nn.AdaptiveMaxPool1d, nn.AdaptiveMaxPool2d, nn.AdaptiveMaxPool3d),
    ("average", "adaptive"): (nn.AdaptiveAvgPool1d, nn.AdaptiveAvgPool2d, nn.AdaptiveAvgPool3d),
}


@dataclass(frozen=True)
class Dropout:
    """Zero single numbers, whole channels, or (alpha) push numbers to SELU's negative saturation, with probability `p`."""

    type: Literal["element", "channel", "alpha"] = "element"
    p: float = 0.5

    def recipe(self, shape: Shape) -> Recipe:
        match self.type:
            case "element":
                return Recipe(nn.Dropout, (self.p,))
            case "alpha":
                return Recipe(nn.AlphaDropout, (self.p,))
        cls = (nn.Dropout1d, nn.Dropout2d, nn.Dropout3d)[spatial(shape, "channel dropout") - 1]
        return Recipe(cls, (self.p,))


@dataclass(frozen=True)
class Upsample:
    """Enlarge a feature map by `scale`, or to `size` where one is given; "linear" is bilinear for pictures, trilinear for volumes."""

    mode: Literal["nearest", "linear", "bicubic"] = "nearest"
    scale: float = 2.0
    size: Sizes = 0
    align_corners: bool = False

    def recipe(self, shape: Shape) -> Recipe:
        count = spatial(shape, "upsampling")
        if self.mode == "bicubic" and count != 2:
            raise InputError(
                f"bicubic upsampling needs a picture (channels × height × width), but {show(shape)} came in; use linear."
            )
        mode = ("linear", "bilinear", "trilinear")[count - 1] if self.mode == "linear" else self.mode
        target = {"size": per_dimension(self.size, count, "size")} if self.size else {"scale_factor": self.scale}
        corners = {"align_corners": True} if self.align_corners and self.mode != "nearest" else {}
        return Recipe(nn.Upsample, (), {**target, "mode": mode, **corners})
