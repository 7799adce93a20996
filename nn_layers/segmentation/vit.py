"""ViT: a plain vision transformer with the multi-level head of SETR-MLA (Zheng et al. 2021, arXiv:2012.15840)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .blocks import conv_norm_relu
from .plan import Plan
from .pretrained import check_timm

LEVELS = 4  # maps taken after each quarter of the transformer
NECK, HEAD = 256, 128  # channels per level in the paper, behind 768 and more; fewer behind fewer


class MultiLevelHead(nn.Module):
    """Multi-level feature aggregation (figure 1c): every level is reduced, gets the sum of those above, and is enlarged four times.

    Maps of one size [batch, channels, h, w], shallow to deep → logits [batch, classes, 4 h, 4 w].
    """

    def __init__(self, channels: int, classes: int):
        super().__init__()
        neck = min(NECK, max(32, channels // 3))
        head = max(16, neck * HEAD // NECK)
        self.reduce = nn.ModuleList(conv_norm_relu(channels, neck, kernel=1) for _ in range(LEVELS))
        self.smooth = nn.ModuleList(conv_norm_relu(neck, neck) for _ in range(LEVELS))
        self.heads = nn.ModuleList(
            nn.Sequential(conv_norm_relu(neck, head), conv_norm_relu(head, head)) for _ in range(LEVELS)
        )
        self.classify = nn.Conv2d(LEVELS * head, classes, 1)

    def forward(self, maps: list[Tensor]) -> Tensor:
        joined, above = [], None
        for i in reversed(range(LEVELS)):  # top-down: the deepest level first
            x = self.reduce[i](maps[i])
            above = x if above is None else above + x
            enlarged = self.heads[i](self.smooth[i](above))
            joined.append(F.interpolate(enlarged, scale_factor=4, mode="bilinear", align_corners=False))
        return self.classify(torch.cat(joined, 1))


class VisionTransformerSegmenter(nn.Module):
    """Any timm vision transformer that accepts pictures of any size (position embeddings are resampled), and the head."""

    def __init__(self, plan: Plan):
        super().__init__()
        import timm

        if plan.pretrained:
            check_timm(plan.encoder)
        self.encoder = timm.create_model(
            plan.encoder,
            pretrained=plan.pretrained,
            in_chans=plan.channels,
            num_classes=0,
            global_pool="",
            dynamic_img_size=True,
        )
        depth = len(self.encoder.feature_info)
        self.indices = [depth * (i + 1) // LEVELS - 1 for i in range(LEVELS)]
        self.multiple = self.encoder.feature_info[0]["reduction"]  # the patch, in pixels
        self.head = MultiLevelHead(self.encoder.feature_info[0]["num_chs"], plan.classes)

    def forward(self, x: Tensor) -> Tensor:
        maps = self.encoder.forward_intermediates(x, indices=self.indices, norm=True, intermediates_only=True)
        return self.head(maps)


def vit(plan: Plan) -> nn.Module:
    """A vision transformer of timm with the SETR-MLA head."""
    return VisionTransformerSegmenter(plan)
