"""Pictures of nodes on the real canvas, with their wires, shapes and counts; part of help_pictures.py.

A node is shown where a shipped workflow has it, else in a drawing made for it here. Needs ComfyUI (COMFYUI_PATH or ~/comfy/ComfyUI) and Chromium.
"""

from __future__ import annotations

import importlib.util
import io
import json
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

from PIL import Image

REPOSITORY = Path(__file__).resolve().parents[1]
WORKFLOWS = REPOSITORY / "workflows"
AROUND = (130, 28, 16)  # units of the canvas at the sides of a single node, above its title and below it
WIDTH, TALLEST = 512, 560  # pixels
SETTLE = 0.5  # seconds until the shapes of a drawing are asked for
TENSOR = "VISIONSMITH_TENSOR"

Drawing = list[tuple[str, dict[str, Any], dict[str, int]]]
"""Nodes from left to right: type without "Visionsmith", values of widgets, and inputs with the number of the node each reads."""
PICTURE = ("Input", {}, {})
CONV = ("Conv", {}, {"tensor": 0})
DRAWINGS: dict[str, Drawing] = {
    "Activation": [PICTURE, CONV, ("Activation", {}, {"tensor": 1})],
    "Attention": [("Input", {"kind": "sequence"}, {}), ("Attention", {}, {"tensor": 0})],
    "Backbone": [PICTURE, ("Backbone", {}, {"tensor": 0})],
    "Block": [PICTURE, ("Block", {}, {"tensor": 0})],
    "BuildNetwork": [PICTURE, CONV, ("BuildNetwork", {}, {"outputs.output0": 1})],
    "Conv": [PICTURE, CONV],
    "Dropout": [PICTURE, CONV, ("Dropout", {}, {"tensor": 1})],
    "Embedding": [("Input", {"kind": "tokens"}, {}), ("Embedding", {}, {"tensor": 0})],
    "Input": [PICTURE, CONV],
    "Linear": [("Input", {"kind": "features"}, {}), ("Linear", {}, {"tensor": 0})],
    "Merge": [PICTURE, CONV, ("Conv", {"kernel_size": 5}, {"tensor": 0}), ("Merge", {}, {"tensors.tensor0": 1, "tensors.tensor1": 2})],
    "Normalization": [PICTURE, CONV, ("Normalization", {}, {"tensor": 1})],
    "Pooling": [PICTURE, CONV, ("Pooling", {}, {"tensor": 1})],
    "Recurrent": [("Input", {"kind": "sequence"}, {}), ("Recurrent", {}, {"tensor": 0})],
    "Repeat": [PICTURE, CONV, ("Conv", {}, {"tensor": 1}), ("Repeat", {"times": 4}, {"start": 1, "end": 2})],
    "Upsample": [PICTURE, CONV, ("Upsample", {}, {"tensor": 1})],
    "View": [PICTURE, CONV, ("View", {}, {"tensor": 1})],
}  # fmt: skip


def load_script(path: Path) -> ModuleType:
    """A Python file that is part of no package."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = sys.modules[path.stem] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


EMPTY = {"last_node_id": 0, "last_link_id": 0, "nodes": [], "links": [], "groups": [], "version": 0.4}
OPEN = "async data => await app.loadGraphData(data, true, true, crypto.randomUUID())"
DRAW = """async nodes => { const made = [], pause = () => new Promise(done => setTimeout(done, 80)); let x = 0;
    for (const [type, values, wires] of nodes) {
        const node = LiteGraph.createNode('Visionsmith' + type); node.pos = [x, 0]; app.graph.add(node); made.push(node);
        for (const [name, value] of Object.entries(values)) { const widget = node.widgets.find(w => w.name === name); widget.value = value; widget.callback?.(value, app.canvas, node) }
        for (const [name, from] of Object.entries(wires)) { await pause(); made[from].connect(0, node, node.inputs.findIndex(input => input.name === name)) }
        x += node.size[0] + 60 }
    return made.slice(-2).map(node => node.id) }"""
TOLD = "app.graph.nodes.every(node => node.badges.every(badge => (typeof badge === 'function' ? badge() : badge).words !== '…'))"
VIEW = """async ([ids, around, width, tallest]) => { const canvas = app.canvas, wait = ms => new Promise(done => setTimeout(done, ms)); await wait(300);
    const nodes = ids.map(id => app.graph.getNodeById(id)), side = nodes.length > 1 ? 14 : around[0];
    const left = Math.min(...nodes.map(n => n.pos[0])) - side, right = Math.max(...nodes.map(n => n.pos[0] + n.size[0])) + side;
    const top = Math.min(...nodes.map(n => n.pos[1])) - 30 - around[1], bottom = Math.max(...nodes.map(n => n.pos[1] + n.size[1])) + around[2];
    const scale = Math.min(width / (right - left), tallest / (bottom - top)); canvas.ds.scale = scale;
    canvas.ds.offset = [300 / scale - left, 130 / scale - top];
    canvas.deselectAll(); canvas.setDirty(true, true); const box = canvas.canvas.getBoundingClientRect(); await wait(500);
    return { x: box.x + 300, y: box.y + 130, width: Math.round((right - left) * scale), height: Math.round((bottom - top) * scale) } }"""


def photographs(node_ids: list[str]) -> Iterator[tuple[str, Image.Image]]:
    """(node id, its picture), one after another, from one server and one page."""
    comfy, browser = (load_script(REPOSITORY / "tests" / "e2e" / f"{name}.py") for name in ("comfy", "browser"))
    with tempfile.TemporaryDirectory() as folder:
        server = comfy.start_server(comfy.find_comfyui(), Path(folder) / "comfyui", "visionsmith")
        try:
            server.post(
                "/api/settings",
                {
                    "Comfy.Minimap.Visible": False,
                    "Comfy.NodeBadge.NodeIdBadgeMode": "None",
                    "Comfy.NodeBadge.NodeSourceBadgeMode": "None",
                },
            )
            _models(server.base / "models")
            with browser.front_end(server.url) as page:
                yield from _on_page(page, node_ids)
        finally:
            comfy.stop_server(server)


def _models(folder: Path) -> None:
    """Empty files under the names of the models that workflows use, or ComfyUI would mark them as missing."""
    texts = [
        str(value)
        for file in WORKFLOWS.glob("*.json")
        for node in json.loads(file.read_text())["nodes"]
        for value in node.get("widgets_values") or ()
    ]
    for name in {
        Path(text).name for text in texts if text.endswith((".safetensors", ".pt", ".ckpt", ".pth")) and len(text) < 200
    }:
        for kind in ("checkpoints", "loras", "sam3", "lama", "vae"):
            (folder / kind).mkdir(exist_ok=True)
            (folder / kind / name).touch()


def _on_page(page: Any, node_ids: list[str]) -> Iterator[tuple[str, Image.Image]]:
    for node_id in node_ids:
        name = node_id.removeprefix("Visionsmith")
        workflow = None if name in DRAWINGS else _workflow_with(node_id)
        if workflow:
            data = json.loads(workflow.read_text())
            page.evaluate(OPEN, data)
            shown = [next(node["id"] for node in data["nodes"] if node["type"] == node_id)]
        else:
            page.evaluate(
                OPEN, EMPTY
            )  # a graph of its own: the front end remembers values of widgets by graph and node
            shown = page.evaluate(DRAW, DRAWINGS.get(name, [(name, {}, {})]))
        page.evaluate("window.dispatchEvent(new Event('change'))")
        page.wait_for_timeout(SETTLE * 1000)
        page.wait_for_function(TOLD, timeout=60_000)
        clip = page.evaluate(VIEW, [shown, AROUND, WIDTH, TALLEST])
        yield node_id, Image.open(io.BytesIO(page.screenshot(clip=clip))).convert("RGB")


def _workflow_with(node_id: str) -> Path | None:
    """The smallest shipped workflow that has such a node outside of subgraphs."""
    files = sorted(WORKFLOWS.glob("*.json"), key=lambda file: file.stat().st_size)
    return next(
        (file for file in files if any(node["type"] == node_id for node in json.loads(file.read_text())["nodes"])), None
    )
