"""Find things in pictures by words and example boxes, or cut out what points, a box or a rough mask show.

Carion et al., "SAM 3: Segment Anything with Concepts" (2025). What one backend has to do is in `engine`; here is what all share.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch

from ...nn_layers.errors import InputError
from ..masks import checked_images, colours
from .engine import VISUAL, Engine, Found, Object, extent
from .prompts import Box, Boxes, Point, for_picture


@torch.no_grad()
def segment(
    sam: Engine,
    images: torch.Tensor,
    *,
    texts: Sequence[str] = (),
    boxes: Boxes = (),
    points: Sequence[Point] = (),
    mask_prompt: torch.Tensor | None = None,
    outline: bool = False,
    threshold: float = 0.5,
    max_per_class: int = 0,
    on_step: Callable[[int, int], None] | None = None,
) -> list[Found]:
    """Objects of every picture of a batch.

    Args:
        sam: The model.
        images: float32 [batch, height, width, 3 or more] in 0..1
        texts: Classes to look for, each by itself.
        boxes: Examples of what to find (negative: of what to leave), or with `outline` one box around each object. For all
            pictures, or a list for each.
        points: Pixels of objects to cut out, the same in every picture.
        mask_prompt: float32 [1 or batch, height, width]: roughly the object that the points and the box mean.
        outline: Boxes are outlines of objects, not examples.
        threshold: Least score of an object that was found by words or examples.
        max_per_class: Most objects of a class in a picture; 0 for all.
        on_step: Called with steps done and steps in all; may raise to stop.

    Raises:
        InputError: Nothing to look for, or inputs that do not fit one another.
    """
    images = colours(checked_images(images, "images"))
    texts = [text.strip() for text in texts if text.strip()]
    count = len(images)
    masks = _masks_for(mask_prompt, count)
    asked = [for_picture(boxes, index, count) for index in range(count)]
    if not texts and not points and masks is None and not any(asked):
        raise InputError("nothing to look for: give a text, a box, a point or a mask.")
    sam.ready(showing=bool(points) or masks is not None or (outline and any(asked)))
    steps = count * (1 + max(1, len(texts)))
    found = []
    for index, picture in enumerate(images):

        def tell(done: int, index: int = index) -> None:
            if on_step:
                on_step(index * (1 + max(1, len(texts))) + done, steps)

        tell(0)
        seen, size = sam.see(picture), (picture.shape[0], picture.shape[1])
        tell(1)
        objects = []
        examples = [] if outline else asked[index]
        if texts or examples:
            objects += _concepts(sam, seen, size, texts, examples, threshold, max_per_class, tell)
        outlines = asked[index] if outline else []
        mask = None if masks is None else masks[index if len(masks) > 1 else 0]
        if points or outlines or (mask is not None and bool((mask > 0.5).any())):
            objects += _shown(sam, seen, size, outlines, points, mask)
        found.append(_joined(objects, size))
    if on_step:
        on_step(steps, steps)
    return found


def _masks_for(masks: torch.Tensor | None, count: int) -> torch.Tensor | None:
    if masks is None:
        return None
    masks = masks[None] if masks.ndim == 2 else masks
    if masks.ndim != 3 or len(masks) not in (1, count):
        raise InputError(
            f"mask has shape {tuple(masks.shape)}, but there are {count} pictures; give one mask, or one for each."
        )
    return masks.float()


Labelled = tuple[Object, str]


def _concepts(
    sam: Engine,
    seen: Any,
    size: tuple[int, int],
    texts: Sequence[str],
    boxes: Sequence[Box],
    threshold: float,
    most: int,
    tell: Callable[[int], None],
) -> list[Labelled]:
    """Everything that the words and the example boxes mean."""
    if not texts and not any(box.positive for box in boxes):
        raise InputError("boxes holds only negative boxes; add a text or a box around what to find.")
    objects = []
    for number, text in enumerate(texts or (VISUAL,)):
        found = sam.find(seen, size, text, boxes, threshold)
        objects += [(one, text if texts else "object") for one in found[: most or None]]
        tell(2 + number)
    return objects


def _shown(
    sam: Engine,
    seen: Any,
    size: tuple[int, int],
    outlines: Sequence[Box],
    points: Sequence[Point],
    mask: torch.Tensor | None,
) -> list[Labelled]:
    """One object for each outline and each number among the points; the mask belongs to the first."""
    if any(not box.positive for box in outlines):
        raise InputError("boxes that outline objects cannot be negative; use negative points, or boxes as examples.")
    numbers = sorted(
        {point.object for point in points} | set(range(len(outlines))) | ({0} if mask is not None else set())
    )
    objects = []
    for number in numbers:
        own = [point for point in points if point.object == number]
        box = outlines[number] if 0 <= number < len(outlines) else None
        rough = mask if number == 0 and mask is not None and bool((mask > 0.5).any()) else None
        if not own and box is None and rough is None:
            continue
        cut, score = sam.cut(seen, size, own, box, rough)
        label = "object" if len(numbers) == 1 else f"object {number + 1}"
        objects.append((Object(cut, extent(cut), score), label))
    return objects


def _joined(objects: list[Labelled], size: tuple[int, int]) -> Found:
    if not objects:
        return Found(torch.zeros(0, *size, dtype=torch.bool), torch.zeros(0, 4), torch.zeros(0), ())
    found, labels = zip(*objects, strict=True)
    masks, boxes, scores = zip(*found, strict=True)
    return Found(torch.stack(masks), torch.stack(boxes), torch.tensor(scores), tuple(labels))
