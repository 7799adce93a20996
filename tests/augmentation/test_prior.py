"""The prior of places: what is drawn is distributed as what is labelled, and stays where it may be."""

import numpy as np
import pytest
import torch
from scipy.stats import ks_2samp
from visionsmith.augmentation.bank import find_defects
from visionsmith.augmentation.prior import DefectPrior
from visionsmith.augmentation.scene import NoPlaceError
from visionsmith.nn_layers import InputError
from visionsmith.training.segmentation.samples import MaskedTensors, pixel_counts, segmentation_dataset

HEIGHT, WIDTH, DRAWS = 120, 180, 400


def dataset_of(masks, classes=("ok", "hole", "edge")):
    masks = [torch.from_numpy(mask) for mask in masks]
    pictures = [torch.full((1, *mask.shape), 128, dtype=torch.uint8) for mask in masks]
    samples = MaskedTensors(pictures, masks, torch.stack([pixel_counts(mask) for mask in masks]))
    return segmentation_dataset("made", {"train": samples}, classes)


@pytest.fixture(scope="module")
def bank():
    """Holes in two heaps, small ones to the left and large ones to the right; edges at the lower border."""
    random, (y, x) = np.random.default_rng(0), np.mgrid[:HEIGHT, :WIDTH]
    masks = []
    for number in range(60):
        mask, right = np.zeros((HEIGHT, WIDTH), np.uint8), number % 2
        column, row = random.normal((45, 130)[right], 9), random.normal(60, 12)
        radius = random.normal((4, 8)[right], 0.6)
        mask[(y - row) ** 2 + ((x - column) / 1.5) ** 2 <= radius**2] = 1
        if number % 3 == 0:
            left = random.integers(10, 150)
            mask[-6:, left : left + 20] = 2
        masks.append(mask)
    return find_defects(dataset_of(masks))


def drawn(prior, count=DRAWS, seed=0, **how):
    random = np.random.default_rng(seed)
    return [prior.draw((HEIGHT, WIDTH), random, **how).mask for _ in range(count)]


def measured(masks):
    """Middle row, middle column, log area, ratio of width to height."""
    found = []
    for mask in masks:
        rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
        high, wide = rows[-1] - rows[0] + 1, columns[-1] - columns[0] + 1
        found.append((rows[0] + high / 2, columns[0] + wide / 2, np.log(mask.sum()), wide / high))
    return np.array(found)


def test_what_is_drawn_is_distributed_as_what_is_labelled(bank):
    prior = DefectPrior.of(bank, 1)
    given = np.column_stack([prior.centers * (HEIGHT, WIDTH), prior.areas, [d.width / d.height for d in bank.of(1)]])
    new = measured(drawn(prior))

    for column, name in enumerate(("row", "column", "log area", "shape")):
        assert ks_2samp(new[:, column], given[:, column]).pvalue > 0.05, name
    assert np.abs(new.mean(0) - given.mean(0)).max() < 0.35 * given.std(0).max()
    np.testing.assert_allclose(new.std(0)[:3], given.std(0)[:3], rtol=0.12)
    assert len(np.unique(new[:, :2].round(1), axis=0)) > 0.7 * DRAWS  # new places, not the old ones again
    large = new[:, 2] > given[:, 2].mean()
    assert (new[large, 1] > WIDTH / 2).mean() > 0.95  # sizes stay with their places


def test_what_touches_a_border_touches_it_again(bank):
    masks = drawn(DefectPrior.of(bank, 2), 50)
    assert all(mask[-1].any() and not mask[:-14].any() for mask in masks)


def test_it_stays_inside_of_the_part_and_repeats_with_its_seed(bank):
    prior, part = DefectPrior.of(bank, 1), np.zeros((HEIGHT, WIDTH), bool)
    part[30:70, 90:150] = True
    masks = drawn(prior, 60, allowed=part)

    assert not any((mask & ~part).any() for mask in masks)
    assert all((a == b).all() for a, b in zip(masks, drawn(prior, 60, allowed=part), strict=True))
    assert any((a != b).any() for a, b in zip(masks, drawn(prior, 60, seed=1, allowed=part), strict=True))
    away = np.zeros((HEIGHT, WIDTH), bool)
    away[:, :30] = True  # no labelled defect lies there: any free place will do
    assert not any((mask & ~away).any() for mask in drawn(prior, 5, allowed=away))
    with pytest.raises(NoPlaceError, match="the part is too small or too narrow for a defect like the labelled ones"):
        drawn(prior, 1, allowed=np.eye(HEIGHT, WIDTH, dtype=bool))


def test_other_sizes_and_other_pictures(bank):
    prior = DefectPrior.of(bank, 1)
    twice = measured(drawn(prior, 100, scale=2.0))[:, 2].mean() - measured(drawn(prior, 100))[:, 2].mean()
    assert abs(twice - np.log(4)) < 0.15
    random = np.random.default_rng(0)
    assert prior.draw((240, 360), random).mask.shape == (240, 360)
    with pytest.raises(NoPlaceError, match="the picture is 4 × 4 pixels, but the defect is"):
        prior.draw((4, 4), random)
    with pytest.raises(NoPlaceError, match="scaled down to nothing"):
        prior.draw((HEIGHT, WIDTH), random, scale=1e-3)


def test_a_single_defect_is_not_repeated_exactly_and_none_is_refused():
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    mask[40:52, 60:80] = 1
    lone = find_defects(dataset_of([mask]))
    new = measured(drawn(DefectPrior.of(lone, 1), 60))

    assert 1 < new[:, 0].std() < 10 and abs(new[:, 0].mean() - 46) < 3
    with pytest.raises(InputError, match="class edge has no defect"):
        DefectPrior.of(lone, 2)
