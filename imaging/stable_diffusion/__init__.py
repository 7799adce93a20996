"""Stable Diffusion 1.x, 2.x and SDXL through the library diffusers: read a checkpoint without a network, repaint with it."""

from .load import StableDiffusion, load_stable_diffusion
from .repaint import SAMPLERS, Repaint, repaint

__all__ = ["SAMPLERS", "Repaint", "StableDiffusion", "load_stable_diffusion", "repaint"]
