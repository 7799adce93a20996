"""Masks of classes: how they are read from files and drawn for people. A mask is uint8 [height, width] of class numbers; 255 is ignored."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from ...nn_layers.errors import InputError
from ..mapped import MAPPED_PIXELS, mapped, opened
from ..transforms import IGNORE

MAX_CLASSES = 255
UNREADABLE = (OSError, ValueError, SyntaxError, Image.DecompressionBombError)  # what Pillow raises

Color = tuple[int, int, int]
Coding = Literal["index", "binary", "colors"]

COLORS: tuple[Color, ...] = (
    (0, 0, 0), (230, 75, 53), (77, 187, 213), (242, 183, 5), (126, 97, 172), (0, 160, 135), (240, 120, 180),
    (145, 200, 80), (60, 84, 200), (176, 122, 84), (200, 200, 200), (255, 140, 60),
)  # fmt: skip
"""Colours of the classes where a dataset brings none; the first is the background's. They repeat after the last."""

GREY: Color = (128, 128, 128)
"""What pixels that do not count are drawn in."""


def default_colors(classes: int) -> tuple[Color, ...]:
    """A colour for each of `classes` classes."""
    return tuple(COLORS[i] if i < len(COLORS) else COLORS[1 + (i - 1) % (len(COLORS) - 1)] for i in range(classes))


def parse_colors(text: str) -> tuple[tuple[str, Color], ...]:
    """A colour table: a line per class, its name and three numbers from 0 to 255, such as `crack 255 0 0`; the first line is the background.

    Raises:
        InputError: A line that is not a name and three such numbers, or two lines with one colour.
    """
    table = []
    for line in text.splitlines():
        words = line.replace(",", " ").replace(":", " ").split()
        if not words:
            continue
        *name, red, green, blue = words if len(words) > 3 else ("", *words, *("",) * (3 - len(words)))
        if not all(value.isdecimal() and int(value) < 256 for value in (red, green, blue)) or not any(name):
            raise InputError(
                f"colors has the line {line.strip()!r}; write a name and red, green and blue from 0 to 255, such as: crack 255 0 0."
            )
        color = int(red), int(green), int(blue)
        if same := [other for other, known in table if known == color]:
            raise InputError(f"colors gives {' '.join(name)} and {same[0]} the same colour; each class needs its own.")
        table.append((" ".join(name), color))
    return tuple(table)


@dataclass(frozen=True)
class MaskFile:
    """A picture file that holds a mask.

    Attributes:
        coding: "index" takes the values as class numbers (255 is ignored), "binary" everything above 127 as class 1,
            "colors" looks them up in `colors`.
        colors: The colour of every class, for "colors".
    """

    path: Path
    coding: Coding = "index"
    colors: tuple[Color, ...] = ()

    def read(self) -> Tensor:
        """The mask, uint8 [height, width].

        Raises:
            InputError: The file cannot be read, or holds a value or a colour that is no class.
        """
        try:
            with opened(self.path) as picture:
                large = picture.width * picture.height > MAPPED_PIXELS
        except UNREADABLE:
            large = False  # `read_values` says what is wrong
        if large:
            return mapped(self.path, f"{self.coding} {self.colors}", self._classes)
        return torch.from_numpy(self._classes())

    def _classes(self) -> np.ndarray:
        """uint8 [height, width] of class numbers."""
        values = read_values(self.path, self.coding == "colors")
        if self.coding == "colors":
            return self._lookup(values)
        if values.ndim == 3:
            values = _grey(self.path, values)
        if self.coding == "binary":
            return (values > values.dtype.type(127)).astype(np.uint8)
        if values.dtype != np.uint8 and (wrong := values[(values < 0) | (values > IGNORE)]).size:
            raise InputError(
                f"mask {self.path.name} has the value {wrong[0]}; class numbers go from 0 to 254, and 255 does not count."
            )
        return values.astype(np.uint8)

    def fingerprint(self) -> bytes:
        """Changes whenever the file does."""
        status = self.path.stat()
        return f"{self.path.name} {status.st_size} {status.st_mtime_ns} {self.coding} {self.colors}".encode()

    def _lookup(self, values: np.ndarray) -> np.ndarray:
        packed = _packed(values if values.ndim == 3 else np.repeat(values[..., None], 3, 2))
        keys = _packed(np.asarray(self.colors, np.uint8))
        order = keys.argsort()
        place = np.searchsorted(keys[order], packed).clip(max=len(keys) - 1)
        wrong = keys[order][place] != packed
        if wrong.any():
            found = int(packed[wrong][0])
            raise InputError(
                f"mask {self.path.name} has the colour {found >> 16} {found >> 8 & 255} {found & 255}, which is not in the colour table; add a line "
                f"for it."
            )
        return order[place].astype(np.uint8)


@dataclass(frozen=True)
class NoDefect:
    """The mask of a picture without one, where that means that nothing is wrong with it."""

    height: int
    width: int

    def read(self) -> Tensor:
        """Background only, uint8 [height, width]."""
        return torch.zeros(self.height, self.width, dtype=torch.uint8)

    def fingerprint(self) -> bytes:
        """Changes with the size."""
        return f"background {self.height} {self.width}".encode()


def read_values(path: Path, as_colors: bool = False) -> np.ndarray:
    """The numbers in a mask file: [height, width] of palette or grey values, or uint8 [height, width, 3] of colours.

    Args:
        as_colors: Give the colours of a palette file, not its numbers.
    """
    try:
        with opened(path) as picture:
            if as_colors and picture.mode == "P":
                picture = picture.convert("RGB")
            if picture.mode in ("P", "L", "1") or picture.mode.startswith("I"):
                return np.asarray(picture).astype(np.uint8) * 255 if picture.mode == "1" else np.asarray(picture)
            if picture.mode == "LA":
                return np.asarray(picture.convert("L"))
            return np.asarray(picture.convert("RGB"))
    except UNREADABLE as error:
        raise InputError(f"mask {path} cannot be read ({error}); replace the file or remove it.") from error


def palette_of(path: Path) -> tuple[Color, ...]:
    """The colours of a palette PNG; empty for any other file."""
    try:
        with opened(path) as picture:
            if picture.mode != "P":
                return ()
            known = picture.palette  # of a PNG, without decoding it
            flat = known.palette if known is not None and known.rawmode == "RGB" else picture.getpalette() or []
    except UNREADABLE as error:
        raise InputError(f"mask {path} cannot be read ({error}); replace the file or remove it.") from error
    return tuple(zip(*[iter(flat)] * 3, strict=False))


def holds_numbers(path: Path) -> bool:
    """Whether a mask is a palette file with colours of its own, so that its values are class numbers; a palette of greys says nothing."""
    return any(color != (i, i, i) for i, color in enumerate(palette_of(path)))


def coding_of(path: Path, coding: Coding, colors: Sequence[Color] = ()) -> Coding:
    """How one mask is read in a folder of masks that are read by `coding`: drawn masks may lie among others.

    Args:
        colors: The colour table for "colors"; a palette that begins with it is read by its numbers, of which 255 does not count.
    """
    if coding == "index" or not holds_numbers(path):
        return coding
    return coding if coding == "colors" and palette_of(path)[: len(colors)] != tuple(colors) else "index"


def find_coding(paths: Iterable[Path], wanted: str) -> Coding:
    """How the masks of a dataset are to be read, where a person left it to us ("auto").

    Palette files hold class numbers; JPEG files, and sets whose only values are 0 and 255, are binary; other grey files hold class numbers.

    Raises:
        InputError: Coloured masks, which need a colour table.
    """
    if wanted != "auto":
        return wanted
    seen: set[int] = set()
    for path in paths:
        if path.suffix.lower() in (".jpg", ".jpeg"):
            return "binary"
        values = read_values(path)
        if values.ndim == 3:
            values = _grey(path, values)
        seen.update(np.unique(values).tolist())
        if seen - {0, IGNORE}:
            return "index"
    return "binary" if IGNORE in seen else "index"


def _grey(path: Path, values: np.ndarray) -> np.ndarray:
    if (values == values[..., :1]).all():
        return values[..., 0]
    found = np.unique(_packed(values))[:6]
    shown = "; ".join(f"{c >> 16} {c >> 8 & 255} {c & 255}" for c in found.tolist())
    raise InputError(
        f"mask {path.name} is coloured ({shown}); set coding to colors and give a line per class, such as: crack 255 0 0."
    )


def _packed(colors: np.ndarray) -> np.ndarray:
    red, green, blue = (colors[..., i].astype(np.int64) for i in range(3))
    return red << 16 | green << 8 | blue


def whole_palette(colors: Sequence[Color]) -> bytes:
    """A palette of all 256 values for a mask file, grey at 255: Pillow packs the values of a shorter one into as few bits as its colours need,
    and 255 would come out as a class."""
    table = (*colors, *default_colors(IGNORE)[len(colors) :], GREY)
    return bytes(value for color in table for value in color)


def colored(mask: Tensor, colors: Sequence[Color]) -> Tensor:
    """A mask uint8 [height, width] as a picture, uint8 [3, height, width]; ignored pixels are grey."""
    table = torch.tensor(GREY, dtype=torch.uint8).repeat(256, 1)
    table[: len(colors)] = torch.tensor(colors, dtype=torch.uint8)
    return table[mask.long()].permute(2, 0, 1)


def overlay(picture: Tensor, mask: Tensor, colors: Sequence[Color], opacity: float = 0.55) -> Tensor:
    """A picture uint8 [1 | 3, height, width] with the classes of a mask painted over it; the background stays as it is."""
    picture = picture.expand(3, -1, -1).float()
    painted = picture.lerp(colored(mask, colors).float(), opacity)
    return torch.where((mask > 0) & (mask != IGNORE), painted, picture).round().to(torch.uint8)
