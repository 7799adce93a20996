"""A whole segmentation model as one layer of a drawing."""

from __future__ import annotations

from dataclasses import dataclass

from ..errors import InputError
from ..recipe import Recipe, Shape, show
from .encoders import check_encoder
from .model import SegmentationNetwork

MAX_CLASSES = 1024


@dataclass(frozen=True)
class SegmentationModel:
    """A model that says of every pixel to which class it belongs.

    A picture, channels × height × width, becomes logits, classes × height × width, for any size. No architecture has its auxiliary
    heads here: one output, so that any loss fits.

    Attributes:
        architecture: A key of `ARCHITECTURES`.
        encoder: What reads the picture; see `encoders_for`. "" takes the first of those. Ignored where there is none to choose.
        classes: How many classes the pixels are told apart into, the background included.
        pretrained: Start the encoder from weights trained on ImageNet (downloads them the first time).
    """

    architecture: str = "unet"
    encoder: str = "resnet18"
    classes: int = 2
    pretrained: bool = False

    @property
    def model(self) -> str:
        """What trained weights are named after: the encoder, or the architecture where there is none to choose."""
        return check_encoder(self.architecture, self.encoder).removeprefix("tu-") or self.architecture

    def recipe(self, shape: Shape) -> Recipe:
        """The module for a picture of `shape`."""
        if len(shape) != 3:
            raise InputError(
                f"a segmentation model wants a picture, channels × height × width, but {show(shape)} came in; wire an Input of kind image."
            )
        if not 1 <= self.classes <= MAX_CLASSES:
            raise InputError(
                f"classes is {self.classes}, but must lie between 1 and {MAX_CLASSES}; count the classes of your masks, background included."
            )
        arguments = (self.architecture, check_encoder(self.architecture, self.encoder), shape[0], self.classes)
        return Recipe(SegmentationNetwork, arguments, {"pretrained": True} if self.pretrained else {})
