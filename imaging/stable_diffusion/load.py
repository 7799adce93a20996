"""A checkpoint in one file, or a folder of diffusers, to a pipeline in memory. Nothing is asked of the network."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ...nn_layers.errors import InputError
from ..clip_table import Table, find_table
from ..weights import loaded
from .configs import UNET, configurations, kind_of
from .lora import merge_lora

NEEDED = "diffusers is not installed; pip install 'visionsmith[diffusion]' into ComfyUI's Python and start it again."
CLASSES = ("StableDiffusion", "StableDiffusionXL")


@dataclass(eq=False)
class StableDiffusion:
    """Stable Diffusion in memory.

    Attributes:
        name: Of its file or folder.
        pipeline: diffusers' StableDiffusionPipeline or StableDiffusionXLPipeline with `unet`, `vae`, `text_encoder` (and `_2`),
            `tokenizer` (and `_2`) and `scheduler`; no safety checker.
    """

    name: str
    pipeline: Any

    @property
    def is_xl(self) -> bool:
        """Whether it is SDXL, with two text encoders."""
        return getattr(self.pipeline, "text_encoder_2", None) is not None

    @property
    def channels(self) -> int:
        """Input channels of the network: 4, or 9 if it was made for inpainting."""
        return int(self.pipeline.unet.config.in_channels)

    @property
    def side(self) -> int:
        """Height and width in pixels of the pictures that it learned from."""
        return int(self.pipeline.unet.config.sample_size) * self.multiple

    @property
    def multiple(self) -> int:
        """Pixels for each pixel of the latent picture: heights and widths are multiples of it."""
        return 2 ** (len(self.pipeline.vae.config.block_out_channels) - 1)

    @property
    def modules(self) -> list[nn.Module]:
        """The networks of the pipeline."""
        return [part for part in self.pipeline.components.values() if isinstance(part, nn.Module)]

    @property
    def bytes(self) -> int:
        """Memory that the weights take."""
        return sum(tensor.nbytes for module in self.modules for tensor in module.parameters())

    @contextmanager
    def on_device(self, device: torch.device) -> Iterator[StableDiffusion]:
        """Hold the weights on the device for as long as the block runs."""
        try:
            for module in self.modules:
                module.to(device)
            yield self
        finally:
            for module in self.modules:
                module.to("cpu")


def load_stable_diffusion(
    path: Path,
    dtype: torch.dtype = torch.float32,
    token_folders: Iterable[Path] = (),
    lora: Path | None = None,
    strength: float = 1.0,
) -> StableDiffusion:
    """Read a checkpoint; the last one stays in memory.

    Args:
        path: A ``.safetensors`` file of Stable Diffusion 1.x, 2.x or SDXL with all of its parts, or a folder with a model_index.json.
        dtype: float32, or float16 for half the memory on a GPU.
        token_folders: Where CLIP's vocab.json and merges.txt may lie; for files, which bring none.
        lora: A file to merge into the weights, by `strength`; see `merge_lora`.

    Raises:
        InputError: diffusers is missing, or a file is missing, damaged, incomplete or of another kind.
    """
    try:
        import diffusers
    except ImportError as error:
        raise InputError(NEEDED) from error
    if not path.exists():
        raise InputError(
            f"{path} is not there; put a checkpoint into models/checkpoints, or a folder into models/diffusers."
        )
    diffusers.utils.logging.disable_progress_bar()
    folders = tuple(Path(folder) for folder in token_folders)

    def read(place: Path) -> StableDiffusion:
        with torch.inference_mode(False):  # what is made inside of it could never be trained
            pipeline = _from_folder(place, dtype) if place.is_dir() else _from_file(place, dtype, folders)
            if lora:
                merge_lora(pipeline, lora, strength)
        for part in pipeline.components.values():
            if isinstance(part, nn.Module):
                _complete(part, place.name)
                part.eval().requires_grad_(False)
        pipeline.set_progress_bar_config(disable=True)
        return StableDiffusion(place.name, pipeline)

    merged = (lora, lora.stat().st_mtime_ns, strength) if lora and lora.exists() else lora
    return loaded("stable-diffusion", path, read, dtype, merged)


def _complete(module: nn.Module, name: str) -> None:
    """Raises InputError if a weight was not in the file."""
    missing = [key for key, tensor in module.state_dict().items() if tensor.is_meta]
    if missing:
        raise InputError(
            f"{name} lacks {len(missing)} weights of its {type(module).__name__} (such as {missing[0]}); get the whole file."
        )


def _from_folder(folder: Path, dtype: torch.dtype) -> Any:
    import diffusers

    index = folder / "model_index.json"
    try:
        named = json.loads(index.read_text("utf-8"))["_class_name"] if index.is_file() else ""
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{index} is damaged ({error}); get the folder again.") from error
    if not named:
        raise InputError(f"{folder} has no model_index.json, so it is no folder of diffusers; choose one that has it.")
    if not str(named).startswith(CLASSES[0]) or "3" in named:
        raise InputError(f"{folder.name} holds a {named}; choose a folder of Stable Diffusion 1.x, 2.x or SDXL.")
    unets = sorted(file.name for file in folder.glob("unet/*.safetensors"))
    if not unets:
        raise InputError(
            f"{folder.name} has no unet/*.safetensors; save its weights as safetensors, pickles are not opened."
        )
    half = all(".fp16." in name for name in unets)
    options: dict[str, Any] = {"variant": "fp16"} if half else {}
    if named.startswith(CLASSES[1]):
        kind, options["add_watermarker"] = diffusers.StableDiffusionXLPipeline, False
    else:
        kind = diffusers.StableDiffusionPipeline
        options |= {"safety_checker": None, "feature_extractor": None, "requires_safety_checker": False}
    try:
        return kind.from_pretrained(folder, dtype=dtype, use_safetensors=True, local_files_only=True, **options)
    except Exception as error:  # of diffusers, transformers and safetensors: each has its own
        raise InputError(f"{folder.name} cannot be read ({_reason(error)}); get the folder again.") from error


def _from_file(path: Path, dtype: torch.dtype, token_folders: tuple[Path, ...]) -> Any:
    import diffusers

    if path.suffix.lower() != ".safetensors":
        raise InputError(f"{path.name} is no .safetensors file; other formats can hold code and are not opened.")
    shapes, prediction = _measured(path)
    kind = kind_of(shapes, path.name)
    try:
        parts = configurations(shapes, kind, prediction)
    except (KeyError, StopIteration, IndexError) as error:
        raise InputError(
            f"{path.name} lacks {error.args[0] if error.args else 'weights'}, a weight of {kind}; get the whole file."
        ) from error
    table = find_table([path.parent, *token_folders])
    known = "StableDiffusionXLPipeline" if kind == "SDXL" else "StableDiffusionPipeline"
    options: dict[str, Any] = {"add_watermarker": False} if kind == "SDXL" else {"requires_safety_checker": False}
    with tempfile.TemporaryDirectory() as place:
        _write(Path(place), parts, table)
        try:
            return getattr(diffusers, known).from_single_file(
                str(path), config=place, local_files_only=True, dtype=dtype, **options
            )
        except Exception as error:  # of diffusers and transformers: each has its own
            raise InputError(
                f"{path.name} does not fit the layout of {kind} ({_reason(error)}); get the whole file."
            ) from error


def _measured(path: Path) -> tuple[dict[str, list[int]], str]:
    """The shape of each weight, and what the network predicts.

    SDXL says so by a weight called v_pred. In SD 2 nothing does; what was trained to predict the velocity has a wider spread in one
    of its last normalizations (0.09 lies between those of the published files).
    """
    from safetensors import SafetensorError, safe_open

    told = f"{UNET}output_blocks.11.1.transformer_blocks.0.norm1.bias"
    try:
        with safe_open(path, framework="pt") as file:
            shapes = {key: file.get_slice(key).get_shape() for key in file.keys()}  # noqa: SIM118  no dictionary
            ordinary = shapes.get(f"{UNET}input_blocks.0.0.weight", [0, 0])[1] == 4
            is_two = any(key.startswith("cond_stage_model.model.") for key in shapes)
            spread = float(file.get_tensor(told).float().std()) if is_two and ordinary and told in shapes else 0.0
    except (SafetensorError, OSError) as error:
        raise InputError(f"{path.name} is damaged or cut off ({_reason(error)}); get the file again.") from error
    return shapes, "v_prediction" if "v_pred" in shapes or spread > 0.09 else "epsilon"


def _write(place: Path, parts: dict[str, dict[str, Any]], table: Table) -> None:
    """A folder as diffusers reads it, without weights."""
    names = {"": "model_index.json", "scheduler": "scheduler_config.json"}
    vocabulary, merges = table
    for part, config in parts.items():
        folder = place / part
        folder.mkdir(exist_ok=True)
        words = part.startswith("tokenizer")
        name = "tokenizer_config.json" if words else names.get(part, "config.json")
        (folder / name).write_text(json.dumps(config), "utf-8")
        if words:
            (folder / "vocab.json").write_text(json.dumps(vocabulary), "utf-8")
            lines = ["#version: 0.2", *(" ".join(pair) for pair in merges), ""]
            (folder / "merges.txt").write_text("\n".join(lines), "utf-8")


def _reason(error: Exception) -> str:
    """The first line of an error."""
    return (str(error).strip().split("\n")[0] or type(error).__name__).rstrip(".")[:200]
