"""How the models of transformers are asked: by words and example boxes, and by points, an outline or a rough mask.

A query's score is its own times the presence of the concept in the picture (section 3 of the paper); masks are scaled as logits and
cut at zero.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import torch
from torch.nn import functional

from .engine import Object, centred, enlarged
from .features import detector_view, seen, tracker_view
from .prompts import Box, Point

if TYPE_CHECKING:
    from .model import Sam3

NO_BOX = -10  # transformers' label for a place that holds no box
TEXTS_KEPT = 256


class Sight:
    """One picture as the model sees it; the pyramids are built when they are asked for."""

    def __init__(self, sam: Sam3, picture: torch.Tensor):
        self.sam, self.trunk = sam, seen(sam, picture)

    @cached_property
    def view(self) -> Any:
        """For the detector."""
        return detector_view(self.sam, self.trunk)

    @cached_property
    def maps(self) -> list[torch.Tensor]:
        """For the tracker, on a picture of which nothing is remembered."""
        maps, _ = tracker_view(self.sam, self.trunk)
        maps[-1] = maps[-1] + self.sam.tracker.no_memory_embedding.view(1, -1, 1, 1)
        return maps


def find(
    sam: Sam3, view: Any, size: tuple[int, int], text: str, boxes: Sequence[Box], threshold: float
) -> list[Object]:
    """Everything above the threshold that a text and example boxes mean, the surest first."""
    height, width = size
    output = concept(sam, view, text, boxes, height, width)
    scores = output.pred_logits[0].float().sigmoid() * output.presence_logits[0].float().sigmoid()
    order = scores.argsort(descending=True)
    edges = torch.tensor([width, height, width, height], dtype=torch.float32)
    return [
        Object(
            enlarged(output.pred_masks[0, query], height, width),
            output.pred_boxes[0, query].float().cpu().clamp(0, 1) * edges,
            float(scores[query]),
        )
        for query in order[scores[order] > threshold].tolist()
    ]


def concept(sam: Sam3, view: Any, text: str, boxes: Sequence[Box], height: int, width: int) -> Any:
    """The detector's raw answer to one text and example boxes.

    Meta's code always adds a token that sums up the boxes, even when there are none; transformers leaves it out then. A box that
    counts as absent brings it back, and the logits agree.
    """
    places = centred(boxes, height, width) if boxes else torch.zeros(1, 4)
    labels = [int(box.positive) for box in boxes] or [NO_BOX]
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


def cut(
    sam: Sam3,
    maps: list[torch.Tensor],
    size: tuple[int, int],
    points: Sequence[Point],
    box: Box | None,
    mask: torch.Tensor | None,
) -> tuple[torch.Tensor, float]:
    """The mask and its score: how well the network thinks it fits, times how sure it is that there is an object."""
    height, width = size

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
        side = sam.tracker.prompt_encoder.mask_input_size
        rough = functional.interpolate(
            mask[None, None], size=side, mode="bilinear", align_corners=False, antialias=True
        )
        asked["input_masks"] = (rough * 20 - 10).to(sam.device, sam.dtype)  # logits of a mask that is meant
    several = len(points) == 1 and box is None and mask is None  # a single click is ambiguous
    output = sam.tracker(image_embeddings=maps, multimask_output=several, **asked)
    best = int(output.iou_scores[0, 0].argmax())
    sure = float(output.object_score_logits.float().sigmoid().flatten()[0])
    score = float(output.iou_scores[0, 0, best].float().clamp(0, 1)) * sure
    return enlarged(output.pred_masks[0, 0, best], height, width), score
