"""Train a drawn U-Net on real photographs of road cracks, and judge it with a tolerance of two pixels.

Usage: python benchmarks/cracks.py FOLDER

FOLDER holds images/NNN.jpg and masks/NNN.png of the CrackForest dataset (Shi et al. 2016), 118 pictures: 72 to train on, 18 to validate, 28 to
test, in the order of their names. Without it the script says so and measures nothing. About four minutes on two cores.
"""

import argparse
import tempfile
from pathlib import Path

import torch
from segmentation_models import drawn_unet
from visionsmith.training import FitSettings, Loss, LossSum, Optimizer, Run, evaluate, fit, transforms
from visionsmith.training.segmentation.folders import masked_folder

WINDOW = 192


def main():
    """Train, test, print one line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", nargs="?", type=Path, default=Path("crackforest"))
    folder = parser.parse_args().folder
    if not folder.is_dir():
        print(f"cracks: skipped, because {folder} is not there; give the folder of CrackForest.")
        return
    torch.set_num_threads(2)
    dataset = masked_folder(
        folder, classes=("surface", "crack"), color=False, val=18 / 118, test=28 / 118, by_chance=False
    ).with_transforms(
        transforms.Normalize(),
        transforms.DefectWindow(p=0.7, smallest=0.8, largest=1.25, count=32),
        transforms.Flip(0.5, 0.5),
        transforms.Color(0.2, 0.2, 0.0, 0.0),
    )
    loss = LossSum(((1.0, Loss()), (1.0, Loss("dice"))))
    optimizer = Optimizer(learning_rate=3e-3, weight_decay=0.05, schedule="one cycle")
    settings = FitSettings(epochs=5, batch_size=16, device="cpu", metric="auto")
    with tempfile.TemporaryDirectory() as place:
        for _ in fit(drawn_unet(2, WINDOW), dataset, loss, optimizer, settings, Path(place)):
            pass
        network = Run.load(Path(place)).network()
    plain, flipped = (evaluate(network, dataset, flips=flips).scores for flips in (False, True))
    iou, f1 = "mIoU of defects", "F1 of defects ± 2 px"
    print(
        f"cracks: IoU {plain[iou]:.4f} (at least 0.55), F1 with 2 px of tolerance {plain[f1]:.3f} (at least 0.80); averaged over mirror images "
        f"{flipped[iou]:.4f} and {flipped[f1]:.3f}"
    )


if __name__ == "__main__":
    main()
