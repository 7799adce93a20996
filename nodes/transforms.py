"""Menu "Visionsmith/Transforms": what is done to samples on their way into a batch."""

from __future__ import annotations

from typing import Any

from comfy_api.latest import io

from ..training import Dataset
from ..training import transforms as tf
from .data import dataset_input, dataset_output
from .support.widgets import number, size
from .support.wires import chosen, options

TRANSFORMS: dict[str, type] = {
    "resize": tf.Resize,
    "normalize": tf.Normalize,
    "random crop": tf.RandomCrop,
    "random resized crop": tf.RandomResizedCrop,
    "flip": tf.Flip,
    "rotate": tf.Rotate,
    "color": tf.Color,
    "cutout": tf.Cutout,
    "elastic": tf.Elastic,
    "blur": tf.Blur,
    "noise": tf.Noise,
    "defect window": tf.DefectWindow,
    "mixup": tf.Mixup,
}


class Transform(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        height, width = size("height", 64, "Pixels."), size("width", 64, "Pixels.")
        types = {
            "resize": [
                height,
                width,
                io.Combo.Input(
                    "fit",
                    options=["stretch", "crop", "pad"],
                    default="stretch",
                    tooltip="For pictures of other proportions. A random crop behind it cuts from height × width; without one, pictures become as large "
                    "as the network's Input.",
                ),
            ],
            "normalize": [
                io.Combo.Input(
                    "source",
                    options=["data", "imagenet"],
                    default="data",
                    tooltip="Whose mean and deviation: the training pictures' or ImageNet's.",
                )
            ],
            "random crop": [height, width, size("padding", 0, "Black pixels put around before.", min=0)],
            "random resized crop": [height, width, number("smallest", 0.5, "Smallest share of the area.", min=0.01)],
            "flip": [
                number("horizontal", 0.5, "Probability of left to right."),
                number("vertical", 0.0, "Probability of top to bottom."),
            ],
            "rotate": [
                number("degrees", 10.0, "Largest angle.", max=180.0, step=1.0),
                number("shift", 0.0, "Largest move, as a share of the picture's size."),
                number("scale", 0.0, "Largest change of size.", max=0.9),
            ],
            "color": [
                number("brightness", 0.2, "Largest change.", max=2.0),
                number("contrast", 0.2, "Largest change.", max=2.0),
                number("saturation", 0.2, "Largest change.", max=2.0),
                number("hue", 0.0, "Largest change; half is the opposite colour.", max=0.5),
            ],
            "cutout": [
                number("p", 0.5, "Probability."),
                number("largest", 0.2, "Largest share of the area.", min=0.01),
            ],
            "elastic": [
                number("p", 0.5, "Probability."),
                number("strength", 30.0, "Pixels that it bends by, about.", max=1000.0, step=1.0),
                number("smoothness", 6.0, "Pixels: the larger, the wider the waves.", min=0.5, max=200.0, step=0.5),
            ],
            "blur": [number("p", 0.3, "Probability."), number("sigma", 1.5, "Largest blur in pixels.", max=20.0)],
            "noise": [number("p", 0.3, "Probability."), number("sigma", 0.03, "Deviation; 1 is from black to white.")],
            "defect window": [
                number(
                    "p",
                    0.5,
                    "Probability that the window lies over a defect, every kind equally often; else it lies anywhere.",
                ),
                number("smallest", 1.0, "Least enlargement of the picture.", min=0.1, max=10.0),
                number("largest", 1.0, "Greatest enlargement of the picture.", min=0.1, max=10.0),
                number("most", 1.0, "Largest share of one class in a window; 1 for no limit.", min=0.05),
                size("count", 1, "Windows in an epoch for every picture.", max=100_000),
            ],
            "mixup": [number("alpha", 0.2, "How evenly pairs are blended; 0.2 is usual.", min=0.01, max=10.0)],
        }
        return io.Schema(
            node_id="VisionsmithTransform",
            display_name="Transform",
            category="Visionsmith/Transforms",
            description="What happens to a picture on its way into a batch. Resize and normalize act on all splits, the others while training only.",
            search_aliases=[
                "augmentation",
                "augment",
                "resize",
                "normalize",
                "flip",
                "rotation",
                "color jitter",
                "cutout",
                "mixup",
                "crop",
                "rare class",
                "elastic",
                "noise",
                "blur",
                "data augmentation",
                "defect window",
                "random crop",
                "image transform",
            ],
            inputs=[
                dataset_input(),
                io.DynamicCombo.Input(
                    "type", options=options(types), tooltip="Which transform; chain nodes for several."
                ),
            ],
            outputs=[dataset_output()],
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    def execute(cls, dataset: Dataset, type: dict[str, Any]) -> io.NodeOutput:
        name, settings = chosen("type", type)
        return io.NodeOutput(dataset.with_transforms(TRANSFORMS[name](**settings)))


NODES: list[type[io.ComfyNode]] = [Transform]
