"""Ways to multiply the defects of a dataset. Each makes a defect of a given class, so that its pixels can be labelled with it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from ..nn_layers.errors import InputError
from .bank import DefectBank
from .copy_paste import DARKEST, RING, CopyPaste
from .cutpaste import CutPasteScar, PerlinAnomaly
from .measured import fitted, looks, most
from .scene import Maker


@dataclass(frozen=True, eq=False)
class DefectTexture:
    """The inside of a class's defects as a texture: a factor on the brightness around, grown beyond its edge and tiled by mirroring."""

    bank: DefectBank
    number: int

    def __call__(self, shape: tuple[int, int, int], random: np.random.Generator) -> np.ndarray:
        from scipy.ndimage import distance_transform_edt

        defects = self.bank.of(self.number)
        cutout = self.bank.cutout(defects[int(random.integers(len(defects)))], RING)
        ring = cutout.clean & ~cutout.mask
        around = np.maximum(cutout.pixels[ring].mean(0), DARKEST) if ring.any() else 1.0
        rows, columns = np.flatnonzero(cutout.mask.any(1)), np.flatnonzero(cutout.mask.any(0))
        box = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
        nearest = distance_transform_edt(~cutout.mask[box], return_distances=False, return_indices=True)
        texture = (cutout.pixels[box] / around)[tuple(nearest)]
        over = [(0, max(0, want - have)) for want, have in zip(shape[:2], texture.shape[:2], strict=True)]
        texture = np.pad(texture, (*over, (0, 0)), "symmetric")
        top, left = (int(random.integers(h - w + 1)) for h, w in zip(texture.shape[:2], shape[:2], strict=True))
        return texture[top : top + shape[0], left : left + shape[1]].astype(np.float32)


def _scar(bank: DefectBank, number: int) -> Maker:
    found = looks(bank, number)
    length, width = (most(np.array([getattr(look, side) for look in found]), 2.0) for side in ("length", "width"))
    return CutPasteScar(length, width, 90.0, texture=DefectTexture(bank, number), relative=True)


def _perlin(bank: DefectBank, number: int) -> Maker:
    side = np.sqrt([2.5 * look.area for look in looks(bank, number)])  # the region fills less than half of its window
    size = most(side, 6.0)
    cell = (max(3.0, size[0] / 4), max(3.0, size[1] / 2))
    return PerlinAnomaly(size, cell, opacity=(0.6, 1.0), texture=DefectTexture(bank, number), relative=True)


METHODS: Mapping[str, Callable[[DefectBank, int], Maker]] = {
    "copy-paste": lambda bank, number: CopyPaste(bank, number),
    "poisson": lambda bank, number: CopyPaste(bank, number, blend="poisson", feather=4.0),
    "cutpaste": lambda bank, number: CopyPaste(
        bank, number, blend="none", rotation=0.0, scale=(1.0, 1.0), light=0.1, rectangle=True, match=False, candidates=1
    ),
    "scar": _scar,
    "perlin": _perlin,
    "procedural": lambda bank, number: fitted(bank.classes[number], looks(bank, number)),
}
"""Name → what makes a defect of a class with it.

copy-paste: a labelled defect elsewhere, faded in. poisson: the same, seamlessly cloned. cutpaste: the rectangle around it, pasted hard. scar: a
thin turned rectangle filled with the inside of such defects. perlin: a Perlin-shaped region filled likewise. procedural: drawn, with the lengths
and contrasts that were measured on the class.
"""

DEFAULT_METHODS = (("copy-paste", 1.0), ("poisson", 1.0), ("procedural", 1.0))
"""The mix that the rule of selection keeps on magnetic tiles, with few pictures and with all; figures in docs/benchmarks.md."""


def method(name: str, bank: DefectBank, number: int) -> Maker:
    """The maker of a method for a class.

    Raises:
        InputError: There is no such method, or the class has no defects.
    """
    if name not in METHODS:
        raise InputError(f"there is no method {name!r}; choose one of {', '.join(METHODS)}.")
    return METHODS[name](bank, number)
