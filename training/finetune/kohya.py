"""A LoRA as a file for ComfyUI and others: the names of kohya-ss' scripts, and what it was made from in the header.

diffusers' own names match nothing in ComfyUI and are left out there without a word.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ...nn_layers.files import atomic
from ...nn_layers.storage import open_weights
from .lora import layers_of
from .parts import Parts

ARCHITECTURES = {
    "SD 1": "stable-diffusion-v1/lora",
    "SD 2": "stable-diffusion-v2-768-v/lora",
    "SDXL": "stable-diffusion-xl-v1-base/lora",
}
"""Names of Stability's modelspec."""


def lora_state(parts: Parts, dtype: torch.dtype = torch.float32) -> dict[str, Tensor]:
    """The added layers as ``lora_unet_NAME.lora_down.weight``, ``.lora_up.weight`` and ``.alpha``; text encoders as ``lora_te_``, or
    ``lora_te1_`` and ``lora_te2_`` for SDXL."""
    encoders = ["lora_te1_", "lora_te2_"] if parts.is_xl else ["lora_te_"]
    state: dict[str, Tensor] = {}
    for prefix, module in [("lora_unet_", parts.unet), *zip(encoders, parts.texts, strict=True)]:
        for name, down, up, alpha in layers_of(module):
            if prefix != "lora_unet_":  # transformers 5 dropped this part of the name
                name = f"text_model.{name.removeprefix('text_model.')}"
            key = prefix + name.replace(".", "_")
            for end, weight in (("lora_down.weight", down), ("lora_up.weight", up)):
                state[f"{key}.{end}"] = weight.to("cpu", dtype).contiguous().clone()
            state[f"{key}.alpha"] = torch.tensor(alpha, dtype=dtype)
    return state


def metadata(
    parts: Parts, settings: Mapping[str, Any], trigger: str, dataset: str, run: str, steps: int
) -> dict[str, str]:
    """The header: base model, trigger, settings and dataset, under our name and the names that others look for."""
    told = {
        "ss_network_module": "networks.lora",
        "ss_network_dim": str(settings.get("rank")),
        "ss_network_alpha": str(settings.get("alpha")),
        "ss_sd_model_name": parts.name,
        "ss_base_model_version": {"SD 1": "sd_v1", "SD 2": "sd_v2", "SDXL": "sdxl_base_v1-0"}[parts.kind],
        "ss_steps": str(steps),
        "modelspec.architecture": ARCHITECTURES[parts.kind] + ("" if parts.channels == 4 else "-inpainting"),
        "modelspec.trigger_phrase": trigger,
        "modelspec.prediction_type": "epsilon" if parts.prediction == "epsilon" else "v",
    }
    ours = {
        "base": parts.name,
        "base_fingerprint": parts.fingerprint,
        "trigger": trigger,
        "dataset": dataset,
        "run": run,
    }
    return {**told, "visionsmith": json.dumps({**ours, "steps": steps, "settings": dict(settings)})}


def save(state: Mapping[str, Tensor], file: Path, header: Mapping[str, str]) -> None:
    """Write a safetensors file with a header."""
    from safetensors.torch import save_file

    with atomic(file) as path:
        save_file(dict(state), path, dict(header))


def header_of(file: Path) -> dict[str, Any]:
    """What Visionsmith wrote into a file's header; empty for others'."""
    with open_weights(file) as weights:
        return json.loads((weights.metadata() or {}).get("visionsmith", "{}"))


def fingerprint_of(path: Path) -> str:
    """The same for the same checkpoint, wherever it lies: of its safetensors files, the size, the first and the last MiB."""
    digest = hashlib.sha256()
    for file in sorted(path.rglob("*.safetensors")) if path.is_dir() else [path]:
        size = file.stat().st_size
        digest.update(size.to_bytes(8, "little"))
        with file.open("rb") as stream:
            digest.update(stream.read(2**20))
            stream.seek(max(0, size - 2**20))
            digest.update(stream.read(2**20))
    return digest.hexdigest()
