"""Menu "Visionsmith/Testing": how good a trained network is, what it says of pictures, and what goes on inside."""

from __future__ import annotations

import torch
from comfy_api.latest import io
from PIL import Image

from ..nn_layers import Network
from ..replace import gradients, ordinary
from ..training import Dataset, Loss, LossSum, Report, activations, evaluate, predict
from ..training.pictures import BAD, GOOD, confusion_picture, grid, maps_picture, scatter_picture
from ..training.segmentation.evaluate import SegmentationReport
from ..training.segmentation.pictures import worst_masks
from .data import dataset_input
from .host import host, image_from_pil, watch
from .network import network_input
from .support.figures import confusion
from .support.views import tested_gallery
from .support.widgets import size
from .support.wires import LossWire, ReportWire

AnyReport = Report | SegmentationReport


class Test(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="VisionsmithTest",
            display_name="Test",
            category="Visionsmith/Testing",
            description="Measure a trained network on samples it has not seen: scores, per-class numbers, confusion matrix, worst examples; for masks also defects found and false alarms.",
            search_aliases=[
                "evaluate",
                "accuracy",
                "confusion matrix",
                "precision",
                "recall",
                "F1",
                "R2",
                "test model",
                "test network",
                "validation",
                "metrics",
            ],
            inputs=[
                network_input(),
                dataset_input(),
                io.Combo.Input("split", options=["test", "val", "train"], default="test", tooltip="Which samples."),
                LossWire.Input(
                    "loss",
                    optional=True,
                    tooltip="What to measure beside the metrics; cross entropy or squared error without one.",
                ),
                size("batch_size", 16, "Samples at a time; changes nothing but the speed."),
            ],
            outputs=[
                ReportWire.Output(display_name="report", tooltip="Everything that was measured."),
                io.String.Output(display_name="table", tooltip="Scores and per-class numbers as text."),
                io.Image.Output(
                    display_name="confusion",
                    tooltip="Rows are true classes, columns predicted ones; for numbers, true against predicted.",
                ),
                io.Image.Output(display_name="worst", tooltip="The samples it got most wrong."),
                io.Float.Output(display_name="score", tooltip="Accuracy; R² for numbers, mIoU of defects for masks."),
            ],
            hidden=[io.Hidden.unique_id],
            is_output_node=True,
        )

    @classmethod
    def execute(
        cls, network: Network, dataset: Dataset, split: str, batch_size: int, loss: Loss | LossSum | None = None
    ) -> io.NodeOutput:
        host().free_memory(4 * network.spec.parameters)
        report = evaluate(
            network, dataset, split, loss=loss, batch_size=batch_size, device=host().device(), on_batch=watch(cls)
        )
        name, score = headline_score(report)
        headline = f"{split} {name}: {100 * score:.2f} %" if name == "accuracy" else f"{split} {name}: {score:.4f}"
        host().text(cls.hidden.unique_id, headline)
        pictures = [image_from_pil(picture) for picture in report_pictures(report, dataset)]
        images = [entry for picture in pictures for entry in host().preview(picture, cls)["images"]]
        shown = {"images": images, "text": [report.table()], "headline": [headline]}
        shown |= confusion(report) | tested_gallery(report, dataset)
        return io.NodeOutput(report, report.table(), *pictures, score, ui=shown)


def headline_score(report: AnyReport) -> tuple[str, float]:
    """The one number that says how good a network is, and its name."""
    name = {"classification": "accuracy", "regression": "R2", "segmentation": "mIoU of defects"}[report.task]
    return name, report.scores[name]


def report_pictures(report: AnyReport, dataset: Dataset) -> tuple[Image.Image, Image.Image]:
    """The confusion matrix (for numbers true against predicted values), and the samples that were most wrong."""
    match report.task:
        case "segmentation":
            return confusion_picture(report.confusion, report.classes, as_shares=True), worst_masks(report, dataset)
        case "regression":
            return scatter_picture(report), worst_picture(report, dataset)
        case _:
            return confusion_picture(report.confusion, report.classes), worst_picture(report, dataset)


def worst_picture(report: Report, dataset: Dataset) -> Image.Image:
    """The samples a network got most wrong; green captions are right answers with little confidence."""
    samples = dataset.split(report.split)
    pictures = [samples[example.index] for example in report.worst] if dataset.is_pictures else []
    captions = [
        f"{dataset.target_name(example.target)} → {dataset.target_name(example.predicted)}".replace("→", ">")
        for example in report.worst
    ]
    colors = [GOOD if example.target == example.predicted else BAD for example in report.worst]
    count = len(pictures)
    return grid(pictures, captions[:count], colors[:count])


class Predict(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="VisionsmithPredict",
            display_name="Predict",
            category="Visionsmith/Testing",
            description="Let a trained network look at pictures: their labels, for any other workflow.",
            search_aliases=[
                "classify",
                "inference",
                "use network",
                "label images",
                "use model",
                "run model",
                "run network",
            ],
            inputs=[
                network_input(),
                io.Image.Input("images", tooltip="Pictures of any size; they are prepared as in training."),
                size("batch_size", 64, "Pictures at a time."),
            ],
            outputs=[
                io.String.Output(display_name="labels", tooltip="One class name (or value) per picture and line."),
                io.String.Output(
                    display_name="probabilities", tooltip="A table: one line per picture, one column per class."
                ),
                io.Image.Output(display_name="picture", tooltip="The pictures with their labels."),
            ],
            hidden=[io.Hidden.unique_id],
            is_output_node=True,
        )

    @classmethod
    def execute(cls, network: Network, images: torch.Tensor, batch_size: int) -> io.NodeOutput:
        host().free_memory(4 * network.spec.parameters)
        found = predict(network, images, batch_size=batch_size, device=host().device(), on_batch=watch(cls))
        pictures = [(picture * 255).round().clamp(0, 255).to(torch.uint8).permute(2, 0, 1)[:3] for picture in images]
        regression = network.task == "regression"
        captions = [
            label if regression else f"{label} {100 * confidence:.0f} %"
            for label, confidence in zip(found.labels, found.confidence, strict=True)
        ]
        image = image_from_pil(grid(pictures, captions))
        labels = "\n".join(found.labels)
        return io.NodeOutput(
            labels, found.table(network.classes), image, ui={**host().preview(image, cls), "text": [labels]}
        )


class Inspect(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="VisionsmithInspect",
            display_name="Inspect",
            category="Visionsmith/Testing",
            description="What one layer of a network gives for a picture: its maps side by side, and the shapes of all layers.",
            search_aliases=["activations", "feature maps", "hidden layer", "visualize", "debug"],
            inputs=[
                network_input(),
                io.Image.Input("images", tooltip="The first picture is looked at."),
                io.String.Input("layer", default="conv_1", tooltip="Name of the layer; Network Summary lists them."),
                size("most", 64, "Maps shown at most.", max=1024),
            ],
            outputs=[
                io.Image.Output(
                    display_name="picture", tooltip="One map per channel, each stretched from black to white."
                ),
                io.String.Output(display_name="shapes", tooltip="Every layer's output shape."),
            ],
            is_output_node=True,
        )

    @classmethod
    def execute(cls, network: Network, images: torch.Tensor, layer: str, most: int) -> io.NodeOutput:
        with gradients():
            maps = activations(network, ordinary(images[:1]), layer.strip())[0]
        image = image_from_pil(maps_picture(maps, most))
        shapes = "\n".join(
            f"{name}: {' × '.join(map(str, tensor.shape))}" for name, tensor in network.spec.tensors.items()
        )
        return io.NodeOutput(image, shapes, ui={**host().preview(image, cls), "text": [shapes]})


NODES: list[type[io.ComfyNode]] = [Test, Predict, Inspect]
