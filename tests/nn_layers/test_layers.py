"""Every layer: the drawn shape is the shape that the built module gives, and the cost is what torch counts."""

import math

import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode
from visionsmith import nn_layers as nn
from visionsmith.nn_layers.recipe import read_sizes

IMAGE, SIGNAL, VOLUME, SEQUENCE = (4, 12, 10), (4, 20), (4, 6, 8, 10), (7, 8)

CASES = [
    (nn.Conv(6), IMAGE, (6, 12, 10)),
    (nn.Conv(6, stride=2), IMAGE, (6, 6, 5)),
    (nn.Conv(6, kernel_size=(1, 7)), IMAGE, (6, 12, 10)),
    (nn.Conv(6, kernel_size=3, padding="valid"), SIGNAL, (6, 18)),
    (nn.Conv(6, kernel_size=3, padding=2, dilation=2), VOLUME, (6, 6, 8, 10)),
    (nn.Conv(8, groups=4, bias=False), IMAGE, (8, 12, 10)),
    (nn.Conv(6, transposed=True, stride=2), IMAGE, (6, 24, 20)),
    (nn.Conv(6, kernel_size=2, transposed=True, stride=2), IMAGE, (6, 24, 20)),
    (nn.Conv(6, kernel_size=4, transposed=True, stride=3), SIGNAL, (6, 60)),
    (nn.Conv(6, kernel_size=1, transposed=True, stride=2), VOLUME, (6, 12, 16, 20)),
    (nn.Conv(6, padding_mode="reflect"), IMAGE, (6, 12, 10)),
    (nn.Linear(5), (9,), (5,)),
    (nn.Linear(5, bias=False), SEQUENCE, (7, 5)),
    (nn.Linear(5, anywhere=True), IMAGE, (4, 12, 5)),
    *[(nn.Activation(name), IMAGE, IMAGE) for name in nn.ACTIVATIONS],
    (nn.Activation("PReLU", per_channel=True), IMAGE, IMAGE),
    (nn.Normalization("BatchNorm"), (4,), (4,)),
    (nn.Normalization("BatchNorm"), SIGNAL, SIGNAL),
    (nn.Normalization("BatchNorm"), IMAGE, IMAGE),
    (nn.Normalization("BatchNorm", track=False, affine=False), VOLUME, VOLUME),
    (nn.Normalization("LayerNorm"), IMAGE, IMAGE),
    (nn.Normalization("LayerNorm", dims=1), SEQUENCE, SEQUENCE),
    (nn.Normalization("GroupNorm", groups=2), IMAGE, IMAGE),
    (nn.Normalization("InstanceNorm"), IMAGE, IMAGE),
    (nn.Normalization("RMSNorm", dims=1), SEQUENCE, SEQUENCE),
    (nn.Normalization("LocalResponseNorm"), IMAGE, IMAGE),
    (nn.Pooling("max"), SIGNAL, (4, 10)),
    (nn.Pooling("average", kernel_size=3, stride=2, padding=1), IMAGE, (4, 6, 5)),
    (nn.Pooling("max", kernel_size=3, stride=2, ceil_mode=True), VOLUME, (4, 3, 4, 5)),
    (nn.Pooling("max", "adaptive", output_size=3), IMAGE, (4, 3, 3)),
    (nn.Pooling("average", "adaptive", output_size=(2, 5)), IMAGE, (4, 2, 5)),
    (nn.Pooling("average", "global"), IMAGE, (4,)),
    (nn.Pooling("max", "global", keep=True), VOLUME, (4, 1, 1, 1)),
    (nn.View("flatten"), IMAGE, (480,)),
    (nn.View("flatten", dim=1), IMAGE, (4, 120)),
    (nn.View("reshape", (8, -1)), IMAGE, (8, 60)),
    (nn.View("permute", (1, 2, 0)), IMAGE, (12, 10, 4)),
    (nn.View("unflatten", (2, -1)), IMAGE, (2, 2, 12, 10)),
    (nn.View("unflatten", (5, 2), dim=-1), IMAGE, (4, 12, 5, 2)),
    (nn.View("squeeze"), (1, 8), (8,)),
    (nn.View("unsqueeze", dim=-1), (8,), (8, 1)),
    (nn.View("pixel shuffle"), IMAGE, (1, 24, 20)),
    (nn.View("pixel unshuffle"), IMAGE, (16, 6, 5)),
    (nn.Dropout("element", 0.2), IMAGE, IMAGE),
    (nn.Dropout("channel", 0.2), SIGNAL, SIGNAL),
    (nn.Dropout("alpha", 0.2), IMAGE, IMAGE),
    (nn.Upsample(), IMAGE, (4, 24, 20)),
    (nn.Upsample("linear", 1.5), SIGNAL, (4, 30)),
    (nn.Upsample("linear", size=(5, 6, 7), align_corners=True), VOLUME, (4, 5, 6, 7)),
    (nn.Upsample("bicubic", 2.0), IMAGE, (4, 24, 20)),
    (nn.Attention(2), SEQUENCE, SEQUENCE),
    (nn.Attention(2, causal=True, dropout=0.1), IMAGE, IMAGE),
    (nn.Embedding("positions"), SEQUENCE, SEQUENCE),
    (nn.Recurrent("RNN", 5), SEQUENCE, (5,)),
    (nn.Recurrent("LSTM", 5, layers=2, dropout=0.1, last_only=False), SEQUENCE, (7, 5)),
    (nn.Recurrent("GRU", 5, bidirectional=True), SEQUENCE, (10,)),
]  # fmt: skip


@pytest.mark.parametrize(("layer", "shape", "wanted"), CASES, ids=lambda value: repr(value)[:60])
def test_drawn_shape_and_cost_are_those_of_the_module(layer, shape, wanted):
    drawn = nn.apply(layer, nn.input_tensor(nn.Input("features", shape)))
    module = layer.recipe(shape).build().eval()
    with (
        sdpa_kernel(SDPBackend.MATH),
        FlopCounterMode(display=False) as counter,
    ):  # torch does not count its fused CPU kernel
        result = module(torch.rand(3, *shape))

    assert drawn.shape == wanted == tuple(result.shape[1:])
    assert drawn.parameters == sum(p.numel() for p in module.parameters())
    if not isinstance(layer, nn.Recurrent):  # torch does not count its fused recurrent kernels
        assert drawn.macs == counter.get_total_flops() // 6


@pytest.mark.parametrize(
    ("operation", "shapes", "wanted"),
    [
        ("add", [IMAGE, IMAGE, IMAGE], IMAGE),
        ("multiply", [IMAGE, (4, 1, 1)], IMAGE),
        ("subtract", [IMAGE, IMAGE], IMAGE),
        ("divide", [IMAGE, IMAGE], IMAGE),
        ("mean", [IMAGE, IMAGE], IMAGE),
        ("max", [IMAGE, IMAGE], IMAGE),
        ("concat", [IMAGE, (2, 12, 10)], (6, 12, 10)),
        ("matmul", [(5, 6), (6, 3)], (5, 3)),
    ],
)
def test_merge_computes_what_its_name_says(operation, shapes, wanted):
    tensors = [torch.rand(2, *shape) for shape in shapes]
    drawn = nn.apply(nn.Merge(operation), *(nn.input_tensor(nn.Input("features", shape)) for shape in shapes))
    by_hand = {
        "add": lambda *t: sum(t),
        "subtract": lambda a, b: a - b,
        "multiply": lambda a, b: a * b,
        "divide": lambda a, b: a / b,
        "mean": lambda a, b: (a + b) / 2,
        "max": torch.maximum,
        "concat": lambda a, b: torch.cat((a, b), 1),
        "matmul": torch.bmm,
    }

    assert drawn.shape == wanted
    torch.testing.assert_close(nn.Merge(operation).recipe(*shapes).build()(*tensors), by_hand[operation](*tensors))


def test_cross_attention_takes_a_context_of_other_length_and_width():
    query, context = (nn.input_tensor(nn.Input("sequence", shape)) for shape in ((7, 8), (3, 12)))

    assert nn.apply(nn.Attention(4), query, context).shape == (7, 8)


def test_attention_equals_torchs_multi_head_attention():
    ours = nn.Attention(2).recipe(SEQUENCE).build()
    theirs = torch.nn.MultiheadAttention(8, 2, batch_first=True)
    with torch.no_grad():
        theirs.in_proj_weight.copy_(torch.cat([ours.to_query.weight, ours.to_key.weight, ours.to_value.weight]))
        theirs.in_proj_bias.copy_(torch.cat([ours.to_query.bias, ours.to_key.bias, ours.to_value.bias]))
        theirs.out_proj.load_state_dict(ours.to_out.state_dict())
    x = torch.rand(3, 7, 8)

    torch.testing.assert_close(ours(x), theirs(x, x, x)[0])


def test_a_recurrent_layer_counts_four_gates_a_step():
    drawn = nn.apply(nn.Recurrent("LSTM", 5), nn.input_tensor(nn.Input("sequence", SEQUENCE)))

    assert drawn.macs == 7 * 4 * 5 * (8 + 5)


def test_tokens_become_vectors():
    tokens = nn.input_tensor(nn.Input("tokens", (11,)))

    assert nn.apply(nn.Embedding("tokens", 50, 16), tokens).shape == (11, 16)


@pytest.mark.parametrize(
    ("layer", "shapes", "words"),
    [
        (nn.Linear(), [(3, 8, 8)], ["Linear", "3 × 8 × 8", "flatten"]),
        (nn.Conv(), [(64,)], ["Conv", "64", "unflatten"]),
        (nn.Conv(groups=2), [(3, 8, 8)], ["groups = 2", "3 incoming", "divisor"]),
        (nn.Conv(kernel_size=5, padding="valid"), [(3, 2, 2)], ["kernel 5", "3 × 2 × 2", "smaller kernel"]),
        (nn.Conv(kernel_size=(3, 3)), [(3, 9)], ["kernel_size has 2 numbers", "1"]),
        (nn.Conv(kernel_size=4, stride=2), [(3, 8, 8)], ["odd"]),
        (nn.Pooling(), [(3, 1, 1)], ["window of 2", "3 × 1 × 1"]),
        (nn.Normalization("GroupNorm", groups=4), [(10, 2, 2)], ["groups = 4", "10", "choose 5"]),
        (nn.Normalization("LayerNorm", dims=3), [(10, 2)], ["dims = 3", "10 × 2"]),
        (nn.View("reshape", (7, -1)), [(3, 8, 8)], ["[7, -1]", "192"]),
        (nn.View("permute", (0, 1)), [(3, 8, 8)], ["[0, 1]", "3 × 8 × 8"]),
        (nn.View("squeeze"), [(3, 8)], ["size 3"]),
        (nn.View("pixel shuffle", factor=3), [(8, 4, 4)], ["divisible by 9"]),
        (nn.View("flatten", dim=5), [(8, 4, 4)], ["dim = 5"]),
        (nn.Merge("add"), [(32, 8, 8), (64, 8, 8)], ["32 × 8 × 8", "64 × 8 × 8", "kernel 1 and 32 channels"]),
        (nn.Merge("add"), [(32, 8, 8), (32, 4, 4)], ["32 × 4 × 4", "Upsample"]),
        (nn.Merge("add"), [(32, 8, 8)], ["at least two"]),
        (nn.Merge("concat"), [(32, 8, 8), (32, 4, 4)], ["every other dimension equal"]),
        (nn.Merge("matmul"), [(3, 4), (5, 6)], ["rows × n", "permute"]),
        (nn.Attention(3), [(7, 8)], ["heads = 3", "8"]),
        (nn.Attention(2), [(8,)], ["attention wants"]),
        (nn.Recurrent(), [(3, 8, 8)], ["LSTM wants length × features"]),
        (nn.Embedding("positions"), [(8,)], ["length × features"]),
        (nn.Upsample("bicubic"), [(3, 8)], ["bicubic", "linear"]),
        (nn.Backbone("resnet18"), [(3, 8)], ["picture"]),
        (nn.Backbone("resnet81"), [(3, 64, 64)], ["resnet81", "did you mean"]),
        (nn.Conv(out_channels=1_000_000_000), [(3, 8, 8)], ["limit"]),
    ],
    ids=lambda value: repr(value)[:50],
)  # fmt: skip
def test_a_wrong_connection_is_told_in_one_sentence(layer, shapes, words):
    with pytest.raises(nn.InputError) as caught:
        nn.apply(layer, *(nn.input_tensor(nn.Input("features", shape)) for shape in shapes))
    message = str(caught.value)

    assert message.startswith(f"{type(layer).__name__}: ")
    assert message.endswith((".", "?"))
    assert "\n" not in message
    for word in words:
        assert word in message


def test_sizes_are_read_from_text_without_evaluating_it():
    assert read_sizes("1, 7", "sizes") == read_sizes("1×7", "sizes") == (1, 7)
    with pytest.raises(nn.InputError, match="sizes is"):
        read_sizes("__import__('os')", "sizes")


@pytest.mark.parametrize("model", ["resnet18", "convnext_atto", "vit_tiny_patch16_224", "mobilenetv3_small_050"])
@pytest.mark.parametrize("output", ["pooled", "map"])
def test_backbones_of_every_family_can_be_drawn(model, output):
    drawn = nn.apply(nn.Backbone(model, output=output), nn.input_tensor(nn.Input("image", (3, 64, 64))))

    assert len(drawn.shape) == (1 if output == "pooled" else 3)
    assert drawn.parameters > 100_000
    assert drawn.macs > 1_000_000
    assert math.prod(drawn.shape) < 100_000
