"""Checkpoints of Stable Diffusion as nodes offer them: files in models/checkpoints, folders in models/diffusers."""

from __future__ import annotations

from pathlib import Path

import torch

from ...imaging.stable_diffusion import StableDiffusion, load_stable_diffusion
from ...imaging.weights import listed
from ...nn_layers.errors import InputError
from ...nn_layers.files import files_below
from ..host import host
from ..sam3 import token_folders

NONE = "put a checkpoint into models/checkpoints"
WHERE = "A .safetensors file of models/checkpoints with all of its parts, or a folder of models/diffusers: Stable Diffusion 1.x, 2.x or SDXL."
PRECISIONS = ["auto", "float32"]
NO_LORA = "none"


def checkpoints() -> dict[str, Path]:
    """Files and folders by the name that a widget shows."""
    found: dict[str, Path] = {}
    for folder in host().model_folders("checkpoints"):
        for file in listed(folder, (".safetensors",)):
            found.setdefault(file.relative_to(folder).as_posix(), file)
    for folder in host().model_folders("diffusers"):
        for index in (file for file in files_below(folder) if file.name == "model_index.json"):
            found.setdefault(index.parent.relative_to(folder).as_posix(), index.parent)
    return found


def checkpoint_names() -> list[str]:
    """For a widget; never empty, and folders that cannot be read must not hide the node."""
    try:
        return list(checkpoints()) or [NONE]
    except Exception:
        return [NONE]


def checkpoint(name: str) -> Path:
    """The file or folder of a widget's value.

    Raises:
        InputError: There is none of that name.
    """
    path = checkpoints().get(name.replace("\\", "/"))
    if path is None:
        places = ", ".join(
            str(folder) for kind in ("checkpoints", "diffusers") for folder in host().model_folders(kind)
        )
        raise InputError(f"there is no checkpoint called {name!r} in {places}; put it there, or choose another one.")
    return path


def lora_names() -> list[str]:
    """For a widget; the first is none of them."""
    try:
        return [NO_LORA, *_loras()]
    except Exception:
        return [NO_LORA]


def lora(name: str) -> Path | None:
    """The file of a widget's value.

    Raises:
        InputError: There is none of that name.
    """
    if name == NO_LORA:
        return None
    path = _loras().get(name.replace("\\", "/"))
    if path is None:
        places = ", ".join(map(str, host().model_folders("loras")))
        raise InputError(f"there is no LoRA called {name!r} in {places}; put it there, or choose another one.")
    return path


def _loras() -> dict[str, Path]:
    found: dict[str, Path] = {}
    for folder in host().model_folders("loras"):
        for file in listed(folder, (".safetensors",)):
            found.setdefault(file.relative_to(folder).as_posix(), file)
    return found


def stable_diffusion(
    name: str, precision: str = PRECISIONS[0], lora_name: str = NO_LORA, strength: float = 1.0
) -> StableDiffusion:
    """The model of a widget's value, on the CPU; memory for it was asked for.

    Args:
        name: From `checkpoint_names`.
        precision: "auto" is float16 on a GPU and float32 on the CPU.
        lora_name: From `lora_names`, merged into the weights by `strength`.

    Raises:
        InputError: See `load_stable_diffusion`.
    """
    half = precision == PRECISIONS[0] and host().device().type != "cpu"
    kind = torch.float16 if half else torch.float32
    model = load_stable_diffusion(checkpoint(name), kind, token_folders(), lora(lora_name), strength)
    host().free_memory(model.bytes * 3 // 2)  # weights, and what is between them
    return model
