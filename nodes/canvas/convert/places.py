"""How large the nodes of a converted workflow are, their places, and the groups around them."""

from __future__ import annotations

from typing import Any

from .layout import Box, lay_out
from .old import Id, Port, pair

LEAST = 270
"""Width of a new node; web/sizes.js has the same."""
INSIDE = {
    "VisionsmithTrain": (420, 290),
    "VisionsmithPredict": (LEAST, 90),
    "VisionsmithSaveNetwork": (LEAST, 60),
    "VisionsmithImageFolder": (400, 0),
}
"""Width, and how high what is drawn in a node is: charts and tables."""
PICTURES = {"LoadImage": (290, 360), "LoadImageMask": (290, 370), "PreviewImage": (290, 360), "SaveImage": (290, 400)}
"""Room for ComfyUI's own nodes with the picture that they show."""
MOST = 10_000
"""A node that says it is larger is taken for this large: a stranger's file must not make the server count the pixels of any width."""
FRAME, HEADING = 30, 80
"""Between a group's frame and its nodes; above them, where their titles and badges are too."""


def size_of(type: str, slots: int, widgets: int) -> tuple[int, int]:
    """Width and height of one of our nodes; at least what the canvas says that it needs."""
    width, inside = INSIDE.get(type, (LEAST, 0))
    return width, 20 + 20 * slots + 24 * widgets + inside


def place(
    nodes: list[dict[str, Any]], wires: dict[Id, dict[str, Port]], groups: list[Any], made: set[Id]
) -> tuple[list[Any], list[str]]:
    """Make room for the nodes; the groups that still have their nodes for themselves, and the titles of those that have not.

    Args:
        made: Nodes that the old drawing did not have.
    """
    inside = {number: _inside(nodes, group) for number, group in enumerate(groups)}
    boxes = []
    for node in nodes:
        width, height = node["size"] = [*pair(node.get("size"))]
        least = PICTURES.get(node["type"], (140, 30))
        reads = [port[0] for port in wires.get(node["id"], {}).values()]
        boxes.append(
            Box(
                node["id"],
                pair(node.get("pos")),
                (min(max(width, least[0]), MOST), min(max(height, least[1]), MOST)),
                reads,
                node["id"] in made,
            )
        )
    places = lay_out(boxes)
    rooms = {box.id: (*places[box.id], *box.size) for box in boxes}
    for node in nodes:
        node["pos"] = list(places[node["id"]])
    kept, lost = [], []
    for number, group in enumerate(groups):
        frame = _frame([rooms[id] for id in inside[number]])
        alone = frame and not any(_meet(frame, room) for id, room in rooms.items() if id not in inside[number])
        if alone and not any(_meet(frame, other["bounding"]) for other in kept):
            kept.append({**group, "bounding": list(frame)})
        else:
            lost.append(str(group.get("title") or "without a title"))
    return kept, lost


def _inside(nodes: list[dict[str, Any]], group: dict[str, Any]) -> set[Id]:
    """The nodes whose middle lay in a group's frame."""
    bounding = group.get("bounding")
    if not bounding:
        return set()
    left, top, width, height = (float(value) for value in bounding)
    found = set()
    for node in nodes:
        (x, y), size = pair(node.get("pos")), pair(node.get("size"))
        if left <= x + size[0] / 2 <= left + width and top <= y + size[1] / 2 <= top + height:
            found.add(node["id"])
    return found


def _frame(rooms: list[tuple[float, ...]]) -> tuple[float, float, float, float] | None:
    if not rooms:
        return None
    left, top = min(room[0] for room in rooms) - FRAME, min(room[1] for room in rooms) - HEADING
    right, bottom = max(room[0] + room[2] for room in rooms) + FRAME, max(room[1] + room[3] for room in rooms) + FRAME
    return left, top, right - left, bottom - top


def _meet(one: tuple[float, ...], other: tuple[float, ...]) -> bool:
    """Whether two rectangles (left, top, width, height) have a part in common."""
    return all(one[i] < other[i] + other[i + 2] and other[i] < one[i] + one[i + 2] for i in (0, 1))
