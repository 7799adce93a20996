"""A workflow in API format: reading it, changing values from the command line, and finding every mistake before anything runs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import Any

from comfy_api.latest import io

from ..nn_layers.errors import InputError
from ..nodes.support.prompt import flat_inputs, is_link, value_problems

Nodes = dict[str, type[io.ComfyNode]]
MAX_BYTES = 64 * 2**20


@dataclass(frozen=True)
class Workflow:
    """Node id → {"class_type", "inputs", "_meta"}; an input is a value, or a link ["node id", output number]."""

    nodes: dict[str, dict[str, Any]]

    def title(self, node_id: str) -> str:
        """What a person calls the node."""
        node = self.nodes[node_id]
        return node.get("_meta", {}).get("title") or node.get("class_type", "?")

    def sources(self, node_id: str) -> list[str]:
        """The nodes that a node reads."""
        return [
            value[0] for value in self.nodes[node_id]["inputs"].values() if is_link(value) and value[0] in self.nodes
        ]


def read_workflow(file: Path) -> Workflow:
    """Read a workflow in API format.

    Raises:
        InputError: No such file, no JSON, or a workflow in the canvas's format.
    """
    if not file.is_file():
        raise InputError(f"{file} does not exist; give the path of a workflow in API format.")
    if file.stat().st_size > MAX_BYTES:
        raise InputError(
            f"{file} is larger than {MAX_BYTES // 2**20} MiB, too large for a workflow; choose another file."
        )
    try:
        data = json.loads(file.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise InputError(f"{file} is no JSON ({error}); export it again with Workflow > Export (API).") from error
    if isinstance(data, dict) and isinstance(data.get("nodes"), list):
        raise InputError(f"{file} is in the canvas's format; export it with Workflow > Export (API).")
    good = (
        isinstance(data, dict)
        and data
        and all(isinstance(node, dict) and isinstance(node.get("inputs"), dict) for node in data.values())
    )
    if not good:
        raise InputError(f"{file} is no workflow in API format; export it with Workflow > Export (API).")
    return Workflow(data)


def set_values(workflow: Workflow, changes: list[str]) -> Workflow:
    """Apply ``node.input=value`` from the command line; a node is named by its id or its title, a value is JSON or plain text.

    What was text stays text: ``Experiment.seeds=0`` is the text "0".

    Raises:
        InputError: A change that is not of that form, or names no node.
    """
    nodes = {node_id: {**node, "inputs": dict(node["inputs"])} for node_id, node in workflow.nodes.items()}
    for change in changes:
        place, equals, text = change.partition("=")
        name, dot, key = _split_place(workflow, place)
        if not equals or not dot:
            raise InputError(f"--set {change} is not of the form node.input=value; write for example --set 3.epochs=5.")
        found = [node_id for node_id in nodes if node_id == name or workflow.title(node_id) == name]
        if len(found) != 1:
            titles = ", ".join(f"{workflow.title(node_id)} ({node_id})" for node_id in nodes)
            reason = f"{len(found)} nodes are called {name!r}" if found else f"no node is called {name!r}"
            raise InputError(f"--set {change}: {reason}; the nodes are {titles}.")
        try:
            value = json.loads(text)
        except ValueError:
            value = text
        inputs = nodes[found[0]]["inputs"]
        inputs[key] = text if isinstance(inputs.get(key), str) and isinstance(value, int | float) else value
    return Workflow(nodes)


def _split_place(workflow: Workflow, place: str) -> tuple[str, str, str]:
    """Node and input of ``node.input``; a title may itself have dots in it, and so may an input."""
    for node_id in workflow.nodes:
        for name in (node_id, workflow.title(node_id)):
            if place.startswith(f"{name}."):
                return name, ".", place[len(name) + 1 :]
    return place.partition(".")


def needed(workflow: Workflow, nodes: Nodes) -> list[str]:
    """The nodes that outputs depend on, in an order in which they can run.

    Raises:
        InputError: The links go round in a circle.
    """
    todo = [
        node_id
        for node_id, node in workflow.nodes.items()
        if (cls := nodes.get(node["class_type"])) and cls.GET_SCHEMA().is_output_node
    ]
    graph: dict[str, list[str]] = {}
    while todo:
        node_id = todo.pop()
        if node_id not in graph:
            graph[node_id] = workflow.sources(node_id)
            todo.extend(graph[node_id])
    try:
        return list(TopologicalSorter(graph).static_order())
    except CycleError as error:
        names = " → ".join(f"{workflow.title(node_id)} ({node_id})" for node_id in error.args[1])
        raise InputError(f"the links go round in a circle: {names}; remove one of them.") from None


def problems(workflow: Workflow, nodes: Nodes) -> list[str]:
    """Every mistake in the nodes that outputs depend on, each told in one sentence; an empty list if it can run."""
    found = [
        f"{workflow.title(node_id)} ({node_id}): there is no node {node['class_type']!r} here; update Visionsmith, or run it in ComfyUI."
        for node_id, node in workflow.nodes.items()
        if node.get("class_type") not in nodes
    ]
    if found:
        return found
    try:
        order = needed(workflow, nodes)
    except InputError as error:
        return [str(error)]
    if not order:
        return ["nothing in the workflow gives a result; add a node such as Train, Test or Save Image."]
    return [
        f"{workflow.title(node_id)} ({node_id}): {problem}"
        for node_id in order
        for problem in _node_problems(workflow, nodes, node_id)
    ]


def _node_problems(workflow: Workflow, nodes: Nodes, node_id: str) -> Iterator[str]:
    values = workflow.nodes[node_id]["inputs"]
    expected = {
        key: (entry, must)
        for key, entry, must in flat_inputs(nodes[workflow.nodes[node_id]["class_type"]].GET_SCHEMA().inputs, values)
    }
    for key, value in values.items():
        if key not in expected:
            yield f"it has no input {key}, only {', '.join(expected)}; correct the name."
        elif is_link(value):
            yield from _link_problems(workflow, nodes, key, expected[key][0], value)
        else:
            yield from value_problems(key, expected[key][0], value)
    for key, (_, must) in expected.items():
        if must and key not in values:
            yield f"its input {key} is missing; connect it or give it a value."


def _link_problems(workflow: Workflow, nodes: Nodes, key: str, entry: io.Input, link: list) -> Iterator[str]:
    source, number = link
    if source not in workflow.nodes:
        yield f"{key} is linked to node {source}, which does not exist; connect it again."
        return
    outputs = nodes[workflow.nodes[source]["class_type"]].GET_SCHEMA().outputs
    if not 0 <= number < len(outputs):
        yield f"{key} is linked to output {number} of {workflow.title(source)} ({source}), which has {len(outputs)}; connect it again."
        return
    wanted, given = set(entry.get_io_type().split(",")), set(outputs[number].get_io_type().split(","))
    if "*" not in wanted | given and not wanted & given:
        yield f"{key} wants {', '.join(sorted(wanted))}, but {workflow.title(source)} ({source}) gives {', '.join(sorted(given))}; connect another output."
