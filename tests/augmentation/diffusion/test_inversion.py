"""Inversion: right on a trained model, complete on SDXL, kept in files, and clear about what it cannot use."""

from dataclasses import replace

import pytest
import torch
from safetensors.torch import save_file
from visionsmith.augmentation.diffusion.attention import Attend, Layer, Residual, attending
from visionsmith.augmentation.diffusion.editing import EditSettings, edit
from visionsmith.augmentation.diffusion.inversion import InversionSettings, invert, key_of, load, save
from visionsmith.augmentation.diffusion.ledits import edit_with_ledits
from visionsmith.augmentation.diffusion.load import fingerprint, load_model, model_of
from visionsmith.augmentation.diffusion.model import Text, checked
from visionsmith.imaging.stable_diffusion import StableDiffusion
from visionsmith.nn_layers import InputError

from .tiny import psnr, random_pipeline

PROMPT = "photo of a crack"
STEPS = 20


def rebuilt(model, image, method, guidance):
    inversion = invert(model, image, PROMPT, InversionSettings(method, STEPS, guidance))
    same = EditSettings(guidance, equaliser=1)
    return edit(model, inversion, [PROMPT], same)


@pytest.mark.parametrize("guidance", [7.5, 15.0])
@pytest.mark.parametrize(("method", "least"), [("direct", 42), ("negative-prompt", 40), ("null-text", 40)])
def test_pictures_come_back(tiny, crack, method, guidance, least):
    image, _ = crack
    round_trip = tiny.decode(tiny.encode(image[None]))[0]
    result = rebuilt(tiny, image, method, guidance)

    assert psnr(result.source, round_trip) >= least
    assert psnr(result.images[0], round_trip) >= least  # Prompt-to-Prompt with identical prompts


def test_plain_guidance_does_not_bring_them_back(tiny, crack):
    round_trip = tiny.decode(tiny.encode(crack[0][None]))[0]

    assert psnr(rebuilt(tiny, crack[0], "plain", 7.5).source, round_trip) < 32


def test_rli_mixes_the_normalised_input_into_self_attention(first):
    seen = {}
    layer = first.unet.up_blocks[1].attentions[0].transformer_blocks[0].attn1

    def look(module, given, out):
        seen["out"] = (given[0], out)

    hook = layer.register_forward_hook(look)
    latents, text = torch.randn(1, 4, 16, 16, generator=torch.Generator().manual_seed(0)), first.encode_text([""])

    def output(residual):
        seen.clear()
        with torch.no_grad(), attending(first.unet, residual):
            first.noise(latents, 500, text, (32, 32))
        return seen["out"]

    (given, mixed), (same, plain), (_, none) = output(Residual(0.1)), output(Residual(0)), output(Residual(0.0))
    hook.remove()

    torch.testing.assert_close(given, same)
    torch.testing.assert_close(mixed, 0.9 * plain + 0.1 * given)
    torch.testing.assert_close(plain, none)


def test_rli_scope():
    assert Residual(0.1).at(Layer(0, False, "up")) == 0.1
    assert Residual(0.1).at(Layer(0, False, "down")) == Residual(0.1).at(Layer(0, True, "up")) == 0
    assert Residual(0.1, "all blocks").at(Layer(0, False, "mid")) == 0.1
    with pytest.raises(InputError, match="rli is 1; give 0"):
        Residual(1.0)


def test_own_attention_is_that_of_diffusers(first):
    latents, text = torch.randn(1, 4, 16, 16, generator=torch.Generator().manual_seed(1)), first.encode_text([PROMPT])
    with torch.no_grad():
        expected = first.noise(latents, 500, text, (32, 32))
        before = first.unet.attn_processors
        with attending(first.unet, Residual(0)):
            torch.testing.assert_close(first.noise(latents, 500, text, (32, 32)), expected, atol=1e-5, rtol=1e-5)
    assert first.unet.attn_processors == before


def test_null_text_lowers_the_loss_of_both_of_sdxls_embeddings(xl, crack):
    settings = InversionSettings("null-text", 2, 7.5, inner_steps=3)
    inversion = invert(xl, crack[0], PROMPT, settings, size=(300, 400))
    empty = xl.encode_text([""])

    assert inversion.unconditional.shape == (2, 77, 64)  # both encoders' words side by side
    assert inversion.pooled.shape == (2, 24)
    assert not torch.equal(inversion.unconditional[0], empty.tokens[0])
    assert not torch.equal(inversion.pooled[0], empty.pooled[0])


def test_sdxl_is_told_the_true_size(xl):
    told = []

    def look(module, args, kwargs):
        told.append(kwargs["added_cond_kwargs"]["time_ids"])

    hook = xl.unet.register_forward_pre_hook(look, with_kwargs=True)
    with torch.no_grad():
        xl.noise(torch.zeros(2, 4, 16, 16), 1, xl.encode_text([""]).repeated(2), (300, 400))
    hook.remove()

    assert told[0].tolist() == [[300, 400, 0, 0, 32, 32]] * 2


def test_sdxl_reads_both_encoders(xl):
    pipeline = xl.stable.pipeline
    expected, _, pooled, _ = pipeline.encode_prompt(PROMPT, do_classifier_free_guidance=False)
    text = xl.encode_text([PROMPT])

    torch.testing.assert_close(text.tokens, expected)
    torch.testing.assert_close(text.pooled, pooled)


def test_all_of_it_runs_under_inference_mode(first, crack):
    from visionsmith.replace import gradients, ordinary

    with torch.inference_mode():
        image = crack[0].clone()
        with gradients():
            inversion = invert(first, ordinary(image), PROMPT, InversionSettings("null-text", 2, inner_steps=1))
    assert not inversion.unconditional.is_inference()


def test_an_inversion_is_kept_as_it_is(first, crack, tmp_path):
    settings = InversionSettings("null-text", 2, 7.5, inner_steps=1, residual=Residual(0.2, "all blocks"))
    inversion = invert(first, crack[0], PROMPT, settings)
    save(inversion, tmp_path / "kept" / "it.safetensors")
    again = load(tmp_path / "kept" / "it.safetensors")

    assert (again.prompt, again.size, again.model, again.settings) == (PROMPT, (32, 32), "random", settings)
    assert torch.equal(again.latents, inversion.latents) and torch.equal(again.unconditional, inversion.unconditional)
    assert again.pooled is None


def test_a_damaged_file_is_refused(tmp_path):
    (tmp_path / "x.safetensors").write_bytes(b"no")
    with pytest.raises(
        InputError, match=r"x.safetensors is no inversion, or a damaged one .*delete it and invert again"
    ):
        load(tmp_path / "x.safetensors")


def test_the_name_changes_with_what_changes_the_result(first, crack):
    settings, size = InversionSettings(steps=5), (32, 32)
    name = key_of(first, crack[0], PROMPT, settings, size)

    assert name == key_of(
        first, crack[0].clone(), PROMPT, replace(settings, guidance=3.0), size
    )  # direct knows no guidance
    others = [
        key_of(first, 1 - crack[0], PROMPT, settings, size),
        key_of(first, crack[0], PROMPT + "s", settings, size),
        key_of(first, crack[0], PROMPT, replace(settings, steps=6), size),
        key_of(first, crack[0], PROMPT, replace(settings, residual=Residual(0)), size),
        key_of(first, crack[0], PROMPT, settings, (64, 64)),
        key_of(replace(first, fingerprint="other"), crack[0], PROMPT, settings, size),
    ]
    assert len({name, *others}) == 7


def test_what_a_watch_raises_stops_the_search(first, crack):
    class Cancel(BaseException):
        pass

    seen = []

    def watch(done, total):
        seen.append((done, total))
        if done > 3:
            raise Cancel

    with pytest.raises(Cancel):
        invert(first, crack[0], PROMPT, InversionSettings("null-text", 3, inner_steps=3), watch=watch)
    assert seen[0] == (1, 6) and 3 < seen[-1][0] <= 4  # in the middle of the first step's optimisation
    assert not any(isinstance(processor, Attend) for processor in first.unet.attn_processors.values())


@pytest.mark.parametrize(
    ("image", "words"),
    [
        (torch.full((32, 32, 3), float("nan")), "holds values that are no numbers"),
        (torch.zeros(30, 32, 3), "32 × 30 pixels, but the model takes multiples of 4"),
        (torch.zeros(32, 32), "give one of height × width × 3"),
    ],
)
def test_pictures_that_do_not_fit(first, image, words):
    with pytest.raises(InputError, match=words):
        invert(first, image, PROMPT, InversionSettings(steps=2))


def test_prompts_that_are_too_long(first):
    with pytest.raises(InputError, match=r"has 82 tokens, but the model reads 77; shorten it by 5\."):
        first.encode_text(["crack " * 80])


def test_settings_that_are_none(first, crack):
    with pytest.raises(InputError, match="method is 'exact'; choose one of direct"):
        InversionSettings("exact")
    with pytest.raises(InputError, match="steps is 0; give 1 to 500"):
        invert(first, crack[0], PROMPT, InversionSettings(steps=0))


def test_latents_that_are_no_numbers():
    with pytest.raises(InputError, match=r"the VAE made latents that are no numbers .* load the model in float32"):
        checked(torch.full((1, 4, 2, 2), float("nan")), "the VAE")


def test_a_single_prompt_can_be_repeated():
    assert Text(torch.zeros(1, 77, 8), torch.zeros(1, 4)).repeated(3).pooled.shape == (3, 4)


@pytest.mark.parametrize(
    ("weights", "words"),
    [
        ({"double_blocks.0.img_attn.qkv.weight": torch.zeros(1)}, "Flux"),
        ({"lora_unet_down_blocks_0.lora_down.weight": torch.zeros(1)}, "a LoRA"),
        ({"model.diffusion_model.input_blocks.0.0.weight": torch.zeros(8, 4, 3, 3)}, "has no VAE in it"),
    ],
)
def test_files_of_another_kind_are_refused(tmp_path, weights, words):
    save_file(weights, tmp_path / "other.safetensors")
    with pytest.raises(InputError, match=words):
        load_model(tmp_path / "other.safetensors")


def test_files_that_are_cut_off_are_refused(tmp_path):
    save_file(
        {"model.diffusion_model.input_blocks.0.0.weight": torch.zeros(64, 4, 3, 3)}, tmp_path / "whole.safetensors"
    )
    (tmp_path / "cut.safetensors").write_bytes((tmp_path / "whole.safetensors").read_bytes()[:500])
    with pytest.raises(InputError, match=r"cut\.safetensors is damaged or cut off"):
        load_model(tmp_path / "cut.safetensors")


def test_models_made_for_inpainting_edit_nothing():
    model = model_of(StableDiffusion("x", random_pipeline(channels=9)))  # they paint new defects
    for change in (
        lambda: invert(model, torch.rand(32, 32, 3), "a crack"),
        lambda: edit_with_ledits(model, torch.rand(32, 32, 3), ["rust"]),
    ):
        with pytest.raises(InputError, match=r"x was made for inpainting \(its UNet takes 9 channels instead of 4\)"):
            change()
    with pytest.raises(
        InputError, match=r"x was made for something else than making pictures from text \(its UNet takes 8 "
    ):
        model_of(StableDiffusion("x", random_pipeline(channels=8)))


def test_models_that_differ_in_a_weight_have_other_fingerprints(tmp_path):
    weight = torch.zeros(1000)
    save_file({"a": weight}, tmp_path / "a.safetensors")
    weight[500] = 1
    save_file({"a": weight}, tmp_path / "b.safetensors")

    assert fingerprint(tmp_path / "a.safetensors") != fingerprint(tmp_path / "b.safetensors")
