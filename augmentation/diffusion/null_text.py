"""Null-text optimisation: at each step, the embedding in the empty prompt's place that leads back to the picture's own latents.

Mokady et al., "Null-text Inversion for Editing Real Images using Guided Diffusion Models", 2023, algorithm 1: at step i Adam with
learning rate 1e-2 · (1 − i / 100), started from the embedding of the step before, until the squared error of the next latent falls
below epsilon + 2e-5 · i. For SDXL the pooled embedding is optimised, too. `InversionSettings.exact` does just that.

The default finds as good an embedding in a third of the time. The loss is nearly a parabola along any line, so its value at two
places and its slope tell how far to go: three such searches, along Adam's direction (with the second moments kept from one step of
DDIM to the next) made conjugate to the one before (Polak and Ribière), replace ten short steps, and fewer where they gain little. In both ways no gradient is made for the
weights, the forward pass keeps little for the backward pass, the loss is looked at before its backward pass, and the prediction
that ended the search is the one that takes the step.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from .model import DiffusionModel, Text, checked, joined

if TYPE_CHECKING:
    from .inversion import InversionSettings, Watch

RATE, GROWTH = 1e-2, 2e-5
SEARCHES = 3  # line searches at each step of DDIM, at most
FARTHEST = 16.0  # how far a search goes, in learning rates
PLATEAU = 0.03  # a search that lowers the loss by a smaller share is the last of its step
DECAY = 0.7  # of the second moments, over searches

Tensors = list[torch.Tensor]


def optimise(
    model: DiffusionModel,
    latents: torch.Tensor,
    prompt: Text,
    empty: Text,
    settings: InversionSettings,
    size: tuple[int, int],
    watch: Watch | None = None,
) -> Text:
    """The embeddings of all steps, noise first: `tokens` [steps, 77, width].

    Args:
        model: The model.
        latents: [steps + 1, 4, h, w] of `trajectory`.
        prompt: The prompt's embedding.
        empty: The empty prompt's.
        settings: Guidance, inner steps and epsilon.
        size: See `invert`.
        watch: Called with steps done, in parts, and steps in all; what it raises stops the search.
    """
    steps = model.schedule.steps(settings.steps)
    with torch.inference_mode(False), _lean(model.unet):
        latents, prompt, null = latents.clone(), _cloned(prompt), _cloned(empty)
        here, found, direction, enough = latents[-1:], [], _Direction(), True
        for number, (time, after) in enumerate(steps):
            point = _Point(model, settings, number, time, after, here, prompt, size, latents[-number - 2][None])
            tell = watch and (lambda part, at=number: watch(at + part, len(steps)))
            before = null
            null, here = point.search(null, direction, enough, tell)
            enough = null is before
            found.append(null)
    return joined(found)


@dataclass
class _Point:
    """One step of DDIM: from the latent `here` at `time` to the `wanted` one at `after`."""

    model: DiffusionModel
    settings: InversionSettings
    number: int
    time: int
    after: int
    here: torch.Tensor
    prompt: Text
    size: tuple[int, int]
    wanted: torch.Tensor

    def search(
        self, null: Text, direction: _Direction, likely: bool, tell: Callable[[float], None] | None
    ) -> tuple[Text, torch.Tensor]:
        """The best embedding that was seen, and the next latent that it leads to.

        Args:
            null: Where to start.
            direction: What was learned at earlier steps.
            likely: Look first whether the start will do, in one pass for both prompts.
            tell: Called with the share that is done.
        """
        limit = self.settings.epsilon + GROWTH * self.number
        with torch.no_grad():
            if likely:
                pair = joined([null, self.prompt])
                without, self.guided = self.model.noise(
                    self.here.expand(2, -1, -1, -1), self.time, pair, self.size
                ).split(1)
                loss, there = self.judged(without)
                if float(loss) < limit:
                    if tell:
                        tell(1)
                    return null, there
            else:
                self.guided = self.model.noise(self.here, self.time, self.prompt, self.size)
        parameters = [part.clone().requires_grad_() for part in (null.tokens, null.pooled) if part is not None]
        rate = RATE * (1 - self.number / 100)
        adam = torch.optim.Adam(parameters, lr=rate)
        steps = self.settings.inner_steps if self.settings.exact else min(SEARCHES, self.settings.inner_steps)
        direction.begin()
        best, lowest, before = None, float("inf"), float("inf")
        for step in range(steps + 1):
            with torch.set_grad_enabled(step < steps):
                loss, there = self.looked(parameters)
            value = float(loss.detach())
            if best is None or value < lowest:
                lowest, best = value, (Text(*(part.detach().clone() for part in parameters)), there.detach())
            flat = step and not self.settings.exact and value > (1 - PLATEAU) * before
            if value < limit or step == steps or flat:
                break
            before = value
            gradients = list(torch.autograd.grad(loss, parameters))
            if self.settings.exact:
                for parameter, gradient in zip(parameters, gradients, strict=True):
                    parameter.grad = gradient
                adam.step()
            else:
                self.line_search(parameters, direction.of(gradients), gradients, value, rate)
            if tell:
                tell((step + 1) / (steps + 1))
        if tell:
            tell(1)
        checked(best[0].tokens, "null-text optimisation")
        return best

    @torch.no_grad()
    def line_search(self, parameters: Tensors, move: Tensors, gradients: Tensors, loss: float, rate: float) -> None:
        """Go to the lowest point of the parabola along `move`, which is known from a try of one learning rate on average."""
        length = rate / max(float(torch.cat([part.flatten() for part in move]).abs().mean()), 1e-20)
        slope = length * _product(gradients, move)
        for parameter, part in zip(parameters, move, strict=True):
            parameter += length * part
        bend = float(self.looked(parameters)[0]) - loss - slope
        times = min(-slope / (2 * bend), FARTHEST) if bend > 0 else FARTHEST
        for parameter, part in zip(parameters, move, strict=True):
            parameter += (times - 1) * length * part

    def looked(self, parameters: Tensors) -> tuple[torch.Tensor, torch.Tensor]:
        """The loss of an embedding, and the next latent that it leads to."""
        return self.judged(self.model.noise(self.here, self.time, Text(*parameters), self.size))

    def judged(self, without: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The loss of a prediction without the prompt, and the next latent under guidance."""
        noise = without + self.settings.guidance * (self.guided - without)
        there = self.model.schedule.move(self.here, noise, self.time, self.after)
        return torch.nn.functional.mse_loss(there, self.wanted), there


class _Direction:
    """Where to search: against the gradient in units of its usual size, as in Adam, conjugate to the search before."""

    def __init__(self) -> None:
        self.moments: Tensors | None = None
        self.begin()

    def begin(self) -> None:
        """Another step of DDIM: nothing is conjugate to the searches of the step before."""
        self.last: tuple[Tensors, Tensors, Tensors] | None = None

    def of(self, gradients: Tensors) -> Tensors:
        """The direction for the gradients at a point."""
        squares = [gradient**2 for gradient in gradients]
        if self.moments is None:
            self.moments = squares
        else:
            pairs = zip(self.moments, squares, strict=True)
            self.moments = [DECAY * old + (1 - DECAY) * new for old, new in pairs]
        scaled = [g / (moment.sqrt() + 1e-12) for g, moment in zip(gradients, self.moments, strict=True)]
        move = [-part for part in scaled]
        if self.last:
            before, before_scaled, before_move = self.last
            change = [new - old for new, old in zip(gradients, before, strict=True)]
            share = max(0.0, _product(change, scaled) / max(_product(before, before_scaled), 1e-30))
            conjugate = [part + share * old for part, old in zip(move, before_move, strict=True)]
            move = conjugate if _product(gradients, conjugate) < 0 else move
        self.last = (gradients, scaled, move)
        return move


def _product(first: Tensors, second: Tensors) -> float:
    return sum(float((a * b).sum()) for a, b in zip(first, second, strict=True))


@contextmanager
def _lean(unet: Any) -> Iterator[None]:
    """Keep little of a forward pass for the backward pass, which computes the rest again."""
    before = unet.is_gradient_checkpointing
    unet.enable_gradient_checkpointing()
    try:
        yield
    finally:
        if not before:
            unet.disable_gradient_checkpointing()


def _cloned(text: Text) -> Text:
    """Tensors that autograd accepts, also of what was made under inference mode."""
    return Text(text.tokens.clone(), None if text.pooled is None else text.pooled.clone())
