"""Charts of trainings as the canvas draws them: of those that run, and of those that a node ran before, found again on disk.

A chart is a table: `notes` (warnings, and where the run is), `state`, `metric`, `step` of `steps`, `epochs`, `best` (the best
epoch, 0 for none), and `points`, each [step, training loss, validation loss, metric, metric over the training split] with None
for what there is not. It never has more than `MOST_POINTS` of epochs and as many of steps. The page puts it into words, in the
person's language.
"""

from __future__ import annotations

import json
import math
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from ...nn_layers import InputError
from ...nn_layers.files import atomic
from ...nn_layers.storage import read_json
from ...training import Run
from ...training.finetune import FinetuneRun
from ...training.run import SETTINGS, Epoch
from ...training.trial import was_stopped
from ..host import host

MOST_POINTS = 1000
INDEX, MOST_KNOWN = "runs/canvas.json", 500

Point = Sequence[float | None]


class Training(Protocol):
    """A training that runs in a node."""

    node_id: str
    workflow: str
    stopping: bool

    def chart(self) -> dict[str, Any]:
        """All of its chart so far."""
        ...


_running: dict[str, Training] = {}
_wishes: dict[str, int] = {}
_writing = threading.Lock()


def workflow_of(node: type) -> str:
    """The id of the workflow that a node is executed in; empty where a program queued it."""
    workflow = (node.hidden.extra_pnginfo or {}).get("workflow") or {}
    return str(workflow.get("id") or "")[:100]


def begin(training: Training) -> None:
    """From now on the canvas may ask for its chart, and ask it to stop."""
    _running[training.node_id] = training


def end(training: Training) -> None:
    """It does not run any more."""
    if _running.get(training.node_id) is training:
        del _running[training.node_id]


def at_work(workflow: str, node_id: str) -> Training | None:
    """What trains in a node of a workflow now."""
    training = _running.get(node_id)
    return training if training and training.workflow in ("", workflow) else None


def stop(workflow: str, node_id: str | None) -> list[str]:
    """Ask the training in a node, or every training, to end after its step and to keep the best weights; the nodes that were asked."""
    found = list(_running.values()) if node_id is None else [at_work(workflow, node_id)]
    asked = [training for training in found if training]
    for training in asked:
        training.stopping = True
    return [training.node_id for training in asked]


def go_on(node_id: str) -> None:
    """Let ComfyUI execute a node again when it is queued next, although nothing of it has changed."""
    if len(_wishes) >= MOST_KNOWN:
        _wishes.clear()
    _wishes[node_id] = _wishes.get(node_id, 0) + 1


def wishes(node: type) -> int:
    """For `fingerprint_inputs` of a node that trains: how often it was asked to go on."""
    return _wishes.get(node.hidden.unique_id, 0)


def remember(
    workflow: str, node_id: str, folder: Path, title: str = "", stopped: Mapping[str, Path] | None = None
) -> None:
    """Note down that a node shows the run in `folder`, so that a page, or a server, that starts anew finds it.

    `stopped` are other trainings of the node that were ended before their time, by title: as long as one of them is, it can go on.
    """
    root = host().folder("output").resolve()
    if not workflow or not folder.is_relative_to(root):
        return
    others = {name: run.relative_to(root).as_posix() for name, run in (stopped or {}).items()}
    with _writing:
        known = _index()
        known.pop(f"{workflow} {node_id}", None)
        known[f"{workflow} {node_id}"] = [folder.relative_to(root).as_posix(), title, others]
        (root / INDEX).parent.mkdir(parents=True, exist_ok=True)
        with atomic(root / INDEX) as path:
            path.write_text(json.dumps(dict(list(known.items())[-MOST_KNOWN:]), indent=0), encoding="utf-8")


def shown_before(workflow: str, node_id: str) -> dict[str, Any] | None:
    """The chart of the run that a node showed last, from its folder; None if there is none any more."""
    root = host().folder("output").resolve()
    place, title, others = _index().get(f"{workflow} {node_id}", ("", "", {}))
    folders = {name: (root / other).resolve() for name, other in {"": place, **others}.items()}
    if not place or not all(folder.is_relative_to(root) for folder in folders.values()):
        return None
    try:
        chart = chart_of(folders.pop("")) | {"title": title}
        return with_stopped(chart, [name for name, folder in folders.items() if was_stopped(folder)])
    except (InputError, OSError, KeyError, TypeError, ValueError):  # removed, or half written by a crash
        return None


def with_stopped(chart: dict[str, Any], titles: Sequence[str]) -> dict[str, Any]:
    """The chart of a node that did several trainings, of which some were stopped: it says which, and offers to go on."""
    if not titles:
        return chart
    note = f"stopped before their end, to go on when this is executed again: {'; '.join(titles)}"
    return chart | {"state": "stopped", "notes": [note, *chart["notes"]]}


def _index() -> dict[str, tuple[str, str, dict[str, str]]]:
    try:
        found = read_json(host().folder("output").resolve() / INDEX)
    except (InputError, OSError):
        return {}
    whole = found.items() if isinstance(found, dict) else ()
    return {key: known for key, entry in whole if (known := _known(entry))}


def _known(entry: Any) -> tuple[str, str, dict[str, str]] | None:
    """An entry of the index: folder, title, and stopped trainings, which those of older versions lack; None if it is none."""
    if not isinstance(entry, list) or [type(part) for part in entry] not in ([str, str], [str, str, dict]):
        return None
    folder, title, others = [*entry, {}][:3]
    return (folder, title, others) if all(name and isinstance(other, str) for name, other in others.items()) else None


def chart_of(folder: Path) -> dict[str, Any]:
    """The chart of the run in `folder`, of a network or of a fine-tuning."""
    if read_json(folder / SETTINGS).get("kind") == "finetune":
        return finetune_chart(FinetuneRun.load(folder))
    return run_chart(Run.load(folder))


def run_chart(run: Run) -> dict[str, Any]:
    """The chart of a network's training."""
    last = run.step or max((epoch.step for epoch in run.history), default=1)
    unit = last / max(1, run.curve[-1][0]) if run.curve else 1.0  # on a GPU the curve counts every tenth step
    losses = [of_step(step * (unit if unit > 5 else 1), loss) for step, loss in run.curve]
    epochs = [of_epoch(epoch) for epoch in run.history]
    chart = {"state": _left(run.state), "metric": run.metric, "best": run.best_epoch, "step": last}
    chart |= {"steps": run.steps or last, "epochs": run.epochs or len(run.history)}
    chart["notes"] = [*run.warnings, _place(run.folder)]
    return {**chart, "points": written([*thin(losses), *thin(epochs)])}


def finetune_chart(run: FinetuneRun) -> dict[str, Any]:
    """The chart of a fine-tuning, which has no validation."""
    how = run.settings["settings"]
    epochs = round(how["steps"] * how["batch_size"] * how["accumulate"] / max(1, run.settings["pictures"]))
    points = thin([of_step(step, loss) for step, loss in run.curve])
    chart = {"state": _left(run.state), "metric": "loss", "best": 0, "step": run.step, "epochs": max(1, epochs)}
    chart["steps"] = run.step if run.state == "done" else max(run.step, how["steps"])
    chart["notes"] = [*run.settings["warnings"], _place(run.folder)]
    return {**chart, "points": written(points)}


def _place(folder: Path) -> str:
    """Where a run is, for people."""
    root = host().folder("output").resolve()
    return f"run: {folder.relative_to(root).as_posix() if folder.is_relative_to(root) else folder.name}"


def _left(state: str) -> str:
    """What a run on disk that says it is running is to a person: one that was cancelled, or whose server is gone."""
    return "interrupted" if state == "running" else state


def of_step(step: float, loss: float) -> Point:
    """The point of a step."""
    return step, loss, None, None, None


def of_epoch(epoch: Epoch) -> Point:
    """The point of an epoch."""
    return epoch.step, epoch.train_loss, epoch.val_loss, epoch.metric, epoch.train_metric


def is_epoch(point: Point) -> bool:
    """Whether a point is that of an epoch."""
    return any(value is not None for value in point[2:])


def thin(points: Sequence[Point], most: int = MOST_POINTS) -> list[Point]:
    """At most `most` of the points, evenly, the last among them."""
    stride = -(-len(points) // most)
    return list(points) if stride <= 1 else list(points[(len(points) - 1) % stride :: stride])


def written(points: Sequence[Point]) -> list[list[float | None]]:
    """Points in order and as JSON: six digits, and null for what is no finite number."""

    def number(value: float | None) -> float | None:
        return None if value is None or not math.isfinite(value) else float(f"{value:.6g}")

    return [
        [round(point[0] or 0), *map(number, point[1:])] for point in sorted(points, key=lambda point: point[0] or 0)
    ]


def clock(seconds: float) -> str:
    """Seconds as m:ss or h:mm:ss."""
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"
