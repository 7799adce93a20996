"""A packed workflow comes out as it went in; files that were made to do harm are refused, and nothing of them is placed."""

import hashlib
import io
import json
import shutil
import stat
import struct
import warnings
import zipfile
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from visionsmith.headless import cli, unpack
from visionsmith.headless.portable import machine_specific, named_models, named_networks, read_any

REPOSITORY = Path(__file__).resolve().parents[2]
WORKFLOWS = [*REPOSITORY.glob("workflows/*.json"), *REPOSITORY.glob("workflows/api/*.json")]
MODEL = "512-inpainting-ema.safetensors"


def api():
    """A workflow in API format that loads two models and a network."""
    return {
        "1": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": MODEL}},
        "2": {"class_type": "LoraLoader", "inputs": {"lora_name": "mine\\scratches.safetensors", "model": ["1", 0]}},
        "3": {
            "class_type": "VisionsmithLoadNetwork",
            "inputs": {"folder": "networks/parts", "weights": "best.safetensors"},
        },
    }


def canvas():
    """The same as the canvas saves it, the network inside a subgraph."""
    nodes = [
        {
            "id": 1,
            "type": "CheckpointLoaderSimple",
            "widgets_values": [MODEL],
            "properties": {"cnr_id": "comfy-core", "ver": "0.33.0"},
        },
        {"id": 2, "type": "LoraLoader", "widgets_values": ["mine\\scratches.safetensors", 1, 1]},
    ]
    inside = [{"id": 3, "type": "VisionsmithLoadNetwork", "widgets_values": ["networks/parts", "best.safetensors"]}]
    return {"nodes": nodes, "links": [], "definitions": {"subgraphs": [{"nodes": inside}]}, "version": 0.4}


@pytest.fixture
def comfyui(tmp_path):
    """The machine of somebody who shares."""
    folder = tmp_path / "ComfyUI"
    network = folder / "output" / "networks" / "parts"
    network.mkdir(parents=True)
    (network / "network.json").write_text(json.dumps({"format": "visionsmith.network", "version": 1, "nodes": []}))
    save_file({"weight": torch.rand(300, 300)}, network / "best.safetensors")
    (folder / "models" / "loras" / "mine").mkdir(parents=True)
    (folder / "models" / "loras" / "mine" / "scratches.safetensors").write_bytes(b"lora")
    (folder / "comfyui_version.py").write_text('__version__ = "0.33.0"\n')
    return folder


@pytest.fixture
def other(tmp_path):
    """The machine of somebody who receives."""
    folder = tmp_path / "other"
    folder.mkdir()
    return folder


def pack(tmp_path, comfyui, workflow, *words):
    file = tmp_path / "My workflow (1).json"
    file.write_text(json.dumps(workflow))
    code = cli.main(["pack", str(file), "--comfyui", str(comfyui), *words])
    return code, file.with_suffix(".zip")


@pytest.mark.parametrize("make", [api, canvas])
def test_there_and_back(tmp_path, comfyui, other, capsys, make):
    code, file = pack(tmp_path, comfyui, make())
    said = capsys.readouterr()
    assert code == 0 and not said.err
    assert "mine/scratches.safetensors is in no manifest" in said.out
    with zipfile.ZipFile(file) as archive:
        about = json.loads(archive.read("pack.json"))
        assert set(archive.namelist()) == {
            "pack.json", "workflow.json", "manifest.toml", "output/networks/parts/network.json", "output/networks/parts/best.safetensors",
        }  # fmt: skip
    assert about["versions"]["comfyui"] == "0.33.0" and about["versions"]["packages"]["torch"]
    assert about["without_address"][0]["size"] == 4 and len(about["without_address"][0]["sha256"]) == 64
    assert str(tmp_path) not in json.dumps(about)

    assert cli.main(["unpack", str(file), "--comfyui", str(other)]) == 0
    said = capsys.readouterr().out
    assert said.splitlines()[:2] == [
        f"in {other.resolve()}:",
        "note: that is no folder of ComfyUI; name yours with --comfyui, if there is one",
    ]
    assert f"missing: models/checkpoints/{MODEL} (CreativeML Open RAIL++-M), fetched with --get" in said
    assert json.loads((other / "user/default/workflows/My-workflow-1.json").read_text()) == make()
    for name in ("network.json", "best.safetensors"):
        place = Path("output/networks/parts") / name
        assert (other / place).read_bytes() == (comfyui / place).read_bytes()
    manifest = other / "user/default/workflows/My-workflow-1.models.toml"
    assert (
        cli.main(
            ["models", "get", "sd21-inpainting", "--dry-run", "--comfyui", str(other), "--manifest", str(manifest)]
        )
        == 0
    )
    assert sorted(path.name for path in other.iterdir()) == ["output", "user"]
    assert cli.main(["unpack", str(file), "--comfyui", str(other)]) == 0
    assert capsys.readouterr().out.count("in place: ") == 4


def test_the_same_workflow_gives_the_same_bytes(tmp_path, comfyui):
    first = pack(tmp_path, comfyui, api())[1].read_bytes()
    assert pack(tmp_path, comfyui, api())[1].read_bytes() == first


def test_a_network_of_visionsmith_runs_on_the_other_machine(tmp_path, other):
    from visionsmith import nn_layers as nn

    drawn = nn.apply(nn.Linear(2), nn.input_tensor(nn.Input("features", (3,))))
    network = nn.build_network((drawn,), "small", seed=7)
    nn.save_network(network, tmp_path / "here" / "output" / "networks" / "parts")
    workflow = {"3": {"class_type": "VisionsmithLoadNetwork", "inputs": {"folder": "networks/parts"}}}
    assert cli.main(["unpack", str(pack(tmp_path, tmp_path / "here", workflow)[1]), "--comfyui", str(other)]) == 0
    loaded = nn.load_network(other / "output" / "networks" / "parts")
    given = torch.rand(2, 3)
    assert torch.equal(loaded.module.eval()(given), network.module.eval()(given))


def test_networks_that_are_not_there(tmp_path, comfyui, capsys):
    shutil.rmtree(comfyui / "output")
    assert pack(tmp_path, comfyui, api())[0] == 2
    assert (
        "the network networks/parts with best.safetensors is not below output, models, input" in capsys.readouterr().err
    )
    assert pack(tmp_path, comfyui, api(), "--without-networks")[0] == 0


def test_networks_of_one_machine_only(tmp_path, comfyui, capsys):
    workflow = api()
    workflow["3"]["inputs"]["folder"] = "../../home/me/secret"
    assert pack(tmp_path, comfyui, workflow)[0] == 2
    assert "which no other machine has" in capsys.readouterr().err


def test_files_that_are_there_are_left_alone(tmp_path, comfyui, other, capsys):
    file = pack(tmp_path, comfyui, api())[1]
    mine = other / "output/networks/parts/network.json"
    mine.parent.mkdir(parents=True)
    mine.write_text("mine")
    assert cli.main(["unpack", str(file), "--comfyui", str(other)]) == 2
    assert "is there and is another file; nothing was placed, move it away or use --replace" in capsys.readouterr().err
    assert mine.read_text() == "mine" and not (other / "user").exists()
    assert cli.main(["unpack", str(file), "--comfyui", str(other), "--replace"]) == 0
    assert mine.read_text() != "mine"


def test_links_on_the_disk_lead_nowhere(tmp_path, comfyui, other, capsys):
    (other / "output").mkdir()
    (other / "output" / "networks").symlink_to(tmp_path)
    assert cli.main(["unpack", str(pack(tmp_path, comfyui, api())[1]), "--comfyui", str(other)]) == 2
    assert "leads outside of" in capsys.readouterr().err
    assert not (tmp_path / "parts").exists()


# Files that were made to do harm


def rewritten(file, change):
    """The pack with its entries [(ZipInfo or name, bytes)] changed, and pack.json made to fit."""
    with zipfile.ZipFile(file) as archive:
        entries = [(name, archive.read(name)) for name in archive.namelist()]
    entries = change(entries) or entries
    about = json.loads({name if isinstance(name, str) else name.filename: data for name, data in entries}["pack.json"])
    about["files"] = {
        (name if isinstance(name, str) else name.filename): {
            "size": len(data),
            "sha256": hashlib.sha256(data).hexdigest(),
        }
        for name, data in entries
        if name != "pack.json"
    }
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name, data in entries:
            archive.writestr(name, json.dumps(about) if name == "pack.json" else data)
    file.write_bytes(buffer.getvalue())
    return file


def special(name, kind):
    info = zipfile.ZipInfo(name)
    info.create_system, info.external_attr = 3, (kind | 0o777) << 16
    return info


GOOD_WEIGHTS = struct.pack("<Q", 2) + b"{}"


@pytest.mark.parametrize(
    ("entry", "data", "words"),
    [
        ("../evil.json", b"{}", "leads out of its folder"),
        ("output/../../evil/network.json", b"{}", "leads out of its folder"),
        ("/etc/evil/network.json", b"{}", "leads out of its folder"),
        ("C:/evil/network.json", b"{}", "leads out of its folder"),
        ("output\\..\\..\\evil\\network.json", b"{}", "leads out of its folder"),
        ("output/nul/network.json", b"{}", "leads out of its folder"),
        ("output/./x/network.json", b"{}", "leads out of its folder"),
        ("custom_nodes/evil/__init__.py", b"", "visionsmith pack does not write"),
        ("output/x/evil.py", b"", "visionsmith pack does not write"),
        ("models/x/evil.ckpt", b"", "visionsmith pack does not write"),
        ("user/default/comfy.settings.json", b"{}", "visionsmith pack does not write"),
        (special("output/x/network.json", stat.S_IFLNK), b"/etc/passwd", "is a link"),
        (special("output/x/network.json", stat.S_IFIFO), b"", "is a special file"),
        ("workflow.json", b"{}", "twice"),
        ("Workflow.JSON", b"{}", "visionsmith pack does not write"),
        ("output/networks/PARTS/network.json", b"{}", "twice"),
        ("output/x/network.json", bytes(3 * 2**20), "times larger; nothing was placed, it was made to fill a disk"),
        ("output/x/network.json", b"[]", "is no network of Visionsmith"),
        ("output/x/w.safetensors", b"not weights", "is no safetensors file"),
        ("output/x/w.safetensors", struct.pack("<Q", 2**60) + b"{", "is no safetensors file"),
    ],
)
def test_harm_is_refused(tmp_path, comfyui, other, capsys, entry, data, words):
    file = rewritten(pack(tmp_path, comfyui, api())[1], lambda entries: [*entries, (entry, data)])
    refused(file, other, words, capsys, tmp_path)


def refused(file, other, words, capsys, tmp_path):
    before = {path for path in tmp_path.rglob("*") if "evil" in path.name}
    assert cli.main(["unpack", str(file), "--comfyui", str(other), "--replace"]) == 2
    error = capsys.readouterr().err
    assert words in error and error.count("\n") == 1, error
    assert not list(other.iterdir())
    assert {path for path in tmp_path.rglob("*") if "evil" in path.name} == before
    assert not Path("/etc/evil").exists()


def test_a_manifest_that_would_install_is_refused(tmp_path, comfyui, other, capsys):
    for evil, words in (
        ('version = 1\npip = ["evil"]\n', "wants to install software"),
        (
            'version = 1\n[[files]]\nname = "a"\ngroup = "b"\nto = "custom_nodes/x.py"\nurl = "https://x.org/x"\n',
            "is no place below",
        ),
    ):
        file = rewritten(
            pack(tmp_path, comfyui, api())[1],
            lambda entries, evil=evil: [(n, evil.encode() if n == "manifest.toml" else d) for n, d in entries],
        )
        refused(file, other, words, capsys, tmp_path)


def test_what_is_damaged_is_refused(tmp_path, comfyui, other, capsys):
    file = pack(tmp_path, comfyui, api())[1]
    data = file.read_bytes()
    place = data.index(b"visionsmith.network") if b"visionsmith.network" in data else len(data) // 2
    for broken in (data[:-30], data[:100], b"", b"PK\x03\x04 no zip", data[:place] + bytes(64) + data[place + 64 :]):
        file.write_bytes(broken)
        assert cli.main(["unpack", str(file), "--comfyui", str(other)]) == 2
        assert capsys.readouterr().err.count("\n") == 1
        assert not list(other.iterdir())


def test_sums_that_do_not_fit_are_refused(tmp_path, comfyui, other, capsys):
    file = pack(tmp_path, comfyui, api())[1]
    with zipfile.ZipFile(file) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    entries["output/networks/parts/network.json"] = entries["output/networks/parts/network.json"].replace(
        b"version", b"VERSION"
    )
    with zipfile.ZipFile(file, "w") as archive:
        for name, data in entries.items():
            archive.writestr(name, data)
    refused(file, other, "its checksum is not the one in pack.json", capsys, tmp_path)
    with zipfile.ZipFile(file, "w") as archive:
        for name in list(entries)[:3]:
            archive.writestr(name, entries[name])
    refused(file, other, "pack.json does not fit the files", capsys, tmp_path)


def test_bombs(tmp_path, comfyui, other, capsys, monkeypatch):
    file = pack(tmp_path, comfyui, api())[1]
    monkeypatch.setattr(unpack, "MAX_BYTES", 1000)
    refused(file, other, "GB, more than", capsys, tmp_path)
    monkeypatch.setattr(unpack, "MAX_ENTRIES", 2)
    refused(file, other, "files, more than 2", capsys, tmp_path)


def test_entries_inside_each_other(tmp_path, comfyui, other, capsys):
    """The directory at the end names one piece of the file twice, so a small file becomes a large one."""
    file = rewritten(
        pack(tmp_path, comfyui, api())[1],
        lambda entries: [*entries, ("output/x/a.safetensors", GOOD_WEIGHTS), ("output/x/b.safetensors", GOOD_WEIGHTS)],
    )
    data = bytearray(file.read_bytes())
    with zipfile.ZipFile(file) as archive:
        first, second = (archive.getinfo(f"output/x/{name}.safetensors").header_offset for name in "ab")
    place = data.rindex(struct.pack("<I", second) + b"output/x/b.safetensors")
    data[place : place + 4] = struct.pack("<I", first)
    file.write_bytes(data)
    refused(file, other, "inside each other", capsys, tmp_path)


def test_an_encrypted_file(tmp_path, comfyui, other, capsys):
    file = pack(tmp_path, comfyui, api())[1]
    data = bytearray(file.read_bytes())
    place = data.rindex(b"PK\x01\x02")
    data[place + 8] |= 1
    file.write_bytes(data)
    refused(file, other, "is encrypted", capsys, tmp_path)


# What a workflow says of the machine it was made on


@pytest.mark.parametrize("file", WORKFLOWS, ids=lambda file: str(file.relative_to(REPOSITORY)))
def test_shipped_workflows_are_of_no_machine(file):
    assert machine_specific(read_any(file)) == []


@pytest.mark.parametrize(
    "text",
    [
        "/home/ada/pictures", "see /workspace/ComfyUI/input", "~/pictures", "C:\\Users\\ada", "D:/steel/train", "\\\\server\\share", "file:///x",
        "http://127.0.0.1:8188/view", "http://192.168.1.7/", "http://localhost:8188", "hf_" + "a" * 34, "ada@example.org",
    ],
)  # fmt: skip
def test_what_only_this_machine_understands_is_found(text):
    for workflow in ({"1": {"class_type": "X", "inputs": {"a": [{"b": text}]}}}, {"nodes": [], "extra": {"x": text}}):
        [found] = machine_specific(workflow)
        assert "hf_aaaa" not in found


@pytest.mark.parametrize(
    "text",
    [
        "defects/images",
        "input/defects",
        "https://huggingface.co/facebook/sam3",
        "1/2 and/or 3:4",
        "a: b",
        "models/sam3/sam3.pt",
        "C:\nnext",
    ],
)
def test_what_everybody_understands_is_not(text):
    assert machine_specific({"nodes": [], "extra": {"x": text}}) == []


def test_a_warning_while_packing(tmp_path, comfyui, capsys):
    workflow = api() | {"9": {"class_type": "LoadImage", "inputs": {"image": "/home/ada/x.png"}}}
    assert pack(tmp_path, comfyui, workflow)[0] == 0
    assert "warning: the workflow has a path of this machine: /home/ada/x.png" in capsys.readouterr().err


def test_what_is_named():
    assert named_models(api()) == named_models(canvas()) == [MODEL, "mine/scratches.safetensors"]
    assert named_networks(api()) == named_networks(canvas()) == [("networks/parts", "best.safetensors")]


@pytest.mark.parametrize("text", ["", "[1]", "{}", '{"1": 2}', "{", '{"1": {"inputs": {}}}'])
def test_files_that_are_no_workflow(tmp_path, capsys, text):
    (tmp_path / "w.json").write_text(text)
    assert cli.main(["pack", str(tmp_path / "w.json"), "--comfyui", str(tmp_path)]) == 2
    assert capsys.readouterr().err.startswith("error: ")
    assert cli.main(["pack", str(tmp_path / "none.json"), "--comfyui", str(tmp_path)]) == 2
    assert cli.main(["unpack", str(tmp_path / "none.zip"), "--comfyui", str(tmp_path)]) == 2
