"""Pictures for a person who accepts or rejects samples: each with what is to be said of it below."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont

from ..imaging.boxes import scaled

LEAST_WIDTH = 320  # pixels: of less, no sentence fits below
FONT, LINE, GLYPH = 14, 19, 7.6  # pixels: size of the letters, height of a line, width of most letters
PAPER, GOOD, BAD = "#16181c", "#5ec27a", "#f07a6a"


def with_sentences(pictures: Sequence[torch.Tensor], sentences: Sequence[str], good: Sequence[bool]) -> torch.Tensor:
    """Pictures float32 [height, width, 3] as a batch of the first one's size, small ones enlarged, each with its sentence below.

    Args:
        good: For each picture whether its sentence is green, or red.
    """
    height, width = pictures[0].shape[:2]
    factor = max(1, -(-LEAST_WIDTH // width))
    height, width = height * factor, width * factor
    texts = [textwrap.wrap(sentence, max(8, int((width - 12) / GLYPH))) or [""] for sentence in sentences]
    strip = LINE * max(map(len, texts)) + 8
    font, sheets = ImageFont.load_default(FONT), []
    for picture, lines, is_good in zip(pictures, texts, good, strict=True):
        sheet = Image.new("RGB", (width, strip), PAPER)
        for number, line in enumerate(lines):
            ImageDraw.Draw(sheet).text((6, 4 + LINE * number), line, GOOD if is_good else BAD, font)
        below = torch.from_numpy(np.asarray(sheet, np.float32) / 255)
        sheets.append(torch.cat([scaled(picture.float().cpu(), (width, height)).clamp(0, 1), below]))
    return torch.stack(sheets)
