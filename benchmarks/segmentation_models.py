"""Compare a drawn U-Net with architectures of libraries and our own on real pictures of magnetic tiles with rare defects.

Usage: python benchmarks/segmentation_models.py FOLDER [--output DIR] [--steps N]

FOLDER holds images/{train,val,test} and masks/{train,val,test} of the magnetic tile defect dataset (Huang et al. 2018) with the classes
surface, blowhole, break and crack. Without it, or with one that is not there, the script says so and measures nothing. About fifty minutes on
two cores; what is finished is not done again.
"""

import argparse
import time
from pathlib import Path

import torch
from visionsmith import nn_layers as nn
from visionsmith.training import FitSettings, Loss, LossSum, Optimizer, transforms
from visionsmith.training.experiment import Choice, Experiment, run_experiment
from visionsmith.training.segmentation.folders import masked_folder

CLASSES = ("surface", "blowhole", "break", "crack")
WINDOW = 256
MODELS = {
    "fast-scnn": "",
    "pspnet": "resnet18",
    "lraspp-mobilenetv3": "",
    "bisenetv2": "",
    "linknet": "resnet18",
    "deeplabv3+": "mobilenet_v2",
}


def block(x, channels, **settings):
    """Convolution, batch normalization, ReLU."""
    x = nn.apply(nn.Normalization(), nn.apply(nn.Conv(channels, bias=False, **settings), x))
    return nn.apply(nn.Activation(), x)


def drawn_unet(classes, window=WINDOW, width=16, depth=4):
    """A U-Net as a person would draw it; its first convolution halves the picture, which makes it five times cheaper on a CPU."""
    h = nn.input_tensor(nn.Input("image", (1, window, window)))
    h, skips = block(h, width, kernel_size=5, stride=2, padding=2), []
    for i in range(depth):
        h = block(block(h, width * 2**i), width * 2**i)
        skips.append(h)
        h = nn.apply(nn.Pooling(), h)
    h = block(block(h, width * 2 ** (depth - 1)), width * 2 ** (depth - 1))
    for i in reversed(range(depth)):
        h = nn.apply(nn.Merge("concat"), skips[i], nn.apply(nn.Upsample(), h))
        h = block(block(h, width * 2**i), width * 2**i)
    h = nn.apply(nn.Upsample("linear"), nn.apply(nn.Conv(classes, kernel_size=1), h))
    return nn.build_network((h,), "drawn U-Net")


def main():
    """Train, test, print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", nargs="?", type=Path, default=Path("magnetic-tile"))
    parser.add_argument("--output", type=Path, default=Path("output"))
    parser.add_argument("--steps", type=int, default=600)
    options = parser.parse_args()
    if not options.folder.is_dir():
        print(
            f"segmentation models: skipped, because {options.folder} is not there; give the folder of magnetic tiles."
        )
        return
    torch.set_num_threads(2)
    dataset = masked_folder(options.folder, classes=CLASSES, color=False).with_transforms(
        transforms.Normalize(),
        transforms.DefectWindow(p=0.8, smallest=0.8, largest=1.25, count=12),
        transforms.Flip(0.5, 0.5),
        transforms.Color(0.2, 0.2, 0.0, 0.0),
    )
    plans = {
        name: {"architecture": name, "encoder": encoder, "size": WINDOW, "channels": 1}
        for name, encoder in MODELS.items()
    }
    experiment = Experiment(
        "magnetic-tile",
        "architectures",
        models={"drawn U-Net": drawn_unet(len(CLASSES)), **plans},
        datasets={"tiles": dataset},
        losses={"cross entropy + dice": LossSum(((1.0, Loss()), (1.0, Loss("dice"))))},
        optimizer=Optimizer(learning_rate=3e-3, weight_decay=0.05, schedule="one cycle"),
        settings=FitSettings(max_steps=options.steps, batch_size=8, device="cpu", metric="auto"),
        choices=(Choice(), Choice(model="drawn U-Net", train={"max_steps": 5 * options.steps})),
    )
    began = time.monotonic()
    results = run_experiment(experiment, options.output)
    print(results.text())
    best = results.best()[0]
    score = best.scores["mIoU of defects"]
    minutes = (time.monotonic() - began) / 60
    print(
        f"segmentation models: best mIoU of defects {score:.3f} ({best.model}), {len(results.rows)} models in {minutes:.0f} min"
    )


if __name__ == "__main__":
    main()
