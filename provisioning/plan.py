"""What is there already, what has to come, and whether the disk has room for it."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import threading
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .errors import ManifestError
from .manifest import PACKAGE, File
from .profiles import Machine
from .remote import sha256

NOTE = ".visionsmith.json"
"""In the folder of models: sizes, times and checksums of files that were checked, so that they need not be read again."""
SPARE = 256 * 2**20
"""Bytes that a disk keeps free."""


@dataclass(frozen=True)
class Step:
    """A file, its place, and what has to be done: "in place", "fetch", "copy", "other" (a file of that name that is not the
    published one) or "yours" (a workflow or picture that was changed after it was put there)."""

    file: File
    path: Path
    todo: str
    note: str = ""

    @property
    def missing(self) -> int:
        """Bytes that will come, as far as they are known."""
        part = self.path.with_name(f"{self.path.name}.part")
        had = part.stat().st_size if part.exists() else 0
        return max(0, self.file.size - had) if self.todo == "fetch" else 0


@dataclass
class Notes:
    """Checksums of files that were read before; a file with another size or time is read again."""

    folder: Path
    known: dict[str, list[Any]] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)

    @classmethod
    def read(cls, folder: Path) -> Notes:
        """The notes of a folder of models; none if there is no such file, or if it is damaged."""
        try:
            known = json.loads((folder / NOTE).read_text(encoding="utf-8"))["files"]
            return cls(folder, {str(name): list(entry) for name, entry in known.items()})
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return cls(folder)

    def sha256(self, path: Path, fresh: bool = False) -> str:
        """The checksum of a file, from the notes if it has not changed since, or `fresh` from its bytes."""
        state = path.stat()
        entry = self.known.get(self._name(path))
        if not fresh and entry and entry[:2] == [state.st_size, state.st_mtime_ns]:
            return str(entry[2])
        found = sha256(path)
        self.keep(path, found)
        return found

    def keep(self, path: Path, checksum: str) -> None:
        """Write down the checksum of a file; without the right to write there, nothing is lost but time."""
        state = path.stat()
        with self.lock, contextlib.suppress(OSError):
            self.known[self._name(path)] = [state.st_size, state.st_mtime_ns, checksum]
            self.folder.mkdir(parents=True, exist_ok=True)
            part = self.folder / f"{NOTE}.{os.getpid()}.part"
            part.write_text(json.dumps({"files": self.known}, indent=1), encoding="utf-8")
            part.replace(self.folder / NOTE)

    def _name(self, path: Path) -> str:
        return os.path.relpath(path, self.folder)


def plan(files: Iterable[File], machine: Machine, notes: Notes, fresh: bool = False) -> list[Step]:
    """What has to be done for each file.

    Args:
        fresh: Read every file anew instead of trusting the notes.
    """
    return [step(file, machine, notes, fresh) for file in files]


def step(file: File, machine: Machine, notes: Notes, fresh: bool = False) -> Step:
    """What has to be done for one file.

    Raises:
        ManifestError: A link leads its folder outside of ComfyUI's folder of that kind.
    """
    path = machine.path(file.to)
    kind = machine.path(file.to.split("/")[0])  # models may itself be a link to another disk
    if not path.parent.resolve().is_relative_to(kind.resolve()):
        raise ManifestError(f"{file.to} leads outside of {kind} through a link; remove the link {path.parent}.")
    if file.source:
        source = PACKAGE / file.source
        if not source.is_file():
            return Step(file, path, "other", f"this package has no {file.source}")
        if not path.exists():
            return Step(file, path, "copy")
        same = path.is_file() and path.read_bytes() == source.read_bytes()
        return Step(file, path, "in place") if same else Step(file, path, "yours", "changed here, left alone")
    if not path.is_file():
        return (
            Step(file, path, "other", "there is a folder of that name") if path.exists() else Step(file, path, "fetch")
        )
    size = path.stat().st_size
    if file.size and size != file.size:
        return Step(file, path, "other", f"{size:,} bytes instead of the published {file.size:,}")
    if not file.sha256:
        return Step(file, path, "in place", "not checked: no checksum published")
    if notes.sha256(path, fresh) != file.sha256:
        return Step(file, path, "other", "its checksum is not the published one")
    return Step(file, path, "in place", "checksum right")


def room(steps: Iterable[Step]) -> list[str]:
    """A sentence for every disk that is too small for what will come to it; nothing if there is room."""
    needed: dict[int, list[Step]] = {}
    for one in steps:
        if one.missing:
            needed.setdefault(_existing(one.path).stat().st_dev, []).append(one)
    sentences = []
    for group in needed.values():
        folder = _existing(group[0].path)
        free, wanted = shutil.disk_usage(folder).free, sum(one.missing for one in group) + SPARE
        if wanted > free:
            sentences.append(
                f"the disk of {folder} has {gigabytes(free)} free, but {gigabytes(wanted)} are needed for {len(group)} "
                f"file{'s' * (len(group) != 1)}; free {gigabytes(wanted - free)}, or choose less with --only."
            )
    return sentences


def _existing(path: Path) -> Path:
    """The nearest folder above that is there."""
    return next(folder for folder in path.parents if folder.exists())


def gigabytes(size: float) -> str:
    """Bytes as a person reads them."""
    for unit, factor in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if size >= factor:
            return f"{size / factor:.1f} {unit}"
    return f"{size:.0f} bytes"
