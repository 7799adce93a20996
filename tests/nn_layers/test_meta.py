"""What is answered instead of torch is what torch answers: each rule, and whole layers in many settings."""

import itertools
import random
import threading

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode
from visionsmith import nn_layers as nn
from visionsmith.nn_layers import meta
from visionsmith.nn_layers.tensor import BATCH, infer


def empty(*sizes, dtype=torch.float32):
    return torch.empty(*sizes, dtype=dtype, device="meta")


MAP = empty(2, 6, 5, 4)
GAPS = empty(2, 12, 5, 4)[:, :6]  # a chunk of something larger
TURNED = empty(2, 5, 4, 6).permute(0, 3, 1, 2)
MAPS = (MAP, GAPS, TURNED, empty(2, 6), empty(2, 6).t(), empty(1), empty(2, 0), empty(2, 6, dtype=torch.float64))
TWO = [(a, b) for a, b in itertools.product([*MAPS, empty(6, 1, 1), 2, 2.5], repeat=2) if isinstance(a, torch.Tensor)]
LINES = (empty(2, 3, 7), empty(3, 3, 7).transpose(1, 2), empty(2, 3, 7, dtype=torch.float64))


def norms(settings):
    return [(x, *settings(x)) for x in (MAP, TURNED, GAPS, empty(2, 6, 1, 1))]


def channels(*shape):
    return [empty(*shape) for _ in range(4)]


def resized(count, x_sizes, *settings):
    sizes = [[7] * count, [1] * count, list(range(2, 2 + count))]
    x = empty(*x_sizes)
    return [(one, size, *settings) for one in (x, x.double(), x.transpose(0, 1)) for size in sizes]


CALLS = {
    "add.Tensor": TWO, "sub.Tensor": TWO, "mul.Tensor": TWO, "div.Tensor": TWO, "add_.Tensor": TWO, "mul_.Tensor": TWO,
    "mul.Scalar": [(x, 2.5) for x in MAPS],
    "maximum": [pair for pair in TWO if isinstance(pair[1], torch.Tensor)],
    "minimum": [pair for pair in TWO if isinstance(pair[1], torch.Tensor)],
    "clamp": [(x, 0.0, 6.0) for x in MAPS], "clamp_min": [(x, 0.0) for x in MAPS],
    "leaky_relu": [(x, 0.1) for x in MAPS], "leaky_relu_": [(x, 0.1) for x in MAPS],
    "hardtanh": [(x, 0.0, 6.0) for x in MAPS], "hardtanh_": [(x, 0.0, 6.0) for x in MAPS],
    "elu": [(x, 1.5, 1.0, 1.0) for x in MAPS], "elu_": [(x, 1.5) for x in MAPS], "softplus": [(x, 2, 20) for x in MAPS],
    "native_batch_norm": norms(lambda x: (*channels(6), False, 0.1, 1e-5)),
    "_native_batch_norm_legit_no_training": norms(lambda x: (*channels(6), 0.1, 1e-5)),
    "native_group_norm": norms(lambda x: (*channels(6)[:2], 2, 6, x.shape[2] * x.shape[3], 3, 1e-5)),
    "native_layer_norm": norms(lambda x: (list(x.shape[2:]), *channels(*x.shape[2:])[:2], 1e-5)),
    "mm": [(empty(3, 4), empty(4, 5)), (empty(4, 3).t(), empty(5, 4).t())],
    "bmm": [(a, b) for a in (LINES[0], LINES[1][:2].transpose(1, 2)) for b in (empty(2, 7, 5), empty(2, 5, 7).transpose(1, 2))],
    "addmm": [(empty(5), empty(3, 4), empty(4, 5)), (empty(3, 5), empty(3, 4), empty(4, 5)), (empty(1, 5), empty(3, 4), empty(4, 5))],
    "mean.dim": [(x, dims, keep) for x in MAPS[:3] for dims in ([2, 3], [1], [-1], [0, 1, 2, 3]) for keep in (False, True)],
    "amax": [(x, dims, keep) for x in MAPS[:3] for dims in ([2, 3], [1], [-1]) for keep in (False, True)],
    "_prelu_kernel": [(MAP, empty(1, 6, 1, 1)), (MAP, empty(1, 1, 1, 1)), (TURNED, empty(1, 6, 1, 1)), (empty(2, 6), empty(1, 6))],
    "upsample_nearest1d": resized(1, (2, 3, 5), None), "upsample_linear1d": resized(1, (2, 3, 5), False, None),
    "upsample_nearest2d": resized(2, (2, 3, 5, 4), None, None), "upsample_bilinear2d": resized(2, (2, 3, 5, 4), True, None, None),
    "upsample_bicubic2d": resized(2, (2, 3, 5, 4), False, None, None), "upsample_nearest3d": resized(3, (2, 3, 5, 4, 6), None, None, None),
    "upsample_trilinear3d": resized(3, (2, 3, 5, 4, 6), False, None, None, None),
}  # fmt: skip


def what(result):
    """Everything that a later operation could see of the first result."""
    first = result[0] if isinstance(result, tuple) else result
    return tuple(first.shape), first.dtype, first.stride(), first.device.type


@pytest.mark.parametrize("func", meta.RULES, ids=str)
def test_a_rule_gives_what_torch_gives(func):
    name = f"{func._schema.name.removeprefix('aten::')}.{func._overloadname}".removesuffix(".default")
    calls = CALLS.get(name) or [(x,) for x in MAPS]
    spoke = 0
    for arguments in calls:
        found = meta.RULES[func](*arguments)
        if found is None:
            continue
        spoke += 1
        with torch.no_grad():
            assert what(found) == what(func(*arguments)), [getattr(a, "shape", a) for a in arguments]
    assert spoke


@pytest.mark.parametrize("name", ["mm", "bmm", "addmm", "native_layer_norm", "upsample_nearest2d"])
def test_what_does_not_fit_is_left_to_torch(name):
    wrong = {
        "mm": (empty(3, 4), empty(5, 4)),
        "bmm": (empty(2, 3, 4), empty(3, 4, 5)),
        "addmm": (empty(4), empty(3, 4), empty(4, 5)),
        "native_layer_norm": (MAP, [5, 5], None, None, 1e-5),
        "upsample_nearest2d": (MAP, [0, 3], None, None),
    }[name]
    assert meta.RULES[getattr(torch.ops.aten, name).default](*wrong) is None


def by_torch(layer, *shapes):
    """Shape, type, parameters and multiply-adds by torch's own operations and its own counter; None where it refuses."""
    try:
        with torch.inference_mode(False), torch.no_grad(), torch.device("meta"):
            module = layer.recipe(*shapes).build().eval()
            with FlopCounterMode(display=False) as counter:
                output = module(*(torch.empty(BATCH, *shape) for shape in shapes))
    except Exception:
        return None
    parameters = sum(p.numel() for p in module.parameters())
    return tuple(output.shape[1:]), output.dtype, parameters, counter.get_total_flops() // (2 * BATCH)


def by_us(layer, *shapes):
    try:
        found = infer(layer, shapes, (torch.float32,) * len(shapes))
    except nn.InputError:
        return None
    return found.shape, found.dtype, found.parameters, found.macs


def some(pick):
    """A layer with settings drawn by chance, sensible and not, and a shape."""
    sides = [pick((1, 2, 3, 5, 8, 17)) for _ in range(pick((0, 1, 2, 2, 2, 3)))]
    shape = (pick((1, 3, 4, 8)), *sides)
    layer = pick((
        lambda: nn.Conv(pick((1, 4, 6)), pick((1, 2, 3, 5)), pick((1, 2, 3)), pick(("same", "valid", 0, 1, 4)), pick((1, 2)), pick((1, 1, 2, 4)), pick((True, False)), pick((True, False)), pick(("zeros", "zeros", "reflect", "circular"))),
        lambda: nn.Linear(pick((1, 5)), pick((True, False)), pick((True, False))),
        lambda: nn.Activation(pick(list(nn.ACTIVATIONS)), dim=pick((-1, 0, 1, 2)), per_channel=pick((True, False))),
        lambda: nn.Normalization(pick(list(nn.NORMALIZATIONS)), affine=pick((True, False)), track=pick((True, False)), groups=pick((1, 2, 4)), dims=pick((0, 1, 2))),
        lambda: nn.Pooling(pick(("max", "average")), pick(("window", "adaptive", "global")), pick((1, 2, 3)), pick((0, 1, 2)), pick((0, 1)), pick((True, False)), pick((1, 3)), pick((True, False))),
        lambda: nn.Upsample(pick(("nearest", "linear", "bicubic")), pick((0.5, 1.5, 2.0)), pick((0, 0, 7)), pick((True, False))),
        lambda: nn.Attention(pick((1, 2, 4)), bias=pick((True, False)), causal=pick((True, False))),
        lambda: nn.Recurrent(pick(("RNN", "LSTM", "GRU")), pick((1, 5)), pick((1, 2)), pick((True, False)), 0.0, pick((True, False))),
        lambda: nn.Embedding("positions"),
    ))()  # fmt: skip
    return layer, shape


@pytest.mark.parametrize("seed", range(4))
def test_layers_drawn_by_chance_are_told_as_torch_tells_them(seed):
    chance = random.Random(seed)
    known = 0
    for _ in range(100):
        layer, shape = some(chance.choice)
        wanted = by_torch(layer, shape)
        assert by_us(layer, shape) == wanted, (layer, shape)
        known += wanted is not None
    assert known > 30


@pytest.mark.parametrize("operation", nn.OPERATIONS)
def test_merges_are_told_as_torch_tells_them(operation):
    for shapes in itertools.product([(4, 6), (1, 6), (6, 4), (4, 4), (4,), (2, 4, 4)], repeat=2):
        layer = nn.Merge(operation, dim=-1)
        assert by_us(layer, *shapes) == by_torch(layer, *shapes), shapes


def test_a_long_sequence_takes_no_longer_than_a_short_one():
    short, long = (infer(nn.Recurrent("LSTM", 8, 2), ((length, 6),), (torch.float32,)) for length in (1, 50_000))
    assert long.macs == 50_000 * short.macs > 0 and long.parameters == short.parameters


def test_no_module_takes_longer_than_it_may_and_that_is_not_remembered():
    layer, shape = nn.Conv(123), (3, 9, 9)
    with meta.at_most(0.0), pytest.raises(meta.TooSlowError):
        infer(layer, (shape,), (torch.float32,))
    assert infer(layer, (shape,), (torch.float32,)).shape == (123, 9, 9)


def test_weights_are_initialised_everywhere_else():
    """The thread that infers skips what it cannot see; another one that builds meanwhile does not."""
    inside, built = threading.Event(), threading.Event()
    weights = []

    def build():
        inside.wait(20)
        weights.append(torch.nn.Linear(50, 50).weight)
        built.set()

    def slow():
        inside.set()
        assert built.wait(20)
        return torch.nn.Linear(50, 50)

    thread = threading.Thread(target=build)
    thread.start()
    module = meta.Meta().build(slow)
    thread.join()
    assert module.weight.is_meta and not weights[0].is_meta
    assert 0.03 < weights[0].std() < 0.2  # uniform in ± 1 / √50
    weights.append(torch.nn.Linear(50, 50).weight)
    assert 0.03 < weights[1].std() < 0.2
