"""Many files at once: each is fetched or copied by itself, and one that fails does not stop the others."""

from __future__ import annotations

import os
import shutil
import threading
import time
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path

from .fetch import fetch
from .manifest import PACKAGE, File
from .plan import Notes, Step, gigabytes
from .remote import PATIENT, FetchError, Patience, Remote
from .tokens import Checked, Host, host_of, located

Say = Callable[[str], None]
JOBS = 8
EVERY = 10.0
"""Seconds between two lines of progress."""


@dataclass(frozen=True)
class Outcome:
    """What became of a file: "in place", "fetched", "copied", "yours", "other", "failed", "permission" or "would fetch", "would copy"."""

    file: File
    state: str
    note: str = ""


class _Stopped(BaseException):
    """Raised inside a download when the program is being stopped."""


class _Meter:
    """Bytes of all downloads together, and when to say something."""

    def __init__(self, total: int, say: Say):
        self.total, self.say, self.stop = total, say, threading.Event()
        self.done: dict[str, int] = {}
        self.start = self.last = time.monotonic()

    def watch(self, name: str) -> Callable[[int, int], None]:
        """The callback of one download."""
        first: list[int] = []

        def on_bytes(done: int, total: int) -> None:
            if self.stop.is_set():
                raise _Stopped
            first[:] = first or [done]
            self.done[name] = max(0, done - first[0])

        return on_bytes

    def tick(self) -> None:
        """Say how far it is, every now and then."""
        now = time.monotonic()
        if now - self.last >= EVERY:
            self.last, done = now, sum(self.done.values())
            of = f" of {gigabytes(self.total)}" if self.total else ""
            self.say(f"  {gigabytes(done)}{of}, {gigabytes(done / (now - self.start))}/s")


def transfer(
    steps: list[Step],
    notes: Notes,
    tokens: dict[Host, Checked],
    say: Say,
    jobs: int = JOBS,
    patience: Patience = PATIENT,
    replace: bool = False,
) -> list[Outcome]:
    """Do what the steps say, several at once.

    Args:
        tokens: What the hosts said of their tokens.
        replace: Fetch a file anew where another one of its name is.

    Raises:
        KeyboardInterrupt: Ctrl-C; what has come of each file is kept for the next time.
    """
    meter = _Meter(sum(step.missing for step in steps), say)
    outcomes: dict[str, Outcome] = {}
    with ThreadPoolExecutor(max(1, jobs)) as pool:
        waiting: set[Future[Outcome]] = {
            pool.submit(_one, step, notes, tokens, meter, patience, replace) for step in steps
        }
        try:
            while waiting:
                done, waiting = wait(waiting, timeout=0.2, return_when=FIRST_COMPLETED)
                for outcome in (future.result() for future in done):
                    outcomes[outcome.file.name] = outcome
                    if outcome.state not in ("in place", "yours"):
                        say(f"  {outcome.file.name}: {outcome.state}{f' ({outcome.note})' if outcome.note else ''}")
                meter.tick()
        except BaseException:
            meter.stop.set()
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return [outcomes[step.file.name] for step in steps]


def _one(
    step: Step, notes: Notes, tokens: dict[Host, Checked], meter: _Meter, patience: Patience, replace: bool
) -> Outcome:
    file = step.file
    if step.todo == "copy":
        return _copied(step)
    if step.todo == "other" and replace and file.url and not step.path.is_dir():
        pass  # the new one takes its name when it is whole and right
    elif step.todo != "fetch":
        note = f"{step.note}; move {step.path} away, or use --replace" if step.todo == "other" else step.note
        return Outcome(file, step.todo, note)
    url = located(file.url)
    host = host_of(url)
    said = tokens.get(host) if host else None
    if file.gated and (refusal := _needs(file, host, said)):
        return Outcome(file, "permission", refusal)
    token = host.token() if host and said and said.state != "unknown" else None
    try:
        came = fetch(Remote(url, file.size, file.sha256), step.path, token, meter.watch(file.name), patience)
    except FetchError as error:
        if error.kind == "refused":
            return Outcome(file, "permission", _refused(file, host, said, error.status))
        return Outcome(file, "failed", str(error))
    notes.keep(step.path, came.sha256)
    checked = {
        "published": "checksum right",
        "host": "checksum as its host tells it",
        "": "not checked: no checksum published",
    }
    return Outcome(file, "fetched", checked[came.checked])


def _copied(step: Step) -> Outcome:
    part = step.path.with_name(f".{step.path.name}.{os.getpid()}.part")
    try:
        step.path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(Path(PACKAGE / step.file.source), part)
        part.replace(step.path)
    except OSError as error:
        return Outcome(step.file, "failed", f"{step.path} could not be written ({error.strerror}).")
    finally:
        part.unlink(missing_ok=True)
    return Outcome(step.file, "copied")


def _needs(file: File, host: Host | None, said: Checked | None) -> str:
    """What a gated file wants that is known to be lacking before it is asked for; "" if nothing is."""
    if host is None or said is None:
        return ""
    if said.state == "none":
        return f"accept its licence on {file.page or host.base()}, then set {host.variable} to a token from {host.settings} and run again"
    if said.state == "unknown":
        return f"{said}; its account must have accepted the licence on {file.page or host.base()}"
    if not said.gated:
        return f'the token in {host.variable} may not read gated files: switch on "Read access to contents of all public gated repos you can access" on {host.settings}'
    return ""


def _refused(file: File, host: Host | None, said: Checked | None, status: int) -> str:
    """What to do about 401 and 403."""
    page = file.page or file.url
    if host is None:
        return f"its server refuses it ({status}); see {page}"
    if said is None or said.state == "none":
        return f"its server refuses it ({status}) without a token: see {page}, set {host.variable} to a token from {host.settings} and run again"
    account = f"account {said.account}" if said.account else "account of this token"
    return f"the token in {host.variable} has no access to it ({status}): accept its licence on {page} with the {account}, wait until it is granted, and run again"
