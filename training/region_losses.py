"""Losses that judge whole regions: how well what was found of a class overlaps with what is there of it. For segmentation only.

All take logits [batch, classes, height, width] (or a single channel for two classes: the logit of the second) and class numbers, int64
[batch, height, width], where pixels of class `IGNORE` do not count. Overlap is measured over the whole batch, and the loss is the mean over
the classes that are in it, as the Lovász-softmax paper does it: a class with no true pixel has no overlap to improve, and what is
falsely taken for it is missing elsewhere. A batch with nothing that counts gives 0, with a gradient of 0.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .class_losses import fitted, per_class, widened
from .transforms import IGNORE

SMALLEST = 1e-7
OVER_PIXELS = (0, 2, 3)


class Tversky(nn.Module):
    """1 − Tversky index: (TP + s) / (TP + α FP + β FN + s), on probabilities (Salehi et al. 2017, arXiv:1706.05721).

    α = β = ½ is the soft Dice index (Milletari et al. 2016, arXiv:1606.04797, who square the probabilities in the denominator), α = β = 1 the Jaccard index or IoU.

    Args:
        false_positives: α: what a pixel falsely taken for the class costs.
        false_negatives: β: what a missed pixel costs.
        smooth: s: pixels that count as right from the start; steadies classes of a few pixels.
        exponent: Of each class's loss; below 1 stresses what is nearly right, above 1 what is wrong. The focal Tversky loss of Abraham &
            Khan (2019, arXiv:1810.07842) with their γ has exponent 1 / γ.
        class_weights: One factor per class in the mean over classes; empty for equal ones.
    """

    def __init__(
        self,
        false_positives: float,
        false_negatives: float,
        smooth: float = 1.0,
        exponent: float = 1.0,
        class_weights: tuple[float, ...] = (),
    ):
        super().__init__()
        self.false_positives, self.false_negatives = false_positives, false_negatives
        self.smooth, self.exponent = smooth, exponent
        self.register_buffer("weight", per_class(class_weights))

    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        found, truth = _probabilities_and_truth(logits, targets)
        valid = (targets != IGNORE)[:, None]
        hits = (found * truth).sum(OVER_PIXELS)
        count = truth.sum(OVER_PIXELS)
        false_positives = (found * valid).sum(OVER_PIXELS) - hits
        whole = hits + self.false_positives * false_positives + self.false_negatives * (count - hits)
        losses = 1 - (hits + self.smooth) / (whole + self.smooth).clamp(min=SMALLEST)
        if self.exponent != 1:  # the slope of a root is infinite at 0
            losses = losses.clamp(min=SMALLEST) ** self.exponent
        return _mean_of_present(losses, count > 0, self.weight)


class Lovasz(nn.Module):
    """Lovász-softmax: the convex extension of 1 − IoU to errors between 0 and 1 (Berman et al. 2018, arXiv:1705.08790).

    Pixels are sorted by error, and each error is weighted by how much 1 − IoU grows when that pixel is wrong beside all worse ones.

    Args:
        class_weights: One factor per class in the mean over classes; empty for equal ones.
    """

    def __init__(self, class_weights: tuple[float, ...] = ()):
        super().__init__()
        self.register_buffer("weight", per_class(class_weights))

    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        found, truth = _probabilities_and_truth(logits, targets)
        present = truth.any(0).flatten(1).any(1)
        # Ignored pixels get the error 0: they are sorted behind all errors and weigh nothing.
        errors = (truth.to(found.dtype) - found).abs().where((targets != IGNORE)[:, None], 0)
        losses = [
            _lovasz_extension(errors[:, c].flatten(), truth[:, c].flatten()) if there else errors[:, c].sum() * 0
            for c, there in enumerate(present.tolist())
        ]
        return _mean_of_present(torch.stack(losses), present, self.weight)


def _lovasz_extension(errors: Tensor, truth: Tensor) -> Tensor:
    """Σ errors × growth of 1 − IoU, worst error first; float and bool [pixels], at least one of them true.

    After i pixels, of which t are true, G − t of all G true ones are right and the union is G + i − t. A true pixel takes 1 from the intersection,
    so the loss grows by 1 / union; a false one adds 1 to the union: intersection / (union (union − 1)). Taking differences
    of the IoU itself would lose small regions in rounding.
    """
    errors, order = errors.sort(descending=True)
    truth = truth[order]
    missed = truth.cumsum(0)
    intersection = missed[-1] - missed
    union = (missed[-1] + (~truth).cumsum(0)).to(errors.dtype)
    growth = torch.where(truth, 1 / union, intersection / union / (union - 1).clamp(min=1))
    return torch.dot(errors, growth)


def _probabilities_and_truth(logits: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """Softmax of the logits, and which pixels are of which class (bool; ignored pixels of none): [batch, classes, height, width] both."""
    logits = widened(logits)
    if logits.shape[1] == 1:
        logits = torch.cat((torch.zeros_like(logits), logits), 1)
    classes = torch.arange(logits.shape[1], device=logits.device).view(-1, 1, 1)
    return logits.softmax(1), (targets[:, None] == classes) & (targets != IGNORE)[:, None]


def _mean_of_present(losses: Tensor, present: Tensor, weight: Tensor | None) -> Tensor:
    """The mean of the losses [classes] of the classes that are present, weighted on request; 0 where that is none."""
    share = present.to(losses.dtype)
    if weight is not None:
        share = share * fitted(weight, losses[None])
    return (losses * share).sum() / share.sum().clamp(min=SMALLEST)
