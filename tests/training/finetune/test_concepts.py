"""Concepts from folders, rows, JSON and MVTec AD; what is wrong with them is told in a sentence."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

sys.path.insert(0, str(Path(__file__).parent))
from tiny_models import draw
from visionsmith.nn_layers import InputError
from visionsmith.training.finetune.concepts import batches, load, load_mask, nearest_bucket
from visionsmith.training.finetune.folders import (
    Row,
    read_concepts,
    rows_from_json,
    rows_from_mvtec,
    rows_from_text,
)


def read(*rows, **options):
    return read_concepts("c", rows, **{"resolution": 64, **options})


def test_captions_get_the_trigger_word_once(tmp_path):
    folder = draw(tmp_path, 4)
    for number, text in enumerate(["a metal plate", "[trigger] on steel", "Ohwx close up\n"]):
        (folder / f"{number}.txt").write_text(text)
    found = [picture.caption for _, picture in read(Row("ohwx", folder)).pictures]

    assert found == ["ohwx, a metal plate", "ohwx on steel", "Ohwx close up", "ohwx"]


def test_missing_captions_are_counted(tmp_path):
    folder = draw(tmp_path)
    (folder / "1.txt").write_text("a plate")

    with pytest.raises(InputError, match=r"2 of 3 pictures in .* have no caption \(such as 0.png\); write a .txt file"):
        read(Row("", folder))


def test_few_pictures_are_warned_of(tmp_path):
    [note] = read(Row("q", draw(tmp_path, 1))).notes

    assert note.startswith("'q' has 1 picture: the model will learn these very pictures")


@pytest.mark.parametrize("content", [b"", b"no picture", None])
def test_broken_pictures_are_named(tmp_path, content):
    folder = draw(tmp_path)
    whole = (folder / "1.png").read_bytes()
    (folder / "1.png").write_bytes(whole[: len(whole) // 2] if content is None else content)

    with pytest.raises(InputError, match=r"1 of 3 pictures cannot be read: .*1.png; replace or remove them"):
        read(Row("q", folder))


def test_no_pictures(tmp_path):
    with pytest.raises(InputError, match="has no pictures"):
        read(Row("q", tmp_path))
    with pytest.raises(InputError, match="is not a folder"):
        read(Row("q", tmp_path / "gone"))


def test_exif_and_16_bits(tmp_path):
    picture = Image.fromarray(np.zeros((20, 40, 3), np.uint8))
    exif = picture.getexif()
    exif[274] = 6
    picture.save(tmp_path / "a.jpg", exif=exif)
    Image.fromarray(np.full((20, 40), 65535, np.uint16)).save(tmp_path / "b.png")
    (_, first), (_, second) = read(Row("q", tmp_path), resolution=256).pictures

    assert (first.height, first.width) == (40, 20)
    assert load(second.file, (64, 64)).min() == 1


def test_masks_belong_to_their_pictures(tmp_path):
    concepts = read(Row("q", draw(tmp_path / "a", masks=True)))
    mask = load_mask(concepts.pictures[0][1].mask, (24, 24))

    assert len(concepts) == concepts.masked == 3
    assert mask.shape == (1, 24, 24)
    assert mask.sum() == 144

    Image.fromarray(np.zeros((24, 60), np.uint8)).save(tmp_path / "a" / "1_mask.png")
    with pytest.raises(InputError, match=r"1_mask.png is a mask of 60 × 24 pixels, but 1.png has 24 × 24"):
        read(Row("q", tmp_path / "a"))
    with pytest.raises(InputError, match=r"none of the masks in .* belongs to a picture"):
        (tmp_path / "m").mkdir()
        Image.fromarray(np.zeros((24, 24), np.uint8)).save(tmp_path / "m" / "other.png")
        read(Row("q", draw(tmp_path / "b"), masks=tmp_path / "m"))


@pytest.mark.parametrize("size", [(512, 512), (1080, 1920), (3000, 2000), (100, 1000), (1, 5000)])
def test_buckets_have_the_pictures_shape_and_no_more_pixels(size):
    height, width = nearest_bucket(*size, 512)

    assert height % 64 == width % 64 == 0
    assert height * width <= 512 * 512
    assert 0.7 < min(max(width / height, 1 / 4), 4) / min(max(size[1] / size[0], 1 / 4), 4) < 1.4


def test_pictures_are_cut_around_their_middle(tmp_path):
    array = np.zeros((10, 30, 3), np.uint8)
    array[:, 10:20] = 255
    Image.fromarray(array).save(tmp_path / "a.png")

    assert load(tmp_path / "a.png", (10, 10)).min() == 1


def test_batches_have_one_size_and_every_picture_as_often_as_it_repeats(tmp_path):
    wide, square = draw(tmp_path / "a", 5, (128, 256)), draw(tmp_path / "b", 3, (128, 128))
    concepts = read(Row("a", wide), Row("b", square, repeats=2), resolution=128)
    plan = batches(concepts, 2, 0, False, 0)

    assert sorted(number for batch in plan for number in batch) == [0, 1, 2, 3, 4, 5, 5, 6, 6, 7, 7]
    for batch in plan:
        assert len({concepts.size_of(concepts.pictures[number][1]) for number in batch}) == 1
    assert plan == batches(concepts, 2, 0, False, 0) != batches(concepts, 2, 0, False, 1)


def test_each_batch_can_hold_every_concept(tmp_path):
    rows = [Row(name, draw(tmp_path / name, count)) for name, count in (("a", 7), ("b", 2), ("c", 3))]
    concepts = read(*rows)
    for epoch in range(3):
        plan = batches(concepts, 4, 0, True, epoch)
        for batch in plan:
            assert {concepts.pictures[number][0] for number in batch} == {0, 1, 2}
        assert {number for batch in plan for number in batch} == set(range(12))


def test_json_of_multi_concept_scripts(tmp_path):
    draw(tmp_path / "teeth")
    entry = {
        "instance_prompt": "a photo of a broken teeth zipper",
        "class_prompt": "a photo of a zipper",
        "instance_data_dir": "teeth",
        "class_data_dir": "zippers",
    }

    def place(text):
        if not (tmp_path / text).exists():
            raise InputError("gone")
        return tmp_path / text

    [concept] = read(*rows_from_json(json.dumps([entry]), "it", place)).concepts
    assert (concept.prompt, concept.class_prompt) == (entry["instance_prompt"], entry["class_prompt"])
    assert not concept.class_pictures

    for text, told in (
        ("{", "no readable JSON"),
        ("{}", "no list"),
        ('[{"a": 1}]', "unknown"),
        ("[{}]", "no instance"),
    ):
        with pytest.raises(InputError, match=told):
            rows_from_json(text, "it", place)


def test_rows(tmp_path):
    rows = rows_from_text("a bent nail | nails/bent | a nail\n\n q|x", lambda text: tmp_path / text)

    assert rows == [Row("a bent nail", tmp_path / "nails/bent", "a nail"), Row("q", tmp_path / "x")]
    with pytest.raises(InputError, match="concepts has the line 'a bent nail'"):
        rows_from_text("a bent nail", Path)


def test_mvtec(tmp_path):
    folder = tmp_path / "zipper"
    for name in ("broken_teeth", "rough", "good"):
        draw(folder / "test" / name)
    draw(folder / "train" / "good", 6)
    for name in ("broken_teeth", "rough"):
        (folder / "ground_truth" / name).mkdir(parents=True)
        for number in range(3):
            mask = np.zeros((24, 24), np.uint8)
            mask[:4] = 255
            Image.fromarray(mask).save(folder / "ground_truth" / name / f"{number}_mask.png")
    rows = rows_from_mvtec(folder, "a photo of a {defect} {object}", "a photo of a {object}")
    concepts = read(*rows)

    assert [concept.prompt for concept in concepts.concepts] == ["a photo of a broken teeth zipper", "a photo of a rough zipper"]  # fmt: skip
    assert concepts.masked == 6
    assert {len(concept.class_pictures) for concept in concepts.concepts} == {6}
    with pytest.raises(InputError, match="has no defect 'bent'; choose from broken_teeth, rough"):
        rows_from_mvtec(folder, "", "", ["bent"])
    with pytest.raises(InputError, match="no category of MVTec AD"):
        rows_from_mvtec(tmp_path, "", "")


def test_the_fingerprint_tells_pictures_captions_and_masks(tmp_path):
    folder = draw(tmp_path, masks=True)
    first = read(Row("q", folder)).fingerprint
    assert first == read(Row("q", folder)).fingerprint
    (folder / "0.txt").write_text("a caption")
    second = read(Row("q", folder)).fingerprint
    Image.fromarray(np.zeros((24, 24), np.uint8)).save(folder / "0_mask.png")

    assert len({first, second, read(Row("q", folder)).fingerprint}) == 3


def test_preview_paints_masks(tmp_path):
    from visionsmith.training.finetune.concepts import preview

    shown, captions = preview(read(Row("q", draw(tmp_path, masks=True))))
    assert captions == ["q"] * 3
    assert shown[0].shape == (3, 64, 64)
    assert shown[0].dtype == torch.uint8


def test_the_fingerprint_tells_pictures_of_the_class(tmp_path):
    folder, plain = draw(tmp_path / "own"), draw(tmp_path / "class")
    without = read(Row("q", folder, "a nail")).fingerprint
    first = read(Row("q", folder, "a nail", plain)).fingerprint
    Image.fromarray(np.full((24, 24, 3), 9, np.uint8)).save(plain / "0.png")

    assert len({without, first, read(Row("q", folder, "a nail", plain)).fingerprint}) == 3
