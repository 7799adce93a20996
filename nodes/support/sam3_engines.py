"""What may be wired to a SAM3 node: Load SAM3's model, or ComfyUI's own MODEL of a SAM 3 checkpoint with its CLIP."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from comfy_api.latest import io

from ...imaging.sam3 import Engine
from ...imaging.sam3.comfy_model import ComfySam3
from ...imaging.sam3.meta import load_meta
from ..host import host

Sam3Wire = io.Custom("VISIONSMITH_SAM3")
BACKENDS = ["transformers", "sam3"]


def model_input(tooltip: str) -> io.Input:
    """The socket for a model."""
    whole = f"From Load SAM3{tooltip}; or MODEL of ComfyUI's Load Checkpoint with a SAM 3 or 3.1 file."
    return io.MultiType.Input("model", types=[Sam3Wire, io.Model], tooltip=whole)


def clip_input() -> io.Input:
    """The socket for the words of ComfyUI's own models."""
    return io.Clip.Input(
        "clip", optional=True, tooltip="CLIP of the same Load Checkpoint, for words; only for ComfyUI's MODEL."
    )


def engine_of(model: Any, clip: Any) -> Engine:
    """What runs SAM 3, whichever was wired.

    Raises:
        InputError: It is a MODEL of another kind.
    """
    if hasattr(model, "follow"):
        return model

    def encode(text: str) -> Any:
        return clip.encode_from_tokens_scheduled(clip.tokenize(text.replace(":", " ").replace(",", " ")))  # no syntax

    return ComfySam3(model, encode if clip is not None else None, host().load_model)


def with_metas_package(file: Path) -> Engine:
    """The model of a file, run by Meta's own package; memory for it was asked for."""
    host().free_memory(file.stat().st_size)
    return load_meta(file, host().device())
