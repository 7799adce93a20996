"""Small parts that several of our segmentation modules share."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

DROPOUT = 0.1  # of whole channels before the classifier, as the papers' public configurations have it


def conv_norm_relu(
    inputs: int, outputs: int, kernel: int = 3, stride: int = 1, dilation: int = 1, groups: int = 1, relu: bool = True
) -> nn.Sequential:
    """Convolution that keeps the size (at stride 1), BatchNorm and, with `relu`, ReLU."""
    conv = nn.Conv2d(
        inputs, outputs, kernel, stride, dilation * (kernel // 2), dilation=dilation, groups=groups, bias=False
    )
    return nn.Sequential(conv, nn.BatchNorm2d(outputs), *([nn.ReLU(inplace=True)] if relu else []))


def separable(inputs: int, outputs: int, stride: int = 1, dilation: int = 1) -> nn.Sequential:
    """Depthwise, then pointwise convolution, each with BatchNorm and ReLU (Howard et al. 2017, arXiv:1704.04861)."""
    return nn.Sequential(
        conv_norm_relu(inputs, inputs, stride=stride, dilation=dilation, groups=inputs),
        conv_norm_relu(inputs, outputs, kernel=1),
    )


def classifier(inputs: int, classes: int) -> nn.Sequential:
    """Dropout and the 1 × 1 convolution that gives the logits."""
    return nn.Sequential(nn.Dropout2d(DROPOUT), nn.Conv2d(inputs, classes, 1))


def resize(x: Tensor, size: tuple[int, int]) -> Tensor:
    """Bilinear, pixel centres aligned; `x` itself where it has the size already."""
    return x if tuple(x.shape[-2:]) == tuple(size) else F.interpolate(x, size, mode="bilinear", align_corners=False)


class PyramidPooling(nn.Module):
    """Averages over grids of several sizes beside the map itself (Zhao et al. 2017, arXiv:1612.01105).

    [batch, inputs, h, w] → [batch, inputs + bins × (inputs // bins), h, w]. The pooled branches have a bias and no BatchNorm, whose
    statistics over one pixel and one picture do not exist.
    """

    def __init__(self, inputs: int, bins: tuple[int, ...] = (1, 2, 3, 6)):
        super().__init__()
        self.bins, part = bins, inputs // len(bins)
        self.branches = nn.ModuleList(
            nn.Sequential(nn.Conv2d(inputs, part, 1), nn.ReLU(inplace=True)) for _ in self.bins
        )
        self.out_channels = inputs + len(bins) * part

    def forward(self, x: Tensor) -> Tensor:
        size = x.shape[-2:]
        pooled = [
            resize(branch(F.adaptive_avg_pool2d(x, bin)), size)
            for bin, branch in zip(self.bins, self.branches, strict=True)
        ]
        return torch.cat((x, *pooled), 1)
