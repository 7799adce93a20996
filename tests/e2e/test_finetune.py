"""A LoRA trained in a real ComfyUI and used there at once: no key is left over, strength 0 changes nothing, strength 1 does."""

import numpy as np
import pytest
import torch
from PIL import Image

pytest.importorskip("diffusers", reason="the extra diffusion is not installed")
pytest.importorskip("peft", reason="the extra diffusion is not installed")
import subprocess

from safetensors.torch import save_file
from visionsmith.training.finetune import Parts
from visionsmith.training.finetune.single_file import checkpoint_state

from . import comfy

QUICK = {"steps": 3, "rank": 4, "conv_rank": 4, "learning_rate": 0.01, "accumulate": 1, "save_every": 1, "class_pictures": 1}  # fmt: skip
QUICK |= {"optimizer": "AdamW", "precision": "32-true", "save_as": "float32", "sample_steps": 2, "prompts": "ohwx"}


def small_model() -> Parts:
    """Stable Diffusion 1.x with a UNet of two levels, and the CLIP and VAE that ComfyUI wants in full size; random weights."""
    from diffusers import AutoencoderKL, DDIMScheduler, UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModel

    torch.manual_seed(0)
    unet = UNet2DConditionModel(
        block_out_channels=(320, 640),
        layers_per_block=1,
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
        cross_attention_dim=768,
    )
    vae = AutoencoderKL(
        block_out_channels=(128, 256, 512, 512),
        layers_per_block=2,
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        latent_channels=4,
    )
    text = CLIPTextModel(
        CLIPTextConfig(hidden_size=768, intermediate_size=3072, num_hidden_layers=12, num_attention_heads=12)
    )
    return Parts("small", "", unet, vae, [text], [], DDIMScheduler())


@pytest.fixture(scope="module")
def furnished(server, comfyui):
    if subprocess.run([comfy.python_of(comfyui), "-c", "import diffusers, peft"], capture_output=True).returncode:
        pytest.skip("ComfyUI's Python has no diffusers and peft; pip install visionsmith[diffusion] there")
    folder = server.base / "models" / "checkpoints"
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "small-sd1.safetensors"
    save_file(checkpoint_state(small_model()), file)
    pictures = server.base / "input" / "scratches"
    pictures.mkdir()
    for number in range(3):
        pixels = np.full((64, 64, 3), 80 * number + 40, np.uint8)
        pixels[20:24, 8:56] = 255 - 80 * number
        Image.fromarray(pixels).save(pictures / f"{number}.png")
    yield server
    file.unlink()


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
