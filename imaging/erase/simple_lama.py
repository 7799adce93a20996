"""The package simple-lama-inpainting as a fill, for people who have it installed; it takes one picture at a time."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from ...nn_layers.errors import InputError
from ..weights import loaded


@contextmanager
def _environment(name: str, value: str) -> Iterator[None]:
    before = os.environ.get(name)
    os.environ[name] = value
    try:
        yield
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before


class SimpleLaMa:
    """A fill for `erase`; shapes as in `LaMa`.

    Args:
        model: A `simple_lama_inpainting.SimpleLama`.
    """

    def __init__(self, model: Any, name: str = "simple-lama-inpainting"):
        self.model, self.name = model, name

    def __call__(self, pictures: torch.Tensor, holes: torch.Tensor) -> torch.Tensor:
        from PIL import Image

        height, width = pictures.shape[2:]
        filled = []
        for picture, hole in zip(pictures, holes, strict=True):
            array = (picture.clamp(0, 1) * 255).round().to(torch.uint8).movedim(0, -1).cpu().numpy()
            mask = Image.fromarray((hole[0] * 255).to(torch.uint8).cpu().numpy())
            result = self.model(Image.fromarray(array), mask).convert("RGB").crop((0, 0, width, height))  # it pads
            filled.append(torch.frombuffer(bytearray(result.tobytes()), dtype=torch.uint8).view(height, width, 3))
        return torch.stack(filled).movedim(-1, 1).to(pictures) / 255


def load_simple_lama(path: Path, device: torch.device | str = "cpu") -> SimpleLaMa:
    """The package's own model with the weights of a traced ``.pt`` file; the last one stays in memory.

    Raises:
        InputError: The package is missing, or cannot read the file.
    """
    device = torch.device(device)

    def load(file: Path) -> Any:
        try:
            from simple_lama_inpainting import SimpleLama
        except ImportError as error:
            raise InputError(
                "the package simple-lama-inpainting is not installed; choose the backend spandrel, which reads the same files."
            ) from error
        try:
            with _environment("LAMA_MODEL", str(file)):  # its only way to name a file
                return SimpleLama(device=device)
        except RuntimeError as error:
            raise InputError(
                f"simple-lama-inpainting cannot read {file}, it takes traced .pt files only; choose the backend spandrel."
            ) from error

    return SimpleLaMa(loaded("simple-lama", path, load, str(device)), path.name)
