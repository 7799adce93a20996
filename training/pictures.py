"""Pictures that training makes for people: labelled grids, the confusion matrix, curves. All are RGB."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from ..nn_layers.files import atomic

if TYPE_CHECKING:
    from .evaluate import Report
    from .run import Epoch

TILE, CAPTION, GAP = 112, 20, 6
NUMBERED, BARS = 30, 60  # classes; of more, pictures grow no further, and not every one is named
PAPER, INK, GOOD, BAD = "#16181c", "#e8eaed", "#5ec27a", "#f07a6a"


def grid(
    pictures: Sequence[Tensor],
    captions: Sequence[str],
    colors: Sequence[str] | None = None,
    columns: int = 8,
    tile: int = TILE,
) -> Image.Image:
    """Pictures with a caption below each.

    Args:
        pictures: uint8 [1 | 3, height, width] each, of any sizes.
        captions: One for each picture.
        colors: A colour for each caption.
        tile: Pixels: the longer side of each picture.
    """
    columns = min(columns, max(1, len(pictures)))
    rows = max(1, -(-len(pictures) // columns))
    canvas = Image.new("RGB", (GAP + columns * (tile + GAP), GAP + rows * (tile + CAPTION + GAP)), PAPER)
    draw, font = ImageDraw.Draw(canvas), ImageFont.load_default(12)
    for number, (picture, caption) in enumerate(zip(pictures, captions, strict=True)):
        x, y = GAP + number % columns * (tile + GAP), GAP + number // columns * (tile + CAPTION + GAP)
        image = to_pil(picture)
        scale = tile / max(image.size)
        size = tuple(max(1, round(side * scale)) for side in image.size)
        image = image.resize(size, Image.Resampling.NEAREST if scale > 1 else Image.Resampling.BILINEAR)
        canvas.paste(image, (x + (tile - size[0]) // 2, y + (tile - size[1]) // 2))
        draw.text(
            (x + tile // 2, y + tile + 2),
            _clip(draw, caption, font, tile),
            colors[number] if colors else INK,
            font,
            anchor="ma",
        )
    return canvas


def _clip(draw: ImageDraw.ImageDraw, text: str, font: ImageFont.FreeTypeFont, width: int) -> str:
    """`text`, shortened until it fits under a picture."""
    while len(text) > 4 and draw.textlength(text, font) > width:
        text = f"{text[:-4]}..."
    return text


def batch_of(pictures: Sequence[Tensor]) -> Tensor:
    """uint8 pictures [1 | 3, height, width] as ComfyUI's IMAGE, float32 [batch, height, width, 3], in the size of the first."""
    size = pictures[0].shape[-2:]
    resized = [
        torch.nn.functional.interpolate(p[None].float(), size, mode="bilinear", antialias=True)[0] for p in pictures
    ]
    return torch.stack([p.expand(3, -1, -1).permute(1, 2, 0) / 255 for p in resized])


def to_pil(picture: Tensor) -> Image.Image:
    """uint8 [1 | 3, height, width] as a Pillow picture."""
    array = picture.permute(1, 2, 0).cpu().numpy()
    return Image.fromarray(np.ascontiguousarray(array[..., 0] if array.shape[2] == 1 else array)).convert("RGB")


def confusion_picture(matrix: Tensor, classes: Sequence[str], as_shares: bool = False) -> Image.Image:
    """The confusion matrix (rows: true class, columns: predicted) with each row's shares as colour, and its counts (or shares) as text."""
    side = 0.5 * min(len(classes), NUMBERED)  # inches
    figure, axes = curve_figure(max(4.5, 1.6 + side), max(4.0, 1.2 + side))
    shares = (matrix / matrix.sum(1, keepdim=True).clamp(min=1)).numpy()
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    named = _named(classes, 2 * NUMBERED)
    size = 10 if len(classes) <= NUMBERED else 6
    axes.set_xticks(named, [classes[i] for i in named], rotation=45, ha="right", fontsize=size)
    axes.set_yticks(named, [classes[i] for i in named], fontsize=size)
    axes.set_xlabel("predicted")
    axes.set_ylabel("true")
    if len(classes) <= NUMBERED:
        for row, line in enumerate(matrix.tolist()):
            for column, count in enumerate(line):
                text = f"{100 * shares[row, column]:.1f} %" if as_shares else str(int(count))
                axes.text(
                    column,
                    row,
                    text if count else "",
                    ha="center",
                    va="center",
                    fontsize=9,
                    color="white" if shares[row, column] > 0.5 else "#223",
                )
    return render(figure)


def _named(classes: Sequence[str], most: int) -> range:
    """The classes whose names there is room for, evenly spread: at most `most`."""
    return range(0, len(classes), -(-len(classes) // most))


def balance_picture(
    classes: Sequence[str], shares: Sequence[float], unit: str, colors: Sequence[tuple[int, int, int]] = ()
) -> Image.Image:
    """The share of each class as bars on a logarithmic scale, with the share as text."""
    figure, axes = curve_figure(7.0, max(2.2, 1.2 + 0.42 * min(len(classes), BARS)))
    painted = [tuple(v / 255 for v in color) for color in colors] or ["#3566b8"] * len(classes)
    painted = ["#8a8f98" if isinstance(color, tuple) and sum(color) < 0.2 else color for color in painted]
    lowest = min([share for share in shares if share > 0], default=1.0)
    axes.barh(range(len(classes)), shares, color=painted)
    axes.set_xscale("log")
    axes.set_xlim(lowest / 3, 6)
    named = _named(classes, BARS)
    axes.set_yticks(named, [classes[i] for i in named])
    axes.invert_yaxis()
    axes.set_xlabel(f"share of the training {unit}")
    for row in named:
        share = shares[row]
        axes.text(max(share, lowest / 3) * 1.1, row, f"{share:.3%}" if share else "none", va="center", fontsize=9)
    return render(figure)


def scatter_picture(report: Report) -> Image.Image:
    """True against predicted values of a regression; a perfect network would put every point on the line."""
    figure, axes = curve_figure(4.6, 4.4)
    truth, predicted = report.pairs.T.numpy()
    low, high = min(truth.min(), predicted.min()), max(truth.max(), predicted.max())
    axes.plot((low, high), (low, high), color="#98a", linewidth=1)
    axes.scatter(truth, predicted, s=9, alpha=0.6, color="#3566b8")
    axes.set_xlabel(f"true {report.classes[0]}")
    axes.set_ylabel(f"predicted {report.classes[0]}")
    return render(figure)


def maps_picture(activation: Tensor, most: int = 64) -> Image.Image:
    """A layer's activation [channels, height, width] as grey pictures, each stretched from its lowest to its highest value.

    Anything with fewer dimensions is shown as one picture.
    """
    maps = (
        activation
        if activation.dim() == 3
        else activation.reshape(1, 1, -1)
        if activation.dim() == 1
        else activation.reshape(1, *activation.shape[-2:])
    )
    maps = maps[:most].float().cpu()
    low, high = maps.amin((1, 2), keepdim=True), maps.amax((1, 2), keepdim=True)
    pictures = ((maps - low) / (high - low).clamp(min=1e-12) * 255).to(torch.uint8)
    return grid([picture[None] for picture in pictures], [str(i) for i in range(len(pictures))])


def curves_picture(history: Sequence[Epoch], metric: str) -> Image.Image:
    """Loss and metric over the epochs; the training's metric is dashed."""
    figure, axes = curve_figure(7.0, 3.6)
    lines = _over_epochs(
        axes, history, (("train_loss", "training loss", "#3566b8"), ("val_loss", "validation loss", "#d9822b"))
    )
    axes.set_xlabel("epoch")
    axes.set_ylabel("loss")
    metrics = (("train_metric", f"training {metric}", "#2e9e5b"), ("metric", f"validation {metric}", "#2e9e5b"))
    if metric != "loss" and any(getattr(epoch, name) is not None for epoch in history for name, *_ in metrics):
        right = axes.twinx()
        right.set_ylabel(metric)
        lines += _over_epochs(right, history, metrics)
    axes.legend(lines, [line.get_label() for line in lines], loc="center right")
    axes.grid(alpha=0.25)
    return render(figure)


def _over_epochs(axes, history: Sequence[Epoch], columns: Sequence[tuple[str, str, str]]) -> list:
    """Lines for those columns (name, label, colour) that have a value; gaps where they have none."""
    lines = []
    for name, label, color in columns:
        values = [math.nan if (value := getattr(epoch, name)) is None else value for epoch in history]
        if not all(map(math.isnan, values)):
            style = "--" if name == "train_metric" else "-"
            lines += axes.plot([epoch.epoch for epoch in history], values, style, label=label, color=color)
    return lines


def save_picture(picture: Image.Image, file: Path) -> None:
    """Write a picture as PNG."""
    with atomic(file) as path:
        picture.save(path, "PNG")


def curve_figure(width: float, height: float):
    """A matplotlib figure of so many inches and its only axes."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure  # not pyplot: it keeps figures alive and is not made for threads

    figure = Figure((width, height), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    return figure, figure.add_subplot()


def render(figure) -> Image.Image:
    """A matplotlib figure as a picture."""
    figure.canvas.draw()
    return Image.fromarray(np.asarray(figure.canvas.buffer_rgba())).convert("RGB")
