"""Masks as one picture of numbers, and back.

A label map holds the number k of a mask as the grey value k / 255, so that a PNG of it holds k itself; 0 is the background.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from ...nn_layers.errors import InputError
from .batches import checked_masks, paired, shape_text
from .merge import same_size

MOST = 255


def label_map(masks: Sequence[torch.Tensor], into_one: bool = True, threshold: float = 0.5) -> tuple[torch.Tensor, int]:
    """Number masks and put them into one map; where masks overlap, the later one is on top.

    Args:
        masks: Batches [batch, height, width] of one size.
        into_one: Every mask of every batch is numbered, for one map. Otherwise each batch is a number, and its n-th mask goes into
            the n-th map (a batch of one into all).
        threshold: A pixel belongs to a mask if it is above.

    Returns:
        int64 [maps, height, width] of numbers, and how many numbers there are.

    Raises:
        InputError: No mask, different sizes, batches that cannot be paired, or more than 255 numbers.
    """
    batches = [checked_masks(batch, "masks") for batch in same_size(masks)]
    if into_one:
        batches = [plane[None] for batch in batches for plane in batch]
    if len(batches) > MOST:
        raise InputError(f"masks are {len(batches)}, but a label map holds {MOST} numbers; merge or leave out some.")
    batches = paired({f"mask {number}": batch for number, batch in enumerate(batches, 1)})
    labels = torch.zeros(batches[0].shape, dtype=torch.int64, device=batches[0].device)
    for number, batch in enumerate(batches, 1):
        labels.masked_fill_(batch > threshold, number)
    return labels, len(batches)


@dataclass(frozen=True)
class Labels:
    """What a label map holds: a name for each value that occurs (its number, or its colour) and the masks [batch, height, width]."""

    names: tuple[str, ...]
    masks: tuple[torch.Tensor, ...]


def masks_of_labels(labels: torch.Tensor, wanted: str = "", ignore: int = 255) -> Labels:
    """The masks in a label map.

    Args:
        labels: An IMAGE [batch, height, width, channel] or a MASK [batch, height, width], 0..1, whose values are numbers divided by 255;
            a coloured picture has a mask for each colour. Black is the background.
        wanted: The numbers (or colours such as #ff0000) to take, divided by commas; "" for all that occur.
        ignore: A number that means "not labelled"; -1 for none. It only counts in grey maps.

    Raises:
        InputError: It has more than 255 values, as a photograph has, or what is wanted is no number.
    """
    codes, grey = _codes(labels)
    values = [int(value) for value in codes.unique()]
    if len(values) > MOST + 1:
        raise InputError(
            f"label_map holds {len(values)} different values, but a label map has {MOST} at most; "
            f"give one that was saved as PNG, not as JPEG, and not resized."
        )
    names = {value: str(value) if grey else f"#{value:06x}" for value in values if value}
    if grey and ignore > 0:
        names.pop(ignore, None)
    if wanted.strip():
        chosen = [name.strip().lower() for name in wanted.replace("\n", ",").split(",") if name.strip()]
        names = {_code(name): name for name in chosen}
    return Labels(tuple(names.values()), tuple((codes == value).float() for value in names))


def _codes(labels: torch.Tensor) -> tuple[torch.Tensor, bool]:
    """A whole number per pixel, int64 [batch, height, width], and whether these are grey values."""
    if labels.ndim not in (3, 4) or not labels.numel():
        raise InputError(f"label_map has the shape {shape_text(labels)}; give a picture or a mask.")
    numbers = (labels * 255).round().long()
    if labels.ndim == 3:
        return numbers, True
    channels = numbers[..., :3].unbind(3)
    if all(torch.equal(channels[0], channel) for channel in channels[1:]):
        return channels[0], True
    red, green, blue = channels
    return red * 65536 + green * 256 + blue, False


def _code(name: str) -> int:
    try:
        return int(name[1:], 16) if name.startswith("#") else int(name)
    except ValueError:
        raise InputError(f"numbers holds {name!r}; give whole numbers or colours such as #ff0000.") from None
