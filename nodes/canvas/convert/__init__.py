"""Rewrite a workflow of the pack comfyui-Build-and-train-your-network as a Visionsmith drawing.

The old pack threads a list of layers (LAYER) and positions in that list (RES) through its nodes. The drawing has tensors on its wires instead,
and a Merge node where a residual branch ends. Whatever had to be decided on the way is told in words.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ....nn_layers.errors import InputError
from .drawing import Drawing
from .learning import draw_learning
from .network import draw_network
from .old import PACK, read_old

MOST_NODES = 500
"""Some looks at the old graph cost the square of its size, and strangers may ask a server for them."""


def convert(data: Any, name: str = "the workflow", known: Iterable[str] = ()) -> tuple[dict[str, Any], list[str]]:
    """The new workflow, in the format of the old one, and a sentence for everything that had to be decided.

    Args:
        data: A workflow as parsed JSON, in the canvas's format or in API format.
        name: What errors call it.
        known: Node types, beside ours, that need no word in the notes because whoever runs us has them.

    Raises:
        InputError: It is no workflow, goes round in a circle, has no node of the old pack or too many nodes.
    """
    old = read_old(data, name)
    if not any(node.type in PACK for node in old.nodes.values()):
        raise InputError(
            f"{name} has no node of comfyui-Build-and-train-your-network; there is nothing to convert, choose another file."
        )
    if len(old.nodes) > MOST_NODES:
        raise InputError(f"{name} has {len(old.nodes)} nodes; at most {MOST_NODES} can be converted, divide it.")
    new = Drawing(old)
    try:
        draw_learning(old, new, draw_network(old, new))
        new.keep_others(known)
        return new.workflow(), new.notes
    except InputError:
        raise
    except (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError) as error:
        raise InputError(
            f"{name} has a part that cannot be read ({type(error).__name__}: {error}); save it again in ComfyUI."
        ) from error
