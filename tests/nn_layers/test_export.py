"""Exports compute what the network computes, without Visionsmith."""

import subprocess
import sys

import pytest
import torch
from safetensors.torch import save_file
from visionsmith import nn_layers as nn
from visionsmith.nn_layers.export import export_network, python_source
from visionsmith.nn_layers.summary import picture, summary_table

RUN = """
import sys, torch
from safetensors.torch import load_file, save_file
sys.modules["visionsmith"] = None  # importing it would fail
import model
save_file({"y": model.load()(load_file("x.safetensors")["x"]).detach().contiguous()}, "y.safetensors")
"""


@pytest.fixture(scope="module")
def network():
    x = nn.input_tensor(nn.Input("image", (3, 16, 16)))
    h = nn.apply(
        nn.Activation("LeakyReLU", negative_slope=0.2), nn.apply(nn.Normalization(), nn.apply(nn.Conv(8, stride=2), x))
    )
    h = nn.apply(nn.Merge("add"), h, nn.apply(nn.Attention(2), h), nn.apply(nn.Conv(8, kernel_size=1), h))
    h = nn.apply(nn.Upsample("linear"), nn.apply(nn.Pooling(), h))
    h = nn.apply(nn.View("permute", (1, 0)), nn.apply(nn.View("flatten", dim=1), h))
    h = nn.apply(nn.Recurrent("GRU", 6, bidirectional=True), h)
    network = nn.build_network((nn.apply(nn.Linear(3), h),), 'tricky "name"', seed=1)
    network.module.eval()
    return network


@pytest.fixture(scope="module")
def x():
    return torch.rand(5, 3, 16, 16)


def test_python_source_runs_alone(network, x, tmp_path):
    export_network(network, "python", tmp_path)
    save_file({"x": x}, tmp_path / "x.safetensors")
    subprocess.run([sys.executable, "-c", RUN], cwd=tmp_path, check=True)
    from safetensors.torch import load_file

    torch.testing.assert_close(load_file(tmp_path / "y.safetensors")["y"], network.module(x))


def test_python_source_of_a_frozen_block_and_a_backbone(tmp_path):
    inner = nn.build_network((nn.apply(nn.Conv(3), nn.input_tensor(nn.Input("image", (3, 32, 32)))),))
    nn.save_network(inner, tmp_path)
    block = nn.embed(
        inner.spec, (nn.input_tensor(nn.Input("image", (3, 32, 32))),), tmp_path / "weights.safetensors", frozen=True
    )
    network = nn.build_network((nn.apply(nn.Backbone("resnet10t", freeze="all"), block),))
    source = python_source(network)
    compile(source, "model.py", "exec")

    assert "Frozen(nn.Conv2d(3, 3, kernel_size=3, padding='same'))" in source
    assert "Backbone('resnet10t', 3, (32, 32), freeze_stages=-1)" in source
    assert "visionsmith." not in source


@pytest.mark.slow  # the ONNX exporter alone takes several seconds
def test_onnx_and_torch_export_take_any_batch(network, x, tmp_path):
    onnxruntime = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    session = onnxruntime.InferenceSession(export_network(network, "onnx", tmp_path))
    program = torch.export.load(export_network(network, "torch.export", tmp_path)).module()
    for batch in (1, 5):
        wanted = network.module(x[:batch])
        (found,) = session.run(None, {"input_1": x[:batch].numpy()})
        torch.testing.assert_close(torch.from_numpy(found), wanted, atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(program(x[:batch]), wanted)


def test_an_unknown_format_is_refused(network, tmp_path):
    with pytest.raises(nn.InputError, match="choose one of python, onnx, "):
        export_network(network, "caffe", tmp_path)


def test_the_summary_adds_up(network):
    table = summary_table(network.spec)
    total = sum(p.numel() for p in network.module.parameters())

    assert f"{total:,} parameters" in table
    assert "Conv2d(3, 8, kernel_size=3, stride=2, padding=1)" in table
    assert len(table.splitlines()) == len(network.spec.nodes) + 4


def test_the_picture_grows_with_the_network(network):
    image = picture(network.spec)

    assert image.height > 40 * len(network.spec.nodes) // 2
    assert len(image.getcolors(100_000)) > 5
