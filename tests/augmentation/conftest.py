"""Small surfaces with grain, and a dataset of them with spots and lines as defects."""

import numpy as np
import pytest
import torch
from visionsmith.training.segmentation.samples import MaskedTensors, pixel_counts, segmentation_dataset


def surface(height=120, width=160, channels=1, seed=0, level=0.5):
    """A lit surface with grain, float32 [height, width, channels]."""
    random = np.random.default_rng(seed)
    light = np.linspace(0.85, 1.15, width)[None, :, None] * np.linspace(0.95, 1.05, height)[:, None, None]
    return (level * light + random.normal(0, 0.015, (height, width, channels))).clip(0, 1).astype(np.float32)


def spotted(count=8, channels=1, height=90, width=110):
    """Pictures with a dark disc (class 1), every second one with a dark line (class 2), the last ones without anything."""
    pictures, masks = [], []
    y, x = np.mgrid[:height, :width]
    for index in range(count):
        random = np.random.default_rng(index)
        image, mask = surface(height, width, channels, seed=index), np.zeros((height, width), np.uint8)
        if index < count - 2:
            cy, cx, radius = random.integers(20, height - 20), random.integers(20, width - 20), random.integers(5, 9)
            mask[(y - cy) ** 2 + (x - cx) ** 2 <= radius**2] = 1
            if index % 2:
                column = 4 if cx > width / 2 else width - 9
                mask[20:70, column : column + 4] = 2
        image = np.where(mask[..., None] > 0, image * 0.5, image)
        pictures.append(torch.from_numpy((image * 255).round().astype(np.uint8).transpose(2, 0, 1).copy()))
        masks.append(torch.from_numpy(mask))
    return MaskedTensors(pictures, masks, torch.stack([pixel_counts(mask) for mask in masks]))


@pytest.fixture
def dataset():
    """Train 8, val 4: classes surface, hole, line."""
    return segmentation_dataset("spots", {"train": spotted(), "val": spotted(4)}, ("surface", "hole", "line"))
