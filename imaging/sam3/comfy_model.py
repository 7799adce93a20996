"""ComfyUI's own SAM 3 and 3.1, as its Load Checkpoint gives them: a MODEL, and a CLIP for words.

They are used through what they offer (ComfyUI 0.33: `comfy/ldm/sam3/detector.py`), and asked as ComfyUI's SAM3 nodes ask them, so
nothing of ComfyUI is imported. Beyond those nodes, presence is multiplied into the scores and every object is kept.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch.nn import functional

from ...nn_layers.errors import InputError
from .engine import VISUAL, Follow, Frame, Object, centred, enlarged
from .prompts import Box, Point
from .video import first_objects

SIDE = 1008  # pixels: the square that pictures are scaled to
NEEDED = ("forward_segment", "forward_video")


class ComfySam3:
    """An `Engine` around a MODEL.

    Args:
        model: ComfyUI's MODEL of a SAM 3 checkpoint.
        encode: A text to ComfyUI's CONDITIONING; None where no CLIP is connected.
        load: Puts the MODEL on its device.

    Raises:
        InputError: The MODEL is of another kind.
    """

    def __init__(self, model: Any, encode: Callable[[str], Any] | None, load: Callable[[Any], None]):
        self.network = getattr(getattr(model, "model", None), "diffusion_model", None)
        if not all(hasattr(self.network, name) for name in NEEDED):
            kind = type(getattr(model, "model", model)).__name__
            raise InputError(
                f"model is a MODEL of the kind {kind}, not SAM 3; connect Load SAM3, or Load Checkpoint with a SAM 3 file."
            )
        self.model, self.encode, self.load = model, encode, load
        self.name = "ComfyUI's SAM 3"

    @property
    def device(self) -> torch.device:
        """Where it runs."""
        return self.model.load_device

    @property
    def dtype(self) -> torch.dtype:
        """What it computes with."""
        return self.model.model.get_dtype()

    def ready(self, showing: bool) -> None:
        self.load(self.model)

    def see(self, picture: torch.Tensor) -> torch.Tensor:
        pixels = picture.movedim(-1, 0)[None].float()
        pixels = functional.interpolate(pixels, size=(SIDE, SIDE), mode="bilinear", align_corners=False)
        return pixels.to(self.device, self.dtype)

    def find(
        self, seen: torch.Tensor, size: tuple[int, int], text: str, boxes: Sequence[Box], threshold: float
    ) -> list[Object]:
        if any(not box.positive for box in boxes):
            raise InputError("negative boxes are unknown to ComfyUI's SAM 3; leave them out, or connect Load SAM3.")
        height, width = size
        words, known = self._words(text) if text != VISUAL or self.encode else (None, None)
        places = centred(boxes, height, width)[None].to(self.device, self.dtype) if boxes else None
        output = self.network(seen, text_embeddings=words, text_mask=known, boxes=places)
        scores = output["scores"][0].float().sigmoid()
        if output.get("presence") is not None:
            scores = scores * output["presence"][0].float().sigmoid()
        order = scores.argsort(descending=True)
        edges = torch.tensor([width, height, width, height], dtype=torch.float32)
        return [
            Object(
                enlarged(output["masks"][0, query], height, width),
                output["boxes"][0, query].float().cpu().clamp(0, 1) * edges,
                float(scores[query]),
            )
            for query in order[scores[order] > threshold].tolist()
        ]

    def cut(
        self,
        seen: torch.Tensor,
        size: tuple[int, int],
        points: Sequence[Point],
        box: Box | None,
        mask: torch.Tensor | None,
    ) -> tuple[torch.Tensor, float]:
        """See `Engine`; the score is 1 where there is a mask at all, because ComfyUI's model gives none."""
        height, width = size
        asked: dict[str, Any] = {}
        if points:
            places = [[point.x / width * SIDE, point.y / height * SIDE] for point in points]
            labels = [int(point.positive) for point in points]
            asked["point_inputs"] = {
                "point_coords": torch.tensor([places], dtype=self.dtype, device=self.device),
                "point_labels": torch.tensor([labels], dtype=torch.int32, device=self.device),
            }
        if box is not None:
            left, top, right, bottom = (edge * SIDE for edge in box.corners(height, width))
            asked["box_inputs"] = torch.tensor([[[left, top], [right, bottom]]], dtype=self.dtype, device=self.device)
        if mask is not None:
            asked["mask_inputs"] = (mask[None, None] * 20 - 10).to(self.device, self.dtype)  # logits of what is meant
        logits = self.network.forward_segment(seen, **asked)
        cut = enlarged(logits[0, 0], height, width)
        return cut, float(cut.any())

    def _words(self, text: str) -> tuple[torch.Tensor, torch.Tensor]:
        """The embeddings [1, token, channel] of a text, and which of them are words.

        Raises:
            InputError: No CLIP is connected.
        """
        if self.encode is None:
            raise InputError("words need the CLIP of the SAM 3 checkpoint; connect CLIP of Load Checkpoint to clip.")
        embeddings, options = self.encode(text)[0]
        mask = options.get("attention_mask")
        mask = torch.ones(embeddings.shape[:2], dtype=torch.int64) if mask is None else mask
        return embeddings.to(self.device, self.dtype), mask.to(self.device)

    def follow(self, frames: torch.Tensor, how: Follow) -> Iterator[Frame]:
        """See `Engine`; SAM 3.1 follows all objects at once, SAM 3 one after another."""
        if how.detect_every and how.texts and not self._finds_later:
            raise InputError("detect_every is for SAM 3.1 in ComfyUI's MODEL; set it to 0, or connect Load SAM3.")
        self.ready(True)
        return self._followed(frames, how)

    @property
    def _finds_later(self) -> bool:
        return hasattr(getattr(self.network, "tracker", None), "track_video_with_detection")

    def _followed(self, frames: torch.Tensor, how: Follow) -> Iterator[Frame]:
        first = first_objects(self, frames, how)
        masks, labels = [mask for mask, _ in first], [label for _, label in first]
        again = bool(how.detect_every and how.texts)
        if not first and not again:
            packed = None
        elif self._finds_later:
            packed = self._run(frames, masks, how, again, Steps(how, len(frames)))
        else:  # logits of all frames come back at once: object by object they take the least memory
            steps = Steps(how, len(frames) * len(masks), len(frames))
            packed = torch.cat([self._run(frames, [mask], how, False, steps) for mask in masks], dim=1)
        nothing = torch.zeros(0, *frames.shape[1:3], dtype=torch.bool)
        count = 0 if packed is None else packed.shape[1]
        labels += [f"object {number}" for number in range(len(labels) + 1, count + 1)]
        for index in range(len(frames)):
            own = (
                [] if packed is None else [enlarged(bits - 0.5, *frames.shape[1:3]) for bits in unpacked(packed[index])]
            )
            yield Frame(torch.stack(own) if own else nothing, tuple(labels[:count]))
        how.tell(len(frames), len(frames))

    def _run(
        self, frames: torch.Tensor, masks: list[torch.Tensor], how: Follow, again: bool, steps: Steps
    ) -> torch.Tensor | None:
        """Eight pixels to a byte, [frame, object, side, side / 8]; None if there is nothing."""
        given = torch.stack(masks)[:, None].to(self.device, self.dtype) if masks else None
        with torch.inference_mode():
            result = self.network.forward_video(
                images=frames.movedim(-1, 1),
                initial_masks=given,
                pbar=steps,
                text_prompts=[self._words(text) for text in how.texts] if again else None,
                new_det_thresh=how.threshold,
                max_objects=how.max_objects,
                detect_interval=how.detect_every or 1,
                target_device=self.device,
                target_dtype=self.dtype,
            )
        return result["packed_masks"] if isinstance(result, dict) else packed(result)


class Steps:
    """What ComfyUI's model takes for a progress bar: tells how many frames are done, and may raise to stop."""

    def __init__(self, how: Follow, count: int, frames: int = 0):
        self.how, self.count, self.frames, self.done = how, count, frames or count, 0

    def update(self, steps: int) -> None:
        """`steps` frames of an object are done."""
        self.done += steps
        self.how.tell(min(self.frames, self.done * self.frames // self.count), self.frames)


def packed(logits: torch.Tensor) -> torch.Tensor:
    """Masks from logits, eight pixels to a byte: [*, height, width] to uint8 [*, height, width / 8]."""
    bits = 1 << torch.arange(8, dtype=torch.uint8, device=logits.device)
    return torch.stack(
        [((frame > 0).unflatten(-1, (-1, 8)) * bits).sum(-1, dtype=torch.uint8) for frame in logits]
    ).cpu()


def unpacked(masks: torch.Tensor) -> torch.Tensor:
    """And back: float32 0 or 1, [*, height, width]."""
    bits = 1 << torch.arange(8, dtype=torch.uint8, device=masks.device)
    return (masks[..., None] & bits).bool().flatten(-2).float()
