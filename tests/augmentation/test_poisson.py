"""Seamless cloning against the equations solved densely."""

import numpy as np
from visionsmith.augmentation.poisson import seamless


def dense(source, target, domain):
    """The same by a full matrix, pixel by pixel."""
    places = list(zip(*np.nonzero(domain), strict=True))
    number = {place: i for i, place in enumerate(places)}
    matrix, known = np.zeros((len(places), len(places))), np.zeros(len(places))
    for i, (y, x) in enumerate(places):
        for there in ((y - 1, x), (y + 1, x), (y, x - 1), (y, x + 1)):
            if 0 <= there[0] < domain.shape[0] and 0 <= there[1] < domain.shape[1]:
                matrix[i, i] += 1
                if there in number:
                    matrix[i, number[there]] -= 1
                else:
                    known[i] += target[there] - source[there]
    result = target.copy()
    result[domain] = source[domain] + np.linalg.solve(matrix, known)
    return result


def test_it_solves_poissons_equation():
    random = np.random.default_rng(0)
    source, target = (random.random((24, 30)).astype(np.float32) for _ in range(2))
    domain = random.random((24, 30)) > 0.3
    domain[:3] = True  # reaches the window's border
    expected = dense(source, target, domain)
    found = seamless(source[..., None], target[..., None], domain)[..., 0]
    assert np.abs(found - expected).max() < 1 / 255
    assert (found[~domain] == target[~domain]).all()


def test_a_constant_difference_vanishes_and_grain_stays():
    random = np.random.default_rng(1)
    target = random.random((40, 40, 3)).astype(np.float32)
    domain = np.zeros((40, 40), bool)
    domain[8:30, 5:33] = True
    found = seamless(target + np.float32([0.3, -0.2, 0.1]), target, domain)
    assert np.abs(found - target).max() < 1e-3


def test_nothing_and_everything():
    source, target = np.zeros((5, 6, 1), np.float32), np.ones((5, 6, 1), np.float32)
    assert (seamless(source, target, np.zeros((5, 6), bool)) == 1).all()
    assert (seamless(source, target, np.ones((5, 6), bool)) == 0).all()
