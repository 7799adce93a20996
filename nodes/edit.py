"""Menu "Visionsmith/Edit": real pictures with other defects, by changing the words that describe them, and masks for the results."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from comfy_api.latest import io

from ..augmentation.diffusion.attention import SCOPES, Residual
from ..augmentation.diffusion.editing import EditSettings, edit
from ..augmentation.diffusion.inversion import InversionSettings, invert, key_of, load, save
from ..augmentation.diffusion.load import fingerprint, model_of
from ..augmentation.diffusion.model import DiffusionModel
from ..augmentation.diffusion.prepare import WHERE, Place, Prepared, prepare, restore, restored_plane
from ..augmentation.diffusion.presets import PRESETS
from ..augmentation.diffusion.reference import ReferenceSettings, edit_from_example
from ..nn_layers.errors import InputError
from ..replace import gradients, ordinary
from .host import host, watch, writable
from .support.checkpoints import NO_LORA, PRECISIONS, checkpoint, checkpoint_names, lora, lora_names, stable_diffusion
from .support.checkpoints import WHERE as WHERE_TO_PUT
from .support.inverted import Inverted
from .support.views import compared, tells_again, versions
from .support.widgets import number, size
from .support.wires import chosen, options

DiffusionWire = io.Custom("VISIONSMITH_DIFFUSION")
InversionWire = io.Custom("VISIONSMITH_INVERSION")
OWN = "own settings"
FOLDER = "inversions"  # below the output folder


class LoadDiffusionModel(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        names = checkpoint_names()
        return io.Schema(
            node_id="VisionsmithLoadDiffusionModel",
            display_name="Load Diffusers Model",
            category="Visionsmith/Edit",
            description="Read a Stable Diffusion 1.x, 2.x or XL model for inversion, edits and new defects, also with a LoRA. Nothing is downloaded.",
            search_aliases=["stable diffusion", "checkpoint", "diffusers", "sd 1.5", "sdxl", "prompt-to-prompt model"],
            inputs=[
                io.Combo.Input("checkpoint", options=names, default=names[0], tooltip=WHERE_TO_PUT),
                io.Combo.Input(
                    "precision",
                    options=PRECISIONS,
                    default=PRECISIONS[1],
                    tooltip="float32 is exact and what null-text needs; auto takes half the memory on a GPU.",
                    advanced=True,
                ),
                io.Combo.Input("lora", options=lora_names(), default=NO_LORA, tooltip="A file of models/loras to merge into the model, such as one that Train LoRA made of your defects."),
                number("lora_strength", 1.0, "How much of the LoRA; 1 as it was trained.", min=-4.0, max=4.0, step=0.05),
            ],
            outputs=[DiffusionWire.Output(display_name="model", tooltip="For Invert Image, Edit with Prompt and Inpaint New Defect.")],
        )  # fmt: skip

    @classmethod
    def validate_inputs(cls, checkpoint: str, lora: str = NO_LORA) -> bool | str:
        return True  # execute says what is there when the name of an older workflow is not

    @classmethod
    def execute(cls, checkpoint: str, precision: str, lora: str = NO_LORA, lora_strength: float = 1.0) -> io.NodeOutput:
        return io.NodeOutput(load_diffusion(checkpoint, precision, lora, lora_strength))


def load_diffusion(name: str, precision: str, lora_name: str = NO_LORA, strength: float = 1.0) -> DiffusionModel:
    """The model of a widget's values, from memory if it is there."""
    named, file = fingerprint(checkpoint(name)), lora(lora_name)
    if file:
        named = f"{named}-{fingerprint(file)}-{strength:g}"  # inversions are kept by it
    return model_of(stable_diffusion(name, precision, lora_name, strength), named)


class InvertImage(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        methods = {
            "direct": [],
            "null-text": [
                number("guidance", 7.5, "The guidance that Edit with Prompt will have.", min=1.0, max=50.0, step=0.5),
                size("inner_steps", 10, "Steps of the optimisation at each of the steps, at most.", min=1, max=100),
                io.Boolean.Input(
                    "exact", default=False, tooltip="Plain Adam as published: as good, and three times as slow."
                ),
            ],
            "negative-prompt": [],
        }
        places = {
            "the whole picture": [],
            WHERE[0]: [
                io.Boolean.Input(
                    "crop",
                    default=True,
                    tooltip="Cut the masked place out and work on it at the model's own resolution.",
                ),
                number(
                    "context", 2.0, "Width and height of the cut, in those of the masked place.", min=1.0, max=100.0
                ),
                *_blend_widgets(),
            ],
            WHERE[1]: _blend_widgets(),
        }
        return io.Schema(
            node_id="VisionsmithInvertImage",
            display_name="Invert Image",
            category="Visionsmith/Edit",
            description="Find the noise that a model turns into exactly this picture, so that changed words change the picture. Kept on disk, done once.",
            search_aliases=["ddim inversion", "null-text", "null text optimization", "pnp inversion", "direct inversion", "RLI"],
            inputs=[
                DiffusionWire.Input("model", tooltip="From Load Diffusers Model."),
                io.Image.Input("image", tooltip="Pictures of any size from 64 pixels; they are scaled to the model and back."),
                io.String.Input("prompt", default=PRESETS["reference"].source, tooltip="What the pictures show."),
                io.DynamicCombo.Input(
                    "method",
                    options=options(methods),
                    tooltip="direct: exact and fast, for every guidance. null-text: optimises an embedding for one guidance. negative-prompt: "
                    "a draft, edits follow the words least.",
                ),
                io.DynamicCombo.Input("change", options=options(places), tooltip="Where edits may change the picture; inside and outside need a mask."),
                size("steps", 50, "DDIM steps: 50 is exact, 20 a draft.", min=1, max=500),
                number("rli", 0.1, "Share of a self-attention layer's input that is mixed into its output: steadies textures. 0 is off."),
                io.Combo.Input("rli_scope", options=list(SCOPES), default=SCOPES[0], tooltip="Which self-attention layers; up blocks as its authors' code.", advanced=True),
                size("resolution", 0, "Pixels on a side that the model works at; 0 for what it was trained on.", min=0, max=4096, advanced=True),
                io.Mask.Input("mask", optional=True, tooltip="The defect, or what must stay, for change: one for each picture, or one for all."),
            ],
            outputs=[InversionWire.Output(display_name="inversion", tooltip="For Edit with Prompt, for as many prompts as you like.")],
            hidden=[io.Hidden.unique_id],
        )  # fmt: skip

    @classmethod
    def execute(
        cls,
        model: DiffusionModel,
        image: torch.Tensor,
        prompt: str,
        method: Any,
        change: Any,
        steps: int,
        rli: float,
        rli_scope: str,
        resolution: int,
        mask: torch.Tensor | None = None,
    ) -> io.NodeOutput:
        name, values = chosen("method", method)
        settings = InversionSettings(name, steps, residual=Residual(rli, rli_scope), **values)
        where, how = chosen("change", change)
        if where in WHERE and mask is None:
            raise InputError(
                f"change is {where}, but nothing is wired to mask; wire the mask, or choose the whole picture."
            )
        with gradients():
            place = Place(where, **how) if where in WHERE else Place()
            masks = ordinary(mask) if where in WHERE else None
            prepared = prepare(model, ordinary(image), masks, place, resolution)
            inversions, reused = cls._inversions(model, prepared, prompt, settings)
        told = f"{len(inversions)} inverted" + (f", {reused} of them found on disk" if reused else "")
        host().text(cls.hidden.unique_id, told)
        return io.NodeOutput(Inverted(tuple(inversions), prepared))

    @classmethod
    def _inversions(cls, model: DiffusionModel, prepared: Prepared, prompt: str, settings: InversionSettings) -> Any:
        """Each picture's inversion, and how many were found on disk."""
        inversions, reused, count = [], 0, len(prepared.images)
        with model.stable.on_device(host().device()):
            for index, (picture, true_size) in enumerate(zip(prepared.images, prepared.sizes, strict=True)):
                file = writable(f"{FOLDER}/{key_of(model, picture, prompt, settings, true_size)}.safetensors")
                if file.exists():
                    inversions.append(load(file))
                    reused += 1
                    continue
                inversions.append(invert(model, picture, prompt, settings, true_size, watch(cls, index, count)))
                save(inversions[-1], file)
        return inversions, reused


def _blend_widgets() -> list[io.Input]:
    return [
        size("grow", 8, "Pixels by which the mask grows first.", min=0, max=512),
        size(
            "blend", 16, "Pixels over which the edit fades into the picture; beyond, nothing changes.", min=0, max=512
        ),
    ]


class EditWithPrompt(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        own = [
            number("guidance", 7.5, "How strongly the words are followed; for null-text that of Invert Image.", min=1.0, max=50.0, step=0.5),
            number("cross_replace", 0.4, "Share of the steps in which words look where the old words looked: more keeps the layout."),
            number("self_replace", 0.3, "Share of the steps in which the picture's own structure is kept."),
            number("equaliser", 2.0, "Factor of the new word's attention.", max=20.0, step=0.1),
            io.Combo.Input("align", options=["auto", "replace", "refine"], default="auto", tooltip="replace swaps words one for one, refine lets words be added."),
            io.Boolean.Input("local_blend", default=True, tooltip="Change only where the new word looks."),
        ]  # fmt: skip
        reference = PRESETS["reference"]
        return tells_again(io.Schema(
            node_id="VisionsmithEditWithPrompt",
            display_name="Edit with Prompt",
            category="Visionsmith/Edit",
            description="Prompt-to-Prompt: turn the defect of an inverted picture into others by changing words, one result for each word.",
            search_aliases=["prompt-to-prompt", "p2p", "cross attention", "defect synthesis", "image editing", "RLI", "augment"],
            inputs=[
                DiffusionWire.Input("model", tooltip="The model that inverted the pictures."),
                InversionWire.Input("inversion", tooltip="From Invert Image."),
                io.String.Input("target", default=reference.target, tooltip="What the result shows; {word} stands for each of the words."),
                io.String.Input("words", default="\n".join(reference.words), multiline=True, tooltip="One word, or several that belong together, per line."),
                io.DynamicCombo.Input(
                    "settings",
                    options=options({**{name: [] for name in PRESETS}, OWN: own}),
                    tooltip="reference: guidance 15, cross 0.4, self 0.3, equaliser 2. RLI: guidance 5, cross 1, self 0.4, words swapped.",
                ),
                io.String.Input("weights", default="", tooltip="Attention of further words of the target, such as crack = 0.5, metal = 2; 0 takes a word away.", advanced=True),
                io.String.Input("blend_words", default="", tooltip="Words that say where local blending may change the picture; empty for those that differ.", advanced=True),
                number("threshold", 0.3, "Attention above which a place may change, as a share of the highest.", advanced=True),
                io.Combo.Input("keep", options=["structure", "source"], default="structure", tooltip="For direct inversion: structure holds the background of the result, too; source is as published and follows words more freely.", advanced=True),
            ],
            outputs=[
                io.Image.Output(display_name="images", is_output_list=True, tooltip="For each word the edited pictures."),
                io.Mask.Output(display_name="attention", is_output_list=True, tooltip="Where the words that differ looked, for Re-label Edit."),
                io.String.Output(display_name="words", is_output_list=True, tooltip="The word of each result."),
                io.Image.Output(display_name="rebuilt", tooltip="The pictures as the model rebuilds them: they must look like the originals."),
            ],
            hidden=[io.Hidden.unique_id],
        ))  # fmt: skip

    @classmethod
    def execute(
        cls,
        model: DiffusionModel,
        inversion: Inverted,
        target: str,
        words: str,
        settings: Any,
        weights: str,
        blend_words: str,
        threshold: float,
        keep: str,
    ) -> io.NodeOutput:
        named = word_list(words, target)
        how = replace(
            edit_settings(settings),
            threshold=threshold,
            keep=keep,
            blend_words=blend_words,
            weights=read_weights(weights),
        )
        targets = [target.replace("{word}", word) for word in named]
        with_words = named if "{word}" in target else None
        prepared, results = inversion.prepared, []
        with torch.inference_mode(False), model.stable.on_device(host().device()):
            for index, one in enumerate(inversion.inversions):
                mask = None if prepared.masks is None else prepared.masks[index]
                tell = watch(cls, index, len(inversion.inversions))
                results.append(edit(model, one, targets, how, with_words, mask, tell))
        by_word = [torch.stack([result.images[number] for result in results]) for number in range(len(targets))]
        maps = [restored_plane(prepared, torch.stack([r.attention[number] for r in results])) for number in range(len(targets))]  # fmt: skip
        rebuilt = restore(prepared, torch.stack([result.source for result in results]))
        host().text(cls.hidden.unique_id, f"{len(results)} × {', '.join(named)}")
        edited = [restore(prepared, images) for images in by_word]
        pairs = (
            pair
            for word, after in zip(named, edited, strict=True)
            for pair in versions(prepared.stitch.images, after, word)
        )
        return io.NodeOutput(edited, maps, named, rebuilt, ui=compared(pairs))


def word_list(text: str, target: str) -> list[str]:
    """The words of the widget, one per line or between commas; a target without {word} has one result.

    Raises:
        InputError: There are none, though the target wants one.
    """
    words = list(dict.fromkeys(word.strip() for word in text.replace(",", "\n").splitlines() if word.strip()))
    if "{word}" not in target:
        return words[:1] or [target]
    if not words:
        raise InputError("words is empty, but target has {word} in it; write a word per line, such as scratch.")
    return words


def edit_settings(combo: Any) -> EditSettings:
    """Of a preset, or of the widgets."""
    name, values = chosen("settings", combo)
    if name in PRESETS:
        return PRESETS[name].edit
    renamed = {{"align": "mode", "local_blend": "blend"}.get(key, key): value for key, value in values.items()}
    return EditSettings(**renamed)


def read_weights(text: str) -> tuple[tuple[str, float], ...]:
    """ "crack = 0.5, metal = 2" as pairs.

    Raises:
        InputError: It is written otherwise.
    """
    pairs = []
    for part in (part for part in text.replace("\n", ",").split(",") if part.strip()):
        word, sign, factor = part.partition("=")
        try:
            pairs.append((word.strip(), float(factor)))
        except ValueError as error:
            raise InputError(
                f"weights has {part.strip()!r} in it; write word = factor, such as crack = 0.5."
            ) from error
        if not word.strip() or not sign:
            raise InputError(f"weights has {part.strip()!r} in it; write word = factor, such as crack = 0.5.")
    return tuple(pairs)


class EditFromExample(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return tells_again(io.Schema(
            node_id="VisionsmithEditFromExample",
            display_name="Edit from Example",
            category="Visionsmith/Edit",
            description="Paint a real defect into another picture without training: inside a mask, the picture looks at the example's features.",
            search_aliases=["reference", "o2mag", "masactrl", "self-attention", "defect transfer", "one shot", "anomaly synthesis"],
            inputs=[
                DiffusionWire.Input("model", tooltip="The model that inverted both."),
                InversionWire.Input("inversion", tooltip="Pictures without the defect, from Invert Image, changed as a whole."),
                io.Mask.Input("mask", tooltip="Where the defect shall be, at the size of those pictures: one for each, or one for all."),
                InversionWire.Input("example", tooltip="One picture with the defect, inverted at the same size and with the same steps."),
                io.Mask.Input("example_mask", tooltip="Where the defect is in the example."),
                io.String.Input("prompt", default="", tooltip="What the result shows; empty for the example's own prompt."),
                number("guidance", 5.0, "How strongly the words are followed.", min=1.0, max=50.0, step=0.5),
                number("start", 0.5, "Share of the steps before the example is looked at: until then the words decide where the defect comes to lie.", advanced=True),
                size("blend", 8, "Pixels around the mask over which the result fades into the picture.", min=0, max=512),
            ],
            outputs=[io.Image.Output(display_name="images", tooltip="The pictures with the defect; outside the blend nothing changed.")],
            hidden=[io.Hidden.unique_id],
        ))  # fmt: skip

    @classmethod
    def execute(
        cls,
        model: DiffusionModel,
        inversion: Inverted,
        mask: torch.Tensor,
        example: Inverted,
        example_mask: torch.Tensor,
        prompt: str,
        guidance: float,
        start: float,
        blend: int,
    ) -> io.NodeOutput:
        settings = ReferenceSettings(prompt, guidance, start)
        masks, shown = inversion.seen(mask, "mask"), example.seen(example_mask, "example_mask")
        results, count = [], len(inversion.inversions)
        with torch.inference_mode(False), model.stable.on_device(host().device()):
            for index, one in enumerate(inversion.inversions):
                tell = watch(cls, index, count)
                results.append(
                    edit_from_example(model, one, example.inversions[0], masks[index], shown[0], settings, tell).images[
                        0
                    ]
                )
        edited = inversion.pasted(torch.stack(results), mask, blend)
        return io.NodeOutput(edited, ui=compared(versions(inversion.prepared.stitch.images, edited)))


NODES: list[type[io.ComfyNode]] = [LoadDiffusionModel, InvertImage, EditWithPrompt, EditFromExample]
