"""Menu "Visionsmith/Masks": merging masks, making them better, taking them apart, measuring and exchanging them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from comfy_api.latest import io

from ..imaging import masks as core
from ..imaging.masks.statistics import statistics_table
from .host import host
from .support.widgets import first, number, size
from .support.wires import BoundingBoxes

TOGETHER = ["picture by picture", "all into one"]


SEVERAL = "A mask, a batch of masks, or a list of batches."


def mask_sockets(name: str, tooltip: str, least: int) -> io.Input:
    """Any number of masks; a free socket appears as one connects."""
    template = io.Autogrow.TemplatePrefix(io.Mask.Input("mask", tooltip=SEVERAL), prefix="mask", min=least, max=100)
    return io.Autogrow.Input(name, template=template, tooltip=tooltip)


def batches(masks: Any) -> Iterator[torch.Tensor]:
    """Every batch in what the sockets hold; lists count as so many sockets."""
    if isinstance(masks, torch.Tensor):
        yield masks
    elif masks is not None:
        for part in masks.values() if isinstance(masks, dict) else masks:
            yield from batches(part)


def count_text(count: int, name: str) -> str:
    """Such as "1 object" or "3 objects"."""
    return f"{count} {name}" if count == 1 else f"{count} {name}s"


class MergeMasks(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="VisionsmithMergeMasks",
            display_name="Merge Masks",
            category="Visionsmith/Masks",
            description="Merge any number of masks: what any, all, only the first, an odd number, or most of them cover.",
            search_aliases=["combine masks", "mask union", "add masks", "subtract mask", "intersect", "xor", "vote", "mask batch to mask"],
            inputs=[
                io.Mask.Input("mask", tooltip=f"The first. {SEVERAL}"),
                mask_sockets("others", "The others, of the same size; a free socket appears as you connect. difference takes them out of the first.", 0),
                io.Combo.Input(
                    "operation",
                    options=list(core.OPERATIONS),
                    default="union",
                    tooltip="union: any of them. intersection: all. difference: the first without the others. xor: an odd number of them. "
                    "majority: more than half.",
                ),
                io.Combo.Input(
                    "together",
                    options=TOGETHER,
                    default=TOGETHER[0],
                    tooltip="picture by picture: the first masks of all sockets are merged, then the second ones. all into one: every mask of "
                    "every socket becomes a single mask, as for the objects of one picture.",
                ),
            ],
            outputs=[io.Mask.Output(display_name="mask", tooltip="The merged masks.")],
            is_input_list=True,
        )  # fmt: skip

    @classmethod
    def execute(cls, mask: Any, operation: Any, together: Any, others: Any = None) -> io.NodeOutput:
        into_one = first(together) == TOGETHER[1]
        return io.NodeOutput(core.merge_masks([*batches(mask), *batches(others)], first(operation), into_one))


class RefineMask(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="VisionsmithRefineMask",
            display_name="Refine Mask",
            category="Visionsmith/Masks",
            description="Make masks better, from top to bottom: cut at a threshold, fill holes, remove specks, smooth, grow or shrink, feather.",
            search_aliases=["grow mask", "expand", "dilate", "erode", "shrink", "feather", "blur mask", "fill holes", "despeckle", "clean mask", "dilate mask", "erode mask"],
            inputs=[
                io.Mask.Input("mask", tooltip="One mask or many; each is refined by itself."),
                number("threshold", 0.5, "Above becomes white, all else black. 0 keeps soft values."),
                io.Boolean.Input("fill_holes", default=False, tooltip="Fill what a mask encloses."),
                size("min_area", 0, "Pixels: smaller objects are removed.", min=0, max=10**9),
                size("keep_largest", 0, "How many objects stay, the largest; 0 keeps all.", min=0, max=10**6),
                size("smooth", 0, "Pixels: jags and corners smaller than this are rounded off, thin lines vanish. Soft edges become hard.", min=0, max=512),
                size("grow", 0, "Pixels by which the mask grows on every side; negative shrinks it.", min=-1024, max=1024),
                number("feather", 0.0, "Pixels on each side of the edge over which it fades.", max=1024.0, step=0.5),
            ],
            outputs=[io.Mask.Output(display_name="mask", tooltip="The refined masks.")],
        )  # fmt: skip

    @classmethod
    def execute(cls, mask: torch.Tensor, **settings: Any) -> io.NodeOutput:
        return io.NodeOutput(core.refine_masks(mask, core.Refinement(**settings)))


class SplitMask(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="VisionsmithSplitMask",
            display_name="Split Mask",
            category="Visionsmith/Masks",
            description="A mask for every connected object, the largest first.",
            search_aliases=["connected components", "separate objects", "mask to boxes", "instances", "mask to segs", "blobs", "count defects", "count objects"],
            inputs=[
                io.Mask.Input("mask", tooltip="One mask or many; each is taken apart by itself, one after the other."),
                number("threshold", 0.5, "A pixel belongs to an object if it is above."),
                size("min_area", 10, "Pixels: smaller objects are left out.", max=10**9),
                size("max_count", 0, "Objects of one mask at most, the largest; 0 for all.", min=0, max=10**6),
            ],
            outputs=[
                io.Mask.Output(display_name="masks", tooltip="A batch with a mask per object; a single empty one if nothing was found."),
                BoundingBoxes.Output(display_name="bboxes", tooltip="The boxes of the objects of each mask."),
                io.Int.Output(display_name="count", tooltip="How many objects were found."),
            ],
            hidden=[io.Hidden.unique_id],
        )  # fmt: skip

    @classmethod
    def execute(cls, mask: torch.Tensor, threshold: float, min_area: int, max_count: int) -> io.NodeOutput:
        pieces, found = core.split_masks(core.checked_masks(mask), threshold, min_area, max_count)
        count = sum(len(objects) for objects in found)
        host().text(cls.hidden.unique_id, count_text(count, "object"))
        return io.NodeOutput(pieces, [[one.box() for one in objects] for objects in found], count)


class MaskStatistics(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="VisionsmithMaskStatistics",
            display_name="Mask Statistics",
            category="Visionsmith/Masks",
            description="How much masks cover, in pixels and percent, and of how many objects they consist.",
            search_aliases=["mask area", "count objects", "measure", "is mask empty", "coverage", "bounding box"],
            inputs=[
                io.Mask.Input("mask", tooltip="One mask or many."),
                number("threshold", 0.5, "A pixel is covered if it is above."),
                size("min_area", 1, "Pixels: smaller objects do not count.", max=10**9),
            ],
            outputs=[
                io.String.Output(display_name="table", tooltip="A line per mask and a line per object: box, area, percent."),
                io.Int.Output(display_name="area", tooltip="Covered pixels of all masks."),
                io.Float.Output(display_name="percent", tooltip="Covered share of all masks, 0 to 100."),
                io.Int.Output(display_name="objects", tooltip="How many objects there are in all."),
                BoundingBoxes.Output(display_name="bboxes", tooltip="The boxes of the objects of each mask."),
                io.Boolean.Output(display_name="is_empty", tooltip="Whether nothing is covered at all."),
            ],
            is_output_node=True,
        )  # fmt: skip

    @classmethod
    def execute(cls, mask: torch.Tensor, threshold: float, min_area: int) -> io.NodeOutput:
        measured = core.mask_statistics(mask, threshold, min_area)
        area = sum(one.area for one in measured)
        percent = 100 * sum(one.share for one in measured) / len(measured)
        objects = sum(len(one.objects) for one in measured)
        table = statistics_table(measured)
        boxes = [[found.box() for found in one.objects] for one in measured]
        return io.NodeOutput(table, area, percent, objects, boxes, not area, ui={"text": [table]})


class MasksToLabelMap(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="VisionsmithMasksToLabelMap",
            display_name="Masks to Label Map",
            category="Visionsmith/Masks",
            description="Number masks and put them into one grey picture; where they overlap, the later one is on top.",
            search_aliases=["index mask", "segmentation map", "class map", "annotation", "semantic mask"],
            inputs=[
                mask_sockets("masks", "The masks, all of one size, the first is number 1. 0 is the background.", 1),
                io.Combo.Input(
                    "together",
                    options=TOGETHER,
                    default=TOGETHER[1],
                    tooltip="all into one: every mask of every socket gets a number in a single map. picture by picture: each socket is a number, "
                    "and its second mask goes into the second map.",
                ),
                io.Combo.Input(
                    "values",
                    options=["numbers", "visible"],
                    default="numbers",
                    tooltip="numbers: grey value 1, 2, 3 of 255, as datasets want it in a PNG. visible: spread from black to white.",
                ),
                number("threshold", 0.5, "A pixel belongs to a mask if it is above."),
            ],
            outputs=[
                io.Image.Output(display_name="label_map", tooltip="The map as a grey picture."),
                io.Mask.Output(display_name="index_mask", tooltip="The same as a mask."),
                io.Int.Output(display_name="count", tooltip="How many numbers there are."),
            ],
            is_input_list=True,
        )  # fmt: skip

    @classmethod
    def execute(cls, masks: dict[str, Any], together: Any, values: Any, threshold: Any) -> io.NodeOutput:
        labels, count = core.label_map(list(batches(masks)), first(together) == TOGETHER[1], first(threshold))
        grey = labels.float() / (255 if first(values) == "numbers" else count)
        return io.NodeOutput(grey[..., None].repeat(1, 1, 1, 3), grey, count)


class LabelMapToMasks(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="VisionsmithLabelMapToMasks",
            display_name="Label Map to Masks",
            category="Visionsmith/Masks",
            description="A mask for every number, or every colour, of a label map. Black is the background.",
            search_aliases=["index to mask", "segmentation map", "class masks", "color to mask", "split colors"],
            inputs=[
                io.MultiType.Input("label_map", types=[io.Image, io.Mask], tooltip="A grey or coloured label map, or an index mask."),
                io.String.Input("numbers", default="", tooltip="Which ones, such as 1, 3 or #ff0000; empty for all that occur."),
                size("ignore", 255, "The grey value that means not labelled; -1 if there is none.", min=-1, max=255),
            ],
            outputs=[
                io.Mask.Output(display_name="masks", is_output_list=True, tooltip="A list with a batch of masks for each number."),
                io.Mask.Output(display_name="mask", tooltip="All numbers together, a mask per picture."),
                io.String.Output(display_name="numbers", tooltip="The numbers or colours, one per line, in the order of the list."),
            ],
            hidden=[io.Hidden.unique_id],
        )  # fmt: skip

    @classmethod
    def execute(cls, label_map: torch.Tensor, numbers: str, ignore: int) -> io.NodeOutput:
        found = core.masks_of_labels(label_map, numbers, ignore)
        host().text(cls.hidden.unique_id, count_text(len(found.names), "label"))
        masks = list(found.masks) or [torch.zeros(label_map.shape[:3], device=label_map.device)]
        return io.NodeOutput(masks, core.merge_masks(masks), "\n".join(found.names))


class DifferenceMask(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="VisionsmithDifferenceMask",
            display_name="Difference Mask",
            category="Visionsmith/Masks",
            description="A mask of where two pictures differ.",
            search_aliases=["compare images", "change detection", "mask from difference", "before after", "subtract images"],
            inputs=[
                io.Image.Input("image_a", tooltip="Pictures; a single one is compared with every one of the other input."),
                io.Image.Input("image_b", tooltip="Pictures of the same size."),
                number("threshold", 0.1, "How much they must differ, of 1 between black and white.", step=0.005),
                io.Combo.Input(
                    "compare",
                    options=["channels", "luminance"],
                    default="channels",
                    tooltip="channels: red, green and blue, whichever differs most. luminance: the brightness only.",
                ),
                number("blur", 0.0, "Pixels: blurs both pictures first, against noise and grain.", max=64.0, step=0.5),
            ],
            outputs=[
                io.Mask.Output(display_name="mask", tooltip="White where they differ."),
                io.Mask.Output(display_name="difference", tooltip="How much they differ at every pixel."),
            ],
        )  # fmt: skip

    @classmethod
    def execute(
        cls, image_a: torch.Tensor, image_b: torch.Tensor, threshold: float, compare: str, blur: float
    ) -> io.NodeOutput:
        return io.NodeOutput(*core.difference_mask(image_a, image_b, threshold, compare, blur))


NODES: list[type[io.ComfyNode]] = [
    MergeMasks,
    RefineMask,
    SplitMask,
    MaskStatistics,
    MasksToLabelMap,
    LabelMapToMasks,
    DifferenceMask,
]
