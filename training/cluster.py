"""Trials as tasks of a Ray cluster. All its machines must see the experiment's folder under the same path.

A trial whose worker dies is started again on another one and goes on from its folder.
"""

from __future__ import annotations

import math
import os
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ..nn_layers import InputError
from ..nn_layers.storage import read_json
from .results import Row
from .trial import RUNNING, Datasets, Trial, run_trial

LOCAL = "local"
LOOK_SECONDS = 0.5
OBJECT_STORE_BYTES = 100 * 2**20  # Ray would take a third of the memory; what does not fit goes to disk


@dataclass(frozen=True)
class Cluster:
    """Where trials run.

    Attributes:
        address: Of a Ray cluster that runs ("auto" finds the one of this machine), or "local" to start one for this experiment.
        cpus, gpus: What one trial takes; parts of a GPU may be given, such as 0.5. Without any, trials see no GPU and train on CPUs.
        workers: For "local", how many trials at a time; 0 for as many as there are CPUs for.
        retries: How often a trial is started again after its worker died.
    """

    address: str = LOCAL
    cpus: float = 1
    gpus: float = 0
    workers: int = 0
    retries: int = 3


def run_on_cluster(
    trials: list[Trial],
    folder: Path,
    datasets: Datasets,
    cluster: Cluster,
    tell: Callable[[Trial, str, float], None],
    finish: Callable[[Trial, Row], None],
) -> None:
    """Do all trials; `finish` is called with each one's row in the order in which they end.

    Args:
        tell: Called twice a second for each trial that runs, with its stage and share; what it raises stops all.

    Raises:
        InputError: Ray is not installed or not reachable.
    """
    ray, started = _connect(cluster)
    task = ray.remote(num_cpus=cluster.cpus, num_gpus=cluster.gpus, max_retries=cluster.retries)(_task)
    pending = {}
    try:
        shared = ray.put(datasets)
        rest = (str(folder.resolve()), uuid.uuid4().hex, shared, int(cluster.cpus))
        pending = {task.remote(trial.to_dict(), *rest): trial for trial in trials}
        while pending:
            done, _ = ray.wait(list(pending), timeout=LOOK_SECONDS)
            for reference in done:
                trial = pending.pop(reference)
                finish(trial, _row(ray, reference, trial))
            _tell(pending.values(), folder, tell)
    finally:
        for reference in pending:
            ray.cancel(reference, force=False)
        if pending:
            ray.wait(list(pending), num_returns=len(pending), timeout=10)  # fit saves where it stands
        if started:
            ray.shutdown()


_read: dict[str, Datasets] = {}
"""In a worker: the datasets that it has read for the experiment it works on."""


def _task(trial: dict, root: str, experiment: str, given: Datasets, threads: int) -> dict:
    """What a worker does."""
    import torch

    torch.set_num_threads(max(1, threads))
    if experiment not in _read:
        _read.clear()
        _read[experiment] = dict(given)
    return run_trial(Trial.from_dict(trial), Path(root), _read[experiment]).to_dict()


def _row(ray, reference, trial: Trial) -> Row:
    try:
        return Row.from_dict(ray.get(reference))
    except ray.exceptions.RayError as error:
        first = (str(error).strip().splitlines() or [""])[0]
        return Row(*trial.names, folder=trial.folder, error=f"its worker was lost ({type(error).__name__}): {first}")


def _tell(trials, folder: Path, tell: Callable[[Trial, str, float], None]) -> None:
    """Say where every trial that runs stands, and of one that waits if none runs, so that watchers can stop."""
    trials = list(trials)
    stands = [(trial, stand) for trial in trials if (stand := _stand(folder / trial.folder / RUNNING))]
    for trial, stand in stands:
        tell(trial, stand.get("stage", "start"), stand.get("share", 0.0))
    if trials and not stands:
        tell(trials[0], "waiting", 0.0)


def _stand(file: Path) -> dict | None:
    try:
        return read_json(file)
    except (InputError, OSError):
        return None  # it ended just now


def _connect(cluster: Cluster):
    """The ray module, connected, and whether this call connected it."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # it would report to its makers
    try:
        import ray
    except ImportError:
        raise InputError(
            "running on a cluster needs the package ray; install it with: pip install 'visionsmith[cluster]'."
        ) from None
    if ray.is_initialized():
        return ray, False
    quiet = {"include_dashboard": False, "log_to_driver": False, "configure_logging": False}
    try:
        if cluster.address == LOCAL:
            cpus = cluster.workers * cluster.cpus if cluster.workers else None
            ray.init(num_cpus=cpus and math.ceil(cpus), object_store_memory=OBJECT_STORE_BYTES, **quiet)
        else:
            ray.init(cluster.address, log_to_driver=False)
    except (ConnectionError, RuntimeError, ValueError, TimeoutError) as error:
        first = (str(error).strip().splitlines() or [""])[0]
        raise InputError(
            f"ray {cluster.address}: no cluster could be reached ({first}); start one with 'ray start --head', or use --ray local."
        ) from error
    found = ray.cluster_resources()
    for kind, wanted in (("CPU", cluster.cpus), ("GPU", cluster.gpus)):
        if cluster.address == LOCAL and wanted > found.get(kind, 0):
            ray.shutdown()
            raise InputError(
                f"a trial wants {wanted:g} {kind}s, but this machine has {found.get(kind, 0):g}; ask for less."
            )
    return ray, True
