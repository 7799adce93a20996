"""`visionsmith models`: the command is there, light, and tells mistakes; what it does is tested in tests/provisioning."""

import subprocess
import sys

import pytest
from visionsmith.headless import cli


def test_models_and_packs_need_no_torch(tmp_path):
    (tmp_path / "w.json").write_text('{"1": {"class_type": "LoadImage", "inputs": {}}}')
    words = [["models", "list"], ["pack", str(tmp_path / "w.json")], ["unpack", str(tmp_path / "w.zip")]]
    code = (
        "import sys; from visionsmith.headless import cli\n"
        f"for words in {words!r}: assert cli.main([*words, '--comfyui', {str(tmp_path)!r}]) == 0\n"
        "assert 'torch' not in sys.modules and 'numpy' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "sam3.pt" in done.stdout and "(gated)" in done.stdout


def test_nothing_is_here_yet(tmp_path, capsys):
    assert cli.main(["models", "verify", "--comfyui", str(tmp_path)]) == 0
    assert "nothing of the manifest is here" in capsys.readouterr().out


def test_a_file_that_is_not_the_published_one(tmp_path, capsys):
    (tmp_path / "models" / "lama").mkdir(parents=True)
    (tmp_path / "models" / "lama" / "big-lama.pt").write_bytes(b"x")
    assert cli.main(["models", "verify", "--comfyui", str(tmp_path)]) == 1
    assert "1 bytes instead of the published 205,669,692" in capsys.readouterr().out


def test_what_would_be_fetched(tmp_path, capsys):
    assert cli.main(["models", "get", "lama", "u2netp", "--dry-run", "--comfyui", str(tmp_path)]) == 0
    assert capsys.readouterr().out.count("would fetch") == 2


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["get", "nothing"], "no file or group called nothing; `visionsmith models list` shows what it has"),
        (["get", "lamma"], "no file or group called lamma; did you mean lama or "),
        (["list", "--manifest", "none.toml"], "give the path or address of a manifest"),
        (["list", "--comfyui", "/no/such/folder"], "name ComfyUI's folder with --comfyui"),
    ],
)
def test_mistakes_are_told_in_a_sentence(tmp_path, monkeypatch, capsys, words, told):
    monkeypatch.chdir(tmp_path)
    assert cli.main(["models", *words]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ") and told in error and error.count("\n") == 1
