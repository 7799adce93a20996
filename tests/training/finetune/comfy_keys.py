# ruff: noqa: E402  ComfyUI reads its arguments when it is imported
"""Run by ComfyUI's Python in its folder: which keys of LoRAs its own code takes for models of a kind, on the meta device.

Usage: comfy_keys.py KIND LORA.safetensors …   prints a line of JSON for each: keys that match nothing, patches, and those that do not fit.
"""

import json
import sys

given, sys.argv = sys.argv[1:], [sys.argv[0], "--cpu"]

import comfy.options

comfy.options.enable_args_parsing()

import comfy.lora
import comfy.model_detection
import comfy.sd1_clip
import comfy.sdxl_clip
import comfy.supported_models
import comfy.text_encoders.sd2_clip
import safetensors.torch
import torch

CONFIGS = {
    "SD 1": comfy.supported_models.SD15,
    "SD 2": comfy.supported_models.SD20,
    "SDXL": comfy.supported_models.SDXL,
}
CLIPS = {
    "SD 1": comfy.sd1_clip.SD1ClipModel,
    "SD 2": comfy.text_encoders.sd2_clip.SD2ClipModel,
    "SDXL": comfy.sdxl_clip.SDXLClipModel,
}
HEADS = {"SD 1": {"num_heads": 8}, "SD 2": {"num_head_channels": 64}, "SDXL": {"num_head_channels": 64}}


def report(kind, file):
    """What ComfyUI makes of one file."""
    unet = {
        "in_channels": 4,
        "out_channels": 4,
        "model_channels": 320,
        "num_res_blocks": [2, 2, 2] if kind == "SDXL" else [2, 2, 2, 2],
        "channel_mult": [1, 2, 4] if kind == "SDXL" else [1, 2, 4, 4],
        "use_spatial_transformer": True,
        "legacy": False,
        "image_size": 32,
        "use_temporal_attention": False,
        "use_temporal_resblock": False,
        "dtype": torch.float32,
        **CONFIGS[kind].unet_config,
        **HEADS[kind],
    }
    if kind == "SDXL":
        unet |= {"transformer_depth_middle": 10, "transformer_depth_output": [0, 0, 0, 2, 2, 2, 10, 10, 10]}
    else:
        unet |= {
            "transformer_depth": [1, 1, 1, 1, 1, 1, 0, 0],
            "transformer_depth_middle": 1,
            "transformer_depth_output": [1] * 9 + [0] * 3,
        }
    model = CONFIGS[kind](unet).get_model({}, "", device="meta")
    clip = CLIPS[kind](device="meta", dtype=torch.float32)
    keys = comfy.lora.model_lora_keys_unet(model, {})
    keys = comfy.lora.model_lora_keys_clip(clip, keys)
    lora = safetensors.torch.load_file(file)
    patches = comfy.lora.load_lora(lora, keys, log_missing=False)
    taken = {key for patch in patches.values() for key in patch.loaded_keys}
    weights = {**model.state_dict(), **clip.state_dict()}
    wrong = []
    for name, patch in patches.items():
        up, down = patch.weights[0], patch.weights[1]
        fits = up.flatten(1).shape[0] * down.flatten(1).shape[1] == weights[name].numel()
        wrong += [] if fits else [name]
    print(json.dumps({"unmatched": sorted(set(lora) - taken), "patches": len(patches), "wrong": wrong}))


for place in range(0, len(given), 2):
    report(*given[place : place + 2])
