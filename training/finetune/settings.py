"""What is set before a fine-tuning, what is wrong with it, and what tells one from another."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field, fields, replace

import torch

from ...nn_layers.errors import InputError
from .concepts import Concepts

METHODS = ("lora", "dreambooth")
OPTIMIZERS = ("AdamW 8-bit", "AdamW")
TIMESTEPS = ("balanced", "sigmoid", "content", "style")
MASKS = ("given", "random", "whole")
BLOCKS = ("down", "mid", "up")
LAYERS = ("all", "attention", "cross-attention")
PRECISIONS = ("auto", "32-true", "bf16-mixed")
SAVED_AS = {"float16": torch.float16, "bfloat16": torch.bfloat16, "float32": torch.float32}
LEAST = {"steps": 1, "batch_size": 1, "accumulate": 1, "warmup": 0, "save_every": 1, "keep": 1, "sample_every": 0}
LEAST |= {"weight_decay": 0, "clip": 0, "min_snr": 0, "prior_weight": 0, "class_pictures": 1, "outside": 0, "rank": 0}
LEAST |= {"conv_rank": 0, "sample_steps": 1, "guidance": 0, "devices": 1, "nodes": 1, "seed": 0}


@dataclass(frozen=True)
class FinetuneSettings:
    """How to fine-tune. As it is, the preset for LoRA; see `DREAMBOOTH` for the other.

    Attributes:
        method: "lora" trains small additions to the layers, "dreambooth" the whole UNet.
        steps: Optimizer steps. A run that is done goes on if there are more of them.
        batch_size: Pictures at a time, on each device; gradients of `accumulate` batches make one step.
        learning_rate: After `warmup` steps, in which it rises from zero in a straight line.
        clip: Largest norm of the gradients; 0 for no limit.
        optimizer: "AdamW 8-bit" is bitsandbytes' (AdamW where that is missing).
        precision: "bf16-mixed", "32-true", or "auto": the first on a GPU that can.
        rank, alpha: Of the additions to linear layers; they are scaled by alpha / rank. Rank 0 leaves these layers out.
        conv_rank, conv_alpha: Of those to convolutions.
        blocks: Parts of the UNet that are trained, of "down", "mid" and "up"; for LoRA.
        layers: "all", "attention" or "cross-attention"; for LoRA.
        train_text: Train the text encoders too.
        timesteps: How noisy pictures are: "balanced" (all levels alike), "sigmoid" (medium ones more often), "content" (noisy ones),
            "style" (clear ones).
        min_snr: γ of min-SNR weighting (Hang et al. 2023), usually 5; 0 for none.
        prior_weight: Weight of the loss of class pictures (prior preservation, Ruiz et al. 2023); 0 for none.
        class_pictures: How many of them each concept needs; those that lack are made before the training.
        every_concept: Concepts take turns, so that each batch holds every one.
        masks: For checkpoints made for inpainting, what is repainted: the "given" masks (by chance where there is none), "random" rectangles
            and ellipses, or the "whole" picture. With "given", the loss is looked at inside of them, for ordinary checkpoints too.
        outside: Weight of the loss outside of given masks.
        checkpointing: Compute activations again instead of keeping them: less memory, a quarter slower.
        cache: Encode pictures once, before the training.
        save_every, keep: Steps between two files for ComfyUI, and how many of the latest are kept.
        as_folder: Of DreamBooth, write the result as a folder of diffusers too.
        sample_every: Steps between two rounds of sample pictures, one for each of `prompts`; 0 for none.
        devices, nodes: Devices of each machine, and machines, each with batches of its own.
    """

    method: str = "lora"
    steps: int = 3000
    batch_size: int = 1
    accumulate: int = 4
    learning_rate: float = 1e-4
    weight_decay: float = 1e-4
    warmup: int = 0
    clip: float = 1.0
    optimizer: str = OPTIMIZERS[0]
    precision: str = "auto"
    rank: int = 8
    alpha: float = 8.0
    conv_rank: int = 8
    conv_alpha: float = 8.0
    blocks: tuple[str, ...] = BLOCKS
    layers: str = LAYERS[0]
    train_text: bool = False
    timesteps: str = "sigmoid"
    min_snr: float = 0.0
    prior_weight: float = 0.0
    class_pictures: int = 100
    every_concept: bool = False
    masks: str = MASKS[0]
    outside: float = 0.0
    seed: int = 42
    checkpointing: bool = field(default=False, metadata={"free": True})
    cache: bool = field(default=True, metadata={"free": True})
    device: str = field(default="auto", metadata={"free": True})
    save_every: int = field(default=250, metadata={"free": True})
    keep: int = field(default=20, metadata={"free": True})
    save_as: str = field(default="float16", metadata={"free": True})
    as_folder: bool = field(default=False, metadata={"free": True})
    sample_every: int = field(default=250, metadata={"free": True})
    prompts: tuple[str, ...] = field(default=(), metadata={"free": True})
    negative: str = field(default="", metadata={"free": True})
    sampler: str = field(default="ddpm", metadata={"free": True})
    sample_steps: int = field(default=20, metadata={"free": True})
    guidance: float = field(default=6.0, metadata={"free": True})
    devices: int = field(default=1, metadata={"free": True})
    nodes: int = field(default=1, metadata={"free": True})

    @property
    def is_lora(self) -> bool:
        """Whether only additions to the layers are trained."""
        return self.method == "lora"

    def rate(self, step: int) -> float:
        """The learning rate of step number `step`, counted from 0."""
        return self.learning_rate * min(1.0, (step + 1) / (self.warmup + 1))


LORA = FinetuneSettings()
DREAMBOOTH = replace(
    LORA,
    method="dreambooth",
    steps=2000,
    batch_size=4,
    accumulate=1,
    optimizer="AdamW",
    learning_rate=5e-6,
    weight_decay=1e-2,
    warmup=500,
    train_text=True,
    timesteps="balanced",
    prior_weight=1.0,
    every_concept=True,
    save_every=500,
    keep=2,
    as_folder=True,
    sample_every=500,
)


def run_key(model: str, concepts: Concepts, settings: FinetuneSettings) -> str:
    """A short text that is the same for two fine-tunings if, and only if, one goes on where the other stands.

    Steps, samples, files, devices and whatever only saves time or memory are free to change.

    Args:
        model: The checkpoint's fingerprint.
    """
    same = [
        (f.name, getattr(settings, f.name))
        for f in fields(settings)
        if not f.metadata.get("free") and f.name != "steps"
    ]
    return hashlib.sha256(repr((model, concepts.fingerprint, same)).encode()).hexdigest()[:10]


def folder_name(name: str, key: str) -> str:
    """The name of a run's folder."""
    return f"{file_name(name)}-{key}"


def file_name(name: str) -> str:
    """`name` without what a file name cannot have."""
    return re.sub(r"[^\w.-]+", "-", name).strip("-.") or "unnamed"


def check(settings: FinetuneSettings, concepts: Concepts, channels: int) -> list[str]:
    """Refuse what cannot be trained; return warnings about what will train badly.

    Args:
        channels: Input channels of the UNet.

    Raises:
        InputError: Says which setting, what it is and what to change.
    """
    choices = {"method": METHODS, "optimizer": OPTIMIZERS, "timesteps": TIMESTEPS, "masks": MASKS, "layers": LAYERS}
    choices |= {"precision": PRECISIONS, "save_as": tuple(SAVED_AS)}
    for name, allowed in choices.items():
        if (value := getattr(settings, name)) not in allowed:
            raise InputError(f"{name} is {value!r}; choose one of {', '.join(allowed)}.")
    for name, least in LEAST.items():
        if (value := getattr(settings, name)) < least:
            raise InputError(f"{name} is {value:g}; choose at least {least}.")
    if not 0 < settings.learning_rate < 1:
        raise InputError(
            f"learning_rate is {settings.learning_rate:g}; choose one above 0 and below 1, such as 0.0001."
        )
    if channels not in (4, 9):
        raise InputError(
            f"the checkpoint was made for something else (its UNet has {channels} input channels); choose an ordinary one or one for inpainting."
        )
    has = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if not has.get(settings.device, True):
        raise InputError(f"device is {settings.device}, which torch does not find on this machine; choose auto or cpu.")
    if settings.device in ("auto", "cuda") and 0 < (found := torch.cuda.device_count()) < settings.devices:
        raise InputError(f"devices is {settings.devices}, but this machine has {found}; ask for less.")
    if settings.is_lora:
        _check_lora(settings)
    count = len(concepts.concepts)
    if settings.every_concept and settings.batch_size < count:
        raise InputError(
            f"batch_size is {settings.batch_size}, but there are {count} concepts and each batch is to hold every one; choose at least {count}, "
            f"or turn every_concept off."
        )
    if settings.prior_weight and not any(concept.class_prompt for concept in concepts.concepts):
        raise InputError(
            "prior_weight is above 0, but no concept has a class prompt; give one in Concept Dataset, such as: a photo of a zipper, or set prior_weight to 0."
        )
    warnings = list(concepts.notes)
    if settings.every_concept and concepts.buckets:
        warnings.append("Each batch holds every concept, so all pictures are cut to squares.")
    return warnings


def _check_lora(settings: FinetuneSettings) -> None:
    if not settings.rank and not settings.conv_rank:
        raise InputError("rank and conv_rank are both 0, so nothing is trained; set one of them to 8.")
    if wrong := [name for name in settings.blocks if name not in BLOCKS]:
        raise InputError(f"blocks has {wrong[0]!r}; choose from {', '.join(BLOCKS)}.")
    if not settings.blocks and not settings.train_text:
        raise InputError(f"blocks is empty, so nothing is trained; choose from {', '.join(BLOCKS)}.")
    for name in ("alpha", "conv_alpha"):
        if getattr(settings, name) <= 0:
            raise InputError(f"{name} is {getattr(settings, name):g}; choose one above 0, usually the rank.")
