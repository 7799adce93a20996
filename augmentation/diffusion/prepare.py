"""Pictures of any size and place for a model, and the way back: scaled as a whole, or cut out around what is masked."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch.nn import functional

from ...imaging.boxes import Box, FixedSize, cut, scaled
from ...imaging.crop import CropSettings, Region, Stitch, crop_masked, stitch_crops
from ...imaging.masks import checked_images, fit_masks, grown
from ...imaging.masks.batches import size_text
from ...nn_layers.errors import InputError
from .model import DiffusionModel

LEAST_SIDE = 64  # pixels; of less, a latent of Stable Diffusion keeps nothing
WHERE = ("inside", "outside")


@dataclass(frozen=True)
class Place:
    """Where an edit may change a picture.

    Attributes:
        where: "inside" the mask, or "outside" of it.
        crop: For inside: cut the masked place out and edit it at the model's own resolution.
        context: The cut is this many times as wide and high as what is masked.
        grow: Pixels by which the mask grows first.
        blend: Pixels over which the edit fades into the picture.
    """

    where: str = WHERE[0]
    crop: bool = True
    context: float = 2.0
    grow: int = 8
    blend: int = 16

    def __post_init__(self) -> None:
        if self.where not in WHERE:
            raise InputError(f"where is {self.where!r}; choose inside or outside.")


@dataclass(frozen=True)
class Prepared:
    """What a model gets, and the way back.

    Attributes:
        images: [n, height, width, 3] at a size that the model takes.
        masks: [n, height, width] in 0..1, how much may change; None for all of it.
        sizes: (height, width) in pixels that each of them had in its picture.
        stitch: The way back, see `restore`.
    """

    images: torch.Tensor
    masks: torch.Tensor | None
    sizes: tuple[tuple[int, int], ...]
    stitch: Stitch


def prepare(
    model: DiffusionModel,
    images: torch.Tensor,
    masks: torch.Tensor | None = None,
    place: Place = Place(),
    side: int = 0,
    multiple: int = 0,
) -> Prepared:
    """Bring pictures to a size that a model takes.

    Args:
        model: The model.
        images: float32 [n, height, width, 1, 3 or 4] in 0..1.
        masks: [n or 1, height, width]; None edits pictures as a whole.
        place: What the mask means.
        side: Pixels that the model shall work at, as the side of a square of as many pixels; 0 for what it was trained on.
        multiple: Sides become multiples of as many pixels; 0 for what the UNet needs.

    Raises:
        InputError: A picture is too small or no picture, a mask is empty or of another size.
    """
    images = checked_images(images)
    height, width = images.shape[1:3]
    least = min(LEAST_SIDE, model.stable.side)
    if min(height, width) < least:
        raise InputError(
            f"the picture is {size_text((height, width))} pixels, but the model needs {least} on each side; give a larger one."
        )
    multiple = max(multiple, model.multiple)
    side = _multiple(side or model.stable.side, multiple)
    if masks is None:
        return _whole(images, torch.ones(len(images), height, width), None, side, multiple)
    masks = fit_masks(masks, images)
    masks = (masks.expand(len(images), -1, -1) if len(masks) == 1 else masks).round()
    if len(masks) != len(images):
        raise InputError(
            f"mask holds {len(masks)} masks, but image holds {len(images)} pictures; give one mask, or one for each."
        )
    if not bool(masks.flatten(1).any(1).all()):
        empty = 1 + int((~masks.flatten(1).any(1)).nonzero()[0])
        raise InputError(f"the mask of picture {empty} is empty; mark the place of the edit, or wire no mask.")
    if place.where == "inside" and place.crop:
        how = CropSettings(FixedSize(side, side), place.context, place.grow, place.blend)
        crops = crop_masked(images, masks, how)
        sizes = tuple((region.box.height, region.box.width) for region in crops.stitch.regions)
        allowed = torch.stack([_fitted(region.blend, (side, side)) for region in crops.stitch.regions])
        return Prepared(crops.images, allowed, sizes, crops.stitch)
    masks = grown(masks, place.grow)
    allowed = faded(masks if place.where == "inside" else 1 - masks, place.blend, inwards=place.where == "outside")
    return _whole(images, allowed, allowed, side, multiple)


def restore(prepared: Prepared, images: torch.Tensor) -> torch.Tensor:
    """Edited pictures, several versions behind each other, at the size and in the place they came from."""
    return stitch_crops(prepared.stitch, images)


def restored_plane(prepared: Prepared, planes: torch.Tensor) -> torch.Tensor:
    """Planes [n, height, width], such as attention, in the pictures they belong to; 0 outside."""
    pictures = prepared.stitch.images
    result = torch.zeros(len(pictures), *pictures.shape[1:3])
    whole = Box(0, 0, pictures.shape[2], pictures.shape[1])
    for region, plane in zip(prepared.stitch.regions, planes, strict=True):
        values = scaled(plane[..., None], (region.box.width, region.box.height))[..., 0] * (region.blend > 0)
        inside = region.box.spread(0, (whole.width, whole.height))
        here = inside.within(result[region.picture])
        here[:] = torch.maximum(here, inside.seen_from(region.box).within(values))
    return result


def _whole(images: torch.Tensor, blend: torch.Tensor, masks: torch.Tensor | None, side: int, multiple: int) -> Prepared:
    """Each picture as one region, scaled to about side × side pixels with its own proportions."""
    height, width = images.shape[1:3]
    ratio = math.sqrt(height / width)
    size = (_multiple(side / ratio, multiple), _multiple(side * ratio, multiple))
    box = Box(0, 0, width, height)
    pictures = images[..., :3] if images.shape[3] >= 3 else images.expand(-1, -1, -1, 3)
    small = torch.stack([scaled(cut(picture, box), size) for picture in pictures])
    allowed = None if masks is None else torch.stack([_fitted(mask, (size[1], size[0])) for mask in masks])
    regions = tuple(Region(number, box, plane) for number, plane in enumerate(blend))
    return Prepared(small, allowed, ((height, width),) * len(images), Stitch(images, regions))


def faded(masks: torch.Tensor, width: int, inwards: bool = False) -> torch.Tensor:
    """1 on masks [n, height, width], falling smoothly to 0 at `width` pixels from them; inwards: 0 outside, rising within."""
    from scipy import ndimage

    if not width:
        return masks
    inside = masks > 0
    near = [ndimage.distance_transform_edt((mask if inwards else ~mask).cpu().numpy()) for mask in inside]
    distance = torch.stack([torch.from_numpy(plane) for plane in near]).to(masks)
    share = (distance / width if inwards else 1 - distance / width).clamp(0, 1)
    return share**2 * (3 - 2 * share)


def _fitted(plane: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """A plane [height, width] of another size, area by area."""
    return functional.interpolate(plane[None, None], size, mode="area" if plane.shape[0] > size[0] else "bilinear")[
        0, 0
    ]


def _multiple(side: float, of: int) -> int:
    return max(of, round(side / of) * of)
