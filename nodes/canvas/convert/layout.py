"""Where nodes of a converted drawing lie: where they lay before, moved to the right and down as far as the new ones need room."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from graphlib import TopologicalSorter

from .old import Id

BESIDE = 60
"""Between two nodes that a wire joins."""
BELOW = 120
"""Between nodes one under the other: a title, a badge above it, and what a node is higher in Vue's renderer."""
CELL = 10
"""Pixels of width for which it is remembered how far down they are taken."""


@dataclass
class Box:
    """A node: where it was, how large it is, the nodes that it reads; whether it was made, for an old one at that place."""

    id: Id
    was: tuple[float, float]
    size: tuple[float, float]
    reads: list[Id] = field(default_factory=list)
    made: bool = False


def lay_out(boxes: Iterable[Box]) -> dict[Id, tuple[int, int]]:
    """Left and top of every box, so that none lies on another.

    What was left of the nodes that read it, or was not there, is left of them; a wire that went back in the old drawing still does.
    """
    by_id = {box.id: box for box in boxes}
    lefts = _lefts(by_id)
    taken: dict[int, float] = {}
    places: dict[Id, tuple[int, int]] = {}
    for box in sorted(by_id.values(), key=lambda box: (box.was[1], lefts[box.id])):
        left, (width, height) = round(lefts[box.id]), box.size
        cells = range(int(left // CELL), int((left + width) // CELL) + 1)
        top = max([box.was[1], *(taken[cell] for cell in cells if cell in taken)])
        taken |= dict.fromkeys(cells, top + height + BELOW)
        places[box.id] = (left, round(top))
    return places


def _lefts(boxes: dict[Id, Box]) -> dict[Id, float]:
    """Each box's left side. Where nodes need more room, all that was further to the right moves with them, so that columns stay columns."""
    after = {
        id: [source for source in box.reads if source in boxes and source != id and _goes_right(boxes[source], box)]
        for id, box in boxes.items()
    }
    order = list(TopologicalSorter(after).static_order())
    before: dict[Id, list[Id]] = defaultdict(list)
    from_left: dict[Id, float] = {}
    for id in order:
        from_left[id] = max([boxes[id].was[0], *(from_left[source] for source in after[id])])
        for source in after[id]:
            before[source].append(id)
    lefts: dict[Id, float] = {}
    moved = 0.0
    for id in sorted(order, key=lambda id: from_left[id]):  # among equal ones the order of the wires stays
        reach = [lefts[source] + boxes[source].size[0] + BESIDE for source in after[id]]
        lefts[id] = max([from_left[id] + moved, *reach])
        moved = max(moved, lefts[id] - from_left[id])
    for id in reversed(order):  # what was made for the node that reads it stands as near to that as it can
        if boxes[id].made and before[id]:
            lefts[id] = max(lefts[id], min(lefts[reader] for reader in before[id]) - boxes[id].size[0] - BESIDE)
    return lefts


def _goes_right(source: Box, target: Box) -> bool:
    return source.made or target.made or source.was[0] <= target.was[0]
