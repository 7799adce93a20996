"""Drawn pictures with rare defects, so that a workflow of segmentation runs before there are photographs."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFilter

from ..dataset import Dataset
from ..sources import shares
from .samples import MaskedTensors, pixel_counts, segmentation_dataset

SAMPLE = "sample"
"""The name that stands for these pictures where there is no folder of that name."""

COUNT, HEIGHT, WIDTH = 40, 160, 208
CLASSES = ("surface", "defect")
NOTE = f"These {COUNT} pictures are drawn by a program, no photographs; put the name of your own folder in their place."


def drawn_sample(
    *, color: bool = True, classes: Sequence[str] = (), val: float = 0.0, test: float = 0.0, seed: int = 0
) -> Dataset:
    """Forty brushed surfaces, always the same; half of them have a thin scratch or a small spot, about 0.3 % of all pixels.

    Args:
        color: With three channels, otherwise with one.
        classes: Two names, if not `CLASSES`.
        val, test, seed: How they are divided.
    """
    pairs = [_drawn(number) for number in range(COUNT)]
    pictures = [torch.from_numpy(picture)[None].repeat(3 if color else 1, 1, 1) for picture, _ in pairs]
    masks = [torch.from_numpy(mask) for _, mask in pairs]
    samples = MaskedTensors(pictures, masks, torch.stack([pixel_counts(mask) for mask in masks]))
    whole = {"train": samples}
    return segmentation_dataset(SAMPLE, whole, classes or CLASSES, shares=shares(val, test), seed=seed, notes=(NOTE,))


def _drawn(number: int) -> tuple[np.ndarray, np.ndarray]:
    """A picture and its mask, uint8 [height, width]: every fourth has a scratch, every fourth a spot."""
    random = np.random.default_rng(number)
    brushed = random.normal(0, 14, (HEIGHT, 1)) * 0.4 + random.normal(0, 8, (HEIGHT, WIDTH))
    light = np.linspace(-1, 1, WIDTH) * random.uniform(-25, 25)
    picture = 130 + brushed + light
    mask = Image.new("L", (WIDTH, HEIGHT))
    kind, draw = (0, 1, 0, 2)[number % 4], ImageDraw.Draw(mask)
    x, y = random.uniform(25, WIDTH - 25), random.uniform(25, HEIGHT - 25)
    if kind == 1:
        angle, length = random.uniform(0, np.pi), random.uniform(30, 55)
        step = np.array([np.cos(angle), np.sin(angle)]) * length / 2
        draw.line([(x - step[0], y - step[1]), (x + step[0], y + step[1])], 255, 2)
    elif kind == 2:
        high, wide = random.uniform(4, 8, 2)
        draw.ellipse([x - wide, y - high, x + wide, y + high], 255)
    soft = np.asarray(mask.filter(ImageFilter.GaussianBlur(0.7)), np.float64) / 255
    picture += soft * (70 if kind == 1 else -60)
    return picture.clip(0, 255).astype(np.uint8), (np.asarray(mask) > 0).astype(np.uint8)
