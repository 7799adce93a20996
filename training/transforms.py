"""What happens to a picture on its way into a batch: small frozen descriptions, carried out by torchvision's v2 transforms.

Fixed transforms act on every split; random ones while training only, and are a pure function of the seed, the epoch and the sample, so
that a resumed run sees the same pictures.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor

if TYPE_CHECKING:
    from torchvision.transforms import v2

IGNORE = 255
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class Resize:
    """To height × width pixels: stretched, cropped at the longer side, or padded with black at the shorter one.

    The size is what a random crop behind it is cut from; without one, pictures become as large as the network's Input wants.
    """

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

        return v2.RandomCrop((self.height, self.width), self.padding or None, pad_if_needed=True, fill=_fill())


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
        return v2.RandomAffine(self.degrees, shift, scale, interpolation=InterpolationMode.BILINEAR, fill=_fill())


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
class Elastic:
    """Bend the picture by a smooth random field of up to about `strength` pixels, with probability `p` (Simard et al. 2003)."""

    p: float = 0.5
    strength: float = 30.0
    smoothness: float = 6.0

    def build(self) -> v2.Transform:
        from torchvision.transforms import v2

        bend = v2.ElasticTransform(self.strength, self.smoothness, fill=_fill())
        return v2.RandomApply([bend], self.p)


@dataclass(frozen=True)
class Blur:
    """Blur with a Gaussian of up to `sigma` pixels, with probability `p`."""

    p: float = 0.3
    sigma: float = 1.5

    def build(self) -> v2.Transform:
        from torchvision import tv_tensors
        from torchvision.transforms import v2

        class Fitting(v2.GaussianBlur):
            """A blur whose kernel is cut where it would reach over the whole picture, which torchvision refuses."""

            def transform(self, inpt: Tensor, params: dict) -> Tensor:
                if isinstance(inpt, tv_tensors.Mask):
                    return inpt
                kernel = [
                    min(size, 2 * side - 1) for size, side in zip(self.kernel_size, inpt.shape[:-3:-1], strict=True)
                ]
                return v2.functional.gaussian_blur(inpt, kernel, **params)

        size = 2 * math.ceil(2 * self.sigma) + 1
        return v2.RandomApply([Fitting(size, (0.1, max(0.1, self.sigma)))], self.p)


@dataclass(frozen=True)
class Noise:
    """Add Gaussian noise of deviation `sigma` (0..1 units), with probability `p`."""

    p: float = 0.3
    sigma: float = 0.03

    def build(self) -> v2.Transform:
        from torchvision.transforms import v2

        return v2.RandomApply([v2.GaussianNoise(sigma=self.sigma)], self.p)


@dataclass(frozen=True)
class DefectWindow:
    """For segmentation: where the window that a network trains on is cut out of a picture.

    Attributes:
        p: Probability that the window is laid over a pixel of a defect: every kind of the training split is equally likely, and then
            every picture that has it. Otherwise it lies anywhere in the picture whose turn it is.
        smallest, largest: How much the picture is enlarged for it: a factor between the two, drawn on a logarithmic scale.
        most: Largest share of one class in the window; ten places are tried (mmsegmentation's cat_max_ratio is 0.75; 1 for no limit).
        count: Windows in an epoch for every picture of the split.
    """

    p: float = 0.5
    smallest: float = 1.0
    largest: float = 1.0
    most: float = 1.0
    count: int = 1


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


def _fill() -> dict:
    """What stands where a moved picture leaves a gap: black, and in a mask "does not count"."""
    from torchvision import tv_tensors

    return {tv_tensors.Mask: IGNORE, "others": 0}


Transform = (
    Resize
    | Normalize
    | RandomCrop
    | RandomResizedCrop
    | Flip
    | Rotate
    | Color
    | Cutout
    | Elastic
    | Blur
    | Noise
    | DefectWindow
    | Mixup
)
RANDOM = (RandomCrop, RandomResizedCrop, Flip, Rotate, Color, Cutout, Elastic, Blur, Noise)
SIZED = (RandomCrop, RandomResizedCrop)
