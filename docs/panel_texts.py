"""The sentences of web/: those in a call of `t`, which are translated, and those that a person would see but that stand beside it.

No JavaScript is run: a small scanner tells comments, regular expressions and texts from code. docs/locales.py and tests/test_locales.py ask it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

WEB = Path(__file__).resolve().parents[1] / "web"
ENGLISH = WEB.parent / "locales" / "en"
TOKEN = re.compile(
    r"""(?P<comment>//[^\n]*|/\*.*?\*/)
    |(?P<regex>(?<=[(,=:\[!&|?{};>])\s*/(?![*/])(?:\\.|\[(?:\\.|[^\]\\\n])*\]|[^/\\\n\[])+/[a-z]*)
    |(?P<text>"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*')
    |(?P<template>`)""",
    re.DOTALL | re.VERBOSE,
)
CALL = re.compile(r"(?<![\w.$])t\(\s*$")
"""What stands before the key of a translated sentence."""
SHOWN = re.compile(
    r"""(?:\b(?:textContent|innerText|title|placeholder|alt|label|summary|detail|tooltip|message|ariaLabel|does|tab)"?
    |"aria-(?:label|description|valuetext|roledescription)")\s*(?:=|:|(?<=")\s*,)\s*(?:[^"'`;,(){}]*\?\s*)?$""",
    re.VERBOSE,
)
"""What stands before a text that a person sees or hears."""
CHILD = re.compile(r"(?:\}\s*,|\.append\(|\.prepend\(|new Error\(|\.(?:tell|say)\()\s*$")
"""What stands before a text that becomes part of an element, or is told."""
TECHNICAL = re.compile(
    r"\bcase $|\b(?:class(?:Name|List)?|style|cssText|font|d|gesture|querySelector(?:All)?|closest|matches|animation)[\"\s]*[:=(]\s*$"
)
"""What stands before a text for the browser: names of classes, styles, selectors, paths."""
UNSEEN = re.compile(
    r"^(?:Visionsmith|ComfyUI)$|visionsmith-|^pi pi-|minmax\(|^aria-\w+$|^A mask of .* labels\.$|^A row was drawn"
)
"""Names of classes, icons, styles and attributes; and what only a mistake of ours could say."""
PROSE = re.compile(r"[A-Za-z]{2,}[,.;:]? (?:[a-z]{2,}|a)\b")
WORD = re.compile(r"[A-Za-z]{2,}")


@dataclass(frozen=True)
class Text:
    """A text of a source file: what it says, `{}` where a template puts a value; where it stands; the code before and behind it."""

    says: str
    place: str
    before: str
    behind: str
    whole: bool

    @property
    def translated(self) -> bool:
        """Whether it is the key of a sentence."""
        return bool(CALL.search(self.before))


def sources() -> Iterator[Path]:
    """Every script of web/."""
    yield from sorted(path for path in WEB.rglob("*") if path.suffix in (".js", ".mjs"))


def texts(file: Path) -> list[Text]:
    """Every text of a file."""
    code = file.read_text(encoding="utf-8")
    name = file.relative_to(WEB).as_posix() if file.is_relative_to(WEB) else file.name
    found: list[Text] = []
    _scan(code, 0, name, found, "")
    return found


def _scan(code: str, at: int, name: str, found: list[Text], ends: str) -> int:
    """Put the texts from `at` on into `found`, up to the brace that closes a template's value, or the end; where that is."""
    depth, begin, clean = 0, at, ""
    while at < len(code):
        token = TOKEN.match(code, at)
        if token is None:
            depth += {"{": 1, "}": -1}.get(code[at], 0)
            if ends and depth < 0:
                return at
            clean += code[at]
            at += 1
            continue
        start, at = at, token.end()
        if token["text"]:
            says, whole = _decoded(token["text"]), True
        elif token["template"]:
            says, whole, at = _template(code, at, name, found)
        else:
            continue
        line = code.count("\n", 0, start) + 1
        found.append(Text(says, f"web/{name}:{line}", clean[-200:], code[at : at + 400], whole))
        clean += code[start:at] if re.fullmatch(r'"[\w-]+"', code[start:at]) else '"'
    return max(at, begin)


def _template(code: str, at: int, name: str, found: list[Text]) -> tuple[str, bool, int]:
    """A template from behind its first backtick on: what it says, whether it has no values, and where it ends."""
    says, whole = "", True
    while code[at] != "`":
        if code[at] == "\\":
            says, at = says + code[at + 1], at + 2
        elif code.startswith("${", at):
            says, whole, at = says + "{}", False, _scan(code, at + 2, name, found, "}") + 1
        else:
            says, at = says + code[at], at + 1
    return says, whole, at + 1


def _decoded(literal: str) -> str:
    inner = literal[1:-1].replace("\\'", "'")
    return json.loads(f'"{inner}"' if literal[0] == '"' else json.dumps(inner))


def sentences() -> list[str]:
    """What web/ says in calls of `t`, each once, in the order of its files."""
    return list(dict.fromkeys(one.says for file in sources() for one in texts(file) if one.translated))


def unclear() -> list[str]:
    """Calls of `t` whose sentence does not stand in them, or that do not give every value which the sentence asks for."""
    wrong = []
    for file in sources():
        every = texts(file)
        keys = [one for one in every if one.translated]
        wrong += [f"{one.place}: a template" for one in keys if not one.whole]
        code = _code(file)
        wrong += [
            f"{one.place}: no value for {{{name}}}"
            for one in keys
            for name in re.findall(r"\{(\w+)\}", one.says) + ["count"] * ("|" in one.says)
            if not re.search(rf"[{{,]\s*{name}\s*[:,}}]", code)
        ]
        calls = len(re.findall(r"(?<![\w.$])(?<!function )t\(", code))
        if calls != len(keys):
            wrong.append(f"web/{file.relative_to(WEB)}: {calls} calls of t, {len(keys)} with a sentence in them")
    return wrong


def _code(file: Path) -> str:
    """A file without its comments and texts."""
    return TOKEN.sub(lambda token: token[0] if token["template"] else " ", file.read_text(encoding="utf-8"))


@cache
def comfyui_translates() -> frozenset[str]:
    """The texts of our commands and settings."""
    files = (ENGLISH / name for name in ("commands.json", "settings.json"))
    return frozenset(text for file in files for text in re.findall(r'": "(.*)"', file.read_text(encoding="utf-8")))


def untranslated() -> list[str]:
    """Texts that seem to be for people and are in no call of `t`, each behind its place."""
    return [
        f"{one.place}: {one.says!r}" for file in sources() for one in texts(file) if not one.translated and seen(one)
    ]


def seen(text: Text) -> bool:
    """Whether a person seems to see or hear a text: by where it goes, or because it reads like a sentence."""
    key = text.behind.startswith(":") and re.search(r"[{,]\s*$", text.before)
    if key or UNSEEN.search(text.says) or TECHNICAL.search(text.before) or text.says in comfyui_translates():
        return False
    words = text.says.replace("{}", " ")
    return bool((SHOWN.search(text.before) or CHILD.search(text.before)) and WORD.search(words)) or bool(
        PROSE.search(words)
    )
