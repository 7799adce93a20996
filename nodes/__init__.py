"""The nodes, one file per menu category; a file lists its nodes in `NODES`."""

from __future__ import annotations

import logging

from comfy_api.latest import ComfyExtension, io


class VisionsmithExtension(ComfyExtension):
    """What ComfyUI asks for the list of nodes."""

    async def on_load(self) -> None:
        """Offer our nodes for those of older packs, and the canvas our routes; the nodes work without, so errors are only logged."""
        from . import replacements
        from .canvas import routes

        try:
            await replacements.register()
        except Exception:
            logging.exception("Visionsmith could not register its replacements of older nodes")
        try:
            routes.register()
        except Exception:
            logging.exception("Visionsmith could not register its routes")

    async def get_node_list(self) -> list[type[io.ComfyNode]]:
        """Every node of every menu; an error on the way is logged with its traceback, because ComfyUI logs one line only."""
        try:
            return node_list()
        except Exception:
            logging.exception("Visionsmith could not load its nodes")
            raise


def node_list() -> list[type[io.ComfyNode]]:
    """Every node of every menu, in the order of the menus."""
    from . import (
        augment,
        background,
        blocks,
        data,
        edit,
        erase,
        experiments,
        finetune,
        inpaint,
        labels,
        layers,
        ledits,
        masks,
        network,
        new_defect,
        relabel,
        sam3,
        segmentation,
        testing,
        training,
        transforms,
        words,
    )

    drawing = (layers, blocks, network)
    learning = (data, transforms, segmentation, labels, augment, training, testing, experiments, finetune)
    pictures = (sam3, masks, erase, inpaint, edit, ledits, relabel, new_defect, background, words)
    return [node for menu in (*drawing, *learning, *pictures) for node in menu.NODES]
