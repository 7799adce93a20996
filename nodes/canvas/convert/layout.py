"""Where nodes lie on the canvas: columns from left to right by how far a node is from the beginning, without crossing wires where that is possible.

After Sugiyama, Tagawa and Toda (1981): columns by the longest path, order within a column by barycentre. Nothing overlaps, whatever is drawn.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from graphlib import TopologicalSorter
from statistics import fmean

from .old import Id

BESIDE = 60
"""Between columns."""
BELOW = 120
"""Between nodes of a column: a title, a badge above it, and what a node is higher in Vue's renderer."""
SWEEPS = 4
MOST_LANES = 3000
"""Room is kept for this many wires in columns that they pass."""
FIRM = 8
"""A wire that passes a column moves the nodes there aside, rather than they it."""
WIDEST = 1600
"""Nodes without wires stand in rows this wide, or as wide as the drawing."""


@dataclass
class Box:
    """A node: where it was, how large it is, the nodes that it reads; `column`, `x` and `y` are found here."""

    id: Id
    was: tuple[float, float]
    size: tuple[float, float]
    reads: list[Id] = field(default_factory=list)
    read_by: list[Id] = field(default_factory=list)
    weight: float = 1.0
    column: int = 0
    x: float = 0.0
    y: float = 0.0


def lay_out(boxes: Iterable[Box]) -> dict[Id, tuple[float, float]]:
    """Left and top of every box; the top left corner of all of them stays where it was.

    Boxes that nothing is wired to, such as notes, stand in rows below the others, in their old order.
    """
    by_id = {box.id: box for box in boxes}
    for box in by_id.values():
        box.reads = [id for id in dict.fromkeys(box.reads) if id in by_id and id != box.id]
        for id in box.reads:
            by_id[id].read_by.append(box.id)
    wired = {id: box for id, box in by_id.items() if box.reads or box.read_by}
    if wired:
        _choose_columns(wired)
        lanes = _keep_lanes(wired)
        columns = _order(wired | lanes)
        _place(wired | lanes, columns)
    _place_loose([box for id, box in by_id.items() if id not in wired], list(wired.values()))
    left = min((box.was[0] for box in by_id.values()), default=0) - min((box.x for box in by_id.values()), default=0)
    top = min((box.was[1] for box in by_id.values()), default=0) - min((box.y for box in by_id.values()), default=0)
    return {box.id: (round(box.x + left), round(box.y + top)) for box in by_id.values()}


def _choose_columns(boxes: dict[Id, Box]) -> None:
    """A column right of all that a node reads; what reads no more than it gives stands as near to its reader as it can."""
    order = list(TopologicalSorter({id: box.reads for id, box in boxes.items()}).static_order())
    for id in order:
        boxes[id].column = 1 + max((boxes[source].column for source in boxes[id].reads), default=-1)
    for id in reversed(order):
        box = boxes[id]
        if box.read_by and len(box.reads) <= len(box.read_by):
            box.column = min(boxes[reader].column for reader in box.read_by) - 1


def _keep_lanes(boxes: dict[Id, Box]) -> dict[Id, Box]:
    """A box without a size in every column that a wire passes, so that it does not run behind nodes; wires of one output share them."""
    lanes: dict[Id, Box] = {}
    for box in boxes.values():
        for number, source in enumerate(box.reads):
            start, step = boxes[source], boxes[source]
            if len(lanes) + box.column - start.column > MOST_LANES or box.column - start.column < 2:
                continue
            start.read_by.remove(box.id)
            for column in range(start.column + 1, box.column):
                id = f"{source} passes {column}"
                if id not in lanes:
                    lanes[id] = Box(id, start.was, (0, 0), [step.id], weight=FIRM, column=column)
                    step.read_by.append(id)
                step = lanes[id]
            step.read_by.append(box.id)
            box.reads[number] = step.id
    return lanes


def _order(boxes: dict[Id, Box]) -> list[list[Box]]:
    """The columns, each ordered by the mean place of its neighbours, from left to right and back, beginning with the old order."""
    found: dict[int, list[Box]] = defaultdict(list)
    for box in boxes.values():
        found[box.column].append(box)
    columns = [sorted(found[number], key=lambda box: (box.was[1], box.was[0])) for number in sorted(found)]
    rank = {box.id: float(place) for column in columns for place, box in enumerate(column)}
    for sweep in range(SWEEPS):
        for column in columns if sweep % 2 == 0 else columns[::-1]:
            mean = {box.id: _mean(rank, box.reads if sweep % 2 == 0 else box.read_by, box.id) for box in column}
            column.sort(key=lambda box: mean[box.id])
            rank |= {box.id: float(place) for place, box in enumerate(column)}
    return columns


def _mean(values: dict[Id, float], ids: list[Id], otherwise: Id) -> float:
    return fmean(values[id] for id in ids or [otherwise])


def _place(boxes: dict[Id, Box], columns: list[list[Box]]) -> None:
    """Each node as high as its neighbours, as far as those above it in its column leave room."""
    x = 0.0
    for column in columns:
        for box in column:
            box.x = x
        x += max(box.size[0] for box in column) + BESIDE
    tops = dict.fromkeys(boxes, 0.0)
    for sweep in range(SWEEPS + 1):
        forward = sweep % 2 == 0
        for column in columns if forward else columns[::-1]:
            _stack(column, [_mean(tops, box.reads if forward else box.read_by, box.id) for box in column])
            tops |= {box.id: box.y for box in column}


def _stack(column: list[Box], wanted: list[float]) -> None:
    """Keep the order; nodes that get in each other's way share what they want, so that a column neither drifts down nor up."""
    blocks: list[
        tuple[list[Box], float, float, float]
    ] = []  # nodes, the top that they agree on, their weight and height
    for box, top in zip(column, wanted, strict=True):
        nodes, weight, height = [box], box.weight, box.size[1] + BELOW
        while blocks and blocks[-1][1] + blocks[-1][3] > top:
            above, its_top, its_weight, its_height = blocks.pop()
            top = (its_top * its_weight + (top - its_height) * weight) / (its_weight + weight)
            nodes, weight, height = above + nodes, its_weight + weight, its_height + height
        blocks.append((nodes, top, weight, height))
    for nodes, y, _, _ in blocks:
        for box in nodes:
            box.y, y = y, y + box.size[1] + BELOW


def _place_loose(loose: list[Box], placed: list[Box]) -> None:
    """Rows below everything else."""
    x = left = min((box.x for box in placed), default=0.0)
    y = max((box.y + box.size[1] + BELOW for box in placed), default=0.0)
    right = max([left + WIDEST, *(box.x + box.size[0] for box in placed)])
    tallest = 0.0
    for box in sorted(loose, key=lambda one: (one.was[1], one.was[0])):
        if x > left and x + box.size[0] > right:
            x, y, tallest = left, y + tallest + BELOW, 0.0
        box.x, box.y = x, y
        x, tallest = x + box.size[0] + BESIDE, max(tallest, box.size[1])
