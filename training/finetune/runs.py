"""Fine-tunings on disk: read one from its folder, list, compare, prune, and put a checkpoint where ComfyUI finds it."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from ...nn_layers.errors import InputError
from ...nn_layers.files import atomic
from ...nn_layers.storage import read_json
from ..run import LAST, SETTINGS, read_state
from . import kohya
from .output import FOLDER, checkpoints, need_space, smoothed, whole_folder
from .samples import contact_sheet, rounds
from .settings import FinetuneSettings, file_name

OF_RUN = "visionsmith-run.txt"  # in a promoted folder: the key of the run that it was copied from


@dataclass(frozen=True)
class FinetuneRun:
    """A fine-tuning, finished or not.

    Attributes:
        folder: settings.json, last.safetensors (to go on), metrics.csv, curves.png, checkpoints/ and samples/.
        settings: Everything that was set, for people.
        state: "running" (also after a crash or Cancel), "stopped" (by a person, who goes on with its weights) or "done".
        step: Steps that were done, as of the last save.
        curve: The loss as (step, loss), at most 1,000 points.
    """

    folder: Path
    settings: dict[str, Any]
    state: str = "running"
    step: int = 0
    seconds: float = 0.0
    curve: tuple[tuple[int, float], ...] = ()

    @classmethod
    def load(cls, folder: Path) -> FinetuneRun:
        """Read a run from its folder.

        Raises:
            InputError: The folder holds no fine-tuning.
        """
        settings = read_json(folder / SETTINGS) if (folder / SETTINGS).is_file() else {}
        if settings.get("kind") != "finetune":
            raise InputError(
                f"{folder} holds no fine-tuning; choose a folder that Train LoRA or Train DreamBooth wrote."
            )
        if not (folder / LAST).is_file():
            return cls(folder, settings)
        try:
            at = read_state(folder / LAST)
        except InputError:
            return cls(folder, settings, "damaged")
        points = tuple((step, loss) for step, loss in at["curve"]["points"])
        return cls(folder, settings, at["state"], at["step"], at["seconds"], points)

    @property
    def method(self) -> str:
        """ "lora" or "dreambooth"."""
        return self.settings["settings"]["method"]

    @property
    def prompts(self) -> tuple[str, ...]:
        """Of the sample pictures."""
        return tuple(self.settings["settings"]["prompts"])

    def checkpoint(self, step: int = 0) -> Path:
        """The file for ComfyUI of a step, or of the last one.

        Raises:
            InputError: There is none.
        """
        found = checkpoints(self.folder)
        if not found:
            raise InputError(f"{self.folder.name} has no checkpoint yet; let it train to its first save.")
        if step and step not in found:
            raise InputError(
                f"{self.folder.name} has no checkpoint of step {step}; choose from {', '.join(map(str, found))}, or 0 for the last."
            )
        return found[step or max(found)]

    def sheet(self) -> Image.Image:
        """Its sample pictures over the steps."""
        return contact_sheet(rounds(self.folder), self.prompts)

    def summary(self) -> str:
        """The run in a few lines."""
        how = self.settings["settings"]
        loss = f", loss {smoothed([value for _, value in self.curve])[-1]:.4f}" if self.curve else ""
        minutes = f", {self.seconds / 60:.1f} min" if self.seconds else ""
        kind = f"LoRA of rank {how['rank']}" if self.method == "lora" else "DreamBooth"
        return "\n".join(
            [
                f"{self.state} · step {self.step}/{how['steps']}{loss}{minutes}",
                f"{kind} on {self.settings['base']} · {self.settings['pictures']} pictures of {self.settings['dataset']}",
                f"run: {self.folder}",
                *self.settings["warnings"],
            ]
        )


def is_finished(folder: Path, key: str, settings: FinetuneSettings) -> bool:
    """Whether `folder` holds this very fine-tuning with as many steps done, and every file that is wanted."""
    if not (folder / LAST).is_file():
        return False
    run = FinetuneRun.load(folder)
    wants_folder = settings.as_folder and not settings.is_lora
    if wants_folder and not (folder / FOLDER).is_dir():
        return False
    return run.settings["key"] == key and run.step >= settings.steps and run.step in checkpoints(folder)


def list_runs(root: Path) -> list[FinetuneRun]:
    """The fine-tunings directly below `root`, the latest first."""
    runs = []
    for file in root.glob(f"*/{SETTINGS}"):
        with suppress(InputError):  # another kind of folder, or damaged settings: the other runs are still to be seen
            runs.append(FinetuneRun.load(file.parent))
    return sorted(runs, key=lambda run: -(run.folder / SETTINGS).stat().st_mtime)


COLUMNS = ("run", "method", "base", "step", "loss", "checkpoints")


def line(run: FinetuneRun) -> tuple[str, ...]:
    """What a table says of a run, in the order of `COLUMNS`; the loss is the smoothed one of the last step."""
    loss = f"{smoothed([value for _, value in run.curve])[-1]:.4f}" if run.curve else "–"
    steps = f"{run.step}/{run.settings['settings']['steps']}"
    return run.folder.name, run.method, run.settings["base"], steps, loss, str(len(checkpoints(run.folder)))


def table(runs: Sequence[FinetuneRun]) -> str:
    """The runs as a table in Markdown."""
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (COLUMNS, ["---"] * len(COLUMNS), *map(line, runs)))


def find_run(runs: Sequence[FinetuneRun], name: str) -> FinetuneRun:
    """The run of a folder or of a part of its name; the first if that is empty.

    Raises:
        InputError: None, or more than one, has that name.
    """
    wanted = name.strip().replace("\\", "/").rpartition("/")[2]
    found = [run for run in runs if run.folder.name == wanted] or [run for run in runs if wanted in run.folder.name]
    if not found or (wanted and len(found) > 1):
        known = ", ".join(run.folder.name for run in (found or runs))
        raise InputError(f"{len(found) or 'no'} runs are called {name!r}; choose one of {known}.")
    return found[0]


def promote_folder(run: FinetuneRun, folder: Path, name: str) -> Path | None:
    """Copy the run's folder of diffusers to ``folder/NAME``, with the run's key if there is one of that name; None if it has none."""
    source = run.folder / FOLDER
    if not source.is_dir():
        return None
    place, key = folder / file_name(name), str(run.settings["key"])
    if place.exists() and _key_of(place) != key:
        place = folder / f"{file_name(name)}-{key}"
    need_space(folder, sum(file.stat().st_size for file in source.rglob("*") if file.is_file()))
    if not place.exists() or place.stat().st_mtime < source.stat().st_mtime:  # of a run that was gone on with
        with whole_folder(place) as path:
            shutil.copytree(source, path, dirs_exist_ok=True)
            (path / OF_RUN).write_text(key, encoding="utf-8")
    return place


def _key_of(place: Path) -> str:
    """The key of the run that a folder of diffusers was copied from; empty if it is nobody's."""
    file = place / OF_RUN
    return file.read_text(encoding="utf-8").strip() if file.is_file() else ""


def promote(run: FinetuneRun, folder: Path, name: str, step: int = 0) -> Path:
    """Copy a checkpoint to ``folder/NAME.safetensors``; a file of that name that is not this run's is left alone, and the run's key is added.

    Raises:
        InputError: The run has no such checkpoint, or there is no space.
    """
    source = run.checkpoint(step)
    file = folder / f"{file_name(name)}.safetensors"
    key = run.settings["key"]
    if file.is_file() and kohya.header_of(file).get("run") != key:
        file = folder / f"{file_name(name)}-{key}.safetensors"
    need_space(folder, source.stat().st_size)
    with atomic(file) as path:
        shutil.copyfile(source, path)
    return file
