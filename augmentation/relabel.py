"""A new mask for an edited picture: where there is a defect now, not merely where something changed.

A difference between the picture and its edit is large where the edit erased the defect, too. So the edit is compared with a clean
background: the picture with its old defect taken out.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch

from ..imaging.erase import EraseSettings, Fill, erase, preferred
from ..imaging.masks import checked_images, find_objects, fit_masks, grown, keep_objects
from ..imaging.masks.batches import size_text
from ..imaging.masks.edges import blur_planes
from ..nn_layers.errors import InputError
from .lab import lab

Refine = Callable[[torch.Tensor, list[dict[str, int]]], torch.Tensor]
"""A picture [height, width, 3] and boxes {x, y, width, height} to a mask [height, width] for each box, as SAM 3 makes them."""

DEVIATION = 1.4826  # a normal distribution's standard deviation, in median absolute deviations
BINS = 256  # of the histogram in which Otsu's threshold is looked for


@dataclass(frozen=True)
class RelabelSettings:
    """How to find the new mask, and what a sample must be like.

    Attributes:
        reach: Pixels around the old mask, and around what the edited words looked at, in which the new defect may lie.
        grow: Pixels around the old mask that are erased for the clean background.
        blur: Standard deviation in pixels of the blur over the difference, against grain.
        deviations: A difference counts above so many robust deviations of the background's own grain.
        least_difference: In units of Lab; fainter differences never count.
        attention: Share of the highest attention above which a place was looked at.
        min_area: Pixels; smaller objects are dropped.
        agreement: IoU from which on SAM 3's mask of an object is taken instead.
        least_psnr: dB; a background that changed more is rejected.
        least_area, most_area: The new mask's area, as a multiple of the old one's.
    """

    reach: int = 8
    grow: int = 3
    blur: float = 1.0
    deviations: float = 6.0
    least_difference: float = 5.0
    attention: float = 0.3
    min_area: int = 8
    agreement: float = 0.5
    least_psnr: float = 30.0
    least_area: float = 0.3
    most_area: float = 3.0


@dataclass(frozen=True)
class Relabelled:
    """The new mask of one picture.

    Attributes:
        mask: float32 [height, width] of 0 and 1.
        confidence: 0..1, how far the defect stands out from what was asked of it; of SAM 3's agreement, where it was asked.
        problems: Why the sample is rejected; empty if it is accepted.
        psnr: Of the background, in dB.
        ratio: New area over old area.
        difference: [height, width], in units of Lab, blurred.
    """

    mask: torch.Tensor
    confidence: float
    problems: tuple[str, ...]
    psnr: float
    ratio: float
    difference: torch.Tensor

    @property
    def accepted(self) -> bool:
        """Whether the sample may be used."""
        return not self.problems


def relabel(
    original: torch.Tensor,
    edited: torch.Tensor,
    old_mask: torch.Tensor,
    attention: torch.Tensor | None = None,
    settings: RelabelSettings = RelabelSettings(),
    fill: Fill | None = None,
    refine: Refine | None = None,
    background: torch.Tensor | None = None,
) -> Relabelled:
    """Find the defect of an edited picture.

    Args:
        original: float32 [height, width, 3] in 0..1, before the edit.
        edited: The same after it.
        old_mask: [height, width], the defect that the original shows; with `background`, the place that was drawn for the new one.
        attention: [height, width] in 0..1, where the edited words looked; None for nowhere else than the old mask.
        settings: How.
        fill: What takes the old defect out; the best that is installed if None.
        refine: SAM 3, or None.
        background: [height, width, 3], the picture without that defect, where it is known; otherwise the old defect is erased.

    Raises:
        InputError: Sizes differ, or the old mask is empty.
    """
    original, edited = (
        checked_images(original[None], "original")[..., :3],
        checked_images(edited[None], "image")[..., :3],
    )
    if original.shape != edited.shape:
        raise InputError(
            f"image is {size_text(edited.shape[1:3])} pixels, but original is {size_text(original.shape[1:3])}; give the picture that was edited."
        )
    old = fit_masks(old_mask[None], original).round()
    if not bool(old.any()):
        raise InputError("the mask is empty; give the mask of the defect that the original picture shows.")
    allowed = grown(_allowed(old, attention, settings, original), settings.reach)
    if background is None:
        clean = erase(original, old, fill or preferred(), EraseSettings(settings.grow, 2)).images
    else:
        clean = checked_images(background[None], "background")[..., :3]
    difference = _difference(edited, clean, settings.blur)
    level = _level(difference, allowed > 0, original, old, settings)
    mask = keep_objects(((difference > level) & (allowed > 0)).float(), 0.5, settings.min_area)
    agreed = None
    if refine is not None and bool(mask.any()):
        mask, agreed = _refined(edited[0], mask, allowed, refine, settings)
    psnr = _psnr(original, edited, allowed > 0)
    ratio = float(mask.sum() / old.sum())
    strength = float(difference[mask > 0].mean()) if bool(mask.any()) else 0.0
    confidence = max(0.0, 1 - level / strength) if strength else 0.0
    confidence = confidence if agreed is None else (confidence + agreed) / 2
    than = "the old" if background is None else "the place drawn for it"
    return Relabelled(mask[0], confidence, _problems(mask, psnr, ratio, than, settings), psnr, ratio, difference[0])


def _allowed(
    old: torch.Tensor, attention: torch.Tensor | None, settings: RelabelSettings, like: torch.Tensor
) -> torch.Tensor:
    """Old mask and what was looked at, [1, height, width]."""
    if attention is None:
        return old
    looked = fit_masks(attention[None], like, "attention")
    return torch.maximum(old, (looked > settings.attention * looked.amax()).float() * float(looked.amax() > 0))


def _difference(first: torch.Tensor, second: torch.Tensor, blur: float) -> torch.Tensor:
    """Distance in Lab of blurred pictures [1, height, width, 3], so that grain cancels out: [1, height, width]."""
    planes = (lab(first) - lab(second)).movedim(3, 1)
    return (blur_planes(planes, blur) if blur > 0 else planes).norm(dim=1)


def _level(
    difference: torch.Tensor,
    allowed: torch.Tensor,
    original: torch.Tensor,
    old: torch.Tensor,
    settings: RelabelSettings,
) -> float:
    """max(Otsu inside, deviations · MAD of the grain, least difference).

    A filled place is smooth where the surface has grain, so the grain counts as well as what the edit did to the background.
    """
    outside = ~allowed if bool((~allowed).any()) else ~allowed | (old == 0)
    grain = _difference(original, _smooth(original), settings.blur)
    spread = max(_spread(values[outside]) for values in (difference, grain))
    return max(otsu(difference[allowed]), settings.deviations * spread, settings.least_difference)


def _smooth(images: torch.Tensor) -> torch.Tensor:
    return blur_planes(images.movedim(3, 1), 3.0).movedim(1, 3)


def _spread(values: torch.Tensor) -> float:
    """A robust standard deviation of distances, measured from 0."""
    return float(DEVIATION * values.median()) if values.numel() else 0.0


def otsu(values: torch.Tensor) -> float:
    """The threshold that parts values into two classes with the largest variance between them (Otsu 1979); 0 if they are all one."""
    low, high = float(values.min()), float(values.max())
    if high <= low:
        return high
    counts = torch.histc(values.float(), BINS, low, high).double()
    middles = torch.linspace(low, high, 2 * BINS + 1, dtype=torch.float64)[1::2]
    below = counts.cumsum(0)
    above = counts.sum() - below
    sums = (counts * middles).cumsum(0)
    gap = sums / below.clamp(min=1) - (sums[-1] - sums) / above.clamp(min=1)
    between = (below * above * gap**2)[:-1]
    best = (between >= between.max() * (1 - 1e-9)).nonzero().double().mean()  # the middle, if an empty gap parts them
    return float(low + (high - low) * (best + 1) / BINS)


def _refined(
    picture: torch.Tensor, mask: torch.Tensor, allowed: torch.Tensor, refine: Refine, settings: RelabelSettings
) -> tuple[torch.Tensor, float]:
    """Objects in SAM 3's outline, where that agrees; and the mean agreement."""
    labels, objects = find_objects(mask[0])
    boxes = [{"x": o.x, "y": o.y, "width": o.width, "height": o.height} for o in objects]
    result, agreements = mask.clone(), []
    for found, other in zip(objects, refine(picture, boxes), strict=True):
        mine = torch.from_numpy(labels == found.label).to(mask.device)
        other = (other.to(mask.device) > 0.5) & (allowed[0] > 0)
        iou = float((mine & other).sum() / (mine | other).sum().clamp(min=1))
        agreements.append(iou)
        if iou >= settings.agreement:
            result[0][mine] = 0
            result[0][other] = 1
    return result, sum(agreements) / len(agreements)


def _psnr(original: torch.Tensor, edited: torch.Tensor, allowed: torch.Tensor) -> float:
    """Of what lies outside, in dB; 100 where nothing changed or nothing lies outside."""
    outside = ~allowed
    if not bool(outside.any()):
        return 100.0
    error = float(((original - edited)[outside] ** 2).mean())
    return min(100.0, -10 * torch.log10(torch.tensor(max(error, 1e-12))).item())


def _problems(mask: torch.Tensor, psnr: float, ratio: float, than: str, settings: RelabelSettings) -> tuple[str, ...]:
    """What speaks against a sample, in words."""
    found = []
    if not bool(mask.any()):
        found.append("no defect is left")
    elif not settings.least_area <= ratio <= settings.most_area:
        found.append(f"the new defect is {ratio:.2f} times as large as {than}")
    if psnr < settings.least_psnr:
        found.append(f"the background changed ({psnr:.1f} dB)")
    return tuple(found)


def overlay(edited: torch.Tensor, old_mask: torch.Tensor, new: Relabelled) -> torch.Tensor:
    """For review: the edited picture with the old mask's outline in yellow and the new mask's in green, or in red if it was rejected."""
    picture = edited[..., :3].clone()
    outlines = ((old_mask, (1.0, 0.85, 0.1)), (new.mask, (0.1, 0.9, 0.3) if new.accepted else (0.95, 0.15, 0.15)))
    for mask, colour in outlines:
        inside = (mask > 0.5).float()[None]
        edge = (grown(inside, 1) - inside)[0] > 0
        picture[edge] = picture.new_tensor(colour)
    return picture
