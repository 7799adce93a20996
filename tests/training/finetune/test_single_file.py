"""A whole model as one file: read by what reads published files, and equal to a table that was written on its own."""

import sys
from pathlib import Path

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parent))
import tiny_models as tiny
from safetensors.torch import save_file
from stable_diffusion_files import state_of
from visionsmith.imaging import weights
from visionsmith.imaging.stable_diffusion import load_stable_diffusion
from visionsmith.training.finetune import Parts
from visionsmith.training.finetune.single_file import checkpoint_state


@pytest.mark.parametrize("kind", tiny.KINDS)
def test_file_to_pipeline_to_file(kind, tmp_path):
    made = tiny.parts(kind, tmp_path)
    if kind == "SD 2":
        made.texts[0].config.hidden_act = "gelu"
    state = checkpoint_state(made, torch.float32)
    expected = state_of(kind, made.unet, made.vae, made.texts)
    assert state.keys() == expected.keys()
    unread = "resblocks.2." if kind == "SD 2" else "-"  # a layer that SD 2 does not use
    assert all(torch.equal(state[key], expected[key]) for key in state if unread not in key)

    save_file(state, tmp_path / "model.safetensors")
    read = load_stable_diffusion(tmp_path / "model.safetensors")
    weights.forget("stable-diffusion")
    parts = Parts.of(read.pipeline, "model", "")
    again = checkpoint_state(parts, torch.float32)
    assert parts.kind == kind.removesuffix(" inpainting")
    assert again.keys() == state.keys()
    assert all(torch.equal(again[key], state[key]) for key in state)
    half = checkpoint_state(parts, torch.float16)
    assert {tensor.dtype for tensor in half.values()} == {torch.float16}
