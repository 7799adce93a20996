"""Tiny pictures with masks, as files and in memory, and a network small enough to train in seconds."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from visionsmith import nn_layers as nn
from visionsmith.nn_layers import InputError
from visionsmith.training import Dataset
from visionsmith.training.segmentation.samples import MaskedTensors, pixel_counts, segmentation_dataset

ORIENTATION = 0x0112


def save(file: Path, values, mode: str | None = None, palette=None, orientation: int = 1, **options) -> Path:
    """Write an array as a picture file; `palette` is a list of colours, `orientation` an EXIF entry."""
    file.parent.mkdir(parents=True, exist_ok=True)
    picture = Image.fromarray(np.ascontiguousarray(values))
    if palette:
        picture = Image.fromarray(np.asarray(values, np.uint8), "L")
        picture.putpalette([value for color in palette for value in color])
    if mode:
        picture = picture.convert(mode)
    if orientation != 1:
        exif = Image.Exif()
        exif[ORIENTATION] = orientation
        options["exif"] = exif
    picture.save(file, **options)
    return file


def square(height=12, width=16, at=(3, 4), side=4, value=1) -> np.ndarray:
    """A mask with one square."""
    mask = np.zeros((height, width), np.uint8)
    mask[at[0] : at[0] + side, at[1] : at[1] + side] = value
    return mask


def photo(height=12, width=16, value=90) -> np.ndarray:
    """A grey picture in colour."""
    return np.full((height, width, 3), value, np.uint8)


def make_folder(root: Path, names=("a", "b", "c", "d"), images="images", masks="masks", **mask) -> Path:
    """A folder of pictures and one of index masks, each with a square of class 1."""
    for name in names:
        save(root / images / f"{name}.png", photo())
        save(root / masks / f"{name}.png", square(**mask))
    return root


def in_memory(pictures, masks) -> MaskedTensors:
    """Samples from lists of tensors."""
    masks = [torch.as_tensor(mask, dtype=torch.uint8) for mask in masks]
    return MaskedTensors(list(pictures), masks, torch.stack([pixel_counts(mask) for mask in masks]))


def colored_squares(count: int, size=32, seed=0, channels=3) -> MaskedTensors:
    """Noise with a square that is brighter in the first channel, in every picture at another place; it is the defect."""
    generator = torch.Generator().manual_seed(seed)
    pictures = torch.randint(40, 90, (count, channels, size, size), generator=generator, dtype=torch.uint8)
    masks = torch.zeros(count, size, size, dtype=torch.uint8)
    for picture, mask in zip(pictures, masks, strict=True):
        top, left = torch.randint(0, size - 10, (2,), generator=generator).tolist()
        picture[0, top : top + 9, left : left + 9] += 120
        mask[top : top + 9, left : left + 9] = 1
    return in_memory(pictures, masks)


def squares_dataset(train=12, val=4, test=4, **more) -> Dataset:
    """Coloured squares in three splits."""
    splits = {
        name: colored_squares(count, seed=seed, **more)
        for seed, (name, count) in enumerate({"train": train, "val": val, "test": test}.items())
    }
    return segmentation_dataset("squares", splits, ("surface", "square"))


def small_network(channels=3, size=32, classes=2, dropout=0.0, seed=0) -> nn.Network:
    """Two convolutions that see 5 × 5 pixels, and one that decides."""
    h = nn.input_tensor(nn.Input("image", (channels, size, size)))
    for width in (8, 8):
        h = nn.apply(nn.Activation(), nn.apply(nn.Normalization(), nn.apply(nn.Conv(width), h)))
    if dropout:
        h = nn.apply(nn.Dropout(p=dropout), h)
    return nn.build_network((nn.apply(nn.Conv(classes, kernel_size=1), h),), "small", seed)


def sentence(call, *arguments, **keywords) -> str:
    """What an InputError says: one line that ends like a sentence."""
    with pytest.raises(InputError) as caught:
        call(*arguments, **keywords)
    text = str(caught.value)
    assert "\n" not in text
    assert text.endswith(".")
    return text
