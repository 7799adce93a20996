"""Memory of testing a segmentation network on one picture of 4,096 × 4,096 pixels, beyond the network and what is imported.

With the argument "small" a network of three convolutions takes the place of U-Net with ResNet-18: quicker, and the picture needs the same.
"""

import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
import psutil
import torch
from PIL import Image
from visionsmith import nn_layers as nn
from visionsmith.training import evaluate
from visionsmith.training.segmentation.folders import masked_folder

SIDE, WINDOW, LIMIT = 4096, 256, 1.5e9
CLASSES = ("surface", "scratch", "dent", "stain")


def small(tensor: nn.SymbolicTensor) -> nn.SymbolicTensor:
    """Three convolutions."""
    for _ in range(2):
        tensor = nn.apply(nn.Activation(), nn.apply(nn.Conv(8), tensor))
    return nn.apply(nn.Conv(len(CLASSES)), tensor)


def draw(is_small: bool) -> nn.Network:
    """The network that is tested, its weights random."""
    tensor = nn.input_tensor(nn.Input("image", (3, WINDOW, WINDOW)))
    layer = nn.SegmentationModel("unet", "resnet18", len(CLASSES))
    return nn.build_network((small(tensor) if is_small else nn.apply(layer, tensor),))


def write(folder: Path, side: int) -> Path:
    """A folder with one picture of noise whose mask has hundreds of small defects of every class."""
    generator = np.random.default_rng(0)
    mask = np.zeros((side, side), np.uint8)
    for top, left in generator.integers(0, side, (side // 4, 2)):
        mask[top : top + 20, left : left + 9] = 1 + (top + left) % 3
    picture = generator.integers(0, 256, (side // 8, side // 8, 3), np.uint8).repeat(8, 0).repeat(8, 1)
    for name, values in (("images", picture), ("masks", mask)):
        (folder / name).mkdir(parents=True)
        Image.fromarray(values).save(folder / name / "large.png", compress_level=1)
    return folder


def tested(network: nn.Network, folder: Path) -> None:
    """What the Test node does."""
    dataset = masked_folder(folder, classes=CLASSES, coding="index", val=0, test=0)
    evaluate(network, dataset, "train", batch_size=8)


def peak_of(call) -> int:
    """The most bytes that are in memory while `call` runs, beyond those before."""
    process, done = psutil.Process(), threading.Event()
    before = most = process.memory_info().rss

    def watch() -> None:
        nonlocal most
        while not done.is_set():
            most = max(most, process.memory_info().rss)
            time.sleep(0.005)

    watcher = threading.Thread(target=watch)
    watcher.start()
    call()
    done.set()
    watcher.join()
    return most - before


if __name__ == "__main__":
    torch.set_num_threads(2)
    network = draw("small" in sys.argv[1:])
    with tempfile.TemporaryDirectory() as root:
        tested(
            network, write(Path(root, "little"), WINDOW)
        )  # so that imports and the network's own buffers do not count
        large = write(Path(root, "large"), SIDE)
        began = time.perf_counter()
        used = peak_of(lambda: tested(network, large))
        seconds = time.perf_counter() - began
    print(
        f"large picture: testing {network.spec.name} on {SIDE} × {SIDE} pixels takes {used / 1e9:.2f} GB beyond the network (under {LIMIT / 1e9:g}), {seconds:.0f} s"
    )
