"""Prompt-to-Prompt, edits in masks and edits after an example."""

from dataclasses import replace

import pytest
import torch
from visionsmith.augmentation.diffusion.alignment import align
from visionsmith.augmentation.diffusion.attention import Layer, attending, plain, probabilities
from visionsmith.augmentation.diffusion.control import PromptToPrompt, kept_scale
from visionsmith.augmentation.diffusion.editing import EditSettings, edit
from visionsmith.augmentation.diffusion.inversion import InversionSettings, invert
from visionsmith.augmentation.diffusion.prepare import Place, prepare, restore
from visionsmith.augmentation.diffusion.presets import PRESETS
from visionsmith.augmentation.diffusion.reference import ReferenceSettings, edit_from_example
from visionsmith.nn_layers import InputError

from .tiny import cracked, psnr

SOURCE = "photo of a crack"
CROSS, SELF = Layer(0, True, "up"), Layer(1, False, "up")


def control(model, targets, **settings):
    values = {
        "equaliser": torch.ones(len(targets), 77),
        "cross_steps": 5,
        "self_steps": 5,
        "words": None,
        "grid": (16, 16),
        "kept": 1,
    }
    alignments = [align(SOURCE, target, model.tokens) for target in targets]
    count = len(targets)
    return PromptToPrompt(1 + count, slice(2 + count, None), alignments, **{**values, **settings})


def features(rows, keys=77):
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(rows, 2, size, 8, generator=generator) for size in (256, keys, keys)]


def test_swapped_words_see_through_the_sources_map(first):
    query, key, value = features(4)
    out = control(first, ["photo of a rust"]).attend(CROSS, query, key, value)

    torch.testing.assert_close(out[3], probabilities(query[2], key[2]) @ value[3])
    torch.testing.assert_close(out[:3], plain(query, key, value)[:3])  # the source, and both without their prompts


def test_added_words_see_for_themselves(first):
    target = "photo of a crack with scratch"
    query, key, value = features(4)
    out = control(first, [target]).attend(CROSS, query, key, value)
    own, source = probabilities(query[3], key[3]), probabilities(query[2], key[2])
    places = align(SOURCE, target, first.tokens).changed
    mixed = torch.cat([source[..., : places[0]], own[..., list(places)], source[..., places[0] : -len(places)]], -1)
    mixed[..., len(first.tokens(target)) :] = source[..., len(first.tokens(target)) :]

    torch.testing.assert_close(out[3], mixed @ value[3])


def test_self_attention_takes_the_sources_map_in_small_layers_alone(first):
    query, key, value = features(4, 256)
    steering = control(first, ["photo of a rust"])

    torch.testing.assert_close(steering.attend(SELF, query, key, value)[3], plain(query[2], key[2], value[3]))
    assert steering.attend(SELF, *(part.repeat(1, 1, 5, 1) for part in (query, key, value))) is None
    steering.step = 5
    assert steering.attend(SELF, query, key, value) is None
    assert steering.attend(CROSS, *features(4)) is None  # nothing to edit, nothing to keep: fused attention


def test_a_weight_of_0_removes_a_words_attention(first):
    words = torch.zeros(2, 77)
    words[:, 4] = 1
    weights = torch.ones(1, 77)
    weights[0, 4] = 0
    for step in (0, 9):
        steering = control(first, ["photo of a crack"], equaliser=weights, words=words)
        steering.step = step
        query, key, value = features(4)
        out = steering.attend(CROSS, query, key, value)
        base = probabilities(query[2 if step < 5 else 3], key[2 if step < 5 else 3])
        base[..., 4] = 0
        torch.testing.assert_close(out[3], base @ value[3])
        assert steering.seen[1].abs().max() == 0 and steering.seen[0].min() > 0


def test_maps_are_kept_where_the_paper_keeps_them():
    assert kept_scale(["CrossAttnDownBlock2D"] * 3 + ["DownBlock2D"]) == 4  # 16 × 16 of 64 × 64 in SD 1.5
    assert kept_scale(["DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"]) == 4
    assert kept_scale(["CrossAttnDownBlock2D", "DownBlock2D"]) == 1


@pytest.fixture(scope="module")
def inverted(tiny):
    image, mask = cracked()
    return image, mask, invert(tiny, image, SOURCE, InversionSettings(steps=20))


def test_words_turn_into_what_they_name(tiny, inverted):
    image, mask, inversion = inverted
    result = edit(
        tiny, inversion, ["photo of a rust", "photo of a peeling", "photo of a plain"], EditSettings(7.5, together=2)
    )
    rust, peeling, clean = result.images

    def strongest(picture, colour):
        return float((picture * torch.tensor(colour)).sum(-1).max())

    assert strongest(rust, (1.0, -0.5, -0.5)) > 0.3 > strongest(peeling, (1.0, -0.5, -0.5))  # orange
    assert strongest(peeling, (-0.5, -0.5, 1.0)) > 0.2  # blue
    assert clean[mask > 0].mean() > image[mask > 0].mean() + 0.15
    assert result.attention.shape == (3, 32, 32) and result.attention.max() <= 1


def test_results_do_not_depend_on_how_many_run_together(tiny, inverted):
    targets = ["photo of a rust", "photo of a scratch"]
    one, two = (edit(tiny, inverted[2], targets, EditSettings(together=n)).images for n in (1, 2))

    torch.testing.assert_close(one, two, atol=1e-3, rtol=0)


def test_both_branches_may_go_their_own_way(tiny, inverted):
    both, source = (
        edit(tiny, inverted[2], ["photo of a rust"], EditSettings(keep=keep)) for keep in ("structure", "source")
    )

    assert not torch.equal(both.images, source.images)
    assert torch.equal(both.source, source.source)


def test_sdxl_is_edited_with_both_embeddings(xl):
    image, _ = cracked()
    inversion = invert(xl, image, SOURCE, InversionSettings("null-text", 2, inner_steps=1))
    result = edit(xl, inversion, ["photo of a rust", "photo of a crack with scratch"], EditSettings(7.5, blend=True))

    assert result.images.shape == (2, 32, 32, 3) and torch.isfinite(result.images).all()


@pytest.mark.parametrize(
    ("targets", "settings", "words", "sentence"),
    [
        ([""], {}, None, "a target prompt is empty"),
        (["photo of rust"], {"mode": "replace"}, None, "do not align word by word"),
        (["photo of a rust"], {"weights": (("dent", 2.0),)}, None, r"weights: 'dent' is not in the prompt"),
        (["photo of a rust"], {"blend_words": "dent"}, None, r"blend_words: 'dent' is not in the prompt"),
        (["photo of a rust"], {}, ["dent"], r"word: 'dent' is not in the prompt"),
        (["crack " * 80], {}, None, "tokens, but the model reads 77"),
    ],
)
def test_bad_edits_are_refused(first, targets, settings, words, sentence):
    inversion = invert(first, cracked()[0], SOURCE, InversionSettings(steps=1))
    with pytest.raises(InputError, match=sentence):
        edit(first, inversion, targets, EditSettings(**settings), words)


def test_inversions_of_another_model_or_guidance_are_refused(first):
    inversion = invert(first, cracked()[0], SOURCE, InversionSettings("null-text", 1, 7.5, inner_steps=1))
    with pytest.raises(InputError, match="made with another model than random"):
        edit(first, replace(inversion, model="other"), [SOURCE])
    with pytest.raises(InputError, match=r"was made for guidance 7\.5, but guidance is 15"):
        edit(first, inversion, [SOURCE], EditSettings(15.0))
    with pytest.raises(InputError, match="threshold is 2; give a share"):
        EditSettings(threshold=2)


def test_an_edit_inside_a_mask_leaves_the_rest_bit_for_bit(tiny):
    picture = torch.rand(1, 100, 140, 3, generator=torch.Generator().manual_seed(0))
    small, _ = cracked()
    picture[0, 40:72, 60:92] = small
    mask = torch.zeros(1, 100, 140)
    mask[0, 50:60, 70:80] = 1
    prepared = prepare(tiny, picture, mask, Place(grow=2, blend=4, context=2.0))
    inversion = invert(tiny, prepared.images[0], SOURCE, InversionSettings(steps=4), prepared.sizes[0])
    result = restore(prepared, edit(tiny, inversion, ["photo of a rust"], mask=prepared.masks[0]).images)
    changed = (result != picture).any(-1)[0]

    assert prepared.images.shape == (1, 32, 32, 3) and prepared.sizes[0][0] < 60
    assert changed.any() and not changed[:42].any() and not changed[68:].any() and not changed[:, :62].any()


def test_an_edit_outside_of_a_mask_leaves_what_it_covers(first):
    picture, mask = torch.rand(1, 64, 96, 3), torch.zeros(1, 64, 96)
    mask[0, 20:40, 30:60] = 1
    prepared = prepare(first, picture, mask, Place("outside", grow=0, blend=4))
    inversion = invert(first, prepared.images[0], SOURCE, InversionSettings(steps=1), prepared.sizes[0])
    result = restore(prepared, edit(first, inversion, ["photo of a rust"], mask=prepared.masks[0]).images)

    assert prepared.images.shape[1:3] == (28, 40) and prepared.sizes == ((64, 96),)
    assert torch.equal(result[mask > 0], picture[mask > 0])
    assert not torch.equal(result, picture)


@pytest.mark.parametrize(
    ("picture", "mask", "sentence"),
    [
        (torch.zeros(1, 16, 40, 3), None, "the picture is 40 × 16 pixels, but the model needs 32 on each side"),
        (torch.zeros(2, 64, 64, 3), torch.zeros(2, 64, 64), "the mask of picture 1 is empty; mark the place"),
        (torch.zeros(2, 64, 64, 3), torch.ones(1, 32, 64), "mask is 64 × 32 pixels, but the picture is 64 × 64"),
        (torch.full((1, 64, 64, 3), float("nan")), None, "no numbers"),
    ],
)
def test_pictures_and_masks_that_do_not_fit(first, picture, mask, sentence):
    with pytest.raises(InputError, match=sentence):
        prepare(first, picture, mask)


def test_pictures_below_64_pixels_are_too_small_for_an_ordinary_model(first):
    unet = first.unet
    before = unet.config.sample_size
    unet.register_to_config(sample_size=64)
    try:
        with pytest.raises(
            InputError, match="the picture is 63 × 80 pixels, but the model needs 64 on each side; give a larger one"
        ):
            prepare(first, torch.zeros(1, 80, 63, 3))
    finally:
        unet.register_to_config(sample_size=before)


def test_a_real_defect_is_painted_where_the_mask_says(tiny):
    settings = InversionSettings(steps=20)
    example, shown = cracked(3)
    clean, _ = cracked(0)
    clean = clean[:1].expand(32, -1, -1).clone()  # its first row has no crack
    target = torch.zeros(32, 32)
    target[6:26, 6:26] = 1
    normal = invert(tiny, clean, "photo of a plain", settings)
    real = invert(tiny, example, SOURCE, settings)
    result = edit_from_example(tiny, normal, real, target, shown, ReferenceSettings())
    inside, outside = target > 0, torch.nn.functional.max_pool2d(target[None], 7, 1, 3)[0] == 0

    assert float((result.source - result.images[0])[inside].max()) > 0.2  # something dark
    assert psnr(result.images[0][outside], result.source[outside]) > 28


def test_an_example_without_a_mask_is_refused(first):
    inversion = invert(first, cracked()[0], SOURCE, InversionSettings(steps=1))
    with pytest.raises(InputError, match="example_mask is empty; mark where the defect is in the example"):
        edit_from_example(first, inversion, inversion, torch.ones(32, 32), torch.zeros(32, 32))


def test_presets_are_those_that_were_published():
    reference, rli = PRESETS["reference"], PRESETS["RLI"]

    assert (reference.edit.guidance, reference.edit.cross_replace, reference.edit.self_replace) == (15, 0.4, 0.3)
    assert (reference.edit.equaliser, reference.steps, reference.edit.threshold) == (2, 50, 0.3)
    assert reference.target.format(word="dent") == "photo of a crack with dent"
    assert reference.words == ("scratch", "rust", "peeling", "corrosion", "blistering", "dent")
    assert (rli.edit.guidance, rli.edit.cross_replace, rli.edit.self_replace) == (5, 1, 0.4)
    assert rli.target.format(word=rli.words[0]) == "photo of a crack corrosion image"


def test_attention_is_put_back_after_an_error(first):
    before = first.unet.attn_processors
    with pytest.raises(RuntimeError), attending(first.unet, InversionSettings().residual):
        raise RuntimeError
    assert first.unet.attn_processors == before
