"""The labelled defects of a dataset: where each lies, how it looks against its surroundings, and where its class is found in pictures."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ..nn_layers.errors import InputError
from ..training.dataset import Dataset
from ..training.segmentation.samples import MaskedSamples
from .scene import OnProgress

NEAR = 2
"""Parts of a mask closer together than about twice this many pixels are one defect."""
LEAST_PIXELS = 4
GRID = 16


@dataclass(frozen=True)
class Defect:
    """One labelled defect.

    Attributes:
        picture: Which sample of the split it is in.
        number: Its class.
        top, left, height, width: Pixels: the box around it.
        area: Pixels of its mask.
    """

    picture: int
    number: int
    top: int
    left: int
    height: int
    width: int
    area: int


@dataclass(frozen=True, eq=False)
class Cutout:
    """A defect with its surroundings.

    Attributes:
        pixels: float32 [height, width, channels] in 0..1.
        mask: bool [height, width].
        clean: bool [height, width]: neither this defect nor another one, and not ignored.
        at_border: Whether it touches the picture's top, bottom, left and right.
    """

    pixels: np.ndarray
    mask: np.ndarray
    clean: np.ndarray
    at_border: tuple[bool, bool, bool, bool]


@dataclass(frozen=True, eq=False)
class DefectBank:
    """The defects of one split. Only their boxes are kept; pixels are read when a defect is taken.

    Attributes:
        samples: Pictures with masks.
        classes: Their names; the first is the background.
        defects: All of them.
        heat: float [classes, rows, columns]: how many defect pixels of each class lie in each part of a picture.
    """

    samples: MaskedSamples
    classes: tuple[str, ...]
    defects: tuple[Defect, ...]
    heat: np.ndarray

    @cached_property
    def by_class(self) -> dict[int, list[Defect]]:
        """Class number → its defects."""
        return {number: [d for d in self.defects if d.number == number] for number in range(1, len(self.classes))}

    def of(self, number: int) -> list[Defect]:
        """The defects of a class.

        Raises:
            InputError: There is none.
        """
        found = self.by_class.get(number, [])
        if not found:
            raise InputError(
                f"class {self.classes[number]} has no defect of at least {LEAST_PIXELS} pixels in the training split, so there is nothing to paste; "
                f"label some, or leave the class out."
            )
        return found

    def where(self, number: int) -> np.ndarray:
        """How often defects of a class lie in each part of a picture, float [rows, columns]: smoothed, and nowhere 0."""
        from scipy.ndimage import gaussian_filter

        heat = gaussian_filter(self.heat[number], 1.0, mode="nearest")
        return heat / max(heat.sum(), 1e-9) + 0.1 / heat.size

    def cutout(self, defect: Defect, margin: int) -> Cutout:
        """A defect with `margin` pixels around it, fewer at the picture's border."""
        from scipy.ndimage import label

        picture, mask = self.samples[defect.picture], self.samples.mask(defect.picture)
        top, left = max(0, defect.top - margin), max(0, defect.left - margin)
        bottom, right = defect.top + defect.height + margin, defect.left + defect.width + margin
        pixels = picture[:, top:bottom, left:right].permute(1, 2, 0).numpy().astype(np.float32) / 255
        values = mask[top:bottom, left:right].numpy()
        parts, _ = label(_widened(values == defect.number), np.ones((3, 3)))
        own = _box_of(defect, top, left)
        wanted = np.bincount(parts[own][values[own] == defect.number]).argmax()
        high, wide = mask.shape
        at_border = (
            defect.top == 0,
            defect.top + defect.height == high,
            defect.left == 0,
            defect.left + defect.width == wide,
        )
        return Cutout(pixels, (parts == wanted) & (values == defect.number), values == 0, at_border)


def _box_of(defect: Defect, top: int, left: int) -> tuple[slice, slice]:
    y, x = defect.top - top, defect.left - left
    return slice(y, y + defect.height), slice(x, x + defect.width)


def _widened(mask: np.ndarray) -> np.ndarray:
    from scipy.ndimage import maximum_filter

    return maximum_filter(mask, 2 * NEAR + 1)


def find_defects(dataset: Dataset, split: str = "train", on_progress: OnProgress | None = None) -> DefectBank:
    """Look at every mask of a split that has a defect, once.

    Args:
        on_progress: Called with masks looked at and masks in all; may raise to stop.

    Raises:
        InputError: The dataset has no masks.
    """
    if dataset.task != "segmentation":
        raise InputError(
            f"dataset {dataset.name} is for {dataset.task}; augmentation with defects needs pictures with masks, such as Segmentation Dataset gives."
        )
    samples: MaskedSamples = dataset.split(split)
    with_defects = [index for index in range(len(samples)) if samples.targets[index, 1:].any()]
    heat = np.zeros((len(dataset.classes), GRID, GRID))
    found: list[Defect] = []
    for done, index in enumerate(with_defects, 1):
        mask = samples.mask(index).numpy()
        for number in samples.targets[index].nonzero()[:, 0].tolist():
            if number:
                found += _defects(mask == number, index, number, heat[number])
        if on_progress:
            on_progress(done, len(with_defects))
    return DefectBank(samples, dataset.classes, tuple(found), heat)


def _defects(mask: np.ndarray, picture: int, number: int, heat: np.ndarray) -> list[Defect]:
    from scipy.ndimage import find_objects, label

    rows, columns = np.nonzero(mask)
    places = (rows * GRID // mask.shape[0], columns * GRID // mask.shape[1])
    np.add.at(heat, places, 1.0 / len(rows))
    parts, _ = label(_widened(mask), np.ones((3, 3)))
    parts[~mask] = 0
    found = []
    for which, box in enumerate(find_objects(parts), 1):
        area = int((parts[box] == which).sum())
        if area >= LEAST_PIXELS:
            (top, bottom), (left, right) = ((side.start, side.stop) for side in box)
            found.append(Defect(picture, number, top, left, bottom - top, right - left, area))
    return found
