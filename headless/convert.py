"""`visionsmith convert`: an old workflow's file becomes a new one."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from ..nn_layers.errors import InputError
from ..nn_layers.files import atomic
from ..nodes.canvas.convert import convert
from . import core_nodes


def convert_file(source: Path, target: Path) -> list[str]:
    """Convert the workflow in `source`, write it to `target`, and give what had to be decided.

    Raises:
        InputError: `source` cannot be read or converted, `target` is the same file, or it cannot be written.
    """
    if not source.is_file():
        raise InputError(f"{source} does not exist; give the path of a workflow's JSON file.")
    if target.exists() and target.samefile(source):
        raise InputError(f"{target} is the old workflow itself; give the new one another name.")
    try:
        data = json.loads(source.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise InputError(f"{source} is no JSON ({error}); save the workflow again in ComfyUI.") from None
    workflow, notes = convert(data, str(source), [node.GET_SCHEMA().node_id for node in core_nodes.NODES])
    with atomic(target) as part:
        part.write_text(json.dumps(workflow, indent=1) + "\n", encoding="utf-8")
    return notes


def run(options: argparse.Namespace) -> int:
    """`visionsmith convert OLD.json NEW.json`: convert, and print what had to be decided."""
    notes = convert_file(options.old, options.new)
    print(f"{options.new}: written; {len(notes)} thing{'s' * (len(notes) != 1)} to know")
    for note in notes:
        print(f"- {note}")
    return 0
