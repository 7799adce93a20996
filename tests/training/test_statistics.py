"""What is in a dataset, and class weights against numbers worked out by hand."""

import weakref
from dataclasses import replace

import pytest
import torch
from visionsmith.nn_layers import InputError
from visionsmith.training import Dataset, sources
from visionsmith.training.dataset import TensorSamples
from visionsmith.training.segmentation.samples import MaskedTensors, pixel_counts, segmentation_dataset
from visionsmith.training.statistics import (
    WEIGHTINGS,
    class_counts,
    class_totals,
    class_weights,
    statistics_picture,
    statistics_table,
)


def masked(*counts, size=100):
    """A picture of `size` pixels per entry, whose mask has so many pixels of class 1, of class 2 and so on."""
    masks = []
    for row in counts:
        mask = torch.zeros(size, dtype=torch.uint8)
        start = 0
        for number, count in enumerate(row, 1):
            mask[start : start + count] = number
            start += count
        masks.append(mask.view(1, -1))
    pictures = [torch.full((3, *mask.shape), 51 * i, dtype=torch.uint8) for i, mask in enumerate(masks)]
    return MaskedTensors(pictures, masks, torch.stack([pixel_counts(mask) for mask in masks]))


@pytest.fixture
def tiles() -> Dataset:
    """Three training pictures: 10 pixels of a scratch in the first, 20 in the second, 5 of a dent in the second; 265 of surface."""
    return segmentation_dataset(
        "tiles", {"train": masked((10,), (20, 5), (0, 0)), "val": masked((50,))}, ("surface", "scratch", "dent")
    )


@pytest.fixture
def labels() -> Dataset:
    """Six, three and one samples."""
    targets = torch.tensor([0] * 6 + [1] * 3 + [2])
    pictures = torch.zeros(10, 1, 4, 4, dtype=torch.uint8)
    return Dataset("labels", "classification", ("a", "b", "c"), {"train": TensorSamples(pictures, targets)})


def mean_one(*values):
    return [value * len(values) / sum(values) for value in values]


def test_totals_are_counted_in_samples_or_pixels(tiles, labels):
    assert class_totals(tiles).tolist() == [265, 30, 5]
    assert class_totals(labels).tolist() == [6, 3, 1]
    assert class_counts(labels.split("train"), 4) == [6, 3, 1, 0]


def test_inverse_frequency(tiles, labels):
    assert class_weights(labels, "inverse frequency") == pytest.approx(mean_one(1 / 6, 1 / 3, 1))
    assert class_weights(tiles, "inverse frequency") == pytest.approx(mean_one(1 / 265, 1 / 30, 1 / 5))


def test_median_frequency_counts_only_the_pictures_that_have_a_class(tiles, labels):
    frequencies = 265 / 300, 30 / 200, 5 / 100
    expected = mean_one(*(frequencies[1] / f for f in frequencies))
    assert class_weights(tiles, "median frequency") == pytest.approx(expected)
    assert class_weights(labels, "median frequency") == pytest.approx(mean_one(1 / 6, 1 / 3, 1))


def test_effective_number(labels, tiles):
    for dataset, counts in ((labels, (6, 3, 1)), (tiles, (265, 30, 5))):
        beta = (sum(counts) - 1) / sum(counts)
        expected = mean_one(*((1 - beta) / (1 - beta**n) for n in counts))
        assert class_weights(dataset, "effective number") == pytest.approx(expected, rel=1e-5)


def test_effective_number_of_billions_of_pixels_keeps_its_digits(tiles):
    huge = replace(tiles.split("train"), targets=torch.tensor([[10**12, 10**6, 10]]))
    weights = class_weights(replace(tiles, splits={"train": huge}), "effective number")
    assert weights[2] / weights[1] == pytest.approx(10**5, rel=1e-4)
    assert weights[1] / weights[0] == pytest.approx((1 - 0.36788) * 10**6, rel=1e-3)


@pytest.mark.parametrize("scheme", WEIGHTINGS)
def test_powers_and_the_mean(tiles, scheme):
    whole, root, none = (class_weights(tiles, scheme, power) for power in (1.0, 0.5, 0.0))
    assert root == pytest.approx(mean_one(*(w**0.5 for w in whole)))
    assert none == pytest.approx([1, 1, 1])
    assert sum(whole) == pytest.approx(3)
    assert whole[0] < whole[1] < whole[2]


def test_weights_that_cannot_be_given(tiles, labels):
    missing = replace(tiles, classes=("surface", "scratch", "dent", "stain"))
    counts = torch.nn.functional.pad(tiles.split("train").targets, (0, 1))
    missing = replace(missing, splits={"train": replace(tiles.split("train"), targets=counts)})
    for dataset, scheme, words in (
        (missing, "inverse frequency", "class stain has nothing in the training split of tiles"),
        (replace(labels, classes=("a", "b", "c", "d")), "median frequency", "class d has nothing"),
        (tiles, "magic", "weighting 'magic' is unknown; choose one of inverse frequency"),
    ):
        with pytest.raises(InputError, match=words):
            class_weights(dataset, scheme)


def test_values_have_no_classes():
    data = TensorSamples(torch.rand(5, 3), torch.rand(5, 1))
    values = Dataset("line", "regression", ("y",), {"train": data})
    for call in (class_totals, statistics_picture, lambda d: class_weights(d, WEIGHTINGS[0])):
        with pytest.raises(InputError, match="regression and has no classes"):
            call(values)
    table = statistics_table(values)
    assert "5 samples, targets" in table
    assert table.endswith("3 features")


def test_the_table_of_masks_has_shares_of_pixels_and_pictures(tiles):
    lines = statistics_table(tiles).splitlines()
    assert lines[0] == "tiles: segmentation"
    assert lines[1].split() == ["class", "train", "pixels", "pictures", "val", "pixels", "pictures"]
    assert lines[2].split() == ["surface", "88.3333%", "3", "50.0000%", "1"]
    assert lines[3].split() == ["scratch", "10.0000%", "2", "50.0000%", "1"]
    assert lines[4].split() == ["dent", "1.6667%", "1", "0.0000%", "0"]
    assert lines[6].split() == ["pictures", "3", "1"]
    assert len({len(line) for line in lines[1:7]}) == 1
    assert lines[7] == "pictures: 3 channels, height 1 to 1, width 100 to 100 pixels"
    assert lines[8] == "brightness: 0.200 on average, from 0.000 to 0.400 (0 black, 1 white)"
    assert lines[9] == "val has no pixel of dent."


def test_the_table_of_labels():
    table = statistics_table(sources.digits(val=0.1, test=0.1))
    assert "samples" in table.splitlines()[-3]
    assert "1,4" in table.splitlines()[-3]


def test_pictures_are_looked_at_one_after_another():
    kept, most = [], 0

    class Counted(TensorSamples):
        def __getitem__(self, index):
            nonlocal most
            picture = self.data[index].clone()
            kept.append(weakref.ref(picture))
            most = max(most, sum(there() is not None for there in kept))
            return picture

    samples = Counted(torch.randint(256, (20, 3, 8, 9), dtype=torch.uint8), torch.arange(20) % 2)
    table = statistics_table(Dataset("many", "classification", ("a", "b"), {"train": samples}))
    assert "pictures: 3 channels, height 8 to 8, width 9 to 9 pixels" in table
    assert f"brightness: {samples.data.double().mean() / 255:.3f} on average" in table
    assert most <= 2


def test_the_chart_shows_rare_classes(tiles):
    chart = statistics_picture(tiles)
    assert chart.mode == "RGB"
    scratch = tiles.colors[1]
    assert sum(count for count, color in chart.getcolors(10**6) if color == scratch) > 200
    empty = replace(tiles.split("train"), targets=torch.tensor([[100, 10, 0]]))
    statistics_picture(replace(tiles, splits={"train": empty}))
