"""Training on several devices: a process for each, joined by Lightning Fabric. Whoever called `fit` only watches them.

Every process works through the same epochs in the same order and takes its part of each batch; gradients are averaged. The first one validates
and writes the run's folder, which all machines must see under the same path.
"""

from __future__ import annotations

import logging
import os
import signal
import socket
import tempfile
import threading
import time
import traceback
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from itertools import count
from multiprocessing import connection, get_context
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from ..nn_layers import InputError, Network, load_network, save_network
from .dataset import Dataset
from .losses import Loss
from .optimizers import Optimizer
from .settings import FitSettings

if TYPE_CHECKING:
    from .fit import Progress

COMMAND = "several devices are for the command `visionsmith`; set it to 1 here"
PACKAGE = __name__.partition(".")[0]
LOOK_SECONDS = 0.25
SAVE_SECONDS = 600.0
PROGRESS_SECONDS = 0.1
_launches = count()


@dataclass(frozen=True)
class Team:
    """The processes that train one network together, and which of them this is. A process by itself is a team too."""

    rank: int = 0
    world: int = 1

    @property
    def leads(self) -> bool:
        """Whether this process validates and writes."""
        return self.rank == 0

    def share(self, value: Tensor, own: int, whole: int) -> Tensor:
        """The loss of this process's `own` samples, so weighted that the mean over the team is the mean over the `whole` batch."""
        return value if self.world == 1 else value * (own * self.world / whole)

    def mean(self, share: Tensor) -> Tensor:
        """The mean of all processes' shares, without a gradient."""
        share = share.detach()
        if self.world > 1:
            share = share.clone()
            torch.distributed.all_reduce(share)
            share /= self.world
        return share

    def sum(self, part: Tensor) -> Tensor:
        """The sum of all processes' parts; `part` is used up."""
        if self.world > 1:
            torch.distributed.all_reduce(part)
        return part

    def same(self, value: Any) -> Any:
        """What the first process has, in all of them."""
        if self.world == 1:
            return value
        values = [value]
        torch.distributed.broadcast_object_list(values)
        return values[0]

    def sow(self, seed: int, step: int, batch: int) -> None:
        """Give every process dropout of its own, the same again when a training goes on at this batch."""
        if self.world > 1:
            torch.manual_seed(hash((seed, step, batch, self.rank)) % 2**63)


@dataclass(frozen=True)
class _Work:
    """What a process has to do; the network lies in `network`, a folder."""

    network: str
    dataset: Dataset
    loss: Loss
    optimizer: Optimizer
    settings: FitSettings
    folder: Path
    machine: int
    address: str
    port: int
    threads: int


def check_devices(settings: FitSettings) -> None:
    """Refuse devices or machines that cannot be used from here.

    Raises:
        InputError: Says which setting.
    """
    if settings.devices * settings.nodes == 1:
        return
    what = f"devices is {settings.devices}" if settings.devices > 1 else f"nodes is {settings.nodes}"
    if PACKAGE != "visionsmith":  # inside ComfyUI, where a new process would start the server again
        raise InputError(f"{what}, but {COMMAND}.")
    world = settings.devices * settings.nodes
    if settings.batch_size < world:
        raise InputError(
            f"batch_size is {settings.batch_size}, but there are {world} devices to share a batch; choose at least {world}."
        )
    has = torch.cuda.device_count() if settings.device == "cuda" else 1 if settings.device == "mps" else None
    if has is not None and settings.devices > has:
        raise InputError(
            f"devices is {settings.devices}, but this machine has {has} of {settings.device}; ask for less."
        )
    for name in ("MASTER_ADDR", "MASTER_PORT", "NODE_RANK") if settings.nodes > 1 else ():
        if name not in os.environ:
            raise InputError(
                f"nodes is {settings.nodes}, but {name} is not set; start the same command on each machine with MASTER_ADDR and MASTER_PORT of "
                f"the first one, and with NODE_RANK 0, 1 and so on."
            )


def train_together(
    network: Network, dataset: Dataset, loss: Loss, optimizer: Optimizer, settings: FitSettings, folder: Path
) -> Iterator[Progress]:
    """What `fit` does, on `settings.devices` devices of `settings.nodes` machines.

    Yields:
        A `Progress` several times a second, and one for every epoch.

    Raises:
        InputError: What a process refuses.
        RuntimeError: A process failed or was killed; the same call goes on from what was saved last.
    """
    settings = settings.on(_resolved(settings.device))
    with tempfile.TemporaryDirectory() as place:
        save_network(network, Path(place))
        threads = max(1, torch.get_num_threads() // settings.devices)
        launch, machine = next(_launches), int(os.environ["NODE_RANK"]) if settings.nodes > 1 else 0
        address = os.environ["MASTER_ADDR"] if settings.nodes > 1 else "127.0.0.1"
        port = int(os.environ["MASTER_PORT"]) + launch if settings.nodes > 1 else _free_port()
        rest = (settings, folder.resolve(), machine, address, port, threads)
        with _started(_Work(place, dataset, loss, optimizer, *rest), settings.devices) as workers:
            yield from workers.watch()


def together(settings: FitSettings) -> dict[str, Any]:
    """What Fabric has to know in a process of a team; the process finds its place in the environment, see `_work`."""
    from datetime import timedelta

    from lightning_fabric.plugins.environments import LightningEnvironment
    from lightning_fabric.strategies import DDPStrategy

    logging.getLogger("lightning_fabric").setLevel(
        logging.WARNING
    )  # its import sets it to INFO, and it announces each process
    waits = timedelta(days=1)  # for the first process, while it validates
    return {
        "strategy": DDPStrategy(timeout=waits),
        "plugins": [LightningEnvironment()],
        "num_nodes": settings.nodes,
    }


def _resolved(device: str) -> str:
    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    return device


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


@dataclass
class _Workers:
    """The processes of this machine and the lines to them; those that have ended well are in `ended`."""

    processes: list = field(default_factory=list)
    links: list[connection.Connection] = field(default_factory=list)
    ended: set[int] = field(default_factory=set)

    def watch(self) -> Iterator[Progress]:
        """Tell how training goes until all have ended."""
        from .fit import Progress

        latest = Progress(0, 1, 0, 1, torch.tensor(torch.nan), 0.0, "start")
        while len(self.ended) < len(self.links):
            progress = None
            for number, kind, data in self.messages(LOOK_SECONDS):
                if kind == "progress":
                    progress = Progress(*data[:4], torch.tensor(data[4]), *data[5:])
                    if progress.record:
                        yield progress
                elif kind == "refused":
                    raise InputError(data)
                elif kind == "failed":
                    self.tell_of_killed()  # the others lose the line to it, and fail, too
                    raise RuntimeError(f"device {number} of {len(self.links)}: {data}")
            latest = progress or latest
            yield latest if latest.record is None else replace(latest, record=None)  # whoever watches may want to stop

    def messages(self, seconds: float) -> Iterator[tuple[int, str, Any]]:
        """What the processes said: number, kind and data."""
        open_links = [link for number, link in enumerate(self.links) if number not in self.ended]
        for link in connection.wait(open_links, seconds):
            number = self.links.index(link)
            while number not in self.ended and link.poll():
                try:
                    kind, data = link.recv()
                except (EOFError, OSError):
                    raise self.killed(number) from None
                if kind == "ended":
                    self.ended.add(number)
                yield number, kind, data

    def killed(self, number: int) -> RuntimeError:
        """What to raise when a process is gone without a word."""
        return RuntimeError(
            f"the process of device {number} of {len(self.links)} was killed; start again to go on from what was saved last."
        )

    def tell_of_killed(self) -> None:
        """Raise if one of the processes was ended by a signal."""
        for number, process in enumerate(self.processes):
            if (process.exitcode or 0) < 0:
                raise self.killed(number)

    def stop(self) -> None:
        """Let the first process save where it stands and end."""
        if 0 in self.ended or not self.processes[0].is_alive():
            return
        try:
            self.links[0].send("stop")
            while 0 not in self.ended and connection.wait([self.links[0]], SAVE_SECONDS):
                kind, _ = self.links[0].recv()
                if kind != "progress":
                    self.ended.add(0)
        except (EOFError, OSError):
            return  # it is gone


@contextmanager
def _started(work: _Work, devices: int) -> Iterator[_Workers]:
    """Processes at work. Leaving the block early lets the first one save; none is left afterwards."""
    spawn, workers = get_context("spawn"), _Workers()
    try:
        for number in range(devices):
            ours, theirs = spawn.Pipe()
            process = spawn.Process(target=_work, args=(work, number, theirs), daemon=True)
            process.start()
            theirs.close()
            workers.processes.append(process)
            workers.links.append(ours)
        yield workers
    except (InputError, RuntimeError):
        raise
    except BaseException:  # Cancel, or nobody listens any more
        workers.stop()
        raise
    finally:
        done = len(workers.ended) == devices
        for process in workers.processes:
            if done:
                process.join(10)
            process.kill()
            process.join()


def _work(work: _Work, number: int, link: connection.Connection) -> None:
    """What a process does."""
    from .fit import train

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # whoever watches gets Ctrl-C too, and says when to stop
    os.environ |= {"LOCAL_RANK": str(number), "NODE_RANK": str(work.machine)}
    os.environ |= {"MASTER_ADDR": work.address, "MASTER_PORT": str(work.port)}
    torch.set_num_threads(work.threads)
    stop = threading.Event()
    threading.Thread(target=_listen, args=(link, stop), daemon=True).start()
    settings = work.settings
    team = Team(work.machine * settings.devices + number, settings.devices * settings.nodes)
    try:
        network = load_network(Path(work.network))
        steps = train(network, work.dataset, work.loss, work.optimizer, settings, work.folder, team)
        with closing(steps), torch.inference_mode(False):
            _report(steps, link if number == 0 else None, stop)
        link.send(("ended", None))
    except InputError as error:
        link.send(("refused", str(error)))
    except Exception:
        link.send(("failed", traceback.format_exc()))


def _listen(link: connection.Connection, stop: threading.Event) -> None:
    """Wait for the word to stop; without anybody at the other end, end at once."""
    try:
        link.recv()
        stop.set()
    except (EOFError, OSError):
        os._exit(1)


def _report(steps: Iterator[Progress], link: connection.Connection | None, stop: threading.Event) -> None:
    """Carry out the steps, and tell of them ten times a second."""
    told = 0.0
    for progress in steps:
        now = time.monotonic()
        if link and (progress.record or now - told > PROGRESS_SECONDS):
            told = now
            stand = (progress.step, progress.steps, progress.epoch, progress.epochs, float(progress.loss))
            link.send(("progress", (*stand, progress.learning_rate, progress.stage, progress.record)))
        if stop.is_set():
            return
