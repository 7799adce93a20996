"""Where defects really occur, how large they are and of what shape: new ones are drawn after the labelled ones."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .bank import LEAST_PIXELS, Defect, DefectBank
from .copy_paste import warped
from .scene import TRIES, NoPlaceError, Scene

LEAST_SPREAD = (
    0.03  # of a picture's side, and of the logarithm of an area: so that a single defect is not repeated exactly
)
NARROW = 0.5  # of Silverman's bandwidth, which is made for one hump; defects lie in lines and heaps


@dataclass(frozen=True, eq=False)
class Spot:
    """A place for a new defect.

    Attributes:
        mask: bool [height, width] of the whole picture.
        source: Sample whose defect lent its shape.
        scale: Factor of its size.
    """

    mask: np.ndarray
    source: str
    scale: float


@dataclass(frozen=True, eq=False)
class DefectPrior:
    """The labelled defects of a class as a distribution of places, sizes and shapes.

    A smoothed bootstrap: a labelled defect is taken by chance, its place and size are shaken a little, and the whole is shrunk towards
    the mean so that mean and variance stay those of the labelled ones (Silverman and Young, "The bootstrap: to smooth or not to
    smooth?", Biometrika 1987). Place, size and shape come from one defect, so what belongs together stays together. What touched a
    border touches it again.

    Attributes:
        bank: Where shapes are taken from.
        number: The class.
        centers: float [defects, 2]: middles of their boxes, as shares of height and width.
        areas: float [defects]: natural logarithms of their pixels.
    """

    bank: DefectBank
    number: int
    centers: np.ndarray
    areas: np.ndarray

    @classmethod
    def of(cls, bank: DefectBank, number: int) -> DefectPrior:
        """The prior of a class.

        Raises:
            InputError: The class has no defects.
        """
        defects = bank.of(number)
        sides = {picture: bank.samples.mask(picture).shape for picture in {defect.picture for defect in defects}}
        middles = [(d.top + d.height / 2, d.left + d.width / 2) for d in defects]
        centers = np.array(middles) / np.array([sides[defect.picture] for defect in defects])
        return cls(bank, number, centers, np.log([defect.area for defect in defects]))

    def draw(
        self, shape: tuple[int, int], random: np.random.Generator, allowed: np.ndarray | None = None, scale: float = 1.0
    ) -> Spot:
        """A place in a picture of (height, width) pixels.

        Args:
            allowed: bool [height, width]; the whole defect lies inside.
            scale: Factor on the sizes of the labelled defects, for pictures of another scale.

        Raises:
            NoPlaceError: None fits.
        """
        scene, mask = Scene(np.broadcast_to(np.uint8(0), (*shape, 1)), allowed), None
        for _ in range(TRIES):
            which = int(random.integers(len(self.areas)))
            defect = self.bank.of(self.number)[which]
            factor = scale * float(
                np.exp((self._shaken(self.areas[:, None], which, random)[0] - self.areas[which]) / 2)
            )
            mask, at_border = self._shape(defect, factor, random)
            if mask.sum() < LEAST_PIXELS or any(have > room for have, room in zip(mask.shape, shape, strict=True)):
                continue
            middle = self._shaken(self.centers, which, random) * shape
            top, left = _corner(middle, mask.shape, shape, at_border)
            if scene.fits(mask, top, left):
                break
        else:
            if mask is None or mask.sum() < LEAST_PIXELS:
                raise NoPlaceError("the defects were scaled down to nothing; raise scale.")
            top, left = scene.place(mask, random, "a defect like the labelled ones")
        whole = np.zeros(shape, bool)
        whole[top : top + mask.shape[0], left : left + mask.shape[1]] = mask
        return Spot(whole, self.bank.samples.name(defect.picture), factor)

    def _shaken(self, values: np.ndarray, which: int, random: np.random.Generator) -> np.ndarray:
        """A row of values [defects, dimensions], shaken and shrunk."""
        count, dimensions = values.shape
        width = NARROW * (4 / (dimensions + 2) / count) ** (1 / (dimensions + 4))
        spread, mean = np.maximum(values.std(0), LEAST_SPREAD / width), values.mean(0)
        noise = width * spread * random.standard_normal(dimensions)
        return mean + (values[which] - mean + noise) / np.sqrt(1 + width**2)

    def _shape(self, defect: Defect, factor: float, random: np.random.Generator) -> tuple[np.ndarray, tuple[bool, ...]]:
        """The mask of a defect at another size, half of the time upside down, and which borders it touches."""
        cutout = self.bank.cutout(defect, 0)
        mask = warped(cutout.pixels, cutout.mask, cutout.clean, 0.0, factor)[1]
        turn = random.random() < 0.5 and not any(cutout.at_border)
        return mask[::-1, ::-1] if turn else mask, cutout.at_border


def _corner(
    middle: np.ndarray, size: tuple[int, int], shape: tuple[int, int], at_border: tuple[bool, ...]
) -> tuple[int, int]:
    """Top and left of a window inside of the picture."""
    free = np.array(shape) - size
    corner = np.clip(np.round(middle - np.array(size) / 2), 0, free).astype(int)
    for axis, (first, last) in enumerate((at_border[:2], at_border[2:])):
        if first or last:
            corner[axis] = 0 if first else free[axis]
    return int(corner[0]), int(corner[1])
