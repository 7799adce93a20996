"""GCNet: one global context for all positions (Cao et al. 2019, arXiv:1904.11492)."""

from __future__ import annotations

from functools import partial

from torch import Tensor, nn

from .dilated import ContextHead, Encoded
from .plan import Plan

RATIO = 16  # bottleneck ratio r of the paper


class GlobalContext(nn.Module):
    """The global context block: x + W₂ ReLU(LN(W₁ Σⱼ softmax(Wₖ x)ⱼ xⱼ)), equation 4 of the paper.

    [batch, channels, h, w] → the same shape. Wₖ has no bias: softmax would cancel it.
    """

    def __init__(self, channels: int, ratio: int = RATIO):
        super().__init__()
        hidden = max(8, channels // ratio)
        self.attend = nn.Conv2d(channels, 1, 1, bias=False)
        self.transform = nn.Sequential(
            nn.Conv2d(channels, hidden, 1),
            nn.LayerNorm((hidden, 1, 1)),
            nn.ReLU(inplace=True),
            nn.Conv2d(hidden, channels, 1),
        )

    def forward(self, x: Tensor) -> Tensor:
        attention = self.attend(x).flatten(2).softmax(-1)  # [batch, 1, positions]
        context = x.flatten(2) @ attention.transpose(1, 2)  # [batch, channels, 1]
        return x + self.transform(context.unsqueeze(-1))


def gcnet(plan: Plan) -> nn.Module:
    """Dilated encoder and a head around one global context block (the paper puts such blocks into the encoder as well)."""
    return Encoded(plan, partial(ContextHead, make_context=GlobalContext))
