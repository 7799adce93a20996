"""The canvas in another language: ComfyUI shows our texts, also those that it would leave in English, what we draw speaks it too, and what looks at
nodes still finds them."""

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
    server.post("/api/settings", {"Comfy.Locale": "en", "Visionsmith.Language": "comfyui"})


DRAW = """() => { app.graph.clear();
    const add = type => { const node = LiteGraph.createNode(type); app.graph.add(node); return node };
    const train = add('VisionsmithTrain'), preview = add('VisionsmithDatasetPreview'), sam = add('VisionsmithSam3Segment');
    preview.pos = [500, 0]; sam.pos = [1000, 0];
    sam.widgets.find(w => w.name === 'points').value = JSON.stringify({points: [1, 2, 3, 4, 5].map(x => ({x, y: x})), boxes: [{x: 0, y: 0, width: 9, height: 9}]});
    app.api.dispatchCustomEvent('visionsmith.train', {node: String(train.id), workflow: String(app.rootGraph.id), run: 'a run', state: 'running',
        metric: 'accuracy', step: 1500, steps: 3000, epoch: 2, epochs: 4, speed: 12345, left: 75, points: [[500, 2, null, null], [1500, 1, null, null]]}) }"""
PANELS = {
    "ko": ("에포크 2 / 4 · 12,345 샘플/초 · 1:15 남음", "멈추고 유지", "데이터셋의 이미지", "점 5개, 상자 1개."),
    "zh": ("轮次 2 / 4 · 12,345 样本/秒 · 剩余 1:15", "停止并保留", "数据集的图像", "5 个点，1 个框。"),
    "uk": (
        "епоха 2 з 4 · 12 345 зразк./с · ще 1:15",
        "Зупинити й лишити",
        "Зображення набору даних",
        "5 точок, 1 рамка.",
    ),
    "en": (
        "epoch 2 of 4 · 12,345 samples/s · 1:15 left",
        "Stop and keep",
        "Pictures of the dataset",
        "5 points, 1 box.",
    ),
}
"""Language → what a chart, its button, a panel and the points editor say."""


def said(page):
    """What they say now, with plain spaces."""
    words = page.evaluate("""() => { const text = (query, name) => { const found = document.querySelector(query); return (name ? found?.getAttribute(name) : found?.textContent) ?? '' };
        return [text('.visionsmith-chart .status'), text('.visionsmith-chart .stop'), text('.visionsmith-panel', 'aria-label'), text('.visionsmith-points .visionsmith-status')] }""")
    return tuple(" ".join(one.split()) for one in words)


def speaks(page, language):
    """Draw anew until everything speaks the language: where it was chosen just now, its texts may be on their way."""

    def look():
        page.evaluate(DRAW)
        page.wait_for_timeout(300)
        wrong = [one for one, told in zip(PANELS[language], said(page), strict=True) if not told.startswith(one)]
        return not wrong

    eventually(page, look, f"panels speak {language}", 60)
    show_all(page)
    page.screenshot(path=comfy.ARTIFACTS / f"languages-panels-{language}.png")
    assert page.problems == []


def choose(page, setting, value):
    page.evaluate("async ([name, value]) => await app.extensionManager.setting.set(name, value)", [setting, value])


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


def test_panels_speak_the_language_that_was_chosen_before(page):
    speaks(page, "ko")


def test_panels_speak_a_language_that_is_chosen_now(page):
    choose(page, "Comfy.Locale", "zh")
    speaks(page, "zh")


def test_panels_speak_ukrainian_although_comfyui_does_not(page):
    choose(page, "Comfy.Locale", "uk")  # a front end that has no Ukrainian goes back to English
    eventually(
        page,
        lambda: page.evaluate("app.extensionManager.setting.get('Comfy.Locale')") in ("en", "uk"),
        "ComfyUI knows what it speaks",
    )
    choose(page, "Visionsmith.Language", "uk")
    speaks(page, "uk")
    choose(page, "Visionsmith.Language", "en")
    speaks(page, "en")
