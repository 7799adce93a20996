"""Masks that a person draws: where they lie, how they are read and saved, and that datasets read them."""

import numpy as np
import pytest
from PIL import Image
from visionsmith.nn_layers import InputError
from visionsmith.training.segmentation.folders import masked_folder
from visionsmith.training.segmentation.labels import (
    ToLabel,
    classes_of,
    in_the_way,
    pictures_to_label,
    read_labels,
    save_labels,
    settled_coding,
    shown_picture,
    twins,
    upright_size,
    version_of,
)

BLACK, RED, GREEN = (0, 0, 0), (255, 0, 0), (0, 200, 0)
COLORS = (BLACK, RED, GREEN)


def picture(file, height=6, width=8, mode="RGB", **options):
    file.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(0).integers(0, 255, (height, width, 3), np.uint8)
    Image.fromarray(pixels).convert(mode).save(file, **options)
    return file


def grey(file, values):
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.asarray(values, np.uint8)).save(file)
    return file


def drawn(value=1, height=6, width=8):
    labels = np.zeros((height, width), np.uint8)
    labels[1:3, 2:5] = value
    labels[0, 0] = 255
    return labels


def targets(folder, **names):
    return {item.name: item.target.relative_to(folder).as_posix() for item in pictures_to_label(folder, **names)}


def test_names_and_colors_of_classes():
    names, colors = classes_of("surface, scratch #E64B35\ndent")
    assert names == ("surface", "scratch", "dent") and colors[1] == (230, 75, 53)
    assert len(set(colors)) == 3


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "names 0 classes"),
        ("one", "names 1 classes"),
        ("a, #ff0000", "names 1 classes"),
        ("a, b, b", "called b"),
        ("a #ff0000, b #FF0000", "coloured ff0000"),
        (",".join(map(str, range(300))), "names 300 classes"),
    ],
)
def test_classes_that_cannot_be(text, words):
    with pytest.raises(InputError, match=words):
        classes_of(text)


def test_layouts(tmp_path):
    picture(tmp_path / "a/images/x.jpg")
    assert targets(tmp_path / "a") == {"images/x.jpg": "masks/x.png"}
    picture(tmp_path / "b/img_dir/train/x.jpg")
    picture(tmp_path / "b/img_dir/val/y.z.jpg")
    assert targets(tmp_path / "b") == {"img_dir/train/x.jpg": "ann_dir/train/x.png", "img_dir/val/y.z.jpg": "ann_dir/val/y.z.png"}  # fmt: skip
    picture(tmp_path / "c/train/images/x.jpg")
    picture(tmp_path / "c/test/images/deep/y.jpg")
    assert targets(tmp_path / "c") == {"train/images/x.jpg": "train/masks/x.png", "test/images/deep/y.jpg": "test/masks/deep/y.png"}  # fmt: skip
    picture(tmp_path / "d/photos/x.jpg")
    assert targets(tmp_path / "d", images="photos", masks="truth") == {"photos/x.jpg": "truth/x.png"}


@pytest.mark.parametrize("masks", ["../elsewhere", "a/b", "..", ".hidden", "images", "Pictures"])
def test_masks_have_a_folder_of_their_own(tmp_path, masks):
    picture(tmp_path / "images/x.jpg")
    (tmp_path / "pictures").mkdir()
    with pytest.raises(InputError, match=r"no name of a folder|a folder of pictures"):
        pictures_to_label(tmp_path, masks=masks)


def test_a_mask_that_is_there_is_replaced_and_kept_once(tmp_path):
    picture(tmp_path / "images/x.jpg")
    old = grey(tmp_path / "masks/x_mask.png", drawn(2))
    before = old.read_bytes()
    for value in (1, 2):
        [item] = pictures_to_label(tmp_path)
        assert item.target == old
        save_labels(item, drawn(value), COLORS)
    assert (tmp_path / "masks/x_mask.png.bak").read_bytes() == before
    assert {file.name for file in (tmp_path / "masks").iterdir()} == {"x_mask.png", "x_mask.png.bak"}
    with Image.open(old) as saved:
        assert (saved.mode, saved.format) == ("P", "PNG")
        assert np.array_equal(np.asarray(saved), drawn(2))
        assert saved.getpalette()[:9] == [*BLACK, *RED, *GREEN] and saved.getpalette()[-3:] == [128, 128, 128]


@pytest.mark.parametrize("ending", ["webp", "tif", "bmp"])
def test_a_mask_of_another_kind_makes_room(tmp_path, ending):
    picture(tmp_path / "images/x.jpg")
    options = {"lossless": True} if ending == "webp" else {}
    picture(tmp_path / f"masks/x.{ending}", **options)
    [item] = pictures_to_label(tmp_path)
    save_labels(item, drawn(), COLORS)
    [item] = pictures_to_label(tmp_path)
    assert item.mask.name == "x.png" and (tmp_path / f"masks/x.{ending}.bak").is_file()
    assert np.array_equal(read_labels(item, "index", COLORS), drawn())


def test_masks_that_were_kept_are_never_replaced(tmp_path):
    picture(tmp_path / "images/x.jpg")
    masks = tmp_path / "masks"
    for value in (1, 2, 3):  # another tool writes a mask of another kind again and again
        picture(masks / f"x_{value}.bmp", height=value).rename(masks / "x.bmp")
        (masks / "x.png").unlink(missing_ok=True)
        save_labels(*pictures_to_label(tmp_path), drawn(), COLORS)
    heights = [Image.open(masks / f"x.bmp.bak{number}").height for number in ("", 2, 3)]
    assert heights == [1, 2, 3]

    theirs = grey(masks / "x.png", drawn(2)).read_bytes()
    for value, keep in ((1, True), (2, False), (1, True)):
        save_labels(*pictures_to_label(tmp_path), drawn(value), COLORS, keep=keep)
    assert (masks / "x.png.bak").read_bytes() == theirs
    assert np.array_equal(Image.open(masks / "x.png.bak2"), drawn(2))
    assert not (masks / "x.png.bak3").exists()
    assert pictures_to_label(tmp_path)[0].mask.name == "x.png"


def test_a_mask_never_takes_the_place_of_another_file(tmp_path):
    picture(tmp_path / "images/x.jpg")
    for name in ("x.png", "x.tif"):
        grey(tmp_path / "masks" / name, drawn(2))
    [item] = pictures_to_label(tmp_path)
    if item.mask.suffix == ".png":
        item = ToLabel(item.name, item.picture, item.mask.with_suffix(".tif"), item.target)
    before = item.target.read_bytes()
    with pytest.raises(InputError, match=r"x\.png is there beside x\.tif"):
        save_labels(item, drawn(), COLORS)
    assert item.target.read_bytes() == before and in_the_way(item)


def test_pictures_that_would_share_a_mask(tmp_path):
    for name in ("x.jpg", "x.png", "y.jpg"):
        picture(tmp_path / "images" / name)
    assert twins(pictures_to_label(tmp_path)) == {"images/x.jpg", "images/x.png"}


def test_the_size_is_the_upright_ones(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    file = picture(tmp_path / "images/x.jpg", exif=exif)
    assert upright_size(file) == (8, 6)
    content, kind = shown_picture(file)
    assert kind == "image/png"
    (tmp_path / "shown.png").write_bytes(content)
    with Image.open(tmp_path / "shown.png") as shown, Image.open(file) as stored:
        assert np.array_equal(np.asarray(shown), np.rot90(np.asarray(stored), -1))


@pytest.mark.parametrize(
    ("name", "mode", "kind"),
    [
        ("x.jpg", "RGB", "image/jpeg"),
        ("x.png", "L", "image/png"),
        ("x.bmp", "RGB", "image/png"),
        ("x.jpg", "CMYK", "image/png"),
        ("x.png", "RGBA", "image/png"),
    ],
)
def test_what_a_browser_is_given(tmp_path, name, mode, kind):
    file = picture(tmp_path / name, mode=mode)
    content, given = shown_picture(file)
    assert given == kind
    assert (content == file.read_bytes()) == (mode in ("RGB", "L") and name != "x.bmp")


def test_masks_of_every_coding_are_read(tmp_path):
    for name in "abcd":
        picture(tmp_path / f"images/{name}.jpg")
    grey(tmp_path / "masks/a.png", drawn(1) % 255 * 255)
    items = pictures_to_label(tmp_path)
    assert settled_coding(items, "auto") == "binary"
    assert np.array_equal(read_labels(items[0], "binary", COLORS), drawn(1) % 255)
    assert read_labels(items[1], "binary", COLORS) is None
    grey(tmp_path / "masks/b.png", np.array(COLORS)[drawn(2) % 255])
    items = pictures_to_label(tmp_path)
    assert np.array_equal(read_labels(items[1], "colors", COLORS), drawn(2) % 255)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (np.full((6, 8), 3), "has class number 3, but the classes go from 0 to 2"),
        (np.zeros((3, 8)), "mask x.png is 8 × 3 pixels, but its picture x.jpg is 8 × 6"),
    ],
)
def test_masks_that_do_not_fit(tmp_path, values, words):
    picture(tmp_path / "images/x.jpg")
    grey(tmp_path / "masks/x.png", values)
    [item] = pictures_to_label(tmp_path)
    with pytest.raises(InputError, match=words):
        read_labels(item, "index", COLORS)


@pytest.mark.parametrize("coding", ["auto", "index", "binary", "colors"])
def test_drawn_masks_lie_among_masks_of_any_coding(tmp_path, coding):
    """Whatever a folder's masks are, those saved here are read by their numbers, also by Segmentation Dataset's reader."""
    old = {"index": drawn(2), "colors": np.array(COLORS)[drawn(2) % 255]}.get(coding, drawn(1) % 255 * 255)
    for name in "abc":
        picture(tmp_path / f"images/{name}.jpg")
        grey(tmp_path / f"masks/{name}.png", old)
    item = pictures_to_label(tmp_path)[1]
    save_labels(item, drawn(2), COLORS)
    table = "\n".join(f"{name} {r} {g} {b}" for name, (r, g, b) in zip("xyz", COLORS, strict=True))
    dataset = masked_folder(
        tmp_path, coding=coding, classes=tuple("xyz"), colors=table if coding == "colors" else "", val=0.0, test=0.0
    )
    assert np.array_equal(dataset.split("train").mask(1).numpy(), drawn(2))
    expected = {"index": drawn(2), "colors": drawn(2) % 255}.get(coding, drawn(1) % 255)
    assert np.array_equal(dataset.split("train").mask(0).numpy(), expected)


def test_a_first_mask_of_ignored_pixels_only_is_no_defect(tmp_path):
    for name in "ab":
        picture(tmp_path / f"images/{name}.jpg")
    first, second = pictures_to_label(tmp_path)
    save_labels(first, drawn(255), COLORS)
    save_labels(second, drawn(1), COLORS)
    mask = masked_folder(tmp_path, val=0.0, test=0.0).split("train").mask(0).numpy()
    assert set(np.unique(mask)) == {0, 255}


def test_the_version_changes_with_the_mask(tmp_path):
    picture(tmp_path / "images/x.jpg")
    [item] = pictures_to_label(tmp_path)
    assert version_of(item.mask) == ""
    save_labels(item, drawn(), COLORS)
    first = version_of(item.target)
    save_labels(item, drawn(2), COLORS)
    assert "" != first != version_of(item.target)
