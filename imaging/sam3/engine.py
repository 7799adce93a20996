"""What every backend that runs SAM 3 offers, and what it gives back."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import torch
from torch.nn import functional

from .prompts import Box, Point

VISUAL = "visual"  # the word that stands for "what the boxes show"


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


@dataclass(frozen=True)
class Frame:
    """What is followed, on one frame: bool masks [object, height, width] on the CPU, and all classes so far."""

    masks: torch.Tensor
    labels: tuple[str, ...]


class Object(NamedTuple):
    """One object: bool mask [height, width] and box [4] on the CPU, as in `Found`."""

    mask: torch.Tensor
    box: torch.Tensor
    score: float


@dataclass(frozen=True)
class Follow:
    """What to follow through frames, and how; the arguments of `track`."""

    masks: torch.Tensor | None
    texts: Sequence[str]
    threshold: float
    max_objects: int
    detect_every: int
    on_frame: Callable[[int, int], None] | None

    def tell(self, done: int, count: int) -> None:
        """Say how many frames are done; may raise to stop."""
        if self.on_frame:
            self.on_frame(done, count)


class Engine(Protocol):
    """SAM 3, whatever runs it. Pictures are float32 [height, width, 3] in 0..1, sizes (height, width) in pixels."""

    name: str

    def ready(self, showing: bool) -> None:
        """Make it ready to be asked, also by points, outlines and masks if `showing`; raises InputError if it cannot."""
        ...

    def see(self, picture: torch.Tensor) -> Any:
        """What is computed once for a picture."""
        ...

    def find(self, seen: Any, size: tuple[int, int], text: str, boxes: Sequence[Box], threshold: float) -> list[Object]:
        """Everything above the threshold that a text and example boxes mean, the surest first."""
        ...

    def cut(
        self, seen: Any, size: tuple[int, int], points: Sequence[Point], box: Box | None, mask: torch.Tensor | None
    ) -> tuple[torch.Tensor, float]:
        """The mask, bool [height, width], of what points, an outline and a rough mask [height, width] show, and its score."""
        ...

    def follow(self, frames: torch.Tensor, how: Follow) -> Iterator[Frame]:
        """Follow objects through frames [frame, height, width, 3]; what cannot be done is raised before the first one."""
        ...


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


def centred(boxes: Sequence[Box], height: int, width: int) -> torch.Tensor:
    """Boxes as centre, width and height in shares of the picture, float32 [box, 4]."""
    corners = torch.tensor([box.corners(height, width) for box in boxes])
    return torch.cat([(corners[:, :2] + corners[:, 2:]) / 2, corners[:, 2:] - corners[:, :2]], dim=1)
