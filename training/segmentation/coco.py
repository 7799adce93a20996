"""Segmentation datasets from COCO files: polygons and run-length codes in JSON, https://cocodataset.org/#format-data."""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ...nn_layers.errors import InputError
from ..dataset import Dataset
from ..sources import SPLIT_FOLDERS, OnProgress, count_pictures, name_some, shares, unreadable
from .masks import IGNORE
from .samples import MaskedFiles, pixel_counts, segmentation_dataset


@dataclass(frozen=True, eq=False)
class CocoMask:
    """The annotations of one picture: (class number, COCO segmentation) of each object; class 255 does not count."""

    height: int
    width: int
    objects: tuple[tuple[int, Any], ...]

    def read(self) -> Tensor:
        """The mask, uint8 [height, width]; later objects lie over earlier ones, and the small ones on top."""
        from pycocotools import mask as coco

        drawn = []
        for number, segmentation in self.objects:
            codes = coco.frPyObjects(segmentation, self.height, self.width)
            code = coco.merge(codes) if isinstance(codes, list) else codes
            drawn.append((float(coco.area(code)), number, code))
        result = torch.zeros(self.height, self.width, dtype=torch.uint8)
        for _, number, code in sorted(drawn, key=lambda entry: -entry[0]):
            result[torch.from_numpy(coco.decode(code)).bool()] = number
        return result

    def fingerprint(self) -> bytes:
        """Changes whenever an annotation does."""
        return hashlib.sha256(repr((self.height, self.width, self.objects)).encode()).digest()


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
        on_progress: Called with pictures looked at and pictures in all; may raise to stop.

    Raises:
        InputError: The extra is not installed, the file is no COCO file, or pictures are missing or cannot be read.
    """
    try:
        import pycocotools  # noqa: F401
    except ImportError:
        raise InputError("COCO files need pycocotools; install it with: pip install pycocotools.") from None
    files = _files(annotations)
    found = {split: _read(file) for split, file in files.items()}
    names = {c["id"]: str(c["name"]) for data in found.values() for c in data["categories"]}
    numbers = {identity: place for place, identity in enumerate(sorted(names), 1)}
    total = sum(len(data["images"]) for data in found.values())
    done = 0
    splits = {}
    for split, data in found.items():
        by_image = defaultdict(list)
        for entry in data["annotations"]:
            by_image[entry["image_id"]].append(entry)
        paths, masks, counts = [], [], []
        for image in data["images"]:
            objects = tuple(_object(entry, numbers, files[split]) for entry in by_image[image["id"]])
            mask = CocoMask(int(image["height"]), int(image["width"]), objects)
            paths.append(_picture(images, image["file_name"], split))
            masks.append(mask)
            counts.append(pixel_counts(_drawn(mask, image["file_name"])))
            done += 1
            if on_progress:
                on_progress(done, total)
        if broken := unreadable(paths, None):
            raise InputError(f"{count_pictures(broken)} cannot be read: {name_some(broken)}; replace or remove them.")
        splits[split] = MaskedFiles(paths, torch.stack(counts), "RGB" if color else "L", masks)
    return segmentation_dataset(
        annotations.stem,
        splits,
        ("background", *(names[identity] for identity in sorted(names))),
        shares=shares(val, test) if len(splits) == 1 else None,
        by_chance=by_chance,
        seed=seed,
    )


def _files(annotations: Path) -> dict[str, Path]:
    if annotations.is_file():
        return {"train": annotations}
    by_split = {}
    for file in sorted(annotations.glob("*.json")) if annotations.is_dir() else []:
        for word, split in SPLIT_FOLDERS.items():
            if word in file.stem.lower():
                by_split.setdefault(split, file)
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
    missing = [key for key in ("images", "annotations", "categories") if not isinstance((data or {}).get(key), list)]
    if missing:
        raise InputError(
            f"{file.name} has no list {missing[0]!r}, so it is no COCO file; export the annotations as COCO."
        )
    if not data["images"]:
        raise InputError(f"{file.name} lists no pictures; export the annotations again.")
    return data


def _object(entry: dict[str, Any], numbers: dict[Any, int], file: Path) -> tuple[int, Any]:
    number = numbers.get(entry.get("category_id"))
    if number is None or not entry.get("segmentation"):
        what = "a category that is not listed" if number is None else "no segmentation (boxes alone are no masks)"
        raise InputError(f"annotation {entry.get('id')} in {file.name} has {what}; correct it or remove it.")
    return (IGNORE if entry.get("iscrowd") else number), entry["segmentation"]


def _picture(images: Path, name: str, split: str) -> Path:
    places = [images / name, images / split / name, images / Path(name).name]
    path = next((place for place in places if place.is_file()), None)
    if path is None or not path.resolve().is_relative_to(images.resolve()):
        raise InputError(f"picture {name} is not in {images}; put it there or choose the folder that has it.")
    return path


def _drawn(mask: CocoMask, name: str) -> Tensor:
    try:
        return mask.read()
    except Exception as error:  # pycocotools raises bare Exceptions
        raise InputError(f"an annotation of {name} is damaged ({error}); draw it again.") from error
