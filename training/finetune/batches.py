"""Batches for the loop: everything that is drawn by chance is a pure function of the seed and the batch's number, so a run that was
stopped goes on as if it had not been."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from . import masks
from .concepts import Concepts, Size, batches, load, load_mask
from .parts import Parts, draw_times
from .settings import FinetuneSettings

Texts = tuple[Tensor, Tensor | None]


@dataclass
class Batch:
    """What a step of the loop looks at; all on the CPU.

    Attributes:
        captions: One a picture; those left out are empty.
        latents, noise: [batch, 4, height, width].
        times: Noise levels, int64 [batch].
        context: For checkpoints for inpainting, the mask and the rest of the picture: [batch, 5, height, width].
        weights: Of the loss, [batch, 1, height, width].
        pixels: Height and width of the pictures, [batch, 2].
        own: How many are the concepts' own; the others, after them, are class pictures.
    """

    captions: list[str]
    latents: Tensor
    noise: Tensor
    times: Tensor
    context: Tensor | None
    weights: Tensor
    pixels: Tensor
    own: int


@dataclass(eq=False)
class Batches:
    """Makes batch after batch; latent pictures and texts that come again are kept in memory on the CPU."""

    parts: Parts
    concepts: Concepts
    settings: FinetuneSettings
    _plans: dict[int, list[list[int]]] = field(default_factory=dict)
    _latents: dict[tuple, tuple[Tensor, Tensor]] = field(default_factory=dict)
    _texts: dict[str, Texts] = field(default_factory=dict)

    def numbers(self, index: int) -> list[int]:
        """The pictures of batch number `index`, counted over all epochs."""
        length = len(self._plan(0))
        return self._plan(index // length)[index % length]

    def _plan(self, epoch: int) -> list[list[int]]:
        if epoch not in self._plans:
            s = self.settings
            kept = {0: self._plans[0]} if 0 in self._plans else {}
            self._plans = {**kept, epoch: batches(self.concepts, s.batch_size, s.seed, s.every_concept, epoch)}
        return self._plans[epoch]

    def __getitem__(self, index: int) -> Batch:
        """Batch number `index`."""
        settings, parts = self.settings, self.parts
        chance = torch.Generator().manual_seed(hash((settings.seed, index)) % 2**63)
        rows: list[tuple[str, Path, Path | None]] = []
        chosen = [self.concepts.pictures[number] for number in self.numbers(index)]
        size = self.concepts.size_of(chosen[0][1], settings.every_concept)
        for _, picture in chosen:
            left_out = float(torch.rand((), generator=chance)) < self.concepts.dropout
            rows.append(("" if left_out else picture.caption, picture.file, picture.mask))
        for number, _ in chosen if settings.prior_weight else ():
            concept = self.concepts.concepts[number]
            if concept.class_pictures:
                drawn = int(torch.randint(len(concept.class_pictures), (), generator=chance))
                rows.append((concept.class_prompt, concept.class_pictures[drawn], None))
        times = draw_times(settings.timesteps, len(rows), parts.scheduler.config.num_train_timesteps, chance)
        latents, contexts, weights = [], [], []
        for _, file, mask_file in rows:
            hidden, weight = self._masks(mask_file, size, chance)
            mean, deviation = self.latents(file, size)
            latents.append(mean + deviation * torch.randn(mean.shape, generator=chance))
            if hidden is not None:
                rest, _ = self.latents(file, size, hidden, mask_file if settings.masks == "given" else None)
                contexts.append(torch.cat([masks.at_latent_size(hidden[None], parts.multiple), rest], 1))
            weights.append(masks.at_latent_size(weight[None], parts.multiple))
        together = torch.cat(latents)
        return Batch(
            captions=[row[0] for row in rows],
            latents=together,
            noise=torch.randn(together.shape, generator=chance),
            times=times,
            context=torch.cat(contexts) if contexts else None,
            weights=torch.cat(weights),
            pixels=torch.tensor([size] * len(rows)),
            own=len(chosen),
        )

    def _masks(self, file: Path | None, size: Size, chance: torch.Generator) -> tuple[Tensor | None, Tensor]:
        """What is repainted (None for ordinary checkpoints), and the weight of the loss at each pixel: [1, height, width] both."""
        settings, everywhere = self.settings, torch.ones(1, *size)
        inpaints = self.parts.channels == 9
        if settings.masks == "given" and file:
            given = load_mask(file, size)
            if given.any():
                return given if inpaints else None, given + settings.outside * (1 - given)
        if not inpaints:
            return None, everywhere
        return everywhere if settings.masks == "whole" else masks.random_mask(size, chance), everywhere

    def latents(
        self, file: Path, size: Size, hidden: Tensor | None = None, mask: Path | None = None
    ) -> tuple[Tensor, Tensor]:
        """Mean and deviation of a picture's latent picture [1, 4, height, width], with what is `hidden` grey.

        Those that are hidden by a `mask` in a file, or not at all, are kept.
        """
        key = (file, size, mask)
        keeps = self.settings.cache and (hidden is None or mask is not None)
        if keeps and key in self._latents:
            return self._latents[key]
        picture = load(file, size)[None]
        if hidden is not None:
            picture = masks.without_masked(picture, hidden[None])
        mean, deviation = (value.cpu() for value in self.parts.encode_pictures(picture))
        if keeps:
            self._latents[key] = mean, deviation
        return mean, deviation

    def texts(self, captions: list[str], keep: bool) -> Texts:
        """Captions as the UNet reads them; the same ones are encoded once if they may be kept."""
        if not keep:
            return self.parts.encode_texts(captions)
        for caption in dict.fromkeys(captions):
            if caption not in self._texts:
                with torch.no_grad():
                    hidden, pooled = self.parts.encode_texts([caption])
                self._texts[caption] = hidden.float().cpu(), None if pooled is None else pooled.float().cpu()
        found = [self._texts[caption] for caption in captions]
        pooled = None if found[0][1] is None else torch.cat([one[1] for one in found])
        return torch.cat([one[0] for one in found]), pooled

    def prepare(self, captions: tuple[str, ...], keep_texts: bool) -> Iterator[tuple[int, int]]:
        """Encode every picture and caption once; yields how many of them are done."""
        square = self.settings.every_concept
        files = [(p.file, self.concepts.size_of(p, square)) for _, p in self.concepts.pictures]
        shapes = sorted({size for _, size in files})
        if self.settings.prior_weight:
            files += [(f, size) for c in self.concepts.concepts for f in c.class_pictures for size in shapes]
        steps: list[Callable[[], object]] = [lambda f=file, s=size: self.latents(f, s) for file, size in files]
        if self.parts.channels == 9 and self.settings.masks == "given":
            masked = [(p, self.concepts.size_of(p, square)) for _, p in self.concepts.pictures if p.mask]
            steps += [lambda p=p, s=s: self.latents(p.file, s, load_mask(p.mask, s), p.mask) for p, s in masked]
        if keep_texts:
            every = dict.fromkeys(
                [
                    "",
                    *captions,
                    *(p.caption for _, p in self.concepts.pictures),
                    *(c.class_prompt for c in self.concepts.concepts),
                ]
            )
            steps += [lambda c=caption: self.texts([c], True) for caption in every]
        for done, step in enumerate(steps, 1):
            step()
            yield done, len(steps)
