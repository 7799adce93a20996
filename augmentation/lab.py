"""Colours as people see them apart."""

from __future__ import annotations

import torch

WHITE = (0.95047, 1.0, 1.08883)  # D65, 2 degrees
TO_XYZ = ((0.4124564, 0.3575761, 0.1804375), (0.2126729, 0.7151522, 0.0721750), (0.0193339, 0.1191920, 0.9503041))


def lab(images: torch.Tensor) -> torch.Tensor:
    """sRGB [..., 3] in 0..1 as CIE L*a*b* (D65): L 0..100, a and b about −100..100.

    A difference of 1 can just be seen. Formula: CIE 15:2004; sRGB: IEC 61966-2-1.
    """
    images = images.clamp(0, 1)
    linear = torch.where(images <= 0.04045, images / 12.92, ((images + 0.055) / 1.055) ** 2.4)
    xyz = linear @ images.new_tensor(TO_XYZ).T / images.new_tensor(WHITE)
    curve = torch.where(xyz > (6 / 29) ** 3, xyz.clamp(min=1e-8) ** (1 / 3), xyz / (3 * (6 / 29) ** 2) + 4 / 29)
    x, y, z = curve.unbind(-1)
    return torch.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], -1)
