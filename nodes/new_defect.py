"""Menu "Visionsmith/Edit": new defects in good pictures, painted where real ones occur."""

from __future__ import annotations

import torch
from comfy_api.latest import io

from ..augmentation.bank import find_defects
from ..augmentation.diffusion.model import DiffusionModel
from ..augmentation.diffusion.new_defects import LARGEST, SMALLEST, NewDefect, Painting, paint_defects
from ..augmentation.prior import DefectPrior
from ..augmentation.relabel import RelabelSettings, overlay
from ..augmentation.review import with_sentences
from ..augmentation.synthesize import class_number, part_masks
from ..imaging.crop import CropSettings
from ..imaging.masks import checked_images
from ..imaging.stable_diffusion import SAMPLERS, Repaint
from ..nn_layers.errors import InputError
from ..replace import ordinary
from ..training import Dataset
from .edit import DiffusionWire
from .host import host, watch
from .support.widgets import number, seed, size
from .support.wires import DatasetWire


class InpaintNewDefect(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="VisionsmithInpaintNewDefect",
            display_name="Inpaint New Defect",
            category="Visionsmith/Edit",
            description="Paint a new defect into good pictures with Stable Diffusion, at places and in sizes and shapes drawn from a dataset's real ones.",
            search_aliases=["add defect", "synthetic defect", "defect generation", "anomaly", "location prior", "inpaint defect", "dreambooth defect", "augment", "generate defects"],
            inputs=[
                DiffusionWire.Input("model", tooltip="From Load Diffusers Model: ordinary or made for inpainting, fine-tuned or with a LoRA of your defects."),
                io.Image.Input("images", tooltip="Pictures of good surfaces."),
                DatasetWire.Input("dataset", tooltip="Pictures with masks: where defects of the class lie in its train split, how large and of what shape."),
                io.String.Input("class_name", default="", tooltip="The class of the dataset; may be empty if only one has defects."),
                io.String.Input("prompt", default="photo of a {class}", multiline=True, tooltip="What is painted; {class} stands for the class. For a fine-tuned concept its own words."),
                io.String.Input("negative_prompt", default="", tooltip="What should not be there."),
                size("copies", 1, "How many pictures are made from each.", max=1000),
                number("strength", 1.0, "How much of the surface is given up: 1 for all, less keeps its colours.", min=0.01),
                size("steps", 25, "Steps from noise to picture.", max=1000),
                number("guidance", 7.0, "How closely the prompt is followed.", min=1.0, max=30.0, step=0.1),
                seed("Decides places, shapes and noise."),
                number("scale", 1.0, "Factor on the sizes of the real defects, for pictures of another scale than the dataset's.", min=0.05, max=20.0, step=0.05),
                number("context", 3.0, "Width and height of what the model sees, in those of the defect.", min=1.0, max=100.0),
                size("grow", 2, "Pixels by which the drawn place grows first.", min=0, max=512, advanced=True),
                size("blend", 6, "Pixels over which the new fades into the old. Beyond them nothing changes.", min=0, max=512),
                size("tries", 3, "Places and noises until something can be seen that is neither too small nor too large.", max=100),
                number("deviations", 6.0, "A change counts above so many deviations of the surface's grain.", max=100.0, step=0.5, advanced=True),
                number("least_area", SMALLEST, "Defects smaller than this share of the drawn place are rejected.", advanced=True),
                number("most_area", LARGEST, "Defects larger than so many of the drawn place are rejected.", max=1000.0, step=0.1, advanced=True),
                io.Combo.Input("sampler", options=list(SAMPLERS), default=next(iter(SAMPLERS)), tooltip="How noise is taken away.", advanced=True),
                io.Mask.Input("part", optional=True, tooltip="Defects lie inside: one mask, or one for each picture."),
            ],
            outputs=[
                io.Image.Output(display_name="images", tooltip="The accepted pictures; outside of the blend nothing changed."),
                io.Mask.Output(display_name="masks", tooltip="What really changed, which is the defect; not merely the place that was drawn."),
                io.String.Output(display_name="class_name", tooltip="The class, for Masks to Dataset."),
                io.Float.Output(display_name="confidence", tooltip="The mean over the accepted pictures, 0 to 1."),
                io.Image.Output(display_name="overlay", tooltip="All pictures: the drawn place yellow, the defect green, or red where it was rejected; below each why."),
                io.String.Output(display_name="report", tooltip="A line for each picture: accepted or why not, and whose shape it has."),
            ],
            hidden=[io.Hidden.unique_id],
            is_output_node=True,
        )  # fmt: skip

    @classmethod
    def execute(
        cls,
        model: DiffusionModel,
        images: torch.Tensor,
        dataset: Dataset,
        class_name: str,
        prompt: str,
        negative_prompt: str,
        copies: int,
        strength: float,
        steps: int,
        guidance: float,
        seed: int,
        scale: float,
        context: float,
        grow: int,
        blend: int,
        tries: int,
        sampler: str,
        part: torch.Tensor | None = None,
        **gate: float,
    ) -> io.NodeOutput:
        images = checked_images(ordinary(images))
        images = images if images.shape[3] > 1 else images.expand(-1, -1, -1, 3)
        allowed = part_masks(part, *images.shape[:3])
        bank = find_defects(dataset)
        prior = DefectPrior.of(bank, class_number(bank, class_name.strip()))
        name = bank.classes[prior.number]
        words = prompt.replace("{class}", name).strip()
        if not words:
            raise InputError("prompt is empty; say what shall be painted, such as photo of a {class}.")
        model.tokens(words)
        how = Repaint(words, negative_prompt, strength, steps, guidance, seed, sampler)
        crop = CropSettings(context=context, grow=grow, blend=blend)
        painting = Painting(how, crop, scale, tries, RelabelSettings(**gate))
        with torch.inference_mode(False), torch.no_grad(), model.stable.on_device(host().device()):
            made = paint_defects(model, images, prior, painting, allowed, copies, watch(cls))
        return cls._shown(made, name)

    @classmethod
    def _shown(cls, made: list[NewDefect], name: str) -> io.NodeOutput:
        lines = [f"{name} {count}: {sentence_of(one)}" for count, one in enumerate(made, 1)]
        good = [one for one in made if one.label.accepted]
        pictures = [overlay(one.image, one.place, one.label) for one in made]
        review = with_sentences(pictures, lines, [one.label.accepted for one in made])
        report = "\n".join(lines)
        host().text(cls.hidden.unique_id, report)
        shown = {**host().preview(review, cls), "text": [report]}
        if not good:
            why = (
                f"no new defect passed the gate ({lines[0]}); raise tries, guidance or strength, or change the prompt."
            )
            return io.NodeOutput(*[host().nothing(why)] * 4, review, report, ui=shown)
        masks = torch.stack([one.label.mask for one in good])
        confidence = sum(one.label.confidence for one in good) / len(good)
        return io.NodeOutput(
            torch.stack([one.image for one in good]), masks, name, confidence, review, report, ui=shown
        )


def sentence_of(one: NewDefect) -> str:
    """What became of a picture, for people."""
    told = "accepted" if one.label.accepted else "rejected: " + ", ".join(one.label.problems)
    return f"{told}; confidence {one.label.confidence:.2f}, shape of {one.spot.source} × {one.spot.scale:.2f}"


NODES: list[type[io.ComfyNode]] = [InpaintNewDefect]
