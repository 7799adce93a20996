"""Menu "Visionsmith/Segmentation": masks drawn by hand, in the label editor."""

from __future__ import annotations

from dataclasses import replace

from comfy_api.latest import io

from ..nn_layers.errors import InputError
from ..replace import gradients
from ..training.segmentation.folders import masked_folder
from ..training.segmentation.labels import classes_of, pictures_to_label
from .data import dataset_output, given, split_inputs
from .host import readable, watch


class LabelPictures(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="VisionsmithLabelPictures",
            display_name="Label Pictures",
            category="Visionsmith/Segmentation",
            description="Draw or correct the masks of a folder of pictures with brush and polygon, and give them as a dataset to train on.",
            search_aliases=[
                "annotate", "annotation tool", "label editor", "draw masks", "polygon", "brush", "labelme", "cvat", "paint masks", "label studio", "label tool",
            ],
            inputs=[
                io.String.Input(
                    "folder",
                    default="dataset",
                    tooltip="Holds a folder of pictures (images, img_dir …), below ComfyUI's input or output folder or one of VISIONSMITH_DATA_ROOTS. "
                    "Masks are saved into the folder beside it (masks, ann_dir …), which is made when the first is saved.",
                ),
                io.String.Input(
                    "classes",
                    default="background, defect",
                    multiline=True,
                    tooltip="Names in the order of the class numbers, the background first, divided by commas or lines; a colour may follow a name: "
                    "surface, scratch #e64b35, dent.",
                ),
                io.Combo.Input(
                    "missing",
                    options=["skip", "background", "refuse"],
                    default="skip",
                    tooltip="Pictures without a mask: leave them out, take them as free of defects, or refuse the folder.",
                ),
                io.String.Input("images", default="", tooltip="Name of the folder of pictures; empty for the usual names.", advanced=True),
                io.String.Input("masks", default="", tooltip="Name of the folder of masks; empty for the usual names.", advanced=True),
                io.Combo.Input(
                    "coding",
                    options=["auto", "index", "binary", "colors"],
                    default="auto",
                    tooltip="Values of masks that are there already: class numbers, black and white, or the colours of the classes. auto finds out. "
                    "Masks that are saved here hold class numbers.",
                    advanced=True,
                ),
                io.Combo.Input("color", options=["color", "grey"], default="color", tooltip="Read the pictures with 3 channels or with 1."),
                *split_inputs(),
            ],
            outputs=[dataset_output()],
            hidden=[io.Hidden.unique_id],
        )  # fmt: skip

    @classmethod
    def fingerprint_inputs(cls, folder: str, images: str, masks: str, **settings) -> str:
        files = {
            file
            for item in pictures_to_label(readable(folder), images.strip(), masks.strip())
            for file in (item.picture, item.mask)
            if file
        }
        return str(sorted((str(file), file.stat().st_mtime_ns, file.stat().st_size) for file in files))

    @classmethod
    def execute(cls, folder: str, classes: str, color: str, images: str, masks: str, **settings) -> io.NodeOutput:
        place = readable(folder)
        names, colors = classes_of(classes)
        pictures = pictures_to_label(place, images.strip(), masks.strip())
        labelled = sum(item.mask is not None for item in pictures)
        if not labelled:
            raise InputError(
                f"none of the {len(pictures)} pictures of {place.name} has a mask yet; press Label pictures in the node and draw the first."
            )
        with gradients():
            dataset = masked_folder(
                place,
                images=images.strip(),
                masks=masks.strip(),
                classes=names,
                colors="\n".join(f"{name} {r} {g} {b}" for name, (r, g, b) in zip(names, colors, strict=True))
                if settings["coding"] == "colors"
                else "",
                color=color == "color",
                on_progress=watch(cls),
                **settings,
            )
        note = f"{labelled} of {len(pictures)} pictures are labelled."
        return given(cls, replace(dataset, colors=colors, notes=(note, *dataset.notes)))


NODES = [LabelPictures]
