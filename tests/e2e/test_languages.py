"""The canvas in another language: ComfyUI shows our texts, also those that it would leave in English, and what looks at nodes still finds them."""

import pytest

from . import comfy
from .browser import CHROMIUM, eventually, front_end, show_all

LANGUAGES = ("en", "ko", "zh", "uk")


@pytest.fixture(scope="module")
def page(server):
    if not CHROMIUM:
        pytest.skip("no Chromium on this machine (Debian: apt-get install chromium)")
    server.post("/api/settings", {"Comfy.Locale": "ko", "Comfy.Minimap.Visible": False})
    with front_end(server.url) as page:
        yield page
    server.post("/api/settings", {"Comfy.Locale": "en"})


def test_every_language_is_served(server):
    served = server.get("/api/i18n")

    for language in LANGUAGES:  # Ukrainian waits for a front end that offers it
        assert served[language]["nodeDefs"]["VisionsmithConv"]["display_name"]
        assert served[language]["commands"]["visionsmith_convertWorkflow"]["label"]


def test_a_drawing_in_korean(page, server):
    korean = server.get("/api/i18n")["ko"]["nodeDefs"]
    conv, start = korean["VisionsmithConv"], korean["VisionsmithInput"]
    page.evaluate(
        """() => { app.graph.clear();
            const [first, second] = ['VisionsmithInput', 'VisionsmithConv'].map((type, index) => {
                const node = LiteGraph.createNode(type);
                node.pos = [400 * index, 0];
                app.graph.add(node);
                return node;
            });
            first.connect(0, second, 0);
            window.dispatchEvent(new Event('change')) }"""
    )
    show_all(page)
    page.screenshot(path=comfy.ARTIFACTS / "languages-ko.png")
    title, labels, inner, socket = page.evaluate(
        """() => { const [first, second] = app.graph.nodes;
            return [second.title, second.widgets.map(w => w.label), first.widgets.find(w => w.name === 'kind.channels').tooltip, second.inputs[0].localized_name] }"""
    )
    assert title == conv["display_name"]
    assert labels[0] == conv["inputs"]["out_channels"]["name"]
    assert socket == conv["inputs"]["tensor"]["name"]
    assert inner == start["inputs"]["kind_channels"]["tooltip"]
    badge = "app.graph.nodes[1].badges.map(b => typeof b === 'function' ? b() : b).find(b => b.class?.startsWith('visionsmith-shape'))?.text ?? ''"
    eventually(page, lambda: "32 × 64 × 64" in page.evaluate(badge), "layers have shapes in every language")
    assert page.problems == []


def test_commands_and_settings_of_ours_have_texts(page, server):
    said = server.get("/api/i18n")
    commands = page.evaluate(
        "app.extensionManager.command.commands.map(one => one.id).filter(id => /^visionsmith/i.test(id))"
    )
    settings = page.evaluate("Object.keys(app.ui.settings.settingsLookup).filter(id => /^visionsmith/i.test(id))")
    for language in LANGUAGES:
        assert {one.replace(".", "_") for one in commands} == set(said[language]["commands"])
        assert {one.replace(".", "_") for one in settings} == set(said[language].get("settings", {}))
