"""A LoRA's file: names that ComfyUI's own code takes, all of them, and what its header says."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parent))
import tiny
from visionsmith.training.finetune import Parts, kohya
from visionsmith.training.finetune.lora import add_lora

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
    own = comfyui / ".venv/bin/python"
    done = subprocess.run(
        [str(own) if own.is_file() else sys.executable, str(HERE / "comfy_keys.py")]
        + [text for kind, (file, _) in files.items() for text in (kind, file)],
        cwd=comfyui,
        env={**os.environ, "PYTHONPATH": str(comfyui)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    for line, (kind, (_, layers)) in zip(done.stdout.splitlines()[-len(files) :], files.items(), strict=True):
        found = json.loads(line)
        assert not found["unmatched"], kind
        assert not found["wrong"], kind
        assert found["patches"] == layers > 300, kind
