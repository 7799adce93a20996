"""Testing and using a network leave it as it was, and count over the whole split."""

import pytest
import torch
from sklearn import metrics as sk
from visionsmith import nn_layers as nn
from visionsmith.nn_layers import InputError
from visionsmith.training import Loss, activations, evaluate, predict
from visionsmith.training.evaluate import trained
from visionsmith.training.loader import prepare_for
from visionsmith.training.pictures import balance_picture, confusion_picture, grid, maps_picture, scatter_picture


@pytest.fixture
def ready(network, digits):
    return trained(network, network.module, digits, prepare_for(digits, network.prepare))


def test_a_test_moves_no_statistic_and_no_flag(ready, digits):
    ready.module.train()
    before = {key: value.clone() for key, value in ready.module.state_dict().items()}
    evaluate(ready, digits)
    predict(ready, torch.rand(3, 9, 9, 3))

    assert ready.module.training
    assert ready.module.dropout_1.training
    assert all(torch.equal(before[key], value) for key, value in ready.module.state_dict().items())


def test_scores_are_those_of_the_whole_split_whatever_the_batch(ready, digits):
    reports = [
        evaluate(ready, digits, batch_size=size, loss=Loss(class_weights=(2.0, *[1.0] * 9))) for size in (7, 359)
    ]
    samples = digits.split("test")
    x = ready.prepare(torch.stack([samples[i] for i in range(len(samples))]).float() / 255)
    logits = ready.module.eval()(x)

    for report in reports:
        assert report.scores == pytest.approx(reports[0].scores, rel=1e-5)
        assert report.scores["accuracy"] == pytest.approx(sk.accuracy_score(samples.targets, logits.argmax(1)))
        assert report.scores["top-5 accuracy"] == pytest.approx(
            sk.top_k_accuracy_score(samples.targets, logits.detach(), k=5)
        )
    weighted = torch.nn.functional.cross_entropy(logits, samples.targets, torch.tensor([2.0, *[1.0] * 9]))
    assert reports[0].scores["loss"] == pytest.approx(weighted.item(), rel=1e-4)


def test_the_worst_examples_come_worst_first(ready, digits):
    worst = evaluate(ready, digits).worst

    assert [example.error for example in worst] == sorted((example.error for example in worst), reverse=True)
    assert worst[0].name.startswith("digit ")


def test_predictions_of_pictures_of_any_size_and_color(ready):
    for shape in ((2, 8, 8, 1), (2, 31, 17, 3), (2, 8, 8, 4)):
        found = predict(ready, torch.rand(shape))
        assert len(found.labels) == 2
        assert set(found.labels) <= set(ready.classes)
        torch.testing.assert_close(found.outputs.sum(1), torch.ones(2))
    table = found.table(ready.classes).splitlines()
    assert table[0] == "0,1,2,3,4,5,6,7,8,9"
    assert len(table) == 3


def test_a_network_that_reads_no_pictures_cannot_predict_them():
    network = nn.build_network((nn.apply(nn.Linear(2), nn.input_tensor(nn.Input("features", (3,)))),))
    with pytest.raises(InputError, match="does not turn a picture into one row of numbers"):
        predict(network, torch.rand(1, 8, 8, 3))


def test_activations_of_any_layer(ready):
    maps = activations(ready, torch.rand(1, 8, 8, 3), "conv_1")

    assert maps.shape == (1, 8, 8, 8)
    with pytest.raises(InputError, match="no layer 'conv_9'; choose one of conv_1, "):
        activations(ready, torch.rand(1, 8, 8, 3), "conv_9")


def test_pictures_for_people(ready, digits, table):
    report = evaluate(ready, digits)
    pictures, captions = digits.some("train", 10)

    assert grid(pictures, captions).width > 8 * 100
    assert confusion_picture(report.confusion, report.classes).height > 300
    for activation in (torch.rand(5, 4, 4), torch.rand(7), torch.rand(3, 9)):
        assert maps_picture(activation).width > 50
    line = nn.build_network((nn.apply(nn.Linear(1), nn.input_tensor(nn.Input("features", (3,)))),))
    assert scatter_picture(evaluate(line, table)).width > 300


def test_the_report_reads_as_a_table(ready, digits):
    lines = evaluate(ready, digits).table().splitlines()

    assert lines[0] == "classifier on test of digits, 359 samples"
    assert len(lines) == 1 + 5 + 2 + 10


def test_a_network_of_another_kind_is_refused_in_words(digits):
    picture = nn.input_tensor(nn.Input("image", (1, 8, 8)))
    maps = nn.build_network((nn.apply(nn.Conv(10), picture),), "maps")
    with pytest.raises(InputError, match="maps gives 10 × 8 × 8, but classification needs one row of numbers"):
        evaluate(maps, digits)


def test_pictures_of_very_many_classes_stay_small():
    names = [f"class {i}" for i in range(1000)]

    assert max(confusion_picture(torch.eye(1000).long(), names).size) < 4000
    assert max(balance_picture(names, [0.001] * 1000, "samples").size) < 4000
