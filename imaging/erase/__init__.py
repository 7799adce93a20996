"""Erasing what a mask covers: LaMa, or a fill that needs no model."""

from .classical import METHODS, opencv, preferred, smooth
from .erasing import Erased, EraseSettings, Fill, erase, soft_mask
from .lama import BIG_LAMA, LaMa, find_lama, load_lama
from .regions import Region, regions
from .simple_lama import SimpleLaMa, load_simple_lama

__all__ = [
    "BIG_LAMA",
    "METHODS",
    "EraseSettings",
    "Erased",
    "Fill",
    "LaMa",
    "Region",
    "SimpleLaMa",
    "erase",
    "find_lama",
    "load_lama",
    "load_simple_lama",
    "opencv",
    "preferred",
    "regions",
    "smooth",
    "soft_mask",
]
