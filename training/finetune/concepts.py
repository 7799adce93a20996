"""What Stable Diffusion is to learn: concepts, each with pictures, their captions and, if there are any, masks and pictures of its class."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from ...nn_layers.errors import InputError
from ..dataset import read_picture
from ..mapped import opened
from ..sources import OnProgress, name_some, unreadable

FEW = 5
STEP = 64
"""Pixels: the sides of a bucket are multiples of it, as the UNet halves its latent picture three times."""
Size = tuple[int, int]


@dataclass(frozen=True)
class Picture:
    """One picture to learn from.

    Attributes:
        file: The picture.
        caption: What it shows, with the concept's prompt in it.
        mask: A picture that is bright where the subject or defect is.
        width, height: In pixels, as it is to be looked at.
    """

    file: Path
    caption: str
    mask: Path | None
    width: int
    height: int


@dataclass(frozen=True)
class Concept:
    """A subject or a defect.

    Attributes:
        prompt: What stands for it: a trigger word, or a text such as "a photo of a broken teeth zipper".
        pictures: What shows it.
        repeats: How often its pictures come in an epoch.
        class_prompt: What its class is called, such as "a photo of a zipper"; for prior preservation.
        class_pictures: Pictures of its class; those that lack are made.
    """

    prompt: str
    pictures: tuple[Picture, ...]
    repeats: int = 1
    class_prompt: str = ""
    class_pictures: tuple[Path, ...] = ()


@dataclass(frozen=True)
class Concepts:
    """Concepts, and in which sizes their pictures are learned from.

    Attributes:
        resolution: Pixels: pictures are made as large as a square of this side.
        buckets: Keep the pictures' shapes, in sizes that are multiples of 64; otherwise the middle square is cut out.
        dropout: Share of the captions that are left out, so that guidance has something to go by.
        notes: What a person should know.
    """

    name: str
    concepts: tuple[Concept, ...]
    resolution: int = 512
    buckets: bool = True
    dropout: float = 0.05
    notes: tuple[str, ...] = field(default=(), compare=False)

    def __post_init__(self) -> None:
        if self.resolution < 8 or self.resolution % 8:
            raise InputError(f"resolution is {self.resolution}; choose a multiple of 8, such as 512 or 1024.")
        if not 0 <= self.dropout < 1:
            raise InputError(f"caption_dropout is {self.dropout:g}; choose a share from 0 to below 1, such as 0.05.")

    def __len__(self) -> int:
        return sum(len(concept.pictures) for concept in self.concepts)

    @cached_property
    def pictures(self) -> tuple[tuple[int, Picture], ...]:
        """Every picture with the number of its concept."""
        return tuple((number, picture) for number, c in enumerate(self.concepts) for picture in c.pictures)

    @property
    def masked(self) -> int:
        """How many of the pictures have a mask."""
        return sum(picture.mask is not None for _, picture in self.pictures)

    def size_of(self, picture: Picture, square: bool = False) -> Size:
        """Height and width in pixels at which `picture` is learned from."""
        if square or not self.buckets or self.resolution < 2 * STEP:
            return self.resolution, self.resolution
        return nearest_bucket(picture.height, picture.width, self.resolution)

    @cached_property
    def fingerprint(self) -> str:
        """The same for two sets of concepts if, and only if, the same would be learned from them."""
        digest = hashlib.sha256(repr((self.resolution, self.buckets, self.dropout)).encode())
        for concept in self.concepts:
            digest.update(repr((concept.prompt, concept.repeats, concept.class_prompt)).encode())
            for picture in concept.pictures:
                digest.update(picture.caption.encode() + _digest(picture.file))
                digest.update(_digest(picture.mask) if picture.mask else b"-")
            for file in concept.class_pictures:
                digest.update(_digest(file))
        return digest.hexdigest()


def nearest_bucket(height: int, width: int, resolution: int) -> Size:
    """The size nearest in shape among those with sides of 64 pixels' multiples and no more pixels than the square.

    As in NovelAI's aspect-ratio bucketing (2022): sides from half of the resolution to twice of it.
    """
    sides = range(max(STEP, resolution // 2 // STEP * STEP), 2 * resolution + 1, STEP)
    sizes = [(max(STEP, min(2 * resolution, resolution**2 // w // STEP * STEP)), w) for w in sides]
    sizes += [(w, h) for h, w in sizes]
    shape = width / height

    def off(size: Size) -> tuple[float, int]:
        found = size[1] / size[0]
        return max(found / shape, shape / found), -size[0] * size[1]

    return min(sizes, key=off)


def load(picture: Path, size: Size) -> Tensor:
    """A picture in -1..1, float32 [3, height, width], made smaller or larger to cover `size`, and cut around its middle."""
    return fitted(read_picture(picture).float() / 127.5 - 1, size)


def load_mask(picture: Path, size: Size) -> Tensor:
    """A mask of zeros and ones, float32 [1, height, width], cut as its picture is."""
    return (fitted(read_picture(picture, "L").float() / 255, size) > 0.5).float()


def fitted(picture: Tensor, size: Size) -> Tensor:
    """Pixels [channels, height, width] made smaller or larger to cover `size`, and cut around their middle."""
    height, width = size
    scale = max(height / picture.shape[1], width / picture.shape[2])
    enough = [max(side, round(old * scale)) for side, old in zip(size, picture.shape[1:], strict=True)]
    picture = F.interpolate(picture[None], enough, mode="bilinear", antialias=True, align_corners=False)[0]
    top, left = (enough[0] - height) // 2, (enough[1] - width) // 2
    return picture[:, top : top + height, left : left + width].contiguous()


def batches(concepts: Concepts, size: int, seed: int, every_concept: bool, epoch: int) -> list[list[int]]:
    """The batches of an epoch, as numbers of `concepts.pictures`; a pure function of what is given.

    Pictures of one batch have one size. With `every_concept` the concepts take turns, so that a batch of at least as many pictures
    holds all of them, and pictures of small concepts come more often.
    """
    chance = random.Random(f"{seed} {epoch}")
    own: list[list[int]] = [[] for _ in concepts.concepts]
    for index, (number, _) in enumerate(concepts.pictures):
        own[number] += [index] * concepts.concepts[number].repeats
    if every_concept:
        longest = max(map(len, own))
        turns = [_shuffled(list(numbers), chance, longest) for numbers in own]
        line = [turn[place] for place in range(longest) for turn in turns]
        line += line[: -len(line) % size]
        return _chunks(line, size)
    by_size: dict[Size, list[int]] = {}
    for index in (index for numbers in own for index in numbers):
        by_size.setdefault(concepts.size_of(concepts.pictures[index][1]), []).append(index)
    found = []
    for numbers in by_size.values():
        chance.shuffle(numbers)
        found += _chunks(numbers, size)
    chance.shuffle(found)
    return found


def _chunks(line: Sequence[int], size: int) -> list[list[int]]:
    return [list(line[first : first + size]) for first in range(0, len(line), size)]


def _shuffled(numbers: list[int], chance: random.Random, count: int) -> list[int]:
    """`count` of the numbers by chance: each as often as any other, or once more."""
    line: list[int] = []
    while len(line) < count:
        chance.shuffle(numbers)
        line += numbers
    return line[:count]


def measured(files: Iterable[tuple[Path, str, Path | None]], on_progress: OnProgress | None) -> list[Picture]:
    """Pictures from files, captions and masks; every file is read to its end once, to find the broken ones now.

    Raises:
        InputError: Files that are no pictures, or a mask of another shape than its picture.
    """
    from PIL import ImageOps

    files = list(files)
    every = [path for file, _, mask in files for path in (file, mask) if path]
    if broken := unreadable(every, on_progress):
        raise InputError(
            f"{len(broken)} of {len(every)} pictures cannot be read: {name_some(broken)}; replace or remove them."
        )
    found = []
    for file, caption, mask in files:
        with opened(file) as picture:
            width, height = ImageOps.exif_transpose(picture).size
        if mask:
            with opened(mask) as picture:
                other = ImageOps.exif_transpose(picture).size
            if abs(other[0] / other[1] - width / height) > 0.02 * width / height:
                raise InputError(
                    f"{mask.name} is a mask of {other[0]} × {other[1]} pixels, but {file.name} has {width} × {height}; make both of one shape."
                )
        found.append(Picture(file, caption, mask, width, height))
    return found


def warnings_of(concepts: Sequence[Concept]) -> tuple[str, ...]:
    """What will train badly."""
    return tuple(
        f"{concept.prompt!r} has {len(concept.pictures)} picture{'s' * (len(concept.pictures) > 1)}: the model will learn these very pictures; "
        f"{FEW} to 30 that differ are better."
        for concept in concepts
        if len(concept.pictures) < FEW
    )


def _digest(file: Path) -> bytes:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").digest() if hasattr(hashlib, "file_digest") else _slow(stream)


def _slow(stream) -> bytes:  # Python 3.10
    digest = hashlib.sha256()
    while part := stream.read(2**20):
        digest.update(part)
    return digest.digest()


def preview(concepts: Concepts, most: int = 16) -> tuple[list[Tensor], list[str]]:
    """The first pictures as uint8 [3, height, width], masks painted over them, and their captions."""
    from ..segmentation.masks import default_colors, overlay

    shown, captions = [], []
    for _, picture in concepts.pictures[:most]:
        size = concepts.size_of(picture)
        pixels = ((load(picture.file, size) + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)
        if picture.mask:
            pixels = overlay(pixels, load_mask(picture.mask, size)[0].to(torch.uint8), default_colors(2))
        shown.append(pixels)
        captions.append(picture.caption)
    return shown, captions
