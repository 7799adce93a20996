"""Where a training stands: weights, optimizer, average, random state and position, in one safetensors file without pickle."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from ..nn_layers import InputError
from ..nn_layers.files import atomic
from ..nn_layers.storage import read_weights
from .run import read_state


def save_checkpoint(
    file: Path, module: nn.Module, optimizer: torch.optim.Optimizer, average: list[Tensor] | None, state: dict[str, Any]
) -> None:
    """Write everything that a resumed training needs; `state` is JSON."""
    tensors = {f"module.{key}": value for key, value in module.state_dict().items()}
    numbers: dict[str, float] = {}
    for index, values in optimizer.state_dict()["state"].items():
        for name, value in values.items():
            key = f"optimizer.{index}.{name}"
            if isinstance(value, Tensor):
                tensors[key] = value
            elif value is not None:
                numbers[key] = value
    for index, value in enumerate(average or ()):
        tensors[f"average.{index}"] = value
    tensors["random.cpu"] = torch.get_rng_state()
    if torch.cuda.is_initialized():
        tensors["random.cuda"] = torch.cuda.get_rng_state()
    tensors = {key: value.detach().cpu().contiguous() for key, value in tensors.items()}
    metadata = {"visionsmith": json.dumps({**state, "numbers": numbers})}
    with atomic(file) as path:
        save_file(tensors, path, metadata)


def load_checkpoint(
    file: Path, module: nn.Module, optimizer: torch.optim.Optimizer, average: list[Tensor] | None
) -> dict[str, Any]:
    """Put a training back to where `save_checkpoint` found it, and give its `state`.

    Raises:
        InputError: The file does not belong to this network.
    """
    tensors, state = read_weights(file), read_state(file)
    try:
        module.load_state_dict(_below(tensors, "module."))
        weights = [weight for group in optimizer.param_groups for weight in group["params"]]
        values: dict[int, dict[str, Any]] = {}
        for key, value in [*_below(tensors, "optimizer.").items(), *_below(state["numbers"], "optimizer.").items()]:
            index, name = key.split(".", 1)
            values.setdefault(int(index), {})[name] = _laid_out_as(weights[int(index)], value)
        optimizer.load_state_dict({"state": values, "param_groups": optimizer.state_dict()["param_groups"]})
        for index, value in enumerate(average or ()):
            value.copy_(tensors[f"average.{index}"])
        torch.set_rng_state(tensors["random.cpu"])
        if "random.cuda" in tensors and torch.cuda.is_available():
            torch.cuda.set_rng_state(tensors["random.cuda"])
    except (KeyError, RuntimeError, ValueError) as error:
        raise InputError(f"{file} does not fit this training; remove its folder to train anew.") from error
    return state


def remembered(module: nn.Module) -> Callable[[], None]:
    """What a batch changes before the optimizer takes its step, running statistics and random numbers; calling the result puts it back."""
    buffers = [(buffer, buffer.clone()) for buffer in module.buffers()]
    cpu, cuda = torch.get_rng_state(), torch.cuda.get_rng_state() if torch.cuda.is_initialized() else None

    def put_back() -> None:
        with torch.no_grad():
            for buffer, value in buffers:
                buffer.copy_(value)
        torch.set_rng_state(cpu)
        if cuda is not None:
            torch.cuda.set_rng_state(cuda)

    return put_back


def _laid_out_as(weight: Tensor, value: Any) -> Any:
    """A tensor of a weight's shape in that weight's memory order, which fused optimizers count on."""
    if isinstance(value, Tensor) and value.shape == weight.shape:
        return torch.empty_like(weight, dtype=value.dtype, requires_grad=False).copy_(value)
    return value


def _below(values: dict[str, Any], prefix: str) -> dict[str, Any]:
    return {key[len(prefix) :]: value for key, value in values.items() if key.startswith(prefix)}
