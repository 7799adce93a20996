"""What the panels in nodes show as pictures (web/views): before and after, and what a network made of them, as `ui` entries.

Every entry is a list, because ComfyUI joins those of a node that runs several times in one prompt.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any

import torch
from comfy_api.latest import io
from PIL import Image
from torch import Tensor

from ...training import Dataset, Report
from ...training.pictures import to_pil
from ...training.segmentation.evaluate import MaskExample, SegmentationReport
from ...training.segmentation.masks import Color
from ...training.segmentation.pictures import ERROR_COLORS, ERROR_NAMES, errors, mask_layer, within
from ...training.segmentation.predict import Segmentation
from ..host import BACKDROP_SIDE, host

MOST_PAIRS = 24
MOST_PICTURES = 32
Ui = dict[str, list[dict[str, Any]]]


def tells_again(schema: io.Schema) -> io.Schema:
    """`schema` of a node in the middle of a workflow, whose panel is told its result also when nothing has to run, as after a reload."""
    schema.has_intermediate_output = True  # no argument, because older versions of ComfyUI do not know it
    return schema


def compared(pairs: Iterable[tuple[Tensor, Tensor, str]]) -> Ui:
    """Pictures before and after, float32 [height, width, channels] in 0..1, and what to call each pair; of the first `MOST_PAIRS`."""
    shown = list(islice(pairs, MOST_PAIRS))
    files = host().pictures(_pil(picture) for before, after, _ in shown for picture in (before, after))
    entries = zip(files[::2], files[1::2], shown, strict=False)  # no files where there is no canvas
    return {"visionsmith_compare": [{"before": one, "after": two, "name": name} for one, two, (*_, name) in entries]}


def versions(before: Tensor, after: Tensor, name: str = "") -> Iterator[tuple[Tensor, Tensor, str]]:
    """Pictures [batch, height, width, channels] beside what was made of them, which is all of them once or several times over."""
    return ((before[index % len(before)], picture, name) for index, picture in enumerate(after))


def _pil(picture: Tensor) -> Image.Image:
    """float32 [height, width, channels] as a picture no larger than a panel needs, without its transparency."""
    levels = (picture[..., :3] * 255).round().clamp(0, 255).to(torch.uint8)
    return to_pil(within(levels.permute(2, 0, 1).cpu(), BACKDROP_SIDE))


def tested_gallery(report: Report | SegmentationReport, dataset: Dataset) -> Ui:
    """The pictures that were most wrong; those with masks have the truth, the prediction and the errors as layers."""
    if not dataset.is_pictures:
        return {"visionsmith_gallery": []}
    samples = dataset.split(report.split)
    title = f"the {len(report.worst)} most wrong of {report.count:,}"
    if report.task == "segmentation":
        items = [_masked_item(example, samples.mask(example.index), len(report.classes)) for example in report.worst]
        return gallery(title, items, _masked_pictures(report, samples), ("truth", "prediction", "errors"), report)
    items = [_item(example, dataset) for example in report.worst]
    return gallery(title, items, (to_pil(within(samples[one.index], BACKDROP_SIDE)) for one in report.worst))


def _item(example: Any, dataset: Dataset) -> dict[str, Any]:
    truth, said = (dataset.target_name(value) for value in (example.target, example.predicted))
    note = f"true {truth}, predicted {said}"
    if dataset.task != "classification":
        return {"name": example.name, "note": note}
    cell = [int(example.target), int(example.predicted)]
    return {"name": example.name, "note": f"{note}, {100 * example.confidence:.0f} % sure", "cells": [cell]}


def _masked_item(example: MaskExample, truth: Tensor, classes: int) -> dict[str, Any]:
    pairs = torch.stack((truth, example.predicted), -1)[truth < classes].unique(dim=0)  # without what does not count
    return {"name": example.name, "note": f"IoU of defects {1 - example.error:.3f}", "cells": pairs.tolist()}


def _masked_pictures(report: SegmentationReport, samples: Any) -> Iterator[Image.Image]:
    for example in report.worst:
        truth, said = samples.mask(example.index), example.predicted
        yield to_pil(within(samples[example.index], BACKDROP_SIDE))
        yield mask_layer(truth, report.colors, BACKDROP_SIDE)
        yield mask_layer(said, report.colors, BACKDROP_SIDE)
        yield mask_layer(errors(truth, said), ERROR_COLORS, BACKDROP_SIDE)


def predicted_gallery(images: Tensor, found: Segmentation) -> Ui:
    """Pictures float32 [batch, height, width, channels], with the classes that a network found as a layer."""
    pairs = list(zip(images, found.masks, strict=True))[:MOST_PICTURES]
    title = "" if len(pairs) == len(images) else f"the first {len(pairs)} of {len(images):,}"
    items = [{"name": f"picture {i}", "note": _found(mask, found.classes)} for i, (_, mask) in enumerate(pairs, 1)]
    pictures = (part for image, mask in pairs for part in (_pil(image), mask_layer(mask, found.colors, BACKDROP_SIDE)))
    return gallery(title, items, pictures, ("prediction",), found)


def _found(mask: Tensor, classes: Sequence[str]) -> str:
    counts = torch.bincount(mask.flatten(), minlength=len(classes)).tolist()
    shares = [f"{name} {count / mask.numel():.2%}" for name, count in zip(classes, counts, strict=False) if count]
    return ", ".join(shares[1:] if counts[0] else shares) or "nothing found"


def gallery(
    title: str,
    items: list[dict[str, Any]],
    pictures: Iterable[Image.Image],
    layers: Sequence[str] = (),
    painted: SegmentationReport | Segmentation | None = None,
) -> Ui:
    """Items, each with a name and a note, with their files: `pictures` has for each item the picture and its layers."""
    files = iter(host().pictures(pictures))
    for item in items:
        item["picture"] = next(files, None)
        item["layers"] = {layer: next(files, None) for layer in layers}
    legend = {
        "classes": _legend(painted.classes, painted.colors) if painted else [],
        "errors": _legend(ERROR_NAMES, ERROR_COLORS) if "errors" in layers else [],
    }
    shown = [item for item in items if item["picture"]]  # none where there is no canvas
    return {"visionsmith_gallery": [{"title": title, "items": shown, "layers": list(layers), "legend": legend}]}


def _legend(names: Sequence[str], colors: Sequence[Color]) -> list[dict[str, str]]:
    """What each colour means, without the background."""
    return [{"name": name, "color": css(color)} for name, color in zip(names[1:], colors[1:], strict=False)]


def css(color: Color) -> str:
    """A colour as the page wants it."""
    return "#" + "".join(f"{value:02x}" for value in color)
