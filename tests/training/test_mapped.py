"""Large pictures are mapped from a file, not kept: the same values, decoded once, and anew when the picture changes."""

import os

import numpy as np
import pytest
import torch
from PIL import Image
from visionsmith.nn_layers import InputError
from visionsmith.training import dataset as dataset_module
from visionsmith.training import mapped as mapped_module
from visionsmith.training.dataset import read_picture
from visionsmith.training.segmentation import masks as masks_module
from visionsmith.training.segmentation.masks import MaskFile


@pytest.fixture
def large(tmp_path, monkeypatch):
    """A picture and a mask that count as large, and the folder their mapped files lie in."""
    for module in (dataset_module, masks_module):
        monkeypatch.setattr(module, "MAPPED_PIXELS", 100)
    monkeypatch.setattr(mapped_module.tempfile, "gettempdir", lambda: str(tmp_path / "temp"))
    (tmp_path / "temp").mkdir()
    values = np.random.default_rng(0).integers(0, 256, (20, 30, 3), np.uint8)
    Image.fromarray(values).save(tmp_path / "a.png")
    Image.fromarray(values[..., 0] % 3).save(tmp_path / "m.png")
    return tmp_path, values


def test_values_are_the_pictures(large):
    folder, values = large
    picture, mask = read_picture(folder / "a.png"), MaskFile(folder / "m.png").read()

    assert torch.equal(picture, torch.from_numpy(values).permute(2, 0, 1))
    assert torch.equal(mask, torch.from_numpy(values[..., 0] % 3))
    assert len(list((folder / "temp").rglob("*.npy"))) == 2


def test_a_picture_is_decoded_once_and_anew_when_it_changed(large, monkeypatch):
    folder, _ = large
    read_picture(folder / "a.png")
    (file,) = (folder / "temp").rglob("*.npy")
    before = file.stat().st_mtime_ns
    read_picture(folder / "a.png")
    assert file.stat().st_mtime_ns == before

    Image.fromarray(np.zeros((20, 30, 3), np.uint8)).save(folder / "a.png")
    os.utime(folder / "a.png", (1, 1))
    assert read_picture(folder / "a.png").max() == 0


def test_changing_the_tensor_leaves_the_file_alone(large):
    folder, values = large
    read_picture(folder / "a.png").zero_()

    assert torch.equal(read_picture(folder / "a.png"), torch.from_numpy(values).permute(2, 0, 1))


def test_only_what_is_looked_at_is_read_through_windows(large):
    from visionsmith.training.segmentation.loader import window

    folder, values = large
    part = window(read_picture(folder / "a.png"), 3, 5, 4, 6)

    assert torch.equal(part, torch.from_numpy(values[3:7, 5:11]).permute(2, 0, 1))


def test_pictures_that_pillow_refuses_are_read_up_to_a_limit_of_our_own(large, monkeypatch):
    folder, values = large
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 200)  # Pillow refuses twice that; these have 600

    assert torch.equal(read_picture(folder / "a.png"), torch.from_numpy(values).permute(2, 0, 1))
    assert MaskFile(folder / "m.png").read().shape == (20, 30)
    assert Image.MAX_IMAGE_PIXELS == 200

    monkeypatch.setattr(mapped_module, "MOST_PIXELS", 500)
    for read in (lambda: read_picture(folder / "a.png"), lambda: MaskFile(folder / "m.png").read()):
        with pytest.raises(InputError, match=r"megapixels, and at most .* can be read; cut it into tiles"):
            read()
