"""A dataset with more defects: the pictures it has, and behind them synthetic ones that are made when they are asked for."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..nn_layers.errors import InputError
from ..training.dataset import Dataset
from ..training.segmentation.samples import MaskedSamples, pixel_counts
from .balance import EQUAL, allotted, spread
from .bank import DefectBank, find_defects
from .methods import DEFAULT_METHODS, METHODS, method
from .quality import find_part, flaw
from .scene import Maker, NoPlaceError, OnProgress, Patch, Scene, draw

VERSION = 2
"""Part of the fingerprint; goes up when the same recipe makes another picture."""
ATTEMPTS = 8
APART = 3
"""Pixels between an old defect and a new one."""
MOST = 100_000
HARD = "cutpaste"
"""The method that changes a whole rectangle on purpose."""


@dataclass(frozen=True)
class Augmentation:
    """How a training split is multiplied.

    Attributes:
        per_picture: Synthetic pictures for each of the split; 0.5 is one for two.
        methods: (name, weight) for each of `METHODS` that is to be used.
        balance: "equal", "as in the data" or "weights", see `allotted`.
        weights: (class, weight), for "weights".
        defects: New defects in each synthetic picture.
        gate: Make a defect anew if it is invisible, of unusual size, or spoils what is around it.
        inside_part: Keep defects on the part, where even surroundings show what it is.
        prior: Put them where the class occurs; otherwise anywhere.
        seed: The same seed makes the same pictures.
    """

    per_picture: float = 1.0
    methods: tuple[tuple[str, float], ...] = DEFAULT_METHODS
    balance: str = EQUAL
    weights: tuple[tuple[str, float], ...] = ()
    defects: int = 1
    gate: bool = True
    inside_part: bool = True
    prior: bool = True
    seed: int = 0

    def check(self) -> None:
        """Refuse what cannot be done.

        Raises:
            InputError: Names the setting.
        """
        if self.per_picture <= 0:
            raise InputError(f"per_picture is {self.per_picture:g}; make at least one picture, such as 1 for each.")
        if self.defects < 1:
            raise InputError(f"defects is {self.defects}; put at least one into each picture.")
        if unknown := [name for name, _ in self.methods if name not in METHODS]:
            raise InputError(f"there is no method {unknown[0]!r}; choose one of {', '.join(METHODS)}.")
        if not any(weight > 0 for _, weight in self.methods):
            raise InputError(f"methods has none above 0; name at least one of {', '.join(METHODS)}.")


@dataclass(frozen=True)
class Recipe:
    """All that a synthetic picture is made from.

    Attributes:
        base: The sample of the original split that it is made from.
        defects: (class number, method) of each new defect.
        seed: What its random numbers come from.
    """

    base: int
    defects: tuple[tuple[int, str], ...]
    seed: tuple[int, int, int]


@dataclass(frozen=True, eq=False)
class Made:
    """A synthetic picture: uint8 [channels, height, width], its mask uint8 [height, width], and what was drawn for each new defect."""

    picture: Tensor
    mask: Tensor
    patches: tuple[Patch, ...]


@dataclass(frozen=True, eq=False)
class AugmentedSamples:
    """The samples of a split and, behind them, one for every recipe. Nothing is copied or kept but the last picture made."""

    base: MaskedSamples
    bank: DefectBank
    settings: Augmentation
    recipes: tuple[Recipe, ...]
    targets: Tensor
    makers: Mapping[tuple[int, str], Maker] = field(repr=False)
    _last: dict[str, Any] = field(default_factory=dict, repr=False)

    def __len__(self) -> int:
        return len(self.base) + len(self.recipes)

    def __getitem__(self, index: int) -> Tensor:
        index = self._checked(index)
        return self.base[index] if index < len(self.base) else self.made(index).picture

    def mask(self, index: int) -> Tensor:
        """The mask of a sample, uint8 [height, width]."""
        index = self._checked(index)
        return self.base.mask(index) if index < len(self.base) else self.made(index).mask

    def made(self, index: int) -> Made:
        """A synthetic sample with what was drawn in it; its mask is asked for right after its picture, so the last one is kept."""
        last = self._last.get("made")
        if last is None or last[0] != index:
            recipe = self.recipes[index - len(self.base)]
            last = self._last["made"] = (index, make(recipe, self.bank, self.makers, self.settings))
        return last[1]

    def name(self, index: int) -> str:
        """The original's name, for a synthetic sample with what was put in."""
        index = self._checked(index)
        if index < len(self.base):
            return self.base.name(index)
        recipe = self.recipes[index - len(self.base)]
        added = ", ".join(f"{self.bank.classes[number]} ({how})" for number, how in recipe.defects)
        return f"{self.base.name(recipe.base)} + {added}"

    def fingerprint(self) -> bytes:
        """Changes with the originals, the settings and the recipes."""
        made_from = repr((VERSION, self.settings, self.recipes)).encode()
        return hashlib.sha256(self.base.fingerprint() + made_from).digest()

    def _checked(self, index: int) -> int:
        index = int(index)
        if index < 0:
            index += len(self)
        if not 0 <= index < len(self):
            raise IndexError(index)
        return index


@dataclass(frozen=True)
class Account:
    """What was made.

    Attributes:
        made: (class, method) → new defects.
        rejected: Reason → defects that were made anew for it.
        given_up: Pictures that could not be made.
    """

    made: Mapping[tuple[str, str], int]
    rejected: Mapping[str, int]
    given_up: int

    def table(self) -> str:
        """New defects by class and method as aligned text, and what was rejected."""
        classes = list(dict.fromkeys(name for name, _ in self.made))
        methods = [name for name in METHODS if any(how == name for _, how in self.made)]
        width = max(len("new defects"), *map(len, classes), 0)
        lines = ["new defects".ljust(width) + "".join(f"{name:>12}" for name in [*methods, "all"])]
        for name in classes:
            counts = [self.made.get((name, how), 0) for how in methods]
            lines.append(name.ljust(width) + "".join(f"{count:>12,}" for count in [*counts, sum(counts)]))
        if self.rejected:
            lines.append("made anew: " + ", ".join(f"{count:,} {reason}" for reason, count in self.rejected.items()))
        if self.given_up:
            lines.append(f"left out: {self.given_up:,}, for which no place or no good defect was found")
        return "\n".join(lines)


def augmented(
    dataset: Dataset, settings: Augmentation | None = None, on_progress: OnProgress | None = None
) -> tuple[Dataset, Account]:
    """A dataset whose training split has synthetic pictures behind its own; other splits stay as they are.

    Every synthetic picture is made once here, to see that it is good and to count its pixels, and again whenever it is asked for.

    Args:
        on_progress: Called with what is done and all; may raise to stop.

    Raises:
        InputError: A setting that cannot be, no masks, no defects, or a dataset none of whose pictures has room for a defect.
    """
    settings = settings or Augmentation()
    settings.check()
    watch = on_progress or (lambda done, count: None)
    bank = find_defects(dataset, "train", lambda done, count: watch(0.2 * done / count, 1.0))
    if not bank.defects:
        raise InputError(
            f"the training split of {dataset.name} has no defects to learn from; label some pictures first."
        )
    base: MaskedSamples = dataset.split("train")
    wanted = _plan(bank, settings, len(base))
    makers = {pair: method(pair[1], bank, pair[0]) for pair in sorted({pair for each in wanted for pair in each})}
    areas = {n: (min(d.area for d in found), max(d.area for d in found)) for n, found in bank.by_class.items() if found}
    rejected, recipes, counts = Counter(), [], []
    for index, defects in enumerate(wanted):
        recipe = _attempts(index, defects, bank, makers, settings, areas, rejected)
        if recipe:
            recipes.append(recipe[0])
            counts.append(pixel_counts(recipe[1].mask, len(dataset.classes)))
        watch(0.2 + 0.8 * (index + 1) / len(wanted), 1.0)
    if not recipes:
        reasons = ", ".join(f"{count} {reason}" for reason, count in rejected.items())
        raise InputError(
            f"no synthetic picture of {dataset.name} came out well ({reasons}); switch gate off, or use other methods."
        )
    made = Counter((bank.classes[number], how) for recipe in recipes for number, how in recipe.defects)
    account = Account(dict(sorted(made.items())), dict(rejected), len(wanted) - len(recipes))
    targets = torch.cat([base.targets, torch.stack(counts)])
    samples = AugmentedSamples(base, bank, settings, tuple(recipes), targets, makers)
    note = f"{len(recipes):,} of the training pictures are synthetic."
    return replace(dataset, splits={**dataset.splits, "train": samples}, notes=(*dataset.notes, note)), account


def _plan(bank: DefectBank, settings: Augmentation, pictures: int) -> list[tuple[tuple[int, str], ...]]:
    """What goes into each synthetic picture: classes and methods mixed evenly, in an order by chance."""
    count = max(1, round(settings.per_picture * pictures))
    if count * settings.defects > MOST:
        raise InputError(f"{count * settings.defects:,} new defects are wanted; at most {MOST:,} are possible.")
    present = {bank.classes[number]: len(found) for number, found in bank.by_class.items()}
    by_class = allotted(count * settings.defects, present, settings.balance, dict(settings.weights))
    shares = {name: weight for name, weight in settings.methods if weight > 0}
    pairs: list[tuple[int, str]] = []
    for name, wanted in by_class.items():
        by_method = allotted(wanted, dict.fromkeys(shares, 1), "weights", shares)
        pairs += [(bank.classes.index(name), how) for how in spread(by_method)]
    order = np.random.default_rng((settings.seed, 0)).permutation(len(pairs))
    return [tuple(pairs[i] for i in order[k::count]) for k in range(count)]


def _attempts(
    index: int,
    defects: tuple[tuple[int, str], ...],
    bank: DefectBank,
    makers: Mapping[tuple[int, str], Maker],
    settings: Augmentation,
    areas: Mapping[int, tuple[int, int]],
    rejected: Counter[str],
) -> tuple[Recipe, Made] | None:
    """The first good picture of several; the first attempt is made from the picture whose turn it is, others from any."""
    for attempt in range(ATTEMPTS):
        seed = (settings.seed, index + 1, attempt)
        base = (
            index % len(bank.samples)
            if attempt == 0
            else int(np.random.default_rng((*seed, 1)).integers(len(bank.samples)))
        )
        recipe = Recipe(base, defects, seed)
        try:
            made = make(recipe, bank, makers, settings)
        except NoPlaceError:
            rejected["without a place"] += 1
            continue
        reason = _flaw(made, recipe, bank, areas) if settings.gate else None
        if reason is None:
            return recipe, made
        rejected[reason] += 1
    return None


def _flaw(made: Made, recipe: Recipe, bank: DefectBank, areas: Mapping[int, tuple[int, int]]) -> str | None:
    before = bank.samples[recipe.base].permute(1, 2, 0).numpy()
    for patch, (number, how) in zip(made.patches, recipe.defects, strict=True):
        if reason := flaw(before[patch.box].astype(np.float32) / 255, patch, areas[number], how != HARD):
            return reason
    return None


def make(recipe: Recipe, bank: DefectBank, makers: Mapping[tuple[int, str], Maker], settings: Augmentation) -> Made:
    """Make a synthetic picture; the same recipe gives the same one.

    Raises:
        NoPlaceError: A defect fits nowhere.
    """
    random = np.random.default_rng(recipe.seed)
    image = bank.samples[recipe.base].permute(1, 2, 0).numpy()
    mask = bank.samples.mask(recipe.base).numpy().copy()
    part = find_part(image) if settings.inside_part else None
    patches = []
    for number, how in recipe.defects:
        heat = bank.where(number) if settings.prior else None
        scene = Scene(image, _allowed(mask, part), heat)
        patch = draw(scene, makers[number, how], random)
        image = scene.with_patch(patch)
        mask[patch.box][patch.mask] = number
        patches.append(patch)
    picture = torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1)))
    return Made(picture, torch.from_numpy(mask), tuple(patches))


def _allowed(mask: np.ndarray, part: np.ndarray | None) -> np.ndarray | None:
    """Where a new defect may be: on the part and away from old defects and ignored pixels; None for everywhere."""
    if not mask.any():
        return part
    from scipy.ndimage import maximum_filter

    free = ~maximum_filter(mask > 0, 2 * APART + 1)
    return free if part is None else free & part
