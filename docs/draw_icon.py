"""Draws docs/icon.png, an eye whose lids are the wires of a network and whose iris is its middle layer, and docs/banner.png with it.

Usage: python docs/draw_icon.py
"""

from __future__ import annotations

import math
from itertools import pairwise
from pathlib import Path

from PIL import Image, ImageDraw, ImageFilter, ImageFont

SIDE, OVERSAMPLING = 400, 4
TOP, BOTTOM = (24, 30, 54), (12, 15, 28)
WIRE, NODE = (86, 104, 158), (146, 178, 255)
IRIS = ((76, 60), (255, 176, 84), (55, 43), (247, 112, 98), (35, 23), (150, 96, 230))
"""Outer and inner radius of a ring, then its colour, from the outside in."""
CORNERS = (44, 356)
COLUMNS = {98: (160, 200, 240), 302: (160, 200, 240)}
LIDS = 112
"""How far the lids are from the middle, in pixels."""
BANNER = (1344, 576)
NAME, LINE = "Visionsmith", ("Draw, train, test and use", "vision models in ComfyUI")
WORDS = (490, 180, 1090, 450)
FEED = {500: 5, 640: 7, 780: 6, 920: 4, 1060: 5, 1200: 3, 1320: 2}
"""Columns of the network behind the words: where, and how many neurons."""


def draw_icon() -> Image.Image:
    """The icon, RGBA 400 × 400; the same pixels every time."""
    canvas = _paper()
    glow = Image.new("RGBA", canvas.size)
    _rings(ImageDraw.Draw(glow), 0)
    canvas.alpha_composite(glow.filter(ImageFilter.GaussianBlur(_px(16))))
    draw = ImageDraw.Draw(canvas)
    _wires(draw)
    _lids(draw)
    _ellipse(draw, (200, 200), 81, BOTTOM)
    _rings(draw, 255)
    for x, ys in {CORNERS[0]: (200,), **COLUMNS, CORNERS[1]: (200,)}.items():
        for y in ys:
            _ellipse(draw, (x, y), 12, BOTTOM)
            _ellipse(draw, (x, y), 9, NODE)
    _ellipse(draw, (200, 200), 15, (8, 9, 16))
    _ellipse(draw, (212, 187), 7, (255, 255, 255))
    icon = canvas.resize((SIDE, SIDE), Image.Resampling.LANCZOS)
    mask = Image.new("L", canvas.size)
    ImageDraw.Draw(mask).rounded_rectangle((0, 0, *canvas.size), _px(72), 255)
    icon.putalpha(mask.resize((SIDE, SIDE), Image.Resampling.LANCZOS))
    return icon


def draw_banner() -> Image.Image:
    """The banner, RGB 1344 × 576: the eye, and a network that leaves it behind the name."""
    width, height = BANNER
    banner = Image.new("RGB", BANNER)
    draw = ImageDraw.Draw(banner)
    for y in range(height):
        draw.line((0, y, width, y), _between(TOP, BOTTOM, y / (height - 1)))
    network = Image.new("RGBA", (2 * width, 2 * height))
    _feed(ImageDraw.Draw(network), height)
    network = network.resize(BANNER, Image.Resampling.LANCZOS)
    banner.paste(network, (0, 0), network)
    eye = draw_icon()
    soft = Image.new("L", eye.size)  # the eye without the edge of its square
    ImageDraw.Draw(soft).ellipse((26, 80, 374, 320), 255)
    banner.paste(eye, (64, height // 2 - 200), soft.filter(ImageFilter.GaussianBlur(6)))
    draw = ImageDraw.Draw(banner)
    draw.text((508, 196), NAME, (240, 244, 255), ImageFont.load_default(108))
    for number, line in enumerate(LINE):
        draw.text((514, 330 + 52 * number), line, (170, 186, 230), ImageFont.load_default(42))
    return banner


def _between(a: tuple[int, ...], b: tuple[int, ...], share: float) -> tuple[int, ...]:
    return tuple(round(x + (y - x) * share) for x, y in zip(a, b, strict=True))


def _feed(draw: ImageDraw.ImageDraw, height: int) -> None:
    """Layers, each wired to the next, fading towards the right; drawn twice as large."""
    columns = [[(2 * 420, height)]]  # the right corner of the eye
    columns += [[(2 * x, 2 * height * (n + 1) / (count + 1)) for n in range(count)] for x, count in FEED.items()]
    for number, (before, after) in enumerate(pairwise(columns)):
        for a in before:
            for b in after:
                draw.line((*a, *b), (*WIRE, 70 - 7 * number), 3)
    for number, column in enumerate(columns[1:]):
        for x, y in column:
            if WORDS[0] < x / 2 < WORDS[2] and WORDS[1] < y / 2 < WORDS[3]:
                continue  # dots beside letters look like letters
            draw.ellipse((x - 9, y - 9, x + 9, y + 9), (*_between(TOP, NODE, 0.45 - 0.04 * number), 255))


def _px(length: float) -> int:
    return round(length * OVERSAMPLING)


def _paper() -> Image.Image:
    column = Image.new("RGBA", (1, SIDE))
    for y in range(SIDE):
        share = y / (SIDE - 1)
        column.putpixel((0, y), (*(round(a + (b - a) * share) for a, b in zip(TOP, BOTTOM, strict=True)), 255))
    return column.resize((_px(SIDE), _px(SIDE)), Image.Resampling.BILINEAR)


def _ellipse(draw: ImageDraw.ImageDraw, centre: tuple[float, float], radius: float, colour: tuple[int, ...]) -> None:
    x, y = centre
    draw.ellipse((_px(x - radius), _px(y - radius), _px(x + radius), _px(y + radius)), colour)


def _rings(draw: ImageDraw.ImageDraw, alpha: int) -> None:
    """The iris; with alpha 0 only its light."""
    for (outer, inner), colour in zip(IRIS[::2], IRIS[1::2], strict=True):
        box = (_px(200 - outer), _px(200 - outer), _px(200 + outer), _px(200 + outer))
        draw.ellipse(box, outline=(*colour, alpha or 90), width=_px(outer - inner))


def _wires(draw: ImageDraw.ImageDraw) -> None:
    """Corner to column, and column to the rim of the iris, on both sides."""
    for corner, (x, ys), side in zip(CORNERS, COLUMNS.items(), (-1, 1), strict=True):
        for y in ys:
            draw.line((_px(corner), _px(200), _px(x), _px(y)), WIRE, _px(3))
            for angle in (-48, 0, 48):
                rim = (200 + side * 80 * math.cos(math.radians(angle)), 200 + 80 * math.sin(math.radians(angle)))
                draw.line((_px(x), _px(y), _px(rim[0]), _px(rim[1])), WIRE, _px(3))


def _lids(draw: ImageDraw.ImageDraw) -> None:
    """Two arcs from corner to corner."""
    left, right = CORNERS
    for side in (-1, 1):
        points = []
        for step in range(201):
            x = left + (right - left) * step / 200
            y = 200 + side * LIDS * math.sin(math.pi * step / 200) ** 0.9
            points.append((_px(x), _px(y)))
        for a, b in pairwise(points):
            draw.line((*a, *b), NODE, _px(6))
        for point in points:
            draw.ellipse((point[0] - _px(3), point[1] - _px(3), point[0] + _px(3), point[1] + _px(3)), NODE)


if __name__ == "__main__":
    draw_icon().save(Path(__file__).with_name("icon.png"), optimize=True)
    draw_banner().save(Path(__file__).with_name("banner.png"), optimize=True)
