"""ANN: non-local attention whose keys and values are sampled by pooling (Zhu et al. 2019, arXiv:1908.07678)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .blocks import classifier, conv_norm_relu
from .dilated import Encoded, head_channels
from .plan import Plan

BINS = (1, 3, 6, 8)  # 110 sampled positions, whatever the size of the map


def sample(x: Tensor) -> Tensor:
    """Spatial pyramid sampling: [batch, channels, h, w] → [batch, 110, channels], averages over grids of sizes `BINS`."""
    return torch.cat([F.adaptive_avg_pool2d(x, bin).flatten(2) for bin in BINS], 2).transpose(1, 2)


class AsymmetricNonLocal(nn.Module):
    """Every position of `high` attends to 110 samples of `low`: W softmax(query · keyᵀ / √d) value (equations 4 to 8).

    The fusion block (AFNB) reads two maps, the pyramid block (APNB) the same one twice. The key has no bias: softmax would cancel it.
    """

    def __init__(self, low: int, high: int, hidden: int, outputs: int):
        super().__init__()
        self.query = nn.Conv2d(high, hidden, 1)
        self.key = nn.Conv2d(low, hidden, 1, bias=False)
        self.value = nn.Conv2d(low, hidden, 1)
        self.out = nn.Conv2d(hidden, outputs, 1)

    def forward(self, low: Tensor, high: Tensor) -> Tensor:
        query = self.query(high).flatten(2).transpose(1, 2)
        context = F.scaled_dot_product_attention(query, sample(self.key(low)), sample(self.value(low)))
        return self.out(context.transpose(1, 2).unflatten(2, high.shape[-2:]))


class AsymmetricHead(nn.Module):
    """Fuse the last two stages (AFNB), reduce, attend within the result (APNB), classify."""

    def __init__(self, channels: list[int], classes: int):
        super().__init__()
        low, high = channels
        hidden = head_channels(high)
        self.fusion = AsymmetricNonLocal(low, high, hidden // 2, high)
        self.reduce = conv_norm_relu(2 * high, hidden)
        self.pyramid = AsymmetricNonLocal(hidden, hidden, hidden // 2, hidden)
        self.join = conv_norm_relu(2 * hidden, hidden, kernel=1)
        self.classify = classifier(hidden, classes)

    def forward(self, maps: list[Tensor]) -> Tensor:
        low, high = maps
        x = self.reduce(torch.cat((self.fusion(low, high), high), 1))
        return self.classify(self.join(torch.cat((self.pyramid(x, x), x), 1)))


def ann(plan: Plan) -> nn.Module:
    """Dilated encoder and the asymmetric non-local head."""
    return Encoded(plan, AsymmetricHead, levels=2)
