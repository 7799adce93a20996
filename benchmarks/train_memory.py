"""Memory of training, in copies of the weights: weights, gradients and Adam's two averages make 4, an average of the weights (EMA) 5."""

import os
import tempfile
import threading
import time
from pathlib import Path

import torch
from visionsmith import nn_layers as nn
from visionsmith.training import Dataset, FitSettings, Loss, Optimizer, fit
from visionsmith.training.dataset import TensorSamples

WIDTH = 4096  # two square layers of this width: 134 MB of weights


def resident() -> int:
    """Bytes of this process that are in memory (Linux)."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def copies(average: float) -> float:
    """How many copies of the weights a training holds in the middle of an epoch, the network that was handed in left out."""
    tensor = nn.input_tensor(nn.Input("features", (WIDTH,)))
    for _ in range(2):
        tensor = nn.apply(nn.Linear(WIDTH), tensor)
    network = nn.build_network((nn.apply(nn.Linear(2), tensor),))
    data = Dataset(
        "noise", "classification", ("a", "b"), {"train": TensorSamples(torch.randn(64, WIDTH), torch.arange(64) % 2)}
    )
    before = resident()
    settings = FitSettings(epochs=1, batch_size=4, average=average, device="cpu")
    with tempfile.TemporaryDirectory() as folder:
        steps, most, done = fit(network, data, Loss(), Optimizer(), settings, Path(folder)), [0], threading.Event()

        def watch() -> None:
            while not done.is_set():
                most[0] = max(most[0], resident())
                time.sleep(0.002)

        for _ in range(3):
            next(steps)
        watcher = threading.Thread(target=watch)
        watcher.start()
        for _ in range(8):
            next(steps)
        done.set()
        watcher.join()
        steps.close()
    return (most[0] - before) / (4 * network.spec.parameters)


if __name__ == "__main__":
    from lightning_fabric import Fabric  # so that importing it does not count

    Fabric(accelerator="cpu")
    print(
        f"training memory: {copies(0.0):.2f} copies of the weights (4 are needed), {copies(0.999):.2f} with an average (5 are needed)"
    )
