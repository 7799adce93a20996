"""The new workflow: nodes whose sockets and widgets come from their schemas, written as the canvas or as API format has it."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from comfy_api.latest import io

from ....nn_layers.errors import InputError
from .old import PACK, REROUTES, Id, OldNode, OldWorkflow, Port
from .places import place, size_of

MOST_DRAWN = 5000
"""Each further use of a branch is drawn as a copy, so that a small graph can mean a very large one."""


@dataclass
class NewNode:
    """A node of ours. `links` maps flat input names, such as tensors.tensor0, to outputs; `near` is where the old one was that it comes from."""

    id: Id
    cls: type[io.ComfyNode]
    values: dict[str, Any]
    links: dict[str, Port]
    near: tuple[float, float]
    title: str
    mode: int


class Drawing:
    """Collects new nodes; `ports` says what became of the old nodes' outputs, `notes` what had to be decided."""

    def __init__(self, old: OldWorkflow):
        from ... import node_list

        self.old = old
        self.classes = {node.GET_SCHEMA().node_id: node for node in node_list()}
        self.nodes: list[NewNode] = []
        self.made: dict[Id, NewNode] = {}
        self.kept: dict[Id, dict[str, Port]] = {}
        self.ports: dict[Port, Port | None] = {}
        self.told: dict[str, None] = {}
        numbers = [int(id) for id in old.nodes if str(id).isdigit()]
        if old.canvas:
            numbers.append(int(old.canvas.get("last_node_id") or 0))
        self._last = max(numbers, default=0)

    def note(self, node: OldNode, text: str) -> None:
        """Tell a decision about a node."""
        self.told[f"{node.name}: {text}"] = None

    @property
    def notes(self) -> list[str]:
        """A sentence for everything that was decided, in the order of the decisions."""
        return list(self.told)

    def add(
        self,
        cls: str,
        values: dict[str, Any],
        links: dict[str, Port | None],
        near: OldNode,
        beside: bool = False,
    ) -> Port:
        """Add a node and give its first output. It takes the id and the title of `near`, or is another one `beside` it."""
        if beside:
            self._last += 1
            id, title = self._last if self.old.canvas else str(self._last), ""
        else:
            id, title = near.id, near.raw.get("title", "")
        if len(self.nodes) >= MOST_DRAWN:
            raise InputError(f"the drawing would have more than {MOST_DRAWN} nodes; use fewer branches twice.")
        wired = {name: port for name, port in links.items() if port is not None}
        mode = near.raw.get("mode", 0) if self.old.canvas else 0
        self.made[id] = NewNode(id, self.classes[f"Visionsmith{cls}"], values, wired, near.place(), title or "", mode)
        self.nodes.append(self.made[id])
        return id, 0

    def keep_others(self, known: Iterable[str]) -> None:
        """Keep every node that is not of the old pack, wired to what its sources became; tell which are neither ours nor known."""
        known = {*self.classes, *known, *REROUTES, "Note", "MarkdownNote"}
        for node in self.old.nodes.values():
            if node.type in PACK or (node.type in REROUTES and self._carries_old(node)):
                continue
            self.kept[node.id] = {}
            for name in node.links:
                port = self._follow(node, name)
                if port is not None and self._fits(node, name, port):
                    self.kept[node.id][name] = port
                else:
                    self.note(node, f"its input {name} has nothing to be wired to now; the wire is left out.")
            if node.type not in known:
                self.note(node, f"{node.type} is a node of another pack; it is kept as it is.")

    def _carries_old(self, reroute: OldNode) -> bool:
        port = self.old.source(reroute, next(iter(reroute.links), ""))
        return port is not None and self.old.nodes[port[0]].type in PACK

    def _follow(self, node: OldNode, name: str) -> Port | None:
        port = self.old.source(node, name)
        if port is None or self.old.nodes[port[0]].type in PACK:
            return self.ports.get(port) if port else None
        return node.links[name]

    def _fits(self, node: OldNode, name: str, port: Port) -> bool:
        """Whether a kept node's input takes what an output gives; without knowing, yes."""
        made = self.made.get(port[0])
        entry = next((e for e in node.raw.get("inputs", []) if isinstance(e, dict) and e.get("name") == name), {})
        wanted = str(entry.get("type", "*")).split(",")
        return made is None or "*" in wanted or made.cls.GET_SCHEMA().outputs[port[1]].get_io_type() in wanted

    def workflow(self) -> dict[str, Any]:
        """The file, in the format of the old one."""
        return self._canvas(self.old.canvas) if self.old.canvas else self._api()

    def _api(self) -> dict[str, Any]:
        result: dict[str, Any] = {}
        for id in self.kept:
            raw = copy.deepcopy(self.old.nodes[id].raw)
            values = {key: v for key, v in raw["inputs"].items() if key not in self.old.nodes[id].links}
            raw["inputs"] = values | {name: list(port) for name, port in self.kept[id].items()}
            result[str(id)] = raw
        for node in self.nodes:
            schema = node.cls.GET_SCHEMA()
            values = {key: value for key, _, value in widgets(schema.inputs, node.values)}
            inputs = values | {name: [str(port[0]), port[1]] for name, port in node.links.items()}
            title = node.title or schema.display_name
            result[str(node.id)] = {"inputs": inputs, "class_type": schema.node_id, "_meta": {"title": title}}
        return result

    def _canvas(self, old: dict[str, Any]) -> dict[str, Any]:
        nodes = [canvas_node(node) for node in self.nodes]
        wires = {node.id: node.links for node in self.nodes} | self.kept
        for id in self.kept:
            raw = copy.deepcopy(self.old.nodes[id].raw)
            for entry in raw.get("inputs") or []:
                entry["link"] = None
            for entry in raw.get("outputs") or []:
                entry["links"] = None
            nodes.append(raw)
        order = {id: number for number, id in enumerate(self.old.nodes)}
        nodes.sort(key=lambda node: order.get(node["id"], len(order)))
        links = _connect({node["id"]: node for node in nodes}, wires)
        groups, lost = place(nodes, wires, old.get("groups") or [], self.made.keys() - self.old.nodes.keys())
        for title in lost:
            self.told[f"The group {title} is left out: no frame goes round its nodes alone."] = None
        extra = {k: v for k, v in (old.get("extra") or {}).items() if k not in ("reroutes", "linkExtensions")}
        rest = {k: v for k, v in old.items() if k not in ("floatingLinks", "reroutes", "state")}
        counts = {"last_node_id": self._last, "last_link_id": len(links)}
        return rest | counts | {"nodes": nodes, "links": links, "groups": groups, "extra": extra, "version": 0.4}


def _connect(nodes: dict[Id, dict[str, Any]], wires: dict[Id, dict[str, Port]]) -> list[list[Any]]:
    """Write the wires into the nodes' sockets, and give the list of links."""
    links: list[list[Any]] = []
    for id, inputs in wires.items():
        for slot, entry in enumerate(nodes[id].get("inputs") or []):
            port = inputs.get(entry["name"])
            outputs = (nodes.get(port[0], {}).get("outputs") or []) if port else []
            if port is None or port[1] >= len(outputs):
                continue
            output = outputs[port[1]]
            links.append([len(links) + 1, port[0], port[1], id, slot, output["type"]])
            entry["link"] = len(links)
            output["links"] = [*(output.get("links") or []), len(links)]
    return links


def widgets(inputs: list[io.Input], values: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, io.Input, Any]]:
    """Every widget that a node has with these values, in its order: flat name, schema, and value or default."""
    for entry in inputs:
        key = prefix + entry.id
        if isinstance(entry, io.DynamicCombo.Input):
            chosen = values.get(key, entry.options[0].key)
            yield key, entry, chosen
            option = next(option for option in entry.options if option.key == chosen)
            yield from widgets(option.inputs, values, f"{key}.")
        elif isinstance(entry, io.Combo.Input):
            yield key, entry, values.get(key, entry.default if entry.default is not None else entry.options[0])
        elif isinstance(entry, io.WidgetInput):
            yield key, entry, values.get(key, entry.default)


def sockets(inputs: list[io.Input], links: dict[str, Port]) -> Iterator[tuple[str, io.Input]]:
    """Every socket that a node shows: of an Autogrow the wired ones and a free one."""
    for entry in inputs:
        if isinstance(entry, io.Autogrow.Input):
            wired = sum(name.startswith(f"{entry.id}.") for name in links)
            for name in entry.template.names[: max(wired + 1, entry.template.min)]:
                yield f"{entry.id}.{name}", entry.template.input
        elif not isinstance(entry, io.DynamicCombo.Input | io.WidgetInput):
            yield entry.id, entry


def canvas_node(node: NewNode) -> dict[str, Any]:
    """The node as the canvas has it, not yet wired."""
    schema = node.cls.GET_SCHEMA()
    shown = [
        {"name": key, "type": entry.get_io_type(), "link": None} for key, entry in sockets(schema.inputs, node.links)
    ]
    for entry in shown:
        entry["label"] = entry["name"].split(".")[-1]
    values: dict[str, Any] = {}
    for key, entry, value in widgets(schema.inputs, node.values):
        shown.append({"name": key, "type": entry.get_io_type(), "widget": {"name": key}, "link": None})
        values[key] = value
        if control := getattr(entry, "control_after_generate", None):
            values["fixed"] = getattr(control, "value", "fixed")
    outputs = [{"name": o.display_name, "type": o.get_io_type(), "links": None} for o in schema.outputs]
    slots = max(sum("widget" not in entry for entry in shown), len(outputs))
    result = {
        "id": node.id,
        "type": schema.node_id,
        "pos": list(node.near),
        "size": list(size_of(schema.node_id, slots, len(values))),
        "flags": {},
        "order": 0,
        "mode": node.mode,
        "inputs": shown,
        "outputs": outputs,
        "properties": {"Node name for S&R": schema.node_id},
        "widgets_values": list(values.values()),
    }
    return result | ({"title": node.title} if node.title else {})
