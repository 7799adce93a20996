"""Menu "Visionsmith/Words": say what is in a picture."""

from __future__ import annotations

from pathlib import Path

import torch
from comfy_api.latest import io

from ..imaging.phrases import PHRASES, read_groups
from ..imaging.words import (
    CAPTIONERS,
    CLIPS,
    DETAIL,
    Suggested,
    fetch_folder,
    find_folder,
    load_captioner,
    load_clip,
)
from ..nn_layers.errors import InputError
from .host import host, watch, writable
from .support.widgets import size

FOLDER = "interrogate"
CAPTION, RANKED, BOTH = "caption", "phrases", "caption and phrases"


class InterrogateImage(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        captioners = "; ".join(f"{name}: {model}" for name, model in CAPTIONERS.items())
        clips = "; ".join(f"{name}: {model}" for name, model in CLIPS.items())
        return io.Schema(
            node_id="VisionsmithInterrogateImage",
            display_name="Interrogate Image",
            category="Visionsmith/Words",
            description="Describe pictures in words: a caption from BLIP or Florence-2, and the phrases of a list that fit best, by CLIP.",
            search_aliases=["caption", "describe", "image to text", "prompt from image", "clip interrogator", "blip", "florence", "tagger"],
            inputs=[
                io.Image.Input("images", tooltip="Pictures of any size."),
                io.Combo.Input("mode", options=[CAPTION, RANKED, BOTH], default=CAPTION, tooltip="A sentence, fitting phrases, or a prompt of both."),
                io.String.Input(
                    "caption_model",
                    default="blip-base",
                    tooltip=f"A folder below models/{FOLDER}, models/blip or models/florence2 as the Hugging Face hub has it. Known: {captioners}.",
                ),
                io.String.Input(
                    "clip_model",
                    default="clip-vit-b-32",
                    tooltip=f"For phrases: a folder below models/{FOLDER} or models/open_clip with open_clip_config.json. Known: {clips}.",
                ),
                io.Boolean.Input("download", default=False, tooltip=f"Fetch what is missing from the Hugging Face hub into models/{FOLDER}, by a known name or an id."),
                io.Combo.Input("detail", options=list(DETAIL), default="short", tooltip="Length of the caption; BLIP's are always short."),
                io.String.Input("start", default="", tooltip="First words of the caption, from which BLIP goes on, such as: a photo of.", advanced=True),
                size("max_tokens", 60, "Length of a caption at most, about a word each.", max=1024, advanced=True),
                io.String.Input(
                    "phrases",
                    default="",
                    multiline=True,
                    tooltip="Your own groups of phrases, a line each, such as: defect: scratch, dent, crack. Empty for medium, kind, surface, condition, "
                    "style, light, color and view.",
                ),
                size("best", 1, "Phrases that are kept of each group.", max=20, advanced=True),
            ],
            outputs=[
                io.String.Output(display_name="prompt", tooltip="A line per picture: the caption, then the phrases, divided by commas."),
                io.String.Output(display_name="caption", tooltip="A line per picture; empty without a caption."),
                io.String.Output(display_name="table", tooltip="Picture, group, phrase and its share in its group."),
            ],
            hidden=[io.Hidden.unique_id],
            is_output_node=True,
        )  # fmt: skip

    @classmethod
    def execute(
        cls,
        images: torch.Tensor,
        mode: str,
        caption_model: str,
        clip_model: str,
        download: bool,
        detail: str,
        start: str,
        max_tokens: int,
        phrases: str,
        best: int,
    ) -> io.NodeOutput:
        groups, device = read_groups(phrases) or PHRASES, host().device()
        captioner = ranker = None
        if mode != RANKED:
            kinds = (FOLDER, "blip", "florence2")
            captioner = load_captioner(
                cls.folder(caption_model, kinds, "config.json", CAPTIONERS, "caption model", download), device
            )
        if mode != CAPTION:
            kinds = (FOLDER, "open_clip")
            ranker = load_clip(
                cls.folder(clip_model, kinds, "open_clip_config.json", CLIPS, "CLIP model", download), device
            )
        captions, prompts, rows, show = [], [], ["picture,group,phrase,share"], watch(cls)
        for number, image in enumerate(images, 1):
            show(number - 1, len(images))
            caption = captioner(image, detail, start, max_tokens) if captioner else ""
            found = ranker.rank(image, groups, best) if ranker else []
            captions.append(caption)
            prompts.append(", ".join(filter(None, [caption, *(phrase for _, phrase, _ in found)])))
            rows += [f"{number},{group},{phrase},{share:.3f}" for group, phrase, share in found]
        prompt = "\n".join(prompts)
        return io.NodeOutput(prompt, "\n".join(captions), "\n".join(rows), ui={"text": [prompt]})

    @classmethod
    def folder(
        cls, name: str, kinds: tuple[str, ...], marker: str, models: dict[str, Suggested], kind: str, download: bool
    ) -> Path:
        """The folder of a model, fetched if that is wanted and it is not there; its size and licence are said first."""
        folders = [folder for k in kinds for folder in host().model_folders(k)]
        try:
            return find_folder(name, folders, marker, models, kind)
        except InputError:
            if not download:
                raise
        known = models.get(name.strip(), f"{name.strip()} (size and licence are on its page at huggingface.co)")
        host().text(cls.hidden.unique_id, f"Fetching {known}")
        return fetch_folder(name.strip(), writable(FOLDER, "models"), models)


NODES: list[type[io.ComfyNode]] = [InterrogateImage]
