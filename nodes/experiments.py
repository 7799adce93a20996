"""Menu "Visionsmith/Experiments": many trainings side by side, and the recipes they begin from."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from comfy_api.latest import io

from ..nn_layers import InputError, Network
from ..replace import gradients, ordinary
from ..training import Dataset, FitSettings, Loss, LossSum, Optimizer, Run
from ..training import transforms as tf
from ..training.experiment import Experiment, TrialProgress, run_experiment
from ..training.metrics import MEANS, METRICS
from ..training.results import Results, Row
from ..training.trial import TRAIN, was_stopped
from .data import dataset_input, dataset_output
from .host import host, image_from_pil, readable, writable
from .support.charts import remember, run_chart, wishes, with_stopped, workflow_of
from .support.figures import results_table
from .support.live import LiveTraining
from .support.widgets import size
from .support.wires import DatasetWire, LossWire, NetworkWire, OptimizerWire, RunWire
from .training import METRIC_TOOLTIP, on_devices


class ExperimentNode(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        def several(wire, id: str, ids: str, tooltip: str, least: int = 1) -> io.Input:
            template = io.Autogrow.TemplatePrefix(wire.Input(id, tooltip=tooltip), prefix=id, min=least, max=24)
            return io.Autogrow.Input(ids, template=template, tooltip=f"The {ids} to compare.")

        metrics = list(dict.fromkeys(["auto", "loss", *(name for names in METRICS.values() for name in names), *MEANS]))
        return io.Schema(
            node_id="VisionsmithExperiment",
            display_name="Experiment",
            category="Visionsmith/Experiments",
            description=(
                "Train every network on every dataset with every loss and every seed, one after another, and compare them in one table. What is "
                "finished is found on disk, so that a stopped experiment goes on where it was."
            ),
            search_aliases=["compare models", "benchmark", "grid search", "ablation", "sweep", "table", "compare networks", "hyperparameter search", "many trainings"],
            inputs=[
                several(NetworkWire, "network", "networks", "An untrained one is drawn anew from every seed."),
                several(DatasetWire, "dataset", "datasets", "Each network is trained on each of them."),
                several(LossWire, "loss", "losses", "Without any: cross entropy for classes, squared error for numbers.", least=0),
                OptimizerWire.Input("optimizer", optional=True, tooltip="Without one: AdamW, learning rate 0.001, cosine."),
                io.String.Input("name", default="comparison", tooltip="Folder below ComfyUI's output folder, in experiments."),
                io.String.Input("seeds", default="0", tooltip="Seeds divided by commas; with several the table has mean ± deviation."),
                size("epochs", 10, "Times through the training samples.", max=1_000_000),
                size("max_steps", 0, "Optimizer steps instead of epochs; 0 counts epochs.", min=0, max=100_000_000),
                size("batch_size", 8, "Samples at a time."),
                io.Combo.Input("metric", options=metrics, default="auto", tooltip=METRIC_TOOLTIP),
                io.String.Input(
                    "choose_by",
                    default="",
                    tooltip="Metrics whose mean decides which training is the best, such as: mIoU, mAcc. Empty for the task's usual one.",
                ),
            ],
            outputs=[
                NetworkWire.Output(display_name="best", tooltip="The best network, at its best epoch."),
                io.String.Output(display_name="table", tooltip="The table as Markdown, the best of each column in bold."),
                io.Image.Output(display_name="picture", tooltip="The table as a picture."),
                io.String.Output(display_name="folder", tooltip="Where all trainings, the table as CSV and the pictures are."),
            ],
            hidden=[io.Hidden.unique_id, io.Hidden.extra_pnginfo],
            is_output_node=True,
        )  # fmt: skip

    @classmethod
    def fingerprint_inputs(cls, **settings) -> int:
        return wishes(cls)

    @classmethod
    def execute(
        cls,
        networks: dict,
        datasets: dict,
        name: str,
        seeds: str,
        choose_by: str,
        losses: dict | None = None,
        optimizer: Optimizer | None = None,
        **settings,
    ) -> io.NodeOutput:
        node = cls.hidden.unique_id
        with gradients():
            nets: list[Network] = [ordinary(network) for network in networks.values() if network is not None]
            data: list[Dataset] = [ordinary(dataset) for dataset in datasets.values() if dataset is not None]
            given: list[Loss | LossSum] = [loss for loss in (losses or {}).values() if loss is not None]
            given = given or [Loss("mean squared error" if data and data[0].task == "regression" else "cross entropy")]
            experiment = Experiment(
                "experiments",
                name.strip() or "comparison",
                _named(nets, (network.spec.name for network in nets)),
                _named(data, (dataset.name for dataset in data)),
                _named(given, (loss.title for loss in given)),
                optimizer or Optimizer(),
                on_devices(FitSettings(device=host().device().type, **settings)),
                read_seeds(seeds),
            )
            by = read_metrics(choose_by)
            known = ("loss", *METRICS[data[0].task]) if data else ()
            if unknown := [metric for metric in by if metric not in known]:
                raise InputError(f"choose_by names {unknown[0]!r}; the metrics are {', '.join(known)}.")
            root = writable(experiment.project).parent
            with _Watch(cls, experiment, root) as watch:
                results = run_experiment(experiment, root, watch)
            if len(results.failed) == len(results.rows):
                raise InputError(f"no training succeeded; the first failed because {results.failed[0].error}")
            row, used, on = results.best(by)
            folder = experiment.folder(root)
            run = Run.load(folder / row.folder / TRAIN)
            best = run.network()
            stopped = stopped_trials(results, folder)
        picture = image_from_pil(results.picture())
        text = f"best by {', '.join(used)} on {on}: {_title(row)}"
        chart = run_chart(run) | {"title": f"best: {_title(row)}", "workflow": workflow_of(cls)}
        chart = with_stopped(chart, list(stopped))
        remember(workflow_of(cls), node, run.folder, chart["title"], stopped)
        said = "\n".join([text, *chart["notes"][:1]]) if stopped else text
        host().text(node, said)
        ui = {**host().preview(picture, cls), "visionsmith_curve": [chart], "headline": [text]}
        ui["text"] = [f"{said}\n\n{results.text()}"]
        ui |= results_table(results, best=text)
        return io.NodeOutput(best, results.markdown(), picture, str(folder), ui=ui)


class FindBest(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="VisionsmithFindBest",
            display_name="Find Best",
            category="Visionsmith/Experiments",
            description=(
                "The best training of an experiment that was done before, here or with `visionsmith experiment`: by the mean of the metrics you "
                "choose. Of equals the later one is taken."
            ),
            search_aliases=["best checkpoint", "best model", "choose model", "compare results", "winner", "leaderboard", "choose best network", "best network"],
            inputs=[
                io.String.Input(
                    "experiment",
                    default="experiments/comparison",
                    tooltip="The experiment's folder below ComfyUI's output folder, or a wire from folder of Experiment.",
                ),
                io.String.Input(
                    "choose_by",
                    default="",
                    tooltip="Metrics whose mean decides, such as: mIoU, mAcc. Empty for these two, or the task's usual one.",
                ),
                io.Combo.Input(
                    "split",
                    options=["auto", "val", "test"],
                    default="auto",
                    tooltip="Whose figures decide. auto is val wherever every training has it: what is chosen by test can no longer be judged by it.",
                ),
            ],
            outputs=[
                NetworkWire.Output(display_name="network", tooltip="The best network, at its best epoch."),
                RunWire.Output(display_name="run", tooltip="Its training: folder, history and settings."),
                io.String.Output(display_name="table", tooltip="The table with the chosen metrics as text, the best of each marked by a star."),
                io.String.Output(display_name="metrics", tooltip="The metrics that decided, divided by commas."),
            ],
            hidden=[io.Hidden.unique_id],
            is_output_node=True,
        )  # fmt: skip

    @classmethod
    def fingerprint_inputs(cls, experiment: str, **settings) -> str:
        return str((experiment_folder(experiment) / "results.json").stat().st_mtime_ns)

    @classmethod
    def execute(cls, experiment: str, choose_by: str, split: str) -> io.NodeOutput:
        folder = experiment_folder(experiment)
        results = Results.load(folder)
        row, by, on = results.best(read_metrics(choose_by), {"auto": "", "test": results.split}.get(split, split))
        with gradients():
            run = Run.load(folder / row.folder / TRAIN)
            network = run.network()
        figures = row.scores if on == results.split else row.validation
        values = ", ".join(f"{name} {figures[name]:.4f}" for name in by)
        text = f"{_title(row)}, epoch {row.best_epoch}: {values} on {on}"
        if stopped := stopped_trials(results, folder):
            text += f" (stopped before their end: {'; '.join(stopped)})"
        host().text(cls.hidden.unique_id, text)
        table = results.text(by)
        ui = {"text": [f"{text}\n\n{table}"], "headline": [f"best: {text}"]}
        return io.NodeOutput(network, run, table, ", ".join(by), ui=ui | results_table(results, by, f"best: {text}"))


def experiment_folder(name: str) -> Path:
    """The folder of an experiment from its path, or from the name that Experiment was given."""
    try:
        return readable(name)
    except InputError:
        if "/" in name or not name.strip():
            raise
        return readable(f"experiments/{name.strip()}")


def stopped_trials(results: Results, folder: Path) -> dict[str, Path]:
    """Title → run of the trainings that somebody stopped before their end; their figures are those of that moment."""
    runs = {_title(row): folder / row.folder / TRAIN for row in results.rows if not row.error}
    return {title: run for title, run in runs.items() if was_stopped(run)}


def _title(row: Row) -> str:
    return f"{row.model}, {row.dataset}, {row.loss}, seed {row.seed}"


def read_metrics(text: str) -> tuple[str, ...]:
    """Metrics from a text field, divided by commas."""
    return tuple(metric.strip() for metric in text.split(",") if metric.strip())


def _named(things: list, names: Iterable[str]) -> dict:
    """The things by name; of several with one name the later ones get a number."""
    found: dict = {}
    for thing, name in zip(things, names, strict=True):
        count = sum(known == name or known.startswith(f"{name} #") for known in found)
        found[f"{name} #{count + 1}" if count else name] = thing
    return found


def read_seeds(text: str) -> tuple[int, ...]:
    """Seeds from a text field, divided by commas or spaces.

    Raises:
        InputError: Something that is no whole number from 0 up, or nothing at all.
    """
    words = text.replace(",", " ").split()
    if not words or not all(word.isdigit() for word in words):
        raise InputError(f"seeds is {text!r}; write whole numbers divided by commas, such as 0, 1, 2.")
    return tuple(dict.fromkeys(map(int, words)))


class _Watch(LiveTraining):
    """Moves the node's bar over all trainings and draws the one at work; Stop-and-keep ends that one, and the others are done."""

    def __init__(self, node: type, experiment: Experiment, root: Path):
        super().__init__(node, experiment.settings, None)
        self.tasks = {name: data.task for name, data in experiment.given().items()}
        self.folder_of_all, self.shown = experiment.folder(root), ""

    def __call__(self, progress: TrialProgress) -> None:
        trial, self.part = progress.trial, (progress.finished, progress.count)
        title = f"{min(progress.finished + 1, progress.count)} of {progress.count}: {trial.title}"
        if progress.training:
            if title != self.title:
                settings = FitSettings(**trial.train).for_task(self.tasks[trial.dataset])
                self.begin_with(settings, self.folder_of_all / trial.folder / TRAIN, title)
            self.update(progress.training)
        elif self.due:
            host().progress(self.node_id, progress.finished + progress.share, progress.count)
        text = f"{progress.finished}/{progress.count} done · {progress.stage}: {trial.title}"
        if text != self.shown:
            self.shown = text
            host().text(self.node_id, text)


RECIPES = {
    "mmsegmentation 40k": (512, 8, 40_000, 4_000, 1_500),
    "8k steps, 512 px": (512, 8, 8_000, 800, 300),
    "2k steps, 256 px (CPU)": (256, 8, 2_000, 200, 100),
}
"""Name → window in pixels, batch size, steps, steps between two validations, warm-up."""


class SegmentationRecipe(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="VisionsmithSegmentationRecipe",
            display_name="Segmentation Recipe",
            category="Visionsmith/Experiments",
            description=(
                "How to train a segmenter, whole: windows of pictures enlarged 0.5 to 3 times with at most 75 % of one class, mirroring, "
                "changes of light, AdamW 0.001 with weight decay 0.05, warm-up, polynomial decay. Other transforms of the dataset are kept."
            ),
            search_aliases=["preset", "mmsegmentation", "schedule", "polylr", "hyperparameters"],
            inputs=[
                dataset_input(),
                io.Combo.Input(
                    "recipe",
                    options=list(RECIPES),
                    default="2k steps, 256 px (CPU)",
                    tooltip="How long, and how large the windows; give the network the same window.",
                ),
            ],
            outputs=[
                dataset_output(),
                OptimizerWire.Output(display_name="optimizer", tooltip="For Train or Experiment."),
                io.Int.Output(display_name="batch_size", tooltip="For Train or Experiment."),
                io.Int.Output(display_name="max_steps", tooltip="For Train or Experiment."),
                io.Int.Output(display_name="window", tooltip="For Segmentation Model."),
            ],
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    def execute(cls, dataset: Dataset, recipe: str) -> io.NodeOutput:
        window, batch_size, steps, between, warmup = RECIPES[recipe]
        count = math.ceil(between * batch_size / len(dataset.split("train")))
        place = tf.DefectWindow(p=0.0, smallest=0.5, largest=3.0, most=0.75, count=count)
        light = tf.Color(brightness=0.125, contrast=0.5, saturation=0.5, hue=0.07)
        own = (tf.Normalize("imagenet"), place, tf.Flip(), light)
        kept = [t for t in dataset.transforms if not isinstance(t, tuple(map(type, own)))]
        replaced = [type(t).__name__ for t in dataset.transforms if t not in kept]
        if replaced:
            host().text(cls.hidden.unique_id, f"the recipe replaces {', '.join(replaced)} of the dataset")
        dataset = replace(dataset, transforms=()).with_transforms(*kept, *own)
        optimizer = Optimizer(
            "AdamW", 1e-3, weight_decay=0.05, schedule="poly", power=0.9, eta_min=1e-4, end=steps, warmup=warmup
        )
        return io.NodeOutput(dataset, optimizer, batch_size, steps, window)


NODES: list[type[io.ComfyNode]] = [ExperimentNode, FindBest, SegmentationRecipe]
