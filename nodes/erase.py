"""Menu "Visionsmith/Erase": take things out of pictures."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch
from comfy_api.latest import io

from ..imaging import masks as core
from ..imaging.erase import (
    BIG_LAMA,
    METHODS,
    EraseSettings,
    Fill,
    LaMa,
    erase,
    find_lama,
    load_lama,
    load_simple_lama,
    preferred,
)
from ..imaging.weights import download as fetch
from ..nn_layers.errors import InputError
from .host import host, watch, writable
from .support.views import compared, tells_again, versions
from .support.widgets import as_list, first, size

LaMaWire = io.Custom("VISIONSMITH_LAMA")
AUTO, WITH_MODEL = "auto", "LaMa"


class LoadLaMa(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="VisionsmithLoadLaMa",
            display_name="Load LaMa",
            category="Visionsmith/Erase",
            description="Read a LaMa network, which fills holes in pictures, from models/lama or models/inpaint.",
            search_aliases=["big-lama", "inpaint model", "object removal model", "simple-lama", "load inpaint"],
            inputs=[
                io.String.Input(
                    "model",
                    default="big-lama.pt",
                    tooltip="A .pt or .safetensors file below models/lama or models/inpaint, or the one that the environment variable "
                    "LAMA_MODEL names. Empty takes the first.",
                ),
                io.Boolean.Input("download", default=False, tooltip=f"If the file is missing, fetch {BIG_LAMA} into models/lama and check it."),
                io.Combo.Input(
                    "backend",
                    options=["spandrel", "simple-lama-inpainting"],
                    default="spandrel",
                    tooltip="What runs it. simple-lama-inpainting must be installed, takes one region at a time and gives the same pictures.",
                    advanced=True,
                ),
                size(
                    "limit",
                    1024,
                    "Pixels: larger regions are scaled down to this for the network, which fills large holes better so; 0 for never.",
                    min=0,
                    max=8192,
                    advanced=True,
                ),
            ],
            outputs=[LaMaWire.Output(display_name="lama", tooltip="For Remove Object.")],
            hidden=[io.Hidden.unique_id],
        )  # fmt: skip

    @classmethod
    def execute(cls, model: str, download: bool, backend: str, limit: int) -> io.NodeOutput:
        folders = [folder for kind in ("lama", "inpaint") for folder in host().model_folders(kind)]
        try:
            path = find_lama(model, folders)
        except InputError as error:
            if not download:
                raise
            if Path(model.strip()).stem not in ("", Path(BIG_LAMA.name).stem):
                raise InputError(
                    f"there is no LaMa model called {model!r}, and download fetches {BIG_LAMA.name} only; write that name, or put your file into models/lama."
                ) from error
            host().text(cls.hidden.unique_id, f"Fetching {BIG_LAMA}")
            path = fetch(BIG_LAMA, writable("lama", "models"), watch(cls))
        if backend == "simple-lama-inpainting":
            return io.NodeOutput(load_simple_lama(path, host().device()))
        return io.NodeOutput(load_lama(path, host().device(), limit))


class RemoveObject(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return tells_again(io.Schema(
            node_id="VisionsmithRemoveObject",
            display_name="Remove Object",
            category="Visionsmith/Erase",
            description="Erase what a mask covers and fill the place from around it. Everything outside of the mask stays exactly as it is.",
            search_aliases=["erase", "inpaint", "lama", "remover", "cleanup", "watermark", "telea", "navier-stokes", "eraser", "heal", "delete object", "remove defect", "fill", "retouch"],
            inputs=[
                io.Image.Input("images", tooltip="Pictures of any size, with or without transparency."),
                io.MultiType.Input(
                    "masks",
                    types=[io.Mask, io.Image],
                    tooltip="Above a half is erased. One mask for all pictures, one for each, or several for one picture. A picture counts by its brightness.",
                ),
                LaMaWire.Input("lama", optional=True, tooltip="From Load LaMa. Without it the place is filled by a method that needs no model."),
                io.Combo.Input(
                    "method",
                    options=[AUTO, WITH_MODEL, *METHODS],
                    default=AUTO,
                    tooltip="auto takes LaMa if it is wired and telea if not. telea and navier-stokes are OpenCV's, for small things on calm "
                    "ground; smooth needs nothing installed and leaves no texture.",
                ),
                size("grow", 8, "Pixels around the mask that are erased, too. More of them if a shadow or an edge is left behind.", min=0, max=512),
                size("feather", 4, "Pixels around that in which old and new are mixed.", min=0, max=512),
                io.Boolean.Input("merge_masks", default=False, tooltip="Erase all masks of the batch from every picture, instead of one mask per picture."),
                size("margin", 128, "Pixels of surroundings that are looked at around each hole.", min=16, max=4096, advanced=True),
                size(
                    "whole_up_to",
                    800,
                    "Pixels: pictures whose longer side is no longer than this are looked at as a whole, larger ones hole by hole.",
                    min=0,
                    max=16384,
                    advanced=True,
                ),
            ],
            outputs=[
                io.Image.Output(display_name="images", is_output_list=True, tooltip="The pictures without what was masked."),
                io.Mask.Output(display_name="changed", is_output_list=True, tooltip="Where they differ from the pictures that came in, with soft edges."),
            ],
            hidden=[io.Hidden.unique_id],
            is_input_list=True,
        ))  # fmt: skip

    @classmethod
    def execute(
        cls,
        images: list[torch.Tensor],
        masks: list[torch.Tensor],
        method: list[str],
        grow: list[int],
        feather: list[int],
        merge_masks: list[bool],
        margin: list[int],
        whole_up_to: list[int],
        lama: list[Any] | None = None,
    ) -> io.NodeOutput:
        settings = EraseSettings(first(grow), first(feather), first(whole_up_to), first(margin), first(merge_masks))
        fill = chosen_fill(first(method), first(lama))
        jobs, regions = matched(as_list(images), [as_mask(mask) for mask in as_list(masks)]), 0
        pictures, changed = [], []
        if isinstance(fill, LaMa) and fill.device.type != "cpu":
            host().free_memory(fill.bytes)
        with fill.on_device() if isinstance(fill, LaMa) else nullcontext():
            for number, (image, mask) in enumerate(jobs):
                erased = erase(image, mask, fill, settings, watch(cls, number, len(jobs)))
                pictures.append(erased.images)
                changed.append(erased.changed)
                regions += erased.regions
        name = getattr(fill, "name", None) or next(name for name, one in METHODS.items() if one is fill)
        host().text(
            cls.hidden.unique_id,
            f"{regions} region{'s' * (regions > 1)} · {name}" if regions else "The mask is empty: nothing was erased.",
        )
        pairs = (pair for (image, _), after in zip(jobs, pictures, strict=True) for pair in versions(image, after))
        return io.NodeOutput(pictures, changed, ui=compared(pairs))


def chosen_fill(method: str, lama: Fill | None) -> Fill:
    """What fills the holes.

    Raises:
        InputError: LaMa is wanted and not wired.
    """
    if method == AUTO:
        return lama or preferred()
    if method == WITH_MODEL:
        if lama is None:
            raise InputError(
                "the method is LaMa, but nothing is wired to lama; add a Load LaMa node, or choose another method."
            )
        return lama
    return METHODS[method]


def matched(images: list[torch.Tensor], masks: list[torch.Tensor]) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Which masks belong to which pictures, for lists; the masks of a list that meet a single batch of pictures are one.

    Raises:
        InputError: The lists do not fit.
    """
    if len(images) == 1 and len(masks) > 1:
        masks = [core.merge_masks(masks)]
    if len(masks) not in (1, len(images)):
        raise InputError(
            f"there is a list of {len(images)} pictures and one of {len(masks)} masks; give a mask for each, or one for all."
        )
    return list(zip(images, masks * len(images) if len(masks) == 1 else masks, strict=True))


def as_mask(mask: torch.Tensor) -> torch.Tensor:
    """A mask as it is; the brightness of a picture [batch, height, width, 3 or 4], as older packs hand masks over."""
    return mask[..., :3].mean(3) if mask.ndim == 4 and mask.shape[3] > 1 else mask


NODES: list[type[io.ComfyNode]] = [LoadLaMa, RemoveObject]
