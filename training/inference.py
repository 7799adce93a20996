"""What testing and using a network have in common."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn


@contextmanager
def evaluating(module: nn.Module) -> Iterator[None]:
    """Evaluation mode without gradients inside the block; every training flag is put back behind it."""
    flags = [(part, part.training) for part in module.modules()]
    module.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        for part, flag in flags:
            part.training = flag


def on_device(module: nn.Module, device: torch.device) -> nn.Module:
    """The module itself where it is on `device` already, otherwise a copy there."""
    first = next(module.parameters(), None)
    return module if first is None or first.device == device else copy.deepcopy(module).to(device)


def class_probabilities(outputs: Tensor) -> Tensor:
    """Logits [batch, classes, …] → probabilities; a single output is the probability of the second of two classes."""
    if outputs.shape[1] == 1:
        second = outputs.sigmoid()
        return torch.cat((1 - second, second), 1)
    return outputs.softmax(1)
