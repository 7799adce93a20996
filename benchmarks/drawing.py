"""Cost of drawing: 1,000 layers against 500 (2.0 is linear), and seconds for 100 pairs of Conv(256 → 256) and ReLU."""

import statistics
import time

from visionsmith import nn_layers as nn
from visionsmith.nn_layers.tensor import infer


def seconds(count: int) -> float:
    """Draw a chain of layers that all differ, so that none of them is found in the cache."""
    infer.cache_clear()
    tensor, start = nn.input_tensor(nn.Input("image", (16, 32, 32))), time.perf_counter()
    for index in range(count):
        tensor = nn.apply(nn.Conv(16, dilation=1 + index), tensor)
    return time.perf_counter() - start


def pairs() -> float:
    infer.cache_clear()
    tensor, start = nn.input_tensor(nn.Input("image", (256, 32, 32))), time.perf_counter()
    for _ in range(100):
        tensor = nn.apply(nn.Activation(), nn.apply(nn.Conv(256), tensor))
    return time.perf_counter() - start


if __name__ == "__main__":
    seconds(100)
    ratio = statistics.median(seconds(1000) / seconds(500) for _ in range(5))
    print(
        f"drawing: 1,000 layers take {ratio:.2f} × the time of 500 (at most 2.2); 100 Conv+ReLU pairs {pairs():.3f} s (under 1)"
    )
