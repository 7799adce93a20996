"""A network for the world outside: Python source that runs alone, ONNX, and torch.export."""

from __future__ import annotations

import copy
import inspect
import textwrap
from pathlib import Path

import torch

from . import modules
from .errors import InputError
from .files import atomic
from .network import Network, recipe_of
from .segmentation import SegmentationModel
from .spec import NetworkSpec
from .storage import save_weights
from .tensor import Input

FORMATS = ("python", "onnx", "torch.export")


def export_network(network: Network, format: str, folder: Path) -> Path:
    """Write `network` into `folder` in one of `FORMATS` and give the path of the main file."""
    writers = {"python": export_python, "onnx": export_onnx, "torch.export": export_program}
    if format not in writers:
        raise InputError(f"export format {format!r} is unknown; choose one of {', '.join(FORMATS)}.")
    return writers[format](network, Path(folder))


def export_python(network: Network, folder: Path) -> Path:
    """Write `model.py`, which needs torch only (and timm for a backbone), and the weights it loads.

    Raises:
        InputError: The network has a whole segmentation model, whose code lies in several libraries.
    """
    if any(isinstance(node.layer, SegmentationModel) for node in network.spec.nodes):
        raise InputError(
            f"{network.spec.name} has a Segmentation Model, whose code is too large for one file; choose the format onnx or torch.export."
        )
    save_weights(network.module, folder / "weights.safetensors")
    with atomic(folder / "model.py") as path:
        path.write_text(python_source(network), encoding="utf-8")
    return folder / "model.py"


HEADER = '''"""{name}: drawn with Visionsmith. Needs torch{timm}; `load` also needs safetensors."""
{imports}
from torch import nn
{functional}
CLASSES = {classes!r}
MEAN, STD = {mean!r}, {std!r}  # subtract and divide, pictures in 0..1
'''

FOOTER = '''

def load(path="weights.safetensors"):
    """The network with its trained weights, ready for inference."""
    from safetensors.torch import load_file

    model = Model()
    model.load_state_dict(load_file(path))
    return model.eval()


if __name__ == "__main__":
    model = load()
    print(model({example}))
'''


def python_source(network: Network) -> str:
    """The network as one Python file: the classes it needs, then a class `Model` with the same names as the weights file."""
    spec = network.spec
    body = [node for node in spec.nodes if not isinstance(node.layer, Input)]
    recipes = {node.name: recipe_of(spec, node) for node in body}
    own = {recipe.cls for recipe in recipes.values() if recipe.cls.__module__ == modules.__name__}
    own |= {modules.Frozen} if any(node.frozen for node in body) else set()
    classes = [inspect.getsource(cls) for cls in sorted(own, key=lambda cls: cls.__name__)]
    prepare = network.prepare
    head = HEADER.format(
        name=spec.name.replace('"', "'").replace("\\", "/"),
        timm=" and timm" if modules.Backbone in own else "",
        imports="from __future__ import annotations\n\nimport torch",
        functional="from torch import Tensor\nfrom torch.nn import functional as F\n" if own else "",
        classes=network.classes,
        mean=prepare.mean if prepare else (),
        std=prepare.std if prepare else (),
    )
    return "\n\n".join([head, *classes, _model_class(spec, body, recipes)]) + FOOTER.format(
        example=_example_source(spec)
    )


def _model_class(spec: NetworkSpec, body, recipes) -> str:
    init = [
        f"self.{node.name} = Frozen({recipes[node.name].source()})"
        if node.frozen
        else f"self.{node.name} = {recipes[node.name].source()}"
        for node in body
    ]
    forward = [f"{node.name} = self.{node.name}({', '.join(node.inputs)})" for node in body]
    names = ", ".join(node.name for node in spec.inputs)
    return (
        "class Model(nn.Module):\n"
        "    def __init__(self):\n        super().__init__()\n"
        + textwrap.indent("\n".join(init), " " * 8)
        + f"\n\n    def forward(self, {names}):\n"
        + textwrap.indent("\n".join([*forward, f"return {', '.join(spec.outputs)}"]), " " * 8)
        + "\n"
    )


def _example_source(spec: NetworkSpec) -> str:
    return ", ".join(
        f"torch.zeros(1, {', '.join(map(str, n.layer.shape))}, dtype={n.layer.dtype})" for n in spec.inputs
    )


def export_onnx(network: Network, folder: Path) -> Path:
    """Write `model.onnx` for batches of any size; needs the extra `export` (onnx and onnxscript)."""
    try:
        import onnxscript  # noqa: F401
    except ImportError:
        raise InputError(
            "exporting to ONNX needs the packages onnx and onnxscript; install them with: pip install 'visionsmith[export]'."
        ) from None
    module, inputs, dynamic = _for_export(network)
    program = torch.onnx.export(
        module, inputs, dynamo=True, dynamic_shapes=dynamic, verbose=False,
        input_names=[node.name for node in network.spec.inputs], output_names=[f"output_{i}" for i, _ in enumerate(network.spec.outputs, 1)],
    )  # fmt: skip
    with atomic(folder / "model.onnx") as path:
        program.save(path, external_data=False)
    return folder / "model.onnx"


def export_program(network: Network, folder: Path) -> Path:
    """Write `model.pt2`, a torch.export program for batches of any size."""
    module, inputs, dynamic = _for_export(network)
    program = torch.export.export(module, inputs, dynamic_shapes=dynamic)
    with atomic(folder / "model.pt2") as path, path.open("wb") as stream:
        torch.export.save(program, stream)
    return folder / "model.pt2"


def _for_export(network: Network):
    """A copy in evaluation mode, example inputs, and their batch dimension marked as free."""
    module = copy.deepcopy(network.module).cpu().eval()
    inputs = tuple(torch.zeros(2, *node.layer.shape, dtype=node.layer.dtype) for node in network.spec.inputs)
    batch = torch.export.Dim("batch", min=1, max=4096)
    return module, inputs, tuple({0: batch} for _ in inputs)
