"""A picture that a defect is to be put into, the places where it may be, and the part of the picture that changes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Protocol

import numpy as np

from ..nn_layers.errors import InputError

Range = tuple[float, float]
OnProgress = Callable[[float, float], None]
"""Called with what is done and all; may raise to stop."""
TRIES = 40


class NoPlaceError(InputError):
    """A defect fits nowhere; another one may."""


@dataclass(frozen=True, eq=False)
class Patch:
    """A rectangle of a picture with a new defect in it.

    Attributes:
        top, left: Pixels: where it lies.
        pixels: float32 [height, width, channels] in 0..1.
        mask: bool [height, width], the pixels of the defect.
        changed: bool [height, width], the defect with its blend; pixels beyond are left as they are.
        kind: What was made, such as "scratch", or the class of a pasted defect.
        parameters: What was drawn by chance, in pixels, degrees and shares.
    """

    top: int
    left: int
    pixels: np.ndarray
    mask: np.ndarray
    changed: np.ndarray
    kind: str
    parameters: Mapping[str, Any] = field(default_factory=dict)

    @property
    def box(self) -> tuple[slice, slice]:
        """Its rows and columns in the picture."""
        return slice(self.top, self.top + self.mask.shape[0]), slice(self.left, self.left + self.mask.shape[1])


class Maker(Protocol):
    """Something that makes one defect; the same random numbers give the same defect."""

    def draw(self, scene: Scene, random: np.random.Generator) -> Patch:
        """A defect in the picture.

        Raises:
            NoPlaceError: It fits nowhere.
        """
        ...


@dataclass(frozen=True, eq=False)
class Scene:
    """A picture and where a defect may lie in it.

    Attributes:
        image: uint8 or float32 (0..1) [height, width, channels].
        allowed: bool [height, width]; None allows all of it.
        heat: float [rows, columns]: how often defects lie in each part of the picture; None for everywhere alike.
    """

    image: np.ndarray
    allowed: np.ndarray | None = None
    heat: np.ndarray | None = None

    def window(self, top: int, left: int, height: int, width: int) -> np.ndarray:
        """A copy of a part of the picture, float32 in 0..1."""
        part = self.image[top : top + height, left : left + width]
        return part.astype(np.float32) / 255 if part.dtype == np.uint8 else part.astype(np.float32)

    def place(self, mask: np.ndarray, random: np.random.Generator, what: str = "the defect") -> tuple[int, int]:
        """Top and left by chance, so that `mask` (bool [height, width]) lies inside of the picture and of what is allowed.

        Raises:
            NoPlaceError: It fits nowhere.
        """
        for top, left in self.places(mask, random, TRIES):
            if self.fits(mask, top, left):
                return int(top), int(left)
        free = self._free(mask)  # few places or none are left: find all of them
        if not len(free):
            raise NoPlaceError(
                f"the part is too small or too narrow for {what} of {mask.shape[1]} × {mask.shape[0]} pixels; enlarge the part mask, or make "
                f"the defect smaller."
            )
        return tuple(int(value) for value in free[random.integers(len(free))])

    def places(self, mask: np.ndarray, random: np.random.Generator, count: int) -> np.ndarray:
        """`count` places int [count, 2] (top, left) where the window of `mask` lies inside of the picture, by chance and by `heat`.

        Raises:
            NoPlaceError: The picture is smaller.
        """
        high, wide = self.image.shape[:2]
        free = np.array([high - mask.shape[0], wide - mask.shape[1]])
        if free.min() < 0:
            raise NoPlaceError(
                f"the picture is {wide} × {high} pixels, but the defect is {mask.shape[1]} × {mask.shape[0]}; use a larger picture or a smaller "
                f"defect."
            )
        if self.heat is None and self.allowed is None:
            return random.integers(0, free + 1, (count, 2))
        if self.heat is None:
            rows, columns = np.divmod(self._inside[random.integers(len(self._inside), size=count)], wide)
            centers = np.stack([rows, columns], 1)
        else:
            cells = random.choice(self.heat.size, count, p=(self.heat / self.heat.sum()).ravel())
            grid = np.stack(np.unravel_index(cells, self.heat.shape), 1) + random.random((count, 2))
            centers = (grid / self.heat.shape * (high, wide)).astype(int)
        return np.clip(centers - np.array(mask.shape) // 2, 0, free)

    def fits(self, mask: np.ndarray, top: int, left: int) -> bool:
        """Whether all of `mask` is allowed at a place inside of the picture."""
        if self.allowed is None:
            return True
        return bool(self.allowed[top : top + mask.shape[0], left : left + mask.shape[1]][mask].all())

    def with_patch(self, patch: Patch) -> np.ndarray:
        """The picture with the patch in it, in its own type; only what `patch.changed` says is another. Channels beyond the colours stay."""
        image = self.image.copy()
        put(image, patch)
        return image

    @cached_property
    def _inside(self) -> np.ndarray:
        inside = np.flatnonzero(self.allowed)
        if not len(inside):
            raise NoPlaceError(
                "the part mask is empty, so there is no place for a defect; paint where defects may be, or leave it out."
            )
        return inside

    def _free(self, mask: np.ndarray) -> np.ndarray:
        """Every place where `mask` fits, int [places, 2]."""
        if self.allowed is None:
            return np.zeros((0, 2), int)
        from scipy.signal import fftconvolve

        blocked = fftconvolve((~self.allowed).astype(np.float32), mask[::-1, ::-1].astype(np.float32), "valid")
        return np.argwhere(blocked < 0.5)


def put(image: np.ndarray, patch: Patch) -> None:
    """Write a patch into a picture uint8 or float32 [height, width, channels]."""
    pixels = patch.pixels
    if image.dtype == np.uint8:
        pixels = (pixels * 255).round().clip(0, 255).astype(np.uint8)
    image[patch.box][patch.changed, : pixels.shape[2]] = pixels[patch.changed]


def draw(scene: Scene, maker: Maker, random: np.random.Generator, tries: int = 8) -> Patch:
    """A defect in the picture; one that fits nowhere is drawn anew, `tries` times.

    Raises:
        NoPlaceError: None of them fits.
    """
    for _ in range(tries - 1):
        with suppress(NoPlaceError):
            return maker.draw(scene, random)
    return maker.draw(scene, random)


def between(random: np.random.Generator, bounds: Range) -> float:
    """A number from a range, every one equally probable."""
    low, high = bounds
    return float(low + (high - low) * random.random())


def check_ranges(**ranges: Range) -> None:
    """Refuse ranges that are empty or begin below 0.

    Raises:
        InputError: Names the range.
    """
    for name, (low, high) in ranges.items():
        if not 0 <= low <= high:
            raise InputError(
                f"{name} goes from {low:g} to {high:g}; the smallest must be at least 0 and at most the largest."
            )
