"""Workflows of older packs in a ComfyUI that has only this one: nodes are replaced at a click, drawings are converted, and both run."""

import io
import json

import numpy as np
import pytest
from PIL import Image
from visionsmith.headless import cli

from ..nodes.old_workflows import as_canvas, node
from . import comfy
from .browser import CHROMIUM, front_end, missing_nodes, open_workflow, run, show_all
from .studio import flower

pytestmark = pytest.mark.skipif(not CHROMIUM, reason="no Chromium on this machine (Debian: apt-get install chromium)")


@pytest.fixture
def page(server, studio):
    with front_end(server.url) as page:
        yield page


def removal():
    """Find with ComfyUI-SAM3, merge with WAS Node Suite, erase twice with comfyui-lama-remover, compare with rgthree-comfy."""
    nodes = {  # id: type, wires {input: (type, origin, its output)}, outputs, values
        1: ("LoadImage", {}, ["IMAGE", "MASK"], ["example.png", "image"]),
        2: ("LoadSAM3Model", {}, ["SAM3_MODEL"], ["models/ckpt/sam3.pt"]),
        3: ("SAM3Grounding", {"sam3_model": ("SAM3_MODEL", 2, 0), "image": ("IMAGE", 1, 0)}, ["MASK", "IMAGE", "STRING", "STRING"], [0.3, "scratch", -1]),
        4: ("Masks Combine Batch", {"masks": ("MASK", 3, 0)}, ["MASK"], []),
        5: ("LamaRemover", {"images": ("IMAGE", 1, 0), "masks": ("MASK", 4, 0)}, ["IMAGE"], [250, 6, False]),
        6: ("PreviewImage", {"images": ("IMAGE", 5, 0)}, [], []),
        7: ("MaskToImage", {"mask": ("MASK", 4, 0)}, ["IMAGE"], []),
        8: ("LamaRemoverIMG", {"images": ("IMAGE", 1, 0), "masks": ("IMAGE", 7, 0)}, ["IMAGE"], [250, 6, False]),
        9: ("PreviewImage", {"images": ("IMAGE", 8, 0)}, [], []),
        10: ("Image Comparer (rgthree)", {"image_a": ("IMAGE", 1, 0), "image_b": ("IMAGE", 5, 0)}, [], [[]]),
    }  # fmt: skip
    links, canvas = [], []
    for id, (type, wires, outputs, values) in nodes.items():
        inputs = []
        for slot, (name, (wire, origin, number)) in enumerate(wires.items()):
            links.append([len(links) + 1, origin, number, id, slot, wire])
            inputs.append({"name": name, "type": wire, "link": len(links)})
        canvas.append({
            "id": id, "type": type, "pos": [380 * ((id - 1) % 4), 420 * ((id - 1) // 4)], "size": [300, 260], "flags": {}, "order": id, "mode": 0,
            "inputs": inputs, "outputs": [{"name": wire, "type": wire, "links": []} for wire in outputs], "properties": {}, "widgets_values": values,
        })  # fmt: skip
    for number, origin, output, *_ in links:
        canvas[origin - 1]["outputs"][output]["links"].append(number)
    return {"last_node_id": 10, "last_link_id": len(links), "nodes": canvas, "links": links, "groups": [], "config": {}, "extra": {}, "version": 0.4}  # fmt: skip


def test_old_nodes_are_replaced_and_run(page, server, tmp_path):
    old = tmp_path / "old-removal.json"
    old.write_text(json.dumps(removal()))
    open_workflow(page, old)
    assert len(missing_nodes(page)) == 6

    page.get_by_test_id("error-overlay-see-errors").click()
    page.get_by_role("button", name="Replace All").first.click()
    page.wait_for_timeout(800)
    assert missing_nodes(page) == []
    assert page.evaluate("app.graph.nodes.map(node => node.type).filter(type => type.startsWith('Visionsmith')).sort()") == [
        "VisionsmithLoadSam3", "VisionsmithMergeMasks", "VisionsmithRemoveObject", "VisionsmithRemoveObject", "VisionsmithSam3Segment",
    ]  # fmt: skip
    assert run(page) == "execution_success", page.evaluate("window.__ended[0][1].exception_message")
    page.wait_for_timeout(700)
    show_all(page)
    page.screenshot(path=comfy.ARTIFACTS / "old-removal.png")
    entry = server.get(f"/history/{page.evaluate('window.__ended[0][1].prompt_id')}")
    ((outputs,),) = [[one["outputs"]] for one in entry.values()]
    first, second = (
        np.array(Image.open(io.BytesIO(server.picture(outputs[node_id]["images"][0])))) for node_id in ("6", "9")
    )
    same = (first == np.array(flower())).all(axis=-1)
    assert (first == second).all() and 0.5 < same.mean() < 1


def network():
    """A residual network with its data and training, as comfyui-Build-and-train-your-network drew it."""
    conv = {"out_channels": 8, "kernel_size": 3, "padding": 1, "stride": 1, "res_type": "add"}
    return {
        "1": node("Conv_layer", in_channels=3, **conv),
        "2": node("activation_function", act_func_type="ReLU", layer=["1", 0], res_type="add"),
        "3": node("Conv_layer", in_channels=8, layer=["2", 0], **conv),
        "4": node("Conv_layer", in_channels=8, layer=["3", 0], res=["2", 1], **conv),
        "5": node("pooling_layer", mode="AvgPool2d", normalized_shape="[4,4]", layer=["4", 0], res_type="add"),
        "6": node("view_layer", flatten_dimension=-1, layer=["5", 0], res_type="add"),
        "7": node("linear_layer", in_features=128, out_features=4, layer=["6", 0], res_type="add"),
        "8": node("create_model", layer=["7", 0], lr="0.003", loss="CrossEntropyLoss", save_serialization=True, save_path="D:/models/parts.pkl"),
        "9": node("create_dataset", train_data_path="D:\\parts\\train", val_data=False, resize=True, normalize=True, resize_w_h="[16, 16]"),
        "10": node("create_training_task", train_dataset=["9", 0], model=["8", 0], batch_size=16, epochs=3),
    }  # fmt: skip


def test_an_old_drawing_is_converted_opens_and_trains(page, server, tmp_path, capsys):
    canvas = as_canvas(network()) | {"groups": []}
    for number, entry in enumerate(canvas["nodes"]):
        entry["pos"] = [380 * (number % 4), 420 * (number // 4)]
    old, new = tmp_path / "old-network.json", tmp_path / "new-network.json"
    old.write_text(json.dumps(canvas))
    assert cli.main(["convert", str(old), str(new)]) == 0
    assert "Image Folder reads train below ComfyUI's input folder" in capsys.readouterr().out

    folder = server.base / "input" / "train"
    random = np.random.default_rng(0)
    for label in range(4):
        (folder / str(label)).mkdir(parents=True, exist_ok=True)
        for index in range(12):
            values = random.normal(40 + 50 * label, 10, (20, 20, 3)).clip(0, 255).astype(np.uint8)
            Image.fromarray(values).save(folder / str(label) / f"{index}.png")
    open_workflow(page, new)
    assert missing_nodes(page) == []
    assert run(page) == "execution_success", page.evaluate("window.__ended[0][1].exception_message")
    show_all(page)
    page.screenshot(path=comfy.ARTIFACTS / "old-network.png")
    assert (server.base / "output" / "networks" / "parts" / "network.json").is_file()
    assert page.problems == []
