"""The commands: ``install`` for a whole machine, ``list``, ``get`` and ``verify`` for files (`visionsmith models` has these three)."""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from . import report, software
from .errors import ManifestError, ProvisioningError
from .fetch import fetch
from .manifest import DEFAULT, File, Manifest, read
from .plan import Notes, Step, plan, room
from .profiles import PROFILES, Machine, machine
from .remote import FetchError, Patience, Remote
from .report import COMPLETE, FAILED, FULL, INTERRUPTED, INVALID
from .tokens import Checked, Host, check, host_of, located
from .transfer import JOBS, Outcome, transfer


def main(arguments: list[str] | None = None) -> int:
    """``python -m provisioning``; the exit codes are those of `report.EXIT_CODES`."""
    codes = "\n".join(f"  {code:3}  {text}" for code, text in report.EXIT_CODES.items())
    parser = argparse.ArgumentParser(
        prog="provisioning",
        description="Put onto this machine what the manifest names.",
        epilog=f"exit codes:\n{codes}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    sub = commands.add_parser("install", help="software, workflows, pictures and models")
    add_options(sub, profile="vast")
    sub.add_argument(
        "--only",
        action="append",
        default=[],
        metavar="GROUP",
        help="only this group (repeatable, or divided by commas)",
    )
    sub.add_argument("--python", default="", metavar="PATH", help="ComfyUI's Python (default: where the profile says)")
    add_transfer(sub)
    sub.set_defaults(command=install)
    add_models(commands)
    return carry_out(parser.parse_args(arguments))


def carry_out(options: argparse.Namespace) -> int:
    """Run the chosen command; what is wrong is told in one sentence."""
    try:
        return options.command(options)
    except ProvisioningError as error:
        print(f"error: {error}", file=sys.stderr)
        return INVALID
    except KeyboardInterrupt:
        print("interrupted; the same command goes on where it was", file=sys.stderr)
        return INTERRUPTED


def add_options(parser: argparse.ArgumentParser, profile: str) -> None:
    """What every command takes."""
    parser.add_argument("--manifest", default="", metavar="FILE|URL", help="another manifest")
    parser.add_argument("--profile", choices=PROFILES, default=profile, help=f"kind of machine (default: {profile})")
    parser.add_argument(
        "--comfyui",
        default="",
        metavar="FOLDER",
        help="ComfyUI's folder (default: COMFYUI_PATH, or where the profile says)",
    )


def add_transfer(parser: argparse.ArgumentParser) -> None:
    """What a command that fetches takes."""
    parser.add_argument("--jobs", type=int, default=JOBS, metavar="N", help=f"downloads at once (default: {JOBS})")
    parser.add_argument(
        "--timeout",
        type=float,
        default=30.0,
        metavar="SECONDS",
        help="seconds without a byte before a connection is given up (default: 30)",
    )
    parser.add_argument(
        "--dry-run", action="store_true", help="say what would be done; nothing is written, no token is used"
    )
    parser.add_argument("--replace", action="store_true", help="replace files that are not the published ones")


def add_models(commands: argparse._SubParsersAction) -> None:
    """The commands for files: ``list``, ``get`` and ``verify``."""
    sub = commands.add_parser("list", help="what the manifest knows and what of it is here")
    add_options(sub, profile="local")
    sub.set_defaults(command=list_models)
    sub = commands.add_parser("get", help="fetch files into ComfyUI's folders")
    add_options(sub, profile="local")
    sub.add_argument("names", nargs="+", metavar="NAME", help="a name or group that `list` shows")
    add_transfer(sub)
    sub.set_defaults(command=get)
    sub = commands.add_parser("verify", help="read every file that is here and compare its checksum")
    add_options(sub, profile="local")
    sub.add_argument("names", nargs="*", metavar="NAME", help="names or groups (default: all)")
    sub.set_defaults(command=verify)


def install(options: argparse.Namespace) -> int:
    """Everything: software first, then files."""
    here = machine(options.profile, options.comfyui, options.python)
    manifest = load(options)
    groups = tuple(name for one in options.only for name in one.split(",") if name)
    files = manifest.chosen(groups=groups)
    print(f"Visionsmith provisioning: {here.profile}, ComfyUI in {here.comfyui}, Python {here.python}", flush=True)
    parts = {
        "apt": lambda: software.apt(manifest, options.dry_run),
        "nodes": lambda: software.node_packages(manifest, here, options.dry_run, _say),
        "pip": lambda: software.python_packages(manifest, here, options.dry_run, _say),
    }
    results = [result for name, part in parts.items() if not groups or name in groups for result in part()]
    return bring(files, here, results, options.jobs, options.timeout, options.dry_run, options.replace)


def get(options: argparse.Namespace) -> int:
    """``get NAME…``"""
    manifest, here = load(options), machine(options.profile, options.comfyui)
    files = named(manifest, options.names)
    return bring(files, here, None, options.jobs, options.timeout, options.dry_run, options.replace)


def named(manifest: Manifest, names: list[str]) -> tuple[File, ...]:
    """The files that names, each of a file or a group, ask for."""
    groups = {file.group for file in manifest.files}
    return manifest.chosen(
        tuple(name for name in names if name not in groups), tuple(name for name in names if name in groups)
    )


def bring(
    files: tuple[File, ...],
    here: Machine,
    results: list[software.Result] | None = None,
    jobs: int = JOBS,
    timeout: float = 30.0,
    dry_run: bool = False,
    replace: bool = False,
) -> int:
    """Bring files, print the table at the end, and give the exit code.

    Args:
        results: What became of the software, for the table.
        jobs: Downloads at once.
        timeout: Seconds without a byte before a connection is given up.
        replace: Replace files that are not the published ones.
    """
    notes, results = Notes.read(here.path("models")), results or []
    steps = plan(files, here, notes)
    coming = [step for step in steps if _comes(step, replace)]
    tight = room(steps)
    if dry_run:
        outcomes = [_would(step, replace) for step in steps]
    elif tight:
        outcomes = [
            Outcome(one.file, "failed", "no room") if one in coming else Outcome(one.file, one.todo, one.note)
            for one in steps
        ]
    else:
        if coming:
            _say(f"{len(coming)} file{'s' * (len(coming) != 1)} to come, {jobs} at once")
        outcomes = transfer(steps, notes, _tokens(coming), _say, jobs, Patience(timeout=timeout), replace)
    print(f"\n{report.summary(results, outcomes)}\n", flush=True)
    for sentence in tight:
        print(f"error: {sentence}", file=sys.stderr)
    code = FULL if tight else report.exit_code(results, outcomes)
    told = "nothing was done: this was a dry run" if dry_run else report.EXIT_CODES[code]
    print(f"{told} (exit code {code})", flush=True)
    return code


def _comes(step: Step, replace: bool) -> bool:
    return step.todo in ("fetch", "copy") or (step.todo == "other" and replace)


def _would(step: Step, replace: bool) -> Outcome:
    if _comes(step, replace):
        return Outcome(
            step.file, f"would {'copy' if step.todo == 'copy' else 'fetch'}", "gated" if step.file.gated else ""
        )
    return Outcome(step.file, step.todo, step.note)


def _tokens(steps: list[Step]) -> dict[Host, Checked]:
    """What the hosts of these files say of the tokens of the environment."""
    hosts = dict.fromkeys(host for step in steps if step.file.url and (host := host_of(located(step.file.url))))
    said = {host: check(host) for host in hosts}
    for one in said.values():
        if one.state != "none":
            _say(str(one))
    return said


def list_models(options: argparse.Namespace) -> int:
    """``list``: no checksum is computed that is not known already."""
    manifest, here = load(options), machine(options.profile, options.comfyui)
    rows = [("name", "group", "size", "here", "licence", "where")]
    for file in sorted(manifest.files, key=lambda file: bool(file.source)):  # what has to be fetched comes first
        path = here.path(file.to)
        state = (
            "yes"
            if path.is_file() and (not file.size or path.stat().st_size == file.size)
            else "other"
            if path.exists()
            else "no"
        )
        licence = f"{file.licence}{' (gated)' * file.gated}"
        rows.append((file.name, file.group, report.size_of(file), state, licence, file.to))
    print(report.table(rows))
    return COMPLETE


def verify(options: argparse.Namespace) -> int:
    """``verify``: every file that is here is read from its first byte to its last."""
    manifest, here = load(options), machine(options.profile, options.comfyui)
    files = named(manifest, options.names) if options.names else manifest.files
    notes = Notes.read(here.path("models"))
    steps = [step for step in plan(files, here, notes, fresh=True) if options.names or step.path.exists()]
    states = {"fetch": "missing", "copy": "missing", "other": "wrong"}
    rows = [("name", "size", "state", "note")]
    rows += [(step.file.name, report.size_of(step.file), states.get(step.todo, step.todo), step.note) for step in steps]
    print(report.table(rows) if steps else "nothing of the manifest is here")
    return FAILED if any(step.todo in states for step in steps) else COMPLETE


def load(options: argparse.Namespace) -> Manifest:
    """The manifest that the options name: a file, an address, or the one of this package."""
    where = options.manifest
    if not where.startswith(("https://", "http://")):
        return read(Path(where)) if where else read(DEFAULT)
    with tempfile.TemporaryDirectory() as folder:
        try:
            came = fetch(Remote(where), Path(folder) / "manifest.toml", patience=Patience(tries=3))
        except FetchError as error:
            raise ManifestError(str(error)) from None
        return read(came.path)


def _say(text: str) -> None:
    print(text, flush=True)
