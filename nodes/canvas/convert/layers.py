"""What each layer node of the old pack becomes: one of our layer nodes with its settings."""

from __future__ import annotations

import re
from typing import Any

from .drawing import Drawing
from .old import OldNode, Port

BACKBONES = {
    "vgg_16": "vgg16.tv_in1k",
    "resnet_50": "resnet50.tv_in1k",
    "inception_v3": "inception_v3.tv_in1k",
    "efficientnet_b0": "efficientnet_b0.ra_in1k",
}
"""The pack's torchvision models → timm's names of the same weights."""

POOLINGS = {
    "adaptive_avgpool": ("average", "adaptive"),
    "MaxPool2d": ("max", "window"),
    "AvgPool2d": ("average", "window"),
}


def read_numbers(text: Any) -> list[float] | None:
    """The numbers of a text such as "[32, 7]", "(3, 3)" or "10"; None if it is anything else, such as a calculation."""
    body = re.fullmatch(r"\s*(?:\[([^\[\]()]*)\]|\(([^\[\]()]*)\)|([^\[\]()]*))\s*", str(text))
    parts = next((group for group in body.groups() if group is not None), "").split(",") if body else []
    parts = [part.strip() for part in parts if part.strip()]
    if not parts or not all(re.fullmatch(r"[+-]?(\d+\.?\d*|\.\d+)", part) for part in parts):
        return None
    return [float(part) for part in parts]


def whole(new: Drawing, node: OldNode, key: str) -> int:
    """A setting that must be a whole number; the pack's own default, with a note, if it is not."""
    from .old import PACK

    try:
        return int(node.values[key])
    except (TypeError, ValueError):
        default = PACK[node.type][key]
        new.note(node, f"{key} is {node.values[key]!r}, which is no whole number; {default} is taken instead.")
        return default


def layer_settings(new: Drawing, node: OldNode) -> tuple[str, dict[str, Any]]:
    """Our node and its settings for a layer of the old pack; what could not be carried over is noted."""
    for key in node.wired_values:
        new.note(node, f"{key} was wired; its value {node.values[key]!r} stands there now.")
    values = node.values
    match node.type:
        case "linear_layer":
            return "Linear", {"out_features": whole(new, node, "out_features"), "anywhere": True}
        case "activation_function":
            name = str(values["act_func_type"])
            return "Activation", {"type": name, **({"type.dim": -1} if name == "Softmax" else {})}
        case "view_layer":
            size = whole(new, node, "flatten_dimension")
            if size > 0:
                return "View", {"type": "reshape", "type.sizes": str(size)}
            return "View", {"type": "flatten", "type.dim": 0, "type.end_dim": -1}
        case "Conv_layer":
            settings = {key: whole(new, node, key) for key in ("out_channels", "kernel_size", "stride")}
            padding = whole(new, node, "padding")
            return "Conv", settings | (
                {"padding": "number", "padding.amount": padding} if padding else {"padding": "valid"}
            )
        case "Normalization_layer":
            return "Normalization", _normalization(new, node)
        case "pooling_layer":
            return "Pooling", _pooling(new, node)
        case _:
            return "Backbone", _backbone(new, node)


def _normalization(new: Drawing, node: OldNode) -> dict[str, Any]:
    if node.values["mode"] != "LayerNorm":
        return {"type": "BatchNorm"}
    shape = read_numbers(node.values["normalized_shape"])
    if shape is None:
        new.note(
            node,
            f"the shape {node.values['normalized_shape']!r} cannot be read; it normalizes over all dimensions now, set dims if fewer are meant.",
        )
    return {"type": "LayerNorm", "type.dims": len(shape or ())}


def _pooling(new: Drawing, node: OldNode) -> dict[str, Any]:
    kind, area = POOLINGS.get(str(node.values["mode"]), POOLINGS["adaptive_avgpool"])
    text = node.values["normalized_shape"]
    sizes = read_numbers(text)
    side = int(sizes[0]) if sizes and sizes[0] >= 1 else 3
    if sizes is None or sizes[0] < 1:
        new.note(node, f"the shape {text!r} cannot be read; {side} is taken for both sides, correct it on the node.")
    elif len(set(sizes)) > 1:
        new.note(node, f"the shape {text} is not square, and Pooling takes one side; {side} is taken for both, correct it on the node.")  # fmt: skip
    key = "output_size" if area == "adaptive" else "kernel_size"
    return {"type": kind, "area": area, f"area.{key}": side}


def _backbone(new: Drawing, node: OldNode) -> dict[str, Any]:
    mode = str(node.values["mode"])
    model = BACKBONES.get(mode, BACKBONES["resnet_50"])
    frozen = bool(node.values["freeze_weights"])
    text = f"{mode} is timm's {model} now"
    if frozen:
        text += "; frozen, it keeps its running statistics too, which the old pack did not"
    if mode == "efficientnet_b0":
        text += "; its map has 320 channels, because timm's ends before the last 1 × 1 convolution to 1,280"
    new.note(node, f"{text}.")
    pretrained = bool(node.values["use_weights"])
    return {"model": model, "pretrained": pretrained, "output": "map", "freeze": "all" if frozen else "none"}


def merge_settings(new: Drawing, node: OldNode, kind: str) -> dict[str, Any]:
    """The settings of the Merge node that does what a res_type did; dimensions are counted without the batch here."""
    simple = {"add": "add", "Mul": "multiply", "div": "divide", "sub": "subtract"}
    if kind in simple:
        return {"operation": simple[kind]}
    found = re.fullmatch(r"concat-dim=([0-3])", kind)
    if not found:
        new.note(node, f"res_type {kind!r} is unknown; the branch is added, correct the Merge node if that is wrong.")
        return {"operation": "add"}
    dim = int(found[1]) - 1
    if dim < 0:
        new.note(node, "concat-dim=0 put branches one after another as more samples, which no layer does here; Merge joins their channels, check it.")  # fmt: skip
    return {"operation": "concat", "operation.dim": max(dim, 0)}


def draw_layer(new: Drawing, node: OldNode, tensor: Port | None, copy: bool = False) -> Port:
    """Draw a layer behind `tensor`: in the old node's place, or as a copy of it."""
    cls, values = layer_settings(new, node)
    return new.add(cls, values, {"tensor": tensor}, node, copy)
