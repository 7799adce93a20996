"""Editing 500 layers stays as smooth as the canvas is: what our own hooks cost for each frame and each edit, in both renderers.

The frame rate itself is the machine's, and that of ComfyUI drawing 500 nodes; docs/benchmarks.md has the measured ones, with and without us.
"""

import pytest

from .browser import CHROMIUM, eventually, front_end

TENSOR = "VISIONSMITH_TENSOR"
LAYERS = 500
WIDGETS = {
    "VisionsmithInput": ["image", 3, 64, 64],
    "VisionsmithConv": [16, 3, 1, "same", 1, 1, True, False, "zeros", ""],
    "VisionsmithNormalization": ["BatchNorm", 0.1, True, True, 1e-5],
    "VisionsmithActivation": ["ReLU"],
}
OWN_FRAME = 10  # milliseconds at the median; a frame at 30 a second has 33
OWN_EDIT = 100
FRAMES = """async ([what, count]) => { const canvas = app.canvas, times = [], own = []; let last = performance.now();
    for (let k = 0; k < count; k += 1) {
        if (what === 'pan') canvas.ds.offset[0] += k % 20 < 10 ? -12 : 12;
        if (what === 'type') { const node = app.graph.getNodeById(2 + 3 * (k % 40)), widget = node.widgets[0]; widget.value = 17 + k;
            widget.callback?.(widget.value, canvas, node); window.dispatchEvent(new Event('input')) }
        window.__own = 0; canvas.setDirty(true, true);
        await new Promise(requestAnimationFrame);
        const now = performance.now(); times.push(now - last); last = now; own.push(window.__own) }
    const median = list => list.sort((a, b) => a - b)[list.length >> 1];
    return { frame: median(times.slice(1)), own: median(own.slice(1)) } }"""
WATCH_BADGES = """() => { for (const node of app.graph.nodes) node.badges.forEach((badge, at) => {
    badge = typeof badge === 'function' ? badge() : badge;
    if (badge.say) node.badges[at] = Object.create(badge, { draw: { value(...all) {
        const start = performance.now(); badge.draw(...all); window.__own += performance.now() - start } } }) }) }"""
SPENT = "name => performance.getEntriesByName(name).map(entry => entry.duration).sort((a, b) => a - b)"


def drawing(count=LAYERS, columns=25):
    """Input, then Conv, Normalization and Activation again and again, in rows."""
    types = ("VisionsmithConv", "VisionsmithNormalization", "VisionsmithActivation")
    nodes = []
    for i in range(1, count + 1):
        kind = types[(i - 2) % 3] if i > 1 else "VisionsmithInput"
        nodes.append({
            "id": i, "type": kind, "pos": [320 * ((i - 1) % columns), 340 * ((i - 1) // columns)], "size": [270, 200], "mode": 0, "properties": {}, "flags": {},
            "widgets_values": WIDGETS[kind], "inputs": [] if i == 1 else [{"name": "tensor", "type": TENSOR, "link": i - 1}],
            "outputs": [{"name": "tensor", "type": TENSOR, "links": [i] if i < count else []}],
        })  # fmt: skip
    links = [[i, i, 0, i + 1, 0, TENSOR] for i in range(1, count)]
    return {"last_node_id": count, "last_link_id": count, "groups": [], "version": 0.4, "links": links, "nodes": nodes}


@pytest.mark.parametrize("renderer", ["canvas", "vue"])
def test_our_share_of_frames_and_edits_of_500_layers(server, renderer):
    if not CHROMIUM:
        pytest.skip("no Chromium on this machine (Debian: apt-get install chromium)")
    server.post("/api/settings", {"Comfy.VueNodes.Enabled": renderer == "vue", "Comfy.Minimap.Visible": False})
    try:
        with front_end(server.url, needs="VisionsmithConv") as page:
            page.evaluate(
                "app.extensionManager.setting.set('LiteGraph.Canvas.MinFontSizeForLOD', 8)"
            )  # as it is for everybody
            page.evaluate("async data => await app.loadGraphData(data, true, true, crypto.randomUUID())", drawing())
            last = f"app.graph.getNodeById({LAYERS}).badges.map(b => typeof b === 'function' ? b() : b).some(b => b.words?.includes('64 × 64'))"
            eventually(page, lambda: page.evaluate(last), "the last layer has its shape", timeout=120)
            page.evaluate(
                "() => { app.canvas.ds.scale = 0.6; app.canvas.ds.offset = [40, 60]; app.canvas.setDirty(true, true) }"
            )
            page.evaluate(WATCH_BADGES)
            panned = page.evaluate(FRAMES, ["pan", 20])
            typed = page.evaluate(FRAMES, ["type", 20])
            eventually(page, lambda: page.evaluate(SPENT, "visionsmith.show"), "badges were told")
            collected, shown = (page.evaluate(SPENT, f"visionsmith.{what}") for what in ("collect", "show"))
            print(f"{renderer}: pan {panned}, type {typed}, collect {collected}, show {shown}")

            assert panned["own"] < OWN_FRAME and typed["own"] < OWN_FRAME
            assert collected[len(collected) // 2] < OWN_EDIT and shown[len(shown) // 2] < OWN_EDIT
            assert page.problems == []
    finally:
        server.post("/api/settings", {"Comfy.VueNodes.Enabled": False})
