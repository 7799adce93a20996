"""Shapes and grain: strokes of varying width, Perlin noise, round outlines with dents, light on a relief."""

from __future__ import annotations

import math

import numpy as np
from PIL import Image, ImageDraw

FINE = 4  # strokes are drawn this many times larger, so that a width holds to a quarter of a pixel


def strokes(lines: list[tuple[np.ndarray, np.ndarray]], margin: int = 2) -> np.ndarray:
    """Lines of varying width with round ends.

    Args:
        lines: For each its points float [points, 2] (y, x) and the width at each, in pixels.
        margin: Empty pixels around.

    Returns:
        float32 [height, width]: how much of each pixel is covered.
    """
    reach = max(float(widths.max()) for _, widths in lines) / 2 + margin
    every = np.concatenate([points for points, _ in lines])
    origin = every.min(0) - reach
    height, width = np.ceil(every.max(0) + reach - origin).astype(int)
    canvas = Image.new("L", (int(width) * FINE, int(height) * FINE))
    pen = ImageDraw.Draw(canvas)
    for points, widths in lines:
        points, widths = _dense(points, widths)
        for (y, x), radius in zip((points - origin) * FINE - 0.5, widths * FINE / 2 - 0.5, strict=True):
            pen.ellipse((x - radius, y - radius, x + radius, y + radius), 255)
    return np.asarray(canvas.reduce(FINE), np.float32) / 255


def _dense(points: np.ndarray, widths: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Points so close together that discs around them make a smooth line."""
    steps = np.hypot(*np.diff(points, axis=0).T)
    along = np.concatenate([[0.0], steps.cumsum()])
    apart = max(0.25, float(widths.min()) / 4)
    wanted = np.linspace(0, along[-1], max(2, math.ceil(along[-1] / apart) + 1))
    values = [np.interp(wanted, along, values) for values in (points[:, 0], points[:, 1], widths)]
    return np.stack(values[:2], 1), values[2]


def wandering(
    random: np.random.Generator, length: float, angle: float, wander: float, bend: float = 0.0, step: float = 2.0
) -> np.ndarray:
    """A path float [points, 2] (y, x) that begins at 0, 0.

    Args:
        angle: Degrees: where it sets out; 0 is to the right, 90 upwards.
        wander: Degrees by which the heading strays from the straight line (an Ornstein-Uhlenbeck process with a memory of ten steps).
        bend: Degrees by which it turns over its whole length.
        step: Pixels between points.
    """
    count = max(2, round(length / step))
    keep = 0.9
    strays = random.normal(0, wander * math.sqrt(1 - keep**2), count)
    for i in range(1, count):
        strays[i] += keep * strays[i - 1]
    heading = np.radians(angle + bend * np.linspace(-0.5, 0.5, count) + strays)
    moves = np.stack([-np.sin(heading), np.cos(heading)], 1) * (length / count)
    return np.concatenate([[[0.0, 0.0]], moves.cumsum(0)])


def perlin(shape: tuple[int, int], cell: float | tuple[float, float], random: np.random.Generator) -> np.ndarray:
    """Gradient noise, float32 [height, width], mean 0, mostly within ±0.7 (Perlin 1985, 2002).

    Args:
        cell: Pixels between grid points, in both directions or (down, across).
    """
    cells = cell if isinstance(cell, tuple) else (cell, cell)
    (row, y), (column, x) = (_lattice(size, each, random) for size, each in zip(shape, cells, strict=True))
    angles = random.uniform(0, 2 * np.pi, (row[-1] + 2, column[-1] + 2)).astype(np.float32)
    down, across = np.sin(angles), np.cos(angles)
    corners = []
    for i in (0, 1):
        for j in (0, 1):
            at = np.ix_(row + i, column + j)
            corners.append(down[at] * (y - i)[:, None] + across[at] * (x - j)[None])
    fade_y, fade_x = (t**3 * (t * (t * 6 - 15) + 10) for t in (y[:, None], x[None]))
    top, bottom = (corners[i] + fade_x * (corners[i + 1] - corners[i]) for i in (0, 2))
    return top + fade_y * (bottom - top)


def _lattice(size: int, cell: float, random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    position = (np.arange(size, dtype=np.float32) + 0.5) / max(cell, 1.0) + random.random()
    whole = np.floor(position).astype(int)
    return whole, (position - whole).astype(np.float32)


def fractal(shape: tuple[int, int], cell: float, random: np.random.Generator, octaves: int = 3) -> np.ndarray:
    """Perlin noise with ever finer noise of half the strength on top, float32 [height, width]."""
    return sum(perlin(shape, cell / 2**i, random) / 2**i for i in range(octaves))


def rounded(
    height: float, width: float, angle: float, roughness: float, random: np.random.Generator, margin: int
) -> tuple[np.ndarray, np.ndarray]:
    """An ellipse with an uneven outline.

    Args:
        height, width: Pixels: its axes before it is turned by `angle` degrees.
        roughness: Share of the radius by which the outline strays (harmonics 2 to 6 with random phases).
        margin: Empty pixels around.

    Returns:
        The signed distance from the outline in pixels, about (positive inside), and the share of the radius (0 in the middle, 1 at the
        outline), both float32 [height, width].
    """
    reach = max(height, width) / 2 * (1 + roughness) + margin
    side = np.arange(-math.ceil(reach), math.ceil(reach) + 1, dtype=np.float32)
    turn = math.radians(angle)
    y, x = side[:, None], side[None]
    u = (x * math.cos(turn) - y * math.sin(turn)) / max(width / 2, 0.5)
    v = (x * math.sin(turn) + y * math.cos(turn)) / max(height / 2, 0.5)
    around = np.arctan2(v, u)
    outline = np.ones_like(around)
    for harmonic in range(2, 7):
        strength = roughness * random.normal(0, 0.6) / (harmonic - 1)
        outline += strength * np.cos(harmonic * around + random.uniform(0, 2 * np.pi))
    share = np.hypot(u, v) / np.maximum(outline, 0.3)
    return (1 - share) * min(height, width) / 2, share.astype(np.float32)


def light_on(relief: np.ndarray, direction: float, elevation: float = 35.0) -> np.ndarray:
    """How much brighter a matt relief is than the flat surface: Lambert's cosine law (Horn 1977), as a share of the flat brightness.

    Args:
        relief: float [height, width]: height above the surface in pixels.
        direction: Degrees: where the light comes from; 0 from the right, 90 from above.
        elevation: Degrees above the surface.
    """
    slope_y, slope_x = np.gradient(relief)
    flat, low = math.sin(math.radians(elevation)), math.cos(math.radians(elevation))
    towards = low * (-math.cos(math.radians(direction)) * slope_x + math.sin(math.radians(direction)) * slope_y)
    lit = (flat + towards) / np.sqrt(1 + slope_x**2 + slope_y**2)
    return (np.maximum(lit, 0) / flat - 1).astype(np.float32)
