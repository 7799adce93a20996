"""New masks against exact ground truth: edited defects, erased ones, grain, backgrounds that changed."""

import pytest
import torch
from visionsmith.augmentation.lab import lab
from visionsmith.augmentation.relabel import RelabelSettings, otsu, overlay, relabel
from visionsmith.imaging.erase import smooth
from visionsmith.imaging.masks import grown, shrunk
from visionsmith.nn_layers import InputError

SIDE = 128


def surface(seed, grain=0.015):
    """A surface of metal with stripes, light and grain, [side, side, 3]."""
    generator = torch.Generator().manual_seed(seed)
    rows, columns = torch.meshgrid(torch.arange(SIDE), torch.arange(SIDE), indexing="ij")
    base = 0.5 + 0.08 * torch.sin(columns / 9 + seed) + 0.1 * (rows / SIDE - 0.5)
    return (base + grain * torch.randn(SIDE, SIDE, generator=generator))[..., None] * torch.tensor([1.0, 0.98, 0.95])


def disc(x, y, radius):
    rows, columns = torch.meshgrid(torch.arange(SIDE), torch.arange(SIDE), indexing="ij")
    return ((columns - x) ** 2 + (rows - y) ** 2 <= radius**2).float()


def painted(picture, mask, colour, blur=True):
    soft = torch.nn.functional.avg_pool2d(mask[None], 3, 1, 1)[0] if blur else mask
    return torch.lerp(picture, torch.tensor(colour).expand_as(picture), soft[..., None])


def iou(first, second):
    return float((first * second).sum() / torch.maximum(first, second).sum().clamp(min=1))


def boundary_f1(first, second, reach=2):
    edges = [(mask - shrunk(mask[None], 1)[0]).clamp(min=0) for mask in (first, second)]
    near = [grown(edge[None], reach)[0] for edge in edges]
    precision, recall = (float((edges[i] * near[1 - i]).sum() / edges[i].sum().clamp(min=1)) for i in (0, 1))
    return 2 * precision * recall / max(precision + recall, 1e-9)


SCENES = [(seed, (x, y), radius, colour) for seed, (x, y), radius, colour in [
    (0, (60, 60), 9, (0.75, 0.35, 0.08)),
    (1, (40, 80), 12, (0.2, 0.55, 0.85)),
    (2, (80, 50), 7, (0.95, 0.95, 0.97)),
    (3, (64, 70), 10, (0.3, 0.25, 0.2)),
]]  # fmt: skip


def scene(seed, middle, radius, colour):
    """The original with a dark defect, the edit with another one a little beside it, and both exact masks."""
    clean = surface(seed)
    old = disc(*middle, 8)
    new = disc(middle[0] + 3, middle[1] - 2, radius)
    original = painted(clean, old, (0.08, 0.08, 0.1)).clamp(0, 1)
    edit = painted(clean + 0.004 * torch.randn_like(clean), new, colour).clamp(0, 1)
    return original, edit, old, new


@pytest.mark.parametrize("case", SCENES)
def test_the_new_defect_is_found(case):
    torch.manual_seed(0)
    original, edit, old, new = scene(*case)
    found = relabel(original, edit, old, fill=smooth)

    assert iou(found.mask, new) > 0.8
    assert boundary_f1(found.mask, new) > 0.9
    assert abs(float(found.mask.sum() / new.sum()) - 1) < 0.25  # the area
    assert found.accepted and found.confidence > 0.3


def test_erased_defects_are_not_labelled():
    """Where an edit takes the defect away, a plain difference would label clean surface."""
    for seed in range(10):
        torch.manual_seed(seed)
        clean, old = surface(seed), disc(40 + 5 * seed, 60, 8)
        original = painted(clean, old, (0.08, 0.08, 0.1)).clamp(0, 1)
        found = relabel(original, clean + 0.004 * torch.randn_like(clean), old, fill=smooth)

        assert not found.accepted and iou(found.mask, old) < 0.15


def test_attention_opens_another_place():
    torch.manual_seed(0)
    clean, old, new = surface(0), disc(30, 30, 8), disc(95, 95, 9)
    original = painted(clean, old, (0.08, 0.08, 0.1)).clamp(0, 1)
    edit = painted(clean, new, (0.75, 0.35, 0.08)).clamp(0, 1)
    looked = grown(new[None], 4)[0] * 0.9

    assert not relabel(original, edit, old, fill=smooth).accepted
    found = relabel(original, edit, old, looked, fill=smooth)
    assert iou(found.mask, new) > 0.8 and found.accepted


def test_a_background_that_changed_is_rejected():
    original, edit, old, _ = scene(*SCENES[0])
    found = relabel(original, (edit + 0.06).clamp(0, 1), old, fill=smooth)

    assert any(problem.startswith("the background changed (2") for problem in found.problems)


def test_defects_that_grew_too_much_are_rejected():
    torch.manual_seed(0)
    clean, old, new = surface(0), disc(64, 64, 4), disc(64, 64, 11)
    original, edit = painted(clean, old, (0.08, 0.08, 0.1)), painted(clean, new, (0.75, 0.35, 0.08))
    found = relabel(original.clamp(0, 1), edit.clamp(0, 1), old, settings=RelabelSettings(reach=12), fill=smooth)

    assert found.ratio > 3 and "times as large as the old" in found.problems[0]


def test_sam3_is_followed_where_it_agrees_alone():
    torch.manual_seed(0)
    original, edit, old, new = scene(*SCENES[0])
    agreeing = relabel(original, edit, old, fill=smooth, refine=lambda picture, boxes: new[None])
    other = relabel(original, edit, old, fill=smooth, refine=lambda picture, boxes: torch.ones(1, SIDE, SIDE))
    plain = relabel(original, edit, old, fill=smooth)

    assert torch.equal(agreeing.mask, new)
    assert torch.equal(other.mask, plain.mask) and other.confidence < agreeing.confidence


def test_review_shows_both_outlines():
    original, edit, old, _ = scene(*SCENES[0])
    found = relabel(original, edit, old, fill=smooth)
    shown = overlay(edit, old, found)

    assert {(1.0, 0.85, 0.1), (0.1, 0.9, 0.3)} <= {tuple(round(v, 2) for v in p) for p in shown.flatten(0, 1).tolist()}


def test_what_does_not_fit_is_refused():
    picture, mask = surface(0), disc(60, 60, 8)
    with pytest.raises(InputError, match="the mask is empty; give the mask of the defect"):
        relabel(picture, picture, torch.zeros_like(mask))
    with pytest.raises(InputError, match="image is 64 × 128 pixels, but original is 128 × 128"):
        relabel(picture, picture[:, :64], mask)


def test_lab_is_the_published_one():
    kornia = pytest.importorskip("kornia")
    picture = torch.rand(3, 5, 7, 3, generator=torch.Generator().manual_seed(0))

    torch.testing.assert_close(
        lab(picture), kornia.color.rgb_to_lab(picture.movedim(3, 1)).movedim(1, 3), atol=2e-2, rtol=1e-3
    )


def test_otsu_parts_two_heaps():
    values = torch.cat([torch.randn(500) * 0.1 + 1, torch.randn(200) * 0.1 + 3])

    assert 1.5 < otsu(values) < 2.5
    assert otsu(torch.full((9,), 2.0)) == 2.0
