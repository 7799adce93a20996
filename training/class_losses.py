"""Losses that judge every row or every pixel by itself, and average.

All take outputs [batch, classes] or maps of them [batch, classes, height, width]. Targets are class numbers, int64 [batch] or
[batch, height, width]; rows also go with soft targets, float [batch, classes]. In maps, pixels of class `IGNORE` do not count. Rows know no
such number: 255 is an ordinary class there. A batch in which nothing counts, or only classes of weight 0, gives 0, with a gradient of 0.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .transforms import IGNORE

NOBODY = -100  # what torch leaves out by default, and no class number


def per_class(numbers: tuple[float, ...]) -> Tensor | None:
    """One factor per class as a tensor, or None for none."""
    return torch.tensor(numbers, dtype=torch.float32) if numbers else None


def fitted(factors: Tensor | None, outputs: Tensor) -> Tensor | None:
    """Factors [classes] in the type of `outputs`, with a 1 for every output that no class uses."""
    if factors is None:
        return None
    return F.pad(factors.to(outputs.dtype), (0, outputs.shape[1] - len(factors)), value=1.0)


def widened(outputs: Tensor) -> Tensor:
    """Outputs in float32 at least: a sum over the pixels of a batch is more than half precision can hold (65,504)."""
    return outputs.float() if outputs.dtype in (torch.float16, torch.bfloat16) else outputs


def as_wide(targets: Tensor, outputs: Tensor) -> Tensor:
    """Soft targets [batch, classes] with a 0 for every output that no class uses."""
    return F.pad(targets.to(outputs.dtype), (0, outputs.shape[1] - targets.shape[1]))


def counting(outputs: Tensor, targets: Tensor) -> Tensor | None:
    """Which pixels count, bool [batch, height, width]; None for rows, which all do."""
    return targets != IGNORE if outputs.dim() > 2 else None


class CrossEntropy(nn.Module):
    """Mean of −w_y log p_y over a softmax, divided by the sum of the w_y, as torch's `CrossEntropyLoss`.

    Label smoothing spreads that share of the target over all classes (Szegedy et al. 2016, arXiv:1512.00567).
    """

    def __init__(self, class_weights: tuple[float, ...] = (), label_smoothing: float = 0.0):
        super().__init__()
        self.register_buffer("weight", per_class(class_weights))
        self.label_smoothing = label_smoothing

    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        logits = widened(logits)
        weight, smoothing = fitted(self.weight, logits), self.label_smoothing
        if targets.is_floating_point():
            return F.cross_entropy(logits, as_wide(targets, logits), weight, label_smoothing=smoothing)
        ignored = NOBODY if logits.dim() == 2 else IGNORE
        total = F.cross_entropy(
            logits, targets, weight, ignore_index=ignored, reduction="sum", label_smoothing=smoothing
        )
        return total / _weight_of(targets, weight, counting(logits, targets))


class NegativeLogLikelihood(nn.Module):
    """Mean of −w_y log p_y, divided by the sum of the w_y, for a network that ends in a LogSoftmax."""

    def __init__(self, class_weights: tuple[float, ...] = ()):
        super().__init__()
        self.register_buffer("weight", per_class(class_weights))

    def forward(self, log_p: Tensor, targets: Tensor) -> Tensor:
        log_p = widened(log_p)
        weight = fitted(self.weight, log_p)
        if targets.is_floating_point():
            return -(as_wide(targets, log_p) * log_p * (1 if weight is None else weight)).sum(1).mean()
        ignored = NOBODY if log_p.dim() == 2 else IGNORE
        total = F.nll_loss(log_p, targets, weight, ignore_index=ignored, reduction="sum")
        return total / _weight_of(targets, weight, counting(log_p, targets))


class Focal(nn.Module):
    """Focal loss over a softmax: mean of −α_y (1 − p_y)^γ log p_y (Lin et al. 2017, arXiv:1708.02002, equation 5).

    The mean is over rows or pixels; α does not enter what is divided by.
    """

    def __init__(self, gamma: float, alpha: tuple[float, ...] = ()):
        super().__init__()
        self.gamma = gamma
        self.register_buffer("alpha", per_class(alpha))

    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        logits = widened(logits)
        alpha = fitted(self.alpha, logits)
        if targets.is_floating_point():
            loss = self._focused(-logits.log_softmax(1)) * (1 if alpha is None else alpha)
            return (loss * as_wide(targets, logits)).sum(1).mean()
        valid = counting(logits, targets)
        known = targets if valid is None else targets.where(valid, 0)
        loss = self._focused(F.cross_entropy(logits, known, reduction="none"))
        return _mean(loss if alpha is None else loss * alpha[known], valid)

    def _focused(self, nll: Tensor) -> Tensor:
        # For γ < 1 the slope of x^γ is infinite at 0, where p has been rounded to 1; the loss itself is flat there.
        easy = (1 - (-nll).exp()).clamp(min=torch.finfo(nll.dtype).tiny)
        return easy**self.gamma * nll


class BinaryCrossEntropy(nn.Module):
    """Binary cross entropy on logits: one yes-or-no question per output (two classes may share a single output)."""

    def __init__(self, class_weights: tuple[float, ...] = ()):
        super().__init__()
        self.register_buffer("weight", per_class(class_weights))

    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        logits = widened(logits)
        if targets.is_floating_point():
            return self._soft(logits, targets.to(logits.dtype))
        valid = counting(logits, targets)
        along = (-1, *(1,) * (logits.dim() - 2))
        if logits.shape[1] == 1:
            truth = targets[:, None] == 1
            weight = None if self.weight is None else self.weight.to(logits.dtype)[truth.long()]
        else:
            truth = targets[:, None] == torch.arange(logits.shape[1], device=logits.device).view(along)
            weight = None if self.weight is None else fitted(self.weight, logits).view(along)
        loss = F.binary_cross_entropy_with_logits(logits, truth.to(logits.dtype), weight, reduction="none")
        return _mean(loss, None if valid is None else valid[:, None].expand_as(loss))

    def _soft(self, logits: Tensor, targets: Tensor) -> Tensor:
        if logits.shape[1] > 1:
            return F.binary_cross_entropy_with_logits(logits, as_wide(targets, logits), fitted(self.weight, logits))
        costs = torch.cat((F.softplus(logits), F.softplus(-logits)), 1)  # −log p of no and of yes
        return (targets * costs * (1 if self.weight is None else self.weight)).sum(1).mean()


def _mean(loss: Tensor, valid: Tensor | None) -> Tensor:
    """The mean over what counts; 0 where nothing does."""
    return loss.mean() if valid is None else loss.where(valid, 0).sum() / valid.sum().clamp(min=1)


def _weight_of(targets: Tensor, weight: Tensor | None, valid: Tensor | None) -> Tensor:
    """What a sum is divided by: the weights of everything that counts. Infinite where that is nothing, so that the quotient is 0."""
    weights = (
        torch.ones_like(targets) if weight is None else weight[targets if valid is None else targets.where(valid, 0)]
    )
    whole = (weights if valid is None else weights.where(valid, 0)).sum()
    return whole.where(whole > 0, torch.inf)
