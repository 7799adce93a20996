"""Losses against independent implementations, and the checks before a training."""

import kornia
import pytest
import torch
from torch.nn import functional as F
from visionsmith import nn_layers as nn
from visionsmith.nn_layers import InputError
from visionsmith.training.losses import LOSSES, REGION, REGRESSION, Loss, check_loss, read_numbers

LOGITS = torch.randn(16, 3, generator=torch.Generator().manual_seed(0))
TARGETS = torch.arange(16) % 3
WEIGHTS = (0.1, 0.3, 0.6)


@pytest.mark.parametrize("gamma", [0.5, 2.0, 5.0])
def test_focal_loss_is_korniass_times_the_number_of_classes(gamma):
    ours = Loss("focal", gamma=gamma).build()(LOGITS, TARGETS)
    theirs = kornia.losses.focal_loss(
        LOGITS[..., None, None], TARGETS[:, None, None], alpha=None, gamma=gamma, reduction="mean"
    )

    torch.testing.assert_close(ours, 3 * theirs)


def test_focal_loss_with_alpha_and_its_limit_without_gamma():
    per_class = torch.tensor(WEIGHTS)[TARGETS]
    by_hand = (per_class * F.cross_entropy(LOGITS, TARGETS, reduction="none")).mean()

    torch.testing.assert_close(Loss("focal", gamma=0.0, alpha=WEIGHTS).build()(LOGITS, TARGETS), by_hand)


@pytest.mark.parametrize(
    "loss",
    [
        Loss(label_smoothing=0.1),
        Loss("focal", alpha=WEIGHTS),
        Loss("binary cross entropy"),
        Loss("negative log likelihood"),
    ],
)
def test_class_numbers_and_one_hot_targets_mean_the_same(loss):
    outputs = LOGITS.log_softmax(1) if loss.type == "negative log likelihood" else LOGITS
    soft = F.one_hot(TARGETS, 3).float()

    torch.testing.assert_close(loss.build()(outputs, TARGETS), loss.build()(outputs, soft))


def test_binary_cross_entropy_with_one_output():
    logit = LOGITS[:, :1]
    by_hand = F.binary_cross_entropy(logit.sigmoid()[:, 0], (TARGETS % 2).float())

    torch.testing.assert_close(Loss("binary cross entropy").build()(logit, TARGETS % 2), by_hand)


@pytest.mark.parametrize(
    ("name", "theirs"),
    [("mean squared error", F.mse_loss), ("mean absolute error", F.l1_loss), ("huber", F.huber_loss)],
)
def test_regression_losses(name, theirs):
    torch.testing.assert_close(Loss(name).build()(LOGITS, LOGITS.flip(0)), theirs(LOGITS, LOGITS.flip(0)))


@pytest.mark.parametrize("name", [name for name in LOSSES if name not in REGION])
def test_every_loss_of_rows_can_be_built_and_differentiated(name):
    outputs = LOGITS.clone().requires_grad_()
    Loss(name).build()(outputs, torch.zeros(16, 3) if name in REGRESSION else TARGETS).backward()
    assert outputs.grad.isfinite().all()


def test_255_is_an_ordinary_class_of_rows():
    logits, targets = torch.randn(4, 300), torch.tensor([255, 255, 1, 255])

    for name in ("cross entropy", "focal", "negative log likelihood", "binary cross entropy"):
        loss = Loss(name).build()
        assert loss(logits, targets) != loss(logits[2:3], targets[2:3])


def test_two_weights_of_a_single_output_are_those_of_no_and_yes():
    logit, targets = LOGITS[:, :1], TARGETS % 2
    by_hand = F.binary_cross_entropy_with_logits(logit[:, 0], targets.float(), torch.tensor([0.2, 0.8])[targets])

    torch.testing.assert_close(Loss("binary cross entropy", class_weights=(0.2, 0.8)).build()(logit, targets), by_hand)


@pytest.mark.parametrize("name", ["cross entropy", "focal", "binary cross entropy", "negative log likelihood"])
def test_outputs_that_no_class_uses_need_no_weight(name):
    settings = {"alpha" if name == "focal" else "class_weights": (0.1, 0.9)}

    assert Loss(name, **settings).build()(LOGITS, TARGETS % 2).isfinite()


def test_focal_loss_has_a_gradient_where_a_small_gamma_meets_certainty():
    logits = torch.tensor([[60.0, -60.0], [0.0, 1.0]], requires_grad=True)
    Loss("focal", gamma=0.5).build()(logits, torch.tensor([0, 0])).backward()

    assert logits.grad.isfinite().all()


def test_numbers_are_read_without_evaluating_them():
    assert read_numbers("[0.1, 0.3 0.6]", "alpha") == WEIGHTS
    assert read_numbers(" ", "alpha") == ()
    with pytest.raises(InputError, match="alpha is"):
        read_numbers("__import__('os').system('true')", "alpha")


def spec(width=10, last=None, shape=(64,)):
    x = nn.apply(nn.Linear(width), nn.input_tensor(nn.Input("features", shape)))
    return nn.trace((nn.apply(last, x) if last else x,))[0]


@pytest.mark.parametrize(
    ("loss", "last", "words"),
    [
        (Loss(), nn.Activation("Softmax"), "ends in Softmax, but cross entropy brings its own"),
        (Loss("focal"), nn.Activation("LogSoftmax"), "ends in LogSoftmax"),
        (Loss("binary cross entropy"), nn.Activation("Sigmoid"), "ends in Sigmoid"),
        (Loss("negative log likelihood"), None, "wants a network that ends in LogSoftmax"),
        (Loss(), nn.Activation("ReLU"), "never sees a negative number"),
    ],
)
def test_a_last_layer_that_does_not_suit_the_loss_is_warned_of(digits, loss, last, words):
    (warning,) = check_loss(loss, spec(last=last), digits)
    assert words in warning


def test_widths(digits):
    assert check_loss(Loss(), spec(10), digits) == []
    assert "2 of them stay unused" in check_loss(Loss(), spec(12), digits)[0]
    with pytest.raises(
        InputError, match="gives 7 numbers, but digits has 10 classes; set out_features of the last Linear to 10"
    ):
        check_loss(Loss(), spec(7), digits)


@pytest.mark.parametrize(
    ("loss", "words"),
    [
        (Loss("hinge"), "loss 'hinge' is unknown"),
        (Loss("huber"), "does not suit classification; choose one of cross entropy"),
        (Loss(class_weights=WEIGHTS), r"class_weights has 3 numbers, but digits has 10 classes \(0, 1, 2, 3"),
        (Loss("focal", alpha=WEIGHTS), "alpha has 3 numbers"),
        (Loss("focal", alpha=(-1.0,) * 10), "every number must be 0 or more"),
        (Loss("focal", alpha=(float("nan"),) * 10), "every number must be 0 or more"),
        (Loss(class_weights=(0.0,) * 10), "one of them above 0"),
        (Loss("focal", gamma=-1.0), "gamma of loss focal is -1; choose a number from 0 to 100"),
        (Loss(label_smoothing=float("nan")), "label_smoothing of loss cross entropy is nan"),
        (Loss("dice"), "loss dice does not suit classification; choose one of cross entropy"),
    ],
)
def test_losses_that_cannot_work(digits, loss, words):
    with pytest.raises(InputError, match=words):
        check_loss(loss, spec(), digits)


@pytest.mark.parametrize("name", ["cross entropy", "negative log likelihood", "binary cross entropy", "focal"])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_a_batch_of_classes_without_weight_changes_nothing(name, smoothing):
    outputs = LOGITS[:4].log_softmax(1).requires_grad_()
    loss = Loss(name, class_weights=(1.0, 0.0, 0.0), alpha=(1.0, 0.0, 0.0), label_smoothing=smoothing).build()
    for shape, targets in (((4, 3), torch.ones(4)), ((1, 3, 2, 2), torch.ones(1, 2, 2))):
        value = loss(outputs.view(shape), targets.long())
        (gradient,) = torch.autograd.grad(value, outputs)

        assert value.isfinite() and gradient.isfinite().all()
        if name != "binary cross entropy":  # there the weight is that of the question, not of the sample
            assert value == 0 and not gradient.any()


@pytest.mark.parametrize("name", ["cross entropy", "negative log likelihood", "binary cross entropy", "focal"])
@pytest.mark.parametrize("weights", [(), (0.3, 0.7)])
def test_soft_targets_go_with_more_outputs_than_classes(name, weights):
    targets = TARGETS % 2
    outputs = LOGITS.log_softmax(1) if name == "negative log likelihood" else LOGITS
    loss = Loss(name, class_weights=weights, alpha=weights).build()
    hard = torch.stack([loss(outputs[i : i + 1], targets[i : i + 1]) for i in range(16)])
    if weights and name in ("cross entropy", "negative log likelihood"):  # a single sample is divided by its own weight
        hard = hard * torch.tensor(weights)[targets]

    torch.testing.assert_close(loss(outputs, F.one_hot(targets, 2).float()), hard.mean())


@pytest.mark.parametrize("weights", [(), (0.3, 0.7)])
def test_soft_targets_go_with_a_single_output(weights):
    loss, targets = Loss("binary cross entropy", class_weights=weights).build(), TARGETS % 2
    soft = F.one_hot(targets, 2).float()

    torch.testing.assert_close(loss(LOGITS[:, :1], soft), loss(LOGITS[:, :1], targets))
    mixed = loss(LOGITS[:, :1], soft.lerp(soft.flip(0), 0.3))
    torch.testing.assert_close(mixed, 0.7 * loss(LOGITS[:, :1], soft) + 0.3 * loss(LOGITS[:, :1], soft.flip(0)))
