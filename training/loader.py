"""Batches: what a dataset's split becomes on its way into a network."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

import torch
from torch import Tensor

from ..nn_layers import InputError, Prepare
from .dataset import Dataset
from .transforms import IMAGENET_MEAN, IMAGENET_STD, RANDOM, SIZED, Mixup, Normalize, Resize

CACHE_BYTES = 2**30
STATISTICS_SAMPLES = 2000
TOLD_PIXELS = 2**21  # about a tenth of a second of decoding

Batch = tuple[Tensor, Tensor]
OnPicture = Callable[[int, int], None]
T = TypeVar("T")
Looking = Generator[tuple[int, int], None, T]


class Looked(Generic[T]):
    """What a generator of type `Looking` yields, to be read in a loop; what it came to is in `found` afterwards."""

    def __init__(self, steps: Looking[T]):
        self.steps = steps

    def __iter__(self) -> Iterator[tuple[int, int]]:
        self.found: T = yield from self.steps


def prepare_for(dataset: Dataset, wanted: Prepare | None, on_picture: OnPicture | None = None) -> Prepare | None:
    """How pictures of `dataset` are prepared for a network that wants `wanted`: with the resizing and normalization of its transforms.

    Args:
        on_picture: Called with pictures looked at and in all, where their mean and deviation are wanted; may raise to stop.
    """
    looking = Looked(preparing(dataset, wanted))
    for stand in looking:
        if on_picture:
            on_picture(*stand)
    return looking.found


def preparing(dataset: Dataset, wanted: Prepare | None) -> Looking[Prepare | None]:
    """`prepare_for`, bit by bit: yields pictures looked at and in all, several times a second for large ones."""
    if wanted is None or not dataset.is_pictures:
        return None
    resizes = [t for t in dataset.transforms if isinstance(t, Resize)]
    whole = "tile" if dataset.task == "segmentation" else "stretch"
    prepare = replace(wanted, fit=resizes[-1].fit if resizes else whole, mean=(), std=())
    for transform in dataset.transforms:
        if isinstance(transform, Normalize):
            imagenet = transform.source == "imagenet"
            mean, std = _imagenet(prepare) if imagenet else (yield from channel_statistics(dataset, prepare))
            prepare = replace(prepare, mean=mean, std=std)
    return prepare


def _imagenet(prepare: Prepare) -> tuple[tuple[float, ...], tuple[float, ...]]:
    if prepare.channels == 3:
        return IMAGENET_MEAN, IMAGENET_STD
    return tuple((sum(values) / 3,) * prepare.channels for values in (IMAGENET_MEAN, IMAGENET_STD))


def channel_statistics(dataset: Dataset, prepare: Prepare) -> Looking[tuple[tuple[float, ...], tuple[float, ...]]]:
    """Mean and standard deviation per channel (0..1 units) of the training pictures, of at most 2,000 spread evenly; bit by bit."""
    samples = dataset.split("train")
    total = squares = torch.zeros(prepare.channels, dtype=torch.float64)
    pixels = told = 0
    count = min(len(samples), STATISTICS_SAMPLES)
    for done, index in enumerate(torch.linspace(0, len(samples) - 1, count).long().tolist(), 1):
        picture = prepare.match_channels(samples[index][None].float() / 255)[0].double().flatten(1)
        total, squares, pixels = total + picture.sum(1), squares + (picture**2).sum(1), pixels + picture.shape[1]
        if pixels - told >= TOLD_PIXELS:
            told = pixels
            yield done, count
    mean = total / pixels
    std = (squares / pixels - mean**2).clamp(min=1e-8).sqrt()  # one flat colour must not divide by zero
    return tuple(mean.tolist()), tuple(std.tolist())


class Loader:
    """Batches of one split, in an order and with an augmentation that depend on the seed and the epoch alone.

    Small sets are decoded and resized once and kept as one uint8 tensor; a batch is then one lookup and one normalization.

    Args:
        dataset: Where the samples come from.
        split: Which of its splits.
        batch_size: Samples in a batch; the last batch of an epoch may be smaller.
        prepare: How a picture becomes an input; None hands numbers on as they are.
        train: Shuffle and augment.
        seed: Decides both.
        workers: Processes that decode; 0 decodes here.
        rank, world: Which of how many processes this is, that take their part of every batch; mixup stays within a part.
    """

    def __init__(
        self,
        dataset: Dataset,
        split: str,
        batch_size: int,
        prepare: Prepare | None,
        *,
        train: bool = False,
        seed: int = 0,
        workers: int = 0,
        rank: int = 0,
        world: int = 1,
    ):
        self.samples = dataset.split(split)
        self.batches = Batches(len(self.samples), batch_size, rank, world)
        self.classes = len(dataset.classes)
        self.prepare, self.train, self.seed, self.workers = prepare, train, seed, workers
        random = [t for t in dataset.transforms if isinstance(t, RANDOM)] if train and prepare else []
        self.resizes_late = any(isinstance(t, SIZED) for t in random)
        self.fixed = [t for t in dataset.transforms if isinstance(t, Resize)] if self.resizes_late else []
        self.random = [t.build() for t in random]
        self.mixup = next((t for t in dataset.transforms if isinstance(t, Mixup)), None) if train else None
        self.targets = self.samples.targets
        self.cache = self._make_cache()
        self.cached = torch.zeros(len(self.samples), dtype=torch.bool)
        if prepare:
            self.scale, self.shift = scale_and_shift(prepare)

    def __len__(self) -> int:
        return len(self.batches)

    def epoch(self, epoch: int = 0, skip: int = 0) -> Iterator[Batch]:
        """The batches of one epoch, without the first `skip` of them.

        Yields:
            float32 inputs [batch, …] and targets: int64 [batch], float32 [batch, classes] under mixup, float32 [batch, values] for regression.
        """
        count = len(self.samples)
        order = torch.randperm(count, generator=seeded(self.seed, epoch, 0)) if self.train else torch.arange(count)
        batches = self.batches.cut(order)[skip:]
        for number, (indices, raw) in enumerate(zip(batches, self._raw_batches(batches, epoch), strict=True), skip):
            inputs, targets = self._to_float(raw), self.targets[indices]
            if self.mixup:
                inputs, targets = self.mixup.mix(inputs, targets, self.classes, seeded(self.seed, epoch, number + 1))
            yield inputs, targets

    def _raw_batches(self, batches: Sequence[Tensor], epoch: int) -> Iterator[Tensor]:
        """The samples of each batch stacked: uint8 pictures, augmented while training, or float32 rows."""
        if self.workers and self.prepare:
            yield from self._worker_batches(batches, epoch)
            return
        for indices in batches:
            if self.random or self.cache is None:
                yield torch.stack([self.sample(index, epoch) for index in indices.tolist()])
            else:
                self._fill(indices)
                yield self.cache[indices]

    def _worker_batches(self, batches: Sequence[Tensor], epoch: int) -> Iterator[Tensor]:
        from torch.utils.data import DataLoader

        yield from DataLoader(
            _EpochSamples(self, epoch),
            batch_sampler=[batch.tolist() for batch in batches],
            num_workers=self.workers,
            collate_fn=torch.stack,
            multiprocessing_context="fork",  # spawned workers would import ComfyUI's main script again
            generator=torch.Generator(),  # its seeds must not come from the numbers that dropout draws
        )

    def sample(self, index: int, epoch: int) -> Tensor:
        """One sample, prepared and (while training) augmented, before it becomes float32."""
        if self.cache is None:
            raw = self._fixed(self.samples[index])
        else:
            self._fill(torch.tensor([index]))
            raw = self.cache[index]
        if not self.random:
            return raw
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(hash((self.seed, epoch, index, -3)) % 2**63)
            for transform in self.random:
                raw = transform(raw)
        return self._resize(raw)

    def _make_cache(self) -> Tensor | None:
        first = self._fixed(self.samples[0])
        same_size = not self.resizes_late
        if not same_size or len(self.samples) * first.numel() * first.element_size() > CACHE_BYTES or self.workers:
            return None
        return torch.empty(len(self.samples), *first.shape, dtype=first.dtype)

    def _fill(self, indices: Tensor) -> None:
        missing = indices[~self.cached[indices]]
        for index in missing.tolist():
            self.cache[index] = self._fixed(self.samples[index])
        self.cached[missing] = True

    def _fixed(self, raw: Tensor) -> Tensor:
        """What happens to a sample in every epoch alike."""
        if self.prepare is None:
            return raw
        raw = _to_uint8(self.prepare.match_channels(raw[None].float())[0])
        for resize in self.fixed:
            raw = _resized(raw, replace(self.prepare, height=resize.height, width=resize.width, fit=resize.fit))
        return raw if self.resizes_late else self._resize(raw)

    def _resize(self, raw: Tensor) -> Tensor:
        return _resized(raw, self.prepare)

    def _to_float(self, raw: Tensor) -> Tensor:
        return raw.float() if self.prepare is None else raw.float().mul_(self.scale).add_(self.shift)


@dataclass(frozen=True)
class Batches:
    """How `count` samples are cut into batches of `size`, and which part of each is for this process, `rank` of `world` that share them.

    The last batch is smaller, or larger: one of fewer than two samples per process joins the one before it, because batch normalization
    cannot train on a single sample.
    """

    count: int
    size: int
    rank: int = 0
    world: int = 1

    def __len__(self) -> int:
        rest = self.count % self.size
        joins = self.count > self.size and 0 < rest < min(self.size, 2 * self.world)
        return -(-self.count // self.size) - joins

    def length(self, number: int) -> int:
        """Samples of a batch, of all processes together."""
        return self.size if number < len(self) - 1 else self.count - number * self.size

    def cut(self, order: Tensor) -> list[Tensor]:
        """This process's part of each batch of `order`."""
        starts = range(0, len(self) * self.size, self.size)
        whole = [order[start : start + self.length(number)] for number, start in enumerate(starts)]
        return whole if self.world == 1 else [batch[self.rank :: self.world] for batch in whole]


def seeded(seed: int, epoch: int, number: int) -> torch.Generator:
    """A random generator of its own for each of the three numbers; hashes of whole numbers are the same everywhere."""
    return torch.Generator().manual_seed(hash((seed, epoch, number)) % 2**63)


def scale_and_shift(prepare: Prepare) -> tuple[Tensor, Tensor]:
    """What uint8 pictures are multiplied with and what is added then, so that they are in 0..1 and normalized: [channels, 1, 1] each."""
    if not prepare.mean:
        return torch.tensor(1 / 255), torch.tensor(0.0)
    mean, std = (torch.tensor(values).view(-1, 1, 1) for values in (prepare.mean, prepare.std))
    return 1 / (255 * std), -mean / std


class _EpochSamples:
    """One epoch of a loader as torch's DataLoader wants it."""

    def __init__(self, loader: Loader, epoch: int):
        self.loader, self.epoch = loader, epoch

    def __len__(self) -> int:
        return len(self.loader.samples)

    def __getitem__(self, index: int) -> Tensor:
        return self.loader.sample(index, self.epoch)


def _resized(raw: Tensor, prepare: Prepare) -> Tensor:
    if raw.shape[-2:] == (prepare.height, prepare.width):
        return raw
    return _to_uint8(prepare.resize(raw[None].float())[0])


def _to_uint8(raw: Tensor) -> Tensor:
    return raw.round().clamp(0, 255).to(torch.uint8)


def check_fits(dataset: Dataset, wanted: Prepare | None, shape: tuple[int, ...]) -> None:
    """Refuse a dataset that a network cannot read.

    Raises:
        InputError: Pictures for a network of numbers, numbers for one of pictures, or the wrong number of features.
    """
    first = dataset.split("train")[0]
    if wanted is None and first.dim() == 3:
        raise InputError(
            f"dataset {dataset.name} has pictures, but the network's Input wants {' × '.join(map(str, shape))}; give it an Input of kind image."
        )
    if first.dim() == 1 and tuple(first.shape) != tuple(shape):
        raise InputError(
            f"dataset {dataset.name} has {len(first)} features, but the network's Input wants {' × '.join(map(str, shape))}; set its kind to "
            f"features and its number to {len(first)}."
        )
