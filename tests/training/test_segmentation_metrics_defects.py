"""Metrics of whole defects on pictures that can be checked by eye, and against plain loops."""

import math

import numpy as np
import pytest
import torch
from visionsmith.training.defect_metrics import STRIP, DefectCounter, TolerantF1


def picture(text):
    """A map of class numbers; "." is 0 and "x" is ignored."""
    rows = text.split()
    return torch.tensor([[0 if c == "." else 255 if c == "x" else int(c) for c in row] for row in rows])


TRUTH = picture("""
    11......2
    11......2
    ..1.....2
    ........2
    .....1..2
""")
PREDICTED = picture("""
    .1.......
    .........
    .........
    1.......2
    1..22...2
""")


def counted(truth, predicted, **settings):
    counter = DefectCounter(3, **settings)
    counter.update(truth, predicted)
    return counter.result()


def test_defects_found_and_false_alarms():
    found = counted(TRUTH, PREDICTED)

    assert found.defects.tolist() == [0, 2, 1]  # the third pixel of class 1 touches the square at a corner
    assert found.found.tolist() == [0, 1, 1]
    assert found.false_alarms.tolist() == [0, 1, 1]
    assert found.recall == pytest.approx(2 / 3)
    assert found.false_alarms_per_picture == 2
    assert found.recall_by_class[1:].tolist() == [0.5, 1.0]
    assert found.recall_by_class[0].isnan()


@pytest.mark.parametrize(
    ("share", "found"), [(0.0, [1, 1]), (0.2, [1, 1]), (0.3, [0, 1]), (0.4, [0, 1]), (0.41, [0, 0])]
)
def test_share_of_a_defect_that_must_be_predicted(share, found):
    """One of 5 pixels of the square and its corner, and 2 of 5 of the line."""
    assert counted(TRUTH, PREDICTED, min_overlap=share).found[1:].tolist() == found


def test_specks_do_not_count():
    found = counted(TRUTH, PREDICTED, min_area=3)

    assert found.defects.tolist() == [0, 1, 1]
    assert found.false_alarms.tolist() == [0, 0, 0]


def test_a_prediction_on_a_true_speck_is_no_false_alarm():
    found = counted(picture("1...."), picture("111.."), min_area=2)

    assert (found.defects[1], found.false_alarms[1]) == (0, 0)


def test_the_wrong_class_is_a_miss_and_a_false_alarm():
    found = counted(picture(".11."), picture(".22."))

    assert found.recall == 0
    assert found.false_alarms.tolist() == [0, 0, 1]


def test_one_prediction_may_find_two_defects():
    found = counted(picture("1..1"), picture("1111"))

    assert (found.found[1], found.false_alarms[1]) == (2, 0)


def test_pieces_in_ignored_areas_do_not_count_and_are_not_cut_by_them():
    found = counted(picture("1x... xxxx. ..... ..xx."), picture("11111 ..... ..... ..11."))

    assert found.found[1] == 1
    assert found.false_alarms[1] == 0
    assert counted(picture("..xx."), picture("..111")).false_alarms[1] == 1
    assert counted(picture("..xx."), picture("..111"), min_area=2).false_alarms[1] == 0


def test_counts_add_up_over_pictures():
    counter = DefectCounter(3)
    for truth, predicted in (
        (TRUTH, PREDICTED),
        (torch.zeros_like(TRUTH), PREDICTED),
        (TRUTH, torch.zeros_like(TRUTH)),
    ):
        counter.update(truth.to(torch.uint8), predicted.to(torch.uint8))

    assert counter.result().pictures == 3
    assert counter.result().recall == pytest.approx(2 / 6)
    assert counter.result().false_alarms_per_picture == pytest.approx((2 + 4) / 3)


def test_no_defects_and_no_pictures_are_no_numbers():
    counter = DefectCounter(2)
    assert math.isnan(counter.result().false_alarms_per_picture)
    counter.update(torch.zeros(4, 4, dtype=torch.int64), torch.zeros(4, 4, dtype=torch.int64))

    assert math.isnan(counter.result().recall)
    assert counter.result().false_alarms_per_picture == 0


def test_defects_are_those_of_a_plain_flood_fill():
    generator = torch.Generator().manual_seed(0)
    truth, predicted = ((torch.rand(40, 50, generator=generator) < 0.2).long() for _ in range(2))
    truth[torch.rand(40, 50, generator=generator) < 0.05] = 255
    true, guessed = pieces(truth == 1), pieces(predicted == 1)
    valid = {tuple(at) for at in (truth != 255).nonzero().tolist()}
    hits, trues = ({tuple(at) for at in (m == 1).nonzero().tolist()} for m in (predicted, truth))

    found = counted(truth, predicted, min_overlap=0.3)
    assert found.defects[1] == len(true)
    assert found.found[1] == sum(len(piece & hits) >= max(1, 0.3 * len(piece)) for piece in true)
    assert found.false_alarms[1] == sum(bool(piece & valid) and not piece & trues for piece in guessed)


def pieces(mask):
    """Sets of connected pixels, corners included."""
    left, found = {tuple(at) for at in mask.nonzero().tolist()}, []
    while left:
        edge, piece = [left.pop()], set()
        while edge:
            row, column = edge.pop()
            piece.add((row, column))
            near = {(row + i, column + j) for i in (-1, 0, 1) for j in (-1, 0, 1)} & left
            left -= near
            edge += near
        found.append(piece)
    return found


def near_by_hand(pixels, others, tolerance):
    others = others.nonzero().tolist()
    return sum(any(math.dist(at, other) <= tolerance for other in others) for at in pixels.nonzero().tolist())


@pytest.mark.parametrize("tolerance", [0, 1, 1.5, 2, 3])
@pytest.mark.parametrize("seed", range(3))
def test_tolerant_f1_is_that_of_a_plain_loop(tolerance, seed, monkeypatch):
    monkeypatch.setattr("visionsmith.training.defect_metrics.STRIP", 7)  # many strips in a small picture
    generator = torch.Generator().manual_seed(seed)
    truth, predicted = ((torch.rand(24, 31, generator=generator) < 0.03).long() for _ in range(2))
    truth += 2 * (torch.rand(24, 31, generator=generator) < 0.02) * (truth == 0)
    truth[torch.rand(24, 31, generator=generator) < 0.1] = 255
    score = TolerantF1(3, tolerance)
    score.update(truth, predicted)

    true, guess = truth == 1, (predicted == 1) & (truth != 255)
    precision = near_by_hand(guess, true, tolerance) / int(guess.sum())
    recall = near_by_hand(true, guess, tolerance) / int(true.sum())
    assert score.precision[1] == pytest.approx(precision)
    assert score.recall[1] == pytest.approx(recall)
    assert score.result()[1] == pytest.approx(2 * precision * recall / max(1e-9, precision + recall))
    assert score.result()[2] == 0
    assert score.result()[0].isnan()
    assert score.mean() == pytest.approx(float(score.result()[1]) / 2)


def test_without_tolerance_it_is_dice():
    generator = torch.Generator().manual_seed(1)
    truth, predicted = ((torch.rand(50, 50, generator=generator) < 0.3).long() for _ in range(2))
    score = TolerantF1(2, 0)
    score.update(truth, predicted)

    assert score.mean() == pytest.approx(2 * int((truth & predicted).sum()) / int(truth.sum() + predicted.sum()))


def test_tolerant_f1_counts_over_the_split():
    """Two pictures together are not the mean of both."""
    line, far = torch.zeros(9, 40, dtype=torch.int64), torch.zeros(9, 40, dtype=torch.int64)
    line[4], far[0, :4] = 1, 1
    score = TolerantF1(2)
    score.update(line, line.roll(2, 0))
    score.update(far, torch.zeros_like(far))

    assert score.mean() == pytest.approx(2 * 1 * (40 / 44) / (1 + 40 / 44))
    score.update(torch.zeros_like(far), line)
    assert score.precision[1] == 0.5
    assert math.isnan(TolerantF1(2).mean())


def test_a_line_across_strips_is_seen_whole():
    truth = torch.zeros(STRIP + 40, 5, dtype=torch.int64)
    predicted = torch.zeros_like(truth)
    truth[STRIP - 2], predicted[STRIP] = 1, 1
    score = TolerantF1(2, 2)
    score.update(truth, predicted)

    assert score.mean() == 1
    assert np.isclose(float(score.recall[1]), 1)
