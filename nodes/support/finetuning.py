"""What the nodes for fine-tuning share: a model of their own, a training with everything a person wants to see on the way, its pictures."""

from __future__ import annotations

import math
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from PIL import Image

from ...imaging import weights
from ...imaging.stable_diffusion import load_stable_diffusion
from ...replace import gradients
from ...training.finetune import Concepts, FinetuneRun, FinetuneSettings, Parts, Step, finetune
from ...training.finetune.concepts import preview
from ...training.finetune.kohya import fingerprint_of
from ...training.finetune.output import curves_picture
from ...training.finetune.runs import is_finished
from ...training.finetune.samples import contact_sheet, rounds
from ...training.finetune.settings import check, folder_name, run_key
from ...training.pictures import grid
from ..host import host, image_from_pil, writable
from ..sam3 import token_folders
from .charts import finetune_chart
from .checkpoints import checkpoint
from .live import Live

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
    live = LiveFinetuning(node, concepts, settings, folder)
    if not is_finished(folder, key, settings):
        with live, gradients():
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


class LiveFinetuning(Live):
    """A fine-tuning, told by `finetune`; its samples are shown in the node."""

    def __init__(self, node: type, concepts: Concepts, settings: FinetuneSettings, folder: Path):
        samples = settings.batch_size * settings.accumulate
        super().__init__(node, "loss", samples, folder)
        self.per_epoch = max(1, len(concepts)) / samples  # steps
        self.prompts = settings.prompts

    def update(self, step: Step) -> None:
        """Take one step, and ask it to stop if a person wants that; raises the host's interrupt if the user pressed Cancel."""
        last = step.stage == "train" and step.step >= step.steps
        if step.stage == "sample" and step.samples:
            one = len(step.samples) == 1
            shown = Image.open(step.samples[0]) if one else contact_sheet({step.step: [*step.samples]}, self.prompts)
            host().show(self.node_id, shown, step.step, step.steps)
        if not (self.due or last):
            return
        step.stop = self.stopping
        if step.stage == "prepare":
            self.prepare(step.step, step.steps)
            return
        epochs = math.ceil(step.steps / self.per_epoch)
        self.tell(step.step, step.steps, int(step.step / self.per_epoch) + 1, epochs, step.loss, step.stage)


def samples_of(run: FinetuneRun) -> tuple[torch.Tensor, torch.Tensor, dict[str, Any]]:
    """The last samples and the curve as IMAGEs, and the chart of the node."""
    found = rounds(run.folder)
    files = found[max(found)] if found else []
    samples = torch.cat([image_from_pil(Image.open(file)) for file in files]) if files else torch.zeros(1, 64, 64, 3)
    curve = curves_picture({"loss": run.curve}) if run.curve else Image.new("RGB", (64, 64))
    return samples, image_from_pil(curve), finetune_chart(run)


def picture_of(concepts: Concepts) -> Image.Image:
    """The first pictures with their captions."""
    return grid(*preview(concepts), columns=4, tile=224)
