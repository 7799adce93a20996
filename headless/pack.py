"""`visionsmith pack WORKFLOW.json`: a workflow as one zip file, with what somebody else needs to run it.

The file holds ``workflow.json``; ``manifest.toml``, the manifest's entries for the models that it names; the networks that it loads, each
at its place below ComfyUI's folder; and ``pack.json``: sizes, checksums and versions of packages.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import importlib.metadata
import json
import platform
import re
import sys
import zipfile
from dataclasses import fields
from pathlib import Path
from typing import Any

from ..provisioning.cli import load
from ..provisioning.errors import PackError
from ..provisioning.manifest import File, Manifest, is_safe
from ..provisioning.profiles import machine
from ..provisioning.remote import sha256
from .portable import machine_specific, named_models, named_networks, nodes_of, read_any

FORMAT, VERSION = "visionsmith.pack", 1
UNDER = ("output", "models", "input")
"""Where Load Network looks, in its order."""
PACKAGES = (
    "visionsmith",
    "torch",
    "torchvision",
    "timm",
    "segmentation-models-pytorch",
    "transformers",
    "safetensors",
    "numpy",
)
MOMENT = (2000, 1, 1, 0, 0, 0)
"""The time of every entry: the same workflow gives the same bytes."""


def run(options: argparse.Namespace) -> int:
    """Write the zip file and say what is in it."""
    target = options.output or options.workflow.with_suffix(".zip")
    comfyui = machine(options.profile, options.comfyui).comfyui
    about, names = pack(options.workflow, target, comfyui, load(options), not options.without_networks)
    print(f"{target}: {len(names)} files")
    for name in names:
        print(f"  {name}")
    for model in about["without_address"]:
        print(f"note: {model['name']} is in no manifest; tell people where to get it")
    for found in machine_specific(read_any(options.workflow)):
        print(f"warning: the workflow has {found}", file=sys.stderr)
    return 0


def pack(
    workflow: Path, target: Path, comfyui: Path, manifest: Manifest, with_networks: bool = True
) -> tuple[dict[str, Any], list[str]]:
    """Write a workflow and what belongs to it into `target`; gives what ``pack.json`` says, and the names of all entries.

    Args:
        comfyui: ComfyUI's folder, where networks and models are looked for.

    Raises:
        PackError: No workflow, a network that is not there, or a place that cannot be written.
    """
    data = read_any(workflow)
    known, unknown = _models(data, comfyui, manifest)
    entries: dict[str, Path | bytes] = {"workflow.json": workflow.read_bytes()}
    if known:
        entries["manifest.toml"] = to_toml(known).encode()
    for folder, weights in named_networks(data) if with_networks else ():
        entries |= _network(folder, weights, comfyui)
    about = {
        "format": FORMAT,
        "version": VERSION,
        "workflow": re.sub(r"[^\w.-]+", "-", workflow.stem, flags=re.ASCII).strip(".-") or "workflow",
        "files": {name: _checked(entry) for name, entry in entries.items()},
        "without_address": unknown,
        "versions": versions(data, comfyui),
    }
    part = target.with_name(f"{target.name}.part")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with zipfile.ZipFile(part, "w", allowZip64=True) as file:
            _write(file, "pack.json", json.dumps(about, indent=1).encode())
            for name, entry in entries.items():
                _write(file, name, entry)
        part.replace(target)
    except OSError as error:
        raise PackError(
            f"{target} could not be written ({error.strerror or error}); choose another place with --output."
        ) from error
    finally:
        part.unlink(missing_ok=True)
    return about, ["pack.json", *entries]


def _models(data: dict[str, Any], comfyui: Path, manifest: Manifest) -> tuple[list[File], list[dict[str, Any]]]:
    """The manifest's entries of the models that a workflow names, and what is known of the others."""
    by_name = {file.to.rsplit("/", 1)[1]: file for file in manifest.files if file.url and file.to.startswith("models/")}
    known: list[File] = []
    unknown: list[dict[str, Any]] = []
    for name in named_models(data):
        last = name.rsplit("/", 1)[-1]
        if last in by_name:
            known.append(by_name[last])
            continue
        here = next(
            (path for path in sorted((comfyui / "models").glob(f"**/{_literal(last)}")) if path.is_file()), None
        )
        unknown.append({"name": name, **(_checked(here) if here else {})})
    return list(dict.fromkeys(known)), unknown


def _literal(name: str) -> str:
    return re.sub(r"([*?\[])", r"[\1]", name)


def _network(folder: str, weights: str, comfyui: Path) -> dict[str, Path | bytes]:
    if not is_safe(folder) or not is_safe(weights) or "/" in weights:
        raise PackError(
            f"the workflow loads a network from {folder}/{weights}, which no other machine has; save it below ComfyUI's output folder."
        )
    for under in UNDER:
        files = {f"{under}/{folder}/{name}": comfyui / under / folder / name for name in ("network.json", weights)}
        if all(path.is_file() for path in files.values()):
            return dict(files)
    raise PackError(
        f"the network {folder} with {weights} is not below {', '.join(UNDER)} of {comfyui}; name ComfyUI's folder with --comfyui, or use --without-networks."
    )


def _checked(entry: Path | bytes) -> dict[str, Any]:
    if isinstance(entry, bytes):
        return {"size": len(entry), "sha256": hashlib.sha256(entry).hexdigest()}
    return {"size": entry.stat().st_size, "sha256": sha256(entry)}


def _write(file: zipfile.ZipFile, name: str, entry: Path | bytes) -> None:
    """One entry; weights hardly become smaller, and are stored as they are."""
    about = zipfile.ZipInfo(name, MOMENT)
    about.external_attr = 0o100644 << 16
    about.compress_type = (
        zipfile.ZIP_DEFLATED if isinstance(entry, bytes) or entry.suffix == ".json" else zipfile.ZIP_STORED
    )
    if isinstance(entry, bytes):
        file.writestr(about, entry)
        return
    about.file_size = entry.stat().st_size
    with entry.open("rb") as source, file.open(about, "w", force_zip64=about.file_size > 2**31) as out:
        while block := source.read(1 << 20):
            out.write(block)


def to_toml(files: list[File]) -> str:
    """Entries of a manifest as its text."""
    lines = ["# The models of a workflow: visionsmith models get --manifest THIS_FILE NAME", "version = 1"]
    for file in files:
        lines.append("\n[[files]]")
        for field in fields(File):
            value = getattr(file, field.name)
            if value not in ("", 0, False) and field.name != "source":
                lines.append(f"{field.name} = {json.dumps(value, ensure_ascii=False)}")
    return "\n".join(lines) + "\n"


def versions(data: dict[str, Any], comfyui: Path) -> dict[str, Any]:
    """Versions of Python, ComfyUI and packages here, and of the packs of nodes as far as the workflow tells."""
    packages = {}
    for name in PACKAGES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            packages[name] = importlib.metadata.version(name)
    file = comfyui / "comfyui_version.py"
    found = re.search(r'__version__ = "([^"]+)"', file.read_text(encoding="utf-8")) if file.is_file() else None
    packs = {}
    for node in data.get("nodes", ()) if isinstance(data.get("nodes"), list) else ():
        properties = node.get("properties") or {}
        if properties.get("cnr_id"):
            packs[str(properties["cnr_id"])] = str(properties.get("ver", ""))
    return {
        "python": platform.python_version(),
        "comfyui": found[1] if found else "",
        "packages": packages,
        "packs": packs,
        "nodes": sorted({node.type for node in nodes_of(data)}),
    }
