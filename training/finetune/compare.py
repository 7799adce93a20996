"""Fine-tunings side by side: a column for the untouched model and one for each run, a row for each prompt, the same noise along a row."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from textwrap import wrap

import torch
from PIL import Image, ImageDraw, ImageFont

from ...nn_layers.errors import InputError
from ..pictures import INK, PAPER, to_pil
from .output import curves_picture
from .parts import Parts
from .runs import FinetuneRun
from .samples import SCENE, Scene, masked_picture, on_device, paint, rounds
from .settings import FinetuneSettings

UNTRAINED, SHOWN = "no training", "the masked picture"
TILE, FONT, LINE, MARGIN, LABEL = 256, 16, 21, 8, 200  # pixels
LETTERS, LETTERS_BESIDE, LINES = 30, 23, 4  # that fit over a tile and beside it, and lines of a label


@dataclass
class Sheet:
    """A table of pictures with a label over each column and beside each row; a cell may stay empty."""

    columns: list[str] = field(default_factory=list)
    rows: list[str] = field(default_factory=list)
    cells: dict[tuple[str, str], Image.Image] = field(default_factory=dict)

    def put(self, row: str, column: str, picture: Image.Image) -> None:
        """Set a cell; a row or column that is new comes last."""
        for labels, label in ((self.rows, row), (self.columns, column)):
            if label not in labels:
                labels.append(label)
        self.cells[row, column] = picture

    def draw(self) -> Image.Image:
        """The table as a picture."""
        above = max(len(_lines(label, LETTERS)) for label in self.columns) * LINE + MARGIN
        step = TILE + MARGIN
        canvas = Image.new(
            "RGB", (LABEL + len(self.columns) * step + MARGIN, above + len(self.rows) * step + MARGIN), PAPER
        )
        pen, font = ImageDraw.Draw(canvas), ImageFont.load_default(FONT)
        for across, label in enumerate(self.columns):
            text = "\n".join(_lines(label, LETTERS))
            pen.text((LABEL + across * step + TILE // 2, MARGIN), text, INK, font, anchor="ma", align="center")
        for down, label in enumerate(self.rows):
            text = "\n".join(_lines(label, LETTERS_BESIDE, TILE // LINE))
            pen.text((MARGIN, MARGIN + above + down * step + TILE // 2), text, INK, font, anchor="lm")
        for (row, column), picture in self.cells.items():
            place = LABEL + self.columns.index(column) * step, MARGIN + above + self.rows.index(row) * step
            canvas.paste(picture.convert("RGB").resize((TILE, TILE), Image.Resampling.LANCZOS), place)
        return canvas


def _lines(text: str, letters: int, most: int = LINES) -> list[str]:
    """`text` in lines of so many letters; the last one ends in dots if there are more."""
    lines = [line for part in text.split("\n") for line in wrap(part, letters)]
    return lines if len(lines) <= most else [*lines[: most - 1], f"{lines[most - 1][: letters - 3]}..."]


def column_of(run: FinetuneRun, step: int) -> str:
    """The label of a run: its name, what it was trained for, and the step."""
    method = "LoRA" if run.method == "lora" else "DreamBooth"
    kind = "inpainting" if run.settings["channels"] == 9 else "text-to-image"
    return f"{run.folder.name}\n{kind} {method}, step {step}"


def compare_samples(runs: Sequence[FinetuneRun]) -> Image.Image:
    """The last samples of runs, beside those from before their training; runs on the same model share that column.

    Checkpoints for inpainting repaint a picture, which comes first.

    Raises:
        InputError: None of them has samples.
    """
    sheet, bases = Sheet(), list(dict.fromkeys(_drawn_from(run) for run in runs))
    for run in runs:
        if (file := run.folder / SCENE).is_file():
            for prompt in run.prompts:
                sheet.put(prompt, SHOWN, Image.open(file))
    for base in bases:
        own = [run for run in runs if _drawn_from(run) == base]
        told = UNTRAINED if len(bases) == 1 else f"{UNTRAINED}\n{own[0].settings['base']}, seed {base[1]}"
        for run in own:
            _put_round(sheet, run, 0, told)
        for run in own:
            if steps := [step for step in rounds(run.folder) if step]:
                _put_round(sheet, run, max(steps), column_of(run, max(steps)))
    if not sheet.cells:
        raise InputError("none of these runs has sample pictures; give prompts and set sample_every above 0.")
    return sheet.draw()


def _drawn_from(run: FinetuneRun) -> tuple[str, int]:
    """What decides how a prompt looks without training: the model, and the seed of the noise."""
    return run.settings["base_fingerprint"], run.settings["settings"]["seed"]


def _put_round(sheet: Sheet, run: FinetuneRun, step: int, column: str) -> None:
    for file in rounds(run.folder).get(step, ()):
        number = int(file.stem.partition("-")[2])
        if number < len(run.prompts):
            sheet.put(run.prompts[number], column, Image.open(file))


def compare_curves(runs: Sequence[FinetuneRun]) -> Image.Image:
    """Their losses in one picture."""
    return curves_picture({run.folder.name: run.curve for run in runs})


def paint_into(
    sheet: Sheet, models: Iterable[tuple[str, Parts]], prompts: Sequence[str], scene: Scene | None, side: int, settings: FinetuneSettings, device: str
) -> Iterator[int]:  # fmt: skip
    """Paint every prompt anew with each model, from the same noise; yields how many pictures are done.

    Args:
        models: A column's label and what paints it, one after the other: nothing is held longer than its column takes.
        scene: What is repainted, by ordinary checkpoints too; None to paint from nothing.
        side: Pixels.
        settings: `seed`, `negative`, `sampler`, `sample_steps` and `guidance` count.
        device: "cpu", "cuda", …
    """
    from lightning_fabric import Fabric

    fabric, done = Fabric(accelerator=device, devices=1), 0
    if scene:
        for prompt in prompts:
            sheet.put(prompt, SHOWN, masked_picture(scene))
    with torch.random.fork_rng(), torch.inference_mode(False):
        for label, parts in models:
            with on_device(parts, fabric.device):
                for number, prompt in enumerate(prompts):
                    picture = paint(parts, settings, prompt, side, settings.seed + number, fabric, scene)
                    sheet.put(prompt, label, to_pil((picture * 255).round().to(torch.uint8)))
                    done += 1
                    yield done
