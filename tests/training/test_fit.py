"""Training: it learns, it can be stopped and killed at any moment, and it says what cannot be trained."""

import copy
import json
import os
import signal
import subprocess
import sys
import time
from contextlib import closing
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file
from visionsmith import nn_layers as nn
from visionsmith.nn_layers import InputError
from visionsmith.training import FitSettings, Loss, Optimizer, Run, evaluate, fit, run_key, sources
from visionsmith.training.metrics import METRICS

from .conftest import draw_classifier


def train(network, dataset, plan, folder, stop_after=None):
    """Run a training to its end, or to a step at which whoever watches it goes away."""
    with closing(fit(network, dataset, *plan, folder)) as steps:
        for count, _ in enumerate(steps, 1):
            if count == stop_after:
                break
    return Run.load(folder)


def weights(folder):
    return load_file(folder / "last.safetensors")


def assert_same(first, second):
    assert first.keys() == second.keys()
    for key in first:
        assert torch.equal(first[key], second[key]), key


def test_it_learns_and_leaves_a_readable_run(digits, tmp_path):
    plan = Loss(), Optimizer(learning_rate=0.01), FitSettings(epochs=8, batch_size=64, metric="accuracy", device="cpu")
    run = train(draw_classifier(), digits, plan, tmp_path)
    report = evaluate(run.network(), digits)

    assert run.state == "done"
    assert [epoch.epoch for epoch in run.history] == list(range(1, 9))
    assert run.history[-1].train_loss < 0.5 * run.history[0].train_loss
    assert report.scores["accuracy"] > 0.8
    assert sorted(file.name for file in tmp_path.iterdir()) == [
        "best.safetensors", "curves.png", "last.safetensors", "metrics.csv", "network.json", "settings.json",
    ]  # fmt: skip
    assert len((tmp_path / "metrics.csv").read_text().splitlines()) == 9
    assert run.network().classes == digits.classes
    assert run.network().prepare.mean
    assert [step for step, _ in run.curve] == list(range(1, run.history[-1].step + 1))
    assert run.curve[-1][1] < run.curve[0][1]


def test_one_seed_gives_one_result_and_the_network_handed_in_stays_as_it_was(network, few_digits, plan, tmp_path):
    before = {key: value.clone() for key, value in network.module.state_dict().items()}
    torch.manual_seed(5)
    state = torch.get_rng_state()
    for name in ("a", "b"):
        train(network, few_digits, plan, tmp_path / name)
    train(network, few_digits, (*plan[:2], replace(plan[2], seed=1)), tmp_path / "c")

    assert torch.equal(state, torch.get_rng_state())
    assert_same(before, network.module.state_dict())
    assert_same(weights(tmp_path / "a"), weights(tmp_path / "b"))
    assert not torch.equal(
        weights(tmp_path / "a")["module.conv_1.weight"], weights(tmp_path / "c")["module.conv_1.weight"]
    )


@pytest.mark.parametrize("stop_after", [1, 4, 6, 8, 11, 17])  # in the first epoch, between epochs, while validating
@pytest.mark.parametrize("optimizer", ["AdamW", "SGD", "RMSprop", "NAdam"])
def test_a_stopped_training_goes_on_bit_for_bit(network, few_digits, plan, tmp_path, stop_after, optimizer):
    plan = plan[0], Optimizer(optimizer, learning_rate=0.01, clip=1.0, warmup=2), plan[2]
    whole = train(network, few_digits, plan, tmp_path / "whole")
    stopped = train(network, few_digits, plan, tmp_path / "parts", stop_after)
    assert stopped.state == "running"
    resumed = train(network, few_digits, plan, tmp_path / "parts")

    assert_same(weights(tmp_path / "whole"), weights(tmp_path / "parts"))
    assert_same(load_file(tmp_path / "whole/best.safetensors"), load_file(tmp_path / "parts/best.safetensors"))
    assert [replace(e, seconds=0) for e in resumed.history] == [replace(e, seconds=0) for e in whole.history]
    assert resumed.curve == whole.curve


@pytest.mark.parametrize("max_steps", [0, 4])  # the epoch ends with the training, or is cut short by it
def test_a_training_stopped_in_its_last_validation_is_judged_when_it_goes_on(
    network, few_digits, plan, tmp_path, max_steps
):
    plan = *plan[:2], replace(plan[2], epochs=1, max_steps=max_steps)
    whole = train(network, few_digits, plan, tmp_path / "whole")
    with closing(fit(network, few_digits, *plan, tmp_path / "parts")) as steps:
        next(progress for progress in steps if progress.stage == "validate")
    assert Run.load(tmp_path / "parts").best_epoch == 0
    resumed = train(network, few_digits, plan, tmp_path / "parts")

    assert (resumed.state, resumed.best_epoch) == (whole.state, whole.best_epoch) == ("done", 1)
    assert_same(weights(tmp_path / "whole"), weights(tmp_path / "parts"))
    assert_same(load_file(tmp_path / "whole/best.safetensors"), load_file(tmp_path / "parts/best.safetensors"))


KILLED = """
import sys, time
from pathlib import Path
from visionsmith.training import FitSettings, Loss, Optimizer, fit, sources, transforms
sys.path.insert(0, sys.argv[2])
from conftest import draw_classifier
import visionsmith.training.fit as module
module.SAVE_SECONDS = 0.0
digits = sources.digits().with_transforms(transforms.Normalize())
settings = FitSettings(epochs=3, batch_size=64, metric="accuracy", device="cpu")
for progress in fit(draw_classifier(), digits, Loss(), Optimizer(learning_rate=0.01), settings, Path(sys.argv[1])):
    print(progress.step, flush=True)
    time.sleep(0.02)
"""


@pytest.mark.slow  # starts Python twice
def test_a_killed_training_goes_on_bit_for_bit(digits, tmp_path):
    plan = Loss(), Optimizer(learning_rate=0.01), FitSettings(epochs=3, batch_size=64, metric="accuracy", device="cpu")
    command = [sys.executable, "-c", KILLED, str(tmp_path / "killed"), str(__file__).rsplit("/", 1)[0]]
    env = os.environ | {"OMP_NUM_THREADS": "1"}  # with another number sums are rounded otherwise
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=env) as process:
        for line in process.stdout:
            if int(line) == 30:  # in the middle of the second epoch
                process.send_signal(signal.SIGKILL)
                break
    assert process.returncode == -signal.SIGKILL
    assert Run.load(tmp_path / "killed").state == "running"

    threads = torch.get_num_threads()
    train(draw_classifier(), digits, plan, tmp_path / "whole")
    train(draw_classifier(), digits, plan, tmp_path / "killed")
    assert torch.get_num_threads() == threads
    assert_same(weights(tmp_path / "whole"), weights(tmp_path / "killed"))


def test_a_finished_training_is_found_and_another_one_starts_anew(network, few_digits, plan, tmp_path):
    train(network, few_digits, plan, tmp_path)
    stamp = (tmp_path / "last.safetensors").stat().st_mtime_ns

    assert list(fit(network, few_digits, *plan, tmp_path)) == []
    assert (tmp_path / "last.safetensors").stat().st_mtime_ns == stamp
    assert len(list(fit(network, few_digits, plan[0], replace(plan[1], learning_rate=0.02), plan[2], tmp_path))) > 3


def test_accumulated_batches_equal_one_large_batch(digits, tmp_path):
    x = nn.input_tensor(nn.Input("image", (1, 8, 8)))
    network = nn.build_network((nn.apply(nn.Linear(10), nn.apply(nn.View(), x)),))
    sgd = Optimizer("SGD", learning_rate=0.1, momentum=0.0, weight_decay=0.0, schedule="constant")
    for name, batch, accumulate in (("one", 64, 1), ("four", 16, 4)):
        settings = FitSettings(max_steps=10, batch_size=batch, accumulate=accumulate, device="cpu")
        train(network, digits, (Loss(), sgd, settings), tmp_path / name)
    one, four = (weights(tmp_path / name)["module.linear_1.weight"] for name in ("one", "four"))

    torch.testing.assert_close(one, four, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("stop_after", [3, 5, 9])
def test_a_step_of_several_batches_that_was_cancelled_is_taken_again_bit_for_bit(few_digits, tmp_path, stop_after):
    plan = Loss(), Optimizer(learning_rate=0.01), FitSettings(epochs=3, batch_size=16, accumulate=2, device="cpu")
    for name in ("whole", "cancelled"):  # running statistics and dropout have gone on by a batch, the weights have not
        network = draw_classifier(dropout=0.3)
        if name == "cancelled":
            train(network, few_digits, plan, tmp_path / name, stop_after)
        train(network, few_digits, plan, tmp_path / name)

    assert_same(weights(tmp_path / "whole"), weights(tmp_path / "cancelled"))


def test_steps_early_stopping_and_regression(table, tmp_path):
    x = nn.input_tensor(nn.Input("features", (3,)))
    network = nn.build_network((nn.apply(nn.Linear(1), x),))
    loss, optimizer = (
        Loss("mean squared error"),
        Optimizer("SGD", learning_rate=0.1, schedule="constant", weight_decay=0.0),
    )
    run = train(
        network, table, (loss, optimizer, FitSettings(max_steps=7, batch_size=20, device="cpu")), tmp_path / "steps"
    )
    assert run.history[-1].step == 7

    settings = FitSettings(epochs=200, batch_size=20, metric="RMSE", patience=3, device="cpu")
    run = train(network, table, (loss, optimizer, settings), tmp_path / "early")
    assert run.state == "stopped early"
    assert len(run.history) - run.best_epoch == 3
    assert evaluate(run.network(), table).scores["R2"] > 0.99


@pytest.mark.parametrize("task", ["classification", "regression"])
def test_every_metric_can_choose_the_best(few_digits, table, network, tmp_path, task):
    line = nn.build_network((nn.apply(nn.Linear(1), nn.input_tensor(nn.Input("features", (3,)))),))
    subject = (network, few_digits, Loss()) if task == "classification" else (line, table, Loss("huber"))
    for metric in ("loss", *METRICS[task]):
        settings = FitSettings(epochs=1, batch_size=20, metric=metric, device="cpu")
        run = train(*subject[:2], (subject[2], Optimizer(), settings), tmp_path / metric)
        assert run.history[0].metric is not None


def test_a_loss_that_is_no_number_stops_and_keeps_the_last_good_state(network, few_digits, tmp_path):
    plan = (
        Loss(),
        Optimizer("SGD", learning_rate=100.0, schedule="constant"),
        FitSettings(epochs=50, batch_size=16, device="cpu"),
    )
    with pytest.raises(
        InputError, match=r"infinite or no number at step \d+, with learning rate 100; lower learning_rate \(try 10\)"
    ) as caught:
        train(network, few_digits, plan, tmp_path)

    assert "\n" not in str(caught.value)
    if (tmp_path / "last.safetensors").exists():
        assert all(value.isfinite().all() for key, value in weights(tmp_path).items() if key.startswith("module"))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"epochs": 0}, "epochs is 0"),
        ({"batch_size": 91}, "batch_size is 91, but dataset few has 90 training samples; choose at most 90"),
        ({"batch_size": 0}, "batch_size is 0"),
        ({"max_steps": -1}, "max_steps is -1; choose at least 0"),
        ({"patience": -1}, "patience is -1"),
        ({"metric": "RMSE"}, "does not suit classification"),
    ],
)
def test_settings_that_cannot_train(network, few_digits, plan, tmp_path, change, words):
    with pytest.raises(InputError, match=words):
        train(network, few_digits, (*plan[:2], replace(plan[2], **change)), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_single_number_of_the_weights_counts_in_the_key(network, few_digits, plan):
    changed = replace(network, module=copy.deepcopy(network.module))
    changed.module.register_buffer("scale", torch.tensor(1.0))
    other = replace(network, module=copy.deepcopy(changed.module))
    other.module.scale.fill_(2.0)
    assert run_key(changed, few_digits, *plan) != run_key(other, few_digits, *plan)
    assert run_key(other, few_digits, *plan) == run_key(other, few_digits, *plan)


def test_a_network_without_anything_to_train(few_digits, plan, tmp_path):
    x = nn.input_tensor(nn.Input("image", (1, 8, 8)))
    network = nn.build_network((nn.apply(nn.View(), x),))
    with pytest.raises(InputError, match="nothing in network can be trained"):
        train(network, few_digits, plan, tmp_path)


def test_warnings_are_part_of_the_run(few_digits, plan, tmp_path):
    x = nn.input_tensor(nn.Input("image", (1, 8, 8)))
    last = nn.apply(nn.Activation("Softmax"), nn.apply(nn.Linear(10), nn.apply(nn.View(), x)))
    splits = {"train": few_digits.splits["train"]}
    run = train(nn.build_network((last,)), replace(few_digits, splits=splits), plan, tmp_path)

    assert [warning.split(" ")[1] for warning in run.warnings] == ["network", "few"]
    assert run.history[0].val_loss is None


def test_a_full_disk_is_told_and_leaves_no_half_file(network, few_digits, plan, tmp_path, monkeypatch):
    def full(*args, **kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("visionsmith.training.checkpoint.save_file", full)
    with pytest.raises(InputError, match="disk is full"):
        train(network, few_digits, plan, tmp_path)
    assert not [file for file in tmp_path.iterdir() if file.name.startswith(".")]


def test_a_run_is_readable_from_its_folder_alone(network, few_digits, plan, tmp_path):
    train(network, few_digits, plan, tmp_path)
    settings = json.loads((tmp_path / "settings.json").read_text())

    assert settings["optimizer"]["learning_rate"] == 0.01
    assert "Rotate" in settings["transforms"][1]
    with pytest.raises(InputError, match="holds no run"):
        Run.load(tmp_path / "nowhere")


def test_training_lets_go_within_a_second(network, digits, plan, tmp_path):
    steps = fit(network, digits, *plan, tmp_path)
    for _ in range(5):
        next(steps)
    began = time.monotonic()
    steps.close()

    assert time.monotonic() - began < 1
    assert Run.load(tmp_path).state == "running"


def test_data_with_one_class_order_trains_networks_that_know_it(network, few_digits, plan, tmp_path):
    run = train(network, few_digits, plan, tmp_path)
    turned = replace(few_digits, classes=few_digits.classes[::-1])
    with pytest.raises(InputError, match="the network knows the classes 0, 1, 2"):
        evaluate(run.network(), turned)
    other = sources.from_images(torch.rand(4, 8, 8, 3), ["a", "b", "a", "b"])
    with pytest.raises(InputError, match="but dataset images has a, b"):
        evaluate(run.network(), other, "train")


def test_the_last_step_of_an_epoch_divides_by_the_batches_it_has():
    from visionsmith.training.fit import _group

    assert [_group(batch, 7, 3) for batch in range(7)] == [3, 3, 3, 3, 3, 3, 1]
    assert [_group(batch, 4, 1) for batch in range(4)] == [1] * 4


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_device_that_is_not_there_is_told(network, few_digits):
    from visionsmith.nn_layers import InputError
    from visionsmith.training.settings import check

    with pytest.raises(InputError, match="device is cuda, which torch does not find"):
        check(network, few_digits, Loss(), Optimizer(), FitSettings(device="cuda"))
