"""Fast-SCNN: two branches that share their first layers (Poudel et al. 2019, arXiv:1902.04502, table 1)."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from .blocks import PyramidPooling, classifier, conv_norm_relu, resize, separable
from .plan import Plan

DOWNSAMPLE = (32, 48, 64)
STAGES = ((64, 2), (96, 2), (128, 1))  # channels and stride of three bottlenecks each
EXPANSION, BLOCKS, FEATURES = 6, 3, 128


class Bottleneck(nn.Module):
    """Inverted residual block (Sandler et al. 2018, arXiv:1801.04381): widen, filter each channel, narrow."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1):
        super().__init__()
        hidden = EXPANSION * inputs
        self.body = nn.Sequential(
            conv_norm_relu(inputs, hidden, kernel=1),
            conv_norm_relu(hidden, hidden, stride=stride, groups=hidden),
            conv_norm_relu(hidden, outputs, kernel=1, relu=False),
        )
        self.residual = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        return x + self.body(x) if self.residual else self.body(x)


class FeatureFusion(nn.Module):
    """The fine map (stride 8) plus the upsampled coarse one (stride 32), table 3 of the paper."""

    def __init__(self, fine: int, coarse: int, outputs: int):
        super().__init__()
        self.fine = conv_norm_relu(fine, outputs, kernel=1, relu=False)
        self.coarse = nn.Sequential(
            conv_norm_relu(coarse, coarse, dilation=4, groups=coarse),
            conv_norm_relu(coarse, outputs, kernel=1, relu=False),
        )

    def forward(self, fine: Tensor, coarse: Tensor) -> Tensor:
        return F.relu(self.fine(fine) + self.coarse(resize(coarse, fine.shape[-2:])))


class FastSCNN(nn.Module):
    """[batch, channels, h, w] → logits at an eighth of the size."""

    def __init__(self, channels: int, classes: int):
        super().__init__()
        first, second, third = DOWNSAMPLE
        self.downsample = nn.Sequential(
            conv_norm_relu(channels, first, stride=2), separable(first, second, 2), separable(second, third, 2)
        )
        blocks, width = [], third
        for outputs, stride in STAGES:
            for i in range(BLOCKS):
                blocks.append(Bottleneck(width, outputs, stride if i == 0 else 1))
                width = outputs
        pool = PyramidPooling(width)
        self.context = nn.Sequential(*blocks, pool, conv_norm_relu(pool.out_channels, FEATURES, kernel=1))
        self.fuse = FeatureFusion(third, FEATURES, FEATURES)
        self.head = nn.Sequential(
            separable(FEATURES, FEATURES), separable(FEATURES, FEATURES), classifier(FEATURES, classes)
        )

    def forward(self, x: Tensor) -> Tensor:
        fine = self.downsample(x)
        return self.head(self.fuse(fine, self.context(fine)))


def fast_scnn(plan: Plan) -> nn.Module:
    """Fast-SCNN; it has no encoder to choose and no trained weights."""
    return FastSCNN(plan.channels, plan.classes)
