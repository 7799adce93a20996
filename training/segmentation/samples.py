"""Pictures with masks: the samples of a segmentation dataset, and how a heap of them is divided."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import torch
from torch import Tensor

from ...nn_layers.errors import InputError
from ..dataset import SPLITS, Dataset, PictureFiles, Samples, Subset, stratified_split
from ..mapped import MAPPED_PIXELS
from .masks import IGNORE, MAX_CLASSES, Color, default_colors


class Mask(Protocol):
    """Something that a mask can be read from when it is needed."""

    def read(self) -> Tensor:
        """uint8 [height, width] of class numbers, 255 where a pixel does not count."""
        ...

    def fingerprint(self) -> bytes:
        """Changes whenever the mask does."""
        ...


class MaskedSamples(Samples, Protocol):
    """A split of pictures with masks; `targets` is int64 [count, classes], the pixels of each class in each mask."""

    def mask(self, index: int) -> Tensor:
        """uint8 [height, width] of class numbers, 255 where a pixel does not count."""
        ...


@dataclass(frozen=True, eq=False)
class MaskedFiles(PictureFiles):
    """Picture files with a mask each; both are decoded when asked for."""

    masks: Sequence[Mask] = ()

    def mask(self, index: int) -> Tensor:
        """The mask of one picture.

        Raises:
            InputError: The file cannot be read, or is not what it was when the dataset was made.
        """
        mask, known = self.masks[index].read(), self.targets[index]
        small = (
            mask.numel() <= MAPPED_PIXELS
        )  # a larger one is not read whole every time; its map is made anew when it changes
        if small and not torch.equal(pixel_counts(mask, len(known)), known):
            raise InputError(
                f"the mask of {self.name(index)} has changed since the dataset was read; run the dataset node again."
            )
        return mask

    def fingerprint(self) -> bytes:
        digest = hashlib.sha256(super().fingerprint())
        for mask in self.masks:
            digest.update(mask.fingerprint())
        return digest.digest()


@dataclass(frozen=True, eq=False)
class MaskedTensors:
    """Pictures uint8 [channels, height, width] and masks uint8 [height, width] that are in memory, of any sizes."""

    pictures: Sequence[Tensor]
    masks: Sequence[Tensor]
    targets: Tensor

    def __len__(self) -> int:
        return len(self.pictures)

    def __getitem__(self, index: int) -> Tensor:
        return self.pictures[index]

    def mask(self, index: int) -> Tensor:
        """The mask of one picture."""
        return self.masks[index]

    def name(self, index: int) -> str:
        return f"picture {index + 1}"

    def fingerprint(self) -> bytes:
        digest = hashlib.sha256()
        for tensor in (*self.pictures, *self.masks):
            digest.update(tensor.contiguous().numpy().tobytes())
        return digest.digest()


def pixel_counts(mask: Tensor, classes: int = 256) -> Tensor:
    """int64 [classes]: the pixels of each class in a mask uint8 [height, width]; ignored pixels are left out."""
    counts = torch.bincount(mask.flatten(), minlength=256)
    counts[IGNORE] = 0
    return counts[:classes]


def strata(counts: Tensor) -> Tensor:
    """What each picture is divided by: the class it has that the fewest pictures have, 0 where it has the background only.

    Args:
        counts: int64 [pictures, classes] of pixels.

    Returns:
        int64 [pictures].
    """
    there = counts > 0
    pictures = there.sum(0).double()
    pictures[0] = torch.inf
    rarest = torch.where(there, pictures, torch.inf).argmin(1)
    return torch.where(there[:, 1:].any(1), rarest, 0)


def segmentation_dataset(
    name: str,
    splits: Mapping[str, MaskedSamples],
    classes: Sequence[str] = (),
    colors: Sequence[Color] = (),
    *,
    shares: Mapping[str, float] | None = None,
    by_chance: bool = True,
    seed: int = 0,
    notes: tuple[str, ...] = (),
) -> Dataset:
    """A dataset from splits, or from one heap ("train") that is divided by `shares`.

    Args:
        classes: Names; without any they are called background and defect, or class 1, class 2 and so on.
        shares: Split name → its share; each kind of defect is divided by itself. None keeps the splits.
        by_chance: Divide by chance from `seed`; otherwise in the order of the names: first train, then val, then test.

    Raises:
        InputError: A mask has a class beyond the names, two classes have one name, or no mask has anything but background.
    """
    counts = torch.cat([samples.targets for samples in splits.values()])
    highest = int(counts.sum(0).nonzero().max()) if counts.any() else 0
    classes = tuple(classes) or class_names(highest + 1)
    if highest >= len(classes):
        split, samples = next((s, x) for s, x in splits.items() if x.targets[:, highest].any())
        place = samples.name(int(samples.targets[:, highest].nonzero()[0]))
        raise InputError(
            f"the mask of {place} ({split}) has class number {highest}, but the classes go from 0 to {len(classes) - 1}: "
            f"{', '.join(classes)}; name all classes or correct the mask."
        )
    if len(classes) > MAX_CLASSES:
        raise InputError(
            f"{name} has {len(classes)} classes, but at most {MAX_CLASSES} fit into a mask; leave some out or join them."
        )
    if twice := next((one for one in classes if classes.count(one) > 1), None):  # scores are kept by name
        raise InputError(f"two classes of {name} are called {twice!r}; give each a name of its own.")
    if not counts[:, 1:].any():
        raise InputError(
            f"the masks of {name} have background only; put masks with at least one other class in, or choose another coding."
        )
    splits = {
        split: replace(splits[split], targets=splits[split].targets[:, : len(classes)])
        for split in SPLITS
        if split in splits
    }
    if shares is not None:
        heap = splits["train"]
        parts = stratified_split(strata(heap.targets), shares, seed) if by_chance else in_order(len(heap), shares)
        splits = {split: Subset(heap, chosen) for split, chosen in parts.items()}
    colors = tuple(colors)[: len(classes)]
    colors += default_colors(len(classes))[len(colors) :]
    notes += tuple(
        f"{split} has no pixel of {', '.join(absent)}."
        for split, samples in splits.items()
        if (absent := [classes[i] for i in range(1, len(classes)) if not samples.targets[:, i].any()])
    )
    return Dataset(name, "segmentation", classes, splits, notes=notes, colors=colors)


def class_names(count: int) -> tuple[str, ...]:
    """Names for classes that have none."""
    return ("background", "defect") if count <= 2 else ("background", *(f"class {i}" for i in range(1, count)))


def in_order(count: int, shares: Mapping[str, float]) -> dict[str, list[int]]:
    """Divide the numbers 0 … count − 1 in their order by `shares`, without empty parts."""
    parts, start, passed = {}, 0, 0.0
    for name, share in shares.items():
        passed += share
        end = count if name == list(shares)[-1] else round(passed * count)
        parts[name] = list(range(start, end))
        start = end
    return {name: part for name, part in parts.items() if part}


def check_trainable(dataset: Dataset) -> None:
    """Refuse splits that nothing can be learned or chosen from.

    Raises:
        InputError: A class that no training picture has, or a validation split without any defect.
    """
    there = dataset.split("train").targets.sum(0) > 0
    if not there.all():
        empty = dataset.classes[int((~there).nonzero()[0])]
        raise InputError(
            f"class {empty} has no pixel in the training split of {dataset.name}; add pictures that have it, or take it out of the classes."
        )
    if "val" in dataset.splits and not dataset.split("val").targets[:, 1:].any():
        raise InputError(
            f"the val split of {dataset.name} has background only, so no epoch can be judged by it; put pictures with defects into it."
        )
