"""Pictures that a segmentation test makes for people. All are RGB."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from ..pictures import curve_figure, grid, render
from .masks import IGNORE, Color, overlay

if TYPE_CHECKING:
    from ..dataset import Dataset
    from ..segmentation_metrics import PrecisionRecallCurve
    from .evaluate import SegmentationReport

RIGHT, MISSED, IMAGINED, CONFUSED = 1, 2, 3, 4
ERROR_COLORS: tuple[Color, ...] = ((0, 0, 0), (70, 190, 100), (235, 80, 60), (70, 130, 240), (240, 190, 40))
ERROR_NAMES = ("background", "found", "missed", "false alarm", "wrong class")
TILE = 220


def errors(truth: Tensor, predicted: Tensor) -> Tensor:
    """What a network got right and wrong, uint8 [height, width]: 0 background, then found, missed, false alarm and wrong class."""
    kind = torch.zeros_like(truth)
    kind[(truth > 0) & (predicted == truth)] = RIGHT
    kind[(truth > 0) & (predicted == 0)] = MISSED
    kind[(truth == 0) & (predicted > 0)] = IMAGINED
    kind[(truth > 0) & (predicted > 0) & (predicted != truth)] = CONFUSED
    return kind.masked_fill(truth == IGNORE, 0)


def worst_masks(report: SegmentationReport, dataset: Dataset) -> Image.Image:
    """The pictures a network got most wrong: as they are, with their true mask, with the network's, and with its errors."""
    samples = dataset.split(report.split)
    pictures, captions = [], []
    for example in report.worst:
        picture, truth = samples[example.index], samples.mask(example.index)
        kind = errors(truth, example.predicted)
        shown = (
            picture,
            overlay(picture, truth, report.colors),
            overlay(picture, example.predicted, report.colors),
            overlay(picture, kind, ERROR_COLORS, 0.8),
        )
        pictures += [
            within(part, 2 * TILE) for part in shown
        ]  # a large picture must not be kept four times for each example
        found, missed = int((kind == RIGHT).sum()), int((kind == MISSED).sum())
        captions += [example.name.split("/")[-1], "truth", "network", f"{found} found, {missed} missed"]
    return grid(pictures, captions, columns=4, tile=TILE)


def within(picture: Tensor, side: int) -> Tensor:
    """A picture uint8 [channels, height, width], made smaller if its longer side has more than `side` pixels."""
    size = _fitted(picture.shape[-2:], side)
    if size == tuple(picture.shape[-2:]):
        return picture
    step = max(
        1, max(picture.shape[-2:]) // (4 * side)
    )  # the whole of a very large picture would not fit into memory as floats
    return F.interpolate(picture[None, :, ::step, ::step].float(), size, mode="area")[0].round().to(torch.uint8)


def mask_layer(mask: Tensor, colors: Sequence[Color], side: int) -> Image.Image:
    """A mask uint8 [height, width] as a picture to lay over another, of at most `side` pixels: what is background or ignored is transparent.

    Where a smaller pixel has several classes it takes the highest, so that a crack of one pixel does not vanish.
    """
    mask = mask.masked_fill(mask == IGNORE, 0)
    size = _fitted(mask.shape, side)
    if size != tuple(mask.shape):
        mask = F.adaptive_max_pool2d(mask[None, None].float(), size)[0, 0].to(torch.uint8)
    layer = Image.fromarray(mask.numpy(), "P")
    layer.putpalette([value for color in colors for value in color])
    layer.info["transparency"] = bytes([0] + [255] * (len(colors) - 1))
    return layer


def _fitted(size: Sequence[int], side: int) -> tuple[int, int]:
    """Height and width, scaled down so that neither is larger than `side`."""
    scale = min(1.0, side / max(size))
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


def labelled(dataset: Dataset, split: str, count: int, seed: int = 0) -> list[Tensor]:
    """The pictures that `dataset.some` gives, each with its mask painted over it: uint8 [3, height, width]."""
    samples = dataset.split(split)
    return [overlay(samples[i], samples.mask(i), dataset.colors) for i in dataset.drawn(split, count, seed)]


def sweep_picture(sweep: PrecisionRecallCurve, classes: Sequence[str], colors: Sequence[Color]) -> Image.Image:
    """Precision over recall while the threshold goes from 1 to 0, a curve per defect class, with its average precision."""
    figure, axes = curve_figure(5.2, 4.4)
    for number in range(1, len(classes)):
        axes.plot(
            sweep.recall[number],
            sweep.precision[number],
            color=[value / 255 for value in colors[number]],
            label=f"{classes[number]}: AP {sweep.average_precision[number]:.3f}, best F1 at {sweep.best_threshold[number]:.2f}",
        )
    axes.set_xlabel("recall")
    axes.set_ylabel("precision")
    axes.set_xlim(0, 1.02)
    axes.set_ylim(0, 1.02)
    axes.grid(alpha=0.25)
    axes.legend(loc="lower left", fontsize=8)
    return render(figure)


def painted(pictures: Tensor, masks: Tensor, colors: Sequence[Color], opacity: float = 0.55) -> Tensor:
    """Masks over pictures, as ComfyUI's IMAGE.

    Args:
        pictures: float32 [batch, height, width, channels] in 0..1.
        masks: uint8 [batch, height, width].
    """
    drawn = [
        overlay((picture[..., :3] * 255).round().clamp(0, 255).to(torch.uint8).permute(2, 0, 1), mask, colors, opacity)
        for picture, mask in zip(pictures, masks, strict=True)
    ]
    return torch.stack(drawn).permute(0, 2, 3, 1).float() / 255
