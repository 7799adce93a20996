"""Where datasets come from: folders of pictures, tables, pictures made in the graph, and the handwritten digits of scikit-learn."""

from __future__ import annotations

import csv
import math
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from ..nn_layers.errors import InputError
from .dataset import Dataset, PictureFiles, Samples, Subset, TensorSamples, stratified_split
from .mapped import opened

PICTURES = {".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff", ".gif", ".ppm", ".pgm"}
SPLIT_FOLDERS = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "test": "test",
    "testing": "test",
}

OnProgress = Callable[[int, int], None]


def shares(val: float, test: float) -> dict[str, float]:
    """The shares of a split into train, val and test.

    Raises:
        InputError: Nothing would be left to train on.
    """
    if val + test >= 1:
        raise InputError(
            f"val and test take {val + test:.0%} of the samples, so nothing is left to train on; make them smaller."
        )
    return {"train": 1 - val - test, "val": val, "test": test}


def split_dataset(
    name: str, task: str, classes: tuple[str, ...], samples: Samples, parts: Mapping[str, float], seed: int
) -> Dataset:
    """A dataset from one heap of samples, divided by chance with each class by itself."""
    indices = stratified_split(samples.targets, parts, seed)
    return Dataset(name, task, classes, {split: Subset(samples, chosen) for split, chosen in indices.items()})


def image_folder(
    folder: Path,
    *,
    color: bool = True,
    val: float = 0.15,
    test: float = 0.15,
    seed: int = 0,
    skip_broken: bool = False,
    on_progress: OnProgress | None = None,
) -> Dataset:
    """Pictures in one folder per class, either directly or inside train, val and test folders.

    Every file is decoded once (small) to find the broken ones now and not in the middle of a training.

    Args:
        color: Read as RGB; otherwise as grey.
        val, test: Shares, where the folder has no train, val and test folders of its own.
        skip_broken: Leave unreadable pictures out and say so; otherwise refuse them.
        on_progress: Called with files checked and files in all; may raise to stop.

    Raises:
        InputError: No pictures, one class only, a class that only val or test has, or unreadable pictures.
    """
    if not folder.is_dir():
        raise InputError(f"{folder} is not a folder; choose a folder with one sub-folder of pictures per class.")
    splits = {SPLIT_FOLDERS[sub.name.lower()]: sub for sub in subfolders(folder) if sub.name.lower() in SPLIT_FOLDERS}
    roots = splits if "train" in splits else {"train": folder}
    files = {split: _by_class(root) for split, root in roots.items()}
    classes = _class_names(folder, files)
    broken = unreadable(
        [path for by_class in files.values() for paths in by_class.values() for path in paths], on_progress
    )
    if broken and not skip_broken:
        raise InputError(
            f"{count_pictures(broken)} in {folder} cannot be read: {name_some(broken)}; replace or remove them, or set broken to skip."
        )
    files = {
        split: {name: [p for p in paths if p not in broken] for name, paths in by_class.items()}
        for split, by_class in files.items()
    }
    if empty := [name for name in classes if not files["train"].get(name)]:
        raise InputError(
            f"class {empty[0]} in {folder} has no readable picture to train on; add some or remove its folder."
        )
    pictures = {split: _pictures(by_class, classes, color) for split, by_class in files.items()}
    notes = (f"{count_pictures(broken)} skipped: {name_some(broken)}",) if broken else ()
    if len(roots) > 1:
        return Dataset(folder.name, "classification", classes, pictures, notes=notes)
    dataset = split_dataset(folder.name, "classification", classes, pictures["train"], shares(val, test), seed)
    return Dataset(folder.name, "classification", classes, dataset.splits, notes=notes)


def subfolders(folder: Path) -> list[Path]:
    """The folders in `folder`, hidden ones left out, in alphabetical order."""
    return sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))


def _by_class(root: Path) -> dict[str, list[Path]]:
    """Class name → its pictures, sub-folders included; folders without pictures are left out."""
    found = {
        sub.name: sorted(path for path in sub.rglob("*") if path.suffix.lower() in PICTURES and path.is_file())
        for sub in subfolders(root)
    }
    return {name: paths for name, paths in found.items() if paths}


def _class_names(folder: Path, files: Mapping[str, Mapping[str, list[Path]]]) -> tuple[str, ...]:
    """The classes in the order of the training folder, which all splits share."""
    classes = tuple(files["train"])
    if not any(files.values()):
        raise InputError(
            f"{folder} has no pictures in sub-folders; make one sub-folder per class and put its pictures inside."
        )
    for split, by_class in files.items():
        if strange := [name for name in by_class if name not in classes]:
            raise InputError(
                f"class {strange[0]} is in {split} but not in train; add training pictures of it or remove its folder from {split}."
            )
    if len(classes) < 2:
        raise InputError(
            f"{folder} has one class only ({classes[0]}); a classifier needs at least two sub-folders with pictures."
        )
    return classes


def unreadable(paths: list[Path], on_progress: OnProgress | None) -> set[Path]:
    """Those of the picture files that cannot be decoded."""
    broken = set()
    for done, path in enumerate(paths, 1):
        try:
            with opened(path) as picture:
                picture.draft("L", (64, 64))  # a JPEG decoded at an eighth of its size is still read to its end
                picture.load()
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
            broken.add(path)
        if on_progress:
            on_progress(done, len(paths))
    return broken


def count_pictures(broken: set[Path]) -> str:
    """How many they are, in words."""
    return f"{len(broken)} picture{'s' if len(broken) > 1 else ''}"


def name_some(paths: set[Path], most: int = 5) -> str:
    """The first few of the files by name, and how many more there are."""
    names = [f"{path.parent.name}/{path.name}" for path in sorted(paths)]
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def _pictures(by_class: Mapping[str, list[Path]], classes: tuple[str, ...], color: bool) -> PictureFiles:
    paths = [path for name in classes for path in by_class.get(name, [])]
    targets = [number for number, name in enumerate(classes) for _ in by_class.get(name, [])]
    return PictureFiles(paths, torch.tensor(targets, dtype=torch.int64), "RGB" if color else "L")


def table(
    file: Path,
    target: str,
    task: str,
    *,
    features: tuple[str, ...] = (),
    standardize: bool = True,
    val: float = 0.15,
    test: float = 0.15,
    seed: int = 0,
) -> Dataset:
    """A CSV file with a header: one column to predict, the others (or `features`) to predict it from.

    Args:
        task: "classification" takes the target as class names, "regression" as numbers.
        standardize: Give every feature mean 0 and deviation 1 over the training rows.

    Raises:
        InputError: A missing column or two of one name, a cell that is no number or names no class (with its row), no rows, or one class only.
    """
    header, rows = _read_csv(file)
    if missing := [name for name in (target, *features) if name not in header]:
        raise InputError(f"{file.name} has no column {missing[0]!r}, only {', '.join(header)}; correct the name.")
    columns = features or tuple(name for name in header if name != target)
    if not columns:
        raise InputError(f"{file.name} has no column besides {target}; add columns to predict it from.")
    data = torch.tensor(
        [[_number(file, row, line, header.index(name), name) for name in columns] for line, row in rows]
    )
    answers = [row[header.index(target)].strip() for _, row in rows]
    if task == "regression":
        classes = (target,)
        targets = torch.tensor([[_number(file, row, line, header.index(target), target)] for line, row in rows])
    else:
        classes = tuple(sorted(set(answers)))
        if "" in classes:
            line = rows[answers.index("")][0]
            raise InputError(
                f"line {line} of {file.name} has no class in column {target}; write one or remove the line."
            )
        if len(classes) < 2:
            raise InputError(
                f"column {target} of {file.name} has one class only ({classes[0]!r}); a classifier needs at least two."
            )
        targets = torch.tensor([classes.index(answer) for answer in answers])
    indices = stratified_split(targets, shares(val, test), seed)
    if standardize:
        train = data[indices["train"]]
        data = (data - train.mean(0)) / train.std(0, correction=0).clamp(min=1e-8)
    samples = TensorSamples(data, targets, "row")
    return Dataset(file.stem, task, classes, {split: Subset(samples, chosen) for split, chosen in indices.items()})


def _read_csv(file: Path) -> tuple[list[str], list[tuple[int, list[str]]]]:
    """The header, and the rows with their line numbers."""
    try:
        with file.open(newline="", encoding="utf-8-sig") as stream:
            reader = csv.reader(stream)
            header = [name.strip() for name in next(reader, [])]
            rows = [(reader.line_num, row) for row in reader if any(cell.strip() for cell in row)]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(
            f"{file} cannot be read as a CSV table ({error}); save it as comma-separated UTF-8 text."
        ) from error
    if not rows:
        raise InputError(f"{file.name} has no rows below its header; add some.")
    if twice := next((name for name in header if header.count(name) > 1), None):
        raise InputError(f"{file.name} has two columns called {twice!r}; give each a name of its own.")
    if short := [line for line, row in rows if len(row) != len(header)]:
        raise InputError(f"line {short[0]} of {file.name} does not have the header's {len(header)} cells; correct it.")
    return header, rows


def _number(file: Path, row: list[str], line: int, column: int, name: str) -> float:
    try:
        value = float(row[column])
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise InputError(
            f"line {line} of {file.name} has {row[column]!r} in column {name}, which is not a number; correct it or leave the column out."
        )
    return value


def digits(*, val: float = 0.15, test: float = 0.2, seed: int = 0) -> Dataset:
    """The 1,797 real handwritten digits (8 × 8 pixels, 10 classes) that scikit-learn brings along.

    Source: E. Alpaydin and C. Kaynak, Optical Recognition of Handwritten Digits, UCI Machine Learning Repository, 1998.
    """
    from sklearn.datasets import load_digits

    bunch = load_digits()
    pictures = torch.from_numpy(bunch.images * (255 / 16)).round().to(torch.uint8)[:, None]
    samples = TensorSamples(pictures, torch.from_numpy(bunch.target).long(), "digit")
    return split_dataset("digits", "classification", tuple("0123456789"), samples, shares(val, test), seed)


def from_images(
    images: Tensor, labels: list[str], *, name: str = "images", val: float = 0.0, test: float = 0.0, seed: int = 0
) -> Dataset:
    """A classification dataset from a batch of pictures made in the graph.

    Args:
        images: float32 [batch, height, width, channels] in 0..1.
        labels: One class name per picture.

    Raises:
        InputError: Not one label per picture, or one class only.
    """
    if len(labels) != len(images):
        raise InputError(f"there are {len(images)} pictures but {len(labels)} labels; give one label per picture.")
    classes = tuple(sorted(set(labels)))
    if len(classes) < 2:
        raise InputError(f"all labels are {classes[0]!r}; a classifier needs at least two classes.")
    pictures = (images.cpu() * 255).round().clamp(0, 255).to(torch.uint8).permute(0, 3, 1, 2).contiguous().clone()
    targets = torch.tensor([classes.index(label) for label in labels])
    return split_dataset(
        name, "classification", classes, TensorSamples(pictures, targets, "picture"), shares(val, test), seed
    )
