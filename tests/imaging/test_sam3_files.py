"""SAM 3's files: names, sizes, damaged ones, the table of words, and the download."""

import contextlib
import hashlib
import http.server
import importlib.util
import json
import threading
from pathlib import Path
from typing import ClassVar

import pytest
import torch
from visionsmith.imaging.sam3 import config, keys, load, segment
from visionsmith.imaging.sam3.download import download, reason
from visionsmith.imaging.sam3.model import read
from visionsmith.imaging.sam3.tokens import Tokenizer, tokenizer
from visionsmith.nn_layers import InputError
from visionsmith.provisioning.fetch import fetch
from visionsmith.provisioning.remote import FetchError, Remote

spec = importlib.util.spec_from_file_location("sam3_files", Path(__file__).with_name("sam3_files.py"))
files = importlib.util.module_from_spec(spec)
spec.loader.exec_module(files)


@pytest.fixture(scope="module")
def published():
    """Names and shapes of the published model, without memory."""
    from transformers import Sam3VideoConfig, Sam3VideoModel

    with torch.device("meta"):
        return Sam3VideoModel(Sam3VideoConfig()).state_dict()


def test_every_published_name_has_its_place(published):
    state, unknown = keys.from_meta(files.meta(published))
    assert unknown == []
    assert {name: tensor.shape for name, tensor in state.items()} == {
        name: tensor.shape for name, tensor in published.items()
    }


def test_names_as_published():
    """Spelled out by hand, a name of each kind."""
    pairs = {
        "detector.backbone.vision_backbone.trunk.blocks.31.mlp.fc2.bias": "detector_model.vision_encoder.backbone.layers.31.mlp.fc2.bias",
        "detector.backbone.vision_backbone.sam2_convs.1.dconv_2x2.weight": "tracker_neck.fpn_layers.1.scale_layers.0.weight",
        "detector.transformer.decoder.layers.5.ca_text.out_proj.bias": "detector_model.detr_decoder.layers.5.text_cross_attn.o_proj.bias",
        "detector.transformer.decoder.bbox_embed.layers.2.weight": "detector_model.detr_decoder.box_head.layer3.weight",
        "detector.segmentation_head.instance_seg_head.weight": "detector_model.mask_decoder.instance_projection.weight",
        "tracker.transformer.encoder.layers.3.cross_attn_image.k_proj.weight": "tracker_model.memory_attention.layers.3.cross_attn_image.k_proj.weight",
        "tracker.sam_mask_decoder.transformer.layers.1.mlp.lin2.weight": "tracker_model.mask_decoder.transformer.layers.1.mlp.proj_out.weight",
        "tracker.maskmem_backbone.mask_downsampler.encoder.10.bias": "tracker_model.memory_encoder.mask_downsampler.layers.3.layer_norm.bias",
    }  # fmt: skip
    state, unknown = keys.from_meta({name: torch.zeros(1) for name in pairs})
    assert list(state) == list(pairs.values())
    assert unknown == []
    state, _ = keys.from_meta(
        {"detector.backbone.vision_backbone.trunk.blocks.0.attn.qkv.weight": torch.arange(6.0).view(6, 1)}
    )
    start = "detector_model.vision_encoder.backbone.layers.0.attention"
    assert state[f"{start}.k_proj.weight"].flatten().tolist() == [2, 3]


def test_sizes_of_the_published_model(published):
    from transformers import Sam3Config, Sam3TrackerVideoConfig

    chosen = config.detector_config(keys.part(published, "detector_model."))
    assert Sam3Config(**chosen).to_dict() == Sam3Config().to_dict()
    tracking = keys.part(published, "tracker_model.")
    tracker = config.tracker_config(tracking, chosen["vision_config"], 8)
    filmed = Sam3TrackerVideoConfig(**config.video_config(tracking, tracker))
    assert filmed.to_dict() == Sam3TrackerVideoConfig().to_dict()


def test_a_detector_alone_finds_but_does_not_cut_out(tmp_path):
    from safetensors.torch import save_file

    state = keys.part(files.hugging_face(), "detector_model.")
    save_file(state, tmp_path / "detector.safetensors")
    files.write_vocabulary(tmp_path)
    sam = load(tmp_path / "detector.safetensors")
    assert len(segment(sam, torch.rand(1, 20, 20, 3), texts=["cat"], threshold=0.0)[0]) == 12
    from visionsmith.imaging.sam3 import Point, track

    with pytest.raises(InputError, match=r"cannot cut out .* load Meta's sam3.pt"):
        segment(sam, torch.rand(1, 20, 20, 3), points=[Point(1, 1)])
    with pytest.raises(InputError, match="cannot follow objects"):
        track(sam, torch.rand(2, 20, 20, 3), texts=["cat"])


def test_sam_3_1_cuts_out_and_finds(tmp_path):
    """SAM 3.1's names: three levels, a neck and a decoder for clicks, and others for many objects that are left."""
    state = {name: tensor for name, tensor in files.meta(files.hugging_face()).items() if "convs.3." not in name}
    new = {}
    for name, tensor in state.items():
        if ".sam2_convs." in name:
            new[name.replace("sam2_convs", "interactive_convs")] = tensor
            new[name.replace("sam2_convs", "propagation_convs")] = tensor
        elif name.startswith("tracker.sam_"):
            new[name.replace("tracker.sam_", "tracker.model.interactive_sam_")] = tensor
        elif name == "tracker.no_mem_embed":
            new["tracker.model.interactivity_no_mem_embed"] = tensor
        elif name.startswith("tracker."):
            new["tracker.model.something" + name[7:]] = tensor
        elif not name.endswith("encoder.text_projection"):
            new[name] = tensor
    torch.save(new, tmp_path / "sam3.1.pt")
    files.write_vocabulary(tmp_path)
    sam, whole = load(tmp_path / "sam3.1.pt"), load(files.write(tmp_path / "whole"))
    from visionsmith.imaging.sam3 import Point

    images = torch.rand(1, 30, 40, 3)
    found = [segment(one, images, texts=["dog"], threshold=0.0, points=[Point(9, 9)])[0] for one in (sam, whole)]
    assert torch.equal(found[0].masks, found[1].masks)
    assert sam.video is None


def changed(tmp_path, change):
    from safetensors.torch import save_file

    state = dict(files.hugging_face())
    change(state)
    save_file(state, tmp_path / "model.safetensors")
    return tmp_path / "model.safetensors"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda state: state.pop("detector_model.text_projection.bias"), r"lacks 1 weights \(such as text_projection.bias\)"),
        (lambda state: state.update({"detector_model.more": torch.zeros(1)}), r"has unknown 1 weights \(such as more\)"),
        (lambda state: state.update({"detector_model.text_projection.bias": torch.zeros(3)}), "has misshapen 1 weights"),
        (lambda state: state.pop("detector_model.detr_decoder.query_embed.weight"), "lacks detr_decoder.query_embed.weight"),
        (lambda state: state.pop("tracker_model.mask_decoder.mask_tokens.weight"), "lacks mask_decoder.mask_tokens.weight"),
        (lambda state: state.pop("tracker_model.no_object_pointer"), r"lacks 1 weights \(such as no_object_pointer\)"),
    ],
)  # fmt: skip
def test_files_that_are_not_whole(tmp_path, change, words):
    with pytest.raises(InputError, match=words):
        load(changed(tmp_path, change))


def test_files_of_something_else(tmp_path):
    from safetensors.torch import save_file

    with pytest.raises(InputError, match="is not there"):
        read(tmp_path / "none.pt")
    save_file({"first_stage.weight": torch.zeros(1)}, tmp_path / "other.safetensors")
    with pytest.raises(InputError, match=r"is no SAM 3 model \(its first weight is called first_stage.weight"):
        load(tmp_path / "other.safetensors")
    torch.save([1, 2], tmp_path / "list.pt")
    with pytest.raises(InputError, match="holds no weights"):
        load(tmp_path / "list.pt")
    torch.save({"model": {}}, tmp_path / "empty.pt")
    with pytest.raises(InputError, match="called nothing"):
        load(tmp_path / "empty.pt")
    torch.save(Path("x"), tmp_path / "code.pt")
    with pytest.raises(InputError, match="more than weights"):
        load(tmp_path / "code.pt")


@pytest.mark.parametrize("name", ["sam3.pt", "sam3.safetensors"])
@pytest.mark.parametrize("length", [0, 5, 1000, -1000])
def test_files_that_are_cut_off(tmp_path, name, length):
    from safetensors.torch import save_file

    weights = {"detector.backbone.weight": torch.zeros(5000)}
    torch.save(weights, tmp_path / "sam3.pt")
    save_file(weights, tmp_path / "sam3.safetensors")
    data = (tmp_path / name).read_bytes()[:length]
    (tmp_path / name).write_bytes(data)
    with pytest.raises(InputError, match=r"damaged or cut off|more than weights"):
        load(tmp_path / name)


def test_words_become_tokens(tmp_path):
    files.write_vocabulary(tmp_path)
    words = tokenizer([tmp_path / "elsewhere", tmp_path])
    names = json.loads((tmp_path / "vocab.json").read_text())
    assert words("  Red\n dent") == [words.start, names["red</w>"], names["dent</w>"], words.end]
    assert words("") == [words.start, words.end]
    assert len(words("cat " * 100)) == 32
    assert words("cat " * 100)[-1] == words.end


def test_the_packed_table_gives_the_same_numbers(tmp_path, monkeypatch):
    """open_clip's list holds the merges alone; here with 300 of them, and the published table where ComfyUI has it."""
    from visionsmith.imaging import clip_table

    monkeypatch.setattr(clip_table, "MERGES", 3)
    vocabulary, merges = clip_table._packed("version\na b</w>\nc d\ncd e</w>\nnot read\n")
    assert merges == [("a", "b</w>"), ("c", "d"), ("cd", "e</w>")]
    assert len(vocabulary) == 512 + 3 + 2
    assert vocabulary["!"] == 0
    assert vocabulary["ÿ"] == 187
    assert vocabulary["Ā"] == 188  # byte 0
    assert vocabulary["!</w>"] == 256
    assert vocabulary["cde</w>"] == 514
    assert Tokenizer(vocabulary, merges)("ab CDE") == [515, 512, 514, 516]


CLIP = Path.home() / "comfy/ComfyUI/comfy/sd1_tokenizer"


@pytest.mark.skipif(not (CLIP / "vocab.json").is_file(), reason="ComfyUI's copy of CLIP's table is not here")
def test_published_tokens():
    """Against transformers' own tokenizer, and the packed list rebuilt from the table against the table."""
    from transformers import CLIPTokenizer
    from visionsmith.imaging import clip_table

    ours, reference = tokenizer([CLIP]), CLIPTokenizer.from_pretrained(CLIP)
    for text in ("a photo of a cat", "Rust & scratches, 3mm!", "it's  naïve\tcafé 北京", "x" * 200):
        assert ours(text) == reference(text, truncation=True, max_length=32).input_ids
    vocabulary, _ = clip_table._packed((CLIP / "merges.txt").read_text("utf-8"))
    assert vocabulary == json.loads((CLIP / "vocab.json").read_text("utf-8"))


def test_no_table_of_words(tmp_path, monkeypatch):
    from visionsmith.imaging import clip_table

    monkeypatch.setattr(clip_table, "PACKAGES", ("no_such_package",))
    monkeypatch.setattr(clip_table, "_in_cache", lambda: None)
    with pytest.raises(InputError, match=r"install open_clip_torch, or put CLIP's vocab.json"):
        tokenizer([tmp_path])
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(InputError, match="no table of CLIP's tokens"):
        tokenizer([tmp_path])


class Hub(http.server.BaseHTTPRequestHandler):
    """As much of Hugging Face as a download needs; `answer` is what it does with the weights."""

    answer = "give"
    content: ClassVar = {"sam3.pt": bytes(range(256)) * 8192, "vocab.json": b"{}", "merges.txt": b"#version\n"}
    asked: ClassVar = []

    def do_HEAD(self):
        self._answer(head=True)

    def do_GET(self):
        self._answer(head=False)

    def _answer(self, head):
        name = self.path.rsplit("/", 1)[1]
        self.asked.append((name, head, self.headers.get("Authorization"), self.headers.get("Range")))
        if self.answer in ("401", "403", "404"):
            codes = {"401": "RepoNotFound", "403": "GatedRepo", "404": "EntryNotFound"}
            self.send_response(int(self.answer))
            self.send_header("X-Error-Code", codes[self.answer])
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        data = self.content[name]
        start = int((self.headers.get("Range") or "bytes=0-")[6:].split("-")[0])
        self.send_response(206 if start else 200)
        self.send_header("ETag", f'"{hashlib.sha256(b"" if self.answer == "damage" else data).hexdigest()}"')
        self.send_header("X-Repo-Commit", "c" * 40)
        self.send_header("Content-Length", str(len(data) - start))
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
        self.end_headers()
        if not head:
            with contextlib.suppress(ConnectionError):
                self.wfile.write(data[start:])

    def log_message(self, *_):
        pass


@pytest.fixture
def hub(monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_test")
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    Hub.asked, Hub.answer = [], "give"
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


def test_download(hub, tmp_path):
    told = []
    path = download(tmp_path / "sam3", endpoint=hub, on_bytes=lambda *one: told.append(one))
    assert path == tmp_path / "sam3" / "sam3.pt"
    assert path.read_bytes() == Hub.content["sam3.pt"]
    assert (tmp_path / "sam3" / "vocab.json").is_file()
    assert {token for _, _, token, _ in Hub.asked} == {"Bearer hf_test"}
    assert told[-1] == (len(Hub.content["sam3.pt"]),) * 2


@pytest.mark.parametrize(
    ("answer", "words"),
    [("401", "does not know the token"), ("403", "accept the licence"), ("404", "has no file called")],
)
def test_download_refused(hub, tmp_path, answer, words):
    Hub.answer = answer
    with pytest.raises(InputError, match=words) as caught:
        download(tmp_path, endpoint=hub)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "sam3.pt").exists()


def test_a_broken_download_goes_on_where_it_stopped(hub, tmp_path):
    def stop(done, total):
        if done > total // 4:
            raise ConnectionError("the cable was pulled")

    with pytest.raises(InputError, match=r"interrupted .* goes on where it stopped"):
        download(tmp_path, endpoint=hub, on_bytes=stop)
    assert not (tmp_path / "sam3.pt").exists()
    Hub.asked.clear()
    assert download(tmp_path, endpoint=hub).read_bytes() == Hub.content["sam3.pt"]
    assert any(one[0] == "sam3.pt" and one[3] and one[3] != "bytes=0-" for one in Hub.asked)


def test_a_damaged_download_is_not_kept(hub, tmp_path):
    Hub.answer = "damage"
    with pytest.raises(InputError, match="wrong checksum"):
        download(tmp_path, endpoint=hub)
    assert list(tmp_path.iterdir()) == []


def test_a_disk_too_small(hub, tmp_path, monkeypatch):
    import shutil
    from types import SimpleNamespace

    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=100_000))
    with pytest.raises(InputError, match=r"is full \(0.0 GB left of the 3.4"):
        download(tmp_path, endpoint=hub)
    assert not (tmp_path / "sam3.pt").exists()


def test_a_server_that_is_not_there(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_test")
    monkeypatch.setattr("visionsmith.provisioning.fetch.time.sleep", lambda _: None)
    with pytest.raises(InputError, match="check the network"):
        download(tmp_path, endpoint="http://127.0.0.1:9")


def test_no_token(tmp_path, monkeypatch):
    import huggingface_hub

    monkeypatch.delenv("HF_TOKEN", raising=False)
    monkeypatch.setattr(huggingface_hub, "get_token", lambda: None)
    with pytest.raises(InputError, match=r"accepted its licence.*set HF_TOKEN"):
        download(tmp_path)


def test_full_and_closed_disks(tmp_path):
    assert "is full" in reason(FetchError("x", "full"), "sam3.pt", tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(FetchError, match=r"could not be written to .*file/sam3"):
        fetch(Remote("http://127.0.0.1:9/sam3.pt"), tmp_path / "file" / "sam3" / "sam3.pt")
