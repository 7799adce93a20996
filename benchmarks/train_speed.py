"""Training speed on the CPU: ours against a hand-written PyTorch loop and against Lightning's Trainer with its defaults.

All three train the same module on the same tensors with the same optimizer, in turn, in one process.
"""

import copy
import logging
import statistics
import tempfile
import time
import warnings
from pathlib import Path

import torch
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset
from visionsmith import nn_layers as nn
from visionsmith.training import Dataset, FitSettings, Loss, Optimizer, fit, sources
from visionsmith.training.dataset import TensorSamples

REPEATS = 5


def block(tensor: nn.SymbolicTensor, channels: int, stride: int = 1) -> nn.SymbolicTensor:
    conv = nn.apply(nn.Conv(channels, stride=stride, bias=False), tensor)
    return nn.apply(nn.Activation(), nn.apply(nn.Normalization(), conv))


def draw(channels: int, size: int, widths: tuple[int, ...], stride: int, classes: int) -> nn.Network:
    tensor = nn.input_tensor(nn.Input("image", (channels, size, size)))
    for width in widths:
        tensor = block(tensor, width, stride)
    return nn.build_network(
        (nn.apply(nn.Linear(classes), nn.apply(nn.Pooling("average", "global"), tensor)),), "benchmark"
    )


def cases() -> dict[str, tuple[nn.Network, Dataset, int, int]]:
    """Name → network, training set, batch size and epochs."""
    digits = sources.digits(val=0, test=0)
    pictures = torch.randint(0, 256, (192, 3, 256, 256), dtype=torch.uint8)
    large = Dataset("noise", "classification", ("a", "b"), {"train": TensorSamples(pictures, torch.arange(192) % 2)})
    return {
        "digits CNN, batch 64": (draw(1, 8, (32, 32, 64), 1, 10), digits, 64, 3),
        "256-px CNN, batch 8": (draw(3, 256, (16, 32, 64), 2, 2), large, 8, 2),
    }


def ours(network: nn.Network, dataset: Dataset, batch: int, epochs: int) -> float:
    settings = FitSettings(
        epochs=epochs, batch_size=batch, metric="accuracy", device="cpu", seed=int(time.time() * 1e6) % 2**31
    )
    with tempfile.TemporaryDirectory() as folder:
        steps = fit(network, dataset, Loss(), Optimizer("AdamW", schedule="constant"), settings, Path(folder))
        next(steps)
        start, last = time.perf_counter(), None
        for progress in steps:
            if progress.record is None:
                last = time.perf_counter()
        return (last - start) / (progress.steps - 1)


def tensors(dataset: Dataset) -> TensorDataset:
    samples = dataset.split("train")
    return TensorDataset(torch.stack([samples[i] for i in range(len(samples))]), samples.targets)


def by_hand(network: nn.Network, dataset: Dataset, batch: int, epochs: int) -> float:
    model = copy.deepcopy(network.module).train()
    optimizer = torch.optim.AdamW(model.parameters(), 1e-3)
    loader, count, start = DataLoader(tensors(dataset), batch, shuffle=True), 0, 0.0
    for _ in range(epochs):
        for x, y in loader:
            loss = F.cross_entropy(model(x.float() / 255), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            loss.item()  # as any loop that shows its loss does
            count += 1
            if count == 1:
                start = time.perf_counter()
    return (time.perf_counter() - start) / (count - 1)


def lightning(network: nn.Network, dataset: Dataset, batch: int, epochs: int) -> float:
    import lightning

    class Task(lightning.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.model, self.began, self.count, self.ended = copy.deepcopy(network.module), 0.0, 0, 0.0

        def training_step(self, batch, index):
            return F.cross_entropy(self.model(batch[0].float() / 255), batch[1])

        def on_train_batch_end(self, *args) -> None:
            self.count, self.ended = self.count + 1, time.perf_counter()
            self.began = self.began or self.ended

        def configure_optimizers(self):
            return torch.optim.AdamW(self.parameters(), 1e-3)

    task = Task()
    with tempfile.TemporaryDirectory() as folder:
        trainer = lightning.Trainer(
            max_epochs=epochs, accelerator="cpu", default_root_dir=folder, enable_model_summary=False
        )
        trainer.fit(task, DataLoader(tensors(dataset), batch, shuffle=True))
    return (task.ended - task.began) / (task.count - 1)


if __name__ == "__main__":
    warnings.filterwarnings("ignore")
    logging.getLogger("lightning").setLevel(logging.ERROR)
    for name, case in cases().items():
        times = {way: [] for way in (ours, by_hand, lightning)}
        for way in times:
            way(*case)
        for _ in range(REPEATS):
            for way, seconds in times.items():
                seconds.append(way(*case))
        hand, trainer = (
            statistics.median(o / t for o, t in zip(times[way], times[ours], strict=True))
            for way in (by_hand, lightning)
        )
        print(
            f"training speed, {name}: {hand:.2f} × a hand-written loop (at least 0.97), {trainer:.2f} × Lightning's Trainer (above 1)"
        )
