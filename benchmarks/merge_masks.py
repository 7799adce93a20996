"""Merging 64 masks of 1,024²: Merge Masks against Python loops over PIL, for each operation; the same result is checked.

Two loops: the one that mask nodes on PIL make when they are chained (each step turns both masks into pictures and the result back),
and the leanest one (each mask becomes a picture once, the result a mask once).
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
    ratios = ", ".join(
        f"{operation} {took['chained'] / took['ours']:.1f} × ({took['lean'] / took['ours']:.1f} ×)"
        for operation, took in times.items()
    )
    print(
        f"merging {COUNT} masks of {SIDE:,}² takes {1000 * times['union']['ours']:.0f} ms; as fast as chained PIL nodes "
        f"(as the leanest loop over PIL): {ratios}; on {torch.get_num_threads()} threads"
    )
