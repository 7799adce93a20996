"""A LoRA's file: names that ComfyUI's own code takes, all of them, and what its header says."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parent))
import tiny_models as tiny
from safetensors.torch import load_file
from visionsmith.training.finetune import FinetuneRun, Parts, finetune, kohya
from visionsmith.training.finetune.lora import add_lora
from visionsmith.training.finetune.single_file import checkpoint_state

HERE = Path(__file__).parent
UNETS = {
    "SD 1": {"cross_attention_dim": 768},
    "SD 2": {"cross_attention_dim": 1024, "use_linear_projection": True, "attention_head_dim": (5, 10, 20, 20)},
    "SDXL": {
        "cross_attention_dim": 2048,
        "use_linear_projection": True,
        "block_out_channels": (320, 640, 1280),
        "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        "up_block_types": ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        "attention_head_dim": (5, 10, 20),
        "transformer_layers_per_block": (1, 2, 10),
        "addition_embed_type": "text_time",
        "addition_time_embed_dim": 256,
        "projection_class_embeddings_input_dim": 2816,
    },
}
LARGE = {"hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 12, "num_attention_heads": 12}
HUGE = {"hidden_size": 1024, "intermediate_size": 4096, "num_hidden_layers": 23, "num_attention_heads": 16, "hidden_act": "gelu"}  # fmt: skip
GIANT = {"hidden_size": 1280, "intermediate_size": 5120, "num_hidden_layers": 32, "num_attention_heads": 20, "hidden_act": "gelu"}  # fmt: skip
TEXTS = {"SD 1": [LARGE], "SD 2": [HUGE], "SDXL": [LARGE, GIANT]}


def find_comfyui():
    places = [os.environ.get("COMFYUI_PATH"), Path.home() / "comfy" / "ComfyUI"]
    return next((Path(place) for place in places if place and (Path(place) / "main.py").is_file()), None)


def ask(comfyui, script, *given):
    """Run a script of this folder with ComfyUI's Python; what it prints."""
    own = comfyui / ".venv/bin/python"
    done = subprocess.run(
        [str(own) if own.is_file() else sys.executable, str(HERE / script), *map(str, given)],
        cwd=comfyui,
        env={**os.environ, "PYTHONPATH": str(comfyui)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert "lora key not loaded" not in done.stderr
    return done.stdout.splitlines()


def real_sizes(kind):
    """A model of the published sizes without weights."""
    from diffusers import UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModel

    with torch.device("meta"):
        unet = UNet2DConditionModel(**UNETS[kind])
        texts = [CLIPTextModel(CLIPTextConfig(**config)) for config in TEXTS[kind]]
    return Parts(kind, "", unet, None, texts, [], None)


def written(kind, folder):
    """A LoRA of rank 1 for every layer of a model of the published sizes; the file and how many layers it has."""
    from peft.tuners.lora import LoraLayer

    parts = real_sizes(kind)
    add_lora(parts, tiny.quick(rank=1, conv_rank=1, train_text=True))
    for module in (parts.unet, *parts.texts):
        for layer in (one for one in module.modules() if isinstance(one, LoraLayer)):
            layer.lora_A.to_empty(device="cpu")
            layer.lora_B.to_empty(device="cpu")
    state = kohya.lora_state(parts)
    kohya.save(state, folder / f"{kind}.safetensors", {})
    return str(folder / f"{kind}.safetensors"), len(state) // 3


@pytest.mark.slow
def test_comfyui_takes_every_key(tmp_path):
    comfyui = find_comfyui()
    if not comfyui:
        pytest.skip("no ComfyUI at COMFYUI_PATH or ~/comfy/ComfyUI")
    files = {kind: written(kind, tmp_path) for kind in UNETS}
    told = ask(comfyui, "comfy_keys.py", *(text for kind, (file, _) in files.items() for text in (kind, file)))
    for line, (kind, (_, layers)) in zip(told[-len(files) :], files.items(), strict=True):
        found = json.loads(line)
        assert not found["unmatched"], kind
        assert not found["wrong"], kind
        assert found["patches"] == layers > 300, kind


@pytest.mark.slow
def test_comfyui_paints_what_was_trained(tmp_path):
    """The trained UNet and ComfyUI's with the file agree to 1e-3; without it, and at strength 0, ComfyUI's is the untouched one."""
    comfyui = find_comfyui()
    if not comfyui:
        pytest.skip("no ComfyUI at COMFYUI_PATH or ~/comfy/ComfyUI")
    asked, wanted = [], {}
    for kind in ("SD 1", "SDXL"):
        folder = tmp_path / kind
        parts = tiny.parts(kind, folder)
        kohya.save(checkpoint_state(parts, torch.float32), folder / "model.safetensors", {})
        inputs = {"latents": torch.randn(2, 4, 8, 8), "times": torch.tensor([300, 900])}
        inputs["texts"] = torch.randn(2, 77, parts.unet.config.cross_attention_dim)
        pooled, pixels = torch.randn(2, 128), torch.full((2, 2), 64)
        given = inputs["latents"], inputs["times"], inputs["texts"], pooled, pixels
        if parts.is_xl:
            sizes = torch.cat([pixels, torch.zeros_like(pixels), pixels], 1).float()
            inputs["y"] = torch.cat([pooled, parts.unet.add_time_proj(sizes.flatten()).reshape(2, -1)], 1)
        kohya.save(inputs, folder / "inputs.safetensors", {})
        with torch.no_grad():
            plain = parts.predict(*given)
            settings = tiny.quick(steps=3, learning_rate=1e-2, alpha=2.0, sample_every=0)
            with torch.enable_grad():
                list(finetune(parts, tiny.concepts(folder / "p"), settings, folder / "run", "q"))
            wanted[kind] = plain, parts.predict(*given)
        files = (folder / "model.safetensors", FinetuneRun.load(folder / "run").checkpoint())
        asked += [kind, *files, folder / "inputs.safetensors", folder / "outputs.safetensors"]
    ask(comfyui, "comfy_output.py", *asked)
    for kind, (plain, trained) in wanted.items():
        made = load_file(tmp_path / kind / "outputs.safetensors")
        assert torch.equal(made["plain"], made["off"])
        torch.testing.assert_close(made["plain"], plain, atol=1e-3, rtol=1e-3)
        torch.testing.assert_close(made["on"], trained, atol=1e-3, rtol=1e-3)
        assert (trained - plain).abs().max() > 1e-2
