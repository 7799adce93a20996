"""Settings that were published, by name."""

from __future__ import annotations

from dataclasses import dataclass

from .editing import EditSettings


@dataclass(frozen=True)
class Preset:
    """A source prompt, a target prompt in which ``{word}`` stands for the new defect, and the settings of the edit."""

    source: str
    target: str
    words: tuple[str, ...]
    steps: int
    edit: EditSettings


WORDS = ("scratch", "rust", "peeling", "corrosion", "blistering", "dent")
PRESETS: dict[str, Preset] = {
    # the settings of Prompt-to-Prompt with null-text inversion for defects
    "reference": Preset(
        "photo of a crack",
        "photo of a crack with {word}",
        WORDS,
        50,
        EditSettings(15.0, 0.4, 0.3, 2.0, blend=True),
    ),
    # github.com/kevin20012/RLI, src/run.py, made for SDXL
    "RLI": Preset(
        "photo of a crack defect image",
        "photo of a crack {word} image",
        ("corrosion",),
        50,
        EditSettings(5.0, 1.0, 0.4, 2.0, mode="replace", blend=True),
    ),
}
