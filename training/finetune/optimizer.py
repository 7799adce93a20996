"""AdamW, with 8 bits for each of its averages where bitsandbytes is there."""

from __future__ import annotations

import torch
from torch import nn

from .settings import OPTIMIZERS, FinetuneSettings

MISSING = "bitsandbytes is not installed or needs a GPU, so AdamW keeps its averages in 32 bits."


def build_optimizer(weights: list[nn.Parameter], settings: FinetuneSettings) -> tuple[torch.optim.Optimizer, list[str]]:
    """The optimizer, and what a person should know of it.

    8-bit: Dettmers et al., "8-bit Optimizers via Block-wise Quantization", 2022.
    """
    given = {"lr": settings.learning_rate, "weight_decay": settings.weight_decay}
    if settings.optimizer == OPTIMIZERS[0]:
        try:
            if weights[0].device.type != "cuda":
                raise ImportError
            from bitsandbytes.optim import AdamW8bit

            return AdamW8bit(weights, **given), []
        except (ImportError, RuntimeError):
            return torch.optim.AdamW(weights, fused=True, **given), [MISSING]
    return torch.optim.AdamW(weights, fused=True, **given), []
