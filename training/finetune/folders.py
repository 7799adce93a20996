"""Where concepts come from: a folder with captions, rows or a JSON file of several concepts, and the layout of MVTec AD."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...nn_layers.errors import InputError
from ..sources import PICTURES, OnProgress, subfolders
from .concepts import Concept, Concepts, measured, warnings_of

TRIGGER = "[trigger]"
"""In a caption, it stands for the trigger word."""
MASK_ENDINGS = ("", "_mask", "-mask", ".mask", "_label")
KEYS = ("instance_prompt", "class_prompt", "instance_data_dir", "class_data_dir")
OPTIONAL = ("masks_dir", "repeats")
Place = Callable[[str], Path]
"""Turns what a person wrote into a folder that may be read."""


@dataclass(frozen=True)
class Row:
    """One concept as a person writes it.

    Attributes:
        prompt: Trigger word or prompt; may be empty where every picture has a caption.
        folder: Of its pictures.
        class_prompt: What its class is called; for prior preservation.
        class_folder: Of pictures of its class; made where there are too few.
        masks: A folder of masks, named like the pictures or with _mask after it.
        repeats: How often its pictures come in an epoch.
    """

    prompt: str
    folder: Path
    class_prompt: str = ""
    class_folder: Path | None = None
    masks: Path | None = None
    repeats: int = 1


def read_concepts(name: str, rows: Sequence[Row], on_progress: OnProgress | None = None, **options: Any) -> Concepts:
    """Concepts from folders of pictures; a text file beside a picture, of the same name, is its caption.

    Args:
        on_progress: Called with files read and files in all, for each concept; may raise to stop.
        options: Of `Concepts`: resolution, buckets, dropout.

    Raises:
        InputError: No pictures, none that can be read, no captions and no prompt, or masks that belong to nothing.
    """
    if not rows:
        raise InputError("there is no concept; give at least one folder of pictures.")
    concepts = tuple(_concept(row, on_progress) for row in rows)
    return Concepts(name, concepts, notes=warnings_of(concepts), **options)


def _concept(row: Row, on_progress: OnProgress | None) -> Concept:
    if not 1 <= row.repeats <= 10_000:
        raise InputError(f"repeats is {row.repeats}; choose a number from 1 to 10000.")
    files = pictures_in(row.folder)
    if row.masks is None:  # masks that lie among the pictures
        stems = {file.stem for file in files}
        ends = [end for end in MASK_ENDINGS if end]
        files = [f for f in files if not any(f.stem.endswith(e) and f.stem.removesuffix(e) in stems for e in ends)]
    masks = _masks(row.masks or row.folder, files, required=row.masks is not None)
    captions = [_caption(file, row.prompt) for file in files]
    if without := [file.name for file, caption in zip(files, captions, strict=True) if not caption]:
        raise InputError(
            f"{len(without)} of {len(files)} pictures in {row.folder} have no caption (such as {without[0]}); write a .txt file of the same name "
            f"beside each, or give a trigger word."
        )
    pictures = measured(zip(files, captions, masks, strict=True), on_progress)
    if row.class_folder and not row.class_prompt.strip():
        raise InputError(
            f"{row.class_folder} has class pictures, but there is no class prompt; write what they show, such as: a photo of a zipper."
        )
    others = pictures_in(row.class_folder, needed=False) if row.class_folder else []
    measured(((file, "", None) for file in others), on_progress)
    return Concept(row.prompt.strip(), tuple(pictures), row.repeats, row.class_prompt.strip(), tuple(others))


def pictures_in(folder: Path, needed: bool = True) -> list[Path]:
    """The picture files directly in `folder`, in the order of their names.

    Raises:
        InputError: There are none, and some are `needed`.
    """
    if not folder.is_dir():
        if not needed:
            return []
        raise InputError(f"{folder} is not a folder; choose one with the pictures of a concept.")
    files = sorted(file for file in folder.iterdir() if file.suffix.lower() in PICTURES and file.is_file())
    if needed and not files:
        raise InputError(f"{folder} has no pictures; put some in or choose another folder.")
    return files


def _caption(file: Path, prompt: str) -> str:
    """The text beside a picture with the trigger word in it, or the trigger word alone."""
    text, trigger = file.with_suffix(".txt"), prompt.strip()
    if not text.is_file():
        return trigger
    try:
        caption = " ".join(text.read_text(encoding="utf-8-sig").split())
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{text} cannot be read ({error}); save it as UTF-8 text.") from error
    if TRIGGER in caption:
        return caption.replace(TRIGGER, trigger).strip()
    if not trigger or trigger.lower() in caption.lower():
        return caption
    return f"{trigger}, {caption}" if caption else trigger


def _masks(folder: Path, files: list[Path], required: bool) -> list[Path | None]:
    """The mask of each picture; in a folder of its own a mask may be called like its picture."""
    by_stem = {file.stem: file for file in pictures_in(folder, needed=required)}
    ends = MASK_ENDINGS if required else MASK_ENDINGS[1:]
    found = [next((by_stem[file.stem + e] for e in ends if file.stem + e in by_stem), None) for file in files]
    if required and not any(found):
        raise InputError(
            f"none of the masks in {folder} belongs to a picture; name them like the pictures, or with _mask after it."
        )
    return found


def rows_from_json(text: str, where: str, place: Place) -> list[Row]:
    """Concepts as scripts for multi-concept DreamBooth list them: objects with instance_prompt, class_prompt, instance_data_dir and
    class_data_dir; also masks_dir and repeats.

    Raises:
        InputError: No such list.
    """
    try:
        data = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{where} is no readable JSON ({error}); write a list of concepts.") from error
    if not isinstance(data, list) or not data or not all(isinstance(entry, dict) for entry in data):
        raise InputError(f"{where} holds no list of concepts; write [{{{', '.join(KEYS)}}}, …].")
    rows = []
    for number, entry in enumerate(data, 1):
        if unknown := [key for key in entry if key not in (*KEYS, *OPTIONAL)]:
            raise InputError(
                f"concept {number} of {where} has {unknown[0]!r}, which is unknown; it may have {', '.join((*KEYS, *OPTIONAL))}."
            )
        if not isinstance(entry.get("instance_data_dir"), str) or not isinstance(entry.get("repeats", 1), int):
            raise InputError(f"concept {number} of {where} has no instance_data_dir; give the folder of its pictures.")
        rows.append(
            Row(
                str(entry.get("instance_prompt") or ""),
                place(entry["instance_data_dir"]),
                str(entry.get("class_prompt") or ""),
                _place_if_there(str(entry.get("class_data_dir") or ""), place),
                place(entry["masks_dir"]) if entry.get("masks_dir") else None,
                entry.get("repeats", 1),
            )
        )
    return rows


def _place_if_there(text: str, place: Place) -> Path | None:
    """A folder that may have to be made yet, as those scripts do."""
    try:
        return place(text) if text else None
    except InputError:
        return None


def rows_from_text(text: str, place: Place) -> list[Row]:
    """Concepts one a line: prompt | folder | class prompt | folder of class pictures | folder of masks; the last three may be left out.

    Raises:
        InputError: A line without a folder.
    """
    rows = []
    for line in text.splitlines():
        cells = [cell.strip() for cell in line.split("|")]
        if not any(cells):
            continue
        if not 2 <= len(cells) <= 5 or not cells[1]:
            raise InputError(
                f"concepts has the line {line.strip()!r}; write prompt | folder | class prompt | class folder, such as: "
                f"a photo of a bent nail | nails/bent | a photo of a nail."
            )
        prompt, folder, kind, class_folder, masks = cells + [""] * (5 - len(cells))
        rows.append(
            Row(
                prompt,
                place(folder),
                kind,
                place(class_folder) if class_folder else None,
                place(masks) if masks else None,
            )
        )
    return rows


def rows_from_mvtec(folder: Path, prompt: str, class_prompt: str, defects: Sequence[str] = ()) -> list[Row]:
    """A category of MVTec AD: each defect of test/ a concept with the masks of ground_truth/, and train/good as pictures of the class.

    Bergmann et al., "MVTec AD", 2019; VisA in its layout, and sets like it, are read too.

    Args:
        prompt: With {defect} and {object} in it, such as "a photo of a {defect} {object}".
        class_prompt: With {object} in it; empty for no prior preservation.
        defects: Names of folders in test/; empty for all.

    Raises:
        InputError: The folder has another layout, or a defect is not there.
    """
    test, masks, good = folder / "test", folder / "ground_truth", folder / "train" / "good"
    if not test.is_dir() or not masks.is_dir():
        raise InputError(
            f"{folder} has no folders test and ground_truth, so it is no category of MVTec AD; choose a folder such as mvtec/zipper."
        )
    found = {sub.name: sub for sub in subfolders(test) if sub.name != "good"}
    if missing := [name for name in defects if name not in found]:
        raise InputError(f"{test} has no defect {missing[0]!r}; choose from {', '.join(found)}.")
    if not found:
        raise InputError(f"{test} has no folder of a defect; it must hold one for each.")

    def text(template: str, defect: str = "") -> str:
        words = {"{defect}": defect.replace("_", " "), "{object}": folder.name.replace("_", " ")}
        for name, word in words.items():
            template = template.replace(name, word)
        return " ".join(template.split())

    kind = text(class_prompt)
    return [
        Row(text(prompt, name), sub, kind, good if kind and good.is_dir() else None, masks / name)
        for name, sub in found.items()
        if not defects or name in defects
    ]
