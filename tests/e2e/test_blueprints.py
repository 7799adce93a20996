"""The blueprints of subgraphs/: ComfyUI lists them, a person puts them on the canvas, their layers have shapes, and they run."""

import json

import pytest

from . import comfy
from .blueprints import BLUEPRINTS, REPAINT
from .browser import CHROMIUM, eventually, front_end, run, set_widgets, show_all

FILES = {file.stem: file for file in (comfy.REPOSITORY / "subgraphs").glob("*.json")}
PICTURE = {"kind": "image", "kind.channels": 16, "kind.height": 32, "kind.width": 32}
STEPS = {"kind": "sequence", "kind.length": 20, "kind.features": 64}
DRAWN = {  # blueprint: what goes in, what its badge says, what Build Network's badge begins with
    "Residual Block": (PICTURE, "32 × 32 × 32 · 14.5k params", "32 × 32 × 32"),
    "Inception Block": (PICTURE, "256 × 32 × 32 · 127.1k params", "256 × 32 × 32"),
    "Transformer Block": (STEPS, "20 × 64 · 50.0k params", "20 × 64"),
}


@pytest.fixture(scope="module")
def page(server):
    if not CHROMIUM:
        pytest.skip("no Chromium on this machine (Debian: apt-get install chromium)")
    server.post("/api/settings", {"Comfy.Minimap.Visible": False})
    with front_end(server.url) as page:
        yield page


def put(page, name, words=None):
    """Search a blueprint by its name or words of it, as a person does, and put it on the canvas; the id of its node."""
    before = page.evaluate("app.graph.nodes.map(node => node.id)")
    page.evaluate("app.canvas.ds.reset(); app.canvas.setDirty(true, true)")
    page.evaluate("app.extensionManager.command.execute('Workspace.SearchBox.Toggle')")
    box = page.get_by_role("dialog").locator("input").first
    box.fill(words or name)
    found = page.get_by_role("dialog").get_by_text("Subgraph Blueprints / Visionsmith").first
    found.wait_for()
    eventually(page, lambda: name in page.get_by_role("dialog").inner_text(), f"{name} is found")
    box.press("Enter")
    page.get_by_role("dialog").wait_for(state="hidden")
    page.mouse.move(1000, 520)
    page.mouse.click(1000, 500)  # it hangs at the pointer until then
    new = "before => app.graph.nodes.find(node => node.subgraph && !before.includes(node.id))?.id"
    eventually(page, lambda: page.evaluate(new, before) is not None, f"{name} is on the canvas")
    return page.evaluate(new, before)


def add(page, type, values=None):
    """A node of a type, with its widgets set; its id."""
    return page.evaluate(
        """([type, values]) => { const node = LiteGraph.createNode(type); app.graph.add(node);
            for (const [name, value] of Object.entries(values)) node.widgets.find(one => one.name === name).value = value;
            return node.id }""",
        [type, values or {}],
    )


def wire(page, source, output, target, input):
    """Connect two nodes by the names of their sockets."""
    page.evaluate(
        """([source, output, target, input]) => {
            const [from, to] = [app.graph.getNodeById(source), app.graph.getNodeById(target)];
            const slots = [from.outputs.findIndex(one => one.name === output), to.inputs.findIndex(one => one.name === input)];
            if (slots.includes(-1) || !from.connect(slots[0], to, slots[1])) throw new Error(`${output} → ${input}`);
            window.dispatchEvent(new Event('change')) }""",
        [source, output, target, input],
    )


def arrange(page, *columns):
    """Put nodes side by side, for the eye and the screenshot."""
    page.evaluate(
        "columns => columns.forEach((ids, column) => ids.forEach((id, row) => { app.graph.getNodeById(id).pos = [340 * column, 320 * row] }))",
        columns,
    )
    show_all(page)


def badge(page, id):
    return page.evaluate(
        "id => app.graph.getNodeById(id).badges.map(b => typeof b === 'function' ? b() : b).find(b => b.class?.startsWith('visionsmith-shape'))?.text ?? ''",
        id,
    )


def says(page, id, words):
    eventually(page, lambda: words in badge(page, id), f"{words!r}; it says {badge(page, id)!r}")


def screenshot(page, name):
    comfy.ARTIFACTS.mkdir(exist_ok=True)
    page.screenshot(path=comfy.ARTIFACTS / f"blueprint-{name}.png")


@pytest.fixture
def empty(page):
    page.keyboard.press("Escape")
    page.evaluate(
        "async () => await app.loadGraphData({last_node_id: 0, last_link_id: 0, nodes: [], links: [], groups: [], version: 0.4}, true, true, crypto.randomUUID())"
    )
    page.wait_for_timeout(300)


def test_comfyui_lists_them(server):
    listed = server.get("/api/global_subgraphs")
    ours = {one["name"]: key for key, one in listed.items() if one["source"] == "custom_node"}

    assert set(ours) == set(FILES) == {blueprint.name for blueprint in BLUEPRINTS}
    for blueprint in BLUEPRINTS:
        data = json.loads(server.get(f"/api/global_subgraphs/{ours[blueprint.name]}")["data"])
        (subgraph,) = data["definitions"]["subgraphs"]
        assert subgraph["category"] == "Visionsmith"
        assert subgraph["description"] == data["extra"]["BlueprintDescription"] == blueprint.description
        assert [one["name"] for one in subgraph["inputs"]] == list(blueprint.inputs)
        assert [one["name"] for one in subgraph["outputs"]] == list(blueprint.outputs)
        assert len(subgraph["nodes"]) == len(blueprint.nodes)


@pytest.mark.parametrize("name", DRAWN)
def test_a_block_is_searched_drawn_and_built(page, empty, name):
    sizes, said, built = DRAWN[name]
    block = put(page, name)
    socket = "sequence" if sizes is STEPS else "tensor"
    start, end = add(page, "VisionsmithInput", sizes), add(page, "VisionsmithBuildNetwork")
    says(page, block, "nothing is wired into tensor")
    wire(page, start, "tensor", block, socket)
    wire(page, block, socket, end, "outputs.output0")
    summary = add(page, "VisionsmithNetworkSummary")
    wire(page, end, "network", summary, "network")
    arrange(page, [start], [block], [end], [summary])

    says(page, block, said)
    says(page, end, built)
    assert run(page) == "execution_success", page.evaluate("window.__ended[0][1].exception_message")
    screenshot(page, name)
    assert page.problems == []


def test_a_widget_of_a_block_feeds_every_layer_that_needs_it(page, empty):
    block = put(page, "Residual Block")
    start = add(page, "VisionsmithInput", PICTURE)
    wire(page, start, "tensor", block, "tensor")
    says(page, block, "32 × 32 × 32")
    page.evaluate(
        """id => { for (const [name, value] of [['channels', 48], ['stride', 2]]) app.graph.getNodeById(id).widgets.find(w => w.name === name).value = value;
            window.dispatchEvent(new Event('change')) }""",
        block,
    )
    says(page, block, "48 × 16 × 16")
    assert page.problems == []


def test_encoder_and_decoder_make_a_unet(page, empty):
    down, up = put(page, "U-Net Encoder Stage"), put(page, "U-Net Decoder Stage")
    start, middle = add(page, "VisionsmithInput", PICTURE), add(page, "VisionsmithConv", {"out_channels": 64})
    classes = add(page, "VisionsmithConv", {"out_channels": 2, "kernel_size": 1})
    end, summary = add(page, "VisionsmithBuildNetwork"), add(page, "VisionsmithNetworkSummary")
    wire(page, start, "tensor", down, "tensor")
    wire(page, down, "down", middle, "tensor")
    wire(page, middle, "tensor", up, "tensor")
    wire(page, down, "skip", up, "skip")
    wire(page, up, "tensor", classes, "tensor")
    wire(page, classes, "tensor", end, "outputs.output0")
    wire(page, end, "network", summary, "network")
    arrange(page, [start], [down], [middle], [up], [classes], [end], [summary])

    says(page, down, "32 × 16 × 16 · 14.0k params")
    says(page, up, "32 × 32 × 32")
    says(page, end, "2 × 32 × 32")
    assert run(page) == "execution_success", page.evaluate("window.__ended[0][1].exception_message")
    screenshot(page, "U-Net")
    assert page.problems == []


def test_find_erase_and_repaint(page, server, studio, empty):
    block = put(page, REPAINT.name, "Erase and Repaint")
    picture, checkpoint = add(page, "LoadImage", {"image": "example.png"}), add(page, "CheckpointLoaderSimple")
    set_widgets(page, {"CheckpointLoaderSimple": {"ckpt_name": "v1-5-pruned-emaonly-fp16.safetensors"}})
    page.evaluate(
        """id => { for (const [name, value] of Object.entries({steps: 2, width: 128, height: 128}))
            app.graph.getNodeById(id).widgets.find(w => w.name === name).value = value }""",
        block,
    )
    wire(page, picture, "IMAGE", block, "image")
    for output, input in (("MODEL", "model"), ("CLIP", "clip"), ("VAE", "vae")):
        wire(page, checkpoint, output, block, input)
    shown = [add(page, "PreviewImage"), add(page, "PreviewImage")]
    for preview, output in zip(shown, ("image", "erased"), strict=True):
        wire(page, block, output, preview, "images")
    arrange(page, [picture, checkpoint], [block], shown)

    assert run(page, 300_000) == "execution_success", page.evaluate("window.__ended[0][1].exception_message")
    page.wait_for_timeout(700)
    screenshot(page, "repaint")
    (entry,) = server.get(f"/history/{page.evaluate('window.__ended[0][1].prompt_id')}").values()
    pictures = [server.picture(entry["outputs"][str(preview)]["images"][0]) for preview in shown]
    assert pictures[0] != pictures[1]
    assert page.problems == []
