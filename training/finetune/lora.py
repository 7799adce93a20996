"""Low-rank additions to the layers of a UNet and its text encoders (Hu et al. 2021, arXiv:2106.09685), with the library peft."""

from __future__ import annotations

import re
from collections.abc import Iterator

import torch
from torch import nn

from ...nn_layers.errors import InputError
from .parts import Parts
from .settings import FinetuneSettings

NEEDED = "peft is not installed; pip install 'visionsmith[diffusion]' into ComfyUI's Python and start it again."
CONV = r"(conv1|conv2|conv_shortcut|downsamplers\.0\.conv|upsamplers\.0\.conv)"
ATTENTION = {
    "cross-attention": r".*\.attn2\.(to_q|to_k|to_v|to_out\.0)",
    "attention": r".*\.attn[12]\.(to_q|to_k|to_v|to_out\.0)",
    "all": r".*\.attentions\.\d+\..*",
}
TEXT = r"(.*\.)?layers\.\d+\.(self_attn\.(q_proj|k_proj|v_proj|out_proj)|mlp\.fc[12])"


def add_lora(parts: Parts, settings: FinetuneSettings) -> list[nn.Parameter]:
    """Freeze the networks, add the layers, and give what is to be trained, float32.

    Raises:
        InputError: peft is missing, a rank does not fit a layer, or no layer is left.
    """
    try:
        from peft import LoraConfig, inject_adapter_in_model
    except ImportError as error:
        raise InputError(NEEDED) from error
    for module in (parts.unet, *parts.texts):
        module.requires_grad_(False)
    found: list[nn.Parameter] = []
    for module, (linear, conv) in targets(parts, settings):
        if not linear and not conv:
            continue
        given = {"rank_pattern": {}, "alpha_pattern": {}}
        if conv:
            names = "|".join(re.escape(name) for name in conv)
            given = {"rank_pattern": {names: settings.conv_rank}, "alpha_pattern": {names: settings.conv_alpha}}
        config = LoraConfig(
            r=settings.rank or settings.conv_rank,
            lora_alpha=settings.alpha,
            target_modules=[*linear, *conv],
            lora_dropout=0.0,
            **given,
        )
        inject_adapter_in_model(config, module)
        for weight in module.parameters():
            if weight.requires_grad:
                weight.data = weight.data.float()
                found.append(weight)
    if not found:
        raise InputError(
            f"blocks {', '.join(settings.blocks) or 'none'} and layers {settings.layers} leave nothing to train in {parts.name}; choose more."
        )
    return found


def targets(parts: Parts, settings: FinetuneSettings) -> Iterator[tuple[nn.Module, tuple[list[str], list[str]]]]:
    """Each network with the names of its linear layers and its convolutions that are added to.

    As kohya-ss counts them, a convolution of one pixel is a linear layer, and the time's linear layers go with the convolutions.
    """
    place = re.compile(rf"({'|'.join(settings.blocks) or '-'})_blocks?\..*")
    attention = re.compile(ATTENTION[settings.layers])
    linear, conv = [], []
    for name, layer in parts.unet.named_modules():
        if not isinstance(layer, nn.Linear | nn.Conv2d) or not place.fullmatch(name):
            continue
        if settings.rank and attention.fullmatch(name):
            linear.append(name)
        elif settings.conv_rank and settings.layers == "all" and re.search(rf"\.({CONV}|time_emb_proj)$", name):
            conv.append(name)
        else:
            continue
        _check_rank(name, layer, settings)
    yield parts.unet, (linear, conv)
    for encoder in parts.texts if settings.train_text and settings.rank else ():
        names = [n for n, m in encoder.named_modules() if isinstance(m, nn.Linear) and re.fullmatch(TEXT, n)]
        for name in names:
            _check_rank(name, encoder.get_submodule(name), settings)
        yield encoder, (names, [])


def _check_rank(name: str, layer: nn.Linear | nn.Conv2d, settings: FinetuneSettings) -> None:
    """Refuse a rank above what a layer can have."""
    is_conv = (isinstance(layer, nn.Conv2d) and bool(re.search(CONV, name))) or "time_emb_proj" in name
    setting, rank = ("conv_rank", settings.conv_rank) if is_conv else ("rank", settings.rank)
    most = min(layer.weight.shape[0], layer.weight[0].numel())
    if rank > most:
        raise InputError(
            f"{setting} is {rank}, but layer {name} has only {most} inputs or outputs; choose at most {most}."
        )


def layers_of(module: nn.Module) -> Iterator[tuple[str, torch.Tensor, torch.Tensor, float]]:
    """Of each added layer: its name, the weights down to the rank and up from it, and alpha."""
    from peft.tuners.lora import LoraLayer

    for name, layer in module.named_modules():
        if isinstance(layer, LoraLayer) and "default" in layer.lora_A:
            yield (
                name,
                layer.lora_A["default"].weight.detach(),
                layer.lora_B["default"].weight.detach(),
                float(layer.lora_alpha["default"]),
            )
