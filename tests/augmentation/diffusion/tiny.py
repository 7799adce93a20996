"""Small models and pictures for tests: the trained tiny-sd where it is, and pipelines with random weights."""

import os
import random
from pathlib import Path

import torch

WORDS = ["photo", "of", "a", "crack", "with", "scratch", "rust", "peeling", "plain", "dent", "image"]
SHARED = [os.environ.get("VISIONSMITH_SHARED"), Path(__file__).resolve().parents[4] / "shared"]


def trained() -> Path | None:
    """The folder of tiny-sd: VISIONSMITH_SHARED/models/tiny-sd, or below a folder `shared` beside the repository."""
    places = [Path(place) / "models" / "tiny-sd" for place in SHARED if place]
    return next((place for place in places if (place / "model_index.json").is_file()), None)


def cracked(seed: int = 0, side: int = 32) -> tuple[torch.Tensor, torch.Tensor]:
    """A striped grey surface with a dark crack, as tiny-sd knows them, [side, side, 3]; and the crack's mask."""
    generator = random.Random(seed)
    rows, columns = torch.meshgrid(torch.arange(side) * 32 / side, torch.arange(side) * 32 / side, indexing="ij")
    wave = torch.sin(columns * generator.uniform(0.5, 0.9) + generator.uniform(0, 6)) * 0.05
    grain = torch.randn(side, side, generator=torch.Generator().manual_seed(seed)) * 0.01
    image = torch.tensor([0.45, 0.47, 0.5]) + (wave + grain)[..., None]
    x, y, angle = generator.uniform(12, 20), generator.uniform(12, 20), torch.tensor(generator.uniform(0, 3.14))
    across = (columns - x) * angle.sin() - (rows - y) * angle.cos()
    along = (columns - x) * angle.cos() + (rows - y) * angle.sin()
    mask = (across.abs() < 1.3) & (along.abs() < 8)
    image[mask] = torch.tensor([0.08, 0.08, 0.1])
    return image.clamp(0, 1), mask.float()


def tokenizer():
    """CLIP's tokenizer with a table that holds `WORDS` and single letters."""
    from transformers import CLIPTokenizer

    letters = [chr(code) for code in range(ord("!"), ord("~") + 1)]
    vocabulary = [*letters, *(letter + "</w>" for letter in letters)]
    merges = []
    for word in WORDS:
        parts = [*word[:-1], word[-1] + "</w>"]
        while len(parts) > 1:
            pair = (parts[0], parts[1])
            if pair not in merges:
                merges.append(pair)
            parts = ["".join(pair), *parts[2:]]
            if parts[0] not in vocabulary:
                vocabulary.append(parts[0])
    vocabulary += ["<|startoftext|>", "<|endoftext|>"]
    return CLIPTokenizer(
        vocab={word: number for number, word in enumerate(vocabulary)}, merges=merges, model_max_length=77
    )


def random_pipeline(xl: bool = False, channels: int = 4):
    """A Stable Diffusion 1.x or XL of 16 × 16 latents for 32 × 32 pixels, with random weights."""
    from diffusers import (
        AutoencoderKL,
        DDIMScheduler,
        StableDiffusionPipeline,
        StableDiffusionXLPipeline,
        UNet2DConditionModel,
    )
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

    torch.manual_seed(0)
    words = tokenizer()
    text = {
        "vocab_size": len(words),
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "projection_dim": 24,
        "bos_token_id": words.bos_token_id,
        "eos_token_id": words.eos_token_id,
        "pad_token_id": words.pad_token_id,
    }
    unet = {
        "sample_size": 16,
        "in_channels": channels,
        "out_channels": 4,
        "block_out_channels": (32, 64),
        "layers_per_block": 1,
        "down_block_types": ("CrossAttnDownBlock2D", "DownBlock2D"),
        "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D"),
        "cross_attention_dim": 64 if xl else 32,
        "attention_head_dim": 8,
        "norm_num_groups": 8,
    }
    if xl:
        unet |= {
            "addition_embed_type": "text_time",
            "addition_time_embed_dim": 8,
            "projection_class_embeddings_input_dim": 24 + 6 * 8,
        }
    vae = AutoencoderKL(
        in_channels=3,
        out_channels=3,
        block_out_channels=(16, 32),
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        latent_channels=4,
        norm_num_groups=8,
        sample_size=32,
    )
    parts = {
        "vae": vae,
        "unet": UNet2DConditionModel(**unet),
        "text_encoder": CLIPTextModel(CLIPTextConfig(**text)),
        "tokenizer": words,
        "scheduler": DDIMScheduler(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", clip_sample=False, set_alpha_to_one=False, steps_offset=1),
    }  # fmt: skip
    if xl:
        second = CLIPTextModelWithProjection(CLIPTextConfig(**text))
        pipeline = StableDiffusionXLPipeline(**parts, text_encoder_2=second, tokenizer_2=words, add_watermarker=False)
    else:
        pipeline = StableDiffusionPipeline(
            **parts, safety_checker=None, feature_extractor=None, requires_safety_checker=False
        )
    for module in pipeline.components.values():
        if isinstance(module, torch.nn.Module):
            module.eval().requires_grad_(False)
    return pipeline


def psnr(first: torch.Tensor, second: torch.Tensor) -> float:
    """In dB."""
    return float(-10 * torch.log10(((first - second) ** 2).mean().clamp(min=1e-12)))
