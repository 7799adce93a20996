"""Prompts in API format that tests put together."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

Prompt = dict[str, dict[str, Any]]


def shipped(name: str) -> Prompt:
    """A shipped workflow in API format."""
    return json.loads((Path(__file__).resolve().parents[2] / "workflows" / "api" / f"{name}.json").read_text())


def node_of(prompt: Prompt, class_type: str) -> str:
    """The id of the first node of a class."""
    return next(node_id for node_id, node in prompt.items() if node["class_type"] == f"Visionsmith{class_type}")


def training(epochs: int, seed: int = 0, lr: float = 0.003) -> Prompt:
    """The shipped digits workflow without everything behind Train."""
    prompt = shipped("digits-classifier")
    keep = {"Test", "Predict", "DatasetToImages", "DatasetPreview", "DatasetStatistics", "NetworkSummary"}
    prompt = {i: node for i, node in prompt.items() if node["class_type"].removeprefix("Visionsmith") not in keep}
    prompt = {i: node for i, node in prompt.items() if node["class_type"].startswith("Visionsmith")}
    prompt[node_of(prompt, "Train")]["inputs"] |= {"epochs": epochs, "seed": seed}
    prompt[node_of(prompt, "Optimizer")]["inputs"]["learning_rate"] = lr
    return prompt


def picture(seed: int) -> Prompt:
    """Core nodes only: noise of a colour, blurred, sharpened and scaled."""
    return {
        "1": {
            "class_type": "EmptyImage",
            "inputs": {"width": 96, "height": 64, "batch_size": 1, "color": 7_654_321 + seed},
        },
        "2": {"class_type": "EmptyImage", "inputs": {"width": 32, "height": 32, "batch_size": 1, "color": 16_711_680}},
        "3": {
            "class_type": "ImageCompositeMasked",
            "inputs": {"destination": ["1", 0], "source": ["2", 0], "x": 20, "y": 10, "resize_source": False},
        },
        "4": {"class_type": "ImageBlur", "inputs": {"image": ["3", 0], "blur_radius": 5, "sigma": 2.0}},
        "5": {
            "class_type": "ImageSharpen",
            "inputs": {"image": ["4", 0], "sharpen_radius": 2, "sigma": 1.0, "alpha": 0.7},
        },
        "6": {"class_type": "SaveImage", "inputs": {"images": ["5", 0], "filename_prefix": "plain"}},
    }
