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
