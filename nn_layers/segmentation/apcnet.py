"""APCNet: context whose weights depend on the position and on the whole picture (He et al., CVPR 2019)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .blocks import classifier, conv_norm_relu
from .dilated import Encoded, head_channels
from .plan import Plan

SCALES = (1, 2, 3, 6)


class AdaptiveContext(nn.Module):
    """Adaptive context module of one scale s: zᵢ = Σⱼ αᵢⱼ yⱼ, and ReLU(W z + x).

    y are the averages over an s × s grid, x the reduced map, g(x) its average, and α = sigmoid(conv(x + g(x))) the s² affinities of
    each position (section 3.2). [batch, channels, h, w] → [batch, hidden, h, w].
    """

    def __init__(self, channels: int, hidden: int, scale: int):
        super().__init__()
        self.scale = scale
        self.reduce = conv_norm_relu(channels, hidden, kernel=1)
        self.affinity = nn.Conv2d(hidden, scale**2, 1)
        self.pooled = nn.Conv2d(channels, hidden, 1)  # no BatchNorm: at scale 1 there is one pixel per picture
        self.residual = conv_norm_relu(hidden, hidden, kernel=1, relu=False)

    def forward(self, feature: Tensor) -> Tensor:
        x = self.reduce(feature)
        affinity = torch.sigmoid(self.affinity(x + x.mean((2, 3), keepdim=True))).flatten(2)  # [batch, s², positions]
        y = self.pooled(F.adaptive_avg_pool2d(feature, self.scale)).flatten(2)  # [batch, hidden, s²]
        return F.relu(self.residual((y @ affinity).reshape(x.shape)) + x)


class AdaptivePyramidHead(nn.Module):
    """Adaptive contexts of several scales beside the encoder's map, fused and classified."""

    def __init__(self, channels: list[int], classes: int):
        super().__init__()
        hidden = head_channels(channels[-1])
        self.contexts = nn.ModuleList(AdaptiveContext(channels[-1], hidden, scale) for scale in SCALES)
        self.fuse = conv_norm_relu(channels[-1] + len(SCALES) * hidden, hidden)
        self.classify = classifier(hidden, classes)

    def forward(self, maps: list[Tensor]) -> Tensor:
        joined = torch.cat((maps[-1], *(context(maps[-1]) for context in self.contexts)), 1)
        return self.classify(self.fuse(joined))


def apcnet(plan: Plan) -> nn.Module:
    """Dilated encoder and the adaptive pyramid head."""
    return Encoded(plan, AdaptivePyramidHead)
