"""Menu "Visionsmith/Network": from a drawing to a network, and what one does with a network as a whole."""

from __future__ import annotations

from pathlib import Path

from comfy_api.latest import io

from .. import nn_layers as nn
from ..nn_layers.backbone import download_notice
from ..nn_layers.export import FORMATS, export_network
from ..nn_layers.summary import picture, summary_table
from ..replace import gradients
from .host import host, image_from_pil, readable, writable
from .support.drawing import short_count
from .support.unused import unused_layers
from .support.widgets import seed
from .support.wires import NetworkWire, Tensor


def network_input() -> io.Input:
    """The socket where a node reads its network."""
    return NetworkWire.Input("network", tooltip="The network.")


class BuildNetwork(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        outputs = io.Autogrow.TemplatePrefix(
            Tensor.Input("output", tooltip="The last tensor of the drawing; most networks have one."),
            prefix="output",
            min=1,
            max=16,
        )
        return io.Schema(
            node_id="VisionsmithBuildNetwork",
            display_name="Build Network",
            category="Visionsmith/Network",
            description="Turn a drawing into a network with weights. Everything that leads to the outputs becomes part of it.",
            search_aliases=[
                "model",
                "compile",
                "initialize",
                "create network",
                "neural network",
                "build model",
                "create model",
            ],
            inputs=[
                io.Autogrow.Input("outputs", template=outputs, tooltip="What the network gives."),
                io.String.Input("name", default="network", tooltip="Its name in folders, tables and pictures."),
                seed("Decides the initial weights; the same seed gives the same ones."),
                io.Combo.Input(
                    "initialization",
                    options=list(nn.INITIALIZERS),
                    default="default",
                    tooltip="How weights begin: torch's default, Kaiming for ReLU networks, Xavier for tanh, orthogonal for very deep ones.",
                ),
            ],
            outputs=[NetworkWire.Output(display_name="network", tooltip="The network, not trained yet.")],
            hidden=[io.Hidden.unique_id, io.Hidden.prompt],
        )

    @classmethod
    def execute(cls, outputs: dict, name: str, seed: int, initialization: str) -> io.NodeOutput:
        tensors = tuple(tensor for tensor in outputs.values() if tensor is not None)
        spec, weights = nn.trace(tensors, name.strip() or "network")
        for tensor in spec.tensors.values():
            if getattr(tensor.layer, "pretrained", False):
                host().text(cls.hidden.unique_id, download_notice(tensor.layer, tensor.parameters))
        with gradients():  # a module made under inference mode could never be trained
            network = nn.build(spec, seed, initialization, weights)
        text = f"{len(spec.nodes)} layers · {short_count(spec.parameters)} params · {short_count(spec.macs)} MACs"
        if warning := unused_layers(cls.hidden.prompt, cls.hidden.unique_id):
            text = f"{text}\n{warning}"
        host().text(cls.hidden.unique_id, text)
        return io.NodeOutput(network)


class NetworkSummary(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="VisionsmithNetworkSummary",
            display_name="Network Summary",
            category="Visionsmith/Network",
            description="What the network is made of, as a table and as a picture: layers, shapes, parameters, multiply-adds.",
            search_aliases=["model summary", "parameters", "flops", "macs", "architecture", "torchinfo"],
            inputs=[network_input()],
            outputs=[
                io.Image.Output(
                    display_name="picture", tooltip="The layers from top to bottom, with skips at the side."
                ),
                io.String.Output(display_name="table", tooltip="A row per layer, with the totals below."),
            ],
            is_output_node=True,
        )

    @classmethod
    def execute(cls, network: nn.Network) -> io.NodeOutput:
        image, table = image_from_pil(picture(network.spec)), summary_table(network.spec)
        return io.NodeOutput(image, table, ui=host().preview(image, cls))


def _place(path: Path) -> str:
    """A path below the output folder as Load Network is told it, with that folder's name before it."""
    output = host().folder("output").resolve()
    return f"{output.name}/{path.relative_to(output).as_posix()}"


class SaveNetwork(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="VisionsmithSaveNetwork",
            display_name="Save Network",
            category="Visionsmith/Network",
            description="Write the network as network.json and weights.safetensors, for Load Network, Block and other people.",
            search_aliases=["store", "checkpoint", "safetensors", "save model", "save trained network", "save weights"],
            inputs=[
                network_input(),
                io.String.Input(
                    "folder",
                    default="networks/network",
                    tooltip="Folder below ComfyUI's output folder; an older network in it is replaced.",
                ),
            ],
            outputs=[io.String.Output(display_name="folder", tooltip="Where it was written.")],
            is_output_node=True,
        )

    @classmethod
    def execute(cls, network: nn.Network, folder: str) -> io.NodeOutput:
        path = writable(folder)
        nn.save_network(network, path)
        return io.NodeOutput(str(path), ui={"text": [f"saved in {_place(path)}"]})


class LoadNetwork(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="VisionsmithLoadNetwork",
            display_name="Load Network",
            category="Visionsmith/Network",
            description="Read a network that Save Network or Train wrote.",
            search_aliases=[
                "open",
                "checkpoint",
                "restore",
                "load model",
                "load trained model",
                "load trained network",
                "load weights",
            ],
            inputs=[
                io.String.Input(
                    "folder",
                    default="networks/network",
                    tooltip="Folder of the network, below ComfyUI's output, input or models folder.",
                ),
                io.String.Input(
                    "weights",
                    default="weights.safetensors",
                    tooltip="Weights file in that folder; a run of Train has best.safetensors.",
                    advanced=True,
                ),
            ],
            outputs=[
                NetworkWire.Output(
                    display_name="network", tooltip="The network with its saved weights, classes and picture size."
                )
            ],
        )

    @classmethod
    def fingerprint_inputs(cls, folder: str, weights: str) -> str:
        files = (readable(folder) / "network.json", readable(folder) / weights)
        return str([file.stat().st_mtime_ns for file in files])

    @classmethod
    def execute(cls, folder: str, weights: str) -> io.NodeOutput:
        path = readable(folder)
        if Path(weights).name != weights:
            raise nn.InputError(
                f"weights is {weights!r}; give the name of a file inside the folder, such as best.safetensors."
            )
        with gradients():
            return io.NodeOutput(nn.load_network(path, weights))


class ExportNetwork(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="VisionsmithExportNetwork",
            display_name="Export Network",
            category="Visionsmith/Network",
            description="Write the network for use without ComfyUI: Python source that needs torch only, ONNX, or torch.export.",
            search_aliases=[
                "onnx",
                "python code",
                "torch.export",
                "deploy",
                "source code",
                "export onnx",
                "export model",
                "pytorch code",
            ],
            inputs=[
                network_input(),
                io.Combo.Input(
                    "format",
                    options=list(FORMATS),
                    default="python",
                    tooltip="python writes model.py and its weights, onnx model.onnx, torch.export model.pt2.",
                ),
                io.String.Input("folder", default="networks/export", tooltip="Folder below ComfyUI's output folder."),
            ],
            outputs=[io.String.Output(display_name="file", tooltip="The file that was written.")],
            is_output_node=True,
        )

    @classmethod
    def execute(cls, network: nn.Network, format: str, folder: str) -> io.NodeOutput:
        with gradients():
            file = export_network(network, format, writable(folder))
        return io.NodeOutput(str(file), ui={"text": [f"exported to {_place(file)}"]})


NODES: list[type[io.ComfyNode]] = [BuildNetwork, NetworkSummary, SaveNetwork, LoadNetwork, ExportNetwork]
