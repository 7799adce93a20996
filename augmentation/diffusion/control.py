"""What Prompt-to-Prompt does to attention (Hertz et al., "Prompt-to-Prompt Image Editing with Cross Attention Control", 2022)."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch.nn import functional

from .alignment import Alignment
from .attention import Layer, plain, probabilities

LARGEST_SELF = 32**2  # queries; the maps of larger layers are the picture's texture and stay the target's own


@dataclass
class PromptToPrompt:
    """The attention of a source and its targets, which run in one batch.

    Attributes:
        source: The source's row in the batch.
        targets: The rows of the targets; rows of neither are left alone.
        alignments: One for each target.
        equaliser: [targets, 77], what each word's attention is multiplied by.
        cross_steps, self_steps: Steps in which the source's maps replace those of the targets.
        words: [1 + targets, 77] of 0 and 1, whose attention is kept; None keeps none.
        grid: (height, width) of the latents.
        kept: How much smaller than the latents, on a side, the layers are whose maps are kept.
        step: The step the edit is at.
    """

    source: int
    targets: slice
    alignments: list[Alignment]
    equaliser: torch.Tensor
    cross_steps: int
    self_steps: int
    words: torch.Tensor | None
    grid: tuple[int, int]
    kept: int
    step: int = 0
    seen: torch.Tensor | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        device = self.equaliser.device
        self.mapper = torch.stack([alignment.mapper for alignment in self.alignments]).to(device)
        self.own = torch.stack([alignment.own for alignment in self.alignments]).to(device)[:, None, None]
        self.weighted = bool((self.equaliser != 1).any())

    def attend(self, layer: Layer, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> torch.Tensor | None:
        if layer.is_cross:
            keeps = self.words is not None and query.shape[2] == self._kept_size()
            if keeps or self.weighted or self.step < self.cross_steps:
                return self._cross(query, key, value, keeps)
            return None
        if self.step < self.self_steps and query.shape[2] <= LARGEST_SELF:
            query, key = (
                query.clone(),
                key.clone(),
            )  # the source's map: its queries and keys, with each target's own values
            query[self.targets], key[self.targets] = query[self.source], key[self.source]
            return plain(query, key, value)
        return None

    def _cross(self, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, keeps: bool) -> torch.Tensor:
        out = plain(query, key, value)
        base = probabilities(query[self.source], key[self.source]).float()
        maps = probabilities(query[self.targets], key[self.targets]).float()
        if self.step < self.cross_steps:
            maps = base @ self.mapper[:, None].to(base) + maps * self.own
        maps = maps * self.equaliser[:, None, None]
        out[self.targets] = maps.to(value.dtype) @ value[self.targets]
        if keeps:
            self._keep(torch.cat([base[None], maps]))
        return out

    def _kept_size(self) -> int:
        height, width = (-(-side // self.kept) for side in self.grid)
        return height * width

    def _keep(self, maps: torch.Tensor) -> None:
        """Add the words' part of maps [1 + targets, heads, queries, 77] to what was seen, [1 + targets, h, w]."""
        part = torch.einsum("rhqw,rw->rq", maps, self.words) / maps.shape[1]
        part = part.unflatten(1, (-(-self.grid[0] // self.kept), -1))
        self.seen = part if self.seen is None else self.seen + part

    def attention(self, pool: bool = False) -> torch.Tensor | None:
        """How strongly each place of the latents was looked at by the kept words, [1 + targets, h, w], the highest 1."""
        if self.seen is None:
            return None
        maps = self.seen[:, None]
        maps = functional.max_pool2d(maps, 3, 1, 1) if pool else maps
        maps = functional.interpolate(maps, self.grid, mode="bilinear", align_corners=False)[:, 0]
        return maps / maps.amax((1, 2), keepdim=True).clamp(min=1e-12)


def kept_scale(block_types: tuple[str, ...] | list[str]) -> int:
    """How much smaller the layers are whose maps say where a word is: a quarter of the latents on a side, as in the paper, or the nearest finer ones."""
    scales = [2**level for level, name in enumerate(block_types) if "CrossAttn" in name]
    return max((scale for scale in scales if scale <= 4), default=min(scales, default=1))
