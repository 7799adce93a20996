"""What all layer nodes share: their schema, their settings' widgets, and the one call that draws a layer."""

from __future__ import annotations

from typing import Any

from comfy_api.latest import io

from ... import nn_layers as nn
from ...nn_layers.recipe import show
from ..host import host
from .wires import Tensor


def schema(
    node_id: str, name: str, description: str, inputs: list[io.Input], aliases: list[str], category: str = "Layers"
) -> io.Schema:
    """The schema of a layer node: tensors and settings in, one tensor out."""
    return io.Schema(
        node_id=f"Visionsmith{node_id}",
        display_name=name,
        category=f"Visionsmith/{category}",
        description=description,
        search_aliases=aliases,
        inputs=inputs,
        outputs=[
            Tensor.Output(display_name="tensor", tooltip="What the layer gives; wire it to any number of layers.")
        ],
        hidden=[io.Hidden.unique_id],
    )


def incoming(id: str = "tensor", tooltip: str = "The tensor that the layer reads.", **kwargs: Any) -> io.Input:
    """The socket where a layer reads its tensor."""
    return Tensor.Input(id, tooltip=tooltip, **kwargs)


def draw(node: type[io.ComfyNode], layer: nn.tensor.Layer, *inputs: nn.SymbolicTensor) -> io.NodeOutput:
    """Put `layer` behind `inputs` and tell on the node what came of it."""
    return shown(node, nn.apply(layer, *inputs))


def shown(node: type[io.ComfyNode], tensor: nn.SymbolicTensor) -> io.NodeOutput:
    """Give `tensor`, with its shape, parameters and multiply-adds (MACs) as the node's text."""
    costs = [(tensor.parameters, "params"), (tensor.macs, "MACs")]
    parts = [show(tensor.shape), *(f"{short_count(count)} {name}" for count, name in costs if count)]
    host().text(node.hidden.unique_id, " · ".join(parts))
    return io.NodeOutput(tensor)


def short_count(count: int) -> str:
    """A count in few letters: 950, 18.4k, 1.5M, 4.1G."""
    for unit, size in (("G", 10**9), ("M", 10**6), ("k", 10**3)):
        if count >= size:
            return f"{count / size:.1f}{unit}"
    return str(count)
