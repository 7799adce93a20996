"""Meta's own package `sam3` (github.com/facebookresearch/sam3), for people who have it installed; it needs a GPU for most of its parts."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch.nn import functional

from ...nn_layers.errors import InputError
from ..weights import loaded
from .engine import VISUAL, Follow, Frame, Object, centred
from .prompts import Box, Point
from .video import first_objects

CHOICE = "choose the backend transformers, which reads the same file."


@dataclass(eq=False)
class MetaSam3:
    """An `Engine` around Meta's `Sam3Processor`."""

    path: Path
    processor: Any
    device: torch.device
    tracker: Any = field(default=None, repr=False)

    @property
    def name(self) -> str:
        """Of its file."""
        return self.path.name

    def _precision(self) -> AbstractContextManager[Any]:
        """bfloat16 on a GPU, as in Meta's examples."""
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.device.type != "cpu")

    def ready(self, showing: bool) -> None:
        if showing and self.processor.model.inst_interactive_predictor is None:
            raise InputError(f"{self.name} was loaded without points, outlines and masks; {CHOICE}")

    def see(self, picture: torch.Tensor) -> dict[str, Any]:
        with self._precision():
            return self.processor.set_image(picture.movedim(-1, 0).clamp(0, 1))

    def find(
        self, seen: dict[str, Any], size: tuple[int, int], text: str, boxes: Sequence[Box], threshold: float
    ) -> list[Object]:
        self.processor.reset_all_prompts(seen)
        self.processor.set_confidence_threshold(threshold)
        answer, places = seen, centred(boxes, *size).tolist() if boxes else []
        with self._precision():
            if text != VISUAL or not boxes:
                answer = self.processor.set_text_prompt(prompt=text, state=seen)
            for box, place in zip(boxes, places, strict=True):
                answer = self.processor.add_geometric_prompt(box=place, label=box.positive, state=seen)
        scores = answer["scores"].float().cpu()
        masks, corners = answer["masks"][:, 0].bool().cpu(), answer["boxes"].float().cpu()
        return [
            Object(masks[number], corners[number], float(scores[number]))
            for number in scores.argsort(descending=True).tolist()
        ]

    def cut(
        self,
        seen: dict[str, Any],
        size: tuple[int, int],
        points: Sequence[Point],
        box: Box | None,
        mask: torch.Tensor | None,
    ) -> tuple[torch.Tensor, float]:
        height, width = size
        asked: dict[str, Any] = {}
        if points:
            asked["point_coords"] = torch.tensor([[point.x, point.y] for point in points]).numpy()
            asked["point_labels"] = torch.tensor([int(point.positive) for point in points]).numpy()
        if box is not None:
            edges = torch.tensor(box.corners(height, width)) * torch.tensor([width, height, width, height])
            asked["box"] = edges.numpy()
        if mask is not None:
            side = self.processor.model.inst_interactive_predictor.model.sam_prompt_encoder.mask_input_size
            rough = functional.interpolate(mask[None, None], size=side, mode="bilinear", antialias=True)
            asked["mask_input"] = (rough[0] * 20 - 10).numpy()  # logits of a mask that is meant
        several = len(points) == 1 and box is None and mask is None  # a single click is ambiguous
        with self._precision():
            masks, scores, _ = self.processor.model.predict_inst(seen, multimask_output=several, **asked)
        best = int(scores.argmax())
        return torch.as_tensor(masks[best]) > 0, float(scores[best])

    def follow(self, frames: torch.Tensor, how: Follow) -> Iterator[Frame]:
        """See `Engine`; the objects of the first frame are followed by Meta's tracker, which reads the frames from files."""
        if how.detect_every:
            raise InputError(f"detect_every is not for the backend sam3; set it to 0, or {CHOICE}")
        return self._followed(frames, how)

    def _followed(self, frames: torch.Tensor, how: Follow) -> Iterator[Frame]:
        first = first_objects(self, frames, how)
        labels = tuple(label for _, label in first)
        if not first:
            nothing = torch.zeros(0, *frames.shape[1:3], dtype=torch.bool)
            yield from (Frame(nothing, ()) for _ in frames)
            return
        self.tracker = self.tracker or _tracker(self.path, self.device)
        with tempfile.TemporaryDirectory() as folder, torch.inference_mode(), self._precision():
            _write(frames, Path(folder))
            away = self.device.type == "cpu"
            state = self.tracker.init_state(video_path=folder, offload_video_to_cpu=away, offload_state_to_cpu=away)
            for number, (mask, _) in enumerate(first, 1):
                self.tracker.add_new_mask(state, frame_idx=0, obj_id=number, mask=mask)
            told = self.tracker.propagate_in_video(
                state,
                start_frame_idx=0,
                max_frame_num_to_track=len(frames),
                reverse=False,
                tqdm_disable=True,
                propagate_preflight=True,
            )
            for index, _, _, masks, _ in told:
                how.tell(index, len(frames))
                yield Frame((masks[:, 0] > 0).cpu(), labels)
        how.tell(len(frames), len(frames))


def load_meta(path: Path, device: torch.device | str = "cpu") -> MetaSam3:
    """Meta's own model with the weights of a ``sam3.pt``; the last one stays in memory.

    Raises:
        InputError: The package is missing or broken, or cannot read the file.
    """
    device = torch.device(device)

    def read(file: Path) -> MetaSam3:
        try:
            from sam3.model.sam3_image_processor import Sam3Processor
            from sam3.model_builder import build_sam3_image_model
        except Exception as error:  # it imports triton and asks for CUDA
            missing = isinstance(error, ImportError) and (error.name or "").split(".")[0] == "sam3"
            found = "is not installed" if missing else f"does not work here ({_reason(error)})"
            raise InputError(f"Meta's package sam3 {found}; {CHOICE}") from error
        try:
            model = build_sam3_image_model(
                checkpoint_path=str(file), load_from_HF=False, device=device.type, enable_inst_interactivity=True
            )
            processor = Sam3Processor(model, device=device.type)
        except Exception as error:  # whatever its parts raise
            raise InputError(f"Meta's package sam3 cannot read {file.name} ({_reason(error)}); {CHOICE}") from error
        return MetaSam3(file, processor, device)

    return loaded("sam3-meta", path, read, str(device))


def _tracker(path: Path, device: torch.device) -> Any:
    """Meta's tracker with the detector's picture tower, as its example for SAM 2's task puts them together."""
    from sam3.model_builder import build_sam3_video_model

    model = build_sam3_video_model(checkpoint_path=str(path), load_from_HF=False, device=device.type)
    model.tracker.backbone = model.detector.backbone
    return model.tracker


def _write(frames: torch.Tensor, folder: Path) -> None:
    """Frames as numbered PNG files, the only way to hand them over."""
    from PIL import Image

    for index, frame in enumerate(frames):
        array = (frame.clamp(0, 1) * 255).round().to(torch.uint8).cpu().numpy()
        Image.fromarray(array).save(folder / f"{index:06}.png", compress_level=1)


def _reason(error: Exception) -> str:
    """The first line of an error."""
    return (str(error).strip().split("\n")[0] or type(error).__name__).rstrip(".")[:200]
