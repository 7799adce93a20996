"""The networks of a Stable Diffusion, and what goes in and out of them: texts, pictures, noise."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ...nn_layers.errors import InputError


@dataclass(eq=False)
class Parts:
    """Stable Diffusion 1.x, 2.x or SDXL as diffusers and transformers hold it.

    A fine-tuning changes these networks in place; hand it ones that nobody else uses.

    Attributes:
        name: Of the checkpoint.
        fingerprint: The same for the same weights.
        unet: diffusers' UNet2DConditionModel, of 4 or 9 input channels.
        vae: diffusers' AutoencoderKL.
        texts: One text encoder, or SDXL's two.
        tokenizers: As many.
        scheduler: Any of diffusers' with the noise that the model was trained with.
    """

    name: str
    fingerprint: str
    unet: nn.Module
    vae: nn.Module
    texts: list[nn.Module]
    tokenizers: list[Any]
    scheduler: Any

    @classmethod
    def of(cls, pipeline: Any, name: str, fingerprint: str) -> Parts:
        """The parts of one of diffusers' pipelines."""
        found = pipeline.components

        def both(part: str) -> list[Any]:
            return [found[key] for key in (part, f"{part}_2") if found.get(key) is not None]

        return cls(
            name, fingerprint, found["unet"], found["vae"], both("text_encoder"), both("tokenizer"), found["scheduler"]
        )

    @property
    def is_xl(self) -> bool:
        """Whether it is SDXL."""
        return len(self.texts) == 2

    @property
    def channels(self) -> int:
        """Input channels of the UNet: 4, or 9 if it was made for inpainting."""
        return int(self.unet.config.in_channels)

    @property
    def kind(self) -> str:
        """ "SD 1", "SD 2" or "SDXL"."""
        if self.is_xl:
            return "SDXL"
        return "SD 1" if self.texts[0].config.hidden_act == "quick_gelu" else "SD 2"

    @property
    def multiple(self) -> int:
        """Pixels for each pixel of the latent picture."""
        return 2 ** (len(self.vae.config.block_out_channels) - 1)

    @property
    def prediction(self) -> str:
        """What the UNet predicts: "epsilon" or "v_prediction"."""
        return self.scheduler.config.prediction_type

    def encode_texts(self, captions: Sequence[str]) -> tuple[Tensor, Tensor | None]:
        """Captions as the UNet reads them, [batch, 77, width], and for SDXL also all together, [batch, width]."""
        hidden, pooled = [], None
        for encoder, tokenizer in zip(self.texts, self.tokenizers, strict=True):
            length = min(tokenizer.model_max_length, encoder.config.max_position_embeddings)
            tokens = tokenizer(
                list(captions), padding="max_length", max_length=length, truncation=True, return_tensors="pt"
            ).input_ids.to(next(encoder.parameters()).device)
            if not self.is_xl:
                return encoder(tokens)[0], None
            found = encoder(tokens, output_hidden_states=True)
            hidden.append(found.hidden_states[-2])  # as SDXL was trained, Podell et al. 2023
            pooled = found[0]
        return torch.cat(hidden, -1), pooled

    def encode_pictures(self, pictures: Tensor) -> tuple[Tensor, Tensor]:
        """Pictures [batch, 3, height, width] in -1..1 to mean and deviation of their latent pictures, at the UNet's scale."""
        device = next(self.vae.parameters()).device
        with torch.no_grad(), torch.autocast(device.type, enabled=False):
            found = self.vae.encode(pictures.to(device, torch.float32)).latent_dist
        shift, scale = getattr(self.vae.config, "shift_factor", None) or 0.0, self.vae.config.scaling_factor
        return (found.mean - shift) * scale, found.std * scale

    def decode(self, latents: Tensor) -> Tensor:
        """Latent pictures to pictures [batch, 3, height, width] in 0..1."""
        device = next(self.vae.parameters()).device
        shift, scale = getattr(self.vae.config, "shift_factor", None) or 0.0, self.vae.config.scaling_factor
        with torch.no_grad(), torch.autocast(device.type, enabled=False):
            decoded = self.vae.decode(latents.to(device, torch.float32) / scale + shift).sample
        return (decoded / 2 + 0.5).clamp(0, 1)

    def predict(self, latents: Tensor, times: Tensor, texts: Tensor, pooled: Tensor | None, pixels: Tensor) -> Tensor:
        """What the UNet makes of noisy latent pictures.

        Args:
            latents: [batch, 4 or 9, height, width].
            times: int64 [batch].
            pixels: Heights and widths in pixels, [batch, 2]; SDXL is told of them.
        """
        extra = None
        if self.is_xl:
            sizes = torch.cat([pixels, torch.zeros_like(pixels), pixels], 1).to(latents)
            extra = {"text_embeds": pooled, "time_ids": sizes}
        return self.unet(latents, times, encoder_hidden_states=texts, added_cond_kwargs=extra).sample

    def place(self, modules: Iterable[nn.Module], device: torch.device, dtype: torch.dtype | None = None) -> None:
        """Move networks to a device.

        Raises:
            InputError: They do not fit into its memory.
        """
        try:
            for module in modules:
                module.to(device)
                if dtype and next(module.parameters()).dtype != dtype:
                    module.to(dtype)
        except torch.OutOfMemoryError as error:
            raise InputError(
                f"{self.name} does not fit into the memory of {device}; close other programs, or choose device cpu."
            ) from error


def signal_to_noise(scheduler: Any, times: Tensor) -> Tensor:
    """α² / σ² of each noise level."""
    alphas = scheduler.alphas_cumprod.to(times.device)[times]
    return alphas / (1 - alphas)


def noisy(scheduler: Any, latents: Tensor, noise: Tensor, times: Tensor) -> Tensor:
    """Latent pictures with noise at the levels `times`: α x + σ ε."""
    alphas = scheduler.alphas_cumprod.to(latents)[times].view(-1, 1, 1, 1)
    return alphas.sqrt() * latents + (1 - alphas).sqrt() * noise


def target_of(scheduler: Any, latents: Tensor, noise: Tensor, times: Tensor) -> Tensor:
    """What the UNet should say: the noise, or the velocity α ε - σ x (Salimans and Ho 2022)."""
    if scheduler.config.prediction_type == "epsilon":
        return noise
    alphas = scheduler.alphas_cumprod.to(latents)[times].view(-1, 1, 1, 1)
    return alphas.sqrt() * noise - (1 - alphas).sqrt() * latents


def draw_times(kind: str, count: int, levels: int, generator: torch.Generator) -> Tensor:
    """Noise levels, int64 [count], of a `FinetuneSettings.timesteps`."""
    if kind == "sigmoid":
        shares = torch.sigmoid(torch.randn(count, generator=generator))
    else:
        shares = torch.rand(count, generator=generator)
        if kind == "content":  # many with much noise, where a picture's layout is decided
            shares = 1 - shares**3
        elif kind == "style":
            shares = shares**3
    return (shares * levels).long().clamp(0, levels - 1)


def weigh(errors: Tensor, weights: Tensor, times: Tensor, scheduler: Any, gamma: float) -> Tensor:
    """The loss of each picture, [batch]: the mean of squared errors [batch, 4, height, width] weighted by [batch, 1, height, width].

    With `gamma`, times min(SNR, γ) / SNR, or / (SNR + 1) for velocities (Hang et al. 2023, "Efficient Diffusion Training via Min-SNR
    Weighting Strategy").
    """
    losses = (errors * weights).sum((1, 2, 3)) / (weights.sum((1, 2, 3)).clamp(min=1e-6) * errors.shape[1])
    if not gamma:
        return losses
    snr = signal_to_noise(scheduler, times)
    least = snr.clamp(max=gamma)
    return losses * (least / snr if scheduler.config.prediction_type == "epsilon" else least / (snr + 1))
