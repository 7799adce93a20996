"""What the nodes for fine-tuning share: a model of their own, a training with everything a person wants to see on the way, its pictures."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from typing import Any

import torch
from PIL import Image

from ...imaging import weights
from ...imaging.stable_diffusion import load_stable_diffusion
from ...nn_layers import InputError
from ...replace import gradients
from ...training.finetune import Concepts, FinetuneRun, FinetuneSettings, Parts, Step, finetune
from ...training.finetune.concepts import preview
from ...training.finetune.kohya import fingerprint_of
from ...training.finetune.output import curves_picture
from ...training.finetune.runs import is_finished
from ...training.finetune.samples import rounds
from ...training.finetune.settings import check, folder_name, run_key
from ...training.pictures import grid
from ..host import UPDATES_PER_SECOND, host, image_from_pil, writable
from ..sam3 import token_folders
from .checkpoints import checkpoint

STORED = 4  # bytes of a weight on the CPU


def train(node: type, model: str, concepts: Concepts, name: str, settings: FinetuneSettings) -> FinetuneRun:
    """Fine-tune in a folder of the run's own below the output folder, or find there what is done already."""
    path = checkpoint(model)
    if settings.device == "auto":
        settings = replace(settings, device=host().device().type)
    devices, nodes = host().devices()
    settings = replace(settings, devices=devices, nodes=nodes)
    check(settings, concepts, 4)  # before a large file is read
    fingerprint = fingerprint_of(path)
    key = run_key(fingerprint, concepts, settings)
    folder = writable(f"finetune/{folder_name(name, key)}")
    if not is_finished(folder, key, settings):
        live = _Live(node, concepts, settings)
        with gradients():
            parts = own_parts(path, fingerprint)
            classes = writable(f"finetune/classes/{fingerprint[:10]}")
            with closing(finetune(parts, concepts, settings, folder, name, classes)) as steps:
                for step in steps:
                    live.update(step)
    return FinetuneRun.load(folder)


def own_parts(path: Any, fingerprint: str) -> Parts:
    """The networks of a checkpoint, which nobody else holds: a training changes them. Room for them is made."""
    model = load_stable_diffusion(path, torch.float32, token_folders())
    weights.forget("stable-diffusion")
    host().free_memory(STORED * model.bytes)
    return Parts.of(model.pipeline, model.name, fingerprint)


class _Live:
    """Moves the bar, draws the chart and shows samples; looks for Cancel at every step."""

    def __init__(self, node: type, concepts: Concepts, settings: FinetuneSettings):
        self.node_id = node.hidden.unique_id
        self.epoch = max(1, len(concepts)) / (settings.batch_size * settings.accumulate)  # steps of it
        self.sent = 0.0
        self.first: tuple[int, float] | None = None

    def update(self, step: Step) -> None:
        """Take one step of the training; raises the host's interrupt if the user pressed Cancel."""
        host().check_interrupt()
        if step.stage == "sample" and step.samples:
            host().show(self.node_id, Image.open(step.samples[0]), step.step, step.steps)
        now, begins = time.monotonic(), step.stage == "train" and self.first is None
        if begins:
            self.first = step.step, now
        if now - self.sent < 1 / UPDATES_PER_SECOND and step.step < step.steps and not begins:
            return
        self.sent = now
        host().progress(self.node_id, step.step, step.steps)
        if step.stage != "train":
            host().text(self.node_id, f"{step.stage} {step.step}/{step.steps}")
            return
        loss, (first, began) = float(step.loss), self.first or (step.step, now)
        left = (now - began) / max(1, step.step - first) * (step.steps - step.step)
        epochs = max(1.0, step.steps / self.epoch)
        host().text(self.node_id, f"step {step.step}/{step.steps} · loss {loss:.4f}")
        message = {"node": self.node_id, "state": "running", "step": step.step, "steps": step.steps}
        message |= {"epoch": int(step.step / self.epoch) + 1, "epochs": round(epochs), "lr": step.rate, "eta": left}
        point = [step.step / step.steps * round(epochs), loss, None, None]
        host().send("visionsmith.train", {**message, "metric": "loss", "points": [point]})


def samples_of(run: FinetuneRun) -> tuple[torch.Tensor, torch.Tensor, dict[str, Any]]:
    """The last samples and the curve as IMAGEs, and the chart of the node."""
    found = rounds(run.folder)
    files = found[max(found)] if found else []
    samples = torch.cat([image_from_pil(Image.open(file)) for file in files]) if files else torch.zeros(1, 64, 64, 3)
    how = run.settings["settings"]
    epochs = max(1, round(how["steps"] * how["batch_size"] * how["accumulate"] / max(1, run.settings["pictures"])))
    points = [[step / max(1, run.step) * epochs, loss, None, None] for step, loss in run.curve]
    chart = {"state": f"{run.state}, step {run.step}", "metric": "loss", "best": 0, "steps": run.step, "epochs": epochs}
    curve = curves_picture({"loss": run.curve}) if run.curve else Image.new("RGB", (64, 64))
    return samples, image_from_pil(curve), {**chart, "points": points}


def picture_of(concepts: Concepts) -> Image.Image:
    """The first pictures with their captions."""
    return grid(*preview(concepts), columns=4, tile=224)


def run_of(runs: Sequence[FinetuneRun], name: str) -> FinetuneRun:
    """The run of a folder or of a part of its name; the latest if that is empty.

    Raises:
        InputError: None, or more than one, has that name.
    """
    wanted = name.strip().replace("\\", "/").rpartition("/")[2]
    found = [run for run in runs if run.folder.name == wanted] or [run for run in runs if wanted in run.folder.name]
    if not found or (wanted and len(found) > 1):
        known = ", ".join(run.folder.name for run in (found or runs))
        raise InputError(f"{len(found) or 'no'} runs are called {name!r}; choose one of {known}.")
    return found[0]
