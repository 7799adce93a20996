"""Stop-and-keep: a training ends after its step, hands on the best weights it has, and can be gone on with."""

from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file
from visionsmith.training import Run, fit

STEPS = 6  # of an epoch in these tests


def train(network, dataset, plan, folder, stop_at=None, stage="train"):
    """Run a training to its end, or until it has listened to a wish to stop that is uttered from step `stop_at` on."""
    seen = []
    for progress in fit(network, dataset, *plan, folder):
        progress.stop = stop_at is not None and progress.step >= stop_at and progress.stage == stage
        seen.append((progress.step, progress.stage))
    return Run.load(folder), seen


def best(folder):
    return load_file(folder / "best.safetensors")


def same(first, second):
    return first.keys() == second.keys() and all(torch.equal(first[key], second[key]) for key in first)


@pytest.mark.parametrize("stop_at", [1, 6, 8, 13])  # in the first epoch, at its end, in the second, in the third
@pytest.mark.parametrize("average", [0.0, 0.9])
def test_it_stops_after_the_step_and_goes_on_bit_for_bit(network, few_digits, plan, tmp_path, stop_at, average):
    plan = *plan[:2], replace(plan[2], average=average, epochs=3)
    whole, every = train(network, few_digits, plan, tmp_path / "whole")
    assert [step for step, stage in every if stage == "train"][-1] == whole.step == whole.steps == 3 * STEPS
    stopped, seen = train(network, few_digits, plan, tmp_path / "parts", stop_at)

    assert seen[-1][0] == stopped.step == stop_at
    assert (stopped.state, stopped.finished, stopped.steps, stopped.epochs) == ("stopped", False, 3 * STEPS, 3)
    assert len(stopped.history) == (stop_at - 1) // STEPS
    assert stopped.best_epoch <= len(stopped.history)
    assert stopped.network().classes == few_digits.classes

    resumed, seen = train(network, few_digits, plan, tmp_path / "parts")
    assert seen[0][0] >= stop_at
    assert resumed.state == "done"
    assert [replace(e, seconds=0) for e in resumed.history] == [replace(e, seconds=0) for e in whole.history]
    assert same(best(tmp_path / "whole"), best(tmp_path / "parts"))
    assert same(load_file(tmp_path / "whole/last.safetensors"), load_file(tmp_path / "parts/last.safetensors"))


def test_in_the_first_epoch_the_weights_of_that_moment_are_kept(network, few_digits, plan, tmp_path):
    untrained = {key: value.clone() for key, value in network.module.state_dict().items()}
    plan = *plan[:2], replace(plan[2], average=0.0)
    stopped, _ = train(network, few_digits, plan, tmp_path, stop_at=2)
    last = load_file(tmp_path / "last.safetensors")

    assert (stopped.best_epoch, stopped.history) == (0, ())
    assert same(best(tmp_path), {key[7:]: value for key, value in last.items() if key.startswith("module.")})
    assert not same(best(tmp_path), untrained)


def test_a_step_of_several_batches_is_taken_whole(network, few_digits, plan, tmp_path):
    plan = *plan[:2], replace(plan[2], accumulate=2)
    train(network, few_digits, plan, tmp_path / "whole")
    stopped, _ = train(network, few_digits, plan, tmp_path / "parts", stop_at=0)
    assert stopped.step == 1
    train(network, few_digits, plan, tmp_path / "parts")
    assert same(best(tmp_path / "whole"), best(tmp_path / "parts"))


def test_a_wish_to_stop_at_the_end_of_an_epoch_waits_for_its_validation(network, few_digits, plan, tmp_path):
    for progress in fit(network, few_digits, *plan, tmp_path):
        progress.stop = progress.record is not None
    stopped = Run.load(tmp_path)
    assert (stopped.state, len(stopped.history), stopped.best_epoch) == ("stopped", 1, 1)


def test_the_last_step_ends_a_training_as_ever(network, few_digits, plan, tmp_path):
    plan = *plan[:2], replace(plan[2], epochs=1)
    run, _ = train(network, few_digits, plan, tmp_path, stop_at=STEPS)
    assert (run.state, run.finished) == ("done", True)
