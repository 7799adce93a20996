"""Runs a checked workflow: each needed node once, makers before readers, under inference mode as in ComfyUI."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from comfy_api.latest import io

from ..nodes.support.prompt import arguments, is_link
from .workflow import Nodes, Workflow, needed


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
                results = _execute(node, node_id, workflow, outputs)
        except Exception as error:
            raise NodeError(node_id, title, error) from error
        outputs[node_id] = _gathered(node, results)
        for source in set(workflow.sources(node_id)):  # what nobody will read any more is let go
            readers[source] -= 1
            if not readers[source]:
                del outputs[source]
        on_result(Result(node_id, title, _ui(results)))


class Listed(list):
    """What a list output gives: nodes that read it run once for each of its values, as in ComfyUI."""


def _gathered(node: type[io.ComfyNode], results: list[io.NodeOutput]) -> tuple[Any, ...]:
    """A node's outputs: values, or lists of them where an output is a list or the node ran more than once."""
    entries = node.GET_SCHEMA().outputs
    if len(results) == 1:
        values = results[0].result or ()
        return tuple(
            Listed(value) if entry.is_output_list else value for entry, value in zip(entries, values, strict=False)
        )
    columns = zip(*(result.result or () for result in results), strict=True)
    return tuple(
        Listed(part for value in column for part in value) if entry.is_output_list else Listed(column)
        for entry, column in zip(entries, columns, strict=False)
    )


def _execute(
    node: type[io.ComfyNode], node_id: str, workflow: Workflow, outputs: dict[str, tuple[Any, ...]]
) -> list[io.NodeOutput]:
    """Run a node once, or once for each value where an input reads a list; of shorter lists the last value is repeated."""
    schema, values = node.GET_SCHEMA(), workflow.nodes[node_id]["inputs"]
    given = {key: outputs[value[0]][value[1]] for key, value in values.items() if is_link(value)}
    lists = {key: value for key, value in given.items() if isinstance(value, Listed)}
    if not lists or schema.is_input_list:
        return [_execute_once(node, node_id, workflow, arguments(schema.inputs, values, given))]
    count = max(map(len, lists.values()))
    if not all(lists.values()):
        raise ValueError("a list that is wired into this node is empty.")
    rows = ({**given, **{key: v[min(i, len(v) - 1)] for key, v in lists.items()}} for i in range(count))
    return [_execute_once(node, node_id, workflow, arguments(schema.inputs, values, row)) for row in rows]


def _execute_once(
    node: type[io.ComfyNode], node_id: str, workflow: Workflow, arguments: dict[str, Any]
) -> io.NodeOutput:
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


def _ui(results: list[io.NodeOutput]) -> dict[str, Any]:
    """The `ui` entries of a node's runs, put behind each other."""
    joined: dict[str, Any] = {}
    for result in results:
        entry = {} if result.ui is None else result.ui if isinstance(result.ui, dict) else result.ui.as_dict()
        for key, values in entry.items():
            joined[key] = [*joined.get(key, ()), *values] if isinstance(values, (list, tuple)) else values
    return joined
