"""What synthetic defects are worth: one drawn U-Net, the same number of steps, on real pictures alone and with each way to multiply defects.

Usage: python benchmarks/augment_defects.py FOLDER [--seeds N] [--per-class N] [--synthetic N] [--steps N] [--only NAME ...]
       [--threads N] [--output DIR]

FOLDER holds images/{train,val,test} and masks/{train,val,test} of the magnetic tile defect dataset (Huang et al. 2018) with the classes
surface, blowhole, break and crack; or, if it is called crackforest, images and masks of CrackForest (Shi et al. 2016), split by their order.
Without it, or with one that is not there, the script says so and measures nothing. Every training has
ordinary flips and changes of light; it sees all training pictures, or few of them: N of each class and N without defects. The epoch is chosen
on the validation split, everything in the table is measured on the test split. A training takes about a minute on two cores, there are
2 × 8 × seeds of them, and what is finished is not done again.
"""

import argparse
from pathlib import Path

import torch
from segmentation_losses import losses_for
from segmentation_models import CLASSES, drawn_unet
from visionsmith.augmentation.dataset import Augmentation, augmented
from visionsmith.augmentation.methods import DEFAULT_METHODS, METHODS
from visionsmith.training import FitSettings, Optimizer, transforms
from visionsmith.training.dataset import Subset
from visionsmith.training.experiment import Choice, Experiment, run_experiment
from visionsmith.training.segmentation.folders import masked_folder

CRACKS = {"classes": ("surface", "crack"), "val": 18 / 118, "test": 28 / 118, "by_chance": False}
WINDOW, BATCH, EPOCH_STEPS = 192, 8, 100
PLAIN, MIX = "flips and light only", "mix"
SCORE = "mIoU of defects"
LOSS = "focal + Tversky"  # of the losses compared there, it learns rare defects in the fewest steps
SHOWN = (SCORE, "mAcc of defects", "mDice of defects", "defect recall", "F1 of defects ± 2 px")


def few(dataset, count):
    """`count` training pictures of each class, and as many without defects, chosen by a fixed seed."""
    samples = dataset.split("train")
    order = torch.randperm(len(samples), generator=torch.Generator().manual_seed(0))
    there = samples.targets[order] > 0
    wanted = [order[there[:, number]][:count] for number in range(1, len(dataset.classes))]
    wanted.append(order[~there[:, 1:].any(1)][:count])
    chosen = sorted({index for part in wanted for index in part.tolist()})
    return dataset.__class__(
        dataset.name,
        dataset.task,
        dataset.classes,
        {**dataset.splits, "train": Subset(samples, chosen)},
        colors=dataset.colors,
    )


def with_transforms(dataset):
    """Windows over defects, flips, light; an epoch is about as many steps for every size of the dataset."""
    count = max(1, round(EPOCH_STEPS * BATCH / len(dataset.split("train"))))
    return dataset.with_transforms(
        transforms.Normalize(),
        transforms.DefectWindow(p=0.8, smallest=0.8, largest=1.25, count=count),
        transforms.Flip(0.5, 0.5),
        transforms.Color(0.2, 0.2, 0.0, 0.0),
    )


def multiplied(dataset, synthetic, only):
    """Name → the dataset alone and with `synthetic` pictures by each method."""
    found = {PLAIN: dataset}
    mixes = {**{name: ((name, 1.0),) for name in METHODS}, MIX: DEFAULT_METHODS}
    for name, methods in mixes.items():
        if not only or name in only:
            settings = Augmentation(per_picture=synthetic / len(dataset.split("train")), methods=methods)
            found[name], account = augmented(dataset, settings)
            print(f"{name}:", *account.table().splitlines()[1:], sep="\n  ")
    return {name: with_transforms(data) for name, data in found.items()}


def table(results, choices, defects):
    """Markdown: a line per way, mean ± standard deviation over the seeds on the test split; then IoU by class."""
    groups = {group.dataset: group for group in results.groups if group.rows}
    lines = ["| training pictures | " + " | ".join(SHOWN) + " | " + " | ".join(f"IoU {c}" for c in defects) + " |"]
    lines.append("| --- " * (len(SHOWN) + len(defects) + 1) + "|")
    for name in choices:
        if name in groups:
            mean, spread = groups[name].mean(), groups[name].deviation()
            cells = [f"{mean[m]:.3f} ± {spread.get(m, 0):.3f}" if m in mean else "–" for m in SHOWN]
            mean, spread = groups[name].class_means(), groups[name].class_deviations()
            cells += [f"{mean[c]['IoU']:.3f} ± {spread.get(c, {}).get('IoU', 0):.3f}" for c in defects]
            lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def verdict(results, regime):
    """One line: the way that is best on the validation split, against real pictures alone, on the test split."""
    groups = {
        group.dataset.partition(": ")[2]: group
        for group in results.groups
        if group.rows and group.dataset.startswith(regime)
    }
    others = {name: group for name, group in groups.items() if name != PLAIN}
    if PLAIN not in groups or not others:
        return f"augment defects, {regime}: not finished"
    best = max(others, key=lambda name: others[name].mean("validation")[SCORE])
    plain, more = groups[PLAIN].mean(), others[best].mean()
    deviation = groups[PLAIN].deviation().get(SCORE, 0.0), others[best].deviation().get(SCORE, 0.0)
    return (
        f"augment defects, {regime}: {more[SCORE] / max(plain[SCORE], 1e-9):.2f} × the {SCORE} of real pictures alone (above 1) with {best}: "
        f"{more[SCORE]:.3f} ± {deviation[1]:.3f} against {plain[SCORE]:.3f} ± {deviation[0]:.3f}, "
        f"mAcc {more['mAcc of defects'] / max(plain['mAcc of defects'], 1e-9):.2f} ×"
    )


def main():
    """Train, test, print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", nargs="?", type=Path, default=Path("magnetic-tile"))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--per-class", type=int, default=10)
    parser.add_argument("--synthetic", type=int, default=200)
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--only", nargs="*", default=[], help="methods, or mix; without it all of them")
    parser.add_argument("--threads", type=int, default=2, help="1 where other programs use the processor, too")
    parser.add_argument("--output", type=Path, default=Path("output"))
    options = parser.parse_args()
    if not options.folder.is_dir():
        print(f"augment defects: skipped, because {options.folder} is not there; give the folder of magnetic tiles.")
        return
    torch.set_num_threads(options.threads)
    kind = CRACKS if options.folder.name == "crackforest" else {"classes": CLASSES}
    dataset = masked_folder(options.folder, color=False, **kind)
    regimes = {f"{options.per_class} per class": few(dataset, options.per_class), "all": dataset}
    datasets = {}
    for regime, data in regimes.items():
        print(f"{regime}: {len(data.split('train'))} training pictures")
        found = multiplied(data, options.synthetic, options.only)
        datasets |= {f"{regime}: {name}": each for name, each in found.items()}
    experiment = Experiment(
        "augment-defects",
        f"{options.folder.name}-{options.steps}",
        models={"drawn U-Net": drawn_unet(len(dataset.classes), WINDOW)},
        datasets=datasets,
        losses={LOSS: losses_for(dataset)[LOSS]},
        optimizer=Optimizer(learning_rate=3e-3, weight_decay=0.05, schedule="one cycle"),
        settings=FitSettings(max_steps=options.steps, batch_size=BATCH, device="cpu", metric="auto"),
        seeds=tuple(range(options.seeds)),
        choices=tuple(Choice(seed=seed) for seed in range(options.seeds)),  # all ways with one seed before the next
    )

    def on_progress(progress):
        if progress.row is not None:
            scores = f"{progress.row.scores[SCORE]:.3f}" if progress.row.scores else progress.row.error
            print(
                f"{progress.finished}/{progress.count} {progress.trial.dataset}, seed {progress.trial.seed}: {scores}",
                flush=True,
            )

    results = run_experiment(experiment, options.output, on_progress)
    print(table(results, datasets, dataset.classes[1:]))
    for regime in regimes:
        print(verdict(results, regime))


if __name__ == "__main__":
    main()
