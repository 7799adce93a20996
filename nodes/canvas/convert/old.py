"""Reading a workflow, in the canvas's format or in API format, as far as the conversion needs it."""

from __future__ import annotations

from dataclasses import dataclass, field
from graphlib import CycleError, TopologicalSorter
from typing import Any

from ....nn_layers.errors import InputError

Id = int | str
Port = tuple[Id, int]
"""A node's id and the number of its output."""

_RES = {"res_type": "add"}
PACK: dict[str, dict[str, Any]] = {
    "linear_layer": {"in_features": 10, "out_features": 10, **_RES},
    "activation_function": {"act_func_type": "ReLU", **_RES},
    "view_layer": {"flatten_dimension": -1, **_RES},
    "Conv_layer": {"in_channels": 3, "out_channels": 32, "kernel_size": 3, "padding": 0, "stride": 1, **_RES},
    "Normalization_layer": {"mode": "LayerNorm", "normalized_shape": "[16]", **_RES},
    "pooling_layer": {"mode": "adaptive_avgpool", "normalized_shape": "[3,3]", **_RES},
    "pre_train_layer": {"mode": "vgg_16", "use_weights": True, "freeze_weights": True, **_RES},
    "res_connect": {},
    "create_intput": {"tensor_Dimensions": "[10,10]"},
    "create_model": {"lr": "0.001", "loss": "CrossEntropyLoss", "save_serialization": True, "save_path": ""},
    "create_dataset": {
        "resize": True,
        "normalize": True,
        "train_data_path": "",
        "val_data": True,
        "number_of_image": 0,
        "resize_w_h": "[512, 512]",
        "mean": "[0.485, 0.456, 0.406]",
        "std": "[0.229, 0.224, 0.225]",
        "val_data_path": "",
    },
    "create_training_task": {"batch_size": 8, "epochs": 100, "save_log_path": ""},
    "forward_test": {"Flatten": False, "return_shape": False, "load_ckpt": False, "device": "cpu", "ckpt_path": ""},
    "show_dimensions": {},
}
"""The old pack's nodes: their settings in the order of the widgets, with the values they have where a file says nothing."""

LAYERS = tuple(PACK)[:7]
REROUTES = ("Reroute", "ReroutePrimitive|pysssss")


@dataclass
class OldNode:
    """One node: `links` maps the names of its inputs to outputs, `values` its settings to values; `raw` is what the file has."""

    id: Id
    type: str
    title: str
    raw: dict[str, Any]
    values: dict[str, Any] = field(default_factory=dict)
    links: dict[str, Port] = field(default_factory=dict)
    wired_values: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """What a note calls it."""
        return f"{self.title} ({self.id})"

    def place(self) -> tuple[float, float]:
        """Left and top on the canvas; zeros in API format."""
        return pair(self.raw.get("pos"))


@dataclass
class OldWorkflow:
    """All nodes, with `canvas` the whole file if it is in the canvas's format, and None in API format."""

    nodes: dict[Id, OldNode]
    canvas: dict[str, Any] | None

    def source(self, node: OldNode, name: str) -> Port | None:
        """What is wired to an input, with reroutes left out."""
        port, seen = node.links.get(name), set()
        while port and port[0] in self.nodes and self.nodes[port[0]].type in REROUTES and port[0] not in seen:
            seen.add(port[0])
            port = next(iter(self.nodes[port[0]].links.values()), None)
        return port if port and port[0] in self.nodes else None

    def source_node(self, node: OldNode, name: str, types: tuple[str, ...]) -> OldNode | None:
        """The node that is wired to an input, if it is of one of `types`."""
        port = self.source(node, name)
        found = self.nodes[port[0]] if port else None
        return found if found and found.type in types else None

    def ordered(self) -> list[OldNode]:
        """All nodes, each behind those that it reads.

        Raises:
            InputError: The links go round in a circle.
        """
        graph = {node.id: {port[0] for port in node.links.values()} for node in self.nodes.values()}
        try:
            return [self.nodes[id] for id in TopologicalSorter(graph).static_order() if id in self.nodes]
        except CycleError as error:
            names = " → ".join(self.nodes[id].name for id in error.args[1])
            raise InputError(f"the links go round in a circle: {names}; remove one of them.") from None


def read_old(data: Any, name: str) -> OldWorkflow:
    """Read a workflow that was parsed from JSON; `name` is what errors call it.

    Raises:
        InputError: It is no workflow in either format.
    """
    try:
        if isinstance(data, dict) and isinstance(data.get("nodes"), list):
            return _read_canvas(data)
        if isinstance(data, dict) and data and all("class_type" in node for node in data.values()):
            return _read_api(data)
    except (KeyError, TypeError, ValueError, IndexError, AttributeError):
        pass
    raise InputError(f"{name} is no workflow; give a JSON file that ComfyUI saved or exported.")


def _read_canvas(data: dict[str, Any]) -> OldWorkflow:
    origins: dict[Any, Port] = {}
    for link in data.get("links") or []:
        if isinstance(link, dict):
            origins[link["id"]] = (link["origin_id"], int(link["origin_slot"]))
        elif link is not None:
            origins[link[0]] = (link[1], int(link[2]))
    nodes = {}
    for raw in data["nodes"]:
        node = OldNode(raw["id"], str(raw["type"]), str(raw.get("title") or raw["type"]), raw)
        for entry in raw.get("inputs") or []:
            if entry.get("link") is not None and entry["link"] in origins:
                node.links[str(entry["name"])] = origins[entry["link"]]
        _settle(node, raw.get("widgets_values"))
        nodes[node.id] = node
    return OldWorkflow(nodes, data)


def _read_api(data: dict[str, Any]) -> OldWorkflow:
    nodes = {}
    for id, raw in data.items():
        title = raw.get("_meta", {}).get("title") or raw["class_type"]
        node = OldNode(id, str(raw["class_type"]), str(title), raw)
        node.links = {key: (str(v[0]), int(v[1])) for key, v in raw["inputs"].items() if _is_link(v)}
        _settle(node, {key: value for key, value in raw["inputs"].items() if not _is_link(value)})
        nodes[id] = node
    return OldWorkflow(nodes, None)


def _settle(node: OldNode, given: Any) -> None:
    """Fill in the settings of a node of the pack, from a list in the order of its widgets or from names."""
    known = PACK.get(node.type)
    if known is None:
        return
    named = given if isinstance(given, dict) else dict(zip(known, given or [], strict=False))
    node.values = {**known, **{key: value for key, value in named.items() if key in known and value is not None}}
    node.wired_values = tuple(key for key in node.links if key in known)


def _is_link(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 2 and isinstance(value[0], str) and isinstance(value[1], int)


def pair(value: Any) -> tuple[float, float]:
    """A position or a size, which the canvas writes as a list or as {"0": …, "1": …}."""
    if isinstance(value, dict):
        value = [value.get("0", 0), value.get("1", 0)]
    return (float(value[0]), float(value[1])) if value else (0.0, 0.0)
