"""Menu "Visionsmith/Augment": more defects from few, without any model, and which of them help."""

from __future__ import annotations

import textwrap
from dataclasses import replace
from typing import Any

import torch
from comfy_api.latest import io

from ..augmentation.balance import BALANCES, WEIGHTS, parse_weights
from ..augmentation.bank import find_defects
from ..augmentation.copy_paste import CopyPaste
from ..augmentation.cutpaste import CutPaste, CutPasteScar, PerlinAnomaly, Pictures, synthetic_texture
from ..augmentation.dataset import Augmentation, augmented
from ..augmentation.methods import DEFAULT_METHODS, METHODS
from ..augmentation.pictures import examples
from ..augmentation.procedural import MAKERS
from ..augmentation.saving import save_dataset
from ..augmentation.scene import Maker
from ..augmentation.synthesize import class_number, synthesize
from ..nn_layers.errors import InputError
from ..replace import gradients
from ..training import Dataset, Run
from ..training.dataset_choice import choose_dataset
from ..training.results import Results
from ..training.trial import TRAIN
from .data import dataset_input, dataset_output
from .experiments import experiment_folder, read_metrics, stopped_trials
from .host import host, image_from_pil, watch, writable
from .support.views import compared, tells_again, versions
from .support.widgets import number, seed, size
from .support.wires import DatasetWire, NetworkWire, chosen, options

DRAWN = {**MAKERS, "cutpaste": CutPaste, "scar": CutPasteScar, "perlin": PerlinAnomaly}
COPY = "copy-paste"
TEXTURES = ["the picture itself", "synthetic", "textures"]
SHOWN = 16
LINE = 110  # letters of a line in the node


def pixels(name: str, low: float, high: float, what: str, largest: float = 4096.0) -> list[io.Input]:
    """Two widgets for a range of pixels."""
    return [
        number(f"{name}_min", low, f"Pixels: the least {what}.", max=largest, step=0.5),
        number(f"{name}_max", high, f"Pixels: the greatest {what}.", max=largest, step=0.5),
    ]


def contrast(low: float, high: float) -> list[io.Input]:
    """Two widgets for how much darker or brighter a defect is."""
    return [
        number(
            "contrast_min", low, "Least difference from what is around, as a share: 0.3 is 30 % darker or brighter."
        ),
        number("contrast_max", high, "Greatest difference from what is around, as a share."),
    ]


def tone(default: str) -> io.Input:
    """Whether a defect is darker or brighter than what is around."""
    return io.Combo.Input("tone", options=["dark", "bright", "any"], default=default, tooltip="Darker or brighter than what is around.")  # fmt: skip


def maker_inputs() -> dict[str, list[io.Input]]:
    """Method → the widgets that only it has."""
    jitter = number("jitter", 0.1, "Largest change of brightness, contrast and saturation, as a share.")
    return {
        "scratch": [
            *pixels("length", 30, 140, "length"),
            *pixels("width", 1, 3, "width"),
            *contrast(0.2, 0.5),
            number("bend", 12.0, "Degrees: the most that it turns over its length.", max=180.0, step=1.0),
            tone("any"),
        ],
        "crack": [
            *pixels("length", 50, 180, "length of the trunk"),
            *pixels("width", 1.5, 4, "width where it begins"),
            *contrast(0.35, 0.7),
            number("branches_min", 0.0, "Least number of branches.", max=20.0, step=1.0),
            number("branches_max", 4.0, "Greatest number of branches.", max=20.0, step=1.0),
            number("wander", 22.0, "Degrees: how far its heading strays.", max=90.0, step=1.0),
        ],
        "spot": [
            *pixels("radius", 2, 8, "radius"),
            *contrast(0.3, 0.6),
            number("count_min", 1.0, "Least number of spots close together.", min=1.0, max=50.0, step=1.0),
            number("count_max", 3.0, "Greatest number of spots close together.", min=1.0, max=50.0, step=1.0),
            number("roughness", 0.2, "How uneven the outline is, as a share of the radius."),
            number("hollow", 0.6, "0 is a flat spot, 1 a hole with light and shade."),
            tone("dark"),
        ],
        "dent": [
            *pixels("radius", 8, 30, "radius"),
            *pixels("depth", 1, 4, "depth", 1000.0),
            number("light_min", 60.0, "Degrees: where the light comes from; 0 right, 90 above.", max=360.0, step=1.0),
            number("light_max", 120.0, "Degrees: the end of that range.", max=360.0, step=1.0),
            number("bump", 0.2, "Probability that it stands out instead."),
        ],
        "stain": [*pixels("radius", 10, 40, "radius"), *contrast(0.15, 0.4), tone("any")],
        "cutpaste": [*pixels("side", 12, 64, "side of the rectangle"), jitter],
        "scar": [*pixels("length", 10, 25, "length"), *pixels("width", 2, 16, "width"), jitter],
        "perlin": [
            *pixels("size", 24, 96, "side of the window that it lies in"),
            *pixels("cell", 6, 32, "coarseness of the noise: small for specks, large for blots"),
            number("opacity_min", 0.3, "Least share of the texture."),
            number("opacity_max", 0.9, "Greatest share of the texture."),
            io.Combo.Input("texture", options=TEXTURES, tooltip="What it is filled with: pieces of the picture, stripes and cells, or what is wired to textures."),
        ],
        COPY: [
            io.Combo.Input("blend", options=["alpha", "poisson", "none"], tooltip="alpha fades in over some pixels, poisson keeps gradients and meets what is around, none pastes hard."),
            number("rotation", 12.0, "Degrees: the most it is turned, both ways.", max=180.0, step=1.0),
            number("scale_min", 0.8, "Least factor of its size.", min=0.1, max=10.0),
            number("scale_max", 1.25, "Greatest factor of its size.", min=0.1, max=10.0),
            number("light", 0.2, "Largest change of its contrast, as a share."),
        ],
    }  # fmt: skip


class SynthesizeDefects(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return tells_again(io.Schema(
            node_id="VisionsmithSynthesizeDefects",
            display_name="Synthesize Defects",
            category="Visionsmith/Augment",
            description="Put scratches, cracks, spots, dents, stains, CutPaste, Perlin anomalies or copied defects into pictures, with a mask of them.",
            search_aliases=["fake defect", "anomaly", "scratch", "crack", "dent", "stain", "cutpaste", "draem", "copy paste", "augmentation", "generate defects"],
            inputs=[
                io.Image.Input("images", tooltip="Pictures of good surfaces."),
                io.DynamicCombo.Input("method", options=options(maker_inputs()), tooltip="What is made. copy-paste needs a dataset."),
                size("defects", 1, "How many go into each picture.", max=100),
                size("copies", 1, "How many pictures are made from each.", max=1000),
                io.String.Input("class_name", default="", tooltip="For copy-paste the class to copy; otherwise what to call the defects, empty for the method's name."),
                seed("Decides shapes and places."),
                io.Mask.Input("part", optional=True, tooltip="Defects stay inside: one mask, or one for each picture."),
                DatasetWire.Input("dataset", optional=True, tooltip="Whose labelled defects copy-paste takes, from its train split."),
                io.Image.Input("textures", optional=True, tooltip="Pictures that perlin fills its anomalies with."),
            ],
            outputs=[
                io.Image.Output(display_name="images", tooltip="The pictures with defects, the copies of each one after another."),
                io.Mask.Output(display_name="masks", tooltip="The new defects; outside of them and a blend of some pixels nothing has changed."),
                io.String.Output(display_name="classes", tooltip="The class of each picture's defects, one per line."),
                io.String.Output(display_name="table", tooltip="Every defect: picture, class, place, size, and what was drawn by chance."),
            ],
            hidden=[io.Hidden.unique_id],
        ))  # fmt: skip

    @classmethod
    def execute(
        cls,
        images: torch.Tensor,
        method: dict[str, Any],
        defects: int,
        copies: int,
        class_name: str,
        seed: int,
        part: torch.Tensor | None = None,
        dataset: Dataset | None = None,
        textures: torch.Tensor | None = None,
    ) -> io.NodeOutput:
        kind, values = chosen("method", method)
        name = class_name.strip()
        maker = maker_of(kind, values, name, dataset, textures)
        made = synthesize(images, maker, part=part, defects=defects, copies=copies, seed=seed, on_progress=watch(cls))
        classes = "\n".join(name or patches[0].kind for patches in made.patches)
        host().text(
            cls.hidden.unique_id, f"{len(made.images)} pictures · {sum(map(len, made.patches))} × {name or kind}"
        )
        before = images.repeat_interleave(copies, 0)
        shown = {**host().preview(made.images[:SHOWN, ..., :3], cls), **compared(versions(before, made.images))}
        return io.NodeOutput(made.images, made.masks, classes, made.table(), ui=shown)


def maker_of(
    kind: str, values: dict[str, Any], name: str, dataset: Dataset | None, textures: torch.Tensor | None
) -> Maker:
    """What a method's widgets say, as a maker.

    Raises:
        InputError: copy-paste without a dataset, textures that are not wired, or a class that does not exist.
    """
    values = with_ranges(values)
    if kind == COPY:
        if dataset is None:
            raise InputError("the method is copy-paste, but nothing is wired to dataset; wire a Segmentation Dataset.")
        bank = find_defects(dataset)
        return CopyPaste(bank, class_number(bank, name), **values)
    if kind not in DRAWN:
        raise InputError(f"method is {kind!r}; choose one of {', '.join([*DRAWN, COPY])}.")
    texture = values.pop("texture", TEXTURES[0])
    if kind == "perlin" and texture != TEXTURES[0]:
        if texture == TEXTURES[2] and textures is None:
            raise InputError(
                "texture is textures, but nothing is wired to textures; wire pictures, or choose another texture."
            )
        values["texture"] = Pictures(list(textures.cpu().numpy())) if texture == TEXTURES[2] else synthetic_texture
    return DRAWN[kind](**values)


def with_ranges(values: dict[str, Any]) -> dict[str, Any]:
    """Widgets such as length_min and length_max as one range, length."""
    ranges = {key.removesuffix("_min"): (value, values[f"{key.removesuffix('_min')}_max"]) for key, value in values.items() if key.endswith("_min")}  # fmt: skip
    return {key: value for key, value in values.items() if not key.endswith(("_min", "_max"))} | ranges


class AugmentDataset(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        about = {
            "copy-paste": "labelled defects elsewhere, turned, scaled, in the light of the new place, and faded in",
            "poisson": "the same, cloned seamlessly",
            "cutpaste": "the rectangle around a defect, pasted hard",
            "scar": "thin turned rectangles filled with the inside of defects",
            "perlin": "Perlin-shaped regions filled with the inside of defects",
            "procedural": "drawn ones, with the lengths and contrasts measured on the class",
        }
        weights = [number(widget(name), dict(DEFAULT_METHODS).get(name, 0.0), f"Share of {text}.", max=100.0, step=0.1) for name, text in about.items()]  # fmt: skip
        shares = io.String.Input("weights", default="", multiline=True, tooltip="A line for each class to be multiplied and its share, such as crack: 2.")  # fmt: skip
        return io.Schema(
            node_id="VisionsmithAugmentDataset",
            display_name="Augment Dataset",
            category="Visionsmith/Augment",
            description="Put synthetic pictures with new defects behind the training pictures of a dataset; they are made when they are needed.",
            search_aliases=["augmentation", "more data", "rare class", "balance classes", "copy paste", "synthetic defects", "oversampling"],
            inputs=[
                dataset_input(),
                number("per_picture", 1.0, "Synthetic pictures for each training picture; 0.5 is one for two.", max=100.0, step=0.25),
                io.DynamicCombo.Input(
                    "balance",
                    options=options({name: [shares] if name == WEIGHTS else [] for name in BALANCES}),
                    tooltip="Which classes get new defects: equal lifts the rarest first, as in the data keeps the proportions, weights is your own.",
                ),
                *weights,
                size("defects", 1, "New defects in each synthetic picture.", max=20),
                io.Boolean.Input("gate", default=True, tooltip="Make a defect anew if it cannot be seen, is much larger or smaller than real ones, or spoils what is around it."),
                io.Boolean.Input("inside_part", default=True, tooltip="Keep off even surroundings of the part, such as a black background.", advanced=True),
                io.Boolean.Input("prior", default=True, tooltip="Put defects where those of the class lie in the pictures; otherwise anywhere.", advanced=True),
                seed("Decides everything that is made."),
                io.String.Input("folder", default="", tooltip="Folder below output for the whole dataset with a file per synthetic picture that says how it was made; empty saves nothing."),
                io.String.Input("name", default="", tooltip="What tables call the result; empty for the dataset's name and the methods, such as tiles + poisson."),
            ],
            outputs=[
                dataset_output(),
                io.Image.Output(display_name="examples", tooltip="New defects from close by, each beside itself with its mask."),
                io.String.Output(display_name="table", tooltip="New defects by class and method, and what was made anew or left out."),
            ],
            hidden=[io.Hidden.unique_id],
            is_output_node=True,
        )  # fmt: skip

    @classmethod
    def execute(
        cls, dataset: Dataset, balance: dict[str, Any], folder: str, seed: int, name: str = "", **settings
    ) -> io.NodeOutput:
        kind, values = chosen("balance", balance)
        mix = tuple((name, settings.pop(widget(name))) for name in METHODS)
        weights = parse_weights(values.get("weights", ""), "weights")
        path = writable(folder) if folder.strip() else None
        with gradients():
            wanted = Augmentation(methods=mix, balance=kind, weights=tuple(weights.items()), seed=seed, **settings)
            more, account = augmented(dataset, wanted, watch(cls, 0, 2 if path else 1))
            more = replace(
                more, name=name.strip() or f"{dataset.name} + {', '.join(n for n, share in mix if share > 0)}"
            )
            if path:
                save_dataset(more, path, watch(cls, 1, 2))
            picture = image_from_pil(examples(more))
        counts = ", ".join(f"{name} {len(samples):,}" for name, samples in more.splits.items())
        made = len(more.split("train")) - len(dataset.split("train"))
        host().text(cls.hidden.unique_id, f"{more.name}: {counts} · {made:,} synthetic\n{account.table()}")
        return io.NodeOutput(
            more, picture, account.table(), ui={**host().preview(picture, cls), "text": [account.table()]}
        )


def widget(method: str) -> str:
    """The name of the widget with a method's share."""
    return method.replace("-", "_")


class ChooseAugmentation(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="VisionsmithChooseAugmentation",
            display_name="Choose Augmentation",
            category="Visionsmith/Augment",
            description="Which augmented dataset of an experiment to keep, by the published rule: none of its figures may fall behind the original's, "
            "then the most first places, then the lowest sum of ranks.",
            search_aliases=["compare augmentation", "select dataset", "best augmentation", "ablation", "ranking", "which method helps"],
            inputs=[
                io.String.Input("experiment", default="experiments/comparison", tooltip="A wire from folder of Experiment, or the experiment's folder below ComfyUI's output folder."),
                io.String.Input("original", default="", tooltip="The dataset without augmentation, by its name; empty for the first one of the experiment."),
                io.String.Input("metrics", default="", tooltip="Which figures decide, such as: mIoU, mAcc. Empty for mIoU and mAcc of defects, and with several classes IoU and accuracy of each."),
                number("tolerance", 0.02, "Percentage points that a figure may fall behind the original's; 0.02 is published.", max=100.0),
                io.Combo.Input("split", options=["auto", "val", "test"], default="auto", tooltip="Whose figures decide. auto is val wherever every training has it: what test has chosen it can no longer judge."),
            ],
            outputs=[
                NetworkWire.Output(display_name="network", tooltip="The best network that was trained on the chosen dataset."),
                io.String.Output(display_name="chosen", tooltip="The name of the dataset to keep."),
                io.String.Output(display_name="why", tooltip="Which one to keep and why, and what the test split says of it."),
                io.String.Output(display_name="table", tooltip="Every dataset: its figures, kept or dropped and why, ranks, and the figures on test."),
                io.Image.Output(display_name="picture", tooltip="Bars of the figures that decided, with the spread over the seeds."),
            ],
            hidden=[io.Hidden.unique_id],
            is_output_node=True,
        )  # fmt: skip

    @classmethod
    def fingerprint_inputs(cls, experiment: str | None, **settings) -> str:
        if experiment is None:  # a wire, which is looked at by itself
            return ""
        return str((experiment_folder(experiment) / "results.json").stat().st_mtime_ns)

    @classmethod
    def execute(cls, experiment: str, original: str, metrics: str, tolerance: float, split: str) -> io.NodeOutput:
        folder = experiment_folder(experiment)
        results = Results.load(folder)
        on = {"auto": "", "test": results.split}.get(split, split)
        if stopped := stopped_trials(results, folder):
            raise InputError(
                f"experiment has trainings that were stopped before their end, such as {stopped[0]}; run Experiment again, which goes on with them."
            )
        choice = choose_dataset(results, original, read_metrics(metrics), tolerance, on)
        with gradients():
            network = Run.load(folder / choice.best.folder / TRAIN).network()
        why, table, picture = choice.sentence(), choice.table(), image_from_pil(choice.picture())
        host().text(cls.hidden.unique_id, why.partition(":")[0])
        shown = f"{textwrap.fill(why, LINE)}\n\n{table}"
        ui = {**host().preview(picture, cls), "text": [shown], "headline": [why]}
        return io.NodeOutput(network, choice.chosen, why, table, picture, ui=ui)


NODES: list[type[io.ComfyNode]] = [SynthesizeDefects, AugmentDataset, ChooseAugmentation]
