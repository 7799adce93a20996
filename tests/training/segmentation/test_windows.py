"""Training windows: where they lie, that masks stay on their pictures, and that a seed decides all of it."""

import pytest
import torch
from visionsmith.nn_layers import Prepare
from visionsmith.training import transforms as tf
from visionsmith.training.loader import prepare_for
from visionsmith.training.segmentation import loader as module
from visionsmith.training.segmentation.loader import MaskLoader, check_transforms, padded_box, resized, window
from visionsmith.training.segmentation.samples import segmentation_dataset
from visionsmith.training.settings import samples_per_epoch

from .conftest import in_memory, sentence, squares_dataset

TILE = Prepare(3, 32, 32, fit="tile")


def chart(height=60, width=80, defects=()) -> tuple[torch.Tensor, torch.Tensor]:
    """A picture whose channels are the row, the column and 40 × the class, so that a pixel says where it comes from."""
    mask = torch.zeros(height, width, dtype=torch.uint8)
    for number, (rows, columns) in enumerate(defects, 1):
        mask[rows, columns] = number
    rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    return torch.stack((rows, columns, 40 * mask)).to(torch.uint8), mask


def blobs(height=64, width=64) -> tuple[torch.Tensor, torch.Tensor]:
    """Two discs of class 1 and a bar of class 2; the picture is 60 × the class + 20 in every channel."""
    rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    mask = torch.zeros(height, width, dtype=torch.uint8)
    mask[(rows - height // 3) ** 2 + (columns - width // 4) ** 2 < (height // 6) ** 2] = 1
    mask[(rows - height // 2) ** 2 + (columns - 3 * width // 4) ** 2 < (height // 8) ** 2] = 1
    mask[3 * height // 4 : 3 * height // 4 + 6, width // 8 : -width // 8] = 2
    return (60 * mask + 20).expand(3, -1, -1).clone(), mask


def dataset_of(*pairs, transforms=()):
    """A dataset from pictures and masks."""
    pictures, masks = zip(*pairs, strict=True)
    classes = ("ok", "a", "b", "c")[: max(2, int(max(m[m < 255].max() for m in masks)) + 1)]
    return segmentation_dataset("made", {"train": in_memory(pictures, masks)}, classes).with_transforms(*transforms)


def loader_of(*pairs, transforms=(), prepare=TILE, batch_size=4, **more) -> MaskLoader:
    """A loader of the training split."""
    return MaskLoader(dataset_of(*pairs, transforms=transforms), "train", batch_size, prepare, **more)


def windows(loader, count):
    """The first window of many epochs."""
    return [loader.sample(0, epoch) for epoch in range(count)]


DEFECTS = ((slice(10, 14), slice(30, 33)), (slice(50, 51), slice(70, 71)))


@pytest.mark.parametrize("top", [-9, -3, 0, 2, 5, 8])
@pytest.mark.parametrize("left", [-20, -1, 0, 4, 9, 12])
def test_a_window_is_filled_where_it_hangs_over(top, left):
    values = torch.arange(1, 1 + 2 * 7 * 9).view(2, 7, 9)
    wide = torch.nn.functional.pad(values, (50, 50, 50, 50), value=99)
    expected = wide[:, 50 + top : 54 + top, 50 + left : 56 + left]
    assert torch.equal(window(values, top, left, 4, 6, 99), expected)


def test_windows_are_parts_of_the_picture_at_every_place():
    picture, mask = chart(defects=DEFECTS)
    corners = set()
    for cut, classes in windows(loader_of((picture, mask)), 300):
        top, left = int(cut[0, 0, 0]), int(cut[1, 0, 0])
        assert torch.equal(cut, picture[:, top : top + 32, left : left + 32])
        assert torch.equal(classes, mask[top : top + 32, left : left + 32])
        corners.add((top, left))
    tops, lefts = ({corner[i] for corner in corners} for i in (0, 1))
    assert (min(tops), max(tops), min(lefts), max(lefts)) == (0, 28, 0, 48)


def test_a_picture_of_the_windows_size_is_taken_as_it_is():
    picture, mask = chart(32, 32, DEFECTS[:1])
    cut, classes = loader_of((picture, mask)).sample(0, 0)
    assert torch.equal(cut, picture)
    assert torch.equal(classes, mask)


@pytest.mark.parametrize("height, width", [(20, 80), (60, 31), (1, 1), (31, 31)])
@pytest.mark.parametrize("p", [0.0, 1.0])
def test_what_hangs_over_does_not_count(height, width, p):
    defects = (slice(0, 1), slice(0, 1))
    picture, mask = chart(height, width, (defects,))
    for cut, classes in windows(loader_of((picture, mask), transforms=(tf.DefectWindow(p),)), 10):
        inside = classes != 255
        assert cut.shape == (3, 32, 32)
        assert int(inside.sum()) == min(height, 32) * min(width, 32)
        assert not cut[:, ~inside].any()
        assert torch.equal(cut[2, inside], 40 * classes[inside])
        top, left = -(inside.any(1).nonzero().min()), -(inside.any(0).nonzero().min())
        if height < 32:
            assert top == -((32 - height) // 2)
        if width < 32:
            assert left == -((32 - width) // 2)


def test_windows_over_defects_always_show_one_and_every_kind_as_often():
    picture, mask = chart(100, 120, (*DEFECTS, (slice(99, 100), slice(0, 1))))
    mask[40:60, 40:60] = 255  # what does not count is no defect
    seen = [
        classes.unique().tolist()
        for _, classes in windows(loader_of((picture, mask), transforms=(tf.DefectWindow(1.0),)), 300)
    ]
    counts = [sum(kind in kinds for kinds in seen) for kind in (1, 2, 3)]

    assert all({1, 2, 3} & set(kinds) for kinds in seen)
    assert min(counts) > 70


def test_the_defect_lies_anywhere_in_its_window():
    picture, mask = chart(200, 200, ((slice(100, 101), slice(100, 101)),))
    places = [
        (classes == 1).nonzero()[0]
        for _, classes in windows(loader_of((picture, mask), transforms=(tf.DefectWindow(1.0),)), 400)
    ]
    rows, columns = torch.stack(places).T
    assert (int(rows.min()), int(rows.max()), int(columns.min()), int(columns.max())) == (0, 31, 0, 31)


def test_half_of_the_windows_lie_over_a_defect():
    picture, mask = chart(250, 250, ((slice(3, 5), slice(3, 5)),))
    for p, low, high in ((0.0, 0, 20), (0.5, 70, 130), (1.0, 200, 200)):
        found = windows(loader_of((picture, mask), transforms=(tf.DefectWindow(p),)), 200)
        assert low <= sum(bool((classes == 1).any()) for _, classes in found) <= high


def test_windows_of_one_class_are_avoided():
    mask = torch.zeros(32, 200, dtype=torch.uint8)
    mask[:, 100:] = 1
    picture = torch.zeros(3, 32, 200, dtype=torch.uint8)

    def shares(most):
        found = windows(loader_of((picture, mask), transforms=(tf.DefectWindow(0.0, most=most),)), 150)
        return torch.stack([(classes == 1).float().mean() for _, classes in found])

    free, limited = shares(1.0), shares(0.75)
    assert float(((free > 0.75) | (free < 0.25)).float().mean()) > 0.8
    assert float(((limited > 0.75) | (limited < 0.25)).float().mean()) < 0.5  # after ten tries it takes what it has


def test_a_limit_does_not_hang_where_it_cannot_be_kept():
    picture, mask = chart(40, 40, ((slice(0, 1), slice(0, 1)),))
    assert loader_of((picture, mask), transforms=(tf.DefectWindow(most=0.05),)).sample(0, 0)[1].shape == (32, 32)
    mask[:] = 255
    mask[0, 0] = 1
    assert loader_of((picture, mask), transforms=(tf.DefectWindow(0.0, most=0.5),)).sample(0, 0)[1].shape == (32, 32)


@pytest.mark.parametrize("factor", [0.5, 2.0, 3.3])
def test_windows_are_enlarged(factor):
    picture, mask = blobs(200, 200)
    picture[0], picture[1] = torch.arange(200).view(-1, 1), torch.arange(200)
    for cut, classes in windows(loader_of((picture, mask), transforms=(tf.DefectWindow(1.0, factor, factor),)), 20):
        assert cut.shape == (3, 32, 32)
        assert cut.dtype == classes.dtype == torch.uint8
        columns = cut[1, 16].float()
        assert abs(float((columns[27] - columns[4]) / 23) - 1 / factor) < 0.08
        assert float(((cut[2].float() - 20) / 60 - classes).abs().lt(0.8).float().mean()) > 0.93


def test_enlargements_are_spread_on_a_logarithmic_scale():
    picture, mask = chart(200, 250, DEFECTS)
    loader = loader_of((picture, mask), transforms=(tf.DefectWindow(0.0, 0.5, 2.0),))
    spans = torch.stack([cut[1, 16, 27].float() - cut[1, 16, 4].float() for cut, _ in windows(loader, 300)]) / 23
    assert 0.45 < float(spans.min()) < 0.56
    assert 1.8 < float(spans.max()) < 2.1
    assert 0.35 < float((spans < 1).float().mean()) < 0.65


def test_more_than_one_window_of_a_picture():
    pairs = [chart(64, 64, DEFECTS[:1]), chart(70, 64, DEFECTS[:1]), chart(80, 64, DEFECTS[:1])]
    loader = loader_of(*pairs, transforms=(tf.DefectWindow(count=5),))
    batches = list(loader.epoch())

    assert samples_per_epoch(dataset_of(*pairs, transforms=(tf.DefectWindow(count=5),))) == loader.count == 15
    assert [len(inputs) for inputs, _ in batches] == [4, 4, 4, 3]
    assert len(loader) == 4
    assert len({inputs.numpy().tobytes() for batch, _ in batches for inputs in batch}) > 12


MOVED = {
    "flip": tf.Flip(0.5, 0.5),
    "rotate": tf.Rotate(45, 0.1, 0.3),
    "elastic": tf.Elastic(1.0, 60.0, 5.0),
    "color": tf.Color(0.1, 0.1, 0.1),
    "blur": tf.Blur(1.0, 1.0),
    "noise": tf.Noise(1.0, 0.02),
}


@pytest.mark.parametrize("names", [*([name] for name in MOVED), list(MOVED)], ids="-".join)
def test_masks_stay_on_their_pictures(names):
    picture, mask = blobs()
    loader = loader_of(
        (picture, mask), transforms=[MOVED[name] for name in names], prepare=Prepare(3, 64, 64, fit="tile")
    )
    moved = False
    for cut, classes in windows(loader, 12):
        assert cut.dtype == classes.dtype == torch.uint8
        assert type(cut) is type(classes) is torch.Tensor
        inside = (classes != 255) & (cut[0] > 8)  # black is a gap
        said = ((cut.float().mean(0) - 20) / 60).round()
        assert float((said == classes)[inside].float().mean()) > (0.93 if len(names) < 3 else 0.85)
        assert set(classes.unique().tolist()) <= {0, 1, 2, 255}
        moved |= not torch.equal(classes, mask)
    assert moved == bool({"flip", "rotate", "elastic"} & set(names))


@pytest.mark.parametrize("transform", [tf.Rotate(45), tf.Rotate(0, 0.3), tf.Elastic(1.0, 200.0, 5.0)])
def test_gaps_do_not_count(transform):
    picture, mask = blobs()
    picture = (picture + 60).clamp(60, 255)
    found = windows(loader_of((picture, mask), transforms=(transform,), prepare=Prepare(3, 64, 64, fit="tile")), 8)
    gaps = torch.stack([classes == 255 for _, classes in found])

    assert gaps.any()
    for cut, classes in found:
        assert float((cut[0][classes == 255] < 60).float().mean() if (classes == 255).any() else 1.0) > 0.9
        assert float((cut[0][classes != 255] > 40).float().mean()) > 0.97


def test_cutout_hides_a_part_of_the_picture_and_leaves_the_mask():
    picture, mask = blobs()
    loader = loader_of((picture, mask), transforms=(tf.Cutout(1.0, 0.3),), prepare=Prepare(3, 64, 64, fit="tile"))
    for cut, classes in windows(loader, 5):
        assert (cut == 0).any()
        assert torch.equal(classes, mask)


def test_a_seed_and_an_epoch_decide_everything():
    def batches(seed, epoch, skip=0, workers=0):
        dataset = squares_dataset(11).with_transforms(
            tf.Flip(), tf.Rotate(20), tf.Noise(), tf.DefectWindow(0.5, 0.7, 1.4, count=2)
        )
        prepare = Prepare(3, 24, 24, fit="tile")
        return [*MaskLoader(dataset, "train", 4, prepare, seed=seed, workers=workers).epoch(epoch, skip)]

    def same(first, second):
        return len(first) == len(second) and all(
            torch.equal(a, b) for one, two in zip(first, second, strict=True) for a, b in zip(one, two, strict=True)
        )

    torch.manual_seed(3)
    state = torch.get_rng_state()
    whole = batches(1, 4)
    assert same(whole, batches(1, 4))
    assert not same(whole, batches(2, 4))
    assert not same(whole, batches(1, 5))
    assert same(whole[3:], batches(1, 4, skip=3))
    assert same(whole, batches(1, 4, workers=2))
    assert same(whole[2:], batches(1, 4, skip=2, workers=2))
    assert torch.equal(state, torch.get_rng_state())  # else dropout would depend on how pictures are decoded


def test_every_picture_comes_once_in_an_epoch_and_in_another_order():
    pairs = [(torch.full((3, 32, 32), i, dtype=torch.uint8), blobs(32, 32)[1]) for i in range(9)]
    loader = loader_of(*pairs)
    orders = [[int(x) for inputs, _ in loader.epoch(e) for x in (inputs[:, 0, 0, 0] * 255).round()] for e in range(3)]
    assert all(sorted(order) == list(range(9)) for order in orders)
    assert len({tuple(order) for order in orders}) == 3


def test_batches_are_normalized_as_in_testing():
    pair = blobs(32, 32)
    dataset = dataset_of(pair, transforms=(tf.Normalize(),))
    prepare = prepare_for(dataset, Prepare(3, 32, 32))
    inputs, targets = next(MaskLoader(dataset, "train", 1, prepare).epoch())

    assert prepare.fit == "tile"
    assert inputs.dtype == torch.float32
    assert targets.dtype == torch.int64
    assert targets.shape == (1, 32, 32)
    torch.testing.assert_close(inputs, prepare.normalize(pair[0][None].float() / 255))
    assert abs(float(inputs.mean())) < 1e-4


def test_pictures_get_the_networks_channels():
    picture, mask = blobs(32, 32)
    grey = loader_of((picture, mask), prepare=Prepare(1, 32, 32, fit="tile")).sample(0, 0)[0]
    assert torch.equal(grey[0], picture[0])
    color = loader_of((picture[:1], mask), prepare=TILE).sample(0, 0)[0]
    assert torch.equal(color, picture)


SIZES = [(60, 80), (80, 60), (33, 100), (128, 130), (20, 31), (9, 14), (64, 64), (200, 40)]


@pytest.mark.parametrize("fit", ["stretch", "pad"])
@pytest.mark.parametrize("height, width", SIZES)
def test_a_whole_picture_and_its_mask_are_resized_alike(fit, height, width):
    mask = torch.zeros(height, width, dtype=torch.uint8)
    mask[height // 4 : height // 2, width // 3 : -width // 4] = 1
    picture = (100 * mask + 100).expand(3, -1, -1)
    small, classes = resized(picture, mask, Prepare(3, 64, 64, fit=fit))

    assert small.shape == (3, 64, 64)
    assert classes.shape == (64, 64)
    assert (classes == 1).any()
    said = torch.where(small[0] > 150, 1, torch.where(small[0] > 50, 0, 255))
    edges = 4 * (64 + 64) / 2  # a pixel of doubt along the edges of the rectangle
    assert int((said != classes).sum()) < edges / (1 if fit == "pad" else 2)
    if fit == "stretch":
        assert not (classes == 255).any()
    else:
        top, left, high, wide = padded_box((height, width), (64, 64))
        inside = torch.zeros(64, 64, dtype=torch.bool)
        inside[top : top + high, left : left + wide] = True
        assert torch.equal(classes == 255, ~inside)
        for dim in (0, 1):  # the box lies where the picture does, to half a pixel
            ink = (small[0].float() / 100).clamp(max=1).amax(1 - dim)
            assert abs(float(ink.sum()) - float(inside.any(1 - dim).sum())) < 1.1
            first = int((ink > 0.5).nonzero().min())
            assert abs(first - int(inside.any(1 - dim).nonzero().min())) <= 1


def test_pictures_are_kept_while_they_fit_into_memory(monkeypatch):
    reads = []

    class Counted:
        def __init__(self, samples):
            self.samples, self.targets = samples, samples.targets

        def __len__(self):
            return len(self.samples)

        def __getitem__(self, index):
            reads.append(index)
            return self.samples[index]

        def mask(self, index):
            return self.samples.mask(index)

    def read_in_two_epochs(limit):
        monkeypatch.setattr(module, "CACHE_BYTES", limit)
        loader = loader_of(*[chart(40, 40, DEFECTS[:1])] * 5)
        loader.samples = Counted(loader.samples)
        reads.clear()
        for epoch in range(2):
            list(loader.epoch(epoch))
        return len(reads)

    assert read_in_two_epochs(2**20) == 5
    assert read_in_two_epochs(2 * 4 * 40 * 40) == 5 + 3
    assert read_in_two_epochs(0) == 10


@pytest.mark.parametrize(
    "transform, words",
    [
        (tf.RandomCrop(), "transform RandomCrop does not suit segmentation"),
        (tf.RandomResizedCrop(), "transform RandomResizedCrop does not suit segmentation"),
        (tf.Mixup(), "transform Mixup does not suit segmentation"),
        (tf.Resize(fit="crop"), "Resize with fit crop would leave pixels without a prediction"),
    ],
)
def test_transforms_that_do_not_suit_masks(transform, words):
    dataset = squares_dataset(2, 1, 1).with_transforms(transform)
    assert words in sentence(check_transforms, dataset)
    assert words in sentence(MaskLoader, dataset, "train", 1, TILE)


def test_a_blur_wider_than_the_window_is_cut_to_it():
    pair = blobs(32, 32)
    assert loader_of(pair, transforms=(tf.Blur(1.0, 20.0),)).sample(0, 0)[0].shape == (3, 32, 32)


def test_a_rare_kind_is_seen_as_often_as_a_common_one():
    common, rare = chart(64, 64, DEFECTS[:1]), chart(64, 64)
    rare[1][5, 5] = 2
    clean = chart(64, 64)
    loader = loader_of(*[common] * 8, rare, clean, transforms=(tf.DefectWindow(1.0, count=30),))
    kinds = [int(loader.sample(number, 0)[1].max()) for number in range(loader.count)]
    assert kinds.count(0) == 0
    assert 0.4 < kinds.count(2) / len(kinds) < 0.6


def test_a_defect_that_is_lost_when_a_picture_is_made_smaller_is_no_error():
    picture, mask = chart(400, 400, ((slice(201, 202), slice(201, 202)),))
    loader = loader_of((picture, mask), transforms=(tf.DefectWindow(1.0),), prepare=Prepare(3, 32, 32, fit="stretch"))
    assert loader.sample(0, 0)[1].shape == (32, 32)
