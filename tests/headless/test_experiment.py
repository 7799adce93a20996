"""`visionsmith experiment` and `visionsmith best`: a file is read or refused in a sentence, and leaves a table and a winner."""

import json
import signal
import subprocess
import sys

import pytest
from visionsmith import nn_layers as nn
from visionsmith.headless import cli
from visionsmith.headless.experiment import read_experiment
from visionsmith.nn_layers import InputError, load_network
from visionsmith.training import Optimizer

GOOD = """
project: digits
name: quick
models:
  small: {network: networks/small}
  smaller: {network: networks/small, initialization: kaiming normal}
datasets:
  - {digits: {val: 0.4, test: 0.4}, transforms: [Normalize]}
losses: [{type: cross entropy}]
optimizer: {learning_rate: 1e-2}
train: {epochs: 1, batch_size: 64, metric: accuracy, device: cpu}
seeds: [0, 1]
"""


@pytest.fixture
def file(tmp_path):
    x = nn.input_tensor(nn.Input("image", (1, 8, 8)))
    h = nn.apply(nn.View(), nn.apply(nn.Pooling(), nn.apply(nn.Conv(4), x)))
    nn.save_network(nn.build_network((nn.apply(nn.Linear(10), h),)), tmp_path / "networks" / "small")
    file = tmp_path / "quick.yaml"
    file.write_text(GOOD)
    return file


def test_a_file_becomes_an_experiment(file):
    found = read_experiment(file)
    assert (found.project, found.name, found.seeds, found.split) == ("digits", "quick", (0, 1), "test")
    assert list(found.datasets) == ["digits"] and list(found.losses) == ["cross entropy"]
    assert found.models["small"]["network"] == str(file.parent / "networks" / "small")
    assert found.optimizer == Optimizer(learning_rate=0.01) and found.settings.batch_size == 64
    help_text = cli.EXPERIMENT_HELP.split("left out):")[1].replace("networks/pretrained", "networks/small")
    file.write_text("\n".join(line.removeprefix("  ") for line in help_text.splitlines()))
    assert len(read_experiment(file).trials(file.parent)) == 2 * 3 * 3  # the example of --help
    file.write_text(GOOD + "trials:\n  - {model: small, seed: 3, train: {epochs: 2}}\n")
    [choice] = read_experiment(file).choices
    assert (choice.model, choice.seed, choice.train) == ("small", 3, {"epochs": 2})


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("project", "projekt", "unknown section 'projekt'; the sections are project, name, models"),
        ("losses: [{type: cross entropy}]", "", "has no section losses; add it"),
        ("networks/small}", "networks/big}", r"model small: .*big has no network.json"),
        (
            "{network: networks/small}",
            "{netwerk: a}",
            "model small is .* names no kind; give it exactly one of network",
        ),
        ("{network: networks/small}", "3", "model small is 3, which names no kind"),
        ("{type: cross entropy}", "{type: focal, gama: 2}", "unknown setting 'gama'; did you mean gamma"),
        ("{type: cross entropy}", "{type: focal}, {type: focal}", "losses has two entries called 'focal'"),
        ("epochs: 1", "epoch: 1", "train has the unknown setting 'epoch'; did you mean epochs"),
        ("epochs: 1", "epochs: many", "epochs of train is 'many'; it must be a whole number"),
        ("epochs: 1", "seed: 4", r"train in .* has a seed; write seeds: \[4\]"),
        ("learning_rate: 1e-2", "lr: 1", "optimizer has the unknown setting 'lr'"),
        ("[0, 1]", "[a]", r"seeds is \['a'\]; write whole numbers"),
        ("digits: {val: 0.4", "digitz: {val: 0.4", "names no kind; give it exactly one of digits"),
        ("[Normalize]", "[Normalise]", "transform 'Normalise' of dataset digits is unknown"),
        ("seeds:", "seeds: [", "is no readable YAML"),
        ("[0, 1]", "[0]\ntrials: {}", r"trials is \{\}; write a list"),
        (
            "[0, 1]",
            "[0]\ntrials: [{modle: small}]",
            "an entry of trials has the unknown setting 'modle'; did you mean model",
        ),
    ],
)
def test_a_mistake_is_told_in_a_sentence(file, old, new, message):
    assert old in GOOD
    file.write_text(GOOD.replace(old, new, 1))
    with pytest.raises(InputError, match=message):
        read_experiment(file)


def test_no_file_and_no_sections(tmp_path):
    with pytest.raises(InputError, match="does not exist"):
        read_experiment(tmp_path / "none.yaml")
    (tmp_path / "empty.yaml").write_text("just words")
    with pytest.raises(InputError, match="has no sections"):
        read_experiment(tmp_path / "empty.yaml")


def test_the_commands_print_the_table_and_the_winner_and_copy_it(file, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(signal, "signal", lambda *args: None)
    output = tmp_path / "out"
    assert cli.main(["experiment", str(file), "--output", str(output)]) == cli.OK
    said = capsys.readouterr().out
    assert "digits / quick, test split, 4 trials" in said and "±" in said
    assert "best: small" in said and "on val" in said and "on test" in said

    folder = output / "digits" / "quick"
    assert cli.main(["best", str(folder), "--by", "macro F1,accuracy", "--on", "test"]) == cli.OK
    assert "macro F1" in capsys.readouterr().out
    best = json.loads((folder / "best" / "best.json").read_text())
    assert best["by"] == ["macro F1", "accuracy"] and best["on"] == "test"
    assert load_network(folder / "best").classes == tuple("0123456789")
    assert cli.main(["best", str(folder), "--by", "mIoU"]) == cli.INVALID
    assert "by is mIoU, which no result has; the metrics there are: loss, accuracy" in capsys.readouterr().err
    assert cli.main(["experiment", str(file), "--output", str(output)]) == cli.OK  # best/ is no trial


def test_a_failure_of_everything_is_an_exit_code(file, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(signal, "signal", lambda *args: None)
    file.write_text(GOOD.replace("batch_size: 64", "batch_size: 6400"))
    assert cli.main(["experiment", str(file), "--output", str(tmp_path / "out")]) == cli.FAILED
    said = capsys.readouterr().out
    assert "failed: small, digits, cross entropy, seed 0: batch_size is 6400" in said and "best:" not in said
    assert cli.main(["best", str(tmp_path / "out/digits/quick")]) == cli.INVALID
    assert "no trial of quick has finished well" in capsys.readouterr().err


def test_help_is_quick_and_has_an_example():
    code = "import sys; from visionsmith.headless.cli import main\ntry: main(['experiment', '--help'])\nfinally: assert 'torch' not in sys.modules"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "models:" in done.stdout and "--ray" in done.stdout
