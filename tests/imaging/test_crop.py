"""Cropping and stitching: whatever is drawn in the crops, nothing outside the blend changes."""

import numpy as np
import pytest
import torch
from scipy import ndimage
from visionsmith.imaging.boxes import Box, FixedSize, FreeSize, common_size, cut
from visionsmith.imaging.crop import CropSettings, crop_masked, stitch_crops
from visionsmith.nn_layers import InputError

SIZES = (FixedSize(32, 32), FixedSize(40, 24), FreeSize(8, 64, 8), FreeSize(24, 24, 8), FreeSize(64, 128, 32))


def random_case(seed):
    """Pictures, masks and settings of any kind that is allowed."""
    chance = np.random.default_rng(seed)
    height, width = (int(side) for side in chance.choice([1, 2, 3, 17, 31, 64, 75], 2))
    count, masks_count = [(1, 1), (2, 2), (3, 1), (1, 3)][seed % 4]
    images = torch.from_numpy(chance.random((count, height, width, [3, 4, 1][seed % 3]), dtype=np.float32))
    masks = torch.zeros(masks_count, height, width)
    for mask in masks:
        match chance.integers(6):
            case 0:
                pass  # empty
            case 1:
                mask[:] = 1
            case 2:
                mask[0, 0] = mask[-1, -1] = 1  # corners
            case 3:
                mask[:] = torch.from_numpy(ndimage.gaussian_filter(chance.random((height, width)), 2) > 0.5)
            case _:
                y, x = chance.integers(height), chance.integers(width)
                mask[y : y + 9, x : x + 14] = float(chance.choice([1, 0.5]))
    how = CropSettings(
        size=SIZES[seed % len(SIZES)],
        context=float(chance.choice([1, 1.5, 4])),
        grow=int(chance.choice([0, 3])),
        blend=int(chance.choice([0, 1, 6])),
        fill_holes=bool(chance.integers(2)),
        each_object=bool(chance.integers(2)),
        border=str(chance.choice(["edge", "mirror"])),
    )
    return images, masks, how


def reach(mask, how):
    """Where a mask [height, width] may have changed something, measured by scipy."""
    inside = mask.numpy() > 0.02
    if how.fill_holes:
        inside = ndimage.binary_fill_holes(inside)
    if not inside.any():
        return torch.zeros(mask.shape, dtype=torch.bool)
    inside = ndimage.distance_transform_edt(~inside) <= how.grow
    return torch.from_numpy(ndimage.distance_transform_edt(~inside) <= how.blend)


@pytest.mark.parametrize("seed", range(120))
def test_outside_the_blend_nothing_changes(seed):
    images, masks, how = random_case(seed)
    before = images.clone(), masks.clone()

    crops = crop_masked(images, masks, how)
    assert crops.images.shape[3] == 3 and crops.masks.shape == crops.images.shape[:3]
    assert crops.images.isfinite().all() and 0 <= crops.masks.min() <= crops.masks.max() <= 1
    result = stitch_crops(crops.stitch, torch.rand_like(crops.images))

    assert result.shape == images.shape
    touched = torch.stack([reach(mask, how) for mask in masks])
    touched = touched.any(0, keepdim=True) if len(images) == 1 else touched.expand(len(images), -1, -1)
    assert (result - images)[~touched].abs().sum() == 0
    if images.shape[3] == 4:
        assert torch.equal(result[..., 3], images[..., 3])
    assert torch.equal(images, before[0]) and torch.equal(masks, before[1])


@pytest.mark.parametrize("seed", range(60))
def test_the_mask_itself_shows_the_crop(seed):
    images, masks, how = random_case(seed)
    crops = crop_masked(images, masks, how)
    result = stitch_crops(crops.stitch, torch.full_like(crops.images, 0.25))

    masks = masks.amax(0, keepdim=True) if len(images) == 1 else masks
    inside = (masks > 0.02).expand(images.shape[:3])
    assert torch.allclose(result[..., :3][inside], torch.tensor(0.25), atol=1e-5)


def test_an_unpainted_crop_at_its_own_scale_gives_the_same_picture():
    images = torch.rand(2, 75, 64, 3)
    masks = torch.zeros(2, 75, 64)
    masks[0, 20:30, 5:12] = masks[1, 60:75, 40:64] = 1
    crops = crop_masked(images, masks, CropSettings(FreeSize(8, 512, 8)))

    assert all(side % 8 == 0 for side in crops.images.shape[1:3])
    assert torch.equal(stitch_crops(crops.stitch, crops.images), images)


def test_every_object_of_every_picture():
    images = torch.rand(2, 60, 60, 3)
    masks = torch.zeros(2, 60, 60)
    masks[0, 5:10, 5:10] = masks[0, 40:55, 40:55] = masks[1, 20:30, 20:30] = masks[1, 0, 59] = 1
    how = CropSettings(FixedSize(16, 16), grow=0, blend=2, each_object=True, min_area=2)

    crops = crop_masked(images, masks, how)
    assert [region.picture for region in crops.stitch.regions] == [0, 0, 1]
    colors = torch.tensor([0.1, 0.2, 0.3])[:, None, None, None].expand_as(crops.images)
    result = stitch_crops(crops.stitch, colors)
    values = (result[0, 45, 45, 0], result[0, 7, 7, 0], result[1, 25, 25, 0])
    assert torch.allclose(torch.stack(values), torch.tensor([0.1, 0.2, 0.3]))
    assert torch.equal(result[1, 0, 59], images[1, 0, 59])


def test_many_masks_of_one_picture_go_back_into_it():
    images, masks = torch.rand(1, 50, 70, 3), torch.zeros(3, 50, 70)
    masks[0, 5:10, 5:10] = masks[2, 30:40, 50:60] = 1  # the second is empty
    crops = crop_masked(images, masks, CropSettings(FixedSize(24, 24)))

    assert len(crops.images) == 2
    result = stitch_crops(crops.stitch, torch.zeros_like(crops.images))
    assert result.shape == images.shape and result[0, 7, 7].sum() == 0 and result[0, 35, 55].sum() == 0


def test_versions_of_the_same_crops():
    images, masks = torch.rand(2, 30, 30, 3), torch.zeros(1, 30, 30)
    masks[0, 10:20, 10:20] = 1
    crops = crop_masked(images, masks, CropSettings(FixedSize(16, 16)))
    versions = torch.cat([torch.zeros_like(crops.images), torch.ones_like(crops.images)])

    result = stitch_crops(crops.stitch, versions)
    assert result.shape == (4, 30, 30, 3)
    assert torch.equal(result[:, 15, 15, 0], torch.tensor([0.0, 0.0, 1.0, 1.0]))


def test_empty_masks_pass_the_pictures_through():
    images = torch.rand(2, 31, 17, 4)
    crops = crop_masked(images, torch.zeros(1, 64, 64), CropSettings(FixedSize(32, 16)))

    assert crops.images.shape == (1, 16, 32, 3) and not crops.masks.any() and crops.stitch.regions == ()
    assert torch.equal(stitch_crops(crops.stitch, torch.rand(1, 16, 32, 3)), images)


def test_the_crop_has_the_context_that_was_asked_for():
    images, mask, context = torch.rand(1, 100, 200, 3), torch.zeros(1, 100, 200), torch.zeros(1, 100, 200)
    mask[0, 40:60, 50:70] = 1
    plain = CropSettings(FreeSize(8, 512, 8), context=2.0, grow=0, blend=0)

    assert crop_masked(images, mask, plain).stitch.regions[0].box == Box(40, 30, 40, 40)
    context[0, 50, 150] = 1
    box = crop_masked(images, mask, plain, context).stitch.regions[0].box
    assert box.x <= 50 and box.x + box.width > 150
    with pytest.raises(InputError, match="context_mask holds 2"):
        crop_masked(images, mask, plain, context.repeat(2, 1, 1))


@pytest.mark.parametrize("how", SIZES)
def test_boxes_hold_what_must_be_seen(how):
    chance = np.random.default_rng(3)
    for _ in range(200):
        picture = tuple(int(side) for side in chance.integers(1, 90, 2))
        boxes = []
        for _ in range(chance.integers(1, 4)):
            x, y = int(chance.integers(picture[0])), int(chance.integers(picture[1]))
            boxes.append(
                Box(x, y, int(chance.integers(1, picture[0] - x + 1)), int(chance.integers(1, picture[1] - y + 1)))
            )
        size, grown = common_size(boxes, how, picture)
        for before, after in zip(boxes, grown, strict=True):
            assert before | after == after
            for start, length, limit in ((after.x, after.width, picture[0]), (after.y, after.height, picture[1])):
                assert length > limit or 0 <= start <= limit - length  # beyond the picture only where it must
        if isinstance(how, FreeSize):
            assert all(how.least <= side <= how.most and side % how.multiple == 0 for side in size)


def test_borders_of_a_picture():
    picture = torch.arange(4.0)[None, :, None]
    assert cut(picture, Box(-3, 0, 10, 1), "edge")[0, :, 0].tolist() == [0, 0, 0, 0, 1, 2, 3, 3, 3, 3]
    assert cut(picture, Box(-3, -1, 10, 2), "mirror")[0, :, 0].tolist() == [3, 2, 1, 0, 1, 2, 3, 2, 1, 0]


def test_bad_input_is_said_in_a_sentence():
    images, mask, how = torch.rand(2, 20, 20, 3), torch.ones(1, 20, 20), CropSettings(FixedSize(16, 16))
    with pytest.raises(InputError, match="mask is 21 × 20 pixels, but the picture is 20 × 20"):
        crop_masked(images, torch.ones(1, 20, 21), how)
    with pytest.raises(InputError, match="3 masks, but image holds 2"):
        crop_masked(images, mask.repeat(3, 1, 1), how)
    with pytest.raises(InputError, match="NaN or infinite"):
        crop_masked(images * torch.nan, mask, how)
    with pytest.raises(InputError, match="raise max_size"):
        crop_masked(images, mask, CropSettings(FreeSize(65, 71, 64)))
    stitch = crop_masked(images, mask, how).stitch
    with pytest.raises(InputError, match="holds 3 pictures, but Inpaint Crop made 2 crops"):
        stitch_crops(stitch, torch.rand(3, 16, 16, 3))
    with pytest.raises(InputError, match="picture 1"):
        stitch_crops(stitch, torch.full((2, 16, 16, 3), torch.nan))
