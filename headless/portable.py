"""What a workflow names that another machine must have, and what it says that only this machine understands."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..provisioning.errors import PackError

MAX_BYTES = 64 * 2**20
MODELS = (".safetensors", ".sft", ".ckpt", ".pt", ".pth", ".bin", ".onnx", ".gguf")
NETWORKS = ("VisionsmithLoadNetwork", "VisionsmithBlock")
"""Nodes whose first text is the folder of a network."""
HERE = {
    "a path of this machine": r"(?<![\w.:/])(?:/(?:home|Users|root|mnt|media|workspace|tmp|opt|var|etc|data|content|kaggle|Volumes|srv)/|~/|[A-Za-z]:[\\/](?!/)|\\\\\w)",
    "an address of this machine": r"file://|https?://(?:localhost|127\.|0\.0\.0\.0|10\.|192\.168\.|172\.(?:1[6-9]|2\d|3[01])\.|\[::1\])",
    "a secret": r"\b(?:hf_[A-Za-z0-9]{20,}|sk-[A-Za-z0-9_-]{20,}|gh[pousr]_[A-Za-z0-9]{20,}|Bearer [A-Za-z0-9._-]{16,})",
    "an e-mail address": r"\b[\w.+-]+@[\w-]+\.[a-z]{2,}\b",
}


@dataclass(frozen=True)
class Node:
    """A node of a workflow in either format: what it is, and the values that are written on it."""

    type: str
    values: tuple[Any, ...]


def read_any(file: Path) -> dict[str, Any]:
    """A workflow in the canvas's or in API format, as parsed JSON.

    Raises:
        PackError: No such file, too large, or no workflow.
    """
    if not file.is_file():
        raise PackError(f"{file} does not exist; give the path of a workflow's JSON file.")
    if file.stat().st_size > MAX_BYTES:
        raise PackError(
            f"{file} is larger than {MAX_BYTES // 2**20} MiB, too large for a workflow; choose another file."
        )
    try:
        return parsed(file.read_text(encoding="utf-8"), str(file))
    except UnicodeDecodeError:
        raise PackError(f"{file} is no text; give the path of a workflow's JSON file.") from None


def parsed(text: str, name: str) -> dict[str, Any]:
    """A workflow from its text; see `read_any`."""
    try:
        data = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise PackError(f"{name} is no JSON ({error}); save the workflow again in ComfyUI.") from None
    canvas = isinstance(data, dict) and isinstance(data.get("nodes"), list)
    if not canvas and not (
        isinstance(data, dict) and data and all(isinstance(one, dict) and "class_type" in one for one in data.values())
    ):
        raise PackError(f"{name} is no workflow; save it in ComfyUI, or export it with Workflow > Export (API).")
    return data


def nodes_of(workflow: dict[str, Any]) -> Iterator[Node]:
    """The nodes of a workflow in either format, those of its subgraphs too."""
    if not isinstance(workflow.get("nodes"), list):
        for one in workflow.values():
            yield Node(str(one.get("class_type")), tuple((one.get("inputs") or {}).values()))
        return
    definitions = workflow.get("definitions") or {}
    for graph in (workflow, *(definitions.get("subgraphs") or ())):
        for one in graph.get("nodes", ()):
            values = one.get("widgets_values") or ()
            yield Node(str(one.get("type")), tuple(values.values() if isinstance(values, dict) else values))


def texts(value: Any) -> Iterator[str]:
    """Every string in parsed JSON."""
    todo = [value]
    while todo:
        match todo.pop():
            case str() as text:
                yield text
            case dict() as table:
                todo.extend(table.values())
            case list() | tuple() as row:
                todo.extend(row)


def named_models(workflow: dict[str, Any]) -> list[str]:
    """The files of models that nodes name, as they name them, with "/"."""
    words = (
        text.strip().replace("\\", "/")
        for node in nodes_of(workflow)
        if node.type not in NETWORKS
        for text in texts(node.values)
    )
    return sorted({text for text in words if text.lower().endswith(MODELS) and "\n" not in text and len(text) < 300})


def named_networks(workflow: dict[str, Any]) -> list[tuple[str, str]]:
    """Folder and file of weights of every network that a node loads."""
    found = []
    for node in nodes_of(workflow):
        words = [value for value in node.values if isinstance(value, str)]
        if node.type in NETWORKS and words:
            weights = words[1] if len(words) > 1 and words[1].endswith(".safetensors") else "weights.safetensors"
            found.append((words[0].strip().replace("\\", "/").removesuffix("/network.json").strip("/"), weights))
    return sorted(set(found))


def machine_specific(workflow: dict[str, Any]) -> list[str]:
    """Everything in a workflow that only this machine understands, or that nobody else should read."""
    found = []
    for text in texts(workflow):
        for what, pattern in HERE.items():
            if match := re.search(pattern, text):
                shown = text[max(0, match.start() - 10) : match.end() + 30].replace("\n", " ")
                found.append(f"{what}: {'(not shown)' if what == 'a secret' else shown}")
    return sorted(set(found))
