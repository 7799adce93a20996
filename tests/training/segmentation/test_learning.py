"""A small network learns coloured squares; trainings go on bit for bit; a test counts every pixel of a split."""

import math
from contextlib import closing
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file
from visionsmith.nn_layers import load_network
from visionsmith.training import FitSettings, Loss, LossSum, Optimizer, Run, evaluate, fit
from visionsmith.training import transforms as tf
from visionsmith.training.evaluate import meter_for
from visionsmith.training.metrics import METRICS
from visionsmith.training.segmentation import evaluate as evaluating
from visionsmith.training.segmentation.pictures import errors, painted, sweep_picture, worst_masks
from visionsmith.training.segmentation.predict import predict_masks
from visionsmith.training.segmentation.samples import segmentation_dataset
from visionsmith.training.settings import check

from .conftest import colored_squares, in_memory, sentence, small_network, squares_dataset

SETTINGS = FitSettings(epochs=8, batch_size=4, metric="auto", device="cpu")
PLAN = Loss(), Optimizer(learning_rate=0.02), SETTINGS


def train(network, dataset, plan, folder, stop_after=None) -> Run:
    """Run a training to its end, or to a step at which whoever watches it goes away."""
    with closing(fit(network, dataset, *plan, folder)) as steps:
        for count, _ in enumerate(steps, 1):
            if count == stop_after:
                break
    return Run.load(folder)


class Bright(torch.nn.Module):
    """Takes what is bright in the first channel for the defect."""

    def forward(self, x):
        return torch.stack((0.5 - x[:, 0], x[:, 0] - 0.5), 1) * 20


@pytest.fixture(scope="module")
def learned(tmp_path_factory):
    """A trained network, its dataset and its run; the pictures are larger than the network's window."""
    dataset = squares_dataset(16, size=44).with_transforms(tf.Normalize(), tf.Flip(), tf.DefectWindow(0.7, count=2))
    run = train(small_network(), dataset, PLAN, tmp_path_factory.mktemp("run"))
    return run.network(), dataset, run


def test_it_learns_a_coloured_square(learned):
    network, dataset, run = learned
    report = evaluate(network, dataset)

    assert report.scores["mIoU of defects"] > 0.9
    assert report.scores["defect recall"] == 1
    assert run.state == "done"
    assert (run.metric, run.settings["metric"]) == ("mIoU of defects", "mIoU of defects")
    assert max(epoch.metric for epoch in run.history) > 0.9
    assert run.history[-1].train_loss < 0.5 * run.history[0].train_loss


def test_the_trained_network_says_what_it_learned(learned):
    network, dataset, run = learned
    again = load_network(run.folder, "best.safetensors")
    for found in (network, again):
        assert (found.task, found.classes, found.colors) == ("segmentation", ("surface", "square"), dataset.colors)
        assert found.prepare.fit == "tile"
        assert len(found.prepare.mean) == 3
    assert sorted(file.name for file in run.folder.iterdir()) == [
        "best.safetensors", "curves.png", "last.safetensors", "metrics.csv", "network.json", "settings.json",
    ]  # fmt: skip


def test_a_report_counts_every_pixel_of_the_split(learned):
    network, dataset, _ = learned
    report = evaluate(network, dataset, "val", batch_size=3)
    samples, confusion = dataset.split("val"), torch.zeros(2, 2, dtype=torch.int64)
    for i in range(len(samples)):
        found = predict_masks(network, samples[i].permute(1, 2, 0)[None] / 255).masks[0].long()
        confusion += torch.bincount(2 * samples.mask(i).long().flatten() + found.flatten(), minlength=4).view(2, 2)

    assert report.count == 4
    assert torch.equal(report.confusion, confusion)
    hits, either = int(confusion[1, 1]), int(confusion[1].sum() + confusion[0, 1])
    assert report.scores["mIoU of defects"] == pytest.approx(hits / either)
    assert report.scores["aAcc"] == pytest.approx(float(confusion.diagonal().sum() / confusion.sum()))
    assert next(iter(report.scores)) == "loss"
    assert set(METRICS["segmentation"]) < set(report.scores)


def test_a_report_as_text(learned):
    network, dataset, _ = learned
    report = evaluate(network, dataset)
    rows, table = report.rows(), report.table()

    assert table.splitlines()[0] == "small on test of squares, 4 pictures"
    assert list(rows) == ["surface", "square"]
    assert list(rows["square"]) == [
        "IoU", "accuracy", "precision", "Dice", "F1 ± 2 px", "AP", "found", "false alarms",
    ]  # fmt: skip
    assert rows["square"]["IoU"] == report.scores["mIoU of defects"]
    assert math.isnan(rows["surface"]["found"])
    head, background, square = table.splitlines()[-3:]
    assert len(head) == len(background) == len(square)
    assert "–" in background
    assert "nan" not in table


def test_a_report_as_pictures(learned):
    network, dataset, _ = learned
    report = evaluate(network, dataset)
    worst, sweep = worst_masks(report, dataset), sweep_picture(report.sweep, report.classes, report.colors)

    assert worst.mode == sweep.mode == "RGB"
    assert worst.width > 4 * 100
    assert worst.height > 4 * 100  # a row for each of four pictures


def test_the_worst_pictures_come_first(monkeypatch):
    monkeypatch.setattr(evaluating, "WORST", 3)
    masks = torch.zeros(5, 32, 32, dtype=torch.uint8)
    for i, size in enumerate((16, 4, 0, 8, 12)):
        masks[i, :size, :16] = 1
    pictures = torch.zeros(5, 3, 32, 32, dtype=torch.uint8)
    pictures[:, 0, :16, :16] = 255  # what the network takes for a square, in every picture
    dataset = segmentation_dataset("made", {"train": in_memory(pictures, masks)}, ("ok", "square"))
    report = evaluate(replace(small_network(), module=Bright()), dataset, "train")

    assert [example.index for example in report.worst] == [2, 1, 3]
    assert [round(example.error, 4) for example in report.worst] == [1.0, 0.75, 0.5]
    assert report.worst[0].name == "picture 3"
    assert torch.equal(report.worst[1].predicted[:16, :16], torch.ones(16, 16, dtype=torch.uint8))
    assert report.scores["false alarms per picture"] == pytest.approx(1 / 5)


def test_what_does_not_count_changes_nothing():
    samples = colored_squares(2)
    dataset = segmentation_dataset("made", {"train": samples}, ("ok", "square"))
    network = replace(small_network(), module=Bright())
    masks = [mask.clone() for mask in samples.masks]
    for mask in masks:
        mask[20:] = 255
    ignored = segmentation_dataset("made", {"train": in_memory(samples.pictures, masks)}, ("ok", "square"))
    top = segmentation_dataset(
        "made", {"train": in_memory([p[:, :20] for p in samples.pictures], [m[:20] for m in masks])}, ("ok", "square")
    )
    assert int(evaluate(network, ignored, "train").confusion.sum()) == 2 * 20 * 32
    assert torch.equal(evaluate(network, ignored, "train").confusion, evaluate(network, top, "train").confusion)
    assert int(evaluate(network, dataset, "train").confusion.sum()) == 2 * 32 * 32


def test_the_loss_of_a_report_is_the_mean_over_the_pixels(learned):
    network, dataset, _ = learned
    samples = dataset.split("test")
    network = replace(network, prepare=replace(network.prepare, height=44, width=44))  # one window sees all
    module = network.module.eval()
    losses = []
    for i in range(len(samples)):
        inputs = network.prepare.normalize(samples[i][None].float() / 255)
        with torch.no_grad():
            losses.append(float(torch.nn.functional.cross_entropy(module(inputs), samples.mask(i)[None].long())))
    assert evaluate(network, dataset).scores["loss"] == pytest.approx(sum(losses) / len(losses), rel=1e-4)


def test_flips_hardly_change_a_good_network(learned):
    network, dataset, _ = learned
    assert evaluate(network, dataset, flips=True).scores["mIoU of defects"] > 0.9


def test_a_test_changes_no_network_and_can_be_stopped(learned):
    network, dataset, _ = learned
    network.module.train()
    before = {key: value.clone() for key, value in network.module.state_dict().items()}
    seen = []
    evaluate(network, dataset, on_batch=lambda done, count: seen.append((done, count)))

    class Cancelled(BaseException):
        pass

    def stop(done, count):
        raise Cancelled

    with pytest.raises(Cancelled):
        evaluate(network, dataset, on_batch=stop)
    assert seen[-1] == (4, 4)
    assert seen == sorted(seen)
    assert all(part.training for part in network.module.modules())
    assert all(torch.equal(before[key], value) for key, value in network.module.state_dict().items())


def test_validation_counts_as_the_test_does(learned):
    network, dataset, _ = learned
    meter = meter_for(network, dataset, "val", Loss(), 4)
    for _ in range(2):  # a second run starts from nothing
        assert list(meter.run(network.module, torch.device("cpu")))[-1] == 4
    assert meter.scores()["mIoU of defects"] == pytest.approx(
        evaluate(network, dataset, "val").scores["mIoU of defects"], abs=0.03
    )


@pytest.mark.parametrize("fit_", ["stretch", "pad"])
def test_it_learns_from_whole_pictures_too(fit_, tmp_path):
    dataset = squares_dataset(12, size=40).with_transforms(tf.Resize(32, 32, fit_))
    run = train(small_network(), dataset, (Loss(), Optimizer(learning_rate=0.02), SETTINGS), tmp_path)
    assert run.network().prepare.fit == fit_
    assert evaluate(run.network(), dataset).scores["mIoU of defects"] > 0.75  # edges are half a pixel off


@pytest.mark.parametrize(
    "classes, loss", [(1, Loss("dice")), (2, LossSum(((1.0, Loss("focal")), (0.5, Loss("tversky")))))]
)
def test_it_learns_with_one_output_and_with_sums(classes, loss, tmp_path):
    dataset = squares_dataset(12)
    run = train(small_network(classes=classes), dataset, (loss, *PLAN[1:]), tmp_path)
    report = evaluate(run.network(), dataset, loss=loss)
    assert report.scores["mIoU of defects"] > 0.85
    assert 0 <= report.scores["loss"] < 1


def weights(folder):
    return load_file(folder / "last.safetensors")


@pytest.mark.parametrize("stop_after, workers", [(2, 0), (5, 0), (9, 2)])
def test_a_stopped_training_goes_on_bit_for_bit(tmp_path, stop_after, workers):
    dataset = squares_dataset(6, 2, 2).with_transforms(
        tf.Flip(), tf.Rotate(15), tf.DefectWindow(0.5, 0.8, 1.2, count=2)
    )
    network = small_network(size=24, dropout=0.2)
    plan = Loss(), Optimizer(learning_rate=0.01, clip=1.0), replace(SETTINGS, epochs=3, batch_size=3, average=0.9)
    whole = train(network, dataset, plan, tmp_path / "whole")
    stopped = train(network, dataset, (*plan[:2], replace(plan[2], workers=workers)), tmp_path / "parts", stop_after)
    assert stopped.state == "running"
    resumed = train(network, dataset, (*plan[:2], replace(plan[2], workers=workers)), tmp_path / "parts")

    assert resumed.state == "done"
    first, second = weights(tmp_path / "whole"), weights(tmp_path / "parts")
    assert first.keys() == second.keys()
    assert all(torch.equal(first[key], second[key]) for key in first)
    assert [replace(e, seconds=0) for e in resumed.history] == [replace(e, seconds=0) for e in whole.history]


def test_auto_takes_the_tasks_metric_and_others_can_be_chosen(tmp_path):
    dataset = squares_dataset(4, 2, 2)
    for metric in ("mAcc", "loss"):
        run = train(
            small_network(), dataset, (*PLAN[:2], replace(SETTINGS, epochs=1, metric=metric)), tmp_path / metric
        )
        assert run.metric == metric
    plan = *PLAN[:2], replace(SETTINGS, metric="accuracy")
    assert "metric 'accuracy' does not suit segmentation; choose one of loss, mIoU of defects" in sentence(
        check, small_network(), dataset, *plan
    )


@pytest.mark.parametrize("metric, values, best", [
    ("mIoU", [math.nan, 0.5, math.nan, 0.4], 2),
    ("mIoU", [0.5, math.nan, 0.6, math.nan], 3),
    ("loss", [math.nan, 0.5, 0.4, math.nan], 3),
    ("mIoU", [math.nan] * 4, 4),  # none has a number: the last one, see `Run.warnings`
])  # fmt: skip
def test_a_metric_that_is_no_number_is_worse_than_any_number(monkeypatch, tmp_path, metric, values, best):
    values = iter(values)
    scores = evaluating.PixelMeter.scores
    monkeypatch.setattr(evaluating.PixelMeter, "scores", lambda self: {**scores(self), metric: next(values)})
    plan = *PLAN[:2], replace(SETTINGS, epochs=4, metric=metric)
    assert train(small_network(), squares_dataset(4, 2, 2), plan, tmp_path).best_epoch == best


def test_what_cannot_be_trained_is_refused_before_anything_is_written(tmp_path):
    pictures, masks = colored_squares(4).pictures, [torch.zeros(32, 32)] * 4
    clean = in_memory(pictures, masks)
    names = ("surface", "square", "dent")
    for splits, words in (
        ({"train": colored_squares(4), "val": colored_squares(2)}, "class dent has no pixel in the training split"),
        ({"train": clean, "test": colored_squares(2)}, "class square has no pixel in the training split"),
    ):
        dataset = segmentation_dataset("parts", splits, names)
        text = sentence(lambda d: list(fit(small_network(classes=3), d, *PLAN, tmp_path / "run")), dataset)
        assert words in text
    dataset = segmentation_dataset("parts", {"train": colored_squares(4), "val": clean}, names[:2])
    assert "val split of parts has background only" in sentence(check, small_network(), dataset, *PLAN)
    assert not (tmp_path / "run").exists()


def test_a_batch_may_be_as_large_as_there_are_windows():
    dataset = squares_dataset(3, 2, 2)
    plan = *PLAN[:2], replace(SETTINGS, batch_size=6)
    assert "has 3 training samples" in sentence(check, small_network(), dataset, *plan)
    check(small_network(), dataset.with_transforms(tf.DefectWindow(count=2)), *plan)


def test_transforms_that_do_not_suit_masks_are_refused(tmp_path):
    dataset = squares_dataset(4, 2, 2).with_transforms(tf.Mixup())
    assert "Mixup does not suit" in sentence(lambda: list(fit(small_network(), dataset, *PLAN, tmp_path / "run")))


def test_a_network_for_other_classes_is_refused(learned):
    network, dataset, _ = learned
    other = replace(dataset, classes=("surface", "dent"))
    assert "the network knows the classes surface, square" in sentence(evaluate, network, other)
    assert "has no split 'extra'" in sentence(evaluate, network, dataset, "extra")


def test_a_split_without_defects_is_tested_without_warnings(learned):
    network, dataset, _ = learned
    pictures = torch.full((3, 3, 44, 44), 60, dtype=torch.uint8)
    clean = in_memory(pictures, torch.zeros(3, 44, 44))
    report = evaluate(network, replace(dataset, splits={**dataset.splits, "test": clean}))
    assert math.isnan(report.scores["defect recall"])
    assert report.scores["aAcc"] > 0.9
    assert "nan" not in report.table()
    sweep_picture(report.sweep, report.classes, report.colors)
    worst_masks(report, replace(dataset, splits={**dataset.splits, "test": clean}))


def test_errors_by_kind():
    truth = torch.tensor([[0, 0, 1, 1, 1, 255, 255]], dtype=torch.uint8)
    found = torch.tensor([[0, 2, 1, 0, 2, 0, 1]], dtype=torch.uint8)
    assert errors(truth, found).tolist() == [[0, 3, 1, 2, 4, 0, 0]]


def test_masks_are_painted_over_images():
    images = torch.full((2, 4, 5, 3), 0.5)
    masks = torch.zeros(2, 4, 5, dtype=torch.uint8)
    masks[0, 1, 1] = 1
    images[1, 0, 0] = 1.7  # brighter than white, as some nodes make it
    drawn = painted(images, masks, ((0, 0, 0), (255, 0, 0)), 1.0)

    assert drawn.shape == (2, 4, 5, 3)
    assert drawn[0, 1, 1].tolist() == [1, 0, 0]
    assert drawn[1, 0, 0].tolist() == [1, 1, 1]
    assert float((drawn[1, 1:] - 128 / 255).abs().max()) < 1e-6
