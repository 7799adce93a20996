"""ComfyUI's own SAM 3 and 3.1 as MODEL of our nodes, with its real classes."""

import json
import os
import subprocess
from pathlib import Path

import pytest

from . import comfy


@pytest.fixture(scope="module")
def report(comfyui):
    script = Path(__file__).with_name("sam3_models.py")
    command = [comfy.python_of(comfyui), str(script), str(comfyui), str(comfy.REPOSITORY)]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=900, env={**os.environ, "OMP_NUM_THREADS": "1"}
    )
    if "nodes_sam3" in done.stderr and "ModuleNotFoundError" in done.stderr:
        pytest.skip("this ComfyUI has no SAM 3")
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.strip().splitlines()[-1])


@pytest.mark.slow
@pytest.mark.timeout(960)
@pytest.mark.parametrize("kind", ["SAM3", "SAM31"])
def test_the_same_objects_as_comfyuis_node(report, kind):
    found = report[kind]
    assert found["found"] == 200 and report["clip"]
    assert found["boxes_differ"] < 1e-3 and found["masks_differ"] < 1e-3 and found["click"] < 1e-3
    least, most = found["presence"]
    assert 0 < least < 1 and most - least < 1e-4


@pytest.mark.slow
@pytest.mark.timeout(960)
@pytest.mark.parametrize("kind", ["SAM3", "SAM31"])
def test_objects_are_followed(report, kind):
    found = report[kind]
    assert found["frames"] == 2 and found["objects"] == [2, 2] and found["labels"] == ["object 1", "object 2"]
    assert min(found["first"]) > 0.9 and found["steps"] == [2, 2]


@pytest.mark.slow
@pytest.mark.timeout(960)
def test_cancel_later_objects_and_what_is_refused(report):
    assert report["cancelled"] and report["later"] == 2
    words, negative, later, kind = report["refused"]
    assert words.startswith("words need the CLIP of the SAM 3 checkpoint")
    assert negative.startswith("negative boxes are unknown to ComfyUI's SAM 3")
    assert later.startswith("detect_every is for SAM 3.1")
    assert kind.startswith("model is a MODEL of the kind object, not SAM 3")
