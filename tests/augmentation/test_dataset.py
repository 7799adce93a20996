"""The lazily augmented dataset: what it holds, that it is the same every time, balance, the gate, and the files it becomes."""

import json
import pickle

import numpy as np
import pytest
import torch
from visionsmith.augmentation.balance import allotted, parse_weights, spread
from visionsmith.augmentation.bank import find_defects
from visionsmith.augmentation.dataset import Augmentation, AugmentedSamples, augmented
from visionsmith.augmentation.measured import fitted, looks
from visionsmith.augmentation.methods import METHODS
from visionsmith.augmentation.procedural import Crack, Scratch, Spots
from visionsmith.augmentation.quality import find_part, flaw, noise_of
from visionsmith.augmentation.saving import save_dataset
from visionsmith.augmentation.scene import Patch
from visionsmith.nn_layers import InputError, Prepare
from visionsmith.training import sources, transforms
from visionsmith.training.dataset import Subset
from visionsmith.training.segmentation.folders import masked_folder
from visionsmith.training.segmentation.loader import MaskLoader
from visionsmith.training.segmentation.samples import MaskedTensors, pixel_counts, segmentation_dataset

from .conftest import spotted, surface

ALL = tuple((name, 1.0) for name in METHODS)


def test_originals_come_first_and_nothing_else_changes(dataset):
    out, account = augmented(dataset, Augmentation(per_picture=2, methods=ALL))
    old, new = dataset.split("train"), out.split("train")

    assert isinstance(new, AugmentedSamples)
    assert out.split("val") is dataset.split("val")
    assert out.classes == dataset.classes
    assert (len(old), len(new)) == (8, 24)
    for index in range(8):
        assert new[index] is old[index]
        assert new.mask(index) is old.mask(index)
        assert new.name(index) == old.name(index)
    assert sum(account.made.values()) == 16
    assert "16 of the training pictures are synthetic." in out.notes
    assert torch.equal(new.targets[:8], old.targets)


def test_every_synthetic_picture_is_what_its_target_says(dataset):
    new = augmented(dataset, Augmentation(per_picture=3, methods=ALL, seed=5))[0].split("train")
    for index in range(8, len(new)):
        picture, mask = new[index], new.mask(index)
        recipe = new.recipes[index - 8]
        old, old_mask = new.base[recipe.base], new.base.mask(recipe.base)
        changed = (picture != old).any(0)
        (patch,) = new.made(index).patches

        assert picture.dtype == mask.dtype == torch.uint8
        assert picture.shape == old.shape
        assert torch.equal(pixel_counts(mask, 3), new.targets[index])
        assert (mask == recipe.defects[0][0]).sum() > (old_mask == recipe.defects[0][0]).sum()
        assert torch.equal(mask[old_mask > 0], old_mask[old_mask > 0])
        assert not changed[old_mask > 0].any()
        inside = torch.zeros_like(changed)
        inside[patch.box] = torch.from_numpy(patch.changed)
        assert not (changed & ~inside).any()
        assert new.bank.classes[recipe.defects[0][0]] in new.name(index)


def test_the_seed_decides_and_reading_in_any_order_gives_the_same(dataset):
    one = augmented(dataset, Augmentation(methods=ALL))[0]
    two = augmented(dataset, Augmentation(methods=ALL))[0]
    other = augmented(dataset, Augmentation(methods=ALL, seed=1))[0]
    a, b = one.split("train"), two.split("train")
    pictures = [a[i] for i in range(len(a))]
    for index in reversed(range(len(b))):
        assert torch.equal(b.mask(index), a.mask(index))
        assert torch.equal(b[index], pictures[index])

    assert one.fingerprint == two.fingerprint
    assert len({one.fingerprint, other.fingerprint, dataset.fingerprint}) == 3
    copy = pickle.loads(pickle.dumps(Subset(a, [9, 3]).indices))
    assert torch.equal(Subset(a, copy)[0], pictures[9])
    assert torch.equal(a[-1], pictures[-1])
    with pytest.raises(IndexError):
        a[len(a)]


@pytest.mark.parametrize("channels", [1, 3])
def test_it_feeds_the_loader(channels):
    dataset = segmentation_dataset("spots", {"train": spotted(channels=channels)}, ("ok", "hole", "line"))
    dataset = dataset.with_transforms(transforms.DefectWindow(p=0.8))
    out = augmented(dataset, Augmentation(defects=2))[0]
    loader = MaskLoader(out, "train", 4, Prepare(channels, 48, 48, fit="tile"))
    batches = list(loader.epoch())

    assert sum(len(x) for x, _ in batches) == 16
    assert all(x.shape[1:] == (channels, 48, 48) for x, _ in batches)


def test_balance():
    present = {"a": 10, "b": 2, "c": 0}
    assert allotted(6, present, "equal") == {"a": 0, "b": 6}
    assert allotted(12, present, "equal") == {"a": 2, "b": 10}
    assert allotted(6, present, "as in the data") == {"a": 5, "b": 1}
    assert allotted(7, present, "weights", {"a": 1, "b": 1}) == {"a": 4, "b": 3}
    assert sum(allotted(101, {"a": 3, "b": 5, "d": 7}, "as in the data").values()) == 101
    assert list(spread({"x": 4, "y": 2})) == ["x", "y", "x", "x", "y", "x"]
    assert parse_weights("crack: 2, spot = 0.5\ndent", "weights") == {"crack": 2, "spot": 0.5, "dent": 1}


def test_equal_balance_evens_the_classes_out(dataset):
    _, account = augmented(dataset, Augmentation(per_picture=2, balance="equal"))
    counts = {d: sum(c for (name, _), c in account.made.items() if name == d) for d in ("hole", "line")}
    present = {"hole": 6, "line": 3}
    assert abs(sum(counts.values()) - 16) == account.given_up
    assert abs((counts["hole"] + present["hole"]) - (counts["line"] + present["line"])) <= 1
    assert "new defects" in account.table()
    assert "poisson" in account.table()


def test_odd_sizes_and_pictures_of_different_sizes():
    parts = [spotted(4, 3, 61, 87), spotted(4, 3, 90, 63)]
    samples = MaskedTensors(
        *([x for p in parts for x in getattr(p, n)] for n in ("pictures", "masks")),
        torch.cat([p.targets for p in parts]),
    )
    samples.masks[0][:5] = 255
    out = augmented(segmentation_dataset("odd", {"train": samples}), Augmentation(methods=ALL, per_picture=2))[0]
    new = out.split("train")
    for index in range(8, len(new)):
        assert new[index].shape[1:] == new.mask(index).shape
        base = new.recipes[index - 8].base
        assert torch.equal(new.mask(index) == 255, new.base.mask(base) == 255)


def test_a_single_class_and_a_class_without_defects():
    one = segmentation_dataset("one", {"train": spotted(4)}, ("ok", "hole", "line", "never"))
    _, account = augmented(one)
    assert "never" not in {name for name, _ in account.made}
    with pytest.raises(InputError, match="class never has no defect in the training split"):
        augmented(one, Augmentation(balance="weights", weights=(("never", 1.0),)))


def test_the_gate():
    image = surface(60, 60)
    mask = np.zeros((60, 60), bool)
    mask[20:40, 20:40] = True
    seen, unseen = image.copy(), image.copy()
    seen[mask] *= 0.5
    unseen[mask] *= 0.999

    def patch(pixels, changed=mask):
        return Patch(0, 0, pixels, mask, changed, "x")

    assert flaw(image, patch(seen)) is None
    assert flaw(image, patch(unseen)) == "invisible"
    assert flaw(image, patch(seen), (10, 20)) == "unusual size"
    spoiled = np.where(mask[..., None], image + 0.05, image * 0.2).astype(np.float32)
    assert flaw(image, patch(spoiled, np.ones_like(mask))) == "more changed around than inside"
    assert flaw(image, patch(spoiled, np.ones_like(mask)), seamless=False) is None
    grain = np.random.default_rng(0).normal(0.5, 0.03, (80, 80, 1)).astype(np.float32)
    assert abs(noise_of(grain) - 0.03) < 0.006


def test_the_part_is_found():
    image = surface(200, 240)
    assert find_part(image) is None
    image[:, 180:] = 0.01
    image[170:] = 0.01
    part = find_part((image * 255).astype(np.uint8))
    assert part.shape == (200, 240)
    assert part[:160, :170].all()
    assert not part[175:].any()
    assert not part[:, 185:].any()


def test_measured_makers(dataset):
    bank = find_defects(dataset)
    hole, line = (looks(bank, number) for number in (1, 2))
    assert all(abs(look.contrast + 0.5) < 0.06 for look in hole)
    assert all(abs(look.width - 4) < 1 and abs(look.length - 50) < 8 for look in line)
    assert all(abs(look.angle - 90) < 5 for look in line)
    assert isinstance(fitted("hole", hole), Spots)
    assert isinstance(fitted("line", line), Crack)
    assert isinstance(fitted("scratches", line), Scratch)
    assert fitted("line", line).width[1] < 6


def test_it_becomes_a_folder_that_can_be_read(dataset, tmp_path):
    out = augmented(dataset, Augmentation(methods=ALL))[0]
    steps = []
    folder = save_dataset(out, tmp_path / "more", lambda done, count: steps.append((done, count)))
    again = masked_folder(folder, classes=out.classes, color=False)

    assert steps[-1] == (20, 20)
    assert {name: len(samples) for name, samples in again.splits.items()} == {"train": 16, "val": 4}
    for index in range(16):
        assert torch.equal(again.split("train")[index], out.split("train")[index])
        assert torch.equal(again.split("train").mask(index), out.split("train").mask(index))
    notes = [json.loads(file.read_text()) for file in sorted((folder / "provenance").rglob("*.json"))]
    assert len(notes) == 8
    for note in notes:
        (defect,) = note["defects"]
        assert note["source"].startswith("picture ")
        assert defect["class"] in out.classes
        assert defect["method"] in METHODS
        assert defect["area"] > 0
        assert defect["parameters"]
    assert not [file for file in tmp_path.rglob("*") if file.name.endswith(".part")]
    stamp = (folder / "dataset.json").stat().st_mtime_ns
    assert save_dataset(out, folder) == folder
    assert (folder / "dataset.json").stat().st_mtime_ns == stamp


def test_what_is_stopped_leaves_nothing(dataset, tmp_path):
    def stop(done, count):
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        save_dataset(dataset, tmp_path / "more", stop)
    assert not list(tmp_path.iterdir())
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "file").write_text("x")
    with pytest.raises(InputError, match="mine already holds other files"):
        save_dataset(dataset, tmp_path / "mine")
    with pytest.raises(KeyboardInterrupt):
        augmented(dataset, on_progress=lambda done, count: stop(3, 0))


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"per_picture": 0}, "per_picture is 0; make at least one picture"),
        ({"per_picture": -1}, "per_picture is -1"),
        ({"per_picture": 1e6}, "at most 100,000 are possible"),
        ({"defects": 0}, "defects is 0; put at least one into each picture"),
        ({"methods": ()}, "methods has none above 0; name at least one of copy-paste"),
        ({"methods": (("magic", 1.0),)}, "there is no method 'magic'; choose one of copy-paste"),
        ({"balance": "fair"}, "balance is 'fair'; choose one of equal"),
        ({"balance": "weights"}, "weights has no class above 0"),
        (
            {"balance": "weights", "weights": (("gap", 1.0),)},
            "weights names the class 'gap', but the dataset has hole, line",
        ),
    ],
)
def test_mistakes_are_told(dataset, settings, words):
    with pytest.raises(InputError, match=words) as told:
        augmented(dataset, Augmentation(**settings))
    assert "\n" not in str(told.value)


def test_datasets_that_cannot_be_multiplied():
    with pytest.raises(
        InputError, match="dataset digits is for classification; augmentation with defects needs pictures with masks"
    ):
        augmented(sources.digits())
    clean = spotted()
    for mask in clean.masks:
        mask[mask > 0] = 0
        mask[10, 10] = 1  # too small to be a defect
    clean.targets[:] = torch.stack([pixel_counts(mask, 256) for mask in clean.masks])
    with pytest.raises(InputError, match="the training split of clean has no defects to learn from"):
        augmented(segmentation_dataset("clean", {"train": clean}))
    full = spotted(4)
    for mask in full.masks:
        mask.fill_(1)
    full.targets[:] = torch.stack([pixel_counts(mask, 256) for mask in full.masks])
    with pytest.raises(InputError, match="no synthetic picture of full came out well"):
        augmented(segmentation_dataset("full", {"train": full}))


def test_weights_that_are_no_numbers():
    for text in ("crack: many", ": 2", "crack: -1"):
        with pytest.raises(InputError, match=r"weights has .*; write a name and a number"):
            parse_weights(text, "weights")


@pytest.mark.parametrize("classes", [2, 3, 5])
def test_a_saved_mask_keeps_the_pixels_that_do_not_count(classes, tmp_path):
    samples, names = spotted(4), ("surface", *(f"class {i}" for i in range(1, classes)))
    masks = [mask.clamp(max=classes - 1).clone() for mask in samples.masks]
    masks[0][:5] = 255
    counts = torch.stack([pixel_counts(mask) for mask in masks])
    dataset = segmentation_dataset("ignored", {"train": MaskedTensors(samples.pictures, masks, counts)}, names)

    again = masked_folder(save_dataset(dataset, tmp_path / "saved"), classes=names).split("train")

    assert all(torch.equal(again.mask(i), mask) for i, mask in enumerate(masks))
