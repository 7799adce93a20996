"""Modules made and run on torch's meta device, fast enough for a person who is drawing: their shapes, and their multiply-adds.

The real module runs. What is answered here instead of by torch are single operations whose result's shape is known before: torch's own
answers for them are written in Python and take about a millisecond each, these take some microseconds. Every rule speaks for plain cases
only and leaves all others to torch; the tests compare both on every layer. Weights are never initialised, since there are none.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from inspect import unwrap
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

aten = torch.ops.aten


class TooSlowError(Exception):
    """The module took longer than it was given."""


_patience: ContextVar[float] = ContextVar("patience", default=math.inf)


@contextmanager
def at_most(seconds: float) -> Iterator[None]:
    """Let no module take longer inside the block; whoever draws cannot wait, a run can."""
    token = _patience.set(seconds)
    try:
        yield
    finally:
        _patience.reset(token)


class Meta:
    """Where one module is made and run without numbers; raises TooSlowError where that takes longer than `at_most` allows."""

    def __init__(self) -> None:
        self.end = time.monotonic() + _patience.get()

    def build(self, make: Callable[[], nn.Module]) -> nn.Module:
        """What `make` gives, on the meta device and in evaluation mode."""
        with torch.inference_mode(False), torch.no_grad(), torch.device("meta"), _NoInitialisation(self.end):
            return make().train(False)

    def run(self, module: nn.Module, inputs: list[Tensor]) -> tuple[Tensor, int]:
        """What `module` gives for meta tensors `inputs`, and the multiply-adds of all of it."""
        operations = _Operations(self.end)
        with torch.inference_mode(False), torch.no_grad(), torch.device("meta"), _Steps(operations), operations:
            output = module(*inputs)
        return output, operations.flops // 2


class _Timed:
    """A mode of torch that looks at the clock now and then."""

    def __init__(self, end: float):
        super().__init__()
        self.end = end

    def look(self) -> None:
        if time.monotonic() > self.end:
            raise TooSlowError


INITIALISERS = {nn.init.uniform_, nn.init.normal_, nn.init.constant_, nn.init.kaiming_uniform_}
IN_PLACE = {Tensor.uniform_, Tensor.normal_, Tensor.fill_, Tensor.zero_, Tensor.erfinv_, Tensor.mul_, Tensor.add_, Tensor.clamp_}  # fmt: skip


class _NoInitialisation(_Timed, TorchFunctionMode):
    """Leaves tensors as they are where only numbers would be written into them; on the meta device there are none."""

    def __torch_function__(self, func, types, args=(), kwargs=None):
        self.look()
        if func in INITIALISERS:
            return kwargs["tensor"] if kwargs and "tensor" in kwargs else args[0]
        if func in IN_PLACE and args[0].device.type == "meta" and not any(isinstance(a, Tensor) for a in args[1:]):
            return args[0]
        return func(*args, **kwargs or {})


class _Steps(TorchFunctionMode):
    """Runs recurrent layers for one step and counts it as often as there are steps, which are all alike."""

    def __init__(self, operations: _Operations):
        super().__init__()
        self.operations = operations

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if func not in RECURRENT or not isinstance(args[0], Tensor) or len(args) != 9 or not args[8]:  # batch first
            return func(*args, **kwargs)
        sequence, before = args[0], self.operations.flops
        output, *states = func(sequence[:, :1], *args[1:], **kwargs)
        self.operations.flops = before + (self.operations.flops - before) * sequence.shape[1]
        return output.new_empty(output.shape[0], sequence.shape[1], output.shape[2]), *states


RECURRENT = {torch._VF.lstm, torch._VF.gru, torch._VF.rnn_tanh, torch._VF.rnn_relu}


class _Operations(_Timed, TorchDispatchMode):
    """Counts as torch's FlopCounterMode does, but without its hooks on modules, which every thread would run: one may be training."""

    flops = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.look()
        kwargs = kwargs or {}
        rule = None if kwargs else RULES.get(func)
        output = rule(*args) if rule else None
        if output is None:
            output = func(*args, **kwargs)
        if count := flop_registry.get(func._overloadpacket):
            result = output[0] if isinstance(output, tuple) else output
            shapes = (
                one.shape if isinstance(one, Tensor) else one for one in args
            )  # what the wrapper does for any nesting, at a tenth of its speed
            self.flops += unwrap(count)(*shapes, **kwargs, out_shape=result.shape)
        return output


def _plain(x: Any) -> bool:
    return isinstance(x, Tensor) and x.dtype == torch.float32 and x.is_contiguous()


def _in_order(x: Tensor) -> bool:
    """Whether the numbers of float32 `x` lie in memory in the order of its dimensions, perhaps with gaps; what is made of them has no gaps."""
    strides = x.stride()
    return x.dtype == torch.float32 and all(a >= b > 0 for a, b in pairwise((*strides, 1)))


def _like(x: Tensor, *others: Any) -> Tensor | None:
    """Number by number: what comes out has the sizes of what goes in."""
    if not _in_order(x):
        return None
    for other in others:
        if isinstance(other, Tensor):
            if other.shape != x.shape or not _in_order(other):
                return None
        elif isinstance(other, complex):
            return None
    return x.new_empty(x.shape)


def _itself(x: Tensor, *others: Any) -> Tensor | None:
    """As `_like`, written into `x`."""
    return None if _like(x, *others) is None else x


def _prelu(x: Tensor, weight: Tensor) -> Tensor | None:
    """`weight` has been given as many dimensions as `x`, with one number or one for each channel."""
    fits = x.dim() == weight.dim() and all(w in (1, size) for w, size in zip(weight.shape, x.shape, strict=True))
    return _like(x) if fits else None


def _first_like(x: Tensor, *_: Any) -> tuple[Tensor, Tensor, Tensor] | None:
    """A normalization: the same numbers in other sizes, and averages that nobody reads while evaluating."""
    return (torch.empty_like(x), x.new_empty(0), x.new_empty(0)) if _plain(x) else None


def _layer_norm(x: Tensor, sizes: list[int], *_: Any) -> tuple[Tensor, Tensor, Tensor] | None:
    return _first_like(x) if tuple(x.shape[x.dim() - len(sizes) :]) == tuple(sizes) else None


def _product(a: Tensor, b: Tensor) -> Tensor | None:
    """[…, n, k] and […, k, m] → […, n, m], without broadcasting."""
    if a.dtype != b.dtype or a.dim() != b.dim() or a.shape[:-2] != b.shape[:-2] or a.shape[-1] != b.shape[-2]:
        return None
    return a.new_empty(*a.shape[:-1], b.shape[-1])


def _product_and_bias(bias: Tensor, a: Tensor, b: Tensor) -> Tensor | None:
    return _product(a, b) if bias.shape == b.shape[1:] and bias.dtype == a.dtype else None


def _reduced(x: Tensor, dims: list[int] | None = None, keep: bool = False) -> Tensor | None:
    """Dimensions become 1, or go."""
    gone = {dim % x.dim() for dim in dims or range(x.dim())} if x.dim() else set()
    if not _plain(x) or len(gone) != len(dims or range(x.dim())):
        return None
    sizes = [1 if dim in gone else size for dim, size in enumerate(x.shape) if keep or dim not in gone]
    return x.new_empty(sizes)


def _resized(x: Tensor, sizes: list[int], *_: Any) -> Tensor | None:
    """[batch, channels, …] → [batch, channels, *sizes]."""
    return (
        x.new_empty(*x.shape[:2], *sizes)
        if _plain(x) and x.numel() and min(sizes) > 0 and x.dim() == len(sizes) + 2
        else None
    )


def _overloads(*names: str) -> list[Any]:
    """Operations by name, such as ``add.Tensor``; those that this version of torch has."""
    pairs = (name.partition(".")[::2] for name in names)
    return [getattr(getattr(aten, name), overload or "default") for name, overload in pairs if hasattr(aten, name)]


_NUMBER_BY_NUMBER = (
    "relu", "gelu", "silu", "mish", "hardswish", "hardsigmoid", "hardtanh", "leaky_relu", "elu", "sigmoid", "tanh", "softplus", "clamp", "clamp_min",
    "abs", "neg", "exp", "sqrt", "rsqrt", "add.Tensor", "sub.Tensor", "mul.Tensor", "div.Tensor", "mul.Scalar", "maximum", "minimum",
)  # fmt: skip
_IN_PLACE = (
    "relu_",
    "silu_",
    "hardswish_",
    "hardtanh_",
    "leaky_relu_",
    "elu_",
    "sigmoid_",
    "tanh_",
    "add_.Tensor",
    "mul_.Tensor",
)
_NORMALIZATIONS = ("native_batch_norm", "_native_batch_norm_legit_no_training", "native_group_norm")
RULES: dict[Any, Callable[..., Any]] = {
    **dict.fromkeys(_overloads(*_NUMBER_BY_NUMBER), _like),
    **dict.fromkeys(_overloads(*_IN_PLACE), _itself),
    **dict.fromkeys(_overloads(*_NORMALIZATIONS), _first_like),
    **dict.fromkeys(_overloads("mm", "bmm"), _product),
    **dict.fromkeys(_overloads("mean.dim", "amax"), _reduced),
    **dict.fromkeys(_overloads(*(f"upsample_{kind}" for kind in ("nearest1d", "nearest2d", "nearest3d", "linear1d", "bilinear2d", "bicubic2d", "trilinear3d"))), _resized),
    aten.native_layer_norm.default: _layer_norm,
    aten.addmm.default: _product_and_bias,
    aten._prelu_kernel.default: _prelu,
}  # fmt: skip
"""Operation → the rule for its result; a rule gives None for what it does not speak for. Settings by name are left to torch."""
