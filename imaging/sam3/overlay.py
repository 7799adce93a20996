"""Pictures with what was found painted over them."""

from __future__ import annotations

import colorsys

import torch
from PIL import Image, ImageDraw, ImageFont

GOLDEN = 0.618034  # steps of this share of the circle keep neighbouring hues far apart
STRENGTH = 0.5


def color(number: int) -> tuple[float, float, float]:
    """The colour of an object: red, green, blue in 0..1."""
    return colorsys.hsv_to_rgb((number * GOLDEN) % 1, 0.85, 1.0)


def painted(picture: torch.Tensor, masks: torch.Tensor, captions: list[str]) -> torch.Tensor:
    """A picture with a colour over each mask and a caption where it begins.

    Args:
        picture: float32 [height, width, 3 or more] in 0..1
        masks: bool [object, height, width]
        captions: a text for each mask; empty for none

    Returns:
        float32 [height, width, 3] in 0..1
    """
    result = picture[..., :3].detach().cpu().float().clone()
    for number, mask in enumerate(masks):
        result[mask] = (1 - STRENGTH) * result[mask] + STRENGTH * torch.tensor(color(number))
    if not any(captions):
        return result.clamp(0, 1)
    image = Image.fromarray((result.clamp(0, 1) * 255).round().to(torch.uint8).numpy())
    size = max(11, min(image.size) // 40)
    pen, font = ImageDraw.Draw(image), ImageFont.load_default(size)
    for number, (mask, caption) in enumerate(zip(masks, captions, strict=True)):
        where = mask.nonzero()
        if caption and len(where):
            top, left = (int(one) for one in where.min(dim=0).values)
            place = (left + 2, max(0, top - size - 4))
            pen.rectangle(pen.textbbox(place, caption, font=font), fill=(0, 0, 0))
            pen.text(place, caption, font=font, fill=tuple(int(255 * one) for one in color(number)))
    return torch.frombuffer(bytearray(image.tobytes()), dtype=torch.uint8).view(*result.shape).float() / 255
