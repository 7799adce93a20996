"""Where the Python of each kind of machine is found."""

import sys

import pytest
from visionsmith.provisioning.profiles import machine


@pytest.mark.parametrize(
    ("profile", "there", "found"),
    [
        ("runpod", (".venv", ".venv-cu128"), ".venv-cu128"),
        ("runpod", (".venv", ".venv.bak"), ".venv"),
        ("vast", ("venv",), "venv"),
        ("local", (".venv", "venv"), ".venv"),
        ("local", (), None),
    ],
)
def test_the_python_of_comfyui(tmp_path, profile, there, found):
    folder = tmp_path / "Comfy [UI]"  # no pattern
    folder.mkdir()
    for name in there:
        (folder / name / "bin").mkdir(parents=True)
        (folder / name / "bin" / "python").touch()

    python = machine(profile, str(folder), environment={}).python

    assert python == (str(folder / found / "bin" / "python") if found else sys.executable)
    assert machine(profile, str(folder), "/my/python", environment={}).python == "/my/python"


def test_an_environment_whose_python_is_gone_is_passed_over(tmp_path):
    for name in (".venv-cu128", ".venv"):
        (tmp_path / name / "bin").mkdir(parents=True)
    (tmp_path / ".venv-cu128/bin/python").symlink_to(tmp_path / "gone")
    (tmp_path / ".venv/bin/python").touch()

    assert machine("runpod", str(tmp_path), environment={}).python == str(tmp_path.resolve() / ".venv/bin/python")
