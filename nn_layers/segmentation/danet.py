"""DANet: attention between positions beside attention between channels (Fu et al. 2019, arXiv:1809.02983)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .blocks import classifier, conv_norm_relu
from .dilated import Encoded, head_channels
from .plan import Plan

KEY_REDUCTION = 8


class PositionAttention(nn.Module):
    """α Σᵢ softmaxᵢ(Bᵢ · Cⱼ) Dᵢ + Aⱼ, equations 1 and 2; every position attends to all of them.

    [batch, channels, h, w] → the same shape. α starts at 0. The key has no bias: softmax would cancel it.
    """

    def __init__(self, channels: int):
        super().__init__()
        hidden = max(8, channels // KEY_REDUCTION)
        self.query = nn.Conv2d(channels, hidden, 1)
        self.key = nn.Conv2d(channels, hidden, 1, bias=False)
        self.value = nn.Conv2d(channels, channels, 1)
        self.alpha = nn.Parameter(torch.zeros(1))

    def forward(self, x: Tensor) -> Tensor:
        query, key, value = (part(x).flatten(2).transpose(1, 2) for part in (self.query, self.key, self.value))
        context = F.scaled_dot_product_attention(query, key, value, scale=1.0)  # never holds all pairs where it can
        return self.alpha * context.transpose(1, 2).reshape(x.shape) + x


class ChannelAttention(nn.Module):
    """β Σᵢ softmaxᵢ(Aᵢ · Aⱼ) Aᵢ + Aⱼ, equations 3 and 4; every channel attends to all of them. β starts at 0."""

    def __init__(self):
        super().__init__()
        self.beta = nn.Parameter(torch.zeros(1))

    def forward(self, x: Tensor) -> Tensor:
        flat = x.flatten(2)
        attention = (flat @ flat.transpose(1, 2)).softmax(-1)  # [batch, channels, channels]
        return self.beta * (attention @ flat).reshape(x.shape) + x


class DualAttentionHead(nn.Module):
    """The two attentions side by side, their sum classified."""

    def __init__(self, channels: list[int], classes: int):
        super().__init__()
        hidden = head_channels(channels[-1])
        self.position = nn.Sequential(
            conv_norm_relu(channels[-1], hidden), PositionAttention(hidden), conv_norm_relu(hidden, hidden)
        )
        self.channel = nn.Sequential(
            conv_norm_relu(channels[-1], hidden), ChannelAttention(), conv_norm_relu(hidden, hidden)
        )
        self.classify = classifier(hidden, classes)

    def forward(self, maps: list[Tensor]) -> Tensor:
        return self.classify(self.position(maps[-1]) + self.channel(maps[-1]))


def danet(plan: Plan) -> nn.Module:
    """Dilated encoder and the dual attention head."""
    return Encoded(plan, DualAttentionHead)
