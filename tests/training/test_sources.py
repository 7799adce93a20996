"""Datasets from folders, tables, pictures of the graph and scikit-learn; and every way in which they can be wrong."""

import numpy as np
import pytest
import torch
from PIL import Image
from visionsmith.nn_layers import InputError
from visionsmith.training import sources
from visionsmith.training.dataset import read_picture, stratified_split
from visionsmith.training.statistics import statistics_table


def picture(path, value=128, size=(20, 10), mode="RGB"):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size, value if mode in ("L", "I;16") else (value,) * len(mode)).save(path)
    return path


@pytest.fixture
def folder(tmp_path):
    """Two classes of 20 pictures each."""
    for name in ("crack", "plain"):
        for i in range(20):
            picture(tmp_path / "tiles" / name / f"{i:02}.png", 10 * i)
    return tmp_path / "tiles"


def test_a_flat_folder_is_split_class_by_class_and_by_seed(folder):
    dataset = sources.image_folder(folder, val=0.2, test=0.2, seed=1)
    again, other = (sources.image_folder(folder, val=0.2, test=0.2, seed=seed) for seed in (1, 2))

    assert dataset.classes == ("crack", "plain")
    assert {name: torch.bincount(s.targets).tolist() for name, s in dataset.splits.items()} == {
        "train": [12, 12],
        "val": [4, 4],
        "test": [4, 4],
    }
    assert dataset.fingerprint == again.fingerprint != other.fingerprint
    names = [s.name(i) for s in dataset.splits.values() for i in range(len(s))]
    assert len(set(names)) == 40


def test_split_folders_are_taken_as_they_are(folder, tmp_path):
    (tmp_path / "set").mkdir()
    folder.rename(tmp_path / "set" / "train")
    picture(tmp_path / "set" / "validation" / "plain" / "a.png")
    dataset = sources.image_folder(tmp_path / "set")

    assert {name: len(s) for name, s in dataset.splits.items()} == {"train": 40, "val": 1}
    assert dataset.splits["val"].targets.tolist() == [1]  # the class order of train, though val has one class only


def test_a_class_that_only_val_has_is_refused(folder, tmp_path):
    (tmp_path / "set").mkdir()
    folder.rename(tmp_path / "set" / "train")
    picture(tmp_path / "set" / "val" / "rust" / "a.png")
    with pytest.raises(InputError, match="class rust is in val but not in train"):
        sources.image_folder(tmp_path / "set")


def test_broken_pictures_are_named_and_counted(folder):
    (folder / "crack" / "empty.jpg").touch()
    whole = picture(folder / "crack" / "cut.jpg", size=(300, 300)).read_bytes()
    (folder / "crack" / "cut.jpg").write_bytes(whole[: len(whole) // 2])
    (folder / "plain" / "text.png").write_text("no picture")

    with pytest.raises(InputError, match=r"3 pictures .* crack/cut.jpg, crack/empty.jpg, plain/text.png"):
        sources.image_folder(folder)
    dataset = sources.image_folder(folder, skip_broken=True)
    assert sum(len(s) for s in dataset.splits.values()) == 40
    assert dataset.notes[0].startswith("3 pictures skipped: crack/cut.jpg")


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda f: None, "has no pictures in sub-folders"),
        (lambda f: picture(f / "only" / "a.png"), r"one class only \(only\)"),
        (lambda f: picture(f / "a.png"), "has no pictures in sub-folders"),
    ],
)
def test_folders_that_cannot_be_a_dataset(tmp_path, make, words):
    (tmp_path / "x").mkdir()
    make(tmp_path / "x")
    with pytest.raises(InputError, match=words):
        sources.image_folder(tmp_path / "x")


def test_a_missing_folder_and_shares_that_leave_nothing(tmp_path, folder):
    with pytest.raises(InputError, match="is not a folder"):
        sources.image_folder(tmp_path / "nowhere")
    with pytest.raises(InputError, match="nothing is left to train on"):
        sources.image_folder(folder, val=0.6, test=0.4)


def test_progress_is_told_and_may_stop_the_reading(folder):
    seen = []
    sources.image_folder(folder, on_progress=lambda done, count: seen.append((done, count)))
    assert seen[-1] == (40, 40)

    def stop(done, count):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        sources.image_folder(folder, on_progress=stop)


def test_unusual_pictures_are_read_as_people_see_them(tmp_path):
    deep = Image.fromarray(np.full((4, 6), 40_000, np.uint16))
    deep.save(tmp_path / "deep.png")
    Image.new("CMYK", (6, 4), (0, 255, 255, 0)).save(tmp_path / "print.jpg")
    turned = Image.new("RGB", (6, 4))
    exif = turned.getexif()
    exif[0x0112] = 6  # "rotate by 90 degrees to see it upright"
    turned.save(tmp_path / "turned.jpg", exif=exif)
    Image.new("P", (6, 4)).save(tmp_path / "palette.png")

    assert read_picture(tmp_path / "deep.png").float().mean() == pytest.approx(40_000 / 257, abs=1)
    red = read_picture(tmp_path / "print.jpg").float().mean((1, 2))
    assert red[0] > 200 > 80 > red[1]
    assert read_picture(tmp_path / "turned.jpg").shape == (3, 6, 4)
    assert read_picture(tmp_path / "palette.png", "L").shape == (1, 4, 6)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (np.float32([0, 0.5, 1]), [0, 127, 255]),
        (np.float32([0, 100, 255]), [0, 100, 255]),
        (np.float32([0, 25_600, 65_535]), [0, 100, 255]),
        (np.float32([np.nan, 0.5, 1]), [0, 127, 255]),
        (np.int32([0, 100, 255]), [0, 100, 255]),
        (np.int32([-5, 25_600, 65_535]), [0, 100, 255]),
        (np.uint16([0, 255, 65_535]), [0, 0, 255]),  # dark pictures of a camera of 16 bits stay dark
    ],
)
def test_grey_of_more_than_8_bits(tmp_path, values, expected):
    Image.fromarray(values[None]).save(tmp_path / "deep.tif")

    assert read_picture(tmp_path / "deep.tif", "L").flatten().tolist() == expected


CSV = "width,height,kind\n1,2,a\n3,4,b\n" * 1 + "5,6,a\n7,8,b\n" * 5


def test_a_table_becomes_standardized_features(tmp_path):
    file = tmp_path / "parts.csv"
    file.write_text(CSV)
    dataset = sources.table(file, "kind", "classification", val=0.2, test=0.2)
    train = torch.stack([dataset.split("train")[i] for i in range(len(dataset.split("train")))])

    assert dataset.classes == ("a", "b")
    torch.testing.assert_close(train.mean(0), torch.zeros(2), atol=1e-5, rtol=0)
    torch.testing.assert_close(train.std(0, correction=0), torch.ones(2), atol=1e-5, rtol=0)
    assert len(sources.table(file, "width", "regression", features=("height",)).split("train")[0]) == 1


@pytest.mark.parametrize(
    ("text", "target", "task", "words"),
    [
        (CSV, "colour", "classification", "no column 'colour', only width, height, kind"),
        (CSV.replace("5,6", "5,six", 1), "kind", "classification", "line 4 of parts.csv has 'six' in column height"),
        (CSV.replace("5,6", "5,nan", 1), "kind", "classification", "'nan' in column height"),
        (CSV, "kind", "regression", "has 'a' in column kind"),
        (CSV.replace(",b", ",a"), "kind", "classification", "one class only"),
        ("a,b\n", "a", "regression", "no rows"),
        ("", "a", "regression", "no rows"),
        ("a,b\n1,2\n1\n", "a", "regression", "line 3 of parts.csv does not have the header's 2 cells"),
        ("a\n1\n", "a", "regression", "no column besides a"),
        ("a,a,b\n1,2,3\n", "b", "regression", "two columns called 'a'"),
        ("a,b\n1,x\n2,\n3,y\n", "b", "classification", "line 3 of parts.csv has no class in column b"),
    ],
)
def test_a_wrong_table_is_told_with_its_line(tmp_path, text, target, task, words):
    file = tmp_path / "parts.csv"
    file.write_text(text)
    with pytest.raises(InputError, match=words):
        sources.table(file, target, task)


def test_the_digits_are_real_and_all_there():
    dataset = sources.digits()

    assert sum(len(s) for s in dataset.splits.values()) == 1797
    assert dataset.split("train")[0].shape == (1, 8, 8)
    assert dataset.split("train")[0].dtype == torch.uint8
    assert "samples" in statistics_table(dataset)
    with pytest.raises(InputError, match="no split 'dev', only train, val, test"):
        dataset.split("dev")


def test_pictures_of_the_graph_with_labels():
    dataset = sources.from_images(torch.rand(4, 6, 5, 3), ["b", "a", "b", "a"])

    assert dataset.classes == ("a", "b")
    assert dataset.split("train").targets.tolist() == [1, 0, 1, 0]
    with pytest.raises(InputError, match="4 pictures but 3 labels"):
        sources.from_images(torch.rand(4, 6, 5, 3), ["b", "a", "b"])
    with pytest.raises(InputError, match="all labels are 'a'"):
        sources.from_images(torch.rand(2, 6, 5, 3), ["a", "a"])


@pytest.mark.parametrize(("val", "test"), [(0.4, 0.4), (0.5, 0.4), (0.6, 0.0), (0.9, 0.05), (0.15, 0.15)])
def test_every_class_keeps_a_sample_to_train_on(val, test):
    targets = torch.arange(12).repeat_interleave(torch.arange(1, 13))  # classes of 1, 2 … 12 samples
    parts = stratified_split(targets, sources.shares(val, test), seed=0)
    counts = {name: torch.bincount(targets[indices], minlength=12) for name, indices in parts.items()}

    assert counts["train"].min() >= 1
    assert sorted(i for indices in parts.values() for i in indices) == list(range(len(targets)))
    for name, share in (("val", val), ("test", test)):
        if share:
            assert counts[name][2:].min() >= 1  # classes that have one for each
