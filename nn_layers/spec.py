"""The specification of a network: its layers by name, who reads whom, and the JSON it is saved as."""

from __future__ import annotations

import types
from collections import Counter
from dataclasses import asdict, dataclass, fields, replace
from functools import cached_property
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from .backbone import Backbone
from .errors import InputError
from .layers import Activation, Conv, Dropout, Linear, Normalization, Pooling, Upsample
from .recipe import Shape
from .segmentation import SegmentationModel
from .sequence import Attention, Embedding, Recurrent
from .shaping import Merge, View
from .tensor import MAX_LAYERS, MAX_PARAMETERS, Input, Layer, SymbolicTensor, WeightSource, apply, input_tensor, walk

KINDS: dict[str, type] = {
    kind.__name__: kind
    for kind in (
        Input, Conv, Linear, Activation, Normalization, Pooling, View, Dropout, Upsample, Merge,
        Attention, Embedding, Recurrent, Backbone, SegmentationModel,
    )
}  # fmt: skip
"""Every layer that a network file may name."""


@dataclass(frozen=True)
class Node:
    """One layer of a network: its name, its settings and the names of the nodes it reads."""

    name: str
    layer: Layer
    inputs: tuple[str, ...] = ()
    frozen: bool = False


@dataclass(frozen=True)
class NetworkSpec:
    """A network without its weights: nodes in an order in which they can run, and which of them are the outputs."""

    name: str
    nodes: tuple[Node, ...]
    outputs: tuple[str, ...]

    @property
    def inputs(self) -> tuple[Node, ...]:
        """The nodes where data enters."""
        return tuple(node for node in self.nodes if isinstance(node.layer, Input))

    @cached_property
    def tensors(self) -> dict[str, SymbolicTensor]:
        """Every node's symbolic tensor, inferred anew from the inputs on."""
        found: dict[str, SymbolicTensor] = {}
        for node in self.nodes:
            found[node.name] = (
                input_tensor(node.layer)
                if isinstance(node.layer, Input)
                else replace(apply(node.layer, *(found[name] for name in node.inputs)), frozen=node.frozen)
            )
        return found

    @property
    def input_shape(self) -> Shape:
        """Shape of the first input, without the batch."""
        return self.inputs[0].layer.shape

    @property
    def output_shape(self) -> Shape:
        """Shape of the first output, without the batch."""
        return self.tensors[self.outputs[0]].shape

    @property
    def parameters(self) -> int:
        """Weights of the whole network."""
        return sum(tensor.parameters for tensor in self.tensors.values())

    @property
    def macs(self) -> int:
        """Multiply-adds of the whole network for one sample."""
        return sum(tensor.macs for tensor in self.tensors.values())


def trace(outputs: tuple[SymbolicTensor, ...], name: str = "network") -> tuple[NetworkSpec, dict[str, WeightSource]]:
    """The specification of everything that leads to `outputs`, and where trained weights of its layers come from.

    Raises:
        InputError: No Input feeds the outputs, or the network is too large.
    """
    tensors = walk(outputs)
    if len(tensors) > MAX_LAYERS:
        raise InputError(
            f"Build Network: the drawing has {len(tensors):,} layers; the limit is {MAX_LAYERS:,}, so repeat fewer blocks."
        )
    names: dict[int, str] = {}
    counts: Counter[str] = Counter()
    for tensor in tensors:
        kind = type(tensor.layer).__name__.lower()
        counts[kind] += 1
        names[id(tensor)] = f"{kind}_{counts[kind]}"
    nodes = tuple(
        Node(names[id(t)], t.layer, tuple(names[id(source)] for source in t.inputs), t.frozen) for t in tensors
    )
    spec = NetworkSpec(name, nodes, tuple(names[id(t)] for t in outputs))
    spec.__dict__["tensors"] = {names[id(t)]: t for t in tensors}  # known already: no need to infer them again
    _check_size(spec)
    return spec, {names[id(t)]: t.weights for t in tensors if t.weights}


def embed(
    spec: NetworkSpec, inputs: tuple[SymbolicTensor, ...], weights: Any = None, frozen: bool = False
) -> SymbolicTensor:
    """Draw `spec` again behind `inputs`, as part of a larger network; gives its first output.

    Args:
        weights: Path of the safetensors file with the trained weights, or None to start from fresh ones.
        frozen: Keep those weights as they are during training.
    """
    wanted = spec.inputs
    if len(wanted) != len(inputs):
        raise InputError(
            f"Block: {spec.name} has {len(wanted)} inputs, but {len(inputs)} tensors came in; connect one for each."
        )
    found = {node.name: tensor for node, tensor in zip(wanted, inputs, strict=True)}
    for node in spec.nodes:
        if node.name not in found:
            tensor = apply(node.layer, *(found[name] for name in node.inputs))
            source = WeightSource(weights, node.name) if weights and tensor.parameters else None
            found[node.name] = replace(tensor, weights=source, frozen=frozen or node.frozen)
    return found[spec.outputs[0]]


def to_dict(spec: NetworkSpec) -> dict[str, Any]:
    """The JSON form of `spec`; `from_dict` reads it back."""
    layers = [
        {
            "name": node.name,
            "layer": type(node.layer).__name__,
            "settings": {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(node.layer).items()},
            "inputs": list(node.inputs),
            "frozen": node.frozen,
        }
        for node in spec.nodes
    ]
    return {"name": spec.name, "layers": layers, "outputs": list(spec.outputs)}


def from_dict(data: dict[str, Any]) -> NetworkSpec:
    """Read the JSON form of a specification and check every word of it; nothing is allocated.

    Raises:
        InputError: An unknown layer, a wrong setting, a name used twice or before it exists (a cycle), shapes that do not fit.
    """
    layers, outputs = data.get("layers"), data.get("outputs")
    if not isinstance(layers, list) or not isinstance(outputs, list) or not layers or not outputs:
        raise InputError("the network file lists no layers or no outputs; save the network again.")
    if len(layers) > MAX_LAYERS:
        raise InputError(f"the network file has {len(layers):,} layers; the limit is {MAX_LAYERS:,}.")
    nodes: dict[str, Node] = {}
    for entry in layers:
        node = _node(entry)
        if node.name in nodes:
            raise InputError(
                f"the network file has two layers called {node.name}; names must differ, so save the network again."
            )
        if missing := [name for name in node.inputs if name not in nodes]:
            raise InputError(
                f"layer {node.name} reads {missing[0]}, which does not come before it (a cycle, or a layer that is missing); save the "
                f"network again."
            )
        nodes[node.name] = node
    if missing := [name for name in outputs if name not in nodes]:
        raise InputError(
            f"the network file names the output {missing[0]!r}, but has no such layer; save the network again."
        )
    spec = NetworkSpec(str(data.get("name", "network")), tuple(nodes.values()), tuple(outputs))
    if not spec.inputs:
        raise InputError("the network file has no Input layer; save the network again.")
    _check_size(spec)
    return spec


def _check_size(spec: NetworkSpec) -> None:
    if not spec.inputs:
        raise InputError("Build Network: no Input leads to these outputs; begin the drawing with an Input node.")
    if spec.parameters > MAX_PARAMETERS:
        raise InputError(
            f"{spec.name} would have {spec.parameters:,} parameters; the limit is {MAX_PARAMETERS:,}, so make its layers smaller."
        )


def _node(entry: Any) -> Node:
    if not isinstance(entry, dict):
        raise InputError("the network file has a layer that is not a table of settings; save the network again.")
    name, kind, inputs, settings = (entry.get(key) for key in ("name", "layer", "inputs", "settings"))
    if not isinstance(name, str) or not name.isidentifier():
        raise InputError(f"the network file has a layer called {name!r}; names are letters, digits and underscores.")
    if kind not in KINDS:
        raise InputError(
            f"layer {name} is a {kind!r}, which this version does not know; update Visionsmith or check where the file comes from."
        )
    if not isinstance(inputs, list) or not isinstance(settings, dict):
        raise InputError(f"layer {name} has no inputs or no settings; save the network again.")
    return Node(name, _settings(name, KINDS[kind], settings), tuple(inputs), entry.get("frozen") is True)


def _settings(name: str, kind: type, settings: dict[str, Any]) -> Layer:
    """`kind(**settings)` with every value checked against the field's type."""
    hints = get_type_hints(kind)
    if unknown := set(settings) - {field.name for field in fields(kind)}:
        raise InputError(
            f"layer {name} has the setting {min(unknown)!r}, which {kind.__name__} does not know; update Visionsmith or save the network again."
        )
    values = {}
    for key, value in settings.items():
        value = tuple(value) if isinstance(value, list) else value
        if not _fits(value, hints[key]):
            raise InputError(
                f"layer {name} has {key} = {value!r}, which is not a {kind.__name__}'s {key}; save the network again."
            )
        values[key] = value
    return kind(**values)


def _fits(value: Any, hint: Any) -> bool:
    """Whether `value` is of the annotated type, for the few annotations that layers use."""
    if get_origin(hint) is Literal:
        return value in get_args(hint)
    if get_origin(hint) in (Union, types.UnionType):
        return any(_fits(value, option) for option in get_args(hint))
    if get_origin(hint) is tuple:
        return isinstance(value, tuple) and all(_fits(item, get_args(hint)[0]) for item in value)
    if hint is float:
        return isinstance(value, (int, float)) and not isinstance(value, bool)
    return type(value) is hint
