"""Segmentation datasets from folders: every layout that is known, and a sentence for everything that is wrong."""

import numpy as np
import pytest
import torch
from PIL import Image
from visionsmith.training.segmentation.folders import from_masks, masked_folder

from .conftest import make_folder, photo, save, sentence, square


def names(dataset) -> dict[str, list[str]]:
    """Split → its files without their folder and ending."""
    return {
        split: [samples.name(i).split("/")[-1].split(".")[0] for i in range(len(samples))]
        for split, samples in dataset.splits.items()
    }


def parents(folder):
    """The folders of each split's files."""
    return [[path.parent.name for path in samples.paths] for samples in masked_folder(folder).splits.values()]


def whole(folder, **settings):
    """Everything as one split."""
    return masked_folder(folder, val=0, test=0, **settings)


def test_pictures_and_masks_of_one_name_are_read_together(tmp_path):
    folder = make_folder(tmp_path / "parts")
    save(folder / "images" / "e.jpg", photo(20, 10))  # another size and another ending than its mask
    save(folder / "masks" / "e.png", square(20, 10, value=2))
    dataset = whole(folder, classes=("surface", "scratch", "dent"))
    train = dataset.split("train")

    assert (dataset.name, dataset.task, dataset.classes) == ("parts", "segmentation", ("surface", "scratch", "dent"))
    assert names(dataset) == {"train": ["a", "b", "c", "d", "e"]}
    assert train[4].shape == (3, 20, 10)
    assert np.array_equal(train.mask(4).numpy(), square(20, 10, value=2))
    assert train.targets.tolist() == [[176, 16, 0]] * 4 + [[184, 0, 16]]
    assert len(dataset.colors) == 3
    assert dataset.notes == ()


def test_classes_without_names_get_some(tmp_path):
    assert whole(make_folder(tmp_path / "two")).classes == ("background", "defect")
    save(tmp_path / "two/images/e.png", photo())
    save(tmp_path / "two/masks/e.png", square(value=2))
    assert whole(tmp_path / "two").classes == ("background", "class 1", "class 2")


def test_grey_pictures_have_one_channel(tmp_path):
    assert whole(make_folder(tmp_path), color=False).split("train")[0].shape == (1, 12, 16)


@pytest.mark.parametrize("images, masks", [("img_dir", "ann_dir"), ("JPEGImages", "SegmentationClass")])
def test_usual_folder_names_are_found(tmp_path, images, masks):
    assert len(whole(make_folder(tmp_path, images=images, masks=masks)).split("train")) == 4


def test_other_folder_names_are_given(tmp_path):
    folder = make_folder(tmp_path / "x", images="left", masks="Right")

    assert len(whole(folder, images="left", masks="right").split("train")) == 4
    text = sentence(masked_folder, folder)
    assert "no folder of images (such as images or img_dir); its folders are: Right, left" in text
    assert "no folder 'wrong'" in sentence(masked_folder, folder, images="left", masks="wrong")


@pytest.mark.parametrize("ending", ["_mask", "_gt", "_label", "_seg", "_labelTrainIds"])
def test_endings_of_mask_names(tmp_path, ending):
    save(tmp_path / "images/a.jpg", photo())
    save(tmp_path / "masks" / f"a{ending}.png", square())
    assert len(whole(tmp_path).split("train")) == 1


def test_sub_folders_and_dots_in_names(tmp_path):
    for name in ("line1/a.1", "line1/a.2", "line2/a.1"):
        save(tmp_path / "images" / f"{name}.png", photo())
        save(tmp_path / "masks" / f"{name}.png", square(value=1 + int(name[-1]) % 2))
    train = whole(tmp_path).split("train")
    assert [int(train.mask(i).max()) for i in range(3)] == [2, 1, 2]


@pytest.mark.parametrize("layout", ["{kind}/{split}", "{split}/{kind}"])
def test_splits_that_the_folder_has(tmp_path, layout):
    for split, stems in {"train": "ab", "Validation": "c", "test": "d"}.items():
        for stem in stems:
            save(tmp_path / layout.format(kind="images", split=split) / f"{stem}.png", photo())
            save(tmp_path / layout.format(kind="masks", split=split) / f"{stem}.png", square())
    dataset = masked_folder(tmp_path)
    assert names(dataset) == {"train": ["a", "b"], "val": ["c"], "test": ["d"]}


def test_mmsegmentation_layout(tmp_path):
    for split, stem in (("train", "a"), ("val", "b"), ("test", "c")):
        make_folder(tmp_path, stem, f"img_dir/{split}", f"ann_dir/{split}")
    assert names(masked_folder(tmp_path)) == {"train": ["a"], "val": ["b"], "test": ["c"]}


def test_split_folders_may_be_named_differently_for_pictures_and_masks(tmp_path):
    make_folder(tmp_path, "ab", "images/train", "masks/Training")
    make_folder(tmp_path, "c", "images/val", "masks/valid")
    assert names(masked_folder(tmp_path)) == {"train": ["a", "b"], "val": ["c"]}


@pytest.mark.parametrize("place", [".", "splits", "ImageSets/Segmentation"])
def test_lists_of_names(tmp_path, place):
    make_folder(tmp_path, ("a", "b.1", "c d", "e"))
    (tmp_path / place).mkdir(parents=True, exist_ok=True)
    (tmp_path / place / "train.txt").write_text("c d\n\nb.1\n", encoding="utf-8-sig")
    (tmp_path / place / "val.txt").write_text("images/a.png masks/a.png\n")

    assert names(masked_folder(tmp_path)) == {"train": ["c d", "b"], "val": ["a"]}


def test_lists_tell_pictures_of_one_name_apart_by_their_folder(tmp_path):
    for camera in ("left", "right"):
        make_folder(tmp_path, "ab", f"images/{camera}", f"masks/{camera}")
    (tmp_path / "train.txt").write_text("left/a\nright/b.png\n")
    (tmp_path / "val.txt").write_text("some/where/images/right/a.png masks/right/a.png\nimages\\left\\b.png\n")

    assert names(masked_folder(tmp_path)) == {"train": ["a", "b"], "val": ["a", "b"]}
    assert parents(tmp_path) == [["left", "right"], ["right", "left"]]

    (tmp_path / "val.txt").write_text("left/a.png masks/b.png\n")  # what stands behind it names no picture
    assert names(masked_folder(tmp_path))["val"] == ["a"] and parents(tmp_path)[1] == ["left"]

    (tmp_path / "val.txt").write_text("a\n")
    told = sentence(masked_folder, tmp_path)
    assert "val.txt names a, and that may be left/a.png, right/a.png; write the path" in told

    make_folder(tmp_path, "a")  # a whole path means that picture only
    assert parents(tmp_path)[1] == ["images"]


def test_lists_that_name_nothing(tmp_path):
    make_folder(tmp_path)
    (tmp_path / "train.txt").write_text("a\nzz\n")
    assert "train.txt names zz, but there is no such picture" in sentence(masked_folder, tmp_path)
    (tmp_path / "train.txt").write_text("\n")
    assert "train.txt names no pictures" in sentence(masked_folder, tmp_path)


def test_shares_by_chance_divide_every_class_by_itself(tmp_path):
    make_folder(tmp_path, [f"a{i:02}" for i in range(10)])
    make_folder(tmp_path, [f"b{i:02}" for i in range(10)], value=2)
    make_folder(tmp_path, [f"c{i:02}" for i in range(10)], value=0)
    first, again, other = (masked_folder(tmp_path, val=0.2, test=0.3, seed=seed) for seed in (1, 1, 2))

    assert {s: sorted(n[0] for n in stems) for s, stems in names(first).items()} == {
        "train": [*"aaaaabbbbbccccc"],
        "val": [*"aabbcc"],
        "test": [*"aaabbbccc"],
    }
    assert names(first) == names(again) != names(other)
    assert sorted(stem for stems in names(first).values() for stem in stems) == sorted(
        path.stem for path in (tmp_path / "images").iterdir()
    )


def test_shares_by_name_take_the_first_for_training(tmp_path):
    make_folder(tmp_path, [f"{i:03}" for i in range(20)])
    dataset = masked_folder(tmp_path, val=0.15, test=0.25, by_chance=False)
    stems = [f"{i:03}" for i in range(20)]
    assert names(dataset) == {"train": stems[:12], "val": stems[12:15], "test": stems[15:]}
    assert names(masked_folder(tmp_path, val=0, test=0.25, by_chance=False)) == {
        "train": stems[:15],
        "test": stems[15:],
    }


def test_missing_masks_are_refused_skipped_or_background(tmp_path):
    make_folder(tmp_path, "ab")
    save(tmp_path / "images/c.png", photo())
    text = sentence(masked_folder, tmp_path)
    assert "1 picture in train without a mask: images/c.png" in text
    assert "set missing to skip or background" in text

    skipped = whole(tmp_path, missing="skip")
    assert names(skipped) == {"train": ["a", "b"]}
    assert skipped.notes == ("1 picture in train without a mask skipped: images/c.png.",)

    background = whole(tmp_path, missing="background").split("train")
    assert background.mask(2).shape == (12, 16)
    assert background.targets[2].tolist() == [192, 0]


def test_skipping_may_leave_nothing(tmp_path):
    make_folder(tmp_path, "ab", "images/train", "masks/train")
    save(tmp_path / "images/val/c.png", photo())
    assert names(masked_folder(tmp_path, missing="skip")) == {"train": ["a", "b"]}
    assert "pictures but no masks" in sentence(masked_folder, make_images(tmp_path / "none"), missing="skip")
    assert "pictures but no masks" in sentence(masked_folder, tmp_path / "none", missing="background")

    make_folder(tmp_path / "other", "ab", "images/val", "masks/val")
    save(tmp_path / "other/images/train/c.png", photo())
    assert "train of other has no picture with a mask" in sentence(masked_folder, tmp_path / "other", missing="skip")


def make_images(folder):
    save(folder / "images/a.png", photo())
    (folder / "masks").mkdir()
    return folder


def test_a_mask_of_another_size(tmp_path):
    make_folder(tmp_path)
    save(tmp_path / "masks/c.png", square(12, 15))
    text = sentence(masked_folder, tmp_path)
    assert "mask c.png is 15 × 12 pixels, but its picture c.png is 16 × 12; make both the same size" in text


@pytest.mark.parametrize("orientation", [5, 6, 7, 8])
def test_a_photograph_turned_by_exif_with_a_mask_that_was_not(tmp_path, orientation):
    make_folder(tmp_path)
    save(tmp_path / "images/c.png", photo(12, 16), orientation=orientation)
    text = sentence(masked_folder, tmp_path)
    assert "c.png is a photograph that its EXIF entry turns to 12 × 16 pixels" in text
    assert "c.png was drawn on the unturned 16 × 12; turn the mask" in text


@pytest.mark.parametrize("orientation", [1, 2, 3, 4, 5, 6, 7, 8])
def test_a_photograph_turned_by_exif_with_a_mask_that_fits(tmp_path, orientation):
    """The white square of the stored picture lies, after turning, where the mask has it."""
    stored = photo()
    stored[3:7, 4:8] = 255
    picture = save(tmp_path / "images/a.png", stored, orientation=orientation)
    with Image.open(picture) as image:
        from PIL import ImageOps

        upright = np.asarray(ImageOps.exif_transpose(image))[..., 0] == 255
    save(tmp_path / "masks/a.png", upright.astype(np.uint8))
    dataset = whole(tmp_path)
    train = dataset.split("train")

    assert torch.equal(train[0][0] == 255, train.mask(0) == 1)
    assert [note for note in dataset.notes if "EXIF" in note] == (
        ["1 picture is mirrored or upside down by its EXIF entry and is turned upright; check that its mask is, too."]
        if orientation in (2, 3, 4)
        else []
    )


def test_16_bit_and_cmyk_pictures_are_read_and_said(tmp_path):
    make_folder(tmp_path, "ab")
    save(tmp_path / "images/a.png", np.full((12, 16), 128 * 256, np.uint16))
    (tmp_path / "images/b.png").unlink()
    save(tmp_path / "images/b.jpg", photo(value=255), "CMYK")
    dataset = whole(tmp_path)
    train = dataset.split("train")

    assert train[0].unique().tolist() == [128]
    assert train[1].unique().tolist() == [255]
    assert dataset.notes == (
        "1 picture has 16 bits per value and is read with 8.",
        "1 picture is CMYK and is read as RGB.",
    )


def test_broken_pictures_and_masks_are_named(tmp_path):
    make_folder(tmp_path)
    good = (tmp_path / "images/b.png").read_bytes()
    (tmp_path / "images/b.png").write_bytes(good[: len(good) // 2])
    text = sentence(masked_folder, tmp_path)
    assert "1 picture in" in text
    assert "cannot be read: images/b.png; replace or remove them" in text

    (tmp_path / "images/b.png").write_bytes(good)
    for coding in ("auto", "index", "binary"):
        (tmp_path / "masks/a.png").write_bytes(b"x")
        assert "masks/a.png cannot be read" in sentence(masked_folder, tmp_path, coding=coding)


def test_folders_that_hold_nothing(tmp_path):
    assert "is not a folder" in sentence(masked_folder, tmp_path / "none")
    (tmp_path / "images").mkdir()
    (tmp_path / "masks").mkdir()
    assert "has no pictures" in sentence(masked_folder, tmp_path)


def test_nothing_but_background(tmp_path):
    folder = make_folder(tmp_path / "clean", value=0)
    assert "the masks of clean have background only" in sentence(masked_folder, folder)
    make_folder(folder, value=255)
    assert "have background only" in sentence(masked_folder, folder, coding="index")


def test_a_class_without_a_pixel_is_noted(tmp_path):
    make_folder(tmp_path, "ab", "images/train", "masks/train")
    make_folder(tmp_path, "c", "images/val", "masks/val", value=0)
    dataset = masked_folder(tmp_path, classes=("surface", "scratch", "dent"))
    assert dataset.notes == ("train has no pixel of dent.", "val has no pixel of scratch, dent.")


def test_a_label_beyond_the_classes(tmp_path):
    make_folder(tmp_path)
    save(tmp_path / "masks/c.png", square(value=2))
    text = sentence(masked_folder, tmp_path, classes=("surface", "scratch"))
    assert "the mask of images/c.png (train) has class number 2, but the classes go from 0 to 1" in text
    assert "surface, scratch" in text


def test_grey_values_that_are_no_class_numbers(tmp_path):
    make_folder(tmp_path, value=255)
    soft = square(value=255)
    soft[0, :3] = 60, 120, 200  # soft edges
    save(tmp_path / "masks/c.png", soft)
    text = sentence(masked_folder, tmp_path)
    assert "the values 0, 60, 120, 200, which are no class numbers" in text
    assert "set coding to binary" in text

    assert whole(tmp_path, coding="binary").split("train").targets.sum(0).tolist() == [4 * 176 - 1, 4 * 16 + 1]
    assert len(whole(tmp_path, classes=[f"c{i}" for i in range(201)]).classes) == 201


def test_colored_masks_need_a_table_and_take_names_and_colors_from_it(tmp_path):
    red = np.zeros((12, 16, 3), np.uint8)
    red[2:5, 2:5] = 255, 0, 0
    make_folder(tmp_path, "a")
    save(tmp_path / "masks/a.png", red)
    assert "set coding to colors" in sentence(masked_folder, tmp_path)
    assert "colors is empty" in sentence(masked_folder, tmp_path, coding="colors")
    assert "colour 0 0 0, which is not in the colour table" in sentence(masked_folder, tmp_path, colors="x 255 0 0")

    for coding in ("auto", "colors"):
        dataset = whole(tmp_path, coding=coding, colors="surface 0 0 0\nscratch 255 0 0")
        assert dataset.classes == ("surface", "scratch")
        assert dataset.colors == ((0, 0, 0), (255, 0, 0))
        assert dataset.split("train").targets.tolist() == [[192 - 9, 9]]


def test_more_names_than_colors_or_less(tmp_path):
    make_folder(tmp_path, "a", value=255)
    table = "surface 0 0 0\nscratch 255 255 255"
    assert whole(tmp_path, colors=table, classes=("s", "t")).classes == ("s", "t")
    assert "name all classes" in sentence(masked_folder, tmp_path, colors=table, classes=("only",))


def test_palette_colors_are_the_classes_colors(tmp_path):
    make_folder(tmp_path, "ab")
    for name in "ab":
        save(tmp_path / f"masks/{name}.png", square(), palette=[(0, 0, 0), (10, 200, 30)])
    assert whole(tmp_path).colors == ((0, 0, 0), (10, 200, 30))


def test_palette_colors_are_left_where_they_cannot_be_told_apart(tmp_path):
    make_folder(tmp_path, "ab", value=255)
    for name in "ab":
        save(tmp_path / f"masks/{name}.png", square(value=255), palette=[(i, i, i) for i in range(256)])
    assert whole(tmp_path).colors[1] != (1, 1, 1)


def test_progress_reaches_the_end_and_can_stop(tmp_path):
    seen = []
    masked_folder(make_folder(tmp_path), on_progress=lambda done, count: seen.append((done, count)))
    assert seen == sorted(seen)
    assert {done for done, _ in seen} == set(range(1, 9))  # pictures are decoded first, then looked at with their masks
    assert {count for _, count in seen} == {8}

    class Cancelled(BaseException):
        pass

    def stop(done, count):
        raise Cancelled

    with pytest.raises(Cancelled):
        masked_folder(tmp_path, on_progress=stop)


def test_a_fingerprint_changes_when_a_mask_does(tmp_path):
    make_folder(tmp_path)
    before = whole(tmp_path).fingerprint
    assert whole(tmp_path).fingerprint == before
    save(tmp_path / "masks/a.png", square(side=5))
    assert whole(tmp_path).fingerprint != before


def test_a_batch_of_the_graph_becomes_a_dataset():
    pictures, masks = torch.rand(10, 6, 8, 4), torch.zeros(10, 6, 8)
    masks[:, 2, 3] = 1.0
    masks[:, 2, 4] = 0.5  # not above a half
    dataset = from_masks(pictures, masks, name="made", classes=("metal", "hole"), val=0.2, test=0.2)

    assert {name: len(samples) for name, samples in dataset.splits.items()} == {"train": 6, "val": 2, "test": 2}
    assert dataset.split("train")[0].shape == (3, 6, 8)
    assert dataset.split("train").mask(0).sum() == 1
    assert dataset.classes == ("metal", "hole")
    assert dataset.target_name(dataset.split("val").targets[0]) == "hole"
    assert dataset.fingerprint == from_masks(pictures, masks, classes=("metal", "hole"), val=0.2, test=0.2).fingerprint


def test_a_batch_that_does_not_fit():
    text = sentence(from_masks, torch.rand(3, 6, 8, 3), torch.zeros(2, 6, 9))
    assert "3 pictures of 8 × 6 pixels but 2 masks of 9 × 6" in text
    assert "background only" in sentence(from_masks, torch.rand(2, 6, 8, 3), torch.zeros(2, 6, 8))
    assert "nothing is left to train on" in sentence(
        from_masks, torch.rand(2, 6, 8, 3), torch.ones(2, 6, 8), val=0.5, test=0.5
    )
