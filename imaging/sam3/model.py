"""A SAM 3 file on disk to a model in memory: Meta's `sam3.pt` and `sam3.safetensors`, Hugging Face's `model.safetensors`."""

from __future__ import annotations

import pickle
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

from ...nn_layers.errors import InputError
from . import config, detect, keys, video
from .engine import Follow, Frame, Object
from .features import Features
from .prompts import Box, Point
from .tokens import Tokenizer, tokenizer

# Neither is used to find things: the projection belongs to whole sentences, and the last level of the pyramid is dropped.
_DISPENSABLE = ("text_encoder.text_projection.weight",)


@dataclass(eq=False)
class Sam3:
    """SAM 3 in memory, run by transformers; an `Engine`.

    `detector` finds everything that words and example boxes mean; `tracker` cuts out what points, a box or a mask show; `video`
    follows objects through frames. The last two are None where the file lacks them.
    """

    name: str
    detector: Any
    tracker: Any | None
    video: Any | None
    words: Tokenizer | None
    device: torch.device
    dtype: torch.dtype
    folders: tuple[Path, ...] = ()
    features: Features = field(default_factory=Features)
    texts: dict[str, Any] = field(default_factory=dict)

    @property
    def side(self) -> int:
        """Height and width of the square that pictures are scaled to; 1,008 in the published model."""
        return self.detector.config.vision_config.backbone_config.image_size

    @property
    def bytes(self) -> int:
        """Memory that the weights take."""
        modules = [module for module in (self.detector, self.tracker, self.video) if module is not None]
        unique = {id(tensor): tensor for module in modules for tensor in module.parameters()}
        return sum(tensor.nbytes for tensor in unique.values())

    def tokens(self, text: str) -> list[int]:
        """Numbers of a text's tokens; the table is looked for when the first text comes."""
        if self.words is None:
            self.words = tokenizer(self.folders)
        return self.words(text)

    def needs(self, part: str, what: str) -> Any:
        """The tracker or the video tracker.

        Raises:
            InputError: The file lacks it.
        """
        module = getattr(self, part)
        if module is None:
            raise InputError(f"{self.name} cannot {what}: the file lacks those weights; load Meta's sam3.pt instead.")
        return module

    def ready(self, showing: bool) -> None:
        if showing:
            self.needs("tracker", "cut out what points, outlines or masks show")

    def see(self, picture: torch.Tensor) -> detect.Sight:
        return detect.Sight(self, picture)

    def find(
        self, seen: detect.Sight, size: tuple[int, int], text: str, boxes: Sequence[Box], threshold: float
    ) -> list[Object]:
        return detect.find(self, seen.view, size, text, boxes, threshold)

    def cut(
        self,
        seen: detect.Sight,
        size: tuple[int, int],
        points: Sequence[Point],
        box: Box | None,
        mask: torch.Tensor | None,
    ) -> tuple[torch.Tensor, float]:
        return detect.cut(self, seen.maps, size, points, box, mask)

    def follow(self, frames: torch.Tensor, how: Follow) -> Iterator[Frame]:
        self.needs("video", "follow objects through a video")
        return video.follow(self, frames, how)


@torch.inference_mode(False)  # ComfyUI's nodes run in that mode, whose tensors no parameter can be made of
def load(
    path: Path,
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
    token_folders: Iterable[Path] = (),
) -> Sam3:
    """Read a SAM 3 file.

    Args:
        path: A file of Meta's or of Hugging Face's names, safetensors or PyTorch (read without pickled code).
        device: Where the model runs.
        dtype: float32, or bfloat16 for half the memory.
        token_folders: Where else CLIP's vocab.json and merges.txt may lie; the file's own folder comes first.

    Raises:
        InputError: The file is missing, truncated, of another model, or lacks weights.
    """
    path = Path(path)
    _check_transformers()
    state = read(path)
    names = list(state)
    if keys.is_meta(names):
        state, unknown = keys.from_meta(state)
    elif keys.is_hugging_face(names):
        state, unknown = keys.from_hugging_face(state), []
    else:
        raise InputError(
            f"{path.name} is no SAM 3 model (its first weight is called {names[0] if names else 'nothing'}); choose Meta's sam3.pt or "
            f"sam3.safetensors, or Hugging Face's model.safetensors."
        )
    with torch.random.fork_rng(devices=[]):
        detector, tracker, video = _build(state, unknown, path.name, dtype)
    for module in (detector, tracker, video):
        if module is not None:
            module.eval().requires_grad_(False).to(device)
    folders = (path.parent, *(Path(folder) for folder in token_folders))
    return Sam3(path.name, detector, tracker, video, None, torch.device(device), dtype, folders)


def _check_transformers() -> None:
    """Raises InputError where there is no transformers that knows SAM 3."""
    try:
        from transformers import Sam3Model, Sam3TrackerVideoModel  # noqa: F401
    except ImportError as error:
        try:
            found = f"version {metadata.version('transformers')} is installed"
        except metadata.PackageNotFoundError:
            found = "it is not installed"
        raise InputError(
            f"SAM 3 needs transformers 5 or newer, but {found}; pip install 'transformers>=5' into ComfyUI's Python and start it again."
        ) from error


def read(path: Path) -> keys.State:
    """All weights of a file, on the CPU.

    Raises:
        InputError: The file is missing, truncated or holds something else.
    """
    if not path.is_file():
        raise InputError(f"{path} is not there; put sam3.pt, sam3.safetensors or model.safetensors into models/sam3.")
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            return load_file(path)
        content = torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
    except pickle.UnpicklingError as error:
        raise InputError(
            f"{path.name} holds more than weights and is not opened; use sam3.safetensors instead."
        ) from error
    except Exception as error:  # safetensors and torch have their own for a damaged file
        reason = str(error).split("\n")[0].rstrip(".")
        raise InputError(f"{path.name} is damaged or cut off ({reason}); download it again.") from error
    for inner in ("model", "state_dict"):
        if isinstance(content, dict) and isinstance(content.get(inner), dict):
            content = content[inner]
    if not isinstance(content, dict):
        raise InputError(f"{path.name} holds no weights; choose Meta's sam3.pt.")
    return {name: tensor for name, tensor in content.items() if isinstance(tensor, torch.Tensor)}


def _build(state: keys.State, unknown: list[str], name: str, dtype: torch.dtype) -> tuple[Any, Any, Any]:
    from transformers import (
        Sam3Config,
        Sam3Model,
        Sam3TrackerConfig,
        Sam3TrackerModel,
        Sam3TrackerVideoConfig,
        Sam3TrackerVideoModel,
    )

    finding, neck, tracking = (
        keys.part(state, f"{one}.") for one in ("detector_model", "tracker_neck", "tracker_model")
    )
    try:
        settings = config.detector_config(finding)
    except KeyError as error:
        raise InputError(f"{name} lacks {error.args[0]}, a weight of SAM 3; download it again.") from error
    detector = _filled(Sam3Model, Sam3Config(**settings), finding, unknown, name, dtype)
    if not neck or not tracking:
        return detector, None, None
    heads = settings["detr_decoder_config"]["num_attention_heads"]
    try:
        chosen = config.tracker_config(tracking, settings["vision_config"], heads)
        memory = any(one.startswith("memory_") for one in tracking)
        filmed = config.video_config(tracking, chosen) if memory else None
    except KeyError as error:
        raise InputError(f"{name} lacks {error.args[0]}, a weight of SAM 3's tracker; download it again.") from error
    clicking = {
        one: tensor
        for one, tensor in tracking.items()
        if one.startswith(("prompt_encoder.", "mask_decoder.", "shared_image_embedding.", "no_memory_embedding"))
    }
    clicking |= {f"vision_encoder.neck.{one}": tensor for one, tensor in neck.items()}
    shared = detector.vision_encoder.backbone
    tracker = _filled(Sam3TrackerModel, Sam3TrackerConfig(**chosen), clicking, [], name, dtype, shared)
    if not filmed:
        return detector, tracker, None
    settings = Sam3TrackerVideoConfig(**filmed)
    video = _filled(Sam3TrackerVideoModel, settings, tracking, [], name, dtype, remove_vision_encoder=True)
    return detector, tracker, video


def _filled(
    kind: Any,
    settings: Any,
    state: keys.State,
    unknown: list[str],
    name: str,
    dtype: torch.dtype,
    backbone: Any | None = None,
    **options: Any,
) -> Any:
    """A model of transformers with these weights, nothing initialised first; `backbone` is shared, not loaded again.

    Raises:
        InputError: A weight is missing, left over or of another shape.
    """
    from transformers.initialization import no_init_weights

    with no_init_weights():
        model = kind(settings, **options)
    if backbone is not None:
        model.vision_encoder.backbone = backbone
    expected = {
        one: tensor
        for one, tensor in model.state_dict().items()
        if backbone is None or not one.startswith("vision_encoder.backbone.")
    }
    missing = [one for one in expected if one not in state and one not in _DISPENSABLE]
    left = unknown + [one for one in state if one not in expected]
    changed = [one for one in state if one in expected and state[one].shape != expected[one].shape]
    if missing or left or changed:
        counts = {"lacks": missing, "has unknown": left, "has misshapen": changed}
        told = ", ".join(f"{verb} {len(found)} weights (such as {found[0]})" for verb, found in counts.items() if found)
        raise InputError(f"{name} is not a whole SAM 3 model: it {told}; download it again.")
    weights = {one: tensor.to(dtype) if tensor.is_floating_point() else tensor for one, tensor in state.items()}
    weights |= {
        one: torch.zeros_like(expected[one], dtype=dtype)
        for one in _DISPENSABLE
        if one in expected and one not in state
    }
    model.load_state_dict(weights, strict=False, assign=True)
    return model
