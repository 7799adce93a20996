"""Puts on disk where a fine-tuning stands, so that nothing which was learned is lost: not to Cancel, a crash, a full disk or a broken loss."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ..checkpoint import load_checkpoint, save_checkpoint
from ..run import LAST, SETTINGS, Curve, read_state
from .concepts import Concepts
from .output import FOLDER, need_space, write_checkpoint, write_folder, write_tables
from .parts import Parts
from .settings import FinetuneSettings

EVERY_SECONDS = 60.0
SHARE = 0.01  # of the time, at most, goes into saving between two checkpoints, however large the network
COPIES = 3  # of the weights are in a state: themselves and AdamW's two averages


@dataclass
class At:
    """How far it has come: optimizer steps, the loss by step, and seconds."""

    step: int = 0
    curve: Curve = field(default_factory=Curve)
    seconds: float = 0.0


@dataclass
class Keeper:
    """Saves a fine-tuning in its folder; of several processes, only the one that leads does.

    Attributes:
        holder: A module whose state is just what is trained.
        unsaved: Whether steps were taken that are not on disk.
    """

    folder: Path
    name: str
    key: str
    parts: Parts
    concepts: Concepts
    settings: FinetuneSettings
    holder: nn.Module
    optimizer: torch.optim.Optimizer
    leads: bool
    at: At = field(default_factory=At)
    unsaved: bool = False
    _saved: float = field(default_factory=time.monotonic)
    _took: float = 0.0

    def resume(self) -> None:
        """Go to where the fine-tuning in the folder stands if it is this one; otherwise its state makes room."""
        file = self.folder / LAST
        if file.is_file() and (self.folder / SETTINGS).is_file() and read_state(file).get("key") == self.key:
            state = load_checkpoint(file, self.holder, self.optimizer, None)
            self.at = At(state["step"], Curve(**state["curve"]), state["seconds"])
        elif self.leads:
            file.unlink(missing_ok=True)

    def due(self, step: int) -> bool:
        """Whether `step` is one after which something is saved."""
        waited = time.monotonic() - self._saved > max(EVERY_SECONDS, self._took / SHARE)
        return step % self.settings.save_every == 0 or step >= self.settings.steps or waited

    def save(self) -> None:
        """After a step that is due: where it stands, and the files for ComfyUI where it is their turn.

        Raises:
            InputError: There is no space; `keep` saves what this did not.
        """
        last = self.at.step >= self.settings.steps
        if last or self.at.step % self.settings.save_every == 0:
            self.write_files()
        self._write_state("done" if last else "running")

    def keep(self) -> None:
        """When it ends before its last step: where it stands, and a LoRA also as a file for ComfyUI."""
        if self.unsaved:
            self._write_state("running")
            if self.settings.is_lora:
                self.write_files()

    def stop(self) -> None:
        """When a person ends it before its last step: every file as it would be at the end, and where it stands."""
        self.write_files(ends=True)
        self._write_state("stopped")

    def finish(self) -> None:
        """Where there is nothing left to train: the files that were not written yet."""
        self.write_files()
        self._write_state("done")

    def write_files(self, ends: bool = False) -> None:
        """The weights as ComfyUI reads them and, of a whole model at its end, as a folder of diffusers."""
        if not self.leads:
            return
        write_checkpoint(self.parts, self.concepts, self.settings, self.folder, self.name, self.key, self.at.step)
        ends = ends or self.at.step >= self.settings.steps
        if ends and self.settings.as_folder and not self.settings.is_lora:
            write_folder(self.parts, self.folder / FOLDER)

    def _write_state(self, state: str) -> None:
        began = time.monotonic()
        if self.leads:
            need_space(self.folder, COPIES * sum(weight.nbytes for weight in self.holder.parameters()))
            described: dict[str, Any] = {"key": self.key, "state": state, "step": self.at.step}
            described |= {"curve": asdict(self.at.curve), "seconds": self.at.seconds}
            save_checkpoint(self.folder / LAST, self.holder, self.optimizer, None, described)
            write_tables(self.folder, self.at.curve, self.settings)
        self.unsaved, self._saved = False, time.monotonic()
        self._took = self._saved - began
