"""Datasets, augmentation of samples, losses, metrics, training, testing and using a network."""

from .dataset import Dataset
from .evaluate import Prediction, Report, activations, evaluate, predict
from .fit import Progress, fit
from .losses import LOSSES, Loss, LossSum
from .optimizers import OPTIMIZERS, SCHEDULES, Optimizer
from .run import Epoch, Run
from .settings import FitSettings, run_key

__all__ = [
    "LOSSES",
    "OPTIMIZERS",
    "SCHEDULES",
    "Dataset",
    "Epoch",
    "FitSettings",
    "Loss",
    "LossSum",
    "Optimizer",
    "Prediction",
    "Progress",
    "Report",
    "Run",
    "activations",
    "evaluate",
    "fit",
    "predict",
    "run_key",
]
