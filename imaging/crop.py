"""Cut out what is to be repainted, with some context and at the size a model likes, and put it back.

Everything is measured in whole pixels of the picture. The blend is made at the picture's own size, so that stitching leaves
every pixel outside it exactly as it was.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field

import torch

from ..nn_layers.errors import InputError
from .boxes import Box, FixedSize, FreeSize, common_size, cut, placed, scaled
from .masks import checked_images, fill_holes, find_objects, fit_masks, grown
from .masks.edges import window_of

FAINT = 0.02  # a mask below cannot be seen; the far end of a blurred edge must not make the crop larger


@dataclass(frozen=True)
class CropSettings:
    """How to crop.

    Attributes:
        size: What size the crops get.
        context: The crop's width and height are this many times those of the masked region, where the picture is large enough.
        grow: Pixels by which the mask grows first.
        blend: Pixels around the mask over which the result fades into the picture.
        fill_holes: Fill what the mask encloses.
        each_object: A crop for each connected object instead of one for each mask.
        min_area: Pixels; smaller objects are left out.
        most: Objects of one mask at most, the largest; 0 for all.
        border: What a crop shows beyond the picture: "edge" repeats the last pixels, "mirror" mirrors the picture.
    """

    size: FixedSize | FreeSize = field(default_factory=FixedSize)
    context: float = 1.5
    grow: int = 8
    blend: int = 16
    fill_holes: bool = True
    each_object: bool = False
    min_area: int = 1
    most: int = 0
    border: str = "edge"


@dataclass(frozen=True)
class Region:
    """A place that was cropped: the number of its picture, its box, and the blend, float32 [height, width] of the box."""

    picture: int
    box: Box
    blend: torch.Tensor


@dataclass(frozen=True)
class Stitch:
    """The way back: the pictures as they came [batch, height, width, channel], and a region for each crop."""

    images: torch.Tensor
    regions: tuple[Region, ...]


@dataclass(frozen=True)
class Crops:
    """For a model: pictures float32 [crops, height, width, 3] and their masks [crops, height, width]; and the way back."""

    images: torch.Tensor
    masks: torch.Tensor
    stitch: Stitch


@dataclass(frozen=True)
class _Spot:
    """A masked place of a picture: the values of the mask [height, width] in the box, and the box that has to be seen."""

    picture: int
    box: Box
    mask: torch.Tensor
    seen: Box


def crop_masked(
    images: torch.Tensor, masks: torch.Tensor, how: CropSettings, context_masks: torch.Tensor | None = None
) -> Crops:
    """Crop what is masked.

    Args:
        images: float32 [batch, height, width, 1, 3 or 4].
        masks: float32 [batch, height, width], one per picture; one goes with all pictures, and many go with one picture.
        how: The settings.
        context_masks: What the crops must show as well: one for each mask, or one for all.

    Returns:
        A crop for each mask or object, those of empty masks left out. If all are empty: the first picture as a whole, an empty mask
        and no regions, so that a workflow goes on and `stitch_crops` passes the pictures through.

    Raises:
        InputError: Sizes that differ, batches that cannot be paired, or values that are no numbers.
    """
    images = checked_images(images)
    masks = fit_masks(masks, images)
    if len(images) > 1 and len(masks) not in (1, len(images)):
        raise InputError(
            f"mask holds {len(masks)} masks, but image holds {len(images)} pictures; give one mask, or one for each picture."
        )
    context = None if context_masks is None else fit_masks(context_masks, images, "context_mask")
    count = max(len(images), len(masks))
    if context is not None and len(context) not in (1, count):
        raise InputError(
            f"context_mask holds {len(context)} masks, but there are {count} to crop; give one, or {count}."
        )
    spots = list(_spots(images, masks, context, how))
    picture = (images.shape[2], images.shape[1])
    if not spots:
        whole = Box(0, 0, *picture)
        size, boxes = common_size([whole], how.size, picture)
        image = scaled(_color(cut(images[0], boxes[0], how.border)), size)
        return Crops(image[None], image.new_zeros(1, size[1], size[0]), Stitch(images, ()))
    size, boxes = common_size([spot.seen for spot in spots], how.size, picture)
    pairs = list(zip(spots, boxes, strict=True))
    crops = [scaled(_color(cut(images[spot.picture], box, how.border)), size) for spot, box in pairs]
    planes = [scaled(placed(spot.mask, spot.box, box)[..., None], size)[..., 0] for spot, box in pairs]
    regions = (Region(spot.picture, box, placed(_blend(spot.mask, how.blend), spot.box, box)) for spot, box in pairs)
    return Crops(torch.stack(crops), torch.stack(planes), Stitch(images, tuple(regions)))


def stitch_crops(stitch: Stitch, crops: torch.Tensor) -> torch.Tensor:
    """Put repainted crops back.

    Args:
        stitch: From `crop_masked`.
        crops: float32 [crops, height, width, channel] in the order in which they were cropped, of any size. Several times as many
            are several versions of them all, one version after the other.

    Returns:
        float32 [versions × pictures, height, width, channel] with the channels of the pictures; outside the blend nothing changes.

    Raises:
        InputError: Not as many crops as were made, or values that are no numbers.
    """
    crops = checked_images(crops).to(stitch.images.device)
    count = len(stitch.regions)
    if not count:
        return stitch.images
    if len(crops) % count:
        raise InputError(
            f"image holds {len(crops)} pictures, but Inpaint Crop made {count} crops; give all of its crops, repainted."
        )
    versions = []
    for version in crops.split(count):
        canvas = stitch.images.clone()
        for region, crop in zip(stitch.regions, version, strict=True):
            _paste(canvas[region.picture], region, crop)
        versions.append(canvas)
    return torch.cat(versions)


def _spots(
    images: torch.Tensor, masks: torch.Tensor, context: torch.Tensor | None, how: CropSettings
) -> Iterator[_Spot]:
    """The places to be repainted, mask after mask, the largest object first."""
    picture = (images.shape[2], images.shape[1])
    masks = torch.where(masks > FAINT, masks, 0)
    masks = grown(fill_holes(masks) if how.fill_holes else masks, how.grow)
    for number in range(max(len(images), len(masks))):
        mask = masks[number % len(masks)]
        extra = None if context is None else _bounds(context[number % len(context)])
        for box, values in _pieces(mask, how):
            wanted = (math.ceil(box.width * how.context), math.ceil(box.height * how.context))
            seen = box.widened((min(wanted[0], picture[0]), min(wanted[1], picture[1])), picture)
            around = box.spread(how.blend, picture)
            seen = seen | around if extra is None else seen | around | extra
            yield _Spot(number % len(images), around, placed(values, box, around), seen)


def _pieces(mask: torch.Tensor, how: CropSettings) -> Iterator[tuple[Box, torch.Tensor]]:
    """Box and values of what is masked in [height, width], together or object by object."""
    if not how.each_object:
        box = _bounds(mask)
        if box is not None:
            yield box, box.within(mask)
        return
    labels, objects = find_objects(mask, 0.0, how.min_area, how.most)
    for found in objects:
        box = Box(found.x, found.y, found.width, found.height)
        mine = box.within(torch.from_numpy(labels)) == found.label
        yield box, torch.where(mine.to(mask.device), box.within(mask), 0)


def _bounds(mask: torch.Tensor) -> Box | None:
    """The box around everything in a mask [height, width]."""
    window = window_of(torch.where(mask > FAINT, mask, 0)[None])
    if window is None:
        return None
    rows, columns = window
    return Box(columns.start, rows.start, columns.stop - columns.start, rows.stop - rows.start)


def _blend(mask: torch.Tensor, width: int) -> torch.Tensor:
    """How much of the new is shown, [height, width]: 1 on the mask, falling smoothly to 0 at `width` pixels (Euclidean) from it."""
    from scipy import ndimage

    inside = mask > 0
    if not width:
        return inside.float()
    distance = torch.from_numpy(ndimage.distance_transform_edt(~inside.cpu().numpy())).to(mask)
    nearness = (1 - distance / width).clamp(0, 1)
    return nearness**2 * (3 - 2 * nearness)


def _paste(picture: torch.Tensor, region: Region, crop: torch.Tensor) -> None:
    """Blend a crop into a picture [height, width, channel], in place."""
    inside = region.box.spread(0, (picture.shape[1], picture.shape[0]))
    here = inside.seen_from(region.box)
    patch = here.within(scaled(crop, (region.box.width, region.box.height)))
    weight = here.within(region.blend)[..., None]
    old = inside.within(picture)
    if old.shape[2] == 1:
        patch = patch[..., :3].mean(2, keepdim=True)
    elif patch.shape[2] < 3:
        patch = _color(patch)
    channels = min(old.shape[2], patch.shape[2])  # transparency stays where the model knows none
    old, patch = old[..., :channels], patch[..., :channels]
    old[:] = torch.where(weight > 0, torch.lerp(old, patch, weight), old)


def _color(picture: torch.Tensor) -> torch.Tensor:
    """Three channels, which is what models take."""
    return picture[..., :3] if picture.shape[2] >= 3 else picture[..., :1].expand(*picture.shape[:2], 3)
