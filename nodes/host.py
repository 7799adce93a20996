"""The only door to whatever runs us: progress, text, interrupt, events, folders, previews, memory.

Nodes call `host()`; inside ComfyUI that is `ComfyHost`, and the headless runner installs its own with `use_host`.
"""

from __future__ import annotations

import os
import time
import uuid
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from PIL import Image

from ..nn_layers.errors import InputError

UPDATES_PER_SECOND = 10
BACKDROP_SIDE, PREVIEW_SIDE = 1280, 512
WEB = Path(__file__).resolve().parents[1] / "web"


class Host(Protocol):
    """What a node may ask of whatever runs it."""

    def progress(self, node_id: str, value: float, total: float) -> None:
        """Move the node's progress bar."""
        ...

    def show(self, node_id: str, picture: Image.Image, value: float, total: float) -> None:
        """Move the node's progress bar, and show a picture in the node for as long as it works."""
        ...

    def text(self, node_id: str, text: str) -> None:
        """Show text on the node."""
        ...

    def check_interrupt(self) -> None:
        """Raise the host's own exception if the user pressed Cancel; it is no `Exception`, so clean up in `finally`."""
        ...

    def send(self, event: str, data: dict[str, Any]) -> None:
        """Send an event of ours to the front end."""
        ...

    def serve(self, path: str, handler: Callable[[Any], Awaitable[Any]]) -> None:
        """Let `handler` (aiohttp: request to response) answer what is posted to `path`."""
        ...

    def renew_modules(self) -> None:
        """Let browsers ask whether an ES module of ours has changed, so that no page mixes old and new ones after an update."""
        ...

    def node_types(self) -> set[str]:
        """Every type of node that can run here, beside ours."""
        ...

    def folder(self, kind: str) -> Path:
        """The folder called "input", "output", "temp" or "models"."""
        ...

    def model_folders(self, kind: str) -> list[Path]:
        """Every folder for models of a kind, such as "lama"; those of extra_model_paths too. They need not exist."""
        ...

    def device(self) -> torch.device:
        """Where networks run."""
        ...

    def devices(self) -> tuple[int, int]:
        """How many devices of each machine, and how many machines, train a network together."""
        ...

    def free_memory(self, needed: int) -> None:
        """Ask for `needed` bytes on the device; models that nobody is using make room."""
        ...

    def load_model(self, model: Any) -> None:
        """Put a MODEL of ComfyUI's on its device."""
        ...

    def preview(self, images: torch.Tensor, node: type | None) -> dict[str, Any]:
        """Save float32 [batch, height, width, 3] in 0..1 as previews; give the `ui` entry of the node that shows them."""
        ...

    def nothing(self, why: str) -> Any:
        """What an output carries that has nothing to give: nodes behind it do not run and say why, where this host can show pictures
        beside such a failure; elsewhere InputError is raised."""
        ...

    def backdrop(self, image: torch.Tensor) -> dict[str, Any]:
        """Save float32 [height, width, 3 or 4] for an editor that draws on it; its `ui` entry, empty where there is no canvas."""
        ...

    def pictures(self, pictures: Iterable[Image.Image]) -> list[dict[str, Any]]:
        """Save pictures for a panel on the canvas; ComfyUI's description of each file, with its width and height.

        Those with a palette keep it and what is transparent. Where there is no canvas, none is looked at, and the list is empty.
        """
        ...


class ComfyHost:
    """A running ComfyUI. Its modules exist only there, so they are imported inside the calls."""

    def progress(self, node_id: str, value: float, total: float) -> None:
        from comfy_execution.progress import get_progress_state

        get_progress_state().update_progress(node_id, value, total)

    def show(self, node_id: str, picture: Image.Image, value: float, total: float) -> None:
        from comfy_execution.progress import get_progress_state

        get_progress_state().update_progress(node_id, value, total, ("JPEG", picture, PREVIEW_SIDE))

    def text(self, node_id: str, text: str) -> None:
        from server import PromptServer

        PromptServer.instance.send_progress_text(text, node_id)

    def check_interrupt(self) -> None:
        from comfy.model_management import throw_exception_if_processing_interrupted

        throw_exception_if_processing_interrupted()

    def send(self, event: str, data: dict[str, Any]) -> None:
        from server import PromptServer

        PromptServer.instance.send_sync(event, data)

    def serve(self, path: str, handler: Callable[[Any], Awaitable[Any]]) -> None:
        from server import PromptServer

        PromptServer.instance.routes.post(path)(handler)

    def renew_modules(self) -> None:
        from server import PromptServer

        from nodes import EXTENSION_WEB_DIRS

        async def renew(request: Any, response: Any) -> None:  # ComfyUI itself does so for .js and .css only
            path = request.path.removeprefix("/extensions/")
            folder = EXTENSION_WEB_DIRS.get(path.partition("/")[0])
            if path.endswith(".mjs") and folder and Path(folder).resolve() == WEB:
                response.headers.setdefault("Cache-Control", "no-cache")

        PromptServer.instance.app.on_response_prepare.append(renew)

    def node_types(self) -> set[str]:
        from nodes import NODE_CLASS_MAPPINGS  # ComfyUI's own module of that name

        return set(NODE_CLASS_MAPPINGS)

    def folder(self, kind: str) -> Path:
        import folder_paths

        folders = {
            "input": folder_paths.get_input_directory,
            "output": folder_paths.get_output_directory,
            "temp": folder_paths.get_temp_directory,
            "models": lambda: folder_paths.models_dir,
        }
        return Path(folders[kind]())

    def model_folders(self, kind: str) -> list[Path]:
        import folder_paths

        known = folder_paths.get_folder_paths(kind) if kind in folder_paths.folder_names_and_paths else []
        return list(dict.fromkeys([*(Path(path) for path in known), Path(folder_paths.models_dir) / kind]))

    def device(self) -> torch.device:
        from comfy.model_management import get_torch_device

        return get_torch_device()

    def devices(self) -> tuple[int, int]:
        return 1, 1  # each more is a process, which would start the server again

    def free_memory(self, needed: int) -> None:
        from comfy.model_management import free_memory, get_torch_device

        free_memory(needed, get_torch_device())

    def load_model(self, model: Any) -> None:
        from comfy.model_management import load_model_gpu

        load_model_gpu(model)

    def preview(self, images: torch.Tensor, node: type | None) -> dict[str, Any]:
        from comfy_api.latest import ui

        return ui.PreviewImage(images, cls=node).as_dict()

    def nothing(self, why: str) -> Any:
        from comfy_execution.graph_utils import ExecutionBlocker

        return ExecutionBlocker(why)

    def backdrop(self, image: torch.Tensor) -> dict[str, Any]:
        height, width = image.shape[:2]
        array = (image[..., :3].clamp(0, 1) * 255).round().to(torch.uint8).cpu().numpy()
        picture = Image.fromarray(array)
        picture.thumbnail((BACKDROP_SIDE, BACKDROP_SIDE))
        return {"visionsmith_picture": [self._saved(picture) | {"width": width, "height": height}]}

    def pictures(self, pictures: Iterable[Image.Image]) -> list[dict[str, Any]]:
        return [self._saved(picture) for picture in pictures]

    def _saved(self, picture: Image.Image) -> dict[str, Any]:
        suffix, how = ("png", {}) if picture.mode == "P" else ("jpg", {"quality": 90})
        folder = self.folder("temp")
        folder.mkdir(parents=True, exist_ok=True)
        file = folder / f"visionsmith-{uuid.uuid4().hex}.{suffix}"
        picture.save(file, **how)
        width, height = picture.size
        return {"filename": file.name, "subfolder": "", "type": "temp", "width": width, "height": height}


_host: Host = ComfyHost()
_host_here: ContextVar[Host | None] = ContextVar("host", default=None)


def host() -> Host:
    """Whatever runs us."""
    return _host_here.get() or _host


def use_host(new: Host) -> None:
    """Let `new` be what runs us, from now on."""
    global _host
    _host = new


@contextmanager
def hosted_by(new: Host) -> Iterator[None]:
    """Let `new` be what runs us inside the block; other threads keep theirs."""
    token = _host_here.set(new)
    try:
        yield
    finally:
        _host_here.reset(token)


def watch(node: type, part: int = 0, parts: int = 1) -> Callable[[float, float], None]:
    """A callback (done, all) for whatever takes long: looks for Cancel each time, moves the node's bar ten times a second.

    Where the work has several equal `parts`, `part` of them are done already.
    """
    moved = 0.0

    def on_progress(done: float, count: float) -> None:
        nonlocal moved
        host().check_interrupt()
        now = time.monotonic()
        if now - moved >= 1 / UPDATES_PER_SECOND or done == count:
            moved = now
            host().progress(node.hidden.unique_id, *((done, count) if parts == 1 else (part + done / count, parts)))

    return on_progress


def readable(path: str) -> Path:
    """The file or folder that `path` means, if it may be read.

    A relative path is looked for below the input, output and models folders, then below each folder listed in the environment
    variable ``VISIONSMITH_DATA_ROOTS``; an absolute one must lie below one of them. Links are followed before that is judged.

    Raises:
        InputError: The path is empty, does not exist, or leads outside.
    """
    text = path.strip().strip('"')
    if not text:
        raise InputError(
            "the path is empty; give a folder below ComfyUI's input folder, or list its parent in VISIONSMITH_DATA_ROOTS."
        )
    roots = [host().folder(kind).resolve() for kind in ("input", "output", "models")] + data_roots()
    candidates = [(root / text).resolve() for root in roots]  # an absolute path replaces the root
    allowed = [candidate for candidate in candidates if any(candidate.is_relative_to(root) for root in roots)]
    if not allowed:
        raise InputError(
            f"{path} lies outside the folders that may be read; put it below ComfyUI's input folder, or list its parent in the "
            f"environment variable VISIONSMITH_DATA_ROOTS."
        )
    found = next((candidate for candidate in allowed if candidate.exists()), None)
    if found is None:
        raise InputError(
            f"{path} does not exist below the input, output or models folder; check its name or put it there"
            f"{_offered(allowed, roots)}."
        )
    return found


def _offered(missing: list[Path], roots: list[Path], most: int = 8) -> str:
    """What there is in the place of a missing path, in brackets: the names beside it, folders first. Nothing outside of `roots` is told."""
    parents = [path.parent for path in missing if any(path.parent.is_relative_to(root) for root in roots)]
    parent = next((parent for parent in parents if parent.is_dir() and os.access(parent, os.R_OK)), None)
    names = [entry for entry in parent.iterdir() if not entry.name.startswith(".")] if parent else []
    names = [entry.name for entry in sorted(names, key=lambda entry: (not entry.is_dir(), entry.name.lower()))]
    if not names:
        return ""
    more = ", …" if len(names) > most else ""
    return f" ({parent.name} has {', '.join(names[:most])}{more})"


def data_roots() -> list[Path]:
    """The folders of ``VISIONSMITH_DATA_ROOTS``, divided as in PATH."""
    return [Path(root).resolve() for root in os.environ.get("VISIONSMITH_DATA_ROOTS", "").split(os.pathsep) if root]


def writable(name: str, under: str = "output") -> Path:
    """The path `name` below the folder `under` ("output" or "models"); it need not exist.

    Raises:
        InputError: The name is empty or leads outside.
    """
    root = host().folder(under).resolve()
    path = (root / name.strip()).resolve()
    if path == root or not path.is_relative_to(root):
        raise InputError(
            f"{name!r} is not a place below ComfyUI's {under} folder; give a relative name such as networks/mine."
        )
    return path


def writable_mask(path: Path) -> Path:
    """`path`, where the mask of a picture may be saved: below the input or output folder or a folder of ``VISIONSMITH_DATA_ROOTS``.

    The one rule by which something is written outside of output and models. Links are followed before that is judged.

    Raises:
        InputError: The path leads outside.
    """
    roots = [host().folder(kind).resolve() for kind in ("input", "output")] + data_roots()
    found = path.resolve()
    if not any(found.is_relative_to(root) and found != root for root in roots):
        raise InputError(
            f"{path.name} would be saved outside the folders where masks may be saved; put the pictures below ComfyUI's input or output folder, or "
            f"list their parent in the environment variable VISIONSMITH_DATA_ROOTS."
        )
    return found


def image_from_pil(picture: Image.Image) -> torch.Tensor:
    """A picture as ComfyUI's IMAGE: float32 [1, height, width, 3] in 0..1."""
    return torch.from_numpy(np.array(picture.convert("RGB"), dtype=np.float32) / 255)[None]
