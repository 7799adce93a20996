"""Networks on disk: `network.json` (the specification) beside `weights.safetensors`. No pickle, neither written nor read."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, get_args, get_type_hints

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import nn

from .errors import InputError
from .files import atomic
from .modules import Frozen
from .network import Network, Prepare, build, modules_of
from .spec import NetworkSpec, from_dict, to_dict
from .tensor import WeightSource, untrained

FORMAT, VERSION = "visionsmith.network", 1
MAX_JSON_BYTES = 32 * 2**20
TASKS = ("", "classification", "regression", "segmentation")


def save_network(network: Network, folder: Path, weights: str = "weights.safetensors") -> None:
    """Write `network` into `folder`: the weights first, so that a network.json always has weights to go with it."""
    folder = Path(folder)
    save_weights(network.module, folder / weights)
    with atomic(folder / "network.json") as path:
        path.write_text(json.dumps(network_to_dict(network), indent=1), encoding="utf-8")


def save_weights(module: nn.Module, file: Path) -> None:
    """Write a module's state as safetensors."""
    with atomic(file) as path:
        save_file({key: value.detach().cpu().contiguous() for key, value in module.state_dict().items()}, path)


def network_to_dict(network: Network) -> dict[str, Any]:
    """What network.json holds: everything but the weights."""
    head = {"format": FORMAT, "version": VERSION, "task": network.task, "classes": list(network.classes)}
    if network.colors:
        head["colors"] = [list(color) for color in network.colors]
    if network.initialization != "default":
        head["initialization"] = network.initialization
    return {**head, "prepare": asdict(network.prepare) if network.prepare else None, **to_dict(network.spec)}


def network_from_dict(data: Any, seed: int = 0, file: Path | None = None) -> Network:
    """A network from what network.json holds, with fresh weights or those of `file`.

    The weights are compared with the specification before anything is allocated.

    Raises:
        InputError: Not a network file, one of another version, or one that was tampered with.
    """
    data = _checked(data)
    classes, task = data.get("classes", []), data.get("task", "")
    if not isinstance(classes, list) or not all(isinstance(name, str) for name in classes) or task not in TASKS:
        raise InputError("the network file's classes or task are damaged; save the network again.")
    spec = from_dict(data)
    if file:
        nodes = tuple(replace(node, layer=untrained(node.layer)) for node in spec.nodes)
        spec = replace(spec, nodes=nodes)  # the file has the weights: nothing to download
        _check_weights(spec, file)
    network = build(spec, seed, data.get("initialization", "default"))
    if file:
        network.module.load_state_dict(read_weights(file))
    return replace(
        network, classes=tuple(classes), task=task, prepare=_prepare(data.get("prepare")), colors=_colors(data)
    )


def _checked(data: Any) -> dict[str, Any]:
    """`data`, if it is a network of a version that can be read."""
    if not isinstance(data, dict) or data.get("format") != FORMAT:
        raise InputError(
            "this is not a Visionsmith network file; choose the network.json that Save Network or Train wrote."
        )
    if data.get("version") != VERSION:
        raise InputError(
            f"the network file has format version {data.get('version')!r}, but this Visionsmith reads {VERSION}; update Visionsmith."
        )
    return data


def _colors(data: dict[str, Any]) -> tuple[tuple[int, int, int], ...]:
    try:
        colors = tuple((int(red), int(green), int(blue)) for red, green, blue in data.get("colors", []))
    except (TypeError, ValueError) as error:
        raise InputError("the network file's colours are damaged; save the network again.") from error
    if any(not 0 <= value < 256 for color in colors for value in color):
        raise InputError("the network file's colours are damaged; save the network again.")
    return colors


def _prepare(data: Any) -> Prepare | None:
    if data is None:
        return None
    try:
        mean, std = (tuple(float(value) for value in data[key]) for key in ("mean", "std"))
        size = tuple(int(data[key]) for key in ("channels", "height", "width"))
    except (KeyError, TypeError, ValueError) as error:
        raise InputError("the network file does not say how to prepare a picture; save the network again.") from error
    if min(size) < 1 or max(size) > 100_000 or any(len(v) not in (0, size[0]) for v in (mean, std)) or 0.0 in std:
        raise InputError("the network file's picture size or normalization is damaged; save the network again.")
    fit = data.get("fit", "stretch")
    if fit not in get_args(get_type_hints(Prepare)["fit"]):
        raise InputError(f"the network file says to fit pictures by {fit!r}, which is unknown; save the network again.")
    return Prepare(*size, mean, std, fit)


def load_network(folder: Path, weights: str = "weights.safetensors") -> Network:
    """Read a network that `save_network` wrote; `folder` may also be the path of its network.json.

    Raises:
        InputError: A missing file, a pickle, another version, or a specification and weights that do not belong together.
    """
    folder = Path(folder)
    folder = folder.parent if folder.suffix == ".json" else folder
    return network_from_dict(read_json(folder / "network.json"), file=folder / weights)


def read_spec(folder: Path) -> NetworkSpec:
    """The specification alone of a network that `save_network` wrote."""
    return from_dict(_checked(read_json(Path(folder) / "network.json")))


def read_json(file: Path) -> Any:
    """The contents of a JSON file of reasonable size."""
    if not file.is_file():
        raise InputError(f"{file} does not exist; choose a folder that Save Network or Train wrote.")
    if file.stat().st_size > MAX_JSON_BYTES:
        raise InputError(
            f"{file} is larger than {MAX_JSON_BYTES // 2**20} MiB, too large for a network; choose another file."
        )
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise InputError(f"{file} is not readable JSON; save the network again.") from error


def open_weights(file: Path):
    """Open a safetensors file for reading; a pickle is told apart by its first bytes and never unpickled."""
    if not file.is_file():
        raise InputError(f"{file} does not exist; the weights belong beside network.json.")
    with file.open("rb") as stream:
        head = stream.read(9)
    if head[8:] != b"{" and head.startswith((b"PK", b"\x80")):  # a header's length may begin with the same bytes
        raise InputError(
            f"{file.name} is a pickle (a PyTorch checkpoint), which can run code when read; convert it to safetensors first."
        )
    try:
        return safe_open(file, framework="pt")
    except (SafetensorError, OSError) as error:
        raise InputError(f"{file.name} is not a readable safetensors file; save the network again.") from error


def read_weights(file: Path, prefix: str = "") -> dict[str, torch.Tensor]:
    """The tensors of a safetensors file whose keys begin with `prefix`, without the prefix."""
    with open_weights(file) as weights:
        return {key[len(prefix) :]: weights.get_tensor(key) for key in weights.keys() if key.startswith(prefix)}  # noqa: SIM118


def load_layer(module: nn.Module, source: WeightSource) -> None:
    """Fill one layer of a larger network with the weights it had in a saved one."""
    state = read_weights(source.file, f"{source.prefix}.")
    if isinstance(module, Frozen) and not any(key.startswith("layer.") for key in state):
        module = module.layer
    elif not isinstance(module, Frozen):
        state = {key.removeprefix("layer."): value for key, value in state.items()}
    try:
        module.load_state_dict(state)
    except RuntimeError as error:
        raise InputError(
            f"Block: {source.file} has no fitting weights for {source.prefix}; save that network again."
        ) from error


def _check_weights(spec, file: Path) -> None:
    """Compare names and shapes in the file's header with what the specification wants, on the meta device."""
    with torch.device("meta"):
        modules = modules_of(spec)
    wanted = {
        f"{name}.{key}": list(value.shape)
        for name, module in modules.items()
        for key, value in module.state_dict().items()
    }
    with open_weights(file) as weights:
        found = {key: weights.get_slice(key).get_shape() for key in weights.keys()}  # noqa: SIM118
    if wrong := [key for key in wanted if found.get(key) != wanted[key]] or [key for key in found if key not in wanted]:
        raise InputError(
            f"{file.name} does not belong to this network.json: {wrong[0]} is {found.get(wrong[0], 'missing')} in the weights but "
            f"{wanted.get(wrong[0], 'not part')} of the network; choose the files that were saved together."
        )
