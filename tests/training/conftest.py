"""A small network, small data and a short training that many tests share."""

from dataclasses import replace

import pytest
import torch
from visionsmith import nn_layers as nn
from visionsmith.training import Dataset, FitSettings, Loss, Optimizer, sources, transforms
from visionsmith.training.dataset import Subset


def draw_classifier(channels=1, size=8, classes=10, dropout=0.2, seed=0):
    """A small residual network with batch normalization and dropout."""
    x = nn.input_tensor(nn.Input("image", (channels, size, size)))
    h = nn.apply(nn.Activation(), nn.apply(nn.Normalization(), nn.apply(nn.Conv(8), x)))
    h = nn.apply(nn.Merge(), h, nn.apply(nn.Conv(8), h))
    h = nn.apply(nn.Dropout(p=dropout), nn.apply(nn.View(), nn.apply(nn.Pooling(), h)))
    return nn.build_network((nn.apply(nn.Linear(classes), h),), "classifier", seed)


@pytest.fixture
def network():
    return draw_classifier()


@pytest.fixture(scope="session")
def digits() -> Dataset:
    return sources.digits().with_transforms(transforms.Normalize())


@pytest.fixture(scope="session")
def few_digits(digits) -> Dataset:
    """Enough to train for milliseconds, with augmentation."""
    splits = {name: Subset(samples, range(90 if name == "train" else 40)) for name, samples in digits.splits.items()}
    return replace(digits, name="few", splits=splits).with_transforms(transforms.Rotate(10, 0.1))


@pytest.fixture
def table() -> Dataset:
    """A linear regression with noise."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(200, 3, generator=generator)
    y = x @ torch.tensor([[1.0], [-2.0], [0.5]]) + 0.01 * torch.randn(200, 1, generator=generator)
    from visionsmith.training.dataset import TensorSamples

    return sources.split_dataset("line", "regression", ("y",), TensorSamples(x, y), sources.shares(0.2, 0.2), 0)


@pytest.fixture
def plan():
    return (
        Loss(),
        Optimizer(learning_rate=0.01),
        FitSettings(epochs=3, batch_size=16, metric="accuracy", device="cpu", average=0.9),
    )
