"""The real front end in headless Chromium."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

CHROMIUM = next(
    (
        path
        for path in ("/usr/bin/chromium", shutil.which("chromium"), shutil.which("google-chrome"))
        if path and Path(path).exists()
    ),
    None,
)
SETTINGS = {"LiteGraph.Canvas.MinFontSizeForLOD": 0, "Comfy.ColorPalette": "dark", "Comfy.RightSidePanel.IsOpen": False}
"""What every page begins with, whatever a test before it left on the server: texts in screenshots however small, the dark theme, no panel over the canvas."""
ENDINGS = ("execution_success", "execution_error", "execution_interrupted")


@contextmanager
def front_end(url: str, needs: str = "VisionsmithTrain") -> Iterator[Page]:
    """A page with ComfyUI's front end, ready to be used; `page.problems` collects what goes wrong in it."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        context = browser.new_context(viewport={"width": 1600, "height": 900})
        context.route(
            "**/*",
            lambda route: route.continue_() if route.request.url.startswith((url, "data:", "blob:")) else route.abort(),
        )
        page = context.new_page()
        page.problems = []
        page.on("pageerror", lambda error: page.problems.append(str(error)))
        page.on("console", lambda message: _note(page, message))
        page.goto(url, wait_until="domcontentloaded")
        page.wait_for_function(
            "t => window.app?.vueAppReady && window.LiteGraph?.registered_node_types[t]", arg=needs, timeout=180_000
        )
        page.wait_for_timeout(800)  # the default workflow is put back meanwhile
        for name, value in SETTINGS.items():
            page.evaluate("async ([name, value]) => await app.extensionManager.setting.set(name, value)", [name, value])
        page.evaluate(
            """endings => { window.__ended = [];
                for (const name of endings) app.api.addEventListener(name, event => window.__ended.push([name, event.detail])) }""",
            list(ENDINGS),
        )
        yield page
        browser.close()


@contextmanager
def rendered(server, renderer: str, needs: str) -> Iterator[Page]:
    """A page of `front_end` without the minimap, which draws nodes by "canvas" or by "vue"; `page.renderer` says which."""
    server.post("/api/settings", {"Comfy.VueNodes.Enabled": renderer == "vue", "Comfy.Minimap.Visible": False})
    with front_end(server.url, needs=needs) as page:
        page.renderer = renderer
        yield page
    server.post("/api/settings", {"Comfy.VueNodes.Enabled": False})


def _note(page: Page, message) -> None:
    """Errors and warnings that come from our own files."""
    if message.type in ("error", "warning") and "visionsmith" in (message.text + str(message.location)).lower():
        page.problems.append(message.text)


def open_workflow(page: Page, file: Path) -> None:
    """Open a workflow on the canvas, as if it had been chosen from the templates, and show all of it."""
    page.evaluate(
        "async ([data, name]) => await app.loadGraphData(data, true, true, name)",
        [json.loads(file.read_text()), file.stem],
    )
    page.wait_for_timeout(500)
    show_all(page)


def show_all(page: Page) -> None:
    """Zoom so that every node and group is in view."""
    page.evaluate("""() => {
        const nodes = app.graph.nodes.map(n => [n.pos[0], n.pos[1] - 40, n.pos[0] + n.size[0], n.pos[1] + n.size[1]]);
        for (const g of app.graph.groups) nodes.push([g.pos[0], g.pos[1], g.pos[0] + g.size[0], g.pos[1] + g.size[1]]);
        const box = nodes.reduce((b, n) => [Math.min(b[0], n[0]), Math.min(b[1], n[1]), Math.max(b[2], n[2]), Math.max(b[3], n[3])]);
        const scale = Math.min(1480 / (box[2] - box[0]), 790 / (box[3] - box[1]));
        app.canvas.ds.scale = scale;
        app.canvas.ds.offset = [-box[0] + 90 / scale, -box[1] + 80 / scale];
        app.canvas.setDirty(true, true) }""")
    page.wait_for_timeout(500)


def set_widgets(page: Page, values: dict[str, dict[str, object]]) -> None:
    """Set widgets of every node of a type: {type: {widget: value}}."""
    page.evaluate(
        """values => { for (const node of app.graph.nodes) for (const [name, value] of Object.entries(values[node.type] ?? {})) {
            const widget = node.widgets.find(w => w.name === name);
            widget.value = value;
            widget.callback?.(value, app.canvas, node) } }""",
        values,
    )


def missing_nodes(page: Page) -> list[str]:
    """The types of nodes on the canvas that ComfyUI does not know."""
    return page.evaluate("app.graph.nodes.filter(n => !LiteGraph.registered_node_types[n.type]).map(n => n.type)")


def api_prompt(page: Page) -> dict:
    """What the canvas would queue, in API format."""
    return page.evaluate("async () => (await app.graphToPrompt()).output")


def run(page: Page, timeout: float = 120_000) -> str:
    """Press Run as a person would, and wait for how it ends."""
    page.evaluate("window.__ended.length = 0")
    page.get_by_test_id("queue-button").click()
    page.wait_for_function("window.__ended.length > 0", timeout=timeout)
    return page.evaluate("window.__ended[0][0]")


def eventually(page: Page, look: Callable[[], bool], what: str, timeout: float = 20) -> None:
    """Look again and again until it is so: between what a person does and what the page shows lie a few frames, more on a busy machine."""
    end = time.monotonic() + timeout
    while not look():
        assert time.monotonic() < end, f"within {timeout:g} s this did not happen: {what}"
        page.wait_for_timeout(50)
