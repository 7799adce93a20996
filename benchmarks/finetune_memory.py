"""Memory of training a LoRA: ours against diffusers' example script, with the model and settings of finetune_speed.py, in fresh processes.

Twice the bytes at the peak: of all tensors, the model's weights included, and of the process beyond what it had when everything was imported
(Linux). Both encode the picture and the caption at every step, as the script does; then ours with both kept, as it is by default.
"""

import subprocess
import sys
import tempfile
import threading
import time
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import torch
from finetune_speed import finetune, model, one_picture, script
from inversion import Peak
from train_memory import resident

STEPS, SIDE = 4, 256
WAYS = ("script", "ours", "kept")
TENSORS, PROCESS = "tensors", "process"


def train(way: str, folder: Path) -> None:
    """A few steps of a way."""
    torch.manual_seed(0)
    file, concepts, settings = one_picture(folder, SIDE, STEPS)
    if way == "script":
        steps = script(model(), settings, file, SIDE)
    else:
        steps = finetune(model(), concepts, replace(settings, cache=way == "kept"), folder / "run", "a")
    with closing(steps):
        taken = 0
        while taken < STEPS - 1:
            step = next(steps)
            taken += way == "script" or step.stage == "train"


def tensors(way: str) -> int:
    """Bytes of all tensors at the peak."""
    with tempfile.TemporaryDirectory() as folder, Peak() as peak:
        train(way, Path(folder))
    return peak.most


def process(way: str) -> int:
    """Bytes of the process at the peak, beyond those from before."""
    with tempfile.TemporaryDirectory() as folder:
        before, most, done = resident(), [0], threading.Event()

        def watch() -> None:
            while not done.is_set():
                most[0] = max(most[0], resident())
                time.sleep(0.001)

        watcher = threading.Thread(target=watch)
        watcher.start()
        train(way, Path(folder))
        done.set()
        watcher.join()
    return most[0] - before


def imported() -> None:
    """Import what both ways import, so that it does not count."""
    import diffusers.loaders  # noqa: F401
    import peft  # noqa: F401
    from lightning_fabric import Fabric
    from torchvision import transforms  # noqa: F401

    model()
    Fabric(accelerator="cpu")


def main() -> None:
    """Measure each way in a process of its own, and print the ratios."""
    torch.set_num_threads(1)
    if len(sys.argv) == 3:
        imported()
        print({TENSORS: tensors, PROCESS: process}[sys.argv[1]](sys.argv[2]))
        return
    found = {}
    for what in (TENSORS, PROCESS):
        for way in WAYS:
            done = subprocess.run([sys.executable, __file__, what, way], check=True, capture_output=True, text=True)
            found[what, way] = int(done.stdout.split()[-1])
    told = ", ".join(
        f"{found[what, 'ours'] / found[what, 'script']:.2f} × {name} ({found[what, 'ours'] / 2**20:.0f} MiB; "
        f"{found[what, 'kept'] / found[what, 'script']:.2f} × with pictures and captions kept)"
        for what, name in ((TENSORS, "of all tensors"), (PROCESS, "of the process"))
    )
    print(f"fine-tuning memory against diffusers' example at the peak (at most 1): {told}")


if __name__ == "__main__":
    main()
