"""Runs a checked workflow: each needed node once, makers before readers, under inference mode as in ComfyUI."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from comfy_api.latest import io

from .workflow import Nodes, Workflow, flat_inputs, is_link, needed


class NodeError(Exception):
    """A node raised; `__cause__` is what it raised."""

    def __init__(self, node_id: str, title: str, error: Exception):
        super().__init__(f"{title} ({node_id}): {error}")


@dataclass(frozen=True)
class Result:
    """What a node left for people to see: its `ui` entry."""

    node_id: str
    title: str
    ui: dict[str, Any]


def run(
    workflow: Workflow, nodes: Nodes, on_start: Callable[[str, str], None], on_result: Callable[[Result], None]
) -> None:
    """Run everything that outputs depend on.

    Args:
        on_start: Called with a node's id and title before it runs.
        on_result: Called with what it left to see.

    Raises:
        NodeError: A node raised; nothing behind it was run.
    """
    outputs: dict[str, tuple[Any, ...]] = {}
    order = needed(workflow, nodes)
    readers = {node_id: sum(node_id in workflow.sources(other) for other in order) for node_id in order}
    for node_id in order:
        title = workflow.title(node_id)
        on_start(node_id, title)
        node = nodes[workflow.nodes[node_id]["class_type"]]
        try:
            with torch.inference_mode():
                output = _execute(node, node_id, workflow, outputs)
        except Exception as error:
            raise NodeError(node_id, title, error) from error
        outputs[node_id] = tuple(output.result or ())
        for source in set(workflow.sources(node_id)):  # what nobody will read any more is let go
            readers[source] -= 1
            if not readers[source]:
                del outputs[source]
        on_result(Result(node_id, title, _ui(output)))


def _execute(
    node: type[io.ComfyNode], node_id: str, workflow: Workflow, outputs: dict[str, tuple[Any, ...]]
) -> io.NodeOutput:
    arguments = _arguments(node.GET_SCHEMA().inputs, workflow.nodes[node_id]["inputs"], outputs)
    hidden = {
        io.Hidden.unique_id: node_id,
        io.Hidden.prompt: workflow.nodes,
        io.Hidden.extra_pnginfo: None,
        io.Hidden.dynprompt: None,
    }
    clone = node.PREPARE_CLASS_CLONE({"hidden_inputs": hidden})
    answer = clone.validate_inputs(**arguments) if _overrides(node, "validate_inputs") else True
    if answer is not True:
        raise ValueError(str(answer))
    if inspect.iscoroutinefunction(node.execute):
        output = asyncio.run(clone.EXECUTE_NORMALIZED_ASYNC(**arguments))
    else:
        output = clone.EXECUTE_NORMALIZED(**arguments)
    if output.expand is not None:
        raise ValueError("this node makes further nodes while it runs, which works in ComfyUI only.")
    return output


def _overrides(node: type[io.ComfyNode], name: str) -> bool:
    return getattr(node, name).__func__ is not getattr(io.ComfyNode, name).__func__


def _arguments(inputs: list[io.Input], values: dict[str, Any], outputs: dict[str, tuple[Any, ...]]) -> dict[str, Any]:
    """What `execute` is called with: dynamic inputs as dictionaries, absent ones left out or None inside them."""
    arguments: dict[str, Any] = {entry.id: {} for entry in inputs if isinstance(entry, io.Autogrow.Input)}
    for key, entry, _ in flat_inputs(inputs, values):
        if key not in values:
            continue
        value = values[key]
        if is_link(value):
            value = outputs[value[0]][value[1]]
        elif isinstance(entry, io.Float.Input):
            value = float(value)
        elif isinstance(entry, io.Int.Input):
            value = int(value)
        _put(arguments, key, value, isinstance(entry, io.DynamicCombo.Input))
    return arguments


def _put(arguments: dict[str, Any], key: str, value: Any, is_choice: bool) -> None:
    """Set ``type.alpha`` as arguments["type"]["alpha"], and a choice ``type`` as arguments["type"]["type"]."""
    *path, name = key.split(".")
    for part in [*path, name] if is_choice else path:
        arguments = arguments.setdefault(part, {})
    arguments[name] = value


def _ui(output: io.NodeOutput) -> dict[str, Any]:
    if output.ui is None:
        return {}
    return output.ui if isinstance(output.ui, dict) else output.ui.as_dict()
