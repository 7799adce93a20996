"""LaMa (Suvorov et al. 2022, "Resolution-robust Large Mask Inpainting with Fourier Convolutions"), read by spandrel."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional as F

from ...nn_layers.errors import InputError
from ..weights import Published, find, loaded

ENDINGS = (".safetensors", ".pt", ".pth", ".ckpt")
MULTIPLE, LEAST = 8, 16  # pixels: sizes that the network can take
BIG_LAMA = Published(
    "big-lama.pt",
    "https://github.com/Sanster/models/releases/download/add_big_lama/big-lama.pt",
    205_669_692,
    "344c77bbcb158f17dd143070d1e789f38a66c04202311ae3a258ef66667a9ea9",
    "Apache-2.0",
)


class LaMa:
    """A fill for `erase`: a network and the device it runs on.

    Args:
        network: Takes pictures [n, 3, height, width] in 0..1 and holes [n, 1, height, width] of 0 and 1.
        device: Where it runs; between calls it waits on the CPU.
        limit: Longer sides are scaled down to this many pixels for the network, 0 for never. It was trained on 256 and
            large holes come out better, and with bounded memory, on a smaller picture.
    """

    def __init__(self, network: nn.Module, device: torch.device | str = "cpu", limit: int = 1024, name: str = "LaMa"):
        self.network, self.device, self.limit, self.name = network, torch.device(device), limit, name

    @property
    def bytes(self) -> int:
        """Memory that the weights take."""
        return sum(tensor.numel() * tensor.element_size() for tensor in self.network.state_dict().values())

    @contextmanager
    def on_device(self) -> Iterator[LaMa]:
        """Hold the weights on the device for as long as the block runs."""
        self.network.to(self.device)
        try:
            yield self
        finally:
            self.network.to("cpu")

    @torch.inference_mode()
    def __call__(self, pictures: torch.Tensor, holes: torch.Tensor) -> torch.Tensor:
        """Pictures with their holes filled, [n, 3, height, width] in 0..1, on the device they came from."""
        height, width = pictures.shape[2:]
        scale = min(1.0, self.limit / max(height, width)) if self.limit else 1.0
        small, hole = pictures.to(self.device), holes.to(self.device)
        if scale < 1:
            size = (max(1, round(height * scale)), max(1, round(width * scale)))
            hole = (F.interpolate(hole, size, mode="bilinear", antialias=True) > 0).to(small)
            small = F.interpolate(small, size, mode="bilinear", antialias=True)
        filled = self._padded(small.clamp(0, 1), hole)
        if scale < 1:
            filled = F.interpolate(filled, (height, width), mode="bicubic", align_corners=False)
        return filled.clamp(0, 1).to(pictures)

    def _padded(self, pictures: torch.Tensor, holes: torch.Tensor) -> torch.Tensor:
        """Run on a size the network can take: the picture mirrored at its right and lower edges, cut off again."""
        height, width = pictures.shape[2:]
        rows, columns = mirrored(height, pictures.device), mirrored(width, pictures.device)
        pictures, holes = (tensor[:, :, rows][..., columns] for tensor in (pictures, holes))
        return self.network(pictures, holes)[..., :height, :width]


def mirrored(length: int, device: torch.device | str = "cpu") -> torch.Tensor:
    """Indices that continue 0 … length-1 as in a mirror, up to a length that the network can take."""
    wanted = max(LEAST, -(-length // MULTIPLE) * MULTIPLE)
    index = torch.arange(wanted, device=device) % (2 * length)
    return torch.where(index < length, index, 2 * length - 1 - index)


def load_lama(path: Path, device: torch.device | str = "cpu", limit: int = 1024) -> LaMa:
    """Read a file of LaMa weights: safetensors, traced ``.pt``, or a state dict; the last one stays in memory.

    Raises:
        InputError: The file is damaged or holds something else, or spandrel is missing.
    """
    return LaMa(loaded("lama", path, _network), device, limit, path.name)


def _network(path: Path) -> nn.Module:
    try:
        from spandrel import MAIN_REGISTRY, MaskedImageModelDescriptor, UnsupportedModelError, canonicalize_state_dict
    except ImportError as error:
        raise InputError("LaMa needs the package spandrel; pip install spandrel, or choose another method.") from error
    try:
        model = MAIN_REGISTRY.load(canonicalize_state_dict(_state(path)))
    except (UnsupportedModelError, KeyError) as error:
        raise InputError(f"{path} holds no LaMa; give a file of LaMa weights such as {BIG_LAMA.name}.") from error
    except RuntimeError as error:  # keys or shapes of a network of another size
        raise InputError(
            f"{path} does not fit the architecture of LaMa; give a file such as {BIG_LAMA.name}."
        ) from error
    if not isinstance(model, MaskedImageModelDescriptor) or model.architecture.id != "LaMa":
        raise InputError(f"{path} holds {model.architecture.name}, not LaMa; give a file such as {BIG_LAMA.name}.")
    return model.model.eval().requires_grad_(False)


def _state(path: Path) -> dict[str, torch.Tensor]:
    """The tensors of a file; no code in it is run."""
    damaged = f"{path} is damaged or no file of weights; fetch it again (a complete {BIG_LAMA.name} has {BIG_LAMA.size:,} bytes)."
    try:
        if path.suffix.lower() == ".safetensors":
            from safetensors.torch import load_file

            return load_file(path)
        try:
            return torch.jit.load(path, map_location="cpu").state_dict()
        except RuntimeError:
            state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # each reader has exceptions of its own for the same thing
        raise InputError(damaged) from error
    if not isinstance(state, dict):
        raise InputError(damaged)
    return state


def find_lama(name: str, folders: Iterable[Path]) -> Path:
    """The file that `name` means, in `folders` or where simple-lama-inpainting and IOPaint keep theirs.

    Those are the file in the environment variable ``LAMA_MODEL`` and torch hub's folder of checkpoints.

    Raises:
        InputError: There is none.
    """
    given = os.environ.get("LAMA_MODEL", "")
    if given and name.strip() in ("", Path(given).name, Path(given).stem):
        if not Path(given).is_file():
            raise InputError(
                f"LAMA_MODEL names {given}, which does not exist; correct the environment variable or remove it."
            )
        return Path(given)
    hub = Path(torch.hub.get_dir()) / "checkpoints"
    if (hub / BIG_LAMA.name).is_file() and name.strip() in ("", BIG_LAMA.name, Path(BIG_LAMA.name).stem):
        folders = [*folders, hub]
    if not name.strip():
        name = _first(folders)
    return find(
        name,
        folders,
        ENDINGS,
        "LaMa model",
        f"switch download on, or put {BIG_LAMA.name} from {BIG_LAMA.url} into models/lama",
    )


def _first(folders: Iterable[Path]) -> str:
    """Without a name: the first file called after LaMa, because models/inpaint holds other networks, too."""
    from ..weights import listed

    files = [file for folder in folders for file in listed(folder, ENDINGS)]
    return next((file.name for file in files if "lama" in file.name.lower()), "")
