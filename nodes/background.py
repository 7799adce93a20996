"""Menu "Visionsmith/Background": cut the subject of a picture out."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import torch
from comfy_api.latest import io
from PIL import ImageColor

from ..imaging.background import PUBLISHED, BackgroundModel, cut_out, load_background
from ..imaging.weights import download as fetch
from ..imaging.weights import find
from ..nn_layers.errors import InputError
from .host import host, watch, writable
from .support.widgets import size

KINDS = ("rembg", "background_removal", "RMBG", "BiRefNet")
BackgroundRemovalWire = io.Custom("BACKGROUND_REMOVAL")


class RemoveBackground(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        known = "; ".join(f"{name}, {file.size / 1e6:.0f} MB, {file.licence}" for name, file in PUBLISHED.items())
        return io.Schema(
            node_id="VisionsmithRemoveBackground",
            display_name="Remove Background",
            category="Visionsmith/Background",
            description="Cut the subject of a picture out: a transparent picture, its mask, and the subject on a background of your choice.",
            search_aliases=["rembg", "u2net", "isnet", "birefnet", "rmbg", "matting", "cutout", "transparent", "alpha", "green screen"],
            inputs=[
                io.Image.Input("images", tooltip="Pictures with one clear subject each."),
                io.String.Input(
                    "model",
                    default="u2netp",
                    tooltip="An .onnx file below models/rembg, models/background_removal, models/RMBG or models/BiRefNet. Empty takes the first. "
                    "Not used where a BiRefNet model is wired.",
                ),
                io.Boolean.Input("download", default=False, tooltip=f"If the file is missing, fetch it into models/rembg and check it: {known}."),
                BackgroundRemovalWire.Input(
                    "birefnet",
                    optional=True,
                    tooltip="From ComfyUI's own Load Background Removal Model: better at hair, and larger. Used instead of the .onnx file.",
                ),
                io.Image.Input("background", optional=True, tooltip="Picture to put behind the subject; it is scaled to fill."),
                io.String.Input("color", default="#ffffff", tooltip="Colour behind the subject if no background is wired: #rrggbb or a name."),
                size("edges", 4, "Pixels in which edges are fitted to those of the picture; about a 150th of its width, 0 for not.", min=0, max=128),
                io.Boolean.Input("clean_edges", default=True, tooltip="Take the old background's colour out of half transparent pixels."),
            ],
            outputs=[
                io.Image.Output(display_name="rgba", tooltip="The subject with everything else transparent; save it as PNG."),
                io.Mask.Output(display_name="mask", tooltip="1 on the subject."),
                io.Image.Output(display_name="composite", tooltip="The subject on the chosen background."),
                io.String.Output(display_name="licence", tooltip="Of the model's weights."),
            ],
            hidden=[io.Hidden.unique_id],
        )  # fmt: skip

    @classmethod
    def execute(
        cls,
        images: torch.Tensor,
        model: str,
        download: bool,
        color: str,
        edges: int,
        clean_edges: bool,
        birefnet: Any = None,
        background: torch.Tensor | None = None,
    ) -> io.NodeOutput:
        behind = background if background is not None else rgb(color)
        if birefnet is not None:
            name, licence = "BiRefNet", "MIT for the models of its authors; others say their own"
            masks = birefnet.encode_image
        else:
            masks = cls._model(model, download)
            name, licence = masks.name, masks.recipe.licence

        def watched(pictures: torch.Tensor) -> torch.Tensor:
            found, show = [], watch(cls)
            for picture in pictures:
                show(len(found), len(pictures))
                found.append(masks(picture[None]))
            return torch.cat(found).to(pictures)

        result = cut_out(images, watched, behind, edges, clean_edges)
        host().text(cls.hidden.unique_id, f"{name} · {licence}")
        return io.NodeOutput(result.rgba, result.mask, result.composite, f"{name}: {licence}")

    @classmethod
    def _model(cls, name: str, download: bool) -> BackgroundModel:
        home = Path(os.environ.get("U2NET_HOME", "~/.u2net")).expanduser()  # where rembg keeps its own
        folders = [*(folder for kind in KINDS for folder in host().model_folders(kind)), home]
        published = PUBLISHED.get(name.strip().removesuffix(".onnx"))
        where = f"put an .onnx file of U²-Net or IS-Net, such as {PUBLISHED['u2netp'].url}, into models/rembg"
        try:
            path = find(
                name, folders, (".onnx",), "background model", f"switch download on, or {where}" if published else where
            )
        except InputError:
            if not download or published is None:
                raise
            host().text(cls.hidden.unique_id, f"Fetching {published}")
            path = fetch(published, writable("rembg", "models"), watch(cls))
        return load_background(path, host().device())


def rgb(text: str) -> tuple[float, float, float]:
    """A colour such as #ff8800 or orange, in 0..1.

    Raises:
        InputError: It is no colour.
    """
    try:
        red, green, blue = ImageColor.getrgb(text.strip())[:3]
    except ValueError as error:
        raise InputError(f"color is {text!r}; give something like #ff8800, or a name such as orange.") from error
    return red / 255, green / 255, blue / 255


NODES: list[type[io.ComfyNode]] = [RemoveBackground]
