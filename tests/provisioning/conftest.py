"""The two hosts, an environment without anybody's tokens, and a small ComfyUI folder."""

import os
import shutil

import pytest

from .hosts import TOKEN, Host, running
from .machine import FOLDER, commit


@pytest.fixture
def store():
    with running(Host("store"), "localhost") as host:
        yield host


@pytest.fixture
def home(store):
    with running(Host("home")) as host:
        host.other, host.content = store.url, store.content
        yield host


@pytest.fixture(autouse=True)
def no_tokens(monkeypatch):
    for name in (
        "HF_TOKEN",
        "CIVITAI_TOKEN",
        "HF_ENDPOINT",
        "CIVITAI_ENDPOINT",
        "COMFYUI_PATH",
        "WORKSPACE",
        "AUTO_UPDATE",
        "APT_INSTALL",
    ):
        monkeypatch.delenv(name, raising=False)
    for name in [name for name in os.environ if name.startswith(("VISIONSMITH_", "GIT_"))]:
        monkeypatch.delenv(name)


@pytest.fixture
def token(monkeypatch, home):
    """The environment of somebody who was given access."""
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    monkeypatch.setenv("HF_ENDPOINT", home.url)


@pytest.fixture
def comfyui(tmp_path):
    folder = tmp_path / "ComfyUI"
    (folder / "custom_nodes").mkdir(parents=True)
    return folder


@pytest.fixture
def published(tmp_path):
    """This package as a repository: what the script needs of it."""
    folder = tmp_path / "published"
    shutil.copytree(FOLDER, folder / "provisioning", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "requirements.txt"):
        shutil.copy(FOLDER.parent / name, folder)
    (folder / "workflows").mkdir()
    shutil.copy(FOLDER.parent / "workflows" / "digits-classifier.json", folder / "workflows")
    commit(folder, "first")
    return folder
