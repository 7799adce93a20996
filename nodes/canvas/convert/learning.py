"""What is around the layers: the model, its data, its training and its test."""

from __future__ import annotations

import re
from pathlib import PurePosixPath, PureWindowsPath
from typing import Any

from .drawing import Drawing
from .layers import read_numbers, whole
from .network import Network
from .old import LAYERS, OldNode, OldWorkflow, Port
from .shapes import model_of, resize_of

IMAGENET = ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
LOSSES = {"CrossEntropyLoss": "cross entropy", "Binary Cross Entropy Loss": "binary cross entropy"}
DATASETS = ("create_dataset",)


def draw_learning(old: OldWorkflow, new: Drawing, network: Network) -> None:
    """Draw everything that is not a layer."""
    draw = {
        "create_model": lambda node: _model(old, new, network, node),
        "create_dataset": lambda node: _dataset(old, new, node),
        "create_training_task": lambda node: _training(old, new, node),
        "forward_test": lambda node: _test(old, new, node),
        "show_dimensions": lambda node: _dimensions(old, new, node),
    }
    for node in old.ordered():
        if node.type in draw:
            draw[node.type](node)
    for node in old.nodes.values():
        if node.type == "create_model" and node.values["save_serialization"]:
            _save(old, new, node)
    results = {"VisionsmithTrain", "VisionsmithSaveNetwork", "VisionsmithNetworkSummary", "VisionsmithPredict"}
    if not results & {made.cls.GET_SCHEMA().node_id for made in new.nodes}:
        for node in old.nodes.values():
            if node.type == "create_model":
                new.add("NetworkSummary", {}, {"network": new.ports.get((node.id, 0))}, node, beside=True)


def _model(old: OldWorkflow, new: Drawing, network: Network, node: OldNode) -> None:
    layer = old.source_node(node, "layer", LAYERS)
    tensor = network.results.get(layer.id) if layer else None
    if tensor is None:
        new.note(node, "no layer is wired to it; Build Network has no output to build.")
    elif layer.type == "activation_function" and layer.values["act_func_type"] in ("Softmax", "Sigmoid"):
        new.note(layer, "it is kept, but the loss brings its own; the network learns better without this last layer.")
    count = sum(made.cls.GET_SCHEMA().node_id == "VisionsmithBuildNetwork" for made in new.nodes)
    name = f"network-{count + 1}" if count else "network"
    port = new.add("BuildNetwork", {"name": name}, {"outputs.output0": tensor}, node)
    new.ports[node.id, 0] = port


def _save(old: OldWorkflow, new: Drawing, node: OldNode) -> None:
    """Save Network for a create_model that wrote a pickle; behind the training if there is one."""
    stem = PureWindowsPath(str(node.values["save_path"])).stem
    folder = f"networks/{re.sub(r'[^A-Za-z0-9_-]+', '-', stem).strip('-') or 'network'}"
    tasks = [task for task in old.nodes.values() if task.type == "create_training_task"]
    task = next((task for task in tasks if model_of(old, task) is node), node)
    new.add("SaveNetwork", {"folder": folder}, {"network": new.ports[task.id, 0]}, node, beside=True)
    what = "the untrained network" if task is node else "the trained network"
    new.note(node, f"Save Network writes {what} to {folder} below the output folder, instead of the pickle {node.values['save_path']}.")  # fmt: skip


def _dataset(old: OldWorkflow, new: Drawing, node: OldNode) -> None:
    train, val = str(node.values["train_data_path"]), str(node.values["val_data_path"])
    folder, own_val = _folder(train, val)
    if not node.values["val_data"]:
        folder, shares = PureWindowsPath(train).name or "dataset", {"val": 0.0, "test": 0.0}
    else:
        shares = {"val": 0.0 if own_val else 0.15, "test": 0.0}
    new.note(
        node,
        f"Image Folder reads {folder} below ComfyUI's input folder; move the pictures of {train}{f' and {val}' if node.values['val_data'] else ''} "
        f"there, or list the folder above them in VISIONSMITH_DATA_ROOTS.",
    )
    if node.values["val_data"] and not own_val:
        new.note(node, "its train and val folders do not lie side by side as train and val; 15 % of the pictures are taken for val, put both into one folder to keep them.")  # fmt: skip
    port = raw = new.add("ImageFolder", {"folder": folder, **shares}, {}, node)
    for values in _transforms(new, node):
        port = new.add("Transform", values, {"dataset": port}, node, beside=True)
    new.ports[node.id, 0] = new.ports[node.id, 1] = port
    wanted = {slot for user in old.nodes.values() for id, slot in user.links.values() if id == node.id}
    new.ports[node.id, 5] = old.source(node, "forward_image")
    if wanted & {2, 3, 4} or (5 in wanted and new.ports[node.id, 5] is None):
        some = new.add("DatasetToImages", {"split": "train", "count": 1}, {"dataset": raw}, node, beside=True)
        new.note(node, "Dataset to Images takes a picture by chance, seed by seed, instead of one by its number.")
        new.ports |= {(node.id, 2): some, (node.id, 3): (some[0], 1), (node.id, 4): some}
        new.ports[node.id, 5] = new.ports[node.id, 5] or some


def _folder(train: str, val: str) -> tuple[str, bool]:
    """The folder that holds train and val, or else the one of train alone; and which of the two it is."""
    style = PureWindowsPath if "\\" in train or re.match(r"[A-Za-z]:", train) else PurePosixPath
    first, second = style(train), style(val)
    together = first.parent == second.parent and first.name.lower() == "train" and second.name.lower() in ("val", "valid", "validation")  # fmt: skip
    return ((first.parent.name if together else first.name) or "dataset"), together


def _transforms(new: Drawing, node: OldNode) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    if node.values["resize"]:
        sizes = read_numbers(node.values["resize_w_h"])
        size = resize_of(node)
        if size is None:
            new.note(node, f"resize_w_h {node.values['resize_w_h']!r} cannot be read; set the size on Transform.")
        elif len(sizes) == 1:
            new.note(node, f"it resized the shorter side to {size[0]}; Transform makes {size[0]} × {size[1]} of every picture.")  # fmt: skip
        elif size[0] != size[1]:
            new.note(node, f"resize_w_h was read as height, width: pictures are {size[0]} high and {size[1]} wide.")
        height, width = size or (64, 64)
        found.append({"type": "resize", "type.height": height, "type.width": width, "type.fit": "stretch"})
    if node.values["normalize"]:
        given = tuple(read_numbers(node.values[key]) for key in ("mean", "std"))
        source = "imagenet" if given == IMAGENET else "data"
        if source == "data":
            new.note(node, f"mean {node.values['mean']} and std {node.values['std']} are not ImageNet's; Transform measures the training pictures' own.")  # fmt: skip
        found.append({"type": "normalize", "type.source": source})
    return found


def _training(old: OldWorkflow, new: Drawing, node: OldNode) -> None:
    model, data = model_of(old, node), old.source_node(node, "train_dataset", DATASETS)
    source, val = old.source(node, "model"), old.source_node(node, "val_dataset", DATASETS)
    if val is not None and data is not None and val is not data:
        new.note(node, f"its val pictures came from {val.name}; Train takes those of {data.name}'s folder.")
    links: dict[str, Port | None] = {
        "network": new.ports.get(source) if source else None,
        "dataset": new.ports.get((data.id, 0)) if data else None,
    }
    missing = [name for name, port in links.items() if port is None]
    if missing:
        new.note(node, f"nothing is wired to its {' and '.join(missing)}; connect it before you run.")
    if model is not None:
        loss = LOSSES.get(str(model.values["loss"]), "cross entropy")
        links["loss"] = new.add("Loss", {"type": loss}, {}, node, beside=True)
        rate = read_numbers(model.values["lr"])
        if rate is None or not rate[0] > 0:
            rate = [_exponent(new, model)]
        settings = {"type": "AdamW", "learning_rate": rate[0], "weight_decay": 0.01, "schedule": "constant"}
        links["optimizer"] = new.add("Optimizer", settings, {}, node, beside=True)
    values = {key: whole(new, node, key) for key in ("epochs", "batch_size")}
    new.ports[node.id, 0] = new.add("Train", values, links, node)
    new.note(node, f"Train gives the weights of its best epoch and keeps its run below output/runs, not in {node.values['save_log_path'] or 'a folder of its own'}.")  # fmt: skip


def _exponent(new: Drawing, model: OldNode) -> float:
    """A learning rate that is written as 1e-3; the pack's default, with a note, if it is no number above zero."""
    try:
        rate = float(model.values["lr"])
        if 0 < rate < float("inf"):
            return rate
    except (TypeError, ValueError):
        pass
    new.note(model, f"lr {model.values['lr']!r} is no number above zero; 0.001 is taken instead.")
    return 0.001


def _test(old: OldWorkflow, new: Drawing, node: OldNode) -> None:
    source, tensor = old.source(node, "model"), old.source(node, "tensor")
    network = new.ports.get(source) if source else None
    data = old.source_node(node, "tensor", DATASETS)
    if node.values["load_ckpt"]:
        new.note(node, f"the checkpoint {node.values['ckpt_path']} is Lightning's and cannot be read; Train finds its own finished run again.")  # fmt: skip
    if data is None or node.values["return_shape"]:
        port = new.add("NetworkSummary", {}, {"network": network}, node)
        new.ports[node.id, 0] = new.ports[node.id, 1] = (port[0], 1)
        new.note(node, "Network Summary shows the shape of every layer now, without a test tensor.")
        return
    images = new.ports.get(tensor)
    port = new.add("Predict", {}, {"network": network, "images": images}, node)
    new.ports[node.id, 0], new.ports[node.id, 1] = (port[0], 1), None
    new.note(node, "Predict gives classes and probabilities, and prepares the picture as in training.")


def _dimensions(old: OldWorkflow, new: Drawing, node: OldNode) -> None:
    source = old.source(node, "tensor")
    new.ports[node.id, 0] = new.ports.get(source) if source else None
    new.note(node, "it is left out: every layer shows its shape on its node, and Network Summary all of them.")
