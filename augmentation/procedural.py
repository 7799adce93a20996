"""Defects without an example: scratches, branching cracks, spots, dents and stains. All lengths are in pixels.

Each draws how much of every pixel it covers, finds a place for that, and shades what is there, so that grain and light of the surface stay.
Lines darken or brighten like a groove; cracks are random walks with branches, as in synthetic pavement (Rill-García et al., Syncrack, 2022);
dents are shaded by Lambert's law; stains have the dark rim that drying drops leave (Deegan et al. 1997).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from .fields import fractal, light_on, perlin, rounded, strokes, wandering
from .scene import NoPlaceError, Patch, Range, Scene, between, check_ranges

Tone = Literal["dark", "bright", "any"]
Paint = Callable[[np.ndarray], np.ndarray]
SEEN = 0.35
"""A pixel belongs to a line if this share of it is covered; at a half, lines as thin as a pixel would fall apart."""
LEAST_LEVEL = 0.15  # a bright scratch is brighter than this share of white allows on black, too


@dataclass(frozen=True)
class Scratch:
    """One straight or slightly bent groove, or a few side by side, that fades out and skips.

    Attributes:
        length, width: Pixels.
        contrast: How much darker or brighter than around, as a share.
        count: How many side by side.
        bend: Degrees by which it turns over its length.
        angle: Degrees; 0 lies, 90 stands.
        blur: Pixels: how soft the lens drew it.
        margin: Pixels by which its mask is wider on each side, as people label who want to be sure.
    """

    length: Range = (30.0, 140.0)
    width: Range = (1.0, 3.0)
    contrast: Range = (0.2, 0.5)
    count: Range = (1, 3)
    bend: float = 12.0
    angle: Range = (0.0, 180.0)
    tone: Tone = "any"
    blur: Range = (0.4, 0.7)
    margin: float = 0.0

    def draw(self, scene: Scene, random: np.random.Generator) -> Patch:
        """A scratch in the picture."""
        check_ranges(length=self.length, width=self.width, contrast=self.contrast, count=self.count)
        length, angle = between(random, self.length), between(random, self.angle)
        width, turn = between(random, self.width), random.uniform(-self.bend, self.bend)
        lines = []
        for number in range(int(random.integers(int(self.count[0]), int(self.count[1]) + 1))):
            own = length * (1 if number == 0 else between(random, (0.3, 0.8)))
            path = wandering(random, own, angle, 1.5, turn)
            aside = number * between(random, (2, 4)) * width
            start = np.array([np.cos(np.radians(angle)), np.sin(np.radians(angle))]) * aside
            along = path[-1] * random.uniform(-0.2, 0.3) if number else 0.0
            thick = (width if number == 0 else width * 0.7) * _tapered(len(path), 0.15)
            lines.append((path + start + along, np.maximum(thick, 0.8)))
        cover = strokes(lines, margin=4 + math.ceil(self.margin))
        sign, contrast = _sign(self.tone, random), between(random, self.contrast)
        depth = np.clip(0.8 + 0.7 * fractal(cover.shape, max(6.0, length / 6), random), 0.3, 1.1)
        soft, light = blurred(cover, between(random, self.blur)), random.uniform(0, 360)
        groove = 0.35 * contrast * light_on(-width * soft, light) * _near(soft)

        def paint(before: np.ndarray) -> np.ndarray:
            return toned(before, sign * contrast * depth * soft + groove)

        found = {"length": length, "width": width, "contrast": sign * contrast, "angle": angle, "count": len(lines)}
        return finished(scene, random, widened(cover >= SEEN, self.margin), "scratch", paint, found)


@dataclass(frozen=True)
class Crack:
    """A dark jagged line with branches.

    Attributes:
        length: Pixels of the trunk, measured along it; branches are 0.15 to 0.5 of it.
        width: Pixels where it begins; it tapers, and branches are thinner.
        branches: How many.
        wander: Degrees by which its heading strays.
        angle: Degrees of its line, 0 lies, 90 stands; it sets out in either direction.
        margin: Pixels by which its mask is wider on each side, as people label who want to be sure.
    """

    length: Range = (50.0, 180.0)
    width: Range = (1.5, 4.0)
    contrast: Range = (0.35, 0.7)
    branches: Range = (0, 4)
    wander: float = 22.0
    angle: Range = (0.0, 180.0)
    blur: Range = (0.4, 0.8)
    margin: float = 0.0

    def draw(self, scene: Scene, random: np.random.Generator) -> Patch:
        """A crack in the picture."""
        check_ranges(length=self.length, width=self.width, contrast=self.contrast, branches=self.branches)
        length, angle = between(random, self.length), between(random, self.angle) + 180 * int(random.integers(2))
        width, contrast = between(random, self.width), between(random, self.contrast)
        trunk = _jagged(wandering(random, length, angle, self.wander), random)
        thick = width * _tapered(len(trunk), 0.6, first=False) * _uneven(len(trunk), random)
        lines = [(trunk, np.maximum(thick, 1.0))]
        for _ in range(int(random.integers(int(self.branches[0]), int(self.branches[1]) + 1))):
            at = int(random.integers(len(trunk) // 6, max(len(trunk) // 6 + 1, 5 * len(trunk) // 6)))
            side = random.choice((-1, 1)) * between(random, (20, 60))
            branch = wandering(random, length * between(random, (0.15, 0.5)), angle + side, 1.2 * self.wander)
            branch = _jagged(branch, random)
            own = 0.65 * thick[at] * _tapered(len(branch), 0.9, first=False) * _uneven(len(branch), random)
            lines.append((branch + trunk[at], np.maximum(own, 0.8)))
        cover = strokes(lines, margin=4 + math.ceil(self.margin))
        soft = blurred(cover, between(random, self.blur))
        depth = np.clip(0.85 + 0.4 * perlin(cover.shape, 9.0, random), 0.5, 1.0)
        light = 0.25 * contrast * light_on(-width * soft, random.uniform(0, 360)) * (1 - soft) * _near(soft)

        def paint(before: np.ndarray) -> np.ndarray:
            return toned(before, light - contrast * depth * soft, calm=0.5 * soft)

        found = {"length": length, "width": width, "contrast": -contrast, "angle": angle, "branches": len(lines) - 1}
        return finished(scene, random, widened(cover >= SEEN, self.margin), "crack", paint, found)


@dataclass(frozen=True)
class Spots:
    """One or several round to oblong spots, such as blowholes, pits or inclusions.

    Attributes:
        radius: Pixels, of the mean of both axes.
        count: How many close together.
        stretch: Longer axis over shorter one.
        roughness: Share of the radius by which the outline strays.
        hollow: 0 is a flat spot, 1 a hole: dark on the side of the light, with a bright rim on the other.
    """

    radius: Range = (2.0, 8.0)
    contrast: Range = (0.3, 0.6)
    count: Range = (1, 3)
    stretch: Range = (1.0, 2.0)
    roughness: float = 0.2
    hollow: float = 0.6
    angle: Range = (0.0, 180.0)
    tone: Tone = "dark"
    blur: Range = (0.5, 0.9)

    def draw(self, scene: Scene, random: np.random.Generator) -> Patch:
        """Spots in the picture."""
        check_ranges(radius=self.radius, contrast=self.contrast, count=self.count, stretch=self.stretch)
        count = int(random.integers(int(self.count[0]), int(self.count[1]) + 1))
        radius, contrast = between(random, self.radius), between(random, self.contrast)
        light, spread = random.uniform(0, 360), (2.5 * radius + 2) * math.sqrt(count - 1)
        side = 2 * math.ceil(2 * radius * max(1.0, self.stretch[1]) ** 0.5 * (1 + self.roughness) + spread + 5) + 1
        distance = np.full((side, side), -1e3, np.float32)
        for number in range(count):
            own = radius * (1 if number == 0 else between(random, (0.4, 0.9)))
            long = math.sqrt(between(random, self.stretch))
            shape = (2 * own / long, 2 * own * long, between(random, self.angle), self.roughness)
            inside, _ = rounded(*shape, random, margin=4)
            away = random.uniform(-spread, spread, 2) if number else np.zeros(2)
            top, left = (np.array(distance.shape) - inside.shape) // 2 + np.round(away / 2).astype(int)
            part = distance[top : top + inside.shape[0], left : left + inside.shape[1]]
            np.maximum(part, inside, out=part)
        cover = np.clip(distance + 0.5, 0, 1)
        soft, sign = blurred(cover, between(random, self.blur)), _sign(self.tone, random)
        bowl = -np.minimum(np.maximum(distance, 0), radius) * self.hollow
        relief = np.clip(light_on(blurred(bowl, 0.7), light), -0.8, 0.8) * _near(soft)
        depth = np.clip(0.85 + 0.4 * perlin(cover.shape, max(3.0, radius), random), 0.5, 1.0)

        def paint(before: np.ndarray) -> np.ndarray:
            return toned(before, sign * contrast * depth * soft + 0.5 * contrast * relief, calm=0.6 * soft)

        return finished(
            scene,
            random,
            cover >= 0.5,
            "spot",
            paint,
            {"radius": radius, "contrast": sign * contrast, "count": count, "light": light},
        )


@dataclass(frozen=True)
class Dent:
    """A dent or a bump, seen by its light and shade only.

    Attributes:
        radius: Pixels to its rim, of the mean of both axes.
        depth: Pixels: how deep; a quarter of the radius is steep.
        light: Degrees: where the light comes from (0 from the right, 90 from above), and the range makes it uncertain.
        bump: Probability that it stands out instead.
    """

    radius: Range = (8.0, 30.0)
    depth: Range = (1.0, 4.0)
    stretch: Range = (1.0, 1.8)
    light: Range = (60.0, 120.0)
    bump: float = 0.2
    roughness: float = 0.12

    def draw(self, scene: Scene, random: np.random.Generator) -> Patch:
        """A dent in the picture."""
        check_ranges(radius=self.radius, depth=self.depth, stretch=self.stretch)
        radius, depth, light = (between(random, bounds) for bounds in (self.radius, self.depth, self.light))
        long = math.sqrt(between(random, self.stretch))
        _, share = rounded(
            2 * radius / long, 2 * radius * long, random.uniform(0, 180), self.roughness, random, margin=4
        )
        sign = 1 if random.random() < self.bump else -1
        bowl = np.where(
            share < 1, 0.5 + 0.5 * np.cos(np.pi * np.minimum(share, 1)), 0
        )  # flat in the middle and at the rim
        change = np.clip(light_on(sign * depth * bowl, light), -0.7, 0.9)

        def paint(before: np.ndarray) -> np.ndarray:
            return toned(before, change)

        found = {"radius": radius, "depth": -sign * depth, "light": light}
        return finished(scene, random, share < 0.9, "dent", paint, found)


@dataclass(frozen=True)
class Stain:
    """A flat discoloured patch with an uneven outline and a darker rim.

    Attributes:
        radius: Pixels, of the mean of both axes.
        contrast: How much darker or brighter than around, as a share; in coloured pictures each channel a little differently.
        rim: How much stronger it is at its rim, as a share.
        edge: Pixels over which it fades.
    """

    radius: Range = (10.0, 40.0)
    contrast: Range = (0.15, 0.4)
    rim: Range = (0.0, 0.8)
    edge: Range = (1.0, 4.0)
    stretch: Range = (1.0, 2.0)
    roughness: float = 0.35
    tone: Tone = "any"

    def draw(self, scene: Scene, random: np.random.Generator) -> Patch:
        """A stain in the picture."""
        check_ranges(radius=self.radius, contrast=self.contrast, rim=self.rim, edge=self.edge, stretch=self.stretch)
        radius, contrast, rim, edge = (
            between(random, bounds) for bounds in (self.radius, self.contrast, self.rim, self.edge)
        )
        long = math.sqrt(between(random, self.stretch))
        shape = (2 * radius / long, 2 * radius * long, random.uniform(0, 180), self.roughness)
        distance, _ = rounded(*shape, random, margin=math.ceil(0.4 * radius + 2 * edge) + 2)
        distance = distance + 0.35 * radius * fractal(distance.shape, max(4.0, radius / 2), random)
        cover = np.clip(distance / max(edge, 1.0) + 0.5, 0, 1)
        cover = cover * cover * (3 - 2 * cover)
        ring = np.exp(-(((distance - edge) / (0.1 * radius + edge)) ** 2))
        uneven = np.clip(0.8 + 0.35 * fractal(distance.shape, max(4.0, radius / 3), random), 0.4, 1.1)
        sign = _sign(self.tone, random)
        strength = sign * contrast * cover * np.clip(uneven * (1 - rim / 2) + rim * ring, 0, 1.6)
        tint = random.uniform(0.7, 1.3, scene.image.shape[2])

        def paint(before: np.ndarray) -> np.ndarray:
            return toned(before, strength[..., None] * (tint if before.shape[2] > 1 else 1.0), calm=0.2 * cover)

        found = {"radius": radius, "contrast": sign * contrast, "rim": rim}
        return finished(scene, random, cover >= 0.5, "stain", paint, found)


MAKERS: Mapping[str, type] = {"scratch": Scratch, "crack": Crack, "spot": Spots, "dent": Dent, "stain": Stain}
"""What can be drawn without an example."""


def finished(
    scene: Scene, random: np.random.Generator, mask: np.ndarray, kind: str, paint: Paint, found: Mapping[str, Any]
) -> Patch:
    """Find a place for `mask`, paint there and give the patch.

    Raises:
        NoPlaceError: It fits nowhere.
    """
    if not mask.any():
        raise NoPlaceError(f"a {kind} came out smaller than a pixel; make it larger.")
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    tight = mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    top, left = scene.place(tight, random, f"a {kind}")
    top, left = top - int(rows[0]), left - int(columns[0])  # the blend around it may hang over the edge of the picture
    high, wide = scene.image.shape[:2]
    inner = (slice(max(0, -top), min(mask.shape[0], high - top)), slice(max(0, -left), min(mask.shape[1], wide - left)))
    top, left = top + inner[0].start, left + inner[1].start
    size = mask[inner].shape
    before = scene.window(top, left, *size)
    beyond = [(part.start, length - part.stop) for part, length in zip(inner, mask.shape, strict=True)]
    whole = np.pad(before, (*beyond, (0, 0)), "edge")  # what is smoothed must not take in anything but the picture
    after = np.clip(paint(whole)[inner], 0, 1).astype(np.float32)
    changed = mask[inner] | (np.abs(after - before) > 0.5 / 255).any(2)
    return Patch(top, left, after, mask[inner], changed, kind, rounded_numbers(found))


def toned(before: np.ndarray, change: np.ndarray, calm: np.ndarray | None = None) -> np.ndarray:
    """A surface made brighter or darker by a share of its own brightness.

    Args:
        before: float32 [height, width, channels].
        change: [height, width] or with channels; -0.3 is 30 % darker.
        calm: [height, width]: how far the grain is smoothed first, 0..1.
    """
    change = change if change.ndim == 3 else change[..., None]
    if calm is not None:
        from scipy.ndimage import uniform_filter

        before = before + calm[..., None] * (uniform_filter(before, (5, 5, 1)) - before)
    return before + change * np.where(change > 0, np.maximum(before, LEAST_LEVEL), before)


def blurred(field: np.ndarray, sigma: float) -> np.ndarray:
    """A Gaussian blur of `sigma` pixels, float32 [height, width]."""
    from scipy.ndimage import gaussian_filter

    return gaussian_filter(field, sigma, mode="constant", truncate=3.0)


def rounded_numbers(found: Mapping[str, Any]) -> dict[str, Any]:
    """Drawn values as they are kept: plain numbers, three decimals."""
    return {key: round(float(value), 3) if isinstance(value, float) else value for key, value in found.items()}


def widened(mask: np.ndarray, margin: float) -> np.ndarray:
    """A mask with all pixels within `margin` pixels of it."""
    if margin < 1:
        return mask
    from scipy.ndimage import distance_transform_edt

    return distance_transform_edt(~mask) <= margin


def _near(cover: np.ndarray) -> np.ndarray:
    """1 on and close to what is covered, 0 beyond."""
    return np.clip(4 * blurred(cover, 1.5), 0, 1)


def _sign(tone: Tone, random: np.random.Generator) -> int:
    return {"dark": -1, "bright": 1}.get(tone) or int(random.choice((-1, 1)))


def _tapered(count: int, share: float, first: bool = True) -> np.ndarray:
    """1 in the middle, thinner over the last `share` of a line, and with `first` over the first one too."""
    at = np.linspace(0, 1, count)
    ends = np.minimum(at, 1 - at) if first else 1 - at
    return np.clip(0.25 + 0.75 * ends / share, 0.25, 1.0)


def _jagged(path: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """A path whose points, but the first, are moved by about half a pixel: grains break where they are weakest."""
    return path + random.normal(0, 0.45, path.shape) * np.arange(len(path)).clip(0, 1)[:, None]


def _uneven(count: int, random: np.random.Generator) -> np.ndarray:
    """Slow swelling and thinning along a line."""
    knots = random.uniform(0.6, 1.25, max(3, count // 6))
    return np.interp(np.linspace(0, 1, count), np.linspace(0, 1, len(knots)), knots)
