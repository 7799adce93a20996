"""The layers: a chain of them becomes wires, and a residual branch, which the old pack finds by its position, a wire and a Merge node.

The old network kept ``outputs = [x, out_0, out_1, …]`` and a position p meant ``outputs[p]``: what goes into layer p, not what it gives. The
drawing begins a branch at the same place, so that it computes the same numbers, and says so.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from itertools import groupby

from ....nn_layers.errors import InputError
from .drawing import Drawing
from .layers import draw_layer, merge_settings
from .old import LAYERS, OldNode, OldWorkflow, Port

MOST_BRANCHES = 200


@dataclass(frozen=True)
class Branch:
    """A residual branch: the node at whose position it begins, and its layers."""

    origin: OldNode
    layers: tuple[OldNode, ...] = ()


@dataclass
class Network:
    """What was drawn: per layer its result, its chain's head, its predecessor, and whether it lies on a branch."""

    results: dict = field(default_factory=dict)
    heads: dict = field(default_factory=dict)
    before: dict = field(default_factory=dict)
    branches: dict = field(default_factory=dict)
    starts: dict = field(default_factory=dict)
    drawn: set = field(default_factory=set)

    def chain(self, node: OldNode) -> list[OldNode]:
        """The layers from the head to `node`."""
        found: list[OldNode] = []
        step: OldNode | None = node
        while step is not None:
            found.append(step)
            step = self.before[step.id]
        return found[::-1]


def draw_network(old: OldWorkflow, new: Drawing) -> Network:
    """Draw every layer; the result tells where each chain begins and ends.

    Raises:
        InputError: The links go round in a circle, or a node joins too many branches.
    """
    from .shapes import input_values

    network = Network()
    for node in old.ordered():
        if node.type == "res_connect":
            parts = [_branches(old, network, node, name) for name in ("res_1", "res_2")]
            # a pair that is already joined comes first, whichever socket it is in
            if sum(map(len, parts)) > MOST_BRANCHES:
                raise InputError(f"{node.name} joins more than {MOST_BRANCHES} branches; remove some of them.")
            network.branches[node.id] = parts[1] + parts[0] if len(parts[0]) == 1 < len(parts[1]) else sum(parts, ())
        elif node.type in LAYERS:
            _draw_node(old, new, network, node, lambda head: input_values(old, new, head))
    _draw_loose_branches(new, network)
    return network


def _draw_node(old: OldWorkflow, new: Drawing, network: Network, node: OldNode, values_of) -> None:
    res = _branches(old, network, node, "res")
    before = old.source_node(node, "layer", LAYERS)
    if before is not None and before.id not in network.heads:
        new.note(
            node, f"its layer comes from {before.name}, which lies on a branch and gives none; the wire is left out."
        )
        before = None
    if before is None and res:
        if len(res) > 1:
            new.note(
                node, "it continues several joined branches, which the old pack could not; it continues the first."
            )
        network.branches[node.id] = (replace(res[0], layers=(*res[0].layers, node)),)
        return
    network.before[node.id] = before
    network.heads[node.id] = network.heads[before.id] if before else node
    network.branches[node.id] = (Branch(node),)
    if before is None:
        network.starts[node.id] = _draw_start(old, new, node, values_of)
    tensor = network.results[before.id] if before else network.starts[node.id]
    port = draw_layer(new, node, tensor)
    network.results[node.id] = _merged(new, network, node, port, res) if res else port


def _branches(old: OldWorkflow, network: Network, node: OldNode, name: str) -> tuple[Branch, ...]:
    source = old.source_node(node, name, (*LAYERS, "res_connect"))
    return network.branches.get(source.id, ()) if source else ()


def _draw_start(old: OldWorkflow, new: Drawing, head: OldNode, values_of) -> Port | None:
    """An Input node before a chain's first layer; none for a layer that is connected to nothing."""
    if not any(port[0] == head.id for node in old.nodes.values() for port in node.links.values()):
        new.note(head, "it is connected to nothing; it is drawn without an Input.")
        return None
    return new.add("Input", values_of(head), {}, head, beside=True)


def _merged(new: Drawing, network: Network, node: OldNode, port: Port, res: tuple[Branch, ...]) -> Port:
    """Join branches to a layer's result, one after another as the old network did; equal operations share a Merge node."""
    joins = []
    for branch in res:
        start = _branch_start(new, network, node, branch)
        last = branch.layers[-1] if branch.layers and len(res) > 1 else node
        joins.append((str(last.values["res_type"]), _draw_branch(new, network, branch, start)))
    for kind, group in groupby(joins, lambda join: join[0]):
        tensors = [port, *(tensor for _, tensor in group)]
        links = {f"tensors.tensor{i}": tensor for i, tensor in enumerate(tensors)}
        port = new.add("Merge", merge_settings(new, node, kind), links, node, beside=True)
    return port


def _branch_start(new: Drawing, network: Network, node: OldNode, branch: Branch) -> Port | None:
    """What the position of a branch's origin means in the chain that it is joined to."""
    position, chain = len(network.chain(branch.origin)) - 1, network.chain(node)
    drawn = network.before[branch.origin.id]
    before = chain[position - 1] if position else None
    if position >= len(chain):
        new.note(node, f"its branch begins at position {position} of a longer chain, where the old pack failed; it begins before {branch.origin.name} now.")  # fmt: skip
        before = drawn
    elif chain[position] is not branch.origin and before is not drawn:
        new.note(node, f"its branch comes from another chain; the old pack counted {position} layers in this one, and so does the drawing.")  # fmt: skip
    else:
        new.note(
            node,
            f"the branch wired from {branch.origin.name} begins at what goes into that layer, as the old pack computed it; rewire it to the layer's "
            f"own tensor if its result was meant.",
        )
    if before is not None:
        return network.results[before.id]
    return network.starts[network.heads[node.id].id]


def _draw_branch(new: Drawing, network: Network, branch: Branch, tensor: Port | None) -> Port | None:
    """Draw a branch's layers; layers that another use has drawn already are copied, because each use had weights of its own."""
    for layer in branch.layers:
        copied = layer.id in network.drawn
        if copied:
            new.note(layer, "several branches use it, each with weights of its own; a copy is drawn.")
        tensor = draw_layer(new, layer, tensor, copied)
        network.drawn.add(layer.id)
    return tensor


def _draw_loose_branches(new: Drawing, network: Network) -> None:
    """Draw the branches that are joined to nothing, behind the layer that they come from."""
    for branch in [b for found in list(network.branches.values()) for b in found]:
        if not all(layer.id in network.drawn for layer in branch.layers):
            before = network.before[branch.origin.id]
            port = network.results[before.id] if before else network.starts[branch.origin.id]
            for layer in branch.layers:
                if layer.id in network.drawn:
                    port = (layer.id, 0)
                    continue
                new.note(layer, "its branch is joined to nothing; the network does not use it.")
                port = draw_layer(new, layer, port)
                network.drawn.add(layer.id)
