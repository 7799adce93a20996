"""What a picture is of, cut out from what lies behind it: ONNX networks for the mask, a guided filter for its edges."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch.nn import functional as F

from ..nn_layers.errors import InputError
from .weights import Published, loaded

RELEASE = "https://github.com/danielgatis/rembg/releases/download/v0.0.0"
PUBLISHED = {
    file.name.removesuffix(".onnx"): file
    for file in (
        Published(
            "u2netp.onnx",
            f"{RELEASE}/u2netp.onnx",
            4_574_861,
            "309c8469258dda742793dce0ebea8e6dd393174f89934733ecc8b14c76f4ddd8",
            "Apache-2.0",
        ),
        Published(
            "u2net.onnx",
            f"{RELEASE}/u2net.onnx",
            175_997_641,
            "8d10d2f3bb75ae3b6d527c77944fc5e7dcd94b29809d47a739a7a728a912b491",
            "Apache-2.0",
        ),
        Published(
            "isnet-general-use.onnx",
            f"{RELEASE}/isnet-general-use.onnx",
            178_648_008,
            "60920e99c45464f2ba57bee2ad08c919a52bbf852739e96947fbb4358c0d964a",
            "Apache-2.0",
        ),
    )
}


@dataclass(frozen=True)
class Recipe:
    """How a family of networks wants its pictures: side in pixels, mean and deviation of the colours, and its licence.

    `logits`: what it gives must still go through a sigmoid; the others are stretched to 0 … 1, as their authors do.
    """

    side: int
    mean: tuple[float, float, float]
    deviation: tuple[float, float, float]
    licence: str
    logits: bool = False


IMAGENET = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
RECIPES = {  # by a part of the file name; U²-Net (Qin et al. 2020), DIS/IS-Net (Qin et al. 2022), BiRefNet (Zheng et al. 2024)
    "rmbg-2": Recipe(1024, *IMAGENET, "CC BY-NC 4.0: not for commercial use"),
    "rmbg": Recipe(1024, (0.5,) * 3, (1.0,) * 3, "BRIA RMBG-1.4 licence: not for commercial use"),
    "birefnet": Recipe(1024, *IMAGENET, "MIT", logits=True),
    "isnet": Recipe(1024, (0.5,) * 3, (1.0,) * 3, "Apache-2.0"),
    "u2net": Recipe(320, *IMAGENET, "Apache-2.0"),
    "silueta": Recipe(320, *IMAGENET, "Apache-2.0"),
}
SPILL = 0.05  # what a guided filter lets through on either side of an edge
UNKNOWN = "unknown; ask whoever gave you the file"


class BackgroundModel(NamedTuple):
    """An onnxruntime session, and how it wants its pictures."""

    session: Any
    recipe: Recipe
    name: str

    def __call__(self, images: torch.Tensor) -> torch.Tensor:
        """How much each pixel belongs to the subject: [n, height, width] in 0..1 of [n, height, width, 3]."""
        recipe, entry = self.recipe, self.session.get_inputs()[0]
        masks = []
        for image in images[..., :3].cpu().float():
            picture = F.interpolate(image.movedim(-1, 0)[None], (recipe.side,) * 2, mode="bicubic", antialias=True)
            picture = picture.clamp(0, 1)
            if recipe.side == 320:  # U²-Net stretches its pictures to full brightness
                picture = picture / picture.max().clamp(min=1e-6)
            mean, deviation = (torch.tensor(v).view(3, 1, 1) for v in (recipe.mean, recipe.deviation))
            values = ((picture - mean) / deviation).numpy()
            if entry.type == "tensor(float16)":
                values = values.astype("float16")
            found = torch.from_numpy(self.session.run(None, {entry.name: values})[0]).float()
            found = found.reshape(1, 1, *found.shape[-2:])
            found = found.sigmoid() if recipe.logits else stretched(found)
            mask = F.interpolate(found, tuple(image.shape[:2]), mode="bilinear", align_corners=False, antialias=True)
            masks.append(mask[0, 0].clamp(0, 1))
        return torch.stack(masks).to(images.device)


def stretched(values: torch.Tensor) -> torch.Tensor:
    """Values stretched to 0 … 1; all the same ones become 0."""
    low, high = values.min(), values.max()
    return (values - low) / (high - low) if high > low else torch.zeros_like(values)


def load_background(path: Path, device: torch.device | str = "cpu") -> BackgroundModel:
    """Read an ``.onnx`` file of the families in `RECIPES`; the last one stays in memory.

    Files of other names are taken for U²-Net or IS-Net, by the size of picture they want.

    Raises:
        InputError: The file is damaged or another kind of network, or onnxruntime is missing.
    """
    device = torch.device(device)
    return loaded("background", path, lambda file: _load(file, device), str(device))


def _load(path: Path, device: torch.device) -> BackgroundModel:
    try:
        import onnxruntime
    except ImportError as error:
        raise InputError(
            "removing backgrounds needs the package onnxruntime; pip install onnxruntime, or wire a BiRefNet model."
        ) from error
    wanted = ["CUDAExecutionProvider", "CPUExecutionProvider"] if device.type == "cuda" else ["CPUExecutionProvider"]
    providers = [name for name in wanted if name in onnxruntime.get_available_providers()]
    try:
        session = onnxruntime.InferenceSession(path, providers=providers)
    except Exception as error:  # onnxruntime has a class of its own for each reason
        raise InputError(f"{path} is damaged or no ONNX network; fetch it again.") from error
    shapes = [entry.shape for entry in session.get_inputs()]
    outputs = session.get_outputs()[0].shape
    if len(shapes) != 1 or len(shapes[0]) != 4 or shapes[0][1] not in (3, "3") or len(outputs) not in (3, 4):
        raise InputError(
            f"{path} is a network for something else (it takes {shapes} and gives {outputs}); give a U²-Net, IS-Net or BiRefNet file."
        )
    return BackgroundModel(session, _recipe(path.stem, shapes[0][2]), path.stem)


def _recipe(name: str, side: int | str | None) -> Recipe:
    recipe = next((recipe for part, recipe in RECIPES.items() if part in name.lower().replace("_", "-")), None)
    if recipe is None:
        like = RECIPES["u2net" if side == 320 else "isnet"]
        recipe = Recipe(like.side, like.mean, like.deviation, UNKNOWN)
    return Recipe(side, *list(vars(recipe).values())[1:]) if isinstance(side, int) else recipe


def refined(images: torch.Tensor, masks: torch.Tensor, radius: int = 4, eps: float = 1e-4) -> torch.Tensor:
    """Fit the edges of masks to the edges of pictures: a guided filter (He, Sun, Tang 2010) with the grey picture as its guide.

    Args:
        images: float32 [n, height, width, 3 or 4] in 0..1.
        masks: float32 [n, height, width] in 0..1.
        radius: Pixels that an edge may be off.
        eps: Squared contrast below which a difference in the picture is no edge.
    """
    if radius < 1:
        return masks
    weights = torch.tensor([0.299, 0.587, 0.114], device=images.device)
    guide = (images[..., :3].float() @ weights)[:, None]
    mask = masks[:, None].float()
    mean_guide, mean_mask = box(guide, radius), box(mask, radius)
    slope = (box(guide * mask, radius) - mean_guide * mean_mask) / (box(guide * guide, radius) - mean_guide**2 + eps)
    offset = mean_mask - slope * mean_guide
    fitted = (box(slope, radius) * guide + box(offset, radius))[:, 0]
    return ((fitted - SPILL) / (1 - 2 * SPILL)).clamp(0, 1)


def box(values: torch.Tensor, radius: int) -> torch.Tensor:
    """The mean of [n, channels, height, width] over a window of 2 · radius + 1 pixels, cut at the borders."""
    size = 2 * radius + 1
    rows = F.avg_pool2d(values, (size, 1), 1, (radius, 0), count_include_pad=False)
    return F.avg_pool2d(rows, (1, size), 1, (0, radius), count_include_pad=False)


def blurred(values: torch.Tensor, radius: int) -> torch.Tensor:
    """`box`, for wide windows on a smaller picture: the same to the eye, and a fraction of the work."""
    step = max(1, radius // 8)
    if step == 1:
        return box(values, radius)
    small = F.avg_pool2d(values, step, ceil_mode=True, count_include_pad=False)
    return F.interpolate(box(small, radius // step), values.shape[2:], mode="bilinear", align_corners=False)


def foreground(images: torch.Tensor, alpha: torch.Tensor, radii: tuple[int, ...] = (45, 3)) -> torch.Tensor:
    """The subject's own colours, so that no seam of the old background stays around it (Forte 2021, "Approximate Fast
    Foreground Colour Estimation": blur fusion, twice).

    Args:
        images: float32 [n, height, width, 3] in 0..1.
        alpha: float32 [n, height, width] in 0..1.
        radii: Of the two blurs, in pixels.
    """
    picture, share = images.movedim(-1, 1), alpha[:, None]
    front, back = picture, picture
    for radius in radii:
        front_mean = blurred(front * share, radius) / (blurred(share, radius) + 1e-5)
        back = blurred(back * (1 - share), radius) / (blurred(1 - share, radius) + 1e-5)
        front = (front_mean + share * (picture - share * front_mean - (1 - share) * back)).clamp(0, 1)
    known = share > 0.999  # where nothing shines through, the picture is right
    return torch.where(known, picture, front).movedim(1, -1)


class CutOut(NamedTuple):
    """`rgba` [n, height, width, 4], `mask` of the subject [n, height, width] and `composite` [n, height, width, 3]."""

    rgba: torch.Tensor
    mask: torch.Tensor
    composite: torch.Tensor


def cut_out(
    images: torch.Tensor,
    masks: Callable[[torch.Tensor], torch.Tensor] | torch.Tensor,
    background: torch.Tensor | tuple[float, float, float] = (1.0, 1.0, 1.0),
    radius: int = 4,
    clean: bool = True,
) -> CutOut:
    """Put the subject of each picture on another background.

    Args:
        images: float32 [n, height, width, 3 or 4] in 0..1; an alpha of its own is kept as an upper limit.
        masks: A `BackgroundModel`, or masks [n, height, width] in 0..1.
        background: A colour in 0..1, or pictures [n or 1, height, width, 3 or 4], which are scaled to fill.
        radius: Pixels in which edges are fitted to the picture; 0 leaves them alone.
        clean: Take the old background's colour out of the edges.

    Raises:
        InputError: Sizes or numbers do not fit, or there are values that are no numbers.
    """
    if images.ndim != 4 or images.shape[-1] not in (3, 4) or not images.numel():
        raise InputError(
            "images must be a batch of coloured pictures [batch, height, width, 3 or 4]; wire an IMAGE here."
        )
    lowest, highest = torch.aminmax(images)
    if not bool(torch.isfinite(lowest) & torch.isfinite(highest)):
        raise InputError(
            "images contain values that are no numbers (NaN or infinite); look at the node they come from."
        )
    colours = images[..., :3]
    alpha = refined(colours, masks(colours) if callable(masks) else masks, radius)
    if images.shape[-1] == 4:
        alpha = torch.minimum(alpha, images[..., 3])
    subject = foreground(colours, alpha) if clean else colours
    behind = _behind(background, images)
    return CutOut(torch.cat([subject, alpha[..., None]], -1), alpha, torch.lerp(behind, subject, alpha[..., None]))


def _behind(background: torch.Tensor | tuple[float, float, float], images: torch.Tensor) -> torch.Tensor:
    """The background in the size of the pictures: a colour, or pictures scaled to fill and cut at their edges."""
    if not isinstance(background, torch.Tensor):
        return torch.tensor(background).to(images).expand(*images.shape[:3], 3)
    if len(background) not in (1, len(images)):
        raise InputError(
            f"there are {len(images)} pictures and {len(background)} backgrounds; give one background, or one for each picture."
        )
    height, width = images.shape[1:3]
    scale = max(height / background.shape[1], width / background.shape[2])
    size = (max(height, round(background.shape[1] * scale)), max(width, round(background.shape[2] * scale)))
    large = F.interpolate(background[..., :3].to(images).movedim(-1, 1), size, mode="bicubic", antialias=True)
    top, left = (size[0] - height) // 2, (size[1] - width) // 2
    return (
        large[:, :, top : top + height, left : left + width].movedim(1, -1).clamp(0, 1).expand(len(images), -1, -1, -1)
    )
