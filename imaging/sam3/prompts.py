"""What a person points at: boxes, points, a rough mask, for one picture or for each of a batch."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ...nn_layers.errors import InputError

FORMAT = '[{"x": 120, "y": 80}, {"x": 30, "y": 40, "label": 0}]'


@dataclass(frozen=True)
class Box:
    """A rectangle in pixels from the top left corner; negative: what is in it is not meant."""

    x: float
    y: float
    width: float
    height: float
    positive: bool = True

    def corners(self, height: int, width: int) -> tuple[float, float, float, float]:
        """Left, top, right, bottom as shares of a picture of this size, kept inside it."""
        left, right = (min(max(edge / width, 0.0), 1.0) for edge in (self.x, self.x + self.width))
        top, bottom = (min(max(edge / height, 0.0), 1.0) for edge in (self.y, self.y + self.height))
        return left, top, right, bottom


@dataclass(frozen=True)
class Point:
    """A pixel of the object numbered `object`; negative: a pixel that does not belong to it."""

    x: float
    y: float
    positive: bool = True
    object: int = 0


Boxes = Sequence[Box] | Sequence[Sequence[Box]]


def boxes_of(value: Any, positive: bool = True, name: str = "boxes") -> list[list[Box]]:
    """ComfyUI's BOUNDING_BOX as boxes per picture: one box, a list, or a list for each picture.

    Raises:
        InputError: It is something else.
    """
    if value is None:
        return []
    if isinstance(value, dict):
        value = [value]
    if not isinstance(value, (list, tuple)):
        raise InputError(f"{name} is {type(value).__name__}; connect BOUNDING_BOX.")
    if not value:
        return []
    pictures = value if isinstance(value[0], (list, tuple)) else [value]
    return [[_box(one, positive, name) for one in found or ()] for found in pictures]


def points_of(text: str) -> tuple[list[Point], list[Box]]:
    """Points and boxes from the JSON text that a points editor writes.

    Understood are a list of points, each ``{"x", "y"}`` with ``"label"`` 0 for a negative one and ``"object"`` to tell several
    objects apart; ``{"points": […], "boxes": […]}``; and ``{"positive": […], "negative": […]}``. A point may be ``[x, y]`` or
    ``[x, y, label]``.

    Raises:
        InputError: The text is something else.
    """
    if not text.strip():
        return [], []
    try:
        value = json.loads(text)
    except ValueError as error:
        raise InputError(f"points is no JSON ({error}); write it like {FORMAT}.") from error
    if isinstance(value, dict) and "x" in value:
        value = [value]
    if isinstance(value, list):
        return [_point(one) for one in value], []
    if not isinstance(value, dict) or not value.keys() & {"points", "boxes", "positive", "negative"}:
        raise InputError(f"points is {text[:60]!r}; write it like {FORMAT}.")
    points = [_point(one) for key in ("points", "positive") for one in value.get(key) or ()]
    points += [_point(one, False) for one in value.get("negative") or ()]
    return points, [_box(one, True, "points") for one in value.get("boxes") or ()]


def _point(one: Any, positive: bool | None = None) -> Point:
    if isinstance(one, (list, tuple)):
        one = dict(zip(("x", "y", "label"), one, strict=False))
    try:
        label = _positive(one.get("label", 1)) if positive is None else positive
        return Point(float(one["x"]), float(one["y"]), label, int(one.get("object", 0)))
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise InputError(f"points holds {one!r}, which is no point; write it like {FORMAT}.") from error


def _box(one: Any, positive: bool, name: str) -> Box:
    try:
        box = Box(
            *(float(one[key]) for key in ("x", "y", "width", "height")), positive and _positive(one.get("label", 1))
        )
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise InputError(
            f"{name} holds {one!r}, which is no box; it needs x, y, width and height in pixels."
        ) from error
    if box.width <= 0 or box.height <= 0:
        raise InputError(f"{name} holds a box of {box.width:g} × {box.height:g} pixels; draw it larger.")
    return box


def _positive(label: Any) -> bool:
    """Boxes that come out of other nodes carry the name of a class as label; only the number 0 or false means "not this"."""
    return label != 0 and label != "negative"


def for_picture(boxes: Boxes, index: int, count: int) -> list[Box]:
    """The boxes of one picture of a batch.

    Raises:
        InputError: There are lists for another number of pictures.
    """
    boxes = list(boxes)
    if not boxes or isinstance(boxes[0], Box):
        return boxes
    if len(boxes) == 1:
        return list(boxes[0])
    if len(boxes) != count:
        raise InputError(
            f"boxes holds lists for {len(boxes)} pictures, but there are {count}; give one list, or one for each."
        )
    return list(boxes[index])
