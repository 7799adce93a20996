"""Several devices: two processes on the CPU come to what one does, can be stopped and killed, and leave one run and no process behind."""

import os
import signal
import subprocess
import sys
import time
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from visionsmith import nn_layers as nn
from visionsmith.nn_layers import InputError
from visionsmith.training import FitSettings, Loss, Optimizer, Run, fit, processes, run_key

YAML = """
project: digits
name: quick
models: {plain: {network: plain, weights: saved}}
datasets: {digits: {digits: {}, transforms: [Normalize]}}
losses: {cross entropy: {type: cross entropy}}
optimizer: {type: SGD, momentum: 0, learning_rate: 0.002, schedule: constant}  # calm: rounding does not grow over 1,500 steps
train: {max_steps: STEPS, batch_size: 64, metric: accuracy, device: cpu}
"""
pytestmark = pytest.mark.timeout(1200)  # each process imports torch anew, which takes minutes on a machine that is busy
needs_proc = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="reads /proc, which only Linux has")


def plain():
    """No dropout, which each process draws for itself, and no batch normalization, which sees its part of a batch."""
    x = nn.input_tensor(nn.Input("image", (1, 8, 8)))
    h = nn.apply(nn.Activation(), nn.apply(nn.Conv(8), x))
    h = nn.apply(nn.View(), nn.apply(nn.Pooling(), h))
    return nn.build_network((nn.apply(nn.Linear(10), h),), "plain", 0)


def weights(folder):
    return {k: v for k, v in load_file(folder / "last.safetensors").items() if not k.startswith("random")}


def assert_close(first, second):
    assert first.keys() == second.keys()
    for key in first:
        torch.testing.assert_close(first[key], second[key], rtol=0, atol=1e-5, msg=key)


def carry_out(dataset, plan, folder, stop_after=None):
    with closing(fit(plain(), dataset, *plan, folder)) as steps:
        for progress in steps:
            if stop_after and progress.step >= stop_after:
                break
    return Run.load(folder)


def test_two_processes_come_to_the_weights_of_one_and_go_on_where_they_were_stopped(digits, tmp_path):
    settings = FitSettings(epochs=6, batch_size=65, accumulate=2, average=0.9, metric="accuracy", device="cpu")
    plan = Loss(), Optimizer("SGD", learning_rate=0.02, clip=1.0), settings
    both = *plan[:2], replace(settings, devices=2)
    assert run_key(plain(), digits, *plan) == run_key(plain(), digits, *both)
    one = carry_out(digits, plan, tmp_path / "one")

    stopped = carry_out(digits, both, tmp_path / "two", stop_after=3)
    assert stopped.state == "running" and (tmp_path / "two" / "last.safetensors").is_file()
    two = carry_out(digits, both, tmp_path / "two")

    assert_close(weights(tmp_path / "one"), weights(tmp_path / "two"))
    assert two.state == "done" and two.best_epoch == one.best_epoch
    assert len((tmp_path / "two" / "metrics.csv").read_text().splitlines()) == 1 + 6
    for ours, theirs in zip(two.history, one.history, strict=True):
        assert (ours.epoch, ours.step, ours.metric) == (theirs.epoch, theirs.step, theirs.metric)
        assert abs(ours.train_loss - theirs.train_loss) < 1e-5 and abs(ours.val_loss - theirs.val_loss) < 1e-5
        assert abs(ours.train_metric - theirs.train_metric) < 0.002  # a sample on the edge may fall to either side
    assert list(fit(plain(), digits, *both, tmp_path / "two")) == []  # it is finished


def test_a_step_of_several_batches_that_is_interrupted_is_taken_again(digits, tmp_path):
    plan = (
        Loss(),
        Optimizer("SGD", learning_rate=0.02),
        FitSettings(epochs=2, batch_size=65, accumulate=2, device="cpu"),
    )
    whole = carry_out(digits, plan, tmp_path / "whole")
    with closing(fit(plain(), digits, *plan, tmp_path / "again")) as steps:
        next(step for number, step in enumerate(steps) if step.step == 3 and number % 2)
        next(steps)

    assert (tmp_path / "again" / "last.safetensors").is_file()
    again = carry_out(digits, plan, tmp_path / "again")
    assert again.history[-1].train_loss == whole.history[-1].train_loss
    assert_close(weights(tmp_path / "whole"), weights(tmp_path / "again"))


def start(file, output, *words):
    command = [sys.executable, "-m", "visionsmith.headless.cli", "experiment", str(file), "--output", str(output)]
    env = os.environ | {"OMP_NUM_THREADS": "1"}  # with another number sums are rounded otherwise
    return subprocess.Popen([*command, *words], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=env)


def children(pid):
    return [int(found) for found in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def wait_for(what, seconds=600):
    end = time.monotonic() + seconds
    while not (found := what()):
        assert time.monotonic() < end
        time.sleep(0.05)
    return found


def is_training(folder):
    file = folder / "running.json"
    try:
        return '"train"' in file.read_text()
    except OSError:
        return False


@needs_proc
def test_the_command_can_be_interrupted_and_killed_and_comes_to_the_same(tmp_path):
    nn.save_network(plain(), tmp_path / "plain")
    (tmp_path / "quick.yaml").write_text(YAML.replace("STEPS", "1500"))
    one = start(tmp_path / "quick.yaml", tmp_path / "one")
    assert one.wait(600) == 0, one.stdout.read()

    folder = tmp_path / "two" / "digits" / "quick" / "plain"
    for ending, code in ((signal.SIGINT, 130), (signal.SIGKILL, -signal.SIGKILL), (None, 0)):
        two = start(tmp_path / "quick.yaml", tmp_path / "two", "--devices", "2")
        if ending:
            wait_for(lambda: is_training(folder))
            workers = children(two.pid)
            assert len(workers) >= 2
            os.kill(two.pid, ending)
        assert two.wait(600) == code, two.stdout.read()
        if ending:
            wait_for(lambda left=workers: not any(Path(f"/proc/{pid}").exists() for pid in left), 60)
        (folder / "running.json").unlink(missing_ok=True)

    told = two.stdout.read()
    assert "GLOBAL_RANK" not in told and told.count("best: plain") == 1
    same = tmp_path / "one" / "digits" / "quick" / "plain"
    assert_close(weights(same / "train"), weights(folder / "train"))
    assert (folder / "train" / "metrics.csv").read_text().count("\n") == (
        same / "train" / "metrics.csv"
    ).read_text().count("\n")


@needs_proc
def test_a_process_that_is_killed_ends_the_training_with_a_sentence(digits, tmp_path):
    settings = FitSettings(epochs=10_000, batch_size=64, device="cpu", devices=2)
    steps = fit(plain(), digits, Loss(), Optimizer(), settings, tmp_path)
    next(progress for progress in steps if progress.step)
    spawned = [pid for pid in children(os.getpid()) if b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes()]
    os.kill(spawned[-1], signal.SIGKILL)
    with pytest.raises(RuntimeError, match="device 1 of 2"):
        list(steps)
    assert not any(Path(f"/proc/{pid}").exists() for pid in spawned)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"devices": 0}, "devices is 0; choose at least 1"),
        ({"devices": 4, "batch_size": 2}, "batch_size is 2, but there are 4 devices to share a batch"),
        ({"nodes": 2}, "nodes is 2, but MASTER_ADDR is not set"),
    ],
)
def test_devices_that_cannot_be_used(digits, tmp_path, monkeypatch, changes, message):
    monkeypatch.delenv("MASTER_ADDR", raising=False)
    settings = replace(FitSettings(epochs=1, device="cpu"), **changes)
    with pytest.raises(InputError, match=message):
        next(fit(plain(), digits, Loss(), Optimizer(), settings, tmp_path))


def test_inside_comfyui_there_is_one_device(monkeypatch, digits, tmp_path):
    monkeypatch.setattr(processes, "PACKAGE", "/somewhere/custom_nodes/visionsmith")
    with pytest.raises(InputError, match="devices is 2, but several devices are for the command `visionsmith`"):
        next(fit(plain(), digits, Loss(), Optimizer(), FitSettings(device="cpu", devices=2), tmp_path))
