"""The whole script, killed with all that it started at twenty points by chance: run again, it ends complete, and no file was ever half there."""

import json
import os
import random
import shutil
import signal
import subprocess
import time

import pytest

from .machine import FOLDER, commit, contents, entry, git, packs, rows, write

SEED, KILLS = 11, 20
WAYS = ("file", "linked", "plain", "broken", "file", "gated")
WORKFLOWS = (
    '[[files]]\nname = "workflows"\ngroup = "workflows"\nfrom = "workflows/*.json"\nto = "user/default/workflows/v"\n'
)
PYTHON = """#!/bin/sh
case "$*" in
*"pip --version"*) echo pip ;;
*"pip install"*) echo "half" >"$SITE/greedy.py"; sleep 0.1; echo "whole = True" >"$SITE/greedy.py" ;;
*) echo "[\\"$SITE\\", {\\"torch\\": \\"2.11\\"}]" ;;
esac
"""  # ComfyUI's Python, whose pip needs a tenth of a second and no registry; the real one is tried in test_script.py
pytestmark = pytest.mark.skipif(
    os.name != "posix" or not all(map(shutil.which, ("bash", "git"))), reason="needs bash and git"
)


class Trial:
    """A machine of its own, on which a first version lies already or nothing does."""

    def __init__(self, folder, manifest, published, first):
        self.comfyui, self.site = folder / "ComfyUI", folder / "site"
        python = self.comfyui / ".venv" / "bin" / "python"
        for needed in (self.comfyui / "custom_nodes", self.site, python.parent):
            needed.mkdir(parents=True)
        python.write_text(PYTHON)
        python.chmod(0o755)
        script = folder / "provisioning.sh"
        shutil.copy(FOLDER / "vast.sh", script)
        self.words = ["bash", str(script), "--manifest", str(manifest), "--jobs", "3", "--python", str(python)]
        self.environment = {
            **os.environ,
            "WORKSPACE": str(folder),
            "VISIONSMITH_REPOSITORY": published.as_uri(),
            "VISIONSMITH_OFF_FILE": str(folder / ".noprovisioning"),
            "SITE": str(self.site),
        }
        for name, (source, sha) in first.items():  # what an older run left, at an older commit
            git(folder, "clone", "--quiet", "--no-checkout", source.as_uri(), str(self.comfyui / "custom_nodes" / name))
            git(self.comfyui / "custom_nodes" / name, "checkout", "--quiet", "--detach", sha)

    def killed_after(self, seconds):
        """Start it, and after so many seconds end it and all that it started; whether there was anything to end."""
        process = subprocess.Popen(
            self.words, env=self.environment, start_new_session=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )  # fmt: skip
        time.sleep(seconds)
        running = process.poll() is None
        if running:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        return running

    def run(self):
        """To its end: what it printed; the exit code must be 0."""
        done = subprocess.run(self.words, env=self.environment, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def check_names(self, whole):
        """What has its name is whole."""
        for path in self.comfyui.glob("models/*/*.safetensors"):
            assert path.read_bytes() == whole[path.name], path
        for path in self.comfyui.glob("user/default/workflows/v/*.json"):
            json.loads(path.read_text())

    def check_complete(self, whole, commits):
        """All of it is there, and nothing else."""
        self.check_names(whole)
        assert {path.name for path in self.comfyui.glob("models/*/*.safetensors")} == set(whole)
        assert (self.comfyui / "user/default/workflows/v/digits-classifier.json").is_file()
        assert (self.site / "greedy.py").read_text() == "whole = True\n"
        for name, sha in commits.items():
            folder = self.comfyui / "custom_nodes" / name
            assert git(folder, "rev-parse", "HEAD") == sha
            assert git(folder, "status", "--porcelain", "--untracked-files=no") == ""
        left = [
            path for path in self.comfyui.rglob("*") if ".part" in path.name or path.suffix in (".lock", ".disabled")
        ]
        assert left == []


@pytest.mark.slow  # twenty times killed and run again
@pytest.mark.timeout(900)
def test_killed_at_any_point_and_run_again_it_is_complete(home, tmp_path, published, token):
    home.content.update(contents(6, 60_000))
    entries = [entry(home, way, name) for way, name in zip(WAYS, home.content, strict=True)]
    entries[4] = entry(home, "file", "model-4.safetensors", sha256="", size=0)
    entries[5] += f'gated = true\npage = "{home.url}/page"\n'
    old = {
        "visionsmith": (published, git(published, "rev-parse", "HEAD")),
        "pack": (tmp_path / "pack", commit(tmp_path / "pack", "one")),
    }
    commits = {"visionsmith": commit(published, "second"), "pack": commit(tmp_path / "pack", "two")}
    manifest = write(
        tmp_path, *entries, WORKFLOWS, head='pip = ["greedy"]\n' + packs(("pack", tmp_path / "pack", commits["pack"]))
    )
    whole = {f"{way}-{name}": data for way, (name, data) in zip(WAYS, home.content.items(), strict=True)}
    home.rate = 250_000
    start = time.monotonic()
    Trial(tmp_path / "first", manifest, published, {}).run()
    length, chance, killed, number = time.monotonic() - start, random.Random(SEED), 0, 0
    while killed < KILLS:
        trial = Trial(tmp_path / f"trial-{number}", manifest, published, old if number % 2 else {})
        number += 1
        home.rate = 250_000
        if trial.killed_after(chance.uniform(0.02, 0.95) * length):
            killed += 1
        else:
            length *= 0.8  # the machine has become quicker
        trial.check_names(whole)
        home.rate = 0
        trial.run()
        trial.check_complete(whole, commits)
    start = time.monotonic()
    states = rows(trial.run())
    assert time.monotonic() - start <= 5
    assert all(state.startswith("in place") for state in states.values()), states


def test_updates_that_were_killed_are_taken_back(home, tmp_path, published, token):
    """The worst moments of git, made by hand: half a checkout, and locks that nobody holds."""
    old = {
        "visionsmith": (published, git(published, "rev-parse", "HEAD")),
        "pack": (tmp_path / "pack", commit(tmp_path / "pack", "one")),
    }
    commits = {"visionsmith": commit(published, "second"), "pack": commit(tmp_path / "pack", "two")}
    manifest = write(
        tmp_path, WORKFLOWS, head='pip = ["greedy"]\n' + packs(("pack", tmp_path / "pack", commits["pack"]))
    )
    trial = Trial(tmp_path / "machine", manifest, published, old)
    for name, (_, sha) in old.items():
        folder = trial.comfyui / "custom_nodes" / name
        (folder / "nodes.py").write_text("half of the new")
        (folder / ".git" / "visionsmith-update").write_text(sha)
        for lock in ("index.lock", "shallow.lock"):
            (folder / ".git" / lock).touch()
    trial.run()
    trial.check_complete({}, commits)
