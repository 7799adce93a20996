"""The chart of a training in a real browser, in both of ComfyUI's renderers: it grows, is read and zoomed, survives a reload, and stops a training."""

import json
import random
import re
import uuid

import pytest

from . import comfy
from .browser import CHROMIUM, api_prompt, eventually, front_end, show_all

pytestmark = pytest.mark.skipif(not CHROMIUM, reason="no Chromium on this machine (Debian: apt-get install chromium)")

CHART, PLOT, STATUS = ".visionsmith-chart", ".visionsmith-chart .plot", ".visionsmith-chart .status"
STOP = ".visionsmith-chart .stop"
LONG = 3_000  # epochs: longer than any test, if nobody stops it


@pytest.fixture(scope="module", params=["canvas", "vue"])
def page(request, server):
    server.post("/api/settings", {"Comfy.VueNodes.Enabled": request.param == "vue", "Comfy.Minimap.Visible": False})
    with front_end(server.url) as page:
        assert page.evaluate("LiteGraph.vueNodesMode") == (request.param == "vue")
        page.renderer = request.param
        page.set_default_timeout(120_000)
        yield page
        server.post("/interrupt", {})
    server.post("/api/settings", {"Comfy.VueNodes.Enabled": False})


def workflow(epochs, seed, id):
    """Digits → Transform → Train ← a drawn network; Test behind it."""

    def node(number, kind, place, size, values, inputs=(), outputs=()):
        return {
            "id": number, "type": kind, "pos": place, "size": size, "widgets_values": values, "properties": {}, "flags": {}, "mode": 0,
            "inputs": [{"name": name, "type": wire, "link": link} for name, wire, link in inputs],
            "outputs": [{"name": name, "type": wire, "links": list(to)} for name, wire, to in outputs],
        }  # fmt: skip

    tensor, network, data = "VISIONSMITH_TENSOR", "VISIONSMITH_NETWORK", "VISIONSMITH_DATASET"
    nodes = [
        node(1, "VisionsmithInput", [0, 0], [250, 130], ["image", 1, 8, 8], (), [("tensor", tensor, [1])]),
        node(2, "VisionsmithView", [0, 190], [250, 106], ["flatten"], [("tensor", tensor, 1)], [("tensor", tensor, [2])]),
        node(3, "VisionsmithLinear", [0, 360], [250, 106], [10, True, False], [("tensor", tensor, 2)], [("tensor", tensor, [3])]),
        node(4, "VisionsmithBuildNetwork", [0, 530], [280, 150], ["line", 0, "fixed", "default"], [("outputs.output0", tensor, 3)], [("network", network, [4])]),
        node(5, "VisionsmithSampleDataset", [340, 0], [250, 154], ["digits", 0.15, 0.2, 0, "fixed"], (), [("dataset", data, [5])]),
        node(6, "VisionsmithTransform", [340, 220], [250, 82], ["normalize", "data"], [("dataset", data, 5)], [("dataset", data, [6, 7])]),
        node(7, "VisionsmithTrain", [660, 0], [460, 700], [epochs, 64, "accuracy", seed, "fixed", 0, 0, 1, 0, "32-true", "auto", 0, False],
             [("network", network, 4), ("dataset", data, 6)], [("network", network, [8])]),
        node(8, "VisionsmithTest", [1180, 0], [440, 520], ["test", 64], [("network", network, 8), ("dataset", data, 7)]),
    ]  # fmt: skip
    wires = {1: (1, 2, 0, tensor), 2: (2, 3, 0, tensor), 3: (3, 4, 0, tensor), 4: (4, 7, 0, network)}
    wires |= {5: (5, 6, 0, data), 6: (6, 7, 1, data), 7: (6, 8, 1, data), 8: (7, 8, 0, network)}
    links = [[number, origin, 0, target, slot, wire] for number, (origin, target, slot, wire) in wires.items()]
    return {"id": id, "version": 0.4, "last_node_id": 8, "last_link_id": 8, "groups": [], "nodes": nodes, "links": links}  # fmt: skip


def open_drawing(page, data):
    page.evaluate("async data => await app.loadGraphData(data, true, true, crypto.randomUUID())", data)
    eventually(page, lambda: page.locator(CHART).count() == 1, "the chart is there")
    show_all(page)


def press_run(page):
    page.evaluate("window.__ended.length = 0")
    page.get_by_test_id("queue-button").click()


def ended(page):
    return page.evaluate("window.__ended.map(one => one[0])")


def status(page):
    return page.locator(STATUS).inner_text()


def line(page):
    """The line of the training loss as it is drawn."""
    found = page.locator(f"{PLOT} .line.train")
    return found.first.get_attribute("d") if found.count() else ""


def steps_drawn(page):
    """How far the line of the training loss reaches, in pixels; 0 without one."""
    return max(map(float, re.findall(r"[ML]([\d.]+) ", line(page))), default=0.0)


def seen(page):
    """The steps that are in view."""
    plot = page.locator(PLOT)
    return int(plot.get_attribute("aria-valuemin")), int(plot.get_attribute("aria-valuemax"))


def screenshot(page, name):
    comfy.ARTIFACTS.mkdir(exist_ok=True)
    page.screenshot(path=comfy.ARTIFACTS / f"{name}-{page.renderer}.png")


def long_training(page):
    """The workflow that the tests of a page share; its training is a new one for each try."""
    return workflow(LONG, page.seed, page.workflow)


def in_plot(page, share):
    """A place in the plot, on the screen."""
    box = page.locator(PLOT).bounding_box()
    return box["x"] + box["width"] * share, box["y"] + box["height"] / 2


def wait_for_training(page):
    eventually(page, lambda: status(page).startswith("epoch "), "the chart says how it goes", 120)


def stop_and_keep(page):
    page.locator(STOP).click()
    eventually(page, lambda: "execution_success" in ended(page), "the graph behind the training has run", 120)
    eventually(page, lambda: status(page).startswith("stopped at step "), "the chart says that it was stopped")


def test_it_grows_is_read_zoomed_and_stopped(page):
    page.seed, page.workflow = random.randrange(2**31), str(uuid.uuid4())
    data = long_training(page)
    open_drawing(page, data)
    assert page.locator(STOP).is_hidden()
    box = page.locator(CHART).bounding_box()
    press_run(page)
    wait_for_training(page)
    said = re.compile(r"epoch [\d,]+ of 3,000 · [\d,]+ samples/s · [\d:]+ left")
    eventually(page, lambda: said.fullmatch(status(page)), "epoch, speed and the time that is left are told", 120)
    before = line(page)
    eventually(page, lambda: line(page) != before, "the line grows", 120)
    eventually(page, lambda: page.locator(f"{PLOT} .line").count() == 4, "loss and metric of both splits are drawn")
    eventually(page, lambda: page.locator(".visionsmith-stop-training").is_visible(), "the button beside Run is there")

    stop_and_keep(page)
    eventually(page, lambda: page.locator(".visionsmith-stop-training").is_hidden(), "the button beside Run is gone")
    eventually(page, lambda: page.locator(STOP).inner_text() == "Go on", "the button trains the rest")
    assert page.locator(CHART).bounding_box()["y"] == pytest.approx(box["y"], abs=1)  # nothing jumped
    assert page.locator(CHART).bounding_box()["height"] >= box["height"] - 1
    assert page.evaluate("app.nodeOutputs['8'].text[0]")  # Test ran with the weights that were kept
    assert json.dumps(data["nodes"][6]["widgets_values"]) == json.dumps(page.evaluate("app.graph.serialize().nodes.find(n => n.id === 7).widgets_values"))  # fmt: skip
    assert "runs/" not in json.dumps(page.evaluate("app.graph.serialize()")) and "chart" not in api_prompt(page)["7"]["inputs"]  # fmt: skip
    screenshot(page, "chart-stopped")
    assert page.problems == []


def test_hover_zoom_and_logarithm_by_mouse(page):
    steps = seen(page)[1]
    page.mouse.move(*in_plot(page, 0.5))
    eventually(page, lambda: "step" in page.locator(f"{CHART} .legend .step").inner_text(), "the values are read off")
    eventually(page, lambda: page.locator(f"{PLOT} .cursor circle").count() == 4, "each line has its nearest value marked")  # fmt: skip
    values = page.locator(f"{CHART} .legend .entry b").all_inner_texts()
    assert len(values) == 4 and all(float(value) > 0 for value in values)
    rows = page.locator(f"{CHART} .legend .name").all_inner_texts()
    assert rows == ["loss", "accuracy"] == page.locator(f"{PLOT} .title").all_text_contents()
    inside = """() => [...document.querySelectorAll(".visionsmith-chart .legend .entry")].every(entry =>
        entry.getBoundingClientRect().right <= entry.closest(".legend").getBoundingClientRect().right)"""
    assert page.evaluate(inside)  # nothing is cut off

    page.mouse.move(*in_plot(page, 0.15))
    page.mouse.down()
    page.mouse.move(*in_plot(page, 0.3), steps=3)
    eventually(page, lambda: page.locator(f"{PLOT} .cursor rect").count() == 1, "the range is marked")
    page.mouse.up()
    eventually(page, lambda: 0 < seen(page)[0] < seen(page)[1] < steps, "the range is shown")
    low, high = seen(page)
    page.mouse.wheel(0, -240)  # it has the focus since the click
    eventually(page, lambda: seen(page)[1] - seen(page)[0] < high - low, "the wheel zooms")
    page.mouse.dblclick(*in_plot(page, 0.5))
    eventually(page, lambda: seen(page) == (0, steps), "a double click shows all")

    path = line(page)
    page.get_by_role("button", name="log", exact=True).click()
    eventually(page, lambda: line(page) != path, "the scale is another one")
    assert page.get_by_role("button", name="log", exact=True).get_attribute("aria-pressed") == "true"
    page.get_by_role("button", name="log", exact=True).click()
    eventually(page, lambda: line(page) == path, "and back")
    page.get_by_role("button", name="smooth", exact=True).click()
    eventually(page, lambda: line(page) != path, "the line is an average")
    assert page.locator(f"{PLOT} .behind").get_attribute("d") == path
    page.get_by_role("button", name="smooth", exact=True).click()
    eventually(page, lambda: page.locator(f"{PLOT} .behind").count() == 0, "and is not any more")
    assert page.problems == []


def test_by_keyboard(page):
    plot, steps = page.locator(PLOT), seen(page)[1]
    scale = page.evaluate("app.canvas.ds.scale")
    plot.focus()
    page.keyboard.press("Home")
    eventually(page, lambda: int(plot.get_attribute("aria-valuenow")) < 10, "Home goes to the first value")
    first = int(plot.get_attribute("aria-valuenow"))
    page.keyboard.press("ArrowRight")
    eventually(page, lambda: int(plot.get_attribute("aria-valuenow")) > first, "an arrow goes to the next")
    assert re.match(r"step \d+: train loss [\d.]+, val loss [\d.]+, train accuracy [\d.]+, val accuracy [\d.]+", plot.get_attribute("aria-valuetext"))  # fmt: skip
    page.keyboard.press("+")
    eventually(page, lambda: seen(page)[1] < steps, "plus zooms")
    page.keyboard.press("Escape")
    eventually(page, lambda: seen(page) == (0, steps), "Escape shows all")
    page.keyboard.press("l")
    log = page.get_by_role("button", name="log", exact=True)
    eventually(page, lambda: log.get_attribute("aria-pressed") == "true", "L is the logarithm")
    page.keyboard.press("l")
    page.keyboard.press("s")
    eventually(page, lambda: page.locator(f"{PLOT} .behind").count() == 1, "S is the average")
    page.keyboard.press("s")
    assert page.evaluate("app.canvas.ds.scale") == scale and page.evaluate("app.graph.nodes.length") == 8
    assert page.problems == []


def test_it_is_there_again_when_the_workflow_is_opened_again(page):
    before, drawn = status(page), steps_drawn(page)
    open_drawing(page, workflow(1, 0, str(uuid.uuid4())))
    eventually(page, lambda: status(page).startswith("The chart appears"), "another workflow has no chart yet")
    open_drawing(page, long_training(page))  # from its file
    eventually(page, lambda: status(page) == before, "the chart is there again")
    eventually(page, lambda: abs(steps_drawn(page) - drawn) < 2, "and its line")
    assert page.problems == []


def test_it_goes_on_survives_a_reload_and_other_tabs(page):
    open_drawing(page, long_training(page))
    eventually(page, lambda: status(page).startswith("stopped at step "), "the chart is there again")
    stopped_at = int(re.search(r"step ([\d,]+)", status(page))[1].replace(",", ""))
    page.evaluate("window.__ended.length = 0")
    page.locator(STOP).click()  # Go on
    wait_for_training(page)
    eventually(page, lambda: steps_drawn(page) > 50, "what was learned before is drawn as well")

    page.reload(wait_until="domcontentloaded")
    page.wait_for_function("() => Boolean(window.app?.vueAppReady && window.LiteGraph?.registered_node_types.VisionsmithTrain)", timeout=60_000)  # fmt: skip
    eventually(page, lambda: page.locator(CHART).count() == 1, "the workflow is on the canvas again", 120)
    page.evaluate("""() => { window.__ended = []; for (const name of ["execution_success", "execution_error", "execution_interrupted"])
        app.api.addEventListener(name, event => window.__ended.push([name, event.detail])) }""")
    wait_for_training(page)
    eventually(page, lambda: steps_drawn(page) > 50, "what was drawn before the reload is there")
    now = status(page)
    eventually(page, lambda: status(page) != now, "and it goes on growing")
    stop_and_keep(page)
    now = int(re.search(r"step ([\d,]+)", status(page))[1].replace(",", ""))
    assert now > stopped_at
    assert page.problems == []


def test_a_wish_that_the_server_does_not_hear_is_told(page):
    wish, notice = "**/visionsmith/charts/stop", page.locator(".visionsmith-notice")
    stop_all = "async () => await app.extensionManager.command.execute('visionsmith.stopAndKeep')"
    page.route(wish, lambda route: route.fulfill(status=503))
    page.evaluate(stop_all)
    eventually(page, lambda: notice.count() == 1 and "did not answer" in notice.inner_text(), "a sentence says so")
    page.evaluate(stop_all)
    page.wait_for_timeout(200)
    assert notice.count() == 1  # not one for each try
    page.unroute(wish)
    page.evaluate(stop_all)
    eventually(page, lambda: notice.count() == 0, "it is gone once the server hears")
    assert all("503" in problem for problem in page.problems), page.problems
    page.problems.clear()


def test_events_that_pour_in_leave_the_page_smooth(page):
    frames = page.evaluate("""async () => {
        const chart = { node: "7", workflow: app.rootGraph.id, run: "flood", state: "running", line: "epoch 1 of 9", metric: "accuracy", steps: 1e6 };
        let [frames, told, step] = [0, 0, 0];
        const count = until => new Promise(done => { let seen = 0; const frame = now => { seen++; now < until ? requestAnimationFrame(frame) : done(seen) }; requestAnimationFrame(frame) });
        const idle = await count(performance.now() + 2000);
        const end = performance.now() + 2000;
        const flood = setInterval(() => { for (let i = 0; i < 5; i++, told++) {
            const points = Array.from({ length: 50 }, () => [++step, Math.random(), null, null, null]);
            app.api.dispatchCustomEvent("visionsmith.train", { ...chart, step, points: [...points, [++step, 0.5, 0.6, 0.7, 0.65]] }) } }, 10);
        frames = await count(end);
        clearInterval(flood);
        return [frames / idle, told / 2, document.querySelector(".visionsmith-chart .line.train").getAttribute("d").length] }""")  # fmt: skip
    assert frames[0] > 0.3, frames  # as many frames as without them on a machine of one's own
    assert frames[1] > 20 and frames[2] < 60_000
    assert page.problems == []


CONTRAST = """() => {
    const channel = v => (v /= 255) <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
    const canvas = new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true });
    const light = color => { canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = color; canvas.fillRect(0, 0, 1, 1);
        const [r, g, b] = [...canvas.getImageData(0, 0, 1, 1).data].map(channel); return 0.2126 * r + 0.7152 * g + 0.0722 * b };
    const ratio = (a, b) => (Math.max(light(a), light(b)) + 0.05) / (Math.min(light(a), light(b)) + 0.05);
    const chart = document.querySelector(".visionsmith-chart"), ground = getComputedStyle(chart).backgroundColor;
    const text = [...chart.querySelectorAll(".status, .legend span, .plot text, button:not([aria-pressed=true])")].map(e => {
        const style = getComputedStyle(e); return ratio(e instanceof SVGElement ? style.fill : style.color, ground) });
    const lines = [...chart.querySelectorAll("path.line")].map(e => ratio(getComputedStyle(e).stroke, ground));
    return [Math.min(...text), Math.min(...lines), text.length, lines.length] }"""


@pytest.mark.parametrize("theme", ["dark", "light"])
def test_it_can_be_read_in_both_themes(page, theme):
    page.evaluate("theme => app.extensionManager.setting.set('Comfy.ColorPalette', theme)", theme)
    eventually(page, lambda: page.evaluate("Boolean(document.querySelector('.dark-theme'))") == (theme == "dark"), f"the theme is {theme}")  # fmt: skip
    text, lines, *counts = page.evaluate(CONTRAST)
    screenshot(page, f"chart-{theme}")
    assert text >= 4.5 and lines >= 3 and min(counts) >= 3, (text, lines, counts)

    from axe_playwright_python.sync_playwright import Axe

    found = Axe().run(page, context=CHART).response["violations"]
    assert [one["id"] for one in found if one["impact"] in ("serious", "critical")] == []
    page.evaluate("app.extensionManager.setting.set('Comfy.ColorPalette', 'dark')")
    assert page.problems == []


REFUSED = {
    "another type": (b"nodes=1", {"Content-Type": "application/x-www-form-urlencoded"}, 415),
    "another origin": ({"workflow": "a", "nodes": []}, {"Origin": "http://elsewhere.example"}, 403),
    "too large": (b'{"workflow": "' + b"a" * 10_000_000 + b'"}', {}, 413),
    "no JSON": (b"{", {}, 400),
    "a list": ([], {}, 400),
    "no workflow": ({"workflow": 3, "node": "1"}, {}, 400),
    "a path": ({"workflow": "a", "node": "../1", "nodes": ["../1"]}, {}, 400),
}


@pytest.mark.parametrize("case", REFUSED)
@pytest.mark.parametrize("route", ["/visionsmith/charts", "/visionsmith/charts/stop", "/visionsmith/charts/go-on"])
def test_the_routes_refuse(server, route, case):
    body, headers, expected = REFUSED[case]
    status, _, seconds = comfy.ask(server, route, body, **headers)
    if case == "no workflow" and route.endswith("go-on"):
        assert status == 200  # a node is all it wants
    else:
        assert status == expected and seconds < 2  # a tenth of that on a machine of one's own
    assert comfy.ask(server, "/visionsmith/charts", {"workflow": "a", "nodes": ["1"]})[:2] == (200, {"nodes": {}})
