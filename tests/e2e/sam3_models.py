"""Run by ComfyUI's own Python: its SAM 3 and 3.1, made small with random weights, as MODEL of our SAM3 nodes.

Usage: python sam3_models.py COMFYUI REPOSITORY; prints one line of JSON with what was found.
"""

import importlib.util
import json
import sys
from pathlib import Path

comfyui, repository = map(Path, sys.argv[1:3])
sys.argv = ["main.py", "--cpu"]
sys.path[0] = str(comfyui)  # not this folder, which has a comfy.py of its own
import comfy.options  # noqa: E402

comfy.options.enable_args_parsing()
import comfy.model_base  # noqa: E402
import comfy.model_patcher  # noqa: E402
import comfy.sd  # noqa: E402
import comfy.supported_models  # noqa: E402
import torch  # noqa: E402
from comfy_extras.nodes_sam3 import SAM3_Detect  # noqa: E402

spec = importlib.util.spec_from_file_location("visionsmith", repository / "__init__.py", submodule_search_locations=[str(repository)])  # fmt: skip
sys.modules["visionsmith"] = importlib.util.module_from_spec(spec)
spec.loader.exec_module(sys.modules["visionsmith"])
from visionsmith.imaging.sam3 import Box, Point, segment, track  # noqa: E402
from visionsmith.nodes.support.sam3_engines import engine_of  # noqa: E402

WIDTH, TOKENS = 64, 5
torch.set_num_threads(1)


class Clip:
    """In place of a text tower of 350 million weights; `comfy.sd.CLIP` has these two functions."""

    def tokenize(self, text):
        return text

    def encode_from_tokens_scheduled(self, tokens):
        words = torch.randn(1, TOKENS, WIDTH, generator=torch.Generator().manual_seed(len(tokens)))
        return [[words, {"attention_mask": torch.ones(1, TOKENS, dtype=torch.int64)}]]


def small(kind):
    """A MODEL of ComfyUI's classes: narrow, shallow, random; its pictures are 1,008 pixels wide all the same."""
    sizes = {"embed_dim": WIDTH, "depth": 2, "d_model": WIDTH, "mem_dim": WIDTH, "global_att_blocks": ()}
    config = getattr(comfy.supported_models, kind)({"image_model": kind})
    config.unet_config = {"image_model": kind, **sizes}
    config.set_inference_dtype(torch.float32, None)
    torch.manual_seed(0)
    base = comfy.model_base.SAM3(config, device="cpu")
    for module in base.diffusion_model.modules():
        if isinstance(getattr(module, "layers", None), torch.nn.ModuleList) and "coder" in type(module).__name__:
            module.layers = module.layers[:1]
    with torch.no_grad():
        for weight in base.diffusion_model.parameters():
            weight.copy_(torch.randn_like(weight) * 0.1 if weight.ndim > 1 else torch.rand_like(weight))
    return comfy.model_patcher.ModelPatcher(base, load_device=torch.device("cpu"), offload_device=torch.device("cpu"))


def compared(model, clip, image):
    """How what we find differs from ComfyUI's node, which gives the same objects without presence."""
    words, options = clip.encode_from_tokens_scheduled("rust")[0]
    each = {"cond": words, "attention_mask": options["attention_mask"], "max_detections": 200}
    theirs, boxes = SAM3_Detect.execute(
        model, image, [[words, {"sam3_multi_cond": [each]}]], threshold=0.0, refine_iterations=0, individual_masks=True
    ).args
    ours = segment(engine_of(model, clip), image, texts=["rust"], threshold=0.0)[0]
    edges = torch.tensor([[b["x"], b["y"], b["x"] + b["width"], b["y"] + b["height"]] for b in boxes[0]])
    height, width = image.shape[1:3]
    ratio = ours.scores / torch.tensor([box["score"] for box in boxes[0]])
    return {
        "found": len(ours),
        "boxes_differ": float((ours.boxes - edges.clamp(min=0).minimum(torch.tensor([width, height, width, height]))).abs().max()),
        "masks_differ": float((ours.masks != (theirs > 0)).float().mean()),
        "presence": [float(ratio.min()), float(ratio.max())],
    }  # fmt: skip


def clicked(model, image):
    """The same for a click."""
    theirs = SAM3_Detect.execute(model, image, positive_coords='[{"x": 30, "y": 20}]', refine_iterations=1).args[0]
    ours = segment(engine_of(model, None), image, points=[Point(30, 20)])[0]
    return float((ours.masks[0] != (theirs[0] > 0)).float().mean())


def refused(call):
    """What a call says when it is refused."""
    try:
        call()
    except Exception as error:
        return str(error)
    return ""


def followed(model, clip):
    frames, masks, steps = torch.rand(2, 48, 64, 3), torch.zeros(2, 48, 64), []
    masks[0, 5:20, 5:20] = masks[1, 25:40, 30:60] = 1
    told = list(track(engine_of(model, clip), frames, masks=masks, on_frame=lambda *step: steps.append(step)))
    first = [float((told[0].masks[number] == (masks[number] > 0)).float().mean()) for number in range(2)]
    return {"frames": len(told), "objects": [len(one.masks) for one in told], "labels": told[0].labels, "first": first, "steps": steps[-1]}  # fmt: skip


def stopped(model):
    class Cancelled(BaseException):
        pass

    def cancel(done, count):
        if done:
            raise Cancelled

    masks = torch.zeros(1, 48, 64)
    masks[0, 5:20, 5:20] = 1
    try:
        list(track(engine_of(model, None), torch.rand(2, 48, 64, 3), masks=masks, on_frame=cancel))
    except Cancelled:
        return True
    return False


clip, image, report = Clip(), torch.rand(1, 48, 64, 3, generator=torch.Generator().manual_seed(0)), {}
report["clip"] = all(hasattr(comfy.sd.CLIP, name) for name in ("tokenize", "encode_from_tokens_scheduled"))
with torch.inference_mode():
    for kind in ("SAM3", "SAM31"):
        model = small(kind)
        report[kind] = {**compared(model, clip, image), "click": clicked(model, image), **followed(model, clip)}
    report["cancelled"] = stopped(model)
    report["later"] = len(list(track(engine_of(model, clip), image.expand(2, -1, -1, -1), texts=["dent"], threshold=0.0, max_objects=2, detect_every=1)))  # fmt: skip
    model = small("SAM3")
    box = Box(5, 5, 9, 9, positive=False)
    report["refused"] = [
        refused(lambda: segment(engine_of(model, None), image, texts=["dent"])),
        refused(lambda: segment(engine_of(model, clip), image, texts=["dent"], boxes=[box])),
        refused(lambda: track(engine_of(model, clip), image, texts=["dent"], detect_every=1)),
        refused(lambda: engine_of(object(), clip)),
    ]
print(json.dumps(report))
