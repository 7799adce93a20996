"""The samples of a dataset that a node has shown, as small pictures, a page at a time.

Who asks needs the dataset's key, which no one can guess. Only the newest datasets are kept for this; others live as long as ComfyUI keeps them.
"""

from __future__ import annotations

import base64
import io
import secrets
import threading
from collections import deque
from typing import Any
from weakref import WeakValueDictionary

import torch
from PIL import Image
from torch import Tensor

from ...nn_layers.errors import InputError
from ...training import Dataset
from ...training.pictures import to_pil
from ...training.segmentation.pictures import mask_layer, within
from ..support.views import css

KEPT = 4  # datasets
MOST = 60  # samples of one answer
SMALL, LARGE = 160, 1024  # pixels: the longer side of pictures, of one that is asked for alone
MAX_NUMBER = 2**31

_known: WeakValueDictionary[str, Dataset] = WeakValueDictionary()
_newest: deque[Dataset] = deque(maxlen=KEPT)
PATIENCE = 10.0  # seconds that a page waits for its turn
_turn = threading.Lock()  # one page at a time: what strangers ask never takes more than one core


def shown(dataset: Dataset, split: str, seed: int) -> dict[str, list[dict[str, Any]]]:
    """Let the canvas ask for the samples of `dataset`; the `ui` entry that tells it how.

    Args:
        split: Which one is shown first.
        seed: Decides the order of the samples.
    """
    key = next((key for key, one in _known.items() if one is dataset), None) or secrets.token_urlsafe(16)
    _known[key] = dataset
    if dataset in _newest:
        _newest.remove(dataset)
    _newest.append(dataset)
    colors = [css(color) for color in dataset.colors] or [""] * len(dataset.classes)
    classes = [] if dataset.task == "regression" else list(dataset.classes)
    counts = {name: [len(chosen(dataset, name, number)) for number in range(len(classes))] for name in dataset.splits}
    entry = {
        "key": key,
        "name": dataset.name,
        "task": dataset.task,
        "split": split,
        "seed": seed,
        "splits": {name: {"count": len(samples), "classes": counts[name]} for name, samples in dataset.splits.items()},
        "classes": [{"name": name, "color": color} for name, color in zip(classes, colors, strict=False)],
    }
    return {"visionsmith_samples": [entry]}


def chosen(dataset: Dataset, split: str, number: int | None) -> Tensor:
    """int64: the numbers of the samples of a split that have a class; of the background, those that have nothing else. None for all."""
    targets = dataset.split(split).targets
    if number is None:
        return torch.arange(len(targets))
    if dataset.task == "segmentation":
        there = targets[:, number] > 0 if number else ~(targets[:, 1:] > 0).any(1)
    else:
        there = targets == number
    return there.nonzero()[:, 0]


def samples(data: Any) -> dict[str, Any]:
    """{"dataset": key, "split": …, "class": number or null, "seed": …, "start": 0, "count": 12} → {"count": …, "samples": [{name, label, picture,
    mask}]}, the pictures as data URLs; one sample alone comes large.

    Raises:
        InputError: No such dataset, split, class or place.
    """
    if not isinstance(data, dict):
        raise InputError("the body is no table; send the key of a dataset.")
    key, split = data.get("dataset"), data.get("split")
    dataset = _known.get(key) if isinstance(key, str) else None
    if dataset is None:
        raise InputError("the dataset is not in memory any more; run the node again.")
    if not isinstance(split, str) or split not in dataset.splits:
        raise InputError(f"the dataset has the splits {', '.join(dataset.splits)}; choose one of them.")
    classes = 0 if dataset.task == "regression" else len(dataset.classes)
    number = None if data.get("class") is None else _whole(data, "class", 0, classes - 1)
    seed, start = _whole(data, "seed", 0, MAX_NUMBER), _whole(data, "start", 0, MAX_NUMBER)
    count = _whole(data, "count", 1, MOST)
    order = torch.tensor(dataset.drawn(split, len(dataset.split(split)), seed))
    found = order[torch.isin(order, chosen(dataset, split, number))]
    if start and start >= len(found):
        raise InputError(f"start is {start:,}, but there are {len(found):,} samples; begin before that.")
    if not _turn.acquire(timeout=PATIENCE):
        raise InputError("other pages are still being made; ask again in a moment.")
    try:
        page = [_sample(dataset, split, index, LARGE if count == 1 else SMALL) for index in found[start : start + count].tolist()]  # fmt: skip
    finally:
        _turn.release()
    return {"count": len(found), "samples": page}


def _whole(data: dict[str, Any], name: str, least: int, most: int) -> int:
    value = data.get(name)
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        raise InputError(f"{name} is {str(value)[:30]!r}; send a whole number from {least:,} to {most:,}.")
    return value


def _sample(dataset: Dataset, split: str, index: int, side: int) -> dict[str, Any]:
    """One sample; one that cannot be read says so, without its place on the disk, and leaves the others alone."""
    samples = dataset.split(split)
    told = {"name": samples.name(index), "label": dataset.target_name(samples.targets[index])}
    try:
        told["picture"] = _url(to_pil(within(samples[index], side)))
        if dataset.task == "segmentation":
            told["mask"] = _url(mask_layer(samples.mask(index), dataset.colors, side))
    except (InputError, OSError):
        told["error"] = "It cannot be read any more; run the dataset's node again."
    return told


def _url(picture: Image.Image) -> str:
    """A picture as a data URL; those with a palette keep it."""
    kind = "PNG" if picture.mode == "P" else "JPEG"
    stream = io.BytesIO()
    picture.save(stream, kind, **({} if kind == "PNG" else {"quality": 85}))
    return f"data:image/{kind.lower()};base64,{base64.b64encode(stream.getvalue()).decode()}"
