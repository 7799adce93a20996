"""Metrics by pixel against torchmetrics and scikit-learn."""

import math

import numpy as np
import pytest
import torch
import torchmetrics.functional as tm
from sklearn import metrics as sk
from torchmetrics.functional.segmentation import dice_score
from visionsmith.training.segmentation_metrics import (
    PrecisionRecall,
    pixel_confusion,
    pixel_scores,
    segmentation_scores,
)


def maps(seed=0, classes=4, shape=(3, 20, 30), ignored=0.1):
    """Truth and a prediction that is right about half the time."""
    generator = torch.Generator().manual_seed(seed)
    truth, other = (torch.randint(0, classes, shape, generator=generator) for _ in range(2))
    predicted = torch.where(torch.rand(shape, generator=generator) < 0.5, truth, other)
    return truth.masked_fill(torch.rand(shape, generator=generator) < ignored, 255), predicted


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int32, torch.int64])
@pytest.mark.parametrize("classes", [2, 4, 15, 16, 40, 181, 250])
def test_confusion_is_that_of_scikit_learn_for_every_type(dtype, classes):
    truth, predicted = maps(classes=classes)
    valid = truth != 255
    theirs = sk.confusion_matrix(truth[valid], predicted[valid], labels=range(classes))
    ours = pixel_confusion(truth.to(dtype), predicted.to(dtype), classes)

    assert ours.dtype == torch.int64
    assert np.array_equal(ours, theirs)
    assert torch.equal(ours, tm.confusion_matrix(predicted, truth, "multiclass", num_classes=classes, ignore_index=255))


def test_whole_split_and_its_parts_give_the_same():
    truth, predicted = maps(shape=(8, 11, 13))
    parts = sum(pixel_confusion(t, p, 4) for t, p in zip(truth, predicted, strict=True))

    assert torch.equal(parts, pixel_confusion(truth, predicted, 4))


def test_pixels_that_are_ignored_may_be_predicted_as_anything():
    truth, predicted = maps()
    assert torch.equal(
        pixel_confusion(truth, predicted, 4), pixel_confusion(truth, predicted.masked_fill(truth == 255, 200), 4)
    )
    assert not pixel_confusion(torch.full((5, 5), 255), torch.zeros(5, 5, dtype=torch.int64), 3).any()
    assert not pixel_confusion(torch.zeros(0, 5, dtype=torch.uint8), torch.zeros(0, 5, dtype=torch.uint8), 3).any()
    assert torch.equal(
        pixel_confusion(torch.tensor([0, 9]), torch.tensor([1, 1]), 2, ignore=9), torch.tensor([[0, 1], [0, 0]])
    )


@pytest.mark.parametrize(
    ("truth", "predicted", "words"),
    [
        ([3], [0], "Expected truth to have class numbers below 3, but got 3"),
        ([0], [-1], "predicted .* got -1"),
        ([0], [0, 1], "one shape"),
    ],
)
def test_class_numbers_out_of_range_are_refused_not_miscounted(truth, predicted, words):
    with pytest.raises(ValueError, match=words):
        pixel_confusion(torch.tensor(truth), torch.tensor(predicted), 3)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("ignored", [0.0, 0.3])
def test_scores_are_those_of_torchmetrics_and_scikit_learn(seed, ignored):
    truth, predicted = maps(seed, ignored=ignored)
    valid = truth != 255
    t, p = truth[valid], predicted[valid]
    found, means = (
        pixel_scores(pixel_confusion(truth, predicted, 4)),
        segmentation_scores(pixel_confusion(truth, predicted, 4)),
    )
    settings = {"task": "multiclass", "num_classes": 4, "ignore_index": 255}
    precision, recall, f1, count = sk.precision_recall_fscore_support(t, p, labels=range(4))

    for ours, theirs in (
        (found.iou, tm.jaccard_index(predicted, truth, average="none", **settings)),
        (found.iou, sk.jaccard_score(t, p, labels=range(4), average=None)),
        (found.accuracy, tm.accuracy(predicted, truth, average="none", **settings)),
        (found.accuracy, recall),
        (found.precision, precision),
        (found.dice, f1),
        (found.dice, dice_score(p[None], t[None], 4, average="none", input_format="index")[0]),
        (found.count, count),
        (means["mIoU"], tm.jaccard_index(predicted, truth, average="macro", **settings)),
        (means["mAcc"], tm.accuracy(predicted, truth, average="macro", **settings)),
        (means["mDice"], tm.f1_score(predicted, truth, average="macro", **settings)),
        (means["mPrecision"], tm.precision(predicted, truth, average="macro", **settings)),
        (means["aAcc"], tm.accuracy(predicted, truth, average="micro", **settings)),
        (means["mIoU of defects"], sk.jaccard_score(t, p, labels=[1, 2, 3], average="macro")),
        (means["mAcc of defects"], sk.recall_score(t, p, labels=[1, 2, 3], average="macro")),
        (means["mDice of defects"], sk.f1_score(t, p, labels=[1, 2, 3], average="macro")),
        (means["mPrecision of defects"], sk.precision_score(t, p, labels=[1, 2, 3], average="macro")),
    ):
        np.testing.assert_allclose(ours, theirs, atol=1e-6)


def test_the_defect_mean_of_the_reference():
    """IoU 30.04 % and 22.21 % of two defect classes: 26.125 %, the background left out."""
    confusion = torch.tensor([[9_000_000, 0, 0], [6_996, 3_004, 0], [7_779, 0, 2_221]])
    found = pixel_scores(confusion)

    assert found.iou[1:].tolist() == pytest.approx([0.3004, 0.2221])
    assert segmentation_scores(confusion)["mIoU of defects"] == pytest.approx(0.26125)
    assert segmentation_scores(confusion)["mIoU"] == pytest.approx((float(found.iou[0]) + 0.3004 + 0.2221) / 3)


def test_another_background():
    confusion = torch.tensor([[2, 2], [0, 4]])

    assert segmentation_scores(confusion, background=1)["mIoU of defects"] == 0.5
    assert segmentation_scores(confusion)["mIoU of defects"] == pytest.approx(4 / 6)


def test_classes_that_are_nowhere_are_left_out_and_those_only_predicted_or_only_there_are_0():
    truth, predicted = torch.tensor([0, 0, 0, 1]), torch.tensor([0, 0, 2, 0])
    found = pixel_scores(pixel_confusion(truth, predicted, 4))

    for values in (found.iou, found.accuracy, found.precision, found.dice):
        assert values[1:3].tolist() == [0.0, 0.0]
        assert values[3].isnan()
    assert found.averages()["mIoU"] == pytest.approx(0.5 / 3)
    assert found.averages()["mAcc"] == pytest.approx(
        float(tm.accuracy(predicted, truth, "multiclass", num_classes=4, average="macro"))
    )


def test_nothing_to_average_is_no_number():
    clean = segmentation_scores(torch.tensor([[100, 0], [0, 0]]))

    assert clean["mIoU"] == clean["aAcc"] == 1.0
    assert math.isnan(clean["mIoU of defects"])
    assert all(math.isnan(value) for value in segmentation_scores(torch.zeros(2, 2, dtype=torch.int64)).values())


def test_counts_of_a_thousand_million_pixels_are_exact():
    confusion = torch.tensor([[10**9 - 1, 1], [0, 1]])

    assert pixel_scores(confusion).iou[1] == 0.5
    assert pixel_scores(confusion).iou[0] == (10**9 - 1) / 10**9


def scores(seed=0, bins=100, classes=3, shape=(30, 40)):
    """Probabilities in the middle of their bins, those of the true class higher; a tenth of the pixels ignored."""
    generator = torch.Generator().manual_seed(seed)
    truth = torch.randint(0, classes, shape, generator=generator)
    lift = 0.3 * torch.nn.functional.one_hot(truth, classes).movedim(-1, 0)
    steps = ((torch.rand(classes, *shape, generator=generator) * 0.7 + lift) * bins).floor()
    return (steps + 0.5) / bins, truth.masked_fill(torch.rand(shape, generator=generator) < 0.1, 255)


def test_thresholds_give_the_curve_of_scikit_learn():
    probabilities, truth = scores()
    sweep = PrecisionRecall(3, bins=100)
    sweep.update(probabilities, truth)
    curve, valid = sweep.result(), truth != 255

    for c in range(3):
        true, score = truth[valid] == c, probabilities[c][valid]
        precision, recall, thresholds = sk.precision_recall_curve(true, score)
        at = np.floor(thresholds * 100).astype(int)
        np.testing.assert_allclose(curve.precision[c, at], precision[:-1], atol=1e-12)
        np.testing.assert_allclose(curve.recall[c, at], recall[:-1], atol=1e-12)
        assert curve.average_precision[c] == pytest.approx(sk.average_precision_score(true, score), abs=1e-12)
        f1 = 2 * precision * recall / np.maximum(precision + recall, 1e-12)
        assert curve.best_f1[c] == pytest.approx(f1.max(), abs=1e-12)
        assert sk.f1_score(true, score >= curve.best_threshold[c]) == pytest.approx(f1.max(), abs=1e-12)


def test_bands_of_a_picture_count_like_the_whole():
    probabilities, truth = scores()
    whole, bands = PrecisionRecall(3), PrecisionRecall(3)
    whole.update(probabilities, truth)
    for rows in (slice(0, 7), slice(7, 30)):
        bands.update(probabilities[:, rows], truth[rows])

    assert torch.equal(whole.counts, bands.counts)
    assert whole.counts.sum() == 3 * (truth != 255).sum()


def test_a_class_without_true_pixels_has_no_curve_and_clear_scores_a_threshold_in_the_middle():
    truth = torch.tensor([[0, 0, 1, 1]])
    probabilities = torch.tensor([[0.95, 0.95, 0.05, 0.05], [0.05, 0.05, 0.95, 1.0], [0.0, 0.0, 0.0, 0.0]])[:, None]
    sweep = PrecisionRecall(3, bins=1000)
    sweep.update(probabilities, truth)
    curve = sweep.result()

    assert curve.best_threshold[:2].tolist() == pytest.approx([0.5, 0.5], abs=0.01)
    assert curve.best_f1[:2].tolist() == curve.average_precision[:2].tolist() == [1.0, 1.0]
    for values in (curve.average_precision, curve.best_threshold, curve.best_f1, curve.recall[:, 0]):
        assert values[2].isnan()
