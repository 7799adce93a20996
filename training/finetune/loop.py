"""Fine-tuning: one plain loop that can be stopped and killed at any step, and goes on where it was."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch
from torch import Tensor, nn

from ...nn_layers.errors import InputError
from ...nn_layers.files import atomic
from ..fit import CHECK_STEPS_ON_GPU
from ..run import SETTINGS
from .batches import Batch, Batches
from .concepts import Concepts
from .keeper import COPIES, Keeper
from .lora import add_lora
from .optimizer import build_optimizer
from .output import need_space
from .parts import Parts, noisy, target_of, weigh
from .samples import make_class_pictures, sample_round, with_class_pictures
from .settings import FinetuneSettings, check, run_key


@dataclass(slots=True)
class Step:
    """Where a fine-tuning stands. `loss` is left on its device: reading it waits for it.

    `stage` is "prepare" (class pictures, encoding; `step` of `steps` then counts these), "train" or "sample"; after a round of samples
    `samples` holds their files. Whoever reads it may set `stop`: the fine-tuning then ends after this step, and keeps the weights of it.
    """

    step: int
    steps: int
    loss: Tensor | float = math.nan
    rate: float = 0.0
    stage: str = "train"
    samples: tuple[Path, ...] = ()
    stop: bool = False


def finetune(
    parts: Parts, concepts: Concepts, settings: FinetuneSettings, folder: Path, name: str, classes: Path | None = None
) -> Iterator[Step]:
    """Fine-tune `parts` in place, and leave a run in `folder`; `FinetuneRun.load(folder)` reads it afterwards.

    A folder that holds the same fine-tuning is gone on with, bit for bit on one CPU. Closing the iterator (or raising inside the loop that
    reads it) saves where it stands, and a LoRA also as a file for ComfyUI. So does `Step.stop`, with every file that the last step would leave;
    the run is "stopped" then.

    Args:
        parts: Used by nobody else.
        name: Of the files for ComfyUI.
        classes: Where class pictures that lack are put; a folder in `folder` if it is None.

    Yields:
        A `Step` after every batch of pictures that is encoded, every step and every round of samples.

    Raises:
        InputError: Settings that cannot train (see `check`), no memory, no space, or a loss that became infinite or no number.
    """
    warnings = check(settings, concepts, parts.channels)
    key = run_key(parts.fingerprint, concepts, settings)
    with torch.random.fork_rng(), torch.inference_mode(False), torch.enable_grad():
        torch.manual_seed(settings.seed)
        fabric, settings = _machine(settings)
        leads = fabric.global_rank == 0
        for module in (parts.unet, parts.vae, *parts.texts):
            module.requires_grad_(False).eval()
        parts.place([parts.vae], fabric.device, torch.float32)
        if settings.prior_weight:
            classes = classes or folder / "classes"
            for done, count in make_class_pictures(parts, concepts, settings, classes, fabric):
                yield Step(done, count, stage="prepare")
        learned = with_class_pictures(concepts, classes) if settings.prior_weight else concepts
        weights, holder = _trainable(parts, settings, fabric)
        optimizer, notes = build_optimizer(weights, settings)
        need_space(folder, COPIES * sum(weight.nbytes for weight in weights))
        keeper = Keeper(folder, name, key, parts, concepts, settings, holder, optimizer, leads)
        keeper.resume()
        if leads:
            _describe(folder, key, parts, concepts, settings, [*warnings, *notes])
        at, material, keeps_texts = keeper.at, Batches(parts, learned, settings), not settings.train_text
        if settings.cache:
            for done, count in material.prepare((*settings.prompts, settings.negative), keeps_texts):
                yield Step(done, count, stage="prepare")
            if not _needs_vae(parts, concepts, settings):
                parts.place([parts.vae], torch.device("cpu"))
        if keeps_texts and settings.cache:
            parts.place(parts.texts, torch.device("cpu"))
        if at.step >= settings.steps:  # its files were not written yet, or fewer steps are wanted than are done
            keeper.finish()
        sound, looks_every, seen = True, _looks_every(fabric.device), at.step
        unseen = torch.zeros((), device=fabric.device)  # the sum of the losses after step `seen`
        try:
            if at.step == 0 and settings.sample_every and settings.prompts:
                files = sample_round(parts, concepts, settings, folder, 0, fabric) if leads else ()
                yield Step(0, settings.steps, stage="sample", samples=files)
            while at.step < settings.steps:
                began, rate, number = time.monotonic(), settings.rate(at.step), at.step + 1
                sound = False  # until the step is whole, what is in memory must not be saved
                loss = _step(parts, material, settings, fabric, at.step, keeps_texts)
                unseen, due = unseen + loss, keeper.due(number)
                if due or number % looks_every == 0:
                    if not math.isfinite(mean := float(unseen) / (number - seen)):
                        raise InputError(_diverged(number, settings))
                    at.curve.add(number, mean)
                    unseen, seen = torch.zeros_like(unseen), number
                _average(weights, fabric)
                if settings.clip:
                    torch.nn.utils.clip_grad_norm_(weights, settings.clip)
                for group in optimizer.param_groups:
                    group["lr"] = rate
                optimizer.step()
                optimizer.zero_grad()
                at.step, sound, keeper.unsaved = number, True, True
                at.seconds += time.monotonic() - began
                if due:
                    keeper.save()
                yield (told := Step(at.step, settings.steps, loss, rate))
                last = at.step >= settings.steps
                if told.stop and not last:
                    if not math.isfinite(float(unseen)):
                        raise InputError(_diverged(at.step, settings))
                    keeper.stop()
                    break
                if settings.sample_every and settings.prompts and (at.step % settings.sample_every == 0 or last):
                    files = sample_round(parts, concepts, settings, folder, at.step, fabric) if leads else ()
                    yield Step(at.step, settings.steps, loss, rate, "sample", files)
        finally:
            if sound and math.isfinite(float(unseen)):
                keeper.keep()


def _looks_every(device: torch.device) -> int:
    """Steps between two looks at the loss."""
    return 1 if device.type == "cpu" else CHECK_STEPS_ON_GPU


def _machine(settings: FinetuneSettings):
    """Lightning Fabric on the devices, every process started; and the settings with the precision that was found."""
    from lightning_fabric import Fabric

    several = settings.devices * settings.nodes > 1
    given = {"devices": settings.devices, "num_nodes": settings.nodes, "strategy": "ddp"} if several else {"devices": 1}
    if settings.precision == "auto":
        capable = settings.device in ("auto", "cuda") and torch.cuda.is_available() and torch.cuda.is_bf16_supported()
        settings = replace(settings, precision="bf16-mixed" if capable else "32-true")
    fabric = Fabric(accelerator=settings.device, precision=settings.precision, **given)
    if several:
        fabric.launch()
    return fabric, settings


def _trainable(parts: Parts, settings: FinetuneSettings, fabric) -> tuple[list[nn.Parameter], nn.Module]:
    """What is trained, on its device, and a module whose state is just that."""
    half = torch.bfloat16 if settings.precision == "bf16-mixed" else torch.float32
    whole = [parts.unet, *(parts.texts if settings.train_text else ())]
    frozen = half if settings.is_lora else torch.float32
    parts.place([parts.unet], fabric.device, frozen)
    parts.place(parts.texts, fabric.device, frozen if settings.is_lora or settings.train_text else half)
    if settings.is_lora:
        weights = add_lora(parts, settings)
        holder: nn.Module = nn.ParameterList(weights)
    else:
        for module in whole:
            module.requires_grad_(True)
        weights = [weight for module in whole for weight in module.parameters()]
        holder = nn.ModuleList(whole)
    for module in whole:
        module.train()
        if settings.checkpointing:
            names = (
                "enable_gradient_checkpointing",
                "activation_checkpointing_enable",
                "gradient_checkpointing_enable",
            )
            next(
                getattr(module, name) for name in names if hasattr(module, name)
            )()  # diffusers'; transformers', 5 and 4
    return weights, holder


def _step(parts: Parts, material: Batches, settings: FinetuneSettings, fabric, step: int, keeps_texts: bool) -> Tensor:
    """Forward and backward over the batches of one optimizer step; their mean loss."""
    total = torch.zeros((), device=fabric.device)
    for part in range(settings.accumulate):
        index = (step * settings.accumulate + part) * fabric.world_size + fabric.global_rank
        loss = batch_loss(parts, material, material[index], settings, fabric, keeps_texts) / settings.accumulate
        loss.backward()
        total += loss.detach()
    if fabric.world_size > 1:  # so that all of them see when it is no number
        torch.distributed.all_reduce(total)
        total /= fabric.world_size
    return total


def _needs_vae(parts: Parts, concepts: Concepts, settings: FinetuneSettings) -> bool:
    """Whether pictures are encoded at every step: those with a mask by chance."""
    by_chance = settings.masks != "given" or concepts.masked < len(concepts) or settings.prior_weight > 0
    return parts.channels == 9 and by_chance


def batch_loss(parts: Parts, material: Batches, batch: Batch, settings: FinetuneSettings, fabric, keeps_texts: bool):
    """The loss of one batch, a scalar with its gradient: the mean over the concepts' pictures, plus the weighted mean over class pictures."""
    device = fabric.device
    latents, noise, times, weights = (v.to(device) for v in (batch.latents, batch.noise, batch.times, batch.weights))
    with fabric.autocast():
        texts, pooled = material.texts(batch.captions, keeps_texts)
        mixed = noisy(parts.scheduler, latents, noise, times)
        if batch.context is not None:
            mixed = torch.cat([mixed, batch.context.to(device)], 1)
        own = parts.unet.dtype
        pooled = None if pooled is None else pooled.to(device, own)
        found = parts.predict(mixed.to(own), times, texts.to(device, own), pooled, batch.pixels.to(device))
    errors = (found.float() - target_of(parts.scheduler, latents, noise, times)) ** 2
    losses = weigh(errors, weights, times, parts.scheduler, settings.min_snr)
    loss = losses[: batch.own].mean()
    return loss + settings.prior_weight * losses[batch.own :].mean() if batch.own < len(losses) else loss


def _average(weights: list[nn.Parameter], fabric) -> None:
    """Give every process the mean of all processes' gradients."""
    if fabric.world_size == 1:
        return
    gradients = [weight.grad for weight in weights if weight.grad is not None]
    whole = torch.cat([gradient.reshape(-1) for gradient in gradients])
    torch.distributed.all_reduce(whole)
    for gradient, mean in zip(gradients, whole.split([g.numel() for g in gradients]), strict=True):
        gradient.copy_((mean / fabric.world_size).view_as(gradient))


def _describe(
    folder: Path, key: str, parts: Parts, concepts: Concepts, settings: FinetuneSettings, warnings: list[str]
) -> None:
    """Write settings.json: what was set last."""
    described = {
        "kind": "finetune",
        "key": key,
        "base": parts.name,
        "base_kind": parts.kind,
        "base_fingerprint": parts.fingerprint,
        "channels": parts.channels,
        "dataset": concepts.name,
        "dataset_hash": concepts.fingerprint,
        "pictures": len(concepts),
        "masks": concepts.masked,
        "prompts": [concept.prompt for concept in concepts.concepts],
        "settings": asdict(settings),
        "warnings": warnings,
    }
    with atomic(folder / SETTINGS) as path:
        path.write_text(json.dumps(described, indent=1), encoding="utf-8")


def _diverged(step: int, settings: FinetuneSettings) -> str:
    return (
        f"the loss became infinite or no number at step {step}; lower learning_rate (it is {settings.learning_rate:g}, try "
        f"{settings.learning_rate / 10:g}) or choose precision 32-true; what was saved before is kept."
    )
