"""Using a network: class masks from probabilities and thresholds, boxes, and pictures of any size."""

from dataclasses import replace

import pytest
import torch
from visionsmith import nn_layers as nn
from visionsmith.training.segmentation.predict import Segmentation, chosen_classes, predict_masks

from .conftest import sentence, small_network


class ByColor(torch.nn.Module):
    """Logits from the channels of a picture: red speaks for class 1, green for class 2."""

    def forward(self, x):
        return torch.cat((torch.zeros_like(x[:, :1]), 16 * x[:, :2] - 8), 1)


@pytest.fixture
def network():
    """Three classes that are told by colour, looked for through windows of 32 pixels."""
    found = small_network(classes=3)
    return replace(
        found,
        module=ByColor(),
        classes=("ok", "red", "green"),
        colors=((0, 0, 0), (255, 0, 0), (0, 255, 0)),
        prepare=replace(found.prepare, fit="tile"),
    )


def pictures(count=1, height=40, width=50):
    """Black pictures as ComfyUI hands them over."""
    return torch.zeros(count, height, width, 3)


def test_every_pixel_gets_its_most_probable_class(network):
    images = pictures(2)
    images[0, 3:7, 10:20, 0] = 1
    images[1, 30:40, 45:50, 1] = 1
    found = predict_masks(network, images)

    assert found.masks.dtype == torch.uint8
    assert found.probabilities.dtype == torch.float16
    assert found.probabilities.shape == (2, 3, 40, 50)
    assert (found.classes, found.colors) == (network.classes, network.colors)
    assert torch.equal(found.masks[0] == 1, images[0, ..., 0] == 1)
    assert torch.equal(found.masks[1] == 2, images[1, ..., 1] == 1)
    torch.testing.assert_close(found.probabilities.float().sum(1), torch.ones(2, 40, 50), atol=2e-3, rtol=0)


@pytest.mark.parametrize("threshold", [0.0, 0.50005])
def test_a_class_that_leads_by_less_than_is_kept_of_probabilities_is_chosen(network, threshold):
    class Nearly(torch.nn.Module):
        def forward(self, x):
            return torch.stack((x[:, 0] * 0, x[:, 0] * 0 + 4e-4, x[:, 0] * 0 - 20), 1)  # 0.4999 and 0.5001

    found = predict_masks(replace(network, module=Nearly()), pictures(), threshold=threshold)

    assert (found.probabilities[0, 0] == found.probabilities[0, 1]).all()
    assert (found.masks == 1).all()


@pytest.mark.parametrize("height, width", [(1, 1), (5, 100), (100, 5), (33, 31)])
@pytest.mark.parametrize("fit", ["tile", "stretch", "pad"])
def test_masks_have_the_pictures_size(network, height, width, fit):
    network = replace(network, prepare=replace(network.prepare, fit=fit))
    images = pictures(1, height, width)
    images[..., 0] = 1
    found = predict_masks(network, images)
    assert found.masks.shape == (1, height, width)
    assert (found.masks == 1).all()


def test_options_that_change_only_how_it_is_found(network):
    images = torch.rand(1, 70, 60, 3, generator=torch.Generator().manual_seed(0))
    first = predict_masks(network, images).masks
    for options in ({"flips": True}, {"overlap": 0.6}, {"batch_size": 1}):
        assert float((predict_masks(network, images, **options).masks == first).float().mean()) > 0.999


def test_pictures_of_four_channels_and_grey_networks(network):
    images = torch.zeros(1, 32, 32, 4)
    images[..., 0] = images[..., 3] = 1
    assert (predict_masks(network, images).masks == 1).all()
    assert predict_masks(small_network(channels=1), torch.rand(1, 40, 40, 3)).masks.shape == (1, 40, 40)


def test_a_threshold_finds_less_or_more():
    probabilities = torch.tensor([[0.45, 0.4, 0.15], [0.2, 0.35, 0.45], [0.9, 0.06, 0.04]]).T.view(1, 3, 1, 3)
    for threshold, expected in (
        (0.0, [0, 2, 0]),
        (0.3, [1, 2, 0]),
        (0.42, [0, 2, 0]),
        (0.6, [0, 0, 0]),
        (0.05, [1, 2, 1]),
    ):
        assert chosen_classes(probabilities, threshold)[0, 0].tolist() == expected


def test_a_threshold_at_prediction(network):
    images = pictures()
    images[0, :, :, 0] = 0.48  # a little less probable than the background
    assert not predict_masks(network, images).masks.any()
    assert (predict_masks(network, images, threshold=0.4).masks == 1).all()


def test_boxes_lie_around_connected_defects(network):
    images = pictures(2)
    images[0, 3:7, 10:20, 0] = 1
    images[0, 7, 20, 0] = 1  # touches at a corner
    images[0, 30:32, 40:41, 0] = 1
    images[0, 20:38, 5:8, 1] = 0.9
    boxes = predict_masks(network, images).boxes()

    assert boxes[1] == []
    assert [(b["x"], b["y"], b["width"], b["height"], b["label"]) for b in boxes[0]] == [
        (5, 20, 3, 18, "green"),
        (10, 3, 11, 5, "red"),
        (40, 30, 1, 2, "red"),
    ]
    assert [b["area"] for b in boxes[0]] == [54, 41, 2]
    assert boxes[0][0]["score"] == pytest.approx(float(torch.tensor([0.0, -8.0, 0.9 * 16 - 8]).softmax(0)[2]), abs=5e-3)
    assert boxes[0][1]["score"] > 0.99
    assert all(type(value) in (int, float, str) for box in boxes[0] for value in box.values())


def test_small_defects_get_no_box():
    masks = torch.zeros(1, 9, 9, dtype=torch.uint8)
    masks[0, 0, 0] = 1
    masks[0, 3:5, 3:5] = 1
    found = Segmentation(("ok", "bad"), ((0, 0, 0), (9, 9, 9)), masks, torch.full((1, 2, 9, 9), 0.5).half())
    assert [len(found.boxes(area)[0]) for area in (1, 2, 4, 5)] == [2, 1, 1, 0]


def test_a_network_that_was_not_trained_has_default_names():
    found = predict_masks(small_network(classes=4), torch.rand(1, 32, 32, 3))
    assert found.classes == ("background", "class 1", "class 2", "class 3")
    assert len(found.colors) == 4
    assert predict_masks(small_network(classes=1), torch.rand(1, 32, 32, 3)).classes == ("background", "defect")


def test_outputs_without_a_class_are_left_out(network):
    found = predict_masks(replace(network, classes=("ok", "red"), colors=()), torch.ones(1, 32, 32, 3))
    assert found.probabilities.shape == (1, 2, 32, 32)
    assert found.classes == ("ok", "red")
    assert len(found.colors) == 2


def test_a_network_without_a_map_is_refused():
    x = nn.input_tensor(nn.Input("image", (3, 32, 32)))
    labels = nn.build_network((nn.apply(nn.Linear(2), nn.apply(nn.View(), x)),), "labels")
    assert "labels gives no map of classes for a picture; use a segmentation network" in sentence(
        predict_masks, labels, pictures()
    )
    numbers = nn.build_network((nn.apply(nn.Linear(2), nn.input_tensor(nn.Input("features", (4,)))),), "numbers")
    assert "numbers gives no map" in sentence(predict_masks, numbers, pictures())


def test_progress_and_cancel(network):
    seen = []
    predict_masks(network, pictures(2, 70, 40), on_picture=lambda done, count: seen.append((done, count)))
    assert seen == sorted(seen)
    assert seen[-1] == (2, 2)
    assert len(seen) > 4  # within a picture too

    def stop(done, count):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        predict_masks(network, pictures(), on_picture=stop)


def test_nothing_is_changed_under_inference_mode():
    network = small_network()
    network.module.train()
    before = {key: value.clone() for key, value in network.module.state_dict().items()}
    with torch.inference_mode():
        images = torch.rand(1, 40, 40, 3)
        copy = images.clone()
        predict_masks(network, images, flips=True)
        assert torch.equal(images, copy)
    assert all(part.training for part in network.module.modules())
    assert all(torch.equal(value, before[key]) for key, value in network.module.state_dict().items())
