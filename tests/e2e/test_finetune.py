"""Fine-tuning in a real ComfyUI: what is trained is used there at once, and the shipped workflows run from end to end."""

import io
import subprocess

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("diffusers", reason="the extra diffusion is not installed")
pytest.importorskip("peft", reason="the extra diffusion is not installed")
from . import comfy
from .prompts import shipped
from .small_sd import write_small

QUICK = {"steps": 3, "rank": 4, "conv_rank": 4, "learning_rate": 0.01, "accumulate": 1, "save_every": 1, "class_pictures": 1}  # fmt: skip
QUICK |= {"optimizer": "AdamW", "precision": "32-true", "save_as": "float32", "sample_steps": 2, "prompts": "ohwx"}
PLAIN, INPAINTING = "small-sd1.safetensors", "small-sd1-inpainting.safetensors"
FILES = {"v1-5-pruned-emaonly-fp16.safetensors": PLAIN, "sd-v1-5-inpainting.safetensors": INPAINTING}
PAINTED = np.s_[20:44, 20:44]
TRAINING = {key: QUICK[key] for key in ("accumulate", "class_pictures", "optimizer", "precision", "sample_steps")}
TRAINING |= {"steps": 2, "learning_rate": 0.01, "batch_size": 2, "train_text": False, "sample_every": 2, "save_every": 2, "warmup": 0}  # fmt: skip
SMALL = {  # what a test machine without a GPU can do
    "VisionsmithConceptDataset": {"resolution": 64, "source.category": "mvtec/zipper"},
    "VisionsmithTrainLora": {**TRAINING, "rank": 4, "conv_rank": 4},
    "VisionsmithTrainDreamBooth": TRAINING,
    "VisionsmithInpaintCrop": {"size.width": 64, "size.height": 64, "grow": 2, "blend": 4},
    "EmptyLatentImage": {"width": 64, "height": 64},
    "KSampler": {"steps": 2},
    "LoadImage": {"image": "scratched.png"},
}


def draw(file, number=0, hole=False, mask=False):
    """A plate with a scratch, or where the scratch is; a `hole` is what Load Image takes for a mask."""
    pixels = np.full((64, 64, 4), 80 * number + 40, np.uint8)
    pixels[20:24, 8:56] = 255 - 80 * number
    pixels[..., 3] = 255
    if mask:
        pixels[:] = 0
        pixels[20:24, 8:56] = 255
    if hole:
        pixels[PAINTED][..., 3] = 0
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels[..., : 4 if hole else 3]).save(file)


@pytest.fixture(scope="module")
def furnished(server, comfyui):
    """A server with small checkpoints, three scratches, and a category in the layout of MVTec AD."""
    if subprocess.run([comfy.python_of(comfyui), "-c", "import diffusers, peft"], capture_output=True).returncode:
        pytest.skip("ComfyUI's Python has no diffusers and peft; pip install visionsmith[diffusion] there")
    models, pictures = server.base / "models" / "checkpoints", server.base / "input"
    files = [write_small(models / PLAIN), write_small(models / INPAINTING, 9)]
    draw(pictures / "scratched.png", hole=True)
    for number in range(3):
        draw(pictures / "scratches" / f"{number}.png", number)
    zipper = pictures / "mvtec" / "zipper"
    for defect in ("broken_teeth", "rough"):
        draw(zipper / "test" / defect / "000.png", 1)
        draw(zipper / "ground_truth" / defect / "000_mask.png", mask=True)
    draw(zipper / "train" / "good" / "000.png", 2)
    yield server
    for file in (*files, *models.glob("zipper-defects*")):
        file.unlink()


def run_shipped(server, name, **settings):
    """A shipped workflow, small; what each node put out, by its class."""
    prompt = shipped(name)
    for node in prompt.values():
        node["inputs"] |= SMALL.get(node["class_type"], {}) | settings.get(node["class_type"], {})
        node["inputs"] |= {key: FILES[value] for key, value in node["inputs"].items() if str(value) in FILES}
    return run_prompt(server, prompt)


def run_prompt(server, prompt):
    """What each node of a prompt put out, by its class."""
    entry = server.run(prompt, timeout=900)
    assert entry["status"]["status_str"] == "success", entry["status"]["messages"][-1]
    assert "lora key not loaded" not in server.log.read_text()
    return {prompt[node_id]["class_type"]: found for node_id, found in entry["outputs"].items()}


def picture(server, output):
    return np.array(Image.open(io.BytesIO(server.picture(output["images"][0]))).convert("RGB"), np.int16)


def prompt(lora_node: dict) -> dict:
    """Train, then paint without the LoRA, at strength 0 and at strength 1."""
    source = {"source": "folder", "source.folder": "scratches", "source.trigger": "ohwx", "source.repeats": 1}
    source |= {f"source.{name}": "" for name in ("class_prompt", "class_folder", "masks")}
    nodes = {
        "1": ("VisionsmithConceptDataset", {**source, "resolution": 64, "buckets": True, "caption_dropout": 0.0}),
        "2": ("VisionsmithTrainLora", {"model": "small-sd1.safetensors", "concepts": ["1", 0], "name": "scratch"}),
        "3": ("CheckpointLoaderSimple", {"ckpt_name": "small-sd1.safetensors"}),
        "4": ("CLIPTextEncode", {"clip": ["3", 1], "text": "ohwx"}),
        "5": ("EmptyLatentImage", {"width": 64, "height": 64, "batch_size": 1}),
        "7": ("LossGraphNode", {"loss": ["2", 3], "filename_prefix": "loss"}),
    }
    for number, strength in enumerate((None, 0.0, 1.0)):
        place, model = 10 * (number + 1), ["3", 0]
        if strength is not None:
            nodes[str(place)] = (
                "LoraModelLoader",
                {"model": model, "lora": ["2", 0], "strength_model": strength, "bypass": False},
            )
            model = [str(place), 0]
        sampler = {"seed": 1, "steps": 2, "cfg": 1.0, "sampler_name": "euler", "scheduler": "normal", "denoise": 1.0}
        sampler |= {"model": model, "positive": ["4", 0], "negative": ["4", 0], "latent_image": ["5", 0]}
        nodes[str(place + 1)] = ("KSampler", sampler)
        nodes[str(place + 2)] = ("VAEDecode", {"samples": [str(place + 1), 0], "vae": ["3", 2]})
        nodes[str(place + 3)] = (
            "SaveImage",
            {"images": [str(place + 2), 0], "filename_prefix": f"strength-{strength}"},
        )
    made = {key: {"class_type": kind, "inputs": inputs} for key, (kind, inputs) in nodes.items()}
    made["2"]["inputs"] |= lora_node
    return made


def test_a_lora_is_trained_and_used_in_one_workflow(furnished):
    server = furnished
    schema = server.get("/object_info/VisionsmithTrainLora")["VisionsmithTrainLora"]["input"]["required"]
    defaults = {key: entry[1]["default"] for key, entry in schema.items() if len(entry) > 1 and "default" in entry[1]}
    given = {**defaults, **QUICK, "model": "small-sd1.safetensors", "name": "scratch"}
    entry = server.run(prompt(given), timeout=900)
    assert entry["status"]["status_str"] == "success", entry["status"]["messages"][-1]
    plain, off, on = (
        np.array(Image.open(next((server.base / "output").glob(f"strength-{name}_*.png"))), np.int16)
        for name in ("None", "0.0", "1.0")
    )

    assert (plain == off).all()
    assert np.abs(on - plain).max() > 8
    assert (server.base / "models" / "loras" / "scratch.safetensors").is_file()
    assert "lora key not loaded" not in server.log.read_text()
    assert "done · step 3/3" in entry["outputs"]["2"]["text"][0]
    assert entry["outputs"]["2"]["images"]

    by_file = prompt(given)
    by_file["30"] = {
        "class_type": "LoraLoaderModelOnly",
        "inputs": {"model": ["3", 0], "lora_name": "scratch.safetensors", "strength_model": 1.0},
    }
    by_file["33"]["inputs"]["filename_prefix"] = "by-file"
    assert server.run(by_file, timeout=300)["status"]["status_str"] == "success"
    again = np.array(Image.open(next((server.base / "output").glob("by-file_*.png"))), np.int16)
    assert (again == on).all()
    assert "lora key not loaded" not in server.log.read_text()


def test_train_lora(furnished):
    outputs = run_shipped(furnished, "train-lora")
    assert "done · step 2/2" in outputs["VisionsmithTrainLora"]["text"][0]
    assert picture(furnished, outputs["SaveImage"]).shape == (64, 64, 3)
    assert (furnished.base / "models" / "loras" / "ohwx-scratch.safetensors").is_file()
    [run] = (furnished.base / "output" / "finetune").glob("ohwx-scratch-??????????")
    assert sorted(file.name for file in (run / "samples").iterdir()) == ["000000-00.png", "000002-00.png"]


def test_train_lora_for_inpainting_use_it_and_see_it_beside_no_training(furnished):
    before = np.array(Image.open(furnished.base / "input" / "scratched.png").convert("RGB"), np.int16)
    painted = picture(furnished, run_shipped(furnished, "train-lora-inpainting")["SaveImage"])
    lora = {"lora_name": "ohwx-scratch-inpainting.safetensors", "strength_clip": 0.0}
    again = picture(furnished, run_shipped(furnished, "use-lora-inpaint", LoraLoader=lora)["SaveImage"])
    off = {"LoraLoader": {**lora, "strength_model": 0.0}}
    assert (again == painted).all()
    assert (picture(furnished, run_shipped(furnished, "use-lora-inpaint", **off)["SaveImage"]) != painted).any()
    assert (painted[:8] == before[:8]).all() and (painted[PAINTED] != before[PAINTED]).any()

    [run] = (furnished.base / "output" / "finetune").glob("ohwx-scratch-inpainting-??????????")
    assert (run / "samples" / "scene.png").is_file()
    paint = {"runs": run.name, "model": INPAINTING, "prompts": "ohwx scratch", "seed": 1, "resolution": 64}
    paint |= {"sample_steps": 2, "guidance": 6.0, "negative": ""}
    action = {"action": "paint", **{f"action.{key}": value for key, value in paint.items()}}
    nodes = {"1": {"class_type": "LoadImage", "inputs": {"image": "scratched.png"}}}
    nodes["2"] = {"class_type": "VisionsmithFinetuneRuns", "inputs": {**action, "image": ["1", 0], "mask": ["1", 1]}}
    sheet = picture(furnished, run_prompt(furnished, nodes)["VisionsmithFinetuneRuns"])
    shown, before, after = (sheet[-200:-60, left : left + 140] for left in (260, 524, 788))
    assert (shown != before).any() and (before != after).any()


def test_dreambooth_of_defects_is_a_checkpoint_for_comfyui_and_a_folder_for_diffusers(furnished):
    text = run_shipped(furnished, "dreambooth-defects")["VisionsmithTrainDreamBooth"]["text"][0]
    assert "done · step 2/2" in text and "file: models/checkpoints/zipper-defects.safetensors" in text
    prompt = shipped("use-lora-inpaint")
    [lora] = [key for key, node in prompt.items() if node["class_type"] == "LoraLoader"]
    checkpoint = prompt.pop(lora)["inputs"]["model"][0]
    painted = []
    for name in (INPAINTING, "zipper-defects.safetensors"):
        for node in prompt.values():
            rewired = {key: [checkpoint, value[1]] for key, value in node["inputs"].items() if value in ([lora, 0], [lora, 1])}  # fmt: skip
            node["inputs"] |= SMALL.get(node["class_type"], {}) | rewired
        prompt[checkpoint]["inputs"]["ckpt_name"] = name
        painted.append(picture(furnished, run_prompt(furnished, prompt)["SaveImage"]))
    assert (painted[0] != painted[1]).any()

    from diffusers import StableDiffusionInpaintPipeline
    from safetensors.torch import load_file
    from visionsmith.training.finetune.single_file import unet_state

    pipeline = StableDiffusionInpaintPipeline.from_pretrained(furnished.base / "models/diffusers/zipper-defects")
    file = load_file(furnished.base / "models/checkpoints/zipper-defects.safetensors")
    for name, weight in unet_state(pipeline.unet).items():
        assert (file[f"model.diffusion_model.{name}"] == weight.to(file[f"model.diffusion_model.{name}"])).all(), name
