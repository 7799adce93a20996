"""Segmentation of pictures of any size: through overlapping windows of the network's input size, in bounded memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import lru_cache

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ...nn_layers import Network, Prepare
from ..inference import class_probabilities
from .loader import padded_box, window

OVERLAP = 0.25
FLIPS = ((), (-1,), (-2,), (-2, -1))

OnTile = Callable[[Tensor, int, int], None]


def starts(length: int, size: int, overlap: float = OVERLAP) -> list[int]:
    """Where windows of `size` begin so that they cover `length`, neighbours sharing at least `overlap` of a window; one centred window if it is larger."""
    if length <= size:
        return [-((size - length) // 2)]
    count = -(-(length - size) // max(1, round(size * (1 - overlap)))) + 1
    return [round(i * (length - size) / (count - 1)) for i in range(count)]


@lru_cache(maxsize=8)
def blend_weights(height: int, width: int) -> Tensor:
    """How much each pixel of a window counts where windows overlap: a pyramid, 1 in the middle and little at the edge. [height, width]."""
    rows, columns = (1 - (2 * torch.arange(n) + 1 - n).abs() / (n + 1) for n in (height, width))
    return torch.minimum(rows[:, None], columns[None, :])


def segment(
    network: Network,
    module: nn.Module,
    picture: Tensor,
    *,
    overlap: float = OVERLAP,
    flips: bool = False,
    batch_size: int = 8,
    on_tile: OnTile | None = None,
) -> Iterator[tuple[int, Tensor]]:
    """The class probabilities of a picture's pixels, in bands from top to bottom, so that memory does not grow with its height.

    Args:
        network: Says how a picture is prepared.
        module: Its module in evaluation mode, on any device.
        picture: uint8 [channels, height, width] in the picture's own size.
        overlap: Share of a window that neighbours have in common.
        flips: Average over the picture and its three mirror images.
        batch_size: Windows at a time.
        on_tile: Called with the logits [classes, height, width] of each window (unflipped) and its top and left.

    Yields:
        top, float32 [classes, rows, width] on the CPU: the probabilities of rows top … top + rows − 1.
    """
    prepare = network.prepare
    if prepare.fit != "tile":
        yield 0, _whole(module, prepare, picture, flips, on_tile)
        return
    height, width = picture.shape[-2:]
    lefts, tops = starts(width, prepare.width, overlap), starts(height, prepare.height, overlap)
    weights = blend_weights(prepare.height, prepare.width)
    total: Tensor | None = None
    covered = torch.zeros(prepare.height, width)
    for row, top in enumerate(tops):
        for columns in torch.tensor(lefts).split(batch_size):
            tiles = torch.stack(
                [window(picture, top, left, prepare.height, prepare.width) for left in columns.tolist()]
            )
            logits = _logits(module, prepare, tiles)
            for left, tile, values in zip(
                columns.tolist(), _probabilities(module, prepare, tiles, logits, flips), logits, strict=True
            ):
                if on_tile:
                    on_tile(values, top, left)
                if total is None:
                    total = torch.zeros(len(tile), prepare.height, width)
                inside = slice(max(0, left), left + prepare.width)
                part = slice(max(0, -left), min(prepare.width, width - left))
                total[..., inside] += tile[..., part] * weights[:, part]
                covered[:, inside] += weights[:, part]
        first = max(0, -top)
        end = tops[row + 1] - top if row + 1 < len(tops) else first + min(height, prepare.height)
        yield max(0, top), total[:, first:end] / covered[first:end]
        total, covered = _moved_up(total, end), _moved_up(covered, end)


def _moved_up(values: Tensor, rows: int) -> Tensor:
    """The rows below `rows` at the top, zeros behind them."""
    return torch.cat((values[..., rows:, :], torch.zeros_like(values[..., :rows, :])), -2)


def _logits(module: nn.Module, prepare: Prepare, tiles: Tensor) -> Tensor:
    """uint8 [batch, any, height, width] → float32 logits [batch, outputs, height, width] on the CPU."""
    device = next((p.device for p in module.parameters()), torch.device("cpu"))
    inputs = prepare.normalize(prepare.match_channels(tiles.float() / 255)).to(device)
    return module(inputs).float().cpu()


def _probabilities(module: nn.Module, prepare: Prepare, tiles: Tensor, logits: Tensor, flips: bool) -> Tensor:
    found = class_probabilities(logits)
    if not flips:
        return found
    for dims in FLIPS[1:]:
        found = found + class_probabilities(_logits(module, prepare, tiles.flip(dims))).flip(dims)
    return found / len(FLIPS)


def _whole(module: nn.Module, prepare: Prepare, picture: Tensor, flips: bool, on_tile: OnTile | None) -> Tensor:
    """The probabilities of a picture that is resized as a whole, brought back to its own size: [classes, height, width]."""
    size = tuple(picture.shape[-2:])
    small = prepare.resize(prepare.match_channels(picture[None].float())).round().clamp(0, 255).to(torch.uint8)
    logits = _logits(module, prepare, small)
    if on_tile:
        on_tile(logits[0], 0, 0)
    found = _probabilities(module, prepare, small, logits, flips)
    if prepare.fit == "pad":
        top, left, high, wide = padded_box(size, (prepare.height, prepare.width))
        found = found[..., top : top + high, left : left + wide]
    return F.interpolate(found, size, mode="bilinear", antialias=True)[0]
