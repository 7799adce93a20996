"""What the Input node says: the sample's kind and size, found from the first layer, the data and the old test tensor."""

from __future__ import annotations

from typing import Any

from .drawing import Drawing
from .layers import read_numbers, whole
from .old import LAYERS, OldNode, OldWorkflow

SIDE = 64


def input_values(old: OldWorkflow, new: Drawing, head: OldNode) -> dict[str, Any]:
    """The settings of the Input before `head`; a size that nothing tells is noted."""
    tested, resized = _tested_shape(old, new, head), _resized(old, new, head)
    if head.type == "linear_layer":
        features = whole(new, head, "in_features")
        if tested and len(tested) == 2:
            return {"kind": "sequence", "kind.length": tested[0], "kind.features": features}
        return {"kind": "features", "kind.features": features}
    if head.type not in ("Conv_layer", "pre_train_layer") and tested and len(tested) in (1, 2):
        names = ("features",) if len(tested) == 1 else ("length", "features")
        kind = "features" if len(tested) == 1 else "sequence"
        return {"kind": kind} | {f"kind.{name}": size for name, size in zip(names, tested, strict=True)}
    channels = tested[0] if tested and len(tested) == 3 else 3
    if head.type == "Conv_layer":
        channels = whole(new, head, "in_channels")
    size = resized or (tested[1:] if tested and len(tested) == 3 else None)
    if resized and tested and len(tested) == 3 and tested[1:] != resized:
        new.note(head, f"the data has {resized[0]} × {resized[1]} pixels and the test tensor {tested[1]} × {tested[2]}; Input takes the data's size.")  # fmt: skip
    if size is None:
        new.note(head, f"nothing tells the size of its pictures; Input has {SIDE} × {SIDE}, correct it there.")
        size = (SIDE, SIDE)
    return {"kind": "image", "kind.channels": channels, "kind.height": size[0], "kind.width": size[1]}


def resize_of(dataset: OldNode) -> tuple[int, int] | None:
    """Height and width that a create_dataset brings pictures to; None if it leaves them. (Its resize_w_h goes to torchvision as height, width.)"""
    sizes = read_numbers(dataset.values["resize_w_h"]) if dataset.values["resize"] else None
    if not sizes or min(sizes) < 1:
        return None
    return int(sizes[0]), int(sizes[-1])


def _models(old: OldWorkflow, head: OldNode) -> list[OldNode]:
    """The create_model nodes at the end of a chain that begins with `head`."""
    found = []
    for node in old.nodes.values():
        layer = old.source_node(node, "layer", LAYERS) if node.type == "create_model" else None
        seen = set()
        while layer is not None and layer.id not in seen:
            if layer.id == head.id:
                found.append(node)
            seen.add(layer.id)
            layer = old.source_node(layer, "layer", LAYERS)
    return found


def model_of(old: OldWorkflow, node: OldNode) -> OldNode | None:
    """The create_model node behind a `model` input, through any number of trainings."""
    seen = set()
    step: OldNode | None = node
    while step is not None and step.type != "create_model" and step.id not in seen:
        seen.add(step.id)
        step = old.source_node(step, "model", ("create_model", "create_training_task"))
    return step if step is not None and step.type == "create_model" else None


def _users(old: OldWorkflow, head: OldNode, type: str) -> list[OldNode]:
    models = [model.id for model in _models(old, head)]
    users = [node for node in old.nodes.values() if node.type == type]
    return [node for node in users if (model := model_of(old, node)) and model.id in models]


def _resized(old: OldWorkflow, new: Drawing, head: OldNode) -> tuple[int, int] | None:
    sources = [(task, "train_dataset") for task in _users(old, head, "create_training_task")]
    sources += [(test, "tensor") for test in _users(old, head, "forward_test")]
    for node, name in sources:
        dataset = old.source_node(node, name, ("create_dataset",))
        if dataset and (size := resize_of(dataset)):
            return size
    return None


def _tested_shape(old: OldWorkflow, new: Drawing, head: OldNode) -> tuple[int, ...] | None:
    """The shape, without the batch, of the create_intput that the network is tested with."""
    for test in _users(old, head, "forward_test"):
        source = old.source_node(test, "tensor", ("create_intput",))
        if source is None:
            continue
        sizes = read_numbers(source.values["tensor_Dimensions"])
        if sizes and len(sizes) > 1 and min(sizes) >= 1:
            return tuple(int(size) for size in sizes[1:])
        new.note(
            source, f"its dimensions {source.values['tensor_Dimensions']!r} cannot be read; set the sizes on Input."
        )
    return None
