"""COCO files: every way of writing a mask, splits, and what is damaged or leads outside."""

import json

import numpy as np
import pytest
import torch
from visionsmith.training.segmentation.coco import CocoMask, coco_dataset

from .conftest import photo, save, sentence, square

pytest.importorskip("pycocotools")
from pycocotools import mask as coco

SQUARE = [[4, 3, 8, 3, 8, 7, 4, 7]]  # x and y of its corners: columns 4 to 7, rows 3 to 6


def counts_of(mask) -> list[int]:
    """COCO's uncompressed code: lengths of runs down the columns, the first of zeros."""
    flat = np.asarray(mask, np.uint8).T.flatten()
    edges = np.flatnonzero(np.diff(np.concatenate(([0], flat, [2]))))
    return np.diff(np.concatenate(([0], edges))).tolist()


def written(file, pictures=("a.png",), annotations=(), categories=((7, "scratch"),), height=12, width=16):
    """A COCO file; an annotation is a segmentation, or some keys of an entry."""
    usual = {"image_id": 0, "category_id": 7}
    entries = [
        e if isinstance(e, dict) and not e.keys() & {"counts", "size"} else {"segmentation": e} for e in annotations
    ]
    data = {
        "images": [{"id": i, "file_name": name, "height": height, "width": width} for i, name in enumerate(pictures)],
        "categories": [{"id": number, "name": name} for number, name in categories],
        "annotations": [{"id": i, **usual, **entry} for i, entry in enumerate(entries)],
    }
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(data))
    return file


@pytest.fixture
def images(tmp_path):
    for name in "abcd":
        save(tmp_path / "images" / f"{name}.png", photo())
    return tmp_path / "images"


def read(tmp_path, images, *annotations, **more):
    """The first mask of a file with these annotations."""
    file = written(tmp_path / "coco.json", annotations=annotations, **more)
    return coco_dataset(file, images, val=0, test=0).split("train").mask(0)


def compressed(mask) -> dict:
    code = coco.encode(np.asfortranarray(mask))
    return {"size": code["size"], "counts": code["counts"].decode()}


@pytest.mark.parametrize(
    "segmentation",
    [SQUARE, {"size": [12, 16], "counts": counts_of(square())}, compressed(square())],
    ids=["polygon", "uncompressed", "compressed"],
)
def test_polygons_and_both_run_length_codes(tmp_path, images, segmentation):
    assert np.array_equal(read(tmp_path, images, segmentation).numpy(), square())


def test_an_object_of_two_polygons(tmp_path, images):
    other = [10, 8, 13, 8, 13, 10, 10, 10]
    mask = read(tmp_path, images, [SQUARE[0], other])
    assert int(mask.sum()) == 16 + 6


def test_classes_come_in_the_order_of_their_ids_after_the_background(tmp_path, images):
    small = [[5, 4, 7, 4, 7, 6, 5, 6]]
    file = written(
        tmp_path / "parts.json",
        ("a.png", "b.png"),
        [{"segmentation": small, "category_id": 3}, {"segmentation": SQUARE}],
        ((7, "scratch"), (3, "dent"), (9, "stain")),
    )
    dataset = coco_dataset(file, images, val=0, test=0)
    train = dataset.split("train")

    assert (dataset.name, dataset.classes) == ("parts", ("background", "dent", "scratch", "stain"))
    assert train.targets.tolist() == [[176, 4, 12, 0], [192, 0, 0, 0]]  # the small one lies on top
    assert train.mask(0)[4, 5] == 1
    assert dataset.notes == ("train has no pixel of stain.",)


@pytest.mark.parametrize("code", [{"size": [12, 16], "counts": counts_of(square(side=6))}, compressed(square(side=6))])
def test_crowds_do_not_count(tmp_path, images, code):
    mask = read(tmp_path, images, {"segmentation": code, "iscrowd": 1}, SQUARE)
    assert mask.unique().tolist() == [0, 1, 255]
    assert int((mask == 255).sum()) == 36 - 16


def test_splits_by_file(tmp_path, images):
    for split, name in (("train", "a"), ("val", "b"), ("test", "c")):
        written(tmp_path / "ann" / f"instances_{split}2017.json", [f"{name}.png"], [SQUARE])
    dataset = coco_dataset(tmp_path / "ann", images)

    assert {split: samples.name(0) for split, samples in dataset.splits.items()} == {
        "train": "images/a.png",
        "val": "images/b.png",
        "test": "images/c.png",
    }
    (tmp_path / "ann/instances_train2017.json").unlink()
    assert "neither a COCO file nor a folder with one for train" in sentence(coco_dataset, tmp_path / "ann", images)
    assert "neither a COCO file" in sentence(coco_dataset, tmp_path / "none", images)


def test_pictures_are_found_below_the_split_and_by_their_last_name(tmp_path, images):
    save(images / "train" / "x.png", photo(value=1))
    file = written(tmp_path / "coco.json", ["x.png", "elsewhere/b.png", "../images/c.png"], [SQUARE])
    train = coco_dataset(file, images, val=0, test=0).split("train")
    assert [train.name(i) for i in range(3)] == ["train/x.png", "images/b.png", "images/c.png"]


def test_shares(tmp_path, images):
    for i in range(10):
        save(images / f"{i}.png", photo())
    entries = [{"segmentation": SQUARE, "image_id": i} for i in range(10)]
    file = written(tmp_path / "coco.json", [f"{i}.png" for i in range(10)], entries)
    dataset = coco_dataset(file, images, val=0.2, test=0.2, by_chance=False)
    assert [dataset.split("test").name(i) for i in range(2)] == ["images/8.png", "images/9.png"]
    assert len(dataset.split("train")) == 6


@pytest.mark.parametrize("name", ["../secret.png", "/etc/hostname", "sub/../../secret.png", "none.png", "", "link.png"])
def test_pictures_that_are_missing_or_lie_outside(tmp_path, images, name):
    save(tmp_path / "secret.png", photo())
    (images / "link.png").symlink_to(tmp_path / "secret.png")
    text = sentence(read, tmp_path, images, SQUARE, pictures=[name])
    assert f"picture {name or repr('')} is not in" in text
    assert "put it there or choose the folder that has it" in text


def test_an_absolute_name_of_another_machine_is_found_by_its_last_part(tmp_path, images):
    save(tmp_path / "other" / "a.png", photo(3, 3))
    file = written(tmp_path / "coco.json", [str(tmp_path / "other" / "a.png")], [SQUARE])
    assert coco_dataset(file, images, val=0, test=0).split("train")[0].shape == (3, 12, 16)


@pytest.mark.parametrize(
    "entry, words",
    [
        ({"segmentation": []}, "no segmentation (boxes alone are no masks)"),
        ({"bbox": [1, 2, 3, 4]}, "no segmentation (boxes alone are no masks)"),
        ({"segmentation": SQUARE, "category_id": 8}, "a category that is not listed"),
        ({"segmentation": SQUARE, "image_id": 5}, "no picture that is listed"),
    ],
)
def test_annotations_without_what_they_need(tmp_path, images, entry, words):
    assert f"annotation 0 in coco.json has {words}" in sentence(read, tmp_path, images, entry)


@pytest.mark.parametrize(
    "segmentation",
    [
        [[1, 2]],
        [[]],
        [[1, 2, 3, 4]],
        [["a"] * 6],
        [[1, 2, None, 4, 5, 6]],
        [SQUARE],
        "polygon",
        {"size": [12, 16]},
        {"counts": [1, 2, 3]},
        {"size": [12, 16], "counts": [1, 10_000]},
        {"size": [12, 16], "counts": [-5, 10]},
        {"size": [12, 16], "counts": ["x"]},
        {"size": [5, 5], "counts": counts_of(square(5, 5, (1, 1), 2))},
        {"size": [5, 5], "counts": compressed(square(5, 5, (1, 1), 2))["counts"]},
        {"size": [12, 16], "counts": compressed(square(50, 50))["counts"]},
        {
            "size": [16, 12],
            "counts": compressed(square(16, 12))["counts"],
        },  # as many pixels, but height and width swapped
        {"size": [12, 16], "counts": "????????"},
        {"size": [12, 16], "counts": "é"},
    ],
    ids=str,
)
def test_damaged_annotations(tmp_path, images, segmentation):
    text = sentence(read, tmp_path, images, {"segmentation": segmentation})
    assert "an annotation of a.png is damaged" in text
    assert "draw it again" in text


@pytest.mark.parametrize("seed", range(5))
def test_codes_are_read_as_pycocotools_reads_them(seed):
    generator = np.random.default_rng(seed)
    height, width = generator.integers(1, 70, 2)
    mask = (generator.random((height, width)) < generator.random()).astype(np.uint8)
    for code in (
        compressed(mask),
        {"counts": counts_of(mask)},
        {"counts": coco.encode(np.asfortranarray(mask))["counts"]},
    ):
        assert np.array_equal(CocoMask(height, width, ((1, code),)).read().numpy(), mask)


@pytest.mark.parametrize(
    "content, words",
    [
        ("{", "cannot be read as JSON"),
        ("[1]", "no list 'images'"),
        ("null", "no list 'images'"),
        ('"x"', "no list 'images'"),
        ('{"images": [], "annotations": {}, "categories": []}', "no list 'annotations'"),
        ('{"images": [], "annotations": [], "categories": []}', "lists no pictures"),
        ('{"images": [{"id": 1}], "annotations": [], "categories": []}', "a picture without 'file_name'"),
        ('{"images": [7], "annotations": [], "categories": []}', "a picture without 'id'"),
        (
            '{"images": [{"id": 1, "file_name": "a.png", "height": "x", "width": 3}], "annotations": [], "categories": []}',
            "a picture without 'height'",
        ),
        ('{"images": [PICTURE], "annotations": [], "categories": [{"id": 1}]}', "a category without 'name'"),
        ('{"images": [PICTURE], "annotations": [3], "categories": []}', "an annotation without 'image_id'"),
    ],
)
def test_files_that_are_no_coco_files(tmp_path, images, content, words):
    picture = '{"id": 1, "file_name": "a.png", "height": 3, "width": 3}'
    (tmp_path / "coco.json").write_text(content.replace("PICTURE", picture))
    text = sentence(coco_dataset, tmp_path / "coco.json", images)
    assert "coco.json" in text
    assert words in text


def test_names_of_other_types_are_sorted_all_the_same(tmp_path, images):
    file = written(tmp_path / "coco.json", annotations=[{"segmentation": SQUARE, "category_id": "x"}],
                   categories=((2, "dent"), ("x", "scratch")))  # fmt: skip
    assert coco_dataset(file, images, val=0, test=0).classes == ("background", "dent", "scratch")


def test_one_id_with_two_names_is_refused(tmp_path, images):
    written(tmp_path / "ann/train.json", annotations=[SQUARE])
    written(tmp_path / "ann/val.json", annotations=[SQUARE], categories=((7, "dent"),))
    text = sentence(coco_dataset, tmp_path / "ann", images)
    assert "category 7 is called scratch in one file and dent in another" in text


def test_too_many_categories(tmp_path, images):
    many = [(i, f"c{i}") for i in range(300)]
    assert "300 categories, but at most 254" in sentence(read, tmp_path, images, SQUARE, categories=many)


def test_pictures_of_another_size_than_the_file_says(tmp_path, images):
    text = sentence(read, tmp_path, images, [[1, 1, 4, 1, 4, 4]], height=10)
    assert "picture a.png is 16 × 12 pixels, but coco.json says 16 × 10" in text


def test_pictures_that_exif_turns(tmp_path, images):
    save(images / "a.png", photo(16, 12), orientation=6)
    assert read(tmp_path, images, SQUARE).shape == (12, 16)

    save(images / "a.png", photo(12, 16), orientation=6)
    text = sentence(read, tmp_path, images, SQUARE)
    assert "a.png is a photograph that its EXIF entry turns to 12 × 16 pixels" in text


def test_broken_pictures_are_named(tmp_path, images):
    (images / "b.png").write_bytes(b"x")
    text = sentence(read, tmp_path, images, SQUARE, pictures=["a.png", "b.png"])
    assert "1 picture cannot be read: images/b.png" in text


def test_nothing_but_background(tmp_path, images):
    assert "background only" in sentence(read, tmp_path, images)


def test_progress_and_fingerprint(tmp_path, images):
    seen = []
    file = written(tmp_path / "coco.json", ["a.png", "b.png"], [SQUARE])
    first = coco_dataset(file, images, val=0, test=0, on_progress=lambda *at: seen.append(at))
    assert seen == [(1, 4), (2, 4), (3, 4), (4, 4)]

    assert coco_dataset(file, images, val=0, test=0).fingerprint == first.fingerprint
    written(file, ["a.png", "b.png"], [SQUARE, [[1, 1, 4, 1, 4, 4]]])
    assert coco_dataset(file, images, val=0, test=0).fingerprint != first.fingerprint
    assert torch.equal(first.split("train").mask(1), torch.zeros(12, 16, dtype=torch.uint8))
