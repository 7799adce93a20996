"""Looking at large pictures through windows: nothing is left out, nothing shows where windows meet."""

from dataclasses import replace
from itertools import pairwise

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from visionsmith import nn_layers as layers
from visionsmith.nn_layers import Prepare
from visionsmith.training.segmentation.tiles import blend_weights, segment, starts

from .conftest import small_network


class Named(nn.Module):
    """A module made of a function; counts its calls and the windows of each."""

    def __init__(self, function):
        super().__init__()
        self.function, self.batches = function, []

    def forward(self, x):
        self.batches.append(len(x))
        return self.function(x)


def network_of(height=32, width=32, fit="tile", channels=3, classes=2):
    """A network that is asked for `prepare` only; what it computes is given to `segment` beside it."""
    x = layers.input_tensor(layers.Input("image", (channels, height, width)))
    network = layers.build_network((layers.apply(layers.Conv(classes), x),))
    return replace(network, prepare=Prepare(channels, height, width, fit=fit))


def together(network, module, picture, **more):
    """All bands, which have to follow each other without a gap."""
    bands, expected = [], 0
    with torch.no_grad():
        for top, band in segment(network, module, picture, **more):
            assert top == expected
            assert band.dtype == torch.float32
            expected += band.shape[1]
            bands.append(band)
    assert expected == picture.shape[1]
    return torch.cat(bands, 1)


def noise(height, width, channels=3, seed=0):
    """A picture of noise."""
    return torch.randint(
        0, 256, (channels, height, width), generator=torch.Generator().manual_seed(seed), dtype=torch.uint8
    )


@pytest.mark.parametrize("overlap", [0.0, 0.1, 0.25, 0.5, 0.75, 1.0])
def test_windows_cover_every_length(overlap):
    for size in (1, 2, 7, 32):
        for length in range(1, 140):
            places = starts(length, size, overlap)
            if length <= size:
                assert places == [-((size - length) // 2)]
                continue
            assert (places[0], places[-1]) == (0, length - size)
            steps = [after - before for before, after in pairwise(places)]
            assert all(0 < step <= max(1, round(size * (1 - overlap))) for step in steps)


@pytest.mark.parametrize("height, width", [(1, 1), (2, 5), (32, 32), (31, 64)])
def test_every_pixel_of_a_window_counts_and_the_middle_most(height, width):
    weights = blend_weights(height, width)
    assert weights.shape == (height, width)
    assert float(weights.min()) > 0
    assert float(weights.max()) == float(weights[height // 2, width // 2]) <= 1
    assert torch.equal(weights, weights.flip(0))
    assert torch.equal(weights, weights.flip(1))


SIZES = [(32, 32), (33, 32), (31, 64), (5, 7), (100, 20), (20, 100), (97, 131), (1, 1), (64, 96)]


@pytest.mark.parametrize("height, width", SIZES)
@pytest.mark.parametrize("overlap", [0.0, 0.25, 0.6])
def test_a_constant_stays_constant(height, width, overlap):
    module = Named(lambda x: torch.tensor([1.0, 3.0]).view(1, 2, 1, 1).expand(len(x), 2, *x.shape[-2:]))
    found = together(network_of(), module, noise(height, width), overlap=overlap, flips=True)
    expected = torch.tensor([1.0, 3.0]).softmax(0).view(2, 1, 1).expand(2, height, width)
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("height, width", SIZES)
@pytest.mark.parametrize("flips", [False, True])
def test_a_network_that_sees_one_pixel_gives_the_same_through_windows(height, width, flips):
    picture = noise(height, width)
    module = Named(lambda x: x[:, :2] * 4)
    expected = (picture[:2].float() / 255 * 4).softmax(0)
    torch.testing.assert_close(together(network_of(), module, picture, flips=flips), expected)
    torch.testing.assert_close(together(network_of(24, 40), module, picture, flips=flips), expected)


def test_a_convolution_gives_the_same_through_windows_away_from_their_borders():
    """It sees 3 × 3 pixels, so only the outermost of a window can differ, and those hardly count where windows overlap."""
    picture, conv = noise(90, 110), nn.Conv2d(3, 2, 3, padding=1)
    with torch.no_grad():
        whole = conv(picture[None].float() / 255).softmax(1)[0]
    found = together(network_of(), conv, picture, overlap=0.5)
    border = torch.zeros(90, 110, dtype=torch.bool)
    for first in starts(90, 32, 0.5):
        border[[first, first + 31]] = True
    for first in starts(110, 32, 0.5):
        border[:, [first, first + 31]] = True

    assert float(border.float().mean()) < 0.3
    torch.testing.assert_close(found[:, ~border], whole[:, ~border])
    assert float((found - whole).abs().max()) < 0.1
    torch.testing.assert_close(together(network_of(90, 110), conv, picture), whole)


def test_a_learned_network_is_the_same_whatever_the_batch(monkeypatch):
    network = small_network()
    network = replace(network, prepare=replace(network.prepare, fit="tile"))
    module, picture = network.module.eval(), noise(70, 90)
    one = together(network, module, picture, batch_size=1)
    torch.testing.assert_close(together(network, module, picture, batch_size=5), one)
    assert one.shape == (2, 70, 90)
    torch.testing.assert_close(one.sum(0), torch.ones(70, 90))


def test_windows_are_looked_at_in_batches_and_once():
    module = Named(lambda x: x[:, :2])
    together(network_of(), module, noise(100, 100), overlap=0.25, batch_size=3)
    count = len(starts(100, 32, 0.25))
    assert count == 4
    assert module.batches == [3, 1] * 4
    module.batches.clear()
    together(network_of(), module, noise(100, 100), overlap=0.25, batch_size=3, flips=True)
    assert sum(module.batches) == 4 * 16


def test_flips_average_over_four_mirror_images():
    picture = noise(32, 32)
    step = torch.linspace(-2, 2, 32)
    module = Named(lambda x: torch.stack((x[:, 0] + step, x[:, 1] + step.view(-1, 1)), 1))
    found = together(network_of(), module, picture, flips=True)
    views = []
    for dims in ((), (1,), (2,), (1, 2)):
        logits = module((picture.float() / 255).flip(dims)[None])
        views.append(logits.softmax(1)[0].flip(dims))
    torch.testing.assert_close(found, torch.stack(views).mean(0))


def test_every_window_is_handed_on_with_its_place():
    picture, seen = noise(60, 20), []
    module = Named(lambda x: x[:, :2])
    together(
        network_of(), module, picture, flips=True, on_tile=lambda logits, top, left: seen.append((logits, top, left))
    )
    assert [(top, left) for _, top, left in seen] == [(0, -6), (14, -6), (28, -6)]
    for logits, top, _ in seen:
        assert logits.shape == (2, 32, 32)
        torch.testing.assert_close(logits[:, :, 6:26], picture[:2, top : top + 32].float() / 255)


def test_one_output_is_the_probability_of_the_second_class():
    found = together(network_of(classes=1), Named(lambda x: 5 * x[:, :1]), noise(40, 40))
    assert found.shape == (2, 40, 40)
    torch.testing.assert_close(found.sum(0), torch.ones(40, 40))
    torch.testing.assert_close(found[1], (5 * noise(40, 40)[0].float() / 255).sigmoid())


def test_pictures_are_prepared_as_in_training():
    prepare = Prepare(1, 32, 32, (0.4,), (0.2,), fit="tile")
    network = replace(network_of(channels=1), prepare=prepare)
    module = Named(lambda x: torch.cat((x, -x), 1))
    picture = noise(32, 32)
    found = together(network, module, picture)
    expected = prepare.normalize(prepare.match_channels(picture[None].float() / 255))[0, 0]
    torch.testing.assert_close(found[0], (2 * expected).sigmoid())


def gradient(height, width):
    """A picture that is bright in one rectangle; gives its pixels as a mask too."""
    picture = torch.full((3, height, width), 20, dtype=torch.uint8)
    inside = torch.zeros(height, width, dtype=torch.bool)
    inside[height // 4 : height // 2, width // 3 : -width // 4] = True
    picture[:, inside] = 220
    return picture, inside


@pytest.mark.parametrize("fit", ["stretch", "pad"])
@pytest.mark.parametrize("height, width", [(60, 90), (90, 60), (30, 100), (128, 120), (20, 31), (9, 14), (64, 64)])
@pytest.mark.parametrize("flips", [False, True])
def test_a_picture_that_is_looked_at_whole_comes_back_in_its_size_and_place(fit, height, width, flips):
    picture, inside = gradient(height, width)
    module = Named(lambda x: torch.stack((0.5 - x[:, 0], x[:, 0] - 0.5), 1) * 40)
    found = together(network_of(64, 64, fit), module, picture, flips=flips)

    assert found.shape == (2, height, width)
    torch.testing.assert_close(found.sum(0), torch.ones(height, width), atol=1e-4, rtol=0)
    wrong = (found[1] > 0.5) != inside
    edge = (F.max_pool2d(inside[None].float(), 3, 1, 1) + F.max_pool2d(-inside[None].float(), 3, 1, 1))[0] > 0
    scale = max(1.0, height / 64, width / 64)
    assert float((wrong & ~edge).sum()) <= 4 * (height + width) * (scale - 1)
    assert float(wrong.sum()) < 0.5 * float(edge.sum()) * scale
