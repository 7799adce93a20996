"""A machine to provision: a manifest about the test's hosts, and the program started as the script starts it."""

import hashlib
import os
import random
import subprocess
import sys
from pathlib import Path

FOLDER = Path(__file__).resolve().parents[2] / "provisioning"
PLAIN = "[[files]]\nname = \"{name}\"\ngroup = \"{group}\"\nto = \"{to}\"\nurl = \"{url}\"\nsha256 = \"{sha256}\"\nsize = {size}\nlicence = \"MIT\"\n"  # fmt: skip


def contents(count, size=50_000):
    """Names and bytes of files."""
    return {f"model-{number}.safetensors": random.Random(number).randbytes(size + number) for number in range(count)}


def entry(host, way, file, group="checkpoints", **changes):
    """A file of a manifest, as text."""
    data = host.content[file]
    values = {
        "name": f"{way}-{file.partition('.')[0]}",
        "group": group,
        "to": f"models/{group}/{way}-{file}",
        "url": f"{host.url}/{way}/{file}",
        "sha256": hashlib.sha256(data).hexdigest(),
        "size": len(data),
        **changes,
    }
    text = PLAIN.format(**values)
    return text.replace('sha256 = ""\n', "").replace("size = 0\n", "")


def write(folder, *entries, head=""):
    """A manifest of these entries."""
    path = folder / "manifest.toml"
    path.write_text("version = 1\n" + head + "".join(entries), encoding="utf-8")
    return path


def command(*arguments, python=sys.executable):
    """As the script starts it, but without any installed package; only Python 3.10 needs one, for TOML."""
    alone = ["-S"] if sys.version_info >= (3, 11) else []
    return [python, *alone, "-B", str(FOLDER), *map(str, arguments)]


def provision(comfyui, manifest, *arguments, environment=None, **options):
    """Run it to its end: exit code and what it printed."""
    words = ["install", "--profile", "local", "--comfyui", comfyui, "--manifest", manifest, *arguments]
    done = subprocess.run(
        command(*words), capture_output=True, text=True, env={**os.environ, **(environment or {})}, timeout=120, **options
    )  # fmt: skip
    return done.returncode, done.stdout + done.stderr


def rows(output):
    """name → (state, the rest) of the table at the end."""
    table = output[output.rindex("\nname ") :].split("\n\n")[0].strip().splitlines()
    start = table[0].index("state")
    return {line.split()[0]: line[start:].strip() for line in table[1:]}


def git(folder, *words):
    settings = (
        "-c",
        "user.name=a",
        "-c",
        "user.email=a@b",
        "-c",
        "commit.gpgsign=false",
        "-c",
        "init.defaultBranch=main",
    )
    done = subprocess.run(["git", *settings, *words], cwd=folder, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def commit(folder, text):
    """A commit of a small repository that others may clone by any commit."""
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / ".git").exists():
        git(folder, "init", "--quiet")
        git(folder, "config", "uploadpack.allowAnySHA1InWant", "true")
    (folder / "nodes.py").write_text(text)
    git(folder, "add", "-A")
    git(folder, "commit", "--quiet", "-m", text)
    return git(folder, "rev-parse", "HEAD")


def packs(*names_and_folders):
    return "".join(
        f'[[nodes]]\nname = "{name}"\nurl = "{folder.as_uri()}"\ncommit = "{sha}"\n'
        for name, folder, sha in names_and_folders
    )
