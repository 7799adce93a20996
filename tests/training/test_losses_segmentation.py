"""Losses of segmentation against independent libraries, and what pixels that do not count change: nothing."""

import kornia
import pytest
import torch
from segmentation_models_pytorch import losses as smp
from torch.nn import functional as F
from visionsmith import nn_layers as nn
from visionsmith.nn_layers import InputError
from visionsmith.training import Dataset
from visionsmith.training.losses import LOSSES, REGION, REGRESSION, Loss, LossSum, check_loss

WEIGHTS = (0.1, 0.3, 0.6)
SUM = LossSum(((1.0, Loss("focal", alpha=WEIGHTS)), (0.5, Loss("tversky")), (2.0, Loss("lovasz"))))
FOR_MAPS = [
    *(Loss(name) for name in LOSSES if name not in REGRESSION),
    Loss(class_weights=WEIGHTS, label_smoothing=0.1),
    Loss("focal", alpha=WEIGHTS, gamma=0.5),
    Loss("binary cross entropy", class_weights=WEIGHTS),
    Loss("negative log likelihood", class_weights=WEIGHTS),
    Loss("tversky", exponent=0.75, smooth=0.0, class_weights=WEIGHTS),
    Loss("lovasz", class_weights=WEIGHTS),
    SUM,
]


def maps(seed=0, classes=3, absent=None, batch=2, size=9):
    """Random logits [batch, classes, size, size + 2] and targets with a fifth of 255."""
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(batch, classes, size, size + 2, generator=generator) * 2
    targets = torch.randint(0, classes, (batch, size, size + 2), generator=generator)
    if absent is not None:
        targets[targets == absent] = 0
    return logits, targets.masked_fill(torch.rand(targets.shape, generator=generator) < 0.2, 255)


def name_of(loss):
    return loss.title


@pytest.mark.parametrize("seed", range(3))
def test_cross_entropy_is_torchs(seed):
    logits, targets = maps(seed)
    for smoothing in (0.0, 0.2):
        for weights in ((), WEIGHTS):
            theirs = torch.nn.CrossEntropyLoss(
                torch.tensor(weights) if weights else None, ignore_index=255, label_smoothing=smoothing
            )
            ours = Loss(class_weights=weights, label_smoothing=smoothing).build()
            torch.testing.assert_close(ours(logits, targets), theirs(logits, targets))


@pytest.mark.parametrize("weights", [(), WEIGHTS])
def test_negative_log_likelihood_is_torchs_and_cross_entropy(weights):
    logits, targets = maps()
    weight = torch.tensor(weights) if weights else None
    ours = Loss("negative log likelihood", class_weights=weights).build()(logits.log_softmax(1), targets)

    torch.testing.assert_close(ours, F.nll_loss(logits.log_softmax(1), targets, weight, ignore_index=255))
    torch.testing.assert_close(ours, Loss(class_weights=weights).build()(logits, targets))


@pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0, 5.0])
def test_focal_is_korniass_times_classes_over_the_share_that_counts(gamma):
    logits, targets = maps()
    theirs = kornia.losses.focal_loss(
        logits, targets, None, gamma, "mean", weight=torch.tensor(WEIGHTS), ignore_index=255
    )
    ours = Loss("focal", gamma=gamma, alpha=WEIGHTS).build()(logits, targets)

    torch.testing.assert_close(ours, 3 * theirs / (targets != 255).float().mean())


def test_binary_cross_entropy_is_torchs_on_the_pixels_that_count():
    logits, targets = maps()
    flat, truth = logits.movedim(1, -1)[targets != 255], targets[targets != 255]
    weighted = Loss("binary cross entropy", class_weights=WEIGHTS).build()

    torch.testing.assert_close(
        weighted(logits, targets),
        F.binary_cross_entropy_with_logits(flat, F.one_hot(truth, 3).float(), torch.tensor(WEIGHTS)),
    )
    single = Loss("binary cross entropy").build()(logits[:, :1], targets.clamp(max=1).where(targets != 255, 255))
    torch.testing.assert_close(single, F.binary_cross_entropy_with_logits(flat[:, 0], truth.clamp(max=1).float()))


@pytest.mark.parametrize("absent", [None, 1, 2])
@pytest.mark.parametrize("smooth", [0.0, 1.0, 10.0])
def test_overlap_losses_are_those_of_segmentation_models(absent, smooth):
    logits, targets = maps(absent=absent)
    pairs = {
        Loss("dice", smooth=smooth): smp.DiceLoss("multiclass", smooth=smooth, ignore_index=255),
        Loss("jaccard", smooth=smooth): smp.JaccardLoss("multiclass", smooth=smooth, ignore_index=255),
        Loss("tversky", smooth=smooth, false_positives=0.2, false_negatives=0.9): smp.TverskyLoss(
            "multiclass", smooth=smooth, ignore_index=255, alpha=0.2, beta=0.9
        ),
    }
    present = 3 if absent is None else 2  # theirs divides by all classes, also by those that are not there
    for ours, theirs in pairs.items():
        torch.testing.assert_close(ours.build()(logits, targets), theirs(logits, targets) * 3 / present)


@pytest.mark.parametrize("name", ["dice", "jaccard", "tversky"])
def test_class_weights_of_overlap_losses_are_those_of_segmentation_models(name):
    logits, targets = maps()
    theirs = {"dice": smp.DiceLoss, "jaccard": smp.JaccardLoss, "tversky": smp.TverskyLoss}[name]
    settings = {"alpha": 0.3, "beta": 0.7} if name == "tversky" else {}
    theirs = theirs("multiclass", smooth=1.0, ignore_index=255, class_weights=WEIGHTS, **settings)

    torch.testing.assert_close(
        Loss(name, class_weights=WEIGHTS).build()(logits, targets), theirs(logits, targets), check_dtype=False
    )


def test_the_exponent_of_focal_tversky_is_that_of_segmentation_models_for_one_class():
    logits, targets = maps()
    theirs = smp.TverskyLoss("multiclass", [2], smooth=1.0, ignore_index=255, alpha=0.3, beta=0.7, gamma=0.75)
    ours = Loss("tversky", exponent=0.75, class_weights=(0.0, 0.0, 1.0)).build()

    torch.testing.assert_close(ours(logits, targets), theirs(logits, targets))


@pytest.mark.parametrize("absent", [None, 0, 2])
@pytest.mark.parametrize("seed", range(3))
def test_lovasz_is_that_of_segmentation_models(seed, absent):
    logits, targets = maps(seed, absent=absent)
    theirs = smp.LovaszLoss("multiclass", ignore_index=255)

    torch.testing.assert_close(Loss("lovasz").build()(logits, targets), theirs(logits, targets))


def test_lovasz_of_certain_answers_is_the_mean_of_one_minus_iou():
    _, targets = maps(1)
    predicted = maps(2)[1].where(targets != 255, 0).clamp(max=2)
    logits = 200 * F.one_hot(predicted, 3).movedim(-1, 1).float()
    iou = [
        ((targets == c) & (predicted == c)).sum() / (((targets == c) | (predicted == c)) & (targets != 255)).sum()
        for c in range(3)
    ]

    for name in ("lovasz", "jaccard"):
        torch.testing.assert_close(
            Loss(name, smooth=0.0).build()(logits, targets), 1 - torch.stack(iou).mean(), atol=1e-6, rtol=0
        )


def test_lovasz_keeps_a_small_region_among_a_million_pixels():
    """Weights of errors come to 1, also where each of them is far below the rounding of 1 − IoU in float32."""
    from visionsmith.training.region_losses import _lovasz_extension

    errors = torch.linspace(1, 0.1, 1_000_000)
    truth = torch.zeros(1_000_000, dtype=torch.bool)
    truth[500_000:500_020] = True
    weights = torch.autograd.grad(_lovasz_extension(errors.requires_grad_(), truth), errors)[0]

    assert (weights[:500_020] > 0).all()
    assert weights.double().sum() == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("loss", FOR_MAPS, ids=name_of)
def test_gradients_are_those_of_the_formula(loss):
    logits, targets = maps(batch=1, size=3)
    module = loss.build().double()

    torch.autograd.gradcheck(lambda x: module(x, targets), logits.double().requires_grad_())


@pytest.mark.parametrize("loss", FOR_MAPS, ids=name_of)
def test_ignored_pixels_change_nothing(loss):
    logits, targets = maps()
    ignored = (targets == 255)[:, None].expand_as(logits)
    others = logits.masked_fill(ignored, 0) + 50 * torch.randn(logits.shape) * ignored
    module = loss.build()
    logits.requires_grad_()
    module(logits, targets).backward()

    torch.testing.assert_close(module(others, targets), module(logits, targets))
    assert (logits.grad[ignored] == 0).all()
    assert (logits.grad[~ignored] != 0).any()


@pytest.mark.parametrize("loss", FOR_MAPS, ids=name_of)
def test_a_batch_with_nothing_that_counts_gives_0_and_a_gradient_of_0(loss):
    logits, targets = maps()
    logits.requires_grad_()
    value = loss.build()(logits, torch.full_like(targets, 255))
    value.backward()

    assert value == 0
    assert (logits.grad == 0).all()


@pytest.mark.parametrize(
    "loss",
    [Loss(class_weights=(0.0, 1.0, 1.0)), Loss("dice", class_weights=(0.0, 1.0, 1.0))],
    ids=name_of,
)
def test_a_batch_whose_only_class_weighs_nothing_gives_0(loss):
    logits, targets = maps()
    assert loss.build()(logits, torch.zeros_like(targets)) == 0


@pytest.mark.parametrize("name", ["binary cross entropy", *REGION])
def test_one_output_for_two_classes_is_the_logit_of_the_second(name):
    logits, targets = maps(classes=2)
    one = Loss(name).build()(logits[:, 1:] - logits[:, :1], targets)
    two = (
        F.binary_cross_entropy_with_logits((logits[:, 1] - logits[:, 0])[targets != 255], targets[targets != 255] * 1.0)
        if name == "binary cross entropy"
        else Loss(name).build()(logits, targets)
    )

    torch.testing.assert_close(one, two)


def test_a_sum_adds_what_its_terms_give():
    logits, targets = maps()
    by_hand = sum(weight * loss.build()(logits, targets) for weight, loss in SUM.terms)

    torch.testing.assert_close(SUM.build()(logits, targets), by_hand)
    assert SUM.title == "focal + 0.5 × tversky + 2 × lovasz"


def test_a_sum_in_a_sum_is_flattened():
    inner = LossSum(((1, Loss("dice")), (0.5, Loss())))
    outer = LossSum(((2, inner), (1, Loss("focal"))))

    assert outer == LossSum(((2.0, Loss("dice")), (1.0, Loss()), (1.0, Loss("focal"))))
    assert repr(outer) == repr(LossSum(((2, Loss("dice")), (1, Loss()), (1, Loss("focal")))))
    assert hash(outer) is not None


def test_the_device_and_type_of_weights_follow_the_module():
    logits, targets = maps()
    assert SUM.build().double()(logits.double(), targets).dtype == torch.float64


DEFECTS = Dataset("tiles", "segmentation", ("surface", "blowhole", "crack"), {})


def spec(*layers, size=16):
    x = nn.input_tensor(nn.Input("image", (3, size, size)))
    for layer in layers:
        x = nn.apply(layer, x)
    return nn.trace((x,))[0]


MAP = spec(nn.Conv(3))


@pytest.mark.parametrize("loss", FOR_MAPS, ids=name_of)
def test_losses_that_suit(loss):
    warnings = check_loss(loss, MAP, DEFECTS)
    assert all("LogSoftmax" in warning for warning in warnings)


def test_warnings_of_a_sum_are_those_of_its_terms():
    softmax = spec(nn.Conv(3), nn.Activation("Softmax"))
    found = check_loss(LossSum(((1, Loss()), (1, Loss("dice")), (0, Loss("lovasz")))), softmax, DEFECTS)

    assert [warning.split(" brings")[0] for warning in found] == [
        "The network ends in Softmax, but cross entropy",
        "The network ends in Softmax, but dice",
    ]
    assert len(check_loss(LossSum(((1, Loss("dice")), (1, Loss()))), spec(nn.Conv(5)), DEFECTS)) == 1


@pytest.mark.parametrize(
    ("loss", "network", "words"),
    [
        (
            Loss("focal", alpha=(0.5, 0.5)),
            MAP,
            r"alpha has 2 numbers, but tiles has 3 classes \(surface, blowhole, crack",
        ),
        (Loss("dice", class_weights=(1.0,)), MAP, "class_weights has 1 numbers, but tiles has 3 classes"),
        (LossSum(((1, Loss("dice")), (1, Loss(class_weights=(1.0,))))), MAP, "class_weights has 1 numbers"),
        (Loss("huber"), MAP, "loss huber does not suit segmentation; choose one of cross entropy, .*dice"),
        (
            Loss("dice"),
            spec(nn.Conv(2)),
            r"gives 2 channels, but tiles has 3 classes .*set out_channels of the last Conv to 3",
        ),
        (Loss("dice"), spec(nn.Conv(1)), "gives 1 channels, but tiles has 3 classes"),
        (Loss(), spec(nn.View(), nn.Linear(3)), "gives 3 for a picture, but segmentation needs a map of 3 × height"),
        (Loss(), spec(nn.Conv(3, stride=2)), "a map of 8 × 8 for a picture of 16 × 16, .*Upsample"),
        (Loss("tversky", false_positives=0.0, false_negatives=0.0), MAP, "both 0"),
        (Loss("tversky", exponent=0.0), MAP, "exponent of loss tversky is 0; choose a number from 0.01"),
        (LossSum(()), MAP, "weights of the summed losses are none"),
        (LossSum(((-1.0, Loss()),)), MAP, "weights of the summed losses are -1"),
        (LossSum(((0.0, Loss()), (0.0, Loss("dice")))), MAP, "weights of the summed losses are 0, 0"),
        (LossSum(((float("nan"), Loss()),)), MAP, "weights of the summed losses are nan"),
    ],
)
def test_losses_that_cannot_work(loss, network, words):
    with pytest.raises(InputError, match=words):
        check_loss(loss, network, DEFECTS)


def test_one_output_for_two_classes_is_accepted():
    cracks = Dataset("cracks", "segmentation", ("road", "crack"), {})
    single = spec(nn.Conv(1))

    assert check_loss(LossSum(((1, Loss("dice")), (1, Loss("binary cross entropy")))), single, cracks) == []
    with pytest.raises(InputError, match="gives 1 channels, but cracks has 2 classes"):
        check_loss(Loss("focal"), single, cracks)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("loss", FOR_MAPS, ids=name_of)
def test_half_precision_holds_a_batch_of_many_pixels(loss, dtype):
    logits, targets = maps(batch=1, size=300)  # the sum of 90,000 pixels' losses is above float16's 65,504
    logits = (logits if loss.title != "negative log likelihood" else logits.log_softmax(1)).to(dtype).requires_grad_()

    value = loss.build()(logits, targets)
    value.backward()

    torch.testing.assert_close(value, loss.build()(logits.detach().float(), targets))
    assert logits.grad.isfinite().all()
