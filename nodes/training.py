"""Menu "Visionsmith/Training": the loss, the optimizer, and the training itself."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from typing import Any

from comfy_api.latest import io

from ..nn_layers import InputError, Network
from ..replace import gradients, ordinary
from ..training import LOSSES, OPTIMIZERS, SCHEDULES, Dataset, FitSettings, Loss, LossSum, Optimizer, Run, fit, run_key
from ..training.losses import read_numbers
from ..training.metrics import MEANS, METRICS
from ..training.settings import run_name
from .data import dataset_input
from .host import host, writable
from .network import network_input
from .support.charts import run_chart, wishes, workflow_of
from .support.live import LiveTraining, run_summary
from .support.widgets import number, seed, size
from .support.wires import LossWire, NetworkWire, OptimizerWire, RunWire, chosen, options

METRIC_TOOLTIP = (
    "What decides which epoch is the best. auto: accuracy for classes, RMSE for numbers, mIoU of defects for masks. "
    "mAcc + mIoU is the mean of the two; of epochs with equal means the later one is kept."
)


class LossNode(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        weights = io.String.Input(
            "class_weights", default="", tooltip="One factor per class, such as 0.1, 0.3, 0.6; empty for none."
        )
        smooth = number(
            "smooth", 1.0, "Pixels that count as right from the start; steadies tiny classes.", max=1e6, advanced=True
        )
        own = {
            "cross entropy": [weights, number("label_smoothing", 0.0, "Share of the target spread over all classes.")],
            "binary cross entropy": [weights],
            "focal": [
                number(
                    "gamma",
                    2.0,
                    "How strongly it turns away from what is easy; 0 is cross entropy.",
                    max=10.0,
                    step=0.1,
                ),
                io.String.Input(
                    "alpha", default="", tooltip="One factor per class, such as 0.1, 0.3, 0.6; empty for none."
                ),
            ],
            "negative log likelihood": [weights],
            "dice": [weights, smooth],
            "jaccard": [weights, smooth],
            "tversky": [
                weights,
                number("false_positives", 0.3, "α: what a pixel falsely taken for a class costs.", max=1000.0),
                number("false_negatives", 0.7, "β: what a missed pixel costs; above α for defects.", max=1000.0),
                number("exponent", 1.0, "Focal Tversky: below 1 stresses what is nearly right.", min=0.01, max=100.0),
                smooth,
            ],
            "lovasz": [weights],
            "huber": [number("delta", 1.0, "Where it turns from square to straight.", min=0.001, max=1000.0)],
        }
        return io.Schema(
            node_id="VisionsmithLoss",
            display_name="Loss",
            category="Visionsmith/Training",
            description=(
                "What training makes small: cross entropy for classes, focal for rare ones, squared error for numbers; Dice, Jaccard, Tversky and "
                "Lovász for the regions of a segmentation."
            ),
            search_aliases=[
                "criterion",
                "objective",
                "cross entropy",
                "focal loss",
                "mse",
                "bce",
                "huber",
                "class weights",
                "dice",
                "tversky",
                "lovasz",
                "iou",
                "loss function",
            ],
            inputs=[
                io.DynamicCombo.Input(
                    "type", options=options({name: own.get(name, []) for name in LOSSES}), tooltip="Which loss."
                )
            ],
            outputs=[LossWire.Output(display_name="loss", tooltip="For Train and Test.")],
        )

    @classmethod
    def execute(cls, type: dict[str, Any]) -> io.NodeOutput:
        name, settings = chosen("type", type)
        for key in ("class_weights", "alpha"):
            if key in settings:
                settings[key] = read_numbers(settings[key], key)
        return io.NodeOutput(Loss(name, **settings))


class CombineLosses(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        losses = io.Autogrow.TemplatePrefix(
            LossWire.Input("loss", tooltip="One of the losses that are added."), prefix="loss", min=2, max=8
        )
        return io.Schema(
            node_id="VisionsmithCombineLosses",
            display_name="Combine Losses",
            category="Visionsmith/Training",
            description="A weighted sum of losses, such as Dice + cross entropy or focal + Tversky.",
            search_aliases=["sum of losses", "loss sum", "dice + cross entropy", "weighted"],
            inputs=[
                io.Autogrow.Input("losses", template=losses, tooltip="Two to eight losses."),
                io.String.Input(
                    "weights", default="", tooltip="One factor per loss, such as 1, 0.5; empty for 1 each."
                ),
            ],
            outputs=[LossWire.Output(display_name="loss", tooltip="For Train and Test.")],
        )

    @classmethod
    def execute(cls, losses: dict, weights: str) -> io.NodeOutput:
        terms = [loss for loss in losses.values() if loss is not None]
        factors = read_numbers(weights, "weights") or (1.0,) * len(terms)
        if len(factors) != len(terms):
            raise InputError(
                f"weights has {len(factors)} numbers, but {len(terms)} losses are connected; give one per loss."
            )
        return io.NodeOutput(LossSum(tuple(zip(factors, terms, strict=True))))


class OptimizerNode(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        momentum = number("momentum", 0.9, "Share of the last step that goes on.", max=0.9999)
        betas = [
            number("beta1", 0.9, "Decay of the gradients' mean.", max=0.9999, step=0.001, advanced=True),
            number("beta2", 0.999, "Decay of their squares' mean.", max=0.99999, step=0.0001, advanced=True),
        ]
        own = {
            "SGD": [momentum, io.Boolean.Input("nesterov", default=False, tooltip="Look ahead along the momentum.")],
            "RMSprop": [momentum],
            "Adagrad": [],
            "Adadelta": [],
        }
        final = number("final", 0.0, "Rate at the end, as a share of learning_rate.")
        schedules = {
            "constant": [],
            "cosine": [final],
            "poly": [
                number("power", 0.9, "1 is a straight line.", min=0.01, max=10.0),
                final,
                number("eta_min", 0.0, "Rate at the end, as it is.", max=100.0, step=1e-6, round=False),
                size("end", 0, "Step at which it is at its end; 0 for the last of training.", min=0, max=100_000_000),
            ],
            "step": [
                size("every", 10, "Epochs between two drops."),
                number("factor", 0.1, "What a drop multiplies the rate by."),
            ],
            "one cycle": [],
        }
        return io.Schema(
            node_id="VisionsmithOptimizer",
            display_name="Optimizer",
            category="Visionsmith/Training",
            description="How weights follow the gradients, and how the learning rate goes. AdamW with cosine suits nearly everything.",
            search_aliases=[
                "adam",
                "adamw",
                "sgd",
                "rmsprop",
                "learning rate",
                "scheduler",
                "warmup",
                "gradient clipping",
            ],
            inputs=[
                io.DynamicCombo.Input(
                    "type",
                    options=options({name: own.get(name, betas) for name in OPTIMIZERS}),
                    tooltip="Which optimizer.",
                ),
                number(
                    "learning_rate",
                    1e-3,
                    "Size of the steps: 0.001 for AdamW, 0.01 to 0.1 for SGD.",
                    min=1e-8,
                    max=100.0,
                    step=1e-5,
                    round=False,
                ),
                number("weight_decay", 0.01, "Pull of the weights towards zero.", step=0.001),
                io.DynamicCombo.Input(
                    "schedule",
                    options=options(
                        {name: schedules[name] for name in sorted(SCHEDULES, key=lambda name: name != "cosine")}
                    ),
                    tooltip="How the learning rate goes down.",
                ),
                size("warmup", 0, "Steps in which the rate rises from zero.", min=0, max=1_000_000),
                number("clip", 0.0, "Largest norm of the gradients; 0 for no limit.", max=1000.0, step=0.1),
            ],
            outputs=[OptimizerWire.Output(display_name="optimizer", tooltip="For Train.")],
        )

    @classmethod
    def execute(cls, type: dict[str, Any], schedule: dict[str, Any], **settings) -> io.NodeOutput:
        (name, first), (plan, second) = chosen("type", type), chosen("schedule", schedule)
        return io.NodeOutput(Optimizer(name, schedule=plan, **first, **second, **settings))


class Train(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        metrics = list(dict.fromkeys(["auto", "loss", *(name for names in METRICS.values() for name in names), *MEANS]))
        return io.Schema(
            node_id="VisionsmithTrain",
            display_name="Train",
            category="Visionsmith/Training",
            description=(
                "Train the network. A chart grows while it does; Cancel keeps what was learned, and queueing again goes on where it was. "
                "A training that is finished is found on disk and not done again."
            ),
            search_aliases=[
                "fit",
                "learn",
                "training loop",
                "epochs",
                "fine-tune",
                "train model",
                "train network",
                "resume training",
                "early stopping",
                "stop training",
                "checkpoint",
                "loss curve",
                "chart",
                "gradient descent",
            ],
            inputs=[
                network_input(),
                dataset_input(),
                LossWire.Input(
                    "loss", optional=True, tooltip="Without one: cross entropy for classes, squared error for numbers."
                ),
                OptimizerWire.Input(
                    "optimizer", optional=True, tooltip="Without one: AdamW, learning rate 0.001, cosine."
                ),
                size("epochs", 10, "Times through the training samples.", min=0, max=1_000_000),
                size("batch_size", 32, "Samples at a time."),
                io.Combo.Input(
                    "metric",
                    options=metrics,
                    default="auto",
                    tooltip=METRIC_TOOLTIP,
                ),
                seed("Decides order and augmentation; one seed gives one result on a CPU."),
                size(
                    "patience",
                    0,
                    "Epochs without improvement before it stops early; 0 never does.",
                    min=0,
                    advanced=True,
                ),
                size(
                    "max_steps",
                    0,
                    "Optimizer steps instead of epochs; 0 counts epochs.",
                    min=0,
                    max=100_000_000,
                    advanced=True,
                ),
                size("accumulate", 1, "Batches whose gradients make one step.", max=1024, advanced=True),
                number(
                    "average",
                    0.0,
                    "Decay of the averaged weights (EMA), such as 0.999; 0 for none.",
                    max=0.99999,
                    step=0.001,
                    advanced=True,
                ),
                io.Combo.Input(
                    "precision",
                    options=["32-true", "bf16-mixed", "16-mixed"],
                    default="32-true",
                    tooltip="bf16-mixed on a recent GPU.",
                    advanced=True,
                ),
                io.Combo.Input(
                    "device",
                    options=["auto", "cpu", "cuda", "mps"],
                    default="auto",
                    tooltip="auto is what ComfyUI uses.",
                    advanced=True,
                ),
                size(
                    "workers",
                    0,
                    "Processes that decode pictures; 0 suits most sets (Linux only).",
                    min=0,
                    max=64,
                    advanced=True,
                ),
                io.Boolean.Input(
                    "compile",
                    default=False,
                    tooltip="Let torch.compile make it faster after a minute of waiting.",
                    advanced=True,
                ),
            ],
            outputs=[
                NetworkWire.Output(display_name="network", tooltip="The network with the weights of its best epoch."),
                RunWire.Output(display_name="run", tooltip="The run: its folder, history and settings."),
                io.LossMap.Output(display_name="loss_map", tooltip="The training loss, for ComfyUI's Plot Loss Graph."),
            ],
            hidden=[io.Hidden.unique_id, io.Hidden.extra_pnginfo],
            is_output_node=True,
        )

    @classmethod
    def fingerprint_inputs(cls, **settings: Any) -> int:
        return wishes(cls)

    @classmethod
    def execute(
        cls,
        network: Network,
        dataset: Dataset,
        loss: Loss | LossSum | None = None,
        optimizer: Optimizer | None = None,
        **settings,
    ) -> io.NodeOutput:
        with gradients():
            run = train(
                cls,
                ordinary(network),
                ordinary(dataset),
                loss,
                optimizer,
                on_devices(FitSettings(**settings)),
            )
            best = run.network()
        host().text(cls.hidden.unique_id, run_summary(run))
        losses = {"loss": [value for _, value in run.curve]}
        return io.NodeOutput(
            best,
            run,
            losses,
            ui={"visionsmith_curve": [run_chart(run) | {"workflow": workflow_of(cls)}], "text": [run_summary(run)]},
        )


def on_devices(settings: FitSettings) -> FitSettings:
    """`settings` on as many devices and machines as the command line says; inside ComfyUI always one."""
    devices, nodes = host().devices()
    return replace(settings, devices=devices, nodes=nodes)


def train(
    node: type,
    network: Network,
    dataset: Dataset,
    loss: Loss | LossSum | None,
    optimizer: Optimizer | None,
    settings: FitSettings,
) -> Run:
    """Train in a folder of the run's own below the output folder, with everything a person wants to see on the way."""
    loss = loss or Loss("mean squared error" if dataset.task == "regression" else "cross entropy")
    optimizer = optimizer or Optimizer()
    if settings.device == "auto":
        settings = settings.on(host().device().type)
    folder = writable(f"runs/{run_name(network, dataset, run_key(network, dataset, loss, optimizer, settings))}")
    host().free_memory(4 * 4 * network.spec.parameters)  # weights, gradients and Adam's two averages, 4 bytes each
    live = LiveTraining(node, settings.for_task(dataset.task), folder)
    with live, closing(fit(network, dataset, loss, optimizer, settings, folder)) as steps:
        for progress in steps:
            live.update(progress)
    return Run.load(folder)


NODES: list[type[io.ComfyNode]] = [LossNode, CombineLosses, OptimizerNode, Train]
