"""A small Stable Diffusion 1.x that ComfyUI and diffusers both read: a UNet of two levels, CLIP and VAE in full size, random weights."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import save_file
from visionsmith.training.finetune import Parts
from visionsmith.training.finetune.single_file import checkpoint_state


def small_model(in_channels: int = 4) -> Parts:
    """The networks; 9 `in_channels` are for inpainting."""
    from diffusers import AutoencoderKL, DDIMScheduler, UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModel

    torch.manual_seed(0)
    unet = UNet2DConditionModel(
        in_channels=in_channels,
        block_out_channels=(320, 640),
        layers_per_block=1,
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
        cross_attention_dim=768,
    )
    vae = AutoencoderKL(
        block_out_channels=(128, 256, 512, 512),
        layers_per_block=2,
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        latent_channels=4,
    )
    text = CLIPTextModel(
        CLIPTextConfig(hidden_size=768, intermediate_size=3072, num_hidden_layers=12, num_attention_heads=12)
    )
    return Parts("small", "", unet, vae, [text], [], DDIMScheduler())


def write_small(file: Path, in_channels: int = 4) -> Path:
    """It as one file, in half precision."""
    file.parent.mkdir(parents=True, exist_ok=True)
    save_file(checkpoint_state(small_model(in_channels)), file)
    return file
