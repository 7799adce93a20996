"""Shapes while one draws: by mouse and keyboard in both of ComfyUI's renderers; and the route behind them is no open door."""

import io
import time

import numpy as np
import pytest
from PIL import Image

from . import comfy
from .browser import CHROMIUM, eventually, front_end, open_workflow, run, show_all
from .conftest import WORKFLOWS

ROUTE = "/visionsmith/shapes"
PICTURE = {"class_type": "VisionsmithInput", "inputs": {"kind": "image", "kind.channels": 3, "kind.height": 32, "kind.width": 32}}  # fmt: skip
LINEAR = {"class_type": "VisionsmithLinear", "inputs": {"tensor": ["1", 0], "out_features": 10, "bias": True, "anywhere": True}}  # fmt: skip


def ask(server, body, **headers):
    return comfy.ask(server, ROUTE, body, **headers)


REFUSED = {
    "another type": (b"prompt=1", {"Content-Type": "application/x-www-form-urlencoded"}, 415, "send application/json"),
    "another origin": ({"prompt": {"1": PICTURE}}, {"Origin": "http://elsewhere.example"}, 403, None),
    "too large": (b'{"prompt": "' + b"a" * 10_000_000 + b'"}', {}, 413, "larger than 2,000,000 bytes"),
    "no JSON": (b"{", {}, 400, "is no JSON"),
    "too deep": (b"[" * 100_000, {}, 400, "is no JSON"),
    "deep in a prompt": (b'{"prompt": {"1": {"class_type": "VisionsmithConv", "inputs": {"a": ' + b"[" * 500 + b"]" * 500 + b"}}}}", {}, 400, "no value and no link"),
    "no prompt": ({"other": 1}, {}, 400, "has no prompt"),
    "unknown types": ({"prompt": {"1": {"class_type": "KSampler", "inputs": {}}}}, {}, 400, "is no layer"),
    "too many nodes": ({"prompt": {str(i): PICTURE for i in range(5000)}}, {}, 400, "at most 2,000"),
    "1e9 channels": ({"prompt": {"1": PICTURE, "2": LINEAR | {"inputs": LINEAR["inputs"] | {"out_features": 10**9}}}}, {}, 400, "must be from 1 to"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_the_route_refuses(server, case):
    body, headers, expected, words = REFUSED[case]
    status, answer, seconds = ask(server, body, **headers)

    assert status == expected
    assert words is None or (words in answer["error"] and "\n" not in answer["error"])
    assert seconds < 2  # a tenth of that on a machine of one's own
    assert ask(server, {"prompt": {"1": PICTURE, "2": LINEAR}})[1]["nodes"]["2"]["shape"] == [3, 32, 10]


@pytest.fixture(scope="module", params=["canvas", "vue"])
def page(request, server):
    if not CHROMIUM:
        pytest.skip("no Chromium on this machine (Debian: apt-get install chromium)")
    server.post("/api/settings", {"Comfy.VueNodes.Enabled": request.param == "vue", "Comfy.Minimap.Visible": False})
    with front_end(server.url, needs="VisionsmithConv") as page:
        page.renderer = request.param
        yield page
    server.post("/api/settings", {"Comfy.VueNodes.Enabled": False})


TENSOR = "VISIONSMITH_TENSOR"


def workflow(*more, links=()):
    """Input 3 × 32 × 32 → Conv 16 → nodes of `more`; a node is (id, type, place, input link or links, widget values, mode)."""
    nodes = [
        (1, "VisionsmithInput", (0, 0), {}, ["image", 3, 32, 32], 0),
        (2, "VisionsmithConv", (320, 0), {"tensor": 1}, [16, 3, 1, "same", 1, 1, True, False, "zeros", ""], 0),
        *more,
    ]
    links = [(1, 1, 0, 2, 0, TENSOR), *links]
    return {
        "last_node_id": 50, "last_link_id": 90, "groups": [], "version": 0.4, "links": [list(link) for link in links],
        "nodes": [
            {
                "id": id, "type": type, "pos": place, "size": [270, 200], "mode": mode, "properties": {}, "flags": {}, "widgets_values": values,
                "inputs": [{"name": name, "type": TENSOR, "link": link} for name, link in wired.items()],
                "outputs": [{"name": "tensor", "type": TENSOR, "links": [link[0] for link in links if link[1] == id]}],
            }
            for id, type, place, wired, values, mode in nodes
        ],
    }  # fmt: skip


HEAD = ((3, "VisionsmithLinear", (640, 0), {"tensor": 2}, [10, True, True], 0),)
WIRES = ((2, 2, 0, 3, 0, TENSOR),)


def open_drawing(page, data):
    page.evaluate("async data => await app.loadGraphData(data, true, true, crypto.randomUUID())", data)
    page.wait_for_timeout(300)
    show_all(page)
    page.evaluate(
        "() => { app.canvas.ds.offset[1] += 60; app.canvas.setDirty(true, true) }"
    )  # badges lie above the nodes
    page.wait_for_timeout(200)


def said(page, id):
    """What the badge of a node says, as its renderer shows it."""
    return page.evaluate(
        """id => { const node = app.canvas.graph.getNodeById(id);
            if (LiteGraph.vueNodesMode) return document.querySelector(`[data-node-id="${id}"] .visionsmith-shape`)?.textContent.trim() ?? '';
            return node.badges.map(b => typeof b === 'function' ? b() : b).find(b => b.class?.startsWith('visionsmith-shape'))?.text ?? '' }""",
        id,
    )


def wait_for(page, id, words, timeout=20):
    """Wait until the badge says `words`."""
    end = time.monotonic() + timeout
    while words not in said(page, id) or (words == "" and said(page, id)):
        assert time.monotonic() < end, f"{said(page, id)!r} instead of {words!r}"
        page.wait_for_timeout(50)


def screenshot(page, name):
    comfy.ARTIFACTS.mkdir(exist_ok=True)
    page.wait_for_timeout(400)
    page.screenshot(path=comfy.ARTIFACTS / f"{name}-{page.renderer}.png")


def wire_color(page, id, slot=0):
    return page.evaluate("([id, slot]) => { const node = app.canvas.graph.getNodeById(id); return app.canvas.graph.getLink(node.inputs[slot].link)?.color }", [id, slot])  # fmt: skip


def announced(page):
    return page.locator(".visionsmith-announcer").inner_text()


def tip_over_badge(page, id):
    """Move the mouse over a badge on the canvas; what the tip says then. The badge is where it was drawn last."""
    x, y = page.evaluate("""id => { const node = app.graph.getNodeById(id), { scale, offset } = app.canvas.ds, box = app.canvas.canvas.getBoundingClientRect();
        const badge = node.badges.map(b => typeof b === 'function' ? b() : b).find(b => b.class?.startsWith('visionsmith-shape'));
        const [left, top, width, height] = badge.boundingRect;
        return [box.x + (node.pos[0] + left + width / 2 + offset[0]) * scale, box.y + (node.pos[1] + top + height / 2 + offset[1]) * scale] }""", id)  # fmt: skip
    page.mouse.move(x - 3, y)
    page.mouse.move(x, y)
    return page.locator(".visionsmith-tip").inner_text()


def red_pixels(page, start, end):
    """How many pixels of the screen are red on and beside the straight line from one place to another."""
    clip = {
        "x": start[0] + 8,
        "y": min(start[1], end[1]) - 6,
        "width": end[0] - start[0] - 16,
        "height": abs(end[1] - start[1]) + 12,
    }
    picture = np.asarray(Image.open(io.BytesIO(page.screenshot(clip=clip))).convert("RGB")).astype(int)
    return int(((picture[..., 0] > 200) & (picture[..., 1:] < 120).all(-1)).sum())


def type_number(page, id, name, value):
    """Type a number into a widget, by mouse and keyboard."""
    if page.renderer == "vue":
        field = page.locator(f'[data-node-id="{id}"]').get_by_label(name, exact=True).locator("input, :scope").last
        box = field.bounding_box()  # what lies over it until it is clicked is for dragging
        page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    else:
        x, y = page.evaluate("""([id, name]) => { const node = app.canvas.graph.getNodeById(id), widget = node.widgets.find(w => w.name === name);
            const { scale, offset } = app.canvas.ds, box = app.canvas.canvas.getBoundingClientRect();
            return [box.x + (node.pos[0] + node.size[0] / 2 + offset[0]) * scale, box.y + (node.pos[1] + widget.y + 10 + offset[1]) * scale] }""", [id, name])  # fmt: skip
        page.mouse.dblclick(x, y)
    page.wait_for_timeout(300)
    page.keyboard.press("Control+a")
    page.keyboard.type(str(value))
    page.keyboard.press("Enter")


def slot(page, id, output, index=0):
    """Where a socket is on the screen."""
    return page.evaluate("""([id, output, index]) => { const node = app.canvas.graph.getNodeById(id);
        const [x, y] = output ? node.getOutputPos(index) : node.getInputPos(index);
        const { scale, offset } = app.canvas.ds, box = app.canvas.canvas.getBoundingClientRect();
        return [box.x + (x + offset[0]) * scale, box.y + (y + offset[1]) * scale] }""", [id, output, index])  # fmt: skip


def drag(page, start, end):
    page.mouse.move(*start)
    page.mouse.down()
    page.mouse.move(*((a + b) / 2 for a, b in zip(start, end, strict=True)), steps=4)
    page.mouse.move(*end, steps=4)
    page.wait_for_timeout(100)
    page.mouse.up()


def test_shipped_workflow(page):
    open_workflow(page, WORKFLOWS / "digits-classifier.json")
    wait_for(page, 19, "10 · 650 params · 640 MACs")
    wait_for(page, 3, "32 × 8 × 8 · 288 params · 18.4k MACs")
    wait_for(page, 20, "10 · 38.1k params")
    screenshot(page, "shapes-digits")
    assert page.problems == []


def test_a_run_does_not_repeat_below_a_layer_what_its_badge_says(page):
    data = workflow(*HEAD, links=WIRES)
    data["nodes"][0]["widgets_values"][2] = 24 if page.renderer == "vue" else 40  # what ran before tells nothing again
    data["nodes"][2]["outputs"][0]["links"] = [3]
    data["links"] += [[3, 3, 0, 4, 0, TENSOR], [4, 4, 0, 5, 0, "VISIONSMITH_NETWORK"]]
    data["nodes"].append({"id": 4, "type": "VisionsmithBuildNetwork", "pos": [960, 0], "size": [270, 200], "inputs": [{"name": "outputs.output0", "type": TENSOR, "link": 3}], "outputs": [{"name": "network", "type": "VISIONSMITH_NETWORK", "links": [4]}], "properties": {}, "flags": {}, "mode": 0})  # fmt: skip
    data["nodes"].append({"id": 5, "type": "VisionsmithNetworkSummary", "pos": [1280, 0], "size": [270, 200], "inputs": [{"name": "network", "type": "VISIONSMITH_NETWORK", "link": 4}], "outputs": [], "properties": {}, "flags": {}, "mode": 0})  # fmt: skip
    open_drawing(page, data)
    wait_for(page, 4, "× 10 · 778 params")
    assert run(page) == "execution_success"
    page.wait_for_timeout(500)
    screenshot(page, "shapes-after-run")
    texts = page.evaluate("Object.fromEntries(app.graph.nodes.map(node => [node.id, node.widgets?.find(w => w.name === '$$node-text-preview')?.value ?? '']))")  # fmt: skip
    assert texts["2"] == texts["3"] == ""
    assert "layers" in texts["4"]  # Build Network tells more than its badge
    assert page.problems == []


def test_mistype_see_it_red_and_fix_it(page):
    open_drawing(page, workflow(*HEAD, links=WIRES))
    wait_for(page, 3, "16 × 32 × 10 · 330 params")
    size = page.evaluate("[...app.graph.getNodeById(2).size]")

    type_number(page, 2, "out_channels", 24)
    wait_for(page, 2, "24 × 32 × 32 · 672 params · 663.6k MACs")
    wait_for(page, 3, "24 × 32 × 10")

    type_number(page, 2, "groups", 5) if page.renderer == "canvas" else type_number(page, 2, "kernel_size", 700)
    words = "groups = 5 must divide" if page.renderer == "canvas" else "24 × "
    wait_for(page, 2, words)
    if page.renderer == "canvas":
        wait_for(page, 3, "waits for Conv (#2)")
        screenshot(page, "shapes-mistyped")
        type_number(page, 2, "groups", 1)
    wait_for(page, 3, "24 × 32 × 10")
    assert page.evaluate("[...app.graph.getNodeById(2).size]") == size
    assert page.problems == []


def test_the_badge_of_a_selected_node_is_not_below_its_buttons(page):
    head = (3, "VisionsmithLinear", (640, 0), {"tensor": 2}, [10, True, False], 0)
    open_drawing(page, workflow(head, links=WIRES))
    wait_for(page, 3, "Linear: a linear layer wants a vector of features")
    if page.renderer == "vue":
        return  # the badge is inside the node there
    page.evaluate("app.canvas.selectNode(app.graph.getNodeById(3))")
    page.get_by_test_id("selection-toolbox").wait_for()
    eventually(page, lambda: "put a View (flatten)" in tip_over_badge(page, 3), "the badge can be pointed at")


def test_connect_disconnect_and_the_wire_to_blame(page):
    head = (3, "VisionsmithLinear", (640, 0), {"tensor": None}, [10, True, False], 0)
    open_drawing(page, workflow(head))
    wait_for(page, 3, "nothing is wired into tensor")
    drag(page, slot(page, 2, True), slot(page, 3, False))
    wait_for(page, 3, "Linear: a linear layer wants a vector of features, but 16 × 32 × 32 came in")
    eventually(page, lambda: wire_color(page, 3) == "#ff5a4f", "the wire is red")
    assert page.evaluate("app.graph.getNodeById(3).inputs[0].hasErrors")
    eventually(page, lambda: "wants a vector" in announced(page), "the mistake is announced")
    if page.renderer == "canvas":
        screenshot(page, "shapes-tip")
        eventually(page, lambda: "put a View (flatten)" in tip_over_badge(page, 3), "a tip says what to put there")
    else:
        badge = page.locator('[data-node-id="3"] .visionsmith-shape')
        assert "put a View (flatten)" in badge.get_attribute("title") == badge.get_attribute("aria-label")
    if page.renderer == "vue":
        page.mouse.move(
            *((a + b) / 2 for a, b in zip(slot(page, 2, True), (0, 900), strict=True))
        )  # away from the socket, whose tooltip hides the wire
    screenshot(page, "shapes-wrong")
    eventually(
        page, lambda: red_pixels(page, slot(page, 2, True), slot(page, 3, False)) > 50, "the wire is drawn in red"
    )

    if page.renderer == "canvas":
        page.evaluate("document.activeElement.blur()")
        page.keyboard.press("Control+z")
    else:
        x, y = slot(page, 3, False)
        drag(page, (x, y), (x - 20, y + 320))
        page.mouse.click(x - 400, y + 450)  # beside the menu that a loose wire opens
    wait_for(page, 3, "nothing is wired into tensor")
    eventually(page, lambda: announced(page) == "", "nothing is announced any more")
    assert page.problems == []


def test_bypass_mute_and_undo_by_keyboard(page):
    open_drawing(page, workflow(*HEAD, links=WIRES))
    wait_for(page, 3, "16 × 32 × 10")
    page.evaluate("app.canvas.selectNode(app.graph.getNodeById(2))")
    page.locator("#graph-canvas").focus()
    page.keyboard.press("Control+b")
    wait_for(page, 3, "3 × 32 × 10")
    wait_for(page, 2, "")
    page.keyboard.press("Control+b")
    wait_for(page, 3, "16 × 32 × 10")
    page.keyboard.press("Control+m")
    wait_for(page, 3, "nothing is wired into tensor")
    page.keyboard.press("Control+m")
    wait_for(page, 2, "16 × 32 × 32")
    assert page.problems == []


def test_reroutes_and_primitives(page):
    data = workflow(*HEAD, links=WIRES)
    data["nodes"].append({"id": 9, "type": "PrimitiveInt", "pos": [0, 400], "size": [270, 90], "inputs": [], "outputs": [{"name": "INT", "type": "INT", "links": [9]}], "widgets_values": [12, "fixed"], "properties": {}, "flags": {}, "mode": 0})  # fmt: skip
    data["nodes"].append({"id": 8, "type": "Reroute", "pos": [320, 400], "size": [75, 26], "inputs": [{"name": "", "type": "*", "link": 8}], "outputs": [{"name": "", "type": TENSOR, "links": [2]}], "properties": {}, "flags": {}, "mode": 0})  # fmt: skip
    data["nodes"][1]["inputs"].append({"name": "out_channels", "type": "INT", "link": 9, "widget": {"name": "out_channels"}})  # fmt: skip
    data["links"][1:] = [[8, 2, 0, 8, 0, TENSOR], [2, 8, 0, 3, 0, TENSOR], [9, 9, 0, 2, 1, "INT"]]
    open_drawing(page, data)
    wait_for(page, 3, "12 × 32 × 10")
    type_number(page, 9, "value", 14)
    wait_for(page, 3, "14 × 32 × 10")
    assert page.problems == []


def test_subgraphs(page):
    open_drawing(page, workflow(*HEAD, links=WIRES))
    wait_for(page, 3, "16 × 32 × 10")
    page.evaluate("app.graph.convertToSubgraph(new Set([app.graph.getNodeById(2)]))")
    outer = page.evaluate("app.graph.nodes.find(n => n.subgraph).id")
    wait_for(page, 3, "16 × 32 × 10")
    wait_for(page, outer, "16 × 32 × 32 · 448 params")
    wait_for(page, 3, "16 × 32 × 10")
    show_all(page)
    screenshot(page, "shapes-subgraph")
    page.evaluate("() => { const outer = app.graph.nodes.find(n => n.subgraph); app.canvas.openSubgraph(outer.subgraph, outer) }")  # fmt: skip
    page.wait_for_timeout(800)
    inside = page.evaluate("app.canvas.graph.nodes[0].id")
    wait_for(page, inside, "16 × 32 × 32")
    page.evaluate("app.canvas.setGraph(app.rootGraph)")
    assert page.problems == []


def test_two_hundred_layers_are_edited_at_more_than_thirty_frames(page):
    layers = [
        (i, "VisionsmithConv", (300 * (i % 20), 320 * (i // 20)), {"tensor": i - 1}, [16, 3, 1, "same", 1, 1, True, False, "zeros", ""], 0)
        for i in range(3, 200)
    ]  # fmt: skip
    open_drawing(page, workflow(*layers, links=[(i, i, 0, i + 1, 0, TENSOR) for i in range(2, 199)]))
    wait_for(page, 199, "16 × 32 × 32")
    began = time.monotonic()
    page.evaluate("""() => { const widget = app.graph.getNodeById(2).widgets.find(w => w.name === 'out_channels');
        widget.value = 18; widget.callback?.(18, app.canvas, app.graph.getNodeById(2)); window.dispatchEvent(new Event('change')) }""")  # fmt: skip
    wait_for(page, 2, "18 × 32 × 32")
    assert time.monotonic() - began < 5  # 0.3 on a machine of one's own
    assert page.problems == []


def test_a_server_that_does_not_answer_is_asked_once_in_a_while(page):
    open_drawing(page, workflow(*HEAD, links=WIRES))
    wait_for(page, 3, "16 × 32 × 10")
    asked = []
    page.route(f"**{ROUTE}", lambda route: (asked.append(1), route.abort()))
    for channels in (20, 21, 22):
        page.evaluate("channels => { app.graph.getNodeById(2).widgets[0].value = channels; window.dispatchEvent(new Event('change')) }", channels)  # fmt: skip
        page.wait_for_timeout(400)
    wait_for(page, 3, "the server does not answer")
    assert len(asked) == 1
    page.unroute(f"**{ROUTE}")
    page.evaluate("app.api.dispatchEvent(new CustomEvent('reconnected'))")
    wait_for(page, 3, "22 × 32 × 10")
    page.problems[:] = [problem for problem in page.problems if "Failed to load resource" not in problem]
    assert page.problems == []
