"""New defects painted into good surfaces: where real ones occur, by words or by what a model was fine-tuned on, labelled by what changed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np
import torch

from ...imaging.crop import CropSettings
from ...imaging.masks import checked_images
from ...imaging.stable_diffusion.repaint import Repaint, model_size, repaint
from ...nn_layers.errors import InputError
from ..prior import DefectPrior, Spot
from ..relabel import Relabelled, RelabelSettings, relabel
from .model import DiffusionModel

Watch = Callable[[float, float], None]
SMALLEST, LARGEST = 0.3, 4.0  # of the place that was drawn


@dataclass(frozen=True)
class Painting:
    """How a new defect is painted and what it must be like.

    Attributes:
        how: What to paint; its seed decides places and noise.
        crop: Where to cut, how far the place grows, and over how many pixels the new fades into the old.
        scale: Factor on the sizes of the labelled defects.
        tries: Places and noises until a defect is good; the last one counts if none is.
        gate: How to find the new mask, and what a sample must be like; its reach is that of the crop.
    """

    how: Repaint
    crop: CropSettings = field(default_factory=lambda: CropSettings(context=3.0, grow=2, blend=6))
    scale: float = 1.0
    tries: int = 3
    gate: RelabelSettings = field(default_factory=lambda: RelabelSettings(least_area=SMALLEST, most_area=LARGEST))


@dataclass(frozen=True)
class NewDefect:
    """A picture with a new defect: float32 [height, width, channel], the place that was drawn [height, width], and what is there now."""

    image: torch.Tensor
    place: torch.Tensor
    label: Relabelled
    spot: Spot


def paint_defects(
    model: DiffusionModel,
    images: torch.Tensor,
    prior: DefectPrior,
    painting: Painting,
    part: np.ndarray | None = None,
    copies: int = 1,
    watch: Watch | None = None,
) -> list[NewDefect]:
    """A new defect in each picture; outside of its blend every pixel stays as it is, bit for bit.

    Args:
        model: Ordinary, or made for inpainting; on the device already.
        images: float32 [batch, height, width, 1, 3 or 4] in 0..1.
        prior: Where defects of a class lie.
        part: bool [1 | batch, height, width]; defects stay inside, their blend need not.
        copies: Pictures made from each, one after another.
        watch: Called with what is done and all; may raise to stop.

    Raises:
        InputError: Pictures or numbers that do not fit, or no place for a defect.
    """
    images = checked_images(images)
    if copies < 1 or painting.tries < 1:
        raise InputError(f"copies is {copies} and tries is {painting.tries}; both must be at least 1.")
    total, done = len(images) * copies, []
    for number in range(total):
        allowed = None if part is None else part[number // copies % len(part)]
        told = watch and (lambda share, number=number: watch(number + share, total))
        done.append(_painted(model, images[number // copies], prior, painting, allowed, number, told))
        if watch:
            watch(number + 1, total)
    return done


def _painted(
    model: DiffusionModel,
    image: torch.Tensor,
    prior: DefectPrior,
    painting: Painting,
    allowed: np.ndarray | None,
    number: int,
    watch: Callable[[float], None] | None,
) -> NewDefect:
    """The first good one of several tries, or the last."""
    crop = model_size(model.stable, 0, painting.crop)
    gate = replace(painting.gate, reach=crop.grow + crop.blend)
    height, width = image.shape[:2]
    for attempt in range(painting.tries):
        random = np.random.default_rng((painting.how.seed, number, attempt))
        spot = prior.draw((height, width), random, allowed, painting.scale)
        place = torch.from_numpy(spot.mask).float()
        how = replace(painting.how, seed=int(random.integers(2**31)))

        def tell(done: float, count: float, attempt: int = attempt) -> None:
            if watch:
                watch((attempt + done / count) / painting.tries)

        made = repaint(model.stable, image[None], place[None], how, crop, model.device, tell)[0][0]
        found = NewDefect(made, place, relabel(image, made, place, settings=gate, background=image), spot)
        if found.label.accepted:
            break
    return found
