"""Pictures too large to be kept in memory: decoded once into a file that is mapped, so that only what is looked at is read."""

from __future__ import annotations

import hashlib
import os
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from ..nn_layers.errors import InputError
from ..nn_layers.files import atomic

MAPPED_PIXELS = 32 * 2**20
"""Pictures of more pixels than this are mapped."""

MOST_PIXELS = 2**30
_opening = threading.Lock()


@contextmanager
def opened(path: Path) -> Iterator[Image.Image]:
    """A picture file of the user's own, not decoded yet. Pillow refuses more than 179 megapixels, against files from strangers that
    swell in memory; photographs from an inspection line are larger.

    Raises:
        Image.DecompressionBombError: More than 1,074 megapixels.
    """
    with _opening:  # the limit is a global one of Pillow's, which is looked at when a file is opened
        before, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
        try:
            picture = Image.open(path)
        finally:
            Image.MAX_IMAGE_PIXELS = before
    with picture:
        if picture.width * picture.height > MOST_PIXELS:
            raise Image.DecompressionBombError(
                f"it has {picture.width * picture.height / 1e6:,.0f} megapixels, and at most {MOST_PIXELS / 1e6:,.0f} can be read; cut it into tiles"
            )
        yield picture


def mapped(path: Path, kind: str, decode: Callable[[], np.ndarray]) -> Tensor:
    """What `decode` gives for the picture file `path`, as a tensor over a mapped file; decoded anew only when the picture changes.

    The files lie in a folder of the user's own below the system's temporary folder (TMPDIR), one byte for each value, and stay there until that
    is emptied.

    Args:
        kind: What is decoded, such as "RGB": one picture may be mapped in several ways.
    """
    status = path.stat()
    key = f"{path.resolve()} {status.st_size} {status.st_mtime_ns} {kind}"
    user = getattr(os, "getuid", lambda: "pictures")()
    file = Path(tempfile.gettempdir()) / f"visionsmith-{user}" / f"{hashlib.sha256(key.encode()).hexdigest()[:24]}.npy"
    file.parent.mkdir(mode=0o700, exist_ok=True)
    if hasattr(os, "getuid") and file.parent.stat().st_uid != os.getuid():
        raise InputError(f"{file.parent} belongs to somebody else; set TMPDIR to a folder of your own.")
    if not file.is_file():
        with atomic(file) as place, place.open("wb") as stream:
            np.save(stream, decode(), allow_pickle=False)
    return torch.from_numpy(np.load(file, mmap_mode="c", allow_pickle=False))  # "c": torch wants arrays it may write to
