"""ComfyUI's own nodes that workflows of ours need, with the same ids and inputs."""

from __future__ import annotations

import numpy as np
import torch
from comfy_api.latest import io
from PIL import Image, ImageOps

from ..nodes.host import host, readable, writable


class LoadImage(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="LoadImage",
            display_name="Load Image",
            category="image",
            inputs=[io.String.Input("image")],
            outputs=[io.Image.Output(), io.Mask.Output()],
        )

    @classmethod
    def execute(cls, image: str) -> io.NodeOutput:
        with Image.open(readable(image.removesuffix(" [input]"))) as file:
            picture = ImageOps.exif_transpose(file).convert("RGBA")
        array = torch.from_numpy(np.array(picture, dtype=np.float32) / 255)[None]
        return io.NodeOutput(array[..., :3], 1 - array[..., 3])


class SaveImage(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="SaveImage",
            display_name="Save Image",
            category="image",
            inputs=[io.Image.Input("images"), io.String.Input("filename_prefix", default="ComfyUI")],
            outputs=[],
            is_output_node=True,
        )

    @classmethod
    def execute(cls, images: torch.Tensor, filename_prefix: str) -> io.NodeOutput:
        path = writable(filename_prefix)
        path.parent.mkdir(parents=True, exist_ok=True)
        return io.NodeOutput(ui={"images": host().save(images, path.parent, path.name, replace=False)})


class PreviewImage(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="PreviewImage",
            display_name="Preview Image",
            category="image",
            inputs=[io.Image.Input("images")],
            outputs=[],
            is_output_node=True,
        )

    @classmethod
    def execute(cls, images: torch.Tensor) -> io.NodeOutput:
        return io.NodeOutput(ui=host().preview(images, cls))


class MaskPreview(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="MaskPreview",
            display_name="Preview Mask",
            category="mask",
            inputs=[io.Mask.Input("mask")],
            outputs=[],
            is_output_node=True,
        )

    @classmethod
    def execute(cls, mask: torch.Tensor) -> io.NodeOutput:
        return io.NodeOutput(ui=host().preview(mask.reshape(-1, *mask.shape[-2:], 1).expand(-1, -1, -1, 3), cls))


class PreviewAny(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="PreviewAny",
            display_name="Preview as Text",
            category="utilities",
            inputs=[io.AnyType.Input("source")],
            outputs=[io.String.Output()],
            is_output_node=True,
        )

    @classmethod
    def execute(cls, source: object) -> io.NodeOutput:
        return io.NodeOutput(str(source), ui={"text": [str(source)]})


class ImageBatch(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="ImageBatch",
            display_name="Batch Images",
            category="image",
            inputs=[io.Image.Input("image1"), io.Image.Input("image2")],
            outputs=[io.Image.Output()],
        )

    @classmethod
    def execute(cls, image1: torch.Tensor, image2: torch.Tensor) -> io.NodeOutput:
        size = image1.shape[1:3]
        if image2.shape[1:3] != size:
            moved = torch.nn.functional.interpolate(image2.movedim(-1, 1), size, mode="bilinear")
            image2 = moved.movedim(1, -1)
        return io.NodeOutput(torch.cat((image1, image2)))


def _primitive(node_id: str, kind: type, default: object) -> type[io.ComfyNode]:
    """One of ComfyUI's primitive nodes: it gives the value that its widget has."""

    class Primitive(io.ComfyNode):
        @classmethod
        def define_schema(cls) -> io.Schema:
            return io.Schema(
                node_id=node_id,
                display_name=node_id.removeprefix("Primitive"),
                category="utilities/primitive",
                inputs=[kind.Input("value", default=default)],
                outputs=[kind.Output()],
            )

        @classmethod
        def execute(cls, value: object) -> io.NodeOutput:
            return io.NodeOutput(value)

    return Primitive


NODES: list[type[io.ComfyNode]] = [
    LoadImage,
    SaveImage,
    PreviewImage,
    MaskPreview,
    PreviewAny,
    ImageBatch,
    _primitive("PrimitiveInt", io.Int, 0),
    _primitive("PrimitiveFloat", io.Float, 0.0),
    _primitive("PrimitiveString", io.String, ""),
    _primitive("PrimitiveStringMultiline", io.String, ""),
    _primitive("PrimitiveBoolean", io.Boolean, False),
]
