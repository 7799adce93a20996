"""The label editor when something is in the way: what is begun, other people's masks, pictures without a place for one, subgraphs."""

import numpy as np
import pytest
from PIL import Image

from .browser import CHROMIUM, eventually, rendered, set_widgets
from .label_editor import (
    CLASSES,
    FOLDER,
    HEIGHT,
    WIDTH,
    at,
    blank,
    brush,
    closed,
    furnish,
    grey,
    open_editor,
    open_node,
    press_button,
    saved,
    settled,
    size,
    state,
    stroke,
    title,
)

pytestmark = pytest.mark.skipif(not CHROMIUM, reason="no Chromium on this machine (Debian: apt-get install chromium)")


@pytest.fixture
def folder(server):
    return furnish(server.base / "input" / FOLDER)


@pytest.fixture(scope="module")
def page(server):
    with rendered(server, "canvas", needs="VisionsmithLabelPictures") as page:
        yield page


def test_what_cannot_be_saved_is_not_lost(page, folder):
    open_editor(page)
    size(page, 5)
    stroke(page, (50, 50), (90, 50))
    page.route("**/visionsmith/labels/save", lambda route: route.abort())
    page.keyboard.press("n")
    eventually(page, lambda: "Not saved: The server does not answer." in state(page)[1], "it says why")
    assert "plate-1.png" in title(page)
    page.keyboard.press("Escape")
    page.wait_for_timeout(200)
    assert page.locator(".visionsmith-labels[open]").count() == 1
    assert page.get_by_role("button", name="Close without saving").is_visible()
    page.unroute("**/visionsmith/labels/save")
    Image.fromarray(blank() + 2).save(folder / "masks/plate-1.png")  # somebody else was faster
    page.keyboard.press("n")
    eventually(page, lambda: "changed by someone else" in state(page)[1], "it says so")
    assert grey(folder / "masks/plate-1.png").min() == 2
    page.keyboard.press("Control+s")
    settled(page, "saved")
    expected = blank()
    brush(expected, (50, 50), (90, 50), 5, 1)
    assert np.array_equal(saved(folder, "plate-1"), expected)
    assert grey(folder / "masks/plate-1.png.bak").min() == 2
    stroke(page, (50, 90), (90, 90))
    page.route("**/visionsmith/labels/save", lambda route: route.abort())
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Close without saving").click()
    closed(page)
    page.unroute("**/visionsmith/labels/save")
    assert np.array_equal(saved(folder, "plate-1"), expected)
    ours = ("Failed to load resource", "net::ERR_FAILED")
    page.problems[:] = [problem for problem in page.problems if not any(words in problem for words in ours)]
    assert page.problems == []


def test_what_is_begun_is_finished_before_it_is_saved_or_left(page, folder):
    open_editor(page)
    size(page, 5)
    expected = blank()
    page.mouse.move(*at(page, 40.5, 60.5))
    page.mouse.down()
    page.mouse.move(*at(page, 80.5, 60.5), steps=3)
    brush(expected, (40, 60), (80, 60), 5, 1)
    page.keyboard.press("Control+s")  # the button is still down
    settled(page, "saved")
    page.mouse.move(*at(page, 120.5, 60.5), steps=3)
    page.keyboard.press("d")
    brush(expected, (120, 60), (120, 60), 5, 1)
    page.mouse.move(*at(page, 160.5, 60.5), steps=3)
    page.mouse.up()
    page.keyboard.press("p")
    corners = [(200, 100), (240, 100), (240, 140), (200, 140)]
    for corner in corners:
        page.mouse.click(*at(page, *corner))
    expected[100:140, 200:240] = 1
    page.keyboard.press("n")  # nobody closed it
    eventually(page, lambda: "plate-2.png" in title(page) and state(page)[0] == "new", "the second picture is open")
    assert np.array_equal(saved(folder, "plate-1"), expected)

    for corner in corners:
        page.mouse.click(*at(page, *corner))
    page.mouse.move(*at(page, 240, 140))
    page.mouse.down()
    page.keyboard.press("Control+z")
    page.mouse.move(*at(page, 260, 180), steps=3)
    page.mouse.up()
    page.locator(".visionsmith-label-bar button").last.click()  # save and close
    closed(page)
    ys, xs = np.mgrid[:HEIGHT, :WIDTH] + 0.5
    triangle = (xs < 240) & (ys > 100) & (ys - 100 < xs - 200)
    found = saved(folder, "plate-2") == 1
    assert 700 < found.sum() < 900 and (found & ~triangle).sum() <= 40  # those on its edge
    assert page.problems == []


def test_pictures_of_one_mask_are_shown_only(page, folder):
    (folder / "images/plate-1.jpg").write_bytes((folder / "images/plate-3.jpg").read_bytes())
    open_editor(page)
    assert "plate-2.png" in title(page)  # the first that can be labelled
    page.get_by_role("option", name="plate-1.jpg").click()
    told = page.locator(".visionsmith-label-message")
    eventually(page, lambda: "would share the mask plate-1.png; rename one of them." in told.inner_text(), "it is told at once")  # fmt: skip
    stroke(page, (40, 60), (120, 60))
    page.keyboard.press("Control+s")
    page.keyboard.press("u")
    eventually(page, lambda: "plate-2.png" in title(page) and state(page)[0] == "new", "the next one can be labelled")
    assert not told.is_visible()
    page.keyboard.press("Escape")
    closed(page)
    assert not list((folder / "masks").iterdir())
    assert page.problems == []


def test_a_subgraph_that_is_used_twice(page, folder, server):
    """The button opens the folder of the one that was entered, and a class that is added there is added there."""
    furnish(server.base / "input" / "others")
    open_node(page)
    first, second = page.evaluate("""() => {
        const { node, subgraph } = app.graph.convertToSubgraph(new Set([app.graph.getNodeById(1)]));
        const inner = subgraph.nodes.find(one => one.type === 'VisionsmithLabelPictures');
        for (const name of ['folder', 'classes']) subgraph.addInput(name, 'STRING').connect(inner.inputs.find(one => one.name === name), inner);
        const copy = LiteGraph.createNode(node.type);
        app.graph.add(copy);
        const set = (one, name, value) => { one.widgets.find(widget => widget.name === name).value = value };
        for (const [one, folder] of [[node, 'plates'], [copy, 'others']]) { set(one, 'folder', folder); set(one, 'classes', 'surface, scratch, spot') }
        return [node.id, copy.id] }""")  # fmt: skip
    for outer, place in ((second, "others"), (first, FOLDER)):
        page.evaluate("id => { const node = app.rootGraph.getNodeById(id); app.canvas.setGraph(app.rootGraph); app.canvas.openSubgraph(node.subgraph, node) }", outer)  # fmt: skip
        page.evaluate("app.canvas.graph.nodes.find(one => one.type === 'VisionsmithLabelPictures').widgets.at(-1).callback()")  # fmt: skip
        settled(page)
        assert page.get_by_role("dialog", name=f"Label pictures of {place}").count() == 1
        page.get_by_label("Name of another class").fill(f"seen in {place}")
        page.get_by_label("Name of another class").press("Enter")
        eventually(page, lambda place=place: page.get_by_role("button", name=f"seen in {place}").count() == 1, "it is in the palette")  # fmt: skip
        page.locator(".visionsmith-label-board").focus()
        page.keyboard.press("Escape")
        closed(page)
    page.evaluate("app.canvas.setGraph(app.rootGraph)")
    classes = "id => app.rootGraph.getNodeById(id).widgets.find(one => one.name === 'classes').value"
    assert page.evaluate(classes, first) == f"{CLASSES}, seen in {FOLDER}"
    assert page.evaluate(classes, second) == f"{CLASSES}, seen in others"
    assert page.problems == []


def test_a_folder_that_is_not_there_is_told(page, folder):
    open_node(page)
    set_widgets(page, {"VisionsmithLabelPictures": {"folder": "../elsewhere"}})
    press_button(page)
    eventually(page, lambda: page.get_by_text("lies outside the folders that may be read").count() > 0, "the sentence is shown")  # fmt: skip
    assert page.locator(".visionsmith-labels").count() == 0
    page.problems[:] = [problem for problem in page.problems if "400 (Bad Request)" not in problem]
    assert page.problems == []
