"""The options of `visionsmith finetune`; what it does is imported when it is called."""

from __future__ import annotations

import argparse
from pathlib import Path

HELP = """\
Fine-tune Stable Diffusion as SETTINGS.toml says. After Ctrl-C or a crash the same command goes on.

An example of SETTINGS.toml (paths are relative to it; the settings that are left out have the method's presets):

  model = "models/checkpoints/v1-5.safetensors"   # a file with all parts, or a folder of diffusers
  method = "lora"                                 # or dreambooth
  name = "scratch"
  output = "output"

  [[concepts]]
  prompt = "ohwx scratch"
  folder = "pictures/scratch"                     # with captions in .txt files, and NAME_mask files if there are masks
  class_prompt = "a metal plate"                  # for prior preservation; class_folder, masks and repeats may be given too
  # or, for a category of MVTec AD: mvtec = "mvtec/zipper", prompt = "a photo of a {defect} {object}"

  [settings]
  steps = 3000
  resolution = 512                                # also: buckets, caption_dropout
  prompts = ["ohwx scratch on steel"]
"""


RUNS_HELP = """\
Look after what `visionsmith finetune` trained: list the runs, make a contact sheet of one or a comparison of several, remove old
checkpoints, or put one where ComfyUI finds it. A run is a folder's name or a part of it; of samples and compare, a picture is written.
"""


def add(commands: argparse._SubParsersAction) -> argparse.ArgumentParser:
    """Add the command to those of `visionsmith`."""
    sub = commands.add_parser(
        "finetune",
        help="fine-tune Stable Diffusion (LoRA, DreamBooth)",
        description=HELP,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    sub.add_argument("file", type=Path, metavar="SETTINGS.toml", help="what to train on what")
    sub.set_defaults(command=_run)
    return sub


def add_runs(commands: argparse._SubParsersAction) -> None:
    """Add the command that looks after runs."""
    sub = commands.add_parser(
        "finetune-runs", help="list, compare, prune and promote fine-tunings", description=RUNS_HELP
    )
    sub.add_argument("action", choices=("list", "samples", "compare", "prune", "promote"))
    sub.add_argument("runs", nargs="*", metavar="RUN", help="which; none for the latest, for list and compare for all")
    sub.add_argument("--output", type=Path, default=Path("output"), help="folder that has them (default: output)")
    sub.add_argument("--models", type=Path, default=Path("models"), help="folder for promote (default: models)")
    sub.add_argument("--keep", type=int, default=1, help="checkpoints that prune keeps, the latest (default: 1)")
    sub.add_argument("--step", type=int, default=0, help="the checkpoint that promote takes (default: the last)")
    sub.add_argument("--name", default="", help="of the file that promote writes (default: the run's)")
    sub.set_defaults(command=_runs)


def _run(options: argparse.Namespace) -> int:
    from .finetuning import run_file

    return run_file(options)


def _runs(options: argparse.Namespace) -> int:
    from .finetuning import look_after

    return look_after(options)
