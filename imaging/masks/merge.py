"""Many masks into one: union, intersection, difference, exclusive or, majority."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch

from ...nn_layers.errors import InputError
from .batches import paired, shape_text, size_text

STRIP = 1 << 17  # pixels done at a time: what is merged so far (half a megabyte) stays in the processor's cache

Planes = Sequence[torch.Tensor]


def _union(strips: Planes) -> torch.Tensor:
    result = strips[0].clone()
    for strip in strips[1:]:
        torch.maximum(result, strip, out=result)
    return result


def _intersection(strips: Planes) -> torch.Tensor:
    result = strips[0].clone()
    for strip in strips[1:]:
        torch.minimum(result, strip, out=result)
    return result


def _difference(strips: Planes) -> torch.Tensor:
    return (strips[0] - _union(strips[1:])).clamp_(min=0) if len(strips) > 1 else strips[0].clone()


def _xor(strips: Planes) -> torch.Tensor:
    """Odd-numbered overlap; for soft masks the probability of it: 1 - 2p is multiplied, so the order does not matter."""
    result = 1 - 2 * strips[0]
    for strip in strips[1:]:
        result.addcmul_(result, strip, value=-2)
    return (1 - result) / 2


def _majority(strips: Planes) -> torch.Tensor:
    votes = torch.zeros_like(strips[0], dtype=torch.uint8 if len(strips) < 256 else torch.int32)
    above = torch.empty_like(strips[0], dtype=torch.bool)
    for strip in strips:
        votes += torch.gt(strip, 0.5, out=above).view(torch.uint8)
    return (votes > len(strips) // 2).float()


OPERATIONS: dict[str, Callable[[Planes], torch.Tensor]] = {
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
    merged = torch.stack([_merge_planes(column, OPERATIONS[operation]) for column in columns])
    if merged.isnan().any():
        raise InputError("masks hold values that are no numbers (NaN); look at the nodes that made them.")
    return merged.clamp_(0, 1)


def _merge_planes(planes: Planes, operation: Callable[[Planes], torch.Tensor]) -> torch.Tensor:
    """One mask [height, width] from many, in strips of rows."""
    height, width = planes[0].shape
    rows = max(1, STRIP // width)
    result = torch.empty_like(planes[0], memory_format=torch.contiguous_format)
    for start in range(0, height, rows):
        result[start : start + rows] = operation([plane[start : start + rows] for plane in planes])
    return result


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
