"""What a fine-tuning leaves for people and for ComfyUI: files of weights, a table of the loss, a picture of it."""

from __future__ import annotations

import csv
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from PIL import Image
from safetensors import SafetensorError

from ...nn_layers.errors import InputError
from ...nn_layers.files import atomic
from ..pictures import curve_figure, render, save_picture
from ..run import CURVES, METRICS_CSV, Curve
from . import kohya
from .concepts import Concepts
from .parts import Parts
from .settings import SAVED_AS, FinetuneSettings, file_name
from .single_file import checkpoint_state

CHECKPOINTS, FOLDER = "checkpoints", "diffusers"
SPARE = 64 * 2**20
SMOOTH = 0.95


def need_space(folder: Path, size: int) -> None:
    """Refuse to go on without room for `size` bytes more.

    Raises:
        InputError: The disk has too little room.
    """
    folder.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(folder).free
    if free < size + SPARE:
        raise InputError(
            f"the disk of {folder} has {free / 2**20:,.0f} MiB left, but the next file takes {size / 2**20:,.0f} MiB; free some space and run "
            f"again, it goes on where it was."
        )


def write_checkpoint(
    parts: Parts, concepts: Concepts, settings: FinetuneSettings, folder: Path, name: str, key: str, step: int
) -> Path:
    """Write the weights as ComfyUI reads them, ``checkpoints/NAME-STEP.safetensors``, and let go of the oldest ones above `keep`."""
    dtype = SAVED_AS[settings.save_as]
    state = kohya.lora_state(parts, dtype) if settings.is_lora else checkpoint_state(parts, dtype)
    trigger = ", ".join(dict.fromkeys(concept.prompt for concept in concepts.concepts if concept.prompt))
    header = kohya.metadata(parts, _plain(settings), trigger, concepts.fingerprint, key, step)
    if not settings.is_lora:
        header = {key: value for key, value in header.items() if not key.startswith("ss_network")}
        header["modelspec.architecture"] = header["modelspec.architecture"].replace("/lora", "")
    need_space(folder, sum(tensor.nbytes for tensor in state.values()))
    file = folder / CHECKPOINTS / f"{file_name(name)}-{step:06}.safetensors"
    kohya.save(state, file, header)
    prune(folder, settings.keep)
    return file


def write_folder(parts: Parts, folder: Path) -> None:
    """Write the model as a folder that diffusers reads.

    Raises:
        InputError: The disk has too little room.
    """
    from .samples import painter

    need_space(folder.parent, sum(w.nbytes for m in (parts.unet, parts.vae, *parts.texts) for w in m.parameters()))
    with whole_folder(folder) as place:
        painter(parts, "ddim").save_pretrained(place)


@contextmanager
def whole_folder(folder: Path) -> Iterator[Path]:
    """Yield a folder beside `folder` that takes its place if the block succeeds, and goes if it does not.

    Raises:
        InputError: The disk is full or does not allow it.
    """
    part = folder.with_name(f".{folder.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    try:
        part.mkdir(parents=True)
        yield part
        shutil.rmtree(folder, ignore_errors=True)
        part.replace(folder)
    except (OSError, SafetensorError) as error:
        raise InputError(
            f"{folder} could not be written ({error}); free some space or choose another place, and run again."
        ) from error
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _plain(settings: FinetuneSettings) -> dict[str, Any]:
    return {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(settings).items()}


def checkpoints(folder: Path) -> dict[int, Path]:
    """The files for ComfyUI of a run by their step, the latest last."""
    found = {}
    for file in (folder / CHECKPOINTS).glob("*.safetensors"):
        step = file.stem.rpartition("-")[2]
        if step.isdecimal():
            found[int(step)] = file
    return dict(sorted(found.items()))


def prune(folder: Path, keep: int) -> list[Path]:
    """Remove all but the `keep` latest of them; those that were removed."""
    gone = list(checkpoints(folder).values())[:-keep]
    for file in gone:
        file.unlink(missing_ok=True)
    return gone


def write_tables(folder: Path, curve: Curve, settings: FinetuneSettings) -> None:
    """Bring metrics.csv and curves.png up to date."""
    with atomic(folder / METRICS_CSV) as path, path.open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(("step", "loss", "learning_rate"))
        writer.writerows((step, loss, settings.rate(step - 1)) for step, loss in curve.points)
    if curve.points:
        save_picture(curves_picture({"loss": curve.points}), folder / CURVES)


def curves_picture(curves: dict[str, Sequence[tuple[int, float]]]) -> Image.Image:
    """The loss over the steps of one run or several, and its running mean as a thicker line."""
    figure, axes = curve_figure(7.0, 3.6)
    for number, (name, points) in enumerate(curves.items()):
        steps, losses = zip(*points, strict=True) if points else ((), ())
        [line] = axes.plot(steps, losses, linewidth=0.8, alpha=0.35, color=f"C{number}")
        axes.plot(steps, smoothed(losses), linewidth=1.8, color=line.get_color(), label=name)
    axes.set_xlabel("step")
    axes.set_ylabel("loss")
    axes.legend(loc="upper right")
    axes.grid(alpha=0.25)
    return render(figure)


def smoothed(losses: Sequence[float]) -> list[float]:
    """The running mean of losses, which jump from step to step with the level of noise; corrected for its start as Adam's are."""
    mean, found = 0.0, []
    for number, loss in enumerate(losses, 1):
        mean = SMOOTH * mean + (1 - SMOOTH) * loss
        found.append(mean / (1 - SMOOTH**number))
    return found
