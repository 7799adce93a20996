"""What fine-tuning and experiments draw in their nodes, in both of ComfyUI's renderers: charts, samples, runs side by side."""

import subprocess

import pytest
from PIL import Image

from ..augmentation.diffusion.tiny import cracked, random_pipeline
from . import comfy
from .browser import CHROMIUM, eventually, front_end, run, show_all

pytestmark = pytest.mark.skipif(not CHROMIUM, reason="no Chromium on this machine (Debian: apt-get install chromium)")
pytest.importorskip("diffusers", reason="the extra diffusion is not installed")
pytest.importorskip("peft", reason="the extra diffusion is not installed")

CONCEPTS, LORA, DREAMBOOTH, RUNS, EXPERIMENT = 1, 2, 3, 4, 20
QUICK = {
    "model": "tiny-random", "name": "crack", "steps": 2, "learning_rate": 0.001, "batch_size": 1, "accumulate": 1, "prior_weight": 0,
    "optimizer": "AdamW", "precision": "32-true", "prompts": "photo of a crack", "sample_every": 2, "sample_steps": 2, "warmup": 0,
}  # fmt: skip
SETTINGS = {
    CONCEPTS: {"source.folder": "cracked", "source.trigger": "photo of a crack", "resolution": 64},
    LORA: QUICK,
    DREAMBOOTH: {**QUICK, "name": "crack-whole", "as_folder": False},
    EXPERIMENT: {"name": "drawn", "epochs": 2, "batch_size": 256, "seeds": "0, 1"},
}
DRAW = """settings => {
    app.graph.clear();
    const add = (id, type, left, top) => {
        const node = LiteGraph.createNode(`Visionsmith${type}`);
        node.id = id;
        node.pos = [left, top];
        app.graph.add(node);
        for (const [name, value] of Object.entries(settings[id] ?? {})) {
            const widget = node.widgets.find(one => one.name === name);
            if (!widget) throw new Error(`${type} has no widget ${name}`);
            widget.value = value;
        }
        return node };
    const wire = (from, to, name) => from.connect(0, to, to.inputs.findIndex(input => input.name === name));
    const concepts = add(1, 'ConceptDataset', 0, 0);
    wire(concepts, add(2, 'TrainLora', 400, 0), 'concepts');
    wire(concepts, add(3, 'TrainDreamBooth', 900, 0), 'concepts');
    const [input, flat, linear, network] = [add(10, 'Input', 1400, 0), add(11, 'View', 1400, 300), add(12, 'Linear', 1400, 500), add(13, 'BuildNetwork', 1400, 700)];
    for (const [name, value] of [['kind.channels', 1], ['kind.height', 8], ['kind.width', 8]]) input.widgets.find(one => one.name === name).value = value;
    linear.widgets.find(one => one.name === 'out_features').value = 10;
    wire(input, flat, 'tensor');
    wire(flat, linear, 'tensor');
    wire(linear, network, 'outputs.output0');
    const experiment = add(20, 'Experiment', 1800, 0);
    wire(network, experiment, 'networks.network0');
    wire(add(14, 'SampleDataset', 1400, 900), experiment, 'datasets.dataset0') }"""


@pytest.fixture(scope="module")
def furnished(server, comfyui):
    """A server with a small Stable Diffusion of random weights and three pictures of cracks."""
    if subprocess.run([comfy.python_of(comfyui), "-c", "import diffusers, peft"], capture_output=True).returncode:
        pytest.skip("ComfyUI's Python has no diffusers and peft; pip install visionsmith[diffusion] there")
    random_pipeline().save_pretrained(server.base / "models" / "diffusers" / "tiny-random")
    folder = server.base / "input" / "cracked"
    folder.mkdir()
    for number in range(3):
        picture = (cracked(number, 64)[0] * 255).byte().numpy()
        Image.fromarray(picture).save(folder / f"{number}.png")
    return server


@pytest.fixture(scope="module", params=["canvas", "vue"])
def page(request, furnished):
    furnished.post("/api/settings", {"Comfy.VueNodes.Enabled": request.param == "vue", "Comfy.Minimap.Visible": False})
    with front_end(furnished.url) as page:
        page.renderer = request.param
        page.context.grant_permissions(["clipboard-read", "clipboard-write"])
        seed = 1 if request.param == "vue" else 0  # the other trainings are found again
        given = {id: {**one, "seed": seed} if id == LORA else one for id, one in SETTINGS.items()}
        page.evaluate(DRAW, given)
        show_all(page)
        assert run(page, timeout=300_000) == "execution_success"
        yield page
    furnished.post("/api/settings", {"Comfy.VueNodes.Enabled": False})


def look_at(page, id):
    """The end of a node, where its chart or panel is, in view at full size."""
    page.evaluate(
        """id => { const node = app.graph.getNodeById(id), canvas = app.canvas;
            canvas.ds.scale = 1;
            canvas.ds.offset = [200 - node.pos[0], 800 - node.pos[1] - node.size[1]];
            canvas.setDirty(true, true) }""",
        id,
    )
    page.wait_for_timeout(300)


def picture(page, name):
    comfy.ARTIFACTS.mkdir(exist_ok=True)
    page.screenshot(path=comfy.ARTIFACTS / f"{name}-{page.renderer}.png")


@pytest.mark.parametrize("id, words", [(LORA, "done · step 2 of 2"), (DREAMBOOTH, "done · step 2 of 2"), (EXPERIMENT, "best: ")])  # fmt: skip
def test_every_training_has_its_chart(page, id, words):
    look_at(page, id)
    charts = page.locator(".visionsmith-chart")
    at = page.evaluate("id => app.graph.nodes.filter(node => node.widgets?.some(one => one.name === 'chart')).findIndex(node => node.id == id)", id)  # fmt: skip
    chart = charts.filter(has_text=words).nth(at) if id == DREAMBOOTH else charts.filter(has_text=words).first
    eventually(page, lambda: chart.is_visible(), "its chart says how it ended")
    eventually(page, lambda: chart.locator(".line.train").first.get_attribute("d"), "the losses are drawn")
    if page.renderer == "vue" and id != EXPERIMENT:
        samples = page.locator(f"[data-testid=node-body-{id}] img:visible")
        eventually(page, lambda: samples.count() == 1, "the samples are there once")
    picture(page, f"chart-of-{id}")
    assert page.problems == []


def test_runs_side_by_side(page):
    page.evaluate("""id => { const node = LiteGraph.createNode('VisionsmithFinetuneRuns');
        [node.id, node.pos] = [id, [2400, 0]];
        app.graph.add(node) }""", RUNS)  # fmt: skip
    assert run(page, timeout=120_000) == "execution_success"
    look_at(page, RUNS)
    panel = page.get_by_role("group", name="Fine-tuning runs", exact=True)
    shown = panel.locator(".visionsmith-picture img").first
    eventually(page, lambda: shown.evaluate("image => image.complete && image.naturalWidth > 300"), "the samples")
    picture(page, "runs")
    panel.get_by_role("button", name="Next picture").click()
    eventually(page, lambda: panel.locator(".visionsmith-status:visible").first.inner_text().endswith("losses"), "the losses")  # fmt: skip
    panel.get_by_role("tab", name="table").click()
    names = panel.locator("tbody tr td:first-child")
    eventually(page, lambda: {"crack", "crack-whole"} <= {name.rpartition("-")[0] for name in names.all_inner_texts()}, "both runs")  # fmt: skip
    panel.get_by_role("button", name="Copy the table").click()
    eventually(page, lambda: page.evaluate("navigator.clipboard.readText()").startswith("| run | method"), "the table is copied")  # fmt: skip
    assert page.problems == []
