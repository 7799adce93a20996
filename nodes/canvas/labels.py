"""What the label editor asks: the pictures of a folder, one picture, its mask, and to save a mask.

Pictures are read and masks are written only where `readable` and `writable_mask` allow. Nothing that was sent reaches the disk as it is: a
mask comes as compressed class numbers, is looked at, and is written as a PNG by us.
"""

from __future__ import annotations

import base64
import binascii
import os
import threading
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ...nn_layers.errors import InputError
from ...training.segmentation.labels import (
    ToLabel,
    check_labels,
    classes_of,
    in_the_way,
    pictures_to_label,
    read_labels,
    save_labels,
    settled_coding,
    shown_picture,
    twins,
    upright_size,
    version_of,
)
from ...training.segmentation.masks import Color
from ..host import readable, writable_mask

CODINGS = ("auto", "index", "binary", "colors")
LONGEST = 10_000
"""Characters of a text in a request."""

_saving = threading.Lock()


@dataclass(frozen=True)
class FileAnswer:
    """An answer that is the content of a file."""

    content: bytes
    type: str


@dataclass(frozen=True)
class _Asked:
    """The folder that a request is about."""

    folder: Path
    pictures: list[ToLabel]
    names: tuple[str, ...]
    colors: tuple[Color, ...]
    coding: str

    def picture(self, name: str) -> ToLabel:
        """The picture of a name, if it may be read."""
        found = next((item for item in self.pictures if item.name == name), None)
        if found is None:
            raise InputError(f"{self.folder.name} has no picture {name}; open the editor again.")
        readable(str(found.picture))
        if found.mask:
            readable(str(found.mask))
        return found


def listed(data: Any) -> dict[str, Any]:
    """{"folder", "images", "masks", "classes", "coding"} → {"pictures": [{"name", "labelled", "shared"}], "classes": [{"name", "color"}], "coding"}."""
    return _told(_listed, data)


def picture(data: Any) -> FileAnswer:
    """… and {"picture": name} → the picture, upright, as a file that a browser shows."""
    return _told(_picture, data)


def mask(data: Any) -> dict[str, Any]:
    """… and {"picture": name} → {"width", "height", "version", "refused", "labels": null or class numbers}, row by row, by zlib and in base64.

    "refused" is the sentence that `save` would answer with, told before anything is drawn; empty where a mask can be saved.
    """
    return _told(_mask, data)


def save(data: Any) -> dict[str, Any]:
    """… and {"picture", "width", "height", "labels", "version"} → {"version"} of the saved mask.

    "version" is that of the mask which was opened, so that nobody's work is lost when two draw at once; null saves over any.
    """
    return _told(_save, data)


def _told(answer: Callable[[Any], Any], data: Any) -> Any:
    """`answer`, with what a file system has against a name as a sentence."""
    try:
        return answer(data)
    except (OSError, ValueError, RuntimeError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"a file or folder of that name cannot be used ({error}); check the name.") from error


def _listed(data: Any) -> dict[str, Any]:
    asked = _asked(data)
    shared = twins(asked.pictures)
    return {
        "folder": asked.folder.name,
        "pictures": [
            {"name": item.name, "labelled": item.mask is not None, "shared": item.name in shared}
            for item in asked.pictures
        ],
        "classes": [
            {"name": name, "color": "#" + bytes(color).hex()}
            for name, color in zip(asked.names, asked.colors, strict=True)
        ],
        "coding": settled_coding(asked.pictures, asked.coding),
    }


def _picture(data: Any) -> FileAnswer:
    item = _asked(data).picture(_text(data, "picture"))
    return FileAnswer(*shown_picture(item.picture))


def _mask(data: Any) -> dict[str, Any]:
    asked = _asked(data)
    item = asked.picture(_text(data, "picture"))
    height, width = upright_size(item.picture)
    version = version_of(item.mask)
    labels = read_labels(item, settled_coding([item], asked.coding), asked.colors)
    packed = None if labels is None else base64.b64encode(zlib.compress(labels.tobytes(), 6)).decode()
    return {"width": width, "height": height, "version": version, "refused": _refusal(asked, item), "labels": packed}


def _save(data: Any) -> dict[str, Any]:
    with _saving:
        return _saved(data)


def _saved(data: Any) -> dict[str, Any]:
    asked = _asked(data)
    item = asked.picture(_text(data, "picture"))
    if refused := _refusal(asked, item):
        raise InputError(refused)
    height, width = upright_size(item.picture)
    if (data.get("width"), data.get("height")) != (width, height):
        raise InputError(
            f"the mask is {data.get('width')} × {data.get('height')} pixels, but its picture {item.picture.name} is {width} × {height}."
        )
    labels = _unpacked(_text(data, "labels", 2**31), height * width).reshape(height, width)
    check_labels(labels, len(asked.names), "the mask")
    if data.get("version") is not None and data["version"] != version_of(item.mask):
        raise InputError(
            f"the mask of {item.picture.name} was changed by someone else after it was opened; save again to replace it, or reload it."
        )
    read_labels(item, settled_coding([item], asked.coding), asked.colors)  # what is replaced is a mask
    save_labels(item, labels, asked.colors, keep=data.get("version") is None)
    return {"version": version_of(item.target)}


def _refusal(asked: _Asked, item: ToLabel) -> str:
    """Why no mask can be saved for a picture, as a sentence; empty where one can."""
    if item.name in twins(asked.pictures):
        return f"{item.name} and another picture would share the mask {item.target.name}; rename one of them."
    try:
        place = writable_mask(item.target)
    except InputError as error:
        return str(error)
    folder = next(parent for parent in place.parents if parent.exists())
    if not os.access(folder, os.W_OK | os.X_OK):
        return f"no mask can be saved, because the folder {folder.name} may only be read; change its permissions or label a copy of it."
    return in_the_way(item)


def _asked(data: Any) -> _Asked:
    if not isinstance(data, dict):
        raise InputError('the body is no table; send {"folder": …}.')
    names, colors = classes_of(_text(data, "classes"))
    coding = _text(data, "coding", default="auto")
    if coding not in CODINGS:
        raise InputError(f"coding is {coding!r}; choose one of {', '.join(CODINGS)}.")
    folder = readable(_text(data, "folder"))
    pictures = pictures_to_label(
        folder, _text(data, "images", default="").strip(), _text(data, "masks", default="").strip()
    )
    return _Asked(folder, pictures, names, colors, coding)


def _text(data: dict[str, Any], key: str, longest: int = LONGEST, default: str | None = None) -> str:
    value = data.get(key, default)
    if not isinstance(value, str) or len(value) > longest or "\0" in value:
        raise InputError(f"{key} is no text of at most {longest:,} characters; send one.")
    return value


def _unpacked(text: str, count: int) -> np.ndarray:
    """uint8 [count] of class numbers; never more than that is unpacked."""
    try:
        unpacker = zlib.decompressobj()
        labels = unpacker.decompress(base64.b64decode(text, validate=True), count + 1)
    except (binascii.Error, ValueError, zlib.error) as error:
        raise InputError(f"labels cannot be unpacked ({error}); send class numbers by zlib and in base64.") from None
    if len(labels) != count or not unpacker.eof or unpacker.unused_data:
        raise InputError(f"labels are not the {count:,} class numbers of the picture's pixels; send one for each.")
    return np.frombuffer(labels, np.uint8)
