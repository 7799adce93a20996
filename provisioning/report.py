"""The table at the end, and the exit code that tells how it went."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from .manifest import File
from .plan import gigabytes
from .software import Result
from .transfer import Outcome

COMPLETE, FAILED, INVALID, PERMISSION, FULL, INTERRUPTED = 0, 1, 2, 3, 4, 130
EXIT_CODES = {
    COMPLETE: "everything is in place",
    FAILED: "something failed; the same command goes on where it stopped",
    INVALID: "the command or the manifest is wrong; nothing was done",
    PERMISSION: "everything is in place but files that want a permission",
    FULL: "a disk is too small; nothing was fetched",
    INTERRUPTED: "Ctrl-C; the same command goes on where it was",
}


def table(rows: Sequence[Sequence[str]]) -> str:
    """Rows as text, each column as wide as its widest cell."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )


def size_of(file: File) -> str:
    """A file's size for a table."""
    return gigabytes(file.size) if file.size else "-"


def summary(software: Iterable[Result], outcomes: Iterable[Outcome]) -> str:
    """The table at the end: what there is, how large, what became of it."""
    rows = [("name", "size", "state", "note")]
    rows += [(result.name, "-", result.state, result.note) for result in software]
    rows += [(outcome.file.name, size_of(outcome.file), outcome.state, outcome.note) for outcome in outcomes]
    return table(rows) if len(rows) > 1 else "nothing to do"


def exit_code(software: Iterable[Result], outcomes: Iterable[Outcome]) -> int:
    """The worst of what happened."""
    states = {one.state for one in (*software, *outcomes)}
    if states & {"failed", "other"}:
        return FAILED
    return PERMISSION if "permission" in states else COMPLETE
