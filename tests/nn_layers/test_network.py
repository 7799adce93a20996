"""Drawings become networks: residuals, independence, seeds, freezing, repetition, reuse."""

import time

import pytest
import torch
from visionsmith import nn_layers as nn
from visionsmith.nn_layers.tensor import infer


def image(channels=3, size=16):
    return nn.input_tensor(nn.Input("image", (channels, size, size)))


def residual_drawing():
    """A stem, an identity skip, a branch with layers of its own, and a classifier of 5 classes."""
    stem = nn.apply(nn.Conv(8), image())
    body = nn.apply(nn.Activation(), nn.apply(nn.Normalization(), nn.apply(nn.Conv(8), stem)))
    branch = nn.apply(nn.Conv(8, kernel_size=1), stem)
    joined = nn.apply(nn.Merge("add"), stem, body, branch)
    return nn.apply(nn.Linear(5), nn.apply(nn.Pooling("average", "global"), joined))


def test_a_drawn_network_computes_what_the_same_code_computes():
    network = nn.build_network((residual_drawing(),), "residual", seed=3)
    m = network.module.eval()
    x = torch.rand(2, 3, 16, 16)
    stem = m.conv_1(x)
    by_hand = m.linear_1((stem + m.activation_1(m.normalization_1(m.conv_2(stem))) + m.conv_3(stem)).mean((2, 3)))

    torch.testing.assert_close(m(x), by_hand)


def test_layers_on_every_branch_are_trained():
    network = nn.build_network((residual_drawing(),))
    network.module(torch.rand(2, 3, 16, 16)).sum().backward()

    assert {name.split(".")[0] for name, _ in network.module.named_parameters()} == {
        "conv_1", "conv_2", "conv_3", "normalization_1", "linear_1",
    }  # fmt: skip
    assert all(p.grad is not None and p.grad.isfinite().all() for p in network.module.parameters())


def test_two_networks_from_one_drawing_share_nothing():
    drawing = residual_drawing()
    first, second = (nn.build_network((drawing,), seed=1) for _ in range(2))
    pointers = [{p.data_ptr() for p in network.module.parameters()} for network in (first, second)]
    with torch.no_grad():
        first.module.conv_1.weight.zero_()

    assert not pointers[0] & pointers[1]
    assert second.module.conv_1.weight.abs().sum() > 0


def test_the_seed_decides_the_weights_and_leaves_the_callers_random_state_alone():
    torch.manual_seed(11)
    before = torch.random.get_rng_state()
    a, b, c = (nn.build_network((residual_drawing(),), seed=seed).module.state_dict() for seed in (1, 1, 2))

    assert torch.equal(before, torch.random.get_rng_state())
    assert all(torch.equal(a[key], b[key]) for key in a)
    assert not torch.equal(a["conv_1.weight"], c["conv_1.weight"])


@pytest.mark.parametrize("initialization", list(nn.INITIALIZERS))
def test_initializations(initialization):
    weight = nn.build_network((residual_drawing(),), initialization=initialization).module.conv_2.weight.detach()
    fan = 8 * 9
    spread = {
        "default": (1 / (3 * fan)) ** 0.5, "kaiming normal": (2 / fan) ** 0.5, "kaiming uniform": (2 / fan) ** 0.5,
        "xavier normal": (2 / (2 * fan)) ** 0.5, "xavier uniform": (2 / (2 * fan)) ** 0.5,
    }  # fmt: skip
    if initialization == "orthogonal":
        torch.testing.assert_close(weight.flatten(1) @ weight.flatten(1).T, torch.eye(8), atol=1e-5, rtol=0)
    else:
        assert weight.std().item() == pytest.approx(spread[initialization], rel=0.15)


def test_a_tensor_may_be_used_twice_and_by_several_outputs():
    x = nn.apply(nn.Conv(4), image())
    twice = nn.apply(nn.Merge("add"), x, x)
    network = nn.build_network((twice, x))
    doubled, once = network.module(torch.rand(1, 3, 16, 16))

    torch.testing.assert_close(doubled, 2 * once)


def test_repeat_gives_every_copy_its_own_weights():
    start = nn.apply(nn.Conv(8), image())
    inside = nn.apply(nn.Activation(), nn.apply(nn.Conv(8), start))
    end = nn.apply(nn.Merge("add"), start, inside)
    network = nn.build_network((nn.repeat(start, end, 4),))
    weights = [getattr(network.module, f"conv_{i}").weight for i in range(2, 6)]

    assert len({w.data_ptr() for w in weights}) == 4
    assert not torch.equal(weights[0], weights[1])


def test_repeat_keeps_outside_tensors_wired_into_every_copy():
    context = image(8)
    start = nn.apply(nn.Conv(8), context)
    end = nn.apply(nn.Merge("add"), nn.apply(nn.Conv(8), start), context)
    spec, _ = nn.trace((nn.repeat(start, end, 3),))

    assert sum("input_1" in node.inputs for node in spec.nodes) == 4


def test_repeat_says_what_does_not_fit():
    outside = nn.input_tensor(nn.Input("features", (4,)))
    start = nn.apply(nn.Linear(4), outside)
    with pytest.raises(nn.InputError, match="does not come from its start"):
        nn.repeat(start, nn.apply(nn.Linear(4), outside), 2)
    wider = nn.apply(nn.Merge("concat"), nn.apply(nn.Merge("add"), start, outside), start)
    with pytest.raises(nn.InputError, match="does not fit behind itself"):
        nn.repeat(start, wider, 2)


def test_frozen_layers_keep_weights_and_statistics(tmp_path):
    inner = nn.build_network((nn.apply(nn.Normalization(), nn.apply(nn.Conv(4), image())),), seed=5)
    nn.save_network(inner, tmp_path)
    block = nn.embed(inner.spec, (image(),), tmp_path / "weights.safetensors", frozen=True)
    network = nn.build_network((nn.apply(nn.Conv(2), block),))
    before = {key: value.clone() for key, value in network.module.state_dict().items()}
    network.module.train()(torch.rand(4, 3, 16, 16)).sum().backward()

    assert torch.equal(network.module.conv_1.layer.weight, inner.module.conv_1.weight)
    assert network.module.conv_1.layer.weight.grad is None
    assert all(torch.equal(before[key], value) for key, value in network.module.state_dict().items())


@pytest.mark.parametrize(("freeze", "moving"), [("none", True), ("all", False), ("stages", True)])
def test_a_frozen_backbone_does_not_move_its_batch_norm(freeze, moving):
    layer = nn.Backbone("resnet10t", freeze=freeze, freeze_stages=2)
    network = nn.build_network((nn.apply(layer, image(3, 32)),))
    module = network.module.train()
    before = {key: value.clone() for key, value in module.state_dict().items() if "running_mean" in key}
    module(torch.rand(4, 3, 32, 32))
    moved = {key for key, value in module.state_dict().items() if key in before and not torch.equal(before[key], value)}

    assert bool(moved) is moving
    if freeze == "stages":
        assert not any(key.startswith(("backbone_1.body.conv1", "backbone_1.body.layer1")) for key in moved)
        assert any(key.startswith("backbone_1.body.layer4") for key in moved)


def test_a_network_without_input_is_refused():
    with pytest.raises(nn.InputError, match="at least 1"):
        nn.input_tensor(nn.Input("image", (3, 0, 4)))


def test_drawing_allocates_nothing_and_its_cost_does_not_grow_with_depth():
    def seconds(count):
        infer.cache_clear()
        x, start = image(16), time.perf_counter()
        for index in range(count):  # every layer differs from all others, so that nothing comes from the cache
            x = nn.apply(nn.Conv(16, dilation=1 + index), x)
        return (time.perf_counter() - start) / count

    seconds(20)
    shallow, deep = min(seconds(100) for _ in range(3)), min(seconds(400) for _ in range(3))
    assert deep < 3 * shallow  # a hundred times looser than linear cost needs; benchmarks/drawing.py measures it


def test_prepare_matches_channels_size_and_normalization():
    prepare = nn.Prepare(1, 8, 8, (0.5,), (0.25,))
    grey = prepare(torch.full((2, 3, 20, 30), 0.75))

    assert grey.shape == (2, 1, 8, 8)
    torch.testing.assert_close(grey, torch.ones(2, 1, 8, 8))
    assert nn.Prepare(3, 4, 4)(torch.rand(1, 1, 4, 4)).shape == (1, 3, 4, 4)
    assert nn.Prepare(3, 4, 4)(torch.rand(1, 4, 4, 4)).shape == (1, 3, 4, 4)


@pytest.mark.parametrize("fit", ["stretch", "crop", "pad"])
@pytest.mark.parametrize("size", [(1, 5000), (5000, 1), (1, 1), (2, 9)])
def test_pictures_of_any_shape_are_prepared(fit, size):
    prepared = nn.Prepare(1, 33, 8, fit=fit)(torch.ones(1, 1, *size))

    assert prepared.shape == (1, 1, 33, 8)
    assert prepared.isfinite().all()
