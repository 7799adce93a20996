"""Objects of masks and label maps."""

import numpy as np
import pytest
import torch
from scipy import ndimage
from visionsmith.imaging.masks import (
    fill_holes,
    find_objects,
    keep_objects,
    label_map,
    mask_statistics,
    masks_of_labels,
    split_masks,
)
from visionsmith.imaging.masks.statistics import statistics_table
from visionsmith.nn_layers import InputError


@pytest.fixture
def scene():
    """Three objects of 36, 12 and 1 pixels; two of them touch at a corner."""
    mask = torch.zeros(1, 20, 30)
    mask[0, 2:5, 20:24] = 1
    mask[0, 10:15, 3:10] = 1
    mask[0, 15, 10] = 1
    mask[0, 19, 29] = 1
    return mask


def blobs(*shape, seed=0):
    noise = torch.rand(*shape, generator=torch.Generator().manual_seed(seed))
    return (torch.nn.functional.avg_pool2d(noise, 5, 1, 2) > 0.53).float()


def test_objects_are_ordered_by_area(scene):
    labels, found = find_objects(scene[0])

    assert [piece.area for piece in found] == [36, 12, 1]
    assert (found[0].x, found[0].y, found[0].width, found[0].height) == (3, 10, 8, 6)
    assert found[0].box("dent") == {"x": 3, "y": 10, "width": 8, "height": 6, "label": "dent", "score": 1.0}
    assert (labels == found[1].label).sum() == 12
    assert [piece.area for piece in find_objects(scene[0], min_area=2, most=1)[1]] == [36]
    assert find_objects(torch.zeros(3, 3))[1] == []


def test_splitting_gives_the_mask_back_in_pieces(scene):
    masks = torch.cat([scene, torch.zeros_like(scene), scene * 0.7])
    pieces, objects = split_masks(masks)

    assert pieces.shape == (6, 20, 30) and [len(found) for found in objects] == [3, 0, 3]
    assert torch.equal(pieces[:3].sum(0), scene[0]) and torch.equal(pieces[3:].sum(0), masks[2])
    assert objects[2][0].value == pytest.approx(0.7)
    assert split_masks(masks, min_area=5, most=1)[0].shape[0] == 2
    nothing, objects = split_masks(torch.zeros(2, 4, 4))
    assert nothing.shape == (1, 4, 4) and not nothing.any() and objects == [[], []]


@pytest.mark.parametrize("seed", range(4))
def test_holes_and_specks_as_scipy_and_counting_have_them(seed):
    masks = blobs(2, 61, 47, seed=seed)
    wanted = np.stack([ndimage.binary_fill_holes(mask) for mask in masks.numpy()])
    assert np.array_equal(fill_holes(masks).numpy() > 0, wanted)

    kept = keep_objects(masks, min_area=20, most=3)
    for mask, before in zip(kept, masks, strict=True):
        areas = sorted((piece.area for piece in find_objects(before)[1] if piece.area >= 20), reverse=True)
        assert [piece.area for piece in find_objects(mask)[1]] == areas[:3]
        assert (mask <= before).all()


def test_statistics_and_their_table(scene):
    measured = mask_statistics(torch.cat([scene, torch.zeros_like(scene)]), min_area=2)

    assert measured[0].area == 48 and measured[0].share == 48 / 600 and len(measured[0].objects) == 2
    assert measured[1].area == 0 and measured[1].objects == ()
    assert statistics_table(measured).splitlines() == [
        "mask,object,x,y,width,height,area,share_percent",
        "1,all (2),0,0,30,20,48,8.0000",
        "1,1,3,10,8,6,36,6.0000",
        "1,2,20,2,4,3,12,2.0000",
        "2,all (0),0,0,30,20,0,0.0000",
    ]


def test_label_map_and_back(scene):
    pieces, _ = split_masks(scene)
    labels, count = label_map([pieces])

    assert count == 3 and labels.shape == (1, 20, 30) and labels.max() == 3
    for image in (labels / 255, (labels / 255)[..., None].repeat(1, 1, 1, 3)):
        found = masks_of_labels(image)
        assert found.names == ("1", "2", "3")
        assert torch.equal(torch.cat(found.masks), pieces)
    chosen = masks_of_labels(labels / 255, wanted="3, 7")
    assert chosen.names == ("3", "7") and not chosen.masks[1].any()


def test_label_maps_of_several_pictures(scene):
    first, second = torch.cat([scene, torch.zeros_like(scene)]), torch.ones(1, 20, 30)

    labels, count = label_map([second, first], into_one=False)
    assert count == 2 and labels.shape == (2, 20, 30)
    assert torch.equal(labels[0] == 2, scene[0] > 0) and labels[1].eq(1).all()


def test_label_maps_in_colour_and_what_does_not_count():
    image = torch.zeros(1, 4, 4, 3)
    image[0, 0, :, 0], image[0, 1, :, 2] = 1, 1
    found = masks_of_labels(image)
    assert found.names == ("#0000ff", "#ff0000") and torch.equal(found.masks[1][0, 0], torch.ones(4))
    assert masks_of_labels(image, wanted="#FF0000").names == ("#ff0000",)
    grey = torch.tensor([[[0, 1, 255]]]) / 255
    assert masks_of_labels(grey).names == ("1",) and masks_of_labels(grey, ignore=-1).names == ("1", "255")
    assert masks_of_labels(torch.zeros(1, 2, 2)).names == ()


def test_label_maps_that_are_none():
    with pytest.raises(InputError, match="255 at most"):
        masks_of_labels(torch.rand(1, 64, 64, 3))
    with pytest.raises(InputError, match="'x'"):
        masks_of_labels(torch.zeros(1, 2, 2), wanted="1, x")
    with pytest.raises(InputError, match="256"):
        label_map([torch.ones(256, 2, 2)])
    with pytest.raises(InputError, match="mask 1 holds 2, mask 2 holds 3"):
        label_map([torch.ones(2, 2, 2), torch.ones(3, 2, 2)], into_one=False)
