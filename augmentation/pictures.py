"""What a person sees of an augmented dataset: its new defects from close by."""

from __future__ import annotations

from PIL import Image

from ..training.dataset import Dataset
from ..training.pictures import grid
from ..training.segmentation.masks import overlay
from .dataset import AugmentedSamples

CLOSE = 1.4
LEAST = 48


def examples(dataset: Dataset, count: int = 16, columns: int = 8) -> Image.Image:
    """New defects from all over the synthetic pictures, each beside itself with its mask painted over it."""
    samples: AugmentedSamples = dataset.split("train")
    first, made = len(samples.base), len(samples.recipes)
    shown, captions = [], []
    for place in range(min(count, made)):
        index = first + place * made // min(count, made)
        picture, mask = samples[index], samples.mask(index)
        patch = samples.made(index).patches[0]
        number, how = samples.recipes[index - first].defects[0]
        reach = max(LEAST, int(CLOSE * max(patch.mask.shape))) // 2
        middle = [side.start + (side.stop - side.start) // 2 for side in patch.box]
        rows, columns_ = (slice(max(0, at - reach), at + reach) for at in middle)
        close = picture[:, rows, columns_]
        shown += [close, overlay(close, mask[rows, columns_], dataset.colors)]
        captions += [dataset.classes[number], how]
    return grid(shown, captions, columns=columns)
