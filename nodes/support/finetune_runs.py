"""What Fine-tuning Runs does with runs: prune, promote, and paint prompts with each of them side by side."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from PIL import Image

from ...imaging import weights
from ...imaging.masks import fit_masks
from ...imaging.stable_diffusion import load_stable_diffusion
from ...nn_layers import InputError
from ...replace import gradients
from ...training.finetune import LORA, FinetuneRun, Parts
from ...training.finetune.compare import UNTRAINED, Sheet, column_of, paint_into
from ...training.finetune.concepts import fitted
from ...training.finetune.output import checkpoints, prune
from ...training.finetune.runs import COLUMNS, line, promote
from ...training.finetune.samples import Scene
from ..host import host, writable
from ..sam3 import token_folders
from .checkpoints import checkpoint
from .views import Ui, gallery

STORED = 4  # bytes of a weight


def done(what: str, run: FinetuneRun, values: dict[str, Any]) -> str:
    """Prune or promote; what was done, as a line before the table."""
    if what == "prune":
        gone = prune(run.folder, values.get("keep", 1))
        return f"{len(gone)} checkpoints of {run.folder.name} removed.\n\n"
    if what == "promote":
        kind = "loras" if run.method == "lora" else "checkpoints"
        name = values.get("name", "") or run.folder.name.rpartition("-")[0]
        file: Path = promote(run, writable(kind, under="models"), name, values.get("step", 0))
        return f"{run.folder.name} is now models/{kind}/{file.name}.\n\n"
    return ""


def panel(runs: Sequence[FinetuneRun], pictures: dict[str, Image.Image], told: str) -> Ui:
    """What the node shows: pictures by name, one after another, and the runs as a table; `told` stands above it."""
    items = [{"name": name, "note": f"{len(runs)} run{'s' * (len(runs) > 1)}"} for name in pictures]
    rows = [
        [{"text": text, "value": _value(name, text), "best": False} for name, text in zip(COLUMNS, line(run), strict=True)]
        for run in runs
    ]  # fmt: skip
    table = {"title": "", "head": list(COLUMNS), "rows": rows, "best": told.strip(), "failed": []}
    return gallery("", items, pictures.values()) | {"visionsmith_results": [table]}


def _value(column: str, text: str) -> str | float | None:
    """What the table is sorted by."""
    match column:
        case "loss":
            return float(text) if text != "–" else None
        case "step":
            return int(text.partition("/")[0])
        case "checkpoints":
            return int(text)
    return text


def scene_of(image: torch.Tensor | None, mask: torch.Tensor | None, side: int) -> Scene | None:
    """The first picture of an IMAGE and of a MASK as what is repainted; None if there is neither.

    Raises:
        InputError: One without the other, a mask of another size, or one with nothing on it.
    """
    if image is None and mask is None:
        return None
    if image is None or mask is None:
        lacking, given = ("image", "mask") if image is None else ("mask", "image")
        raise InputError(f"{lacking} is not connected, but {given} is; connect both to repaint, or none to paint from nothing.")  # fmt: skip
    mask = fit_masks(mask, image)[:1]
    if not mask.any():
        raise InputError("mask is empty, so there is nothing to repaint; draw one in Load Image's Mask Editor.")
    with torch.inference_mode(False):
        picture = fitted(image[0, ..., :3].permute(2, 0, 1).float().clone() * 2 - 1, (side, side))
        hidden = (fitted(mask.float().clone(), (side, side)) > 0.5).float()
    return picture, hidden


def paint_runs(
    runs: Sequence[FinetuneRun], values: dict[str, Any], scene: Scene | None, watch: Callable[[float, float], None]
) -> Image.Image:
    """Prompts painted by the untouched model and by each run, from the same noise.

    Args:
        values: Of the action's inputs: `model`, `prompts`, `seed`, `resolution`, `sample_steps`, `guidance` and `negative`.

    Raises:
        InputError: No prompts, a run without a checkpoint, or one for another kind of model.
    """
    lines = values.get("prompts", "").splitlines() or [prompt for run in runs for prompt in run.prompts]
    prompts = list(dict.fromkeys(line.strip() for line in lines if line.strip()))
    if not prompts:
        raise InputError("prompts is empty, and the runs have none; write one a line.")
    for run in runs:
        run.checkpoint()  # told before anything is loaded
    known = {key: values[key] for key in ("seed", "sample_steps", "guidance", "negative") if key in values}
    models, sheet = _columns(values.get("model", ""), runs), Sheet()
    side, device = values.get("resolution", 512), host().device().type
    with gradients():
        for count in paint_into(sheet, models, prompts, scene, side, replace(LORA, **known), device):
            watch(count, len(prompts) * (len(runs) + 1))
    return sheet.draw()


def _columns(name: str, runs: Sequence[FinetuneRun]) -> Iterator[tuple[str, Parts]]:
    """The untouched model; then with each LoRA, or what DreamBooth made of it."""
    base = checkpoint(name)
    yield f"{UNTRAINED}\n{name}", _read(base)
    for run in runs:
        file, step = run.checkpoint(), max(checkpoints(run.folder))
        yield column_of(run, step), _read(base, file) if run.method == "lora" else _read(file)


def _read(path: Path, lora: Path | None = None) -> Parts:
    model = load_stable_diffusion(path, torch.float32, token_folders(), lora)
    weights.forget("stable-diffusion")
    host().free_memory(STORED * model.bytes)
    return Parts.of(model.pipeline, model.name, "")
