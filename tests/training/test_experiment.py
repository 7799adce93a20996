"""Experiments: every trial once, failures as rows, going on where it was, and a table that says which is best."""

import csv
import json
import math
import re
from dataclasses import replace

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from visionsmith.nn_layers import InputError, build, save_network
from visionsmith.training import FitSettings, Loss, Optimizer, experiment, plans, trial
from visionsmith.training.experiment import Choice, Experiment, run_experiment
from visionsmith.training.losses import LossSum
from visionsmith.training.results import Results, Row
from visionsmith.training.transforms import Flip, Normalize

from .conftest import draw_classifier

SHORT = FitSettings(epochs=1, batch_size=45, metric="accuracy", device="cpu")


def compare(few_digits, **changes):
    """Two networks, two losses and two seeds on few digits."""
    return Experiment(
        **{
            "project": "digits",
            "name": "small",
            "models": {"plain": draw_classifier(), "careful": draw_classifier(dropout=0.5)},
            "datasets": {"few": few_digits},
            "losses": {"ce": Loss(), "focal": Loss("focal")},
            "optimizer": Optimizer(learning_rate=0.01),
            "settings": SHORT,
            "seeds": (0, 1),
        }
        | changes
    )


def test_a_grid_leaves_a_readable_tree_and_a_table(few_digits, tmp_path):
    seen = []
    results = run_experiment(compare(few_digits), tmp_path, seen.append)
    folder = tmp_path / "digits" / "small"

    assert len(results.rows) == 8 and not results.failed
    assert [(p.finished, p.count) for p in seen if p.stage == "done"] == [(i, 8) for i in range(1, 9)]
    assert {"train", "validate", "test", "done"} <= {p.stage for p in seen}
    trial_folder = folder / "plain_focal_seed-1"
    assert sorted(p.name for p in trial_folder.iterdir()) == ["test", "train", "trial.json"]
    assert sorted(p.name for p in (trial_folder / "test").iterdir()) == ["confusion.png", "report.txt", "scores.json"]
    assert (trial_folder / "train" / "best.safetensors").is_file()
    assert "precision" in (trial_folder / "test" / "report.txt").read_text()
    row = results.rows[0]
    assert set(row.classes) == set("0123456789") and set(row.classes["3"]) == {"precision", "recall", "F1"}
    assert row.validation["accuracy"] != 0 and row.parameters > 0 and row.epochs == 1

    assert Results.load(folder) == results
    with (folder / "results.csv").open() as stream:
        assert len(list(csv.DictReader(stream))) == 8
    markdown = (folder / "results.md").read_text()
    assert re.search(r"\| (plain|careful) \| (ce|focal) \| 2 \|.*\*\*\d\.\d{4} ± \d\.\d{4}\*\*", markdown)
    with Image.open(folder / "results.png") as picture:
        assert picture.width > 300


def test_seeds_reach_first_weights_order_and_augmentation(few_digits, tmp_path):
    small = compare(few_digits, models={"plain": draw_classifier(seed=7)}, losses={"ce": Loss()})
    run_experiment(small, tmp_path / "a")
    run_experiment(small, tmp_path / "b")
    first, again, other = (
        load_file(tmp_path / root / f"digits/small/plain_seed-{seed}/train/last.safetensors")["module.conv_1.weight"]
        for root, seed in (("a", 0), ("b", 0), ("a", 1))
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, other)

    dataset, _ = few_digits, save_network(draw_classifier(seed=7), tmp_path / "net")
    plan = {"network": str(tmp_path / "net")}
    fresh = [plans.build_model(plan, "n", dataset, seed).module.conv_1.weight for seed in (0, 0, 1)]
    saved = plans.build_model({**plan, "weights": "saved"}, "n", dataset, 3).module.conv_1.weight
    assert torch.equal(fresh[0], fresh[1]) and not torch.equal(fresh[0], fresh[2])
    assert torch.equal(saved, draw_classifier(seed=7).module.conv_1.weight)
    tall = build(draw_classifier().spec, 7, "orthogonal")
    save_network(tall, tmp_path / "tall")
    redrawn = plans.build_model({"network": str(tmp_path / "tall")}, "n", dataset, 1)
    as_built = build(tall.spec, 1, "orthogonal")  # what Build Network would make of that seed
    for key, value in as_built.module.state_dict().items():
        assert torch.equal(redrawn.module.state_dict()[key], value), key
    trained = {"network": str(tmp_path / "a/digits/small/plain_seed-0/train")}
    kept = plans.build_model(trained, "n", dataset, 5).module.conv_1.weight
    assert torch.equal(kept, plans.build_model(trained, "n", dataset, 6).module.conv_1.weight)


def test_finished_trials_are_read_and_a_half_done_one_goes_on(few_digits, tmp_path, monkeypatch):
    small = compare(few_digits, losses={"ce": Loss()}, settings=replace(SHORT, epochs=3))
    whole = run_experiment(small, tmp_path / "whole")

    class CancelError(Exception):
        pass

    def stop_in_the_second(progress):
        if progress.finished == 1 and progress.stage == "train" and progress.share > 0.5:
            raise CancelError

    with pytest.raises(CancelError):
        run_experiment(small, tmp_path / "parts", stop_in_the_second)
    folder = tmp_path / "parts" / "digits" / "small"
    assert len(Results.load(folder).rows) == 1
    assert not list(folder.glob("*/running.json"))

    trained, fit = [], trial.fit
    monkeypatch.setattr(trial, "fit", lambda *args: trained.append(args[-1].parent.name) or fit(*args))
    steps = []
    parts = run_experiment(small, tmp_path / "parts", lambda p: p.stage == "train" and steps.append(p))
    assert trained == ["plain_seed-1", "careful_seed-0", "careful_seed-1"]
    assert steps[0].share > 0.5
    assert [row.scores for row in parts.rows] == [row.scores for row in whole.rows]
    assert [row.key for row in parts.rows] == [row.key for row in whole.rows]

    trained.clear()
    run_experiment(replace(small, settings=replace(SHORT, epochs=2)), tmp_path / "parts")
    assert len(trained) == 4  # other settings are another training


def test_a_failing_trial_is_a_row_and_does_not_stop_the_others(few_digits, tmp_path, monkeypatch):
    models = {"narrow": draw_classifier(classes=4), "plain": draw_classifier(), "wide": draw_classifier(channels=3)}
    small = compare(few_digits, models=models, losses={"ce": Loss()}, seeds=(0,))
    build = trial.build_model

    def run_out(plan, name, *rest):
        if name == "wide":
            raise RuntimeError("out of memory\nat some place")
        return build(plan, name, *rest)

    monkeypatch.setattr(trial, "build_model", run_out)
    results = run_experiment(small, tmp_path)

    assert [bool(row.error) for row in results.rows] == [True, False, True]
    assert "the network's last layer gives 4 numbers, but few has 10 classes" in results.rows[0].error
    assert results.rows[2].error == "RuntimeError: out of memory"
    assert results.best()[0].model == "plain"
    assert "failed: narrow, few, ce, seed 0: " in results.text() and "0 of 1" in results.text()
    assert "## Failed" in (tmp_path / "digits/small/results.md").read_text()
    missing = run_experiment(replace(small, split="exam"), tmp_path)
    assert all("no split 'exam'" in row.error for row in missing.rows if row.model != "wide")


def test_a_list_of_trials_with_settings_of_their_own(few_digits, tmp_path):
    choices = (
        Choice(model="plain"),
        Choice(model="plain", loss="focal", seed=1, optimizer={"learning_rate": "1e-3"}, train={"epochs": 2}),
    )
    trials = compare(few_digits, choices=choices).trials(tmp_path)
    assert len(trials) == 4
    assert [t.optimizer["learning_rate"] for t in trials] == [0.01, 0.01, 0.01, 0.001]
    assert [t.train["epochs"] for t in trials] == [1, 1, 1, 2]
    assert trial.Trial.from_dict(json.loads(json.dumps(trials[0].to_dict()))).names == trials[0].names
    with pytest.raises(InputError, match="a trial names the model 'deep'; choose one of plain, careful"):
        compare(few_digits, choices=(Choice(model="deep"),)).trials(tmp_path)
    with pytest.raises(InputError, match="optimizer of plain has the unknown setting 'lr'"):
        compare(few_digits, choices=(Choice(optimizer={"lr": 1}),)).trials(tmp_path)


def test_a_grown_experiment_finds_its_earlier_trials(few_digits, tmp_path):
    small = compare(few_digits, models={"plain": draw_classifier()}, losses={"ce": Loss()}, seeds=(0,))
    first = run_experiment(small, tmp_path)
    assert first.rows[0].folder == "plain"
    grown = compare(few_digits, models={"plain": draw_classifier()}, losses={"ce": Loss()}, seeds=(0, 1))
    assert [t.folder for t in grown.trials(tmp_path)] == ["plain", "plain_seed-1"]
    other = compare(few_digits, models={"plain": draw_classifier()}, losses={"mse": Loss()}, seeds=(0,))
    assert [t.folder for t in other.trials(tmp_path)] == ["plain_few_mse_seed-0"]  # not in another's folder
    same = compare(few_digits, models={"a b": draw_classifier(), "a-b": draw_classifier()}, seeds=(0,))
    with pytest.raises(InputError, match="models has 'a b' and 'a-b', which would share a folder"):
        same.trials(tmp_path)


def rows_of(*figures):
    """Rows from (model, dataset, seed, accuracy, loss) with validation half as good."""
    return tuple(
        Row(m, d, "ce", seed, {"loss": loss, "accuracy": a}, {"loss": loss, "accuracy": 1 - a}, folder=f"{m}{seed}")
        for m, d, seed, a, loss in figures
    )


def test_means_deviations_and_the_best_of_each_dataset(tmp_path):
    figures = (
        ("a", "x", 0, 0.5, 1.0), ("a", "x", 1, 0.7, 2.0), ("b", "x", 0, 0.6, 0.5), ("b", "x", 1, 0.8, 0.5),
        ("a", "y", 0, 0.1, 9.0), ("b", "y", 0, 0.1, 8.0),
    )  # fmt: skip
    failed = Row("c", "x", "ce", 0, error="it | broke.")
    results = Results("p", "n", "test", (*rows_of(*figures), failed))
    Results("p", "n", "test", (Row("a", "x", "ce", 0, {"AP": math.nan}),)).save(tmp_path)
    assert "NaN" not in (tmp_path / "results.json").read_text()
    assert math.isnan(Results.load(tmp_path).rows[0].scores["AP"]) and "—" in (tmp_path / "results.txt").read_text()
    cells = results.cells()

    assert [text for text, _ in cells[0]] == ["dataset", "model", "seeds", "loss", "accuracy"]
    assert cells[1] == [
        ("x", False),
        ("a", False),
        ("2", False),
        ("1.5000 ± 0.7071", False),
        ("0.6000 ± 0.1414", False),
    ]
    assert cells[2][3:] == [("0.5000 ± 0.0000", True), ("0.7000 ± 0.1414", True)]
    assert cells[3][2:] == [("0 of 1", False), ("—", False), ("—", False)]
    assert [bold for _, bold in cells[4][3:]] == [False, True] and [bold for _, bold in cells[5][3:]] == [True, True]
    assert [text for line in results.cells(["accuracy"], per="") for text, bold in line if bold] == ["0.7000 ± 0.1414"]
    assert "| **0.7000 ± 0.1414** |" in results.markdown() and "it \\| broke." in results.markdown()
    other = Results("p", "n", "test", (*rows_of(("a", "x", 0, 0.5, 1.0)), replace(results.rows[2], loss="focal")))
    assert [[bold for _, bold in line[3:]] for line in other.cells()[1:]] == [[False, False], [False, True]]
    assert results.text().splitlines()[0] == "p / n, test split, 7 trials"


def test_the_best_is_chosen_on_validation_unless_told_otherwise():
    results = Results(
        "p", "n", "test", rows_of(("a", "x", 0, 0.5, 1.0), ("b", "x", 0, 0.9, 3.0), ("b", "x", 1, 0.9, 3.0))
    )
    row, by, on = results.best()
    assert (row.model, by, on) == ("a", ("accuracy",), "val")
    row, _, on = results.best(on="test")
    assert (row.model, row.seed, on) == ("b", 1, "test")  # of equals the later
    assert results.best(["loss"], "test")[0].model == "a"
    with pytest.raises(InputError, match="on is 'train'"):
        results.best(on="train")
    with pytest.raises(InputError, match="by is mIoU, which no result has"):
        results.best(["mIoU"])
    with pytest.raises(InputError, match="no trial of n has finished well"):
        Results("p", "n", "test", ()).best()


def test_plans_say_what_is_wrong_with_them(tmp_path):
    for plan, message in (
        ({}, r"dataset d is \{\}, which names no kind; give it exactly one of digits"),
        ({"digits": {}, "table": {}}, "names several kinds"),
        ({"digits": {"vall": 0.1}}, "unknown setting 'vall'; did you mean val?"),
        ({"digits": {"val": "much"}}, "val of dataset d is 'much'; it must be a number"),
        ({"digits": {}, "augment": 1}, "unknown setting 'augment'"),
        ({"image_folder": None}, "needs folder"),
        ({"digits": {}, "transforms": ["Flop"]}, "transform 'Flop' of dataset d is unknown; choose one of Resize"),
        ({"digits": {}, "transforms": [3]}, "transforms of dataset d has 3"),
    ):
        with pytest.raises(InputError, match=message):
            plans.check_dataset(plan, "d")
    dataset = plans.build_dataset(
        {"digits": {"val": "1e-1"}, "transforms": ["Normalize", {"flip": {"horizontal": 0}}]}, "d"
    )
    assert dataset.transforms == (Normalize(), Flip(0.0)) and dataset.name == "d"
    assert plans.absolute({"image_folder": "here"}, "d", tmp_path)["image_folder"] == {"folder": str(tmp_path / "here")}

    assert plans.build_loss({"type": "focal", "alpha": [1, 2]}, "f") == Loss("focal", alpha=(1.0, 2.0))
    both = LossSum(((1.0, Loss("dice")), (0.5, Loss("focal", alpha=(0.1, 0.9)))))
    assert (
        plans.build_loss({"sum": [{"type": "dice"}, {"type": "focal", "alpha": [0.1, 0.9], "weight": 0.5}]}, "s")
        == both
    )
    assert plans.build_loss(json.loads(json.dumps(plans.loss_plan(both))), "s") == both
    for plan, message in (
        ({}, r"loss f is \{\}, which has no type"),
        ({"type": "dise"}, "type of loss f is 'dise'; choose one of cross entropy"),
        ({"type": "focal", "gama": 1}, "did you mean gamma?"),
        ({"type": "focal", "alpha": 3}, "alpha of loss f is 3; it must be a list"),
        ({"sum": []}, r"sum of loss f is \[\]; write a list of losses"),
        ({"sum": [{"weight": 2}]}, "which has no type"),
        ({"sum": [{"type": "dice", "weight": "a"}]}, "weight in loss f is 'a'; it must be a number"),
    ):
        with pytest.raises(InputError, match=message):
            plans.build_loss(plan, "f")
    with pytest.raises(InputError, match=r"model m: .* has no network.json"):
        plans.check_model({"network": str(tmp_path)}, "m")
    for plan, message in (
        ({"encoder": "resnet18"}, "which names no kind; give it exactly one of network, architecture"),
        (
            {"architecture": "unet", "encodr": "resnet18"},
            "model m has the unknown setting 'encodr'; did you mean encoder",
        ),
        ({"architecture": "unnet"}, "model m: .*unnet"),
        ({"architecture": "unet", "size": "big"}, "size of model m is 'big'; it must be a whole number or a list"),
    ):
        with pytest.raises(InputError, match=message):
            plans.check_model(plan, "m")


def test_a_segmentation_model_has_an_output_per_class(few_digits):
    plan = {"architecture": "unet", "encoder": "resnet18", "size": [32, 64], "channels": 1}
    network = plans.build_model(plan, "u", few_digits, 0)
    assert network.spec.input_shape == (1, 32, 64) and network.spec.output_shape == (10, 32, 64)
    assert network.spec.name == "u"


def test_an_experiment_without_anything_to_compare_is_refused(few_digits, tmp_path):
    with pytest.raises(InputError, match="the experiment has no losses"):
        compare(few_digits, losses={}).trials(tmp_path)
    with pytest.raises(InputError, match="holds no results"):
        Results.load(tmp_path)
    assert experiment.slug("../a b:c") == "a-b-c"


def test_a_training_with_other_settings_is_put_aside_not_deleted(few_digits, tmp_path):
    def experiment(epochs):
        settings = FitSettings(epochs=epochs, batch_size=16, metric="accuracy", device="cpu")
        return Experiment("p", "n", {"a": draw_classifier()}, {"few": few_digits}, {"ce": Loss()}, settings=settings)

    run_experiment(experiment(1), tmp_path)
    run_experiment(experiment(2), tmp_path)

    kept = sorted(path.name for path in (tmp_path / "p" / "n" / "a").iterdir() if path.is_dir())
    assert len(kept) == 3 and kept[0] == "test" and kept[1] == "train" and kept[2].startswith("train-")
    assert (tmp_path / "p" / "n" / "a" / kept[2] / "best.safetensors").is_file()


def test_with_one_seed_a_network_keeps_the_weights_it_has(few_digits, tmp_path):
    network = draw_classifier(seed=7)
    settings = FitSettings(epochs=1, batch_size=16, metric="accuracy", device="cpu")
    experiment = Experiment("p", "n", {"a": network}, {"few": few_digits}, {"ce": Loss()}, settings=settings)
    assert [trial.network["weights"] for trial in experiment.trials(tmp_path)] == ["saved"]


def test_names_that_differ_in_capitals_only_are_refused(few_digits, tmp_path):
    """Windows and macOS would put both into one folder."""
    clash = compare(few_digits, models={"UNet": draw_classifier(), "unet": draw_classifier()})
    with pytest.raises(InputError, match="models has 'UNet' and 'unet', which would share a folder; rename one"):
        clash.trials(tmp_path)
