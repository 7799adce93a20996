"""The workflow of the tests of panels, and an experiment that one of them reads."""

import json

from visionsmith import nn_layers as nn
from visionsmith.training.results import Results, Row
from visionsmith.training.run import BEST, SETTINGS
from visionsmith.training.trial import TRAIN

TEST, PREVIEW, STATISTICS, PREDICT, REMOVE, FIND = 7, 2, 3, 9, 11, 12
PLACES = {
    PREVIEW: (330, 0, 460, 560),
    STATISTICS: (330, 620, 460, 340),
    TEST: (830, 0, 480, 540),
    PREDICT: (830, 620, 480, 700),
    REMOVE: (1350, 0, 430, 620),
    FIND: (1350, 680, 430, 640),
}
"""Node → left, top, width and height."""


def workflow(folder="sample", dataset=(), picture="marked.png"):
    """A dataset with its panels, a network that is not trained, what it says, an eraser, and an experiment that is done."""
    nodes, links = [], []

    def node(id, type, widgets=(), inputs=(), outputs=()):
        left, top, width, height = PLACES.get(id, (0, 330 * (id % 5), 280, 200))
        sockets = []
        for number, (name, kind, source, slot) in enumerate(inputs):
            links.append([len(links) + 1, source, slot, id, number, kind])
            sockets.append({"name": name, "type": kind, "link": len(links)})
        nodes.append({
            "id": id, "type": type, "pos": [left, top], "size": [width, height], "mode": 0, "flags": {}, "properties": {},
            "widgets_values": list(widgets), "inputs": sockets, "outputs": [{"name": name, "type": kind, "links": []} for name, kind in outputs],
        })  # fmt: skip

    data, net, tensor = "VISIONSMITH_DATASET", "VISIONSMITH_NETWORK", "VISIONSMITH_TENSOR"
    image = [("image", "IMAGE")]
    values = dataset or (
        "folders",
        folder,
        "",
        "",
        "auto",
        "",
        "refuse",
        "",
        "color",
        "by chance",
        0.2,
        0.2,
        0,
        "fixed",
    )
    node(1, "VisionsmithSegmentationDataset", values, outputs=[("dataset", data)])
    node(
        PREVIEW,
        "VisionsmithDatasetPreview",
        ["train", 12, 0, "fixed"],
        [("dataset", data, 1, 0)],
        [("picture", "IMAGE")],
    )
    node(
        STATISTICS,
        "VisionsmithDatasetStatistics",
        (),
        [("dataset", data, 1, 0)],
        [("table", "STRING"), ("chart", "IMAGE")],
    )
    node(4, "VisionsmithInput", ["image", 3, 64, 64], outputs=[("tensor", tensor)])
    node(
        5,
        "VisionsmithConv",
        [2, 1, 1, "same", 1, 1, True, False, "zeros", ""],
        [("tensor", tensor, 4, 0)],
        [("tensor", tensor)],
    )
    node(6, "VisionsmithBuildNetwork", (), [("outputs.output0", tensor, 5, 0)], [("network", net)])
    node(TEST, "VisionsmithTest", ["test", 16], [("network", net, 6, 0), ("dataset", data, 1, 0)])
    node(8, "VisionsmithDatasetToImages", ["test", 3, 0, "fixed"], [("dataset", data, 1, 0)], [("images", "IMAGE")])
    node(
        PREDICT,
        "VisionsmithPredictSegmentation",
        ["", 0, 0.25, False, 1, 8],
        [("network", net, 6, 0), ("images", "IMAGE", 8, 0)],
    )
    node(10, "LoadImage", [picture, "image"], outputs=[*image, ("mask", "MASK")])
    node(
        REMOVE,
        "VisionsmithRemoveObject",
        ["smooth", 4, 4, False, 128, 800],
        [("images", "IMAGE", 10, 0), ("masks", "MASK", 10, 1)],
        [("images", "IMAGE")],
    )
    node(13, "PreviewImage", (), [("images", "IMAGE", REMOVE, 0)])
    node(FIND, "VisionsmithFindBest", ["experiments/views", "", "auto"])
    for number, source, slot, _, _, _ in links:
        outputs = next(one for one in nodes if one["id"] == source)["outputs"]
        outputs[slot]["links"].append(number)
    return {"last_node_id": 30, "last_link_id": 30, "nodes": nodes, "links": links, "groups": [], "version": 0.4}


def write_experiment(folder):
    """An experiment with two trainings that are done."""
    output = nn.apply(nn.Linear(10), nn.input_tensor(nn.Input("features", (4,))))
    network = nn.build_network((output,), "linear", 0)
    rows = []
    for number, name in enumerate(("one", "two")):
        nn.save_network(network, folder / name / TRAIN, BEST)
        (folder / name / TRAIN / SETTINGS).write_text(json.dumps({"metric": "accuracy", "warnings": []}))
        scores = {"loss": 0.5 - 0.1 * number, "accuracy": 0.8 + 0.1 * number}
        rows.append(Row(name, "digits", "cross entropy", 0, scores, scores, folder=name))
    Results("experiments", "views", "test", tuple(rows)).save(folder, picture=False)
