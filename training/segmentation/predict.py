"""Using a segmentation network: pictures in, masks and boxes out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...nn_layers import InputError, Network
from ..inference import evaluating, on_device
from .masks import default_colors
from .samples import class_names
from .tiles import OVERLAP, segment

OnPicture = Callable[[int, int], None]


@dataclass(frozen=True, eq=False)
class Segmentation:
    """What a network says of a batch of pictures.

    Attributes:
        classes, colors: Of the network.
        masks: uint8 [batch, height, width] of class numbers.
        probabilities: float16 [batch, classes, height, width].
    """

    classes: tuple[str, ...]
    colors: tuple[tuple[int, int, int], ...]
    masks: Tensor
    probabilities: Tensor

    def boxes(self, min_area: int = 1) -> list[list[dict[str, Any]]]:
        """For each picture a box around every connected defect (8 neighbours) of at least `min_area` pixels, the largest first.

        A box has x, y, width and height in pixels, label, and score: the mean probability of its class over its pixels.
        """
        return [
            _boxes(mask, found, self.classes, min_area)
            for mask, found in zip(self.masks, self.probabilities, strict=True)
        ]


def predict_masks(
    network: Network,
    images: Tensor,
    *,
    threshold: float = 0.0,
    overlap: float = OVERLAP,
    flips: bool = False,
    batch_size: int = 8,
    device: torch.device | str = "cpu",
    on_picture: OnPicture | None = None,
) -> Segmentation:
    """Let `network` find the class of every pixel.

    Args:
        images: float32 [batch, height, width, channels] in 0..1, of any size.
        threshold: 0 takes the most probable class. Above 0, a pixel is the most probable defect class where that is at least this probable,
            and background elsewhere: low values find more and are wrong more often.
        overlap: Share of a window that neighbours have in common, where the network looks through windows.
        flips: Average over the picture and its three mirror images.
        batch_size: Windows at a time.
        on_picture: Called with pictures done and pictures in all; may raise to stop.

    Raises:
        InputError: The network gives no map of classes for a picture.
    """
    if network.prepare is None or len(network.spec.output_shape) != 3:
        raise InputError(
            f"{network.spec.name} gives no map of classes for a picture; use a segmentation network, or Predict for one that gives labels."
        )
    device = torch.device(device)
    module = on_device(network.module, device)
    outputs = max(2, network.spec.output_shape[0])
    classes = network.classes or class_names(outputs)
    found = torch.empty(len(images), len(classes), *images.shape[1:3], dtype=torch.float16)
    masks = torch.empty(len(images), *images.shape[1:3], dtype=torch.uint8)
    with evaluating(module):
        for index, image in enumerate(images):
            picture = (image * 255).round().clamp(0, 255).to(torch.uint8).permute(2, 0, 1).cpu()
            for top, band in segment(network, module, picture, overlap=overlap, flips=flips, batch_size=batch_size):
                band, rows = band[: len(classes)], slice(top, top + band.shape[1])
                found[index, :, rows] = band.half()
                # Chosen before the rounding, which makes classes equal that differ by 0.0005, and of equal ones the first is taken.
                masks[index, rows] = chosen_classes(band[None], threshold)[0]
                if on_picture:
                    on_picture(index, len(images))
            if on_picture:
                on_picture(index + 1, len(images))
    colors = network.colors or default_colors(len(classes))
    return Segmentation(classes, colors, masks, found)


def chosen_classes(probabilities: Tensor, threshold: float) -> Tensor:
    """The class of each pixel, uint8 [batch, height, width], from probabilities [batch, classes, height, width]; see `predict_masks`."""
    if threshold <= 0:
        return probabilities.argmax(1).to(torch.uint8)
    value, kind = probabilities[:, 1:].max(1)
    return torch.where(value >= threshold, kind + 1, 0).to(torch.uint8)


def _boxes(mask: Tensor, probabilities: Tensor, classes: tuple[str, ...], min_area: int) -> list[dict[str, Any]]:
    from scipy import ndimage

    found = []
    for number in range(1, len(classes)):
        labels, count = ndimage.label((mask == number).numpy(), np.ones((3, 3)))
        if not count:
            continue
        ids = np.arange(1, count + 1)
        areas = ndimage.sum_labels(np.ones_like(labels), labels, ids)
        scores = ndimage.mean(probabilities[number].float().numpy(), labels, ids)
        for place, area, score in zip(ndimage.find_objects(labels), areas, scores, strict=True):
            rows, columns = place
            box = {
                "x": columns.start,
                "y": rows.start,
                "width": columns.stop - columns.start,
                "height": rows.stop - rows.start,
            }
            if area >= min_area:
                found.append({**box, "label": classes[number], "score": float(score), "area": int(area)})
    return sorted(found, key=lambda box: -box["area"])
