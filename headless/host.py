"""What nodes reach through `nodes.host` when there is no ComfyUI: folders on disk, a progress bar in the terminal."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, Protocol

import torch
from PIL import Image

from ..nn_layers.errors import InputError


class Display(Protocol):
    """Where progress is shown."""

    def progress(self, node_id: str, value: float, total: float) -> None: ...

    def text(self, node_id: str, text: str) -> None: ...


class HeadlessHost:
    """Folders below given places, previews as files, Ctrl-C as Cancel."""

    def __init__(self, folders: dict[str, Path], display: Display, devices: tuple[int, int] = (1, 1)):
        self.folders, self.display, self.spread = folders, display, devices
        self.interrupted = False
        self.saved: list[Path] = []
        self.current = ("", "")

    def progress(self, node_id: str, value: float, total: float) -> None:
        self.display.progress(node_id, value, total)

    def show(self, node_id: str, picture: Image.Image, value: float, total: float) -> None:
        """There is nowhere to show it here; only the bar moves."""
        self.display.progress(node_id, value, total)

    def text(self, node_id: str, text: str) -> None:
        self.display.text(node_id, text)

    def check_interrupt(self) -> None:
        if self.interrupted:
            raise KeyboardInterrupt

    def send(self, event: str, data: dict[str, Any]) -> None:
        """Nobody listens to events here; how a training goes is shown in words, with the last training loss."""
        from ..nodes.support.live import EVENT
        from .display import training_line

        if event == EVENT:
            self.display.text(data["node"], training_line(data))

    def serve(self, path: str, handler: Any) -> None:
        """Nobody asks for routes here."""

    def renew_modules(self) -> None:
        """No browser reads modules here."""

    def node_types(self) -> set[str]:
        from . import core_nodes

        return {node.GET_SCHEMA().node_id for node in core_nodes.NODES}

    def folder(self, kind: str) -> Path:
        self.folders[kind].mkdir(parents=True, exist_ok=True)
        return self.folders[kind]

    def model_folders(self, kind: str) -> list[Path]:
        return [self.folder("models") / kind]

    def device(self) -> torch.device:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")

    def devices(self) -> tuple[int, int]:
        return self.spread

    def free_memory(self, needed: int) -> None:
        """Nothing else is in memory here."""

    def load_model(self, model: Any) -> None:
        """There are none of ComfyUI's models here."""

    def preview(self, images: torch.Tensor, node: type | None) -> dict[str, Any]:
        return {"images": self.save(images, self.folder("pictures"), self._stem(node))}

    def nothing(self, why: str) -> Any:
        raise InputError(why)

    def backdrop(self, image: torch.Tensor) -> dict[str, Any]:
        return {}

    def pictures(self, pictures: Iterable[Image.Image]) -> list[dict[str, Any]]:
        return []

    def save(self, images: torch.Tensor, folder: Path, stem: str, replace: bool = True) -> list[dict[str, str]]:
        """Write float32 [batch, height, width, 3] in 0..1 as numbered PNG files; give ComfyUI's description of them.

        Files of earlier runs are overwritten, or with `replace` off left alone.
        """
        entries = []
        for image in images:
            number = 1
            while (path := folder / f"{stem}_{number:02}.png").exists() and (not replace or path in self.saved):
                number += 1
            array = (image.clamp(0, 1) * 255).round().to(torch.uint8).cpu().numpy()
            Image.fromarray(array).save(path)
            self.saved.append(path)
            entries.append({"filename": path.name, "subfolder": "", "type": folder.name})
        return entries

    def _stem(self, node: type | None) -> str:
        node_id, title = self.current
        return "".join(c if c.isalnum() else "-" for c in f"{node_id}-{title.lower()}").strip("-")
