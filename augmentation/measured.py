"""What the defects of a class look like, as numbers; and makers without an example that are set by them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from .bank import Cutout, DefectBank
from .copy_paste import DARKEST, RING
from .procedural import Crack, Dent, Scratch, Spots, Stain
from .scene import Maker, Range

MEASURED = 40
LINE = 4.0
"""Above this ratio of length to width most people would call it a line."""
STRONG = 0.15
ALIGNED = 0.6


@dataclass(frozen=True)
class Look:
    """One defect as numbers.

    Attributes:
        area, length, width: Pixels; of a strip that is as wide as the mask is on average (four times the mean distance to its edge).
        contrast: How much brighter than around its stronger half is, as a share; -0.3 is 30 % darker.
        core: Share of the mask that differs by at least half of that: below 1 where labels are wider than what is seen.
        angle: Degrees of its long axis, 0 lies, 90 stands.
    """

    area: int
    length: float
    width: float
    contrast: float
    core: float
    angle: float


def look_of(cutout: Cutout) -> Look:
    """Measure one defect."""
    from scipy.ndimage import distance_transform_edt

    mask = np.pad(cutout.mask, 1)
    inside = distance_transform_edt(mask)[mask] - 0.5
    area, width = int(mask.sum()), max(1.0, 4 * float(inside.mean()))
    y, x = (values - values.mean() for values in np.nonzero(mask))
    angle = 0.5 * np.degrees(np.arctan2(-2 * float((x * y).mean()), float((x * x).mean() - (y * y).mean())))
    ring = cutout.clean & ~cutout.mask
    around = max(float(cutout.pixels[ring].mean()), DARKEST) if ring.any() else DARKEST
    change = cutout.pixels[cutout.mask].mean(1) / around - 1
    sign = 1 if change.mean() > 0 else -1
    change = np.sort(sign * change)
    contrast = max(0.0, float(change[len(change) // 2 :].mean()))
    core = float((change > contrast / 2).mean()) if contrast else 1.0
    return Look(area, max(area / width, width), width, sign * contrast, core, angle % 180)


def looks(bank: DefectBank, number: int, seed: int = 0) -> list[Look]:
    """What (at most 40) defects of a class look like."""
    defects = bank.of(number)
    order = np.random.default_rng(seed).permutation(len(defects))[:MEASURED]
    return [look_of(bank.cutout(defects[i], RING)) for i in sorted(order)]


def fitted(name: str, found: list[Look]) -> Maker:
    """The maker for a class: by its name if that says what it is, else by its shape; its lengths and contrasts are those of most of the class.

    Long thin defects are cracks if they are dark and scratches otherwise; small or strong round ones are spots, the others stains.
    """
    table = {look: np.array([getattr(one, look) for one in found]) for look in Look.__dataclass_fields__}
    named = next((kind for kind in FITTED if kind in name.lower()), None)
    if named is None:
        line = np.median(table["length"] / table["width"]) > LINE
        dark, contrast = np.median(table["contrast"]) < 0, np.abs(np.median(table["contrast"]))
        round_one = "spot" if contrast > STRONG or np.median(table["area"]) < 400 else "stain"
        named = ("crack" if dark else "scratch") if line else round_one
    return FITTED[named](table)


def most(values: np.ndarray, least: float, greatest: float = np.inf) -> Range:
    """The range of the middle six tenths, within bounds."""
    low, high = np.percentile(values, (20, 80)).clip(least, greatest)
    return float(low), float(high)


def _contrast(table: dict[str, np.ndarray]) -> Range:
    return most(np.abs(table["contrast"]), 0.1, 0.85)


def _tone(table: dict[str, np.ndarray]) -> str:
    bright = float((table["contrast"] > 0).mean())
    return "bright" if bright > 0.8 else "dark" if bright < 0.2 else "any"


def _angle(table: dict[str, np.ndarray]) -> Range:
    """Where the long axes point, if most point the same way."""
    doubled = np.exp(2j * np.radians(table["angle"])).mean()
    middle = float(np.degrees(np.angle(doubled)) / 2) % 180
    return (middle, middle + 40) if abs(doubled) > ALIGNED else (0.0, 180.0)


def _radius(table: dict[str, np.ndarray]) -> Range:
    return most(np.sqrt(table["area"] / np.pi), 1.0)


def _line(kind: type[Crack] | type[Scratch]) -> Callable[[dict[str, np.ndarray]], Maker]:
    def make(table: dict[str, np.ndarray]) -> Maker:
        own = {"branches": (0, 1)} if kind is Crack else {"count": (1, 1), "tone": _tone(table)}
        low, high = _angle(table)
        angle = (low - 20, high - 20) if high - low < 180 else (low, high)
        margin = float(np.median(table["width"] * (1 - table["core"]))) / 2
        lengths = {"length": most(table["length"], 5.0), "width": most(table["width"] - 2 * margin, 1.0)}
        return kind(**lengths, contrast=_contrast(table), angle=angle, margin=margin, **own)

    return make


def _spots(table: dict[str, np.ndarray]) -> Maker:
    stretch = most(table["length"] / table["width"], 1.0, 3.0)
    return Spots(radius=_radius(table), contrast=_contrast(table), count=(1, 1), stretch=stretch, tone=_tone(table))


def _stain(table: dict[str, np.ndarray]) -> Maker:
    return Stain(radius=_radius(table), contrast=_contrast(table), tone=_tone(table))


def _dent(table: dict[str, np.ndarray]) -> Maker:
    low, high = _radius(table)
    return Dent(radius=(low, high), depth=(0.08 * low, 0.2 * high))


FITTED: dict[str, Callable[[dict[str, np.ndarray]], Maker]] = {
    "scratch": _line(Scratch),
    "crack": _line(Crack),
    "stain": _stain,
    "dent": _dent,
    "spot": _spots,
    "hole": _spots,
    "pit": _spots,
}
"""Part of a class's name → what draws such a thing."""
