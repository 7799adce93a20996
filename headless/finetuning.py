"""Carries out `visionsmith finetune SETTINGS.toml`: fine-tuning without a canvas, on one device or many."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Mapping
from contextlib import closing
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..nn_layers.errors import InputError

if TYPE_CHECKING:
    from ..training.finetune import Concepts, FinetuneSettings

KEYS = ("model", "method", "name", "output", "concepts", "settings")
ROW = ("prompt", "folder", "class_prompt", "class_folder", "masks", "repeats")
MVTEC = ("mvtec", "prompt", "class_prompt", "defects")
OPTIONS = ("resolution", "buckets", "caption_dropout")


def read_file(file: Path) -> tuple[dict[str, Any], FinetuneSettings]:
    """What a file says: its plan with absolute paths, and the settings.

    Raises:
        InputError: No such file, no TOML, an unknown key or setting; says which.
    """
    from ..training.finetune import DREAMBOOTH, LORA
    from ..training.finetune.settings import METHODS

    plan = _read_toml(file)
    _refuse_unknown(plan, KEYS, str(file))
    for key in ("model", "concepts"):
        if not plan.get(key):
            raise InputError(f"{file} has no {key}; add it, see 'visionsmith finetune --help' for an example.")
    method = plan.setdefault("method", METHODS[0])
    if method not in METHODS:
        raise InputError(f"method in {file} is {method!r}; choose one of {', '.join(METHODS)}.")
    given = dict(plan.get("settings", {}))
    preset = LORA if method == "lora" else DREAMBOOTH
    known = {field.name: getattr(preset, field.name) for field in fields(preset) if field.name != "method"}
    _refuse_unknown(given, (*known, *OPTIONS), f"settings in {file}")
    values: dict[str, Any] = {}
    for key, value in given.items():
        if key in OPTIONS:
            continue
        wanted = known[key]
        value = float(value) if isinstance(wanted, float) and type(value) is int else value
        value = tuple(value) if isinstance(wanted, tuple) and isinstance(value, list) else value
        if type(value) is not type(wanted):
            raise InputError(f"{key} in {file} is {value!r}; write one such as {wanted!r}.")
        values[key] = value
    base = file.resolve().parent
    plan["model"], plan["output"] = base / plan["model"], base / plan.get("output", "output")
    plan["base"] = base
    return plan, replace(preset, **values)


def _read_toml(file: Path) -> dict[str, Any]:
    try:
        import tomllib
    except ImportError:
        raise InputError("reading TOML needs Python 3.11 or newer; run the command with one.") from None
    if not file.is_file():
        raise InputError(f"{file} does not exist; give the path of a settings file, see 'visionsmith finetune --help'.")
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{file} is no readable TOML ({error}); correct it.") from error


def _refuse_unknown(given: Mapping[str, Any], known: tuple[str, ...], where: str) -> None:
    if unknown := [key for key in given if key not in known]:
        raise InputError(f"{where} has {unknown[0]!r}, which is unknown; it may have {', '.join(known)}.")


def concepts_of(plan: Mapping[str, Any]) -> Concepts:
    """The concepts that a plan lists."""
    from ..training.finetune.folders import Row, read_concepts, rows_from_mvtec

    base, rows = plan["base"], []
    for number, entry in enumerate(plan["concepts"], 1):
        if "mvtec" in entry:
            _refuse_unknown(entry, MVTEC, f"concept {number}")
            prompts = entry.get("prompt", "a photo of a {defect} {object}"), entry.get("class_prompt", "")
            rows += rows_from_mvtec(base / entry["mvtec"], *prompts, entry.get("defects", ()))
            continue
        _refuse_unknown(entry, ROW, f"concept {number}")
        if not entry.get("folder"):
            raise InputError(f"concept {number} has no folder; give that of its pictures.")
        places = [base / entry[key] if entry.get(key) else None for key in ("class_folder", "masks")]
        rows.append(
            Row(
                entry.get("prompt", ""), base / entry["folder"], entry.get("class_prompt", ""), *places, entry.get("repeats", 1)
            )
        )  # fmt: skip
    given = {("dropout" if key == "caption_dropout" else key): v for key, v in plan.get("settings", {}).items() if key in OPTIONS}  # fmt: skip
    return read_concepts(rows[0].folder.name, rows, **given)


def run_file(options: argparse.Namespace) -> int:
    """Train with the progress in the terminal; prints where the files are."""
    import torch

    from ..imaging import weights
    from ..imaging.stable_diffusion import load_stable_diffusion
    from ..training.finetune import FinetuneRun, Parts, finetune
    from ..training.finetune.kohya import fingerprint_of
    from ..training.finetune.runs import is_finished
    from ..training.finetune.settings import check, folder_name, run_key
    from .cli import INTERRUPTED, OK, interrupt_once
    from .display import TerminalDisplay

    leads = os.environ.get("LOCAL_RANK", "0") == os.environ.get("NODE_RANK", "0") == "0"  # others are started by it
    plan, settings = read_file(options.file)
    settings = replace(settings, **{key: value for key in ("devices", "nodes") if (value := getattr(options, key))})
    concepts = concepts_of(plan)
    check(settings, concepts, 4)
    if not plan["model"].exists():
        raise InputError(f"{plan['model']} does not exist; give the path of a checkpoint in model.")
    fingerprint, name = fingerprint_of(plan["model"]), str(plan.get("name") or options.file.stem)
    key = run_key(fingerprint, concepts, settings)
    folder = plan["output"] / "finetune" / folder_name(name, key)
    if not is_finished(folder, key, settings):
        model = load_stable_diffusion(plan["model"], torch.float32, [options.file.resolve().parent])
        weights.forget("stable-diffusion")
        parts = Parts.of(model.pipeline, model.name, fingerprint)
        with TerminalDisplay() as display:
            watch = _Watch(display if leads else None, name)
            interrupt_once(watch)
            try:
                classes = plan["output"] / "finetune" / "classes" / fingerprint[:10]
                with closing(finetune(parts, concepts, settings, folder, name, classes)) as steps:
                    for step in steps:
                        watch(step)
            except KeyboardInterrupt:
                print("interrupted; what was trained is kept, and the same command goes on where it was", file=sys.stderr)  # fmt: skip
                return INTERRUPTED
    if leads:
        run = FinetuneRun.load(folder)
        print(run.summary())
        print(f"file: {run.checkpoint()}")
    return OK


class _Watch:
    """Moves the bar if there is one, and stops at Ctrl-C."""

    def __init__(self, display: Any, name: str):
        self.display, self.interrupted = display, False
        if display:
            display.start("", name)

    def __call__(self, step: Any) -> None:
        if self.interrupted:
            raise KeyboardInterrupt
        if not self.display:
            return
        self.display.progress("", step.step, step.steps)
        loss = f" · loss {float(step.loss):.4f}" if step.stage == "train" else ""
        self.display.text("", f"{step.stage} {step.step}/{step.steps}{loss}")


def look_after(options: argparse.Namespace) -> int:
    """Carry out `visionsmith finetune-runs`; prints what was done, and the table of the runs."""
    from ..training.finetune.compare import compare_samples
    from ..training.finetune.output import prune
    from ..training.finetune.runs import find_run, list_runs, promote, table
    from ..training.pictures import save_picture
    from .cli import OK

    root = options.output / "finetune"
    every = list_runs(root)
    if not every:
        raise InputError(f"there are no runs in {root}; train with 'visionsmith finetune', or give their folder with --output.")  # fmt: skip
    runs = [find_run(every, name) for name in options.runs]
    if not runs:
        runs = every if options.action in ("list", "compare") else every[:1]
    if options.action in ("samples", "compare"):
        file = root / f"{options.action}.png"
        save_picture(compare_samples(runs) if options.action == "compare" else runs[0].sheet(), file)
        print(f"picture: {file}")
    for run in runs if options.action in ("prune", "promote") else ():
        if options.action == "prune":
            if options.keep < 1:
                raise InputError(f"--keep is {options.keep}; choose at least 1.")
            print(f"{run.folder.name}: {len(prune(run.folder, options.keep))} checkpoints removed")
        else:
            folder = options.models / ("loras" if run.method == "lora" else "checkpoints")
            name = options.name or run.folder.name.rpartition("-")[0]
            print(f"{run.folder.name}: {promote(run, folder, name, options.step)}")
    print(table(runs))
    return OK
