"""Tests in here need a real ComfyUI. Where there is none they are skipped, or fail if VISIONSMITH_REQUIRE_COMFYUI=1."""

import os
from pathlib import Path

import pytest

from . import comfy

WORKFLOWS = comfy.REPOSITORY / "workflows"
NAMES = sorted(path.stem for path in WORKFLOWS.glob("*.json"))
TRAINING = [name for name in NAMES if '"VisionsmithTrain"' in (WORKFLOWS / f"{name}.json").read_text()]


def pytest_collection_modifyitems(items):
    here = Path(__file__).parent
    found = comfy.find_comfyui()
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.e2e)
            if (
                "page" in item.fixturenames
            ):  # a frame too late on a busy machine; the summary counts what was done twice
                item.add_marker(pytest.mark.flaky(reruns=1, reruns_delay=2))
            if not found and os.environ.get("VISIONSMITH_REQUIRE_COMFYUI") != "1":
                item.add_marker(pytest.mark.skip(reason="no ComfyUI at COMFYUI_PATH or ~/comfy/ComfyUI"))


@pytest.fixture(autouse=True)
def fresh_problems(request):
    """A test that is done again does not answer for what its first try left on the page."""
    if getattr(request.node, "execution_count", 1) > 1 and "page" in request.fixturenames:
        request.getfixturevalue("page").problems.clear()


@pytest.fixture(scope="session")
def comfyui() -> Path:
    found = comfy.find_comfyui()
    assert found, "no ComfyUI at COMFYUI_PATH or ~/comfy/ComfyUI; clone one there, or run make comfyui once"
    return found


@pytest.fixture(scope="session")
def server(comfyui, tmp_path_factory):
    running = comfy.start_server(comfyui, tmp_path_factory.mktemp("comfyui"))
    yield running
    comfy.stop_server(running)


@pytest.fixture(scope="session")
def studio(server, tmp_path_factory) -> Path:
    """The models of the imaging workflows, in the server's folders; freed on disk at the end."""
    for module, what in (
        ("spandrel", "LaMa is read by spandrel"),
        ("transformers", "SAM 3 and BLIP are transformers'"),
    ):
        pytest.importorskip(module, reason=what)
    from . import studio

    models = studio.furnish(server.base, tmp_path_factory.mktemp("downloads"))
    yield models
    for file in (models / "checkpoints").iterdir():
        file.unlink()
