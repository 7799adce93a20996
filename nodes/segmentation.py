"""Menu "Visionsmith/Segmentation": pictures with masks, whole models, and a trained network as a source of masks."""

from __future__ import annotations

from typing import Any

import torch
from comfy_api.latest import io

from .. import nn_layers as nn
from ..nn_layers.segmentation import ARCHITECTURES, SegmentationModel
from ..nn_layers.segmentation.encoders import download_notice
from ..replace import gradients
from ..training import Dataset
from ..training.segmentation.coco import coco_dataset
from ..training.segmentation.drawn import SAMPLE, drawn_sample
from ..training.segmentation.evaluate import SegmentationReport
from ..training.segmentation.folders import from_masks, masked_folder
from ..training.segmentation.pictures import painted, sweep_picture
from ..training.segmentation.predict import predict_masks
from .data import dataset_output, given, split_inputs
from .host import host, image_from_pil, readable, watch
from .network import network_input
from .support.drawing import short_count
from .support.views import predicted_gallery
from .support.widgets import number, seed, size
from .support.wires import BoundingBoxes, DatasetWire, NetworkWire, ReportWire, chosen, options


def class_list(text: str) -> tuple[str, ...]:
    """Class names from a text field, divided by commas or lines."""
    return tuple(name.strip() for name in text.replace("\n", ",").split(",") if name.strip())


def _is_sample(kind: str, values: dict[str, Any]) -> bool:
    """Whether the folder is called "sample" and is not there: then pictures are drawn, so that a workflow runs before there are photographs."""
    if kind != "folders" or values["folder"].strip() != SAMPLE:
        return False
    try:
        readable(SAMPLE)
    except nn.InputError:
        return True
    return False


class SegmentationDataset(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        sources = {
            "folders": [
                io.String.Input(
                    "folder",
                    default="dataset",
                    tooltip="Holds a folder of pictures (images, img_dir …) and one of masks (masks, ann_dir …), below ComfyUI's input folder or "
                    "one of VISIONSMITH_DATA_ROOTS. Splits come from train, val and test folders in them, from train.txt, or from the shares. "
                    "sample stands for forty drawn pictures with scratches and spots, where there is no folder of that name.",
                ),
                io.String.Input("images", default="", tooltip="Name of the folder of pictures; empty for the usual names.", advanced=True),
                io.String.Input("masks", default="", tooltip="Name of the folder of masks; empty for the usual names.", advanced=True),
                io.Combo.Input(
                    "coding",
                    options=["auto", "index", "binary", "colors"],
                    default="auto",
                    tooltip="Values of a mask: class numbers (255 does not count), black and white, or colours. auto finds out.",
                ),
                io.String.Input(
                    "colors",
                    default="",
                    multiline=True,
                    tooltip="For coloured masks a line per class, the background first, such as: crack 255 0 0.",
                ),
                io.Combo.Input(
                    "missing",
                    options=["refuse", "skip", "background"],
                    default="refuse",
                    tooltip="Pictures without a mask: refuse the folder, leave them out, or take them as free of defects.",
                ),
            ],
            "COCO": [
                io.String.Input(
                    "annotations",
                    default="dataset/annotations.json",
                    tooltip="JSON file, or a folder with one for each of train, val and test.",
                ),
                io.String.Input("pictures", default="dataset/images", tooltip="Folder that the file names in it are below."),
            ],
        }  # fmt: skip
        return io.Schema(
            node_id="VisionsmithSegmentationDataset",
            display_name="Segmentation Dataset",
            category="Visionsmith/Segmentation",
            description="Pictures with a mask each, in which every pixel has a class: folders (also mmsegmentation's) or COCO files.",
            search_aliases=["masks", "defects", "pixel labels", "mmsegmentation", "coco", "polygons", "annotation", "mask dataset", "load dataset", "load masks from folder", "train test split", "semantic segmentation dataset", "crack"],
            inputs=[
                io.DynamicCombo.Input("source", options=options(sources), tooltip="How the masks are stored."),
                io.String.Input(
                    "classes",
                    default="",
                    tooltip="Names in the order of the class numbers, the background first, such as: surface, scratch, dent. Empty for default "
                    "names; COCO files bring their own.",
                ),
                io.Combo.Input("color", options=["color", "grey"], default="color", tooltip="Read the pictures with 3 channels or with 1."),
                io.Combo.Input(
                    "order",
                    options=["by chance", "by name"],
                    default="by chance",
                    tooltip="Which pictures go to which split: by chance with every class divided by itself, or train, val, test in the order of "
                    "their names.",
                ),
                *split_inputs(),
            ],
            outputs=[dataset_output()],
            hidden=[io.Hidden.unique_id],
        )  # fmt: skip

    @classmethod
    def fingerprint_inputs(cls, source: dict[str, Any], **settings) -> str:
        kind, values = chosen("source", source)
        paths = [values["folder"]] if kind == "folders" else [values["annotations"], values["pictures"]]
        if _is_sample(kind, values):
            return SAMPLE
        files = [file for path in paths for file in (readable(path), *readable(path).rglob("*"))]
        return str(sorted((str(file), file.stat().st_mtime_ns) for file in files))

    @classmethod
    def execute(cls, source: dict[str, Any], classes: str, color: str, order: str, **settings) -> io.NodeOutput:
        kind, values = chosen("source", source)
        settings |= {"color": color == "color", "by_chance": order == "by chance", "on_progress": watch(cls)}
        with gradients():
            if kind == "COCO":
                dataset = coco_dataset(readable(values["annotations"]), readable(values["pictures"]), **settings)
            elif _is_sample(kind, values):
                keys = ("color", "val", "test", "seed")
                dataset = drawn_sample(classes=class_list(classes), **{key: settings[key] for key in keys})
            else:
                folder = readable(values.pop("folder"))
                dataset = masked_folder(folder, classes=class_list(classes), **values, **settings)
        return given(cls, dataset)


class MasksToDataset(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="VisionsmithMasksToDataset",
            display_name="Masks to Dataset",
            category="Visionsmith/Segmentation",
            description="Make a segmentation dataset from a batch of pictures of the graph and a mask for each.",
            search_aliases=["batch", "dataset from masks", "image and mask"],
            inputs=[
                io.Image.Input("images", tooltip="A batch of pictures."),
                io.Mask.Input("masks", tooltip="One mask per picture, of the same size; above a half is the defect."),
                io.String.Input(
                    "classes", default="background, defect", tooltip="Names of the two classes, the background first."
                ),
                io.String.Input("name", default="images", tooltip="Its name in folders and tables."),
                *split_inputs(0.0, 0.0),
            ],
            outputs=[dataset_output()],
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    def execute(
        cls, images: torch.Tensor, masks: torch.Tensor, classes: str, name: str, val: float, test: float, seed: int
    ) -> io.NodeOutput:
        with gradients():
            names = class_list(classes)
            dataset = from_masks(
                images, masks, name=name.strip() or "images", classes=names, val=val, test=test, seed=seed
            )
        return given(cls, dataset)


class SegmentationModelNode(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="VisionsmithSegmentationModel",
            display_name="Segmentation Model",
            category="Visionsmith/Segmentation",
            description="A whole network that finds the class of every pixel, by the name of its architecture and of its encoder.",
            search_aliases=[
                "unet", "deeplab", "pspnet", "upernet", "segformer", "fpn", "bisenet", "fast-scnn", "gcnet", "danet", "ccnet", "vit", "beit", "u-net", "image segmentation", "semantic segmentation", "segmentation network",
            ],
            inputs=[
                DatasetWire.Input("dataset", tooltip="Gives the number of classes and of channels."),
                io.Combo.Input("architecture", options=list(ARCHITECTURES), default="unet", tooltip="docs/architectures.md says what each is."),
                io.String.Input(
                    "encoder",
                    default="resnet18",
                    tooltip="The part that reads the picture, such as resnet18, mobilenet_v2 or efficientnet-b0. Some architectures bring their own.",
                ),
                io.Boolean.Input(
                    "pretrained",
                    default=False,
                    tooltip="Start the encoder from weights trained on ImageNet, better with few pictures; needs the internet once, and their licence applies.",
                ),
                size("window", 256, "Pixels: height and width of what the network looks at. Larger pictures are looked at through windows of this size.", min=32, max=4096),
                seed("Decides the initial weights."),
            ],
            outputs=[NetworkWire.Output(display_name="network", tooltip="The network, not trained yet.")],
            hidden=[io.Hidden.unique_id],
        )  # fmt: skip

    @classmethod
    def execute(
        cls, dataset: Dataset, architecture: str, encoder: str, pretrained: bool, window: int, seed: int
    ) -> io.NodeOutput:
        channels = dataset.split("train")[0].shape[0]
        layer = SegmentationModel(architecture, encoder.strip(), len(dataset.classes), pretrained)
        drawn = nn.apply(layer, nn.input_tensor(nn.Input("image", (channels, window, window))))
        if pretrained:
            host().text(cls.hidden.unique_id, download_notice(architecture, layer.encoder, drawn.parameters))
        with gradients():
            network = nn.build_network((drawn,), "-".join(dict.fromkeys((architecture, layer.model))), seed)
        spec = network.spec
        host().text(cls.hidden.unique_id, f"{short_count(spec.parameters)} params · {short_count(spec.macs)} MACs")
        return io.NodeOutput(network)


class PredictSegmentation(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="VisionsmithPredictSegmentation",
            display_name="Predict Segmentation",
            category="Visionsmith/Segmentation",
            description="Let a trained network find the class of every pixel: masks and boxes for any other workflow.",
            search_aliases=["mask from network", "find defects", "inference", "segment", "detect", "segment image", "use network", "use model", "run model", "defect detection", "inspection", "overlay", "heatmap", "bounding box", "count defects"],
            inputs=[
                network_input(),
                io.Image.Input("images", tooltip="Pictures of any size."),
                io.String.Input("class_name", default="", tooltip="The class that mask is of; empty for all defects together."),
                number("threshold", 0.0, "0 takes the most probable class. Above, a defect needs this probability: low finds more, high is surer."),
                number("overlap", 0.25, "Share of a window that neighbours have in common.", max=0.75, advanced=True),
                io.Boolean.Input("flips", default=False, tooltip="Average over four mirror images: a little better, four times slower.", advanced=True),
                size("min_area", 1, "Pixels: smaller defects get no box.", max=10**9, advanced=True),
                size("batch_size", 8, "Windows at a time; changes nothing but the speed.", advanced=True),
            ],
            outputs=[
                io.Mask.Output(display_name="mask", tooltip="One mask per picture: the chosen class, or all defects."),
                io.Mask.Output(display_name="class_masks", is_output_list=True, tooltip="A list with a batch of masks for each defect class."),
                io.Mask.Output(display_name="probability", tooltip="How probable the chosen class, or any defect, is at every pixel, 0 to 1."),
                BoundingBoxes.Output(display_name="bboxes", tooltip="Boxes around the defects of each picture, with label and score."),
                io.Image.Output(display_name="overlay", tooltip="The pictures with their classes painted over them."),
                io.String.Output(display_name="table", tooltip="Every defect: picture, class, place, size, probability."),
            ],
            hidden=[io.Hidden.unique_id],
            is_output_node=True,
        )  # fmt: skip

    @classmethod
    def execute(
        cls,
        network: nn.Network,
        images: torch.Tensor,
        class_name: str,
        threshold: float,
        overlap: float,
        flips: bool,
        min_area: int,
        batch_size: int,
    ) -> io.NodeOutput:
        wanted = class_name.strip()
        if wanted and network.classes and wanted not in network.classes:
            raise nn.InputError(
                f"class_name is {wanted!r}, but the network knows {', '.join(network.classes)}; choose one of them."
            )
        host().free_memory(4 * network.spec.parameters)
        found = predict_masks(
            network,
            images,
            threshold=threshold,
            overlap=overlap,
            flips=flips,
            batch_size=batch_size,
            device=host().device(),
            on_picture=watch(cls),
        )
        defects = found.classes[1:]
        number = found.classes.index(wanted) if wanted in found.classes else 0
        mask = (found.masks == number if wanted else found.masks > 0).float()
        probability = found.probabilities[:, number].float()
        if not wanted:
            probability = 1 - probability
        boxes = found.boxes(min_area)
        table = defect_table(boxes)
        overlay = painted(images.cpu(), found.masks, found.colors)
        masks = [(found.masks == i).float() for i in range(1, len(defects) + 1)]
        shown = {**host().preview(overlay, cls), "text": [table], **predicted_gallery(images, found)}
        return io.NodeOutput(mask, masks, probability, boxes, overlay, table, ui=shown)


def defect_table(boxes: list[list[dict[str, Any]]]) -> str:
    """Comma-separated: a line per defect, or a sentence if there are none."""
    rows = [
        f"{picture},{box['label']},{box['x']},{box['y']},{box['width']},{box['height']},{box['area']},{box['score']:.3f}"
        for picture, found in enumerate(boxes, 1)
        for box in found
    ]
    return "\n".join(["picture,class,x,y,width,height,area,score", *rows]) if rows else "No defect found."


class ThresholdSweep(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="VisionsmithThresholdSweep",
            display_name="Threshold Sweep",
            category="Visionsmith/Segmentation",
            description="Precision and recall of every class at every threshold, from what Test measured; finds the threshold for Predict Segmentation.",
            search_aliases=["precision recall curve", "PR curve", "average precision", "best threshold"],
            inputs=[ReportWire.Input("report", tooltip="What Test found on a segmentation dataset.")],
            outputs=[
                io.Image.Output(display_name="picture", tooltip="Precision over recall, a curve per defect class."),
                io.String.Output(display_name="table", tooltip="For each defect class the best threshold, its F1, precision and recall, and the average precision."),
                io.Float.Output(display_name="threshold", tooltip="The mean of the best thresholds of the defect classes."),
            ],
            is_output_node=True,
        )  # fmt: skip

    @classmethod
    def execute(cls, report: SegmentationReport) -> io.NodeOutput:
        if report.task != "segmentation":
            raise nn.InputError(f"the report is of {report.task}; wire the report of a Test on a segmentation dataset.")
        picture = image_from_pil(sweep_picture(report.sweep, report.classes, report.colors))
        best = report.sweep.best_threshold[1:]
        table = sweep_table(report)
        ui = {**host().preview(picture, cls), "text": [table]}
        return io.NodeOutput(picture, table, float(best[~best.isnan()].mean()) if (~best.isnan()).any() else 0.5, ui=ui)


def sweep_table(report: SegmentationReport) -> str:
    """Comma-separated: for each defect class the threshold with the best F1, and what it gives."""
    sweep, lines = report.sweep, ["class,threshold,F1,precision,recall,average precision"]
    for i, name in enumerate(report.classes[1:], 1):
        at = int((sweep.thresholds - sweep.best_threshold[i].nan_to_num(0)).abs().argmin())
        values = (
            sweep.best_threshold,
            sweep.best_f1,
            sweep.precision[:, at],
            sweep.recall[:, at],
            sweep.average_precision,
        )
        lines.append(",".join([name, *(f"{float(value[i]):.4f}" for value in values)]))
    return "\n".join(lines)


NODES: list[type[io.ComfyNode]] = [
    SegmentationDataset,
    MasksToDataset,
    SegmentationModelNode,
    PredictSegmentation,
    ThresholdSweep,
]
