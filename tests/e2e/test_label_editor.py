"""The label editor, by mouse and keyboard, in both of ComfyUI's renderers: what is drawn is what lies on the disk, pixel for pixel."""

import re

import numpy as np
import pytest

from . import comfy
from .browser import CHROMIUM, eventually, rendered, run
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
    open_editor,
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
def page(request, server):
    with rendered(server, getattr(request, "param", "canvas"), needs="VisionsmithLabelPictures") as page:
        yield page


def test_draw_save_and_open_again(page, folder):
    open_editor(page)
    assert state(page) == ("new", "No mask yet") and "plate-1.png · 1 of 4" in title(page)
    size(page, 5)
    expected = blank()
    stroke(page, (40, 60), (120, 60))
    brush(expected, (40, 60), (120, 60), 5, 1)
    page.keyboard.press("2")
    for x, y in ((200, 150), (232, 148), (240, 180), (204, 182)):
        page.keyboard.press("p")
        page.mouse.click(*at(page, x, y))
    page.mouse.click(*at(page, 150, 220))
    page.keyboard.press("Backspace")
    page.keyboard.press("Enter")
    ys, xs = np.mgrid[:HEIGHT, :WIDTH] + 0.5
    corners = [(200, 150), (232, 148), (240, 180), (204, 182)]
    inside = np.ones((HEIGHT, WIDTH), bool)
    for (ax, ay), (bx, by) in zip(corners, corners[1:] + corners[:1], strict=True):
        inside &= (bx - ax) * (ys - ay) - (by - ay) * (xs - ax) > 0
    expected[inside] = 2
    eventually(page, lambda: state(page)[0] == "changed", "the mask is changed")
    assert page.locator(".visionsmith-label-pictures [aria-selected=true]").inner_text().startswith("✎")

    page.keyboard.press("b")
    stroke(page, (10, 10), (10, 200))  # a mistake, taken back
    page.keyboard.press("Control+z")
    page.keyboard.press("e")
    stroke(page, (80, 50), (80, 70))
    brush(expected, (80, 50), (80, 70), 5, 0)
    page.keyboard.press("b")
    page.keyboard.press("i")
    stroke(page, (0, 239), (30, 239))
    brush(expected, (0, 239), (30, 239), 5, 255)
    stroke(page, (100, 55), (100, 65), button="right")
    brush(expected, (100, 55), (100, 65), 5, 0)
    page.mouse.move(*at(page, 300, 20))
    comfy.ARTIFACTS.mkdir(exist_ok=True)
    page.screenshot(path=comfy.ARTIFACTS / f"label-editor-{page.renderer}.png")
    page.keyboard.press("Control+s")
    eventually(page, lambda: state(page) == ("saved", "Saved"), "the mask is saved")
    assert np.array_equal(saved(folder, "plate-1"), expected)

    page.keyboard.press("Escape")
    closed(page)
    press_button(page)
    settled(page)
    assert "plate-2.png" in title(page)  # the first without a mask
    page.keyboard.press("PageUp")
    eventually(page, lambda: "plate-1.png" in title(page) and state(page)[0] == "saved", "the first picture is open")
    shown = page.evaluate("""() => { const canvas = document.querySelector('.visionsmith-label-overlay');
        return [...new Uint32Array(canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data.buffer)] }""")  # fmt: skip
    colors = {0: 0, 1: 0xFF354BE6, 2: 0xFFD5BB4D}
    shown = np.array(shown, np.uint32).reshape(HEIGHT, WIDTH)
    assert all((shown[expected == label] == color).all() for label, color in colors.items())
    page.keyboard.press("Escape")
    closed(page)
    assert page.evaluate("app.graph.nodes.length") == 2
    assert page.problems == []


@pytest.mark.parametrize("page", ["vue"], indirect=True)
def test_the_other_renderer(page, folder):
    """The dialog is the same one, but the button that opens it is not."""
    open_editor(page)
    stroke(page, (40, 60), (120, 60))
    page.keyboard.press("Control+s")
    settled(page, "saved")
    page.keyboard.press("Escape")
    closed(page)
    assert saved(folder, "plate-1")[60, 80] == 1
    assert page.evaluate("app.graph.nodes.length") == 2
    assert page.problems == []


def test_single_pixels_under_zoom(page, folder):
    open_editor(page)
    size(page, 1)
    for _ in range(30):
        page.mouse.move(*at(page, 215.5, 165.5))
        page.mouse.wheel(0, -300)
    eventually(page, lambda: page.locator(".visionsmith-label-picture").bounding_box()["width"] == WIDTH * 64, "a pixel is 64 pixels large")  # fmt: skip
    expected = blank()
    for x, y in ((215, 165), (217, 164)):
        page.mouse.click(*at(page, x + 0.5, y + 0.5))
        expected[y, x] = 1
    before = page.locator(".visionsmith-label-picture").bounding_box()["x"]
    page.keyboard.down("Space")
    page.mouse.move(800, 400)
    page.mouse.down()
    page.mouse.move(672, 400, steps=3)
    page.mouse.up()
    page.keyboard.up("Space")
    eventually(page, lambda: page.locator(".visionsmith-label-picture").bounding_box()["x"] == before - 128, "the picture moved")  # fmt: skip
    page.mouse.click(*at(page, 219.1, 165.9))
    expected[165, 219] = 1
    page.screenshot(path=comfy.ARTIFACTS / f"label-editor-pixels-{page.renderer}.png")
    page.mouse.move(700, 420)
    page.mouse.down(button="middle")
    page.mouse.move(764, 420, steps=2)
    page.mouse.up(button="middle")
    eventually(page, lambda: page.locator(".visionsmith-label-picture").bounding_box()["x"] == before - 64, "the middle button moved it")  # fmt: skip
    page.keyboard.press("Home")
    eventually(page, lambda: page.locator(".visionsmith-label-picture").bounding_box()["width"] < 1100, "all of it is shown")  # fmt: skip
    page.keyboard.press("Control+s")
    settled(page, "saved")
    assert np.array_equal(saved(folder, "plate-1"), expected)
    page.keyboard.press("Escape")
    assert page.problems == []


def test_without_a_mouse(page, folder):
    open_editor(page)
    size(page, 3)
    expected = blank()
    page.mouse.move(2, 2)
    for _ in range(3):
        page.keyboard.press("ArrowRight")  # the first one shows the cursor, in the middle
    page.keyboard.press("d")
    for _ in range(4):
        page.keyboard.press("Shift+ArrowRight")
    page.keyboard.press("Shift+D")
    where = page.locator(".visionsmith-label-where").inner_text()
    x, y = map(int, re.match(r"x (\d+), y (\d+)", where).groups())
    brush(expected, (x - 40, y), (x, y), 3, 1)
    page.keyboard.press("p")
    page.keyboard.press("2")
    corners = []
    for key in ("ArrowLeft", "Shift+ArrowDown", "Shift+ArrowLeft", "Shift+ArrowUp"):
        page.keyboard.press(key)
        page.keyboard.press("d")
        corners.append(tuple(map(int, re.match(r"x (\d+), y (\d+)", page.locator(".visionsmith-label-where").inner_text()).groups())))  # fmt: skip
    page.keyboard.press("Enter")
    (right, top), (_, bottom), (left, _), _ = corners
    expected[top:bottom, left:right] = 2
    page.keyboard.press("Control+s")
    settled(page, "saved")
    assert np.array_equal(saved(folder, "plate-1"), expected)

    for _ in range(2):
        page.keyboard.press("Control+z")
    eventually(page, lambda: state(page)[0] == "changed", "undo goes back behind what was saved")
    page.keyboard.press("Control+Shift+z")
    page.keyboard.press("Control+y")
    eventually(page, lambda: state(page)[0] == "saved", "redo leads to what was saved")
    page.keyboard.press("?")
    keys = page.get_by_role("region", name="Keys")
    eventually(page, keys.is_visible, "the keys are shown")
    page.screenshot(path=comfy.ARTIFACTS / f"label-editor-keys-{page.renderer}.png")
    page.keyboard.press("Escape")
    eventually(page, lambda: not keys.is_visible(), "the keys are gone, the editor is not")
    assert page.locator(".visionsmith-labels[open]").count() == 1
    page.keyboard.press("Escape")
    assert page.problems == []


def test_the_next_picture_saves_and_a_turned_one_is_upright(page, folder):
    open_editor(page)
    size(page, 5)
    stroke(page, (50, 50), (90, 50))
    page.keyboard.press("n")
    eventually(page, lambda: "plate-2.png" in title(page) and state(page)[0] == "new", "the second picture is open")
    expected = blank()
    brush(expected, (50, 50), (90, 50), 5, 1)
    assert np.array_equal(saved(folder, "plate-1"), expected)
    assert "1 of 4 labelled" in page.locator(".visionsmith-label-count").inner_text()
    page.keyboard.press("Control+s")  # nothing is wrong on this one
    settled(page, "saved")
    assert not saved(folder, "plate-2").any()
    page.keyboard.press("n")
    eventually(page, lambda: "plate-3.jpg" in title(page) and state(page)[0] == "new", "the third picture is open")
    page.keyboard.press("n")
    eventually(page, lambda: "turned.jpg" in title(page) and state(page)[0] == "new", "the last picture is open")
    assert not (folder / "masks/plate-3.png").exists()
    stroke(page, (20, 300), (60, 300))
    expected = blank(HEIGHT, WIDTH)
    brush(expected, (20, 300), (60, 300), 5, 1)
    page.keyboard.press("u")
    eventually(page, lambda: "plate-3.jpg" in title(page), "the only one without a mask is open")
    assert np.array_equal(saved(folder, "turned"), expected)
    page.get_by_role("option", name="plate-1.png").click()
    eventually(page, lambda: "plate-1.png" in title(page) and state(page)[0] == "saved", "a click in the list opens")
    page.keyboard.press("Escape")
    closed(page)

    assert run(page) == "execution_success"
    told = lambda: " ".join(page.evaluate("app.graph.nodes.map(n => n.widgets?.find(w => w.name === '$$node-text-preview')?.value ?? '')"))  # noqa: E731  # fmt: skip
    eventually(page, lambda: "3 of 4 pictures are labelled" in told(), "the node tells what is labelled")
    assert page.problems == []


def test_classes_fill_and_protection(page, folder):
    open_editor(page)
    size(page, 5)
    page.get_by_label("Name of another class").fill("dent")
    page.get_by_label("Name of another class").press("Enter")
    eventually(page, lambda: page.get_by_role("button", name="dent").count() == 1, "the class is in the palette")
    assert page.evaluate("app.graph.getNodeById(1).widgets.find(w => w.name === 'classes').value") == f"{CLASSES}, dent"
    expected = blank()
    stroke(page, (100, 0), (100, 239))  # with the new class
    brush(expected, (100, 0), (100, 239), 5, 3)
    page.keyboard.press("f")
    page.keyboard.press("1")
    page.mouse.click(*at(page, 20, 20))
    expected[:, :98] = 1
    page.keyboard.press("b")
    page.keyboard.press("2")
    page.keyboard.press("o")
    stroke(page, (60, 100), (200, 100))
    under = expected.copy()
    brush(expected, (60, 100), (200, 100), 5, 2)
    expected[under > 0] = under[under > 0]
    page.keyboard.press("o")
    page.keyboard.down("Alt")
    page.mouse.click(*at(page, 100, 200))
    page.keyboard.up("Alt")
    pressed = page.locator(".visionsmith-label-classes [aria-pressed=true]")
    eventually(page, lambda: "dent" in pressed.inner_text(), "the class under the pointer is taken")
    page.keyboard.press("h")
    eventually(page, lambda: not page.locator(".visionsmith-label-overlay").is_visible(), "the mask is hidden")
    page.keyboard.press("h")
    page.keyboard.press("Control+s")
    settled(page, "saved")
    assert np.array_equal(saved(folder, "plate-1"), expected)
    page.keyboard.press("Escape")
    assert page.problems == []


def test_nobody_is_shut_out(page, folder):
    """axe finds nothing serious, in both themes, with and without the page of keys."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe is in the development environment")
    for theme in ("light", "dark"):
        page.evaluate("theme => app.extensionManager.setting.set('Comfy.ColorPalette', theme)", theme)
        page.wait_for_timeout(500)
        open_editor(page)
        stroke(page, (50, 50), (90, 50))
        settled(page, "changed")
        for keys in (False, True):
            if keys:
                page.keyboard.press("?")
                eventually(page, page.get_by_role("region", name="Keys").is_visible, "the keys are shown")
            found = axe.Axe().run(page, context=".visionsmith-labels").response["violations"]
            serious = [one for one in found if one["impact"] in ("serious", "critical")]
            assert not serious, [(one["id"], [node["html"] for node in one["nodes"]][:3]) for one in serious]
        page.screenshot(path=comfy.ARTIFACTS / f"label-editor-{theme}-{page.renderer}.png")
        page.keyboard.press("Escape")
        page.keyboard.press("Control+z")
        page.keyboard.press("Escape")
        closed(page)
    assert page.problems == []
