"""A whole model as one file for ComfyUI: from the names of diffusers and transformers to those that CompVis and Stability published.

diffusers reads that layout (``from_single_file``) but does not write it.
"""

from __future__ import annotations

import re

import torch
from torch import Tensor, nn

from .parts import Parts

UNET, VAE = "model.diffusion_model.", "first_stage_model."
CLIP = {"SD 1": ["cond_stage_model.transformer."], "SD 2": [], "SDXL": ["conditioner.embedders.0.transformer."]}
OPEN_CLIP = {"SD 1": [], "SD 2": ["cond_stage_model.model."], "SDXL": ["conditioner.embedders.1.model."]}

RESNET = {
    "norm1.": "in_layers.0.",
    "conv1.": "in_layers.2.",
    "time_emb_proj.": "emb_layers.1.",
    "norm2.": "out_layers.0.",
    "conv2.": "out_layers.3.",
    "conv_shortcut.": "skip_connection.",
}
ENDS = {
    "time_embedding.linear_1.": "time_embed.0.",
    "time_embedding.linear_2.": "time_embed.2.",
    "add_embedding.linear_1.": "label_emb.0.0.",
    "add_embedding.linear_2.": "label_emb.0.2.",
    "conv_in.": "input_blocks.0.0.",
    "conv_norm_out.": "out.0.",
    "conv_out.": "out.2.",
}
VAE_ATTENTION = {"group_norm.": "norm.", "to_q.": "q.", "to_k.": "k.", "to_v.": "v.", "to_out.0.": "proj_out."}
OPEN_LAYER = {
    "layer_norm1.": "ln_1.",
    "layer_norm2.": "ln_2.",
    "mlp.fc1.": "mlp.c_fc.",
    "mlp.fc2.": "mlp.c_proj.",
    "self_attn.out_proj.": "attn.out_proj.",
}
OPEN_ENDS = {
    "embeddings.token_embedding.weight": "token_embedding.weight",
    "embeddings.position_embedding.weight": "positional_embedding",
    "final_layer_norm.weight": "ln_final.weight",
    "final_layer_norm.bias": "ln_final.bias",
}


def checkpoint_state(parts: Parts, dtype: torch.dtype = torch.float16) -> dict[str, Tensor]:
    """All weights of a model under the published names, on the CPU."""
    state = {UNET + name: tensor for name, tensor in unet_state(parts.unet).items()}
    state |= {VAE + name: tensor for name, tensor in vae_state(parts.vae).items()}
    encoders = [(clip_state, start) for start in CLIP[parts.kind]]
    encoders += [(open_clip_state, start) for start in OPEN_CLIP[parts.kind]]
    for (convert, start), encoder in zip(encoders, parts.texts, strict=True):
        state |= {start + name: tensor for name, tensor in convert(encoder).items()}
    if parts.is_xl and parts.prediction == "v_prediction":
        state["v_pred"] = torch.zeros(0)
    return {name: tensor.detach().to("cpu", dtype).contiguous() for name, tensor in state.items()}


def unet_state(unet: nn.Module) -> dict[str, Tensor]:
    """The UNet's weights under the published names."""
    per_level = unet.config.layers_per_block
    attended = [hasattr(block, "attentions") for block in unet.up_blocks]
    return {unet_name(name, per_level, attended): tensor for name, tensor in unet.state_dict().items()}


def unet_name(name: str, per_level: int, attended: list[bool]) -> str:
    """The published name of one of its weights: blocks are counted through, with down- and upsamplers among them.

    Args:
        per_level: Blocks of each level on the way down; on the way up there is one more.
        attended: For each level on the way up, whether it has attention, after which its upsampler stands.
    """
    for old, new in ENDS.items():
        if name.startswith(old):
            return new + name[len(old) :]
    if match := re.match(r"mid_block\.(resnets|attentions)\.(\d)\.(.*)", name):
        place = 1 if match[1] == "attentions" else 2 * int(match[2])
        return f"middle_block.{place}.{_renamed(match[3], RESNET)}"
    match = re.match(r"(down|up)_blocks\.(\d+)\.(resnets|attentions|downsamplers|upsamplers)\.(\d+)\.(.*)", name)
    if not match:
        raise KeyError(name)
    side, level, part, number, rest = match[1], int(match[2]), match[3], int(match[4]), match[5]
    if part == "downsamplers":
        return f"input_blocks.{(level + 1) * (per_level + 1)}.0.{rest.replace('conv.', 'op.')}"
    if part == "upsamplers":
        return f"output_blocks.{level * (per_level + 1) + per_level}.{1 + attended[level]}.{rest}"
    block = 1 + level * (per_level + 1) + number if side == "down" else level * (per_level + 1) + number
    kind = "input" if side == "down" else "output"
    if part == "attentions":
        return f"{kind}_blocks.{block}.1.{rest}"
    return f"{kind}_blocks.{block}.0.{_renamed(rest, RESNET)}"


def _renamed(name: str, table: dict[str, str]) -> str:
    for old, new in table.items():
        if name.startswith(old):
            return new + name[len(old) :]
    return name


def vae_state(vae: nn.Module) -> dict[str, Tensor]:
    """The VAE's weights under the published names; its attention's linear layers are convolutions of one pixel there."""
    levels, state = len(vae.config.block_out_channels), {}
    for name, tensor in vae.state_dict().items():
        new = name.replace("conv_norm_out.", "norm_out.").replace("conv_shortcut.", "nin_shortcut.")
        new = re.sub(r"mid_block\.resnets\.(\d)", lambda found: f"mid.block_{int(found[1]) + 1}", new)
        new = re.sub(r"down_blocks\.(\d)\.downsamplers\.0", r"down.\1.downsample", new)
        new = re.sub(r"down_blocks\.(\d)\.resnets", r"down.\1.block", new)
        new = re.sub(r"up_blocks\.(\d)\.", lambda found: f"up.{levels - 1 - int(found[1])}.", new)
        new = new.replace(".upsamplers.0.", ".upsample.").replace(".resnets.", ".block.")
        if match := re.match(r"(.*)mid_block\.attentions\.0\.(.*)", new):
            new = f"{match[1]}mid.attn_1.{_renamed(match[2], VAE_ATTENTION)}"
            tensor = tensor[..., None, None] if tensor.ndim == 2 else tensor
        state[new] = tensor
    return state


def clip_state(encoder: nn.Module) -> dict[str, Tensor]:
    """OpenAI's text encoder under the published names, which are transformers' own with text_model before them."""
    return {
        f"text_model.{name.removeprefix('text_model.')}": tensor
        for name, tensor in encoder.state_dict().items()
        if not name.endswith("position_ids")
    }


def open_clip_state(encoder: nn.Module) -> dict[str, Tensor]:
    """OpenCLIP's text encoder under the published names: queries, keys and values are one weight there.

    SD 2 reads the last layer but one and diffusers leaves the last one out; a copy of the last stands in for it, which nobody reads.
    """
    own = {name.removeprefix("text_model."): tensor for name, tensor in encoder.state_dict().items()}
    layers = encoder.config.num_hidden_layers
    state: dict[str, Tensor] = {}
    for name, tensor in own.items():
        if match := re.match(r"encoder\.layers\.(\d+)\.(.*)", name):
            start, rest = f"transformer.resblocks.{match[1]}.", match[2]
            if rest.startswith("self_attn.q_proj."):
                end = rest.removeprefix("self_attn.q_proj.")
                keys = [name.replace("q_proj", f"{letter}_proj") for letter in "qkv"]
                state[f"{start}attn.in_proj_{end}"] = torch.cat([own[key] for key in keys])
            elif not rest.startswith(("self_attn.k_proj.", "self_attn.v_proj.")):
                state[start + _renamed(rest, OPEN_LAYER)] = tensor
        elif name == "text_projection.weight":
            state["text_projection"] = tensor.T
        elif name in OPEN_ENDS:
            state[OPEN_ENDS[name]] = tensor
    if "text_projection" not in state:  # SD 2
        last = f"transformer.resblocks.{layers - 1}."
        state |= {
            name.replace(last, f"transformer.resblocks.{layers}."): tensor.clone()
            for name, tensor in state.items()
            if name.startswith(last)
        }
    return state
