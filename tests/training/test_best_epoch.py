"""Which epoch is the best: by one metric, by the mean of several, and where it cannot be measured."""

import math
import sys
from dataclasses import replace

import pytest
import torch
from visionsmith.nn_layers import InputError
from visionsmith.training import FitSettings, Loss, Optimizer, Run, evaluate, fit, transforms
from visionsmith.training.dataset import stratified_split
from visionsmith.training.metrics import better
from visionsmith.training.settings import check

from .conftest import draw_classifier

loop = sys.modules["visionsmith.training.fit"]
SHORT = FitSettings(epochs=3, batch_size=45, device="cpu")
PLAN = Loss(), Optimizer(learning_rate=0.01)


def train(dataset, settings, folder):
    for _ in fit(draw_classifier(dropout=0.0), dataset, *PLAN, settings, folder):
        pass
    return Run.load(folder)


def test_of_equal_means_the_later_epoch_is_better():
    assert better("mAcc + mIoU", 0.5, 0.5) and not better("mAcc + mIoU", 0.49, 0.5)
    assert not better("mIoU", 0.5, 0.5) and better("loss", 0.1, 0.2)


def test_the_mean_of_several_metrics_chooses_the_epoch(few_digits, tmp_path):
    run = train(few_digits, replace(SHORT, metric="accuracy + macro F1"), tmp_path)
    best = run.history[run.best_epoch - 1]
    scores = evaluate(run.network(), few_digits, "val").scores

    assert best.metric == pytest.approx((scores["accuracy"] + scores["macro F1"]) / 2)
    assert best.metric == max(epoch.metric for epoch in run.history)
    with pytest.raises(InputError, match="metric 'accuracy \\+ mIoU' does not suit classification; choose one of loss"):
        train(few_digits, replace(SHORT, metric="accuracy + mIoU"), tmp_path / "no")


def test_a_metric_without_a_number_keeps_the_last_epoch_and_says_so(few_digits, tmp_path, monkeypatch):
    monkeypatch.setattr(loop, "_metric", lambda scores, metric: math.nan)
    run = train(few_digits, replace(SHORT, metric="accuracy"), tmp_path)

    assert run.best_epoch == 3
    assert run.warnings[-1].startswith("accuracy could not be measured in any epoch, so that the last one's weights")
    untrained = draw_classifier(dropout=0.0).module.state_dict()["conv_1.weight"]
    assert not torch.equal(run.network().module.state_dict()["conv_1.weight"], untrained)


def test_looking_at_pictures_for_their_mean_can_be_watched_and_stopped(few_digits, tmp_path, monkeypatch):
    monkeypatch.setattr("visionsmith.training.loader.TOLD_PIXELS", 64 * 10)
    steps = fit(draw_classifier(), few_digits, *PLAN, SHORT, tmp_path)
    assert [next(steps).stage for _ in range(10)] == ["start"] * 9 + ["train"]
    steps.close()

    seen = []

    def stop(done, count):
        seen.append((done, count))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        evaluate(draw_classifier(), few_digits, "val", on_batch=stop)
    assert seen == [(10, 90)]


def test_a_size_that_nothing_looks_at_is_pointed_out(few_digits):
    def warned(*added):
        return check(draw_classifier(), few_digits.with_transforms(*added), *PLAN, SHORT)

    assert "Resize says 32 × 16, but pictures become 8 × 8" in warned(transforms.Resize(32, 16))[0]
    assert not warned(transforms.Resize(8, 8))
    assert not warned(transforms.Resize(16, 16), transforms.RandomCrop(8, 8))


@pytest.mark.parametrize(("count", "expected"), [(3, [1, 1, 1]), (2, [2, 0, 0]), (5, [3, 1, 1]), (100, [70, 15, 15])])
def test_every_split_gets_some_of_a_class_that_has_enough(count, expected):
    targets = torch.cat((torch.zeros(count, dtype=torch.long), torch.ones(20, dtype=torch.long)))
    split = stratified_split(targets, {"train": 0.7, "val": 0.15, "test": 0.15}, seed=0)
    of_class = [sum(int(targets[i]) == 0 for i in split[name]) for name in ("train", "val", "test")]
    assert of_class == expected
