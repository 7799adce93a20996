"""Whole segmentation models as one layer: the architectures of four sources behind one door."""

from .architectures import ARCHITECTURES
from .encoders import encoders_for
from .layer import SegmentationModel
from .plan import Architecture

__all__ = ["ARCHITECTURES", "Architecture", "SegmentationModel", "encoders_for"]
