"""The shipped workflows on the real canvas: they open, they are what their API files say, they run, they are laid out for people."""

import json

import pytest

from . import comfy
from .browser import CHROMIUM, api_prompt, front_end, missing_nodes, open_workflow, run, show_all
from .conftest import NAMES, WORKFLOWS
from .prompts import shipped

pytestmark = pytest.mark.skipif(not CHROMIUM, reason="no Chromium on this machine (Debian: apt-get install chromium)")


@pytest.fixture(scope="module")
def page(server):
    with front_end(server.url) as page:
        yield page


@pytest.mark.parametrize("name", NAMES)
def test_canvas_and_api_files_describe_one_graph(page, name):
    open_workflow(page, WORKFLOWS / f"{name}.json")

    assert missing_nodes(page) == []
    assert api_prompt(page) == shipped(name)
    assert page.problems == []


def test_a_workflow_runs_from_the_canvas_and_its_chart_grows(page):
    open_workflow(page, WORKFLOWS / "digits-classifier.json")
    assert run(page) == "execution_success"
    page.wait_for_timeout(1000)
    show_all(page)
    comfy.ARTIFACTS.mkdir(exist_ok=True)
    page.screenshot(path=comfy.ARTIFACTS / "digits-classifier.png")

    assert page.locator(".visionsmith-chart path").count() >= 2
    assert page.problems == []


@pytest.mark.parametrize("name", NAMES)
def test_nodes_do_not_overlap_and_lie_in_their_groups(name):
    data = json.loads((WORKFLOWS / f"{name}.json").read_text())
    boxes = [
        (n["pos"][0], n["pos"][1] - 30, n["pos"][0] + n["size"][0], n["pos"][1] + n["size"][1]) for n in data["nodes"]
    ]
    for i, a in enumerate(boxes):
        for b in boxes[:i]:
            assert a[2] <= b[0] or b[2] <= a[0] or a[3] <= b[1] or b[3] <= a[1], (a, b)
    groups = [(x, y, x + w, y + h) for x, y, w, h in (group["bounding"] for group in data["groups"])]
    for box in boxes:
        assert any(g[0] <= box[0] and g[1] <= box[1] and box[2] <= g[2] and box[3] <= g[3] for g in groups), box
    assert any(n["type"] in ("MarkdownNote", "Note") for n in data["nodes"])
    assert (WORKFLOWS / f"{name}.jpg").is_file()
