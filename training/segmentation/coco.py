"""Segmentation datasets from COCO files: polygons and run-length codes in JSON, https://cocodataset.org/#format-data."""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...nn_layers.errors import InputError
from ..dataset import Dataset
from ..mapped import opened
from ..sources import SPLIT_FOLDERS, OnProgress, count_pictures, name_some, shares, unreadable
from .folders import EXIF_ORIENTATION, ROTATED
from .masks import IGNORE, MAX_CLASSES
from .samples import MaskedFiles, pixel_counts, segmentation_dataset


@dataclass(frozen=True, eq=False)
class CocoMask:
    """The annotations of one picture: (class number, COCO segmentation) of each object; class 255 does not count."""

    height: int
    width: int
    objects: tuple[tuple[int, Any], ...]

    def read(self) -> Tensor:
        """The mask, uint8 [height, width]; later objects lie over earlier ones, and the small ones on top."""
        drawn = []
        for number, segmentation in self.objects:
            code = self._coded(segmentation) if isinstance(segmentation, dict) else self._filled(segmentation)
            drawn.append((int(code[1::2].sum()), number, code))
        result = np.zeros(self.height * self.width, np.uint8)
        for _, number, code in sorted(drawn, key=lambda entry: -entry[0]):
            if code.min() < 0 or code.sum() != len(result):
                raise ValueError(f"its run lengths do not make {self.width} × {self.height} pixels")
            result[np.repeat(np.arange(len(code)) % 2 == 1, code)] = number
        columns = result.reshape(self.width, self.height)
        return torch.from_numpy(np.ascontiguousarray(columns.T))

    def _coded(self, code: dict[str, Any]) -> np.ndarray:
        """The run lengths of a code; of another size they may have as many pixels, and would be read askew."""
        height, width = code.get("size") or (self.height, self.width)
        if (height, width) != (self.height, self.width):
            raise ValueError(f"its code is for {width} × {height} pixels, not {self.width} × {self.height}")
        return _runs(code)

    def _filled(self, polygons: list[list[float]]) -> np.ndarray:
        """The run lengths of what lies inside any of the polygons."""
        from pycocotools import mask as coco

        most = 10 * max(self.height, self.width)
        for polygon in polygons:
            if len(polygon) < 6 or len(polygon) % 2:
                raise ValueError(f"a polygon has {len(polygon)} numbers, not x and y of three points or more")
            if not all(math.isfinite(value) and abs(value) < most for value in polygon):
                raise ValueError("a polygon lies far outside the picture")
        return _runs(coco.merge(coco.frPyObjects(polygons, self.height, self.width)))

    def fingerprint(self) -> bytes:
        """Changes whenever an annotation does."""
        return hashlib.sha256(repr((self.height, self.width, self.objects)).encode()).digest()


def _runs(code: dict[str, Any]) -> np.ndarray:
    """The lengths of the runs in a COCO code, down the columns, of zeros and ones in turn: int64 [runs].

    Compressed codes write each length as the difference to the last but one, in groups of five bits from the lowest up, each in a character
    from "0" on whose sixth bit says that another group follows; the highest bit of the last group is the sign. pycocotools is not asked,
    because a damaged code makes it write outside its memory.
    """
    counts = code["counts"]
    if isinstance(counts, list):
        return np.array([int(count) for count in counts] or [0], np.int64)
    lengths: list[int] = []
    value = shift = 0
    for byte in counts if isinstance(counts, bytes) else counts.encode("ascii"):
        group = byte - ord("0")
        if not 0 <= group < 64 or shift > 30:
            raise ValueError("its run lengths cannot be read")
        value |= (group & 31) << shift
        shift += 5
        if group & 32:
            continue
        value -= (group & 16) << (shift - 4)
        lengths.append(value + (lengths[-2] if len(lengths) > 2 else 0))
        value = shift = 0
    return np.array(lengths or [0], np.int64)


def coco_dataset(
    annotations: Path,
    images: Path,
    *,
    color: bool = True,
    val: float = 0.15,
    test: float = 0.15,
    by_chance: bool = True,
    seed: int = 0,
    on_progress: OnProgress | None = None,
) -> Dataset:
    """Pictures with polygons or run-length masks in COCO's JSON; every category becomes a class after the background.

    Args:
        annotations: One JSON file, or a folder with a file for each of train, val and test (their names hold the split's name).
        images: Folder that the `file_name` entries are below.
        on_progress: Called with pictures looked at and pictures in all (each counts twice, decoded and with its mask); may raise to stop.

    Raises:
        InputError: The extra is not installed, the file is no COCO file, or pictures are missing or cannot be read.
    """
    try:
        import pycocotools  # noqa: F401
    except ImportError:
        raise InputError("COCO files need pycocotools; install it with: pip install pycocotools.") from None
    files = _files(annotations)
    found = {split: _read(file) for split, file in files.items()}
    names = _category_names(found)
    numbers = {identity: place for place, identity in enumerate(names, 1)}
    total, done = 2 * sum(len(data["images"]) for data in found.values()), 0

    def step(*_: int) -> None:
        nonlocal done
        done += 1
        if on_progress:
            on_progress(done, total)

    splits = {}
    for split, data in found.items():
        by_image = defaultdict(list)
        known = {image["id"] for image in data["images"]}
        for entry in data["annotations"]:
            by_image[entry["image_id"]].append(_object(entry, numbers, known, files[split]))
        paths = [_picture(images, str(image["file_name"]), split) for image in data["images"]]
        if broken := unreadable(paths, step):
            raise InputError(f"{count_pictures(broken)} cannot be read: {name_some(broken)}; replace or remove them.")
        masks, counts = [], []
        for path, image in zip(paths, data["images"], strict=True):
            mask = CocoMask(image["height"], image["width"], tuple(by_image[image["id"]]))
            _check_size(path, mask, files[split])
            masks.append(mask)
            counts.append(pixel_counts(_drawn(mask, image["file_name"])))
            step()
        splits[split] = MaskedFiles(paths, torch.stack(counts), "RGB" if color else "L", masks)
    return segmentation_dataset(
        annotations.stem,
        splits,
        ("background", *names.values()),
        shares=shares(val, test) if len(splits) == 1 else None,
        by_chance=by_chance,
        seed=seed,
    )


def _files(annotations: Path) -> dict[str, Path]:
    if annotations.is_file():
        return {"train": annotations}
    by_split = {}
    for file in sorted(annotations.glob("*.json")) if annotations.is_dir() else []:
        for word in re.split(r"[^a-z]+", file.stem.lower()):
            if word in SPLIT_FOLDERS:
                by_split.setdefault(SPLIT_FOLDERS[word], file)
    if "train" not in by_split:
        raise InputError(
            f"{annotations} is neither a COCO file nor a folder with one for train; choose the JSON file with the annotations."
        )
    return by_split


def _read(file: Path) -> dict[str, Any]:
    try:
        data = json.loads(file.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{file.name} cannot be read as JSON ({error}); export the annotations again.") from error
    data = data if isinstance(data, dict) else {}
    missing = [key for key in NEEDED if not isinstance(data.get(key), list)]
    if missing:
        raise InputError(
            f"{file.name} has no list {missing[0]!r}, so it is no COCO file; export the annotations as COCO."
        )
    if not data["images"]:
        raise InputError(f"{file.name} lists no pictures; export the annotations again.")
    for key, (what, fields) in NEEDED.items():
        for entry in data[key]:
            entry = entry if isinstance(entry, dict) else {}
            if lacking := [name for name, kind in fields.items() if not isinstance(entry.get(name), kind)]:
                raise InputError(f"{file.name} has {what} without {lacking[0]!r}; export the annotations again.")
    return data


NEEDED: dict[str, tuple[str, dict[str, type | tuple[type, ...]]]] = {
    "images": ("a picture", {"id": (int, str), "file_name": str, "height": int, "width": int}),
    "annotations": ("an annotation", {"image_id": (int, str)}),
    "categories": ("a category", {"id": (int, str), "name": (str, int)}),
}
"""The lists of a COCO file: what an entry is called, and what it must have of which type."""


def _category_names(found: dict[str, dict[str, Any]]) -> dict[int | str, str]:
    """Category → its name over all files, in the order of the ids."""
    names: dict[int | str, str] = {}
    for category in (category for data in found.values() for category in data["categories"]):
        name = names.setdefault(category["id"], str(category["name"]))
        if name != str(category["name"]):
            raise InputError(
                f"category {category['id']} is called {name} in one file and {category['name']} in another; give all files the same categories."
            )
    if len(names) > MAX_CLASSES - 1:
        raise InputError(
            f"the annotations have {len(names)} categories, but at most {MAX_CLASSES - 1} fit into a mask; leave some out."
        )
    return {identity: names[identity] for identity in sorted(names, key=lambda i: (isinstance(i, str), i))}


def _object(entry: dict[str, Any], numbers: dict[int | str, int], known: set[int | str], file: Path) -> tuple[int, Any]:
    """An annotation as its class number and its segmentation."""
    number = numbers.get(entry.get("category_id"))
    wrong = [
        words
        for words, is_wrong in (
            ("no picture that is listed", entry["image_id"] not in known),
            ("a category that is not listed", number is None),
            ("no segmentation (boxes alone are no masks)", not entry.get("segmentation")),
        )
        if is_wrong
    ]
    if wrong:
        raise InputError(f"annotation {entry.get('id')} in {file.name} has {wrong[0]}; correct it or remove it.")
    return (IGNORE if entry.get("iscrowd") else number), entry["segmentation"]


def _picture(images: Path, name: str, split: str) -> Path:
    places = [images / name, images / split / name, images / Path(name).name]
    inside = [place for place in places if place.resolve().is_relative_to(images.resolve())]
    path = next((place for place in inside if place.is_file()), None)
    if path is None:
        raise InputError(
            f"picture {name or repr(name)} is not in {images}; put it there or choose the folder that has it."
        )
    return path.resolve() if ".." in path.parts else path


def _check_size(path: Path, mask: CocoMask, file: Path) -> None:
    with opened(path) as picture:  # reads the header only
        width, height = picture.size
        turned = picture.getexif().get(EXIF_ORIENTATION, 1) in ROTATED
    size, said = ((width, height) if turned else (height, width)), (mask.height, mask.width)
    if size == said:
        return
    if turned and size == said[::-1]:
        raise InputError(
            f"{path.name} is a photograph that its EXIF entry turns to {size[1]} × {size[0]} pixels, but {file.name} has it as the unturned "
            f"{said[1]} × {said[0]}; save the picture without the entry, or annotate it anew."
        )
    raise InputError(
        f"picture {path.name} is {size[1]} × {size[0]} pixels, but {file.name} says {said[1]} × {said[0]}; put the annotated picture there."
    )


def _drawn(mask: CocoMask, name: str) -> Tensor:
    try:
        return mask.read()
    except Exception as error:  # pycocotools raises bare ones, and what stands in the file may be anything
        raise InputError(f"an annotation of {name} is damaged ({error}); draw it again.") from error
