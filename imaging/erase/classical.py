"""Fills that need no model: OpenCV's two, and one of torch alone. Good for scratches, text and small things on calm ground."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from torch.nn import functional as F

from ...nn_layers.errors import InputError

Fill = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


def opencv(pictures: torch.Tensor, holes: torch.Tensor, method: str = "telea", radius: float = 5.0) -> torch.Tensor:
    """OpenCV's `inpaint`, in steps of 1/255.

    Args:
        pictures: float32 [n, 3, height, width] in 0..1.
        holes: float32 [n, 1, height, width] of 0 and 1.
        method: "telea" (Telea 2004, fast marching) or "navier-stokes" (Bertalmio et al. 2001).
        radius: Pixels around a point that it is made from.

    Raises:
        InputError: OpenCV is not installed.
    """
    try:
        import cv2
    except ImportError as error:
        raise InputError(
            f"the method {method} needs OpenCV, which is not installed; choose the method smooth, or pip install opencv-python-headless."
        ) from error
    flag = {"telea": cv2.INPAINT_TELEA, "navier-stokes": cv2.INPAINT_NS}[method]
    arrays = (pictures.clamp(0, 1) * 255).round().to(torch.uint8).movedim(1, -1).cpu().numpy()
    masks = holes[:, 0].to(torch.uint8).cpu().numpy()
    filled = [
        cv2.inpaint(np.ascontiguousarray(picture), mask, radius, flag) if not mask.all() else average(picture)
        for picture, mask in zip(arrays, masks, strict=True)
    ]
    return torch.from_numpy(np.stack(filled)).to(pictures).movedim(-1, 1) / 255


def average(picture: np.ndarray) -> np.ndarray:
    """One colour, the mean: all that can be said where nothing is known."""
    return np.broadcast_to(picture.mean((0, 1)).round().astype(picture.dtype), picture.shape)


def smooth(pictures: torch.Tensor, holes: torch.Tensor, rounds: int = 16) -> torch.Tensor:
    """Continue the surroundings without edges: Laplace's equation, solved from a pyramid of averages downwards.

    Shapes as in `opencv`.
    """
    known = 1 - holes
    nothing = (known.sum((2, 3), keepdim=True) == 0).to(pictures)
    known = torch.maximum(known, nothing)  # a picture that is all hole becomes its mean colour
    pictures = torch.lerp(pictures, pictures.mean((2, 3), keepdim=True).expand_as(pictures), nothing)
    return _filled(pictures, known, rounds)


def _filled(picture: torch.Tensor, known: torch.Tensor, rounds: int) -> torch.Tensor:
    """Fill from the same thing at half the size, then let neighbours agree."""
    if bool((known > 0).all()):
        return picture
    height, width = picture.shape[2:]
    share = F.avg_pool2d(known, 2, ceil_mode=True)
    small = F.avg_pool2d(picture * known, 2, ceil_mode=True) / share.clamp(min=1e-6)
    small = _filled(small, (share > 0).to(picture), rounds)
    start = F.interpolate(small, (height, width), mode="bilinear", align_corners=False)
    filled = torch.where(known > 0, picture, start)
    for _ in range(rounds):
        edge = F.pad(filled, [1] * 4, mode="replicate")
        mean = (edge[..., :-2, 1:-1] + edge[..., 2:, 1:-1] + edge[..., 1:-1, :-2] + edge[..., 1:-1, 2:]) / 4
        filled = torch.where(known > 0, picture, mean)
    return filled


METHODS: dict[str, Fill] = {
    "telea": opencv,
    "navier-stokes": partial(opencv, method="navier-stokes"),
    "smooth": smooth,
}


def preferred() -> Fill:
    """Telea's where OpenCV is installed, else `smooth`."""
    from importlib.util import find_spec

    return opencv if find_spec("cv2") else smooth
