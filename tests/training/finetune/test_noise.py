"""Noise, targets and weights of the loss against diffusers' own."""

import sys
from pathlib import Path

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parent))
import tiny_models as tiny  # noqa: F401  skips where diffusers is missing
from visionsmith.training.finetune import masks
from visionsmith.training.finetune.parts import draw_times, noisy, signal_to_noise, target_of, weigh


@pytest.fixture(params=["epsilon", "v_prediction"])
def scheduler(request):
    from diffusers import DDPMScheduler

    return DDPMScheduler(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", prediction_type=request.param)  # fmt: skip


def test_noise_target_and_snr_are_diffusers(scheduler):
    from diffusers.training_utils import compute_snr

    latents, noise, times = torch.randn(4, 4, 8, 8), torch.randn(4, 4, 8, 8), torch.tensor([0, 10, 500, 999])
    torch.testing.assert_close(noisy(scheduler, latents, noise, times), scheduler.add_noise(latents, noise, times))
    velocity = scheduler.get_velocity(latents, noise, times)
    wanted = noise if scheduler.config.prediction_type == "epsilon" else velocity
    torch.testing.assert_close(target_of(scheduler, latents, noise, times), wanted)
    torch.testing.assert_close(signal_to_noise(scheduler, times), compute_snr(scheduler, times))


def test_min_snr_is_that_of_the_example_script(scheduler):
    from diffusers.training_utils import compute_snr

    errors, times = torch.rand(4, 4, 8, 8), torch.tensor([0, 10, 500, 999])
    snr = compute_snr(scheduler, times)
    least = torch.stack([snr, torch.full_like(snr, 5.0)], 1).min(1)[0]
    least = least / snr if scheduler.config.prediction_type == "epsilon" else least / (snr + 1)
    found = weigh(errors, torch.ones(4, 1, 8, 8), times, scheduler, 5.0)

    torch.testing.assert_close(found, errors.mean((1, 2, 3)) * least)


def test_the_loss_is_looked_at_inside_of_masks(scheduler):
    errors, weights = torch.zeros(1, 4, 8, 8), torch.zeros(1, 1, 8, 8)
    errors[..., :2], weights[..., :2] = 3.0, 1.0

    assert weigh(errors, weights, torch.tensor([5]), scheduler, 0).item() == pytest.approx(3.0)


def test_times_lean_where_they_should():
    def mean(kind):
        return draw_times(kind, 20_000, 1000, torch.Generator().manual_seed(0)).float().mean().item()

    assert mean("balanced") == pytest.approx(500, abs=10)
    assert mean("sigmoid") == pytest.approx(500, abs=10)
    assert mean("content") == pytest.approx(750, abs=10)
    assert mean("style") == pytest.approx(250, abs=10)
    sigmoid = draw_times("sigmoid", 20_000, 1000, torch.Generator().manual_seed(0))
    assert ((sigmoid > 250) & (sigmoid < 750)).float().mean() > 0.7


def test_random_masks_are_rectangles_ellipses_and_everything():
    chance = torch.Generator().manual_seed(0)
    drawn = [masks.random_mask((32, 48), chance) for _ in range(400)]
    whole = sum(bool(mask.all()) for mask in drawn) / 400
    boxes = [mask[0].nonzero() for mask in drawn if not mask.all()]
    filled = [len(box) / float((box.amax(0) - box.amin(0) + 1).prod()) for box in boxes]

    assert 0.2 < whole < 0.3
    assert all(len(box) for box in boxes)
    assert 0.3 < sum(share == 1 for share in filled) / len(filled) < 0.75  # rectangles
    assert min(share for share in filled if share < 1) > 0.6  # ellipses: π / 4


def test_a_thin_crack_stays_at_the_latents_size():
    mask = torch.zeros(1, 1, 64, 64)
    mask[..., 31] = 1

    assert masks.at_latent_size(mask, 8).sum() == 8
