"""Progress in the terminal: a bar for the node that runs, and what each node had to say below it."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn


class TerminalDisplay:
    """A live progress bar where there is a terminal, plain lines where there is none."""

    def __init__(self) -> None:
        self.console = Console(highlight=False, soft_wrap=True)
        columns = (
            TextColumn("{task.description}"),
            BarColumn(24),
            TextColumn("{task.fields[said]}"),
            TimeElapsedColumn(),
        )
        self.bar = Progress(*columns, console=self.console, transient=True)
        self.task = self.bar.add_task("", total=None, said="", visible=False)
        self.said: dict[str, str] = {}

    def __enter__(self) -> TerminalDisplay:
        self.bar.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.bar.stop()

    def start(self, node_id: str, title: str) -> None:
        """A node begins."""
        self.bar.reset(self.task, description=title, total=None, said="", visible=True)

    def progress(self, node_id: str, value: float, total: float) -> None:
        """The node that runs has come so far."""
        self.bar.update(self.task, completed=value, total=total)

    def text(self, node_id: str, text: str) -> None:
        """The node that runs says something."""
        self.said[node_id] = text
        self.bar.update(self.task, said=text.splitlines()[0] if text else "")

    def finish(self, node_id: str, title: str, results: list[str]) -> None:
        """A node is done: print its last words, or its results if it has any."""
        lines = "\n".join(results or [self.said.get(node_id, "")]).splitlines()
        self.console.print(
            f"[bold]{_plain(title)}[/] [dim]({node_id})[/]" + (f"  {_plain(lines[0])}" if len(lines) == 1 else "")
        )
        if len(lines) > 1:
            self.console.print(_plain("\n".join(f"    {line}" for line in lines)))


def training_line(told: dict[str, Any]) -> str:
    """How a training goes, in one line, from what is told to the canvas, which has words of its own (web/chart/words.mjs)."""
    from ..nodes.support.charts import clock

    state, of = told["state"], f"step {told.get('step', 0):,} of {told.get('steps', 0):,}"
    best = f" · best epoch {told['best']}" if told.get("best") else ""
    match state:
        case "running" | "validating" | "sampling":
            speed, left = told.get("speed"), told.get("left")
            parts = [f"epoch {told['epoch']:,} of {told['epochs']:,}"]
            parts += [f"{speed:,.0f} samples/s" if speed >= 10 else f"{speed:.2g} samples/s"] if speed else []
            parts += [f"{clock(left)} left"] if left is not None else []
            words = " · ".join(parts if state == "running" else [state, *parts])
        case "preparing":
            words = f"preparing, {of.removeprefix('step ')}" if told.get("steps", 0) > 1 else "preparing"
        case "stopping":
            words = "stopping after this step, to go on with the best weights"
        case "done" | "stopped early":
            words = f"{state}{best} of {told['epochs']:,}" if best else f"{state} · {of}"
        case "cancelled" | "failed" | "interrupted":
            words = f"{state} at {of} · queue it again to go on"
        case _:
            words = f"{state} at {of}{best}"
    return f"{words} · loss {told['points'][-1][1]:.4f}" if told.get("points") else words


def _plain(text: str) -> str:
    """Brackets in a result are no markup."""
    return text.replace("[", "\\[")
