"""From a picture to the noise that a model turns back into it.

- "direct" (Ju et al., "PnP Inversion: Boosting Diffusion-based Editing with 3 Lines of Code", 2024): DDIM inversion, whose latents are
  kept; an edit puts its source branch back on them after every step.
- "null-text" (Mokady et al., "Null-text Inversion for Editing Real Images using Guided Diffusion Models", 2023).
- "negative-prompt" (Miyake et al., "Negative-prompt Inversion", 2023): the prompt takes the place of the empty prompt. A draft.
- "plain": DDIM inversion and nothing else, to compare with.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch

from ...nn_layers.errors import InputError
from ...nn_layers.files import atomic
from .attention import Residual, attending
from .model import DiffusionModel, Text, checked

METHODS = ("direct", "null-text", "negative-prompt", "plain")
Watch = Callable[[float, float], None]


@dataclass(frozen=True)
class InversionSettings:
    """How to invert.

    Attributes:
        method: One of `METHODS`.
        steps: DDIM steps.
        guidance: For null-text: the guidance that edits will have. The other methods work for every guidance.
        inner_steps: For null-text: steps of Adam at each step of DDIM, at most.
        epsilon: For null-text: the loss at which to stop, in the first step; it grows by 2e-5 a step.
        exact: For null-text: Adam as published, which takes about three times as long.
        residual: RLI.
    """

    method: str = METHODS[0]
    steps: int = 50
    guidance: float = 7.5
    inner_steps: int = 10
    epsilon: float = 1e-5
    exact: bool = False
    residual: Residual = field(default_factory=Residual)

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise InputError(f"method is {self.method!r}; choose one of {', '.join(METHODS)}.")


@dataclass(frozen=True)
class Inversion:
    """An inverted picture, on the processor.

    Attributes:
        latents: [steps + 1, 4, h, w], from the picture to noise.
        prompt: What the picture shows.
        size: (height, width) in pixels that the picture had before it was scaled.
        model: Fingerprint of the model.
        settings: How it was made.
        unconditional: For null-text: [steps, 77, width], what stands for the empty prompt at each step, noise first.
        pooled: The same of SDXL's pooled embedding, [steps, width].
    """

    latents: torch.Tensor
    prompt: str
    size: tuple[int, int]
    model: str
    settings: InversionSettings
    unconditional: torch.Tensor | None = None
    pooled: torch.Tensor | None = None

    def null(self, step: int, empty: Text, prompt: Text) -> Text:
        """What stands for the empty prompt at a step, given both prompts as embeddings."""
        match self.settings.method:
            case "negative-prompt":
                return prompt
            case "null-text":
                pooled = None if self.pooled is None else self.pooled[step : step + 1].to(empty.tokens)
                return Text(self.unconditional[step : step + 1].to(empty.tokens), pooled)
        return empty


def invert(
    model: DiffusionModel,
    image: torch.Tensor,
    prompt: str,
    settings: InversionSettings = InversionSettings(),
    size: tuple[int, int] | None = None,
    watch: Watch | None = None,
) -> Inversion:
    """Invert one picture.

    Args:
        model: The model.
        image: [height, width, 3] in 0..1, sides multiples of `model.multiple`.
        prompt: What it shows.
        settings: How.
        size: (height, width) before it was scaled to the model; its own if it was not.
        watch: Called with steps done and steps in all; what it raises stops the inversion.

    Raises:
        InputError: The picture or the prompt does not fit the model.
    """
    size = size or (int(image.shape[0]), int(image.shape[1]))
    model.check_ordinary()
    check_image(model, image)
    total = settings.steps * (2 if settings.method == "null-text" else 1)
    with attending(model.unet, settings.residual):
        start = model.encode(image[None])
        empty, text = model.encode_text([""]), model.encode_text([prompt])
        latents = trajectory(model, start, text, settings.steps, size, watch and (lambda done, _: watch(done, total)))
        unconditional = pooled = None
        if settings.method == "null-text":
            from .null_text import optimise

            nulls = optimise(model, latents, text, empty, settings, size, watch and (lambda done, _: watch(settings.steps + done, total)))  # fmt: skip
            unconditional, pooled = nulls.tokens.cpu(), None if nulls.pooled is None else nulls.pooled.cpu()
    return Inversion(latents.cpu(), prompt, size, model.fingerprint, settings, unconditional, pooled)


@torch.no_grad()
def trajectory(
    model: DiffusionModel,
    start: torch.Tensor,
    text: Text,
    steps: int,
    size: tuple[int, int],
    watch: Watch | None = None,
) -> torch.Tensor:
    """DDIM inversion at guidance 1: latents [steps + 1, 4, h, w] from the picture's, `start` [1, 4, h, w], to noise."""
    found = [start]
    for done, (time, before) in enumerate(reversed(model.schedule.steps(steps)), 1):
        noise = model.noise(found[-1], time, text, size)
        found.append(model.schedule.move(found[-1], noise, before, time))
        if watch:
            watch(done, steps)
    return checked(torch.cat(found), "the UNet")


def check_image(model: DiffusionModel, image: torch.Tensor) -> None:
    """Whether a picture [height, width, 3] can be inverted as it is.

    Raises:
        InputError: Its values are no numbers, or its sides are no multiples of what the model takes.
    """
    if image.ndim != 3 or image.shape[2] != 3:
        raise InputError(f"the picture has the shape {tuple(image.shape)}; give one of height × width × 3.")
    if not bool(torch.isfinite(image).all()):
        raise InputError(
            "the picture holds values that are no numbers (NaN or infinite); look at the node that made it."
        )
    height, width = image.shape[:2]
    if height % model.multiple or width % model.multiple or not image.numel():
        raise InputError(
            f"the picture is {width} × {height} pixels, but the model takes multiples of {model.multiple}; prepare it first."
        )


def key_of(
    model: DiffusionModel, image: torch.Tensor, prompt: str, settings: InversionSettings, size: tuple[int, int]
) -> str:
    """The name under which an inversion is kept: another picture, prompt, model or setting gives another."""
    digest = hashlib.sha256(image.detach().cpu().contiguous().float().numpy().tobytes())
    digest.update(
        json.dumps(
            [model.fingerprint, str(model.unet.dtype), prompt, list(image.shape), size, _relevant(settings)]
        ).encode()
    )
    return digest.hexdigest()[:24]


def _relevant(settings: InversionSettings) -> dict[str, object]:
    """The settings that change the result of a method."""
    values = asdict(settings)
    if settings.method != "null-text":
        for name in ("guidance", "inner_steps", "epsilon", "exact"):
            values.pop(name)
    return values


def save(inversion: Inversion, path: Path) -> None:
    """Keep an inversion as a .safetensors file."""
    from safetensors.torch import save_file

    tensors = {"latents": inversion.latents, "unconditional": inversion.unconditional, "pooled": inversion.pooled}
    told = {
        "format": "visionsmith inversion 1",
        "prompt": inversion.prompt,
        "size": json.dumps(inversion.size),
        "model": inversion.model,
        "settings": json.dumps(asdict(inversion.settings)),
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic(path) as part:
        save_file({name: t.contiguous() for name, t in tensors.items() if t is not None}, part, told)


def load(path: Path) -> Inversion:
    """Read what `save` wrote.

    Raises:
        InputError: The file is damaged or holds something else.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "pt") as file:
            told = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  it is no dictionary
        values = json.loads(told["settings"])
        settings = InversionSettings(**{**values, "residual": Residual(**values["residual"])})
        return Inversion(
            checked(tensors["latents"], path.name),
            told["prompt"],
            tuple(json.loads(told["size"])),
            told["model"],
            settings,
            tensors.get("unconditional"),
            tensors.get("pooled"),
        )
    except (SafetensorError, OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{path.name} is no inversion, or a damaged one ({error}); delete it and invert again."
        ) from error
