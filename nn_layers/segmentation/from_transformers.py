"""Per-pixel classifiers of transformers (Apache-2.0), made from their configurations."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from .plan import Plan, library
from .pretrained import check_hub, no_weights


@dataclass(frozen=True)
class Size:
    """One size of a model: what its configuration changes, and the repository with weights trained on ImageNet ("" for none)."""

    settings: dict[str, Any] = field(default_factory=dict)
    repository: str = ""


def _beit(width: int, depth: int, heads: int, repository: str = "") -> Size:
    levels = [
        depth // 3,
        depth // 2,
        depth * 2 // 3,
        depth,
    ]  # blocks whose maps the head reads; arXiv:2106.08254, section 3.2
    settings = {
        "hidden_size": width,
        "num_hidden_layers": depth + 1,
        "num_attention_heads": heads,
        "intermediate_size": 4 * width,
        "use_relative_position_bias": True,
        "use_auxiliary_head": False,
        "out_indices": [level + 1 for level in levels],
    }
    return Size(settings, repository)


def _segformer(size: int, depths: list[int], widths: list[int], decoder: int) -> Size:
    settings = {"depths": depths, "hidden_sizes": widths, "decoder_hidden_size": decoder}
    return Size(settings, f"nvidia/mit-b{size}")


def _mobilevit(widths: list[int], neck: list[int], repository: str, **more: Any) -> Size:
    settings = {"hidden_sizes": widths, "neck_hidden_sizes": neck, "output_stride": 16, **more}
    return Size(settings, f"apple/{repository}")


BEIT = {
    "beit-tiny": _beit(192, 12, 3),
    "beit-small": _beit(384, 12, 6),
    "beit-base": _beit(768, 12, 12, "microsoft/beit-base-patch16-224-pt22k-ft22k"),
    "beit-large": _beit(1024, 24, 16, "microsoft/beit-large-patch16-224-pt22k-ft22k"),
}
SMALL, LARGE = [32, 64, 160, 256], [64, 128, 320, 512]
SEGFORMER = {
    "mit-b0": _segformer(0, [2, 2, 2, 2], SMALL, 256),
    "mit-b1": _segformer(1, [2, 2, 2, 2], LARGE, 256),
    "mit-b2": _segformer(2, [3, 4, 6, 3], LARGE, 768),
    "mit-b3": _segformer(3, [3, 4, 18, 3], LARGE, 768),
    "mit-b4": _segformer(4, [3, 8, 27, 3], LARGE, 768),
    "mit-b5": _segformer(5, [3, 6, 40, 3], LARGE, 768),
}
MOBILEVIT = {
    "mobilevit-xx-small": _mobilevit(
        [64, 80, 96], [16, 16, 24, 48, 64, 80, 320], "mobilevit-xx-small", expand_ratio=2.0
    ),
    "mobilevit-x-small": _mobilevit([96, 120, 144], [16, 32, 48, 64, 80, 96, 384], "mobilevit-x-small"),
    "mobilevit-small": _mobilevit([144, 192, 240], [16, 32, 64, 96, 128, 160, 640], "mobilevit-small"),
}
MOBILENETV2 = {
    "mobilenetv2-0.35": Size({"depth_multiplier": 0.35, "output_stride": 16}, "google/mobilenet_v2_0.35_96"),
    "mobilenetv2-1.0": Size({"depth_multiplier": 1.0, "output_stride": 16}, "google/mobilenet_v2_1.0_224"),
    "mobilenetv2-1.4": Size({"depth_multiplier": 1.4, "output_stride": 16}, "google/mobilenet_v2_1.4_224"),
}


class Logits(nn.Module):
    """The models of transformers give a dataclass; this gives its logits."""

    def __init__(self, model: nn.Module):
        super().__init__()
        self.model = model

    def forward(self, x: Tensor) -> Tensor:
        return self.model(x).logits


def transformers(name: str, sizes: dict[str, Size]) -> Callable[[Plan], nn.Module]:
    """A builder of `name`ForSemanticSegmentation."""

    def build(plan: Plan) -> nn.Module:
        module, size = library("transformers"), sizes[plan.encoder]
        config = getattr(module, f"{name}Config")
        make = getattr(module, f"{name}ForSemanticSegmentation")
        model = make(config(num_channels=plan.channels, num_labels=plan.classes, **size.settings))
        for part in model.modules():
            if hasattr(part, "generate_relative_position_index"):
                part.generate_relative_position_index = relative_positions
        if plan.pretrained:
            _load(model, make, config(num_labels=plan.classes, **size.settings), plan, size.repository)
        return Logits(model)

    return build


def relative_positions(window: tuple[int, int]) -> Tensor:
    """Which row of BEiT's table of relative positions belongs to each pair of tokens: int64 [1 + h w, 1 + h w], class token first.

    In place of the library's own function, which remembers a tensor for the whole process, even one made on the meta device, under
    inference mode or for an export, where it is of no use to training. This one remembers an array.
    """
    return torch.from_numpy(_relative_positions(tuple(window))).to(torch.get_default_device())


@lru_cache(maxsize=16)
def _relative_positions(window: tuple[int, int]) -> np.ndarray:
    height, width = window
    rows, columns = 2 * height - 1, 2 * width - 1
    y, x = np.divmod(np.arange(height * width), width)
    down, right = y[:, None] - y[None, :] + height - 1, x[:, None] - x[None, :] + width - 1
    index = np.pad(down * columns + right, ((1, 0), (1, 0)))
    index[0, :] = rows * columns  # class token to the others, the others to it, itself to itself
    index[:, 0] = rows * columns + 1
    index[0, 0] = rows * columns + 2
    return index


def _load(model: nn.Module, make: Any, config: Any, plan: Plan, repository: str) -> None:
    """Fill the encoder with trained weights; a first convolution of other channels is adapted, the head stays as it is."""
    from timm.models import adapt_input_conv

    if not repository:
        raise no_weights(plan.encoder)
    check_hub(plan.encoder, repository)
    trained, report = make.from_pretrained(
        repository, config=config, ignore_mismatched_sizes=True, output_loading_info=True
    )
    fresh = set(report["missing_keys"]) | {key for key, *_ in report["mismatched_keys"]}
    wanted = model.state_dict()
    for key, value in trained.state_dict().items():
        if key in fresh:
            continue
        wanted[key] = value if value.shape == wanted[key].shape else adapt_input_conv(plan.channels, value)
    model.load_state_dict(wanted)
