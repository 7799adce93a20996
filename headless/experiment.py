"""`visionsmith experiment FILE.yaml` and `visionsmith best FOLDER`: experiments without a canvas."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..nn_layers.errors import InputError

if TYPE_CHECKING:
    from ..training import FitSettings

MAX_BYTES = 2**20
SHOWN = 6  # metrics that fit beside each other in a terminal; the files have all
SECTIONS = ("project", "name", "models", "datasets", "losses", "optimizer", "train", "seeds", "test", "trials")
NEEDED = ("models", "datasets", "losses")
EXAMPLE = "see 'visionsmith experiment --help' for an example."


def read_experiment(file: Path):
    """The `Experiment` that a YAML file describes.

    Raises:
        InputError: No such file, no YAML, an unknown or missing section or setting; says which.
    """
    from ..training import FitSettings, Optimizer
    from ..training.experiment import Choice, Experiment
    from ..training.plans import absolute, build_loss, check_model, make

    data = _read_yaml(file)
    if unknown := [key for key in data if key not in SECTIONS]:
        raise InputError(f"{file} has the unknown section {unknown[0]!r}; the sections are {', '.join(SECTIONS)}.")
    if missing := [key for key in NEEDED if not data.get(key)]:
        raise InputError(f"{file} has no section {missing[0]}; add it, {EXAMPLE}")
    base = file.resolve().parent
    models = {name: _model(plan, base) for name, plan in _named(data["models"], "models").items()}
    for name, plan in models.items():
        check_model(plan, name)
    datasets = {name: absolute(plan, name, base) for name, plan in _named(data["datasets"], "datasets").items()}
    losses = _named(data["losses"], "losses")
    for name, plan in losses.items():
        build_loss(plan, name)
    train = dict(_mapping(data.get("train"), "train"))
    if "seed" in train:
        raise InputError(f"train in {file} has a seed; write seeds: [{train['seed']}] beside it instead.")
    return Experiment(
        project=str(data.get("project") or "experiments"),
        name=str(data.get("name") or file.stem),
        models=models,
        datasets=datasets,
        losses=losses,
        optimizer=make(Optimizer, _mapping(data.get("optimizer"), "optimizer"), "optimizer"),
        settings=make(FitSettings, train, "train"),
        seeds=_seeds(data.get("seeds", [0])),
        split=str(data.get("test") or "test"),
        choices=tuple(
            make(Choice, plan or {}, "an entry of trials") for plan in _list(data.get("trials", [{}]), "trials")
        ),
    )


def _read_yaml(file: Path) -> dict[str, Any]:
    if not file.is_file():
        raise InputError(f"{file} does not exist; give the path of an experiment's YAML file.")
    if file.stat().st_size > MAX_BYTES:
        raise InputError(
            f"{file} is larger than {MAX_BYTES // 2**20} MiB, too large for an experiment; choose another."
        )
    try:
        import yaml
    except ImportError:
        raise InputError("reading YAML needs the package pyyaml; install it with: pip install pyyaml.") from None
    try:
        data = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        reason = " ".join(str(error).split())
        raise InputError(f"{file} is no readable YAML ({reason}); correct it, {EXAMPLE}") from error
    if not isinstance(data, dict):
        raise InputError(f"{file} has no sections; write models, datasets and losses, {EXAMPLE}")
    return data


def _named(section: Any, what: str) -> dict[str, Any]:
    """A section as name → plan; a list of plans gets names from what they say, or from their "name"."""
    if isinstance(section, dict):
        return {str(name): plan for name, plan in section.items()}
    named: dict[str, Any] = {}
    for plan in _list(section, what):
        plan = dict(_mapping(plan, f"an entry of {what}"))
        name = str(plan.pop("name", "") or _name_of(plan))
        if name in named:
            raise InputError(
                f"{what} has two entries called {name!r}; give each a name of its own, such as name: {name}-2."
            )
        named[name] = plan
    return named


def _name_of(plan: Mapping[str, Any]) -> str:
    """What to call a plan without a name: its architecture and encoder, its type, or the last part of its path."""
    words = [str(plan[key]) for key in ("architecture", "encoder", "type") if key in plan]
    if words or not plan:
        return "-".join(words) or "unnamed"
    if isinstance(plan.get("sum"), list):
        return " + ".join(_name_of(term) if isinstance(term, dict) else str(term) for term in plan["sum"])
    kind, value = next(iter(plan.items()))
    value = next(iter(value.values()), "") if isinstance(value, Mapping) else value
    return Path(value).name if isinstance(value, str) and value else str(kind)


def _model(plan: Any, base: Path) -> Any:
    return (
        {**plan, "network": str(base / Path(str(plan["network"])).expanduser())}
        if isinstance(plan, dict) and "network" in plan
        else plan
    )


def _mapping(section: Any, what: str) -> Mapping[str, Any]:
    if section is not None and not isinstance(section, dict):
        raise InputError(f"{what} is {section!r}; write its settings as name: value.")
    return section or {}


def _list(section: Any, what: str) -> list[Any]:
    if not isinstance(section, list) or not section:
        raise InputError(f"{what} is {section!r}; write a list with at least one entry.")
    return section


def _seeds(section: Any) -> tuple[int, ...]:
    seeds = section if isinstance(section, list) else [section]
    if not seeds or any(type(seed) is not int or seed < 0 for seed in seeds):
        raise InputError(f"seeds is {section!r}; write whole numbers from 0, such as [0, 1, 2].")
    return tuple(dict.fromkeys(seeds))


def run_file(options: argparse.Namespace) -> int:
    """Run an experiment with its progress in the terminal; prints the table and the winner."""
    from ..training.cluster import Cluster
    from ..training.experiment import run_experiment
    from .cli import FAILED, INTERRUPTED, OK, interrupt_once
    from .display import TerminalDisplay

    experiment = read_experiment(options.file)
    experiment = replace(experiment, settings=_spread(experiment.settings, options))
    cluster = Cluster(options.ray, options.cpus, options.gpus) if options.ray else None
    with TerminalDisplay() as display:
        watch = _Watch(display)
        interrupt_once(watch)
        try:
            results = run_experiment(experiment, options.output, watch, cluster)
        except KeyboardInterrupt:
            print("interrupted; what was trained is kept, and the same command goes on where it was", file=sys.stderr)
            return INTERRUPTED
    print(results.text(results.metrics[:SHOWN]))
    print(f"results: {experiment.folder(options.output)}")
    if len(results.failed) == len(results.rows):
        return FAILED
    print(winner(results))
    return OK


def _spread(settings: FitSettings, options: argparse.Namespace) -> FitSettings:
    """`settings` on as many devices and machines as the command line says."""
    wanted = {name: value for name in ("devices", "nodes") if (value := getattr(options, name))}
    if options.ray and max(wanted.values(), default=1) > 1:
        raise InputError(
            "--ray gives each training to one worker, so it does not go with --devices or --nodes; leave one out."
        )
    return replace(settings, **wanted)


class _Watch:
    """Moves the bar, prints a line per finished trial, and stops at Ctrl-C."""

    def __init__(self, display: Any):
        self.display, self.interrupted, self.current = display, False, ""

    def __call__(self, progress: Any) -> None:
        if self.interrupted:
            raise KeyboardInterrupt
        trial, row = progress.trial, progress.row
        place = f"{min(progress.finished + (row is None), progress.count)}/{progress.count}"
        if trial.title != self.current:
            self.current = trial.title
            self.display.start(place, trial.title)
        if row is None:
            self.display.progress(place, progress.share, 1.0)
            self.display.text(place, f"{place} {progress.stage}")
            return
        scores = ", ".join(f"{name} {value:.4f}" for name, value in list(row.scores.items())[:4])
        self.display.finish(place, trial.title, [row.error or scores])


def winner(results: Any, by: tuple[str, ...] = (), on: str = "") -> str:
    """The best trial in a sentence."""
    row, by, on = results.best(by, on)
    found = row.scores if on == results.split else row.validation
    figures = ", ".join(f"{name} {found[name]:.4f}" for name in by)
    tested = (
        "" if on == results.split else ", " + ", ".join(f"{row.scores[m]:.4f}" for m in by) + f" on {results.split}"
    )
    names = f"{row.model} with {row.loss} on {row.dataset}, seed {row.seed}, epoch {row.best_epoch}"
    return f"best: {names} ({figures} on {on}{tested}), in {row.folder}/train"


def copy_best(options: argparse.Namespace) -> int:
    """Print the table and the winner, and copy the winner's network to FOLDER/best."""
    from ..nn_layers import save_network
    from ..nn_layers.files import atomic
    from ..training import Run
    from ..training.results import Results
    from ..training.trial import TRAIN
    from .cli import OK

    results = Results.load(options.folder)
    by = tuple(name.strip() for name in options.by.split(",") if name.strip())
    row, by, on = results.best(by, options.on)
    best = options.folder / "best"
    save_network(Run.load(options.folder / row.folder / TRAIN).network(), best)
    with atomic(best / "best.json") as path:
        path.write_text(json.dumps({"by": by, "on": on, **asdict(row)}, indent=1), encoding="utf-8")
    print(results.text(by))
    print(winner(results, by, on))
    print(f"copied to {best}")
    return OK
