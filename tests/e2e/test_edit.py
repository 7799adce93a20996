"""Inversion and edits inside a real ComfyUI, with tiny-sd: gradients in a stock server, Cancel in the middle, inversions found again."""

import io
import shutil
import subprocess
import time

import numpy as np
import pytest
from PIL import Image

from ..augmentation.diffusion.tiny import trained
from . import comfy
from .prompts import node_of, shipped

SIDE, TILE = 96, np.s_[30:62, 40:72]  # the picture, and where tiny-sd's own picture is in it


@pytest.fixture(scope="module")
def furnished(server, comfyui):
    """A server with tiny-sd and a picture of rust, whose transparency marks it."""
    folder = trained()
    if folder is None:
        pytest.skip("no models/tiny-sd in VISIONSMITH_SHARED or in a folder `shared` beside the repository")
    if subprocess.run([comfy.python_of(comfyui), "-c", "import diffusers"], capture_output=True).returncode:
        pytest.skip("ComfyUI's Python has no diffusers; pip install diffusers accelerate there")
    shutil.copytree(folder, server.base / "models" / "diffusers" / "tiny-sd")
    rows, columns = np.mgrid[:SIDE, :SIDE]
    picture = np.full((SIDE, SIDE, 4), 255, np.uint8)
    picture[..., :3] = (120 + 12 * np.sin(columns * 0.7))[..., None]
    rust = (rows - 46) ** 2 + (columns - 56) ** 2 <= 64
    picture[rust] = (191, 89, 20, 0)
    Image.fromarray(picture).save(server.base / "input" / "rust.png")
    return server


def editing(words="peeling", **inversion):
    """The shipped workflow, small, on tiny-sd."""
    prompt = shipped("edit-defects-prompt-to-prompt")
    prompt[node_of(prompt, "LoadDiffusionModel")]["inputs"]["checkpoint"] = "tiny-sd"
    prompt[node_of(prompt, "InvertImage")]["inputs"] |= {"prompt": "photo of a rust", "steps": 20, **inversion}
    prompt[node_of(prompt, "EditWithPrompt")]["inputs"] |= {"target": "photo of a {word}", "words": words}
    for node in prompt.values():
        if node["class_type"] == "LoadImage":
            node["inputs"]["image"] = "rust.png"
    return prompt


def kept(server):
    return sorted((server.base / "output" / "inversions").glob("*.safetensors"))


def test_the_shipped_workflow_edits_and_labels_anew(furnished):
    prompt = editing()
    entry = furnished.run(prompt)
    assert entry["status"]["status_str"] == "success", entry["status"]["messages"][-1]

    saved = next(i for i, node in prompt.items() if node["class_type"] == "SaveImage")
    shown = next(i for i, node in prompt.items() if node["class_type"] == "MaskPreview")
    edited, mask = (
        np.array(Image.open(io.BytesIO(furnished.picture(entry["outputs"][node]["images"][0]))).convert("RGB"), int)
        for node in (saved, shown)
    )
    before = np.array(Image.open(furnished.base / "input" / "rust.png").convert("RGB"), int)
    blue = edited[mask[..., 0] > 127].mean(0)
    assert blue[2] > blue[0] + 40  # peeling is blue, rust was orange
    assert (edited[:8] == before[:8]).all() and (edited[:, :8] == before[:, :8]).all()
    assert (edited != before).any()


def test_gradients_run_in_a_stock_server_and_a_second_prompt_reuses_the_inversion(furnished):
    method = {
        "method": "null-text",
        "method.guidance": 15.0,
        "method.inner_steps": 3,
        "method.exact": False,
        "steps": 8,
    }
    first = furnished.run(editing(**method))
    files = {file: file.stat().st_mtime_ns for file in kept(furnished)}
    furnished.post("/free", {"unload_models": True, "free_memory": True})  # forgets every cached output
    time.sleep(0.5)
    second = furnished.run(editing("plain, peeling", **method))

    assert first["status"]["status_str"] == second["status"]["status_str"] == "success"
    assert {file: file.stat().st_mtime_ns for file in kept(furnished)} == files


def test_cancel_stops_in_the_middle_of_an_optimisation(furnished):
    method = {
        "method": "null-text",
        "method.guidance": 15.0,
        "method.inner_steps": 100,
        "method.exact": True,
        "steps": 100,
    }
    before = kept(furnished)
    prompt_id = furnished.queue(editing(**method))
    log = furnished.log.stat().st_size
    time.sleep(15)  # the trajectory is found within; the optimisation would take minutes
    began = time.monotonic()
    furnished.post("/interrupt", {})
    entry = furnished.wait(prompt_id, 30)

    assert any(kind == "execution_interrupted" for kind, _ in entry["status"]["messages"]), furnished.log.read_text()[
        log:
    ]
    assert time.monotonic() - began < 4  # a second where nothing else runs; the optimisation would take minutes
    assert kept(furnished) == before  # nothing half-done
    assert furnished.run(editing())["status"]["status_str"] == "success"  # and the model works on
