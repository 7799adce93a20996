"""Running a node as ComfyUI does, for tests: under inference mode, with the defaults of its widgets."""

import torch
from comfy_api.latest import io

NODE = "7"


class Display:
    """Keeps what nodes show."""

    def __init__(self):
        self.texts, self.steps = [], []

    def progress(self, node_id, value, total):
        self.steps.append((value, total))

    def text(self, node_id, text):
        self.texts.append(text)


def defaults(node):
    """Widgets as they are when the node is dropped on the canvas."""
    return {e.id: e.default for e in node.GET_SCHEMA().inputs if getattr(e, "default", None) is not None}


@torch.inference_mode()
def run(node, **inputs):
    """Execute a node; gives its `NodeOutput`."""
    clone = node.PREPARE_CLASS_CLONE({"hidden_inputs": {io.Hidden.unique_id: NODE}})
    return clone.EXECUTE_NORMALIZED(**(defaults(node) | inputs))


def outputs(node, **inputs):
    """Execute a node; gives what its outputs carry."""
    return run(node, **inputs).result
