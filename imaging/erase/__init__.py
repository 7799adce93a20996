"""Erasing what a mask covers: LaMa, or a fill that needs no model."""

from .classical import METHODS, opencv, preferred, smooth
from .erasing import Erased, EraseSettings, Fill, erase, soft_mask
from .holes import Hole, find_holes
from .lama import BIG_LAMA, LaMa, find_lama, load_lama
from .simple_lama import SimpleLaMa, load_simple_lama

__all__ = [
    "BIG_LAMA",
    "METHODS",
    "EraseSettings",
    "Erased",
    "Fill",
    "Hole",
    "LaMa",
    "SimpleLaMa",
    "erase",
    "find_holes",
    "find_lama",
    "load_lama",
    "load_simple_lama",
    "opencv",
    "preferred",
    "smooth",
    "soft_mask",
]
