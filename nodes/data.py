"""Menu "Visionsmith/Data": datasets, and a look at what is in them."""

from __future__ import annotations

import torch
from comfy_api.latest import io

from ..replace import gradients
from ..training import Dataset, sources
from ..training.pictures import batch_of, grid
from ..training.segmentation.pictures import labelled
from ..training.statistics import WEIGHTINGS, class_weights, statistics_picture, statistics_table
from .canvas.samples import shown
from .host import host, image_from_pil, readable, watch
from .support.figures import balance
from .support.widgets import number, seed, size
from .support.wires import DatasetWire


def dataset_input() -> io.Input:
    """The socket where a node reads its dataset."""
    return DatasetWire.Input("dataset", tooltip="The dataset.")


def dataset_output() -> io.Output:
    """The dataset that a node gives."""
    return DatasetWire.Output(
        display_name="dataset", tooltip="Samples in train, val and test splits, with their classes."
    )


def split_inputs(val: float = 0.15, test: float = 0.15) -> list[io.Input]:
    """How a heap of samples is divided."""
    return [
        number("val", val, "Share of the samples that chooses the best epoch.", max=0.9),
        number("test", test, "Share of the samples that is kept for the test.", max=0.9),
        seed("Decides which samples go where; each class is divided by itself."),
    ]


def given(node: type[io.ComfyNode], dataset: Dataset) -> io.NodeOutput:
    """Give `dataset`, with its splits as the node's text."""
    counts = ", ".join(f"{name} {len(samples):,}" for name, samples in dataset.splits.items())
    lines = [f"{dataset.name}: {counts} · {len(dataset.classes)} classes", *dataset.notes]
    host().text(node.hidden.unique_id, "\n".join(lines))
    return io.NodeOutput(dataset)


class ImageFolder(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="VisionsmithImageFolder",
            display_name="Image Folder",
            category="Visionsmith/Data",
            description="Pictures in one folder per class, either directly or inside train, val and test folders.",
            search_aliases=[
                "dataset",
                "load pictures",
                "classification",
                "folder",
                "load images from folder",
                "load dataset",
                "my pictures",
                "train test split",
                "image classification dataset",
            ],
            inputs=[
                io.String.Input(
                    "folder",
                    default="dataset",
                    tooltip="Folder below ComfyUI's input folder, or below one of VISIONSMITH_DATA_ROOTS.",
                ),
                io.Combo.Input(
                    "color",
                    options=["color", "grey"],
                    default="color",
                    tooltip="Read the pictures with 3 channels or with 1.",
                ),
                io.Combo.Input(
                    "broken",
                    options=["refuse", "skip"],
                    default="refuse",
                    tooltip="What to do with pictures that cannot be read; they are named either way.",
                ),
                *split_inputs(),
            ],
            outputs=[dataset_output()],
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    def fingerprint_inputs(cls, folder: str, **settings) -> str:
        return str(sorted((str(path), path.stat().st_mtime_ns) for path in readable(folder).rglob("*")))

    @classmethod
    def execute(cls, folder: str, color: str, broken: str, val: float, test: float, seed: int) -> io.NodeOutput:
        path = readable(folder)
        with gradients():
            dataset = sources.image_folder(
                path,
                color=color == "color",
                val=val,
                test=test,
                seed=seed,
                skip_broken=broken == "skip",
                on_progress=watch(cls),
            )
        return given(cls, dataset)


class TableDataset(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="VisionsmithTableDataset",
            display_name="Table Dataset",
            category="Visionsmith/Data",
            description="A CSV file with a header: predict one column from the others, as classes or as numbers.",
            search_aliases=["csv", "tabular", "regression", "spreadsheet"],
            inputs=[
                io.String.Input(
                    "file",
                    default="table.csv",
                    tooltip="CSV file below ComfyUI's input folder, or below one of VISIONSMITH_DATA_ROOTS.",
                ),
                io.String.Input("target", default="target", tooltip="Column to predict."),
                io.Combo.Input(
                    "task",
                    options=["classification", "regression"],
                    default="classification",
                    tooltip="Is the target a name or a number?",
                ),
                io.String.Input(
                    "features",
                    default="",
                    tooltip="Columns to predict it from, divided by commas; empty for all others.",
                ),
                io.Boolean.Input(
                    "standardize",
                    default=True,
                    tooltip="Give every feature mean 0 and deviation 1 over the training rows.",
                ),
                *split_inputs(),
            ],
            outputs=[dataset_output()],
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    def fingerprint_inputs(cls, file: str, **settings) -> str:
        return str(readable(file).stat().st_mtime_ns)

    @classmethod
    def execute(cls, file: str, target: str, task: str, features: str, **settings) -> io.NodeOutput:
        columns = tuple(name.strip() for name in features.split(",") if name.strip())
        with gradients():
            return given(cls, sources.table(readable(file), target.strip(), task, features=columns, **settings))


class SampleDataset(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="VisionsmithSampleDataset",
            display_name="Sample Dataset",
            category="Visionsmith/Data",
            description="Real data to try things on: 1,797 handwritten digits of 8 × 8 grey pixels, which come with the installation.",
            search_aliases=["digits", "mnist", "example data", "demo"],
            inputs=[
                io.Combo.Input("name", options=["digits"], default="digits", tooltip="Which dataset."),
                *split_inputs(test=0.2),
            ],
            outputs=[dataset_output()],
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    def execute(cls, name: str, val: float, test: float, seed: int) -> io.NodeOutput:
        with gradients():
            return given(cls, sources.digits(val=val, test=test, seed=seed))


class ImagesToDataset(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="VisionsmithImagesToDataset",
            display_name="Images to Dataset",
            category="Visionsmith/Data",
            description="Make a dataset from a batch of pictures of the graph and a label for each.",
            search_aliases=["label", "batch", "dataset from images"],
            inputs=[
                io.Image.Input("images", tooltip="A batch of pictures."),
                io.String.Input(
                    "labels",
                    default="",
                    multiline=True,
                    tooltip="One class name per picture, one per line or divided by commas.",
                ),
                io.String.Input("name", default="images", tooltip="Its name in folders and tables."),
                *split_inputs(0.0, 0.0),
            ],
            outputs=[dataset_output()],
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    def execute(cls, images: torch.Tensor, labels: str, name: str, val: float, test: float, seed: int) -> io.NodeOutput:
        names = [label.strip() for label in labels.replace("\n", ",").split(",") if label.strip()]
        with gradients():
            return given(
                cls, sources.from_images(images, names, name=name.strip() or "images", val=val, test=test, seed=seed)
            )


class DatasetPreview(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="VisionsmithDatasetPreview",
            display_name="Dataset Preview",
            category="Visionsmith/Data",
            description="Some samples of a split with their classes, chosen by chance; in segmentation with their masks painted over them.",
            search_aliases=[
                "show pictures",
                "grid",
                "look at data",
                "show dataset",
                "preview masks",
                "preview dataset",
            ],
            inputs=[
                dataset_input(),
                io.Combo.Input("split", options=["train", "val", "test"], default="train", tooltip="Which samples."),
                size("count", 24, "How many pictures.", max=400),
                seed("Decides which ones."),
            ],
            outputs=[
                io.Image.Output(display_name="picture", tooltip="The pictures in a grid, each with its class below.")
            ],
            is_output_node=True,
        )

    @classmethod
    def execute(cls, dataset: Dataset, split: str, count: int, seed: int) -> io.NodeOutput:
        pictures, names = dataset.some(split, count, seed)
        if dataset.task == "segmentation":
            pictures = labelled(dataset, split, count, seed)
        image = image_from_pil(grid(pictures, names))
        return io.NodeOutput(image, ui={**host().preview(image, cls), **shown(dataset, split, seed)})


class DatasetToImages(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="VisionsmithDatasetToImages",
            display_name="Dataset to Images",
            category="Visionsmith/Data",
            description="Take some samples of a split as an ordinary batch of pictures, to try a network on or to use anywhere else.",
            search_aliases=["sample pictures", "images from dataset", "batch"],
            inputs=[
                dataset_input(),
                io.Combo.Input("split", options=["train", "val", "test"], default="test", tooltip="Which samples."),
                size("count", 8, "How many pictures.", max=4096),
                seed("Decides which ones."),
            ],
            outputs=[
                io.Image.Output(display_name="images", tooltip="The pictures, all brought to the size of the first."),
                io.String.Output(display_name="labels", tooltip="Their classes, one per line."),
            ],
        )

    @classmethod
    def execute(cls, dataset: Dataset, split: str, count: int, seed: int) -> io.NodeOutput:
        pictures, labels = dataset.some(split, count, seed)
        return io.NodeOutput(batch_of(pictures), "\n".join(labels))


class DatasetStatistics(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="VisionsmithDatasetStatistics",
            display_name="Dataset Statistics",
            category="Visionsmith/Data",
            description="How much there is of each class, in samples or pixels, and the size and brightness of the pictures.",
            search_aliases=["class balance", "count", "distribution", "pixel share"],
            inputs=[dataset_input()],
            outputs=[
                io.String.Output(display_name="table", tooltip="The statistics as text."),
                io.Image.Output(display_name="chart", tooltip="The share of each class as bars; blank for regression."),
            ],
            is_output_node=True,
        )

    @classmethod
    def execute(cls, dataset: Dataset) -> io.NodeOutput:
        table = statistics_table(dataset)
        if dataset.task == "regression":
            return io.NodeOutput(table, torch.zeros(1, 64, 64, 3), ui={"text": [table], **balance(dataset)})
        chart = image_from_pil(statistics_picture(dataset))
        return io.NodeOutput(table, chart, ui={**host().preview(chart, cls), "text": [table], **balance(dataset)})


class ClassWeights(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="VisionsmithClassWeights",
            display_name="Class Weights",
            category="Visionsmith/Data",
            description="Factors that make rare classes count as much as common ones, for class_weights or alpha of Loss.",
            search_aliases=["imbalance", "rare class", "alpha", "weighting", "effective number"],
            inputs=[
                dataset_input(),
                io.Combo.Input(
                    "scheme",
                    options=list(WEIGHTINGS),
                    default="median frequency",
                    tooltip="Inverse frequency is the strongest; median frequency counts only pictures that have the class; the effective number "
                    "of samples is close to inverse for rare classes.",
                ),
                number(
                    "power",
                    0.5,
                    "1 takes the weights as they are, 0.5 their square root, which trains more calmly; 0 is no weighting.",
                ),
            ],
            outputs=[io.String.Output(display_name="weights", tooltip="One number per class; their mean is 1.")],
            hidden=[io.Hidden.unique_id],
            is_output_node=True,
        )

    @classmethod
    def execute(cls, dataset: Dataset, scheme: str, power: float) -> io.NodeOutput:
        weights = class_weights(dataset, scheme, power)
        text = ", ".join(f"{weight:.6g}" for weight in weights)
        lines = [f"{name}: {weight:.4g}" for name, weight in zip(dataset.classes, weights, strict=True)]
        return io.NodeOutput(text, ui={"text": ["\n".join(lines)]})


NODES: list[type[io.ComfyNode]] = [
    ImageFolder,
    TableDataset,
    SampleDataset,
    ImagesToDataset,
    DatasetPreview,
    DatasetToImages,
    DatasetStatistics,
    ClassWeights,
]
