"""Batches of windows: what pictures with masks become on their way into a segmentation network."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from ...nn_layers import InputError, Prepare
from ..dataset import Dataset
from ..loader import CACHE_BYTES, Batch, Batches, scale_and_shift, seeded
from ..transforms import IGNORE, RANDOM, Cutout, DefectWindow, Mixup, RandomCrop, RandomResizedCrop
from .samples import MaskedSamples

UNSUITABLE = (RandomCrop, RandomResizedCrop, Mixup)
TRIES = 10
Pair = tuple[Tensor, Tensor]


class MaskLoader:
    """Windows of the training pictures, in an order and with an augmentation that depend on the seed and the epoch alone.

    A picture with fit "tile" keeps its size, and a window of the network's input size is cut out of it (`DefectWindow` says where); a
    picture with fit "stretch" or "pad" is resized first. Pictures are kept in memory when all fit into `CACHE_BYTES`.

    Args:
        dataset: Its task is "segmentation".
        split: Which of its splits.
        batch_size: Windows in a batch; the last batch of an epoch may be smaller.
        prepare: How a picture becomes an input.
        seed: Decides order and augmentation.
        workers: Processes that decode and augment; 0 does it here.
        rank, world: Which of how many processes this is, that take their part of every batch.
    """

    def __init__(
        self,
        dataset: Dataset,
        split: str,
        batch_size: int,
        prepare: Prepare,
        *,
        seed: int = 0,
        workers: int = 0,
        rank: int = 0,
        world: int = 1,
    ):
        check_transforms(dataset)
        self.samples: MaskedSamples = dataset.split(split)
        self.prepare, self.seed, self.workers = prepare, seed, workers
        self.window = next((t for t in dataset.transforms if isinstance(t, DefectWindow)), DefectWindow(p=0.0))
        self.batches = Batches(self.count, batch_size, rank, world)
        random = [t for t in dataset.transforms if isinstance(t, RANDOM)]
        self.joint = [t.build() for t in random if not isinstance(t, Cutout)]
        self.cutouts = [t.build() for t in random if isinstance(t, Cutout)]
        there = self.samples.targets > 0
        self.kinds = [
            (kind, there[:, kind].nonzero()[:, 0]) for kind in range(1, there.shape[1]) if there[:, kind].any()
        ]
        self.cache: dict[int, Pair] = {}
        self.cached_bytes = 0
        self.scale, self.shift = scale_and_shift(prepare)

    @property
    def count(self) -> int:
        """Windows in an epoch."""
        return len(self.samples) * self.window.count

    def __len__(self) -> int:
        return len(self.batches)

    def epoch(self, epoch: int = 0, skip: int = 0) -> Iterator[Batch]:
        """The batches of one epoch, without the first `skip` of them.

        Yields:
            float32 inputs [batch, channels, height, width] and int64 targets [batch, height, width], 255 where a pixel does not count.
        """
        order = torch.randperm(self.count, generator=seeded(self.seed, epoch, 0))
        for pictures, masks in self._raw_batches(self.batches.cut(order)[skip:], epoch):
            yield pictures.float().mul_(self.scale).add_(self.shift), masks.long()

    def _raw_batches(self, batches: Sequence[Tensor], epoch: int) -> Iterator[Pair]:
        if not self.workers:
            for numbers in batches:
                yield _stacked([self.sample(number, epoch) for number in numbers.tolist()])
            return
        from torch.utils.data import DataLoader

        yield from DataLoader(
            _EpochWindows(self, epoch),
            batch_sampler=[batch.tolist() for batch in batches],
            num_workers=self.workers,
            collate_fn=_stacked,
            generator=torch.Generator(),  # its own, or the random numbers of dropout would depend on the workers
            multiprocessing_context="fork",  # spawned workers would import ComfyUI's main script again
        )

    def sample(self, number: int, epoch: int) -> Pair:
        """One augmented window: uint8 [channels, height, width] and uint8 [height, width]."""
        from torchvision import tv_tensors

        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(hash((self.seed, epoch, number, -3)) % 2**63)
            kind, index = self._choose(number)
            picture, mask = self._cut(*self.whole(index), kind)
            if self.joint:
                picture, mask = tv_tensors.Image(picture), tv_tensors.Mask(mask)
                for transform in self.joint:
                    picture, mask = transform(picture, mask)
                picture, mask = picture.as_subclass(Tensor), mask.as_subclass(Tensor)
            for cutout in self.cutouts:
                picture = cutout(picture)
        return picture, mask

    def _choose(self, number: int) -> tuple[int, int]:
        """What a window is laid over, a kind of defect or 0 for anything, and in which picture."""
        if not self.kinds or float(torch.rand(())) >= self.window.p:
            return 0, number // self.window.count
        kind, pictures = self.kinds[int(torch.randint(len(self.kinds), ()))]
        return kind, int(pictures[int(torch.randint(len(pictures), ()))])

    def whole(self, index: int) -> Pair:
        """A picture and its mask, with the network's channels, resized where the dataset says so."""
        if index in self.cache:
            return self.cache[index]
        picture, mask = resized(self.samples[index], self.samples.mask(index), self.prepare)
        size = picture.numel() + mask.numel()
        if self.cached_bytes + size <= CACHE_BYTES and not self.workers:
            self.cache[index], self.cached_bytes = (picture, mask), self.cached_bytes + size
        return picture, mask

    def _cut(self, picture: Tensor, mask: Tensor, kind: int) -> Pair:
        """A window over a pixel of `kind`, or anywhere, enlarged to the network's input size."""
        low, high = math.log(self.window.smallest), math.log(self.window.largest)
        factor = math.exp(low + (high - low) * float(torch.rand(()))) if high > low else math.exp(low)
        height, width = (max(1, round(side / factor)) for side in (self.prepare.height, self.prepare.width))
        for _ in range(TRIES):
            top, left = _place(mask, height, width, kind)
            cut = window(mask, top, left, height, width, IGNORE)
            if self.window.most >= 1 or _largest_share(cut) <= self.window.most:
                break
        picture = window(picture, top, left, height, width)
        size = (self.prepare.height, self.prepare.width)
        if (height, width) == size:
            return picture, cut
        picture = F.interpolate(picture[None].float(), size, mode="bilinear", antialias=True)[0]
        cut = F.interpolate(cut[None, None], size, mode="nearest-exact")[0, 0]
        return picture.round().clamp(0, 255).to(torch.uint8), cut


def _place(mask: Tensor, height: int, width: int, kind: int) -> tuple[int, int]:
    """Top and left of a window; below 0 where the picture is smaller than the window."""
    free = [have - want for have, want in zip(mask.shape, (height, width), strict=True)]
    pixels = (mask == kind).nonzero() if kind else mask[:0]
    if not len(pixels):  # a small defect may be lost when the picture is made smaller
        return tuple(_anywhere(spare) for spare in free)
    pixel = pixels[int(torch.randint(len(pixels), ()))].tolist()
    return tuple(
        min(max(at - int(torch.randint(want, ())), 0), spare) if spare > 0 else _anywhere(spare)
        for at, want, spare in zip(pixel, (height, width), free, strict=True)
    )


class _EpochWindows:
    """One epoch of a loader as torch's DataLoader wants it."""

    def __init__(self, loader: MaskLoader, epoch: int):
        self.loader, self.epoch = loader, epoch

    def __len__(self) -> int:
        return self.loader.count

    def __getitem__(self, number: int) -> Pair:
        return self.loader.sample(number, self.epoch)


def window(tensor: Tensor, top: int, left: int, height: int, width: int, fill: int = 0) -> Tensor:
    """The part of [..., any, any] that a window covers; `fill` where it hangs over the edge."""
    bottom, right = top + height, left + width
    inside = tensor[..., max(0, top) : max(0, bottom), max(0, left) : max(0, right)]
    sides = -left, right - tensor.shape[-1], -top, bottom - tensor.shape[-2]
    over = tuple(min(max(0, side), most) for side, most in zip(sides, (width, width, height, height), strict=True))
    return F.pad(inside, over, value=fill) if any(over) else inside


def resized(picture: Tensor, mask: Tensor, prepare: Prepare) -> Pair:
    """A picture uint8 [any, height, width] and its mask as `prepare.fit` wants them, the picture with the network's channels."""
    picture = prepare.match_channels(picture[None])[0] if prepare.channels >= len(picture) else _grey(picture, prepare)
    size = (prepare.height, prepare.width)
    if prepare.fit == "tile" or picture.shape[-2:] == size:
        return picture, mask
    picture = prepare.resize(picture[None].float())[0].round().clamp(0, 255).to(torch.uint8)
    if prepare.fit == "pad":
        top, left, high, wide = padded_box(mask.shape, size)
        inside = F.interpolate(mask[None, None], (high, wide), mode="nearest-exact")[0, 0]
        return picture, window(inside, -top, -left, *size, IGNORE)
    return picture, F.interpolate(mask[None, None], size, mode="nearest-exact")[0, 0]


def padded_box(shape: Sequence[int], size: tuple[int, int]) -> tuple[int, int, int, int]:
    """Where a picture of `shape` lies after `Prepare.resize` padded it with black and resized it to `size`: top, left, height, width."""
    scale = min(want / have for want, have in zip(size, shape, strict=True))
    edges = []
    for want, have in zip(size, shape, strict=True):
        whole = max(have, round(want / scale))  # the padding is done before, in whole pixels of the picture
        before = (whole - have) // 2
        start, end = round(before * want / whole), round((before + have) * want / whole)
        edges.append((min(start, want - 1), max(1, end - start)))
    (top, high), (left, wide) = edges
    return top, left, high, wide


def _grey(picture: Tensor, prepare: Prepare) -> Tensor:
    return prepare.match_channels(picture[None].float())[0].round().to(torch.uint8)


def _stacked(pairs: Sequence[Pair]) -> Pair:
    pictures, masks = zip(*pairs, strict=True)
    return torch.stack(pictures), torch.stack(masks)


def _anywhere(spare: int) -> int:
    return int(torch.randint(spare + 1, ())) if spare > 0 else -(-spare // 2)


def _largest_share(mask: Tensor) -> float:
    counts = torch.bincount(mask[mask != IGNORE])
    return float(counts.max() / counts.sum()) if counts.any() else 1.0


def check_transforms(dataset: Dataset) -> None:
    """Refuse transforms that do not suit masks.

    Raises:
        InputError: Names the transform and what to use instead.
    """
    for transform in dataset.transforms:
        if isinstance(transform, UNSUITABLE):
            raise InputError(
                f"transform {type(transform).__name__} does not suit segmentation; take it out, and use Defect Window to train on parts of pictures."
            )
        if getattr(transform, "fit", "") == "crop":
            raise InputError(
                "Resize with fit crop would leave pixels without a prediction; set fit to stretch or pad, or take Resize out to look at pictures "
                "through windows of the network's size."
            )
