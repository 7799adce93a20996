"""Batches: order, augmentation and normalization are a function of the seed and the epoch."""

import pytest
import torch
from visionsmith.nn_layers import InputError, Prepare
from visionsmith.training import transforms as tf
from visionsmith.training.loader import Batches, Loader, check_fits, prepare_for

ALL = (
    tf.Flip(0.5, 0.5),
    tf.Rotate(20, 0.1, 0.1),
    tf.Color(),
    tf.Cutout(),
    tf.RandomCrop(7, 7, 1),
    tf.RandomResizedCrop(8, 8),
)


def make(dataset, train=True, size=8, seed=3, **kwargs):
    return Loader(dataset, "train", 32, prepare_for(dataset, Prepare(1, size, size)), train=train, seed=seed, **kwargs)


def test_one_epoch_has_every_sample_once_in_a_new_order(digits):
    loader = make(digits)
    epochs = [torch.cat([targets for _, targets in loader.epoch(number)]) for number in (0, 1)]

    assert len(loader) == -(-len(loader.samples) // 32)
    assert torch.equal(epochs[0].sort().values, loader.targets.sort().values)
    assert not torch.equal(epochs[0], epochs[1])
    assert torch.equal(torch.cat([y for _, y in make(digits, train=False).epoch()]), loader.targets)


@pytest.mark.parametrize("transform", [*ALL, tf.Mixup(0.4)], ids=lambda t: type(t).__name__)
def test_augmentation_repeats_itself_and_can_be_entered_in_the_middle(digits, transform):
    dataset = digits.with_transforms(transform)
    torch.manual_seed(0)
    whole = list(make(dataset).epoch(2))
    state = torch.get_rng_state()
    tail = list(make(dataset).epoch(2, skip=20))

    assert torch.equal(state, torch.get_rng_state())  # dropout must not see how pictures were augmented
    for (x, y), (a, b) in zip(whole[20:], tail, strict=True):
        assert torch.equal(x, a)
        assert torch.equal(y, b)
    assert not torch.equal(whole[0][0], next(make(dataset, seed=4).epoch(2))[0])
    assert whole[0][0].shape == (32, 1, 8, 8)


def test_workers_decode_the_same_batches(digits):
    dataset = digits.with_transforms(tf.Rotate())
    for (x, _), (a, _) in zip(make(dataset).epoch(1), make(dataset, workers=1).epoch(1), strict=True):
        assert torch.equal(x, a)


def test_tests_see_no_augmentation(digits):
    dataset = digits.with_transforms(*ALL, tf.Mixup())
    plain, augmented = (torch.cat([x for x, _ in make(d, train=False).epoch()]) for d in (digits, dataset))

    assert torch.equal(plain, augmented)


def test_normalization_from_the_data(digits):
    x = torch.cat([x for x, _ in make(digits).epoch()])

    assert x.mean().abs() < 1e-3
    assert x.std() == pytest.approx(1, abs=1e-3)


def test_imagenet_normalization_suits_the_channels(digits):
    prepare = prepare_for(digits.with_transforms(tf.Normalize("imagenet")), Prepare(3, 8, 8))
    grey = prepare_for(digits.with_transforms(tf.Normalize("imagenet")), Prepare(1, 8, 8))

    assert prepare.mean == tf.IMAGENET_MEAN
    assert grey.mean == (pytest.approx(sum(tf.IMAGENET_MEAN) / 3),)


@pytest.mark.parametrize("fit", ["stretch", "crop", "pad"])
def test_batches_equal_what_predict_will_prepare(digits, fit):
    dataset = digits.with_transforms(tf.Resize(8, 16, fit))
    prepare = prepare_for(dataset, Prepare(1, 12, 20))
    x, _ = next(Loader(dataset, "train", 4, prepare).epoch())
    raw = torch.stack([dataset.split("train")[i] for i in range(4)]).float() / 255

    torch.testing.assert_close(x, prepare(raw), atol=0.02, rtol=0)  # batches are rounded to 8 bits on the way


def test_mixup_blends_labels_as_it_blends_pictures(digits):
    _, y = next(make(digits.with_transforms(tf.Mixup(1.0))).epoch())

    assert y.shape == (32, 10)
    torch.testing.assert_close(y.sum(1), torch.ones(32))
    assert ((y > 0).sum(1) <= 2).all()


def test_data_that_a_network_cannot_read(digits, table):
    with pytest.raises(InputError, match="has pictures, but the network's Input wants 64"):
        check_fits(digits, None, (64,))
    with pytest.raises(InputError, match="has 3 features, but the network's Input wants 4"):
        check_fits(table, None, (4,))


@pytest.mark.parametrize(("count", "size", "lengths"), [(33, 8, [8, 8, 8, 9]), (32, 8, [8] * 4), (34, 8, [8, 8, 8, 8, 2]), (3, 1, [1, 1, 1]), (1, 8, [1])])  # fmt: skip
def test_a_lone_last_sample_joins_the_batch_before(count, size, lengths):
    """Batch normalization cannot train on a batch of one."""
    cut = Batches(count, size)
    batches = cut.cut(torch.arange(count))

    assert [len(batch) for batch in batches] == lengths and len(lengths) == len(cut)
    assert [cut.length(number) for number in range(len(cut))] == lengths
    assert torch.equal(torch.cat(batches), torch.arange(count))


@pytest.mark.parametrize(("count", "size", "world"), [(33, 8, 2), (35, 8, 2), (10, 4, 3), (9, 9, 4), (100, 7, 7)])
def test_processes_share_every_batch_without_gap_or_overlap(count, size, world):
    teams = [Batches(count, size, rank, world) for rank in range(world)]
    parts = [team.cut(torch.arange(count)) for team in teams]
    for number, pieces in enumerate(zip(*parts, strict=True)):
        assert all(len(piece) for piece in pieces)
        assert sum(map(len, pieces)) == teams[0].length(number)
    everything = torch.cat([piece for part in parts for piece in part])
    assert torch.equal(everything.sort().values, torch.arange(count))
