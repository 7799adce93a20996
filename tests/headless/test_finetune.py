"""`visionsmith finetune`: a file is read or refused in a sentence, trained, and not trained again."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

pytest.importorskip("tomllib", reason="Python 3.10 has no tomllib")
sys.path.insert(0, str(Path(__file__).parents[1] / "training" / "finetune"))
import tiny_models as tiny
from safetensors.torch import load_file
from stable_diffusion_files import write_checkpoint
from visionsmith.headless import cli
from visionsmith.headless.finetuning import concepts_of, read_file
from visionsmith.nn_layers import InputError
from visionsmith.training.checkpoint import read_state

GOOD = """
model = "tiny.safetensors"
name = "scratch"
[[concepts]]
prompt = "q"
folder = "pictures"
class_prompt = "a z"
[settings]
steps = 2
accumulate = 1
learning_rate = 1e-3
alpha = 4
rank = 4
conv_rank = 4
device = "cpu"
optimizer = "AdamW"
resolution = 16
prompts = []
"""


@pytest.fixture
def file(tmp_path):
    tiny.draw(tmp_path / "pictures")
    file = tmp_path / "scratch.toml"
    file.write_text(GOOD)
    return file


def test_it_trains_once(file, tmp_path, capsys):
    write_checkpoint(tmp_path / "tiny.safetensors", "SD 1")
    assert cli.main(["finetune", str(file)]) == 0
    told = capsys.readouterr().out
    assert "done · step 2/2" in told

    [made] = (tmp_path / "output" / "finetune").glob("scratch-*/checkpoints/scratch-000002.safetensors")
    assert str(made) in told.replace("\n", "")
    before = made.stat().st_mtime_ns
    assert cli.main(["finetune", str(file)]) == 0
    assert made.stat().st_mtime_ns == before

    places = ["--output", str(tmp_path / "output"), "--models", str(tmp_path / "models")]
    assert cli.main(["finetune-runs", "list", *places]) == 0
    assert "| lora | tiny.safetensors | 2/2 |" in capsys.readouterr().out
    assert cli.main(["finetune-runs", "promote", "scratch", "--name", "best", *places]) == 0
    assert (tmp_path / "models" / "loras" / "best.safetensors").is_file()
    assert cli.main(["finetune-runs", "prune", *places]) == 0
    assert "0 checkpoints removed" in capsys.readouterr().out
    assert cli.main(["finetune-runs", "compare", *places]) == 2
    assert "has sample pictures; give prompts" in capsys.readouterr().err
    assert cli.main(["finetune-runs", "list", "--output", str(tmp_path / "none")]) == 2
    assert "there are no runs in" in capsys.readouterr().err


def test_what_a_file_says(file):
    plan, settings = read_file(file)
    concepts = concepts_of(plan)

    assert (settings.steps, settings.alpha, settings.blocks) == (2, 4.0, ("down", "mid", "up"))
    assert (concepts.resolution, concepts.concepts[0].class_prompt, len(concepts)) == (16, "a z", 3)


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("steps = 2", "stepps = 2", "has 'stepps', which is unknown"),
        ("steps = 2", 'steps = "2"', "steps in .* is '2'; write one such as 3000"),
        ('model = "tiny.safetensors"', "", "has no model; add it"),
        ('name = "scratch"', 'method = "lokr"', "method in .* is 'lokr'; choose one of lora, dreambooth"),
        ('folder = "pictures"', "", "concept 1 has no folder"),
        ('folder = "pictures"', 'folder = "none"', "none is not a folder"),
        ("[settings]", "[settings", "is no readable TOML"),
    ],
)
def test_mistakes_are_told(file, old, new, told):
    file.write_text(GOOD.replace(old, new))
    with pytest.raises(InputError, match=told):
        concepts_of(read_file(file)[0])


def test_a_checkpoint_that_is_not_there(file, capsys):
    assert cli.main(["finetune", str(file)]) == 2
    assert "does not exist; give the path of a checkpoint in model." in capsys.readouterr().err


@pytest.mark.slow
def test_killed_at_random_and_started_again_it_ends_with_the_same_weights(file, tmp_path):
    write_checkpoint(tmp_path / "tiny.safetensors", "SD 1")
    file.write_text(GOOD.replace("steps = 2", "steps = 40\nsave_every = 2\nkeep = 1"))
    whole = tmp_path / "whole.toml"
    whole.write_text(file.read_text().replace('model = "tiny', 'output = "whole"\nmodel = "tiny'))
    assert cli.main(["finetune", str(whole)]) == 0

    started = subprocess.Popen(
        [sys.executable, "-m", "visionsmith.headless.cli", "finetune", str(file)],
        stdout=subprocess.DEVNULL,
        env=os.environ | {"OMP_NUM_THREADS": "1"},  # with another number sums are rounded otherwise
    )
    try:
        end = time.monotonic() + 200
        while not (states := list((tmp_path / "output").glob("finetune/*/last.safetensors"))):
            assert time.monotonic() < end and started.poll() is None
            time.sleep(0.05)
        time.sleep(random.random())
    finally:
        started.send_signal(signal.SIGKILL)
        started.wait()
    assert 0 < read_state(states[0])["step"] < 40
    assert cli.main(["finetune", str(file)]) == 0
    [wanted], [found] = (list((tmp_path / name).glob("finetune/*/checkpoints/*.safetensors")) for name in ("whole", "output"))  # fmt: skip

    found, wanted = load_file(found), load_file(wanted)
    assert found.keys() == wanted.keys()
    assert all(torch.equal(found[key], wanted[key]) for key in wanted)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_two_processes_learn_what_one_learns_from_twice_the_batches(file, tmp_path):
    """Two devices, here two processes on the CPU, take the batches in turn and share their gradients."""
    write_checkpoint(tmp_path / "tiny.safetensors", "SD 1")
    whole, shared = tmp_path / "whole.toml", GOOD.replace("prompts = []", 'prompts = ["q"]\nsample_steps = 1')
    whole.write_text(shared.replace("accumulate = 1", "accumulate = 2").replace("model =", 'output = "whole"\nmodel ='))
    assert cli.main(["finetune", str(whole)]) == 0
    file.write_text(shared)
    command = [sys.executable, "-m", "visionsmith.headless.cli", "finetune", str(file), "--devices", "2"]
    done = subprocess.run(command, env=os.environ | {"OMP_NUM_THREADS": "1"}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.count("done · step 2/2") == 1  # one of them speaks

    [wanted], [found] = (list((tmp_path / name).glob("finetune/*/checkpoints/*000002.safetensors")) for name in ("whole", "output"))  # fmt: skip
    found, wanted = load_file(found), load_file(wanted)
    assert found.keys() == wanted.keys()
    for key in wanted:
        torch.testing.assert_close(found[key].float(), wanted[key].float(), atol=2e-4, rtol=1e-3)
    learned = [key for key in wanted if ".lora_up." in key and found[key].any()]
    assert len(learned) == len(wanted) / 3
