"""`visionsmith unpack FILE.zip`: put what `visionsmith pack` wrote into ComfyUI's folders.

The file may come from anybody. Only the names that `pack` writes are accepted, everything is unpacked beside its target and compared with
its checksum first, and nothing is placed unless all of it is right.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import stat
import tempfile
import unicodedata
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..provisioning.cli import bring
from ..provisioning.errors import PackError
from ..provisioning.manifest import is_safe, parse
from ..provisioning.profiles import Machine, machine
from ..provisioning.remote import sha256
from .pack import FORMAT, UNDER, VERSION
from .portable import parsed

MAX_ENTRIES = 512
MAX_BYTES = 16 * 10**9
MAX_TEXT = 64 * 2**20
"""Bytes of a JSON or TOML file."""
MAX_RATIO = 200
"""How many times larger than in the zip file something may become; weights are stored as they are, JSON becomes 20 times smaller."""
PLACES = re.compile(rf"(?:{'|'.join(UNDER)})/.+/(?:network\.json|[^/]+\.safetensors)")
FIXED = ("pack.json", "workflow.json", "manifest.toml")


@dataclass(frozen=True)
class Placed:
    """A file of the pack: where it lies now, where it goes, and whether the same one is there already."""

    source: Path
    target: Path
    same: bool


def run(options: argparse.Namespace) -> int:
    """Unpack, say what went where, and fetch or name the models."""
    here = machine(options.profile, options.comfyui)
    about, placed, text = unpack(options.file, here, options.replace)
    print(f"in {here.comfyui}:")
    if not here.custom_nodes.is_dir():
        print("note: that is no folder of ComfyUI; name yours with --comfyui, if there is one")
    for one in placed:
        print(f"{'in place' if one.same else 'placed'}: {one.target.relative_to(here.comfyui)}")
    for model in about["without_address"]:
        print(f"note: the workflow names {model['name']}, and nobody said where to get it")
    files = parse(text, "manifest.toml").files if text else ()
    if files and options.get:
        return bring(files, here, replace=options.replace)
    for file in files:
        print(
            f"{'there' if here.path(file.to).is_file() else 'missing'}: {file.to} ({file.licence}{', gated' * file.gated}), fetched with --get"
        )
    return 0


def unpack(file: Path, here: Machine, replace: bool = False) -> tuple[dict[str, Any], list[Placed], str]:
    """Check a pack and put its files into ComfyUI's folders; gives ``pack.json``, the files, and the text of its manifest.

    Raises:
        PackError: It is no pack, is damaged or meant to do harm, or files of its names are there; nothing was placed then.
    """
    if not file.is_file():
        raise PackError(f"{file} does not exist; give the path of a file that visionsmith pack wrote.")
    try:
        with (
            zipfile.ZipFile(file) as archive,
            tempfile.TemporaryDirectory(prefix=".visionsmith-", dir=here.comfyui) as stage,
        ):
            entries = checked_entries(archive, file)
            about = _about(archive, entries)
            unpacked = {
                name: _extract(archive, entry, Path(stage), about["files"][name])
                for name, entry in entries.items()
                if name != "pack.json"
            }
            text = _contents(unpacked)
            placed = _targets(unpacked, about["workflow"], here, replace)
            for one in placed:
                if not one.same:
                    one.target.parent.mkdir(parents=True, exist_ok=True)
                    one.source.replace(one.target)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, UnicodeDecodeError) as error:
        raise PackError(f"{file} is no zip file or is damaged ({error}); nothing was placed, get it again.") from None
    except OSError as error:
        raise PackError(
            f"{file} could not be unpacked into {here.comfyui} ({error.strerror or error}); make room or change permissions."
        ) from error
    return about, placed, text


def checked_entries(archive: zipfile.ZipFile, file: Path) -> dict[str, zipfile.ZipInfo]:
    """The entries of a zip file by their names, once none of them can do harm.

    Raises:
        PackError: A name that leads elsewhere, a link, two files of one name, too many or too large ones, or entries inside each other.
    """
    entries = [
        entry
        for entry in archive.infolist()
        if not (entry.is_dir() and entry.file_size == 0 and is_safe(entry.filename.rstrip("/")))
    ]
    if len(entries) > MAX_ENTRIES:
        raise PackError(f"{file} has {len(entries)} files, more than {MAX_ENTRIES}; nothing was placed, it is no pack.")
    seen: set[str] = set()
    for entry in entries:
        _check_name(entry, seen)
        _check_size(entry)
    if (total := sum(entry.file_size for entry in entries)) > MAX_BYTES:
        raise PackError(
            f"{file} would become {total / 1e9:.0f} GB, more than {MAX_BYTES / 1e9:.0f}; nothing was placed."
        )
    end = 0
    for entry in sorted(entries, key=lambda entry: entry.header_offset):
        if entry.header_offset < end:
            raise PackError(
                f"{file} has files inside each other ({entry.filename!r}); nothing was placed, it was made to do harm."
            )
        end = entry.header_offset + entry.compress_size
    return {entry.filename: entry for entry in entries}


def _check_name(entry: zipfile.ZipInfo, seen: set[str]) -> None:
    name = entry.orig_filename
    kind = stat.S_IFMT(entry.external_attr >> 16)
    if kind not in (0, stat.S_IFREG):
        raise PackError(
            f"the file holds {name!r}, which is a {'link' if kind == stat.S_IFLNK else 'special file'}; nothing was placed, it was made to do harm."
        )
    if entry.flag_bits & 0x1:
        raise PackError(f"{name!r} is encrypted; nothing was placed, ask for a file that visionsmith pack wrote.")
    if name != entry.filename or not is_safe(name):
        raise PackError(
            f"the file holds {name!r}, which leads out of its folder or is no name; nothing was placed, it was made to do harm."
        )
    if name not in FIXED and not PLACES.fullmatch(name):
        raise PackError(f"the file holds {name!r}, which visionsmith pack does not write; nothing was placed.")
    key = unicodedata.normalize("NFC", name).casefold()
    if key in seen:
        raise PackError(f"the file holds {name!r} twice; nothing was placed, it was made to do harm.")
    seen.add(key)


def _check_size(entry: zipfile.ZipInfo) -> None:
    text = not entry.filename.endswith(".safetensors")
    if text and entry.file_size > MAX_TEXT:
        raise PackError(
            f"{entry.filename!r} would have {entry.file_size / 2**20:.0f} MiB, too much for text; nothing was placed."
        )
    if entry.file_size > 2**20 and entry.file_size > MAX_RATIO * max(1, entry.compress_size):
        raise PackError(
            f"{entry.filename!r} would become {entry.file_size // max(1, entry.compress_size):,} times larger; nothing was placed, it was made to fill a disk."
        )


def _about(archive: zipfile.ZipFile, entries: dict[str, zipfile.ZipInfo]) -> dict[str, Any]:
    """What ``pack.json`` says, if it says it of exactly these files."""
    if "pack.json" not in entries or "workflow.json" not in entries:
        raise PackError("the zip file has no pack.json or no workflow.json; give a file that visionsmith pack wrote.")
    try:
        about = json.loads(archive.read("pack.json"))
        files, name = about["files"], about["workflow"]
        if about["format"] != FORMAT or about["version"] != VERSION:
            raise PackError(
                f"the pack has version {about['version']!r} of {about['format']!r}, but this Visionsmith reads {VERSION}; update Visionsmith."
            )
        good = (
            re.fullmatch(r"[A-Za-z0-9_][\w.-]*", name, re.ASCII)
            and is_safe(name)
            and {*files, "pack.json"} == set(entries)
        )
        good = good and all(isinstance(one["sha256"], str) and isinstance(one["size"], int) for one in files.values())
        good = good and all(isinstance(one["name"], str) for one in about["without_address"])
    except PackError:
        raise
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        good = None
    if not good:
        raise PackError("pack.json does not fit the files of the pack; nothing was placed, get it again.")
    return about


def _extract(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, stage: Path, told: dict[str, Any]) -> Path:
    """One file into the folder beside its target; never more bytes than were announced."""
    target, digest, size = stage / entry.filename, hashlib.sha256(), 0
    target.parent.mkdir(parents=True, exist_ok=True)
    with archive.open(entry) as source, target.open("xb") as out:
        while block := source.read(1 << 20):
            size += len(block)
            if size > min(entry.file_size, told["size"]):
                break
            digest.update(block)
            out.write(block)
    if size != told["size"] or digest.hexdigest() != told["sha256"]:
        raise PackError(
            f"{entry.filename} is damaged (its checksum is not the one in pack.json); nothing was placed, get the file again."
        )
    return target


def _contents(unpacked: dict[str, Path]) -> str:
    """Look into the files; gives the manifest's text, "" without one."""
    parsed(unpacked["workflow.json"].read_text(encoding="utf-8"), "workflow.json")
    for name, path in unpacked.items():
        if name.endswith("/network.json"):
            _check_network(name, path)
        elif name.endswith(".safetensors"):
            _check_weights(name, path)
    if "manifest.toml" not in unpacked:
        return ""
    text = unpacked["manifest.toml"].read_text(encoding="utf-8")
    manifest = parse(text, "manifest.toml")
    if manifest.nodes or manifest.apt or manifest.pip or any(file.source for file in manifest.files):
        raise PackError(
            "the pack's manifest.toml wants to install software; nothing was placed, a pack has models only."
        )
    return text


def _check_network(name: str, path: Path) -> None:
    try:
        good = json.loads(path.read_text(encoding="utf-8"))["format"] == "visionsmith.network"
    except (ValueError, KeyError, TypeError, RecursionError):
        good = False
    if not good:
        raise PackError(f"{name} is no network of Visionsmith; nothing was placed.")


def _check_weights(name: str, path: Path) -> None:
    """The head of a safetensors file: eight bytes of length, then that much JSON."""
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        head = file.read(1) if 0 < length <= min(path.stat().st_size - 8, 100 * 2**20) else b""
    if head != b"{":
        raise PackError(f"{name} is no safetensors file; nothing was placed.")


def _targets(unpacked: dict[str, Path], workflow: str, here: Machine, replace: bool) -> list[Placed]:
    """Where every file goes; nothing outside of ComfyUI's folders, also not through a link, and nothing over another file."""
    folder = "user/default/workflows"
    names = {"workflow.json": f"{folder}/{workflow}.json", "manifest.toml": f"{folder}/{workflow}.models.toml"}
    placed = []
    for name, source in unpacked.items():
        target = here.path(names.get(name, name))
        kind = here.path(names.get(name, name).split("/")[0])
        if not target.parent.resolve().is_relative_to(kind.resolve()):
            raise PackError(
                f"{target.parent} leads outside of {kind} through a link; nothing was placed, remove the link."
            )
        same = target.is_file() and target.stat().st_size == source.stat().st_size and sha256(target) == sha256(source)
        if target.exists() and not same and not (replace and target.is_file()):
            raise PackError(
                f"{target} is there and is another file; nothing was placed, move it away or use --replace."
            )
        placed.append(Placed(source, target, same))
    return placed
