"""Trials on a Ray cluster: they all end, also where a worker is killed, and whoever watches can stop them."""

import json
import os
import signal
import time

import pytest
from visionsmith.nn_layers import InputError
from visionsmith.training import FitSettings, Loss, Optimizer, cluster
from visionsmith.training.cluster import Cluster
from visionsmith.training.experiment import Experiment, run_experiment

from .conftest import draw_classifier

TWO = Cluster("local", cpus=1, workers=2)
EPOCHS = 150  # long enough to be caught at training, once a second


@pytest.fixture
def six(few_digits):
    """Six trials of some seconds each."""
    return Experiment(
        "digits", "six", {"a": draw_classifier(), "b": draw_classifier(dropout=0.1)}, {"few": few_digits}, {"ce": Loss()},
        Optimizer(learning_rate=0.01), FitSettings(epochs=EPOCHS, batch_size=16, metric="accuracy", device="cpu"), seeds=(0, 1, 2),
    )  # fmt: skip


@pytest.mark.slow  # starts a Ray cluster and six trainings on it
def test_a_killed_worker_costs_no_trial(six, tmp_path):
    pytest.importorskip("ray", reason="ray (the extra cluster) is not installed")
    killed = []

    def kill_once(progress):
        """Kill the worker of a trial that is being trained, once two have finished."""
        file = six.folder(tmp_path) / progress.trial.folder / "running.json"
        if not killed and progress.finished >= 2 and progress.stage == "train" and file.is_file():
            process = json.loads(file.read_text())["process"]
            assert process != os.getpid()
            os.kill(process, signal.SIGKILL)
            killed.append((progress.trial.folder, process))

    results = run_experiment(six, tmp_path, kill_once, TWO)

    assert len(killed) == 1
    assert len(results.rows) == 6 and not results.failed
    assert [row.seed for row in results.rows] == [0, 1, 2, 0, 1, 2]
    assert all(row.epochs == EPOCHS for row in results.rows)
    assert (six.folder(tmp_path) / "results.png").is_file()
    assert not list(six.folder(tmp_path).glob("*/running.json"))
    stages = []
    assert run_experiment(six, tmp_path, lambda p: stages.append(p.stage)) == results  # read, not trained again
    assert "train" not in stages


@pytest.mark.slow  # starts a Ray cluster
def test_whoever_watches_can_stop_and_what_was_trained_is_kept(six, tmp_path):
    ray = pytest.importorskip("ray", reason="ray (the extra cluster) is not installed")

    class CancelError(Exception):
        pass

    def stop(progress):
        if progress.stage == "train" and progress.share > 0.1:
            raise CancelError

    began = time.monotonic()
    with pytest.raises(CancelError):
        run_experiment(six, tmp_path, stop, TWO)
    assert time.monotonic() - began < 120
    assert not ray.is_initialized()
    assert list(six.folder(tmp_path).glob("*/train/last.safetensors"))
    assert not list(six.folder(tmp_path).glob("*/running.json"))


def test_without_ray_it_says_what_to_install(six, tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "ray", None)
    with pytest.raises(
        InputError, match=r"needs the package ray; install it with: pip install 'visionsmith\[cluster\]'"
    ):
        cluster._connect(TWO)
