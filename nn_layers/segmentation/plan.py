"""What an architecture is, and what its builder is told."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType
from typing import Literal

from torch import nn

from ..errors import InputError


@dataclass(frozen=True)
class Plan:
    """One model to build.

    Attributes:
        encoder: Name of the encoder as its library writes it; "" where the architecture has none to choose.
        channels: Channels of the incoming picture.
        classes: Channels of the outgoing logits.
        pretrained: Start the encoder from trained weights.
    """

    encoder: str
    channels: int
    classes: int
    pretrained: bool = False


@dataclass(frozen=True)
class Architecture:
    """One row of `ARCHITECTURES`.

    Attributes:
        title: The name people know it by.
        source: The library that has it, or "visionsmith" for our own module.
        paper: arXiv number or venue.
        builder: Makes the module; [batch, channels, height, width] → [batch, classes, any height, any width].
        family: Whose encoder names it takes: any of segmentation_models_pytorch ("smp"), any convolutional one of timm ("timm"),
            any vision transformer of timm ("vit"), those listed in `encoders` only ("listed"), or "none".
        encoders: Suggestions, the smallest first; all there are where `family` is "listed".
        multiple: Height and width are padded to a multiple of this many pixels.
        smallest: And to no less than this.
    """

    title: str
    source: Literal["segmentation_models_pytorch", "torchvision", "transformers", "visionsmith"]
    paper: str
    builder: Callable[[Plan], nn.Module]
    family: Literal["smp", "timm", "vit", "listed", "none"]
    encoders: tuple[str, ...] = ()
    multiple: int = 32
    smallest: int = 32

    @property
    def takes_encoder(self) -> bool:
        """Whether there is an encoder to choose."""
        return self.family != "none"


def library(name: str) -> ModuleType:
    """Import an optional library, or say in one sentence how to get it."""
    try:
        return importlib.import_module(name)
    except ImportError:
        raise InputError(
            f"this architecture needs {name}, which is not installed; install visionsmith[segmentation]."
        ) from None
