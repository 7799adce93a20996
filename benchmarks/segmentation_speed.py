"""Training speed of a segmentation network on the CPU: ours against a hand-written loop with the same model, pictures and transforms.

Both train segmentation_models_pytorch's U-Net with ResNet-18 on windows of 256 pixels, in turn, in one process.
"""

import statistics
import tempfile
import time
from pathlib import Path

import torch
from torch.nn import functional as F
from torch.utils.data import DataLoader
from torch.utils.data import Dataset as TorchDataset
from torchvision import tv_tensors
from torchvision.transforms import v2
from visionsmith import nn_layers as nn
from visionsmith.training import Dataset, FitSettings, Loss, Optimizer, fit
from visionsmith.training import transforms as tf
from visionsmith.training.segmentation.samples import MaskedTensors, pixel_counts, segmentation_dataset

REPEATS, BATCH, WINDOW, CLASSES = 5, 4, 256, 3


def noise(count: int = 24, height: int = 320, width: int = 400) -> Dataset:
    """Pictures of noise, each with a few small defects of two classes."""
    generator = torch.Generator().manual_seed(0)
    pictures = torch.randint(0, 256, (count, 3, height, width), generator=generator, dtype=torch.uint8)
    masks = torch.zeros(count, height, width, dtype=torch.uint8)
    for i, mask in enumerate(masks):
        mask[30 + i : 50 + i, 60:70] = 1
        mask[200:210, 300 - i : 330 - i] = 2
    counts = torch.stack([pixel_counts(mask) for mask in masks])
    samples = MaskedTensors(list(pictures), list(masks), counts)
    dataset = segmentation_dataset("noise", {"train": samples}, ("surface", "scratch", "dent"))
    return dataset.with_transforms(tf.DefectWindow(p=0.0), tf.Flip(0.5, 0.5), tf.Color(0.2, 0.2, 0.2), tf.Noise(0.3))


def ours(dataset: Dataset) -> float:
    """Seconds per step, without the first."""
    layer = nn.SegmentationModel("unet", "resnet18", CLASSES)
    drawn = nn.apply(layer, nn.input_tensor(nn.Input("image", (3, WINDOW, WINDOW))))
    network = nn.build_network((drawn,), "unet")
    settings = FitSettings(epochs=1, batch_size=BATCH, metric="mIoU", device="cpu", seed=int(time.time() * 1e6) % 2**31)
    with tempfile.TemporaryDirectory() as folder:
        steps = fit(network, dataset, Loss(), Optimizer("AdamW", schedule="constant"), settings, Path(folder))
        next(steps)
        start, last = time.perf_counter(), 0.0
        for progress in steps:
            if progress.record is None:
                last = time.perf_counter()
        return (last - start) / (progress.steps - 1)


class Windows(TorchDataset):
    """What a person writes: pictures and masks in memory, torchvision's transforms on both."""

    def __init__(self, dataset: Dataset):
        self.samples = dataset.split("train")
        self.transform = v2.Compose(
            [
                v2.RandomCrop(WINDOW),
                v2.RandomHorizontalFlip(),
                v2.RandomVerticalFlip(),
                v2.ColorJitter(0.2, 0.2, 0.2),
                v2.RandomApply([v2.GaussianNoise(sigma=0.03)], 0.3),
            ]
        )

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, torch.Tensor]:
        picture, mask = tv_tensors.Image(self.samples[index]), tv_tensors.Mask(self.samples.mask(index))
        picture, mask = self.transform(picture, mask)
        return picture.float() / 255, mask.long()


def by_hand(dataset: Dataset) -> float:
    """Seconds per step, without the first."""
    import segmentation_models_pytorch as smp

    model = smp.Unet("resnet18", encoder_weights=None, classes=CLASSES).train()
    optimizer = torch.optim.AdamW(model.parameters(), 1e-3)
    count, start = 0, 0.0
    for inputs, targets in DataLoader(Windows(dataset), BATCH, shuffle=True):
        loss = F.cross_entropy(model(inputs), targets, ignore_index=255)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        loss.item()  # as any loop that shows its loss does
        count += 1
        if count == 1:
            start = time.perf_counter()
    return (time.perf_counter() - start) / (count - 1)


if __name__ == "__main__":
    data, ratios = noise(), []
    for way in (ours, by_hand):
        way(data)
    for _ in range(REPEATS):
        mine = ours(data)
        ratios.append(by_hand(data) / mine)
    print(
        f"training speed, U-Net with ResNet-18, 256 px, batch {BATCH}: {statistics.median(ratios):.2f} × a hand-written loop (at least 0.95)"
    )
