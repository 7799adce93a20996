"""Segmentation datasets from folders of pictures and masks with the same names."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import Literal

import torch

from ...nn_layers.errors import InputError
from ..dataset import SPLITS, Dataset
from ..mapped import opened
from ..sources import PICTURES, SPLIT_FOLDERS, OnProgress, count_pictures, name_some, shares, subfolders, unreadable
from .masks import Coding, Color, MaskFile, NoDefect, coding_of, find_coding, holds_numbers, palette_of, parse_colors
from .samples import Mask, MaskedFiles, MaskedTensors, pixel_counts, segmentation_dataset

IMAGE_FOLDERS = ("images", "img_dir", "imgs", "image", "jpegimages", "pictures")
MASK_FOLDERS = ("masks", "ann_dir", "labels", "annotations", "mask", "segmentationclass", "gt", "ground_truth")
MASK_ENDINGS = ("", "_mask", "_gt", "_label", "_labels", "_seg", "_labelTrainIds")
LIST_FOLDERS = (".", "splits", "ImageSets/Segmentation")
ROTATED = (5, 6, 7, 8)  # EXIF orientations that change height into width
EXIF_ORIENTATION = 0x0112

Pair = tuple[Path, Path | None]


def masked_folder(
    folder: Path,
    *,
    images: str = "",
    masks: str = "",
    classes: Sequence[str] = (),
    coding: Literal["auto", "index", "binary", "colors"] = "auto",
    colors: str = "",
    color: bool = True,
    missing: Literal["refuse", "skip", "background"] = "refuse",
    val: float = 0.15,
    test: float = 0.15,
    by_chance: bool = True,
    seed: int = 0,
    on_progress: OnProgress | None = None,
) -> Dataset:
    """Pictures in one folder and masks of the same names in another.

    Splits are taken from train, val and test folders (inside the two folders as mmsegmentation has them, or around them), otherwise from
    train.txt, val.txt and test.txt, otherwise made by `val` and `test`. Every picture and mask is looked at once.

    Args:
        folder: Holds both folders.
        images, masks: Their names; empty to look for the usual ones (images or img_dir, masks or ann_dir …).
        classes: Names in the order of the class numbers, the background first; empty for those of the colour table or default ones.
        coding: What the values of a mask mean, see `MaskFile`; "auto" finds out, see `find_coding`.
        colors: The colour table for "colors", see `parse_colors`.
        color: Read pictures as RGB; otherwise as grey.
        missing: What a picture without a mask is: a reason to refuse the folder, left out, or without defects.
        on_progress: Called with files looked at and files in all (every picture counts twice, alone and with its mask); may raise to stop.

    Raises:
        InputError: Nothing to read, missing masks, masks of another size or with unknown classes, unreadable files.
    """
    pairs = find_pairs(folder, images, masks)
    made = len(pairs) > 1
    notes: list[str] = []
    pairs = {split: _settle_missing(split, found, missing, notes) for split, found in pairs.items()}
    pairs = {split: found for split, found in pairs.items() if found}
    every = [pair for found in pairs.values() for pair in found]
    looked_at = _Looking(2 * len(every), on_progress)
    if broken := unreadable([picture for picture, _ in every], looked_at.count_one):
        raise InputError(
            f"{count_pictures(broken)} in {folder} cannot be read: {name_some(broken)}; replace or remove them."
        )
    files = [mask for _, mask in every if mask]
    if not files:
        raise InputError(
            f"{folder} has pictures but no masks; put a mask of the same name beside each picture's folder."
        )
    if "train" not in pairs:
        raise InputError(f"train of {folder.name} has no picture with a mask; add masks, or set missing to background.")
    table = parse_colors(colors)
    found_out = coding == "auto" and not table
    others = (mask for mask in looked_at.watched(files) if not holds_numbers(mask))
    coding = find_coding(others, "colors" if table and coding == "auto" else coding)
    if coding == "colors" and not table:
        raise InputError("coding is colors, but colors is empty; give a line per class, such as: crack 255 0 0.")
    drawn_in = tuple(value for _, value in table) if coding == "colors" else ()
    samples = {split: _samples(found, (coding, drawn_in), color, looked_at) for split, found in pairs.items()}
    if found_out and coding == "index" and not classes:
        _refuse_gaps(folder, torch.cat([x.targets for x in samples.values()]).sum(0))
    return segmentation_dataset(
        folder.name,
        samples,
        tuple(classes) or tuple(name for name, _ in table),
        drawn_in or (_palette(files[0]) if coding == "index" else ()),
        shares=None if made else shares(val, test),
        by_chance=by_chance,
        seed=seed,
        notes=(*notes, *looked_at.notes()),
    )


def _palette(file: Path) -> tuple[Color, ...]:
    """The colours of a palette file, unless nobody could tell classes apart by them."""
    return palette_of(file) if holds_numbers(file) else ()


def _refuse_gaps(folder: Path, counts: torch.Tensor) -> None:
    """Refuse grey values that were taken for class numbers but cannot be: black and white with soft edges, or steps of grey."""
    values = counts.nonzero()[:, 0].tolist()
    if values and values[-1] >= len(values):
        shown = ", ".join(map(str, values[:6])) + (" …" if len(values) > 6 else "")
        raise InputError(
            f"the masks of {folder.name} have the values {shown}, which are no class numbers one after another; set coding to binary if they "
            f"are black and white, or name all classes."
        )


def find_pairs(folder: Path, images: str = "", masks: str = "") -> dict[str, list[Pair]]:
    """Split → its pictures, each with its mask or None; one split called "train" where the folder has none of its own.

    Raises:
        InputError: There are no such folders, or no pictures.
    """
    roots = find_roots(folder, images, masks)
    pairs = {split: pairs_of(places) for split, places in roots.items()}
    divided = len(roots) > 1 or roots["train"][0].parent != folder
    return pairs if divided else _listed(folder, pairs["train"]) or pairs


def find_roots(
    folder: Path, images: str = "", masks: str = "", unlabelled: bool = False
) -> dict[str, tuple[Path, Path]]:
    """Split → its folder of pictures and its folder of masks; one split called "train" where the folder has none of its own.

    Args:
        unlabelled: The folder of masks need not be there; then it is where it will be.

    Raises:
        InputError: There are no such folders.
    """
    if not folder.is_dir():
        raise InputError(f"{folder} is not a folder; choose one that holds a folder of pictures and a folder of masks.")
    outer = {SPLIT_FOLDERS[sub.name.lower()]: sub for sub in subfolders(folder) if sub.name.lower() in SPLIT_FOLDERS}
    if "train" in outer and _named(outer["train"], images, IMAGE_FOLDERS):
        return {split: _need(sub, images, masks, unlabelled) for split, sub in outer.items()}
    roots = _need(folder, images, masks, unlabelled)
    inner, beside = (
        {SPLIT_FOLDERS[sub.name.lower()]: sub for sub in subfolders(root) if sub.name.lower() in SPLIT_FOLDERS}
        if root.is_dir()
        else {}
        for root in roots
    )
    if "train" in inner:
        return {split: (sub, beside.get(split, roots[1] / sub.name)) for split, sub in inner.items()}
    return {"train": roots}


def _need(folder: Path, images: str, masks: str, unlabelled: bool = False) -> tuple[Path, Path]:
    found = [_named(folder, images, IMAGE_FOLDERS), _named(folder, masks, MASK_FOLDERS)]
    if unlabelled and found[0] and not found[1]:
        found[1] = folder / _new_masks(found[0], masks)
    for root, wanted, usual, what in zip(
        found, (images, masks), (IMAGE_FOLDERS, MASK_FOLDERS), ("images", "masks"), strict=True
    ):
        if root is None:
            have = ", ".join(sub.name for sub in subfolders(folder)) or "none"
            name = f"no folder {wanted!r}" if wanted else f"no folder of {what} (such as {usual[0]} or {usual[1]})"
            raise InputError(f"{folder} has {name}; its folders are: {have}; name the right one in {what}.")
    return found[0], found[1]


def _new_masks(images: Path, wanted: str) -> str:
    """The name of a folder of masks that is not there yet."""
    if wanted and (Path(wanted).name != wanted or wanted.startswith(".")):
        raise InputError(f"masks is {wanted!r}, which is no name of a folder; give one such as masks.")
    return wanted or ("ann_dir" if images.name.lower() == "img_dir" else "masks")


def _named(folder: Path, wanted: str, usual: Sequence[str]) -> Path | None:
    by_name = {sub.name.lower(): sub for sub in subfolders(folder)}
    return next((by_name[name] for name in ([wanted.lower()] if wanted else usual) if name in by_name), None)


def pairs_of(roots: tuple[Path, Path]) -> list[Pair]:
    """The pictures of a folder of pictures and a folder of masks, each with its mask or None.

    Raises:
        InputError: There are no pictures.
    """
    images, masks = roots
    by_name = {path.relative_to(masks).with_suffix("").as_posix(): path for path in _pictures(masks)}
    pairs = []
    for picture in _pictures(images):
        stem = picture.relative_to(images).with_suffix("").as_posix()
        pairs.append((picture, next((by_name[stem + end] for end in MASK_ENDINGS if stem + end in by_name), None)))
    if not pairs:
        raise InputError(f"{images} has no pictures; put some in or choose another folder.")
    return pairs


def _pictures(root: Path) -> list[Path]:
    return sorted(path for path in root.rglob("*") if path.suffix.lower() in PICTURES and path.is_file())


def _listed(folder: Path, pairs: list[Pair]) -> dict[str, list[Pair]] | None:
    """The splits that train.txt, val.txt and test.txt name, a stem per line; None without a train.txt."""
    place = next((folder / name for name in LIST_FOLDERS if (folder / name / "train.txt").is_file()), None)
    if place is None:
        return None
    by_name = _by_name(folder, pairs)
    splits = {}
    for split in SPLITS:
        file = place / f"{split}.txt"
        if file.is_file():
            lines = [line.strip() for line in _lines(file) if line.strip()]
            found = [next((by_name[name] for name in _readings(line) if name in by_name), ()) for line in lines]
            for line, meant in zip(lines, found, strict=True):
                if not meant:
                    raise InputError(f"{file.name} names {line}, but there is no such picture; correct the list.")
                if len(meant) > 1:
                    raise InputError(
                        f"{file.name} names {line}, and that may be {name_some({pair[0] for pair in meant})}; write the path below the folder of pictures."
                    )
            if not found:
                raise InputError(f"{file.name} names no pictures; write one name per line, or remove the file.")
            splits[split] = [meant[0] for meant in found]
    return splits


def _by_name(folder: Path, pairs: list[Pair]) -> dict[str, list[Pair]]:
    """The pictures that a name may mean: a path from any folder on, with or without its ending; a whole one means its picture only."""
    by_name: dict[str, list[Pair]] = defaultdict(list)
    whole: dict[str, list[Pair]] = defaultdict(list)
    root = os.path.commonpath([pair[0].parent for pair in pairs]) if pairs else folder
    for pair in pairs:
        *above, name = pair[0].relative_to(folder).parts
        for start in range(len(above) + 1):
            for end in {name, pair[0].stem}:
                by_name["/".join((*above[start:], end))].append(pair)
        path = pair[0].relative_to(root)
        for name in {path.as_posix(), path.with_suffix("").as_posix()}:
            whole[name].append(pair)
    return {**by_name, **whole}


def _lines(file: Path) -> list[str]:
    try:
        return file.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{file} cannot be read ({error}); save it as UTF-8 text.") from error


def _readings(line: str) -> list[str]:
    """What a line of a list may mean: a name with or without its ending, or a path and (as some lists have it) that of its mask."""
    whole, first = map(_tails, (line, line.split()[0]))
    spaced = [text for text in whole if len(text.split()) > 1]  # the rest may be the mask's name, so that it comes last
    return [*spaced, *first, *whole]


def _tails(path: str) -> list[str]:
    """A path from each of its folders on, with and without its ending."""
    parts = PurePosixPath(path.replace("\\", "/")).parts
    return [
        "/".join((*parts[start:-1], end))
        for start in range(len(parts))
        for end in (parts[-1], PurePosixPath(parts[-1]).stem)
    ]


def _settle_missing(split: str, pairs: list[Pair], missing: str, notes: list[str]) -> list[Pair]:
    without = {picture for picture, mask in pairs if mask is None}
    if not without or missing == "background":
        return pairs
    if missing == "refuse":
        raise InputError(
            f"{count_pictures(without)} in {split} without a mask: {name_some(without)}; add the masks, or set missing to skip or background."
        )
    notes.append(f"{count_pictures(without)} in {split} without a mask skipped: {name_some(without)}.")
    return [pair for pair in pairs if pair[1] is not None]


class _Looking:
    """What is learned while every picture and mask is looked at once."""

    def __init__(self, count: int, on_progress: OnProgress | None):
        self.count, self.on_progress = count, on_progress
        self.done, self.turned, self.deep, self.cmyk = 0, 0, 0, 0

    def step(self, mode: str, orientation: int) -> None:
        """One more picture has been looked at with its mask."""
        self.turned += orientation in (2, 3, 4)
        self.deep += mode.startswith("I")
        self.cmyk += mode == "CMYK"
        self.count_one()

    def count_one(self, *_: int) -> None:
        """One more file has been looked at."""
        self.done += 1
        self._tell()

    def watched(self, files: Iterable[Path]) -> Iterator[Path]:
        """The files one after another; they count only later, but whoever watches can stop here too."""
        for file in files:
            self._tell()
            yield file

    def _tell(self) -> None:
        if self.on_progress and self.done:
            self.on_progress(self.done, self.count)

    def notes(self) -> list[str]:
        """What a person should know."""
        notes = []
        if self.turned == 1:
            notes.append(
                "1 picture is mirrored or upside down by its EXIF entry and is turned upright; check that its mask is, too."
            )
        elif self.turned:
            notes.append(
                f"{self.turned} pictures are mirrored or upside down by their EXIF entry and are turned upright; check that their masks are, too."
            )
        if self.deep:
            have, are = ("picture has", "is") if self.deep == 1 else ("pictures have", "are")
            notes.append(f"{self.deep} {have} 16 bits per value and {are} read with 8.")
        if self.cmyk:
            are = "picture is CMYK and is" if self.cmyk == 1 else "pictures are CMYK and are"
            notes.append(f"{self.cmyk} {are} read as RGB.")
        return notes


def _samples(
    pairs: list[Pair], reading: tuple[Coding, tuple[Color, ...]], color: bool, looked_at: _Looking
) -> MaskedFiles:
    masks: list[Mask] = []
    counts = []
    for picture, file in pairs:
        with opened(picture) as image:  # reads the header only
            width, height = image.size
            mode, orientation = image.mode, image.getexif().get(EXIF_ORIENTATION, 1)
        turned = orientation in ROTATED
        size = (width, height) if turned else (height, width)
        mask: Mask = MaskFile(file, coding_of(file, *reading), reading[1]) if file else NoDefect(*size)
        values = mask.read()
        if tuple(values.shape) != size:
            _refuse_size(picture, file, size, tuple(values.shape), turned)
        masks.append(mask)
        counts.append(pixel_counts(values))
        looked_at.step(mode, orientation)
    return MaskedFiles([picture for picture, _ in pairs], torch.stack(counts), "RGB" if color else "L", masks)


def _refuse_size(picture: Path, mask: Path, size: tuple[int, int], found: tuple[int, int], turned: bool) -> None:
    if turned and found == size[::-1]:
        raise InputError(
            f"{picture.name} is a photograph that its EXIF entry turns to {size[1]} × {size[0]} pixels, but its mask {mask.name} was drawn on the "
            f"unturned {found[1]} × {found[0]}; turn the mask, or save the picture without the entry."
        )
    raise InputError(
        f"mask {mask.name} is {found[1]} × {found[0]} pixels, but its picture {picture.name} is {size[1]} × {size[0]}; make both the same size."
    )


def from_masks(
    pictures: torch.Tensor,
    masks: torch.Tensor,
    *,
    name: str = "images",
    classes: Sequence[str] = (),
    val: float = 0.0,
    test: float = 0.0,
    seed: int = 0,
) -> Dataset:
    """A segmentation dataset from a batch of pictures and masks made in the graph.

    Args:
        pictures: float32 [batch, height, width, channels] in 0..1.
        masks: float32 [batch, height, width]: one defect class where it is above a half.

    Raises:
        InputError: Another number or size of masks than of pictures.
    """
    if masks.shape != pictures.shape[:3]:
        raise InputError(
            f"there are {len(pictures)} pictures of {pictures.shape[2]} × {pictures.shape[1]} pixels but {len(masks)} masks of "
            f"{masks.shape[2]} × {masks.shape[1]}; give one mask of the same size per picture."
        )
    values = (masks.cpu() > 0.5).to(torch.uint8)
    data = (pictures[..., :3].cpu() * 255).round().clamp(0, 255).to(torch.uint8).permute(0, 3, 1, 2).contiguous()
    counts = torch.stack([pixel_counts(mask) for mask in values])
    samples = MaskedTensors(list(data), list(values), counts)
    return segmentation_dataset(name, {"train": samples}, classes, shares=shares(val, test), seed=seed)
