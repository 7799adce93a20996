"""What every maker of defects owes: its mask inside of its blend, nothing else changed, the part kept, the same seed the same defect."""

from contextlib import suppress

import numpy as np
import pytest
from scipy import ndimage
from visionsmith.augmentation.bank import find_defects
from visionsmith.augmentation.copy_paste import CopyPaste
from visionsmith.augmentation.cutpaste import CutPaste, CutPasteScar, PerlinAnomaly, Pictures, synthetic_texture
from visionsmith.augmentation.fields import fractal, light_on, perlin, strokes
from visionsmith.augmentation.methods import METHODS, method
from visionsmith.augmentation.procedural import Crack, Dent, Scratch, Spots, Stain
from visionsmith.augmentation.scene import NoPlaceError, Scene, draw
from visionsmith.nn_layers import InputError
from visionsmith.training.segmentation.samples import segmentation_dataset

from .conftest import spotted, surface

DRAWN = {
    "scratch": Scratch(length=(20, 60)),
    "crack": Crack(length=(20, 60)),
    "spots": Spots(),
    "dent": Dent(radius=(6, 14)),
    "stain": Stain(radius=(6, 16)),
    "cutpaste": CutPaste(side=(6, 24)),
    "scar": CutPasteScar(),
    "perlin": PerlinAnomaly(size=(12, 40)),
    "perlin with a texture": PerlinAnomaly(size=(12, 40), texture=synthetic_texture),
}


def bank_of(channels=1):
    return find_defects(segmentation_dataset("spots", {"train": spotted(channels=channels)}, ("ok", "hole", "line")))


def makers(channels):
    bank = bank_of(channels)
    return {**DRAWN, **{f"{name} {n}": method(name, bank, n) for name in METHODS for n in (1, 2)}}


def check(scene, patch):
    """What holds for every patch."""
    after = scene.with_patch(patch)
    outside = np.ones(scene.image.shape[:2], bool)
    outside[patch.box][patch.changed] = False

    assert after.dtype == scene.image.dtype
    assert after.shape == scene.image.shape
    assert (after[outside] == scene.image[outside]).all()
    assert patch.mask.any()
    assert not (patch.mask & ~patch.changed).any()
    assert patch.pixels.dtype == np.float32
    assert 0 <= patch.pixels.min() <= patch.pixels.max() <= 1
    assert patch.box[0].stop <= scene.image.shape[0]
    assert patch.box[1].stop <= scene.image.shape[1]
    return after


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("kind", list(makers(1)))
def test_only_the_blend_changes_and_one_seed_gives_one_defect(kind, channels):
    maker = makers(channels)[kind]
    for seed in range(4):
        for image in (surface(121, 157, channels, seed), (surface(121, 157, channels, seed) * 255).astype(np.uint8)):
            scene = Scene(image)
            before = image.copy()
            patch = draw(scene, maker, np.random.default_rng(seed))
            after = check(scene, patch)
            again = draw(scene, maker, np.random.default_rng(seed))

            assert (image == before).all()
            assert (scene.with_patch(again) == after).all()
            assert (again.mask == patch.mask).all()
            assert (again.top, again.left) == (patch.top, patch.left)
    other = draw(scene, maker, np.random.default_rng(99))
    assert (other.top, other.left, other.mask.sum()) != (patch.top, patch.left, patch.mask.sum())


@pytest.mark.parametrize("kind", list(makers(1)))
def test_the_part_is_kept(kind):
    image, part = surface(150, 190), np.zeros((150, 190), bool)
    part[10:125, 60:170] = True
    for seed in range(6):
        patch = draw(Scene(image, part), makers(1)[kind], np.random.default_rng(seed))
        mask = np.zeros_like(part)
        mask[patch.box] = patch.mask
        assert not (mask & ~part).any()


def test_places_follow_the_heat():
    heat = np.zeros((4, 4))
    heat[3, 0] = 1.0
    scene = Scene(surface(160, 160), heat=heat)
    for seed in range(5):
        patch = draw(scene, Spots(count=(1, 1)), np.random.default_rng(seed))
        rows, columns = np.nonzero(patch.mask)
        assert rows.mean() + patch.top > 110
        assert columns.mean() + patch.left < 50


def strip_width(mask, length):
    return mask.sum() / length


@pytest.mark.parametrize("width", [2.0, 3.0, 5.0])
def test_a_scratch_is_as_wide_and_long_as_asked(width):
    maker = Scratch(length=(100, 100), width=(width, width), count=(1, 1), bend=0, contrast=(0.5, 0.5))
    for seed in range(5):
        patch = draw(Scene(surface(200, 200)), maker, np.random.default_rng(seed))
        widest = 2 * ndimage.distance_transform_edt(np.pad(patch.mask, 1)).max() - 1
        rows, columns = np.nonzero(patch.mask)
        long = np.hypot(np.ptp(rows), np.ptp(columns))
        assert abs(widest - width) <= 1
        assert abs(strip_width(patch.mask, long) - width) <= 1
        assert abs(long - 100) <= width + 2


@pytest.mark.parametrize("radius", [3.0, 6.0, 12.0])
def test_a_spot_has_the_area_of_its_radius(radius):
    maker = Spots(radius=(radius, radius), count=(1, 1), roughness=0.0, stretch=(1.5, 1.5))
    patch = draw(Scene(surface()), maker, np.random.default_rng(0))
    assert abs(np.sqrt(patch.mask.sum() / np.pi) - radius) < 0.5


def test_contrast_is_the_share_asked_for():
    image = np.full((100, 100, 1), 0.5, np.float32)
    maker = Spots(radius=(12, 12), contrast=(0.4, 0.4), count=(1, 1), hollow=0.0)
    patch = draw(Scene(image), maker, np.random.default_rng(1))
    assert abs(patch.pixels[patch.mask].mean() / 0.5 - 0.65) < 0.1
    assert patch.parameters["contrast"] == -0.4


def test_a_dent_is_dark_towards_the_light():
    image = np.full((100, 100, 1), 0.5, np.float32)
    for light, axis, side in ((90, 0, 1), (0, 1, -1)):
        maker = Dent(radius=(15, 15), depth=(3, 3), stretch=(1, 1), light=(light, light), bump=0, roughness=0)
        patch = draw(Scene(image), maker, np.random.default_rng(0))
        change = (patch.pixels - 0.5)[..., 0]
        first, last = np.array_split(change.sum(1 - axis), 2)
        assert np.sign(last.sum() - first.sum()) == side


def test_cracks_branch_and_labels_can_be_wider():
    plain = Crack(length=(80, 80), width=(2, 2), branches=(0, 0))
    one = draw(Scene(surface(200, 200)), plain, np.random.default_rng(3))
    wide = draw(Scene(surface(200, 200)), Crack((80, 80), (2, 2), branches=(0, 0), margin=2), np.random.default_rng(3))
    many = draw(Scene(surface(200, 200)), Crack((80, 80), (2, 2), branches=(4, 4)), np.random.default_rng(3))
    assert ndimage.label(one.mask, np.ones((3, 3)))[1] == 1
    assert many.mask.sum() > 1.3 * one.mask.sum()
    assert wide.mask.sum() > 2 * one.mask.sum()
    assert many.parameters["branches"] == 4


def test_copies_are_real_defects_and_keep_their_border():
    samples = spotted()
    for mask, picture in zip(samples.masks, samples.pictures, strict=True):
        mask.zero_()
        mask[:9, 40:60] = 1  # touches the top
        picture[:, :9, 40:60] = 20
    samples.targets.zero_()[:, 1] = 180
    bank = find_defects(segmentation_dataset("top", {"train": samples}))
    maker = CopyPaste(bank, 1, rotation=30)
    for seed in range(8):
        patch = draw(Scene(surface(100, 100)), maker, np.random.default_rng(seed))
        rows = np.nonzero(patch.mask.any(1))[0] + patch.top
        assert rows[0] == 0 or rows[-1] == 99
        assert patch.kind == "defect"
        assert "picture" in patch.parameters


def test_two_classes_of_a_picture_are_not_mixed_up():
    bank = bank_of()
    assert {name: len(bank.by_class[n]) for n, name in enumerate(bank.classes) if n} == {"hole": 6, "line": 3}
    for number in (1, 2):
        for defect in bank.of(number):
            cutout = bank.cutout(defect, 10)
            assert cutout.mask.sum() == defect.area
            assert not (cutout.clean & cutout.mask).any()


def test_textures_are_fitted():
    small = np.random.default_rng(0).random((7, 9, 3)).astype(np.float32)
    for channels in (1, 3):
        texture = Pictures([small])((40, 30, channels), np.random.default_rng(0))
        assert texture.shape == (40, 30, channels)
        assert synthetic_texture((9, 1, channels), np.random.default_rng(1)).shape == (9, 1, channels)
    with pytest.raises(InputError, match="textures holds no picture"):
        Pictures([])((4, 4, 1), np.random.default_rng(0))


def test_noise_and_light():
    noise = perlin((200, 180), 20, np.random.default_rng(0))
    assert noise.shape == (200, 180)
    assert abs(noise.mean()) < 0.05
    assert 0.1 < noise.std() < 0.4
    assert np.abs(np.diff(noise, axis=0)).max() < 0.2
    assert fractal((33, 21), 8, np.random.default_rng(0)).shape == (33, 21)
    assert np.allclose(light_on(np.zeros((5, 5)), 30), 0, atol=1e-6)
    line = strokes([(np.array([[0.0, 0.0], [0.0, 50.0]]), np.array([3.0, 3.0]))])
    assert abs(line.sum() - (50 * 3 + np.pi * 1.5**2)) < 6


@pytest.mark.parametrize(
    ("maker", "words"),
    [
        (Spots(radius=(60, 60), count=(1, 1)), "the picture is 64 × 48 pixels, but the defect is"),
        (CutPaste(side=(100, 100)), "use a larger picture or a smaller"),
        (Scratch(length=(90, 90)), "use a larger picture or a smaller"),
        (Crack(width=(5, 2)), "width goes from 5 to 2; the smallest must be at least 0 and at most the largest"),
        (Dent(depth=(-1, 2)), "depth goes from -1 to 2"),
    ],
)
def test_mistakes_are_told(maker, words):
    with pytest.raises(InputError, match=words) as told:
        draw(Scene(surface(48, 64)), maker, np.random.default_rng(0))
    assert "\n" not in str(told.value)


def test_a_part_without_room_is_told():
    image, part = surface(80, 80), np.zeros((80, 80), bool)
    with pytest.raises(InputError, match="the part mask is empty"):
        draw(Scene(image, part), Spots(), np.random.default_rng(0))
    part[10:14, 10:14] = True
    with pytest.raises(NoPlaceError, match="too small or too narrow for a spot of"):
        draw(Scene(image, part), Spots(radius=(8, 9)), np.random.default_rng(0))
    part[:] = False
    part[5:40, 5:40] = True  # few places: all of them are looked through
    patch = draw(
        Scene(image, part), Spots(radius=(15, 15), count=(1, 1), roughness=0, stretch=(1, 1)), np.random.default_rng(0)
    )
    assert patch.mask.sum() > 600


@pytest.mark.parametrize("kind", ["crack", "spot", "stain"])
def test_what_hangs_over_the_edge_of_the_picture_brings_nothing_in(kind):
    image = np.full((24, 24, 3), (0.6, 0.5, 0.4), np.float32)
    maker = {
        "crack": Crack(length=(20, 40), contrast=(0, 0)),
        "spot": Spots(radius=(3, 6), contrast=(0, 0)),
        "stain": Stain(radius=(4, 8), contrast=(0, 0)),
    }[kind]
    for seed in range(40):
        with suppress(NoPlaceError):
            patch = draw(Scene(image), maker, np.random.default_rng(seed))
            np.testing.assert_allclose(patch.pixels, image[patch.box], atol=1e-6)


def test_textures_lose_their_transparency_and_not_their_colour():
    random = np.random.default_rng(0)
    texture = Pictures([np.tile(np.float32([0.9, 0.5, 0.1, 0.3]), (4, 4, 1))])

    np.testing.assert_allclose(texture((6, 5, 3), random), np.tile([0.9, 0.5, 0.1], (6, 5, 1)), atol=1e-6)
    np.testing.assert_allclose(texture((6, 5, 1), random), 0.574, atol=1e-3)
