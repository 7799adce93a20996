"""Parameters that no gradient reaches: libraries leave some behind, such as the stages below those that a head reads."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

BATCH, SIZE = 2, 128  # at least what every architecture needs; no numbers are computed


def unreached(body: nn.Module, channels: int, multiple: int = 1) -> tuple[str, ...]:
    """Names of parameters that the output does not depend on, found by one pass on the meta device.

    Args:
        body: On the meta device; [batch, channels, h, w] → logits.
        multiple: Of which height and width must be.
    """
    size = -(-SIZE // multiple) * multiple
    with torch.inference_mode(False), torch.enable_grad(), torch.device("meta"):
        body.eval()(torch.empty(BATCH, channels, size, size)).sum().backward()
    return tuple(name for name, parameter in body.named_parameters() if parameter.grad is None)


def trim(body: nn.Module, names: tuple[str, ...]) -> None:
    """Take the parameters `names` out of training: whole modules of them are dropped, single ones are frozen.

    So an optimizer keeps no state for them, and training on several devices does not wait for their gradients.
    """
    dead = set(names)
    if dead:
        _trim(body, "", dead)


class Unused(nn.Module):
    """Stands where a module was whose result nobody reads; takes whatever that took."""

    def forward(self, x: Any, *_: Any, **__: Any) -> Any:
        return x


def _trim(module: nn.Module, prefix: str, dead: set[str]) -> None:
    for name, child in list(module.named_children()):
        inside = {f"{prefix}{name}.{key}" for key, _ in child.named_parameters()}
        if inside and inside <= dead:
            module._modules[name] = Unused()  # works for attributes, sequences and lists alike
        elif inside & dead:
            _trim(child, f"{prefix}{name}.", dead)
    for name, parameter in module.named_parameters(recurse=False):
        if f"{prefix}{name}" in dead:
            parameter.requires_grad_(False)
