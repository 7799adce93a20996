"""What is in the blueprints of subgraphs/: nodes, wires, and what a person sees of them from outside.

Places are (column, row); a wire is "from.output > to.input"; an input is the name outside and every "node.input" that it feeds,
widgets as well as sockets.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

COLUMN, ROW = 320, 300
"""Pixels from one place to the next."""

Node = tuple[str, tuple[float, float], dict[str, Any]]


@dataclass(frozen=True)
class Blueprint:
    """A subgraph to be drawn; see the text at the top."""

    name: str
    description: str
    nodes: dict[str, Node]
    wires: tuple[str, ...]
    inputs: dict[str, str]
    outputs: dict[str, str]
    titles: dict[str, str] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """For the script in the page; types without a pack are ours."""
        return {
            "name": self.name,
            "description": self.description,
            "nodes": {
                key: {
                    "type": kind.removeprefix("core:") if kind.startswith("core:") else f"Visionsmith{kind}",
                    "place": [COLUMN * column, ROW * row],
                    "title": self.titles.get(key),
                    "values": values,
                }
                for key, (kind, (column, row), values) in self.nodes.items()
            },
            "links": [[_end(end) for end in wire.split(" > ")] for wire in self.wires],
            "inputs": {name: [_end(end) for end in ends.split()] for name, ends in self.inputs.items()},
            "outputs": {name: _end(end) for name, end in self.outputs.items()},
        }


def _end(text: str) -> list[str]:
    """ "conv.tensor" → ["conv", "tensor"]; a bare name means the socket `tensor`."""
    key, _, socket = text.strip().partition(".")
    return [key, socket or "tensor"]


def chain(*keys: str) -> tuple[str, ...]:
    """Wires from each layer to the next."""
    return tuple(f"{first} > {second}" for first, second in pairwise(keys))


CONV = {"bias": False}
NORM: dict[str, Any] = {"type": "BatchNorm"}
RELU = {"type": "ReLU"}

RESIDUAL = Blueprint(
    "Residual Block",
    "Two convolutions and a shortcut around them (ResNet, He et al. 2015). A 1 × 1 convolution fits the shortcut to `channels` and "
    "`stride`; bypass it inside for a plain identity where neither changes.",
    {
        "conv1": ("Conv", (0, 0), CONV),
        "norm1": ("Normalization", (1, 0), NORM),
        "relu1": ("Activation", (2, 0), RELU),
        "conv2": ("Conv", (3, 0), CONV),
        "norm2": ("Normalization", (4, 0), NORM),
        "fit": ("Conv", (3, 1.5), CONV | {"kernel_size": 1}),
        "norm3": ("Normalization", (4, 1.5), NORM),
        "add": ("Merge", (5, 0.5), {"operation": "add"}),
        "relu2": ("Activation", (6, 0.5), RELU),
    },
    (
        *chain("conv1", "norm1", "relu1", "conv2", "norm2"),
        *chain("fit", "norm3"),
        "norm2 > add.tensors.tensor0",
        "norm3 > add.tensors.tensor1",
        "add > relu2",
    ),
    {
        "tensor": "conv1 fit",
        "channels": "conv1.out_channels conv2.out_channels fit.out_channels",
        "kernel_size": "conv1.kernel_size conv2.kernel_size",
        "stride": "conv1.stride fit.stride",
    },
    {"tensor": "relu2"},
    {"fit": "Shortcut: 1 × 1 conv"},
)

ENCODER = Blueprint(
    "U-Net Encoder Stage",
    "Two convolutions, then half the size (U-Net, Ronneberger et al. 2015). `down` goes into the next stage, `skip` into the decoder "
    "stage of the same size.",
    {
        "conv1": ("Conv", (0, 0), CONV),
        "norm1": ("Normalization", (1, 0), NORM),
        "relu1": ("Activation", (2, 0), RELU),
        "conv2": ("Conv", (3, 0), CONV),
        "norm2": ("Normalization", (4, 0), NORM),
        "relu2": ("Activation", (5, 0), RELU),
        "pool": ("Pooling", (6, 0), {"type": "max"}),
    },
    chain("conv1", "norm1", "relu1", "conv2", "norm2", "relu2", "pool"),
    {"tensor": "conv1", "channels": "conv1.out_channels conv2.out_channels"},
    {"down": "pool", "skip": "relu2"},
)

DECODER = Blueprint(
    "U-Net Decoder Stage",
    "Twice the size, joined with what the encoder stage of that size kept, then two convolutions (U-Net, Ronneberger et al. 2015). "
    "`tensor` comes from below, `skip` from the encoder.",
    {
        "up": ("Conv", (0, 0), {"transposed": True, "kernel_size": 2, "stride": 2, "padding": "valid"}),
        "join": ("Merge", (1, 0), {"operation": "concat"}),
        "conv1": ("Conv", (2, 0), CONV),
        "norm1": ("Normalization", (3, 0), NORM),
        "relu1": ("Activation", (4, 0), RELU),
        "conv2": ("Conv", (5, 0), CONV),
        "norm2": ("Normalization", (6, 0), NORM),
        "relu2": ("Activation", (7, 0), RELU),
    },
    ("up > join.tensors.tensor0", *chain("join", "conv1", "norm1", "relu1", "conv2", "norm2", "relu2")),
    {
        "tensor": "up",
        "skip": "join.tensors.tensor1",
        "channels": "up.out_channels conv1.out_channels conv2.out_channels",
    },
    {"tensor": "relu2"},
    {"up": "Twice the size"},
)

INCEPTION = Blueprint(
    "Inception Block",
    "Filters of 1 × 1, 3 × 3 and 5 × 5 pixels and a pooling side by side, one behind the other in the result (GoogLeNet, Szegedy et al. "
    "2014). A 1 × 1 convolution makes the wide filters cheaper; the numbers are the channels of each branch.",
    {
        "one": ("Conv", (1, 0), {"kernel_size": 1, "out_channels": 64}),
        "relu1": ("Activation", (2, 0), RELU),
        "before3": ("Conv", (-1, 1.5), {"kernel_size": 1, "out_channels": 96}),
        "relu_before3": ("Activation", (0, 1.5), RELU),
        "three": ("Conv", (1, 1.5), {"kernel_size": 3, "out_channels": 128}),
        "relu3": ("Activation", (2, 1.5), RELU),
        "before5": ("Conv", (-1, 3), {"kernel_size": 1, "out_channels": 16}),
        "relu_before5": ("Activation", (0, 3), RELU),
        "five": ("Conv", (1, 3), {"kernel_size": 5, "out_channels": 32}),
        "relu5": ("Activation", (2, 3), RELU),
        "pool": ("Pooling", (0, 4.5), {"type": "max", "area.kernel_size": 3, "area.stride": 1, "area.padding": 1}),
        "behind": ("Conv", (1, 4.5), {"kernel_size": 1, "out_channels": 32}),
        "relu_pool": ("Activation", (2, 4.5), RELU),
        "join": ("Merge", (3, 2), {"operation": "concat"}),
    },
    (
        *chain("one", "relu1"),
        *chain("before3", "relu_before3", "three", "relu3"),
        *chain("before5", "relu_before5", "five", "relu5"),
        *chain("pool", "behind", "relu_pool"),
        *(f"{key} > join.tensors.tensor{index}" for index, key in enumerate(("relu1", "relu3", "relu5", "relu_pool"))),
    ),
    {
        "tensor": "one before3 before5 pool",
        "1x1": "one.out_channels",
        "before 3x3": "before3.out_channels",
        "3x3": "three.out_channels",
        "before 5x5": "before5.out_channels",
        "5x5": "five.out_channels",
        "pooling": "behind.out_channels",
    },
    {"tensor": "join"},
    {"before3": "1 × 1 before 3 × 3", "before5": "1 × 1 before 5 × 5", "one": "1 × 1", "three": "3 × 3", "five": "5 × 5", "behind": "1 × 1 behind pooling"},
)  # fmt: skip

TRANSFORMER = Blueprint(
    "Transformer Block",
    "Attention, then a small network for every step, each with a normalization before and a shortcut around it (pre-norm, Vaswani et al. "
    "2017). It reads a sequence of length × features; `features` is how many features come in. Put View (flatten from 1, then permute "
    "1, 0) before it to read a map.",
    {
        "norm1": ("Normalization", (0, 0), {"type": "LayerNorm", "type.dims": 1}),
        "attention": ("Attention", (1, 0), {}),
        "add1": ("Merge", (2, 0), {"operation": "add"}),
        "norm2": ("Normalization", (3, 0), {"type": "LayerNorm", "type.dims": 1}),
        "wide": ("Linear", (4, 0), {"out_features": 256}),
        "gelu": ("Activation", (5, 0), {"type": "GELU"}),
        "narrow": ("Linear", (6, 0), {"out_features": 64}),
        "drop": ("Dropout", (7, 0), {"p": 0.1}),
        "add2": ("Merge", (8, 0), {"operation": "add"}),
    },
    (
        *chain("norm1", "attention"),
        "attention > add1.tensors.tensor1",
        *chain("add1", "norm2", "wide", "gelu", "narrow", "drop"),
        "add1 > add2.tensors.tensor0",
        "drop > add2.tensors.tensor1",
    ),
    {
        "sequence": "norm1 add1.tensors.tensor0",
        "features": "narrow.out_features",
        "heads": "attention.heads",
        "hidden": "wide.out_features",
        "dropout": "drop.p",
        "causal": "attention.causal",
    },
    {"sequence": "add2"},
    {"wide": "Feed-forward: in", "narrow": "Feed-forward: out"},
)

REPAINT = Blueprint(
    "Find, Erase and Repaint (SAM3, LaMa)",
    "Say in words what should go: SAM3 finds it, LaMa erases it, and your diffusion model repaints the place; every other pixel stays as "
    "it was. Wire model, clip and vae from Load Checkpoint. Needs sam3.pt in models/sam3 and big-lama.pt in models/lama.",
    {
        "sam3": ("LoadSam3", (0, 0), {}),
        "find": ("Sam3Segment", (1, 0), {"text": "spoon"}),
        "merge": ("MergeMasks", (2.3, 0), {"operation": "union", "together": "all into one"}),
        "refine": ("RefineMask", (2.3, 0.7), {"grow": 6}),
        "lama": ("LoadLaMa", (2.3, 2), {}),
        "erase": ("RemoveObject", (3.3, 0), {}),
        "crop": ("InpaintCrop", (3.3, 1.4), {}),
        "words": ("core:CLIPTextEncode", (4.3, 0), {"text": "close-up photo of an empty wooden table"}),
        "not": ("core:CLIPTextEncode", (4.3, 0.9), {"text": "blurry, low quality, deformed, text, watermark"}),
        "prepare": ("PrepareInpaintModel", (5.7, 0), {}),
        "sample": ("core:KSampler", (6.6, 0), {"steps": 25, "cfg": 7, "sampler_name": "dpmpp_2m", "scheduler": "karras", "denoise": 0.6}),
        "decode": ("core:VAEDecode", (7.5, 0), {}),
        "stitch": ("InpaintStitch", (7.5, 0.5), {}),
    },
    (
        "sam3.model > find.model",
        "find.masks > merge.mask",
        "merge.mask > refine.mask",
        "refine.mask > erase.masks",
        "lama.lama > erase.lama",
        "erase.images > crop.image",
        "refine.mask > crop.mask",
        "words.CONDITIONING > prepare.positive",
        "not.CONDITIONING > prepare.negative",
        "crop.image > prepare.image",
        "crop.mask > prepare.mask",
        "prepare.model > sample.model",
        "prepare.positive > sample.positive",
        "prepare.negative > sample.negative",
        "prepare.latent > sample.latent_image",
        "sample.LATENT > decode.samples",
        "decode.IMAGE > stitch.image",
        "crop.stitch > stitch.stitch",
    ),
    {
        "image": "find.images erase.images",
        "model": "prepare.model",
        "clip": "words.clip not.clip",
        "vae": "prepare.vae decode.vae",
        "find": "find.text",
        "threshold": "find.threshold",
        "grow": "refine.grow",
        "paint": "words.text",
        "avoid": "not.text",
        "seed": "sample.seed",
        "steps": "sample.steps",
        "denoise": "sample.denoise",
        "width": "crop.size.width",
        "height": "crop.size.height",
    },
    {"image": "stitch.image", "erased": "erase.images", "mask": "refine.mask"},
    {"words": "What to paint", "not": "What not to paint"},
)  # fmt: skip

BLUEPRINTS = (RESIDUAL, ENCODER, DECODER, INCEPTION, TRANSFORMER, REPAINT)
