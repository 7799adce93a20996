"""Menu "Visionsmith/Edit", its end: masks for edited pictures, and the gate that rejects bad ones."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from comfy_api.latest import io

from ..augmentation.relabel import Refine, Relabelled, RelabelSettings, overlay, relabel
from ..augmentation.review import with_sentences
from ..imaging.masks import checked_images, checked_masks, paired
from ..imaging.sam3 import Box, segment
from .host import host, watch
from .support.sam3_engines import clip_input, engine_of, model_input
from .support.widgets import first, number, size


class RelabelEdit(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        sam = model_input("")
        sam.id, sam.optional = "sam3", True
        return io.Schema(
            node_id="VisionsmithRelabelEdit",
            display_name="Re-label Edit",
            category="Visionsmith/Edit",
            description="A new mask for each edited picture: where a defect is now, not merely where something changed. Bad samples are rejected.",
            search_aliases=["relabel", "label transfer", "pseudo mask", "difference mask", "quality gate", "augment", "auto annotate"],
            inputs=[
                io.Image.Input("images", tooltip="The edited pictures, such as one list entry of Edit with Prompt."),
                io.Image.Input("original", tooltip="The same pictures before the edit."),
                io.Mask.Input("mask", tooltip="The defects that the originals show: one for each picture, or one for all."),
                io.Mask.Input("attention", optional=True, tooltip="From Edit with Prompt: the new defect may also lie where the new words looked."),
                sam,
                clip_input(),
                io.String.Input("class_name", default="", tooltip="The class of the new defect, such as the word of the edit; handed on."),
                size("reach", 8, "Pixels around the old mask and the attention in which the new defect may lie.", min=0, max=512),
                number("attention_above", 0.3, "Attention, as a share of the highest, that counts as looked at.", advanced=True),
                number("blur", 1.0, "Standard deviation in pixels of a blur over the difference, against grain.", max=20.0, step=0.1, advanced=True),
                number("deviations", 6.0, "A difference counts above so many deviations of the surface's grain.", max=100.0, step=0.5),
                number("least_difference", 5.0, "Fainter differences never count; 1 can just be seen (Lab).", max=100.0, step=0.5, advanced=True),
                size("min_area", 8, "Pixels: smaller specks are dropped.", min=1, max=10**6),
                number("least_psnr", 30.0, "dB: samples whose background changed more are rejected.", max=100.0, step=0.5),
                number("least_area", 0.3, "Samples whose new defect is smaller than this share of the old one are rejected."),
                number("most_area", 3.0, "Samples whose new defect is larger than so many of the old one are rejected.", max=1000.0, step=0.1),
            ],
            outputs=[
                io.Image.Output(display_name="images", is_output_list=True, tooltip="The accepted pictures, a batch for each word that has any."),
                io.Mask.Output(display_name="masks", is_output_list=True, tooltip="Their masks."),
                io.String.Output(display_name="class_name", is_output_list=True, tooltip="The class of each batch."),
                io.Float.Output(display_name="confidence", is_output_list=True, tooltip="The mean of each batch, 0 to 1."),
                io.Image.Output(display_name="review", tooltip="All pictures: old outline yellow, new one green, or red where the sample was rejected; below each its line of the report."),
                io.String.Output(display_name="report", tooltip="A line for each picture: accepted or why not."),
            ],
            hidden=[io.Hidden.unique_id],
            is_input_list=True,
            is_output_node=True,
        )  # fmt: skip

    @classmethod
    def execute(
        cls,
        images: list[torch.Tensor],
        original: list[torch.Tensor],
        mask: list[torch.Tensor],
        class_name: list[str],
        attention: list[torch.Tensor] | None = None,
        sam3: list[Any] | None = None,
        clip: list[Any] | None = None,
        **settings: list[Any],
    ) -> io.NodeOutput:
        values = {"attention" if name == "attention_above" else name: first(value) for name, value in settings.items()}
        how, refine = RelabelSettings(**values), outlined(first(sam3), first(clip)) if sam3 else None
        count, columns, reviews, lines, accepted = len(images), [], [], [], []
        for index, edited in enumerate(images):
            name = class_name[min(index, len(class_name) - 1)]
            given = [column[min(index, len(column) - 1)] for column in (original, mask, attention or [None])]
            rows, found = relabelled(edited, *given, how, refine, watch(cls, index, count))
            reviews += [overlay(row[0], row[2], new) for row, new in zip(rows, found, strict=True)]
            lines += report_of(found, name)
            accepted += [new.accepted for new in found]
            kept = [(row[0][..., :3], new) for row, new in zip(rows, found, strict=True) if new.accepted]
            if kept:
                masks = torch.stack([new.mask for _, new in kept])
                confidence = sum(new.confidence for _, new in kept) / len(kept)
                columns.append((torch.stack([picture for picture, _ in kept]), masks, name, confidence))
        report = "\n".join(lines)
        host().text(cls.hidden.unique_id, report)
        review = with_sentences(reviews, lines, accepted)
        shown = {**host().preview(review, cls), "text": [report]}
        if not columns:
            why = f"none of the edited pictures passed the gate ({lines[0]}); edit with other settings, or loosen the gate."
            return io.NodeOutput(*[host().nothing(why)] * 4, review, report, ui=shown)
        return io.NodeOutput(*map(list, zip(*columns, strict=True)), review, report, ui=shown)


def relabelled(
    edited: torch.Tensor,
    original: torch.Tensor,
    mask: torch.Tensor,
    attention: torch.Tensor | None,
    how: RelabelSettings,
    refine: Refine | None,
    tell: Callable[[float, float], None],
) -> tuple[list[tuple[torch.Tensor, ...]], list[Relabelled]]:
    """The pictures of a batch with what belongs to each, and their new masks."""
    batches = {
        "images": checked_images(edited),
        "original": checked_images(original, "original"),
        "mask": checked_masks(mask),
    }
    if attention is not None:
        batches["attention"] = checked_masks(attention, "attention")
    rows, found = list(zip(*paired(batches), strict=True)), []
    for done, (picture, before, old, *looked) in enumerate(rows, 1):
        found.append(relabel(before, picture, old, looked[0] if looked else None, how, refine=refine))
        tell(done, len(rows))
    return rows, found


def outlined(model: Any, clip: Any) -> Refine:
    """SAM 3 as `relabel` asks it: what each box holds."""
    engine = engine_of(model, clip)

    def refine(picture: torch.Tensor, boxes: list[dict[str, int]]) -> torch.Tensor:
        masks = []
        for box in boxes:
            outline = [Box(box["x"], box["y"], box["width"], box["height"])]
            [objects] = segment(engine, picture[None], boxes=outline, outline=True)
            masks.append(objects.merged.cpu() if len(objects) else torch.zeros(picture.shape[:2]))
        return torch.stack(masks)

    return refine


def report_of(found: list[Relabelled], class_name: str) -> list[str]:
    """A line for each picture."""
    lines = []
    for count, new in enumerate(found, 1):
        told = "accepted" if new.accepted else "rejected: " + ", ".join(new.problems)
        lines.append(
            f"{class_name or 'picture'} {count}: {told}; confidence {new.confidence:.2f}, background {new.psnr:.1f} dB"
        )
    return lines


NODES: list[type[io.ComfyNode]] = [RelabelEdit]
