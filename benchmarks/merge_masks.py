"""Merging 64 masks of 1,024²: Merge Masks against Python loops over PIL, for each operation; the same result is checked.

Masks come in and go out as tensors, as between nodes; what a loop over PIL costs depends on how often it converts:

- chained: nodes on PIL one after another, or a loop over a function that merges two masks; each step turns both masks into pictures
  and the result back. This is what packs of mask nodes do, and what the bound of 20 is for.
- leanest: each mask becomes a picture once, the result a mask once. Fewer conversions are not possible.

Merge Masks reads each value once. That alone, a sum of all values, is timed as well: no way to merge can be faster.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import reduce

import numpy as np
import torch
from PIL import Image, ImageChops
from visionsmith.imaging.masks import OPERATIONS, merge_masks

COUNT, SIDE, ROUNDS = 64, 1024, 5


def picture(mask: torch.Tensor) -> Image.Image:
    """A MASK as PIL has it."""
    return Image.fromarray(np.clip(255.0 * mask.cpu().numpy(), 0, 255).astype(np.uint8))


def mask(picture: Image.Image) -> torch.Tensor:
    """And back."""
    return torch.from_numpy(np.array(picture).astype(np.float32) / 255)


def either(first: Image.Image, second: Image.Image) -> Image.Image:
    return ImageChops.logical_xor(first.convert("1", dither=0), second.convert("1", dither=0)).convert("L")


STEPS: dict[str, Callable[[Image.Image, Image.Image], Image.Image]] = {
    "union": ImageChops.lighter,
    "intersection": ImageChops.darker,
    "difference": ImageChops.subtract,
    "xor": either,
    "majority": ImageChops.add,
}


def chained(masks: torch.Tensor, operation: str) -> torch.Tensor:
    """A mask node on PIL after the other."""
    if operation == "majority":  # votes: 1/255 each
        votes = reduce(lambda one, other: mask(ImageChops.add(picture(one), picture(other))), masks / 255)
        return mask(picture(votes).point(lambda count: 255 * (2 * count > len(masks))))
    return reduce(lambda one, other: mask(STEPS[operation](picture(one), picture(other))), masks)


def lean(masks: torch.Tensor, operation: str) -> torch.Tensor:
    """One loop that stays in PIL."""
    pictures = (picture(one) for one in (masks / 255 if operation == "majority" else masks))
    merged = reduce(STEPS[operation], pictures)
    return mask(merged.point(lambda count: 255 * (2 * count > len(masks))) if operation == "majority" else merged)


def seconds(function: Callable[[], torch.Tensor]) -> float:
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


if __name__ == "__main__":
    masks = (torch.rand(COUNT, SIDE, SIDE, generator=torch.Generator().manual_seed(0)) < 0.3).float()
    times: dict[str, dict[str, float]] = {}
    for operation in OPERATIONS:
        ways = {
            "ours": lambda operation=operation: merge_masks([masks], operation, into_one=True)[0],
            "chained": lambda operation=operation: chained(masks, operation),
            "lean": lambda operation=operation: lean(masks, operation),
        }
        results = [way() for way in ways.values()]
        assert all(torch.equal(results[0], result) for result in results[1:]), operation
        rounds = [{name: seconds(way) for name, way in ways.items()} for _ in range(ROUNDS)]
        times[operation] = {name: min(one[name] for one in rounds) for name in ways}
    reading = min(seconds(masks.sum) for _ in range(ROUNDS))
    for baseline, bound in (("chained", " (at least 20)"), ("lean", "")):
        ratios = ", ".join(f"{operation} {took[baseline] / took['ours']:.1f} ×" for operation, took in times.items())
        named = "chained PIL nodes" if baseline == "chained" else "the leanest loop over PIL"
        print(f"merging {COUNT} masks of {SIDE:,}² as fast as {named}{bound}: {ratios}")
    print(
        f"merging: {', '.join(f'{name} {1000 * took:.0f} ms' for name, took in times['union'].items())} for the union, "
        f"{1000 * reading:.0f} ms to read the masks; on {torch.get_num_threads()} threads"
    )
