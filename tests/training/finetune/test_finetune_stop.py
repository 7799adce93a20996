"""Stop-and-keep of a fine-tuning: it ends after its step with every file, and goes on from there."""

import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

sys.path.insert(0, str(Path(__file__).parent))
import tiny_models as tiny
from visionsmith.training.finetune import DREAMBOOTH, LORA, FinetuneRun, finetune, runs
from visionsmith.training.finetune.output import FOLDER, checkpoints

NO_PRIOR = {"prior_weight": 0.0, "sample_every": 0}


@pytest.mark.parametrize("preset", [LORA, DREAMBOOTH], ids=["lora", "dreambooth"])
def test_stop_and_keep(preset, tmp_path):
    concepts = tiny.concepts(tmp_path / "p")
    settings = tiny.quick(preset, steps=5, learning_rate=1e-3, save_every=4, as_folder=True, **NO_PRIOR)

    def train(folder, stop_at=None):
        seen = []
        for step in finetune(tiny.parts("SD 1", tmp_path / "words"), concepts, settings, folder, "q"):
            step.stop = step.stage == "train" and step.step == stop_at
            seen += [step.step] if step.stage == "train" else []
        return FinetuneRun.load(folder), seen

    whole, every = train(tmp_path / "whole")
    stopped, seen = train(tmp_path / "parts", stop_at=2)
    assert (every, seen) == ([1, 2, 3, 4, 5], [1, 2])
    assert (stopped.state, stopped.step, list(checkpoints(stopped.folder))) == ("stopped", 2, [2])
    assert stopped.summary().startswith("stopped · step 2/5")
    assert not runs.is_finished(stopped.folder, stopped.settings["key"], settings)
    assert (stopped.folder / FOLDER).is_dir() == (preset is DREAMBOOTH)
    kept = runs.promote_folder(stopped, tmp_path / "models", "mine")
    assert runs.promote_folder(stopped, tmp_path / "models", "mine") == kept

    resumed, seen = train(tmp_path / "parts")
    assert (resumed.state, seen) == ("done", [3, 4, 5])
    first, second = load_file(whole.checkpoint()), load_file(resumed.checkpoint())
    assert all(torch.equal(first[key], second[key]) for key in first)
    if kept:
        again = runs.promote_folder(resumed, tmp_path / "models", "mine")
        assert again == kept  # and not a second copy beside the stopped one
        weights = [
            load_file(next((place / "unet").glob("*.safetensors"))) for place in (again, resumed.folder / FOLDER)
        ]
        assert all(torch.equal(weights[0][key], weights[1][key]) for key in weights[1])


def test_a_wish_to_stop_at_the_last_step_changes_nothing(tmp_path):
    settings = tiny.quick(LORA, steps=2, **NO_PRIOR)
    for step in finetune(
        tiny.parts("SD 1", tmp_path / "words"), tiny.concepts(tmp_path / "p"), settings, tmp_path / "r", "q"
    ):
        step.stop = step.step == 2
    assert FinetuneRun.load(tmp_path / "r").state == "done"
