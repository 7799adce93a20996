"""Captions and phrases, with tiny random networks of the real architectures in folders as the hub has them."""

import json

import pytest
import torch
from safetensors.torch import load_file, save_file
from visionsmith.imaging.phrases import PHRASES, read_groups
from visionsmith.imaging.words import CAPTIONERS, fetch_folder, find_folder, load_captioner, load_clip, picture
from visionsmith.nn_layers import InputError

from . import model_files


@pytest.fixture(scope="module")
def blip(tmp_path_factory):
    pytest.importorskip("transformers")
    return model_files.blip(tmp_path_factory.mktemp("blip"))


@pytest.fixture(scope="module")
def florence(tmp_path_factory):
    transformers = pytest.importorskip("transformers")
    if not hasattr(transformers, "Florence2ForConditionalGeneration"):
        pytest.skip("this transformers has no Florence-2 of its own")
    folder = tmp_path_factory.mktemp("florence")
    from tokenizers.pre_tokenizers import ByteLevel

    words = ["<s>", "<pad>", "</s>", "<unk>", "<mask>", *sorted(ByteLevel.alphabet()), "<image>"]
    tokenizer = transformers.BartTokenizer(
        vocab={word: i for i, word in enumerate(words)}, merges=[], extra_special_tokens={"image_token": "<image>"}
    )
    images = transformers.CLIPImageProcessor(size={"height": 64, "width": 64}, crop_size={"height": 64, "width": 64})
    images.image_seq_length = 5
    transformers.Florence2Processor(images, tokenizer).save_pretrained(folder)
    vision = {
        "depths": [1, 1], "patch_size": [7, 3], "patch_stride": [4, 8], "patch_padding": [3, 1], "patch_prenorm": [False, True],
        "embed_dim": [8, 16], "num_heads": [2, 2], "num_groups": [2, 2], "window_size": 4, "projection_dim": 16,
    }  # fmt: skip
    text = {
        "model_type": "bart", "vocab_size": len(words), "d_model": 16, "encoder_layers": 1, "decoder_layers": 1,
        "encoder_attention_heads": 2, "decoder_attention_heads": 2, "encoder_ffn_dim": 32, "decoder_ffn_dim": 32,
        "max_position_embeddings": 256, "bos_token_id": 0, "pad_token_id": 1, "eos_token_id": 2, "decoder_start_token_id": 2,
    }  # fmt: skip
    torch.manual_seed(0)
    config = transformers.Florence2Config(
        text_config=text, vision_config=vision, image_token_id=tokenizer.image_token_id
    )
    config.pad_token_id, config.bos_token_id, config.eos_token_id = 1, 0, 2
    transformers.Florence2ForConditionalGeneration(config).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    open_clip = pytest.importorskip("open_clip")
    folder = tmp_path_factory.mktemp("clip")
    config = {
        "embed_dim": 16,
        "vision_cfg": {"image_size": 32, "layers": 2, "width": 32, "head_width": 16, "patch_size": 8},
        "text_cfg": {"context_length": 16, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 2},
    }
    preprocess = {"mean": [0.48, 0.46, 0.41], "std": [0.27, 0.26, 0.28]}
    (folder / "open_clip_config.json").write_text(json.dumps({"model_cfg": config, "preprocess_cfg": preprocess}))
    torch.manual_seed(0)
    save_file(open_clip.CLIP(**config).state_dict(), folder / "open_clip_model.safetensors")
    return folder


def test_blip_describes_a_picture(blip):
    model = load_captioner(blip)
    assert model.kind == "blip"
    first = model(torch.rand(40, 50, 4), most=6)
    assert isinstance(first, str)
    assert model(torch.rand(40, 50, 3), start="a photo of", most=6).startswith("a photo of")
    assert load_captioner(blip).network is model.network


def test_florence_describes_a_picture(florence):
    model = load_captioner(florence)
    assert model.kind == "florence2"
    for detail in ("short", "very detailed"):
        assert isinstance(model(torch.rand(40, 50, 3), detail, most=4, beams=2), str)


def test_clip_ranks_phrases_and_keeps_what_it_made_of_them(clip, monkeypatch):
    ranker = load_clip(clip)
    groups = {"kind": ("a flower", "a dog", "a machine"), "light": ("night", "day")}
    found = ranker.rank(torch.rand(40, 50, 3), groups, best=2)
    assert [group for group, _, _ in found] == ["kind", "kind", "light", "light"]
    assert found[0][2] >= found[1][2]
    assert sum(share for group, _, share in found if group == "light") == pytest.approx(1)
    embeddings = ranker.phrases(["a dog", "night"])
    assert torch.allclose(embeddings.norm(dim=1), torch.ones(2), atol=1e-5)
    monkeypatch.setattr(ranker.network, "encode_text", lambda *args, **kwargs: pytest.fail("made again"))
    assert load_clip(clip).rank(torch.rand(40, 50, 3), groups, best=1)


def test_phrases_of_ones_own():
    assert read_groups("defect: scratch, dent ,\n\nred, green") == {
        "defect": ("scratch", "dent"),
        "phrases": ("red", "green"),
    }
    assert read_groups(" \n") == {}
    for words in PHRASES.values():
        assert len(set(words)) == len(words) > 5


def test_folders_are_found_by_every_name_they_have(tmp_path):
    with pytest.raises(InputError, match=r"no caption model 'blip-base' was found in .*switch download on"):
        find_folder("blip-base", [tmp_path], "config.json", CAPTIONERS, "caption model")
    folder = tmp_path / "blip-image-captioning-base"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    for name in ("", "blip-base", "blip-image-captioning-base", "Salesforce/blip-image-captioning-base"):
        assert find_folder(name, [tmp_path], "config.json", CAPTIONERS, "caption model") == folder
    with pytest.raises(InputError, match="there are blip-image-captioning-base"):
        find_folder("florence-2-base", [tmp_path], "config.json", CAPTIONERS, "caption model")


def test_what_is_fetched_has_no_code_in_it(tmp_path, monkeypatch):
    hub = pytest.importorskip("huggingface_hub")
    asked = []
    monkeypatch.setattr(hub, "snapshot_download", lambda *args, **kwargs: asked.append((args, kwargs)))
    assert fetch_folder("blip-base", tmp_path, CAPTIONERS) == tmp_path / "blip-image-captioning-base"
    assert asked[0][0] == ("Salesforce/blip-image-captioning-base",)
    assert not any(pattern.endswith((".py", ".bin", ".pt")) for pattern in asked[0][1]["allow_patterns"])
    with pytest.raises(InputError, match="is no model of the hub"):
        fetch_folder("mine", tmp_path, CAPTIONERS)

    def offline(*args, **kwargs):
        raise OSError("no route to host")

    monkeypatch.setattr(hub, "snapshot_download", offline)
    with pytest.raises(InputError, match=r"could not be fetched \(no route to host\)"):
        fetch_folder("blip-base", tmp_path, CAPTIONERS)


def copied(source, target, **texts):
    """A folder like another one, with some files of other content; None leaves a file out."""
    target.mkdir()
    for file in source.iterdir():
        content = texts.get(file.name.split(".")[0], file.read_bytes())
        if content is not None:
            (target / file.name).write_bytes(content)
    return target


def test_folders_that_cannot_be_used(blip, clip, tmp_path):
    weights = (blip / "model.safetensors").read_bytes()
    with pytest.raises(InputError, match=r"config\.json is missing or damaged"):
        load_captioner(copied(blip, tmp_path / "1", config=None))
    with pytest.raises(InputError, match="holds a model of the kind 'bert'"):
        load_captioner(copied(blip, tmp_path / "2", config=b'{"model_type": "bert"}'))
    with pytest.raises(InputError, match="is incomplete or damaged"):
        load_captioner(copied(blip, tmp_path / "3", model=weights[: len(weights) // 2]))
    with pytest.raises(InputError, match="is incomplete or damaged"):
        load_captioner(copied(blip, tmp_path / "4", model=None))
    other = copied(blip, tmp_path / "5")
    tensors = {f"other.{key}": value for key, value in load_file(blip / "model.safetensors").items()}
    save_file(tensors, other / "model.safetensors", {"format": "pt"})
    with pytest.raises(InputError, match="are not those of transformers' own Blip"):
        load_captioner(other)
    with pytest.raises(InputError, match=r"has no open_clip_model\.safetensors"):
        load_clip(copied(clip, tmp_path / "6", open_clip_model=None))
    with pytest.raises(InputError, match="is incomplete or damaged"):
        load_clip(copied(clip, tmp_path / "7", open_clip_model=b"nothing"))


def test_bad_pictures_are_explained():
    with pytest.raises(InputError, match="no numbers"):
        picture(torch.full((4, 4, 3), torch.nan))
    with pytest.raises(InputError, match="wire an IMAGE"):
        picture(torch.zeros(4, 4))
