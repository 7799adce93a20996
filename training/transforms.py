"""What happens to a picture on its way into a batch: small frozen descriptions, carried out by torchvision's v2 transforms.

Fixed transforms act on every split; random ones while training only, and are a pure function of the seed, the epoch and the sample, so
that a resumed run sees the same pictures.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor

if TYPE_CHECKING:
    from torchvision.transforms import v2

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class Resize:
    """To height × width pixels: stretched, cropped at the longer side, or padded with black at the shorter one."""

    height: int = 64
    width: int = 64
    fit: Literal["stretch", "crop", "pad"] = "stretch"


@dataclass(frozen=True)
class Normalize:
    """Subtract the mean and divide by the deviation of each channel: the training pictures' own, or ImageNet's."""

    source: Literal["data", "imagenet"] = "data"


@dataclass(frozen=True)
class RandomCrop:
    """A window of height × width pixels at a random place, after `padding` black pixels were put around."""

    height: int = 56
    width: int = 56
    padding: int = 0

    def build(self) -> v2.Transform:
        from torchvision.transforms import v2

        return v2.RandomCrop((self.height, self.width), self.padding or None, pad_if_needed=True)


@dataclass(frozen=True)
class RandomResizedCrop:
    """A window that covers `smallest` to 1 of the picture's area, resized to height × width pixels."""

    height: int = 64
    width: int = 64
    smallest: float = 0.5

    def build(self) -> v2.Transform:
        from torchvision.transforms import v2

        return v2.RandomResizedCrop((self.height, self.width), (self.smallest, 1.0), antialias=True)


@dataclass(frozen=True)
class Flip:
    """Mirror left and right, and top and bottom, each with its own probability."""

    horizontal: float = 0.5
    vertical: float = 0.0

    def build(self) -> v2.Transform:
        from torchvision.transforms import v2

        return v2.Compose([v2.RandomHorizontalFlip(self.horizontal), v2.RandomVerticalFlip(self.vertical)])


@dataclass(frozen=True)
class Rotate:
    """Turn by up to ± `degrees`, move by up to `shift` and scale by up to `scale` (shares of the picture's size)."""

    degrees: float = 10.0
    shift: float = 0.0
    scale: float = 0.0

    def build(self) -> v2.Transform:
        from torchvision.transforms import InterpolationMode, v2

        shift = (self.shift, self.shift) if self.shift else None
        scale = (1 - self.scale, 1 + self.scale) if self.scale else None
        return v2.RandomAffine(self.degrees, shift, scale, interpolation=InterpolationMode.BILINEAR)


@dataclass(frozen=True)
class Color:
    """Change brightness, contrast, saturation and hue by up to these shares."""

    brightness: float = 0.2
    contrast: float = 0.2
    saturation: float = 0.2
    hue: float = 0.0

    def build(self) -> v2.Transform:
        from torchvision.transforms import v2

        return v2.ColorJitter(self.brightness, self.contrast, self.saturation, self.hue)


@dataclass(frozen=True)
class Cutout:
    """Black out a rectangle of up to `largest` of the area with probability `p` (DeVries & Taylor 2017, arXiv:1708.04552)."""

    p: float = 0.5
    largest: float = 0.2

    def build(self) -> v2.Transform:
        from torchvision.transforms import v2

        return v2.RandomErasing(self.p, (min(0.02, self.largest), self.largest), value=0)


@dataclass(frozen=True)
class Mixup:
    """Blend pairs of samples and their labels with a Beta(alpha, alpha) weight (Zhang et al. 2018, arXiv:1710.09412)."""

    alpha: float = 0.2

    def mix(self, inputs: Tensor, targets: Tensor, classes: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Blend a batch with itself in another order; class numbers become float32 [batch, classes]."""
        seed = int(torch.randint(2**31, (), generator=generator))
        with torch.random.fork_rng(devices=[]):  # Beta takes no generator
            torch.default_generator.manual_seed(seed)
            weight = float(torch.distributions.Beta(self.alpha, self.alpha).sample())
        order = torch.randperm(len(inputs), generator=generator)
        if not targets.is_floating_point():
            targets = torch.nn.functional.one_hot(targets, classes).float()
        return inputs.lerp(inputs[order], 1 - weight), targets.lerp(targets[order], 1 - weight)


Transform = Resize | Normalize | RandomCrop | RandomResizedCrop | Flip | Rotate | Color | Cutout | Mixup
RANDOM = (RandomCrop, RandomResizedCrop, Flip, Rotate, Color, Cutout)
SIZED = (RandomCrop, RandomResizedCrop)
