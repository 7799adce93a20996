"""The module that every architecture becomes: any size in, the same size out."""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..errors import InputError
from .architectures import ARCHITECTURES
from .blocks import resize
from .plan import Plan
from .pretrained import unavailable
from .trim import trim, unreached


class SegmentationNetwork(nn.Module):
    """[batch, channels, height, width] → logits [batch, classes, height, width], for any height and width.

    The picture is padded with zeros, as convolutions pad, below and to the right up to what the architecture needs; the logits are
    brought back to that size bilinearly and cropped. There are no auxiliary heads: one output, one loss.

    Args:
        architecture: A key of `ARCHITECTURES`.
        encoder: As its library writes it; "" for an architecture that has none to choose.
        pretrained: Fetch trained weights of the encoder.

    Raises:
        InputError: The architecture cannot use the encoder, a library is missing, or weights could not be fetched.
    """

    def __init__(
        self, architecture: str, encoder: str = "", channels: int = 3, classes: int = 2, pretrained: bool = False
    ):
        super().__init__()
        found = ARCHITECTURES[architecture]
        dead = _dead(architecture, encoder, channels, classes)
        plan = Plan(encoder, channels, classes, pretrained)
        try:
            self.body = found.builder(plan)
        except InputError:
            raise
        except Exception as error:
            if not pretrained:  # `_dead` built it once already
                raise
            raise unavailable(encoder or architecture, error) from error
        trim(self.body, dead)
        self.title, self.smallest = found.title, found.smallest
        self.multiple = getattr(self.body, "multiple", found.multiple)

    def forward(self, x: Tensor) -> Tensor:
        height, width = x.shape[-2:]
        size = tuple(self._padded(side) for side in (height, width))
        if size != (height, width):
            x = F.pad(x, (0, size[1] - width, 0, size[0] - height))
        try:
            logits = resize(self.body(x), size)
        except ValueError as error:
            if "more than 1 value per channel" not in str(error):
                raise
            raise InputError(
                f"{self.title} averages over the whole picture before a BatchNorm, so that it needs batches of at least 2 in "
                f"training, but got 1; use a larger batch, or leave out the last one where it is smaller."
            ) from error
        return logits[..., :height, :width]

    def _padded(self, side: int) -> int:
        """The next multiple that is not below the smallest size."""
        return -(-max(side, self.smallest) // self.multiple) * self.multiple


@lru_cache(maxsize=256)
def _dead(architecture: str, encoder: str, channels: int, classes: int) -> tuple[str, ...]:
    """Names of the parameters that the architecture leaves without gradients; also the proof that it can use the encoder."""
    try:
        with torch.random.fork_rng(devices=[]), torch.device("meta"):  # the caller's random state stays as it was
            body = ARCHITECTURES[architecture].builder(Plan(encoder, channels, classes))
            return unreached(body, channels, getattr(body, "multiple", 1))
    except InputError:
        raise
    except Exception as error:  # four libraries raise whatever they like
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")
        others = ARCHITECTURES[architecture].encoders
        raise InputError(
            f"{architecture} cannot use the encoder {encoder!r} ({reason}); choose another, such as {', '.join(others[:3])}."
        ) from error
