"""What our ResNet-based architectures have in common: a dilated timm encoder, a head, and one layout of heads."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from .blocks import classifier, conv_norm_relu
from .plan import Plan
from .pretrained import check_timm

HEAD_CHANNELS = 512  # in the papers, behind the 2,048 channels of a ResNet-50 or -101
REDUCTION = 4  # smaller encoders keep that proportion


def head_channels(encoder_channels: int) -> int:
    """Hidden channels of a head: the papers' 512 behind 2,048, fewer behind fewer."""
    return min(HEAD_CHANNELS, max(32, encoder_channels // REDUCTION))


class Encoded(nn.Module):
    """The last maps of a convolutional timm encoder, given to a head that returns logits.

    Args:
        make_head: Gets the channels of the maps and the number of classes.
        levels: How many of the encoder's last maps the head reads.
        output_stride: At 8, strides of the last two stages become dilations, so that their maps are an eighth of the picture.
    """

    def __init__(
        self, plan: Plan, make_head: Callable[[list[int], int], nn.Module], levels: int = 1, output_stride: int = 8
    ):
        super().__init__()
        import timm

        if plan.pretrained:
            check_timm(plan.encoder)
        self.encoder = timm.create_model(
            plan.encoder,
            features_only=True,
            out_indices=tuple(range(-levels, 0)),
            in_chans=plan.channels,
            pretrained=plan.pretrained,
            **({} if output_stride == 32 else {"output_stride": output_stride}),
        )
        if (found := self.encoder.feature_info.reduction()[-1]) != output_stride:
            raise ValueError(f"its maps are 1/{found} of the picture where 1/{output_stride} is needed")
        self.head = make_head(self.encoder.feature_info.channels(), plan.classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.encoder(x))


class ContextHead(nn.Module):
    """Convolve, gather context, convolve; join with the encoder's map and classify.

    The layout that CCNet (arXiv:1811.11721, figure 2) uses around its attention.

    Args:
        channels: Of the encoder's maps; the last one is read.
        make_context: Makes the module that gathers context for so many channels; it keeps the shape.
    """

    def __init__(self, channels: list[int], classes: int, make_context: Callable[[int], nn.Module]):
        super().__init__()
        hidden = head_channels(channels[-1])
        self.before = conv_norm_relu(channels[-1], hidden)
        self.context = make_context(hidden)
        self.after = conv_norm_relu(hidden, hidden)
        self.join = conv_norm_relu(channels[-1] + hidden, hidden)
        self.classify = classifier(hidden, classes)

    def forward(self, maps: list[Tensor]) -> Tensor:
        context = self.after(self.context(self.before(maps[-1])))
        return self.classify(self.join(torch.cat((maps[-1], context), 1)))
