"""Masks that a person draws: which pictures a folder has, where the mask of each lies, and how it is read and saved."""

from __future__ import annotations

import io
import itertools
import re
import shutil
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from ...nn_layers.errors import InputError
from ...nn_layers.files import atomic
from ..dataset import read_picture
from ..mapped import opened
from .folders import EXIF_ORIENTATION, IMAGE_FOLDERS, ROTATED, find_roots, pairs_of
from .masks import (
    IGNORE,
    MAX_CLASSES,
    UNREADABLE,
    Coding,
    Color,
    MaskFile,
    coding_of,
    default_colors,
    find_coding,
    holds_numbers,
    whole_palette,
)

MOST_PICTURES = 20_000
MOST_PIXELS = 2**26
"""Pictures of more pixels than this are not drawn on: a browser keeps several bytes for each."""

BACKUP = ".bak"
SHOWN = {"JPEG": "image/jpeg", "PNG": "image/png", "WEBP": "image/webp"}
_CLASS = re.compile(r"(.*?)\s*(?:#([0-9a-fA-F]{6}))?", re.DOTALL)


@dataclass(frozen=True)
class ToLabel:
    """A picture that a mask can be drawn for.

    Attributes:
        name: Its path below the folder, with slashes.
        mask: The mask that it has.
        target: Where its mask is saved: over the one it has, if that is a PNG.
    """

    name: str
    picture: Path
    mask: Path | None
    target: Path


def classes_of(text: str) -> tuple[tuple[str, ...], tuple[Color, ...]]:
    """Names and colours of classes from a text, divided by commas or lines, the background first: `surface, scratch #e64b35, dent`.

    Raises:
        InputError: Fewer than two classes, too many, or two of one name or colour.
    """
    parts = [part.strip() for part in text.replace("\n", ",").split(",") if part.strip()]
    found = [_CLASS.fullmatch(part).groups() for part in parts]
    names = tuple(name for name, _ in found)
    if not 2 <= len(names) <= MAX_CLASSES or not all(names):
        raise InputError(
            f"classes names {sum(map(bool, names))} classes; name 2 to {MAX_CLASSES}, the background first, such as: background, scratch, dent."
        )
    usual = default_colors(len(names))
    colors = tuple(tuple(bytes.fromhex(given)) if given else usual[i] for i, (_, given) in enumerate(found))
    for what, values in (("called", names), ("coloured", [given.lower() for _, given in found if given])):
        if twice := next((value for value, count in Counter(values).items() if count > 1), None):
            raise InputError(f"two classes are {what} {twice}; give each its own.")
    return names, colors


def pictures_to_label(folder: Path, images: str = "", masks: str = "") -> list[ToLabel]:
    """Every picture of a folder with the place of its mask, in the layout that `masked_folder` reads; there need be no mask yet.

    Args:
        folder: Holds a folder of pictures, and the folder of masks or room for one.
        images, masks: Their names; empty for the usual ones.

    Raises:
        InputError: No folder of pictures, no pictures, pictures where masks should be, or more than `MOST_PICTURES`.
    """
    found = []
    for pictures, masks_root in find_roots(folder, images, masks, unlabelled=True).values():
        if pictures == masks_root or {part.lower() for part in masks_root.relative_to(folder).parts} & {*IMAGE_FOLDERS}:
            raise InputError(f"masks is {masks_root.name!r}, a folder of pictures; choose another one for the masks.")
        for picture, mask in pairs_of((pictures, masks_root)):
            beside = masks_root / picture.relative_to(pictures).with_suffix(".png")
            png = mask is not None and mask.suffix.lower() == ".png"
            target = (mask if png else mask.with_suffix(".png")) if mask else beside
            found.append(ToLabel(picture.relative_to(folder).as_posix(), picture, mask, target))
    if len(found) > MOST_PICTURES:
        raise InputError(f"{folder} has {len(found):,} pictures; label at most {MOST_PICTURES:,} in one folder.")
    return found


def twins(pictures: Sequence[ToLabel]) -> set[str]:
    """The names of pictures that would share one mask, because they differ in their ending only."""
    shared = Counter(item.target for item in pictures)
    return {item.name for item in pictures if shared[item.target] > 1}


def upright_size(picture: Path) -> tuple[int, int]:
    """Height and width of a picture, turned upright as its EXIF entry says and as datasets read it.

    Raises:
        InputError: It cannot be read, or is too large to be drawn on.
    """
    try:
        with opened(picture) as image:
            width, height = image.size
            turned = image.getexif().get(EXIF_ORIENTATION, 1) in ROTATED
    except UNREADABLE as error:
        raise InputError(f"{picture.name} cannot be read ({error}); replace the file or remove it.") from error
    if width * height > MOST_PIXELS:
        raise InputError(
            f"{picture.name} has {width * height / 1e6:,.0f} megapixels, and at most {MOST_PIXELS / 1e6:,.0f} can be drawn on; cut it into tiles."
        )
    return (width, height) if turned else (height, width)


def shown_picture(picture: Path) -> tuple[bytes, str]:
    """A picture as a browser shows it and a dataset reads it, upright: the content of a file, and its media type.

    A file that a browser would show in the same way is given as it is, anything else as a PNG.

    Raises:
        InputError: It cannot be read, or is too large to be drawn on.
    """
    upright_size(picture)
    with opened(picture) as image:
        plain = image.mode in ("RGB", "L") and image.getexif().get(EXIF_ORIENTATION, 1) == 1
        if plain and image.format in SHOWN:
            return picture.read_bytes(), SHOWN[image.format]
    stream = io.BytesIO()
    pixels = read_picture(picture).permute(1, 2, 0).contiguous().numpy()
    Image.fromarray(pixels).save(stream, "PNG", compress_level=1)
    return stream.getvalue(), "image/png"


def settled_coding(pictures: Sequence[ToLabel], wanted: str) -> Coding:
    """How the masks of a folder are read that have no palette of colours, see `find_coding`; "index" where there are none."""
    return find_coding((item.mask for item in pictures if item.mask and not holds_numbers(item.mask)), wanted)


def read_labels(item: ToLabel, coding: Coding, colors: Sequence[Color]) -> np.ndarray | None:
    """The mask that a picture has, uint8 [height, width] of class numbers; None where it has none.

    Args:
        coding: See `settled_coding`.
        colors: The colour of every class.

    Raises:
        InputError: The mask cannot be read, has another size than its picture, or a class number that has no name.
    """
    height, width = upright_size(item.picture)
    if item.mask is None:
        return None
    labels = MaskFile(item.mask, coding_of(item.mask, coding, colors), tuple(colors)).read().numpy()
    if labels.shape != (height, width):
        raise InputError(
            f"mask {item.mask.name} is {labels.shape[1]} × {labels.shape[0]} pixels, but its picture {item.picture.name} is {width} × {height}; "
            f"remove the mask or make both the same size."
        )
    check_labels(labels, len(colors), f"mask {item.mask.name}")
    return labels


def check_labels(labels: np.ndarray, classes: int, what: str) -> None:
    """Refuse class numbers that have no name; 255 does not count.

    Raises:
        InputError: There is one.
    """
    present = np.bincount(labels.reshape(-1), minlength=256)[:IGNORE].nonzero()[0]
    if present.size and present[-1] >= classes:
        raise InputError(
            f"{what} has class number {present[-1]}, but the classes go from 0 to {classes - 1}; name all classes."
        )


def version_of(mask: Path | None) -> str:
    """A text that changes whenever a mask does; empty where there is none."""
    if mask is None or not mask.exists():
        return ""
    status = mask.stat()
    return f"{status.st_mtime_ns:x}-{status.st_size:x}"


def in_the_way(item: ToLabel) -> str:
    """Why a mask would take the place of another file, as a sentence; empty where it would not."""
    if item.mask is None or item.mask == item.target or not item.target.exists():
        return ""
    return f"{item.target.name} is there beside {item.mask.name}, which is read as the mask of {item.name}, and would be lost; move one of them elsewhere."


def save_labels(item: ToLabel, labels: np.ndarray, colors: Sequence[Color], keep: bool = False) -> None:
    """Write the mask of a picture as a palette PNG of class numbers.

    The mask that was there first is kept, its name with .bak behind it; a file that was kept is never replaced, a later one is numbered: .bak2.

    Args:
        labels: uint8 [height, width] of class numbers; 255 does not count.
        colors: The colour of every class.
        keep: Keep the mask that is there now, also if an earlier one is kept already.

    Raises:
        InputError: The disk is full, the folder cannot be written, or the PNG would take the place of another file.
    """
    if refused := in_the_way(item):
        raise InputError(refused)
    old = item.mask
    height, width = labels.shape
    picture = Image.frombytes("P", (width, height), np.ascontiguousarray(labels).tobytes())
    picture.putpalette(whole_palette(colors))
    if old is not None and old == item.target and (keep or not old.with_name(old.name + BACKUP).exists()):
        with atomic(_free_backup(old)) as place:
            shutil.copy2(old, place)
    with atomic(item.target) as place:
        picture.save(place, "PNG")
    if old is not None and old != item.target:  # a file of another kind would be read in the place of the new one
        old.replace(_free_backup(old))


def _free_backup(mask: Path) -> Path:
    """Where a mask is kept: x.png.bak, or x.png.bak2 and so on where there is one already."""
    names = (f"{mask.name}{BACKUP}{number}" for number in itertools.chain([""], itertools.count(2)))
    return next(place for name in names if not (place := mask.with_name(name)).exists())
