"""BiSeNetV2: a wide shallow branch for detail, a narrow deep one for meaning (Yu et al. 2020, arXiv:2004.02147)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .blocks import classifier, conv_norm_relu, resize
from .plan import Plan

DETAIL = ((64, 64), (64, 64, 64), (128, 128, 128))  # channels of the convolutions of each stage; the first has stride 2
STEM = 16
SEMANTIC = ((32, 2), (64, 2), (128, 4))  # channels and number of gather-and-expansion layers of each stage
EXPANSION = 6
HEAD = 1024


class Stem(nn.Module):
    """Convolution and pooling side by side; a quarter of the size (figure 4a)."""

    def __init__(self, channels: int):
        super().__init__()
        self.first = conv_norm_relu(channels, STEM, stride=2)
        self.left = nn.Sequential(conv_norm_relu(STEM, STEM // 2, kernel=1), conv_norm_relu(STEM // 2, STEM, stride=2))
        self.fuse = conv_norm_relu(2 * STEM, STEM)

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x)
        return self.fuse(torch.cat((self.left(x), F.max_pool2d(x, 3, 2, 1)), 1))


class GatherExpand(nn.Module):
    """Gather-and-expansion layer (figure 5): convolve, expand channel by channel, narrow; added to the input."""

    def __init__(self, inputs: int, outputs: int, stride: int):
        super().__init__()
        hidden = EXPANSION * inputs
        expand = [conv_norm_relu(inputs, hidden, stride=stride, groups=inputs, relu=False)]
        if stride == 2:
            expand.append(conv_norm_relu(hidden, hidden, groups=hidden, relu=False))
        self.body = nn.Sequential(
            conv_norm_relu(inputs, inputs), *expand, conv_norm_relu(hidden, outputs, kernel=1, relu=False)
        )
        self.shortcut = nn.Identity()
        if stride == 2:
            self.shortcut = nn.Sequential(
                conv_norm_relu(inputs, inputs, stride=2, groups=inputs, relu=False),
                conv_norm_relu(inputs, outputs, kernel=1, relu=False),
            )

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.body(x) + self.shortcut(x))


class ContextEmbedding(nn.Module):
    """The average of the whole map added to every position (figure 4b).

    The pooled branch has no BatchNorm, whose statistics over one pixel and one picture do not exist.
    """

    def __init__(self, channels: int):
        super().__init__()
        self.pooled = nn.Sequential(nn.Conv2d(channels, channels, 1), nn.ReLU(inplace=True))
        self.last = conv_norm_relu(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(x + self.pooled(x.mean((2, 3), keepdim=True)))


class GuidedAggregation(nn.Module):
    """Bilateral guided aggregation (figure 6): each branch gates the other at its own resolution; the sum is convolved.

    detail [batch, channels, h, w], semantic [batch, channels, h/4, w/4] → [batch, channels, h, w].
    """

    def __init__(self, channels: int):
        super().__init__()

        def keep() -> nn.Sequential:
            depthwise = conv_norm_relu(channels, channels, groups=channels, relu=False)
            return nn.Sequential(depthwise, nn.Conv2d(channels, channels, 1))

        self.detail_keep, self.semantic_keep = keep(), keep()
        self.detail_down = nn.Sequential(
            conv_norm_relu(channels, channels, stride=2, relu=False), nn.AvgPool2d(3, 2, 1)
        )
        self.semantic_up = conv_norm_relu(channels, channels, relu=False)
        self.last = conv_norm_relu(channels, channels, relu=False)

    def forward(self, detail: Tensor, semantic: Tensor) -> Tensor:
        size = detail.shape[-2:]
        fine = self.detail_keep(detail) * torch.sigmoid(resize(self.semantic_up(semantic), size))
        coarse = self.detail_down(detail) * torch.sigmoid(self.semantic_keep(semantic))
        return self.last(fine + resize(coarse, size))


class BiSeNetV2(nn.Module):
    """[batch, channels, h, w] → logits at an eighth of the size. The paper's booster (auxiliary) heads are left out."""

    def __init__(self, channels: int, classes: int):
        super().__init__()
        layers, width = [], channels
        for stage in DETAIL:
            for i, outputs in enumerate(stage):
                layers.append(conv_norm_relu(width, outputs, stride=2 if i == 0 else 1))
                width = outputs
        self.detail = nn.Sequential(*layers)
        layers, width = [Stem(channels)], STEM
        for outputs, count in SEMANTIC:
            for i in range(count):
                layers.append(GatherExpand(width, outputs, 2 if i == 0 else 1))
                width = outputs
        self.semantic = nn.Sequential(*layers, ContextEmbedding(width))
        self.aggregate = GuidedAggregation(width)
        self.head = nn.Sequential(conv_norm_relu(width, HEAD), classifier(HEAD, classes))

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.aggregate(self.detail(x), self.semantic(x)))


def bisenetv2(plan: Plan) -> nn.Module:
    """BiSeNetV2; it has no encoder to choose and no trained weights."""
    return BiSeNetV2(plan.channels, plan.classes)
