"""CCNet: attention along rows and columns, twice (Huang et al. 2019, arXiv:1811.11721)."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor, nn

from .dilated import ContextHead, Encoded
from .plan import Plan

RECURRENCE = 2  # R of the paper: after two passes every position has seen every other one
KEY_REDUCTION = 8


class CrissCross(nn.Module):
    """Every position attends to the h + w − 1 positions of its row and column; γ · attention + x, equations 1 and 2.

    [batch, channels, h, w] → the same shape. γ starts at 0. The key has no bias: softmax would cancel it.
    """

    def __init__(self, channels: int):
        super().__init__()
        hidden = max(8, channels // KEY_REDUCTION)
        self.query = nn.Conv2d(channels, hidden, 1)
        self.key = nn.Conv2d(channels, hidden, 1, bias=False)
        self.value = nn.Conv2d(channels, channels, 1)
        self.gamma = nn.Parameter(torch.zeros(1))

    def forward(self, x: Tensor) -> Tensor:
        query, key, value = self.query(x), self.key(x), self.value(x)
        height = x.shape[2]
        column = torch.einsum("bcyx,bczx->byxz", query, key)  # with every position z of its column
        row = torch.einsum("bcyx,bcyz->byxz", query, key)
        itself = torch.eye(height, dtype=torch.bool, device=x.device)  # already part of the row
        column = column.masked_fill(itself[None, :, None, :], float("-inf"))
        attention = torch.cat((column, row), -1).softmax(-1)  # [batch, h, w, h + w]
        context = torch.einsum("byxz,bczx->bcyx", attention[..., :height], value)
        context = context + torch.einsum("byxz,bcyz->bcyx", attention[..., height:], value)
        return self.gamma * context + x


class RecurrentCrissCross(nn.Module):
    """`CrissCross` applied `RECURRENCE` times with the same weights."""

    def __init__(self, channels: int):
        super().__init__()
        self.attention = CrissCross(channels)

    def forward(self, x: Tensor) -> Tensor:
        for _ in range(RECURRENCE):
            x = self.attention(x)
        return x


def ccnet(plan: Plan) -> nn.Module:
    """Dilated encoder and a head around recurrent criss-cross attention."""
    return Encoded(plan, partial(ContextHead, make_context=RecurrentCrissCross))
