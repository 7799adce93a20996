"""What a network is made of, as a table and as a picture."""

from __future__ import annotations

from dataclasses import dataclass

from PIL import Image, ImageDraw, ImageFont

from .network import recipe_of
from .recipe import Shape, show
from .spec import NetworkSpec, Node
from .tensor import Input


@dataclass(frozen=True)
class Row:
    """One line of the summary; `macs` are multiply-adds for one sample."""

    name: str
    layer: str
    shape: Shape
    parameters: int
    macs: int
    inputs: tuple[str, ...]


def rows(spec: NetworkSpec) -> list[Row]:
    """The summary, a row per layer in the order in which they run."""
    tensors = spec.tensors
    return [
        Row(node.name, describe(spec, node), t.shape, t.parameters, t.macs, node.inputs)
        for node in spec.nodes
        if (t := tensors[node.name])
    ]


def describe(spec: NetworkSpec, node: Node) -> str:
    """The module a node makes, as one writes it in Python: ``Conv2d(1, 32, kernel_size=(3, 3), padding='same')``."""
    if isinstance(node.layer, Input):
        return node.layer.kind
    source = recipe_of(spec, node).source().removeprefix("nn.")
    return f"{source}, frozen" if node.frozen else source


def summary_table(spec: NetworkSpec) -> str:
    """The summary as aligned text, with the totals below."""
    head = ("layer", "module", "output shape", "parameters", "multiply-adds")
    body = [(r.name, r.layer, show(r.shape), f"{r.parameters:,}", f"{r.macs:,}") for r in rows(spec)]
    widths = [max(len(line[i]) for line in [head, *body]) for i in range(len(head))]
    lines = [_line(line, widths) for line in [head, *body]]
    lines.insert(1, "─" * len(lines[0]))
    total = f"{spec.name}: {len(body)} layers, {spec.parameters:,} parameters ({spec.parameters * 4 / 2**20:.1f} MiB), {spec.macs:,} multiply-adds per sample"
    return "\n".join([*lines, lines[1], total])


def _line(cells: tuple[str, ...], widths: list[int]) -> str:
    left = (cell.ljust(width) for cell, width in zip(cells[:3], widths, strict=False))
    right = (cell.rjust(width) for cell, width in zip(cells[3:], widths[3:], strict=True))
    return "  ".join([*left, *right])


BOX, GAP, MARGIN = (290, 42), (26, 26), 24
COLORS = {
    "Input": "#2e7d5b", "Conv": "#3566b8", "Linear": "#3566b8", "Backbone": "#3566b8", "SegmentationModel": "#3566b8", "Attention": "#6b4fb3", "Embedding": "#6b4fb3",
    "Recurrent": "#6b4fb3", "Merge": "#b3672a", "Normalization": "#5c6670", "Activation": "#5c6670", "Dropout": "#5c6670",
}  # fmt: skip
OTHER, PAPER, INK, WIRE = "#7d6a3c", "#ffffff", "#ffffff", "#8a949e"
MAX_ROWS = 40


def picture(spec: NetworkSpec) -> Image.Image:
    """The network from top to bottom: a box per layer with its shape and its parameters, a line per wire, skips at the side.

    Long networks go on in a further column.
    """
    ranks = _ranks(spec)
    places = _places(ranks)
    width = MARGIN + max(x for x, _ in places.values()) + BOX[0] + 2 * MARGIN
    height = 2 * MARGIN + max(y for _, y in places.values()) + BOX[1]
    canvas = Image.new("RGB", (width, height), PAPER)
    draw = ImageDraw.Draw(canvas)
    font = ImageFont.load_default(13)
    small = ImageFont.load_default(11)
    for node in spec.nodes:
        for source in node.inputs:
            _wire(draw, places[source], places[node.name], ranks[node.name] - ranks[source])
    for node in spec.nodes:
        x, y = places[node.name]
        tensor = spec.tensors[node.name]
        draw.rounded_rectangle((x, y, x + BOX[0], y + BOX[1]), 7, COLORS.get(type(node.layer).__name__, OTHER))
        draw.text((x + 10, y + 5), f"{node.name}   {'x'.join(map(str, tensor.shape))}", INK, font)
        draw.text((x + 10, y + 23), _clip(describe(spec, node)), INK, small)
    return canvas


def _clip(text: str) -> str:
    return text if len(text) <= 46 else f"{text[:45]}..."


def _ranks(spec: NetworkSpec) -> dict[str, int]:
    """How many layers at most lie between the input and each layer."""
    ranks: dict[str, int] = {}
    for node in spec.nodes:
        ranks[node.name] = 1 + max((ranks[name] for name in node.inputs), default=-1)
    return ranks


def _places(ranks: dict[str, int]) -> dict[str, tuple[int, int]]:
    """The upper left corner of every box."""
    lanes: dict[str, int] = {}
    used: dict[int, int] = {}
    for name, rank in ranks.items():
        lanes[name] = used.get(rank, 0)
        used[rank] = lanes[name] + 1
    columns = (max(ranks.values()) // MAX_ROWS) + 1
    widest = [max((used.get(r, 0) for r in range(c * MAX_ROWS, (c + 1) * MAX_ROWS)), default=1) for c in range(columns)]
    starts = [sum(widest[:c]) for c in range(columns)]
    step_x, step_y = BOX[0] + GAP[0] + MARGIN, BOX[1] + GAP[1]
    return {
        name: (MARGIN + (starts[rank // MAX_ROWS] + lanes[name]) * step_x, MARGIN + rank % MAX_ROWS * step_y)
        for name, rank in ranks.items()
    }


def _wire(draw: ImageDraw.ImageDraw, source: tuple[int, int], target: tuple[int, int], span: int) -> None:
    (x0, y0), (x1, y1) = source, target
    middle = BOX[0] // 2
    if span == 1 and y1 > y0:
        draw.line((x0 + middle, y0 + BOX[1], x1 + middle, y1), WIRE, 2)
    else:  # a skip: leave and enter at the right-hand side
        side = max(x0, x1) + BOX[0] + min(8 + 3 * span, GAP[0] + MARGIN - 6)
        top, bottom = y0 + BOX[1] // 2, y1 + BOX[1] // 2
        draw.line((x0 + BOX[0], top, side, top, side, bottom, x1 + BOX[0], bottom), WIRE, 2, joint="curve")
