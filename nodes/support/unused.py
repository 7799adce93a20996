"""Finds layers that were drawn but lead nowhere: the executor skips them in silence, so Build Network says it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

LAYER_NODES = (
    "Conv", "Linear", "Activation", "Normalization", "Pooling", "View", "Dropout", "Upsample", "Merge",
    "Attention", "Embedding", "Recurrent", "Backbone", "Repeat", "Block",
)  # fmt: skip
READERS = ("VisionsmithBuildNetwork",)


def unused_layers(prompt: dict[str, Any] | None, node_id: str) -> str:
    """A sentence that names the layers whose input comes from this drawing but whose output nobody builds; "" if there are none.

    Args:
        prompt: The workflow in API format, as ComfyUI hands it to a node.
        node_id: The Build Network node that asks.
    """
    if not prompt or node_id not in prompt:
        return ""
    mine = _ancestors(prompt, node_id)
    built = set().union(*(_ancestors(prompt, id) for id, node in prompt.items() if node.get("class_type") in READERS))
    kinds = {f"Visionsmith{kind}" for kind in LAYER_NODES}
    idle = [
        id
        for id, node in prompt.items()
        if node.get("class_type") in kinds and id not in built and mine & _ancestors(prompt, id)
    ]
    if not idle:
        return ""
    names = ", ".join(f"{prompt[id].get('_meta', {}).get('title') or prompt[id]['class_type']} (#{id})" for id in idle)
    return f"Not part of any network, because nothing leads from them to an output: {names}. Connect or delete them."


def _ancestors(prompt: dict[str, Any], node_id: str) -> set[str]:
    """Every node that `node_id` depends on, itself left out."""
    found: set[str] = set()
    todo = list(_sources(prompt.get(node_id, {})))
    while todo:
        source = todo.pop()
        if source not in found:
            found.add(source)
            todo.extend(_sources(prompt.get(source, {})))
    return found


def _sources(node: dict[str, Any]) -> Iterator[str]:
    for value in node.get("inputs", {}).values():
        if isinstance(value, list) and len(value) == 2 and isinstance(value[0], str):
            yield value[0]
