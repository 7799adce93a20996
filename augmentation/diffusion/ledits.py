"""LEDITS++ (Brack et al., "LEDITS++: Limitless Image Editing using Text-to-Image Models", 2024), as diffusers has it.

Inversion and edit belong together there: the noise of a second-order stochastic solver is stored, and concepts are added to or taken
from the picture by guidance of their own, inside masks that the model finds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from PIL import Image

from ...nn_layers.errors import InputError
from .control import kept_scale
from .inversion import Watch
from .model import DiffusionModel

SIDE = 32  # pixels: diffusers takes multiples of it


@dataclass(frozen=True)
class LeditsSettings:
    """How to edit.

    Attributes:
        steps: Steps of the solver.
        skip: Share of the noisiest steps that are left out: more keeps more of the picture.
        guidance: How strongly the new concept is brought in.
        threshold: Share of the picture that stays out of the concept's mask.
        remove: A concept that is taken away meanwhile, such as the old defect; empty for none.
        seed: Of the noise.
    """

    steps: int = 50
    skip: float = 0.15
    guidance: float = 7.5
    threshold: float = 0.9
    remove: str = ""
    seed: int = 0


def edit_with_ledits(
    model: DiffusionModel,
    image: torch.Tensor,
    concepts: Sequence[str],
    settings: LeditsSettings = LeditsSettings(),
    watch: Watch | None = None,
) -> torch.Tensor:
    """A picture with each of some concepts, [concepts, height, width, 3].

    Args:
        model: The model.
        image: [height, width, 3] in 0..1, sides multiples of 32.
        concepts: Words, one for each result.
        settings: How.
        watch: Called with results done and results in all, and in the course of each; what it raises stops the edit.

    Raises:
        InputError: diffusers has no LEDITS++, or the picture does not fit.
    """
    model.check_ordinary()
    height, width = image.shape[:2]
    if height % SIDE or width % SIDE:
        raise InputError(
            f"the picture is {width} × {height} pixels, but LEDITS++ takes multiples of {SIDE}; scale it first."
        )
    pipeline = _pipeline(model)
    before = model.unet.attn_processors
    array = (image.detach().cpu().clamp(0, 1) * 255).round().to(torch.uint8).numpy()
    words = [[concept, settings.remove] if settings.remove else [concept] for concept in concepts]
    try:
        generator = torch.Generator(model.device).manual_seed(settings.seed)
        steps = round(settings.steps * (1 - settings.skip))
        pipeline.invert(Image.fromarray(array), num_inversion_steps=steps, skip=settings.skip, generator=generator)
        results = []
        for number, concept in enumerate(words):

            def on_step(_: Any, step: int, __: Any, given: dict[str, Any], number: int = number) -> dict[str, Any]:
                if watch:
                    watch(number + (step + 1) / steps, len(words))
                return given

            result = pipeline(
                editing_prompt=concept,
                reverse_editing_direction=[False, True][: len(concept)],
                edit_guidance_scale=[settings.guidance] * len(concept),
                edit_threshold=[settings.threshold] * len(concept),
                use_intersect_mask=kept_scale(model.unet.config.down_block_types)
                == 4,  # diffusers looks for maps of that size
                generator=generator,
                callback_on_step_end=on_step,
                output_type="pt",
            )
            results.append(result.images[0].float().cpu().movedim(0, 2))
    finally:
        model.unet.set_attn_processor(before)
    return torch.stack(results).clamp(0, 1)


def _pipeline(model: DiffusionModel) -> Any:
    """diffusers' pipeline around the loaded parts."""
    import diffusers

    name = "LEditsPPPipelineStableDiffusionXL" if model.stable.is_xl else "LEditsPPPipelineStableDiffusion"
    kind = getattr(diffusers, name, None)
    if kind is None:
        raise InputError("this diffusers has no LEDITS++; pip install -U diffusers, or choose another method.")
    parts = dict(model.stable.pipeline.components)
    parts["scheduler"] = diffusers.DPMSolverMultistepScheduler.from_config(
        parts["scheduler"].config, algorithm_type="sde-dpmsolver++", solver_order=2
    )
    if not model.stable.is_xl:
        parts |= {"safety_checker": None, "feature_extractor": None, "requires_safety_checker": False}
        parts.pop("image_encoder", None)
    pipeline = kind(**parts)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline
