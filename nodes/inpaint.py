"""Menu "Visionsmith/Inpaint": cutting out what is to be repainted, preparing a model for it, and putting it back."""

from __future__ import annotations

from typing import Any

import torch
from comfy_api.latest import io

from ..imaging.boxes import FixedSize, FreeSize
from ..imaging.crop import Crops, CropSettings, Stitch, crop_masked, stitch_crops
from ..imaging.stable_diffusion import SAMPLERS, Repaint, repaint
from ..imaging.stable_diffusion.repaint import model_size
from .host import host, watch
from .support import inpaint_model
from .support.checkpoints import PRECISIONS, WHERE, checkpoint, checkpoint_names, stable_diffusion
from .support.views import compared, tells_again, versions
from .support.widgets import number, seed, size
from .support.wires import BoundingBoxes, chosen, options

StitchWire = io.Custom("VISIONSMITH_STITCH")
EACH = ["each mask", "each object"]
FREE_SIZE = {"min_size": "least", "max_size": "most"}
KINDS = ["auto", "made for inpainting", "ordinary"]
LEAST_AREA = 16  # pixels: specks that are no objects
NOTHING = "The mask is empty: nothing to repaint, the pictures pass through as they are."


class InpaintCrop(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        sizes = {
            "fixed": [
                size("width", 512, "Pixels: what the model likes, 512 for SD 1.5, 1024 for SDXL.", min=8, max=16384, step=8),
                size("height", 512, "Pixels.", min=8, max=16384, step=8),
            ],
            "free": [
                size("min_size", 512, "Pixels: crops with a shorter side are enlarged.", min=8, max=16384, step=8),
                size("max_size", 1024, "Pixels: crops with a longer side are made smaller.", min=8, max=16384, step=8),
                size("multiple", 8, "Width and height are multiples of this many pixels.", min=1, max=256),
            ],
        }  # fmt: skip
        return io.Schema(
            node_id="VisionsmithInpaintCrop",
            display_name="Inpaint Crop",
            category="Visionsmith/Inpaint",
            description="Cut out what is masked, with context and at the size a model likes. Repaint it, then put it back with Inpaint Stitch.",
            search_aliases=["crop and stitch", "inpaint only masked", "detailer", "crop by mask", "zoom in", "masked area", "repaint"],
            inputs=[
                io.Image.Input("image", tooltip="The pictures."),
                io.Mask.Input("mask", tooltip="What is to be repainted: one mask per picture, one for all, or many for one picture."),
                io.DynamicCombo.Input(
                    "size",
                    options=options(sizes),
                    tooltip="fixed: every crop gets one size. free: crops keep their scale between a least and a greatest size.",
                ),
                number("context", 1.5, "Width and height of the crop, in those of the masked part: more shows the model more.", min=1.0, max=100.0),
                size("grow", 8, "Pixels by which the mask grows first, so that no rest of the old shows.", min=0, max=1024),
                size("blend", 16, "Pixels around the mask over which the new fades into the old. Beyond them, nothing changes.", min=0, max=1024),
                io.Boolean.Input("fill_holes", default=True, tooltip="Repaint also what the mask encloses."),
                io.Combo.Input("crop", options=EACH, default=EACH[0], tooltip="One crop for each mask, or one for each connected object of it."),
                size("min_area", 16, "Pixels: smaller objects are left as they are; for each object only.", max=10**9, advanced=True),
                size("max_count", 0, "Objects of one mask at most, the largest; 0 for all.", min=0, max=4096, advanced=True),
                io.Combo.Input(
                    "border",
                    options=["edge", "mirror"],
                    default="edge",
                    tooltip="What a crop shows where it reaches beyond the picture: its last pixels again, or its mirror image.",
                    advanced=True,
                ),
                io.Mask.Input("context_mask", optional=True, tooltip="What the crop must show as well, without repainting it."),
            ],
            outputs=[
                StitchWire.Output(display_name="stitch", tooltip="The way back, for Inpaint Stitch."),
                io.Image.Output(display_name="image", tooltip="The crops, one batch."),
                io.Mask.Output(display_name="mask", tooltip="What is to be repainted in each crop."),
                BoundingBoxes.Output(display_name="bboxes", tooltip="Where the crops were, for each picture."),
            ],
            hidden=[io.Hidden.unique_id],
        )  # fmt: skip

    @classmethod
    def execute(
        cls,
        image: torch.Tensor,
        mask: torch.Tensor,
        size: dict[str, Any],
        crop: str,
        max_count: int,
        context_mask: torch.Tensor | None = None,
        **settings: Any,
    ) -> io.NodeOutput:
        kind, values = chosen("size", size)
        if kind == "fixed":
            wanted = FixedSize(**values)
        else:
            wanted = FreeSize(**{FREE_SIZE.get(name, name): value for name, value in values.items()})
        how = CropSettings(size=wanted, each_object=crop == EACH[1], most=max_count, **settings)
        crops = crop_masked(image, mask, how, context_mask)
        host().text(cls.hidden.unique_id, summary(crops))
        return io.NodeOutput(crops.stitch, crops.images, crops.masks, boxes(crops.stitch))


def summary(crops: Crops) -> str:
    """What was cropped, in a line."""
    regions = crops.stitch.regions
    if not regions:
        return NOTHING
    largest = max((region.box for region in regions), key=lambda box: box.width * box.height)
    count, height, width = crops.masks.shape
    return f"{count} × {width} × {height} px, from {largest.width} × {largest.height} px at most"


def boxes(stitch: Stitch) -> list[list[dict[str, Any]]]:
    """The part of each crop that lies in its picture, as ComfyUI's BOUNDING_BOX."""
    found: list[list[dict[str, Any]]] = [[] for _ in stitch.images]
    for index, region in enumerate(stitch.regions, 1):
        box = region.box.spread(0, (stitch.images.shape[2], stitch.images.shape[1]))
        found[region.picture].append(
            {"x": box.x, "y": box.y, "width": box.width, "height": box.height, "label": f"crop {index}", "score": 1.0}
        )
    return found


class InpaintStitch(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return tells_again(io.Schema(
            node_id="VisionsmithInpaintStitch",
            display_name="Inpaint Stitch",
            category="Visionsmith/Inpaint",
            description="Put repainted crops back into their pictures. Outside the blend, every pixel stays exactly as it was.",
            search_aliases=["crop and stitch", "paste back", "uncrop", "blend", "repaint", "inpaint"],
            inputs=[
                StitchWire.Input("stitch", tooltip="From Inpaint Crop."),
                io.Image.Input("image", tooltip="The crops, repainted: all of them, in their order. Twice as many give two versions of every picture."),
            ],
            outputs=[io.Image.Output(display_name="image", tooltip="The pictures, repainted where the mask was.")],
            hidden=[io.Hidden.unique_id],
        ))  # fmt: skip

    @classmethod
    def execute(cls, stitch: Stitch, image: torch.Tensor) -> io.NodeOutput:
        if not stitch.regions:
            host().text(cls.hidden.unique_id, NOTHING)
        whole = stitch_crops(stitch, image)
        return io.NodeOutput(whole, ui=compared(versions(stitch.images, whole)))


class PrepareInpaintModel(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="VisionsmithPrepareInpaintModel",
            display_name="Prepare Inpaint Model",
            category="Visionsmith/Inpaint",
            description="Everything KSampler needs to repaint what is masked, whether the checkpoint was made for inpainting or not.",
            search_aliases=["inpaint conditioning", "noise mask", "vae encode inpaint", "differential diffusion", "9 channels", "inpainting checkpoint"],
            inputs=[
                io.Model.Input("model", tooltip="Any checkpoint; those made for inpainting are told apart by their input channels."),
                io.Conditioning.Input("positive", tooltip="What should be painted."),
                io.Conditioning.Input("negative", tooltip="What should not."),
                io.Vae.Input("vae", tooltip="The VAE of the checkpoint."),
                io.Image.Input("image", tooltip="The pictures, such as the crops of Inpaint Crop."),
                io.Mask.Input("mask", tooltip="What is to be repainted: one mask per picture, one for all, or many for one picture."),
                io.Combo.Input("kind", options=KINDS, default=KINDS[0], tooltip="auto looks at the input channels of the model.", advanced=True),
                io.Combo.Input(
                    "start",
                    options=["picture", "grey"],
                    default="picture",
                    tooltip="For ordinary checkpoints: start from the old picture (denoise below 1 keeps some of it), or from grey under the mask, "
                    "so that nothing of the old shows through (denoise 1).",
                ),
                io.Boolean.Input(
                    "soft_mask",
                    default=False,
                    tooltip="Grey values of the mask say how much a pixel may change (differential diffusion); feather the mask for it.",
                ),
                io.Boolean.Input(
                    "noise_mask",
                    default=True,
                    tooltip="Sample inside the mask only. For checkpoints made for inpainting it may be off; the others need it.",
                    advanced=True,
                ),
            ],
            outputs=[
                io.Model.Output(display_name="model", tooltip="For KSampler."),
                io.Conditioning.Output(display_name="positive", tooltip="For KSampler."),
                io.Conditioning.Output(display_name="negative", tooltip="For KSampler."),
                io.Latent.Output(display_name="latent", tooltip="For KSampler."),
            ],
            hidden=[io.Hidden.unique_id],
        )  # fmt: skip

    @classmethod
    def execute(
        cls,
        model: Any,
        positive: list[Any],
        negative: list[Any],
        vae: Any,
        image: torch.Tensor,
        mask: torch.Tensor,
        kind: str,
        start: str,
        soft_mask: bool,
        noise_mask: bool,
    ) -> io.NodeOutput:
        made_for_it = inpaint_model.is_inpainting(model) if kind == KINDS[0] else kind == KINDS[1]
        pixels, masks = inpaint_model.pixels_for(vae, image, mask)
        hidden = inpaint_model.without_masked(pixels, masks)
        plane = masks[:, None]
        latent = {"samples": vae.encode(hidden if start == "grey" and not made_for_it else pixels)}
        if noise_mask or not made_for_it:
            latent["noise_mask"] = plane
        if made_for_it:
            values = {"concat_latent_image": vae.encode(hidden), "concat_mask": plane}
            positive, negative = (inpaint_model.with_values(prompt, values) for prompt in (positive, negative))
        notes = ["checkpoint made for inpainting" if made_for_it else "ordinary checkpoint"]
        if pixels.shape[1:3] != image.shape[1:3]:
            notes.append(f"cut to {pixels.shape[2]} × {pixels.shape[1]} px")
        host().text(cls.hidden.unique_id, " · ".join(notes))
        model = inpaint_model.with_soft_mask(model) if soft_mask else model
        return io.NodeOutput(model, positive, negative, latent)


class DiffusersInpaint(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        names = checkpoint_names()
        return tells_again(io.Schema(
            node_id="VisionsmithDiffusersInpaint",
            display_name="Diffusers Inpaint",
            category="Visionsmith/Inpaint",
            description="Repaint what a mask covers by words, in one node: cut out, paint with Stable Diffusion, put back.",
            search_aliases=["inpaint", "repaint", "stable diffusion", "generative fill", "object removal", "replace object", "diffusers pipeline"],
            inputs=[
                io.Image.Input("image", tooltip="The pictures."),
                io.Mask.Input("mask", tooltip="What is repainted: one mask per picture, one for all, or many for one picture."),
                io.Combo.Input("model", options=names, default=names[0], tooltip=f"{WHERE} Those made for inpainting fit in best."),
                io.String.Input("prompt", default="", multiline=True, tooltip="What should be there, in English; 77 tokens are read."),
                io.String.Input("negative_prompt", default="", multiline=True, tooltip="What should not be there."),
                number("strength", 1.0, "How much of the old is given up: 1 for all, less keeps its colours and shapes.", min=0.01),
                size("steps", 25, "Steps from noise to picture; at a lower strength fewer of them are done.", max=1000),
                number("guidance", 7.0, "How closely the prompt is followed; 1 is faster and leaves out the negative prompt.", min=1.0, max=30.0, step=0.1),
                seed("Of the noise. Each crop gets its own."),
                size("size", 0, "Pixels on each side at which a crop is painted; 0 for the size that the model learned from.", min=0, max=4096, step=8),
                number("context", 2.0, "Width and height of a crop, in those of the masked part: more shows the model more.", min=1.0, max=100.0),
                size("grow", 8, "Pixels by which the mask grows first, so that no rest of the old shows.", min=0, max=1024),
                size("blend", 16, "Pixels around the mask over which the new fades into the old. Beyond them, nothing changes.", min=0, max=1024),
                io.Combo.Input("crop", options=EACH, default=EACH[0], tooltip="One crop for each mask, or one for each connected object of it."),
                io.Combo.Input("sampler", options=list(SAMPLERS), default=next(iter(SAMPLERS)), tooltip="How noise is taken away.", advanced=True),
                io.Combo.Input("precision", options=PRECISIONS, default=PRECISIONS[0], tooltip="auto: float16 on a GPU, float32 without.", advanced=True),
            ],
            outputs=[
                io.Image.Output(display_name="image", tooltip="The pictures, repainted where the mask was."),
                BoundingBoxes.Output(display_name="bboxes", tooltip="Where the crops were, for each picture."),
            ],
            hidden=[io.Hidden.unique_id],
        ))  # fmt: skip

    @classmethod
    def validate_inputs(cls, model: str) -> bool | str:
        return True  # a checkpoint that is gone is told of by execute

    @classmethod
    def execute(
        cls,
        image: torch.Tensor,
        mask: torch.Tensor,
        model: str,
        prompt: str,
        negative_prompt: str,
        strength: float,
        steps: int,
        guidance: float,
        seed: int,
        size: int,
        context: float,
        grow: int,
        blend: int,
        crop: str,
        sampler: str,
        precision: str,
    ) -> io.NodeOutput:
        where = CropSettings(context=context, grow=grow, blend=blend, each_object=crop == EACH[1], min_area=LEAST_AREA)
        checkpoint(model)
        if not crop_masked(image, mask, where).stitch.regions:  # and bad masks are told of before a model is loaded
            host().text(cls.hidden.unique_id, NOTHING)
            return io.NodeOutput(image, [[] for _ in image], ui=compared(()))
        how = Repaint(prompt, negative_prompt, strength, steps, guidance, seed, sampler)
        loaded, device = stable_diffusion(model, precision), host().device()
        with loaded.on_device(device):
            painted, crops = repaint(loaded, image, mask, how, model_size(loaded, size, where), device, watch(cls))
        host().text(cls.hidden.unique_id, summary(crops))
        return io.NodeOutput(painted, boxes(crops.stitch), ui=compared(versions(crops.stitch.images, painted)))


NODES: list[type[io.ComfyNode]] = [InpaintCrop, PrepareInpaintModel, InpaintStitch, DiffusersInpaint]
