"""The architectures of segmentation_models_pytorch (MIT), with its encoders or any of timm's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from .plan import Plan, library
from .pretrained import check_hub, check_timm, no_weights

TIMM = "tu-"  # the library's own prefix for encoders it takes from timm


def smp(name: str, **options: Any) -> Callable[[Plan], nn.Module]:
    """A builder of the library's class `name`."""

    def make(plan: Plan) -> nn.Module:
        return getattr(library("segmentation_models_pytorch"), name)(
            encoder_name=plan.encoder,
            encoder_weights=_weights(plan) if plan.pretrained else None,
            in_channels=plan.channels,
            classes=plan.classes,
            **options,
        )

    def build(plan: Plan) -> nn.Module:
        try:
            model = make(plan)
        except RuntimeError as error:
            if "meta" not in str(error):
                raise
            with torch.device("cpu"):  # some encoders compute with real numbers while they are made
                model = make(plan)
        return model.to(torch.get_default_device())  # a replaced first convolution is always made on the CPU

    return build


def dpt(plan: Plan) -> nn.Module:
    """DPT over a vision transformer of timm that accepts pictures of any size."""
    body = smp("DPT", dynamic_img_size=True)(plan)
    body.multiple = 2 * body.encoder.output_stride  # the deepest map is half as fine as the patches
    return body


def _weights(plan: Plan) -> str:
    """The name of the trained weights, once they are known to be within reach."""
    if plan.encoder.startswith(TIMM):
        check_timm(plan.encoder.removeprefix(TIMM))
        return "imagenet"  # read as "yes"
    known = library("segmentation_models_pytorch").encoders.encoders[plan.encoder]["pretrained_settings"]
    if not known:
        raise no_weights(plan.encoder)
    name = "imagenet" if "imagenet" in known else next(iter(known))
    check_hub(plan.encoder, known[name]["repo_id"], known[name]["revision"])
    return name
