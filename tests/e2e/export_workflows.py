"""Write workflows/api/NAME.json and the thumbnail of every workflow anew, with the real front end, after editing one on the canvas.

Usage: python -m tests.e2e.export_workflows   (needs a ComfyUI, see `comfy.find_comfyui`)
"""

import io
import json
import tempfile
from pathlib import Path

from PIL import Image

from . import comfy
from .browser import api_prompt, front_end, open_workflow


def main() -> None:
    """Start a server, open each workflow, write what the front end makes of it."""
    workflows = comfy.REPOSITORY / "workflows"
    with tempfile.TemporaryDirectory() as base:
        server = comfy.start_server(comfy.find_comfyui(), Path(base))
        try:
            with front_end(server.url) as page:
                page.evaluate("app.extensionManager.setting?.set?.('Comfy.Minimap.Visible', false)")
                page.evaluate("app.canvas.show_info = false")
                page.add_style_tag(content="#graph-canvas { z-index: 9999 !important; }")  # above menus and buttons
                for file in sorted(workflows.glob("*.json")):
                    open_workflow(page, file)
                    (workflows / "api" / file.name).write_text(json.dumps(api_prompt(page), indent=1) + "\n")
                    canvas = Image.open(
                        io.BytesIO(page.screenshot(clip={"x": 75, "y": 50, "width": 1525, "height": 850}))
                    )
                    canvas.convert("RGB").resize((1078, 598)).crop((0, 0, 1064, 598)).save(
                        file.with_suffix(".jpg"), quality=85
                    )
                    print(file.stem)
        finally:
            comfy.stop_server(server)


if __name__ == "__main__":
    main()
