"""FastFCN: joint pyramid upsampling in place of a dilated encoder (Wu et al. 2019, arXiv:1903.11816)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .blocks import PyramidPooling, classifier, conv_norm_relu, resize, separable
from .dilated import Encoded, head_channels
from .plan import Plan

DILATIONS = (1, 2, 4, 8)


class JointPyramidUpsampling(nn.Module):
    """Maps of strides 8, 16 and 32 → one map of stride 8 with 4 × `hidden` channels (section 3.3).

    Each map is convolved and brought to the largest size; four separable convolutions of rising dilation read all of them.
    """

    def __init__(self, channels: list[int], hidden: int):
        super().__init__()
        self.convs = nn.ModuleList(conv_norm_relu(count, hidden) for count in channels)
        self.dilated = nn.ModuleList(
            separable(len(channels) * hidden, hidden, dilation=dilation) for dilation in DILATIONS
        )
        self.out_channels = len(DILATIONS) * hidden

    def forward(self, maps: list[Tensor]) -> Tensor:
        size = maps[0].shape[-2:]
        joined = torch.cat([resize(conv(x), size) for conv, x in zip(self.convs, maps, strict=True)], 1)
        return torch.cat([branch(joined) for branch in self.dilated], 1)


class JointPyramidHead(nn.Module):
    """Joint pyramid upsampling, pyramid pooling (one of the paper's three heads), and the classifier."""

    def __init__(self, channels: list[int], classes: int):
        super().__init__()
        hidden = head_channels(channels[-1])
        self.upsample = JointPyramidUpsampling(channels, hidden)
        self.reduce = conv_norm_relu(self.upsample.out_channels, hidden, kernel=1)
        self.pool = PyramidPooling(hidden)
        self.fuse = conv_norm_relu(self.pool.out_channels, hidden)
        self.classify = classifier(hidden, classes)

    def forward(self, maps: list[Tensor]) -> Tensor:
        return self.classify(self.fuse(self.pool(self.reduce(self.upsample(maps)))))


def fastfcn(plan: Plan) -> nn.Module:
    """An encoder as it is (stride 32, no dilation) and the joint pyramid head."""
    return Encoded(plan, JointPyramidHead, levels=3, output_stride=32)
