"""LaMa at its true size with random weights, in the formats that are published, and files that are something else."""

import sys
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import save_file
from visionsmith.imaging.erase import BIG_LAMA, EraseSettings, LaMa, erase, find_lama, load_lama, load_simple_lama
from visionsmith.imaging.erase import lama as lama_file
from visionsmith.nn_layers import InputError

from . import model_files

pytest.importorskip("spandrel", reason="LaMa is read by spandrel")


@pytest.fixture(scope="module")
def network():
    return model_files.lama()


@pytest.fixture(scope="module")
def files(network, tmp_path_factory):
    """The three kinds of files around: safetensors, traced .pt, and the state dict of the authors' checkpoint."""
    folder = tmp_path_factory.mktemp("lama")
    save_file(network.state_dict(), folder / "lama.safetensors")
    example = (torch.rand(1, 3, 64, 64), torch.ones(1, 1, 64, 64))
    with torch.no_grad():
        torch.jit.trace(network, example, check_trace=False).save(folder / "big-lama.pt")
    authors = {key.replace("model.model", "generator.model"): value for key, value in network.state_dict().items()}
    torch.save({"state_dict": authors}, folder / "best.ckpt")
    yield folder
    for file in folder.iterdir():
        file.unlink()


@pytest.mark.parametrize("name", ["lama.safetensors", "big-lama.pt", "best.ckpt"])
def test_every_published_format_gives_the_same_network(network, files, name):
    image, mask = torch.rand(1, 3, 32, 40), torch.zeros(1, 1, 32, 40)
    mask[..., 8:20, 8:30] = 1
    with torch.no_grad():
        expected = network(image, mask)
    assert torch.allclose(load_lama(files / name)(image, mask), expected, atol=1e-5)


@pytest.mark.parametrize(("height", "width"), [(1, 1), (5, 90), (33, 47), (64, 64)])
def test_sizes_it_cannot_take_are_padded(network, height, width):
    seen = []

    def watched(pictures, holes):
        seen.append(tuple(pictures.shape[2:]))
        return network(pictures, holes)

    image, mask = torch.rand(2, height, width, 4), torch.zeros(2, height, width)
    mask[:, : height // 2 + 1, : width // 2 + 1] = 1
    with torch.no_grad():
        result = erase(image, mask, LaMa(watched), EraseSettings(0, 0))
    assert all(size % 8 == 0 and size >= 16 for size in seen[0])
    kept = mask == 0
    assert torch.equal(result.images[kept], image[kept])
    assert torch.equal(result.images[..., 3], image[..., 3])
    assert not torch.equal(result.images[~kept], image[~kept])


def test_large_regions_are_scaled_down_for_the_network():
    seen = []

    def network(pictures, holes):
        seen.append((tuple(pictures.shape[2:]), holes.unique().tolist()))
        return torch.full_like(pictures, 0.5)

    image, mask = torch.rand(1, 200, 320, 3), torch.zeros(1, 200, 320)
    mask[:, 80:120, 80:120] = 1
    result = erase(image, mask, LaMa(network, limit=160), EraseSettings(0, 0))
    assert seen == [((104, 160), [0.0, 1.0])]
    assert torch.equal(result.images[mask == 0], image[mask == 0])
    assert torch.allclose(result.images[mask == 1], torch.tensor(0.5))


def test_the_second_call_reads_nothing(files, monkeypatch):
    first = load_lama(files / "lama.safetensors")
    monkeypatch.setattr(lama_file, "_state", lambda path: pytest.fail("read again"))
    assert load_lama(files / "lama.safetensors").network is first.network


def test_where_files_are_looked_for(tmp_path, monkeypatch):
    monkeypatch.delenv("LAMA_MODEL", raising=False)
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "hub"))
    folders = [tmp_path / "lama", tmp_path / "inpaint"]
    with pytest.raises(InputError, match=r"no LaMa model was found in .*lama.*inpaint.*big-lama.pt"):
        find_lama("", folders)
    for path in ("inpaint/MAT.safetensors", "inpaint/my-lama.pt", "hub/checkpoints/big-lama.pt", "elsewhere/x.pt"):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).touch()
    assert find_lama("big-lama", folders) == tmp_path / "hub/checkpoints/big-lama.pt"
    assert find_lama("", folders) == tmp_path / "inpaint/my-lama.pt"
    for name in ("MAT", "MAT.safetensors", "inpaint/MAT.safetensors", "models/inpaint/MAT.safetensors"):
        assert find_lama(name, folders) == tmp_path / "inpaint/MAT.safetensors"
    for name in ("other", "../elsewhere/x.pt"):
        with pytest.raises(InputError, match="there is no LaMa model called"):
            find_lama(name, folders)
    monkeypatch.setenv("LAMA_MODEL", str(tmp_path / "elsewhere/x.pt"))
    assert find_lama("", folders) == tmp_path / "elsewhere/x.pt"
    monkeypatch.setenv("LAMA_MODEL", str(tmp_path / "gone.pt"))
    with pytest.raises(InputError, match="LAMA_MODEL names"):
        find_lama("", folders)


def test_files_that_are_no_lama(files, tmp_path):
    whole = (files / "big-lama.pt").read_bytes()
    (tmp_path / "half.pt").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "half.safetensors").write_bytes((files / "lama.safetensors").read_bytes()[:1_000_000])
    (tmp_path / "empty.pt").touch()
    (tmp_path / "page.pt").write_text("<html>not found</html>")
    for name in ("half.pt", "half.safetensors", "empty.pt", "page.pt"):
        with pytest.raises(InputError, match="is damaged or no file of weights"):
            load_lama(tmp_path / name)
    save_file({"weight": torch.zeros(3)}, tmp_path / "other.safetensors")
    with pytest.raises(InputError, match="holds no LaMa"):
        load_lama(tmp_path / "other.safetensors")
    save_file({"generator.model.1.bn_l.running_mean": torch.zeros(3)}, tmp_path / "part.safetensors")
    with pytest.raises(InputError, match=r"holds no LaMa|does not fit"):
        load_lama(tmp_path / "part.safetensors")


def test_simple_lama_where_it_is_installed(tmp_path, monkeypatch):
    file = tmp_path / "big-lama.pt"
    file.touch()
    monkeypatch.setitem(sys.modules, "simple_lama_inpainting", None)
    with pytest.raises(InputError, match="is not installed; choose the backend spandrel"):
        load_simple_lama(file)
    monkeypatch.setitem(sys.modules, "simple_lama_inpainting", SimpleNamespace(SimpleLama=FakeSimpleLama))
    fill = load_simple_lama(file)
    image, mask = torch.rand(2, 13, 21, 3), torch.zeros(2, 13, 21)
    mask[:, 3:6, 3:9] = 1
    result = erase(image, mask, fill, EraseSettings(0, 0)).images
    assert torch.equal(result[mask == 0], image[mask == 0])
    assert torch.allclose(result[mask == 1], torch.tensor(100 / 255))


class FakeSimpleLama:
    """Answers as the package does: with a grey picture of a padded size."""

    def __init__(self, device):
        import os

        assert os.environ["LAMA_MODEL"].endswith("big-lama.pt")
        assert device == torch.device("cpu")

    def __call__(self, image, mask):
        from PIL import Image

        assert mask.mode == "L"
        width, height = (-(-side // 8) * 8 for side in image.size)
        return Image.new("RGB", (width, height), (100, 100, 100))


def test_what_is_known_of_the_published_file():
    assert len(BIG_LAMA.sha256) == 64
    assert str(BIG_LAMA).startswith("big-lama.pt (206 MB, Apache-2.0)")
