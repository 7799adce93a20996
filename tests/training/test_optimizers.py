"""Every optimizer trains, and schedules have the shape that their formulas say."""

import pytest
import torch
from visionsmith.nn_layers import InputError
from visionsmith.training.optimizers import OPTIMIZERS, SCHEDULES, Optimizer


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_optimizer_goes_downhill(name):
    weight = torch.nn.Parameter(torch.tensor([3.0, -2.0]))
    optimizer = Optimizer(name, learning_rate=1.0 if name == "Adadelta" else 0.05, weight_decay=0.0).build([weight])
    for _ in range(60):
        optimizer.zero_grad()
        (weight**2).sum().backward()
        optimizer.step()
    assert (weight**2).sum() < 12.5  # from 13


@pytest.mark.parametrize("name", SCHEDULES)
def test_schedules_start_after_warmup_and_never_exceed_the_rate(name):
    optimizer = Optimizer(learning_rate=0.1, schedule=name, warmup=10, every=2)
    rates = [optimizer.rate(step, 110, 20) for step in range(110)]

    assert max(rates) <= 0.1 + 1e-12
    assert rates[:10] == sorted(rates[:10])
    assert rates[0] <= 0.1 / 11 + 1e-12
    assert rates[-1] <= rates[40] or name == "constant"


def test_poly_is_the_formula():
    optimizer = Optimizer(learning_rate=1.0, schedule="poly", power=0.9, final=0.0)

    assert optimizer.rate(50, 200, 10) == pytest.approx((1 - 50 / 200) ** 0.9)


@pytest.mark.parametrize("power", [0.9, 1.0, 2.0])
def test_poly_is_torchs_and_stays_at_its_end(power):
    ours = Optimizer(learning_rate=0.01, schedule="poly", power=power, end=80)
    theirs = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], 0.01)
    schedule = torch.optim.lr_scheduler.PolynomialLR(theirs, 80, power)
    for step in range(100):
        assert ours.rate(step, 100, 10) == pytest.approx(schedule.get_last_lr()[0], rel=1e-9, abs=1e-15)
        theirs.step()
        schedule.step()


def test_poly_ends_at_eta_min_by_step_after_warmup():
    """The schedule of the mmsegmentation recipe: 40,000 steps, of which 1,500 warm up, down to 0.0001."""
    optimizer = Optimizer(learning_rate=1e-3, schedule="poly", power=0.9, eta_min=1e-4, warmup=1500, end=40_000)
    for step in (1500, 1501, 20_000, 39_999, 40_000, 50_000):
        left = max(0.0, 1 - (step - 1500) / (40_000 - 1500))
        assert optimizer.rate(step, 60_000, 100) == pytest.approx((1e-3 - 1e-4) * left**0.9 + 1e-4, rel=1e-12)

    whole = Optimizer(learning_rate=1e-3, schedule="poly", eta_min=1e-4)
    assert whole.rate(4999, 5000, 100) == pytest.approx(9e-4 * (1 / 5000) ** 0.9 + 1e-4)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"schedule": "poly", "eta_min": 0.01}, "eta_min is 0.01, but the schedule goes down from learning_rate 0.001"),
        ({"schedule": "poly", "eta_min": float("nan")}, "eta_min is nan"),
        ({"warmup": 100, "end": 100}, "end is step 100, but warmup alone takes 100 steps"),
    ],
)
def test_ends_that_cannot_be(settings, words):
    with pytest.raises(InputError, match=words):
        Optimizer(**settings).check()


def test_one_cycle_is_torchs():
    ours = Optimizer(learning_rate=0.1, schedule="one cycle")
    weight = torch.nn.Parameter(torch.zeros(1))
    theirs = torch.optim.SGD([weight], 0.1)
    schedule = torch.optim.lr_scheduler.OneCycleLR(theirs, 0.1, total_steps=1001, final_div_factor=400)
    for step in range(1000):
        assert ours.rate(step, 1000, 10) == pytest.approx(schedule.get_last_lr()[0], abs=5e-4)
        theirs.step()
        schedule.step()


@pytest.mark.parametrize("rate", [0.0, -1.0, 1e9, float("nan")])
def test_a_learning_rate_that_nobody_trains_with(rate):
    with pytest.raises(InputError, match="learning_rate is"):
        Optimizer(learning_rate=rate).check()


@pytest.mark.parametrize(
    "change", [{"clip": -1.0}, {"weight_decay": -0.1}, {"warmup": -5}, {"momentum": 1.0}, {"every": 0}]
)
def test_settings_out_of_range(change):
    [(name, value)] = change.items()
    with pytest.raises(InputError, match=f"{name} is {value:g}; choose a number from"):
        Optimizer(**change).check()
