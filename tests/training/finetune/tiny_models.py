"""Tiny models of the real classes, and pictures to learn."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("diffusers", reason="the extra diffusion is not installed")
pytest.importorskip("peft", reason="the extra diffusion is not installed")
sys.path.insert(0, str(Path(__file__).parents[2] / "imaging"))
from stable_diffusion_files import KINDS, networks, write_words
from visionsmith.training.finetune import Parts, settings
from visionsmith.training.finetune.folders import Row, read_concepts

__all__ = ["KINDS", "concepts", "parts", "quick"]


def parts(kind, folder, prediction="epsilon"):
    """A tiny model of a kind of `KINDS`; always the same weights."""
    from diffusers import DDIMScheduler
    from transformers import CLIPTokenizer

    folder.mkdir(parents=True, exist_ok=True)
    unet, vae, texts = networks(kind, write_words(folder))
    words = json.loads((folder / "vocab.json").read_text())
    tokenizers = [CLIPTokenizer(vocab=words, merges=[], model_max_length=77) for _ in texts]
    scheduler = DDIMScheduler(
        beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", clip_sample=False, set_alpha_to_one=False,
        prediction_type=prediction,
    )  # fmt: skip
    return Parts(kind, f"fingerprint of {kind}", unet, vae, list(texts), tokenizers, scheduler)


def draw(folder, count=3, size=(24, 24), masks=False):
    """Pictures of rectangles, with captions, and masks of where they are."""
    folder.mkdir(parents=True, exist_ok=True)
    chance = np.random.default_rng(0)
    for number in range(count):
        picture = np.full((*size, 3), (60 * number + 40) % 256, np.uint8)
        picture[6:18, 6:18] = chance.integers(0, 255, 3)
        Image.fromarray(picture).save(folder / f"{number}.png")
        if masks:
            mask = np.zeros(size, np.uint8)
            mask[6:18, 6:18] = 255
            Image.fromarray(mask).save(folder / f"{number}_mask.png")
    return folder


def concepts(folder, masks=False, resolution=16, dropout=0.0, **row):
    """Three pictures of one concept."""
    given = {"prompt": "q", "folder": draw(folder, masks=masks), **row}
    return read_concepts("three", [Row(**given)], resolution=resolution, dropout=dropout)


def quick(preset=settings.LORA, **changes):
    """A preset for the CPU, with what a test changes."""
    from dataclasses import replace

    given = {"steps": 4, "device": "cpu", "precision": "32-true", "optimizer": "AdamW", "save_as": "float32"}
    given |= {"accumulate": 1, "warmup": 0, "batch_size": 3, "rank": 4, "alpha": 4.0, "conv_rank": 4, "conv_alpha": 4.0}
    return replace(preset, **{**given, **changes})
