"""Many masks into one: union, intersection, difference, exclusive or, majority."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import torch

from ...nn_layers.errors import InputError
from .batches import paired, shape_text, size_text

STRIP = 1 << 16  # pixels done at a time on the CPU: what is merged so far stays in the processor's cache
SMALL = 1 << 20  # pixels of all masks from which threads pay

Plane = Any
"""A strip of a mask: a NumPy array on the CPU, whose loops have the least overhead, and a tensor on a GPU.

The operations use only functions that both libraries have under one name, and are given which library it is.
"""


def _union(planes: Sequence[Plane], out: Plane, library: Any) -> None:
    out[...] = planes[0]
    for plane in planes[1:]:
        library.maximum(out, plane, out=out)


def _intersection(planes: Sequence[Plane], out: Plane, library: Any) -> None:
    out[...] = planes[0]
    for plane in planes[1:]:
        library.minimum(out, plane, out=out)


def _difference(planes: Sequence[Plane], out: Plane, library: Any) -> None:
    _union(planes[1:] or planes, out, library)
    if len(planes) > 1:
        library.subtract(planes[0], out, out=out)  # below 0 where the others are larger: cut off at the end


def _xor(planes: Sequence[Plane], out: Plane, library: Any) -> None:
    """Odd-numbered overlap; for soft masks the probability of it: 1 - 2p is multiplied, so the order does not matter.

    What is multiplied is p - 1/2; the powers of -2 that are owed come in sixteens, which rounds nothing and cannot underflow.
    """
    factor = library.empty_like(out)
    out[...] = 1
    for number, plane in enumerate(planes, 1):
        library.subtract(plane, 0.5, out=factor)
        out *= factor
        if number % 16 == 0:
            out *= 2.0**16
    out *= -0.5 * (-2.0) ** (len(planes) % 16)
    out += 0.5


def _majority(planes: Sequence[Plane], out: Plane, library: Any) -> None:
    votes = library.zeros_like(out, dtype=library.uint8 if len(planes) < 256 else library.int32)
    wrong = library.zeros_like(votes, dtype=library.bool_ if library is np else library.bool)
    for plane in planes:
        votes += library.greater(plane, 0.5)
        wrong |= library.isnan(plane)  # which is not above a half, and must not pass for a vote against
    out[...] = votes > len(planes) // 2
    out[wrong] = math.nan


OPERATIONS: dict[str, Callable[[Sequence[Plane], Plane, Any], None]] = {
    "union": _union,
    "intersection": _intersection,
    "difference": _difference,
    "xor": _xor,
    "majority": _majority,
}


def merge_masks(masks: Sequence[torch.Tensor], operation: str = "union", into_one: bool = False) -> torch.Tensor:
    """Merge masks [batch, height, width].

    Args:
        masks: Any number of batches, all of one size; a batch of another size that is empty everywhere counts as empty.
        operation: A key of `OPERATIONS`. "difference" takes all others from the first, "xor" keeps what an odd number of masks
            cover, "majority" what more than half of them cover (above a half counts, and the result is 0 or 1).
        into_one: Merge every mask of every batch into a single mask; otherwise the first masks of all batches are merged, then the
            second ones, and a batch of one goes with all of them.

    Returns:
        float32 [longest batch or 1, height, width].

    Raises:
        InputError: No mask, different sizes, batches that cannot be paired, or values that are no numbers.
    """
    batches = same_size(masks)
    if into_one:
        columns = [[plane for batch in batches for plane in batch]]
    else:
        pairs = paired({f"mask {number}": batch for number, batch in enumerate(batches, 1)})
        columns = list(zip(*pairs, strict=True))
    merged = torch.empty(len(columns), *batches[0].shape[1:], device=batches[0].device)
    for column, plane in zip(columns, merged, strict=True):
        _merge_planes(column, plane, OPERATIONS[operation])
    least, most = merged.aminmax()  # both are NaN where any value is
    if least.isnan():
        raise InputError("masks hold values that are no numbers (NaN); look at the nodes that made them.")
    return merged if least >= 0 and most <= 1 else merged.clamp_(0, 1)


def _merge_planes(planes: Sequence[torch.Tensor], out: torch.Tensor, operation: Callable[..., None]) -> None:
    """One mask [height, width] from many, into `out`: on the CPU in strips of rows, on as many threads as torch may use."""
    if out.device.type != "cpu":
        operation(planes, out, torch)
        return
    arrays, result = [plane.numpy() for plane in planes], out.numpy()
    height, width = result.shape
    rows = max(1, STRIP // width)

    def strip(start: int) -> None:
        part = slice(start, start + rows)
        operation([array[part] for array in arrays], result[part], np)

    starts, threads = range(0, height, rows), torch.get_num_threads()
    if threads == 1 or result.size * len(arrays) < SMALL:
        for start in starts:
            strip(start)
        return
    with ThreadPoolExecutor(threads) as pool:  # NumPy lets go of Python's lock while it computes
        list(pool.map(strip, starts))


def same_size(masks: Sequence[torch.Tensor]) -> list[torch.Tensor]:
    """The batches as float32 of one size on the first one's device."""
    batches = [mask[None] if mask.ndim == 2 else mask for mask in masks if mask.numel()]
    wrong = next((batch for batch in batches if batch.ndim != 3), None)
    if not batches or wrong is not None:
        found = "nothing" if wrong is None else f"the shape {shape_text(wrong)}"
        raise InputError(f"masks hold {found}; connect at least one mask of the shape batch × height × width.")
    sizes = {batch.shape[1:] for batch in batches}
    if len(sizes) > 1:
        filled = [batch for batch in batches if batch.any()]
        size = (filled or batches)[0].shape[1:]
        if any(batch.shape[1:] != size for batch in filled):
            found = " and ".join(sorted(size_text(size) for size in sizes))
            raise InputError(f"masks have different sizes, {found} pixels; resize them to one size before merging.")
        batches = [batch if batch.shape[1:] == size else batch.new_zeros(len(batch), *size) for batch in batches]
    return [batch.float().to(batches[0].device) for batch in batches]
