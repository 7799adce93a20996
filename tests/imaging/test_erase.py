"""Erasing: nothing changes outside of the mask, large pictures are looked at hole by hole, and bad input is explained."""

import random

import pytest
import torch
from torch.nn import functional as F
from visionsmith.imaging.erase import METHODS, EraseSettings, erase, find_holes, preferred, smooth, soft_mask
from visionsmith.imaging.erase.classical import opencv
from visionsmith.nn_layers import InputError


def white(pictures, holes):
    """A fill that is easy to recognise, and that paints over everything it is shown."""
    return torch.ones_like(pictures)


def reached(mask: torch.Tensor, by: int) -> torch.Tensor:
    """An independent dilation: pixels within `by` of a mask in both directions."""
    points = mask.nonzero()
    result = torch.zeros_like(mask, dtype=torch.bool)
    for picture, y, x in points.tolist():
        result[picture, max(0, y - by) : y + by + 1, max(0, x - by) : x + by + 1] = True
    return result


@pytest.mark.parametrize("number", range(40))
def test_nothing_changes_outside_of_the_mask(number):
    chance = random.Random(number)
    torch.manual_seed(number)
    height, width = chance.randint(1, 90), chance.randint(1, 90)
    pictures, masks = chance.choice([(1, 1), (1, 3), (3, 1), (2, 2)])
    images = torch.rand(pictures, height, width, chance.choice([3, 4]))
    mask = torch.zeros(masks, height, width)
    for one in mask:
        match chance.choice(["empty", "full", "corner", "box", "specks"]):
            case "full":
                one[:] = 1
            case "corner":
                one[: chance.randint(1, 9), -chance.randint(1, 9) :] = 1
            case "box":
                one[height // 3 : height // 2 + 1, width // 3 : width // 2 + 1] = 0.7
            case "specks":
                one.copy_((torch.rand(height, width) > 0.98).float())
    grow, feather = chance.randint(0, 5), chance.randint(0, 5)
    settings = EraseSettings(grow, feather, trigger=chance.choice([0, 40, 800]), margin=chance.choice([4, 16]))
    before = images.clone()
    fill = chance.choice([white, *METHODS.values()])

    result = erase(images, mask, fill, settings)

    assert torch.equal(images, before)
    assert result.images.shape == (max(pictures, masks), height, width, images.shape[-1])
    assert torch.isfinite(result.images).all()
    outside = ~reached(mask > 0.5, grow + feather).expand(len(result.images), height, width)
    source = images.expand_as(result.images)
    assert torch.equal(result.images[outside], source[outside])
    assert (result.changed[outside] == 0).all()
    inside = reached(mask > 0.5, grow).expand_as(outside)
    assert (result.changed[inside] == 1).all()
    assert torch.equal(result.images[..., 3:], source[..., 3:])
    if fill is white:
        assert (result.images[inside][..., :3] == 1).all()


def test_a_feather_falls_from_the_mask_outwards():
    mask = torch.zeros(1, 41, dtype=torch.bool).expand(41, 41).clone()
    mask[18:23, 18:23] = True
    row = soft_mask(mask, 2, 6)[20]
    assert (row[16:25] == 1).all()
    assert (row[25:31].diff() < 0).all()
    assert row[24] > row[25] > row[30] > 0
    assert row[31] == 0


def test_a_large_picture_is_looked_at_hole_by_hole():
    mask = torch.zeros(2160, 3840, dtype=torch.bool)
    mask[100:140, 100:160] = mask[2100:2150, 3790:3840] = mask[1000:1050, 2000:2040] = True
    found = find_holes(mask, reach=12)
    assert len(found) == 3
    assert sum(hole.seen.area for hole in found) < 2160 * 3840 / 20
    for hole in found:
        seen, bottom = hole.seen, hole.seen.y + hole.seen.height
        assert 0 <= seen.y < bottom <= 2160
        assert 0 <= seen.x < seen.x + seen.width <= 3840
        assert seen.y == 0 or hole.box.y - seen.y >= 128
        assert bottom == 2160 or bottom - hole.box.y - hole.box.height >= 128


def test_near_holes_are_one_and_no_two_holes_write_the_same_pixel():
    mask = torch.zeros(1200, 1200, dtype=torch.bool)
    mask[500:520, 500:520] = mask[500:520, 560:580] = True
    assert len(find_holes(mask, reach=4)) == 1
    torch.manual_seed(0)
    for _ in range(5):
        mask = F.max_pool2d((torch.rand(1, 1, 1200, 1200) > 0.99999).float(), 9, 1, 4)[0, 0] > 0
        holes = [hole.box for hole in find_holes(mask, reach=20)]
        assert not any(a.meets(b) for i, a in enumerate(holes) for b in holes[:i])
        covered = torch.zeros_like(mask)
        for hole in holes:
            hole.within(covered)[:] = True
        assert bool((covered | ~mask).all())


def test_regions_of_like_size_run_as_one_batch():
    seen = []

    def fill(pictures, holes):
        seen.append(len(pictures))
        return pictures

    mask = torch.zeros(1, 1000, 1600)
    for x in (200, 800, 1400):
        mask[:, 480:520, x : x + 40] = 1
    progress = []
    result = erase(torch.rand(1, 1000, 1600, 3), mask, fill, on_region=lambda *args: progress.append(args))
    assert seen == [3]
    assert progress == [(3, 3)]
    assert result.regions == 3


def test_masks_of_a_batch_can_be_erased_together():
    masks = torch.zeros(2, 20, 20)
    masks[0, 2, 2] = masks[1, 15, 15] = 1
    result = erase(torch.zeros(1, 20, 20, 3), masks, white, EraseSettings(0, 0, merge=True))
    assert len(result.images) == 1
    assert result.images.sum() == 6


@pytest.mark.parametrize("method", METHODS)
def test_methods_without_a_model_continue_what_is_around(method):
    ramp = torch.linspace(0.2, 0.8, 96).expand(64, 96)
    image = torch.stack([ramp, 1 - ramp, torch.full_like(ramp, 0.5)], -1)[None]
    mask = torch.zeros(1, 64, 96)
    mask[:, 24:40, 40:56] = 1
    damaged = image.clone()
    damaged[mask > 0] = 0
    restored = erase(damaged, mask, METHODS[method], EraseSettings(1, 0))
    assert (restored.images - image).abs().max() < 0.08


def test_without_opencv_the_default_is_smooth(monkeypatch):
    assert preferred() is opencv
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert preferred() is smooth


@pytest.mark.parametrize(
    ("images", "masks", "words"),
    [
        (torch.zeros(1, 8, 9, 3), torch.zeros(1, 9, 8), "the mask has 8 × 9 pixels, the picture 9 × 8"),
        (torch.zeros(1, 8, 9, 3), torch.zeros(1, 64, 64), "Load Image gives such an empty mask"),
        (torch.zeros(2, 8, 9, 3), torch.zeros(3, 8, 9), "2 pictures and 3 masks"),
        (torch.full((1, 8, 9, 3), torch.nan), torch.zeros(1, 8, 9), "images contain values that are no numbers"),
        (torch.zeros(1, 8, 9, 3), torch.full((1, 8, 9), torch.inf), "masks contain values that are no numbers"),
        (torch.zeros(1, 8, 9), torch.zeros(1, 8, 9), "wire an IMAGE"),
        (torch.zeros(1, 8, 9, 3), torch.zeros(0, 8, 9), "wire a MASK"),
    ],
)
def test_bad_input_is_explained(images, masks, words):
    with pytest.raises(InputError, match=words):
        erase(images, masks, white)
