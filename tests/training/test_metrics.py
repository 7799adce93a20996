"""Metrics against scikit-learn and torchmetrics."""

import pytest
import torch
import torchmetrics.functional as tm
from sklearn import metrics as sk
from visionsmith.training.metrics import (
    better,
    class_metrics,
    classification_scores,
    confusion_matrix,
    regression_scores,
)

GENERATOR = torch.Generator().manual_seed(0)
TARGETS, PREDICTED = (torch.randint(0, 5, (500,), generator=GENERATOR) for _ in range(2))


def test_classification_equals_scikit_learn_and_torchmetrics():
    matrix = confusion_matrix(TARGETS, PREDICTED, 5)
    found, scores = class_metrics(matrix), classification_scores(matrix)
    precision, recall, f1, count = sk.precision_recall_fscore_support(TARGETS, PREDICTED)

    assert torch.equal(matrix, tm.confusion_matrix(PREDICTED, TARGETS, "multiclass", num_classes=5))
    for ours, theirs in ((found.precision, precision), (found.recall, recall), (found.f1, f1), (found.count, count)):
        torch.testing.assert_close(ours, torch.as_tensor(theirs, dtype=torch.float64))
    assert scores["accuracy"] == pytest.approx(sk.accuracy_score(TARGETS, PREDICTED))
    assert scores["balanced accuracy"] == pytest.approx(sk.balanced_accuracy_score(TARGETS, PREDICTED))
    assert scores["macro F1"] == pytest.approx(sk.f1_score(TARGETS, PREDICTED, average="macro"))


def test_classes_that_are_absent_do_not_count():
    matrix = confusion_matrix(torch.tensor([0, 0, 1]), torch.tensor([0, 0, 1]), 4)

    assert classification_scores(matrix) == {"accuracy": 1.0, "balanced accuracy": 1.0, "macro F1": 1.0}


def test_regression_equals_scikit_learn():
    targets, predicted = (torch.randn(300, 2, generator=GENERATOR) for _ in range(2))
    scores = regression_scores(targets, predicted)

    assert scores["MAE"] == pytest.approx(sk.mean_absolute_error(targets, predicted))
    assert scores["RMSE"] == pytest.approx(sk.mean_squared_error(targets, predicted) ** 0.5)
    assert scores["R2"] == pytest.approx(sk.r2_score(targets, predicted), rel=1e-6)


def test_which_way_is_better():
    assert better("loss", 1.0, None)
    assert better("loss", 1.0, 2.0)
    assert not better("accuracy", 0.5, 0.5)
    assert better("accuracy", 0.6, 0.5)
