"""Compare losses on real pictures of magnetic tiles with rare defects: one drawn U-Net, six losses, three seeds.

Usage: python benchmarks/segmentation_losses.py FOLDER [--output DIR] [--steps N] [--seeds N]

FOLDER holds images/{train,val,test} and masks/{train,val,test} of the magnetic tile defect dataset (Huang et al. 2018) with the classes
surface, blowhole, break and crack. Without it, or with one that is not there, the script says so and measures nothing. Under half an hour on
two cores; what is finished is not done again.
"""

import argparse
import time
from pathlib import Path

import torch
from segmentation_models import CLASSES, drawn_unet
from visionsmith.training import FitSettings, Loss, LossSum, Optimizer, transforms
from visionsmith.training.experiment import Experiment, run_experiment
from visionsmith.training.results import Results, show
from visionsmith.training.segmentation.folders import masked_folder
from visionsmith.training.statistics import class_weights

WINDOW = 160
ALPHA_POWER = 0.25
"""Inverse class shares to this power: on shares of 99.77, 0.2 and 0.03 % they are in the ratio 1 : 4.7 : 7.6."""
COLUMNS = {
    "mIoU of defects": "mIoU of defects",
    "mAcc of defects": "mAcc of defects",
    "defects found": "defect recall",
    "false alarms per picture": "false alarms per picture",
}


def losses_for(dataset) -> dict[str, Loss | LossSum]:
    """What is compared; focal loss's alpha comes from the class shares and has the sum 1."""
    factors = class_weights(dataset, "inverse frequency", ALPHA_POWER)
    focal = Loss("focal", gamma=2.0, alpha=tuple(round(factor / sum(factors), 3) for factor in factors))
    entropy, dice = Loss(), Loss("dice")
    tversky = Loss("tversky", false_positives=0.3, false_negatives=0.7)
    return {
        "cross entropy": entropy,
        "focal": focal,
        "Dice": dice,
        "Tversky": tversky,
        "focal + Tversky": LossSum(((1.0, focal), (1.0, tversky))),
        "Dice + cross entropy": LossSum(((1.0, dice), (1.0, entropy))),
    }


def markdown(results: Results) -> str:
    """A line per loss: mean ± sample standard deviation over the seeds, the best mean of each column bold."""
    groups = [group for group in results.groups if group.rows]
    heads = (*COLUMNS, *(f"IoU of {name}" for name in CLASSES))
    means, deviations = [], []
    for group in groups:
        for table, scores, classes in (
            (means, group.mean(), group.class_means()),
            (deviations, group.deviation(), group.class_deviations()),
        ):
            found = [scores.get(metric) for metric in COLUMNS.values()]
            table.append(found + [classes.get(name, {}).get("IoU") for name in CLASSES])
    best = [
        (min if head.startswith("false") else max)(column)
        for head, column in zip(heads, zip(*means, strict=True), strict=True)
    ]
    lines = [("loss", "seeds", *heads), ("---",) * (2 + len(heads))]
    for group, mean, deviation in zip(groups, means, deviations, strict=True):
        shown = [show(value, spread) for value, spread in zip(mean, deviation, strict=True)]
        marked = [f"**{text}**" if value == top else text for text, value, top in zip(shown, mean, best, strict=True)]
        lines.append((group.loss, str(len(group.rows)), *marked))
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def main():
    """Train, test, print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", nargs="?", type=Path, default=Path("magnetic-tile"))
    parser.add_argument("--output", type=Path, default=Path("output"))
    parser.add_argument("--steps", type=int, default=450)
    parser.add_argument("--seeds", type=int, default=3)
    options = parser.parse_args()
    if not options.folder.is_dir():
        print(
            f"segmentation losses: skipped, because {options.folder} is not there; give the folder of magnetic tiles."
        )
        return
    torch.set_num_threads(2)
    dataset = masked_folder(options.folder, classes=CLASSES, color=False).with_transforms(
        transforms.Normalize(),
        transforms.DefectWindow(p=0.8, smallest=0.8, largest=1.25, count=6),
        transforms.Flip(0.5, 0.5),
        transforms.Color(0.2, 0.2, 0.0, 0.0),
    )
    losses = losses_for(dataset)
    experiment = Experiment(
        "magnetic-tile",
        "losses",
        models={"drawn U-Net": drawn_unet(len(CLASSES), WINDOW)},
        datasets={"tiles": dataset},
        losses=losses,
        optimizer=Optimizer(learning_rate=3e-3, weight_decay=0.05, schedule="one cycle"),
        settings=FitSettings(max_steps=options.steps, batch_size=8, device="cpu", metric="auto"),
        seeds=tuple(range(options.seeds)),
    )
    began = time.monotonic()

    def tell(progress) -> None:
        if progress.stage in ("done", "failed"):
            minutes = (time.monotonic() - began) / 60
            print(
                f"{progress.finished} of {progress.count}, {progress.trial.title}, after {minutes:.1f} min", flush=True
            )

    results = run_experiment(experiment, options.output, tell)
    table = markdown(results)
    (experiment.folder(options.output) / "losses.md").write_text(table + "\n", encoding="utf-8")
    print(f"alpha of focal: {losses['focal'].alpha}")
    print(table)
    best, _, split = results.best(("mIoU of defects",))
    print(
        f"segmentation losses: {best.loss} has the highest mean mIoU of defects on {split}, {len(results.rows)} trials"
    )


if __name__ == "__main__":
    main()
