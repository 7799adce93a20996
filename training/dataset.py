"""Datasets: lazy samples in named splits, the classes they belong to, and the transforms that are put on them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

from ..nn_layers.errors import InputError
from .mapped import MAPPED_PIXELS, mapped, opened
from .transforms import Transform

TASKS = ("classification", "regression", "segmentation")
SPLITS = ("train", "val", "test")


class Samples(Protocol):
    """One split. Pictures are read when they are asked for, targets are known before."""

    targets: Tensor
    """int64 [count] of class numbers, float32 [count, values] for regression, or for segmentation int64 [count, classes] of pixels per class."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> Tensor:
        """uint8 [channels, height, width], or float32 [features]."""
        ...

    def name(self, index: int) -> str:
        """What to call the sample in a message: a file name, or its place in the table."""
        ...

    def fingerprint(self) -> bytes:
        """Changes whenever a sample does."""
        ...


@dataclass(frozen=True, eq=False)
class TensorSamples:
    """Samples that are in memory: uint8 [count, channels, height, width] or float32 [count, features]."""

    data: Tensor
    targets: Tensor
    prefix: str = "sample"

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, index: int) -> Tensor:
        return self.data[index]

    def name(self, index: int) -> str:
        return f"{self.prefix} {index + 1}"

    def fingerprint(self) -> bytes:
        return hashlib.sha256(self.data.numpy().tobytes() + self.targets.numpy().tobytes()).digest()


@dataclass(frozen=True, eq=False)
class PictureFiles:
    """Samples that are picture files, decoded when asked for; `mode` is Pillow's, "RGB" or "L"."""

    paths: Sequence[Path]
    targets: Tensor
    mode: str = "RGB"

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> Tensor:
        return read_picture(self.paths[index], self.mode)

    def name(self, index: int) -> str:
        path = self.paths[index]
        return f"{path.parent.name}/{path.name}"

    def fingerprint(self) -> bytes:
        digest = hashlib.sha256(self.mode.encode() + self.targets.numpy().tobytes())
        for path in self.paths:
            status = path.stat()
            digest.update(f"{path.parent.name}/{path.name} {status.st_size} {status.st_mtime_ns}".encode())
        return digest.digest()


@dataclass(frozen=True, eq=False)
class Subset:
    """Some samples of another split, in the order of `indices`; copies nothing."""

    samples: Samples
    indices: Sequence[int]

    @cached_property
    def targets(self) -> Tensor:
        """The targets of the chosen samples."""
        return self.samples.targets[torch.as_tensor(self.indices, dtype=torch.int64)]

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, index: int) -> Tensor:
        return self.samples[self.indices[index]]

    def mask(self, index: int) -> Tensor:
        """For segmentation, the classes of the sample's pixels: uint8 [height, width], 255 where they do not count."""
        return self.samples.mask(self.indices[index])

    def name(self, index: int) -> str:
        return self.samples.name(self.indices[index])

    def fingerprint(self) -> bytes:
        return hashlib.sha256(self.samples.fingerprint() + np.asarray(self.indices, np.int64).tobytes()).digest()


def read_picture(path: Path, mode: str = "RGB") -> Tensor:
    """Decode a picture file to uint8 [channels, height, width], turned upright as its EXIF entry says.

    Grey of 16 bits, of 32 bits and in floating point (0 to 1) is scaled to 8 bits; palettes, CMYK and alpha become `mode`. A very large
    picture is mapped, see `mapped`.

    Raises:
        InputError: The file is empty, truncated or no picture.
    """
    try:
        with opened(path) as picture:
            large = picture.width * picture.height > MAPPED_PIXELS
        return mapped(path, mode, lambda: _decoded(path, mode)) if large else torch.from_numpy(_decoded(path, mode))
    except InputError:
        raise
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise InputError(f"{path} cannot be read as a picture ({error}); replace the file or remove it.") from error


def _decoded(path: Path, mode: str) -> np.ndarray:
    """uint8 [channels, height, width]."""
    with opened(path) as picture:
        picture = ImageOps.exif_transpose(picture)
        if picture.mode == "F" or picture.mode.startswith("I"):
            picture = Image.fromarray(_in_bytes(np.asarray(picture), deep=picture.mode.startswith("I;16")))
        array = np.array(picture.convert(mode))
    return np.ascontiguousarray((array if array.ndim == 3 else array[..., None]).transpose(2, 0, 1))


def _in_bytes(values: np.ndarray, deep: bool) -> np.ndarray:
    """Grey values [height, width] as uint8; Pillow would clip them at 255, and take floating point from 0 to 1 for black.

    Args:
        deep: They have 16 bits. Files of 32 bits do not say which of their bits are used: the largest value tells.
    """
    values = np.nan_to_num(values)
    top = values.max(initial=0)
    scale = 1 / 256 if deep or top > 255 else 255 if values.dtype.kind == "f" and top <= 1 else 1
    return (values * scale).clip(0, 255).astype(np.uint8)


@dataclass(frozen=True, eq=False)
class Dataset:
    """Samples with names for their splits and classes.

    Attributes:
        name: For folders and tables.
        task: One of `TASKS`.
        classes: Class names in the order of the class numbers; for regression the names of the values. In segmentation the first is the background.
        splits: "train", and "val" and "test" where there are any.
        transforms: What happens to a sample on its way into a batch, first to last.
        notes: What a person should know of how it was read, such as skipped files.
        colors: For segmentation, the colour of each class.
    """

    name: str
    task: str
    classes: tuple[str, ...]
    splits: Mapping[str, Samples]
    transforms: tuple[Transform, ...] = ()
    notes: tuple[str, ...] = ()
    colors: tuple[tuple[int, int, int], ...] = ()

    def split(self, name: str) -> Samples:
        """The samples of one split.

        Raises:
            InputError: There is no such split.
        """
        if name not in self.splits:
            raise InputError(
                f"dataset {self.name} has no split {name!r}, only {', '.join(self.splits)}; choose one of them or split the dataset."
            )
        return self.splits[name]

    @property
    def is_pictures(self) -> bool:
        """Whether samples are pictures, not rows of numbers."""
        return self.split("train")[0].dim() == 3

    def some(self, split: str, count: int, seed: int = 0) -> tuple[list[Tensor], list[str]]:
        """Pictures of a split chosen by chance, and the names of their classes.

        Raises:
            InputError: The samples are no pictures.
        """
        samples = self.split(split)
        if not self.is_pictures:
            raise InputError(
                f"dataset {self.name} has rows of numbers, not pictures; look at it with Dataset Statistics."
            )
        order = self.drawn(split, count, seed)
        return [samples[i] for i in order], [self.target_name(samples.targets[i]) for i in order]

    def drawn(self, split: str, count: int, seed: int = 0) -> list[int]:
        """The numbers of the samples that `some` gives."""
        count_all = len(self.split(split))
        return torch.randperm(count_all, generator=torch.Generator().manual_seed(seed))[:count].tolist()

    def target_name(self, target: Tensor | float) -> str:
        """A target for people: the class's name, the value, or the classes (beside the background) that a mask has."""
        if self.task == "segmentation":
            return ", ".join(self.classes[i] for i in range(1, len(self.classes)) if target[i]) or self.classes[0]
        return self.classes[int(target)] if self.task == "classification" else f"{float(target):.4g}"

    def with_transforms(self, *transforms: Transform) -> Dataset:
        """The same dataset with `transforms` put behind those it has."""
        return replace(self, transforms=(*self.transforms, *transforms))

    @cached_property
    def fingerprint(self) -> str:
        """A short text that changes whenever a sample, a class, a split or a transform does."""
        digest = hashlib.sha256(repr((self.task, self.classes, self.transforms)).encode())
        for name, samples in self.splits.items():
            digest.update(name.encode() + samples.fingerprint())
        return digest.hexdigest()[:16]


def stratified_split(targets: Tensor, shares: Mapping[str, float], seed: int) -> dict[str, list[int]]:
    """Divide samples by chance, each class by itself, so that every split has the classes in the same proportion, and at least one sample of
    each class that has one for every split. The first split, which is trained on, has one of every class.

    Args:
        targets: int64 [count] of class numbers; float targets are divided as one class.
        shares: Split name → its share, in sum at most 1; the first split gets what rounding leaves.
    """
    generator = torch.Generator().manual_seed(seed)
    groups = (
        [torch.arange(len(targets))]
        if targets.is_floating_point()
        else [(targets == c).nonzero()[:, 0] for c in targets.unique()]
    )
    first, *others = shares
    result: dict[str, list[int]] = {name: [] for name in shares}
    wanted = sum(share > 0 for share in shares.values())
    for group in groups:
        order = group[torch.randperm(len(group), generator=generator)].tolist()
        enough = len(group) >= wanted
        for place, name in enumerate(others, 1):
            count = round(shares[name] * len(group))
            if shares[name] > 0 and enough:
                count = max(1, count)
            rest = [split for split in others[place:] if shares[split] > 0] if enough else []
            count = max(0, min(count, len(order) - len(rest) - (shares[first] > 0)))
            result[name] += order[:count]
            order = order[count:]
        result[first] += order
    return {name: sorted(indices) for name, indices in result.items() if indices}
