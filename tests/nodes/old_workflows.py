"""Workflows of the pack comfyui-Build-and-train-your-network, in API format and as its canvas saved them."""

WIDGETS = {
    "linear_layer": ["in_features", "out_features", "res_type"],
    "activation_function": ["act_func_type", "res_type"],
    "view_layer": ["flatten_dimension", "res_type"],
    "Conv_layer": ["in_channels", "out_channels", "kernel_size", "padding", "stride", "res_type"],
    "Normalization_layer": ["mode", "normalized_shape", "res_type"],
    "pooling_layer": ["mode", "normalized_shape", "res_type"],
    "pre_train_layer": ["mode", "use_weights", "freeze_weights", "res_type"],
    "create_intput": ["tensor_Dimensions"],
    "create_model": ["lr", "loss", "save_serialization", "save_path"],
    "create_dataset": [
        "resize", "normalize", "train_data_path", "val_data", "number_of_image", "resize_w_h", "mean", "std", "val_data_path",
    ],
    "create_training_task": ["batch_size", "epochs", "save_log_path"],
    "forward_test": ["Flatten", "return_shape", "load_ckpt", "device", "ckpt_path"],
}  # fmt: skip


def conv(before, kernel=3, channels=4, **links):
    given = {"in_channels": 3 if before is None else 4, "out_channels": channels, "kernel_size": kernel, "padding": kernel // 2, "stride": 1}  # fmt: skip
    return node("Conv_layer", layer=before, **given, res_type=links.pop("res_type", "add"), **links)


def node(type, **inputs):
    return {"class_type": type, "inputs": {key: value for key, value in inputs.items() if value is not None}}


def residual():
    """conv 1 → conv 3 (with two branches and a plain wire joined to it) → flatten → linear, and its test."""
    return {
        "1": conv(None, 1),
        "2": conv(["1", 0], 3),
        "3": conv(["2", 0], 5, res=["8", 0], res_type="Mul"),
        "4": conv(None, 7, res=["2", 1], res_type="sub"),
        "5": node("activation_function", act_func_type="Tanh", res=["4", 1], res_type="add"),
        "6": conv(None, 9, res=["2", 1], res_type="add"),
        "7": node("res_connect", res_1=["5", 1], res_2=["6", 1]),
        "8": node("res_connect", res_1=["7", 0], res_2=["2", 1]),
        "9": node("view_layer", flatten_dimension=-1, layer=["3", 0], res_type="add"),
        "10": node("linear_layer", in_features=4 * 36, out_features=2, layer=["9", 0], res_type="add"),
        "11": node("create_model", layer=["10", 0], lr="1e-2", loss="CrossEntropyLoss", save_serialization=False),
        "12": node("create_intput", tensor_Dimensions="[2, 3, 6, 6]"),
        "13": node("forward_test", tensor=["12", 0], model=["11", 0], return_shape=True),
        "14": node("show_dimensions", tensor=["13", 0]),
    }


def training():
    """A small network with its data, training and test, beside nodes of ComfyUI and of another pack."""
    data = {"train_data_path": "D:\\steel\\train", "val_data_path": "D:\\steel\\val", "val_data": True}
    return {
        "1": node("pooling_layer", mode="MaxPool2d", normalized_shape="[2,2]", res_type="add"),
        "2": node("view_layer", flatten_dimension=-1, layer=["1", 0], res_type="add"),
        "3": node("linear_layer", in_features=12, out_features=2, layer=["2", 0], res_type="add"),
        "4": node("activation_function", act_func_type="Softmax", layer=["3", 0], res_type="add"),
        "5": node("create_model", layer=["4", 0], lr="0.01", loss="CrossEntropyLoss", save_serialization=True, save_path="D:/a/k.pkl"),
        "6": node("LoadImage", image="a.png"),
        "7": node("create_dataset", **data, resize=True, normalize=True, resize_w_h="[4, 4]", forward_image=["6", 0]),
        "8": node("create_training_task", train_dataset=["7", 0], val_dataset=["7", 1], model=["5", 0], batch_size=4, epochs=3),
        "9": node("forward_test", tensor=["7", 5], model=["8", 0]),
        "10": node("PreviewImage", images=["7", 4]),
    }  # fmt: skip


def as_canvas(api):
    """The canvas's format of an API workflow: wires as links by number, values by their place."""
    nodes, links = [], []
    for id, entry in api.items():
        wired = {key: value for key, value in entry["inputs"].items() if isinstance(value, list)}
        order = WIDGETS.get(entry["class_type"], [key for key in entry["inputs"] if key not in wired])
        defaults = {
            "res_type": "add",
            "save_path": "",
            "mean": "[0.485, 0.456, 0.406]",
            "std": "[0.229, 0.224, 0.225]",
            "number_of_image": 0,
        }
        defaults |= {
            "Flatten": False,
            "return_shape": False,
            "load_ckpt": False,
            "device": "cpu",
            "ckpt_path": "",
            "save_log_path": "",
        }
        values = [entry["inputs"].get(key, defaults.get(key)) for key in order]
        inputs = []
        for slot, (name, (source, number)) in enumerate(wired.items()):
            links.append([len(links) + 1, int(source), number, int(id), slot, "X"])
            inputs.append(
                {"name": name, "type": "X" if entry["class_type"] != "PreviewImage" else "IMAGE", "link": len(links)}
            )
        outputs = [{"name": str(i), "type": "IMAGE", "links": []} for i in range(6)]
        nodes.append({
            "id": int(id), "type": entry["class_type"], "pos": [100 * int(id), -10], "size": {"0": 315, "1": 80}, "mode": 0,
            "inputs": inputs, "outputs": outputs, "widgets_values": values, "properties": {},
        })  # fmt: skip
    return {
        "last_node_id": 99,
        "last_link_id": 99,
        "nodes": nodes,
        "links": links,
        "groups": [{"title": "g"}],
        "version": 0.4,
    }
