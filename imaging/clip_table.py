"""CLIP's table of words (byte pairs and their numbers), from whichever copy is on this machine; nothing is downloaded.

Formula: Radford et al., "Learning Transferable Visual Models From Natural Language Supervision" (2021), section 2.4; the table has
the 256 bytes, the same with an end-of-word mark, 48,894 merges, and one token each for start and end.
"""

from __future__ import annotations

import gzip
import importlib.util
import json
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path
from typing import Any

from ..nn_layers.errors import InputError

MERGES = 49152 - 256 - 2  # lines of the published list that CLIP uses
START, END, WORD_END = "<|startoftext|>", "<|endoftext|>", "</w>"
PACKED = "bpe_simple_vocab_16e6.txt.gz"
PACKAGES = ("open_clip", "clip", "sam3")

Table = tuple[dict[str, int], list[tuple[str, str]]]
"""The number of each token, and the pairs that are merged, the most frequent first."""


def find_table(folders: Iterable[Path] = ()) -> Table:
    """The table from a file in `folders`, in an installed package, or in Hugging Face's local cache.

    Args:
        folders: Where to look first: the folder of the model, ComfyUI's ``comfy/sd1_tokenizer``.

    Raises:
        InputError: No table is on this machine, or it is damaged.
    """
    for folder in folders:
        found = _in_folder(Path(folder))
        if found:
            return _read(found)
    found = next((file for name in PACKAGES if (file := _in_package(name))), None) or _in_cache()
    if found is None:
        raise InputError(
            "the table that turns words into tokens is not on this machine; install open_clip_torch, or put CLIP's vocab.json and "
            "merges.txt beside the model file."
        )
    return _read(found)


def _in_folder(folder: Path) -> Path | None:
    if (folder / "vocab.json").is_file() and (folder / "merges.txt").is_file():
        return folder / "vocab.json"
    return next((file for name in ("tokenizer.json", PACKED) if (file := folder / name).is_file()), None)


def _in_package(name: str) -> Path | None:
    """The packed table that a package brings; the package is not imported, some need a GPU for that."""
    spec = importlib.util.find_spec(name)
    places = [Path(place) for place in (spec.submodule_search_locations or ())] if spec else []
    files = [folder / PACKED for place in places for folder in (place, place / "assets")]
    return next((file for file in files if file.is_file()), None)


def _in_cache() -> Path | None:
    """A CLIP tokenizer that an earlier program left in Hugging Face's cache; nothing is downloaded."""
    from huggingface_hub import try_to_load_from_cache

    for repository in ("facebook/sam3", "openai/clip-vit-large-patch14", "openai/clip-vit-base-patch32"):
        files = [try_to_load_from_cache(repository, name) for name in ("vocab.json", "merges.txt")]
        if all(isinstance(file, str) for file in files):
            return Path(files[0])
    return None


@lru_cache(maxsize=2)
def _read(file: Path) -> tuple[dict[str, int], list[tuple[str, str]]]:
    try:
        if file.name == PACKED:
            return _packed(gzip.decompress(file.read_bytes()).decode("utf-8"))
        if file.name == "tokenizer.json":
            model = json.loads(file.read_text("utf-8"))["model"]
            return model["vocab"], [_pair(merge) for merge in model["merges"]]
        lines = (file.parent / "merges.txt").read_text("utf-8").split("\n")
        merges = [_pair(line) for line in lines if line and not line.startswith("#version")]
        return json.loads(file.read_text("utf-8")), merges
    except (OSError, EOFError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{file} is no table of CLIP's tokens ({error}); remove it or put a whole one there."
        ) from error


def _pair(merge: Any) -> tuple[str, str]:
    first, second = merge.split(" ") if isinstance(merge, str) else merge
    return first, second


def _packed(text: str) -> Table:
    """The published list holds merges alone; the numbers follow from their order."""
    merges = [_pair(line) for line in text.split("\n")[1 : MERGES + 1]]
    letters = _byte_letters()
    words = [*letters, *(letter + WORD_END for letter in letters), *("".join(pair) for pair in merges), START, END]
    return {word: number for number, word in enumerate(words)}, merges


def _byte_letters() -> list[str]:
    """One visible letter for each byte: printable ones stand for themselves and come first, the others are moved above 255."""
    visible = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    return [chr(byte) for byte in visible] + [chr(256 + n) for n in range(256 - len(visible))]
