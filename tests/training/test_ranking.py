"""Choosing the best result and the best augmented dataset, with the reference's own figures."""

import math

import pytest
from visionsmith.nn_layers import InputError
from visionsmith.training.ranking import default_metrics, find_best, lower_is_better, select_augmentation

METRICS = ("attached IoU", "attached Acc", "broken IoU", "broken Acc", "mIoU", "mAcc")
# Table 4 ("Comparison of augmented datasets using different defect types", Fast-SCNN, per cent) of the README of
# github.com/kevin20012/Improving-Segmentation-Using-Augmentation-Data-Made-by-SDXL.
PUBLISHED = {
    "original": (30.04, 34.39, 22.21, 37.02, 26.125, 35.705),
    "blistering": (45.2, 73.98, 21.42, 49.18, 33.31, 61.58),
    "corrosion": (28, 73.7, 23.65, 44.91, 25.825, 59.305),
    "dent": (46.81, 70.06, 22.96, 37, 34.885, 53.53),
    "peeling": (36.94, 78.25, 23.58, 38.8, 30.26, 58.525),
    "rust": (40.07, 51.4, 23.34, 39.95, 31.705, 45.675),
    "scratch": (27.3, 79.21, 22.57, 40.47, 24.935, 59.84),
}


def table_of(figures, metrics=METRICS):
    return {name: dict(zip(metrics, values, strict=True)) for name, values in figures.items()}


def test_the_published_table_selects_peeling():
    found = select_augmentation(table_of(PUBLISHED))

    assert found.chosen == "peeling"
    assert set(found.dropped) == {"blistering", "corrosion", "scratch"}
    assert found.dropped["blistering"] == "broken IoU"
    assert found.first_places == {"dent": 2, "peeling": 3, "rust": 1}
    assert found.rank_sums == {"dent": 12, "peeling": 11, "rust": 13}


def test_without_a_tolerance_dent_is_dropped_for_its_two_hundredths():
    found = select_augmentation(table_of(PUBLISHED), tolerance=0)
    assert found.dropped["dent"] == "broken Acc"


def test_equal_first_places_are_decided_by_the_sum_of_ranks():
    made_up = {"original": (0, 0, 0, 0), "a": (9, 1, 9, 1), "b": (1, 9, 2, 9), "c": (2, 2, 1, 2)}
    found = select_augmentation(table_of(made_up, "wxyz"))
    assert found.first_places == {"a": 2, "b": 2, "c": 0}
    assert found.rank_sums == {"a": 8, "b": 7, "c": 9}
    assert found.chosen == "b"


def test_where_everything_is_worse_or_no_number_the_original_stays():
    made_up = {"original": (0.5, 1.0), "a": (0.6, 1.1), "b": (math.nan, 0.9)}
    found = select_augmentation(table_of(made_up, ("accuracy", "loss")))
    assert found.chosen == "original"
    assert found.dropped == {"a": "loss", "b": "accuracy"}


def test_a_table_that_cannot_be_compared_is_refused():
    with pytest.raises(InputError, match="there are 1 datasets"):
        select_augmentation({"original": {"mIoU": 1.0}})
    with pytest.raises(InputError, match="dataset a has no mAcc"):
        select_augmentation({"original": {"mIoU": 1.0, "mAcc": 1.0}, "a": {"mIoU": 1.0}})


def test_the_best_has_the_highest_mean_and_of_equals_the_later_is_taken():
    rows = [
        {"aAcc": 0.9, "mAcc": 0.5, "mIoU": 0.2},
        {"aAcc": 0.8, "mAcc": 0.5, "mIoU": 0.3},
        {"aAcc": 0.9, "mAcc": 0.5, "mIoU": 0.2},
        {},
    ]
    assert find_best(rows, ("aAcc", "mAcc", "mIoU")) == 2
    assert find_best(rows, ("mAcc", "mIoU")) == 1
    assert find_best([{"loss": 2.0}, {"loss": 1.0}, {"loss": math.nan}], ("loss",)) == 1
    with pytest.raises(InputError, match=r"by is F1, .* are: aAcc, mAcc, mIoU\."):
        find_best(rows, ("F1",))


def test_what_is_better_and_what_to_choose_by():
    assert all(map(lower_is_better, ("loss", "MAE", "RMSE", "false alarms per picture")))
    assert not any(map(lower_is_better, ("mIoU", "accuracy", "R2", "IoU of glossy paint loss")))
    assert lower_is_better("false alarms of crack")
    assert default_metrics(["loss", "aAcc", "mIoU", "mAcc"]) == ("mIoU", "mAcc")
    assert default_metrics(["loss", "accuracy", "macro F1"]) == ("accuracy",)
    assert default_metrics(["loss", "RMSE"]) == ("RMSE",)
