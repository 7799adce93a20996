"""What a checkpoint in one file is, told from the names and shapes of its weights, as the configurations that diffusers reads.

The sizes of the networks are measured, not looked up, so that a smaller network of the same layout is read as well. Only what no
shape tells is assumed: 32 groups in every normalization, 64 channels per attention head (8 heads in SD 1.x), the noise schedule.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ...nn_layers.errors import InputError

Shapes = Mapping[str, Sequence[int]]
Config = dict[str, Any]

UNET, VAE = "model.diffusion_model.", "first_stage_model."
SD1_TEXT, SD2_TEXT = "cond_stage_model.transformer.text_model.", "cond_stage_model.model."
XL_TEXT, XL_TEXT_2 = "conditioner.embedders.0.transformer.text_model.", "conditioner.embedders.1.model."
HEAD = 64  # channels per attention head
SIDES = {"SD 1": 64, "SD 2": 64, "SDXL": 128}  # of the latent pictures that the network learned from
TIME_EMBEDDING = 256  # SDXL: channels for each of the six sizes that it is told

# What else a file may be: the start or a part of a name in it, and what that is.
OTHERS = {
    "double_blocks.": "Flux",
    "joint_blocks.": "Stable Diffusion 3",
    "lora_": "a LoRA",
    ".lora": "a LoRA",
    "control_model.": "a ControlNet",
    "controlnet_cond_embedding.": "a ControlNet",
    "down_blocks.0.resnets.": "a single part of a diffusers folder",
    "decoder.up.": "a VAE alone",
    "text_model.encoder.": "a text encoder alone",
}


def kind_of(shapes: Shapes, name: str) -> str:
    """ "SD 1", "SD 2" or "SDXL".

    Raises:
        InputError: The file is something else, or has no VAE or no text encoder.
    """
    if f"{UNET}input_blocks.0.0.weight" not in shapes:
        found = next((what for part, what in OTHERS.items() if any(part in key for key in shapes)), None)
        found = found or f"something else (its first weight is called {next(iter(shapes), 'nothing')})"
        raise InputError(f"{name} is {found}; choose a checkpoint of Stable Diffusion 1.x, 2.x or SDXL.")
    if f"{VAE}decoder.conv_in.weight" not in shapes:
        raise InputError(f"{name} has no VAE in it; choose a checkpoint that holds all of its parts.")
    texts = {"SD 1": SD1_TEXT + "embeddings.", "SD 2": SD2_TEXT + "transformer.", "SDXL": XL_TEXT_2 + "transformer."}
    kind = next((kind for kind, start in texts.items() if any(key.startswith(start) for key in shapes)), None)
    if kind is None or (kind == "SDXL" and not any(key.startswith(XL_TEXT) for key in shapes)):
        raise InputError(
            f"{name} lacks a text encoder; choose a checkpoint that holds all parts of SD 1.x, 2.x or SDXL."
        )
    return kind


def configurations(shapes: Shapes, kind: str, prediction: str = "epsilon") -> dict[str, Config]:
    """The configuration of each part, by the folder in which diffusers looks for it; "" is the list of parts.

    Args:
        shapes: Shape of each weight.
        kind: From `kind_of`.
        prediction: What the network predicts: "epsilon" or "v_prediction".

    Raises:
        KeyError: A weight is missing.
    """
    parts = {
        "unet": unet_config(shapes, kind, prediction),
        "vae": vae_config(shapes, kind),
        "scheduler": scheduler_config(prediction),
        "tokenizer": tokenizer_config("!" if kind == "SD 2" else "<|endoftext|>"),
    }
    if kind == "SDXL":
        parts["text_encoder"] = clip_config(shapes, XL_TEXT)
        parts["text_encoder_2"] = open_clip_config(shapes, XL_TEXT_2, last=True)
        parts["tokenizer_2"] = tokenizer_config("!")
    else:
        known = kind == "SD 1"
        parts["text_encoder"] = clip_config(shapes, SD1_TEXT) if known else open_clip_config(shapes, SD2_TEXT)
    return {"": model_index(kind), **parts}


def model_index(kind: str) -> Config:
    """The parts of a pipeline and their classes."""
    parts: Config = {
        "_class_name": "StableDiffusionXLPipeline" if kind == "SDXL" else "StableDiffusionPipeline",
        "unet": ["diffusers", "UNet2DConditionModel"],
        "vae": ["diffusers", "AutoencoderKL"],
        "scheduler": ["diffusers", "DDIMScheduler"],
        "tokenizer": ["transformers", "CLIPTokenizer"],
        "text_encoder": ["transformers", "CLIPTextModel"],
    }
    if kind == "SDXL":
        parts["tokenizer_2"] = parts["tokenizer"]
        parts["text_encoder_2"] = ["transformers", "CLIPTextModelWithProjection"]
        return {**parts, "force_zeros_for_empty_prompt": True}
    return {**parts, "safety_checker": [None, None], "feature_extractor": [None, None]}


def unet_config(shapes: Shapes, kind: str, prediction: str) -> Config:
    """Rombach et al., "High-Resolution Image Synthesis with Latent Diffusion Models" (2022), appendix E.2, as it was measured."""
    own = {key[len(UNET) :]: shape for key, shape in shapes.items() if key.startswith(UNET)}
    channels, depths, per_level = [], [], []
    number, begin = 1, True
    while any(key.startswith(f"input_blocks.{number}.") for key in own):
        if f"input_blocks.{number}.0.op.weight" in own:
            begin = True
        else:
            if begin:
                channels, depths, per_level = [*channels, 0], [*depths, 0], [*per_level, 0]
                begin = False
            channels[-1] = own[f"input_blocks.{number}.0.out_layers.3.weight"][0]
            depths[-1] = depth_of(own, f"input_blocks.{number}.1.")
            per_level[-1] += 1
        number += 1
    project = next(shape for key, shape in own.items() if key.endswith("1.proj_in.weight"))
    linear = len(project) == 2
    crossing = next(shape for key, shape in own.items() if key.endswith("attn2.to_k.weight"))
    middle = depth_of(own, "middle_block.1.")
    config: Config = {
        "sample_size": SIDES[kind] if prediction == "epsilon" or kind == "SDXL" else 96,
        "in_channels": own["input_blocks.0.0.weight"][1],
        "out_channels": own["out.2.weight"][0],
        "block_out_channels": channels,
        "layers_per_block": per_level[0],
        "down_block_types": ["CrossAttnDownBlock2D" if depth else "DownBlock2D" for depth in depths],
        "up_block_types": ["CrossAttnUpBlock2D" if depth else "UpBlock2D" for depth in reversed(depths)],
        "transformer_layers_per_block": [*(depth or 1 for depth in depths[:-1]), depths[-1] or middle],
        "cross_attention_dim": crossing[1],
        "attention_head_dim": [max(1, count // HEAD) for count in channels]
        if linear
        else 8,  # diffusers' name for heads
        "use_linear_projection": linear,
        "upcast_attention": kind == "SD 2",  # overflows in half precision
    }
    if "label_emb.0.0.weight" in own:
        config["addition_embed_type"] = "text_time"
        config["addition_time_embed_dim"] = TIME_EMBEDDING
        config["projection_class_embeddings_input_dim"] = own["label_emb.0.0.weight"][1]
    return config


def depth_of(shapes: Shapes, start: str) -> int:
    """How many transformer blocks there are at `start`."""
    start += "transformer_blocks."
    return len({key[len(start) :].split(".")[0] for key in shapes if key.startswith(start)})


def vae_config(shapes: Shapes, kind: str) -> Config:
    """The autoencoder; its scale is the published one of each kind."""
    channels, level = [], 0
    while f"{VAE}encoder.down.{level}.block.0.conv2.weight" in shapes:
        channels.append(shapes[f"{VAE}encoder.down.{level}.block.0.conv2.weight"][0])
        level += 1
    blocks = {key.split(".")[5] for key in shapes if key.startswith(f"{VAE}encoder.down.0.block.")}
    return {
        "latent_channels": shapes[f"{VAE}decoder.conv_in.weight"][1],
        "block_out_channels": channels,
        "layers_per_block": len(blocks),
        "down_block_types": ["DownEncoderBlock2D"] * level,
        "up_block_types": ["UpDecoderBlock2D"] * level,
        "scaling_factor": 0.13025 if kind == "SDXL" else 0.18215,
        "force_upcast": kind == "SDXL",  # overflows in half precision
    }


def scheduler_config(prediction: str) -> Config:
    """The noise that every Stable Diffusion was trained with."""
    return {
        "_class_name": "DDIMScheduler",
        "num_train_timesteps": 1000,
        "beta_start": 0.00085,
        "beta_end": 0.012,
        "beta_schedule": "scaled_linear",
        "clip_sample": False,
        "set_alpha_to_one": False,
        "steps_offset": 1,
        "prediction_type": prediction,
    }


def clip_config(shapes: Shapes, start: str) -> Config:
    """OpenAI's text encoder."""
    words, hidden = shapes[f"{start}embeddings.token_embedding.weight"]
    layer = f"{start}encoder.layers."
    return {
        **text_config(words, hidden, len({key[len(layer) :].split(".")[0] for key in shapes if key.startswith(layer)})),
        "max_position_embeddings": shapes[f"{start}embeddings.position_embedding.weight"][0],
        "intermediate_size": shapes[f"{layer}0.mlp.fc1.weight"][0],
        "hidden_act": "quick_gelu",
    }


def open_clip_config(shapes: Shapes, start: str, last: bool = False) -> Config:
    """OpenCLIP's text encoder; SD 2 reads the last layer but one, and diffusers leaves the last one out."""
    words, hidden = shapes[f"{start}token_embedding.weight"]
    layer = f"{start}transformer.resblocks."
    layers = len({key[len(layer) :].split(".")[0] for key in shapes if key.startswith(layer)})
    config = {
        **text_config(words, hidden, layers if last else layers - 1),
        "max_position_embeddings": shapes[f"{start}positional_embedding"][0],
        "intermediate_size": shapes[f"{layer}0.mlp.c_fc.weight"][0],
        "hidden_act": "gelu",
    }
    return {**config, "projection_dim": shapes[f"{start}text_projection"][1]} if last else config


def text_config(words: int, hidden: int, layers: int) -> Config:
    """What both text encoders have in common; the end of a text is the last number of the table."""
    return {
        "model_type": "clip_text_model",
        "vocab_size": words,
        "hidden_size": hidden,
        "num_hidden_layers": layers,
        "num_attention_heads": max(1, hidden // HEAD),
        "projection_dim": hidden,
        "bos_token_id": words - 2,
        "eos_token_id": words - 1,
        "pad_token_id": words - 1,
    }


def tokenizer_config(pad: str) -> Config:
    """CLIP's tokenizer; SD 2 and the second encoder of SDXL were trained with another filling."""
    return {
        "tokenizer_class": "CLIPTokenizer",
        "model_max_length": 77,
        "bos_token": "<|startoftext|>",
        "eos_token": "<|endoftext|>",
        "unk_token": "<|endoftext|>",
        "pad_token": pad,
        "errors": "replace",
    }
