"""How our nodes look when they are dropped on the canvas, in both of ComfyUI's renderers: large enough for all that is in them, wires in their colours."""

import re

import pytest

from . import comfy
from .browser import CHROMIUM, eventually, front_end, run, show_all

pytestmark = pytest.mark.skipif(not CHROMIUM, reason="no Chromium on this machine (Debian: apt-get install chromium)")

ADD_ALL = """() => {
    app.graph.clear();
    let [x, y, tallest] = [0, 0, 0];
    for (const type of Object.keys(LiteGraph.registered_node_types).filter(one => one.startsWith('Visionsmith')).sort()) {
        const node = LiteGraph.createNode(type);
        node.pos = [x, y];
        app.graph.add(node);
        [x, tallest] = [x + node.size[0] + 60, Math.max(tallest, node.size[1])];
        if (x > 4800) [x, y, tallest] = [0, y + tallest + 140, 0];
    }
    return app.graph.nodes.length }"""
ON_CANVAS = """() => {
    const pen = document.createElement('canvas').getContext('2d');
    const wide = (text, font) => { pen.font = font; return pen.measureText(String(text ?? '')).width };
    const label = slot => slot ? slot.label ?? slot.localized_name ?? slot.name : '';
    const found = [];
    for (const node of app.graph.nodes) {
        const [width, height] = node.size;
        const wrong = (...words) => found.push(`${node.type}: ${words.join(' ')}`);
        if (height + 1 < node.computeSize()[1]) wrong('is', height, 'high and needs', node.computeSize()[1]);
        if (wide(node.title, '14px Arial') + 50 > width) wrong('title');
        const inputs = node.inputs.filter(input => !input.widget);
        for (let row = 0; row < Math.min(inputs.length, node.outputs.length); row++)
            if (wide(label(inputs[row]), '12px Arial') + wide(label(node.outputs[row]), '12px Arial') + 50 > width)
                wrong(label(inputs[row]), 'lies over', label(node.outputs[row]));
        for (const widget of node.widgets ?? []) {
            const value = typeof widget.value === 'string' && widget.type !== 'combo' ? '' : widget.value; // texts scroll
            if (!widget.element && !widget.hidden && wide(label(widget), '12px Arial') + wide(value, '12px Arial') + 80 > width)
                wrong('widget', label(widget), value);
        }
    }
    return found }"""
IN_VUE = """() => {
    const found = [];
    for (const box of document.querySelectorAll('[data-node-id]')) {
        const node = app.graph.getNodeById(box.dataset.nodeId);
        if (!node?.type.startsWith('Visionsmith')) continue;
        const around = box.getBoundingClientRect();
        for (const part of box.querySelectorAll('*')) {
            const place = part.getBoundingClientRect(), style = getComputedStyle(part);
            if (!place.width || !place.height || style.visibility === 'hidden' || part.closest('svg, .visionsmith-shape')) continue;
            const words = part.childElementCount ? '' : part.textContent.trim();
            if (words && !['INPUT', 'TEXTAREA', 'PRE'].includes(part.tagName) && style.overflowX !== 'visible' && part.scrollWidth > part.clientWidth + 1)
                found.push(`${node.type}: "${words}" is cut off`);
            if (style.position !== 'absolute' && (place.right > around.right + 14 || place.bottom > around.bottom + 14))
                found.push(`${node.type}: ${part.tagName} ${part.className} sticks out`);
        }
    }
    return found }"""
DRAWN = """() => {
    app.graph.clear();
    const [first, second] = ['VisionsmithInput', 'VisionsmithConv'].map((type, index) => {
        const node = LiteGraph.createNode(type);
        node.pos = [400 * index, 0];
        app.graph.add(node);
        return node;
    });
    first.connect(0, second, 0) }"""


@pytest.fixture(scope="module", params=["canvas", "vue"])
def page(request, server):
    server.post("/api/settings", {"Comfy.VueNodes.Enabled": request.param == "vue", "Comfy.Minimap.Visible": False})
    with front_end(server.url) as page:
        page.renderer = request.param
        yield page
    server.post("/api/settings", {"Comfy.VueNodes.Enabled": False, "Comfy.ColorPalette": "dark"})


def test_every_new_node_shows_all_of_itself(page):
    count = page.evaluate(ADD_ALL)
    show_all(page)
    drawn = "document.querySelectorAll('[data-node-id]').length"
    eventually(page, lambda: page.renderer == "canvas" or page.evaluate(drawn) >= count, "the nodes are drawn", 60)
    look = ON_CANVAS if page.renderer == "canvas" else IN_VUE
    eventually(page, lambda: not page.evaluate(look), "nothing is cut off: " + "\n".join(page.evaluate(look)))
    comfy.ARTIFACTS.mkdir(exist_ok=True)
    page.screenshot(path=comfy.ARTIFACTS / f"feel-{page.renderer}.png")
    assert page.problems == []


def test_a_node_that_is_opened_keeps_its_size(page):
    page.evaluate(DRAWN)
    page.evaluate("app.graph.nodes[1].setSize([233, app.graph.nodes[1].size[1]])")
    page.evaluate("async () => await app.loadGraphData(app.graph.serialize(), true, true, crypto.randomUUID())")
    eventually(page, lambda: page.evaluate("Math.round(app.graph.nodes[1]?.size[0])") in (225, 233), "it is as it was")


def test_wires_have_their_colours_in_every_theme(page):
    page.evaluate(DRAWN)
    show_all(page)
    wires = (comfy.REPOSITORY / "web" / "wires.mjs").read_text(encoding="utf-8")
    dark, light = re.search(r'VISIONSMITH_TENSOR: \{ dark: "(#\w+)", light: "(#\w+)"', wires).groups()
    for theme, color in (("light", light), ("dark", dark)):
        page.evaluate("theme => app.extensionManager.setting.set('Comfy.ColorPalette', theme)", theme)
        eventually(page, lambda color=color: wire_color(page) == color, f"a wire is {color} in the theme {theme}")
        if page.renderer == "vue":
            eventually(page, lambda color=color: socket_color(page) == color, f"a socket is {color}")
    assert page.problems == []


def wire_color(page):
    return page.evaluate("LGraphCanvas.link_type_colors.VISIONSMITH_TENSOR")


def socket_color(page):
    """What the socket of a tensor is painted with, as #rrggbb."""
    return page.evaluate(
        """() => { const dot = [...document.querySelectorAll('[data-testid=slot-dot]')].find(one => one.style.backgroundColor.includes('VISIONSMITH_TENSOR'));
            const [r, g, b] = (dot ? getComputedStyle(dot).backgroundColor : '').match(/\\d+/g) ?? [];
            return '#' + [r, g, b].map(one => Number(one).toString(16).padStart(2, '0')).join('') }"""
    )


def test_a_wire_let_go_on_the_canvas_offers_what_people_go_on_with(page):
    """Build Network takes a growing list of tensors, which ComfyUI's own list of offers leaves out."""
    page.evaluate("() => { app.graph.clear(); const node = LiteGraph.createNode('VisionsmithInput'); node.pos = [0, 0]; app.graph.add(node) }")  # fmt: skip
    show_all(page)
    page.evaluate("() => { app.canvas.ds.scale = 1; app.canvas.ds.offset = [300, 200]; app.canvas.setDirty(true, true) }")  # fmt: skip
    page.wait_for_timeout(300)
    start = page.evaluate("""() => { const [x, y] = app.graph.nodes[0].getOutputPos(0), { scale, offset } = app.canvas.ds, box = app.canvas.canvas.getBoundingClientRect();
        return [box.x + (x + offset[0]) * scale, box.y + (y + offset[1]) * scale] }""")
    page.mouse.move(*start)
    page.mouse.down()
    page.mouse.move(start[0] + 200, start[1] + 150, steps=8)
    page.mouse.up()
    page.get_by_text("VisionsmithBuildNetwork", exact=True).click()
    eventually(page, lambda: page.evaluate("app.graph.nodes.some(node => node.type === 'VisionsmithBuildNetwork' && node.inputs[0].link != null)"), "it is there and wired")  # fmt: skip


def test_what_is_wrong_with_an_input_is_read_without_looking_for_it(server, page):
    """ComfyUI's own words are that the node failed; the reason is behind a button."""
    page.evaluate("""() => { app.graph.clear();
        for (const [name, left] of [['VisionsmithImageFolder', 0], ['VisionsmithDatasetStatistics', 400]]) {
            const node = LiteGraph.createNode(name); node.pos = [left, 0]; app.graph.add(node) }
        const [folder, statistics] = app.graph.nodes;
        folder.widgets[0].value = 'nothing of that name';
        folder.connect(0, statistics, 0) }""")
    show_all(page)
    assert run(page) == "execution_error"
    toast = page.get_by_role("alert").filter(has_text="nothing of that name does not exist below the input")
    toast.wait_for()
    assert toast.get_by_text("Image Folder").is_visible()
    page.evaluate("app.graph.clear()")
