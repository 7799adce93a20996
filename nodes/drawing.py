"""What all layer nodes share: their schema, their settings' widgets, and the one call that draws a layer."""

from __future__ import annotations

from typing import Any

from comfy_api.latest import io

from .. import nn_layers as nn
from ..nn_layers.recipe import show
from .host import host
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
    """Give `tensor`, with its shape, parameters and multiply-adds as the node's text."""
    cost = (
        f" · {tensor.parameters:,} parameters · {tensor.macs:,} multiply-adds"
        if tensor.macs or tensor.parameters
        else ""
    )
    host().text(node.hidden.unique_id, show(tensor.shape) + cost)
    return io.NodeOutput(tensor)


def size(id: str, default: int, tooltip: str, min: int = 1, max: int = 65536, **kwargs: Any) -> io.Input:
    """A whole-number setting."""
    return io.Int.Input(id, default=default, min=min, max=max, tooltip=tooltip, **kwargs)


def number(
    id: str, default: float, tooltip: str, min: float = 0.0, max: float = 1.0, step: float = 0.01, **kwargs: Any
) -> io.Input:
    """A decimal setting."""
    return io.Float.Input(id, default=default, min=min, max=max, step=step, tooltip=tooltip, **kwargs)
