"""What we put beside and into nodes can be used and read by everybody: axe finds nothing serious, and texts have contrast AA in both themes.

Panels with tests of their own (charts, views, the label editor) look after themselves.
"""

import pytest

from . import comfy
from .browser import CHROMIUM, eventually, front_end, show_all
from .test_convert_button import OLD

axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe is in the development environment")
pytestmark = pytest.mark.skipif(not CHROMIUM, reason="no Chromium on this machine (Debian: apt-get install chromium)")

CONTRAST = """selector => { const parse = text => { const parts = text.match(/[\\d.]+/g)?.map(Number) ?? [0, 0, 0, 0]; return [...parts.slice(0, 3), parts[3] ?? 1] };
    const light = ([r, g, b]) => [r, g, b].map(v => v / 255).map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4).reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
    const behind = element => { for (let one = element; one; one = one.parentElement) { const color = parse(getComputedStyle(one).backgroundColor); if (color[3] > 0.99) return color } return [255, 255, 255, 1] };
    const texts = [...document.querySelectorAll(selector)].flatMap(root => [root, ...root.querySelectorAll('*')])
        .filter(one => [...one.childNodes].some(node => node.nodeType === 3 && node.textContent.trim()) && one.checkVisibility() && !one.disabled);
    return texts.map(one => { const [a, b] = [light(parse(getComputedStyle(one).color)), light(behind(one))].sort((x, y) => y - x);
        return [one.textContent.trim().slice(0, 40), (a + 0.05) / (b + 0.05)] }) }"""


@pytest.fixture(scope="module", params=["dark", "light"])
def page(request, server):
    with front_end(server.url, needs="VisionsmithConv") as page:
        page.evaluate("theme => app.extensionManager.setting.set('Comfy.ColorPalette', theme)", request.param)
        page.theme = request.param
        yield page
        page.evaluate("app.extensionManager.setting.set('Comfy.ColorPalette', 'dark')")


def check(page, selector):
    """axe's rules and the contrast of every text, inside of `selector`."""
    found = axe.Axe().run(page, context=selector).response["violations"]
    serious = [one for one in found if one["impact"] in ("serious", "critical")]
    assert not serious, [(one["id"], [node["html"] for node in one["nodes"]][:3]) for one in serious]
    texts = page.evaluate(CONTRAST, selector)
    assert texts
    assert not [text for text in texts if text[1] < 4.5]
    comfy.ARTIFACTS.mkdir(exist_ok=True)
    page.screenshot(path=comfy.ARTIFACTS / f"accessible-{selector.strip('.')}-{page.theme}.png")


def test_the_offer_to_convert_and_the_notes(page):
    page.evaluate("async data => await app.loadGraphData(data, true, true, crypto.randomUUID())", OLD)
    eventually(page, lambda: page.locator(".visionsmith-notice").count() == 1, "the offer is made")
    check(page, ".visionsmith-notice")
    page.get_by_role("region", name="Visionsmith").get_by_role("button", name="Convert").click()
    eventually(page, lambda: page.locator(".visionsmith-notes[open]").count() == 1, "the notes are shown")
    check(page, ".visionsmith-notes")
    page.keyboard.press("Escape")
    eventually(page, lambda: page.locator(".visionsmith-notes").count() == 0, "the notes are gone")
    assert page.problems == []


def test_the_tip_of_a_badge(page):
    page.evaluate("""async () => { await app.loadGraphData({nodes: [], links: [], version: 0.4}, true, true, crypto.randomUUID());
        const node = LiteGraph.createNode('VisionsmithLinear'); node.pos = [100, 200]; app.graph.add(node) }""")
    page.evaluate(
        "() => { app.canvas.ds.scale = 1; app.canvas.ds.offset = [400, 200]; app.canvas.setDirty(true, true) }"
    )
    badge = "app.graph.nodes[0].badges.map(b => typeof b === 'function' ? b() : b).find(b => b.say)"
    eventually(page, lambda: page.evaluate(f"{badge}?.boundingRect[2]") > 0, "the badge is drawn")

    def tip_is_shown():
        x, y = page.evaluate(f"""() => {{ const node = app.graph.nodes[0], badge = {badge}, {{ scale, offset }} = app.canvas.ds;
            const [left, top, width, height] = badge.boundingRect, box = app.canvas.canvas.getBoundingClientRect();
            return [box.x + (node.pos[0] + left + width / 2 + offset[0]) * scale, box.y + (node.pos[1] + top + height / 2 + offset[1]) * scale] }}""")  # fmt: skip
        page.mouse.move(x - 2, y)
        page.mouse.move(x, y)
        return page.locator(".visionsmith-tip").is_visible()

    eventually(page, tip_is_shown, "the tip is beside the badge")
    check(page, ".visionsmith-tip")
    assert page.problems == []


def test_the_points_editor(page):
    page.evaluate("""async () => { await app.loadGraphData({nodes: [], links: [], version: 0.4}, true, true, crypto.randomUUID());
        const node = LiteGraph.createNode('VisionsmithSam3Segment'); node.pos = [100, 200]; app.graph.add(node) }""")
    show_all(page)
    eventually(page, lambda: page.locator(".visionsmith-points").is_visible(), "the editor is there")
    check(page, ".visionsmith-points")
    assert page.problems == []
