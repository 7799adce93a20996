"""The metric of the training split: that of the very outputs that were learned from, by torchmetrics' and scikit-learn's count."""

from contextlib import closing
from dataclasses import dataclass, replace

import pytest
import torch
import torchmetrics.functional as tm
from sklearn import metrics as sk
from visionsmith import nn_layers as nn
from visionsmith.training import FitSettings, Loss, Optimizer, Run, fit, sources, transforms
from visionsmith.training.metrics import METRICS
from visionsmith.training.processes import Team
from visionsmith.training.run import Epoch
from visionsmith.training.segmentation_metrics import pixel_confusion, pixel_scores
from visionsmith.training.train_meter import HELD, TrainMeter, class_counts

from .conftest import draw_classifier
from .segmentation.conftest import small_network, squares_dataset

CPU = torch.device("cpu")
seen: list[tuple[torch.Tensor, torch.Tensor]] = []


class Recorder(torch.nn.Module):
    """A loss that keeps what it is asked about while a network learns."""

    def __init__(self, loss):
        super().__init__()
        self.loss = loss

    def forward(self, outputs, targets):
        if outputs.requires_grad:
            seen.append((outputs.detach().clone(), targets.clone()))
        return self.loss(outputs, targets)


@dataclass(frozen=True)
class RecordedLoss(Loss):
    def build(self):
        return Recorder(super().build())


@pytest.fixture(autouse=True)
def nothing_seen():
    seen.clear()


def trained(network, dataset, folder, loss="cross entropy", stop_after=None, **settings):
    settings = FitSettings(**{"epochs": 2, "batch_size": 16, "device": "cpu", "metric": "auto"} | settings)
    with closing(fit(network, dataset, RecordedLoss(loss), Optimizer(learning_rate=0.01), settings, folder)) as steps:
        for count, _ in enumerate(steps, 1):
            if count == stop_after:
                break
    return Run.load(folder)


def by_epoch(run):
    """Outputs and targets of each epoch, joined."""
    per_epoch = len(seen) // len(run.history)
    parts = [seen[start : start + per_epoch] for start in range(0, len(seen), per_epoch)]
    return [tuple(map(torch.cat, zip(*part, strict=True))) for part in parts]


REFERENCE = {
    "accuracy": sk.accuracy_score,
    "balanced accuracy": sk.balanced_accuracy_score,
    "macro F1": lambda targets, predicted: sk.f1_score(targets, predicted, average="macro"),
}


@pytest.mark.parametrize("metric", METRICS["classification"])
@pytest.mark.parametrize("settings", [{}, {"accumulate": 4}, {"precision": "bf16-mixed"}, {"average": 0.9}])
def test_classes_with_augmentation_and_dropout(few_digits, tmp_path, metric, settings):
    run = trained(draw_classifier(), few_digits, tmp_path, metric=metric, **settings)
    for record, (outputs, targets) in zip(run.history, by_epoch(run), strict=True):
        assert len(targets) == 90
        assert record.train_metric == pytest.approx(REFERENCE[metric](targets, outputs.argmax(1)), abs=1e-6)
    assert run.history[0].train_metric != run.history[0].metric


def test_regression(table, tmp_path):
    line = nn.build_network((nn.apply(nn.Linear(1), nn.input_tensor(nn.Input("features", (3,)))),))
    reference = {"RMSE": sk.root_mean_squared_error, "MAE": sk.mean_absolute_error, "R2": sk.r2_score}
    for metric, score in reference.items():
        seen.clear()
        run = trained(line, table, tmp_path / metric, "mean squared error", metric=metric)
        for record, (outputs, targets) in zip(run.history, by_epoch(run), strict=True):
            assert record.train_metric == pytest.approx(score(targets, outputs), rel=1e-6)


@pytest.mark.parametrize("classes", [2, 1])
def test_masks_with_pixels_that_do_not_count(tmp_path, classes):
    dataset = squares_dataset(6, 2, 2).with_transforms(transforms.Rotate(30, 1.0), transforms.DefectWindow(0.5))
    loss = "dice" if classes == 1 else "cross entropy"
    metric = "mAcc + mIoU"
    run = trained(small_network(size=24, classes=classes), dataset, tmp_path, loss, batch_size=3, metric=metric)
    for record, (outputs, targets) in zip(run.history, by_epoch(run), strict=True):
        predicted = outputs.argmax(1) if classes == 2 else (outputs[:, 0].sigmoid() > 0.5).long()
        assert (targets == 255).any()
        iou = tm.jaccard_index(predicted, targets, "multiclass", num_classes=2, ignore_index=255)
        accuracy = tm.accuracy(predicted, targets, "multiclass", num_classes=2, average="macro", ignore_index=255)
        assert record.train_metric == pytest.approx(float(iou + accuracy) / 2, abs=1e-6)


@pytest.mark.parametrize("stop_after", [2, 3, 5, 9, 11])
@pytest.mark.parametrize("accumulate", [1, 3])
def test_it_goes_on_where_it_was_stopped(few_digits, tmp_path, stop_after, accumulate):
    network = draw_classifier(dropout=0.0)  # which draws anew for batches that are taken again
    whole = trained(network, few_digits, tmp_path / "whole", accumulate=accumulate)
    trained(network, few_digits, tmp_path / "parts", accumulate=accumulate, stop_after=stop_after)
    parts = trained(network, few_digits, tmp_path / "parts", accumulate=accumulate)
    assert [epoch.train_metric for epoch in parts.history] == [epoch.train_metric for epoch in whole.history]


def test_nothing_is_measured_where_there_is_nothing_to_measure(few_digits, tmp_path):
    assert trained(draw_classifier(), few_digits, tmp_path / "loss", metric="loss").history[0].train_metric is None
    mixed = few_digits.with_transforms(transforms.Mixup())
    run = trained(draw_classifier(), mixed, tmp_path / "mixup", metric="accuracy")
    assert run.history[0].train_metric is None and run.history[0].metric is not None


def test_it_is_there_without_a_validation_split_and_chooses_nothing(few_digits, tmp_path):
    alone = replace(few_digits, splits={"train": few_digits.splits["train"]})
    run = trained(draw_classifier(), alone, tmp_path, metric="accuracy", epochs=3)
    losses = [epoch.train_loss for epoch in run.history]
    assert all(epoch.train_metric and epoch.metric is None for epoch in run.history)
    assert run.best_epoch == 1 + losses.index(min(losses))
    table = (tmp_path / "metrics.csv").read_text().splitlines()
    assert table[0].split(",")[-1] == "train_metric" and float(table[1].split(",")[-1]) == run.history[0].train_metric


def test_runs_of_before_are_read():
    old = {"epoch": 1, "step": 6, "train_loss": 1.0, "val_loss": 1.0, "metric": 0.5, "learning_rate": 0.1, "seconds": 1}
    assert Epoch(**old).train_metric is None


def test_counts_equal_those_of_a_confusion_matrix():
    generator = torch.Generator().manual_seed(0)
    targets = torch.randint(0, 5, (3, 20, 30), generator=generator)
    predicted = torch.randint(0, 4, (3, 20, 30), generator=generator)
    targets[0, :5] = 255
    confusion = pixel_confusion(targets, predicted, 5)
    assert torch.equal(class_counts(predicted, targets, 5), torch.stack((confusion.diag(), confusion.sum(0), confusion.sum(1))))  # fmt: skip
    meter = TrainMeter(squares_dataset(2, 1, 1), "mIoU", CPU, Team())
    outputs, masks = torch.randn(2, 2, 8, 8, generator=generator), torch.full((2, 8, 8), 255)
    meter.add(outputs, masks)
    assert meter.score(0.0) is None  # no pixel counts
    masks[:] = 0
    meter.add(outputs, masks)
    truth = pixel_scores(pixel_confusion(masks, outputs.argmax(1), 2)).averages()["mIoU"]
    assert meter.score(0.0) == pytest.approx(truth)


def test_what_waits_to_be_counted_is_bounded():
    meter = TrainMeter(sources.digits(), "accuracy", CPU, Team())
    for _ in range(400):
        meter.add(torch.randn(64, 10), torch.zeros(64, dtype=torch.int64))
        assert meter.held < HELD and len(meter.waiting) <= 1 + HELD // 640
    assert meter.counts[2].sum() == 400 * 64


def test_a_sum_with_the_loss_in_it():
    meter = TrainMeter(sources.digits(), "accuracy + loss", CPU, Team())
    meter.add(torch.eye(10), torch.arange(10))
    assert meter.score(0.25) == pytest.approx((1 - 0.25) / 2)
