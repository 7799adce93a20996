"""Copy-paste of labelled defects (Ghiasi et al., Simple Copy-Paste, CVPR 2021; places and blending after Dwibedi et al., Cut, Paste and
Learn, ICCV 2017): another place, turned, mirrored, scaled, in other light, and blended."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np

from .bank import Cutout, Defect, DefectBank
from .poisson import seamless
from .scene import NoPlaceError, Patch, Range, Scene, between

Blend = Literal["alpha", "poisson", "none"]
DARKEST = 0.02
RING = 6


@dataclass(frozen=True, eq=False)
class CopyPaste:
    """A labelled defect of a class at another place or in another picture.

    Attributes:
        bank: Where defects are taken from.
        number: The class.
        blend: "alpha" fades over `feather` pixels, "poisson" keeps gradients and meets the surroundings, "none" pastes hard.
        rotation: Degrees, largest in both directions. A defect at its picture's border is not turned and stays at that border.
        scale: Smallest and largest factor.
        mirror: Mirror left and right, and top and bottom, each with probability 0.5.
        light: Largest change of the defect's contrast against its surroundings, as a share.
        feather: Pixels.
        match: Bring what is pasted to the brightness of its new place.
        same_scale: Pixels keep their size; otherwise defects grow with the picture (the ratio of the diagonals).
        rectangle: Paste the whole rectangle around the defect, as CutPaste does.
        candidates: Places that are tried; the one whose surroundings resemble the old ones most is taken.
    """

    bank: DefectBank
    number: int
    blend: Blend = "alpha"
    rotation: float = 12.0
    scale: Range = (0.8, 1.25)
    mirror: bool = True
    light: float = 0.2
    feather: float = 2.0
    match: bool = True
    same_scale: bool = True
    rectangle: bool = False
    candidates: int = 12

    def draw(self, scene: Scene, random: np.random.Generator) -> Patch:
        """A copied defect in the picture."""
        defects = self.bank.of(self.number)
        defect = defects[int(random.integers(len(defects)))]
        margin = RING + 2 + math.ceil(self.feather)
        cutout = self.bank.cutout(defect, margin)
        turned, found = self._turned(cutout, scene, defect, random)
        mask = turned.mask
        if not mask.any():
            raise NoPlaceError("a defect was scaled down to nothing; raise the smallest scale.")
        reach = self._reach(mask)
        top, left = self._place(scene, turned, random)
        size = mask.shape
        before = scene.window(top, left, *size)
        pasted, gain = self._lit(turned, before, random) if self.match else (turned.pixels, 1.0)
        after, changed = self._blended(pasted, before, mask, reach)
        found |= {"picture": self.bank.samples.name(defect.picture), "gain": gain}
        return Patch(
            top,
            left,
            np.clip(after, 0, 1).astype(np.float32),
            mask,
            changed,
            self.bank.classes[self.number],
            {key: round(value, 3) if isinstance(value, float) else value for key, value in found.items()},
        )

    def _turned(
        self, cutout: Cutout, scene: Scene, defect: Defect, random: np.random.Generator
    ) -> tuple[Cutout, dict[str, float | str]]:
        """The cutout mirrored, turned and scaled."""
        flips = random.random(2) < (0.5 if self.mirror else 0.0)
        angle, scale = random.uniform(-self.rotation, self.rotation), between(random, self.scale)
        if any(cutout.at_border):
            angle = 0.0
        if not self.same_scale:
            old = self.bank.samples.mask(defect.picture).shape
            scale *= math.hypot(*scene.image.shape[:2]) / math.hypot(*old)
        pixels, mask, clean, border = cutout.pixels, cutout.mask, cutout.clean, list(cutout.at_border)
        for axis in (0, 1):
            if flips[axis]:
                pixels, mask, clean = (np.flip(part, axis) for part in (pixels, mask, clean))
                border[2 * axis : 2 * axis + 2] = border[2 * axis : 2 * axis + 2][::-1]
        pixels, mask, clean = warped(pixels, mask, clean, angle, scale)
        found = {"angle": angle, "scale": scale, "mirrored": "".join(n for n, f in zip("yx", flips, strict=True) if f)}
        return Cutout(pixels, mask, clean, tuple(border)), found

    def _reach(self, mask: np.ndarray) -> np.ndarray:
        """Pixels outside of the mask, as a distance (0 inside)."""
        from scipy.ndimage import distance_transform_edt

        if self.rectangle:
            outside = np.ones_like(mask)
            outside[3:-3, 3:-3] = False
            return distance_transform_edt(outside)
        return distance_transform_edt(~mask)

    def _place(self, scene: Scene, turned: Cutout, random: np.random.Generator) -> tuple[int, int]:
        """Of some places that are free, the one whose surroundings resemble the old ones most."""
        free = np.array(scene.image.shape[:2]) - turned.mask.shape
        places = scene.places(turned.mask, random, 3 * self.candidates)
        for axis, (first, last) in enumerate((turned.at_border[:2], turned.at_border[2:])):
            if first or last:
                places[:, axis] = 0 if first else free[axis]
        fitting = [(int(y), int(x)) for y, x in np.unique(places, axis=0) if scene.fits(turned.mask, y, x)]
        if not fitting:
            if any(turned.at_border):
                raise NoPlaceError(
                    "there is no free place at the border for a defect that touches it; free some, or allow more."
                )
            return scene.place(turned.mask, random, "a defect")
        fitting = [fitting[i] for i in random.permutation(len(fitting))[: self.candidates]]
        ring = turned.clean & ~turned.mask
        if not ring.any() or len(fitting) == 1:
            return fitting[0]
        return min(fitting, key=lambda place: unlike(turned.pixels, scene.window(*place, *ring.shape), ring))

    def _lit(self, turned: Cutout, before: np.ndarray, random: np.random.Generator) -> tuple[np.ndarray, float]:
        """The pasted pixels in the light of the new place, and the factor."""
        ring = turned.clean & ~turned.mask
        if not ring.any():
            ring = ~turned.mask if not turned.mask.all() else turned.mask
        old, new = (np.maximum(pixels[ring].mean(0), DARKEST) for pixels in (turned.pixels, before))
        gain = np.clip(new / old, 0.25, 4.0)
        contrast = 1 + random.uniform(-self.light, self.light)
        return new + contrast * gain * (turned.pixels - old), float(gain.mean())

    def _blended(
        self, pasted: np.ndarray, before: np.ndarray, mask: np.ndarray, reach: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        if self.blend == "poisson":
            changed = (reach <= self.feather + 1) | mask
            return seamless(pasted, before, changed), changed
        width = self.feather if self.blend == "alpha" else 0.0
        alpha = np.clip(1 - reach / (width + 1), 0, 1).astype(np.float32)
        return before + alpha[..., None] * (pasted - before), alpha > 0


def warped(
    pixels: np.ndarray, mask: np.ndarray, clean: np.ndarray, angle: float, scale: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A cutout turned by `angle` degrees and scaled, in a window as large as needed; beyond its edge pixels repeat and are not clean."""
    if angle == 0 and scale == 1:
        return pixels, mask, clean
    from scipy.ndimage import affine_transform

    turn = math.radians(angle)
    rotation = np.array([[math.cos(turn), math.sin(turn)], [-math.sin(turn), math.cos(turn)]])
    old = np.array(mask.shape)
    new = np.maximum(1, np.round(np.abs(rotation) @ old * scale)).astype(int)
    matrix = rotation / scale
    offset = (old - 1) / 2 - matrix @ ((new - 1) / 2)

    def moved(plane: np.ndarray, order: int, mode: str) -> np.ndarray:
        return affine_transform(plane, matrix, offset, tuple(new), order=order, mode=mode)

    colors = np.stack([moved(pixels[..., i], 1, "nearest") for i in range(pixels.shape[2])], 2)
    new_mask = moved(mask.astype(np.float32), 1, "nearest") > 0.5  # at the picture's border it goes on
    return colors, new_mask, moved(clean.astype(np.uint8), 0, "constant") > 0


def unlike(old: np.ndarray, new: np.ndarray, ring: np.ndarray) -> float:
    """How little two surroundings resemble each other: the mean difference on the ring once both are equally bright, and how unequal they were."""
    a, b = old[ring], new[ring]
    bright_a, bright_b = max(float(a.mean()), DARKEST), max(float(b.mean()), DARKEST)
    return float(np.abs(a / bright_a - b / bright_b).mean()) + 0.3 * abs(math.log(bright_a / bright_b))
