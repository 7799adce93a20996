"""Editing an inverted picture by changing its prompt: Prompt-to-Prompt along the inversion's latents."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

import torch

from ...nn_layers.errors import InputError
from .alignment import LENGTH, align, positions
from .attention import attending
from .control import PromptToPrompt, kept_scale
from .inversion import Inversion, Watch
from .model import DiffusionModel, checked, joined


@dataclass(frozen=True)
class EditSettings:
    """How to edit.

    Attributes:
        guidance: How strongly the prompt is followed; for a null-text inversion the guidance that it was made for.
        cross_replace: Share of the steps, from noise on, in which the words' maps are the source's.
        self_replace: The same for self-attention, in layers of 32 × 32 places at most.
        equaliser: The attention of the target's new words is multiplied by it, in every step.
        weights: Further words of the target, and what their attention is multiplied by; 0 takes a word away.
        mode: "replace", "refine" or "auto", see `alignment.align`.
        blend: Change only where the new words (or `blend_words`) look, source and target taken together.
        blend_words: Words of source or target; empty for those that differ.
        threshold: Attention, as a share of the highest, above which blending lets a place change.
        blend_start: Share of the steps before blending begins.
        keep: "structure" corrects a direct inversion's error in the targets, too; "source" in the source alone, as published.
        together: Targets that run in one batch.
    """

    guidance: float = 7.5
    cross_replace: float = 0.4
    self_replace: float = 0.3
    equaliser: float = 2.0
    weights: tuple[tuple[str, float], ...] = ()
    mode: str = "auto"
    blend: bool = False
    blend_words: str = ""
    threshold: float = 0.3
    blend_start: float = 0.2
    keep: str = "structure"
    together: int = 4

    def __post_init__(self) -> None:
        for name in ("cross_replace", "self_replace", "threshold", "blend_start"):
            if not 0 <= getattr(self, name) <= 1:
                raise InputError(f"{name} is {getattr(self, name):g}; give a share between 0 and 1.")
        if self.keep not in ("structure", "source"):
            raise InputError(f"keep is {self.keep!r}; choose structure or source.")


@dataclass(frozen=True)
class Edited:
    """Edits of one picture, a row for each target prompt.

    Attributes:
        images: [targets, height, width, 3] in 0..1.
        attention: [targets, height, width] in 0..1, where the words that differ look; all 1 where none differs.
        source: [height, width, 3], the picture as the model rebuilds it.
    """

    images: torch.Tensor
    attention: torch.Tensor
    source: torch.Tensor


def edit(
    model: DiffusionModel,
    inversion: Inversion,
    targets: Sequence[str],
    settings: EditSettings = EditSettings(),
    words: Sequence[str] | None = None,
    mask: torch.Tensor | None = None,
    watch: Watch | None = None,
) -> Edited:
    """Edit an inverted picture.

    Args:
        model: The model that inverted it.
        inversion: Of `invert`.
        targets: Prompts, one for each result.
        settings: How.
        words: The new word of each target, which the equaliser and the blending are for; None for all that the source has not.
        mask: [h, w] in 0..1, of any size: how much may change where.
        watch: Called with steps done and steps in all; what it raises stops the edit.

    Raises:
        InputError: Prompts that do not align, words that are not there, another model's inversion.
    """
    check(model, inversion, targets, settings)
    parts = [targets[start : start + settings.together] for start in range(0, len(targets), settings.together)]
    images, maps, source = [], [], None
    for number, part in enumerate(parts):
        named = words and words[number * settings.together :][: len(part)]
        run = _Edit(model, inversion, part, settings, named, mask)
        tell = watch and (lambda done, total, at=number: watch(at * total + done, len(parts) * total))
        latents, attention = run.run(tell)
        images.append(model.decode(latents[1:]))
        source = model.decode(latents[:1])[0] if source is None else source
        maps.append(attention)
    return Edited(torch.cat(images), torch.cat(maps), source)


def check(model: DiffusionModel, inversion: Inversion, targets: Sequence[str], settings: EditSettings) -> None:
    """Whether an inversion and an edit belong together.

    Raises:
        InputError: They do not.
    """
    if not targets or not all(target.strip() for target in targets):
        raise InputError("a target prompt is empty; say what the picture shall show.")
    if inversion.model != model.fingerprint:
        raise InputError(
            f"the inversion was made with another model than {model.stable.name}; invert the picture with this one."
        )
    made_for = inversion.settings.guidance
    if inversion.settings.method == "null-text" and abs(made_for - settings.guidance) > 1e-6:
        raise InputError(
            f"the null-text inversion was made for guidance {made_for:g}, but guidance is {settings.guidance:g}; give both nodes the same."
        )


class _Edit:
    """One batch: the source and its targets, with and without their prompts."""

    def __init__(self, model: DiffusionModel, inversion: Inversion, targets: Sequence[str], settings: EditSettings, words: Sequence[str] | None, mask: torch.Tensor | None):  # fmt: skip
        self.model, self.inversion, self.settings = model, inversion, settings
        self.count = len(targets)
        self.latents = inversion.latents.to(model.device)
        self.grid = (self.latents.shape[2], self.latents.shape[3])
        self.alignments = [align(inversion.prompt, target, model.tokens, settings.mode) for target in targets]
        self.new = self._new(targets, words)
        self.words = self._words(targets)
        self.empty, self.source = model.encode_text([""]), model.encode_text([inversion.prompt])
        self.prompts = model.encode_text(targets)
        self.mask = None if mask is None else torch.nn.functional.interpolate(mask[None, None].to(model.device), self.grid, mode="area")[0]  # fmt: skip
        steps = inversion.settings.steps
        self.control = PromptToPrompt(
            source=1 + self.count,
            targets=slice(2 + self.count, None),
            alignments=self.alignments,
            equaliser=self._equaliser(targets).to(model.device),
            cross_steps=int(settings.cross_replace * steps),
            self_steps=int(settings.self_replace * steps),
            words=self.words.to(model.device),
            grid=self.grid,
            kept=kept_scale(model.unet.config.down_block_types),
        )

    def _new(self, targets: Sequence[str], words: Sequence[str] | None) -> list[tuple[int, ...]]:
        """Where the new words stand in each target: those that are named, or else those that the source has not."""
        if words is None:
            return [alignment.changed for alignment in self.alignments]
        pairs = zip(targets, words, strict=True)
        return [positions(target, word, self.model.tokens, "word") for target, word in pairs]

    def _equaliser(self, targets: Sequence[str]) -> torch.Tensor:
        factors = torch.ones(self.count, LENGTH)
        for row, target in enumerate(targets):
            factors[row, list(self.new[row])] = self.settings.equaliser
            for word, factor in self.settings.weights:
                factors[row, list(positions(target, word, self.model.tokens, "weights"))] = factor
        return factors

    def _words(self, targets: Sequence[str]) -> torch.Tensor:
        """Whose attention says where the edit is: [1 + targets, 77]."""
        rows = [tuple(place for alignment in self.alignments for place in alignment.replaced), *self.new]
        wanted = [word.strip() for word in self.settings.blend_words.split(",") if word.strip()]
        if wanted:
            found = [self._found(prompt, wanted) for prompt in (self.inversion.prompt, *targets)]
            for word in wanted:
                if not any(word in names for names in found):
                    positions(targets[0], word, self.model.tokens, "blend_words")
            rows = [tuple(place for places in names.values() for place in places) for names in found]
        chosen = torch.zeros(1 + self.count, LENGTH)
        for row, places in enumerate(rows):
            chosen[row, list(places)] = 1
        return chosen

    def _found(self, prompt: str, words: Sequence[str]) -> dict[str, tuple[int, ...]]:
        """Those of the words that are in a prompt, and where."""
        found = {}
        for word in words:
            with suppress(InputError):
                found[word] = positions(prompt, word, self.model.tokens)
        return found

    @torch.no_grad()
    def run(self, watch: Watch | None) -> tuple[torch.Tensor, torch.Tensor]:
        """Latents [1 + targets, 4, h, w], the source first, and the attention of the words, [targets, height, width]."""
        schedule = self.model.schedule.steps(self.inversion.settings.steps)
        latents = self.latents[-1:].expand(1 + self.count, -1, -1, -1)
        with attending(self.model.unet, self.inversion.settings.residual, self.control):
            for step, (time, after) in enumerate(schedule):
                latents = self._step(latents, step, time, after)
                if watch:
                    watch(step + 1, len(schedule))
        return checked(latents, "the edit"), self._attention()

    def _step(self, latents: torch.Tensor, step: int, time: int, after: int) -> torch.Tensor:
        self.control.step = step
        null = self.inversion.null(step, self.empty, self.source)
        text = joined([null.repeated(1 + self.count), self.source, self.prompts])
        noise = self.model.noise(torch.cat([latents, latents]), time, text, self.inversion.size)
        without, with_prompt = noise.chunk(2)
        noise = without + self.settings.guidance * (with_prompt - without)
        latents = self.model.schedule.move(latents, noise, time, after)
        if self.inversion.settings.method == "direct":
            error = self.latents[-step - 2] - latents[0]
            rows = slice(None) if self.settings.keep == "structure" else slice(1)
            latents = latents.clone()
            latents[rows] += error
        return self._confined(latents, step)

    def _confined(self, latents: torch.Tensor, step: int) -> torch.Tensor:
        """The targets with the source's latents wherever nothing may change."""
        allowed = self.mask
        if self.settings.blend and step >= int(self.settings.blend_start * self.inversion.settings.steps):
            seen = self.control.attention(pool=True)
            if seen is not None:
                looked = (seen > self.settings.threshold).float()
                looked = torch.maximum(looked[:1], looked[1:])[:, None]
                allowed = looked if allowed is None else looked * allowed
        if allowed is None:
            return latents
        targets = torch.lerp(latents[:1].expand_as(latents[1:]), latents[1:], allowed)
        return torch.cat([latents[:1], targets])

    def _attention(self) -> torch.Tensor:
        seen = self.control.attention()
        size = [side * self.model.scale for side in self.grid]
        if seen is None:
            return torch.ones(self.count, *size)
        both = torch.maximum(seen[1:], seen[:1])
        both = torch.where(self.words[1:].any(1)[:, None, None].to(both.device), both, torch.ones_like(both))
        return torch.nn.functional.interpolate(both[:, None], size, mode="bilinear")[:, 0].clamp(0, 1).cpu()
