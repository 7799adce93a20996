"""What the imaging workflows need: a photograph, and a small model of the real architecture for every loader, under the names they expect."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from ..imaging import model_files, sam3_files
from . import checkpoints

WIDTH, HEIGHT = 213, 141
PAINTED = np.s_[50:70, 60:95]


def flower() -> Image.Image:
    """A photograph, small and of an odd size."""
    from sklearn.datasets import load_sample_image

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return Image.fromarray(load_sample_image("flower.jpg")).resize((WIDTH, HEIGHT))


def furnish(base: Path, downloads: Path) -> Path:
    """Put pictures and models into a server's folders; the folder of models.

    example.png is the photograph, painted.png has a hole painted into it. There is no u2netp.onnx where the package index is out of reach.
    """
    photograph = flower()
    photograph.save(base / "input" / "example.png")
    alpha = np.full((HEIGHT, WIDTH), 255, np.uint8)
    alpha[PAINTED] = 0
    photograph.putalpha(Image.fromarray(alpha))
    photograph.save(base / "input" / "painted.png")
    models = base / "models"
    for kind in ("lama", "interrogate", "rembg"):
        (models / kind).mkdir(parents=True, exist_ok=True)
    sam3_files.write(models / "sam3", "meta.pt", seed=2)  # finds a twentieth of any picture, at a score of 0.6
    torch.save(model_files.lama().state_dict(), models / "lama" / "big-lama.pt")
    model_files.blip(models / "interrogate" / "blip-base")
    checkpoints.write_checkpoint(models / "checkpoints" / "v1-5-pruned-emaonly-fp16.safetensors")
    checkpoints.write_checkpoint(models / "checkpoints" / "inpainting.safetensors", in_channels=9)
    checkpoints.write_lora(models / "loras" / "my-lora.safetensors")
    u2netp = model_files.u2netp(downloads)
    if u2netp:
        u2netp.rename(models / "rembg" / "u2netp.onnx")
    return models
