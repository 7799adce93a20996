"""Words for pictures: captions from BLIP or Florence-2, and the phrases of a list that fit best, by CLIP."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from ..nn_layers.errors import InputError
from ..nn_layers.files import files_below
from .weights import loaded


@dataclass(frozen=True)
class Suggested:
    """A model on the Hugging Face hub that is known to work: its id there, about how large it is, and its licence."""

    repository: str
    gigabytes: float
    licence: str

    def __str__(self) -> str:
        return f"{self.repository} (about {self.gigabytes:g} GB, {self.licence})"


CAPTIONERS = {  # Li et al. 2022; Xiao et al. 2023
    "blip-base": Suggested("Salesforce/blip-image-captioning-base", 1.0, "BSD-3-Clause"),
    "blip-large": Suggested("Salesforce/blip-image-captioning-large", 1.9, "BSD-3-Clause"),
    "florence-2-base": Suggested("florence-community/Florence-2-base", 0.5, "MIT"),
    "florence-2-large": Suggested("florence-community/Florence-2-large", 1.6, "MIT"),
}
CLIPS = {"clip-vit-b-32": Suggested("laion/CLIP-ViT-B-32-laion2B-s34B-b79K", 0.6, "MIT")}
FILES = ("*.json", "*.txt", "*.safetensors")  # what is fetched of a repository: no code and no pickles
DETAIL = {"short": "<CAPTION>", "detailed": "<DETAILED_CAPTION>", "very detailed": "<MORE_DETAILED_CAPTION>"}


@dataclass(frozen=True)
class Captioner:
    """A network that describes pictures, and what prepares them for it."""

    network: Any
    processor: Any
    kind: str
    name: str
    device: torch.device

    @torch.inference_mode()
    def __call__(
        self, image: torch.Tensor, detail: str = "short", start: str = "", most: int = 60, beams: int = 3
    ) -> str:
        """A caption of a picture [height, width, 3 or 4] in 0..1.

        Args:
            detail: One of `DETAIL`; BLIP knows short ones only.
            start: First words, which BLIP goes on from.
            most: Tokens at most.
            beams: Sentences that are followed at once.
        """
        text = DETAIL[detail] if self.kind == "florence2" else start.strip() or None
        inputs = self.processor(images=picture(image), text=text, return_tensors="pt").to(self.device)
        tokens = self.network.generate(**inputs, max_new_tokens=most, num_beams=beams, do_sample=False)
        return " ".join(self.processor.decode(tokens[0], skip_special_tokens=True).split())


def load_captioner(folder: Path, device: torch.device | str = "cpu") -> Captioner:
    """Read BLIP or Florence-2 from a folder as the hub has it; the last one stays in memory. No code in it is run.

    Raises:
        InputError: The folder is incomplete or damaged, or holds another kind of model.
    """
    device = torch.device(device)
    return loaded("captioner", folder, lambda path: _captioner(path, device), str(device))


def _captioner(folder: Path, device: torch.device) -> Captioner:
    kind = _json(folder / "config.json").get("model_type")
    if kind not in ("blip", "florence2"):
        raise InputError(f"{folder} holds a model of the kind {kind!r}; give a folder with BLIP or Florence-2.")
    try:
        import transformers

        name = {"blip": "Blip", "florence2": "Florence2"}[kind]
        architecture = getattr(transformers, f"{name}ForConditionalGeneration")
    except (ImportError, AttributeError) as error:
        raise InputError(
            "captions need the package transformers 4.56 or newer; pip install -U transformers."
        ) from error
    try:
        network, report = architecture.from_pretrained(
            folder, local_files_only=True, use_safetensors=True, trust_remote_code=False, output_loading_info=True
        )
        processor = getattr(transformers, f"{name}Processor").from_pretrained(
            folder, local_files_only=True, trust_remote_code=False
        )
    except Exception as error:  # each of the files has readers with exceptions of their own
        raise InputError(
            f"{folder} is incomplete or damaged ({_first_line(error)}); fetch it again, with model.safetensors, config.json and its "
            f"tokenizer files."
        ) from error
    if report["missing_keys"]:
        raise InputError(
            f"the weights in {folder} are not those of transformers' own {name} ({len(report['missing_keys'])} are missing); give "
            f"{CAPTIONERS['florence-2-base' if kind == 'florence2' else 'blip-base'].repository}."
        )
    return Captioner(network.eval().to(device), processor, kind, folder.name, device)


def _json(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise InputError(
            f"{path} is missing or damaged; give a folder with a whole model, as the hub has it."
        ) from error
    return found if isinstance(found, dict) else {}


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:120]


def picture(image: torch.Tensor) -> Image.Image:
    """A picture [height, width, 3 or 4] in 0..1 as Pillow has it.

    Raises:
        InputError: It has another form, or values that are no numbers.
    """
    if image.ndim != 3 or image.shape[-1] not in (3, 4) or not image.numel():
        raise InputError(
            "images must be a batch of coloured pictures [batch, height, width, 3 or 4]; wire an IMAGE here."
        )
    if not bool(torch.isfinite(image).all()):
        raise InputError(
            "images contain values that are no numbers (NaN or infinite); look at the node they come from."
        )
    array = (image[..., :3].float().clamp(0, 1) * 255).round().to(torch.uint8).cpu().numpy()
    return Image.fromarray(np.ascontiguousarray(array))


class Ranker:
    """CLIP, which says how well phrases fit a picture. What it makes of a phrase is kept for the next picture."""

    def __init__(self, network: Any, prepare: Callable, tokenizer: Callable, name: str, device: torch.device):
        self.network, self.prepare, self.tokenizer, self.name, self.device = network, prepare, tokenizer, name, device
        self.known: dict[str, torch.Tensor] = {}

    @torch.inference_mode()
    def phrases(self, words: Iterable[str], batch: int = 64) -> torch.Tensor:
        """Embeddings of length 1, [n, width]; only new phrases are computed."""
        words = list(words)
        new = [word for word in dict.fromkeys(words) if word not in self.known]
        for start in range(0, len(new), batch):
            part = new[start : start + batch]
            found = self.network.encode_text(self.tokenizer(part).to(self.device), normalize=True)
            self.known.update(zip(part, found.cpu(), strict=True))
        return torch.stack([self.known[word] for word in words])

    @torch.inference_mode()
    def rank(
        self, image: torch.Tensor, groups: dict[str, tuple[str, ...]], best: int = 1
    ) -> list[tuple[str, str, float]]:
        """Group, phrase and share (the shares of a group add up to 1) of the best phrases of each group, best first.

        Args:
            image: [height, width, 3 or 4] in 0..1.
            best: Phrases that are kept of each group.
        """
        seen = self.network.encode_image(self.prepare(picture(image))[None].to(self.device), normalize=True)[0].cpu()
        scale = float(self.network.logit_scale.exp())
        found = []
        for group, words in groups.items():
            shares = (scale * self.phrases(words) @ seen).softmax(0)
            top = shares.topk(min(best, len(words)))
            found += [
                (group, words[i], share) for share, i in zip(top.values.tolist(), top.indices.tolist(), strict=True)
            ]
        return found


def load_clip(folder: Path, device: torch.device | str = "cpu") -> Ranker:
    """Read a CLIP that open_clip can use, from a folder with open_clip_config.json; the last one stays in memory.

    Raises:
        InputError: The folder is incomplete or damaged, or open_clip is missing.
    """
    device = torch.device(device)
    return loaded("clip", folder, lambda path: _clip(path, device), str(device))


def _clip(folder: Path, device: torch.device) -> Ranker:
    try:
        import open_clip
    except ImportError as error:
        raise InputError("ranking phrases needs the package open-clip-torch; pip install open-clip-torch.") from error
    _json(folder / "open_clip_config.json")
    if not list(folder.glob("*.safetensors")):
        raise InputError(f"{folder} has no open_clip_model.safetensors; fetch it, or give another folder.")
    try:
        network, _, prepare = open_clip.create_model_and_transforms(f"local-dir:{folder}", device=device)
        tokenizer = open_clip.get_tokenizer(f"local-dir:{folder}")
    except Exception as error:  # as above
        raise InputError(f"{folder} is incomplete or damaged ({_first_line(error)}); fetch it again.") from error
    return Ranker(network.eval(), prepare, tokenizer, folder.name, device)


def find_folder(name: str, folders: Iterable[Path], marker: str, models: dict[str, Suggested], kind: str) -> Path:
    """The folder that `name` means: one with the file `marker` in it, by its own name, by that of a suggested model or of a hub's.

    Raises:
        InputError: There is none.
    """
    folders = list(dict.fromkeys(folders))
    found = [file.parent for folder in folders for file in files_below(folder) if file.name == marker]
    name = name.strip().strip("/")
    wanted = {name, name.rpartition("/")[2], models[name].repository.rpartition("/")[2] if name in models else name}
    for path in found:
        if not name or path.name in wanted:
            return path
    advice = f"switch download on with one of {', '.join(map(str, models.values()))}, or put such a folder there"
    known = f" (there are {', '.join(sorted({path.name for path in found}))})" if found else ""
    raise InputError(f"no {kind} {name!r} was found in {', '.join(map(str, folders))}{known}; {advice}.")


def fetch_folder(name: str, folder: Path, models: dict[str, Suggested]) -> Path:
    """Fetch a model from the Hugging Face hub: a suggested one, or any by its id (owner/name). What was fetched before is kept.

    Raises:
        InputError: The name is no id, or the hub or the network says no.
    """
    repository = models[name].repository if name in models else name.strip()
    if repository.count("/") != 1:
        raise InputError(f"{name!r} is no model of the hub; give owner/name, or one of {', '.join(models)}.")
    target = folder / repository.rpartition("/")[2]
    try:
        from huggingface_hub import snapshot_download

        snapshot_download(repository, local_dir=target, allow_patterns=list(FILES))
    except ImportError as error:
        raise InputError("downloads need the package huggingface_hub; pip install huggingface_hub.") from error
    except Exception as error:  # the library's, requests' and the system's
        raise InputError(
            f"{repository} could not be fetched ({_first_line(error)}); check its name and the network and run again, it goes on where "
            f"it stopped."
        ) from error
    return target
