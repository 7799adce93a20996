"""Small files of Stable Diffusion 1.x as ComfyUI reads them: its keys and shapes, fewer levels, random weights.

ComfyUI tells an SD 1.x UNet by 320 channels on its first level and a context of 768; how many levels and blocks there are it counts.
So two levels with one block each are enough. CLIP and the encoder of the VAE have their full size, because ComfyUI counts nothing there.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

import torch
from safetensors.torch import save_file

Shapes = Iterator[tuple[str, tuple[int, ...]]]
WIDTH, EMBEDDING, CONTEXT, LEVELS = 320, 1280, 768, 2
CLIP_LAYERS, TOKENS, WORDS = 12, 77, 49408
VAE_LEVELS, ENCODER, DECODER = (1, 2, 4, 4), 128, 32


def write_checkpoint(file: Path, in_channels: int = 4) -> Path:
    """A checkpoint of random weights; 9 `in_channels` make it one for inpainting. About 370 MB."""
    parts = {
        "model.diffusion_model.": unet(in_channels),
        "first_stage_model.": vae(),
        "cond_stage_model.transformer.text_model.": clip(),
    }
    state = {prefix + name: shape for prefix, shapes in parts.items() for name, shape in shapes}
    return write(file, state)


def write_lora(file: Path, rank: int = 4) -> Path:
    """A LoRA for the first attention of the UNet and the first layer of CLIP."""
    attention = "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn2_to"
    sizes = {f"{attention}_q": (WIDTH, WIDTH), f"{attention}_k": (CONTEXT, WIDTH), "lora_te_text_model_encoder_layers_0_mlp_fc1": (CONTEXT, 4 * CONTEXT)}  # fmt: skip
    state = {f"{name}.lora_down.weight": (rank, before) for name, (before, _) in sizes.items()}
    state |= {f"{name}.lora_up.weight": (after, rank) for name, (_, after) in sizes.items()}
    return write(file, state)


def write(file: Path, shapes: dict[str, tuple[int, ...]]) -> Path:
    """Random weights of these shapes in half precision, such that what comes out is about as large as what goes in."""
    file.parent.mkdir(parents=True, exist_ok=True)
    noise = torch.randn(1 << 20, generator=torch.Generator().manual_seed(0)).half()
    state = {}
    for name, shape in shapes.items():
        count, is_scale = math.prod(shape), len(shape) == 1 and name.endswith("weight")
        if len(shape) == 1:
            state[name] = torch.full(shape, float(is_scale), dtype=torch.float16)
        else:
            many = noise.repeat(-(-count // len(noise)))[:count]
            state[name] = (many / math.sqrt(count / shape[0])).view(shape)
    save_file(state, file)
    return file


def layer(name: str, *weight: int, bias: bool = True) -> Shapes:
    """Weight and bias of a layer; one number is a normalization."""
    yield f"{name}.weight", weight
    if bias:
        yield f"{name}.bias", weight[:1]


def unet(in_channels: int) -> Shapes:
    """UNetModel: `LEVELS` levels of one block each, all as wide as the first."""
    yield from layer("time_embed.0", EMBEDDING, WIDTH)
    yield from layer("time_embed.2", EMBEDDING, EMBEDDING)
    yield from layer("input_blocks.0.0", WIDTH, in_channels, 3, 3)
    for level in range(LEVELS):
        yield from unet_block(f"input_blocks.{2 * level + 1}", WIDTH)
        if level < LEVELS - 1:
            yield from layer(f"input_blocks.{2 * level + 2}.0.op", WIDTH, WIDTH, 3, 3)
    yield from unet_block("middle_block", WIDTH)
    yield from residual("middle_block.2", WIDTH)
    for block in range(2 * LEVELS):
        yield from unet_block(f"output_blocks.{block}", 2 * WIDTH)
        if block % 2 and block < 2 * LEVELS - 1:
            yield from layer(f"output_blocks.{block}.2.conv", WIDTH, WIDTH, 3, 3)
    yield from layer("out.0", WIDTH)
    yield from layer("out.2", 4, WIDTH, 3, 3)


def unet_block(name: str, channels: int) -> Shapes:
    """A residual block and a transformer."""
    yield from residual(f"{name}.0", channels)
    yield from transformer(f"{name}.1")


def residual(name: str, channels: int) -> Shapes:
    yield from layer(f"{name}.in_layers.0", channels)
    yield from layer(f"{name}.in_layers.2", WIDTH, channels, 3, 3)
    yield from layer(f"{name}.emb_layers.1", WIDTH, EMBEDDING)
    yield from layer(f"{name}.out_layers.0", WIDTH)
    yield from layer(f"{name}.out_layers.3", WIDTH, WIDTH, 3, 3)
    if channels != WIDTH:
        yield from layer(f"{name}.skip_connection", WIDTH, channels, 1, 1)


def transformer(name: str) -> Shapes:
    inner = f"{name}.transformer_blocks.0"
    yield from layer(f"{name}.norm", WIDTH)
    yield from layer(f"{name}.proj_in", WIDTH, WIDTH, 1, 1)
    for attention, width in (("attn1", WIDTH), ("attn2", CONTEXT)):
        yield from layer(f"{inner}.{attention}.to_q", WIDTH, WIDTH, bias=False)
        yield from layer(f"{inner}.{attention}.to_k", WIDTH, width, bias=False)
        yield from layer(f"{inner}.{attention}.to_v", WIDTH, width, bias=False)
        yield from layer(f"{inner}.{attention}.to_out.0", WIDTH, WIDTH)
    yield from layer(f"{inner}.ff.net.0.proj", 8 * WIDTH, WIDTH)
    yield from layer(f"{inner}.ff.net.2", WIDTH, 4 * WIDTH)
    for norm in ("norm1", "norm2", "norm3"):
        yield from layer(f"{inner}.{norm}", WIDTH)
    yield from layer(f"{name}.proj_out", WIDTH, WIDTH, 1, 1)


def clip() -> Shapes:
    """CLIP ViT-L/14's text model."""
    yield from layer("embeddings.token_embedding", WORDS, CONTEXT, bias=False)
    yield from layer("embeddings.position_embedding", TOKENS, CONTEXT, bias=False)
    for number in range(CLIP_LAYERS):
        name = f"encoder.layers.{number}"
        for part in ("q", "k", "v", "out"):
            yield from layer(f"{name}.self_attn.{part}_proj", CONTEXT, CONTEXT)
        yield from layer(f"{name}.mlp.fc1", 4 * CONTEXT, CONTEXT)
        yield from layer(f"{name}.mlp.fc2", CONTEXT, 4 * CONTEXT)
        yield from layer(f"{name}.layer_norm1", CONTEXT)
        yield from layer(f"{name}.layer_norm2", CONTEXT)
    yield from layer("final_layer_norm", CONTEXT)


def vae() -> Shapes:
    """AutoencoderKL with the encoder of SD 1.x and a narrow decoder."""
    widths = [ENCODER * level for level in VAE_LEVELS]
    yield from layer("encoder.conv_in", ENCODER, 3, 3, 3)
    before = ENCODER
    for level, width in enumerate(widths):
        for block in range(2):
            yield from vae_block(f"encoder.down.{level}.block.{block}", before, width)
            before = width
        if level < len(widths) - 1:
            yield from layer(f"encoder.down.{level}.downsample.conv", width, width, 3, 3)
    yield from vae_middle("encoder", before)
    yield from layer("encoder.norm_out", before)
    yield from layer("encoder.conv_out", 8, before, 3, 3)
    before = DECODER * VAE_LEVELS[-1]
    yield from layer("decoder.conv_in", before, 4, 3, 3)
    yield from vae_middle("decoder", before)
    for level in reversed(range(len(VAE_LEVELS))):
        width = DECODER * VAE_LEVELS[level]
        for block in range(3):
            yield from vae_block(f"decoder.up.{level}.block.{block}", before, width)
            before = width
        if level:
            yield from layer(f"decoder.up.{level}.upsample.conv", width, width, 3, 3)
    yield from layer("decoder.norm_out", before)
    yield from layer("decoder.conv_out", 3, before, 3, 3)
    yield from layer("quant_conv", 8, 8, 1, 1)
    yield from layer("post_quant_conv", 4, 4, 1, 1)


def vae_middle(part: str, width: int) -> Shapes:
    yield from vae_block(f"{part}.mid.block_1", width, width)
    yield from vae_block(f"{part}.mid.block_2", width, width)
    yield from layer(f"{part}.mid.attn_1.norm", width)
    for name in ("q", "k", "v", "proj_out"):
        yield from layer(f"{part}.mid.attn_1.{name}", width, width, 1, 1)


def vae_block(name: str, before: int, width: int) -> Shapes:
    yield from layer(f"{name}.norm1", before)
    yield from layer(f"{name}.conv1", width, before, 3, 3)
    yield from layer(f"{name}.norm2", width)
    yield from layer(f"{name}.conv2", width, width, 3, 3)
    if before != width:
        yield from layer(f"{name}.nin_shortcut", width, before, 1, 1)
