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


def _run(options: argparse.Namespace) -> int:
    from .finetuning import run_file

    return run_file(options)
