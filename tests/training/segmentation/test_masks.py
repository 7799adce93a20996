"""Masks from files in every coding, and masks as pictures for people."""

import numpy as np
import pytest
import torch
from visionsmith.training.segmentation.masks import (
    COLORS,
    MaskFile,
    NoDefect,
    colored,
    default_colors,
    find_coding,
    overlay,
    palette_of,
    parse_colors,
)

from .conftest import save, sentence, square

RED, BLUE, BLACK, WHITE = (255, 0, 0), (0, 0, 255), (0, 0, 0), (255, 255, 255)


def read(file, coding="auto", colors=()):
    return MaskFile(file, find_coding([file], coding), colors).read()


def test_index_masks_keep_their_numbers_and_255_is_ignored(tmp_path):
    values = square()
    values[0, :3] = 2, 3, 255
    mask = read(save(tmp_path / "m.png", values))

    assert mask.dtype == torch.uint8
    assert np.array_equal(mask.numpy(), values)


def test_a_palette_holds_class_numbers_and_their_colors(tmp_path):
    file = save(tmp_path / "m.png", square(value=2), palette=[BLACK, RED, BLUE])

    assert np.array_equal(read(file).numpy(), square(value=2))
    assert palette_of(file)[:3] == (BLACK, RED, BLUE)
    assert palette_of(save(tmp_path / "grey.png", square())) == ()


def test_a_palette_of_black_and_white_is_an_index_too(tmp_path):
    assert np.array_equal(read(save(tmp_path / "m.png", square(), palette=[BLACK, WHITE])).numpy(), square())


@pytest.mark.parametrize("mode", ["L", "1", "RGB", "RGBA", "LA"])
def test_black_and_white_is_one_defect(tmp_path, mode):
    file = save(tmp_path / "m.png", square(value=255), mode)

    assert find_coding([file], "auto") == "binary"
    assert np.array_equal(read(file).numpy(), square())


def test_one_bit_masks_that_are_all_black_have_no_defect(tmp_path):
    assert not read(save(tmp_path / "m.png", square(value=0), "1")).any()


@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_jpeg_masks_are_black_and_white_in_spite_of_their_noise(tmp_path, mode):
    file = save(tmp_path / "m.jpg", square(32, 32, (9, 10), 13, 255), mode, quality=60)
    assert len(MaskFile(file).read().unique()) > 2

    assert find_coding([file], "auto") == "binary"
    assert np.array_equal(read(file).numpy(), square(32, 32, (9, 10), 13))


def test_16_bit_masks_hold_class_numbers(tmp_path):
    file = save(tmp_path / "m.png", square(value=3).astype(np.uint16))
    assert np.array_equal(read(file).numpy(), square(value=3))

    file = save(tmp_path / "white.png", square().astype(np.uint16) * 65535)
    assert "white.png has the value 65535" in sentence(read, file)
    assert np.array_equal(read(file, "binary").numpy(), square())


def test_32_bit_masks_hold_class_numbers_that_are_not_negative(tmp_path):
    assert np.array_equal(read(save(tmp_path / "m.tif", square(value=3).astype(np.int32))).numpy(), square(value=3))
    assert "bad.tif has the value -1" in sentence(read, save(tmp_path / "bad.tif", -square().astype(np.int32)))


def test_colors_are_looked_up_in_the_table(tmp_path):
    values = np.zeros((4, 5, 3), np.uint8)
    values[1, 2], values[2, 3] = BLUE, RED
    mask = read(save(tmp_path / "m.png", values), "colors", (BLACK, RED, BLUE))

    assert mask[1, 2] == 2
    assert mask[2, 3] == 1
    assert int((mask > 0).sum()) == 2


def test_a_color_table_reads_palette_and_grey_files_by_their_colors(tmp_path):
    palette = save(tmp_path / "p.png", square(value=1), palette=[BLACK, BLUE])
    grey = save(tmp_path / "g.png", square(value=255))

    assert np.array_equal(read(palette, "colors", (BLACK, RED, BLUE)).numpy(), square(value=2))
    assert np.array_equal(read(grey, "colors", (BLACK, WHITE)).numpy(), square())


def test_an_unknown_color_is_named_with_its_file(tmp_path):
    file = save(tmp_path / "m.png", np.full((3, 3, 3), (1, 2, 3), np.uint8))
    text = sentence(read, file, "colors", (BLACK, RED))

    assert "m.png has the colour 1 2 3" in text
    assert "add a line for it" in text


@pytest.mark.parametrize("coding", ["auto", "index", "binary"])
def test_colored_masks_need_a_table(tmp_path, coding):
    values = np.zeros((4, 4, 3), np.uint8)
    values[0, 0] = RED
    text = sentence(read, save(tmp_path / "m.png", values), coding)

    assert "m.png is coloured (0 0 0; 255 0 0)" in text
    assert "set coding to colors" in text


def test_auto_looks_at_every_file_before_it_says_black_and_white(tmp_path):
    first = save(tmp_path / "a.png", square(value=255))
    second = save(tmp_path / "b.png", square(value=1))

    assert find_coding([first], "auto") == "binary"
    assert find_coding([first, second], "auto") == "index"  # 255 is what does not count
    assert find_coding([second], "binary") == "binary"


@pytest.mark.parametrize("content", [b"", b"no picture", b"\x89PNG\r\n\x1a\n" + b"\0" * 40])
def test_a_damaged_mask_is_named(tmp_path, content):
    (tmp_path / "m.png").write_bytes(content)
    for call in (read, palette_of):
        text = sentence(call, tmp_path / "m.png")
        assert "m.png cannot be read" in text
        assert "replace the file or remove it" in text


def test_a_fingerprint_changes_with_the_file_and_the_coding(tmp_path):
    file = save(tmp_path / "m.png", square())
    seen = {MaskFile(file).fingerprint(), MaskFile(file, "binary").fingerprint()}
    save(file, square(value=2, side=7))
    seen |= {MaskFile(file).fingerprint(), NoDefect(2, 3).fingerprint(), NoDefect(3, 2).fingerprint()}

    assert len(seen) == 5
    assert NoDefect(2, 3).read().tolist() == [[0, 0, 0], [0, 0, 0]]


def test_a_color_table_is_read_as_people_write_it():
    text = "surface 0 0 0\n\n deep crack: 255, 0 ,0\nclass 3 0 0 255"
    assert parse_colors(text) == (("surface", BLACK), ("deep crack", RED), ("class 3", BLUE))
    assert parse_colors(" \n") == ()


@pytest.mark.parametrize(
    "line", ["crack", "crack 1 2", "1 2 3", "crack 1 2 256", "crack 1 2 -3", "crack red", "a 1 2 ²", ": 1 2 3"]
)
def test_a_wrong_line_of_a_color_table_is_shown(line):
    text = sentence(parse_colors, f"surface 0 0 0\n{line}")
    assert repr(line.strip()) in text
    assert "crack 255 0 0" in text


def test_two_classes_of_one_color_are_refused():
    assert "dent and crack" in sentence(parse_colors, "surface 0 0 0\ncrack 255 0 0\ndent 255 0 0")


def test_default_colors_differ_and_only_the_first_is_the_background():
    colors = default_colors(30)
    assert len(colors) == 30
    assert colors.count(COLORS[0]) == 1
    assert default_colors(2) == COLORS[:2]


def test_a_mask_in_colors_and_over_a_picture():
    mask = torch.tensor([[0, 1, 255]], dtype=torch.uint8)
    grey = torch.full((1, 1, 3), 100, dtype=torch.uint8)

    assert colored(mask, (BLACK, RED))[:, 0].T.tolist() == [[0, 0, 0], [255, 0, 0], [128, 128, 128]]
    assert overlay(grey, mask, (BLACK, RED), 0.5)[:, 0].T.tolist() == [[100] * 3, [178, 50, 50], [100] * 3]
    assert overlay(grey.expand(3, -1, -1), mask, (BLACK, RED)).dtype == torch.uint8
