"""Merging and refining masks, against set operations in Python and scipy's morphology."""

import numpy as np
import pytest
import torch
from scipy import ndimage
from visionsmith.imaging.masks import (
    OPERATIONS,
    Refinement,
    blurred,
    checked_images,
    checked_masks,
    difference_mask,
    fit_masks,
    grown,
    merge_masks,
    refine_masks,
    shrunk,
    smoothed,
)
from visionsmith.nn_layers import InputError

REFERENCES = {
    "union": lambda planes: planes.any(0),
    "intersection": lambda planes: planes.all(0),
    "difference": lambda planes: planes[0] & ~planes[1:].any(0),
    "xor": lambda planes: planes.sum(0) % 2 == 1,
    "majority": lambda planes: 2 * planes.sum(0) > len(planes),
}


def random_masks(*shape, seed=0, share=0.5):
    return (torch.rand(*shape, generator=torch.Generator().manual_seed(seed)) < share).float()


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize(("count", "size"), [(1, (7, 9)), (2, (1, 1)), (5, (33, 20)), (8, (3, 200_000)), (300, (4, 4))])
def test_merging_into_one_is_the_set_operation(operation, count, size):
    masks = random_masks(count, *size)
    wanted = REFERENCES[operation](masks.bool().numpy())

    assert np.array_equal(merge_masks([masks], operation, into_one=True)[0].numpy(), wanted)
    assert np.array_equal(merge_masks(list(masks), operation)[0].numpy(), wanted)


@pytest.mark.parametrize("operation", OPERATIONS)
def test_batches_are_merged_picture_by_picture(operation):
    first, second, single = random_masks(3, 6, 5), random_masks(3, 6, 5, seed=1), random_masks(1, 6, 5, seed=2)
    kept = [batch.clone() for batch in (first, second, single)]

    merged = merge_masks([first, second, single], operation)

    assert merged.shape == (3, 6, 5)
    for index in range(3):
        assert torch.equal(merged[index], merge_masks([first[index], second[index], single[0]], operation)[0])
    assert all(torch.equal(batch, copy) for batch, copy in zip((first, second, single), kept, strict=True))


@pytest.mark.parametrize("operation", OPERATIONS)
def test_a_single_mask_stays_itself_and_is_not_handed_back(operation):
    mask = random_masks(1, 4, 4)
    merged = merge_masks([mask], operation)

    assert torch.equal(merged, mask) and merged.data_ptr() != mask.data_ptr()


def test_soft_masks_keep_their_softness():
    first, second = torch.full((1, 2, 2), 0.75), torch.full((1, 2, 2), 0.5)

    assert merge_masks([first, second], "union").eq(0.75).all()
    assert merge_masks([first, second], "intersection").eq(0.5).all()
    assert merge_masks([first, second], "difference").eq(0.25).all()
    assert merge_masks([first, second], "xor").eq(0.5).all()


def test_an_empty_mask_of_another_size_counts_as_empty():
    """Load Image gives 64 × 64 zeros where a picture has no transparency."""
    mask = random_masks(1, 20, 30)

    assert torch.equal(merge_masks([torch.zeros(1, 64, 64), mask], "union"), mask)
    assert torch.equal(fit_masks(torch.zeros(1, 64, 64), torch.rand(1, 20, 30, 3)), torch.zeros(1, 20, 30))


@pytest.mark.parametrize(
    ("masks", "words"),
    [
        ([], "hold nothing"),
        ([torch.ones(1, 4, 4), torch.ones(1, 4, 5)], "4 × 4 and 5 × 4"),
        ([torch.ones(2, 4, 4), torch.ones(3, 4, 4)], "mask 1 holds 2, mask 2 holds 3"),
        ([torch.full((1, 4, 4), torch.nan)], "NaN"),
        ([torch.ones(1, 2, 4, 4)], "1 × 2 × 4 × 4"),
    ],
)
def test_what_cannot_be_merged_is_said_in_a_sentence(masks, words):
    with pytest.raises(InputError, match=words):
        merge_masks(masks)


@pytest.mark.parametrize("radius", [1, 2, 5, 19, 80])
@pytest.mark.parametrize("size", [(40, 53), (1, 30), (1, 1)])
def test_growing_and_shrinking_are_by_euclidean_distance(radius, size):
    masks = random_masks(3, *size, share=0.02)
    masks[0] = 0
    wanted = [mask.any() & (ndimage.distance_transform_edt(1 - mask) <= radius) for mask in masks.numpy()]
    assert np.array_equal(grown(masks, radius).numpy(), np.stack(wanted))

    wanted = [mask.all() | (ndimage.distance_transform_edt(mask) > radius) for mask in (1 - masks).numpy()]
    assert np.array_equal(shrunk(1 - masks, radius).numpy(), np.stack(wanted))


def test_growing_keeps_soft_values():
    mask = torch.zeros(1, 9, 9)
    mask[0, 4, 4] = 0.3
    big = grown(mask, 2)
    assert big[0, 2, 4] == pytest.approx(0.3) and big.bool().sum() == 13  # a disc of radius 2


def test_blurring_looks_at_the_window_only_but_gives_what_the_whole_would():
    mask = torch.zeros(1, 80, 90)
    mask[0, 0:30, 60:90] = 1
    wanted = ndimage.gaussian_filter(mask[0].numpy(), 3.0, mode="nearest", truncate=3.0)
    assert np.allclose(blurred(mask, 3.0)[0].numpy(), wanted, atol=1e-5)


def test_smoothing_takes_jags_away():
    mask = torch.zeros(1, 40, 40)
    mask[0, 10:30, 10:30] = 1
    jagged = mask.clone()
    jagged[0, 5:10, 20] = 1
    assert smoothed(jagged, 6)[0, :9].sum() == 0
    assert (smoothed(jagged, 6) - mask).abs().sum() < 40  # the corners


def test_refining_does_its_steps_in_order_and_leaves_its_input():
    mask = torch.zeros(1, 60, 60)
    mask[0, 10:30, 10:30] = 0.9
    mask[0, 15:18, 15:18] = 0  # a hole
    mask[0, 45:47, 45:47] = 0.9  # a speck
    mask[0, 40, 5] = 0.3  # faint
    kept = mask.clone()

    refined = refine_masks(mask, Refinement(threshold=0.5, fill_holes=True, min_area=10))
    assert refined.sum() == 400 and refined[0, 10:30, 10:30].all()
    assert refine_masks(mask, Refinement(fill_holes=True, keep_largest=1, grow=-2)).sum() == 16 * 16
    soft = refine_masks(mask, Refinement(threshold=0, min_area=10))
    assert soft.max() == pytest.approx(0.9) and soft[0, 40, 5] == 0
    feathered = refine_masks(mask, Refinement(keep_largest=1, feather=6))
    assert 0.3 < feathered[0, 20, 29] < 0.7 and feathered[0, 25, 24] > 0.9
    assert torch.equal(mask, kept)


@pytest.mark.parametrize(
    "how", [Refinement(), Refinement(0, True, 5, 1, 3, 4, 6.0), Refinement(0.5, True, 5, 1, 3, -4, 6.0)]
)
@pytest.mark.parametrize("size", [(1, 1), (1, 7), (23, 17)])
@pytest.mark.parametrize("fill", [0.0, 1.0])
def test_refining_empty_and_full_masks_of_any_size(how, size, fill):
    refined = refine_masks(torch.full((2, *size), fill), how)
    assert refined.shape == (2, *size)
    assert torch.allclose(refined, torch.full_like(refined, fill), atol=1e-5) or size in {(1, 1)}


def test_refining_under_inference_mode():
    with torch.inference_mode():
        refine_masks(random_masks(1, 20, 20), Refinement(0.5, True, 5, 1, 3, 4, 6.0))


def test_difference_of_pictures():
    first = torch.full((1, 8, 8, 3), 0.5)
    second = first.repeat(2, 1, 1, 1)
    second[1, 2:4, 2:4, 2] = 0.7  # only the blue channel

    mask, amount = difference_mask(first, second, threshold=0.1)
    assert mask[0].sum() == 0 and mask[1].sum() == 4
    assert amount[1].max() == pytest.approx(0.2)
    assert difference_mask(first, second, 0.1, by="luminance")[0].sum() == 0
    assert difference_mask(first, second, 0.1, blur=3.0)[0].sum() == 0
    assert difference_mask(torch.rand(1, 1, 1, 4), torch.rand(1, 1, 1, 3))[0].shape == (1, 1, 1)
    with pytest.raises(InputError, match="8 × 8"):
        difference_mask(first, second[:, 1:])
    with pytest.raises(InputError, match="image_a holds 3, image_b holds 2"):
        difference_mask(first.repeat(3, 1, 1, 1), second)


def test_checks_are_sentences():
    assert checked_masks(torch.rand(3, 4)).shape == (1, 3, 4)
    assert checked_masks(torch.rand(2, 1, 3, 4)).shape == (2, 3, 4)
    assert checked_masks(torch.full((1, 2, 2), 3.0)).max() == 1
    with pytest.raises(InputError, match="NaN"):
        checked_masks(torch.tensor([[[0.0, torch.nan]]]))
    with pytest.raises(InputError, match="0 × 3 × 4"):
        checked_masks(torch.rand(0, 3, 4))
    images = torch.rand(3, 4, 4, 3)
    images[1, 0, 0, 0] = torch.inf
    with pytest.raises(InputError, match="picture 2"):
        checked_images(images)
    with pytest.raises(InputError, match="1 × 2 × 3 × 7"):
        checked_images(torch.rand(1, 2, 3, 7))
    with pytest.raises(InputError, match="mask is 5 × 4 pixels, but the picture is 6 × 4"):
        fit_masks(torch.ones(1, 4, 5), torch.rand(1, 4, 6, 3))


@pytest.mark.parametrize("operation", OPERATIONS)
def test_values_that_are_no_numbers_are_refused_by_every_operation(operation):
    good, bad = torch.ones(1, 4, 4), torch.zeros(1, 4, 4)
    bad[0, 2, 3] = torch.nan
    with pytest.raises(InputError, match="NaN"):
        merge_masks([good, bad, good], operation)


@pytest.mark.parametrize("operation", OPERATIONS)
def test_several_threads_merge_as_one_does(operation, monkeypatch):
    masks = [torch.rand(1, 700, 800) for _ in range(3)]  # enough pixels for threads to pay
    alone = merge_masks(masks, operation)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 3)

    assert torch.equal(merge_masks(masks, operation), alone)
