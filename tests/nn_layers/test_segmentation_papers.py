"""The idea of each of our modules, computed a second time in the plainest way."""

import math

import pytest
import torch
from torch.nn import functional as F
from visionsmith.nn_layers.segmentation.ann import BINS, AsymmetricNonLocal, sample
from visionsmith.nn_layers.segmentation.apcnet import AdaptiveContext
from visionsmith.nn_layers.segmentation.bisenetv2 import BiSeNetV2, ContextEmbedding, GatherExpand, GuidedAggregation
from visionsmith.nn_layers.segmentation.blocks import PyramidPooling
from visionsmith.nn_layers.segmentation.ccnet import CrissCross, RecurrentCrissCross
from visionsmith.nn_layers.segmentation.danet import ChannelAttention, PositionAttention
from visionsmith.nn_layers.segmentation.dilated import head_channels
from visionsmith.nn_layers.segmentation.fastfcn import JointPyramidUpsampling
from visionsmith.nn_layers.segmentation.fastscnn import Bottleneck, FastSCNN
from visionsmith.nn_layers.segmentation.from_transformers import relative_positions
from visionsmith.nn_layers.segmentation.gcnet import GlobalContext
from visionsmith.nn_layers.segmentation.trim import Unused, trim, unreached
from visionsmith.nn_layers.segmentation.vit import MultiLevelHead

HEIGHT, WIDTH, CHANNELS = 4, 5, 16


@pytest.fixture
def x():
    torch.manual_seed(0)
    return torch.randn(2, CHANNELS, HEIGHT, WIDTH)


def close(found, wanted):
    torch.testing.assert_close(found, wanted, atol=1e-5, rtol=1e-5)


def test_criss_cross_is_dense_attention_with_a_mask(x):
    module = CrissCross(CHANNELS)
    torch.nn.init.constant_(module.gamma, 0.7)
    query, key, value = (part(x).flatten(2) for part in (module.query, module.key, module.value))
    place = torch.arange(HEIGHT * WIDTH)
    y, z = place // WIDTH, place % WIDTH
    seen = (y[:, None] == y) | (z[:, None] == z)
    assert seen.sum(1).unique().tolist() == [HEIGHT + WIDTH - 1]
    scores = torch.einsum("bci,bcj->bij", query, key).masked_fill(~seen, -math.inf)
    context = torch.einsum("bij,bcj->bci", scores.softmax(-1), value).reshape(x.shape)
    close(module(x), 0.7 * context + x)


def test_two_passes_of_criss_cross_see_everything(x):
    """The output at one position depends on the input at every other one; after one pass, on its row and column only."""
    twice = RecurrentCrissCross(CHANNELS)
    torch.nn.init.ones_(twice.attention.gamma)
    for module, wanted in ((twice.attention, HEIGHT + WIDTH - 1), (twice, HEIGHT * WIDTH)):
        start = x.clone().requires_grad_()
        module(start)[0, :, 1, 2].sum().backward()
        assert int((start.grad[0].abs().sum(0) > 0).sum()) == wanted


def test_position_attention_by_loops(x):
    module = PositionAttention(CHANNELS)
    torch.nn.init.constant_(module.alpha, 0.5)
    query, key, value = (part(x)[0].flatten(1) for part in (module.query, module.key, module.value))
    wanted = x[0].flatten(1).clone()
    for j in range(HEIGHT * WIDTH):
        weights = torch.stack([(query[:, j] @ key[:, i]).exp() for i in range(HEIGHT * WIDTH)])
        wanted[:, j] += 0.5 * sum(weights[i] / weights.sum() * value[:, i] for i in range(HEIGHT * WIDTH))
    close(module(x)[0].flatten(1), wanted)


def test_channel_attention_by_loops(x):
    module, x = ChannelAttention(), 0.1 * x
    torch.nn.init.constant_(module.beta, 0.5)
    flat = x[1].flatten(1)
    wanted = flat.clone()
    for j in range(CHANNELS):
        weights = torch.stack([(flat[i] @ flat[j]).exp() for i in range(CHANNELS)])
        wanted[j] += 0.5 * sum(weights[i] / weights.sum() * flat[i] for i in range(CHANNELS))
    close(module(x)[1].flatten(1), wanted)


def test_attentions_begin_as_identity(x):
    for module in (CrissCross(CHANNELS), PositionAttention(CHANNELS), ChannelAttention()):
        assert torch.equal(module(x), x)


def test_global_context_block_by_formula(x):
    module = GlobalContext(CHANNELS, ratio=2)
    first, norm, _, second = module.transform
    flat = x[0].flatten(1)
    scores = module.attend.weight.flatten() @ flat
    context = flat @ (scores.exp() / scores.exp().sum())
    hidden = first.weight.flatten(1) @ context + first.bias
    hidden = (hidden - hidden.mean()) / (hidden.var(unbiased=False) + norm.eps).sqrt()
    wanted = flat + (second.weight.flatten(1) @ hidden.relu() + second.bias)[:, None]
    close(module(x)[0].flatten(1), wanted)


@pytest.mark.parametrize("scale", [1, 2, 3])
def test_adaptive_context_by_loops(x, scale):
    module = AdaptiveContext(CHANNELS, 8, scale).eval()
    reduced = module.reduce(x)
    mean = reduced.flatten(2).mean(2)
    pooled = F.adaptive_avg_pool2d(x, scale)
    context = torch.zeros_like(reduced)
    for i in range(HEIGHT):
        for j in range(WIDTH):
            local = (reduced[:, :, i, j] + mean)[:, :, None, None]
            affinity = torch.sigmoid(module.affinity(local)).flatten(1)  # [batch, scale²]
            for k in range(scale**2):
                cell = module.pooled(pooled[:, :, k // scale, k % scale, None, None]).flatten(1)
                context[:, :, i, j] += affinity[:, k, None] * cell
    close(module(x), F.relu(module.residual(context) + reduced))


def test_asymmetric_attention_samples_keys_and_values():
    torch.manual_seed(0)
    low, high = torch.randn(2, 6, 16, 24), torch.randn(2, 10, 8, 12)
    module = AsymmetricNonLocal(6, 10, 4, 7)
    keys, values = module.key(low), module.value(low)
    rows, columns = [], []
    for bin in BINS:  # sizes that every grid of 16 × 24 divides are averaged by hand, the others by torch
        for source, target in ((keys, rows), (values, columns)):
            if bin in (1, 8):
                target.append(source.reshape(2, 4, bin, 16 // bin, bin, 24 // bin).mean((3, 5)).flatten(2))
            else:
                target.append(F.adaptive_avg_pool2d(source, bin).flatten(2))
    key, value = torch.cat(rows, 2), torch.cat(columns, 2)
    assert key.shape[2] == sample(keys).shape[1] == 110
    query = module.query(high).flatten(2)
    attention = (torch.einsum("bci,bcj->bij", query, key) / 2).softmax(-1)  # √4 = 2
    wanted = module.out(torch.einsum("bij,bcj->bci", attention, value).unflatten(2, (8, 12)))
    close(module(low, high), wanted)


def test_joint_pyramid_reads_three_strides():
    module = JointPyramidUpsampling([8, 16, 32], 6)
    maps = [torch.randn(2, count, size, size + 2, requires_grad=True) for count, size in ((8, 16), (16, 8), (32, 4))]
    out = module(maps)
    assert out.shape == (2, 24, 16, 18)
    assert [branch[0][0].dilation for branch in module.dilated] == [(1, 1), (2, 2), (4, 4), (8, 8)]
    out.square().sum().backward()
    assert all(x.grad.any() for x in maps)


def test_pyramid_pooling_of_a_flat_map_is_flat():
    module = PyramidPooling(8)
    flat = torch.randn(1, 8, 1, 1).expand(1, 8, 7, 9)
    out = module(flat)
    assert out.shape == (1, 16, 7, 9)
    close(out, out[:, :, :1, :1].expand_as(out))
    close(out[:, :8], flat)


def test_gather_and_expansion_shapes_and_shortcuts():
    x = torch.randn(2, 8, 12, 10)
    keep, halve = GatherExpand(8, 8, 1).eval(), GatherExpand(8, 16, 2).eval()
    close(keep(x), F.relu(keep.body(x) + x))
    assert halve(x).shape == (2, 16, 6, 5)
    assert keep.body[1][0].weight.shape == (48, 1, 3, 3)  # six filters for every channel


def test_context_embedding_adds_one_vector_everywhere(x):
    module = ContextEmbedding(CHANNELS).eval()
    mean = x.mean((2, 3), keepdim=True)
    close(module(x), module.last(x + module.pooled(mean)))
    shuffled = x.flatten(2)[:, :, torch.randperm(HEIGHT * WIDTH)].reshape(x.shape)
    close(module.pooled(shuffled.mean((2, 3), keepdim=True)), module.pooled(mean))


def test_guided_aggregation_by_formula():
    module = GuidedAggregation(8).eval()
    detail, semantic = torch.randn(2, 8, 16, 24), torch.randn(2, 8, 4, 6)
    grow = {"scale_factor": 4, "mode": "bilinear", "align_corners": False}
    fine = module.detail_keep(detail) * torch.sigmoid(F.interpolate(module.semantic_up(semantic), **grow))
    coarse = module.detail_down(detail) * torch.sigmoid(module.semantic_keep(semantic))
    close(module(detail, semantic), module.last(fine + F.interpolate(coarse, **grow)))


def test_inverted_residual_adds_only_where_shapes_agree():
    x = torch.randn(2, 8, 12, 10)
    same, halve = Bottleneck(8, 8).eval(), Bottleneck(8, 12, 2).eval()
    close(same(x), x + same.body(x))
    assert halve(x).shape == (2, 12, 6, 5)


def test_fast_scnn_has_the_size_its_paper_gives():
    """1.11 million parameters for the 19 classes of Cityscapes."""
    assert sum(p.numel() for p in FastSCNN(3, 19).parameters()) == pytest.approx(1.11e6, rel=0.05)


@pytest.mark.parametrize("model", [FastSCNN, BiSeNetV2])
def test_two_branch_networks_answer_at_an_eighth(model):
    assert model(3, 19)(torch.randn(2, 3, 64, 96)).shape == (2, 19, 8, 12)


def test_multi_level_head_adds_the_deeper_levels():
    """The shallowest branch sees every level, the deepest only itself."""
    head = MultiLevelHead(48, 2).eval()
    maps = [torch.randn(1, 48, 3, 4, requires_grad=True) for _ in range(4)]
    assert head(maps).shape == (1, 2, 12, 16)
    with torch.no_grad():
        head.classify.weight[:, :-16] = 0  # the last 16 channels come from the shallowest level
    head(maps).sum().backward()
    assert all(x.grad.any() for x in maps)
    with torch.no_grad():
        head.classify.weight.zero_()[:, :16] = 1
    for x in maps:
        x.grad = None
    head(maps).sum().backward()
    assert [bool(x.grad is not None and x.grad.any()) for x in maps] == [False, False, False, True]


@pytest.mark.parametrize(("encoder", "head"), [(2048, 512), (512, 128), (64, 32), (4096, 512)])
def test_head_channels_follow_the_encoder(encoder, head):
    assert head_channels(encoder) == head


def test_relative_positions_are_those_of_the_library():
    beit = pytest.importorskip("transformers.models.beit.modeling_beit")
    wanted = beit.BeitRelativePositionBias.generate_relative_position_index((3, 5))
    with torch.device("meta"):
        assert relative_positions((3, 5)).is_meta
    with torch.inference_mode():
        relative_positions((3, 5))
    found = relative_positions((3, 5))
    assert torch.equal(found, wanted) and not found.is_inference()


def test_trim_drops_what_no_gradient_reaches():
    class Model(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.used = torch.nn.Conv2d(1, 2, 3)
            self.parts = torch.nn.ModuleList([torch.nn.Conv2d(1, 2, 3), torch.nn.Conv2d(2, 2, 1)])
            self.token = torch.nn.Parameter(torch.zeros(1))

        def forward(self, x):
            self.parts[0](x)
            return self.parts[1](self.used(x))

    with torch.device("meta"):
        dead = unreached(Model(), 1)
    assert set(dead) == {"parts.0.weight", "parts.0.bias", "token"}
    model = Model()
    before = model(torch.ones(1, 1, 8, 8))
    trim(model, dead)
    assert isinstance(model.parts[0], Unused) and not model.token.requires_grad
    assert torch.equal(model(torch.ones(1, 1, 8, 8)), before)
