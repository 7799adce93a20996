"""Files of weights: where they lie, published ones fetched on request and checked, and one loaded model per kind in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from ..nn_layers.errors import InputError
from ..nn_layers.files import files_below
from ..provisioning.fetch import fetch
from ..provisioning.remote import FetchError, Patience, Remote

PATIENCE = Patience(tries=3, pause=0.5)
"""Somebody waits before the canvas."""
Model = TypeVar("Model")


@dataclass(frozen=True)
class Published:
    """A file that somebody published: its name, address, size in bytes, checksum and licence."""

    name: str
    url: str
    size: int
    sha256: str
    licence: str

    def __str__(self) -> str:
        return f"{self.name} ({self.size / 1e6:.0f} MB, {self.licence}) from {self.url}"


def find(name: str, folders: Iterable[Path], endings: tuple[str, ...], what: str, where: str) -> Path:
    """The file that `name` means in the first of `folders` that has it; an empty name takes the first file there is.

    Args:
        name: A file name, with or without its ending, or a path below one of the folders.
        endings: File endings that count, in order of preference.
        what: The kind of model, for the message.
        where: How to get one, for the message: "put big-lama.pt into models/lama".

    Raises:
        InputError: No such file.
    """
    folders = list(dict.fromkeys(folders))
    files = [file for folder in folders for file in listed(folder, endings)]
    wanted = name.strip().replace("\\", "/").removeprefix("models/")
    for file in files:
        names = {file.name, file.stem, *(f"{f.name}/{file.relative_to(f).as_posix()}" for f in folders if file.is_relative_to(f))}  # fmt: skip
        if not wanted or wanted in names or any(file == folder / wanted for folder in folders):
            return file
    if not files:
        raise InputError(f"no {what} was found in {', '.join(map(str, folders))}; {where}.")
    known = ", ".join(sorted({file.name for file in files}))
    raise InputError(f"there is no {what} called {name!r}; choose one of {known}, or {where}.")


def listed(folder: Path, endings: tuple[str, ...]) -> list[Path]:
    """The files in `folder` and below that have one of `endings`, in the order of the endings, then of their names."""
    files = [file for file in files_below(folder) if file.suffix.lower() in endings]
    return sorted(files, key=lambda file: endings.index(file.suffix.lower()))


def download(file: Published, folder: Path, on_progress: Callable[[int, int], None] | None = None) -> Path:
    """Fetch a published file into `folder`; an interrupted download goes on where it stopped.

    Until its checksum was found right, it has the ending ``.part``.

    Args:
        on_progress: Called with bytes had and bytes in all, also while it waits for the server; what it raises stops the download.

    Raises:
        InputError: The network, the disk or the checksum is at fault.
    """
    try:
        return fetch(Remote(file.url, file.size, file.sha256), folder / file.name, None, on_progress, PATIENCE).path
    except FetchError as error:
        raise InputError(f"{str(error).rstrip('.')}, or put {file.name} into {folder} yourself.") from error


_loaded: dict[str, tuple[tuple[Any, ...], Any]] = {}


def loaded(kind: str, path: Path, load: Callable[[Path], Model], *settings: Any) -> Model:
    """`load(path)`, once: the last model of each kind stays in memory until another one, or a changed file, is asked for."""
    newest = max((file.stat().st_mtime_ns for file in path.iterdir()), default=0) if path.is_dir() else 0
    key = (path, path.stat().st_mtime_ns, newest, *settings)
    if kind not in _loaded or _loaded[kind][0] != key:
        _loaded.pop(kind, None)  # let go of the old one before the new one takes memory
        _loaded[kind] = (key, load(path))
    return _loaded[kind][1]


def forget(kind: str | None = None) -> None:
    """Let go of the loaded model of a kind, or of all."""
    for name in [kind] if kind else list(_loaded):
        _loaded.pop(name, None)
