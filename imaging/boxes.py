"""Boxes in pictures: making them larger, finding one size for many, cutting and placing. All in whole pixels."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch.nn import functional

from ..nn_layers.errors import InputError

Size = tuple[int, int]  # (width, height)


@dataclass(frozen=True)
class Box:
    """A rectangle in a picture; it may reach beyond."""

    x: int
    y: int
    width: int
    height: int

    @property
    def area(self) -> int:
        """Pixels."""
        return self.width * self.height

    def meets(self, other: Box) -> bool:
        """Whether they have pixels in common."""
        across = self.x < other.x + other.width and other.x < self.x + self.width
        return across and self.y < other.y + other.height and other.y < self.y + self.height

    def __or__(self, other: Box) -> Box:
        """The smallest rectangle around both."""
        x, y = min(self.x, other.x), min(self.y, other.y)
        right = max(self.x + self.width, other.x + other.width)
        bottom = max(self.y + self.height, other.y + other.height)
        return Box(x, y, right - x, bottom - y)

    def spread(self, pixels: int, picture: Size) -> Box:
        """Larger by `pixels` on each side, as far as the picture goes."""
        x, y = max(0, self.x - pixels), max(0, self.y - pixels)
        right = min(picture[0], self.x + self.width + pixels)
        bottom = min(picture[1], self.y + self.height + pixels)
        return Box(x, y, right - x, bottom - y)

    def widened(self, size: Size, picture: Size) -> Box:
        """Around the same middle and at least of this size; moved into the picture, or beyond it on both sides where it is too large."""
        x, width = _side(self.x, self.width, size[0], picture[0])
        y, height = _side(self.y, self.height, size[1], picture[1])
        return Box(x, y, width, height)

    def within(self, plane: torch.Tensor) -> torch.Tensor:
        """This part of a picture [height, width, ...], as a view; the box must lie inside."""
        return plane[self.y : self.y + self.height, self.x : self.x + self.width]

    def seen_from(self, other: Box) -> Box:
        """The same box, measured from the corner of `other`."""
        return Box(self.x - other.x, self.y - other.y, self.width, self.height)


def _side(start: int, length: int, wanted: int, limit: int) -> tuple[int, int]:
    wanted = max(length, wanted)
    if wanted > limit:
        return (limit - wanted) // 2, wanted
    return min(max(start - (wanted - length) // 2, 0), limit - wanted), wanted


@dataclass(frozen=True)
class FixedSize:
    """Every crop is scaled to exactly this size in pixels."""

    width: int = 512
    height: int = 512


@dataclass(frozen=True)
class FreeSize:
    """Crops keep their scale while their sides lie between `least` and `most` pixels; the sides become multiples of `multiple`."""

    least: int = 512
    most: int = 1024
    multiple: int = 8


def common_size(boxes: Sequence[Box], how: FixedSize | FreeSize, picture: Size) -> tuple[Size, list[Box]]:
    """One size for all crops, and the boxes made large enough to have its proportions.

    Args:
        boxes: What has to be seen, inside the picture.
        how: The wanted size.
        picture: Size of the picture.

    Raises:
        InputError: The least side is above the longest allowed.
    """
    if isinstance(how, FixedSize):
        size = (how.width, how.height)
        return size, [_of_shape(box, size, picture) for box in boxes]
    least, most = math.ceil(how.least / how.multiple) * how.multiple, how.most // how.multiple * how.multiple
    if not 0 < least <= most:
        raise InputError(
            f"min_size {how.least} and max_size {how.most} leave no multiple of {how.multiple} between them; raise max_size."
        )
    width, height = max(box.width for box in boxes), max(box.height for box in boxes)
    boxes = [box.widened((width, height), picture) for box in boxes]
    scale = max(1.0, least / min(width, height))
    scale = min(scale, most / max(width, height))
    size = tuple(
        min(max(math.ceil(side * scale / how.multiple) * how.multiple, least), most) for side in (width, height)
    )
    if scale == 1:
        return size, [box.widened(size, picture) for box in boxes]  # nothing is resampled
    return size, [_of_shape(box, size, picture) for box in boxes]


def _of_shape(box: Box, size: Size, picture: Size) -> Box:
    """The box, widened to the proportions of `size`."""
    width, height = size
    wanted = (
        max(box.width, math.ceil(box.height * width / height)),
        max(box.height, math.ceil(box.width * height / width)),
    )
    return box.widened(wanted, picture)


def cut(picture: torch.Tensor, box: Box, border: str = "edge") -> torch.Tensor:
    """What the box shows of a picture [height, width, channel].

    Args:
        picture: The picture.
        box: May reach beyond the picture.
        border: What is beyond: "edge" repeats the last pixels, "mirror" mirrors the picture.
    """
    rows = _places(box.y, box.height, picture.shape[0], border, picture.device)
    columns = _places(box.x, box.width, picture.shape[1], border, picture.device)
    return picture[rows][:, columns]


def _places(start: int, length: int, limit: int, border: str, device: torch.device) -> torch.Tensor:
    places = torch.arange(start, start + length, device=device)
    if border == "edge" or limit == 1:
        return places.clamp(0, limit - 1)
    period = 2 * (limit - 1)
    places = places % period
    return torch.minimum(places, period - places)


def placed(plane: torch.Tensor, box: Box, into: Box) -> torch.Tensor:
    """A plane [height, width] of `box` in zeros of the size of `into`, a box around it."""
    result = plane.new_zeros(into.height, into.width)
    box.seen_from(into).within(result)[:] = plane
    return result


def scaled(picture: torch.Tensor, size: Size) -> torch.Tensor:
    """A picture [height, width, channel] at another size, bicubic without aliasing; at its own size it is returned as it is."""
    if (picture.shape[1], picture.shape[0]) == size:
        return picture
    planes = picture.movedim(2, 0)[None]
    planes = functional.interpolate(planes, (size[1], size[0]), mode="bicubic", antialias=True)
    return planes[0].movedim(0, 2).clamp(0, 1)
