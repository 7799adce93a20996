"""Find things in pictures by words and example boxes, or cut out what points, a box or a rough mask show.

Carion et al., "SAM 3: Segment Anything with Concepts" (2025). A query's score is its own times the presence of the concept in the
picture (section 3); masks are scaled as logits and cut at zero.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch.nn import functional

from ...nn_layers.errors import InputError
from .features import detector_view, seen, tracker_view
from .model import Sam3
from .prompts import Box, Boxes, Point, for_picture

NO_BOX = -10  # transformers' label for a place that holds no box
VISUAL = "visual"  # the word that stands for "what the boxes show"
TEXTS_KEPT = 256


@dataclass(frozen=True)
class Found:
    """Objects of one picture, the surest of each class first.

    Attributes:
        masks: bool [object, height, width] on the CPU, of the picture's size
        boxes: float32 [object, 4]: left, top, right, bottom in pixels
        scores: float32 [object] in 0..1
        labels: class of each object
    """

    masks: torch.Tensor
    boxes: torch.Tensor
    scores: torch.Tensor
    labels: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def merged(self) -> torch.Tensor:
        """Everything found, bool [height, width]."""
        return self.masks.any(dim=0)


@torch.no_grad()
def segment(
    sam: Sam3,
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
    images = checked_images(images)
    texts = [text.strip() for text in texts if text.strip()]
    count = len(images)
    masks = _masks_for(mask_prompt, count)
    asked = [for_picture(boxes, index, count) for index in range(count)]
    if not texts and not points and masks is None and not any(asked):
        raise InputError("nothing to look for: give a text, a box, a point or a mask.")
    if points or masks is not None or (outline and any(asked)):
        sam.needs("tracker", "cut out what points, outlines or masks show")
    steps = count * (1 + max(1, len(texts)))
    found = []
    for index, picture in enumerate(images):

        def tell(done: int, index: int = index) -> None:
            if on_step:
                on_step(index * (1 + max(1, len(texts))) + done, steps)

        tell(0)
        trunk = seen(sam, picture)
        tell(1)
        objects = []
        examples = [] if outline else asked[index]
        if texts or examples:
            objects += _concepts(sam, trunk, picture, texts, examples, threshold, max_per_class, tell)
        outlines = asked[index] if outline else []
        mask = None if masks is None else masks[index if len(masks) > 1 else 0]
        if points or outlines or (mask is not None and bool((mask > 0.5).any())):
            objects += _shown(sam, trunk, picture, outlines, points, mask)
        found.append(_joined(objects, picture))
    if on_step:
        on_step(steps, steps)
    return found


def checked_images(images: torch.Tensor) -> torch.Tensor:
    """Pictures without their transparency.

    Raises:
        InputError: They are no batch of pictures, or hold NaN.
    """
    if images.ndim != 4 or images.shape[-1] < 3 or 0 in images.shape:
        raise InputError(
            f"images has shape {tuple(images.shape)}; connect pictures of batch × height × width × 3 colours."
        )
    if not bool(torch.isfinite(images).all()):
        raise InputError("images holds NaN or infinite values; look at what made them.")
    return images[..., :3]


def _masks_for(masks: torch.Tensor | None, count: int) -> torch.Tensor | None:
    if masks is None:
        return None
    masks = masks[None] if masks.ndim == 2 else masks
    if masks.ndim != 3 or len(masks) not in (1, count):
        raise InputError(
            f"mask has shape {tuple(masks.shape)}, but there are {count} pictures; give one mask, or one for each."
        )
    return masks.float()


Object = tuple[torch.Tensor, torch.Tensor, float, str]  # mask, box, score, label


def _concepts(
    sam: Sam3,
    trunk: torch.Tensor,
    picture: torch.Tensor,
    texts: Sequence[str],
    boxes: Sequence[Box],
    threshold: float,
    most: int,
    tell: Callable[[int], None],
) -> list[Object]:
    """Everything that the words and the example boxes mean."""
    if not texts and not any(box.positive for box in boxes):
        raise InputError("boxes holds only negative boxes; add a text or a box around what to find.")
    height, width = picture.shape[:2]
    view = detector_view(sam, trunk)
    objects = []
    for number, text in enumerate(texts or (VISUAL,)):
        output = concept(sam, view, text, boxes, height, width)
        scores = output.pred_logits[0].float().sigmoid() * output.presence_logits[0].float().sigmoid()
        order = scores.argsort(descending=True)
        order = order[scores[order] > threshold][: most or None]
        edges = torch.tensor([width, height, width, height], dtype=torch.float32)
        for query in order.tolist():
            box = output.pred_boxes[0, query].float().cpu().clamp(0, 1) * edges
            mask = enlarged(output.pred_masks[0, query], height, width)
            objects.append((mask, box, float(scores[query]), text if texts else "object"))
        tell(2 + number)
    return objects


def concept(sam: Sam3, view: Any, text: str, boxes: Sequence[Box], height: int, width: int) -> Any:
    """The detector's raw answer to one text and example boxes.

    Meta's code always adds a token that sums up the boxes, even when there are none; transformers leaves it out then. A box that
    counts as absent brings it back, and the logits agree.
    """
    if boxes:
        corners = torch.tensor([box.corners(height, width) for box in boxes])
        places = torch.cat([(corners[:, :2] + corners[:, 2:]) / 2, corners[:, 2:] - corners[:, :2]], dim=1)
        labels = [int(box.positive) for box in boxes]
    else:
        places, labels = torch.zeros(1, 4), [NO_BOX]
    return sam.detector(
        vision_embeds=view,
        text_embeds=_text(sam, text),
        input_boxes=places[None].to(sam.device, sam.dtype),
        input_boxes_labels=torch.tensor([labels], device=sam.device),
    )


def _text(sam: Sam3, text: str) -> Any:
    """What the text tower makes of a text; kept, as the same words are asked of many pictures.

    Only as many tokens as there are words are given: the rest would be masked anyway, and no token looks at a later one.
    """
    if text not in sam.texts:
        if len(sam.texts) >= TEXTS_KEPT:
            sam.texts.clear()
        tokens = torch.tensor([sam.tokens(text)], device=sam.device)
        sam.texts[text] = sam.detector.get_text_features(input_ids=tokens, return_dict=True)
    return sam.texts[text]


def _shown(
    sam: Sam3,
    trunk: torch.Tensor,
    picture: torch.Tensor,
    outlines: Sequence[Box],
    points: Sequence[Point],
    mask: torch.Tensor | None,
) -> list[Object]:
    """One object for each outline and each number among the points; the mask belongs to the first."""
    if any(not box.positive for box in outlines):
        raise InputError("boxes that outline objects cannot be negative; use negative points, or boxes as examples.")
    height, width = picture.shape[:2]
    maps, _ = tracker_view(sam, trunk)
    maps[-1] = maps[-1] + sam.tracker.no_memory_embedding.view(1, -1, 1, 1)
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
        logits, score = _click(sam, maps, own, box, rough, height, width)
        cut = enlarged(logits, height, width)
        objects.append((cut, extent(cut), score, "object" if len(numbers) == 1 else f"object {number + 1}"))
    return objects


def _click(
    sam: Sam3,
    maps: list[torch.Tensor],
    points: Sequence[Point],
    box: Box | None,
    mask: torch.Tensor | None,
    height: int,
    width: int,
) -> tuple[torch.Tensor, float]:
    """The mask's logits and its score: how well the network thinks it fits, times how sure it is that there is an object."""

    def tensor(values: list, kind: torch.dtype) -> torch.Tensor:
        return torch.tensor([values], dtype=kind, device=sam.device)

    asked: dict[str, Any] = {}
    if points:
        places = [[point.x / width * sam.side, point.y / height * sam.side] for point in points]
        asked["input_points"] = tensor([places], sam.dtype)
        asked["input_labels"] = tensor([[int(point.positive) for point in points]], torch.int64)
    if box is not None:
        asked["input_boxes"] = tensor([[edge * sam.side for edge in box.corners(height, width)]], sam.dtype)
    if mask is not None:
        size = sam.tracker.prompt_encoder.mask_input_size
        rough = functional.interpolate(
            mask[None, None], size=size, mode="bilinear", align_corners=False, antialias=True
        )
        asked["input_masks"] = (rough * 20 - 10).to(sam.device, sam.dtype)  # logits of a mask that is meant
    several = len(points) == 1 and box is None and mask is None  # a single click is ambiguous
    output = sam.tracker(image_embeddings=maps, multimask_output=several, **asked)
    best = int(output.iou_scores[0, 0].argmax())
    sure = float(output.object_score_logits.float().sigmoid().flatten()[0])
    return output.pred_masks[0, 0, best], float(output.iou_scores[0, 0, best].float().clamp(0, 1)) * sure


def enlarged(logits: torch.Tensor, height: int, width: int) -> torch.Tensor:
    """A mask's logits [h, w] as a mask of the picture's size, bool on the CPU."""
    grown = functional.interpolate(
        logits[None, None].float(), size=(height, width), mode="bilinear", align_corners=False
    )
    return (grown[0, 0] > 0).cpu()


def extent(mask: torch.Tensor) -> torch.Tensor:
    """Left, top, right, bottom of a mask in pixels; zeros for an empty one."""
    rows, columns = mask.any(dim=1).nonzero(), mask.any(dim=0).nonzero()
    if not len(rows):
        return torch.zeros(4)
    edges = [int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1]
    return torch.tensor(edges, dtype=torch.float32)


def _joined(objects: list[Object], picture: torch.Tensor) -> Found:
    height, width = picture.shape[:2]
    if not objects:
        return Found(torch.zeros(0, height, width, dtype=torch.bool), torch.zeros(0, 4), torch.zeros(0), ())
    masks, boxes, scores, labels = zip(*objects, strict=True)
    return Found(torch.stack(masks), torch.stack(boxes), torch.tensor(scores), tuple(labels))
