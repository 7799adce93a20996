"""A Stable Diffusion model as plain functions: words to embeddings, pictures to latents and back, latents to noise."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch

from ...imaging.stable_diffusion import StableDiffusion
from ...nn_layers.errors import InputError
from .schedule import Schedule

INPAINTING = 9
"""Input channels of a UNet made for inpainting: noise, mask, and the picture without what is masked."""


@dataclass(frozen=True)
class Text:
    """Prompts as a model reads them: `tokens` [n, 77, width], and for SDXL `pooled` [n, width]."""

    tokens: torch.Tensor
    pooled: torch.Tensor | None = None

    def __len__(self) -> int:
        return len(self.tokens)

    def __getitem__(self, rows: slice) -> Text:
        return Text(self.tokens[rows], None if self.pooled is None else self.pooled[rows])

    def repeated(self, count: int) -> Text:
        """A single prompt, `count` times."""
        pooled = None if self.pooled is None else self.pooled.expand(count, -1)
        return Text(self.tokens.expand(count, -1, -1), pooled)


def joined(texts: Sequence[Text]) -> Text:
    """Several batches of prompts behind each other."""
    pooled = None if texts[0].pooled is None else torch.cat([text.pooled for text in texts])
    return Text(torch.cat([text.tokens for text in texts]), pooled)


@dataclass(frozen=True)
class DiffusionModel:
    """Stable Diffusion 1.x, 2.x or XL.

    Attributes:
        stable: The loaded pipeline, frozen and in evaluation mode.
        fingerprint: Tells one model's inversions from another's.
        schedule: How noise grows.
    """

    stable: StableDiffusion
    fingerprint: str
    schedule: Schedule

    @property
    def unet(self) -> Any:
        """diffusers' `UNet2DConditionModel`."""
        return self.stable.pipeline.unet

    @property
    def vae(self) -> Any:
        """diffusers' `AutoencoderKL`."""
        return self.stable.pipeline.vae

    @property
    def readers(self) -> list[tuple[Any, Any]]:
        """Tokenizer and text encoder, for SDXL two of each."""
        pipeline = self.stable.pipeline
        first = (pipeline.tokenizer, pipeline.text_encoder)
        return [first, (pipeline.tokenizer_2, pipeline.text_encoder_2)] if self.stable.is_xl else [first]

    @property
    def device(self) -> torch.device:
        """Where it is now."""
        return self.unet.device

    @property
    def scale(self) -> int:
        """Pixels on a side of one latent."""
        return 2 ** (len(self.vae.config.block_out_channels) - 1)

    @property
    def multiple(self) -> int:
        """Sides of pictures must be multiples of this many pixels, so that the UNet can halve them."""
        return self.scale * 2 ** (len(self.unet.config.block_out_channels) - 1)

    def check_ordinary(self) -> None:
        """Refuse to invert or edit with a model that wants a mask beside the picture.

        Raises:
            InputError: It was made for inpainting.
        """
        if self.stable.channels == INPAINTING:
            raise InputError(
                f"{self.stable.name} was made for inpainting (its UNet takes {INPAINTING} channels instead of 4), so it can paint new defects "
                f"but edit none; choose an ordinary checkpoint of Stable Diffusion 1.x, 2.x or SDXL."
            )

    def tokens(self, prompt: str) -> list[int]:
        """The tokens of a prompt, start and end included, without padding.

        Raises:
            InputError: There are more than the model reads (77).
        """
        tokenizer, encoder = self.readers[0]
        numbers = _unpadded(tokenizer(prompt, padding=False, truncation=False)["input_ids"], tokenizer)
        limit = encoder.config.max_position_embeddings
        if len(numbers) > limit:
            raise InputError(
                f"the prompt {prompt[:40]!r}… has {len(numbers)} tokens, but the model reads {limit}; shorten it by {len(numbers) - limit}."
            )
        return numbers

    @torch.no_grad()
    def encode_text(self, prompts: Sequence[str]) -> Text:
        """Prompts as embeddings, float32.

        SDXL reads the last layer but one of both encoders side by side, and the projected end token of the second.
        """
        for prompt in prompts:
            self.tokens(prompt)
        hidden, pooled = [], None
        for tokenizer, encoder in self.readers:
            length = encoder.config.max_position_embeddings
            words = tokenizer(
                list(prompts), padding="max_length", max_length=length, truncation=True, return_tensors="pt"
            )
            output = encoder(words.input_ids.to(self.device), output_hidden_states=self.stable.is_xl)
            hidden.append((output.hidden_states[-2] if self.stable.is_xl else output[0]).float())
            pooled = output[0].float() if self.stable.is_xl else None  # of the second encoder, which comes last
        return Text(torch.cat(hidden, -1), pooled)

    @torch.no_grad()
    def encode(self, images: torch.Tensor) -> torch.Tensor:
        """Pictures [n, height, width, 3] in 0..1 to latents [n, 4, height / scale, width / scale], the mean of what the VAE says.

        Raises:
            InputError: The VAE's latents are no numbers.
        """
        pixels = images.to(self.device).movedim(3, 1) * 2 - 1
        with _whole(self.vae) as vae:
            latents = vae.encode(pixels).latent_dist.mode() * vae.config.scaling_factor
        return checked(latents, "the VAE")

    @torch.no_grad()
    def decode(self, latents: torch.Tensor) -> torch.Tensor:
        """Latents to pictures [n, height, width, 3] in 0..1, float32 on the processor, one at a time."""
        with _whole(self.vae) as vae:
            pixels = [vae.decode(latent / vae.config.scaling_factor).sample.cpu() for latent in latents.split(1)]
        return (torch.cat(pixels) / 2 + 0.5).clamp(0, 1).movedim(1, 3).contiguous()

    def noise(self, latents: torch.Tensor, timestep: int, text: Text, size: tuple[int, int]) -> torch.Tensor:
        """The noise that the UNet sees in latents [n, 4, h, w], float32.

        Args:
            latents: At the noise level of `timestep`.
            timestep: In the schedule of the training.
            text: As many prompts as latents.
            size: (height, width) in pixels that SDXL is told the picture had before it was scaled.
        """
        kind = self.unet.dtype
        added = None
        if self.stable.is_xl:
            target = (latents.shape[2] * self.scale, latents.shape[3] * self.scale)
            told = torch.tensor([[*size, 0, 0, *target]], dtype=kind, device=latents.device)  # size, crop, target size
            added = {"text_embeds": text.pooled.to(kind), "time_ids": told.expand(len(latents), -1)}
        output = self.unet(latents.to(kind), timestep, text.tokens.to(kind), added_cond_kwargs=added).sample.float()
        if not self.schedule.predicts_v:
            return output
        level = self.schedule.level(timestep)
        return level**0.5 * output + (1 - level) ** 0.5 * latents


def checked(latents: torch.Tensor, source: str) -> torch.Tensor:
    """The latents themselves.

    Raises:
        InputError: They are no numbers, as happens in half precision.
    """
    if not bool(torch.isfinite(latents).all()):
        raise InputError(
            f"{source} made latents that are no numbers (NaN or infinite); load the model in float32, or another checkpoint."
        )
    return latents


@contextmanager
def _whole(vae: Any) -> Iterator[Any]:
    """The VAE in float32 for the length of the block: SDXL's overflows in half precision."""
    precision = vae.dtype
    if precision == torch.float32:
        yield vae
        return
    try:
        yield vae.to(torch.float32)
    finally:
        vae.to(precision)


def _unpadded(numbers: list[int], tokenizer: Any) -> list[int]:
    """Without what stands behind the first end token; some tokenizers pad whatever they are told."""
    end = tokenizer.eos_token_id
    return numbers[: numbers.index(end) + 1] if end in numbers else numbers
