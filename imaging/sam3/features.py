"""What SAM 3 sees in a picture: computed once, kept while there is room, and used by every later prompt.

Kept is what the picture tower says (21 MB a picture in the published model, 97 % of the work); the pyramids that the detector
and the tracker build from it cost little and are made again.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from torch.nn import functional

if TYPE_CHECKING:
    from .model import Sam3

ROOM = 512 * 2**20  # bytes of kept pictures


@dataclass
class Features:
    """Maps of the last pictures, the least recently used going first when `room` bytes are full."""

    room: int = ROOM
    kept: OrderedDict[str, torch.Tensor] = field(default_factory=OrderedDict)

    def get(self, key: str) -> torch.Tensor | None:
        """The kept map of a picture."""
        if key in self.kept:
            self.kept.move_to_end(key)
        return self.kept.get(key)

    def put(self, key: str, value: torch.Tensor) -> None:
        """Keep a map; others go until it fits."""
        self.kept[key] = value
        while len(self.kept) > 1 and sum(one.nbytes for one in self.kept.values()) > self.room:
            self.kept.popitem(last=False)


def digest(picture: torch.Tensor) -> str:
    """A name for the content of a picture [height, width, channel]."""
    data = picture.detach().contiguous().cpu().numpy()
    return f"{tuple(picture.shape)}-{hashlib.blake2b(data, digest_size=16).hexdigest()}"


def seen(sam: Sam3, picture: torch.Tensor) -> torch.Tensor:
    """What the picture tower says of a picture.

    Args:
        picture: float32 [height, width, 3] in 0..1, of any size.

    Returns:
        [1, channel, side / patch, side / patch]
    """
    key = digest(picture)
    found = sam.features.get(key)
    if found is None:
        backbone = sam.detector.vision_encoder.backbone
        words = backbone(prepared(picture, sam.side).to(sam.device, sam.dtype)).last_hidden_state
        grid = sam.side // backbone.config.patch_size
        found = words.transpose(1, 2).reshape(1, -1, grid, grid)
        sam.features.put(key, found)
    return found


def prepared(picture: torch.Tensor, side: int) -> torch.Tensor:
    """A picture [height, width, 3] in 0..1 as [1, 3, side, side] in -1..1, stretched as in the model's training."""
    pixels = picture.permute(2, 0, 1)[None].float()
    pixels = functional.interpolate(pixels, size=(side, side), mode="bilinear", align_corners=False, antialias=True)
    return pixels.clamp(0, 1) * 2 - 1


def detector_view(sam: Sam3, trunk: torch.Tensor) -> Any:
    """The detector's pyramid, as `Sam3Model` takes it."""
    from transformers.models.sam3.modeling_sam3 import Sam3VisionEncoderOutput

    maps, positions = sam.detector.vision_encoder.neck(trunk)
    if len(maps) == 3:  # SAM 3.1 has no coarsest level; Sam3Model drops the last one unread
        maps, positions = (*maps, maps[-1]), (*positions, positions[-1])
    return Sam3VisionEncoderOutput(last_hidden_state=trunk, fpn_hidden_states=maps, fpn_position_encoding=positions)


def tracker_view(sam: Sam3, trunk: torch.Tensor) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
    """The tracker's three maps from fine to coarse, ready for its mask decoder, and where their pixels lie."""
    maps, positions = sam.tracker.vision_encoder.neck(trunk)
    decoder = sam.tracker.mask_decoder
    return [decoder.conv_s0(maps[0]), decoder.conv_s1(maps[1]), maps[2]], list(positions[:3])
