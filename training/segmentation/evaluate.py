"""Testing a segmentation network: every picture of a split in its own size, every number counted over the whole split."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from ...nn_layers import Network
from ..inference import evaluating
from ..segmentation_metrics import (
    DefectCounter,
    DefectScores,
    PixelScores,
    PrecisionRecall,
    PrecisionRecallCurve,
    TolerantF1,
    pixel_confusion,
    pixel_scores,
)
from .loader import resized, window
from .masks import IGNORE, Color
from .samples import MaskedSamples
from .tiles import OVERLAP, segment

if TYPE_CHECKING:
    from ..dataset import Dataset
    from ..losses import Loss

WORST = 8


@dataclass(frozen=True, eq=False)
class MaskExample:
    """One picture of a split: its number in the split, its name, the network's mask uint8 [height, width], and how wrong that is.

    `error` is 1 − the IoU of all defect classes together: 1 where every defect was missed or imagined, 0 where all is right.
    """

    index: int
    name: str
    error: float
    predicted: Tensor


@dataclass(frozen=True, eq=False)
class SegmentationReport:
    """What a test found.

    Attributes:
        scores: Metric → value over the whole split; "loss" first.
        confusion: int64 [classes, classes] of pixels, rows the true class.
        pixels: IoU, accuracy, precision and Dice of each class.
        defects: Found defects and false alarms of each class.
        sweep: Precision and recall of each class at every threshold.
        tolerant: F1 of each class with 2 pixels of tolerance, float64 [classes].
        worst: The pictures with the largest error, the worst first.
    """

    network: str
    dataset: str
    split: str
    classes: tuple[str, ...]
    colors: tuple[Color, ...]
    count: int
    scores: dict[str, float]
    confusion: Tensor
    pixels: PixelScores
    defects: DefectScores
    sweep: PrecisionRecallCurve
    tolerant: Tensor
    worst: tuple[MaskExample, ...]
    task: str = "segmentation"

    def rows(self) -> dict[str, dict[str, float]]:
        """Class → its numbers by name: IoU, accuracy, precision, Dice, tolerant F1, average precision, defect recall and false alarms."""
        columns = {
            "IoU": self.pixels.iou,
            "accuracy": self.pixels.accuracy,
            "precision": self.pixels.precision,
            "Dice": self.pixels.dice,
            "F1 ± 2 px": self.tolerant,
            "AP": self.sweep.average_precision,
            "found": self.defects.recall_by_class,
            "false alarms": self.defects.false_alarms_by_class,
        }
        return {
            name: {title: float(values[i]) for title, values in columns.items()} for i, name in enumerate(self.classes)
        }

    def table(self) -> str:
        """The scores, and the numbers of every class, as aligned text; a dash where there is nothing to measure."""
        lines = [f"{self.network} on {self.split} of {self.dataset}, {self.count:,} pictures"]
        width = max(18, *(len(name) + 2 for name in (*self.scores, *self.classes)))
        lines += [f"{name.ljust(width)}{_shown(value, 10)}" for name, value in self.scores.items()]
        rows = self.rows()
        titles = list(next(iter(rows.values())))
        lines += ["", "class".ljust(width) + "".join(title.rjust(13) for title in titles)]
        for name, values in rows.items():
            lines.append(name.ljust(width) + "".join(_shown(value, 13) for value in values.values()))
        if absent := [self.classes[i] for i in (self.confusion[1:].sum(1) == 0).nonzero()[:, 0] + 1]:
            lines.append(
                f"{self.split} has no pixel of {', '.join(absent)}: what is found of that is a false alarm, and its IoU 0."
            )
        return "\n".join(lines)


class PixelMeter:
    """Counts what a network says of every picture of a split.

    Args:
        network: Its `prepare` is used as it is; `module` is given to `run`.
        full: Count defects and thresholds too and keep the worst pictures, for a test; validation counts pixels only.
    """

    def __init__(
        self,
        network: Network,
        dataset: Dataset,
        split: str,
        loss: Loss,
        batch_size: int,
        *,
        full: bool = False,
        flips: bool = False,
    ):
        self.network, self.dataset, self.split, self.batch_size = network, dataset, split, batch_size
        self.full, self.flips = full, flips
        self.samples: MaskedSamples = dataset.split(split)
        self.criterion = loss.build()
        self._reset()

    def _reset(self) -> None:
        count = len(self.dataset.classes)
        self.confusion = torch.zeros(count, count, dtype=torch.int64)
        self.loss, self.pixels = 0.0, 0
        self.defects, self.sweep, self.tolerant = DefectCounter(count), PrecisionRecall(count), TolerantF1(count)
        self.worst: list[MaskExample] = []

    def run(self, module: nn.Module, device: torch.device) -> Iterator[int]:
        """Look at every picture; yields how many are done, more than once for a large one."""
        self._reset()
        self.criterion.to("cpu")
        with evaluating(module):
            for index in range(len(self.samples)):
                yield from self._measure(index, module)
                yield index + 1

    def _measure(self, index: int, module: nn.Module) -> Iterator[int]:
        """Count one picture, band by band."""
        picture, truth = self.samples[index], self.samples.mask(index)
        small = resized(picture, truth, self.network.prepare)[1]
        height, width = self.network.prepare.height, self.network.prepare.width

        def on_tile(logits: Tensor, top: int, left: int) -> None:
            target = window(small, top, left, height, width, IGNORE)
            pixels = int((target != IGNORE).sum())
            self.loss += float(self.criterion(logits[None], target[None].long())) * pixels
            self.pixels += pixels

        classes = len(self.dataset.classes)
        predicted = torch.empty_like(truth)
        bands = segment(
            self.network,
            module,
            picture,
            overlap=OVERLAP if self.full else 0.0,
            flips=self.flips,
            batch_size=self.batch_size,
            on_tile=on_tile,
        )
        for top, probabilities in bands:
            rows = slice(top, top + probabilities.shape[1])
            predicted[rows] = probabilities[:classes].argmax(0).to(torch.uint8)
            if self.full:
                self.sweep.update(probabilities[:classes], truth[rows])
            yield index
        confusion = pixel_confusion(truth, predicted, classes)
        self.confusion += confusion
        if self.full:
            self.defects.update(truth, predicted)
            self.tolerant.update(truth, predicted)
            self._keep(MaskExample(index, self.samples.name(index), _error(confusion), predicted))

    def _keep(self, example: MaskExample) -> None:
        self.worst = sorted((*self.worst, example), key=lambda e: -e.error)[:WORST]

    def scores(self) -> dict[str, float]:
        """The loss per pixel that counts, and the metrics of the whole split."""
        return {"loss": self.loss / max(1, self.pixels), **pixel_scores(self.confusion).averages()}

    def report(self) -> SegmentationReport:
        """Everything that a full measurement found."""
        found = self.scores()
        defects = self.defects.result()
        found |= {"defect recall": defects.recall, "false alarms per picture": defects.false_alarms_per_picture}
        found |= {"F1 of defects ± 2 px": self.tolerant.mean()}
        return SegmentationReport(
            self.network.spec.name,
            self.dataset.name,
            self.split,
            self.dataset.classes,
            self.dataset.colors,
            len(self.samples),
            found,
            self.confusion,
            pixel_scores(self.confusion),
            defects,
            self.sweep.result(),
            self.tolerant.result(),
            tuple(self.worst),
        )


def _shown(value: float, width: int) -> str:
    return "–".rjust(width) if math.isnan(value) else f"{value:>{width}.4f}"


def _error(confusion: Tensor) -> float:
    right = float(confusion.diagonal()[1:].sum())
    involved = float(confusion.sum() - confusion[0, 0])
    return 1 - right / involved if involved else 0.0
