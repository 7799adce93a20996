"""Panels with data and results inside nodes: by mouse and keyboard in both of ComfyUI's renderers."""

import pytest
from axe_playwright_python.sync_playwright import Axe
from PIL import Image, ImageDraw

from . import comfy
from .browser import CHROMIUM, eventually, front_end, run, show_all
from .panels import FIND, PLACES, PREDICT, PREVIEW, REMOVE, STATISTICS, TEST, workflow, write_experiment

ROUTE = "/visionsmith/samples"


@pytest.fixture(scope="module")
def files(server):
    """What the workflow reads."""
    picture = Image.new("RGBA", (120, 80), (120, 130, 140, 255))
    ImageDraw.Draw(picture).ellipse((40, 20, 70, 50), (240, 240, 240, 0))  # what is transparent is erased
    picture.save(server.base / "input" / "marked.png")
    write_experiment(server.base / "output" / "experiments" / "views")


@pytest.fixture(scope="module", params=["canvas", "vue"])
def page(request, server, files):
    """The workflow, run once."""
    if not CHROMIUM:
        pytest.skip("no Chromium on this machine (Debian: apt-get install chromium)")
    server.post("/api/settings", {"Comfy.VueNodes.Enabled": request.param == "vue", "Comfy.Minimap.Visible": False})
    with front_end(server.url, needs="VisionsmithTest") as page:
        page.renderer = request.param
        page.context.grant_permissions(["clipboard-read", "clipboard-write"], origin=server.url)
        page.name = f"views-{request.param}"
        page.evaluate(
            "async ([data, name]) => await app.loadGraphData(data, true, true, name)", [workflow(), page.name]
        )
        page.wait_for_timeout(500)
        show_all(page)
        page.before = sizes(page)
        assert run(page) == "execution_success", page.evaluate("window.__ended[0]")
        yield page
    server.post("/api/settings", {"Comfy.VueNodes.Enabled": False, "Comfy.ColorPalette": "dark"})


def sizes(page):
    return page.evaluate("Object.fromEntries(app.graph.nodes.filter(n => n.widgets?.some(w => w.name === 'view')).map(n => [n.id, [...n.size]]))")  # fmt: skip


def panel(page, name, id=None):
    """A panel by its label, with its node in view at full size."""
    if id:
        page.evaluate(
            """id => { const node = app.graph.getNodeById(id), canvas = app.canvas;
                canvas.ds.scale = 1;
                canvas.ds.offset = [120 - node.pos[0], 100 - node.pos[1]];
                canvas.setDirty(true, true) }""",
            id,
        )
    found = page.get_by_role("group", name=name, exact=True)
    eventually(
        page, lambda: found.is_visible() and (box := found.bounding_box()) and 60 < box["y"] < 500, f"{name} is in view"
    )
    return found


def status(where):
    return where.locator(".visionsmith-status:visible").first.inner_text()


def loaded(picture):
    """Whether an image has come from the server."""
    return picture.evaluate("image => image.complete && image.naturalWidth > 0")


def test_samples_by_mouse(page):
    samples = panel(page, "Pictures of the dataset", PREVIEW)
    tiles = samples.locator(".visionsmith-tiles button")
    eventually(page, lambda: tiles.count() > 3 and status(samples).endswith("of 24"), "the first page")
    eventually(page, lambda: all(loaded(image) for image in samples.locator("img:visible").all()), "pictures and masks")
    count = tiles.count()
    first = tiles.first.get_attribute("aria-label")

    samples.get_by_role("button", name="Next page").click()
    eventually(page, lambda: status(samples).startswith(f"{count + 1}–"), "the second page")
    assert tiles.first.get_attribute("aria-label") != first
    samples.get_by_role("button", name="Previous page").click()
    eventually(page, lambda: tiles.first.get_attribute("aria-label") == first, "the first page again")

    kind = samples.get_by_label("Class", exact=True)
    kind.select_option("1")
    eventually(page, lambda: "1–" in status(samples) and all("defect" in (tile.get_attribute("aria-label") or "") for tile in tiles.all()), "only defects")  # fmt: skip
    few = int(status(samples).split()[-1])
    assert 0 < few < 24 and f"defect ({few})" in kind.inner_text()
    samples.get_by_label("Split", exact=True).select_option("test")
    eventually(page, lambda: status(samples).endswith("of 4"), "those of the test split")
    kind.select_option("")
    eventually(page, lambda: status(samples).endswith("of 8"), "all of the test split")
    tiles.nth(1).click()
    large = samples.locator(".visionsmith-picture")
    eventually(page, lambda: large.is_visible() and status(samples).startswith("2 of 8"), "the second one large")
    samples.get_by_label("Opacity of masks").fill("20")
    eventually(
        page,
        lambda: large.locator("[data-layer]").evaluate("image => image.style.opacity") == "0.2",
        "the mask is faint",
    )
    large.click()
    eventually(page, lambda: tiles.first.is_visible(), "all tiles again")
    samples.get_by_label("Split", exact=True).select_option("train")
    assert page.problems == []


def test_samples_by_keyboard(page):
    samples = panel(page, "Pictures of the dataset", PREVIEW)
    tiles = samples.locator(".visionsmith-tiles button")
    eventually(page, lambda: status(samples).startswith("1–") and status(samples).endswith("of 24"), "the first page")
    page.wait_for_timeout(300)
    tiles.first.focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    eventually(page, lambda: status(samples).startswith("2 of 24"), "the second one large")
    page.keyboard.press("ArrowRight")
    eventually(page, lambda: status(samples).startswith("3 of 24"), "the next one")
    page.keyboard.press("Escape")
    eventually(page, lambda: tiles.nth(2).evaluate("tile => tile === document.activeElement"), "back on the third tile")
    page.keyboard.press("PageDown")
    eventually(page, lambda: not status(samples).startswith("1–") and tiles.first.evaluate("tile => tile === document.activeElement"), "the second page")  # fmt: skip
    page.keyboard.press("PageUp")
    eventually(page, lambda: status(samples).startswith("1–"), "the first page")
    page.keyboard.press("Delete")  # is not for the node that was chosen by the click
    assert page.evaluate("app.graph.nodes.length") == len(workflow()["nodes"])
    assert page.problems == []


def test_class_balance(page):
    statistics = panel(page, "Statistics of the dataset", STATISTICS)
    bars = statistics.locator(".visionsmith-bars [role=option]")
    assert [bar.locator(".visionsmith-name").inner_text() for bar in bars.all()] == ["surface", "defect"]
    wide = bars.nth(1).locator(".visionsmith-track i").bounding_box()["width"]
    assert wide > 20  # of 0.3 % of the pixels
    bars.nth(1).hover()
    eventually(
        page,
        lambda: status(statistics).startswith("defect: ") and "of 24 pictures" in status(statistics),
        "pixels and pictures",
    )
    statistics.get_by_role("button", name="log").click()
    eventually(page, lambda: bars.nth(1).locator(".visionsmith-track i").bounding_box()["width"] < wide / 3, "as it is")
    statistics.get_by_role("button", name="log").click()
    bars.first.focus()
    page.keyboard.press("ArrowDown")
    eventually(page, lambda: status(statistics).startswith("defect: "), "the next bar by keyboard")
    statistics.get_by_role("button", name="rarest first").press("Enter")
    eventually(page, lambda: bars.first.locator(".visionsmith-name").inner_text() == "defect", "the rarest first")
    statistics.get_by_role("tab", name="table").click()
    eventually(page, lambda: "train pixels" in statistics.locator("pre").inner_text(), "the table")
    statistics.get_by_role("tab", name="balance").click()
    assert page.problems == []


def test_confusion_and_pictures_of_a_cell(page):
    test = panel(page, "Results of the test", TEST)
    test.get_by_role("tab", name="scores").focus()
    page.keyboard.press("ArrowRight")
    cells = test.get_by_role("gridcell")
    eventually(page, lambda: cells.count() == 4 and cells.first.is_visible(), "the matrix")
    cells.nth(2).hover()
    eventually(page, lambda: status(test).startswith("true defect, predicted surface: ") and "% of true defect" in status(test), "what the cell says")  # fmt: skip
    cells.first.focus()
    page.keyboard.press("ArrowDown")
    eventually(page, lambda: cells.nth(2).evaluate("cell => cell === document.activeElement"), "the cell below")
    full = next(i for i in range(4) if ": 0 pixels" not in cells.nth(i).get_attribute("aria-label"))
    cells.nth(full).focus()
    page.keyboard.press("Enter")
    strip = test.get_by_role("group", name="Pictures of the cell").get_by_role("button")
    eventually(page, lambda: strip.count() > 0 and loaded(strip.first.locator("img")), "pictures of the cell")
    name = strip.first.get_attribute("title").split(":")[0]
    strip.first.press("Enter")
    eventually(page, lambda: name in status(test), "the picture in the gallery")
    assert test.get_by_role("tab", name="pictures").get_attribute("aria-selected") == "true"
    assert page.problems == []


def test_gallery(page):
    test = panel(page, "Results of the test", TEST)
    test.get_by_role("tab", name="pictures").click()
    stage = test.locator(".visionsmith-picture:visible")
    stage.focus()
    page.keyboard.press("Home")
    eventually(
        page, lambda: status(test).startswith("1 of 8") and "IoU of defects" in status(test), "the first picture"
    )
    page.keyboard.press("ArrowRight")
    eventually(page, lambda: status(test).startswith("2 of 8"), "the next picture")
    visible = stage.locator("[data-layer]:visible")
    eventually(page, lambda: visible.count() == 1 and loaded(visible), "the errors")
    page.keyboard.press("t")
    eventually(
        page,
        lambda: visible.count() == 2 and "defect" in test.locator(".visionsmith-legend").inner_text(),
        "the true mask, too",
    )
    test.get_by_role("button", name="errors").click()
    eventually(page, lambda: "missed" not in test.locator(".visionsmith-legend").inner_text(), "no errors any more")
    test.get_by_label("Opacity of masks").fill("90")
    eventually(page, lambda: visible.first.evaluate("image => image.style.opacity") == "0.9", "the mask is strong")

    predicted = panel(page, "Predictions", PREDICT)
    predicted.get_by_role("button", name="Next picture").click()
    eventually(
        page,
        lambda: status(predicted).startswith("2 of 3") and status(predicted).endswith("picture 2"),
        "the second prediction",
    )
    eventually(page, lambda: loaded(predicted.locator("[data-layer=prediction]")), "its mask")
    predicted.get_by_role("tab", name="table").click()
    eventually(page, lambda: predicted.locator("pre").inner_text() != "", "the table of defects")
    predicted.get_by_role("tab", name="pictures").click()
    assert page.problems == []


def test_before_and_after(page):
    compare = panel(page, "Before and after", REMOVE)
    slider = compare.get_by_role("slider")
    before, after = compare.get_by_alt_text("picture before"), compare.get_by_alt_text("picture after")
    eventually(page, lambda: loaded(before) and loaded(after), "both pictures")
    box = slider.bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.8, box["y"] + box["height"] / 2, steps=4)
    page.mouse.up()
    eventually(page, lambda: 74 <= int(slider.input_value()) <= 86, "the line follows the mouse")
    assert page.evaluate("id => [...app.graph.getNodeById(id).pos]", REMOVE) == list(
        PLACES[REMOVE][:2]
    )  # and not the node
    slider.focus()
    page.keyboard.press("Home")
    eventually(
        page,
        lambda: before.evaluate("image => image.style.clipPath") in ("inset(0px 100% 0px 0px)", "inset(0 100% 0 0)"),
        "only after",
    )
    page.keyboard.press("ArrowRight")
    eventually(page, lambda: slider.get_attribute("aria-valuetext") == "1 % before, 99 % after", "a step by keyboard")
    assert page.problems == []


def test_results_sort_and_copy(page):
    results = panel(page, "Results of the experiment", FIND)
    names = results.locator("tbody tr td:first-child")
    assert [name.inner_text() for name in names.all()] == ["one", "two"]
    assert results.locator("strong").count() >= 1
    head = results.get_by_role("columnheader", name="model")
    head.get_by_role("button").click()
    eventually(page, lambda: head.get_attribute("aria-sort") == "ascending", "by name")
    page.keyboard.press("Enter")
    eventually(
        page,
        lambda: head.get_attribute("aria-sort") == "descending" and names.first.inner_text() == "two",
        "turned round by keyboard",
    )
    results.get_by_role("button", name="Copy the table").press("Enter")
    eventually(page, lambda: status(results) == "Copied.", "it is copied")
    text = page.evaluate("navigator.clipboard.readText()")
    assert text.startswith("| model ") and text.index("two") < text.index("one") and "**" in text
    assert page.problems == []


def test_nothing_jumps_and_a_workflow_that_is_opened_again_keeps_its_results(page):
    after = sizes(page)
    assert {id: size for id, size in page.before.items() if size[0] != after[id][0]} == {}
    if page.renderer == "vue":  # on the canvas, ComfyUI puts a node's text below what it has
        assert page.before == after
    page.evaluate(
        "async data => await app.loadGraphData(data, true, true, 'empty')", {**workflow(), "nodes": [], "links": []}
    )
    eventually(page, lambda: page.evaluate("app.graph.nodes.length") == 0, "an empty canvas")
    page.get_by_text(page.name, exact=True).first.click()
    eventually(page, lambda: page.evaluate("app.graph.nodes.length") > 10, "the workflow again")
    samples = panel(page, "Pictures of the dataset", PREVIEW)
    eventually(page, lambda: samples.locator(".visionsmith-tiles button").count() > 3, "its pictures")
    assert panel(page, "Results of the experiment", FIND).locator("tbody tr").count() == 2
    assert page.problems == []


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_accessible(page, theme):
    page.evaluate("theme => app.extensionManager.setting.set('Comfy.ColorPalette', theme)", theme)
    show_all(page)
    for name, id, tabs in (("Pictures of the dataset", PREVIEW, []), ("Statistics of the dataset", STATISTICS, []), ("Results of the test", TEST, ["scores", "confusion", "pictures"]), ("Predictions", PREDICT, []), ("Before and after", REMOVE, []), ("Results of the experiment", FIND, [])):  # fmt: skip
        where = panel(page, name, id)
        for tab in tabs or [None]:
            if tab:
                where.get_by_role("tab", name=tab).click()
            page.wait_for_timeout(200)
            found = Axe().run(page, context=".visionsmith-panel").response["violations"]
            serious = [f"{one['id']}: {one['nodes'][0]['html'][:200]} {one['nodes'][0].get('failureSummary', '')}" for one in found if one["impact"] in ("serious", "critical")]  # fmt: skip
            assert serious == []
    comfy.ARTIFACTS.mkdir(exist_ok=True)
    page.screenshot(path=comfy.ARTIFACTS / f"views-{theme}-{page.renderer}.png")
    assert page.problems == []


REFUSED = {
    "another type": (b"a=1", {"Content-Type": "application/x-www-form-urlencoded"}, 415, "send application/json"),
    "another origin": ({"dataset": "x"}, {"Origin": "http://elsewhere.example"}, 403, None),
    "too large": (b'{"dataset": "' + b"a" * 10_000_000 + b'"}', {}, 413, "larger than 10,000 bytes"),
    "no JSON": (b"{", {}, 400, "is no JSON"),
    "an unknown key": ({"dataset": "../../etc/passwd"}, {}, 400, "run the node again"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_the_route_refuses(server, case):
    body, headers, expected, words = REFUSED[case]
    status, answer, seconds = comfy.ask(server, ROUTE, body, **headers)
    assert status == expected and seconds < 2
    assert words is None or (words in answer["error"] and "\n" not in answer["error"])
