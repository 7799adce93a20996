"""More defects on the real canvas: the pictures that the nodes show, the loop from one dataset to a sentence, and what a rejected sample looks like."""

import io
import json

import pytest
from PIL import Image

from . import comfy
from .browser import CHROMIUM, eventually, front_end, open_workflow, run, set_widgets, show_all
from .conftest import WORKFLOWS

SMALL = {  # the whole loop, in seconds
    "VisionsmithExperiment": {"seeds": "0", "max_steps": 2, "name": "small-loop"},
    "VisionsmithAugmentDataset": {"per_picture": 0.25},
    "VisionsmithDatasetToImages": {"count": 2},
}
MADE = """() => {
    app.graph.clear();
    const [plate, maker, shown] = ['EmptyImage', 'VisionsmithSynthesizeDefects', 'PreviewImage'].map(type => {
        const node = LiteGraph.createNode(type);
        app.graph.add(node);
        return node });
    const set = (node, name, value) => { const widget = node.widgets.find(w => w.name === name); widget.value = value; widget.callback?.(value, app.canvas, node) };
    for (const [name, value] of Object.entries({ width: 160, height: 120, batch_size: 2, color: 0x808890 })) set(plate, name, value);
    set(maker, 'method', 'crack');
    plate.connect(0, maker, maker.inputs.findIndex(i => i.name === 'images'));
    maker.connect(0, shown, 0);
    [plate, maker, shown].forEach((node, i) => { node.pos = [i * 480, 0]; node.setSize([440, 800]) });
}"""


@pytest.fixture(scope="module")
def page(server):
    if not CHROMIUM:
        pytest.skip("no Chromium on this machine (Debian: apt-get install chromium)")
    with front_end(server.url) as page:
        yield page


def shown(page, kind):
    """For each node of a type, how many pictures it shows: ComfyUI's own, and those of a panel."""
    return page.evaluate(
        """kind => app.graph.nodes.filter(n => n.type === kind).map(n => {
            const panels = (n.widgets ?? []).flatMap(w => [...(w.element?.querySelectorAll?.('img') ?? [])]);
            return [...(n.imgs ?? []), ...panels].filter(i => i.naturalWidth > 30).length })""",
        kind,
    )


def screenshot(page, name):
    show_all(page)
    comfy.ARTIFACTS.mkdir(exist_ok=True)
    page.screenshot(path=comfy.ARTIFACTS / f"{name}.png")


def test_synthesized_defects_are_shown(page):
    page.evaluate(MADE)
    assert run(page) == "execution_success"
    eventually(page, lambda: shown(page, "VisionsmithSynthesizeDefects") == [2], "before and after in the node")
    screenshot(page, "synthesize-defects")
    assert page.problems == []


def test_the_loop_from_one_dataset_to_a_sentence(page, server):
    open_workflow(page, WORKFLOWS / "augment-and-compare.json")
    set_widgets(page, SMALL)
    assert run(page, 400_000) == "execution_success", page.evaluate("window.__ended[0][1].exception_message")
    eventually(page, lambda: shown(page, "VisionsmithAugmentDataset") == [1] * 4, "new defects in each Augment Dataset")
    eventually(page, lambda: shown(page, "VisionsmithChooseAugmentation") == [1], "bars in Choose Augmentation")
    eventually(page, lambda: shown(page, "VisionsmithPredictSegmentation")[0] > 0, "a picture with its defects")
    texts = page.locator("pre.visionsmith-text")
    eventually(page, lambda: any("chosen on val" in text for text in texts.all_text_contents()), "the table")
    screenshot(page, "augment-and-compare")
    assert page.problems == []

    entry = server.get(f"/history/{page.evaluate('window.__ended[0][1].prompt_id')}")
    [outputs] = [one["outputs"] for one in entry.values()]
    [why] = [out["headline"][0] for out in outputs.values() if "chosen on val" in str(out.get("text"))]
    assert why.startswith(("Keep ", "Nothing can be chosen"))
    rows = json.loads((server.base / "output/experiments/small-loop/results.json").read_text())["rows"]
    assert [row["dataset"] for row in rows] == ["sample", "copy-paste", "poisson", "procedural", "mix"]
    assert not any(row["error"] for row in rows)


def test_rejected_samples_are_shown_and_nothing_behind_them_runs(server):
    plate = {"width": 96, "height": 96, "batch_size": 1}
    prompt = {
        "1": {"class_type": "EmptyImage", "inputs": {**plate, "color": 0x808080}},
        "2": {"class_type": "SolidMask", "inputs": {"value": 0.0, "width": 96, "height": 96}},
        "3": {"class_type": "SolidMask", "inputs": {"value": 1.0, "width": 12, "height": 12}},
        "4": {"class_type": "MaskComposite", "inputs": {"destination": ["2", 0], "source": ["3", 0], "x": 40, "y": 40, "operation": "add"}},
        "5": {"class_type": "VisionsmithRelabelEdit", "inputs": {"images": ["1", 0], "original": ["1", 0], "mask": ["4", 0], "class_name": "dent"}},
        "6": {"class_type": "SaveImage", "inputs": {"images": ["5", 0], "filename_prefix": "rejected"}},
        "7": {"class_type": "PreviewImage", "inputs": {"images": ["5", 4]}},
    }  # fmt: skip
    info = server.get("/object_info/VisionsmithRelabelEdit")["VisionsmithRelabelEdit"]["input"]["required"]
    defaults = {name: entry[1]["default"] for name, entry in info.items() if "default" in entry[1]}
    prompt["5"]["inputs"] = defaults | prompt["5"]["inputs"]
    outputs = server.run(prompt)["outputs"]

    assert outputs["5"]["text"][0].startswith("dent 1: rejected: no defect is left")
    for node in ("5", "7"):
        [entry] = outputs[node]["images"]
        assert Image.open(io.BytesIO(server.picture(entry))).size[0] == 384
    assert "6" not in outputs and not list((server.base / "output").glob("rejected*"))
