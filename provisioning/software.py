"""Software of a machine: packages of the system, packages of nodes at their commits, packages of Python.

Each part looks first whether anything is missing, so that a second run takes no time. The programs that are started get no tokens.
"""

from __future__ import annotations

import hashlib
import json
import os
import shlex
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from .errors import ManifestError
from .manifest import OWN, PACKAGE, Manifest, Nodes, toml_reader
from .profiles import Machine
from .tokens import SECRETS
from .transfer import Say

TORCH = ("torch", "torchvision", "torchaudio")
"""What ComfyUI brings with it; installing nodes must not change it."""
STAMP = "visionsmith-requirements.json"
BEGUN = "visionsmith-update"
"""In .git of a package of nodes while it is brought to another commit: what is half-done there is ours, and nobody's change."""
APT = "apt-get install -y --no-install-recommends"
REPAIRS = {
    "dpkg --configure -a": "dpkg --configure -a",  # an installation that was killed; apt refuses everything until then
    "Unable to locate package": "apt-get update",  # images come without apt's lists, or with old ones
    "has no installation candidate": "apt-get update",
    "Failed to fetch": "apt-get update",
}
"""What apt says, and what puts it in order."""
LONGEST = 3600.0
"""Seconds that a program may take."""


@dataclass(frozen=True)
class Result:
    """What became of a part: "in place", "installed", "updated", "yours", "failed" or "would install"."""

    name: str
    state: str
    note: str = ""


def clean_environment() -> dict[str, str]:
    """The environment without tokens, for programs of others."""
    kept = {key: value for key, value in os.environ.items() if key not in SECRETS}
    return {
        **kept,
        "GIT_TERMINAL_PROMPT": "0",
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        "DEBIAN_FRONTEND": "noninteractive",
    }


def run(command: list[str], cwd: Path | None = None, environment: dict[str, str] | None = None) -> str:
    """What a program printed.

    Raises:
        RuntimeError: It failed; with the last line it printed.
    """
    env = {**clean_environment(), **(environment or {})}
    try:
        done = subprocess.run(
            command, cwd=cwd, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=LONGEST
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise RuntimeError(f"{command[0]}: {error}") from None
    if done.returncode:
        lines = [line for line in (done.stderr + done.stdout).splitlines() if line.strip()]
        told = next(
            (line for line in lines if line.lower().startswith(("error", "fatal", "e:"))),
            lines[-1] if lines else "no reason given",
        )
        raise RuntimeError(f"{Path(command[0]).name} ended with {done.returncode}: {told.strip()}")
    return done.stdout


def apt(manifest: Manifest, dry: bool) -> list[Result]:
    """Packages of the system that are not there yet, with ``APT_INSTALL`` as the command where the machine gives one."""
    missing = [name for name in manifest.apt if not shutil.which(name) and not _has_package(name)]
    if not missing:
        return [Result("apt", "in place", ", ".join(manifest.apt))] if manifest.apt else []
    if dry:
        return [Result("apt", "would install", ", ".join(missing))]
    command = shlex.split(os.environ.get("APT_INSTALL") or APT)
    root = os.name != "posix" or os.geteuid() == 0
    sudo = ["sudo"] if not root and shutil.which("sudo") and command[0] != "sudo" else []
    try:
        try:
            run([*sudo, *command, *missing])
        except RuntimeError as error:
            repair = next((repair for told, repair in REPAIRS.items() if told in str(error)), "")
            if not repair:
                raise
            run([*sudo, *repair.split()])
            run([*sudo, *command, *missing])
    except RuntimeError as error:
        return [Result("apt", "failed", f"{', '.join(missing)}: {error}; install them by hand")]
    return [Result("apt", "installed", ", ".join(missing))]


def _has_package(name: str) -> bool:
    try:
        return "install ok installed" in run(["dpkg-query", "-W", "-f", "${Status}", name])
    except RuntimeError:
        return False


def node_packages(manifest: Manifest, machine: Machine, dry: bool, say: Say) -> list[Result]:
    """Every package of nodes at its commit; one that was changed by hand is left as it is."""
    results = []
    for nodes in manifest.nodes:
        if nodes.commit == OWN:
            results.append(Result(nodes.name, "in place", f"this is it, in {PACKAGE}"))
            continue
        try:
            results.append(_checked_out(nodes, machine.custom_nodes / nodes.name, dry, say))
        except (RuntimeError, OSError) as error:
            results.append(Result(nodes.name, "failed", str(error)))
    return results


def _checked_out(nodes: Nodes, folder: Path, dry: bool, say: Say) -> Result:
    if (folder / ".git").exists():
        if (folder / ".git" / BEGUN).is_file():
            if dry:
                return Result(nodes.name, "would install", nodes.commit[:12])
            _undo(folder)
        if run(["git", "rev-parse", "HEAD"], folder).strip() == nodes.commit:
            return Result(nodes.name, "in place", nodes.commit[:12])
        if os.environ.get("AUTO_UPDATE", "").lower() == "false":
            return Result(nodes.name, "yours", "at another commit, and AUTO_UPDATE is false")
        if run(["git", "status", "--porcelain", "--untracked-files=no"], folder).strip():
            return Result(nodes.name, "yours", f"{folder} was changed by hand, left alone")
        if dry:
            return Result(nodes.name, "would install", nodes.commit[:12])
        (folder / ".git" / BEGUN).write_text(run(["git", "rev-parse", "HEAD"], folder), encoding="utf-8")
        try:
            _check_out(nodes, folder)
        except RuntimeError:
            _undo(folder)
            raise
        (folder / ".git" / BEGUN).unlink()
        return Result(nodes.name, "updated", nodes.commit[:12])
    if folder.exists():
        return Result(nodes.name, "yours", f"{folder} is no clone, left alone")
    if dry:
        return Result(nodes.name, "would install", nodes.commit[:12])
    say(f"  {nodes.name}: cloning")
    folder.parent.mkdir(parents=True, exist_ok=True)
    part = folder.with_name(f"{nodes.name}.part.disabled")  # ComfyUI does not load what ends in .disabled
    shutil.rmtree(part, ignore_errors=True)
    run(["git", "init", "--quiet", str(part)])
    run(["git", "remote", "add", "origin", nodes.url], part)
    _check_out(nodes, part)
    part.rename(folder)
    return Result(nodes.name, "installed", nodes.commit[:12])


def _undo(folder: Path) -> None:
    """Take back an update that was killed or failed in the middle, to the commit from which it began."""
    begun = folder / ".git" / BEGUN
    for lock in (folder / ".git").rglob("*.lock"):  # git leaves them when it is killed, and then refuses to work
        lock.unlink()
    run(["git", "reset", "--quiet", "--hard", begun.read_text(encoding="utf-8").strip() or "HEAD"], folder)
    begun.unlink()


def _check_out(nodes: Nodes, folder: Path) -> None:
    run(["git", "fetch", "--quiet", "--depth", "1", nodes.url, nodes.commit], folder)
    run(["git", "checkout", "--quiet", "--detach", nodes.commit], folder)
    if (folder / ".gitmodules").is_file():
        run(["git", "submodule", "update", "--quiet", "--init", "--recursive", "--depth", "1"], folder)


def python_packages(manifest: Manifest, machine: Machine, dry: bool, say: Say) -> list[Result]:
    """What the manifest and the packages of nodes need, installed into ComfyUI's Python without changing its torch."""
    wanted = requirements(manifest, machine)
    if not wanted:
        return []
    try:
        stamp, torch = _python(machine)
        key = hashlib.sha256("\n".join(sorted(wanted)).encode()).hexdigest()
        if "torch" not in torch:
            raise RuntimeError(f"{machine.python} has no torch, so it is not ComfyUI's Python; name that with --python")
        if stamp.is_file() and json.loads(stamp.read_text(encoding="utf-8")).get("key") == key:
            return [Result("pip", "in place", f"{len(wanted)} requirements")]
        if dry:
            return [Result("pip", "would install", f"{len(wanted)} requirements into {machine.python}")]
        say(f"  pip: {len(wanted)} requirements into {machine.python}")
        constraints = stamp.with_name("visionsmith-constraints.txt")
        constraints.write_text("".join(f"{name}=={version}\n" for name, version in torch.items()), encoding="utf-8")
        run([*_pip(machine), "--constraint", str(constraints), *wanted])
        part = stamp.with_name(f"{STAMP}.part")
        part.write_text(json.dumps({"key": key}), encoding="utf-8")
        part.replace(stamp)
    except (RuntimeError, OSError, ValueError) as error:
        return [Result("pip", "failed", str(error))]
    return [Result("pip", "installed", f"{len(wanted)} requirements")]


def requirements(manifest: Manifest, machine: Machine) -> list[str]:
    """The requirements of the manifest and of its packages of nodes, with the extras it names."""
    wanted = list(manifest.pip)
    for nodes in manifest.nodes:
        folder = PACKAGE if nodes.commit == OWN else machine.custom_nodes / nodes.name
        if (folder / "requirements.txt").is_file():
            lines = (folder / "requirements.txt").read_text(encoding="utf-8").splitlines()
            wanted += [
                line.partition(" #")[0].strip()
                for line in lines
                if line.strip() and not line.lstrip().startswith(("#", "-"))
            ]
        if nodes.extras and (folder / "pyproject.toml").is_file():
            project = toml_reader().loads((folder / "pyproject.toml").read_text(encoding="utf-8")).get("project", {})
            known = project.get("optional-dependencies", {})
            for extra in nodes.extras:
                if extra not in known:
                    raise ManifestError(
                        f"{nodes.name} has no extra {extra}, only {', '.join(known)}; correct the manifest."
                    )
                wanted += known[extra]
    return list(dict.fromkeys(wanted))


def _python(machine: Machine) -> tuple[Path, dict[str, str]]:
    """Where the stamp of a Python is, and its versions of torch; asked of the Python itself."""
    code = (
        "import importlib.metadata as m, json, sysconfig\n"
        "def version(name):\n"
        "    try: return m.version(name)\n"
        "    except m.PackageNotFoundError: return ''\n"
        f"print(json.dumps([sysconfig.get_path('purelib'), {{n: version(n) for n in {TORCH!r}}}]))"
    )
    folder, versions = json.loads(run([machine.python, "-c", code]))
    return Path(folder) / STAMP, {name: version for name, version in versions.items() if version}


def _pip(machine: Machine) -> list[str]:
    """The command that installs into a Python: its pip, or uv where it has none."""
    try:
        run([machine.python, "-m", "pip", "--version"])
        return [machine.python, "-m", "pip", "install", "--quiet"]
    except RuntimeError:
        if not shutil.which("uv"):
            raise
        return ["uv", "pip", "install", "--quiet", "--python", machine.python]
