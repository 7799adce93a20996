"""A LoRA file merged into a pipeline that was just read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ...nn_layers.errors import InputError

NEEDED = "peft is not installed, which a LoRA needs; pip install 'visionsmith[diffusion]' into ComfyUI's Python and start it again."


def merge_lora(pipeline: Any, file: Path, strength: float) -> None:
    """Add what a LoRA learned to the weights of the network and of the text encoders: W + strength · alpha / rank · up · down.

    Args:
        pipeline: diffusers' pipeline, which nobody else holds.
        file: A ``.safetensors`` file with kohya's or diffusers' names, as Train LoRA writes.
        strength: 1 as trained; below 0 the opposite.

    Raises:
        InputError: peft is missing, or the file is damaged, no LoRA, or made for another kind of model.
    """
    if file.suffix.lower() != ".safetensors" or not file.is_file():
        raise InputError(f"{file} is no .safetensors file that is there; put a LoRA into models/loras.")
    try:
        import peft  # noqa: F401  diffusers needs it
    except ImportError as error:
        raise InputError(NEEDED) from error
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        state = load_file(file)
        pipeline.load_lora_weights(state)
        merged = bool(pipeline.get_list_adapters())
    except (
        SafetensorError,
        OSError,
        ValueError,
        KeyError,
        RuntimeError,
        IndexError,
    ) as error:  # each of diffusers' own
        reason = (str(error).strip().split("\n")[0] or type(error).__name__).rstrip(".")[:160]
        raise InputError(
            f"{file.name} does not fit this checkpoint ({reason}); choose a LoRA made for its kind."
        ) from error
    if not merged:
        raise InputError(f"{file.name} holds no LoRA for this checkpoint; choose one made for its kind.")
    pipeline.fuse_lora(lora_scale=strength)
    pipeline.unload_lora_weights()
