"""Tiny Stable Diffusion checkpoints in one file, with random weights under the published names.

The networks are diffusers' own, made small; their weights are renamed to the layout of CompVis' and Stability's files.
"""

import json
import re

import torch
from safetensors.torch import save_file

UNET = {
    "block_out_channels": (32, 64),
    "layers_per_block": 1,
    "down_block_types": ("CrossAttnDownBlock2D", "DownBlock2D"),
    "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D"),
    "attention_head_dim": 8,
    "cross_attention_dim": 64,
    "sample_size": 64,
}
KINDS = {
    "SD 1": {},
    "SD 1 inpainting": {"in_channels": 9},
    "SD 2": {"use_linear_projection": True, "attention_head_dim": (1, 1)},
    "SDXL": {
        "use_linear_projection": True,
        "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D"),
        "up_block_types": ("CrossAttnUpBlock2D", "UpBlock2D"),
        "transformer_layers_per_block": (1, 2),
        "attention_head_dim": (1, 1),
        "cross_attention_dim": 64 + 128,
        "addition_embed_type": "text_time",
        "addition_time_embed_dim": 256,
        "projection_class_embeddings_input_dim": 128 + 6 * 256,
        "sample_size": 128,
    },
}
VAE = {"block_out_channels": (32, 32), "down_block_types": ("DownEncoderBlock2D",) * 2, "up_block_types": ("UpDecoderBlock2D",) * 2, "layers_per_block": 1, "latent_channels": 4}  # fmt: skip
TEXT = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 1, "max_position_embeddings": 77, "projection_dim": 64}  # fmt: skip

_RESNET = {
    "norm1": "in_layers.0",
    "conv1": "in_layers.2",
    "time_emb_proj": "emb_layers.1",
    "norm2": "out_layers.0",
    "conv2": "out_layers.3",
    "conv_shortcut": "skip_connection",
}
_ENDS = {
    "time_embedding.linear_1": "time_embed.0",
    "time_embedding.linear_2": "time_embed.2",
    "add_embedding.linear_1": "label_emb.0.0",
    "add_embedding.linear_2": "label_emb.0.2",
    "conv_in": "input_blocks.0.0",
    "conv_norm_out": "out.0",
    "conv_out": "out.2",
}
_ATTENTION = {"group_norm": "norm", "to_q": "q", "to_k": "k", "to_v": "v", "to_out.0": "proj_out"}
_OPEN = {"layer_norm1": "ln_1", "layer_norm2": "ln_2", "fc1": "c_fc", "fc2": "c_proj", "self_attn": "attn"}


def write_words(folder):
    """A table of words of CLIP's form with the single letters alone; the number of tokens in it."""
    letters = [chr(number) for number in range(33, 33 + 90)]
    words = [*letters, *(letter + "</w>" for letter in letters), "a photo</w>", "<|startoftext|>", "<|endoftext|>"]
    (folder / "vocab.json").write_text(json.dumps({word: number for number, word in enumerate(words)}))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    return len(words)


def networks(kind, words):
    """The parts of a tiny model of a kind: UNet, VAE, text encoders."""
    from diffusers import AutoencoderKL, UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

    torch.manual_seed(0)
    unet = UNet2DConditionModel(**{**UNET, **KINDS[kind]})
    ends = {"vocab_size": words, "bos_token_id": words - 2, "eos_token_id": words - 1}
    texts = [CLIPTextModel(CLIPTextConfig(**TEXT, **ends))]
    if kind == "SDXL":
        wide = {**TEXT, "hidden_size": 128, "num_attention_heads": 2, "projection_dim": 128, "hidden_act": "gelu"}
        texts.append(CLIPTextModelWithProjection(CLIPTextConfig(**wide, **ends)))
    return unet.eval(), AutoencoderKL(**VAE).eval(), [text.eval() for text in texts]


def unet_name(name, per_level):
    """The published name of one of diffusers' weights."""
    for old, new in _ENDS.items():
        if name.startswith(old + "."):
            return new + name[len(old) :]
    middle = re.match(r"mid_block\.(resnets|attentions)\.(\d)\.(.*)", name)
    if middle:
        place = 1 if middle[1] == "attentions" else 2 * int(middle[2])
        return f"middle_block.{place}.{_resnet(middle[3])}"
    side, level, part, number, rest = re.match(r"(down|up)_blocks\.(\d+)\.(\w+?)s?\.(\d+)\.(.*)", name).groups()
    level, number = int(level), int(number)
    if side == "down":
        if part == "downsampler":
            return f"input_blocks.{(level + 1) * (per_level + 1)}.0.{rest.replace('conv', 'op')}"
        return f"input_blocks.{1 + level * (per_level + 1) + number}.{int(part == 'attention')}.{_resnet(rest)}"
    if part == "upsampler":
        return f"output_blocks.{level * (per_level + 1) + per_level}.UP.{rest}"
    return f"output_blocks.{level * (per_level + 1) + number}.{int(part == 'attention')}.{_resnet(rest)}"


def _resnet(name):
    for old, new in _RESNET.items():
        if name.startswith(old + "."):
            return new + name[len(old) :]
    return name


def unet_state(unet):
    """Its weights under the published names."""
    state = {unet_name(name, unet.config.layers_per_block): tensor for name, tensor in unet.state_dict().items()}
    attended = {name.split(".")[1] for name in state if name.startswith("output_blocks.") and ".1.transformer" in name}
    return {
        re.sub(r"UP", "2" if ".UP." in name and name.split(".")[1] in attended else "1", name): tensor
        for name, tensor in state.items()
    }


def vae_state(vae):
    """Its weights under the published names; the attention's are convolutions there."""
    levels, state = len(vae.config.block_out_channels), {}
    for name, tensor in vae.state_dict().items():
        name = name.replace("conv_norm_out", "norm_out").replace("conv_shortcut", "nin_shortcut")
        name = re.sub(r"mid_block\.resnets\.(\d)", lambda found: f"mid.block_{int(found[1]) + 1}", name)
        name = re.sub(r"down_blocks\.(\d)\.resnets", r"down.\1.block", name)
        name = re.sub(r"down_blocks\.(\d)\.downsamplers\.0", r"down.\1.downsample", name)
        name = re.sub(r"up_blocks\.(\d)", lambda found: f"up.{levels - 1 - int(found[1])}", name)
        name = name.replace("upsamplers.0", "upsample").replace(".resnets", ".block")
        if "mid_block.attentions.0." in name:
            name = name.replace("mid_block.attentions.0", "mid.attn_1")
            for old, new in _ATTENTION.items():
                name = name.replace(f"attn_1.{old}.", f"attn_1.{new}.")
            tensor = tensor[..., None, None] if tensor.ndim == 2 else tensor
        state[name] = tensor
    return state


def clip_state(text):
    """OpenAI's names."""
    return {"text_model." + name.removeprefix("text_model."): tensor for name, tensor in text.state_dict().items()}


def open_clip_state(text, extra_layer=False):
    """OpenCLIP's names: queries, keys and values are one weight; with an `extra_layer`, which SD 2 does not use."""
    own, state = {name.removeprefix("text_model."): tensor for name, tensor in text.state_dict().items()}, {}
    for name, tensor in own.items():
        if name.startswith("encoder.layers."):
            name = name.replace("encoder.layers.", "transformer.resblocks.")
            for old, new in _OPEN.items():
                name = name.replace(old, new)
            if ".q_proj." in name:
                parts = [own[_old(name).replace("q_proj", f"{letter}_proj")] for letter in "qkv"]
                name, tensor = name.replace(".q_proj.", ".in_proj_"), torch.cat(parts)
            elif ".k_proj." in name or ".v_proj." in name:
                continue
        name = name.replace("embeddings.token_embedding", "token_embedding").replace("final_layer_norm", "ln_final")
        name = name.replace("embeddings.position_embedding.weight", "positional_embedding")
        if name == "text_projection.weight":
            name, tensor = "text_projection", tensor.T.contiguous()
        state[name] = tensor
    if extra_layer:
        layers = text.config.num_hidden_layers
        first = {name: tensor for name, tensor in state.items() if ".resblocks.0." in name}
        state |= {name.replace("blocks.0.", f"blocks.{layers}."): tensor.clone() for name, tensor in first.items()}
    return state


def _old(name):
    name = name.replace("transformer.resblocks.", "encoder.layers.")
    for old, new in _OPEN.items():
        name = name.replace(new, old) if new != "attn" else name.replace(".attn.", ".self_attn.")
    return name


def state_of(kind, unet, vae, texts):
    """A whole checkpoint."""
    prefixed = {"model.diffusion_model.": unet_state(unet), "first_stage_model.": vae_state(vae)}
    if kind == "SDXL":
        prefixed["conditioner.embedders.0.transformer."] = clip_state(texts[0])
        prefixed["conditioner.embedders.1.model."] = open_clip_state(texts[1])
    elif kind == "SD 2":
        prefixed["cond_stage_model.model."] = open_clip_state(texts[0], extra_layer=True)
    else:
        prefixed["cond_stage_model.transformer."] = clip_state(texts[0])
    return {start + name: tensor.contiguous() for start, part in prefixed.items() for name, tensor in part.items()}


def write_checkpoint(path, kind):
    """A checkpoint and, beside it, a table of words; the networks that are in it."""
    parts = networks(kind, write_words(path.parent))
    save_file(state_of(kind, *parts), path)
    return parts
