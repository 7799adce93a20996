"""Defects from the picture's own pixels or from a texture: CutPaste, its scar, and Perlin-shaped anomalies.

CutPaste and CutPaste-scar: Li, Sohn, Yoon and Pfister, CutPaste, CVPR 2021. Their sizes are shares of 256-pixel pictures; here they are
pixels. Perlin anomalies: Zavrtanik, Kristan and Skočaj, DRAEM, ICCV 2021, equation 1 and section 3.2.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np

from ..nn_layers.errors import InputError
from .fields import perlin
from .scene import NoPlaceError, Patch, Range, Scene, between, check_ranges

LUMA = np.array((0.299, 0.587, 0.114), np.float32)
Texture = Callable[[tuple[int, int, int], np.random.Generator], np.ndarray]
"""Gives float32 [height, width, channels] of a wanted shape."""


@dataclass(frozen=True)
class CutPaste:
    """A rectangle of the picture, with other colours, at another place of it.

    Attributes:
        side: Pixels: the geometric mean of its height and width.
        stretch: Longer side over shorter one.
        jitter: Largest change of brightness, contrast and saturation, as shares (0.1 in the paper).
        texture: Where the rectangle comes from, if not from the picture.
    """

    side: Range = (12.0, 64.0)
    stretch: Range = (1.0, 3.3)
    jitter: float = 0.1
    texture: Texture | None = None

    def draw(self, scene: Scene, random: np.random.Generator) -> Patch:
        """A rectangle that does not belong where it is."""
        check_ranges(side=self.side, stretch=self.stretch)
        side, long = between(random, self.side), math.sqrt(between(random, self.stretch))
        long = long if random.random() < 0.5 else 1 / long
        mask = np.ones((max(1, round(side / long)), max(1, round(side * long))), bool)
        after = cut_from(scene, mask.shape, random, self.texture)
        top, left = scene.place(mask, random, "a rectangle")
        after = np.clip(jittered(after, self.jitter, random), 0, 1)
        return Patch(top, left, after, mask, mask, "cutpaste", {"height": mask.shape[0], "width": mask.shape[1]})


@dataclass(frozen=True)
class CutPasteScar:
    """A long thin rectangle of the picture, turned, with other colours, at another place of it.

    Attributes:
        length, width: Pixels.
        angle: Degrees, in both directions.
        jitter: Largest change of brightness, contrast and saturation, as shares.
        texture: Where it comes from, if not from the picture.
        relative: The texture is no colour but a factor on the brightness of the place.
    """

    length: Range = (10.0, 25.0)
    width: Range = (2.0, 16.0)
    angle: float = 45.0
    jitter: float = 0.1
    texture: Texture | None = None
    relative: bool = False

    def draw(self, scene: Scene, random: np.random.Generator) -> Patch:
        """A scar in the picture."""
        check_ranges(length=self.length, width=self.width)
        length, width = between(random, self.length), between(random, self.width)
        degrees = random.uniform(-self.angle, self.angle)
        turn = math.radians(degrees)
        side = np.arange(-math.ceil(math.hypot(length, width) / 2) - 1, math.ceil(math.hypot(length, width) / 2) + 2)
        y, x = side[:, None], side[None]
        u, v = x * math.cos(turn) - y * math.sin(turn), x * math.sin(turn) + y * math.cos(turn)
        cover = np.clip(np.minimum(length / 2 - abs(u), width / 2 - abs(v)) + 0.5, 0, 1)
        cover = cover[np.ix_(cover.any(1), cover.any(0))].astype(np.float32)
        pasted = jittered(cut_from(scene, cover.shape, random, self.texture), self.jitter, random)
        found = {"length": length, "width": width, "angle": degrees}
        return blended(scene, random, cover, pasted, "scar", found, relative=self.relative)


@dataclass(frozen=True)
class PerlinAnomaly:
    """A region cut out by thresholded Perlin noise and filled with a texture, more or less transparent.

    Attributes:
        size: Pixels: side of the window that the region lies in.
        cell: Pixels between the grid points of the noise, each direction by itself: small for specks, large for blots.
        threshold: What the noise has to exceed (its range is about ±0.7; DRAEM's 0.5 on noise stretched to ±1).
        opacity: Share of the texture (DRAEM draws the picture's own share from 0.1 to 1).
        texture: What it is filled with; None for a piece of the picture itself with shuffled tiles.
        relative: The texture is no colour but a factor on the brightness of the place.
    """

    size: Range = (24.0, 96.0)
    cell: Range = (6.0, 32.0)
    threshold: float = 0.15
    opacity: Range = (0.3, 0.9)
    texture: Texture | None = None
    relative: bool = False

    def draw(self, scene: Scene, random: np.random.Generator) -> Patch:
        """An anomaly in the picture."""
        check_ranges(size=self.size, cell=self.cell, opacity=self.opacity)
        height, width = (max(4, round(between(random, self.size))) for _ in range(2))
        cells = between(random, self.cell), between(random, self.cell)
        noise = perlin((height, width), cells, random)
        y, x = np.linspace(-1, 1, height)[:, None], np.linspace(-1, 1, width)[None]
        noise = noise - np.clip(np.hypot(y, x) - 0.6, 0, None)  # nothing is cut off straight at the window's border
        mask = noise > min(self.threshold, 0.6 * float(noise.max()))
        if not mask.any():
            raise NoPlaceError("the noise came out empty; lower threshold or enlarge size.")
        box = np.ix_(mask.any(1), mask.any(0))
        cover, opacity = mask[box].astype(np.float32), between(random, self.opacity)
        texture = self.texture or shuffled(scene)
        pasted = texture((*cover.shape, scene.image.shape[2]), random)
        found = {"cell_down": cells[0], "cell_across": cells[1], "opacity": opacity}
        return blended(scene, random, cover, pasted, "perlin", found, opacity, self.relative)


def blended(
    scene: Scene,
    random: np.random.Generator,
    cover: np.ndarray,
    pasted: np.ndarray,
    kind: str,
    found: dict[str, float],
    opacity: float = 1.0,
    relative: bool = False,
) -> Patch:
    """`pasted` over the picture where `cover` (float [height, width]) says, at a place by chance."""
    mask = cover >= 0.5
    if not mask.any():
        raise NoPlaceError(f"a {kind} came out smaller than a pixel; make it larger.")
    changed = cover > 0
    top, left = scene.place(changed, random, f"a {kind}")
    before = scene.window(top, left, *cover.shape)
    pasted = np.clip(pasted * before.mean((0, 1)), 0, 1) if relative else pasted
    after = np.clip(before + (opacity * cover)[..., None] * (pasted - before), 0, 1)
    return Patch(top, left, after, mask, changed, kind, {key: round(float(value), 3) for key, value in found.items()})


def cut_from(scene: Scene, shape: tuple[int, ...], random: np.random.Generator, texture: Texture | None) -> np.ndarray:
    """A rectangle of a texture, or of the picture itself, float32 [height, width, channels]."""
    if texture:
        return texture((shape[0], shape[1], scene.image.shape[2]), random)
    top, left = scene.places(np.ones(shape[:2], bool), random, 1)[0]
    return scene.window(int(top), int(left), shape[0], shape[1])


def jittered(pixels: np.ndarray, jitter: float, random: np.random.Generator) -> np.ndarray:
    """Brightness, contrast and (with three channels) saturation changed by up to a share each, float32 from 0 on."""
    brightness, contrast, saturation = 1 + random.uniform(-jitter, jitter, 3).astype(np.float32)
    result = pixels * brightness
    result = result.mean() + contrast * (result - result.mean())
    if result.shape[2] == 3:
        grey = (result @ LUMA)[..., None]
        result = grey + saturation * (result - grey)
    return np.maximum(result, 0).astype(np.float32)


def shuffled(scene: Scene, tiles: int = 4) -> Texture:
    """Pieces of the picture itself in another order and light; its grain without its order."""

    def texture(shape: tuple[int, int, int], random: np.random.Generator) -> np.ndarray:
        height, width, channels = shape
        result = np.empty(shape, np.float32)
        rows, columns = (np.linspace(0, size, min(tiles, size) + 1).astype(int) for size in (height, width))
        for top, bottom in pairwise(rows):
            for left, right in pairwise(columns):
                place = scene.places(np.ones((bottom - top, right - left), bool), random, 1)[0]
                result[top:bottom, left:right] = scene.window(*map(int, place), bottom - top, right - left)[
                    ..., :channels
                ]
        return jittered(result, 0.5, random)

    return texture


def synthetic_texture(shape: tuple[int, int, int], random: np.random.Generator) -> np.ndarray:
    """Stripes, checks, cells or clouds in two colours by chance: something to fill anomalies with where no texture pictures are at hand."""
    height, width, channels = shape
    low, high = random.random((2, channels)).astype(np.float32)
    period, turn = random.uniform(3, 16), random.uniform(0, np.pi)
    y, x = np.mgrid[:height, :width].astype(np.float32)
    u, v = x * math.cos(turn) - y * math.sin(turn), x * math.sin(turn) + y * math.cos(turn)
    match int(random.integers(4)):
        case 0:
            share = 0.5 + 0.5 * np.sin(2 * np.pi * u / period)
        case 1:
            share = (np.floor(u / period) + np.floor(v / period)) % 2
        case 2:
            seeds = random.uniform(0, (height, width), (max(3, round(height * width / period**2 / 4)), 2))
            from scipy.spatial import cKDTree

            near = cKDTree(seeds).query(np.stack([y, x], -1))[0]
            share = np.clip(near / period, 0, 1)
        case _:
            share = np.clip(0.5 + perlin((height, width), period, random), 0, 1)
    grain = random.normal(0, 0.04, (height, width, 1)).astype(np.float32)
    return np.clip(low + share[..., None].astype(np.float32) * (high - low) + grain, 0, 1)


@dataclass(frozen=True, eq=False)
class Pictures:
    """Texture from pictures [height, width, channels] in 0..1: a window of one of them, tiled by mirroring where it is too small."""

    pictures: Sequence[np.ndarray] = field(repr=False)

    def __call__(self, shape: tuple[int, int, int], random: np.random.Generator) -> np.ndarray:
        if not len(self.pictures):
            raise InputError(
                "textures holds no picture; wire a batch of pictures, or choose another source of texture."
            )
        picture = self.pictures[int(random.integers(len(self.pictures)))]
        if picture.shape[2] > 3:
            picture = picture[..., :3]  # without its transparency
        if picture.shape[2] != shape[2]:
            grey = picture @ LUMA if picture.shape[2] == 3 else picture[..., 0]
            picture = np.repeat(grey[..., None], shape[2], 2)
        over = [max(0, want - have) for want, have in zip(shape[:2], picture.shape[:2], strict=True)]
        if any(over):
            picture = np.pad(picture, ((0, over[0]), (0, over[1]), (0, 0)), "symmetric")
        top, left = (
            int(random.integers(have - want + 1)) for have, want in zip(picture.shape[:2], shape[:2], strict=True)
        )
        return picture[top : top + shape[0], left : left + shape[1]].astype(np.float32)
