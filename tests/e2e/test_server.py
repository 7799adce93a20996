"""Visionsmith inside a real ComfyUI server: its nodes, its workflows, its manners towards other workflows."""

import hashlib
import io
import json
import shutil
import signal
import time
import urllib.request

import numpy as np
import pytest
from PIL import Image
from safetensors.torch import load_file

from . import comfy
from .conftest import NAMES, TRAINING
from .prompts import node_of, picture, shipped, training


def error_of(entry):
    """The message of a prompt that failed."""
    return next(data["exception_message"] for kind, data in entry["status"]["messages"] if kind == "execution_error")


def runs(server):
    return sorted(path.parent for path in (server.base / "output" / "runs").glob("*/settings.json"))


def test_every_node_explains_itself(server):
    info = {name: node for name, node in server.get("/object_info").items() if name.startswith("Visionsmith")}

    assert len(info) >= 35
    for name, node in info.items():
        assert node["description"], name
        assert node["category"].startswith("Visionsmith/"), name
        assert node.get("search_aliases"), name
        assert all(node["output_tooltips"]), name
        for group in ("required", "optional"):
            for key, (_, *options) in node["input"].get(group, {}).items():
                assert options and options[0].get("tooltip"), f"{name}.{key}"
                for choice in options[0].get("options", []):
                    if isinstance(choice, dict):
                        inner = {**choice["inputs"].get("required", {}), **choice["inputs"].get("optional", {})}
                        assert all(entry[1].get("tooltip") for entry in inner.values()), f"{name}.{key}"


def test_templates_are_listed(server):
    """What Workflow → Browse Templates shows of us."""
    listed = server.get("/api/workflow_templates")

    assert set(NAMES) <= {name for names in listed.values() for name in names}


def test_an_update_reaches_every_module_of_the_page(server):
    """Modules that a browser keeps from before an update would be mixed with new ones."""
    entries = [path for path in server.get("/extensions") if path.endswith("/train_chart.js")]

    for path in (*entries, entries[0].replace("train_chart.js", "chart/chart.mjs")):
        with urllib.request.urlopen(f"{server.url}{path}", timeout=60) as answer:
            assert answer.headers["Cache-Control"] in ("no-store", "no-cache"), path


@pytest.mark.parametrize("name", TRAINING)
def test_shipped_workflows_run(server, name, sample_folder, defects):
    prompt = shortened(shipped(name))
    entry = server.run(prompt)
    assert entry["status"]["status_str"] == "success", entry["status"]["messages"][-1]

    outputs = entry["outputs"]
    for node_id, node in prompt.items():
        if node["class_type"] in (
            "VisionsmithTest",
            "VisionsmithPredict",
            "VisionsmithPredictSegmentation",
            "VisionsmithThresholdSweep",
            "VisionsmithNetworkSummary",
            "VisionsmithDatasetPreview",
        ):
            for shown in outputs[node_id]["images"]:
                assert Image.open(io.BytesIO(server.picture(shown))).width > 50
    headline = outputs[node_of(prompt, "Test")]["headline"][0]
    assert headline.startswith(("test accuracy: ", "test mIoU of defects: "))
    if name == "digits-classifier":
        assert float(headline.split()[2]) >= 98
    if name == "unet-drawn":
        assert float(headline.split()[-1]) > 0.3  # three epochs see the blots, not yet their edges
    assert outputs[node_of(prompt, "Train")]["visionsmith_curve"][0]["points"]


def shortened(prompt):
    """A workflow that trains a segmenter, with fewer windows and epochs: on two cores the whole of it takes minutes."""
    if any(node["class_type"] == "VisionsmithSegmentationDataset" for node in prompt.values()):
        prompt[node_of(prompt, "Train")]["inputs"]["epochs"] = 3
        for node in prompt.values():
            if "type.count" in node["inputs"]:
                node["inputs"]["type.count"] = 1
    return prompt


@pytest.fixture
def defects(server):
    """The folder that the segmentation workflows read: grey noise with bright blots, and their masks."""
    root = server.base / "input" / "sample"
    random = np.random.default_rng(0)
    for index in range(20):
        picture, mask = random.normal(110, 12, (120, 140)), np.zeros((120, 140), np.uint8)
        for _ in range(2):
            top, left = random.integers(5, 85), random.integers(5, 100)
            picture[top : top + 18, left : left + 24] += 90
            mask[top : top + 18, left : left + 24] = 255
        for folder, values in (("images", picture.clip(0, 255).astype(np.uint8)), ("masks", mask)):
            file = root / folder / f"{index:02}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            if not file.exists():
                Image.fromarray(values).save(file)
    yield root
    shutil.rmtree(root)  # other tests read the drawn sample of that name


@pytest.fixture
def sample_folder(server):
    """The folder that the fine-tuning workflow reads: real digits as picture files, four classes."""
    from visionsmith.training.sources import digits

    samples = digits(val=0, test=0).split("train")
    root = server.base / "input" / "dataset"
    for index in range(len(samples)):
        label = int(samples.targets[index])
        file = root / str(label) / f"{index}.png"
        if label < 4 and index % 4 == 0 and not file.exists():
            file.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(samples[index][0].numpy()).resize((64, 64)).save(file)
    return root


def test_a_finished_training_is_found_on_disk(server):
    prompt = training(3, seed=11)
    server.run(prompt)
    (folder,) = [
        run for run in runs(server) if json.loads((run / "settings.json").read_text())["training"]["seed"] == 11
    ]
    stamp = (folder / "last.safetensors").stat().st_mtime_ns
    server.post("/free", {"unload_models": True, "free_memory": True})  # forgets every cached output
    time.sleep(0.5)
    entry = server.run(prompt)

    assert entry["status"]["status_str"] == "success"
    assert (folder / "last.safetensors").stat().st_mtime_ns == stamp


def test_pictures_made_before_between_and_after_trainings_are_identical(server):
    prompts = [picture(0), training(2, seed=21), picture(0), training(2, seed=22), picture(0)]
    for number, prompt in enumerate(prompts):
        for node in prompt.values():
            if node["class_type"] == "SaveImage":
                node["inputs"]["filename_prefix"] = f"plain{number}"  # an equal prompt would come from the cache
    queued = [server.queue(prompt) for prompt in prompts]
    entries = [server.wait(prompt_id) for prompt_id in queued]
    assert all(entry["status"]["status_str"] == "success" for entry in entries)

    pixels = {
        hashlib.sha256(
            Image.open(io.BytesIO(server.picture(entries[i]["outputs"]["6"]["images"][0]))).tobytes()
        ).hexdigest()
        for i in (0, 2, 4)
    }
    assert len(pixels) == 1


def test_cancel_stops_within_a_second_and_keeps_what_was_learned(server):
    prompt_id = server.queue(training(5000, seed=31))
    folder = None
    end = time.monotonic() + 60
    while folder is None and time.monotonic() < end:
        folder = next(
            (
                r
                for r in runs(server)
                if (r / "metrics.csv").exists()
                and json.loads((r / "settings.json").read_text())["training"]["seed"] == 31
            ),
            None,
        )
        time.sleep(0.1)
    began = time.monotonic()
    server.post("/interrupt", {})
    entry = server.wait(prompt_id, 30)
    seconds = time.monotonic() - began

    assert entry["status"]["status_str"] == "error"
    assert any(kind == "execution_interrupted" for kind, _ in entry["status"]["messages"])
    assert seconds < 1.5  # a second for the training, and the time until the next look at the history
    assert {"best.safetensors", "last.safetensors", "network.json"} <= {file.name for file in folder.iterdir()}


@pytest.mark.parametrize(
    ("kind", "change", "words"),
    [
        ("Conv", {"groups": 5}, "Conv: groups = 5 must divide both"),
        ("Linear", {"out_features": 3}, "set out_features of the last Linear to 10"),
        ("Train", {"epochs": 0}, "epochs is 0; train for at least one"),
        ("Train", {"batch_size": 5000}, "batch_size is 5000, but dataset digits has"),
        ("Loss", {"type.class_weights": "1, 2"}, "class_weights has 2 numbers, but digits has 10 classes"),
        ("Loss", {"type.class_weights": "import os"}, "class_weights is 'import os'; write numbers"),
        ("SampleDataset", {"val": 0.5, "test": 0.5}, "nothing is left to train on"),
    ],
)
def test_a_mistake_is_told_in_one_sentence_on_its_node(server, kind, change, words):
    prompt = training(1, seed=41)
    wrong = node_of(prompt, kind)
    prompt[wrong]["inputs"] |= change
    message = error_of(server.run(prompt))

    assert words in message
    assert "\n" not in message.strip()


def test_paths_outside_the_allowed_folders_are_refused(server, tmp_path):
    (tmp_path / "secret").mkdir()
    for folder in (str(tmp_path / "secret"), "../../../../etc", "/etc"):
        prompt = {
            "1": {
                "class_type": "VisionsmithImageFolder",
                "inputs": {"folder": folder, "color": "color", "broken": "refuse", "val": 0.1, "test": 0.1, "seed": 0},
            },
            "2": {"class_type": "VisionsmithDatasetStatistics", "inputs": {"dataset": ["1", 0]}},
        }
        assert "outside the folders that may be read" in error_of(server.run(prompt))
    prompt = training(1, seed=51)
    prompt["900"] = {
        "class_type": "VisionsmithSaveNetwork",
        "inputs": {"network": [node_of(prompt, "BuildNetwork"), 0], "folder": "../elsewhere"},
    }
    assert "is not a place below ComfyUI's output folder" in error_of(server.run(prompt))


@pytest.mark.slow  # starts the server twice more
def test_a_server_that_is_killed_goes_on_where_it_was(server, comfyui, tmp_path):
    prompt = training(120, seed=61)
    first = comfy.start_server(comfyui, tmp_path / "base")
    first.queue(prompt)
    end = time.monotonic() + 60
    while (
        not any((run / "metrics.csv").exists() for run in runs(first)) and time.monotonic() < end
    ):  # the last of a save
        time.sleep(0.05)
    first.process.send_signal(signal.SIGKILL)
    first.process.wait()
    (folder,) = runs(first)
    before = len((folder / "metrics.csv").read_text().splitlines())
    assert before < 120

    (tmp_path / "base" / "custom_nodes" / "visionsmith-under-test").unlink()
    (tmp_path / "base" / "custom_nodes").rmdir()
    second = comfy.start_server(comfyui, tmp_path / "base")
    try:
        assert second.run(prompt)["status"]["status_str"] == "success"
    finally:
        comfy.stop_server(second)
    server.run(prompt)
    (whole,) = [run for run in runs(server) if run.name == folder.name]
    killed, uninterrupted = load_file(folder / "last.safetensors"), load_file(whole / "last.safetensors")
    assert all((killed[key] == uninterrupted[key]).all() for key in uninterrupted)
