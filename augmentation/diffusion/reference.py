"""A defect after a real example, without training: inside a mask, the picture looks at the example's own features.

The idea of O2MAG: a normal picture, a picture with the defect, and their mixture are taken from noise side by side. In self-attention,
what lies inside the mask reads the keys and values of the real defect, and what lies outside reads those of the normal picture.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch.nn import functional

from ...nn_layers.errors import InputError
from .attention import Layer, attending, plain
from .editing import Edited
from .inversion import Inversion, Watch
from .model import DiffusionModel, checked, joined

NORMAL, EXAMPLE = 0, 1  # rows of the batch; the mixture, without and with its prompt, has the others


@dataclass(frozen=True)
class ReferenceSettings:
    """How to follow an example.

    Attributes:
        prompt: Of the result; empty for the example's own.
        guidance: How strongly the prompt is followed.
        start: Share of the steps before the example is looked at; until then the mixture finds its layout.
        noise: Share of the example's noise inside the mask at the start; the rest is the picture's own.
    """

    prompt: str = ""
    guidance: float = 5.0
    start: float = 0.5
    noise: float = 1.0


@dataclass
class FromExample:
    """Attention of three: rows `NORMAL`, `EXAMPLE`, and the mixture."""

    target: torch.Tensor  # [1, 1, h, w] of latents, where the defect shall be
    shown: torch.Tensor  # [1, 1, h, w], where the example has it
    active: bool = True

    def attend(self, layer: Layer, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> torch.Tensor | None:
        if layer.is_cross or not self.active:
            return None
        inside, visible = (_at(plane, query.shape[2]) for plane in (self.target, self.shown))
        out = plain(query, key, value)
        mixed = query[2:]
        from_defect = plain(
            mixed, _of(key, EXAMPLE, mixed), _of(value, EXAMPLE, mixed), attn_mask=visible[None, None, None]
        )
        from_normal = plain(mixed, _of(key, NORMAL, mixed), _of(value, NORMAL, mixed))
        out[2:] = torch.where(inside[None, None, :, None], from_defect, from_normal)
        return out


def edit_from_example(
    model: DiffusionModel,
    picture: Inversion,
    example: Inversion,
    target: torch.Tensor,
    shown: torch.Tensor,
    settings: ReferenceSettings = ReferenceSettings(),
    watch: Watch | None = None,
) -> Edited:
    """Paint the defect of an example into a picture.

    Args:
        model: The model that inverted both.
        picture: A picture without the defect, inverted.
        example: A picture with it, inverted at the same size and with the same steps.
        target: [h, w] in 0..1, where the defect shall be.
        shown: [h, w] in 0..1, where it is in the example.
        settings: How.
        watch: Called with steps done and steps in all; what it raises stops the edit.

    Raises:
        InputError: The inversions do not belong together, or a mask is empty.
    """
    _check(model, picture, example, target, shown)
    source, real = picture.latents.to(model.device), example.latents.to(model.device)
    grid = source.shape[2:]
    inside, visible = (_plane(mask, grid, model.device) for mask in (target, shown))
    control = FromExample(inside, visible)
    prompts = model.encode_text([picture.prompt, example.prompt, "", settings.prompt or example.prompt])
    steps = model.schedule.steps(picture.settings.steps)
    mixture = source[-1:] + inside * settings.noise * (_moved(real[-1:], visible, inside) - source[-1:])
    with torch.no_grad(), attending(model.unet, picture.settings.residual, control):
        for step, (time, after) in enumerate(steps):
            control.active = step >= int(settings.start * len(steps))
            latents = torch.cat([source[-step - 1][None], real[-step - 1][None], mixture, mixture])
            noise = model.noise(latents, time, joined([prompts]), picture.size)
            guided = noise[2:3] + settings.guidance * (noise[3:] - noise[2:3])
            mixture = model.schedule.move(mixture, guided, time, after)
            mixture = torch.lerp(source[-step - 2][None], mixture, inside)
            if watch:
                watch(step + 1, len(steps))
    images = model.decode(torch.cat([checked(mixture, "the edit"), source[:1]]))
    attention = functional.interpolate(inside, images.shape[1:3], mode="bilinear")[0].cpu()
    return Edited(images[:1], attention, images[1])


def _check(
    model: DiffusionModel, picture: Inversion, example: Inversion, target: torch.Tensor, shown: torch.Tensor
) -> None:
    if {picture.model, example.model} != {model.fingerprint}:
        raise InputError(
            f"the inversions were made with another model than {model.stable.name}; invert both pictures with this one."
        )
    if picture.latents.shape != example.latents.shape or picture.settings.residual != example.settings.residual:
        raise InputError(
            "the picture and the example were inverted at different sizes or with different settings; use the same for both."
        )
    for name, mask in (("mask", target), ("example_mask", shown)):
        if not bool((mask > 0.5).any()):
            raise InputError(
                f"{name} is empty; mark where the defect {'shall be' if mask is target else 'is in the example'}."
            )


def _plane(mask: torch.Tensor, grid: torch.Size, device: torch.device) -> torch.Tensor:
    """A mask as latents see it, [1, 1, h, w]: 1 wherever it covers any of a place."""
    return functional.adaptive_max_pool2d(mask[None, None].float().to(device), grid).round()


def _moved(noise: torch.Tensor, start: torch.Tensor, end: torch.Tensor) -> torch.Tensor:
    """Noise shifted so that the middle of one mask comes to the middle of another."""
    middles = [torch.nonzero(plane[0, 0]).float().mean(0) for plane in (start, end)]
    rows, columns = (int(shift) for shift in (middles[1] - middles[0]).round().tolist())
    return noise.roll((rows, columns), (2, 3))


def _at(plane: torch.Tensor, places: int) -> torch.Tensor:
    """A plane [1, 1, h, w] of 0 and 1 for a layer with so many places, boolean [places]; never quite empty."""
    height, width = plane.shape[2:]
    scale = round((height * width / places) ** 0.5)
    size = (-(-height // scale), -(-width // scale))
    return functional.adaptive_max_pool2d(plane, size).flatten() > 0


def _of(part: torch.Tensor, row: int, like: torch.Tensor) -> torch.Tensor:
    return part[row : row + 1].expand(len(like), -1, -1, -1)
