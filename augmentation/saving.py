"""A dataset written to disk: pictures, masks, and for each synthetic picture a file that says how it was made."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from ..nn_layers.errors import InputError
from ..nn_layers.files import atomic
from ..training.dataset import Dataset
from ..training.segmentation.masks import Color, whole_palette
from .dataset import AugmentedSamples
from .scene import OnProgress

ABOUT = "dataset.json"
FORMAT = 1


def save_dataset(dataset: Dataset, folder: Path, on_progress: OnProgress | None = None) -> Path:
    """Write every split as images/SPLIT and masks/SPLIT, which `masked_folder` reads, and provenance/SPLIT/NAME.json per synthetic picture.

    Pictures are PNG, masks palette PNG of class numbers. Everything is written beside the folder first and renamed at the end. A folder
    that holds this very dataset is left as it is.

    Raises:
        InputError: The folder holds something else, or cannot be written.
    """
    watch = on_progress or (lambda done, count: None)
    if (folder / ABOUT).is_file() and _fingerprint(folder / ABOUT) == dataset.fingerprint:
        return folder
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(f"{folder.name} already holds other files; give another folder, or remove them.")
    temporary = folder.with_name(f".{folder.name}.{os.getpid()}.part")
    count, done = sum(map(len, dataset.splits.values())), 0
    try:
        for split in dataset.splits:
            for index in range(len(dataset.split(split))):
                _write(dataset, split, index, temporary)
                done += 1
                watch(done, count)
        about = {
            "format": FORMAT,
            "name": dataset.name,
            "classes": dataset.classes,
            "colors": dataset.colors,
            "fingerprint": dataset.fingerprint,
            "settings": [asdict(s.settings) for s in dataset.splits.values() if isinstance(s, AugmentedSamples)],
        }
        with atomic(temporary / ABOUT) as path:
            path.write_text(json.dumps(about, indent=1), encoding="utf-8")
        if folder.exists():
            folder.rmdir()
        temporary.rename(folder)
    except OSError as error:
        raise InputError(
            f"{folder} could not be written ({error.strerror or error}); choose another folder."
        ) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return folder


def provenance(samples: AugmentedSamples, index: int) -> dict[str, Any]:
    """How a synthetic sample was made: its original, seed, and for each new defect class, method, place and what was drawn by chance."""
    recipe = samples.recipes[index - len(samples.base)]
    made = samples.made(index)
    return {
        "source": samples.base.name(recipe.base),
        "seed": list(recipe.seed),
        "defects": [
            {
                "class": samples.bank.classes[number],
                "method": how,
                "kind": patch.kind,
                "top": patch.top,
                "left": patch.left,
                "height": patch.mask.shape[0],
                "width": patch.mask.shape[1],
                "area": int(patch.mask.sum()),
                "parameters": dict(patch.parameters),
            }
            for patch, (number, how) in zip(made.patches, recipe.defects, strict=True)
        ],
    }


def _write(dataset: Dataset, split: str, index: int, folder: Path) -> None:
    samples = dataset.split(split)
    synthetic = isinstance(samples, AugmentedSamples) and index >= len(samples.base)
    name = f"{index:05d}_{'synthetic' if synthetic else 'original'}"
    picture = samples[index].permute(1, 2, 0).numpy()
    save_png(picture, folder / "images" / split / f"{name}.png")
    save_png(samples.mask(index).numpy(), folder / "masks" / split / f"{name}.png", dataset.colors)
    if synthetic:
        with atomic(folder / "provenance" / split / f"{name}.json") as path:
            path.write_text(json.dumps(provenance(samples, index), indent=1), encoding="utf-8")


def save_png(values: np.ndarray, file: Path, colors: Sequence[Color] = ()) -> None:
    """A picture uint8 [height, width, 1 | 3], or with `colors` a mask uint8 [height, width] as a palette picture of class numbers."""
    image = Image.fromarray(
        np.ascontiguousarray(values[..., 0] if values.ndim == 3 and values.shape[2] == 1 else values)
    )
    if colors:
        image.putpalette(whole_palette(colors))
    with atomic(file) as path:
        image.save(path, "PNG")


def _fingerprint(file: Path) -> str:
    try:
        about = json.loads(file.read_text(encoding="utf-8"))
        return str(about["fingerprint"]) if about["format"] == FORMAT else ""
    except (OSError, ValueError, KeyError, TypeError):
        return ""
