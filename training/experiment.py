"""Experiments: a list or grid of models × datasets × losses × seeds, trained and tested one after another or on a cluster.

The folder of an experiment is ``project/name`` and has one folder per trial with {train, test} inside: train is the run that `fit` leaves,
test has report.txt, scores.json and a picture. The table of all trials lies beside them (results.csv, .md, .png, .txt, .json).
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..nn_layers import InputError, Network, save_network
from ..nn_layers.storage import read_json
from .dataset import Dataset
from .fit import Progress
from .losses import Loss, LossSum
from .optimizers import Optimizer
from .plans import Plan, build_loss, check_dataset, check_model, loss_plan, make
from .results import Results, Row
from .settings import FitSettings
from .trial import TRIAL, Datasets, Stopped, Trial, run_trial

if TYPE_CHECKING:
    from .cluster import Cluster

NETWORKS = "networks"
MAX_TRIALS = 10_000


@dataclass(frozen=True)
class Choice:
    """Which trials to do, and what is special about them.

    Attributes:
        model, dataset, loss: Names; empty for every one there is.
        seed: None for every one there is.
        optimizer, train: Settings that replace the experiment's.
    """

    model: str = ""
    dataset: str = ""
    loss: str = ""
    seed: int | None = None
    optimizer: Plan = field(default_factory=dict)
    train: Plan = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Experiment:
    """What is to be compared. Everything has a name, which the table shows.

    Attributes:
        models: Networks, or plans of them (see `plans`). With several seeds an untrained network is drawn anew from each, as
            Build Network did; with one seed a network object keeps the weights it has.
        datasets: Datasets, or plans of them.
        losses: Losses, or plans of them.
        settings: Their seed is not read: `seeds` decides first weights, order and augmentation. The splits are the dataset's own, and the
            same for every seed.
        split: The one to test on.
        choices: The trials, in order. One that leaves something open stands for all there is of it, so ``(Choice(),)`` is the whole grid;
            where two stand for the same trial, the later one's settings hold.
    """

    project: str
    name: str
    models: Mapping[str, Network | Plan]
    datasets: Mapping[str, Dataset | Plan]
    losses: Mapping[str, Loss | LossSum | Plan]
    optimizer: Optimizer = field(default_factory=Optimizer)
    settings: FitSettings = field(default_factory=FitSettings)
    seeds: tuple[int, ...] = (0,)
    split: str = "test"
    choices: tuple[Choice, ...] = (Choice(),)

    def folder(self, root: Path) -> Path:
        """Where everything of this experiment goes below `root`."""
        return Path(root) / slug(self.project) / slug(self.name)

    def trials(self, root: Path) -> list[Trial]:
        """Every trial, as data; networks that are in memory are saved below the experiment's folder for it.

        Raises:
            InputError: Nothing to compare, names that do not exist or cannot be told apart, or settings that are wrong.
        """
        chosen = self._chosen()
        folder = self.folder(root)
        networks = {name: self._network_plan(folder, name) for name in dict.fromkeys(key[0] for key in chosen)}
        data = {name: self._dataset_plan(name) for name in dict.fromkeys(key[1] for key in chosen)}
        losses = {name: self._loss_plan(name) for name in dict.fromkeys(key[2] for key in chosen)}
        several = [len({key[i] for key in chosen}) > 1 for i in range(4)]
        trials = []
        for (model, dataset, loss, seed), choice in chosen.items():
            optimizer = make(Optimizer, {**asdict(self.optimizer), **choice.optimizer}, f"optimizer of {model}")
            optimizer.check()
            settings = make(FitSettings, {**asdict(self.settings), **choice.train}, f"train of {model}")
            parts = (model, dataset, loss, seed)
            plans = (networks[model], data[dataset], losses[loss], asdict(optimizer), asdict(settings), self.split)
            trials.append(Trial(*parts, *plans, folder=_folder_name(parts, (True, *several[1:]))))
        return _placed(trials, folder)

    def given(self) -> Datasets:
        """The datasets that are in memory."""
        return {name: replace(found, name=name) for name, found in self.datasets.items() if isinstance(found, Dataset)}

    def _chosen(self) -> dict[tuple[str, str, str, int], Choice]:
        """(model, dataset, loss, seed) → the last choice that stands for it."""
        for what in ("models", "datasets", "losses", "seeds"):
            if not getattr(self, what):
                raise InputError(f"the experiment has no {what}; give at least one.")
            taken: dict[str, str] = {}
            for name in map(str, getattr(self, what)):
                if (other := taken.setdefault(slug(name).casefold(), name)) != name:
                    raise InputError(f"{what} has {other!r} and {name!r}, which would share a folder; rename one.")
        chosen: dict[tuple[str, str, str, int], Choice] = {}
        for choice in self.choices:
            open_to = {"model": self.models, "dataset": self.datasets, "loss": self.losses}
            for what, known in open_to.items():
                if (wanted := getattr(choice, what)) and wanted not in known:
                    raise InputError(f"a trial names the {what} {wanted!r}; choose one of {', '.join(known)}.")
            names = [
                [getattr(choice, what)] if getattr(choice, what) else list(known) for what, known in open_to.items()
            ]
            seeds = self.seeds if choice.seed is None else (choice.seed,)
            for key in itertools.product(*names, seeds):
                chosen[key] = choice
        if not 0 < len(chosen) <= MAX_TRIALS:
            raise InputError(f"the experiment has {len(chosen):,} trials; from 1 to {MAX_TRIALS:,} are possible.")
        return chosen

    def _network_plan(self, folder: Path, name: str) -> Plan:
        found = self.models[name]
        if isinstance(found, Network):
            place = folder / NETWORKS / slug(name)
            save_network(found, place)
            plan = {"network": str(place.resolve())}
            return plan if len(self.seeds) > 1 else {**plan, "weights": "saved"}
        check_model(found, name)
        return found

    def _dataset_plan(self, name: str) -> Plan:
        found = self.datasets[name]
        if isinstance(found, Dataset):
            return {}
        check_dataset(found, name)
        return found

    def _loss_plan(self, name: str) -> Plan:
        found = self.losses[name]
        if isinstance(found, Mapping):
            build_loss(found, name)
            return found
        return loss_plan(found)


@dataclass(frozen=True)
class TrialProgress:
    """Where an experiment stands.

    Attributes:
        finished, count: Trials that are done, and in all.
        stage: "start", "train", "validate" or "test" of this trial, or "waiting" for a worker; "done" or "failed" at its end, with `row`.
        share: How much of the stage is done, 0..1.
        training: What `fit` told, where this process trains; who sets its `stop` ends this trial early, and the others go on.
    """

    trial: Trial
    finished: int
    count: int
    stage: str
    share: float = 0.0
    row: Row | None = None
    training: Progress | None = None


OnProgress = Callable[[TrialProgress], None]


def run_experiment(
    experiment: Experiment, root: Path, on_progress: OnProgress | None = None, cluster: Cluster | None = None
) -> Results:
    """Do every trial that is not done yet and leave the table in the experiment's folder below `root`.

    A finished trial is read from its folder, a half-done one goes on where it was, and one that fails becomes a row with its sentence.

    Args:
        on_progress: Called many times a second; what it raises stops the experiment, which can be gone on with.
        cluster: Where trials run at the same time; by default here, one after another.

    Raises:
        InputError: An experiment with mistakes; then nothing was trained.
    """
    folder = experiment.folder(root)
    trials = experiment.trials(root)
    watch = on_progress or (lambda progress: None)
    rows: dict[str, Row] = {}

    def table() -> Results:
        ordered = tuple(rows[trial.folder] for trial in trials if trial.folder in rows)
        return Results(experiment.project, experiment.name, experiment.split, ordered)

    def finish(trial: Trial, row: Row) -> None:
        rows[trial.folder] = row
        table().save(folder, picture=len(rows) == len(trials))
        watch(TrialProgress(trial, len(rows), len(trials), "failed" if row.error else "done", 1.0, row))

    def tell(trial: Trial, stage: str, share: float, training: Progress | None = None) -> None:
        watch(TrialProgress(trial, len(rows), len(trials), stage, share, training=training))

    if cluster:
        from .cluster import run_on_cluster

        run_on_cluster(trials, folder, experiment.given(), cluster, tell, finish)
        return table()
    datasets = experiment.given()
    for trial in trials:
        try:
            row = run_trial(trial, folder, datasets, lambda *stand, trial=trial: tell(trial, *stand))
        except Stopped as stopped:
            raise stopped.reason from None
        finish(trial, row)
    return table()


def slug(name: str) -> str:
    """A name as a folder's name."""
    return re.sub(r"[^\w.+-]+", "-", name).strip("-.") or "unnamed"


def _folder_name(parts: tuple[str, str, str, int], used: tuple[bool, ...]) -> str:
    model, dataset, loss, seed = parts
    words = (model, dataset, loss, f"seed-{seed}")
    return "_".join(slug(word) for word, use in zip(words, used, strict=True) if use)


def _placed(trials: list[Trial], folder: Path) -> list[Trial]:
    """Give every trial the folder it was in before, or else one that nobody has, also where capitals do not tell folders apart."""
    before: dict[tuple[str, str, str, int], str] = {}
    owner: dict[str, tuple[str, str, str, int]] = {}
    for file in sorted(folder.glob(f"*/{TRIAL}")):
        if (data := _readable(file)) is not None:
            names = tuple(data[key] for key in ("model", "dataset", "loss", "seed"))
            before.setdefault(names, file.parent.name)
            owner[file.parent.name.casefold()] = names
    placed = []
    for trial in trials:
        place = before.get(trial.names)
        if place is None:
            place = trial.folder
            if place.casefold() in owner or place.casefold() == NETWORKS:
                place = _folder_name(trial.names, (True,) * 4)
            if place.casefold() in owner:
                other = ", ".join(map(str, owner[place.casefold()]))
                raise InputError(f"{trial.title} and {other} would share the folder {place}; rename one of them.")
        owner[place.casefold()] = trial.names
        placed.append(replace(trial, folder=place))
    return placed


def _readable(file: Path) -> Mapping[str, Any] | None:
    try:
        data = read_json(file)
    except InputError:
        return None
    return data if isinstance(data, dict) and {f.name for f in fields(Trial)} <= set(data) else None
