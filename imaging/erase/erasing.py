"""From pictures and masks to pictures in which nothing but the masked places has changed."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch.nn import functional as F

from ...nn_layers.errors import InputError
from .holes import Hole, find_holes

Fill = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
"""Pictures [n, 3, height, width] and holes [n, 1, height, width] of 0 and 1 in, the pictures with their holes filled out."""

BATCH_PIXELS = 1 << 20  # holes of like size run together up to this many pixels: bounds the memory


@dataclass(frozen=True)
class EraseSettings:
    """How far a mask reaches and how much around it is looked at, all in pixels.

    Args:
        grow: What is erased around the mask: shadows and edges of an object lie outside of it.
        feather: Width of the band around that in which old and new are mixed.
        trigger: Pictures up to this long are looked at as a whole.
        margin: Context around a hole of a larger picture.
        merge: Erase the masks of a batch together from every picture.
    """

    grow: int = 8
    feather: int = 4
    trigger: int = 800
    margin: int = 128
    merge: bool = False


class Erased(NamedTuple):
    """`images` [n, height, width, 3 or 4], how much of each pixel is new, `changed` [n, height, width] in 0..1, and the
    number of holes that were filled, `regions`."""

    images: torch.Tensor
    changed: torch.Tensor
    regions: int


class _Part(NamedTuple):
    picture: int
    hole: Hole
    alpha: torch.Tensor


def erase(
    images: torch.Tensor,
    masks: torch.Tensor,
    fill: Fill,
    settings: EraseSettings = EraseSettings(),
    on_region: Callable[[int, int], None] | None = None,
) -> Erased:
    """Fill what masks cover. Every pixel outside of the grown and feathered mask, and every alpha, stays as it is, bit for bit.

    Args:
        images: float32 [n, height, width, 3 or 4] in 0..1.
        masks: float32 [m, height, width]; above a half is erased. n and m are equal, or one of them is 1.
        fill: `LaMa`, or one of `classical`.
        on_region: Called with holes done and holes in all.

    Raises:
        InputError: Sizes or numbers do not fit, or there are values that are no numbers.
    """
    images, masks = paired(images, masks, settings.merge)
    result, changed = images.clone(), images.new_zeros(images.shape[:3])
    parts = [part for picture, mask in enumerate(masks) for part in _parts(picture, mask > 0.5, settings)]
    done = 0
    for batch in _batches(parts):
        pictures = torch.stack([p.hole.seen.within(result[p.picture])[..., :3] for p in batch]).movedim(-1, 1)
        alphas = torch.stack([part.alpha for part in batch]).to(images)
        filled = fill(pictures.float(), (alphas > 0).float()[:, None]).movedim(1, -1).to(images)
        for part, new, alpha in zip(batch, filled, alphas, strict=True):
            _paste(result[part.picture], changed[part.picture], part.hole, new, alpha)
        done += len(batch)
        if on_region:
            on_region(done, len(parts))
    return Erased(result, changed, len(parts))


def _parts(picture: int, mask: torch.Tensor, settings: EraseSettings) -> Iterable[_Part]:
    reach = settings.grow + settings.feather
    for hole in find_holes(mask, reach, settings.margin, settings.trigger):
        yield _Part(picture, hole, soft_mask(hole.seen.within(mask), settings.grow, settings.feather))


def _batches(parts: list[_Part]) -> Iterable[list[_Part]]:
    """Parts of one size together, as many as memory is meant for."""
    alike: dict[tuple[int, int], list[_Part]] = defaultdict(list)
    for part in parts:
        alike[part.hole.seen.width, part.hole.seen.height].append(part)
    for (width, height), group in alike.items():
        count = max(1, BATCH_PIXELS // (width * height))
        for start in range(0, len(group), count):
            yield group[start : start + count]


def _paste(picture: torch.Tensor, changed: torch.Tensor, hole: Hole, new: torch.Tensor, alpha: torch.Tensor) -> None:
    """Mix `new` into the hole of `picture` [height, width, channels], in place."""
    inner = hole.box.seen_from(hole.seen)
    old, share = hole.box.within(picture)[..., :3], inner.within(alpha)
    mixed = torch.lerp(old, inner.within(new), share[..., None])
    old.copy_(torch.where(share[..., None] > 0, mixed, old))
    hole.box.within(changed).copy_(share)


def soft_mask(mask: torch.Tensor, grow: int, feather: int) -> torch.Tensor:
    """1 on a boolean mask [height, width] and up to `grow` pixels around it, from there falling to 0 within `feather` pixels."""
    alpha = grown(mask.float(), grow)
    blur = feather // 2
    if feather:
        band = grown(alpha, feather - blur)
        size = 2 * blur + 1  # of a window that never leaves the band where the mask itself lies
        soft = F.pad(band[None, None], [blur] * 4, mode="replicate") if blur else band[None, None]
        alpha = torch.maximum(alpha, F.avg_pool2d(soft, size, 1)[0, 0])
    return alpha


def grown(mask: torch.Tensor, by: int) -> torch.Tensor:
    """The largest value within `by` pixels in each direction, of float [height, width]."""
    size = 2 * by + 1
    rows = F.max_pool2d(mask[None, None], (size, 1), 1, (by, 0))
    return F.max_pool2d(rows, (1, size), 1, (0, by))[0, 0]


def paired(images: torch.Tensor, masks: torch.Tensor, merge: bool = False) -> tuple[torch.Tensor, torch.Tensor]:
    """As many pictures as masks, the single one repeated; the masks on the device of the pictures.

    Raises:
        InputError: See `erase`.
    """
    if masks.ndim == 4 and 1 in (masks.shape[1], masks.shape[-1]):
        masks = masks.squeeze(1 if masks.shape[1] == 1 else -1)
    if masks.ndim == 2:
        masks = masks[None]
    if images.ndim != 4 or images.shape[-1] not in (3, 4) or not images.numel():
        raise InputError(
            f"images are {_sizes(images)}, but a batch of coloured pictures [batch, height, width, 3 or 4] is wanted; wire an IMAGE here."
        )
    if masks.ndim != 3 or not masks.shape[0]:
        raise InputError(f"masks are {_sizes(masks)}, but a batch [batch, height, width] is wanted; wire a MASK here.")
    if masks.shape[1:] != images.shape[1:3]:
        hint = "make the mask from this picture, or scale it first"
        if masks.shape[1:] == (64, 64) and not masks.any():
            hint = "Load Image gives such an empty mask for a picture without transparency: draw one in its Mask Editor"
        raise InputError(
            f"the mask has {masks.shape[2]} × {masks.shape[1]} pixels, the picture {images.shape[2]} × {images.shape[1]}; {hint}."
        )
    for name, values in (("images", images), ("masks", masks)):
        lowest, highest = torch.aminmax(values)  # pass NaN on, and need no memory
        if not bool(torch.isfinite(lowest) & torch.isfinite(highest)):
            raise InputError(
                f"{name} contain values that are no numbers (NaN or infinite); look at the node they come from."
            )
    if merge:
        masks = masks.amax(0, keepdim=True)
    count = max(len(images), len(masks))
    if {len(images), len(masks)} - {1, count}:
        raise InputError(
            f"there are {len(images)} pictures and {len(masks)} masks; give as many masks as pictures, or one of either."
        )
    masks = masks.to(images.device)
    return images.expand(count, *images.shape[1:]), masks.expand(count, *masks.shape[1:])


def _sizes(tensor: torch.Tensor) -> str:
    return " × ".join(map(str, tensor.shape))
