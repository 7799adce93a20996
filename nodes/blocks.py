"""Menu "Visionsmith/Blocks": layers that read sequences, and whole networks used as layers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from comfy_api.latest import io

from .. import nn_layers as nn
from ..nn_layers.storage import read_spec
from .host import readable
from .support.drawing import draw, incoming, schema, shown
from .support.widgets import number, size
from .support.wires import Tensor, chosen, options


class Attention(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            "Attention",
            "Attention",
            "Multi-head attention over a sequence or over the positions of a map. With a context wired in it is cross-attention.",
            [
                incoming(tooltip="What asks: length × features, or a map."),
                incoming("context", "What is asked; leave it open for self-attention.", optional=True),
                size("heads", 4, "Attention heads; a divisor of the features.", max=256),
                number("dropout", 0.0, "Probability of dropping an attention weight while training.", max=0.99),
                io.Boolean.Input("causal", default=False, tooltip="A step sees only the steps before it."),
                io.Boolean.Input(
                    "bias", default=True, tooltip="Add learned constants to the projections.", advanced=True
                ),
            ],
            ["self-attention", "cross-attention", "multi-head", "transformer"],
            "Blocks",
        )

    @classmethod
    def execute(cls, tensor, context=None, **settings) -> io.NodeOutput:
        return draw(cls, nn.Attention(**settings), *(t for t in (tensor, context) if t is not None))


class Embedding(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        types = {
            "tokens": [
                size("count", 1000, "Different tokens.", max=10_000_000),
                size("features", 64, "Numbers per token."),
            ],
            "positions": [],
        }
        return schema(
            "Embedding",
            "Embedding",
            "Turn whole numbers into learned vectors, or add a learned vector to every position of a sequence.",
            [
                incoming(),
                io.DynamicCombo.Input("type", options=options(types), tooltip="tokens: look up; positions: add."),
            ],
            ["token", "position embedding", "lookup"],
            "Blocks",
        )

    @classmethod
    def execute(cls, tensor, type: dict[str, Any]) -> io.NodeOutput:
        name, settings = chosen("type", type)
        return draw(cls, nn.Embedding(name, **settings), tensor)


class Recurrent(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            "Recurrent",
            "Recurrent",
            "RNN, LSTM or GRU over a sequence.",
            [
                incoming(tooltip="length × features."),
                io.Combo.Input("type", options=["RNN", "LSTM", "GRU"], default="LSTM", tooltip="The kind of cell."),
                size("hidden_size", 64, "Numbers of memory, per direction."),
                size("layers", 1, "Cells on top of each other.", max=64),
                io.Boolean.Input("bidirectional", default=False, tooltip="Read the sequence from both ends."),
                number("dropout", 0.0, "Between layers, while training; needs two layers.", max=0.99),
                io.Boolean.Input("last_only", default=True, tooltip="Give the last step only instead of all."),
            ],
            ["rnn", "lstm", "gru"],
            "Blocks",
        )

    @classmethod
    def execute(cls, tensor, **settings) -> io.NodeOutput:
        return draw(cls, nn.Recurrent(**settings), tensor)


class Backbone(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        outputs = {
            "pooled": [],
            "map": [size("level", -1, "Stage whose map comes out; 0 is the first, -1 the last.", min=-16, max=64)],
        }
        freezes = {
            "none": [],
            "all": [],
            "stages": [
                size(
                    "freeze_stages",
                    1,
                    "Stages from the picture on that stay as they are; the stem is the first.",
                    max=64,
                )
            ],
        }
        return schema(
            "Backbone",
            "Pretrained Backbone",
            "Any model of timm as a feature extractor: pooled features for a classifier, or a map for what you draw behind it.",
            [
                incoming(tooltip="A picture: channels × height × width."),
                io.String.Input(
                    "model", default="resnet18", tooltip="timm's name of the model, such as resnet18 or convnext_tiny."
                ),
                io.Boolean.Input(
                    "pretrained",
                    default=False,
                    tooltip="Fetch trained weights when the network is built; needs the internet once, and the model's licence applies.",
                ),
                io.DynamicCombo.Input(
                    "output", options=options(outputs), tooltip="One vector per picture, or a map of features."
                ),
                io.DynamicCombo.Input(
                    "freeze",
                    options=options(freezes),
                    tooltip="What training leaves alone, running statistics included.",
                ),
            ],
            [
                "timm",
                "resnet",
                "convnext",
                "vit",
                "efficientnet",
                "encoder",
                "transfer learning",
                "feature extractor",
                "imagenet",
                "mobilenet",
                "pretrained model",
                "pretrained network",
            ],
            "Blocks",
        )

    @classmethod
    def execute(
        cls, tensor, model: str, pretrained: bool, output: dict[str, Any], freeze: dict[str, Any]
    ) -> io.NodeOutput:
        (output, first), (freeze, second) = chosen("output", output), chosen("freeze", freeze)
        layer = nn.Backbone(model.strip(), pretrained, output=output, freeze=freeze, **first, **second)
        return draw(cls, layer, tensor)


class Repeat(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            "Repeat",
            "Repeat",
            "Draw a block once and get it several times in a row; every copy has weights of its own.",
            [
                Tensor.Input("start", tooltip="The tensor where the block begins."),
                Tensor.Input(
                    "end", tooltip="What the block gives; of the start's shape, unless the block fits behind any."
                ),
                size("times", 2, "How many blocks there are in all, the drawn one included.", max=1000),
            ],
            ["loop", "stack", "block"],
            "Blocks",
        )

    @classmethod
    def execute(cls, start, end, times: int) -> io.NodeOutput:
        return shown(cls, nn.repeat(start, end, times))


class Block(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            "Block",
            "Block",
            "A saved network as a layer of this one.",
            [
                incoming(tooltip="What the saved network reads."),
                io.String.Input(
                    "folder",
                    default="networks/block",
                    tooltip="Folder of the saved network, below ComfyUI's output or models folder.",
                ),
                io.Combo.Input(
                    "weights",
                    options=["trained", "fresh"],
                    default="trained",
                    tooltip="Begin with its trained weights or with new ones.",
                ),
                io.Boolean.Input("freeze", default=False, tooltip="Training leaves these layers as they are."),
            ],
            ["subnetwork", "reuse", "saved network"],
            "Blocks",
        )

    @classmethod
    def execute(cls, tensor, folder: str, weights: str, freeze: bool) -> io.NodeOutput:
        path: Path = readable(folder)
        file = path / "weights.safetensors" if weights == "trained" else None
        return shown(cls, nn.embed(read_spec(path), (tensor,), file, freeze))


NODES: list[type[io.ComfyNode]] = [Attention, Embedding, Recurrent, Backbone, Repeat, Block]
