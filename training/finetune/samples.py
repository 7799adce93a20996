"""Pictures that a model makes while it learns: samples for people, and pictures of a class for prior preservation."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from ...nn_layers.errors import InputError
from ..pictures import save_picture
from .concepts import Concepts, load, load_mask
from .folders import pictures_in
from .masks import without_masked
from .parts import Parts
from .settings import FinetuneSettings, file_name

SAMPLERS = {
    "ddpm": ("DDPMScheduler", {}),
    "ddim": ("DDIMScheduler", {}),
    "euler": ("EulerDiscreteScheduler", {}),
    "dpm++ 2m": ("DPMSolverMultistepScheduler", {"use_karras_sigmas": True}),
}
SAMPLES = "samples"
SCENE = f"{SAMPLES}/scene.png"
"""In a run's folder: what checkpoints for inpainting repaint in their samples."""
Scene = tuple[Tensor, Tensor]
"""A picture in -1..1 and the mask of what is repainted, [3, side, side] and [1, side, side]."""


def painter(parts: Parts, sampler: str, repaints: bool = False) -> Any:
    """diffusers' pipeline of the same parts: for inpainting if the UNet was made for it, or if it is to repaint a picture.

    Raises:
        InputError: There is no such sampler.
    """
    import diffusers

    if sampler not in SAMPLERS:
        raise InputError(f"sampler is {sampler!r}; choose one of {', '.join(SAMPLERS)}.")
    name, options = SAMPLERS[sampler]
    given = {"unet": parts.unet, "vae": parts.vae, "text_encoder": parts.texts[0], "tokenizer": parts.tokenizers[0]}
    given["scheduler"] = getattr(diffusers, name).from_config(parts.scheduler.config, **options)
    kind = "Inpaint" if parts.channels == 9 or repaints else ""
    if parts.is_xl:
        given |= {"text_encoder_2": parts.texts[1], "tokenizer_2": parts.tokenizers[1], "add_watermarker": False}
        pipeline = getattr(diffusers, f"StableDiffusionXL{kind}Pipeline")(**given)
    else:
        given |= {"safety_checker": None, "feature_extractor": None, "requires_safety_checker": False}
        pipeline = getattr(diffusers, f"StableDiffusion{kind}Pipeline")(**given)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def paint(
    parts: Parts, settings: FinetuneSettings, prompt: str, side: int, seed: int, fabric, scene: Scene | None
) -> Tensor:
    """One picture, float32 [3, side, side] in 0..1.

    Args:
        scene: What is repainted; checkpoints for inpainting paint everything without one.
    """
    given: dict[str, Any] = {}
    if parts.channels == 9 or scene:
        picture, mask = scene if scene else (torch.zeros(3, side, side), torch.ones(1, side, side))
        given = {"image": picture[None], "mask_image": mask[None], "strength": 1.0}
    with torch.no_grad(), fabric.autocast():
        latents = painter(parts, settings.sampler, scene is not None)(
            prompt=prompt,
            negative_prompt=settings.negative,
            height=side,
            width=side,
            num_inference_steps=settings.sample_steps,
            guidance_scale=settings.guidance,
            generator=torch.Generator("cpu").manual_seed(seed),
            output_type="latent",
            **given,
        ).images
    return parts.decode(latents)[0].float().cpu()


@contextmanager
def on_device(parts: Parts, device: torch.device) -> Iterator[None]:
    """All networks on the device and without dropout inside the block; as they were afterwards."""
    modules = (parts.unet, parts.vae, *parts.texts)
    places = [(next(module.parameters()).device, module.training) for module in modules]
    try:
        parts.place(modules, device)
        for module in modules:
            module.eval()
        yield
    finally:
        for module, (place, trained) in zip(modules, places, strict=True):
            module.to(place)
            module.train(trained)


def sample_round(
    parts: Parts, concepts: Concepts, settings: FinetuneSettings, folder: Path, step: int, fabric
) -> tuple[Path, ...]:
    """One picture for each prompt, always from the same noise: ``samples/STEP-NUMBER.png``. What is drawn by chance elsewhere stays as it was."""
    files = []
    scene = _scene(concepts) if parts.channels == 9 else None
    if scene and settings.prompts:
        save_picture(masked_picture(scene), folder / SCENE)
    side = _side(parts, concepts.resolution)
    with torch.random.fork_rng(), on_device(parts, fabric.device):
        for number, prompt in enumerate(settings.prompts):
            picture = paint(parts, settings, prompt, side, settings.seed + number, fabric, scene)
            files.append(folder / SAMPLES / f"{step:06}-{number:02}.png")
            save_picture(_to_pil(picture), files[-1])
    return tuple(files)


def _side(parts: Parts, resolution: int) -> int:
    least = parts.multiple * 2 ** (len(parts.unet.config.block_out_channels) - 1)
    return max(least, resolution // least * least)


def _scene(concepts: Concepts) -> Scene:
    """The first picture with a mask, or the first one with its middle masked."""
    side = concepts.resolution
    _, picture = next((one for one in concepts.pictures if one[1].mask), concepts.pictures[0])
    mask = torch.zeros(1, side, side)
    mask[:, side // 4 : side * 3 // 4, side // 4 : side * 3 // 4] = 1
    return load(picture.file, (side, side)), load_mask(picture.mask, (side, side)) if picture.mask else mask


def masked_picture(scene: Scene) -> Image.Image:
    """A scene for people: what is repainted is grey."""
    picture, mask = scene
    return _to_pil(without_masked(picture, mask) / 2 + 0.5)


def _to_pil(picture: Tensor) -> Image.Image:
    return Image.fromarray((picture * 255).round().to(torch.uint8).permute(1, 2, 0).contiguous().numpy())


def rounds(folder: Path) -> dict[int, list[Path]]:
    """The sample pictures of a run by their step."""
    found: dict[int, list[Path]] = {}
    for file in sorted((folder / SAMPLES).glob("*.png")):
        if match := re.fullmatch(r"(\d+)-(\d+)", file.stem):
            found.setdefault(int(match[1]), []).append(file)
    return found


def contact_sheet(steps: dict[int, list[Path]], prompts: tuple[str, ...]) -> Image.Image:
    """Samples over the steps: a column for each prompt, a row for each step.

    Raises:
        InputError: There are none.
    """
    from ..pictures import grid

    if not steps:
        raise InputError("the run has no sample pictures; give prompts and set sample_every above 0.")
    pictures, captions = [], []
    for step, files in steps.items():
        for file in files:
            number = int(file.stem.partition("-")[2])
            pictures.append(torch.from_numpy(np.array(Image.open(file).convert("RGB"))).permute(2, 0, 1))
            captions.append(f"{step}: {prompts[number] if number < len(prompts) else file.stem}")
    return grid(pictures, captions, columns=max(len(files) for files in steps.values()), tile=256)


def with_class_pictures(concepts: Concepts, folder: Path) -> Concepts:
    """Concepts with the class pictures that were made, after those that they had."""
    filled = [
        replace(c, class_pictures=(*c.class_pictures, *pictures_in(folder / file_name(c.class_prompt), needed=False)))
        if c.class_prompt
        else c
        for c in concepts.concepts
    ]
    return replace(concepts, concepts=tuple(filled))


def make_class_pictures(
    parts: Parts, concepts: Concepts, settings: FinetuneSettings, folder: Path, fabric
) -> Iterator[tuple[int, int]]:
    """Make the class pictures that lack, in a folder for each class prompt; yields how many of them are done.

    Pictures are counted, not files; those that were made before count too. Several processes share the work.
    """
    wanted: list[tuple[str, Path, int]] = []
    for prompt in dict.fromkeys(c.class_prompt for c in concepts.concepts if c.class_prompt):
        had = min(len(c.class_pictures) for c in concepts.concepts if c.class_prompt == prompt)
        place = folder / file_name(prompt)
        numbers = range(settings.class_pictures - had)
        wanted += [(prompt, place / f"{number:04}.png", number) for number in numbers]
    lacking = [one for one in wanted if not one[1].is_file()]
    lacking = lacking[fabric.global_rank :: fabric.world_size]
    if lacking:
        side = _side(parts, concepts.resolution)
        with torch.random.fork_rng(), on_device(parts, fabric.device):
            for done, (prompt, file, number) in enumerate(lacking, 1):
                save_picture(_to_pil(paint(parts, settings, prompt, side, settings.seed + number, fabric, None)), file)
                yield done, len(lacking)
    fabric.barrier()
