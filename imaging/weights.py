"""Files of weights: where they lie, published ones fetched on request and checked, and one loaded model per kind in memory."""

from __future__ import annotations

import errno
import hashlib
import http.client
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from ..nn_layers.errors import InputError

CHUNK = 1 << 20
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
        return f"{self.name} ({self.size / 2**20:.0f} MB, {self.licence}) from {self.url}"


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
    if not folder.is_dir():
        return []
    files = sorted(file for file in folder.rglob("*") if file.suffix.lower() in endings and file.is_file())
    return sorted(files, key=lambda file: endings.index(file.suffix.lower()))


def download(file: Published, folder: Path, on_progress: Callable[[int, int], None] | None = None) -> Path:
    """Fetch a published file into `folder`; an interrupted download goes on where it stopped.

    Until its checksum was found right, it has the ending ``.part``.

    Args:
        on_progress: Called with bytes had and bytes in all; what it raises stops the download.

    Raises:
        InputError: The network, the disk or the checksum is at fault.
    """
    target, part = folder / file.name, folder / f"{file.name}.part"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _fetch(file, part, on_progress)
    except urllib.error.HTTPError as error:
        raise InputError(
            f"{file.url} answered {error.code} {error.reason}; fetch {file.name} yourself and put it into {folder}."
        ) from error
    except (OSError, http.client.HTTPException) as error:
        if getattr(error, "errno", None) == errno.ENOSPC:
            raise InputError(
                f"{file.name} needs {file.size / 2**20:.0f} MB, but the disk of {folder} is full; free some space and run again."
            ) from error
        reason = getattr(error, "reason", error)
        raise InputError(
            f"{file.name} could not be fetched from {file.url} ({reason}); check the network and run again, it goes on where it "
            f"stopped, or put the file into {folder} yourself."
        ) from error
    if sha256(part) != file.sha256:
        part.unlink()
        raise InputError(
            f"what came from {file.url} is not the published {file.name} (wrong checksum) and was removed; run again, or put the "
            f"file into {folder} yourself."
        )
    return part.replace(target)


def _fetch(file: Published, part: Path, on_progress: Callable[[int, int], None] | None) -> None:
    had = part.stat().st_size if part.exists() else 0
    if had >= file.size:
        return
    request = urllib.request.Request(file.url, headers={"Range": f"bytes={had}-"} if had else {})
    with urllib.request.urlopen(request, timeout=30) as answer:
        if answer.status != http.client.PARTIAL_CONTENT:
            had = 0  # the server sends it from its start
        with part.open("ab" if had else "wb") as out:
            while block := answer.read(CHUNK):
                out.write(block)
                had += len(block)
                if on_progress:
                    on_progress(had, file.size)
    if had < file.size:
        raise OSError(f"the connection ended after {had} of {file.size} bytes")


def sha256(path: Path) -> str:
    """The SHA-256 checksum of a file, in hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(CHUNK):
            digest.update(block)
    return digest.hexdigest()


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
