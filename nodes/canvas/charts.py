"""The charts of trainings for a page that comes late, and what a person wants of a training that runs: to stop with the best weights, to go on.

A workflow is named by its own id and a node by its place in it, as ComfyUI names nodes while it executes them (`5`, or `12:5` in a subgraph).
"""

from __future__ import annotations

import re
from typing import Any

from ...nn_layers.errors import InputError
from ..support import charts as known

MOST_NODES = 50
_NODE = re.compile(r"[\w-]{1,40}(:[\w-]{1,40}){0,9}")


def charts(data: Any) -> dict[str, Any]:
    """{"workflow": id, "nodes": [id, …]} → {"nodes": {id: chart}}, of nodes that train now or have trained; see `support.charts`.

    Raises:
        InputError: No such question.
    """
    workflow, nodes = _workflow(data), data.get("nodes")
    if not isinstance(nodes, list) or len(nodes) > MOST_NODES:
        raise InputError(f"nodes is no list of at most {MOST_NODES} nodes; send their ids.")
    found = {}
    for node in map(_node, nodes):
        training = known.at_work(workflow, node)
        chart = training.chart() if training else known.shown_before(workflow, node)
        if chart:
            found[node] = chart
    return {"nodes": found}


def stop(data: Any) -> dict[str, Any]:
    """{"workflow": id, "node": id} → {"nodes": those that will stop}; without a node every training stops.

    Raises:
        InputError: No such question.
    """
    workflow = _workflow(data)
    return {"nodes": known.stop(workflow, _node(data["node"]) if "node" in data else None)}


def go_on(data: Any) -> dict[str, Any]:
    """{"node": id} → {}: the node is executed again when it is queued next, and its stopped training goes on.

    Raises:
        InputError: No such question.
    """
    if not isinstance(data, dict):
        raise InputError("the body is no table; send the id of a node.")
    known.go_on(_node(data.get("node")))
    return {}


def _workflow(data: Any) -> str:
    workflow = data.get("workflow", "") if isinstance(data, dict) else None
    if not isinstance(workflow, str) or len(workflow) > 100:
        raise InputError("the body names no workflow; send the id that is in its file.")
    return workflow


def _node(value: Any) -> str:
    if not isinstance(value, str) or not _NODE.fullmatch(value):
        raise InputError(f"{str(value)[:40]!r} is no id of a node; send it as ComfyUI names it, such as 12:5.")
    return value
