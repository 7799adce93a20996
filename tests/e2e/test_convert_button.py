"""A workflow of comfyui-Build-and-train-your-network is offered to be drawn anew, and the route behind the offer is no open door."""

import pytest

from . import comfy
from .browser import CHROMIUM, front_end, missing_nodes, show_all

ROUTE = "/visionsmith/convert"
OLD = {
    "last_node_id": 5,
    "last_link_id": 4,
    "nodes": [
        {"id": 1, "type": "Conv_layer", "pos": [0, 0], "size": [315, 250], "inputs": [{"name": "layer", "type": "LAYER", "link": None}], "outputs": [{"name": "layer", "type": "LAYER", "links": [1]}], "widgets_values": [3, 8, 3, 1, 1, "add"]},
        {"id": 2, "type": "view_layer", "pos": [400, 0], "size": [315, 150], "inputs": [{"name": "layer", "type": "LAYER", "link": 1}], "outputs": [{"name": "layer", "type": "LAYER", "links": [2]}], "widgets_values": [-1, "add"]},
        {"id": 3, "type": "linear_layer", "pos": [800, 0], "size": [315, 180], "inputs": [{"name": "layer", "type": "LAYER", "link": 2}], "outputs": [{"name": "layer", "type": "LAYER", "links": [3]}], "widgets_values": [10, 2, "add"]},
        {"id": 4, "type": "create_model", "pos": [1200, 0], "size": [315, 200], "inputs": [{"name": "layer", "type": "LAYER", "link": 3}], "outputs": [{"name": "model", "type": "MODEL", "links": []}], "widgets_values": ["0.001", "CrossEntropyLoss", False, ""]},
    ],
    "links": [[1, 1, 0, 2, 0, "LAYER"], [2, 2, 0, 3, 0, "LAYER"], [3, 3, 0, 4, 0, "LAYER"]],
    "groups": [],
    "version": 0.4,
}  # fmt: skip


def ask(server, body, **headers):
    return comfy.ask(server, ROUTE, body, **headers)


def test_the_route_converts(server):
    status, answer, _ = ask(server, {"workflow": OLD})

    assert status == 200
    types = [node["type"] for node in answer["workflow"]["nodes"]]
    assert {"VisionsmithConv", "VisionsmithLinear", "VisionsmithBuildNetwork"} <= set(types)
    assert answer["notes"] and all(note.endswith(".") for note in answer["notes"])


DOUBLED = {str(i): {"class_type": "res_connect", "inputs": {"res_1": [str(i - 1), 1], "res_2": [str(i - 1), 1]}} for i in range(2, 99)}  # fmt: skip
DOUBLED["1"] = {"class_type": "Conv_layer", "inputs": {}}
REFUSED = {
    "another type": (b"workflow=1", {"Content-Type": "application/x-www-form-urlencoded"}, 415, "send application/json"),
    "another origin": ({"workflow": OLD}, {"Origin": "http://elsewhere.example"}, 403, None),
    "too large": (b'{"workflow": "' + b"a" * 10_000_000 + b'"}', {}, 413, "larger than 5,000,000 bytes"),
    "no JSON": (b"{", {}, 400, "is no JSON"),
    "no text": (b"\xff\xfe\x00", {}, 400, "is no JSON"),
    "too deep": (b"[" * 100_000, {}, 400, "is no JSON"),
    "no workflow": ({"other": 1}, {}, 400, "has no workflow"),
    "another workflow": ({"workflow": {"nodes": [], "links": []}}, {}, 400, "has no node of"),
    "strange parts": ({"workflow": {"nodes": [{"id": [1], "type": "Conv_layer"}]}}, {}, 400, "is no workflow"),
    "strange places": ({"workflow": {"nodes": [{"id": 1, "type": "create_model", "pos": {"0": "left"}}]}}, {}, 400, "cannot be read"),
    "too many nodes": ({"workflow": {"nodes": [{"id": i, "type": "Conv_layer"} for i in range(9000)]}}, {}, 400, "at most 500"),
    "doubling": ({"workflow": DOUBLED}, {}, 400, "joins more than"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_the_route_refuses(server, case):
    body, headers, expected, words = REFUSED[case]
    status, answer, seconds = ask(server, body, **headers)

    assert status == expected
    assert words is None or (words in answer["error"] and "\n" not in answer["error"])
    assert seconds < 2  # a tenth of that on a machine of one's own
    assert ask(server, {"workflow": OLD})[0] == 200


@pytest.fixture(scope="module")
def page(server):
    if not CHROMIUM:
        pytest.skip("no Chromium on this machine (Debian: apt-get install chromium)")
    with front_end(server.url, needs="VisionsmithConv") as page:
        yield page


def open_old(page, name="old drawing"):
    page.evaluate("async ([data, name]) => await app.loadGraphData(data, true, true, name)", [OLD, name])
    page.wait_for_timeout(700)


def test_the_offer_opens_the_new_drawing_in_a_tab_of_its_own(page):
    open_old(page)
    offer = page.get_by_role("region", name="Visionsmith")
    assert "4 nodes" in offer.inner_text() and "comfyui-Build-and-train-your-network" in offer.inner_text()
    comfy.ARTIFACTS.mkdir(exist_ok=True)
    page.screenshot(path=comfy.ARTIFACTS / "convert-offer.png")
    offer.get_by_role("button", name="Convert").click()

    dialog = page.get_by_role("dialog", name="old drawing is drawn with Visionsmith's nodes now")
    dialog.wait_for()
    assert dialog.get_by_role("listitem").count() >= 1
    page.screenshot(path=comfy.ARTIFACTS / "convert-notes.png")
    page.keyboard.press("Escape")
    assert missing_nodes(page) == []
    assert "VisionsmithBuildNetwork" in page.evaluate("app.graph.nodes.map(node => node.type)")
    assert page.evaluate("app.extensionManager.workflow.activeWorkflow.filename") == "old drawing (Visionsmith)"
    assert offer.count() == 0
    show_all(page)
    page.screenshot(path=comfy.ARTIFACTS / "convert-done.png")
    assert page.problems == []


def test_an_offer_that_was_declined_does_not_come_back(page):
    open_old(page, "another old drawing")
    page.get_by_role("region", name="Visionsmith").get_by_role("button", name="Not now").click()
    data = page.evaluate("app.rootGraph.serialize()")
    page.evaluate("async data => await app.loadGraphData(data, true, true, 'the same')", data)
    page.wait_for_timeout(500)
    assert page.get_by_role("region", name="Visionsmith").count() == 0
    assert page.problems == []


def test_the_menus_command_says_why_it_does_nothing(page):
    page.evaluate("async () => await app.loadGraphData({nodes: [], links: [], version: 0.4}, true, true, 'empty')")
    assert page.get_by_role("region", name="Visionsmith").count() == 0
    page.locator(".comfy-menu-button-wrapper").click()
    page.get_by_text("Extensions", exact=True).first.hover()
    page.get_by_text("Visionsmith", exact=True).last.hover()
    page.get_by_text("Convert Build-and-train workflow").last.click()
    page.get_by_text("Nothing to convert").wait_for()
    assert page.problems == []
