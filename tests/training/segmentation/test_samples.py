"""What a heap of pictures with masks is divided by, and which splits can be trained on."""

import pytest
import torch
from visionsmith.training.segmentation.folders import masked_folder
from visionsmith.training.segmentation.samples import (
    check_trainable,
    class_names,
    in_order,
    pixel_counts,
    segmentation_dataset,
    strata,
)

from .conftest import in_memory, make_folder, save, sentence, square, squares_dataset


def samples_of(*values, size=(6, 6)):
    """A picture per entry, whose mask has each of the entry's classes in one pixel."""
    masks = torch.zeros(len(values), *size, dtype=torch.uint8)
    for mask, classes in zip(masks, values, strict=True):
        mask[0, : len(classes)] = torch.tensor(classes, dtype=torch.uint8)
    return in_memory([torch.zeros(3, *size, dtype=torch.uint8)] * len(values), masks)


def test_pixels_are_counted_without_the_ignored():
    counts = pixel_counts(torch.tensor([[0, 0, 2], [255, 254, 2]], dtype=torch.uint8))
    assert counts.nonzero()[:, 0].tolist() == [0, 2, 254]
    assert counts[2] == 2


def test_a_picture_counts_for_its_rarest_class():
    counts = torch.tensor([[9, 1, 0, 0], [9, 5, 0, 1], [9, 0, 0, 0], [9, 2, 0, 0], [0, 0, 7, 3], [9, 1, 0, 0]])
    assert strata(counts).tolist() == [1, 3, 0, 1, 2, 1]


def test_shares_in_order_leave_nothing_out():
    assert in_order(10, {"train": 0.7, "val": 0.15, "test": 0.15}) == {
        "train": list(range(7)),
        "val": [7],
        "test": [8, 9],
    }
    assert in_order(3, {"train": 1.0, "val": 0.0, "test": 0.0}) == {"train": [0, 1, 2]}
    for count in range(1, 30):
        parts = in_order(count, {"train": 0.6, "val": 0.15, "test": 0.25})
        assert [i for part in parts.values() for i in part] == list(range(count))


def test_names_of_classes_that_have_none():
    assert class_names(1) == class_names(2) == ("background", "defect")
    assert class_names(4) == ("background", "class 1", "class 2", "class 3")


def test_splits_come_in_their_usual_order_with_the_classes_as_columns():
    dataset = segmentation_dataset("x", {"test": samples_of([1]), "train": samples_of([2], [0])}, ("a", "b", "c", "d"))
    assert list(dataset.splits) == ["train", "test"]
    assert dataset.split("train").targets.tolist() == [[35, 0, 1, 0], [36, 0, 0, 0]]
    assert dataset.notes == ("train has no pixel of b, d.", "test has no pixel of c, d.")


def test_colors_are_filled_up_and_cut():
    splits = {"train": samples_of([1, 2])}
    given = ((9, 9, 9), (8, 8, 8))
    assert segmentation_dataset("x", splits, colors=given).colors[:2] == given
    assert len(segmentation_dataset("x", splits, colors=given).colors) == 3
    assert len(segmentation_dataset("x", splits, colors=given * 9).colors) == 3


def test_training_needs_every_class():
    dataset = segmentation_dataset(
        "tiles", {"train": samples_of([1]), "val": samples_of([2])}, ("ok", "scratch", "dent")
    )
    text = sentence(check_trainable, dataset)
    assert "class dent has no pixel in the training split of tiles" in text
    assert "add pictures that have it, or take it out of the classes" in text


def test_validation_needs_a_defect():
    dataset = segmentation_dataset("tiles", {"train": samples_of([1]), "val": samples_of([0], [0, 255])})
    text = sentence(check_trainable, dataset)
    assert "the val split of tiles has background only" in text


def test_what_can_be_trained_passes():
    check_trainable(squares_dataset())
    check_trainable(segmentation_dataset("x", {"train": samples_of([1])}))
    check_trainable(segmentation_dataset("x", {"train": samples_of([1]), "test": samples_of([0])}))


def test_more_classes_than_fit_into_a_mask():
    names = [f"c{i}" for i in range(256)]
    assert "has 256 classes, but at most 255" in sentence(segmentation_dataset, "x", {"train": samples_of([1])}, names)
    assert len(segmentation_dataset("x", {"train": samples_of([254])}).classes) == 255


def test_two_classes_of_one_name_are_refused_because_scores_are_kept_by_name():
    said = sentence(segmentation_dataset, "x", {"train": samples_of([1, 2])}, ["surface", "dent", "dent"])
    assert said == "two classes of x are called 'dent'; give each a name of its own."


@pytest.mark.parametrize("values", [square(value=2), square(side=5), square(10, 10)])
def test_a_mask_that_changed_on_the_disk_is_noticed_when_it_is_read(tmp_path, values):
    train = masked_folder(make_folder(tmp_path), val=0, test=0).split("train")
    save(tmp_path / "masks/b.png", values)
    train.mask(0)
    assert "the mask of images/b.png has changed since the dataset was read" in sentence(train.mask, 1)
