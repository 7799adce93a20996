"""Reading a model for edits: what `imaging.stable_diffusion` reads, with a name for its weights by which inversions are kept."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path

import torch

from ...imaging.stable_diffusion import StableDiffusion, load_stable_diffusion
from ...nn_layers.errors import InputError
from .model import INPAINTING, DiffusionModel
from .schedule import schedule_of

SAMPLES, SAMPLE = 16, 1 << 16  # pieces of each file, and their bytes, that tell models apart


def load_model(
    path: Path, precision: torch.dtype = torch.float32, token_folders: Iterable[Path] = ()
) -> DiffusionModel:
    """Read a model; the last one stays in memory. It lies on the processor until `model.stable.on_device`.

    Args:
        path: A checkpoint file, or a folder as diffusers writes it; Stable Diffusion 1.x, 2.x or XL.
        precision: float32, or float16 for half the memory on a GPU.
        token_folders: Where CLIP's table of words may lie, for checkpoint files.

    Raises:
        InputError: diffusers is missing, or the model is damaged or of another kind.
    """
    return model_of(load_stable_diffusion(path, precision, token_folders), fingerprint(path))


def model_of(stable: StableDiffusion, named: str = "") -> DiffusionModel:
    """A loaded model as the functions that edits need; `named` is its fingerprint.

    Raises:
        InputError: It paints neither from words nor into masks, or predicts something that cannot be inverted.
    """
    if stable.channels not in (4, INPAINTING):
        raise InputError(
            f"{stable.name} was made for something else than making pictures from text (its UNet takes {stable.channels} channels); "
            f"choose an ordinary checkpoint of Stable Diffusion 1.x, 2.x or SDXL, or one for inpainting."
        )
    return DiffusionModel(stable, named, schedule_of(stable.pipeline.scheduler))


def fingerprint(path: Path) -> str:
    """A short name of a model's weights: files of the same length that differ in training differ in it."""
    digest = hashlib.sha256()
    files = [path] if path.is_file() else sorted(path.rglob("*.safetensors"))
    for file in files:
        size = file.stat().st_size
        digest.update(f"{size}\n".encode())
        with file.open("rb") as stream:
            for piece in range(SAMPLES):
                stream.seek(piece * max(0, size - SAMPLE) // (SAMPLES - 1))
                digest.update(stream.read(SAMPLE))
    return digest.hexdigest()[:16]
