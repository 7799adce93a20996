"""A whole machine: what comes, what is refused and why, what is printed, and that a second run has nothing to do."""

import os
import subprocess
import threading
import time
from pathlib import Path

import pytest
from visionsmith.provisioning import cli, plan
from visionsmith.provisioning.fetch import fetch
from visionsmith.provisioning.remote import FetchError

from .hosts import STRANGER, TOKEN
from .machine import command, contents, entry, provision, rows, write


@pytest.fixture
def mixed(home, store, tmp_path):
    """Files of every kind of host."""
    home.content.update(contents(3))
    name = "model-0.safetensors"
    gated = entry(home, "gated", name, "sam3") + f'gated = true\npage = "{home.url}/page/of/sam3"\n'
    ways = [entry(home, way, name) for way in ("linked", "busy", "broken", "file", "plain")]
    wrong = [
        entry(home, "file", "model-1.safetensors", name="wrong-sum", sha256="0" * 64),
        entry(home, "page", name),
        entry(home, "nowhere", name),
    ]
    unknown = entry(home, "file", "model-2.safetensors", name="no-sum", sha256="", size=0)
    return write(tmp_path, gated, *ways, *wrong, unknown)


def test_everything_that_can_come_comes(mixed, comfyui, home, store, token):
    code, output = provision(comfyui, mixed, "--timeout", "2")
    table = rows(output)

    assert code == 1
    for name in ("gated", "linked", "busy", "broken", "file", "plain"):
        assert table[f"{name}-model-0"] == "fetched  checksum right", output
        assert (
            comfyui / f"models/{'sam3' if name == 'gated' else 'checkpoints'}/{name}-model-0.safetensors"
        ).read_bytes() == home.content["model-0.safetensors"]
    assert table["no-sum"] == "fetched  not checked: no checksum published"
    assert "is not the published file-model-1.safetensors (wrong checksum)" in table["wrong-sum"]
    assert "sent a web page" in table["page-model-0"]
    assert "there is no nowhere-model-0.safetensors at" in table["nowhere-model-0"]
    assert "HF_TOKEN is a good token of ada" in output
    assert "exit code 1" in output.splitlines()[-1]
    assert not list(comfyui.rglob("*.part*"))


def test_the_token_stays_secret(mixed, comfyui, home, store, token):
    _, output = provision(comfyui, mixed, "--timeout", "2")

    assert TOKEN not in output and "SIGNED" not in output
    assert TOKEN not in str(store.asked)
    assert any(TOKEN in str(headers) for headers in home.headers("/gated/model-0.safetensors"))
    written = [path.read_bytes() for path in comfyui.rglob("*") if path.is_file()]
    assert not any(TOKEN.encode() in data for data in written)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (
            "",
            r"accept its licence on .*/page/of/sam3, then set HF_TOKEN to a token from https://huggingface.co/settings/tokens",
        ),
        (STRANGER, r"the token in HF_TOKEN has no access to it (403): accept its licence on"),
        (
            "hf_unknown",
            "HF_TOKEN is not known to Hugging Face; make a new one on https://huggingface.co/settings/tokens",
        ),
    ],
)
def test_what_is_gated_says_which_permission_it_wants(home, store, tmp_path, comfyui, monkeypatch, value, words):
    import re

    home.content.update(contents(2))
    gated = entry(home, "gated", "model-0.safetensors") + f'gated = true\npage = "{home.url}/page/of/sam3"\n'
    manifest = write(tmp_path, gated, entry(home, "file", "model-1.safetensors"))
    monkeypatch.setenv("HF_TOKEN", value)
    monkeypatch.setenv("HF_ENDPOINT", home.url)
    code, output = provision(comfyui, manifest)

    assert code == 3
    assert rows(output)["file-model-1"].startswith("fetched")
    state = rows(output)["gated-model-0"]
    assert state.startswith("permission") and re.search(words.replace("(403)", r"\(403\)"), state), state
    assert value == "" or value not in output


def test_a_second_run_does_nothing(home, tmp_path, comfyui):
    home.content.update(contents(20))
    manifest = write(tmp_path, *(entry(home, "file", name) for name in home.content))
    assert provision(comfyui, manifest)[0] == 0
    home.asked.clear()
    times = {path: path.stat().st_mtime_ns for path in comfyui.rglob("*")}
    start = time.monotonic()
    code, output = provision(comfyui, manifest)

    assert time.monotonic() - start <= 5
    assert code == 0
    assert set(rows(output).values()) == {"in place  checksum right"}
    assert not home.asked
    assert {path: path.stat().st_mtime_ns for path in comfyui.rglob("*")} == times


def test_downloads_run_at_once(home, tmp_path, comfyui):
    """Each answer waits until four were asked for; one after another, none would ever come."""
    home.content.update(contents(8))
    home.meeting = threading.Barrier(4)
    manifest = write(tmp_path, *(entry(home, "meet", name) for name in home.content))
    code, output = provision(comfyui, manifest, "--jobs", "4")
    assert code == 0, output


def test_a_dry_run_writes_and_asks_nothing(mixed, comfyui, home, token):
    code, output = provision(comfyui, mixed, "--dry-run")
    assert code == 0
    assert rows(output)["gated-model-0"] == "would fetch  gated"
    assert not home.asked
    assert not (comfyui / "models").exists()


def test_only_a_group(mixed, comfyui, home, token):
    assert provision(comfyui, mixed, "--only", "sam3")[0] == 0
    assert [path.name for path in comfyui.rglob("*.safetensors")] == ["gated-model-0.safetensors"]
    code, output = provision(comfyui, mixed, "--only", "nothing")
    assert code == 2 and "no group called nothing; choose one of" in output


def test_a_manifest_from_an_address(home, store, tmp_path, comfyui, token):
    home.content.update(contents(1))
    store.content["m.toml"] = ("version = 1\n" + entry(home, "file", "model-0.safetensors")).encode()
    code, output = provision(comfyui, f"{store.url}/file/m.toml")
    assert code == 0, output
    assert TOKEN not in str(store.asked)
    assert provision(comfyui, f"{store.url}/nowhere/m.toml")[0] == 2


def test_files_that_are_not_the_published_ones(home, tmp_path, comfyui):
    home.content.update(contents(1))
    manifest = write(tmp_path, entry(home, "file", "model-0.safetensors"))
    path = comfyui / "models/checkpoints/file-model-0.safetensors"
    path.parent.mkdir(parents=True)
    for data, words in (
        (b"short", "5 bytes instead of the published 50,000"),
        (bytes(50_000), "its checksum is not the published one"),
    ):
        path.write_bytes(data)
        code, output = provision(comfyui, manifest)
        assert code == 1
        assert words in output and "or use --replace" in output
        assert path.read_bytes() == data
    assert provision(comfyui, manifest, "--replace")[0] == 0
    assert path.read_bytes() == home.content["model-0.safetensors"]


def test_workflows_that_were_changed_here_are_left_alone(tmp_path, comfyui):
    text = '[[files]]\nname = "workflows"\ngroup = "workflows"\nfrom = "workflows/*.json"\nto = "user/default/workflows/visionsmith"\n'
    manifest = write(tmp_path, text)
    assert provision(comfyui, manifest)[0] == 0
    mine = comfyui / "user/default/workflows/visionsmith/digits-classifier.json"
    mine.write_text("{}")
    code, output = provision(comfyui, manifest)
    assert code == 0
    assert rows(output)["digits-classifier"] == "yours     changed here, left alone"
    assert mine.read_text() == "{}"


def in_process(comfyui, manifest, *arguments):
    return cli.main(
        ["install", "--profile", "local", "--comfyui", str(comfyui), "--manifest", str(manifest), *arguments]
    )


def test_a_disk_that_is_too_small_is_told_first(home, tmp_path, comfyui, monkeypatch, capsys):
    home.content.update(contents(2))
    manifest = write(tmp_path, *(entry(home, "file", name, size=3_000_000_000) for name in home.content))
    monkeypatch.setattr(plan.shutil, "disk_usage", lambda _: type("Usage", (), {"free": 1_000_000_000}))
    assert in_process(comfyui, manifest) == 4
    told = capsys.readouterr().err
    assert "has 1.0 GB free, but 6.3 GB are needed for 2 files; free 5.3 GB, or choose less with --only" in told
    assert not home.asked


def test_a_link_that_leads_elsewhere_is_not_followed(home, tmp_path, comfyui, capsys):
    home.content.update(contents(1))
    manifest = write(tmp_path, entry(home, "file", "model-0.safetensors"))
    (comfyui / "models").mkdir()
    (comfyui / "models/checkpoints").symlink_to(tmp_path)
    assert in_process(comfyui, manifest) == 2
    assert "leads outside of" in capsys.readouterr().err


def test_models_on_another_disk(home, tmp_path, comfyui):
    home.content.update(contents(1))
    manifest = write(tmp_path, entry(home, "file", "model-0.safetensors"))
    (tmp_path / "volume").mkdir()
    (comfyui / "models").symlink_to(tmp_path / "volume")
    assert in_process(comfyui, manifest) == 0
    assert (tmp_path / "volume/checkpoints/file-model-0.safetensors").is_file()


def test_ctrl_c_ends_it_and_it_goes_on(home, tmp_path, comfyui):
    import signal

    home.content.update(contents(4, 400_000))
    home.rate = 400_000
    manifest = write(tmp_path, *(entry(home, "file", name) for name in home.content))
    words = command("install", "--profile", "local", "--comfyui", comfyui, "--manifest", manifest)
    process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    while not list(comfyui.rglob("*.part")):
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    assert "the same command goes on where it was" in process.communicate(timeout=20)[0]
    assert process.returncode == 130
    home.rate = 0
    assert provision(comfyui, manifest)[0] == 0
    assert any("Range" in headers for _, headers in home.asked)


def test_models_list_get_verify(home, tmp_path, comfyui, capsys, monkeypatch):
    home.content.update(contents(2))
    manifest = write(
        tmp_path, entry(home, "file", "model-0.safetensors", "lama"), entry(home, "file", "model-1.safetensors")
    )

    def models(*words):
        code = cli.main([*words, "--manifest", str(manifest), "--comfyui", str(comfyui)])
        return code, capsys.readouterr().out

    code, output = models("list")
    assert code == 0 and "file-model-0  lama" in output and " no " in output
    assert models("get", "lama")[0] == 0
    assert [path.name for path in comfyui.rglob("*.safetensors")] == ["file-model-0.safetensors"]
    assert models("get", "file-model-1", "--dry-run")[0] == 0
    assert models("verify")[0] == 0
    path = comfyui / "models/lama/file-model-0.safetensors"
    state = path.stat()
    path.write_bytes(bytes(len(home.content["model-0.safetensors"])))
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))  # as a disk that goes bad does it
    code, output = models("verify")
    assert code == 1 and "wrong  its checksum is not the published one" in output
    assert models("verify", "file-model-1")[0] == 1


def test_a_folder_that_cannot_be_written(home, tmp_path):
    home.content.update(contents(1))
    (tmp_path / "file").write_text("")
    from visionsmith.provisioning.remote import Remote

    with pytest.raises(FetchError, match="could not be written"):
        fetch(Remote(f"{home.url}/file/model-0.safetensors"), tmp_path / "file" / "x")


def test_without_comfyui(tmp_path):
    code, output = provision(tmp_path / "none", write(tmp_path))
    assert code == 2 and "name ComfyUI's folder with --comfyui or in COMFYUI_PATH" in output


def test_help_tells_the_exit_codes():
    done = subprocess.run(command("--help"), capture_output=True, text=True, check=True, cwd=Path("/"))
    assert "everything is in place but files that want a permission" in done.stdout


def test_a_packed_workflow_brings_its_models(home, tmp_path, comfyui, capsys):
    from visionsmith.headless import cli as visionsmith

    home.content.update(contents(1))
    manifest = write(tmp_path, entry(home, "file", "model-0.safetensors", to="models/loras/scratch.safetensors"))
    workflow = tmp_path / "w.json"
    workflow.write_text('{"1": {"class_type": "LoraLoader", "inputs": {"lora_name": "scratch.safetensors"}}}')
    assert visionsmith.main(["pack", str(workflow), "--manifest", str(manifest), "--comfyui", str(tmp_path)]) == 0
    assert visionsmith.main(["unpack", str(tmp_path / "w.zip"), "--get", "--comfyui", str(comfyui)]) == 0
    assert (comfyui / "models/loras/scratch.safetensors").read_bytes() == home.content["model-0.safetensors"]
    assert "fetched" in capsys.readouterr().out
