"""Choosing among augmented datasets: the rule on val, the report on test, and the words."""

import math

import pytest
from visionsmith.nn_layers import InputError
from visionsmith.training.dataset_choice import choose_dataset
from visionsmith.training.results import Results, Row

CLASSES = ("surface", "crack", "gloss loss")


def row(dataset, seed, val, test=None, classes=None, error="", model="unet"):
    """A trial with mIoU and mAcc of defects on val and test, and IoU of each class on val."""
    by_class = {name: {"IoU": value, "accuracy": value} for name, value in zip(CLASSES, classes or (), strict=False)}
    scores, validation = (
        dict(zip(("loss", "mIoU", "mIoU of defects", "mAcc of defects"), (0.3, 0.9, *values), strict=True))
        if values
        else {}
        for values in (test or val, val)
    )
    return Row(model, dataset, "dice", seed, scores, validation, by_class, folder=f"{dataset}-{seed}", error=error, validation_classes=by_class)  # fmt: skip


def results(*rows):
    return Results("experiments", "comparison", "test", rows)


def grid(seeds=(0, 1)):
    """Poisson wins on val and helps on test; scars lose some mAcc."""
    figures = {"tiles": (0.40, 0.60), "poisson": (0.46, 0.66), "scar": (0.50, 0.59)}
    tests = {"tiles": (0.38, 0.55), "poisson": (0.45, 0.60), "scar": (0.30, 0.40)}
    return [
        row(name, seed, tuple(v + 0.01 * seed for v in val), tuple(v - 0.01 * seed for v in tests[name]))
        for name, val in figures.items()
        for seed in seeds
    ]


def test_the_rule_chooses_on_val_and_reports_on_test():
    found = choose_dataset(results(*grid()))

    assert (found.original, found.chosen, found.on, found.tested, found.seeds) == (
        "tiles",
        "poisson",
        "val",
        "test",
        (0, 1),
    )
    assert found.selection.dropped == {"scar": "mAcc of defects"}
    assert found.best.dataset == "poisson" and found.best.seed == 1
    words = found.sentence()
    assert words.startswith(
        "Keep poisson: on val none of its figures is more than 0.02 points below tiles, and it is the only one"
    )
    assert (
        "On test, its mIoU of defects is 44.50 ± 0.71 % where tiles has 37.50 ± 0.71 %: +7.00 ± 0.00 points over 2 seeds."
        in words
    )
    table = found.table()
    assert "46.50 ± 0.71" in table and "<- keep" in table and "dropped: mAcc of defects is 1.00 lower" in table
    assert found.picture().width > 400


def test_first_places_decide_and_single_classes_count():
    rows = [
        row("tiles", 0, (0.4, 0.5), classes=(0.9, 0.3, 0.5)),
        row("a", 0, (0.45, 0.6), classes=(0.9, 0.4, 0.5)),
        row("b", 0, (0.5, 0.7), classes=(0.9, 0.7, 0.3)),
        row("c", 0, (0.46, 0.7), classes=(0.9, 0.5, 0.5)),
    ]
    found = choose_dataset(results(*rows))

    assert list(found.figures["tiles"]) == [
        "IoU of crack", "accuracy of crack", "IoU of gloss loss", "accuracy of gloss loss", "mIoU of defects", "mAcc of defects",
    ]  # fmt: skip
    assert found.selection.dropped == {"b": "IoU of gloss loss"}  # a share, though "loss" is in its name
    assert found.chosen == "c" and "6 of 6 first places (sum of ranks 6)" in found.sentence()
    assert choose_dataset(results(*rows), metrics=("mIoU of defects",)).chosen == "b"
    assert choose_dataset(results(*rows), tolerance=20.0).chosen == "b"


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([row("tiles", 0, (0.5, 0.5)), row("a", 0, (0.4, 0.6))], "Keep tiles as it is: every augmented dataset is worse on val by more than 0.02"),
        ([row("tiles", 0, (0.5, 0.5)), row("a", 0, (0.6, 0.6))], "One seed says little; give Experiment three."),
        ([row(n, s, v, t) for s in (0, 1) for n, v, t in (("tiles", (0.5, 0.5), (0.6, 0.6)), ("a", (0.6, 0.6), (0.5, 0.5)))], "may be chance; take more seeds"),
        ([row(n, s, (v + 0.1, v + 0.1), (v + s * d, 0.5)) for s in (0, 1) for n, v, d in (("tiles", 0.5, 0), ("a", 0.51, 0.2))], "less than the spread over the seeds"),
        ([row("tiles", 0, (), (0.5, 0.5)), row("a", 0, (), (0.6, 0.6))], "these figures are too good; give the datasets a val split"),
        ([row("tiles", 0, (0.001, 0.5)), row("a", 0, (0.0, 0.0))], "Nothing can be chosen: mIoU of defects on val is below 1 % with every dataset"),
    ],
)  # fmt: skip
def test_what_it_says_of_how_far_to_trust_it(rows, words):
    assert words in choose_dataset(results(*rows)).sentence()


def test_only_what_was_trained_with_every_dataset_is_compared():
    rows = [*grid(), row("poisson", 2, (0.9, 0.9)), row("late", 0, (0.4, 0.4), error="it failed")]
    found = choose_dataset(results(*rows), original="poisson")

    assert found.seeds == (0, 1) and found.failed == ("late",) and "late: no training ended well" in found.table()
    assert list(found.figures) == ["poisson", "tiles", "scar"] and found.chosen == "poisson"
    only = [row("tiles", 0, (0.5, 0.5)), row("a", 1, (0.6, 0.6))]
    with pytest.raises(InputError, match="no network, loss and seed was trained with every dataset"):
        choose_dataset(results(*only))


def test_a_class_that_val_does_not_have_does_not_choose():
    rows = [row(name, 0, (0.5, 0.5), classes=(0.9, 0.5, value)) for name, value in (("tiles", 0.0), ("a", math.nan))]
    assert list(choose_dataset(results(*rows)).figures["a"]) == ["mIoU of defects", "mAcc of defects"]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"original": "slates"}, "original is 'slates', which no training ended well with; choose one of tiles, poisson, scar"),
        ({"metrics": ("loss",)}, "metrics names 'loss'; the shares that were measured are mIoU, mIoU of defects"),
        ({"on": "train"}, "split is 'train', which not every training was measured on; choose test"),
    ],
)  # fmt: skip
def test_mistakes_are_told(changes, words):
    with pytest.raises(InputError, match=words):
        choose_dataset(results(*grid()), **changes)
    with pytest.raises(InputError, match="there are 1 datasets"):
        choose_dataset(results(*grid()[:2]))
