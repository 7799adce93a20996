"""Write subgraphs/NAME.json anew with the real front end: the blueprints that ComfyUI offers as "Subgraph Blueprints/Visionsmith".

Usage: python -m tests.e2e.export_blueprints [NAME ...]   (all without a name; needs a ComfyUI, see `comfy.find_comfyui`)
"""

import json
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import Page

from . import comfy
from .blueprints import BLUEPRINTS, Blueprint
from .browser import front_end

DRAW = """async blueprint => {
    await app.loadGraphData({ last_node_id: 0, last_link_id: 0, nodes: [], links: [], groups: [], version: 0.4 }, true, true, blueprint.name);
    const made = {};
    for (const [key, { type, place, title, values }] of Object.entries(blueprint.nodes)) {
        const node = LiteGraph.createNode(type);
        node.pos = place;
        app.graph.add(node);
        if (title) node.title = title;
        for (const [name, value] of Object.entries(values)) {
            const widget = node.widgets.find(one => one.name === name);
            if (!widget) throw new Error(`${type} has no widget ${name}`);
            widget.value = value;
            widget.callback?.(value, app.canvas, node);
        }
        made[key] = node;
    }
    const input = (node, name) => {
        const slot = node.inputs.findIndex(one => one.name === name);
        if (slot < 0) throw new Error(`${node.type} has no input ${name}`);
        return slot;
    };
    const output = (node, name) => {
        const slot = node.outputs.findIndex(one => one.name === name);
        if (slot < 0) throw new Error(`${node.type} has no output ${name}`);
        return slot;
    };
    for (const [[from, given], [to, wanted]] of blueprint.links)
        made[from].connect(output(made[from], given), made[to], input(made[to], wanted));

    const { subgraph, node: host } = app.graph.convertToSubgraph(new Set(Object.values(made)));
    for (const input of [...subgraph.inputs]) subgraph.removeInput(input); // those that the front end would show by itself
    // a clone has the id of what it was made from, or another one: it is told by its place
    const inside = key => subgraph.nodes.find(node => node.type === blueprint.nodes[key].type
        && node.pos[0] === blueprint.nodes[key].place[0] && node.pos[1] === blueprint.nodes[key].place[1]);
    for (const [name, targets] of Object.entries(blueprint.inputs)) {
        const [first, socket] = targets[0];
        const node = inside(first);
        const entrance = subgraph.addInput(name, String(node.inputs[input(node, socket)].type));
        for (const [key, wanted] of targets) {
            const target = inside(key);
            if (!entrance.connect(target.inputs[input(target, wanted)], target)) throw new Error(`${name} does not fit ${key}`);
        }
    }
    for (const [name, [key, given]] of Object.entries(blueprint.outputs)) {
        const node = inside(key);
        const slot = node.outputs[output(node, given)];
        if (!subgraph.addOutput(name, String(slot.type)).connect(slot, node)) throw new Error(`${name} does not fit`);
    }
    subgraph.name = host.title = blueprint.name;
    subgraph.description = blueprint.description;
    host.pos = [0, 0];
    host.setSize([270, host.computeSize()[1]]);
    await new Promise(done => setTimeout(done, 500));
    const { nodes, subgraphs } = app.canvas._serializeItems([host]);
    return { nodes, subgraphs };
}"""


def draw(page: Page, blueprint: Blueprint) -> dict:
    """The blueprint as a workflow of one subgraph node, as the front end's own "save to library" writes it."""
    made = page.evaluate(DRAW, blueprint.as_json())
    (host,) = made["nodes"]
    made["subgraphs"][0]["category"] = "Visionsmith"
    return {
        "revision": 0, "last_node_id": host["id"], "last_link_id": 0, "nodes": made["nodes"], "links": [], "version": 0.4,
        "definitions": {"subgraphs": made["subgraphs"]},
        "extra": {"BlueprintDescription": blueprint.description},
    }  # fmt: skip


def main(names: list[str]) -> None:
    """Start a server, draw each blueprint, write what the front end makes of it."""
    with tempfile.TemporaryDirectory() as folder:
        server = comfy.start_server(comfy.find_comfyui(), Path(folder) / "comfyui")
        try:
            with front_end(server.url) as page:
                for blueprint in BLUEPRINTS:
                    if not names or blueprint.name in names:
                        file = comfy.REPOSITORY / "subgraphs" / f"{blueprint.name}.json"
                        file.write_text(json.dumps(draw(page, blueprint), indent=1, ensure_ascii=False) + "\n")
                        print(file.name)
        finally:
            comfy.stop_server(server)


if __name__ == "__main__":
    main(sys.argv[1:])
