"""The options of `visionsmith models`, `pack` and `unpack`; what they do is imported when one of them is called.

`models` is the same code that `provisioning/vast.sh` starts.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from ..provisioning.cli import add_models, add_options
from ..provisioning.profiles import PROFILES


def add(commands: argparse._SubParsersAction) -> None:
    """Add the commands to those of `visionsmith`."""
    sub = commands.add_parser(
        "models",
        help="list, fetch and check models",
        description="List what the manifest knows, fetch it into ComfyUI's folders, and compare checksums.",
    )
    add_models(sub.add_subparsers(required=True, metavar="list|get|verify"))
    _add_pack(commands)
    _add_unpack(commands)


def _add_pack(commands: argparse._SubParsersAction) -> None:
    sub = commands.add_parser(
        "pack",
        help="a workflow with what it needs, as one zip file",
        description="Write a zip file with a workflow, the manifest's entries of the models it names, the networks it loads and the versions of packages.",
    )
    sub.add_argument(
        "workflow", type=Path, metavar="WORKFLOW.json", help="a workflow, as ComfyUI saved it or in API format"
    )
    sub.add_argument("--output", type=Path, metavar="FILE.zip", help="default: beside the workflow, with .zip")
    sub.add_argument("--without-networks", action="store_true", help="leave out the networks that it loads")
    add_options(sub, profile="local")
    sub.set_defaults(command=_pack)


def _add_unpack(commands: argparse._SubParsersAction) -> None:
    sub = commands.add_parser(
        "unpack",
        help="put a packed workflow into ComfyUI's folders",
        description="Check a file that visionsmith pack wrote, and put its workflow and networks into ComfyUI's folders.",
    )
    sub.add_argument("file", type=Path, metavar="FILE.zip")
    sub.add_argument(
        "--comfyui", default="", metavar="FOLDER", help="ComfyUI's folder (default: COMFYUI_PATH, or here)"
    )
    sub.add_argument("--profile", choices=PROFILES, default="local", help="kind of machine (default: local)")
    sub.add_argument("--replace", action="store_true", help="replace files of the same names")
    sub.add_argument("--get", action="store_true", help="fetch the models that it names, too")
    sub.set_defaults(command=_unpack)


def _pack(options: argparse.Namespace) -> int:
    from .pack import run

    return run(options)


def _unpack(options: argparse.Namespace) -> int:
    from .unpack import run

    return run(options)
