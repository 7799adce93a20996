"""What a release needs: a tag, pyproject.toml and CHANGELOG.md that tell the same version.

Usage: python .github/release.py check v0.2.0    exit code 1 and a sentence for everything that is wrong
       python .github/release.py notes v0.2.0    the section of CHANGELOG.md, for the page of the release
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
SEMANTIC = r"\d+\.\d+\.\d+(?:-(?:alpha|beta|rc)\.\d+)?"


def problems(tag: str, pyproject: str, changelog: str) -> list[str]:
    """A sentence for everything that does not fit; the texts are those of the two files."""
    if not re.fullmatch(f"v{SEMANTIC}", tag):
        return [f"the tag {tag} is no version such as v0.2.0; delete it and make another one."]
    version, found = tag[1:], []
    told = re.search(r'^version = "(.+)"$', pyproject, re.MULTILINE)
    if not told or told[1] != version:
        found.append(
            f"pyproject.toml has version {told[1] if told else 'none'}, but the tag is {tag}; correct one of them."
        )
    if not notes(version, changelog):
        found.append(
            f"CHANGELOG.md has no section ## [{version}] - YEAR-MONTH-DAY with text; move what is under Unreleased there."
        )
    elif notes("Unreleased", changelog):
        found.append(f"CHANGELOG.md still has text under Unreleased; move it to {version}.")
    return found


def notes(version: str, changelog: str) -> str:
    """The section of a version, without its heading."""
    date = "" if version == "Unreleased" else r" - \d{4}-\d\d-\d\d"
    section = re.search(rf"^## \[{re.escape(version)}\]{date}\n(.*?)(?=^## \[|\Z)", changelog, re.MULTILINE | re.DOTALL)
    return section[1].strip() if section else ""


def main(command: str, tag: str) -> int:
    """Carry out a command."""
    pyproject, changelog = (
        (REPOSITORY / name).read_text(encoding="utf-8") for name in ("pyproject.toml", "CHANGELOG.md")
    )
    if command == "notes":
        print(notes(tag[1:], changelog))
        return 0
    found = problems(tag, pyproject, changelog)
    for problem in found:
        print(f"error: {problem}", file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:3]))
