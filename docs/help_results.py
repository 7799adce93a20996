"""Pictures of what nodes make, from small runs of the nodes themselves without ComfyUI; part of help_pictures.py."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from help_samples import (
    Silent,
    bar,
    beside,
    classifier,
    defect,
    digits,
    discs,
    drawn,
    picture,
    plate,
    run,
    seen,
    segmenter,
    surfaces,
    written,
)
from PIL import Image
from visionsmith.headless.host import HeadlessHost
from visionsmith.nodes.host import use_host


def _augmented() -> Image.Image:
    return beside(
        (
            "the dataset's pictures and what was added, with masks",
            picture(run("AugmentDataset", dataset=surfaces(), balance={"balance": "as in the data"})[1][0]),
        )
    )


def _merged() -> Image.Image:
    both = {"mask": discs(), "others": {"mask0": bar()}}
    made = [
        (how, picture(run("MergeMasks", **both, operation=how)[0][0]))
        for how in ("union", "intersection", "difference")
    ]
    return beside(("mask", picture(discs()[0])), ("other", picture(bar()[0])), *made)


def _refined() -> Image.Image:
    refined = run("RefineMask", mask=discs(), fill_holes=True, min_area=60, grow=4, feather=6.0)[0]
    return beside(("mask", picture(discs()[0])), ("filled, cleaned, grown, feathered", picture(refined[0])))


def _split() -> Image.Image:
    pieces = run("SplitMask", mask=discs(), min_area=60)[0]
    return beside(
        ("mask", picture(discs()[0])), *((f"piece {number}", picture(piece)) for number, piece in enumerate(pieces, 1))
    )


def _label_map() -> torch.Tensor:
    return run("MasksToLabelMap", masks={"mask0": discs(), "mask1": bar()}, values="visible")[0]


def _mapped() -> Image.Image:
    return beside(
        ("mask 0", picture(discs()[0])), ("mask 1", picture(bar()[0])), ("label map", picture(_label_map()[0]))
    )


def _unmapped() -> Image.Image:
    numbers = run("MasksToLabelMap", masks={"mask0": discs(), "mask1": bar()})[0]
    masks = run("LabelMapToMasks", label_map=numbers)[0]
    return beside(
        ("label map (brightened)", picture(_label_map()[0])),
        *((f"label {number}", picture(mask)) for number, mask in enumerate(masks, 1)),
    )


def _difference() -> Image.Image:
    images, _ = defect()
    mask = run("DifferenceMask", image_a=plate(), image_b=images, threshold=0.08)[0]
    return beside(("image_a", picture(plate()[0])), ("image_b", picture(images[0])), ("mask", picture(mask[0])))


def _removed() -> Image.Image:
    images, masks = defect()
    return beside(
        ("picture", picture(images[0])),
        ("mask", picture(masks[0])),
        ("removed with telea", picture(_erased(images, masks)[0])),
    )


def _erased(images: torch.Tensor, masks: torch.Tensor) -> torch.Tensor:
    return run("RemoveObject", images=images, masks=masks, method="telea", grow=3, feather=2)[0][0]


def _crops() -> tuple[Any, ...]:
    images, masks = defect("stain", 2, 1)
    return run("InpaintCrop", image=images, mask=masks, size={"size": "as it is"}, context=2.0)


def _cropped() -> Image.Image:
    images, _ = defect("stain", 2, 1)
    _, crops, masks, _ = _crops()
    return beside(("image", picture(images[0])), ("crop", picture(crops[0])), ("its mask", picture(masks[0])))


def _stitched() -> Image.Image:
    images, _ = defect("stain", 2, 1)
    stitch, crops, masks, _ = _crops()
    erased = _erased(crops, masks)
    whole = run("InpaintStitch", stitch=stitch, image=erased)[0]
    return beside(
        ("before", picture(images[0])), ("crop, repainted", picture(erased[0])), ("stitched", picture(whole[0]))
    )


def _synthesized() -> Image.Image:
    parts = [(method, picture(defect(method, 5)[0][0])) for method in ("scratch", "crack", "spot")]
    return beside(("clean plate", picture(plate()[0])), *parts)


def _trained() -> Image.Image:
    return beside(
        ("curves.png of a run on the digits", Image.open(classifier()[1].folder / "curves.png").convert("RGB"))
    )


def _predicted() -> Image.Image:
    images = run("DatasetToImages", dataset=digits(), count=10)[0]
    return beside(
        ("ten digits with what the network says", picture(run("Predict", network=classifier()[0], images=images)[2][0]))
    )


def _segmented() -> Image.Image:
    *_, overlay, _ = run("PredictSegmentation", network=segmenter()[0], images=seen())
    return beside(("picture", picture(seen()[0])), ("what the network found", picture(overlay[0])))


def _swept() -> Image.Image:
    report = run("Test", network=segmenter()[0], dataset=surfaces())[0]
    return beside(("", picture(run("ThresholdSweep", report=report)[0][0])))


def _inspected() -> Image.Image:
    return beside(
        ("picture", picture(seen()[0])),
        (
            "what the filters of conv_1 see in it",
            picture(run("Inspect", network=segmenter()[0], images=seen(), most=16)[0][0]),
        ),
    )


def _samples() -> Image.Image:
    return beside(("digits, 8 by 8 pixels", picture(run("DatasetPreview", dataset=digits(), count=24)[0][0])))


def _image_strip() -> Image.Image:
    images, labels = run("DatasetToImages", dataset=digits(), count=6)
    return beside(*zip(labels.split("\n"), map(picture, images), strict=True))


def _preview(dataset: Any, words: str) -> Image.Image:
    return beside((words, picture(run("DatasetPreview", dataset=dataset, count=6)[0][0])))


def _defects() -> Any:
    made = [defect(method, 7) for method in ("scratch", "crack", "spot", "stain", "dent", "scratch")]
    images, masks = (torch.cat(parts) for parts in zip(*made, strict=True))
    return run("MasksToDataset", images=images, masks=masks)[0]


def _from_images() -> Any:
    images = torch.cat([defect(method, 11)[0] for method in ("scratch", "crack", "spot")] + [plate()] * 3)
    return run("ImagesToDataset", images=images, labels="\n".join(["defect"] * 3 + ["good"] * 3))[0]


def _measured() -> Image.Image:
    return beside(("mask", picture(discs()[0])), ("table", written(run("MaskStatistics", mask=discs())[0])))


def _relabelled() -> Image.Image:
    images, masks = defect("scratch", 5)
    return beside(("", picture(run("RelabelEdit", images=images, original=plate(), mask=masks)[4][0])))


def _experiment() -> tuple[Any, ...]:
    losses = {
        f"loss{number}": run("Loss", type={"type": "cross entropy", "class_weights": "", "label_smoothing": amount})[0]
        for number, amount in enumerate((0.0, 0.2))
    }
    return run(
        "Experiment",
        networks={"network0": drawn(10, 1, 8, False)},
        datasets={"dataset0": digits()},
        losses=losses,
        epochs=3,
        batch_size=64,
    )


def _found() -> Image.Image:
    _experiment()
    return beside(("table", written(run("FindBest", experiment="experiments/comparison")[2])))


RESULTS: dict[str, Callable[[], Image.Image]] = {
    "AugmentDataset": _augmented,
    "DatasetPreview": lambda: beside(
        ("pictures of train, with their masks", picture(run("DatasetPreview", dataset=surfaces(), count=4)[0][0]))
    ),
    "DatasetStatistics": lambda: beside(("", picture(run("DatasetStatistics", dataset=digits())[1][0]))),
    "DatasetToImages": _image_strip,
    "DifferenceMask": _difference,
    "Experiment": lambda: beside(("", picture(_experiment()[2][0]))),
    "FindBest": _found,
    "ImagesToDataset": lambda: _preview(_from_images(), "a dataset of six pictures, labels by lines"),
    "InpaintCrop": _cropped,
    "InpaintStitch": _stitched,
    "Inspect": _inspected,
    "LabelMapToMasks": _unmapped,
    "MaskStatistics": _measured,
    "MasksToDataset": lambda: _preview(_defects(), "a dataset of six pictures with masks"),
    "MasksToLabelMap": _mapped,
    "MergeMasks": _merged,
    "NetworkSummary": lambda: beside(("", picture(run("NetworkSummary", network=drawn(10, 1, 8, False))[0][0]))),
    "Predict": _predicted,
    "PredictSegmentation": _segmented,
    "RefineMask": _refined,
    "RelabelEdit": _relabelled,
    "RemoveObject": _removed,
    "SampleDataset": _samples,
    "SegmentationDataset": lambda: _preview(surfaces(), "the drawn sample: surfaces with their masks"),
    "SplitMask": _split,
    "SynthesizeDefects": _synthesized,
    "Test": lambda: beside(("", picture(run("Test", network=classifier()[0], dataset=digits())[2][0]))),
    "ThresholdSweep": _swept,
    "Train": _trained,
}
"""Node without "Visionsmith" → what draws its picture."""


def results(names: list[str]) -> Iterator[tuple[str, Image.Image]]:
    """(name, picture) for those of `names` that are in RESULTS."""
    with tempfile.TemporaryDirectory() as folder:
        use_host(
            HeadlessHost(
                {kind: Path(folder) / kind for kind in ("input", "output", "temp", "models", "pictures")}, Silent()
            )
        )
        for name in names:
            if name in RESULTS:
                yield name, RESULTS[name]()
