"""Menu "Visionsmith/Edit": LEDITS++, which inverts and edits in one go."""

from __future__ import annotations

import torch
from comfy_api.latest import io

from ..augmentation.diffusion.ledits import SIDE, LeditsSettings, edit_with_ledits
from ..augmentation.diffusion.model import DiffusionModel
from ..augmentation.diffusion.prepare import Place, prepare, restore
from ..nn_layers.errors import InputError
from ..replace import ordinary
from .edit import DiffusionWire, word_list
from .host import host, watch
from .support.views import compared, tells_again, versions
from .support.widgets import number, seed, size


class LeditsEdit(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return tells_again(io.Schema(
            node_id="VisionsmithLeditsEdit",
            display_name="LEDITS++ Edit",
            category="Visionsmith/Edit",
            description="Bring a concept into pictures, and take another out, inside masks that the model finds by itself. No inversion node is needed.",
            search_aliases=["ledits", "semantic guidance", "concept edit", "image editing", "defect synthesis"],
            inputs=[
                DiffusionWire.Input("model", tooltip="From Load Diffusers Model."),
                io.Image.Input("image", tooltip="Pictures of any size from 64 pixels."),
                io.String.Input("target", default="a photo of {word}", tooltip="The concept; {word} stands for each of the words."),
                io.String.Input("words", default="rust\npeeling", multiline=True, tooltip="One word, or several that belong together, per line."),
                io.String.Input("remove", default="", tooltip="A concept that is taken out meanwhile, such as the old defect."),
                number("guidance", 7.5, "How strongly the concept is brought in.", min=0.0, max=50.0, step=0.5),
                number("threshold", 0.9, "Share of the picture that stays out of the concept's mask: more edits a smaller part."),
                number("skip", 0.15, "Share of the noisiest steps that are left out: more keeps more of the picture.", max=0.95),
                size("steps", 50, "Steps of the solver.", min=2, max=500),
                seed("Of the noise."),
                io.Mask.Input("mask", optional=True, tooltip="Edit inside the mask alone; the place is cut out. One for each picture, or one for all."),
            ],
            outputs=[
                io.Image.Output(display_name="images", is_output_list=True, tooltip="For each word the edited pictures."),
                io.String.Output(display_name="words", is_output_list=True, tooltip="The word of each result."),
            ],
            hidden=[io.Hidden.unique_id],
        ))  # fmt: skip

    @classmethod
    def execute(
        cls,
        model: DiffusionModel,
        image: torch.Tensor,
        target: str,
        words: str,
        mask: torch.Tensor | None = None,
        **settings: float,
    ) -> io.NodeOutput:
        named, how = word_list(words, target), LeditsSettings(**settings)
        concepts, results = [target.replace("{word}", word) for word in named], []
        if not all(concept.strip() for concept in concepts):
            raise InputError("target is empty; say what shall be in the picture.")
        with torch.inference_mode(False), torch.no_grad(), model.stable.on_device(host().device()):
            prepared = prepare(model, ordinary(image), ordinary(mask), Place(), multiple=SIDE)
            for index, picture in enumerate(prepared.images):
                tell = watch(cls, index, len(prepared.images))
                results.append(edit_with_ledits(model, picture, concepts, how, tell))
        by_word = zip(*results, strict=True)
        edited = [restore(prepared, torch.stack(images)) for images in by_word]
        pairs = (pair for word, after in zip(named, edited, strict=True) for pair in versions(image, after, word))
        return io.NodeOutput(edited, named, ui=compared(pairs))


NODES: list[type[io.ComfyNode]] = [LeditsEdit]
