"""Menu "Visionsmith/Layers": the layers of a drawn network. Each node sets up one layer and puts it behind what is wired into it."""

from __future__ import annotations

from typing import Any

from comfy_api.latest import io

from .. import nn_layers as nn
from ..nn_layers.recipe import read_sizes
from .support.drawing import draw, incoming, schema, shown
from .support.widgets import number, size
from .support.wires import Tensor, chosen, options


class Input(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        channels = size("channels", 3, "3 for colour, 1 for grey.", max=4096)
        height, width = size("height", 64, "Pixels."), size("width", 64, "Pixels.")
        features = size("features", 16, "Numbers per sample or per step.", max=1_000_000)
        length = size("length", 128, "Steps.", max=1_000_000)
        kinds = {
            "image": [channels, height, width],
            "features": [features],
            "sequence": [length, features],
            "tokens": [length],
            "signal": [channels, length],
            "volume": [channels, size("depth", 16, "Slices."), height, width],
        }
        return schema(
            "Input",
            "Input",
            "Where data enters the network. Begin every drawing here; the batch dimension is added by itself.",
            [
                io.DynamicCombo.Input(
                    "kind", options=options(kinds), tooltip="What a sample is; image fits the pictures of a dataset."
                )
            ],
            ["placeholder", "start", "image size", "input layer", "image input", "network input"],
        )

    @classmethod
    def execute(cls, kind: dict[str, Any]) -> io.NodeOutput:
        kind, sizes = chosen("kind", kind)
        order = ("channels", "length", "depth", "height", "width", "features")
        shape = tuple(sizes[name] for name in order if name in sizes)
        return shown(cls, nn.input_tensor(nn.Input(kind, shape)))


class Conv(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        padding = {"same": [], "valid": [], "number": [size("amount", 1, "Pixels added on every side.", min=0)]}
        return schema(
            "Conv",
            "Conv",
            "Convolution over a signal, a picture or a volume, whichever comes in; transposed, it enlarges.",
            [
                incoming(),
                size("out_channels", 32, "Filters: how many channels come out."),
                size("kernel_size", 3, "Side of the filter in pixels.", max=1024),
                size(
                    "stride", 1, "Step of the filter in pixels; 2 halves the size (transposed: doubles it).", max=1024
                ),
                io.DynamicCombo.Input(
                    "padding",
                    options=options(padding),
                    tooltip="same keeps the size (divided by the stride), valid adds nothing, number adds that many pixels.",
                ),
                size("dilation", 1, "Distance between the filter's taps in pixels.", max=1024, advanced=True),
                size("groups", 1, "Channels are split into this many independent groups.", advanced=True),
                io.Boolean.Input(
                    "bias", default=True, tooltip="Add a learned constant; switch it off before a normalization."
                ),
                io.Boolean.Input(
                    "transposed", default=False, tooltip="Transposed convolution: enlarges by the stride."
                ),
                io.Combo.Input(
                    "padding_mode",
                    options=["zeros", "reflect", "replicate", "circular"],
                    default="zeros",
                    tooltip="What the padding is filled with; transposed knows zeros only.",
                    advanced=True,
                ),
                io.String.Input(
                    "kernel_shape",
                    default="",
                    optional=True,
                    tooltip="One size per dimension, such as 1, 7; leave it empty to use kernel_size on each.",
                    advanced=True,
                ),
            ],
            ["convolution layer", "conv1d", "conv2d", "conv3d", "1x1 conv", "deconvolution", "transposed convolution"],
        )

    @classmethod
    def execute(cls, tensor, padding, kernel_shape: str = "", **settings) -> io.NodeOutput:
        mode, extra = chosen("padding", padding)
        settings["padding"] = extra.get("amount", 1) if mode == "number" else mode
        settings["kernel_size"] = read_sizes(kernel_shape or "", "kernel_shape") or settings["kernel_size"]
        return draw(cls, nn.Conv(**settings), tensor)


class Linear(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            "Linear",
            "Linear",
            "Fully connected layer. As the last layer of a classifier it has one output per class.",
            [
                incoming(tooltip="A vector of features, or a sequence of them."),
                size(
                    "out_features", 64, "Numbers that come out; the number of classes in the last layer.", max=1_000_000
                ),
                io.Boolean.Input("bias", default=True, tooltip="Add a learned constant."),
                io.Boolean.Input(
                    "anywhere",
                    default=False,
                    tooltip="Allow maps too, and work on their last dimension.",
                    advanced=True,
                ),
            ],
            ["dense", "fully connected", "fc", "classifier", "linear layer", "output layer", "neurons", "mlp"],
        )

    @classmethod
    def execute(cls, tensor, **settings) -> io.NodeOutput:
        return draw(cls, nn.Linear(**settings), tensor)


class Activation(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        alpha = number("alpha", 1.0, "Height of the negative plateau.", max=100.0)
        dim = size("dim", 0, "Dimension that adds up to 1; 0 is the channels or classes, -1 the last.", min=-4, max=3)
        own = {
            "LeakyReLU": [number("negative_slope", 0.01, "Slope below zero.", max=10.0)],
            "PReLU": [io.Boolean.Input("per_channel", default=False, tooltip="Learn one slope per channel.")],
            "ELU": [alpha],
            "CELU": [alpha],
            "GELU": [
                io.Combo.Input(
                    "approximate", options=["none", "tanh"], default="none", tooltip="tanh is the faster form."
                )
            ],
            "Softplus": [number("beta", 1.0, "Sharpness of the bend.", min=0.01, max=100.0)],
            "Softmax": [dim],
            "LogSoftmax": [dim],
        }
        types = options({name: own.get(name, []) for name in nn.ACTIVATIONS})
        return schema(
            "Activation",
            "Activation",
            "The non-linearity between layers. Leave it out after the last layer: the losses bring their own softmax or sigmoid.",
            [incoming(), io.DynamicCombo.Input("type", options=types, tooltip="Which function.")],
            [*nn.ACTIVATIONS, "nonlinearity", "activation function", "activation layer"],
        )

    @classmethod
    def execute(cls, tensor, type: dict[str, Any]) -> io.NodeOutput:
        name, settings = chosen("type", type)
        return draw(cls, nn.Activation(name, **settings), tensor)


class Normalization(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        eps = number("eps", 1e-5, "Added to the variance.", min=1e-12, max=1.0, step=1e-6, advanced=True)
        affine = io.Boolean.Input("affine", default=True, tooltip="Learn a scale and a shift.", advanced=True)
        dims = size("dims", 0, "Trailing dimensions that are normalized together; 0 is all of them.", min=0, max=4)
        momentum = number("momentum", 0.1, "Share of the new batch in the running statistics.", advanced=True)
        track = io.Boolean.Input("track", default=True, tooltip="Keep running statistics for testing.", advanced=True)
        types = {
            "BatchNorm": [momentum, affine, track, eps],
            "LayerNorm": [dims, affine, eps],
            "GroupNorm": [size("groups", 8, "Groups of channels; a divisor of the incoming channels."), affine, eps],
            "InstanceNorm": [affine, eps],
            "RMSNorm": [dims, affine, eps],
            "LocalResponseNorm": [size("size", 5, "Neighbouring channels.")],
        }
        return schema(
            "Normalization",
            "Normalization",
            "Keep activations in a range that learns well. BatchNorm for batches of 8 and more, GroupNorm for smaller ones.",
            [
                incoming(),
                io.DynamicCombo.Input("type", options=options(types), tooltip="Over what mean and variance are taken."),
            ],
            ["batchnorm", "layernorm", "groupnorm", "instancenorm", "rmsnorm", "bn", "batch normalization"],
        )

    @classmethod
    def execute(cls, tensor, type: dict[str, Any]) -> io.NodeOutput:
        name, settings = chosen("type", type)
        return draw(cls, nn.Normalization(name, **settings), tensor)


class Pooling(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        areas = {
            "window": [
                size("kernel_size", 2, "Side of the window in pixels."),
                size("stride", 0, "Step in pixels; 0 is the window's side.", min=0),
                size("padding", 0, "Pixels added on every side, at most half the window.", min=0, advanced=True),
                io.Boolean.Input("ceil_mode", default=False, tooltip="Keep a last, incomplete window.", advanced=True),
            ],
            "adaptive": [size("output_size", 1, "Side of the result in pixels, whatever comes in.")],
            "global": [io.Boolean.Input("keep", default=False, tooltip="Keep the pooled dimensions with size 1.")],
        }
        return schema(
            "Pooling",
            "Pooling",
            "Shrink a map: in windows, to a given size, or all of it to one number per channel.",
            [
                incoming(),
                io.Combo.Input("type", options=["max", "average"], default="max", tooltip="What is kept of a window."),
                io.DynamicCombo.Input(
                    "area", options=options(areas), tooltip="window, adaptive (to a given size) or global (everything)."
                ),
            ],
            ["maxpool", "avgpool", "max pooling", "global average pooling", "downsample", "adaptive"],
        )

    @classmethod
    def execute(cls, tensor, type: str, area: dict[str, Any]) -> io.NodeOutput:
        name, settings = chosen("area", area)
        return draw(cls, nn.Pooling(type, name, **settings), tensor)


class View(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        dim = size("dim", 0, "Dimension, counted without the batch; 0 is the channels, -1 the last.", min=-6, max=5)
        factor = size("factor", 2, "Pixels per side that move between channels and positions.", max=64)

        def sizes(default: str, tooltip: str) -> io.Input:
            return io.String.Input("sizes", default=default, tooltip=tooltip)

        types = {
            "flatten": [dim, size("end_dim", -1, "Last dimension that is flattened.", min=-6, max=5)],
            "reshape": [sizes("-1", "New sizes without the batch, such as 16, -1; one may be -1.")],
            "permute": [sizes("1, 2, 0", "New order of the dimensions 0, 1, 2, …")],
            "unflatten": [dim, sizes("8, -1", "What the dimension becomes, such as 8, -1.")],
            "squeeze": [dim],
            "unsqueeze": [dim],
            "pixel shuffle": [factor],
            "pixel unshuffle": [factor],
        }
        return schema(
            "View",
            "View",
            "Give the tensor another shape without changing its numbers; the batch dimension stays as it is.",
            [
                incoming(),
                io.DynamicCombo.Input("type", options=options(types), tooltip="What to do with the dimensions."),
            ],
            ["flatten", "reshape", "permute", "unflatten", "squeeze", "pixel shuffle", "transpose"],
        )

    @classmethod
    def execute(cls, tensor, type: dict[str, Any]) -> io.NodeOutput:
        name, settings = chosen("type", type)
        if "sizes" in settings:
            settings["sizes"] = read_sizes(settings["sizes"], "sizes")
        return draw(cls, nn.View(name, **settings), tensor)


class Dropout(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            "Dropout",
            "Dropout",
            "Switch off a random part of the activations while training, against overfitting; does nothing while testing.",
            [
                incoming(),
                number("p", 0.5, "Probability of switching off.", max=0.99),
                io.Combo.Input(
                    "type",
                    options=["element", "channel", "alpha"],
                    default="element",
                    tooltip="Single numbers, whole channels, or alpha dropout for SELU networks.",
                ),
            ],
            ["regularization", "dropout2d"],
        )

    @classmethod
    def execute(cls, tensor, p: float, type: str) -> io.NodeOutput:
        return draw(cls, nn.Dropout(type, p), tensor)


class Upsample(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        targets = {
            "scale": [number("factor", 2.0, "Times larger.", min=0.01, max=64.0)],
            "size": [
                io.String.Input("sizes", default="64, 64", tooltip="Sizes of the result in pixels, such as 64, 64.")
            ],
        }
        return schema(
            "Upsample",
            "Upsample",
            "Enlarge a map by interpolation.",
            [
                incoming(),
                io.DynamicCombo.Input("target", options=options(targets), tooltip="By a factor, or to a size."),
                io.Combo.Input(
                    "mode",
                    options=["nearest", "linear", "bicubic"],
                    default="nearest",
                    tooltip="linear is bilinear for pictures and trilinear for volumes; bicubic is for pictures.",
                ),
                io.Boolean.Input(
                    "align_corners", default=False, tooltip="Corner pixels keep their places.", advanced=True
                ),
            ],
            ["interpolate", "resize", "unpool", "bilinear"],
        )

    @classmethod
    def execute(cls, tensor, target: dict[str, Any], mode: str, align_corners: bool) -> io.NodeOutput:
        _, settings = chosen("target", target)
        sizes = read_sizes(settings.get("sizes", ""), "sizes")
        return draw(cls, nn.Upsample(mode, settings.get("factor", 2.0), sizes or 0, align_corners), tensor)


class Merge(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        dim = size(
            "dim", 0, "Dimension along which tensors are put one after another; 0 is the channels.", min=-6, max=5
        )
        operations = options({name: [dim] if name == "concat" else [] for name in nn.OPERATIONS})
        template = io.Autogrow.TemplatePrefix(
            Tensor.Input(
                "tensor", tooltip="One of the tensors; order matters for subtract, divide, concat and matmul."
            ),
            prefix="tensor",
            min=2,
            max=32,
        )
        return schema(
            "Merge",
            "Merge",
            "Join branches: add for a residual connection, concat for U-Net and inception, multiply for gates.",
            [
                io.DynamicCombo.Input("operation", options=operations, tooltip="How the tensors are joined."),
                io.Autogrow.Input(
                    "tensors", template=template, tooltip="The branches; a free socket appears as you connect."
                ),
            ],
            ["add", "sum", "residual connection", "skip connection", "concat", "concatenate", "multiply", "join"],
        )

    @classmethod
    def execute(cls, operation: dict[str, Any], tensors: dict[str, Any]) -> io.NodeOutput:
        name, settings = chosen("operation", operation)
        return draw(cls, nn.Merge(name, **settings), *(tensor for tensor in tensors.values() if tensor is not None))


NODES: list[type[io.ComfyNode]] = [
    Input,
    Conv,
    Linear,
    Activation,
    Normalization,
    Pooling,
    View,
    Dropout,
    Upsample,
    Merge,
]
