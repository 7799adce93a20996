"""Rewrite a workflow of the pack comfyui-Build-and-train-your-network as a Visionsmith drawing.

The old pack threads a list of layers (LAYER) and positions in that list (RES) through its nodes. The drawing has tensors on its wires instead,
and a Merge node where a residual branch ends. Whatever had to be decided on the way is told in words.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from ...nn_layers.errors import InputError
from ...nn_layers.files import atomic
from .drawing import Drawing
from .learning import draw_learning
from .network import draw_network
from .old import PACK, read_old


def convert(data: Any, name: str = "the workflow") -> tuple[dict[str, Any], list[str]]:
    """The new workflow, in the format of the old one, and a sentence for everything that had to be decided.

    Args:
        data: A workflow as parsed JSON, in the canvas's format or in API format.
        name: What errors call it.

    Raises:
        InputError: It is no workflow, goes round in a circle, or has no node of the old pack.
    """
    old = read_old(data, name)
    if not any(node.type in PACK for node in old.nodes.values()):
        raise InputError(
            f"{name} has no node of comfyui-Build-and-train-your-network; there is nothing to convert, choose another file."
        )
    new = Drawing(old)
    draw_learning(old, new, draw_network(old, new))
    new.keep_others()
    return new.workflow(), new.notes


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
    workflow, notes = convert(data, str(source))
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
