"""Tests in here need a real ComfyUI. Where there is none they are skipped, or fail if VISIONSMITH_REQUIRE_COMFYUI=1."""

import os
from pathlib import Path

import pytest

from . import comfy

WORKFLOWS = comfy.REPOSITORY / "workflows"
NAMES = sorted(path.stem for path in WORKFLOWS.glob("*.json"))


def pytest_collection_modifyitems(items):
    here = Path(__file__).parent
    found = comfy.find_comfyui()
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.e2e)
            if not found and os.environ.get("VISIONSMITH_REQUIRE_COMFYUI") != "1":
                item.add_marker(pytest.mark.skip(reason="no ComfyUI at COMFYUI_PATH or ~/comfy/ComfyUI"))


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
