# ruff: noqa: E402  ComfyUI reads its arguments when it is imported
"""Run by ComfyUI's Python in its folder: what its UNet makes of given inputs, without a LoRA, with it at strength 0, and at 1.

Usage: comfy_output.py KIND CHECKPOINT LORA INPUTS OUTPUTS …   (safetensors files; OUTPUTS is written)
"""

import sys

given, sys.argv = sys.argv[1:], [sys.argv[0], "--cpu"]

import comfy.options

comfy.options.enable_args_parsing()

import comfy.lora
import comfy.model_detection
import comfy.model_patcher
import comfy.supported_models
import torch
from safetensors.torch import load_file, save_file

CONFIGS = {"SD 1": comfy.supported_models.SD15, "SDXL": comfy.supported_models.SDXL}
START = "model.diffusion_model."


@torch.inference_mode()
def report(kind, checkpoint, lora, inputs, outputs):
    """Write what comes out."""
    state = load_file(checkpoint)
    found = comfy.model_detection.detect_unet_config(state, START)
    config = CONFIGS[kind](found)
    config.unet_config.update(config.unet_extra_config)
    config.set_inference_dtype(torch.float32, None)
    model = config.get_model(state, START, device=torch.device("cpu"))
    model.load_model_weights(state, START)
    patches = comfy.lora.load_lora(load_file(lora), comfy.lora.model_lora_keys_unet(model, {}))
    values = load_file(inputs)
    made = {}
    for name, strength in (("plain", None), ("off", 0.0), ("on", 1.0)):
        patcher = comfy.model_patcher.ModelPatcher(model, torch.device("cpu"), torch.device("cpu"))
        if strength is not None:
            patcher.add_patches(patches, strength)
        patcher.patch_model()
        made[name] = model.diffusion_model(
            values["latents"], values["times"], context=values["texts"], y=values.get("y")
        ).clone()
        patcher.unpatch_model()
    save_file(made, outputs)


for place in range(0, len(given), 5):
    report(*given[place : place + 5])
