"""Menu "Visionsmith/Fine-tuning": teach Stable Diffusion one's own subjects and defects, and look after what was trained."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import torch
from comfy_api.latest import io

from ..nn_layers import InputError
from ..replace import gradients
from ..training.finetune import DREAMBOOTH, LORA, Concepts, FinetuneRun, FinetuneSettings
from ..training.finetune.compare import compare_curves, compare_samples
from ..training.finetune.folders import Row, read_concepts, rows_from_json, rows_from_mvtec, rows_from_text
from ..training.finetune.runs import find_run, list_runs, promote, promote_folder, table
from ..training.finetune.settings import BLOCKS, LAYERS, MASKS, OPTIMIZERS, PRECISIONS, SAVED_AS, TIMESTEPS
from .host import host, image_from_pil, readable, watch, writable
from .support.charts import wishes, workflow_of
from .support.checkpoints import WHERE, checkpoint_names
from .support.finetune_runs import done, paint_runs, panel, scene_of
from .support.finetuning import picture_of, samples_of, train
from .support.widgets import number, size
from .support.wires import chosen, options

ConceptsWire = io.Custom("VISIONSMITH_CONCEPTS")
LoraWire = io.Custom("LORA_MODEL")
RUNS = "finetune"
SEVERAL = ("list", "compare", "paint")
EACH = "One a line: prompt | folder | class prompt | folder of class pictures | folder of masks; the last three may be left out."
SAMPLERS = ["ddpm", "ddim", "euler", "dpm++ 2m"]


class ConceptDataset(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        folder = io.String.Input(
            "folder",
            default="concept",
            tooltip="Pictures, each with a caption in a .txt file of the same name if you like.",
        )
        sources = {
            "folder": [
                folder,
                io.String.Input("trigger", default="", tooltip="What stands for the concept, such as ohwx scratch; it is put before captions, or where they say [trigger]."),
                io.String.Input("class_prompt", default="", tooltip="What its class is called, such as a metal plate; for prior preservation."),
                io.String.Input("class_folder", default="", tooltip="Pictures of the class (regularisation); empty to have them made."),
                io.String.Input("masks", default="", tooltip="A folder of masks named like the pictures; empty for NAME_mask files beside them."),
                size("repeats", 1, "How often its pictures come in an epoch.", max=10_000, advanced=True),
            ],
            "rows": [io.String.Input("concepts", default="", multiline=True, tooltip=EACH)],
            "JSON": [io.String.Input("json", default="", multiline=True, tooltip="A file, or the text itself: a list of concepts with instance_prompt, class_prompt, instance_data_dir and class_data_dir.")],
            "MVTec AD": [
                io.String.Input("category", default="mvtec/zipper", tooltip="A category's folder, with test, ground_truth and train in it."),
                io.String.Input("prompt", default="a photo of a {defect} {object}", tooltip="{defect} and {object} are the names of the folders."),
                io.String.Input("class_prompt", default="a photo of a {object}", tooltip="For prior preservation with the pictures of train/good; empty for none."),
                io.String.Input("defects", default="", tooltip="Names of folders in test, such as bent, scratch; empty for all."),
            ],
        }  # fmt: skip
        return io.Schema(
            node_id="VisionsmithConceptDataset",
            display_name="Concept Dataset",
            category="Visionsmith/Fine-tuning",
            description="Pictures of one concept or several, with captions, masks and class pictures, for fine-tuning Stable Diffusion.",
            search_aliases=["captions", "trigger word", "dreambooth dataset", "lora dataset", "regularization images", "buckets", "mvtec", "concepts_list"],
            inputs=[
                io.DynamicCombo.Input("source", options=options(sources), tooltip="Where the concepts come from."),
                size("resolution", 512, "Pixels: pictures become as large as a square of this side; 512 for SD 1.5, 1024 for SDXL.", min=8, max=4096, step=8),
                io.Boolean.Input("buckets", default=True, tooltip="Keep the pictures' shapes, in steps of 64 pixels; off cuts out the middle square."),
                number("caption_dropout", 0.05, "Share of the captions that are left out, so that guidance works.", max=0.99),
            ],
            outputs=[
                ConceptsWire.Output(display_name="concepts", tooltip="For Train LoRA and Train DreamBooth."),
                io.Image.Output(display_name="preview", tooltip="The first pictures as they are learned, masks in colour."),
                io.String.Output(display_name="captions", tooltip="Every caption, one a line."),
            ],
            hidden=[io.Hidden.unique_id],
        )  # fmt: skip

    @classmethod
    def fingerprint_inputs(cls, source: dict[str, Any] | None = None, **settings: Any) -> str:
        files = {path for row in _rows(source) for place in (row.folder, row.masks, row.class_folder) if place for path in place.iterdir()}  # fmt: skip
        return str(sorted((str(path), path.stat().st_mtime_ns) for path in files))

    @classmethod
    def execute(cls, source: dict[str, Any], resolution: int, buckets: bool, caption_dropout: float) -> io.NodeOutput:
        rows = _rows(source)
        given = {"resolution": resolution, "buckets": buckets, "dropout": caption_dropout}
        concepts = read_concepts(rows[0].folder.name if rows else "", rows, watch(cls), **given)
        parts = [f"{len(c.pictures)} × {c.prompt or c.pictures[0].caption}" for c in concepts.concepts]
        told = [" · ".join(parts), f"{len(concepts)} pictures, {concepts.masked} with a mask", *concepts.notes]
        host().text(cls.hidden.unique_id, "\n".join(told))
        captions = "\n".join(picture.caption for _, picture in concepts.pictures)
        return io.NodeOutput(concepts, image_from_pil(picture_of(concepts)), captions, ui={"text": ["\n".join(told)]})


def _rows(source: dict[str, Any] | None) -> list[Row]:
    """The concepts of the widget `source`."""
    kind, values = chosen("source", source)
    match kind:
        case "rows":
            return rows_from_text(values.get("concepts", ""), readable)
        case "JSON":
            text = values.get("json", "").strip()
            file = readable(text) if text and not text.startswith(("[", "{")) else None
            where = file.name if file else "json"
            return rows_from_json(file.read_text(encoding="utf-8-sig") if file else text, where, readable)
        case "MVTec AD":
            names = [name.strip() for name in values.get("defects", "").split(",") if name.strip()]
            prompts = values.get("prompt", ""), values.get("class_prompt", "")
            return rows_from_mvtec(readable(values.get("category", "")), *prompts, names)
    places = {key: readable(values[key]) if values.get(key) else None for key in ("class_folder", "masks")}
    prompts = values.get("trigger", ""), readable(values.get("folder", "")), values.get("class_prompt", "")
    return [Row(*prompts, places["class_folder"], places["masks"], values.get("repeats", 1))]


def training_inputs(preset: FinetuneSettings, name: str) -> tuple[list[io.Input], list[io.Input]]:
    """Inputs that both trainings have: those before their own, and those after them."""
    names = checkpoint_names()
    first = [
        io.Combo.Input("model", options=names, default=names[0], tooltip=WHERE),
        ConceptsWire.Input("concepts", tooltip="From Concept Dataset."),
        io.String.Input("name", default=name, tooltip="Of the file that it becomes."),
        size("steps", preset.steps, "Optimizer steps. Raise it later, and the training goes on.", max=10_000_000),
        number("learning_rate", preset.learning_rate, "Size of the steps.", min=1e-8, max=0.999, step=1e-6, round=False),
        size("batch_size", preset.batch_size, "Pictures at a time.", max=1024),
        size("accumulate", preset.accumulate, "Batches whose gradients make one step.", max=1024),
    ]  # fmt: skip
    last = [
        io.Combo.Input("masks", options=list(MASKS), default=preset.masks, tooltip="given: learn what lies inside the pictures' masks. random: checkpoints for inpainting repaint rectangles and ellipses. whole: all of the picture."),
        number("outside", preset.outside, "Weight of the loss outside of given masks.", max=10.0, advanced=True),
        number("prior_weight", preset.prior_weight, "Weight of class pictures in the loss, which keep the class as it is; 0 for none.", max=100.0),
        size("class_pictures", preset.class_pictures, "Class pictures that each concept needs; those that lack are made first.", max=100_000),
        io.Boolean.Input("every_concept", default=preset.every_concept, tooltip="Each batch holds every concept; pictures are cut to squares.", advanced=True),
        io.Combo.Input("timesteps", options=list(TIMESTEPS), default=preset.timesteps, tooltip="How noisy the pictures are: balanced, sigmoid (medium more often), content (noisy) or style (clear).", advanced=True),
        number("min_snr", preset.min_snr, "γ of min-SNR weighting, usually 5; 0 for none.", max=100.0, step=0.5, advanced=True),
        number("weight_decay", preset.weight_decay, "Pull of the weights towards zero.", max=10.0, step=1e-5, round=False, advanced=True),
        size("warmup", preset.warmup, "Steps in which the rate rises from zero.", min=0, max=1_000_000, advanced=True),
        number("clip", preset.clip, "Largest norm of the gradients; 0 for no limit.", max=1000.0, step=0.1, advanced=True),
        io.Combo.Input("optimizer", options=list(OPTIMIZERS), default=preset.optimizer, tooltip="8-bit needs the package bitsandbytes and saves memory.", advanced=True),
        io.Combo.Input("precision", options=list(PRECISIONS), default=preset.precision, tooltip="auto: bf16-mixed on a GPU that can.", advanced=True),
        io.Boolean.Input("checkpointing", default=preset.checkpointing, tooltip="Less memory, a quarter slower.", advanced=True),
        io.Boolean.Input("cache", default=preset.cache, tooltip="Encode pictures and captions once, before the training.", advanced=True),
        io.Int.Input("seed", default=preset.seed, min=0, max=2**31, control_after_generate=io.ControlAfterGenerate.fixed, tooltip="Decides order, noise and samples."),
        io.String.Input("prompts", default="", multiline=True, tooltip="Sample pictures, one prompt a line; empty for none."),
        io.String.Input("negative", default=preset.negative, tooltip="What samples should not show.", advanced=True),
        size("sample_every", preset.sample_every, "Steps between two rounds of samples; 0 for none.", min=0, max=1_000_000),
        io.Combo.Input("sampler", options=SAMPLERS, default=preset.sampler, tooltip="Of the samples.", advanced=True),
        size("sample_steps", preset.sample_steps, "Of a sample, from noise to picture.", max=1000, advanced=True),
        number("guidance", preset.guidance, "How closely samples follow their prompt.", max=30.0, step=0.1, advanced=True),
        size("save_every", preset.save_every, "Steps between two checkpoints.", max=1_000_000),
        size("keep", preset.keep, "Checkpoints that are kept, the latest.", max=10_000),
        io.Combo.Input("save_as", options=list(SAVED_AS), default=preset.save_as, tooltip="Number format of the files.", advanced=True),
        io.Combo.Input("device", options=["auto", "cpu", "cuda", "mps"], default="auto", tooltip="auto is what ComfyUI uses.", advanced=True),
    ]  # fmt: skip
    return first, last


def training_outputs() -> list[io.Output]:
    """Outputs that both trainings have after their own."""
    return [
        io.String.Output(display_name="run", tooltip="The run's folder, for Fine-tuning Runs."),
        io.LossMap.Output(display_name="loss_map", tooltip="The loss, for ComfyUI's Plot Loss Graph."),
        io.Image.Output(display_name="samples", tooltip="The last sample pictures; black if there are none."),
        io.Image.Output(display_name="curve", tooltip="The loss over the steps."),
    ]


class TrainLora(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        first, last = training_inputs(LORA, "my-lora")
        return io.Schema(
            node_id="VisionsmithTrainLora",
            display_name="Train LoRA",
            category="Visionsmith/Fine-tuning",
            description="Train a LoRA for SD 1.x, 2.x or SDXL, also for inpainting checkpoints. Cancel keeps what was learned; queueing again goes on.",
            search_aliases=["lora training", "kohya", "locon", "peft", "fine-tune", "style", "subject", "inpainting lora", "finetune", "fine tune", "stable diffusion training"],
            inputs=[
                *first,
                size("rank", LORA.rank, "Of the additions to linear layers; 0 leaves them out.", min=0, max=1024),
                number("alpha", LORA.alpha, "Additions are scaled by alpha / rank.", min=0.01, max=1024.0, step=0.5),
                size("conv_rank", LORA.conv_rank, "Of the additions to convolutions; 0 leaves them out.", min=0, max=1024),
                number("conv_alpha", LORA.conv_alpha, "The same for convolutions.", min=0.01, max=1024.0, step=0.5),
                io.Boolean.Input("train_text", default=LORA.train_text, tooltip="Train the text encoders too; captions are then encoded at every step."),
                io.String.Input("blocks", default=", ".join(BLOCKS), tooltip="Parts of the UNet that learn, of down, mid and up.", advanced=True),
                io.Combo.Input("layers", options=list(LAYERS), default=LORA.layers, tooltip="Which layers of these learn.", advanced=True),
                *last,
            ],
            outputs=[
                LoraWire.Output(display_name="lora", tooltip="For ComfyUI's Load LoRA Model and Save LoRA Weights."),
                io.String.Output(display_name="file", tooltip="The file below models/loras."),
                *training_outputs(),
            ],
            hidden=[io.Hidden.unique_id, io.Hidden.extra_pnginfo],
            is_output_node=True,
        )  # fmt: skip

    @classmethod
    def fingerprint_inputs(cls, **settings: Any) -> int:
        return wishes(cls)

    @classmethod
    def validate_inputs(cls, model: str) -> bool | str:
        return True  # a checkpoint that is gone is told of by execute

    @classmethod
    def execute(
        cls, model: str, concepts: Concepts, name: str, blocks: str, prompts: str, **settings: Any
    ) -> io.NodeOutput:
        parts = tuple(part.strip() for part in blocks.split(",") if part.strip())
        how = FinetuneSettings(method="lora", blocks=parts, prompts=_lines(prompts), **settings)
        run = train(cls, model, concepts, name, how)
        file = promote(run, writable("loras", under="models"), name)
        from safetensors.torch import load_file

        with gradients():
            lora = load_file(file)
        return _given(cls, run, lora, file.name, note=f"file: models/loras/{file.name}")


class TrainDreamBooth(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        first, last = training_inputs(DREAMBOOTH, "my-dreambooth")
        return io.Schema(
            node_id="VisionsmithTrainDreamBooth",
            display_name="Train DreamBooth",
            category="Visionsmith/Fine-tuning",
            description="Train the whole of Stable Diffusion on several concepts, also for inpainting, with class pictures that keep the rest as it is.",
            search_aliases=["dreambooth", "multi-concept", "full fine-tuning", "prior preservation", "defect generation", "inpainting training", "finetune", "fine tune", "stable diffusion training"],
            inputs=[
                *first,
                io.Boolean.Input("train_text", default=DREAMBOOTH.train_text, tooltip="Train the text encoders too."),
                *last,
                io.Boolean.Input("as_folder", default=DREAMBOOTH.as_folder, tooltip="Also write a folder of diffusers.", advanced=True),
            ],
            outputs=[
                io.String.Output(display_name="file", tooltip="The file below models/checkpoints."),
                io.String.Output(display_name="folder", tooltip="The folder below models/diffusers; empty if there is none."),
                *training_outputs(),
            ],
            hidden=[io.Hidden.unique_id, io.Hidden.extra_pnginfo],
            is_output_node=True,
        )  # fmt: skip

    @classmethod
    def fingerprint_inputs(cls, **settings: Any) -> int:
        return wishes(cls)

    @classmethod
    def validate_inputs(cls, model: str) -> bool | str:
        return True  # a checkpoint that is gone is told of by execute

    @classmethod
    def execute(cls, model: str, concepts: Concepts, name: str, prompts: str, **settings: Any) -> io.NodeOutput:
        how = FinetuneSettings(method="dreambooth", prompts=_lines(prompts), **settings)
        run = train(cls, model, concepts, name, how)
        file = promote(run, writable("checkpoints", under="models"), name)
        folder = promote_folder(run, writable("diffusers", under="models"), name) if how.as_folder else None
        note = f"file: models/checkpoints/{file.name}" + (f"\nfolder: models/diffusers/{folder.name}" if folder else "")
        return _given(cls, run, file.name, folder.name if folder else "", note=note)


def _lines(text: str) -> tuple[str, ...]:
    return tuple(line.strip() for line in text.splitlines() if line.strip())


def _given(cls: type[io.ComfyNode], run: FinetuneRun, *own: Any, note: str) -> io.NodeOutput:
    """What a training gives: its own outputs, and those that both have."""
    text = f"{run.summary()}\n{note}"
    host().text(cls.hidden.unique_id, text)
    samples, curve, points = samples_of(run)
    points["notes"] = [note, *points["notes"]]
    shown = {
        "visionsmith_curve": [points | {"workflow": workflow_of(cls)}],
        "text": [text],
        **host().preview(samples, cls),
    }
    losses = {"loss": [loss for _, loss in run.curve]}
    return io.NodeOutput(*own, str(run.folder), losses, samples, curve, ui=shown)


class FinetuneRuns(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        which = io.String.Input(
            "run", default="", tooltip="A run's folder or a part of its name; empty for the latest."
        )
        several = io.String.Input(
            "runs", default="", multiline=True, tooltip="Two runs or more, one a line; empty for all."
        )
        names = checkpoint_names()
        actions = {
            "list": [],
            "samples": [which],
            "compare": [several],
            "paint": [
                several,
                io.Combo.Input("model", options=names, default=names[0], tooltip="What paints without training, and with each LoRA; a run of DreamBooth paints by itself."),
                io.String.Input("prompts", default="", multiline=True, tooltip="A row for each, one a line; empty for those of the runs."),
                io.Int.Input("seed", default=LORA.seed, min=0, max=2**31, control_after_generate=io.ControlAfterGenerate.fixed, tooltip="Decides the noise, which is the same in all columns."),
                size("resolution", 512, "Pixels: pictures are squares of this side.", min=64, max=2048, step=64),
                size("sample_steps", 25, "From noise to picture.", max=1000),
                number("guidance", LORA.guidance, "How closely pictures follow their prompt.", max=30.0, step=0.1),
                io.String.Input("negative", default="", tooltip="What they should not show."),
            ],
            "prune": [which, size("keep", 1, "Checkpoints that are kept, the latest; the others are removed.", max=10_000)],
            "promote": [
                which,
                size("step", 0, "The checkpoint's step; 0 for the last.", min=0, max=10_000_000),
                io.String.Input("name", default="", tooltip="Of the file in models/loras or models/checkpoints; empty for the run's name."),
            ],
        }  # fmt: skip
        return io.Schema(
            node_id="VisionsmithFinetuneRuns",
            display_name="Fine-tuning Runs",
            category="Visionsmith/Fine-tuning",
            description="What was fine-tuned: list the runs, look at their samples over the steps, compare them side by side, and keep the best checkpoint.",
            search_aliases=["lora runs", "contact sheet", "compare training", "side by side", "checkpoints", "model management", "prune", "training runs", "compare loras"],
            inputs=[
                io.DynamicCombo.Input("action", options=options(actions), tooltip="What to do."),
                io.Image.Input("image", optional=True, tooltip="For paint: a picture to repaint, the same in all columns."),
                io.Mask.Input("mask", optional=True, tooltip="For paint: where."),
            ],
            outputs=[
                io.Image.Output(display_name="picture", tooltip="Samples, or the losses where there are none."),
                io.Image.Output(display_name="curves", tooltip="The losses over the steps."),
                io.String.Output(display_name="text", tooltip="The runs as a table, or what was done."),
            ],
            hidden=[io.Hidden.unique_id],
            is_output_node=True,
        )  # fmt: skip

    @classmethod
    def fingerprint_inputs(cls, **settings: Any) -> float:
        return float("nan")  # runs change on disk: look again every time

    @classmethod
    def execute(
        cls, action: dict[str, Any], image: torch.Tensor | None = None, mask: torch.Tensor | None = None
    ) -> io.NodeOutput:
        what, values = chosen("action", action)
        root = writable(RUNS)
        every = list_runs(root)
        if not every:
            raise InputError(f"there are no runs in {root}; train with Train LoRA or Train DreamBooth first.")
        wanted = _lines(values.get("runs", "")) if what != "list" else ()
        runs = [find_run(every, name) for name in wanted] or (
            every if what in SEVERAL else [find_run(every, values.get("run", ""))]
        )
        told = done(what, runs[0], values)
        text = told + table(runs)
        pictures = {"losses": compare_curves(runs)}
        if what == "paint":
            scene = scene_of(image, mask, values.get("resolution", 512))
            pictures = {"painted from the same noise": paint_runs(runs, values, scene, watch(cls)), **pictures}
        else:
            with suppress(InputError):  # no samples
                pictures = {"samples": compare_samples(runs) if what in SEVERAL else runs[0].sheet(), **pictures}
        picture, curves = (image_from_pil(one) for one in (next(iter(pictures.values())), pictures["losses"]))
        shown = {"text": [text], **panel(runs, pictures, told), **host().preview(picture, cls)}
        return io.NodeOutput(picture, curves, text, ui=shown)


NODES: list[type[io.ComfyNode]] = [ConceptDataset, TrainLora, TrainDreamBooth, FinetuneRuns]
