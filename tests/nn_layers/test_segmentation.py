"""Every architecture by one tester: size, determinism, gradients, files; and the named ones learn two small pictures."""

import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest
import torch
from torch.nn import functional as F
from visionsmith import nn_layers as nn
from visionsmith.nn_layers.errors import InputError
from visionsmith.nn_layers.segmentation import encoders, plan
from visionsmith.nn_layers.segmentation.encoders import check_encoder, known_names

pytest.importorskip("segmentation_models_pytorch", reason="the extra `segmentation` is not installed")
pytest.importorskip("transformers", reason="the extra `segmentation` is not installed")

NAMES = list(nn.ARCHITECTURES)
NAMED = (
    "gcnet", "apcnet", "pspnet", "fast-scnn", "lraspp-mobilenetv3", "upernet", "ann", "bisenetv2", "beit", "vit", "ccnet",
    "danet", "deeplabv3", "deeplabv3+", "fastfcn",
)  # fmt: skip
SMALL = {"smp": "tu-test_resnet", "timm": "test_resnet", "vit": "test_vit", "listed": "", "none": ""}
OTHERS = {"segformer": "mit_b0", "dpt": "tu-test_vit", "unet++": "resnet18"}


def layer(name, classes=3):
    return nn.SegmentationModel(name, OTHERS.get(name, SMALL[nn.ARCHITECTURES[name].family]), classes)


def draw(settings, channels=3, height=64, width=64):
    return nn.apply(settings, nn.input_tensor(nn.Input("image", (channels, height, width))))


@cache
def network(name, channels):
    return nn.build_network((draw(layer(name), channels),), seed=1)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("channels", [1, 3])
def test_logits_have_the_size_of_any_picture(name, channels):
    module = network(name, channels).module.eval()
    assert draw(layer(name), channels, 70, 95).shape == (3, 70, 95)
    for height, width in ((64, 64), (70, 95)):
        picture = torch.randn(2, channels, height, width, generator=torch.Generator().manual_seed(0))
        with torch.no_grad():
            first, second = module(picture), module(picture)
        assert first.shape == (2, 3, height, width)
        assert first.isfinite().all()
        assert torch.equal(first, second)


@pytest.mark.parametrize("name", NAMES)
def test_gradient_reaches_every_parameter(name):
    module = nn.build_network((draw(layer(name)),), seed=2).module.train()
    with torch.no_grad():
        for parameter in module.parameters():  # away from gates that start at 0 and hide what is behind them
            parameter.add_(0.01 * torch.randn_like(parameter))
    module(torch.randn(2, 3, 96, 64)).square().sum().backward()
    assert [key for key, p in module.named_parameters() if p.requires_grad and p.grad is None] == []
    if nn.ARCHITECTURES[name].source == "visionsmith":
        assert [key for key, p in module.named_parameters() if not p.requires_grad or not p.grad.any()] == []


@pytest.mark.parametrize("name", NAMES)
def test_saved_and_loaded_it_gives_the_same(name, tmp_path):
    made = network(name, 3)
    nn.save_network(made, tmp_path)
    loaded = nn.load_network(tmp_path)
    assert loaded.spec == made.spec
    picture = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        assert torch.equal(made.module.eval()(picture), loaded.module.eval()(picture))


@pytest.mark.parametrize("name", NAMES)
def test_one_seed_gives_one_set_of_weights(name):
    torch.manual_seed(3)
    again = nn.build_network((draw(layer(name)),), seed=1).module.state_dict()
    assert all(
        torch.equal(value, again[key])
        for key, value in network(name, 3).module.state_dict().items()
        if "num_batches" not in key and "running_" not in key
    )


def two_pictures():
    """Noise with a brighter rectangle in each; the rectangle is the class to find."""
    masks = torch.zeros(2, 64, 64, dtype=torch.long)
    masks[0, 10:30, 8:40] = 1
    masks[1, 30:56, 20:50] = 1
    noise = 0.3 * torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    return noise + masks[:, None] * torch.tensor([1.0, -1.0, 0.5])[None, :, None, None], masks


@pytest.mark.parametrize("name", NAMED)
def test_named_architecture_learns_two_pictures(name):
    """Cross entropy falls to a fifth within 60 steps, once the model is past its random start."""
    pictures, masks = two_pictures()
    module = nn.build_network((draw(layer(name, 2)),), seed=0).module.train()
    optimizer = torch.optim.AdamW(module.parameters(), 1e-3 if name == "beit" else 3e-3)
    torch.manual_seed(0)
    losses = []
    for _ in range(60):
        loss = F.cross_entropy(module(pictures), masks)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
        if losses[-1] <= 0.2 * losses[0]:
            return
    pytest.fail(f"the loss fell from {losses[0]:.3f} to {losses[-1]:.3f} only")


@pytest.mark.parametrize("name", [name for name in NAMES if nn.ARCHITECTURES[name].source == "visionsmith"])
def test_our_modules_train_on_a_batch_of_one(name):
    module = nn.build_network((draw(layer(name)),)).module.train()
    module(torch.randn(1, 3, 96, 96)).sum().backward()


@pytest.mark.parametrize("name", ["deeplabv3", "upernet", "beit"])
def test_library_that_cannot_train_on_one_picture_says_so(name):
    with pytest.raises(InputError, match="batches of at least 2 in training, but got 1"):
        network(name, 3).module.train()(torch.randn(1, 3, 64, 64))


def test_importing_the_layers_imports_no_library():
    code = "import sys, visionsmith.nn_layers; print([m for m in ('segmentation_models_pytorch', 'transformers', 'torchvision', 'timm') if m in sys.modules])"
    assert (
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"
    )


def test_suggested_encoders_are_known_to_their_library():
    for name, found in nn.ARCHITECTURES.items():
        for encoder in nn.encoders_for(name):
            assert check_encoder(name, encoder) == encoder
        assert bool(nn.encoders_for(name)) == found.takes_encoder
    assert "resnet152" in nn.encoders_for("unet", everything=True)
    assert nn.encoders_for("beit", everything=True) == nn.encoders_for("beit")
    assert "vit_base_patch16_clip_224" in known_names("vit")


def test_a_timm_encoder_goes_by_one_name_everywhere():
    assert check_encoder("unet", "convnext_tiny") == check_encoder("unet", "tu-convnext_tiny") == "tu-convnext_tiny"
    assert check_encoder("ccnet", "tu-convnext_tiny") == "convnext_tiny"
    assert check_encoder("ccnet", "resnet18.a1_in1k") == "resnet18.a1_in1k"
    assert check_encoder("bisenetv2", "resnet18") == ""
    assert check_encoder("beit", "") == "beit-tiny"


BAD = [
    (nn.SegmentationModel("unett"), "no architecture called 'unett'; did you mean unet"),
    (nn.SegmentationModel("DeepLabV3Plus"), "did you mean deeplabv3"),
    (nn.SegmentationModel("unet", "resnet81"), "unet has no encoder called 'resnet81'; did you mean resnet18"),
    (nn.SegmentationModel("gcnet", "resnett50"), "did you mean resnet50"),
    (nn.SegmentationModel("gcnet", "resnet18.no_such_weights"), "has no encoder called"),
    (nn.SegmentationModel("beit", "resnet18"), "choose one of beit-tiny"),
    (nn.SegmentationModel("unet++", "mit_b0"), "unet\\+\\+ cannot use the encoder 'mit_b0' .*choose another, such as resnet18"),
    (nn.SegmentationModel("deeplabv3", "densenet121"), "cannot use the encoder 'densenet121' .*choose another"),
    (nn.SegmentationModel("danet", "vit_tiny_patch16_224"), "cannot use the encoder"),
    (nn.SegmentationModel("vit", "resnet18"), "cannot use the encoder"),
    (nn.SegmentationModel(classes=0), "classes is 0, but must lie between 1 and"),
    (nn.SegmentationModel(classes=10_000), "classes is 10000"),
]  # fmt: skip


@pytest.mark.parametrize(("settings", "sentence"), BAD, ids=lambda value: repr(value)[:70])
def test_bad_settings_are_answered_by_one_sentence(settings, sentence):
    with pytest.raises(InputError, match=f"^SegmentationModel: .*{sentence}"):
        draw(settings)


def test_what_is_no_picture_is_refused():
    with pytest.raises(InputError, match="wants a picture, channels × height × width, but 16 came in"):
        nn.apply(nn.SegmentationModel(), nn.input_tensor(nn.Input("features", (16,))))


def test_missing_library_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "no_such_library", None)
    with pytest.raises(
        InputError, match=r"needs no_such_library, which is not installed; install visionsmith\[segmentation\]"
    ):
        plan.library("no_such_library")
    assert encoders.library is plan.library


@pytest.fixture
def offline(monkeypatch, tmp_path):
    """No cached weights and no hub, without waiting for a network."""
    import huggingface_hub

    def fail(*_, **__):
        raise OSError("no network")

    monkeypatch.setattr(huggingface_hub, "try_to_load_from_cache", lambda *_, **__: None)
    monkeypatch.setattr(huggingface_hub.HfApi, "model_info", fail)
    monkeypatch.setattr("urllib.request.urlopen", fail)
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))


@pytest.mark.parametrize(
    ("name", "encoder"),
    [
        ("unet", "resnet18"), ("unet", "tu-resnet18"), ("gcnet", "resnet18"), ("vit", "vit_tiny_patch16_224"),
        ("lraspp-mobilenetv3", ""), ("segformer-transformers", "mit-b0"),
    ],
)  # fmt: skip
def test_weights_out_of_reach_are_told_at_once(offline, name, encoder):
    tensor = draw(nn.SegmentationModel(name, encoder, pretrained=True))
    with pytest.raises(
        InputError,
        match=r"could not be fetched \(OSError\); connect this machine to the hub once, or switch pretrained off",
    ):
        nn.build_network((tensor,))


@pytest.mark.parametrize(
    ("name", "encoder"), [("beit", "beit-tiny"), ("gcnet", "resnet50_mlp"), ("unet", "tu-resnet50_mlp")]
)
def test_encoder_without_published_weights(offline, name, encoder):
    with pytest.raises(InputError, match=r"there are no trained weights of [a-z0-9_-]+; choose another encoder"):
        nn.build_network((draw(nn.SegmentationModel(name, encoder, pretrained=True)),))


@pytest.mark.parametrize("channels", [1, 3])
def test_torchvision_weights_land_in_the_encoder(monkeypatch, tmp_path, channels):
    from torchvision.models import MobileNet_V3_Large_Weights, mobilenet_v3_large

    trained = mobilenet_v3_large().state_dict()
    (tmp_path / "checkpoints").mkdir()
    file = MobileNet_V3_Large_Weights.IMAGENET1K_V1.url.rpartition("/")[2]
    torch.save(trained, tmp_path / "checkpoints" / file)
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    settings = nn.SegmentationModel("lraspp-mobilenetv3", pretrained=True)
    state = nn.build_network((draw(settings, channels),)).module.state_dict()
    start = "segmentationmodel_1.body.model.backbone"
    assert torch.equal(state[f"{start}.5.block.0.0.weight"], trained["features.5.block.0.0.weight"])
    first = trained["features.0.0.weight"]
    assert torch.equal(state[f"{start}.0.0.weight"], first if channels == 3 else first.sum(1, keepdim=True))


@pytest.mark.parametrize("channels", [1, 3])
def test_transformers_weights_land_in_the_encoder(monkeypatch, tmp_path, channels):
    from transformers import SegformerConfig, SegformerForImageClassification
    from visionsmith.nn_layers.segmentation import from_transformers

    size = from_transformers.SEGFORMER["mit-b0"]
    classifier = SegformerForImageClassification(SegformerConfig(**size.settings))
    classifier.save_pretrained(tmp_path)
    local = from_transformers.Size(size.settings, str(tmp_path))
    monkeypatch.setitem(from_transformers.SEGFORMER, "mit-b0", local)
    monkeypatch.setattr(from_transformers, "check_hub", lambda *_: None)
    settings = nn.SegmentationModel("segformer-transformers", "mit-b0", 5, pretrained=True)
    module = nn.build_network((draw(settings, channels),)).module.segmentationmodel_1.body.model
    differing = [
        key
        for key, value in classifier.segformer.state_dict().items()
        if not torch.equal(value, module.segformer.state_dict()[key])
    ]
    assert len(differing) == (1 if channels == 1 else 0)  # the first convolution, summed over its channels
    assert module.decode_head.classifier.out_channels == 5


def test_smp_weights_land_in_the_encoder(monkeypatch, tmp_path):
    import segmentation_models_pytorch as smp
    from safetensors.torch import save_file
    from visionsmith.nn_layers.segmentation import from_smp

    trained = smp.encoders.get_encoder("resnet18").state_dict()
    save_file(trained, tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text("{}")
    monkeypatch.setattr(smp.encoders, "hf_hub_download", lambda _, filename, **__: str(tmp_path / filename))
    monkeypatch.setattr(from_smp, "check_hub", lambda *_: None)
    state = nn.build_network((draw(nn.SegmentationModel(pretrained=True)),)).module.state_dict()
    assert all(torch.equal(value, state[f"segmentationmodel_1.body.encoder.{key}"]) for key, value in trained.items())


@pytest.mark.parametrize("name", ["unet", "beit", "vit", "ccnet", "fast-scnn"])
def test_torch_export_gives_the_same(name):
    module = network(name, 3).module.eval()
    picture = torch.randn(2, 3, 70, 95)
    exported = torch.export.export(module, (picture,)).module()
    torch.testing.assert_close(exported(picture), module(picture), atol=1e-4, rtol=1e-4)


def test_a_network_with_weights_asks_for_no_download(tmp_path, monkeypatch):
    """A saved network that began with trained weights has its own: loading it fetches nothing."""
    made = network("fast-scnn", 3)
    nn.save_network(made, tmp_path)
    text = (tmp_path / "network.json").read_text()
    (tmp_path / "network.json").write_text(text.replace('"pretrained": false', '"pretrained": true'))
    assert nn.load_network(tmp_path).spec.nodes[1].layer.pretrained is False


def test_the_page_lists_every_architecture():
    page = (Path(__file__).parents[2] / "docs" / "architectures.md").read_text(encoding="utf-8")
    for name, found in nn.ARCHITECTURES.items():
        source = "ours" if found.source == "visionsmith" else found.source
        assert f"| `{name}` | {found.title} | {source} | " in page
        assert found.paper in page
