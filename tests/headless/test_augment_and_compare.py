"""The workflow augment-and-compare without ComfyUI: from drawn pictures to a sentence, as a person would run it, with few steps."""

import json
from pathlib import Path

import pytest
from visionsmith.headless import cli

WORKFLOW = Path(__file__).resolve().parents[2] / "workflows" / "api" / "augment-and-compare.json"
WAYS = ("copy-paste", "poisson", "procedural", "mix")


@pytest.mark.slow  # five trainings
def test_the_loop_ends_with_which_augmentation_to_keep(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    small = ["Experiment.seeds=0", "Experiment.max_steps=2", "Dataset to Images (test).count=1"]
    small += [f"Augment Dataset ({way}).per_picture=0.25" for way in WAYS]
    code = cli.main(["run", str(WORKFLOW), "--output", "out", *(f"--set={value}" for value in small)])
    said = capsys.readouterr().out

    assert code == cli.OK
    assert "Keep " in said or "Nothing can be chosen: mIoU of defects on val is below 1 %" in said
    rows = json.loads((tmp_path / "out/experiments/augment-and-compare/results.json").read_text())["rows"]
    assert [row["dataset"] for row in rows] == ["sample", *WAYS] and not any(row["error"] for row in rows)
    assert all(row["validation"] and row["validation_classes"] for row in rows)
    assert (tmp_path / "out/networks/best-augmented/network.json").is_file()
