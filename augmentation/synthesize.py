"""Defects put into a batch of pictures of the graph."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..nn_layers.errors import InputError
from .bank import DefectBank
from .scene import Maker, OnProgress, Patch, Scene, draw, put


@dataclass(frozen=True, eq=False)
class Synthesized:
    """Pictures with new defects.

    Attributes:
        images: float32 [batch, height, width, channels] in 0..1, the copies of a picture one after another.
        masks: float32 [batch, height, width]: 1 on the new defects.
        patches: For each picture what was put in.
    """

    images: Tensor
    masks: Tensor
    patches: tuple[tuple[Patch, ...], ...]

    def table(self) -> str:
        """Comma-separated: a line for each defect; what was drawn by chance comes last, divided by blanks."""
        rows = [
            f"{number},{patch.kind},{patch.left},{patch.top},{patch.mask.shape[1]},{patch.mask.shape[0]},{int(patch.mask.sum())},"
            + " ".join(f"{key}={value}" for key, value in patch.parameters.items())
            for number, patches in enumerate(self.patches, 1)
            for patch in patches
        ]
        return "\n".join(["picture,class,x,y,width,height,area,parameters", *rows])


def synthesize(
    images: Tensor,
    maker: Maker,
    *,
    part: Tensor | None = None,
    defects: int = 1,
    copies: int = 1,
    seed: int = 0,
    on_progress: OnProgress | None = None,
) -> Synthesized:
    """Put defects into pictures.

    Args:
        images: float32 [batch, height, width, channels] in 0..1; a fourth channel stays as it is.
        part: float32 [1 | batch, height, width]: defects stay where it is above a half.
        defects: How many into each picture; they do not overlap.
        copies: Pictures made from each.
        on_progress: Called with pictures made and all; may raise to stop.

    Raises:
        InputError: No pictures, a part mask of another size or number or an empty one, fewer than one defect or copy, or no place.
    """
    if images.ndim != 4 or not images.numel():
        raise InputError("images is empty; give at least one picture.")
    if defects < 1 or copies < 1:
        raise InputError(f"defects is {defects} and copies is {copies}; both must be at least 1.")
    batch, height, width, channels = images.shape
    allowed = part_masks(part, batch, height, width)
    result = images.detach().cpu().float().numpy().repeat(copies, 0)
    masks, every = np.zeros(result.shape[:3], np.float32), []
    for number in range(len(result)):
        random = np.random.default_rng((seed, number))
        free = None if allowed is None else allowed[number // copies % len(allowed)].copy()
        every.append(_filled(result[number, ..., : min(channels, 3)], masks[number], free, maker, defects, random))
        if on_progress:
            on_progress(number + 1, len(result))
    return Synthesized(torch.from_numpy(result), torch.from_numpy(masks), tuple(every))


def _filled(
    image: np.ndarray,
    mask: np.ndarray,
    free: np.ndarray | None,
    maker: Maker,
    defects: int,
    random: np.random.Generator,
) -> tuple[Patch, ...]:
    """Put defects into one picture and its mask, in place."""
    patches = []
    for number in range(defects):
        patch = draw(Scene(image, free), maker, random)
        put(image, patch)
        mask[patch.box][patch.mask] = 1
        patches.append(patch)
        if number + 1 < defects:
            free = np.ones(mask.shape, bool) if free is None else free
            free[patch.box] &= ~patch.changed
    return tuple(patches)


def part_masks(part: Tensor | None, batch: int, height: int, width: int) -> np.ndarray | None:
    """Where defects may be, bool [1 | batch, height, width]; None for everywhere.

    Raises:
        InputError: A part mask of another size or number, or an empty one.
    """
    if part is None:
        return None
    part = part[None] if part.ndim == 2 else part
    if tuple(part.shape[1:]) != (height, width) or len(part) not in (1, batch):
        raise InputError(
            f"part has {len(part)} masks of {part.shape[2]} × {part.shape[1]} pixels, but there are {batch} pictures of {width} × {height}; give one "
            f"mask, or one for each picture, of the same size."
        )
    inside = (part > 0.5).cpu().numpy()
    if not inside.any((1, 2)).all():
        raise InputError(
            "the part mask is empty, so there is no place for a defect; paint where defects may be, or leave it out."
        )
    return inside


def class_number(bank: DefectBank, name: str) -> int:
    """The number of a class by its name; without one, of the only class that has defects.

    Raises:
        InputError: There is no such class, or there are several to choose from.
    """
    defects = bank.classes[1:]
    if name in defects:
        return bank.classes.index(name)
    if not name and len(found := [number for number, each in bank.by_class.items() if each]) == 1:
        return found[0]
    raise InputError(f"class_name is {name!r}; choose one of the dataset's classes: {', '.join(defects)}.")
