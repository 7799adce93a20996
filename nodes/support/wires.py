"""The types that travel on Visionsmith's wires, and the shapes that many schemas share.

Everything else on a wire is ComfyUI's own type.
"""

from __future__ import annotations

from typing import Any

from comfy_api.latest import io

from ...nn_layers.errors import InputError

Tensor = io.Custom("VISIONSMITH_TENSOR")
NetworkWire = io.Custom("VISIONSMITH_NETWORK")
DatasetWire = io.Custom("VISIONSMITH_DATASET")
LossWire = io.Custom("VISIONSMITH_LOSS")
OptimizerWire = io.Custom("VISIONSMITH_OPTIMIZER")
TransformWire = io.Custom("VISIONSMITH_TRANSFORM")
RunWire = io.Custom("VISIONSMITH_RUN")
ReportWire = io.Custom("VISIONSMITH_REPORT")
BoundingBoxes = io.Custom("BOUNDING_BOX")
"""ComfyUI's boxes: for each picture a list of {x, y, width, height, label, score}, in pixels."""

SOCKET = {"forceInput": True}
"""For an input of boxes: without a wire the front end would make a widget of it and send a box that nobody drew."""


def chosen(name: str, combo: dict[str, Any] | str | None) -> tuple[str, dict[str, Any]]:
    """What a DynamicCombo arrived as: the option, and the values of that option's inputs.

    Values that an API prompt left out arrive as None; they are dropped, so that the defaults of the core apply.

    Raises:
        InputError: The option itself is missing.
    """
    if isinstance(combo, str):
        return combo, {}
    values = {key: value for key, value in (combo or {}).items() if value is not None}
    if name not in values:
        raise InputError(f"{name} is missing; choose one of its options.")
    return values.pop(name), values


def options(table: dict[str, list[io.Input]]) -> list[io.DynamicCombo.Option]:
    """The options of a DynamicCombo from a table: option → the inputs that only it has."""
    return [io.DynamicCombo.Option(key, inputs) for key, inputs in table.items()]
