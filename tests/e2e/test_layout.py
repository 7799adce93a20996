"""Nothing has to be dragged when a workflow is opened: no node, badge or note lies over another or is cut off, in both of ComfyUI's renderers."""

import json

import pytest

from ..nodes.old_workflows import as_canvas, residual, training
from . import comfy
from .browser import CHROMIUM, eventually, front_end, open_workflow
from .conftest import NAMES, WORKFLOWS

pytestmark = pytest.mark.skipif(not CHROMIUM, reason="no Chromium on this machine (Debian: apt-get install chromium)")

DRAWN = '!LiteGraph.vueNodesMode || app.graph.nodes.every(node => document.querySelector(`[data-node-id="${node.id}"]`)?.offsetHeight > 30)'
LOOK = """() => { const found = [], scale = app.canvas.ds.scale, title = 30, badge = 24;
    const rooms = app.graph.nodes.map(node => {
        const box = LiteGraph.vueNodesMode && document.querySelector(`[data-node-id="${node.id}"]`), place = box && box.getBoundingClientRect();
        const [width, height] = box ? [place.width / scale, place.height / scale - title] : [node.size[0], Math.max(node.size[1], node.computeSize()[1])];
        const marks = node.badges.some(one => (typeof one === 'function' ? one() : one).words);
        return { name: `${node.type} (${node.id})`, left: node.pos[0], top: node.pos[1] - title - (marks ? badge : 0), right: node.pos[0] + width, bottom: node.pos[1] + height } });
    const meet = (a, b) => a.left < b.right && b.left < a.right && a.top < b.bottom && b.top < a.bottom;
    rooms.forEach((one, number) => rooms.slice(number + 1).forEach(other => { if (meet(one, other)) found.push(`${one.name} and ${other.name} overlap`) }));
    const frames = app.graph.groups.map(group => ({ name: group.title, left: group.pos[0], top: group.pos[1], right: group.pos[0] + group.size[0], bottom: group.pos[1] + group.size[1] }));
    frames.forEach((frame, number) => {
        if (!frame.name.trim()) found.push('a group without a title');
        for (const other of frames.slice(number + 1)) if (meet(frame, other)) found.push(`the groups ${frame.name} and ${other.name} overlap`);
        for (const one of rooms)
            if (meet(one, frame) && !(one.left >= frame.left && one.top >= frame.top + 24 && one.right <= frame.right && one.bottom <= frame.bottom)) found.push(`${one.name} sticks out of ${frame.name}`);
    });
    for (const node of app.graph.nodes.filter(one => one.type === 'MarkdownNote')) {
        const box = LiteGraph.vueNodesMode ? document.querySelector(`[data-node-id="${node.id}"] .comfy-markdown-content, [data-node-id="${node.id}"] .comfy-markdown`) : node.widgets[0].element;
        for (const one of box ? [box, ...box.querySelectorAll('*')] : [])
            if (['auto', 'scroll', 'hidden'].includes(getComputedStyle(one).overflowY) && one.scrollHeight > one.clientHeight + 4) found.push(`the note ${node.title} (${node.id}) is cut off by ${one.scrollHeight - one.clientHeight} pixels`);
    }
    return found }"""


@pytest.fixture(scope="module", params=["canvas", "vue"])
def page(request, server):
    server.post("/api/settings", {"Comfy.VueNodes.Enabled": request.param == "vue", "Comfy.Minimap.Visible": False})
    with front_end(server.url) as page:
        yield page
    server.post("/api/settings", {"Comfy.VueNodes.Enabled": False})


def check(page, file):
    open_workflow(page, file)
    eventually(page, lambda: page.evaluate(DRAWN), "every node is drawn", timeout=60)
    eventually(page, lambda: not page.evaluate(LOOK), f"{file.stem} is tidy: " + "; ".join(page.evaluate(LOOK)))


@pytest.mark.parametrize("name", NAMES)
def test_nothing_lies_over_another_in_a_template(page, name):
    check(page, WORKFLOWS / f"{name}.json")


@pytest.mark.parametrize("old", [residual, training], ids=lambda made: made.__name__)
def test_nothing_lies_over_another_in_a_converted_drawing(page, server, tmp_path, old):
    status, answer, _ = comfy.ask(server, "/visionsmith/convert", {"workflow": as_canvas(old()) | {"groups": []}})
    assert status == 200
    file = tmp_path / f"{old.__name__}.json"
    file.write_text(json.dumps(answer["workflow"]))
    check(page, file)
