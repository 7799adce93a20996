"""A network: its specification, its weights, and how a picture becomes its input."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, fx, nn
from torch.nn import functional as F

from .errors import InputError
from .modules import Frozen
from .recipe import Recipe
from .spec import NetworkSpec, Node, trace
from .tensor import Input, Layer, SymbolicTensor, WeightSource

LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601, the weights of Pillow's own grey conversion


@dataclass(frozen=True)
class Prepare:
    """How a picture becomes a network's input.

    Attributes:
        channels, height, width: What the input layer wants, in pixels.
        mean, std: Per channel, in 0..1 units; empty for no normalization.
        fit: What happens to a picture of other proportions: "stretch", "crop" its longer side or "pad" its shorter one with black.
            "tile" keeps its size: a segmentation network looks at it through windows of height × width.
    """

    channels: int
    height: int
    width: int
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    fit: Literal["stretch", "crop", "pad", "tile"] = "stretch"

    def __call__(self, images: Tensor) -> Tensor:
        """Prepare a batch of pictures.

        Args:
            images: float32 [batch, 1 | 3 | 4, height, width] in 0..1, any size; a fourth channel (alpha) is dropped.

        Returns:
            float32 [batch, channels, height, width].
        """
        return self.normalize(self.match_channels(self.resize(images)))

    def resize(self, images: Tensor) -> Tensor:
        """Bring [batch, channels, any, any] to height × width."""
        height, width = images.shape[-2:]
        if (height, width) == (self.height, self.width):
            return images
        scales = self.height / height, self.width / width
        if self.fit == "crop":
            high, wide = (max(1, round(side / max(scales))) for side in (self.height, self.width))
            top, left = (height - high) // 2, (width - wide) // 2
            images = images[..., top : top + high, left : left + wide]
        elif self.fit == "pad":
            high, wide = (
                max(0, round(side / min(scales)) - have) for side, have in ((self.height, height), (self.width, width))
            )
            images = F.pad(images, (wide // 2, wide - wide // 2, high // 2, high - high // 2))
        return F.interpolate(images, (self.height, self.width), mode="bilinear", antialias=True)

    def match_channels(self, images: Tensor) -> Tensor:
        """Turn [batch, 1 | 3 | 4, …] into the network's number of channels: grey is repeated, colour weighed (BT.601)."""
        found = images.shape[1]
        if found == 4 and self.channels != 4:
            images, found = images[:, :3], 3
        if found == self.channels:
            return images
        if found == 1:
            return images.expand(-1, self.channels, -1, -1)
        if found == 3 and self.channels == 1:
            weights = images.new_tensor(LUMA).view(1, 3, 1, 1)
            return (images * weights).sum(1, keepdim=True)
        raise InputError(
            f"the network wants pictures of {self.channels} channels, but these have {found}; convert them or change its Input."
        )

    def normalize(self, images: Tensor) -> Tensor:
        """(images − mean) / std, or the images themselves where there is no normalization."""
        if not self.mean:
            return images
        mean, std = (images.new_tensor(values).view(1, -1, 1, 1) for values in (self.mean, self.std))
        return (images - mean) / std


@dataclass(frozen=True, eq=False)
class Network:
    """A network that can run. Nobody mutates one: training works on a copy of `module` and returns another Network.

    Attributes:
        spec: The layers, without weights.
        module: The weights and the code; input and output have the batch in front.
        classes: Names of what it tells apart, in the order of its outputs; empty until it was trained.
        task: "classification", "regression" or "segmentation" once trained, before that "".
        prepare: How a picture becomes its input; None for a network that does not read pictures.
        colors: For segmentation, the colour that each class is drawn in.
        initialization: How its weights began, a key of `INITIALIZERS`; an experiment draws them anew from its seeds in the same way.
    """

    spec: NetworkSpec
    module: fx.GraphModule
    classes: tuple[str, ...] = ()
    task: str = ""
    prepare: Prepare | None = None
    colors: tuple[tuple[int, int, int], ...] = ()
    initialization: str = "default"


INITIALIZERS: dict[str, Callable[[Tensor], Tensor] | None] = {
    "default": None,
    "kaiming normal": lambda w: nn.init.kaiming_normal_(w, nonlinearity="relu"),
    "kaiming uniform": lambda w: nn.init.kaiming_uniform_(w, nonlinearity="relu"),
    "xavier normal": nn.init.xavier_normal_,
    "xavier uniform": nn.init.xavier_uniform_,
    "orthogonal": nn.init.orthogonal_,
}
"""He et al. 2015 (arXiv:1502.01852), Glorot & Bengio 2010, Saxe et al. 2013 (arXiv:1312.6120); "default" is each torch module's own."""


def build(
    spec: NetworkSpec, seed: int = 0, initialization: str = "default", weights: dict[str, WeightSource] | None = None
) -> Network:
    """Make the network: fresh modules, initialised from `seed`, wired as `spec` says. Two calls share nothing.

    The caller's random state is left as it was.

    Args:
        initialization: A key of `INITIALIZERS`; weights that come from a file are not touched by it.
        weights: For layers of saved networks, where their trained weights are.
    """
    if initialization not in INITIALIZERS:
        raise InputError(f"initialization {initialization!r} is unknown; choose one of {', '.join(INITIALIZERS)}.")
    with torch.random.fork_rng(devices=[]), torch.device("cpu"):
        torch.manual_seed(seed)
        modules = modules_of(spec)
        for node in spec.nodes:
            if node.name in modules and not getattr(node.layer, "pretrained", False):
                _initialize(modules[node.name], INITIALIZERS[initialization])
    if weights:
        from .storage import load_layer  # storage knows networks, so it is imported here only

        for name, source in weights.items():
            load_layer(modules[name], source)
    module = fx.GraphModule(modules, graph_of(spec), "Network")
    return Network(spec, module, prepare=prepare_of(spec), initialization=initialization)


def prepare_of(spec: NetworkSpec) -> Prepare | None:
    """How a picture becomes the first input, or None if that is no picture."""
    first = spec.inputs[0].layer
    return Prepare(*first.shape) if first.kind == "image" else None


def modules_of(spec: NetworkSpec) -> dict[str, nn.Module]:
    modules = {}
    for node in spec.nodes:
        if not isinstance(node.layer, Input):
            module = _make(recipe_of(spec, node), node.layer)
            modules[node.name] = Frozen(module) if node.frozen else module
    return modules


def _make(recipe: Recipe, layer: Layer) -> nn.Module:
    """The module of a recipe; a sentence where its trained weights cannot be fetched."""
    if not getattr(layer, "pretrained", False):
        return recipe.build()
    try:
        return recipe.build()
    except InputError:
        raise
    except Exception as error:  # the hub's client raises a dozen different ones
        raise InputError(
            f"the trained weights of {layer.model} could not be fetched ({type(error).__name__}); connect this machine to the "
            f"hub once, or switch pretrained off to start from random weights."
        ) from error


def recipe_of(spec: NetworkSpec, node: Node) -> Recipe:
    """The recipe of one node for the shapes that reach it."""
    return node.layer.recipe(*(spec.tensors[name].shape for name in node.inputs))


def _initialize(module: nn.Module, initializer: Callable[[Tensor], Tensor] | None) -> None:
    if initializer is None:
        return
    for part in module.modules():
        if isinstance(part, (nn.Linear, nn.modules.conv._ConvNd)):
            initializer(part.weight)
            if part.bias is not None:
                nn.init.zeros_(part.bias)


def graph_of(spec: NetworkSpec) -> fx.Graph:
    """`spec` as a torch.fx graph whose nodes carry the layers' names."""
    graph = fx.Graph()
    made: dict[str, fx.Node] = {}
    for node in spec.nodes:
        if isinstance(node.layer, Input):
            made[node.name] = graph.placeholder(node.name)
    for node in spec.nodes:
        if not isinstance(node.layer, Input):
            made[node.name] = graph.create_node(
                "call_module", node.name, tuple(made[name] for name in node.inputs), name=node.name
            )
    outputs = tuple(made[name] for name in spec.outputs)
    graph.output(outputs[0] if len(outputs) == 1 else outputs)
    return graph


def build_network(
    outputs: tuple[SymbolicTensor, ...], name: str = "network", seed: int = 0, initialization: str = "default"
) -> Network:
    """Turn the drawn tensors `outputs` into a network that can run; see `build`."""
    spec, weights = trace(outputs, name)
    return build(spec, seed, initialization, weights)
