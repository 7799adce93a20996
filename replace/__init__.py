"""Gradient-enabled execution: what lets a node train inside stock ComfyUI.

ComfyUI runs every node under `torch.inference_mode()`, where nothing can be differentiated. `gradients` leaves that mode for the length of
a block, in this thread only, so that pictures made in the same queue come out as ever; `ordinary` turns tensors that were made under it into
ones that autograd accepts. No file of ComfyUI is replaced.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields, is_dataclass, replace
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

T = TypeVar("T")


@contextmanager
def gradients() -> Iterator[None]:
    """Leave inference mode inside the block; tensors and modules made there can be trained."""
    with torch.inference_mode(False), torch.enable_grad():
        yield


def ordinary(value: T) -> T:
    """`value` with every inference tensor in it replaced by an ordinary copy; what holds none is returned as it is.

    Looks into modules, dictionaries, lists, tuples and dataclasses, and changes none of them.
    """
    with gradients():
        return _ordinary(value)


def _ordinary(value: Any) -> Any:
    match value:
        case Tensor():
            return value.clone() if value.is_inference() else value
        case nn.Module():
            return _module(value)
        case dict():
            new = {key: _ordinary(item) for key, item in value.items()}
            return new if any(new[key] is not item for key, item in value.items()) else value
        case list() | tuple():
            items = [_ordinary(item) for item in value]
            if all(new is old for new, old in zip(items, value, strict=True)):
                return value
            return type(value)(*items) if hasattr(value, "_fields") else type(value)(items)
    if is_dataclass(value) and not isinstance(value, type):
        old = {field.name: getattr(value, field.name) for field in fields(value) if field.init}
        new = {
            name: item
            for name, item in ((name, _ordinary(item)) for name, item in old.items())
            if item is not old[name]
        }
        return replace(value, **new) if new else value
    return value


def _module(module: nn.Module) -> nn.Module:
    """A copy whose parameters and buffers are ordinary; deepcopy alone would keep them inference tensors."""
    if not any(tensor.is_inference() for tensor in (*module.parameters(), *module.buffers())):
        return module
    module = copy.deepcopy(module)
    for part in module.modules():
        for name, parameter in part._parameters.items():
            if parameter is not None:
                part._parameters[name] = nn.Parameter(parameter.detach().clone(), parameter.requires_grad)
        for name, buffer in part._buffers.items():
            if buffer is not None:
                part._buffers[name] = buffer.clone()
    return module
