"""Visionsmith: draw, train, test and use vision models as ComfyUI nodes.

This file is the door and nothing else: ComfyUI calls `comfy_entrypoint` and serves `WEB_DIRECTORY`. The nodes are imported inside
the call, so `import visionsmith` stays cheap outside ComfyUI.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from comfy_api.latest import ComfyExtension

WEB_DIRECTORY = "./web"


async def comfy_entrypoint() -> ComfyExtension:
    """Return the extension that ComfyUI (or the headless runner) asks for the list of nodes."""
    from .nodes import VisionsmithExtension

    return VisionsmithExtension()
