"""Files: what is written comes back, and nothing dangerous or broken gets in."""

import errno
import json
import pickle

import pytest
import torch
from safetensors.torch import load_file, save_file
from visionsmith import nn_layers as nn
from visionsmith.nn_layers import files
from visionsmith.nn_layers.spec import KINDS


@pytest.fixture
def network():
    x = nn.input_tensor(nn.Input("image", (3, 8, 8)))
    h = nn.apply(nn.Normalization(), nn.apply(nn.Conv(4, kernel_size=(1, 3)), x))
    h = nn.apply(nn.Merge("concat"), h, nn.apply(nn.Attention(2), h))
    return nn.build_network((nn.apply(nn.Linear(2), nn.apply(nn.View("flatten"), h)),), "small", seed=7)


def change(folder, **paths):
    """Edit network.json: ``layers__1__layer="Evil"`` sets data["layers"][1]["layer"]."""
    data = json.loads((folder / "network.json").read_text())
    for path, value in paths.items():
        *way, last = [int(key) if key.isdigit() else key for key in path.split("__")]
        target = data
        for key in way:
            target = target[key]
        target[last] = value
    (folder / "network.json").write_text(json.dumps(data))


def test_a_saved_network_comes_back_bit_for_bit(network, tmp_path):
    nn.save_network(network, tmp_path)
    again = nn.load_network(tmp_path)
    x = torch.rand(2, 3, 8, 8)

    assert sorted(file.name for file in tmp_path.iterdir()) == ["network.json", "weights.safetensors"]
    assert again.spec == network.spec
    assert again.prepare == network.prepare
    assert torch.equal(again.module.eval()(x), network.module.eval()(x))


def test_every_kind_of_layer_survives_the_json():
    for kind in KINDS.values():
        layer = kind()
        entry = {"name": "x", "layer": kind.__name__, "inputs": [], "settings": json.loads(json.dumps(vars(layer)))}
        assert nn.spec._node(entry).layer == layer


@pytest.mark.parametrize(
    ("edit", "words"),
    [
        ({"version": 99}, "version 99"),
        ({"format": "other"}, "not a Visionsmith network"),
        ({"layers__1__layer": "Evil"}, "'Evil'"),
        ({"layers__1__layer": "os.system"}, "'os.system'"),
        ({"layers__1__inputs": ["linear_1"]}, "cycle"),
        ({"layers__1__inputs": ["nowhere"]}, "nowhere"),
        ({"layers__1__settings__out_channels": 8}, "does not belong"),
        ({"layers__1__settings__out_channels": 10**6}, "limit"),
        ({"layers__1__settings__out_channels": 10**10}, "limit"),
        ({"layers__1__settings__out_channels": "64"}, "out_channels = '64'"),
        ({"layers__1__settings__out_channels": -1}, "Conv"),
        ({"layers__1__settings__surprise": 1}, "surprise"),
        ({"layers__1__name": "a b; import os"}, "a b; import os"),
        ({"layers__1__name": "input_1"}, "two layers"),
        ({"layers__0__settings__shape": [3, 10**7, 10**7]}, "limit"),
        ({"layers": []}, "no layers"),
        ({"layers": "x"}, "no layers"),
        ({"layers__1": 5}, "not a table"),
        ({"outputs": ["nowhere"]}, "nowhere"),
        ({"classes": [1]}, "classes"),
        ({"prepare__std": [0.0, 1.0, 1.0]}, "normalization"),
        ({"prepare__height": 0}, "picture size"),
        ({"prepare": {}}, "prepare a picture"),
    ],
    ids=str,
)
def test_a_tampered_specification_is_refused_in_one_sentence(network, tmp_path, edit, words):
    nn.save_network(network, tmp_path)
    change(tmp_path, **edit)
    with pytest.raises(nn.InputError, match=words) as caught:
        nn.load_network(tmp_path)
    assert "\n" not in str(caught.value)


def test_deeply_nested_json_is_refused(tmp_path):
    (tmp_path / "network.json").write_text("[" * 100_000)
    with pytest.raises(nn.InputError, match="not readable JSON"):
        nn.load_network(tmp_path)


class Bomb:
    """Leaves a file behind when it is unpickled."""

    def __reduce__(self):
        return (open, ("exploded", "w"))


def test_a_pickle_offered_as_weights_is_never_unpickled(network, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    nn.save_network(network, tmp_path)
    for write in (lambda path: path.write_bytes(pickle.dumps(Bomb())), lambda path: torch.save({"a": Bomb()}, path)):
        write(tmp_path / "weights.safetensors")
        with pytest.raises(nn.InputError, match="pickle"):
            nn.load_network(tmp_path)
    assert not (tmp_path / "exploded").exists()


def test_weights_of_another_network_are_refused(network, tmp_path):
    nn.save_network(network, tmp_path)
    weights = load_file(tmp_path / "weights.safetensors")
    save_file(
        {key: value[:1].clone() if key == "linear_1.bias" else value for key, value in weights.items()},
        tmp_path / "weights.safetensors",
    )
    with pytest.raises(nn.InputError, match=r"linear_1.bias is \[1\]"):
        nn.load_network(tmp_path)
    (tmp_path / "weights.safetensors").write_bytes(b"nonsense")
    with pytest.raises(nn.InputError, match="not a readable safetensors"):
        nn.load_network(tmp_path)


def test_a_full_disk_leaves_the_old_file_whole(network, tmp_path, monkeypatch):
    nn.save_network(network, tmp_path)
    before = (tmp_path / "weights.safetensors").read_bytes()

    def full(tensors, path):
        path.write_bytes(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("visionsmith.nn_layers.storage.save_file", full)
    with pytest.raises(nn.InputError, match="disk is full"):
        nn.save_network(network, tmp_path)

    assert (tmp_path / "weights.safetensors").read_bytes() == before
    assert sorted(file.name for file in tmp_path.iterdir()) == ["network.json", "weights.safetensors"]


def test_an_interrupted_write_leaves_nothing(tmp_path):
    with pytest.raises(KeyboardInterrupt), files.atomic(tmp_path / "a.txt") as path:
        path.write_text("half")
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []


def test_a_saved_backbone_does_not_fetch_its_weights_again(tmp_path):
    drawn = nn.apply(nn.Backbone("resnet10t", pretrained=False), nn.input_tensor(nn.Input("image", (3, 32, 32))))
    network = nn.build_network((drawn,))
    nn.save_network(network, tmp_path)
    change(tmp_path, layers__1__settings__pretrained=True)

    assert nn.load_network(tmp_path).spec.nodes[1].layer.pretrained is False


def test_files_are_found_behind_links_and_circles_end(tmp_path):
    elsewhere, here = tmp_path / "elsewhere", tmp_path / "here"
    (elsewhere / "deep").mkdir(parents=True)
    here.mkdir()
    (elsewhere / "deep" / "model.safetensors").touch()
    (here / "own.pt").touch()
    (here / "linked").symlink_to(elsewhere, target_is_directory=True)
    (elsewhere / "deep" / "back").symlink_to(here, target_is_directory=True)
    (here / "broken.pt").symlink_to(tmp_path / "gone.pt")
    (here / "twice").symlink_to(elsewhere, target_is_directory=True)

    assert files.files_below(here) == [here / "linked" / "deep" / "model.safetensors", here / "own.pt"]
    assert files.files_below(tmp_path / "missing") == []
