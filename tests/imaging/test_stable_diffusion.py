"""Checkpoints in one file and folders of diffusers, and repainting with them; everything tiny, with random weights."""

import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from visionsmith.imaging import stable_diffusion as core
from visionsmith.imaging import weights
from visionsmith.imaging.crop import CropSettings
from visionsmith.imaging.stable_diffusion import configs, load
from visionsmith.imaging.stable_diffusion.repaint import inpainting, model_size
from visionsmith.nn_layers import InputError

pytest.importorskip("diffusers", reason="the extra diffusion is not installed")
sys.path.insert(0, str(Path(__file__).parent))
from stable_diffusion_files import (
    KINDS,
    networks,
    unet_state,
    vae_state,
    write_checkpoint,
    write_words,
)


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory):
    folder = tmp_path_factory.mktemp("checkpoints")
    made = {kind: (folder / kind.replace(" ", "-") / "tiny.safetensors") for kind in KINDS}
    for path in made.values():
        path.parent.mkdir()
    return {kind: (path, write_checkpoint(path, kind)) for kind, path in made.items()}


@pytest.fixture(autouse=True)
def no_network(monkeypatch):
    import socket

    def refuse(*_):
        raise AssertionError("nothing may be asked of the network")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    yield
    weights.forget("stable-diffusion")


@pytest.fixture
def scene():
    """Two pictures with a small defect each; the second one in two parts."""
    images, masks = torch.rand(2, 70, 90, 3), torch.zeros(2, 70, 90)
    masks[0, 20:32, 30:50] = masks[1, 5:15, 5:15] = masks[1, 50:60, 70:85] = 1
    return images, masks


QUICK = core.Repaint("a scratch", "blurred", steps=2, guidance=3.0)
SMALL = CropSettings(grow=2, blend=4)


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_gives_the_networks_that_went_into_it(checkpoints, kind):
    path, (unet, vae, texts) = checkpoints[kind]
    with torch.inference_mode():
        model = core.load_stable_diffusion(path)
    pairs = [(unet, model.pipeline.unet), (vae, model.pipeline.vae), (texts[0], model.pipeline.text_encoder)]
    pairs += [(texts[1], model.pipeline.text_encoder_2)] if kind == "SDXL" else []
    for made, read in pairs:
        expected, state = made.state_dict(), read.state_dict()
        assert state.keys() == expected.keys()
        assert all(torch.equal(state[name], tensor) for name, tensor in expected.items())
        assert not any(tensor.is_inference() or tensor.requires_grad for tensor in read.parameters())
    assert model.is_xl == (kind == "SDXL") and model.channels == (9 if "inpainting" in kind else 4)
    assert core.load_stable_diffusion(path) is model
    latent, time = torch.rand(1, model.channels, 8, 8), torch.tensor([500])
    context = torch.rand(1, 77, model.pipeline.unet.config.cross_attention_dim)
    extra = {"text_embeds": torch.rand(1, 128), "time_ids": torch.rand(1, 6)} if kind == "SDXL" else None
    given = {"encoder_hidden_states": context, "added_cond_kwargs": extra}
    with torch.no_grad():
        assert torch.equal(unet(latent, time, **given).sample, model.pipeline.unet(latent, time, **given).sample)


PUBLISHED = {  # unet/config.json of the published folders of diffusers
    "SD 1": {
        "block_out_channels": [320, 640, 1280, 1280],
        "down_block_types": ["CrossAttnDownBlock2D"] * 3 + ["DownBlock2D"],
        "up_block_types": ["UpBlock2D"] + ["CrossAttnUpBlock2D"] * 3,
        "attention_head_dim": 8,
        "cross_attention_dim": 768,
        "sample_size": 64,
    },
    "SD 2": {
        "block_out_channels": [320, 640, 1280, 1280],
        "down_block_types": ["CrossAttnDownBlock2D"] * 3 + ["DownBlock2D"],
        "up_block_types": ["UpBlock2D"] + ["CrossAttnUpBlock2D"] * 3,
        "attention_head_dim": [5, 10, 20, 20],
        "cross_attention_dim": 1024,
        "use_linear_projection": True,
        "sample_size": 64,
    },
    "SDXL": {
        "block_out_channels": [320, 640, 1280],
        "down_block_types": ["DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"],
        "up_block_types": ["CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"],
        "attention_head_dim": [5, 10, 20],
        "cross_attention_dim": 2048,
        "transformer_layers_per_block": [1, 2, 10],
        "use_linear_projection": True,
        "addition_embed_type": "text_time",
        "addition_time_embed_dim": 256,
        "projection_class_embeddings_input_dim": 2816,
        "sample_size": 128,
    },
}


@pytest.mark.parametrize("kind", PUBLISHED)
def test_the_published_sizes_are_told_from_the_shapes(kind):
    from diffusers import UNet2DConditionModel

    with torch.device("meta"):
        unet = UNet2DConditionModel(**PUBLISHED[kind])
    shapes = {f"model.diffusion_model.{name}": list(tensor.shape) for name, tensor in unet_state(unet).items()}
    found = configs.unet_config(shapes, kind, "epsilon")
    assert {key: found[key] for key in PUBLISHED[kind]} == PUBLISHED[kind]
    with torch.device("meta"):
        again = UNet2DConditionModel(**found)
    assert {name: tensor.shape for name, tensor in again.state_dict().items()} == {
        name: tensor.shape for name, tensor in unet.state_dict().items()
    }


def test_a_velocity_model_is_told_apart(checkpoints, tmp_path):
    state = load_file(checkpoints["SDXL"][0])
    write_words(tmp_path)
    save_file({**state, "v_pred": torch.zeros(0)}, tmp_path / "velocity.safetensors")
    model = core.load_stable_diffusion(tmp_path / "velocity.safetensors")
    assert model.pipeline.scheduler.config.prediction_type == "v_prediction"
    assert inpainting(model, "euler").scheduler.config.prediction_type == "v_prediction"


@pytest.mark.parametrize("kind", KINDS)
def test_only_the_blend_changes(checkpoints, scene, kind):
    images, masks = scene
    model, done = core.load_stable_diffusion(checkpoints[kind][0]), []
    crop = model_size(model, 32, replace(SMALL, each_object=True))
    with torch.inference_mode():
        result, crops = core.repaint(model, images, masks, QUICK, crop, on_step=lambda *steps: done.append(steps))
    reach = torch.nn.functional.max_pool2d(masks, 15, 1, 7) > 0
    assert crops.images.shape == (3, 32, 32, 3) and done[-1] == (6, 6) and len(done) == 6
    assert torch.equal(result[~reach], images[~reach])
    assert (result[masks > 0] != images[masks > 0]).float().mean() > 0.9
    again, _ = core.repaint(model, images, masks, QUICK, crop)
    other, _ = core.repaint(model, images, masks, replace(QUICK, seed=1), crop)
    assert torch.equal(again, result) and not torch.equal(other, result)
    assert not torch.equal(*crops.stitch.images)


@pytest.mark.parametrize("sampler", core.SAMPLERS)
def test_samplers_and_small_strengths(checkpoints, scene, sampler):
    images, masks = scene[0][:1], scene[1][:1]
    model = core.load_stable_diffusion(checkpoints["SD 1"][0])
    crop = model_size(model, 32, SMALL)
    for strength in (0.1, 0.5):
        how = replace(QUICK, sampler=sampler, strength=strength)
        result, _ = core.repaint(model, images, masks, how, crop)
        assert not torch.equal(result, images) and bool(torch.isfinite(result).all())


def test_pairing_transparency_and_odd_pictures(checkpoints, scene):
    model = core.load_stable_diffusion(checkpoints["SD 1"][0])
    crop, how = model_size(model, 32, SMALL), replace(QUICK, steps=1)
    clear = torch.rand(1, 33, 47, 4)
    result, crops = core.repaint(model, clear, (torch.rand(3, 33, 47) > 0.99).float(), how, crop)
    assert result.shape == (1, 33, 47, 4) and len(crops.images) == 3
    assert torch.equal(result[..., 3], clear[..., 3])
    single, _ = core.repaint(model, torch.rand(1, 1, 1, 3), torch.ones(1, 1, 1), how, crop)
    assert single.shape == (1, 1, 1, 3)
    empty, crops = core.repaint(model, scene[0], torch.zeros(1, 64, 64), how, crop)
    assert torch.equal(empty, scene[0]) and not crops.stitch.regions
    with pytest.raises(InputError, match="mask is 5 × 5 pixels, but the picture is 90 × 70"):
        core.repaint(model, scene[0], torch.ones(1, 5, 5), how, crop)
    with pytest.raises(InputError, match="mask holds 3 masks, but image holds 2 pictures"):
        core.repaint(model, scene[0], torch.ones(3, 70, 90), how, crop)
    with pytest.raises(InputError, match="NaN"):
        core.repaint(model, scene[0] * torch.nan, scene[1], how, crop)


def test_cancel_stops_between_two_steps(checkpoints, scene):
    class Cancelled(BaseException):
        pass

    def cancel(done, count):
        raise Cancelled

    model = core.load_stable_diffusion(checkpoints["SD 1"][0])
    with pytest.raises(Cancelled):
        core.repaint(model, *scene, QUICK, model_size(model, 32, SMALL), on_step=cancel)


def test_a_folder_of_diffusers(checkpoints, tmp_path):
    path, _ = checkpoints["SD 1"]
    made = core.load_stable_diffusion(path)
    made.pipeline.save_pretrained(tmp_path / "whole")
    read = core.load_stable_diffusion(tmp_path / "whole")
    expected = made.pipeline.unet.state_dict()
    assert all(torch.equal(tensor, expected[name]) for name, tensor in read.pipeline.unet.state_dict().items())
    assert read.pipeline.safety_checker is None
    made.pipeline.to(dtype=torch.float16).save_pretrained(tmp_path / "half", variant="fp16")
    half = core.load_stable_diffusion(tmp_path / "half", torch.float16)
    assert half.pipeline.unet.dtype == torch.float16 and half.bytes == read.bytes // 2


OTHER = {
    "is Flux": {"model.diffusion_model.double_blocks.0.img_attn.qkv.weight": torch.zeros(1)},
    "is a LoRA": {"lora_unet_down_blocks_0.lora_up.weight": torch.zeros(1)},
    "is a VAE alone": {"decoder.up.0.block.0.conv1.weight": torch.zeros(1)},
    "is a single part of a diffusers folder": {"down_blocks.0.resnets.0.conv1.weight": torch.zeros(1)},
    r"its first weight is called something": {"something": torch.zeros(1)},
    "has no VAE in it": {"model.diffusion_model.input_blocks.0.0.weight": torch.zeros(8, 4, 3, 3)},
}


@pytest.mark.parametrize("told", OTHER)
def test_other_files_are_named(tmp_path, told):
    save_file(OTHER[told], tmp_path / "other.safetensors")
    with pytest.raises(InputError, match=f"^other.safetensors .*{told}.*; choose a checkpoint"):
        core.load_stable_diffusion(tmp_path / "other.safetensors")


def test_broken_files(checkpoints, tmp_path, monkeypatch):
    whole = checkpoints["SD 1"][0]
    broken = tmp_path / "broken.safetensors"
    broken.write_bytes(whole.read_bytes()[:-1000])
    with pytest.raises(InputError, match=r"broken.safetensors is damaged or cut off"):
        core.load_stable_diffusion(broken)
    state = load_file(whole)
    write_words(tmp_path)
    for lost in (
        "first_stage_model.decoder.mid.block_1.conv1.weight",
        "cond_stage_model.transformer.text_model.final_layer_norm.bias",
    ):
        save_file({name: tensor for name, tensor in state.items() if name != lost}, broken)
        with pytest.raises(InputError, match=r"^broken.safetensors .*; get the whole file\.$"):
            core.load_stable_diffusion(broken)
    texts = {name: tensor for name, tensor in state.items() if not name.startswith("cond_stage_model")}
    save_file(texts, broken)
    with pytest.raises(InputError, match="lacks a text encoder"):
        core.load_stable_diffusion(broken)
    (tmp_path / "old.ckpt").write_bytes(b"")
    with pytest.raises(InputError, match=r"is no \.safetensors file"):
        core.load_stable_diffusion(tmp_path / "old.ckpt")
    with pytest.raises(InputError, match="is not there"):
        core.load_stable_diffusion(tmp_path / "missing.safetensors")
    monkeypatch.setitem(sys.modules, "diffusers", None)
    with pytest.raises(InputError, match=r"pip install 'visionsmith\[diffusion\]'"):
        core.load_stable_diffusion(whole)


def test_broken_folders(tmp_path):
    with pytest.raises(InputError, match=r"has no model_index.json"):
        core.load_stable_diffusion(tmp_path)
    index = tmp_path / "model_index.json"
    for text, told in {
        "{": "is damaged",
        '{"_class_name": "FluxPipeline"}': "holds a FluxPipeline",
        '{"_class_name": "StableDiffusion3Pipeline"}': "holds a StableDiffusion3Pipeline",
        '{"_class_name": "StableDiffusionPipeline"}': r"has no unet/\*.safetensors",
    }.items():
        index.write_text(text)
        with pytest.raises(InputError, match=told):
            core.load_stable_diffusion(tmp_path)
    (tmp_path / "unet").mkdir()
    (tmp_path / "unet" / "model.safetensors").write_bytes(b"cut")
    with pytest.raises(InputError, match="cannot be read"):
        core.load_stable_diffusion(tmp_path)


def test_a_model_with_other_inputs_is_refused(checkpoints, scene, monkeypatch):
    model = core.load_stable_diffusion(checkpoints["SD 1"][0])
    monkeypatch.setattr(load.StableDiffusion, "channels", 8)
    with pytest.raises(InputError, match="it has 8 input channels"):
        core.repaint(model, *scene, QUICK, model_size(model, 32, SMALL))


def test_names_are_those_of_the_published_files():
    """A few that every checkpoint has, so that the files written here keep to them."""
    unet, vae, _ = networks("SD 1", 100)
    names = set(unet_state(unet)) | set(vae_state(vae))
    for name in (
        "input_blocks.1.1.transformer_blocks.0.attn2.to_k.weight",
        "input_blocks.2.0.op.weight",
        "middle_block.2.out_layers.3.weight",
        "output_blocks.1.1.conv.weight",
        "encoder.down.0.downsample.conv.weight",
        "decoder.mid.attn_1.proj_out.weight",
        "decoder.up.1.upsample.conv.weight",
    ):
        assert name in names
