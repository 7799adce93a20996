"""DDIM without noise: the steps from a picture's latent to noise, and back.

Song, Meng and Ermon, "Denoising Diffusion Implicit Models", 2021, equation 12 with sigma = 0.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from ...nn_layers.errors import InputError


@dataclass(frozen=True)
class Schedule:
    """How noise grows over the steps of the training.

    Attributes:
        levels: The share of the picture's variance that is left at each step of the training, alpha-bar, falling.
        final: The same before the first step.
        offset: Added to every step that is visited.
        predicts_v: Whether the UNet predicts v (Salimans and Ho 2022) instead of the noise.
    """

    levels: tuple[float, ...]
    final: float
    offset: int = 1
    predicts_v: bool = False

    def level(self, timestep: int) -> float:
        """alpha-bar of a step of the training; below 0 the one of the picture itself."""
        return self.levels[timestep] if timestep >= 0 else self.final

    def steps(self, count: int) -> list[tuple[int, int]]:
        """`count` steps from noise to picture, each as (timestep, next timestep), evenly spread.

        Raises:
            InputError: The count does not fit the training.
        """
        if not 1 <= count <= len(self.levels) // 2:
            raise InputError(f"steps is {count}; give 1 to {len(self.levels) // 2}, 50 is usual.")
        stride = len(self.levels) // count
        times = [number * stride + self.offset for number in reversed(range(count))]
        return [(time, time - stride) for time in times]

    def move(self, latents: torch.Tensor, noise: torch.Tensor, start: int, end: int) -> torch.Tensor:
        """Latents at the noise level of `start`, brought to that of `end`, in either direction."""
        before, after = self.level(start), self.level(end)
        picture = (latents - (1 - before) ** 0.5 * noise) / before**0.5
        return after**0.5 * picture + (1 - after) ** 0.5 * noise


def schedule_of(scheduler: Any) -> Schedule:
    """The schedule of a diffusers scheduler.

    Raises:
        InputError: It predicts something else than the noise or v.
    """
    config = scheduler.config
    predicts = config.get("prediction_type", "epsilon")
    if predicts not in ("epsilon", "v_prediction"):
        raise InputError(f"the model predicts {predicts}, but inversion needs one that predicts the noise or v.")
    levels = tuple(scheduler.alphas_cumprod.tolist())
    final = 1.0 if config.get("set_alpha_to_one") else levels[0]
    return Schedule(levels, final, config.get("steps_offset", 1) or 0, predicts == "v_prediction")
