"""Menu "Visionsmith/SAM3": SAM 3 finds what words say, cuts out what is pointed at, and follows it."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import torch
from comfy_api.latest import io

from ..imaging import weights
from ..imaging.sam3 import Box, Found, Sam3, boxes_of, load, points_of, segment, track
from ..imaging.sam3.download import LICENCE, PAGE, WEIGHTS, download
from ..imaging.sam3.overlay import painted
from ..imaging.sam3.prompts import for_picture
from ..nn_layers.errors import InputError
from ..nn_layers.files import files_below
from .host import host, watch
from .segmentation import class_list
from .support.sam3_engines import BACKENDS, Sam3Wire, clip_input, engine_of, model_input, with_metas_package
from .support.widgets import number, size
from .support.wires import SOCKET, BoundingBoxes

FILES = (".safetensors", ".pt", ".pth", ".bin")
KINDS = ("sam3", "checkpoints", "diffusion_models", "ckpt")


def model_files() -> dict[str, Path]:
    """Files that may be SAM 3, by the name that the widget shows: all in models/sam3, elsewhere those called so."""
    found: dict[str, Path] = {}
    for kind in KINDS:
        for folder in host().model_folders(kind):
            for file in files_below(folder):
                called = kind == "sam3" or "sam3" in file.name.lower().replace("_", "").replace("-", "")
                if called and file.suffix in FILES and not any(part.startswith(".") for part in file.parts):
                    found.setdefault(file.relative_to(folder).as_posix(), file)
    return found


def find_model(name: str) -> Path | None:
    """The file of a widget's value; a path of an older workflow leads to a file of the same name, wherever it lies now."""
    files = model_files()
    if name in files:
        return files[name]
    last = Path(name.replace("\\", "/")).name
    return next((file for file in files.values() if file.name == last), None)


def token_folders() -> list[Path]:
    """ComfyUI's copy of CLIP's table of words, where ComfyUI runs us."""
    spec = importlib.util.find_spec("comfy")
    return [Path(place) / "sd1_tokenizer" for place in (spec.submodule_search_locations or ())] if spec else []


class LoadSam3(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        try:
            names = list(model_files())
        except Exception:  # folders that cannot be read must not hide the node
            names = []
        return io.Schema(
            node_id="VisionsmithLoadSam3",
            display_name="Load SAM3",
            category="Visionsmith/SAM3",
            description="Load a SAM 3 model: Meta's sam3.pt or sam3.safetensors, or Hugging Face's model.safetensors.",
            search_aliases=["segment anything", "sam", "sam3", "sam 3.1", "open vocabulary", "load segmentation model"],
            inputs=[
                io.Combo.Input(
                    "model",
                    options=names or [WEIGHTS],
                    default=(names or [WEIGHTS])[0],
                    tooltip="A file in models/sam3, or one called sam3… in models/checkpoints or a folder of extra_model_paths.yaml.",
                ),
                io.Combo.Input(
                    "download",
                    options=["never", "if missing"],
                    default="never",
                    tooltip=f"Fetch {WEIGHTS} into models/sam3 when it is not there. {LICENCE}; needs HF_TOKEN in the environment.",
                ),
                io.Combo.Input(
                    "precision",
                    options=["float32", "bfloat16"],
                    default="float32",
                    tooltip="bfloat16 halves the memory and is faster on a GPU; masks differ a little at their edges.",
                    advanced=True,
                ),
                io.Combo.Input(
                    "backend",
                    options=BACKENDS,
                    default=BACKENDS[0],
                    tooltip="What runs it. sam3 is Meta's own package: it must be installed, reads sam3.pt and wants a GPU.",
                    advanced=True,
                ),
            ],
            outputs=[Sam3Wire.Output(display_name="model", tooltip="The model; loaded once for all nodes.")],
            hidden=[io.Hidden.unique_id],
        )  # fmt: skip

    @classmethod
    def validate_inputs(cls, model: str) -> bool | str:
        return True  # a name of an older workflow may lead to a file; execute says so when it does not

    @classmethod
    def fingerprint_inputs(cls, model: str, **settings: Any) -> str:
        file = find_model(model)
        return f"{file} {file.stat().st_mtime_ns if file else 0} {settings}"

    @classmethod
    def execute(cls, model: str, download: str, precision: str, backend: str = BACKENDS[0]) -> io.NodeOutput:
        file = find_model(model)
        if file is None and download == "if missing" and Path(model.replace("\\", "/")).name in ("", WEIGHTS):
            file = _fetch(cls)
        if file is None:
            places = ", ".join(str(folder) for kind in KINDS[:2] for folder in host().model_folders(kind))
            raise InputError(
                f"{model} is in none of {places}; get {WEIGHTS} from {PAGE} and put it into models/sam3, or choose {WEIGHTS} and set download to if missing."
            )
        if backend == BACKENDS[1]:
            weights.forget("sam3")
            return io.NodeOutput(with_metas_package(file))
        return io.NodeOutput(loaded(file, precision))


def loaded(file: Path, precision: str) -> Sam3:
    """The model of a file, from memory if it is there."""
    device = host().device()

    def fresh(file: Path) -> Sam3:
        host().free_memory(file.stat().st_size)
        return load(file, device, getattr(torch, precision), token_folders())

    return weights.loaded("sam3", file, fresh, str(device), precision)


def _fetch(node: type[io.ComfyNode]) -> Path:
    host().text(node.hidden.unique_id, f"{WEIGHTS}: {LICENCE}")
    return download(host().folder("models") / "sam3", on_bytes=watch(node))


class Sam3Segment(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="VisionsmithSam3Segment",
            display_name="SAM3 Segment",
            category="Visionsmith/SAM3",
            description="Find everything that words or example boxes mean, or cut out what points, an outline or a rough mask show.",
            search_aliases=["segment anything", "sam3", "text to mask", "detect", "grounding", "select object", "click to mask"],
            inputs=[
                model_input(""),
                io.Image.Input("images", tooltip="Pictures of any size; every one of the batch is looked at."),
                io.String.Input(
                    "text",
                    default="",
                    multiline=True,
                    tooltip="What to find, in short names such as: scratch, red cable. Several are divided by commas or lines.",
                ),
                number("threshold", 0.5, "Least score of what is found by words or examples; lower finds more."),
                size("max_per_class", 0, "Most objects of a class in a picture, the surest first; 0 for all.", min=0, max=1000),
                io.String.Input(
                    "points",
                    default="",
                    extra_dict={"widgetType": "VISIONSMITH_POINTS"},  # drawn on the picture by web/points_editor.js
                    tooltip="Points on one object to cut out, and boxes. Click: a point; drag: a box; with Shift: what is not meant. "
                    'Kept as JSON in pixels: {"points": [{"x": 120, "y": 80, "label": 0, "object": 1}], "boxes": [{"x": 5, "y": 5, '
                    '"width": 40, "height": 30}]}; label 0 is what is not meant, another object is cut out by itself.',
                ),
                io.Combo.Input(
                    "boxes_mean",
                    options=["examples", "outlines"],
                    default="examples",
                    tooltip="examples: find everything like what the boxes hold. outlines: cut out the one object that each box holds.",
                ),
                BoundingBoxes.Input("boxes", optional=True, extra_dict=SOCKET, tooltip="Boxes for all pictures, or a list for each."),
                BoundingBoxes.Input(
                    "negative_boxes",
                    optional=True,
                    extra_dict=SOCKET,
                    tooltip="Examples of what not to find; with boxes_mean at examples.",
                ),
                io.Mask.Input(
                    "mask", optional=True, tooltip="Roughly the object to cut out: one for all pictures, or one for each."
                ),
                clip_input(),
            ],
            outputs=[
                io.Mask.Output(display_name="masks", tooltip="One mask per object, all pictures one after another; an empty one if nothing is found."),
                io.Mask.Output(display_name="mask", tooltip="One mask per picture with everything that was found in it."),
                BoundingBoxes.Output(display_name="bboxes", tooltip="Boxes of each picture, with label and score."),
                io.Float.Output(display_name="scores", is_output_list=True, tooltip="How sure it is of each object: its own score times that of the class being there. 0 if nothing is found."),
                io.String.Output(display_name="labels", tooltip="A line per object: picture, class, score, place and size."),
                io.Image.Output(display_name="overlay", tooltip="The pictures with what was found painted over them."),
            ],
            hidden=[io.Hidden.unique_id],
            is_output_node=True,
        )  # fmt: skip

    @classmethod
    def execute(
        cls,
        model: Any,
        images: torch.Tensor,
        text: str,
        threshold: float,
        max_per_class: int,
        points: str,
        boxes_mean: str,
        boxes: Any = None,
        negative_boxes: Any = None,
        mask: torch.Tensor | None = None,
        clip: Any = None,
    ) -> io.NodeOutput:
        clicked, drawn = points_of(points)
        found = segment(
            engine_of(model, clip),
            images,
            texts=class_list(text),
            boxes=joined_boxes(boxes, negative_boxes, drawn, len(images)),
            points=clicked,
            mask_prompt=mask,
            outline=boxes_mean == "outlines",
            threshold=threshold,
            max_per_class=max_per_class,
            on_step=watch(cls),
        )
        return _given(cls, images, found, host().backdrop(images[0]))


def joined_boxes(positive: Any, negative: Any, drawn: list[Box], count: int) -> list[list[Box]]:
    """The boxes of each picture: from the wires and from the points editor."""
    wires = [boxes_of(positive, True, "boxes"), boxes_of(negative, False, "negative_boxes"), drawn]
    return [[box for wire in wires for box in for_picture(wire, index, count)] for index in range(count)]


def _given(
    node: type[io.ComfyNode], images: torch.Tensor, found: list[Found], backdrop: dict[str, Any]
) -> io.NodeOutput:
    size = images.shape[1:3]
    masks = torch.cat([one.masks for one in found]).float()
    boxes = [bounding_boxes(one) for one in found]
    scores = [float(score) for one in found for score in one.scores]
    table = object_table(boxes)
    captions = [[f"{box['label']} {box['score']:.2f}" for box in picture] for picture in boxes]
    overlay = torch.stack([painted(*one) for one in zip(images, [one.masks for one in found], captions, strict=True)])
    host().text(node.hidden.unique_id, f"{len(scores)} found" if scores else table)
    return io.NodeOutput(
        masks if len(masks) else torch.zeros(1, *size),
        torch.stack([one.merged for one in found]).float(),
        boxes,
        scores or [0.0],
        table,
        overlay,
        ui={**host().preview(overlay, node), **backdrop, "text": [table]},
    )


def bounding_boxes(found: Found) -> list[dict[str, Any]]:
    """ComfyUI's BOUNDING_BOX of one picture, in whole pixels."""
    corners = found.boxes.round().int().tolist()
    return [
        {"x": left, "y": top, "width": right - left, "height": bottom - top, "label": label, "score": float(score)}
        for (left, top, right, bottom), label, score in zip(corners, found.labels, found.scores, strict=True)
    ]


def object_table(boxes: list[list[dict[str, Any]]]) -> str:
    """Comma-separated: a line per object, or a sentence if there are none."""
    rows = [
        f"{picture},{box['label']},{box['score']:.3f},{box['x']},{box['y']},{box['width']},{box['height']}"
        for picture, found in enumerate(boxes, 1)
        for box in found
    ]
    nothing = "Nothing found; lower the threshold or say it in other words."
    return "\n".join(["picture,class,score,x,y,width,height", *rows]) if rows else nothing


class Sam3Track(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="VisionsmithSam3Track",
            display_name="SAM3 Track",
            category="Visionsmith/SAM3",
            description="Follow objects through the frames of a video: those of a mask on the first frame, or those that words mean.",
            search_aliases=["video", "propagate", "rotoscope", "sam3 video", "track object", "video mask"],
            inputs=[
                model_input(" (Meta's sam3.pt or Hugging Face's file of all parts)"),
                io.Image.Input("images", tooltip="The frames in order."),
                io.String.Input("text", default="", multiline=True, tooltip="What to follow, divided by commas or lines."),
                number("threshold", 0.5, "Least score of what is found by words."),
                size("max_objects", 8, "Most objects that are followed; each costs time on every frame.", max=64),
                size("detect_every", 0, "Look for further objects on every so many frames; 0: on the first only.", min=0, max=10000),
                io.Mask.Input("masks", optional=True, tooltip="One mask per object on the first frame, such as masks of SAM3 Segment."),
                clip_input(),
            ],
            outputs=[
                io.Mask.Output(display_name="mask", tooltip="One mask per frame with all objects."),
                io.Mask.Output(display_name="object_masks", is_output_list=True, tooltip="A list: for each object its masks on all frames."),
                io.String.Output(display_name="labels", tooltip="A line per object: number and class."),
                io.Image.Output(display_name="overlay", tooltip="The frames with a colour for each object."),
            ],
            hidden=[io.Hidden.unique_id],
        )  # fmt: skip

    @classmethod
    def execute(
        cls,
        model: Any,
        images: torch.Tensor,
        text: str,
        threshold: float,
        max_objects: int,
        detect_every: int,
        masks: torch.Tensor | None = None,
        clip: Any = None,
    ) -> io.NodeOutput:
        merged, overlay, own, labels = [], [], [], ()
        frames = track(
            engine_of(model, clip),
            images,
            masks=masks,
            texts=class_list(text),
            threshold=threshold,
            max_objects=max_objects,
            detect_every=detect_every,
            on_frame=watch(cls),
        )
        for picture, frame in zip(images, frames, strict=True):
            labels = frame.labels
            own.append(frame.masks)
            merged.append(frame.masks.any(dim=0))
            overlay.append(painted(picture, frame.masks, [""] * len(labels)))
        nothing = torch.zeros(images.shape[1:3], dtype=torch.bool)
        objects = [
            torch.stack([one[number] if number < len(one) else nothing for one in own]).float()
            for number in range(len(labels))
        ]
        lines = "\n".join(f"{number},{label}" for number, label in enumerate(labels, 1)) or "Nothing found to follow."
        host().text(cls.hidden.unique_id, f"{len(labels)} followed" if labels else lines)
        empty = [torch.zeros(images.shape[:3])]
        return io.NodeOutput(torch.stack(merged).float(), objects or empty, lines, torch.stack(overlay))


NODES: list[type[io.ComfyNode]] = [LoadSam3, Sam3Segment, Sam3Track]
