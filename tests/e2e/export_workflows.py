"""Write workflows/api/NAME.json and the thumbnail of workflows anew, with the real front end, after editing them on the canvas.

Usage: python -m tests.e2e.export_workflows [NAME ...]   (all without a name; needs a ComfyUI, see `comfy.find_comfyui`)
"""

import io
import json
import sys
import tempfile
from pathlib import Path

from PIL import Image, ImageDraw
from playwright.sync_api import Page

from ..imaging import model_files
from . import comfy
from .browser import api_prompt, front_end, open_workflow, run, set_widgets, show_all

SHOWN_AFTER_RUN = {
    "remove-inpaint": {"LoadImage": {"image": "painted.png"}, "VisionsmithRemoveObject": {"grow": 3}},
    "remove-background": {},
}
COIN = (79, 36, 122, 78)


def main(names: list[str]) -> None:
    """Start a server, open each workflow, write what the front end makes of it."""
    workflows = comfy.REPOSITORY / "workflows"
    with tempfile.TemporaryDirectory() as folder:
        base = Path(folder)
        server = comfy.start_server(comfy.find_comfyui(), base / "comfyui")
        try:
            write_examples(server.base, base)
            with front_end(server.url) as page:
                for name in ("Comfy.Minimap.Visible", "Comfy.Graph.CanvasMenu"):
                    page.evaluate("name => app.extensionManager.setting.set(name, false)", name)
                page.evaluate("app.extensionManager.setting.set('Comfy.NodeBadge.NodeSourceBadgeMode', 'None')")
                page.evaluate("app.canvas.show_info = false")
                for file in sorted(workflows.glob("*.json")):
                    if names and file.stem not in names:
                        continue
                    open_workflow(page, file)
                    (workflows / "api" / file.name).write_text(json.dumps(api_prompt(page), indent=1) + "\n")
                    if file.stem in SHOWN_AFTER_RUN:
                        set_widgets(page, SHOWN_AFTER_RUN[file.stem])
                        page.wait_for_timeout(500)
                        print(run(page))
                        page.wait_for_timeout(1000)
                        show_all(page)
                    write_thumbnail(page, file.with_suffix(".jpg"))
                    print(file.stem)
        finally:
            comfy.stop_server(server)


def write_examples(base: Path, downloads: Path) -> None:
    """Pictures for Load Image, one of them with a coin painted over, a model that fits into a package, and names of others."""
    images = comfy.REPOSITORY / "docs" / "images"
    Image.open(images / "coffee.jpg").save(base / "input" / "example.png")
    coins = Image.open(images / "coins.jpg").convert("RGBA")
    alpha = Image.new("L", coins.size, 255)
    ImageDraw.Draw(alpha).ellipse(COIN, fill=0)
    coins.putalpha(alpha)
    coins.save(base / "input" / "painted.png")
    for name in model_names():
        for kind in ("checkpoints", "loras", "sam3", "lama", "vae"):
            (base / "models" / kind).mkdir(exist_ok=True)
            (base / "models" / kind / name).touch()
    u2netp = model_files.u2netp(downloads)
    if u2netp:
        (base / "models" / "rembg").mkdir()
        u2netp.rename(base / "models" / "rembg" / "u2netp.onnx")


def model_names() -> set[str]:
    """The files of models that workflows name; where one is missing, ComfyUI marks the node red."""
    texts = [
        str(value)
        for file in (comfy.REPOSITORY / "workflows").glob("*.json")
        for node in json.loads(file.read_text())["nodes"]
        for value in node.get("widgets_values") or ()
    ]
    endings = (".safetensors", ".pt", ".ckpt", ".pth")
    return {Path(text).name for text in texts if text.endswith(endings) and len(text) < 200}


def write_thumbnail(page: Page, file: Path) -> None:
    """What the canvas shows, as small as the list of templates shows it."""
    page.evaluate("document.querySelector('[data-testid=error-overlay]')?.style.setProperty('display', 'none')")
    page.evaluate("app.extensionManager.command.execute('Workspace.ToggleFocusMode')")
    page.wait_for_timeout(700)
    canvas = Image.open(io.BytesIO(page.screenshot(clip={"x": 75, "y": 50, "width": 1525, "height": 850})))
    page.evaluate("app.extensionManager.command.execute('Workspace.ToggleFocusMode')")
    canvas.convert("RGB").resize((1078, 598)).crop((0, 0, 1064, 598)).save(file, quality=85)


if __name__ == "__main__":
    main(sys.argv[1:])
