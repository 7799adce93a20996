"""The points editor of SAM3 Segment, by mouse and keyboard, in both of ComfyUI's renderers."""

import importlib.util
import json

import numpy as np
import pytest
from PIL import Image

from . import comfy
from .browser import CHROMIUM, ENDINGS, front_end, run, show_all

pytestmark = pytest.mark.skipif(not CHROMIUM, reason="no Chromium on this machine (Debian: apt-get install chromium)")

WIDTH, HEIGHT = 300, 200
STAGE = ".visionsmith-view .visionsmith-stage"


@pytest.fixture(scope="module")
def files(server):
    """A picture to point at and a tiny SAM 3."""
    place = comfy.REPOSITORY / "tests" / "imaging" / "sam3_files.py"
    spec = importlib.util.spec_from_file_location("sam3_files", place)
    sam3_files = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(sam3_files)
    sam3_files.write(server.base / "models" / "sam3")
    workpiece().save(server.base / "input" / "workpiece.png")


def workpiece():
    """Brushed metal with three washers: red, blue and yellow."""
    fine = 4
    y, x = np.mgrid[: HEIGHT * fine, : WIDTH * fine] / fine
    brushed = np.random.default_rng(0).normal(0, 5, (HEIGHT * fine, 1)) + np.random.default_rng(1).normal(0, 2, x.shape)
    picture = (118 + 14 * np.sin(x / 90 + y / 140) + brushed)[..., None] * (0.98, 1.0, 1.04)
    for left, top, color in ((65, 75, (190, 62, 48)), (175, 115, (48, 92, 178)), (245, 55, (222, 182, 70))):
        far = np.hypot(x - left, y - top)
        light = 1 + 0.25 * np.sin(np.arctan2(y - top, x - left) + 0.8)
        picture[np.hypot(x - left - 2, y - top - 3) < 26] *= 0.7  # its shadow
        picture[far < 25] = (np.array(color) * light[..., None])[far < 25]
        picture[(far < 9) & (far > 7)] *= 0.6
        picture[far < 7] = 60
    return Image.fromarray(picture.clip(0, 255).astype(np.uint8)).resize((WIDTH, HEIGHT), Image.Resampling.LANCZOS)


@pytest.fixture(scope="module", params=["canvas", "vue"])
def page(request, server, files):
    server.post("/api/settings", {"Comfy.VueNodes.Enabled": request.param == "vue", "Comfy.Minimap.Visible": False})
    with front_end(server.url, needs="VisionsmithSam3Segment") as page:
        assert page.evaluate("LiteGraph.vueNodesMode") == (request.param == "vue")
        page.renderer = request.param
        yield page
    server.post("/api/settings", {"Comfy.VueNodes.Enabled": False})


def workflow(points="", between=()):
    """Load Image → nodes of `between` → SAM3 Segment."""
    out = {"name": "IMAGE", "type": "IMAGE", "links": [1]}
    nodes = [
        {"id": 1, "type": "LoadImage", "pos": [0, 0], "size": [280, 330], "inputs": [], "outputs": [out, {"name": "MASK", "type": "MASK"}], "widgets_values": ["workpiece.png", "image"]},
        {"id": 2, "type": "VisionsmithLoadSam3", "pos": [0, 420], "size": [280, 110], "inputs": [], "outputs": [{"name": "model", "type": "VISIONSMITH_SAM3", "links": [90]}], "widgets_values": ["model.safetensors", "never", "float32"]},
    ]  # fmt: skip
    links = [[90, 2, 0, 3, 0, "VISIONSMITH_SAM3"]]
    for number, (kind, name, values) in enumerate(between, 1):
        links.append([number, 1 if number == 1 else 9 + number, 0, 10 + number, 0, "IMAGE"])
        nodes.append({
            "id": 10 + number, "type": kind, "pos": [320, 300 * number - 300], "size": [250, 130], "mode": 4 if values == "bypassed" else 0,
            "inputs": [{"name": name, "type": "IMAGE", "link": number}], "outputs": [{"name": "IMAGE", "type": "IMAGE", "links": [number + 1]}],
            "widgets_values": values if isinstance(values, list) else [],
        })  # fmt: skip
    last = len(between) + 1
    links.append([last, 9 + last if between else 1, 0, 3, 1, "IMAGE"])
    inputs = [
        {"name": "model", "type": "VISIONSMITH_SAM3", "link": 90},
        {"name": "images", "type": "IMAGE", "link": last},
    ]
    nodes.append({"id": 3, "type": "VisionsmithSam3Segment", "pos": [620, 0], "size": [420, 620], "inputs": inputs, "outputs": [], "widgets_values": ["", 0.5, 0, points, "examples"]})  # fmt: skip
    for node in nodes:
        node |= {"properties": {}, "flags": {}}
    return {"last_node_id": 30, "last_link_id": 100, "nodes": nodes, "links": links, "groups": [], "version": 0.4}


def open_editor(page, data=None, picture=True):
    """Open a workflow and wait until the picture is in its editor."""
    page.evaluate("async data => await app.loadGraphData(data, true, true, crypto.randomUUID())", data or workflow())
    page.wait_for_timeout(500)
    show_all(page)
    if picture:
        page.wait_for_selector(f"{STAGE} image[href]", state="attached")
    page.wait_for_timeout(300)


def at(page, x, y, stage=STAGE):
    """Where a pixel of the picture is on the screen."""
    box = page.locator(stage).last.bounding_box()
    scale = min(box["width"] / WIDTH, box["height"] / HEIGHT)
    return (
        box["x"] + box["width"] / 2 + (x + 0.5 - WIDTH / 2) * scale,
        box["y"] + box["height"] / 2 + (y + 0.5 - HEIGHT / 2) * scale,
    )


def click(page, x, y, shift=False, button="left"):
    if shift:
        page.keyboard.down("Shift")
    page.mouse.click(*at(page, x, y), button=button)
    if shift:
        page.keyboard.up("Shift")


def drag(page, start, end, shift=False):
    if shift:
        page.keyboard.down("Shift")
    page.mouse.move(*at(page, *start))
    page.mouse.down()
    page.mouse.move(*at(page, *((a + b) / 2 for a, b in zip(start, end, strict=True))))
    page.mouse.move(*at(page, *end))
    page.mouse.up()
    if shift:
        page.keyboard.up("Shift")


def value(page, node=3):
    """What the widget holds: points and boxes."""
    text = page.evaluate("id => app.graph.getNodeById(id).widgets.find(w => w.name === 'points').value", node)
    found = json.loads(text) if text else {"points": [], "boxes": []}
    return found["points"], found["boxes"]


def points(page, node=3):
    return value(page, node)[0]


def near(mark, **expected):
    """Whether a mark lies within a pixel of where it should, and is what it should be."""
    return mark.keys() == expected.keys() and all(
        abs(mark[key] - number) <= (0 if key in ("label", "object") else 1) for key, number in expected.items()
    )


def screenshot(page, name):
    comfy.ARTIFACTS.mkdir(exist_ok=True)
    page.screenshot(path=comfy.ARTIFACTS / f"{name}-{page.renderer}.png")


def test_draw_by_mouse(page):
    open_editor(page)
    click(page, 65, 75)
    click(page, 245, 55, shift=True)
    drag(page, (140, 80), (210, 150))
    drag(page, (20, 150), (60, 190), shift=True)
    marks, boxes = value(page)

    assert len(marks) == len(boxes) == 2
    assert near(marks[0], x=65, y=75) and near(marks[1], x=245, y=55, label=0)
    assert near(boxes[0], x=140, y=80, width=70, height=70)
    assert near(boxes[1], x=20, y=150, width=40, height=40, label=0)
    page.mouse.move(5, 700)
    screenshot(page, "points-editor")
    if page.renderer == "vue":  # the picture of the help page
        page.locator("[data-node-id='3']").screenshot(path=comfy.ARTIFACTS / "points-editor-node.png")

    drag(page, (65, 75), (80, 90))  # moves the point
    drag(page, (175, 80), (185, 100))  # an edge moves the box
    click(page, 245, 55, button="right")
    marks, boxes = value(page)
    assert len(marks) == 1 and near(marks[0], x=80, y=90)
    assert near(boxes[0], x=150, y=100, width=70, height=70)
    drag(page, (220, 170), (240, 190))  # a corner of the selected box
    assert near(value(page)[1][0], x=150, y=100, width=90, height=90)
    page.keyboard.press("Delete")
    assert len(value(page)[1]) == 1
    assert page.evaluate("app.graph.nodes.length") == 3
    page.get_by_role("button", name="Remove all marks").click()
    assert value(page) == ([], [])
    for count in (1, 2, 2, 2, 2):
        page.keyboard.press("Control+z")
        assert sum(map(len, value(page))) >= count
    assert page.problems == []


def test_draw_by_keyboard(page):
    open_editor(page)
    page.locator(STAGE).focus()
    page.keyboard.press("Enter")
    for key in ("ArrowRight", "ArrowRight", "Shift+ArrowDown", "Space"):
        page.keyboard.press(key)
    assert points(page) == [{"x": WIDTH // 2 + 2, "y": HEIGHT // 2 + 10, "label": 0}]
    assert (
        page.locator(f"{STAGE} [role=button]:focus").get_attribute("aria-label")
        == "Mark 1 of 1: negative point, x 152, y 110"
    )

    page.keyboard.press("Escape")
    page.keyboard.press("Enter")
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("Shift+Tab")  # back to the first
    page.keyboard.press("ArrowUp")
    page.keyboard.press("Tab")
    page.keyboard.press("Space")
    assert points(page) == [{"x": 152, "y": 109, "label": 0}, {"x": 149, "y": 100, "label": 0}]

    page.keyboard.press("Delete")
    assert points(page) == [{"x": 152, "y": 109, "label": 0}]
    page.keyboard.press("Control+z")
    assert len(points(page)) == 2
    page.keyboard.press("Control+z")
    assert "label" not in points(page)[1]
    page.keyboard.press("Control+y")
    page.keyboard.press("Control+Shift+z")
    assert points(page) == [{"x": 152, "y": 109, "label": 0}]
    assert page.evaluate("app.graph.nodes.length") == 3
    assert page.problems == []


def test_the_workflows_own_undo_knows_the_marks(page):
    open_editor(page)
    click(page, 65, 75)
    page.locator(f"{STAGE} [role=button]").focus()
    page.keyboard.press("ArrowRight")
    page.wait_for_timeout(300)
    page.evaluate("document.activeElement.blur()")
    page.keyboard.press("Control+z")
    page.wait_for_timeout(700)
    assert len(points(page)) == 1 and near(points(page)[0], x=65, y=75)
    page.keyboard.press("Control+z")
    page.wait_for_timeout(700)
    assert points(page) == []
    page.keyboard.press("Control+y")
    page.wait_for_timeout(700)
    assert near(points(page)[0], x=65, y=75)
    assert page.locator(f"{STAGE} [role=button]").count() == 1
    assert page.problems == []


@pytest.mark.parametrize("scale", [0.45, 2.2])
def test_pixels_are_right_under_zoom(page, scale):
    open_editor(page)
    page.evaluate("""scale => { const node = app.graph.getNodeById(3);
        app.canvas.ds.scale = scale;
        app.canvas.ds.offset = [500 / scale - node.pos[0], 400 / scale - node.pos[1] - node.size[1] / 2];
        app.canvas.setDirty(true, true) }""", scale)  # fmt: skip
    page.wait_for_timeout(600)
    click(page, 65, 75)
    drag(page, (150, 60), (250, 160))
    (point,), (box,) = value(page)
    assert abs(point["x"] - 65) <= 2 and abs(point["y"] - 75) <= 2
    assert abs(box["x"] - 150) <= 2 and abs(box["width"] - 100) <= 4
    assert page.problems == []


def test_marks_are_saved_with_the_workflow(page):
    open_editor(page)
    click(page, 65, 75)
    drag(page, (140, 80), (210, 150))
    before = value(page)
    page.evaluate("document.activeElement.blur()")
    page.keyboard.press("Control+s")
    name = page.get_by_role("dialog").get_by_role("textbox")
    name.fill(f"with-marks-{page.renderer}")
    name.press("Enter")
    page.wait_for_function("app.extensionManager.workflow.activeWorkflow.isPersisted")
    page.reload(wait_until="domcontentloaded")
    page.wait_for_function("window.app?.vueAppReady && app.graph?.getNodeById(3)", timeout=120_000)
    page.wait_for_selector(f"{STAGE} image[href]", state="attached")
    assert value(page) == before
    page.evaluate("async name => { const file = await app.api.fetchApi(`/userdata/${encodeURIComponent('workflows/' + name)}`); await app.loadGraphData(await file.json()) }", f"with-marks-{page.renderer}.json")  # fmt: skip
    page.wait_for_timeout(700)
    show_all(page)
    page.wait_for_selector(f"{STAGE} image[href]", state="attached")
    assert value(page) == before
    assert page.locator(f"{STAGE} [role=button]").count() == 2
    page.evaluate("""endings => { window.__ended = [];
        for (const name of endings) app.api.addEventListener(name, event => window.__ended.push([name, event.detail])) }""",
        list(ENDINGS))  # fmt: skip  # the reload took them away
    assert page.problems == []


def test_a_copied_node_has_marks_of_its_own(page):
    open_editor(page)
    click(page, 65, 75)
    page.locator(f"{STAGE} [role=button]").focus()
    page.evaluate("document.activeElement.blur()")
    page.evaluate("app.canvas.selectNode(app.graph.getNodeById(3))")
    page.locator("#graph-canvas").focus()
    page.keyboard.press("Control+c")
    page.keyboard.press("Control+Shift+v")  # with its wires
    page.wait_for_timeout(500)
    copy = page.evaluate("app.graph.nodes.find(n => n.type === 'VisionsmithSam3Segment' && n.id != 3).id")
    assert points(page, copy) == points(page)
    page.locator(STAGE).last.focus()
    page.keyboard.press("Enter")
    assert len(points(page, copy)) == 2 and len(points(page)) == 1
    assert page.problems == []


def test_a_run_is_sent_the_marks(page):
    open_editor(page)
    click(page, 65, 75)
    click(page, 245, 55, shift=True)
    drawn = page.evaluate("app.graph.getNodeById(3).widgets.find(w => w.name === 'points').value")
    with page.expect_request("**/prompt") as request:
        assert run(page) == "execution_success"
    sent = request.value.post_data_json["prompt"]["3"]["inputs"]["points"]
    assert sent == drawn and json.loads(sent)["points"][1]["label"] == 0
    page.wait_for_timeout(800)
    show_all(page)
    screenshot(page, "points-editor-after-run")
    assert page.problems == []


def test_after_a_run_the_picture_of_any_node_is_there(page):
    open_editor(page, workflow('{"points": [{"x": 60, "y": 40}]}', [("ImageInvert", "image", [])]), picture=False)
    assert "run once" in page.locator(".visionsmith-status").inner_text()
    assert page.locator(f"{STAGE} [role=button]").count() == 0
    assert run(page) == "execution_success"
    page.wait_for_selector(f"{STAGE} image[href*=temp]", state="attached")
    assert page.locator(STAGE).get_attribute("viewBox") == f"0 0 {WIDTH} {HEIGHT}"
    show_all(page)
    click(page, 100, 100)
    assert len(points(page)) == 2
    assert page.problems == []


def test_the_picture_is_found_through_reroutes_bypasses_and_subgraphs(page):
    open_editor(page, workflow(between=[("Reroute", "", []), ("ImageInvert", "image", "bypassed")]))
    assert "workpiece" in page.locator(f"{STAGE} image").get_attribute("href")
    page.evaluate("""() => { const node = app.graph.getNodeById(3);
        app.graph.convertToSubgraph(new Set([node])) }""")
    page.wait_for_timeout(300)
    page.evaluate("() => { const outer = app.graph.nodes.find(n => n.subgraph); app.canvas.openSubgraph(outer.subgraph, outer) }")  # fmt: skip
    page.wait_for_timeout(800)
    page.locator(STAGE).last.hover()
    page.wait_for_timeout(500)
    assert "workpiece" in page.locator(f"{STAGE} image").last.get_attribute("href")
    page.evaluate("app.canvas.setGraph(app.rootGraph)")
    assert page.problems == []


def test_the_large_window(page):
    open_editor(page)
    click(page, 65, 75)
    page.get_by_role("button", name="Edit in a large window").click()
    dialog = page.get_by_role("dialog", name="Points and boxes on the picture")
    page.wait_for_timeout(300)
    drag(page, (140, 80), (210, 150))
    click(page, 245, 55, shift=True)
    screenshot(page, "points-editor-large")
    marks, boxes = value(page)
    assert near(marks[1], x=245, y=55, label=0) and near(boxes[0], x=140, y=80, width=70, height=70)
    page.keyboard.press("Escape")  # lets the mark go
    assert dialog.is_visible()
    page.keyboard.press("w")  # opens a panel when the canvas hears it
    page.keyboard.press("Escape")
    assert dialog.count() == 0
    assert page.problems == []


def test_every_notation_is_shown_and_an_unknown_text_is_left_alone(page):
    open_editor(page, workflow('[{"x": 60, "y": 40}, {"x": 80, "y": 90, "label": 0, "object": 1}]'))
    labels = page.locator(f"{STAGE} [role=button]").evaluate_all("all => all.map(e => e.getAttribute('aria-label'))")
    assert labels == ["Mark 1 of 2: positive point, x 60, y 40", "Mark 2 of 2: negative point of object 2, x 80, y 90"]

    open_editor(page, workflow("10, 20"))
    assert "no JSON" in page.locator(".visionsmith-status").inner_text()
    assert page.evaluate("app.graph.getNodeById(3).widgets.find(w => w.name === 'points').value") == "10, 20"
    click(page, 60, 40)
    assert near(points(page)[0], x=60, y=40)

    page.get_by_label("object").fill("2")
    assert points(page)[0]["object"] == 1
    assert page.problems == []


def test_the_side_panel_leaves_the_editor_as_wide_as_its_node(page):
    open_editor(page)
    before = page.locator(".visionsmith-points").bounding_box()["width"]
    page.evaluate("app.canvas.selectNode(app.graph.getNodeById(3))")
    panel = page.get_by_role("button", name="Toggle properties panel")
    panel.click()
    page.wait_for_timeout(1000)
    panel.click()
    page.wait_for_timeout(1000)
    show_all(page)
    assert abs(page.locator(".visionsmith-points").last.bounding_box()["width"] - before) < 2
    assert page.problems == []


def test_light_theme(page, server):
    open_editor(page, workflow('{"points": [{"x": 65, "y": 75}, {"x": 245, "y": 55, "label": 0}], "boxes": [{"x": 140, "y": 80, "width": 70, "height": 70}]}'))  # fmt: skip
    page.evaluate("app.extensionManager.setting.set('Comfy.ColorPalette', 'light')")
    page.wait_for_timeout(800)
    screenshot(page, "points-editor-light")
    page.evaluate("app.extensionManager.setting.set('Comfy.ColorPalette', 'dark')")
    page.wait_for_timeout(300)
    assert page.problems == []
