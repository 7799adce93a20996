"""What travels from Invert Image to the nodes that edit."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch.nn import functional

from ...augmentation.diffusion.inversion import Inversion
from ...augmentation.diffusion.prepare import Prepared, faded
from ...imaging.crop import Stitch, stitch_crops
from ...imaging.masks import fit_masks, grown
from ...nn_layers.errors import InputError


@dataclass(frozen=True)
class Inverted:
    """Inverted pictures, and how they came to the model's size."""

    inversions: tuple[Inversion, ...]
    prepared: Prepared

    def seen(self, masks: torch.Tensor, name: str) -> torch.Tensor:
        """Masks of the pictures as the model sees these, [n, height, width] at its size.

        Raises:
            InputError: The pictures were cut around another mask, or the masks do not fit.
        """
        pictures = self.prepared.stitch.images
        if self.prepared.masks is not None:
            raise InputError(
                f"the pictures of {name} were inverted for a mask of their own; set change of Invert Image to the whole picture."
            )
        masks = fit_masks(masks, pictures, name)
        if len(masks) not in (1, len(pictures)):
            raise InputError(
                f"{name} holds {len(masks)} masks, but there are {len(pictures)} pictures; give one, or one for each."
            )
        size = self.prepared.images.shape[1:3]
        return functional.adaptive_max_pool2d(masks[:, None], size)[:, 0].expand(len(pictures), -1, -1).round()

    def pasted(self, images: torch.Tensor, masks: torch.Tensor, blend: int) -> torch.Tensor:
        """Edited pictures at the model's size, in the masked places of the originals; elsewhere nothing changes."""
        stitch = self.prepared.stitch
        soft = faded(grown(fit_masks(masks, stitch.images).round(), 1), blend)
        regions = tuple(
            type(region)(region.picture, region.box, soft[index % len(soft)])
            for index, region in enumerate(stitch.regions)
        )
        return stitch_crops(Stitch(stitch.images, regions), images)
