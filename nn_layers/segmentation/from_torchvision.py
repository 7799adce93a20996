"""The architectures of torchvision (BSD-3-Clause), with their own encoders."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn

from .plan import Plan
from .pretrained import check_url, unavailable


class MainOutput(nn.Module):
    """torchvision's models give a dictionary; this gives its main output."""

    def __init__(self, model: nn.Module):
        super().__init__()
        self.model = model

    def forward(self, x: Tensor) -> Tensor:
        return self.model(x)["out"]


def torchvision(name: str, backbone: str = "") -> Callable[[Plan], nn.Module]:
    """A builder of torchvision's model `name`, in which "{}" stands for the encoder; `backbone` is that of a model without choice."""

    def build(plan: Plan) -> nn.Module:
        from torchvision.models import get_model

        encoder = backbone or plan.encoder
        model = get_model(name.format(encoder), weights=None, weights_backbone=None, num_classes=plan.classes)
        _match_channels(model.backbone, plan.channels)
        if plan.pretrained:
            _load(model.backbone, encoder, plan.channels)
        return MainOutput(model)

    return build


def _first_convolution(backbone: nn.Module) -> str:
    return next(name for name, module in backbone.named_modules() if isinstance(module, nn.Conv2d))


def _match_channels(backbone: nn.Module, channels: int) -> None:
    """Let the first convolution read `channels` channels."""
    name = _first_convolution(backbone)
    conv = backbone.get_submodule(name)
    if conv.in_channels != channels:
        bias = conv.bias is not None
        fresh = nn.Conv2d(channels, conv.out_channels, conv.kernel_size, conv.stride, conv.padding, bias=bias)
        nn.init.kaiming_normal_(fresh.weight, mode="fan_out")  # as torchvision does
        holder, _, last = name.rpartition(".")
        backbone.get_submodule(holder)._modules[last] = fresh


def _load(backbone: nn.Module, encoder: str, channels: int) -> None:
    """Fill the encoder with torchvision's weights of its classifier; a first convolution of other channels is adapted."""
    from timm.models import adapt_input_conv
    from torchvision.models import get_model_weights

    weights = get_model_weights(encoder).IMAGENET1K_V1
    check_url(encoder, weights.url)
    try:
        found = weights.get_state_dict(progress=False, check_hash=True, weights_only=True)
    except OSError as error:
        raise unavailable(encoder, error) from error
    found = {key.removeprefix("features."): value for key, value in found.items()}
    first = f"{_first_convolution(backbone)}.weight"
    found[first] = adapt_input_conv(channels, found[first])
    backbone.load_state_dict({key: value for key, value in found.items() if key in backbone.state_dict()})
