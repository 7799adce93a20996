"""Runs side by side: which pictures stand in which column, and that each column is painted by its model from the same noise."""

import json
import sys
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

sys.path.insert(0, str(Path(__file__).parent))
import tiny_models as tiny
from visionsmith.nn_layers import InputError
from visionsmith.training.finetune import LORA, FinetuneRun, compare
from visionsmith.training.finetune.compare import Sheet, compare_samples, paint_into

RED, BLUE, GREEN, GREY, WHITE = (250, 0, 0), (0, 0, 250), (0, 250, 0), (127, 127, 127), (250, 250, 250)
SCENE = torch.linspace(-1, 1, 3 * 16 * 16).reshape(3, 16, 16), torch.zeros(1, 16, 16)
SCENE[1][:, 4:12, 4:12] = 1


def made_run(root, name, base="a", channels=4, seed=42, prompts=("q", "z"), **rounds):
    """A run with samples of one colour for each step."""
    folder = root / name
    (folder / "samples").mkdir(parents=True)
    settings = asdict(replace(LORA, prompts=prompts, seed=seed))
    told = {"kind": "finetune", "key": name, "base": base, "base_fingerprint": base, "channels": channels}
    (folder / "settings.json").write_text(json.dumps({**told, "settings": settings}))
    for step, color in rounds.items():
        for number in range(len(prompts)):
            Image.new("RGB", (32, 32), color).save(folder / "samples" / f"{int(step[1:]):06}-{number:02}.png")
    if channels == 9:
        Image.new("RGB", (32, 32), GREY).save(folder / "samples" / "scene.png")
    return FinetuneRun.load(folder)


def colors(picture, columns, rows):
    """The colour in the middle of each tile."""
    step = compare.TILE + compare.MARGIN
    below = picture.height - compare.MARGIN - rows * step
    place = lambda x, y: (compare.LABEL + x * step + step // 2, below + y * step + step // 2)  # noqa: E731
    return [[picture.getpixel(place(x, y)) for x in range(columns)] for y in range(rows)]


def test_runs_on_one_model_share_the_column_from_before(tmp_path):
    first = made_run(tmp_path, "first", s0=RED, s5=BLUE, s9=GREEN)
    second = made_run(tmp_path, "second", prompts=("q",), s0=RED, s7=WHITE)
    picture = compare_samples([first, second])
    assert colors(picture, 3, 2) == [[RED, GREEN, WHITE], [RED, GREEN, (0x16, 0x18, 0x1C)]]


def test_text_to_image_beside_inpainting_has_the_masked_picture_first(tmp_path):
    plain = made_run(tmp_path, "plain", s0=RED, s3=BLUE)
    inpainting = made_run(tmp_path, "inpainting", "b", 9, s0=WHITE, s3=GREEN)
    assert colors(compare_samples([plain, inpainting]), 5, 2) == [[GREY, RED, BLUE, WHITE, GREEN]] * 2
    assert compare.column_of(inpainting, 3) == "inpainting\ninpainting LoRA, step 3"

    other = made_run(tmp_path, "other", seed=1, s0=WHITE, s3=GREEN)
    assert colors(compare_samples([plain, other]), 4, 2) == [[RED, BLUE, WHITE, GREEN]] * 2
    with pytest.raises(InputError, match="none of these runs has sample pictures"):
        compare_samples([made_run(tmp_path, "none")])


def test_labels_are_cut_into_lines():
    sheet = Sheet()
    sheet.put("a photo of a very long prompt " * 30, "a-name-without-any-space-at-all-that-is-long\ntext-to-image LoRA, step 3000", Image.new("RGB", (8, 8), RED))  # fmt: skip
    picture = sheet.draw()
    assert colors(picture, 1, 1) == [[RED]]
    beside = np.asarray(picture)[-compare.TILE :, : compare.LABEL].max(2)
    assert (beside > 150).any() and (beside[:, -2:] < 60).all()  # there are letters, and none runs into the picture


@pytest.mark.parametrize("kind", ["SD 1", "SD 1 inpainting"])
def test_columns_are_painted_from_the_same_noise(kind, tmp_path):
    parts, other = tiny.parts(kind, tmp_path / "words"), tiny.parts(kind, tmp_path / "words")
    with torch.no_grad():
        other.unet.conv_out.weight.mul_(-1)
    sheet, settings = Sheet(), replace(LORA, sample_steps=2, sampler="ddim", seed=3)
    models = [("before", parts), ("the same", tiny.parts(kind, tmp_path / "words")), ("other", other)]
    assert list(paint_into(sheet, models, ["q", "z"], SCENE, 16, settings, "cpu")) == [1, 2, 3, 4, 5, 6]

    assert (sheet.rows, sheet.columns) == (["q", "z"], [compare.SHOWN, "before", "the same", "other"])
    cells = {place: np.asarray(picture, np.int16) for place, picture in sheet.cells.items()}
    shown = cells["q", compare.SHOWN]
    assert (shown[4:12, 4:12] == 128).all() and shown[0, 0, 0] < 10
    for prompt in sheet.rows:
        assert (cells[prompt, "before"] == cells[prompt, "the same"]).all()
        assert (cells[prompt, "before"] != cells[prompt, "other"]).any()


def test_a_prompt_is_painted_from_nothing_without_a_scene(tmp_path):
    sheet = Sheet()
    models = [("before", tiny.parts("SD 1", tmp_path / "words"))]
    assert list(paint_into(sheet, models, ["q"], None, 16, replace(LORA, sample_steps=1), "cpu")) == [1]
    assert sheet.columns == ["before"] and sheet.cells["q", "before"].size == (16, 16)
