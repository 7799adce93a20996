"""The manifest: the one that is shipped, and every mistake that somebody else's can have."""

import re

import pytest
from visionsmith.headless.portable import named_models, read_any
from visionsmith.imaging.background import PUBLISHED
from visionsmith.imaging.erase.lama import BIG_LAMA
from visionsmith.imaging.sam3.download import REPOSITORY, WEIGHTS
from visionsmith.provisioning.errors import ManifestError
from visionsmith.provisioning.manifest import DEFAULT, PACKAGE, parse, read

GOOD = """
version = 1
apt = ["git"]
pip = ["tomli>=2; python_version < '3.11'"]
[[nodes]]
name = "pack"
url = "https://example.org/pack"
commit = "0123456789012345678901234567890123456789"
[[files]]
name = "model"
group = "checkpoints"
to = "models/checkpoints/model.safetensors"
url = "https://example.org/model.safetensors"
"""


def test_the_shipped_manifest_knows_what_the_nodes_fetch():
    files = {file.url: file for file in read(DEFAULT).files if file.url}
    for published in (BIG_LAMA, PUBLISHED["u2netp"], PUBLISHED["isnet-general-use"]):
        file = files[published.url]
        assert (file.size, file.sha256, file.licence) == (published.size, published.sha256, published.licence)
        assert file.to.rsplit("/", 1)[1] == published.name
    sam3 = files[f"https://huggingface.co/{REPOSITORY}/resolve/main/{WEIGHTS}"]
    assert sam3.gated and sam3.page == f"https://huggingface.co/{REPOSITORY}"


def test_the_shipped_manifest_is_whole():
    manifest = read(DEFAULT)
    assert {"checkpoints", "loras", "sam3", "lama", "vae", "controlnet", "pictures", "workflows"} <= set(
        manifest.groups
    )
    assert {file.source for file in manifest.files if file.group == "workflows"} == {
        path.relative_to(PACKAGE).as_posix() for path in PACKAGE.glob("workflows/*.json")
    }
    for file in manifest.files:
        assert file.licence, file.name
        assert file.source or (file.page and file.url.startswith("https://")), file.name


def test_shipped_workflows_name_models_that_the_manifest_brings():
    brought = {file.to.rsplit("/", 1)[1] for file in read(DEFAULT).chosen()}
    for path in PACKAGE.glob("workflows/*.json"):
        names = {name.rsplit("/", 1)[-1] for name in named_models(read_any(path))}
        assert {name for name in names if not name.startswith("my-")} <= brought, path.name  # my-…: the reader's own


def test_optional_files_come_only_when_asked_for():
    manifest = read(DEFAULT)
    assert "vae-ft-mse" not in {file.name for file in manifest.chosen()}
    assert [file.name for file in manifest.chosen(groups=("vae",))] == ["vae-ft-mse"]
    assert [file.name for file in manifest.chosen(names=("sam3",))] == ["sam3"]
    for wrong in ({"names": ("nothing",)}, {"groups": ("nothing",)}):
        with pytest.raises(ManifestError, match=r"called nothing; "):
            manifest.chosen(**wrong)


def test_a_good_one():
    manifest = parse(GOOD, "it")
    assert manifest.files[0].name == "model" and manifest.nodes[0].name == "pack"


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("version = 1", "version = 2", "has version 2, but this Visionsmith reads 1"),
        ("version = 1", "version 1", "is no TOML"),
        ("apt =", "apps =", "unknown entry apps"),
        ('["git"]', '["-o=Dpkg::Pre-Invoke::=id"]', "no package's name"),
        ('["git"]', '["git", 1]', "must be a list of names"),
        ('"tomli>=2', '"--index-url=http://evil tomli>=2', "no package's name"),
        ('"tomli>=2', '"x @ https://evil/x.whl;', "no package's name"),
        ("[[files]]", "[files]", r"must be tables, written \[\[files\]\]"),
        ("group =", "groups =", "unknown entry groups"),
        ('group = "checkpoints"', "", "has no group"),
        ('name = "model"', "name = 7", "name is 7, but must be of type str"),
        ("url = \"https://example.org/m", 'gated = "yes"\nurl = "https://example.org/m', "gated is 'yes'"),
        ("https://example.org/model", "file:///etc/passwd#", "no address of the web"),
        ("url = \"https://example.org/m", 'sha256 = "abc"\nurl = "https://example.org/m', "64 hexadecimal digits"),
        ("url = \"https://example.org/m", 'size = -1\nurl = "https://example.org/m', "size is -1"),
        ("url = \"https://example.org/m", 'from = "README.md"\nurl = "https://example.org/m', "either url or from"),
        ("url = \"https://example.org/m", 'source = "README.md"\nurl = "https://example.org/m', "unknown entry source"),
        ("url = \"https://example.org/model.safetensors", 'from = "../secret', "no path inside this package"),
        ("models/checkpoints/model.safetensors", "/etc/cron.d/x", "no place below models/"),
        ("models/checkpoints/model.safetensors", "models/../custom_nodes/x.py", "no place below"),
        ("models/checkpoints/model.safetensors", "models/checkpoints/../../../x", "no place below"),
        ("models/checkpoints/model.safetensors", "custom_nodes/x/__init__.py", "no place below"),
        ("models/checkpoints/model.safetensors", "user/default/x", "no place below"),
        ("models/checkpoints/model.safetensors", "models", "no place below"),
        ("models/checkpoints/model.safetensors", "models/", "no place below"),
        ("models/checkpoints/model.safetensors", "models//x", "no place below"),
        ("models/checkpoints/model.safetensors", "models/x\\\\..\\\\y", "no place below"),
        ("models/checkpoints/model.safetensors", "models/nul.txt", "no place below"),
        ("models/checkpoints/model.safetensors", "models/C:/x", "no place below"),
        ('name = "pack"', 'name = "../pack"', "no name for a folder"),
        ("https://example.org/pack", "ext::sh -c id", "no https address"),
        ("https://example.org/pack", "--upload-pack=id", "no https address"),
        ("0123456789012345678901234567890123456789", "main", "commit must be 40 hexadecimal digits"),
    ],
)  # fmt: skip
def test_mistakes_are_told(old, new, words):
    assert old in GOOD
    with pytest.raises(ManifestError, match=words) as caught:
        parse(GOOD.replace(old, new), "it")
    assert str(caught.value).startswith("it")
    assert "\n" not in str(caught.value)


def test_two_files_of_one_place():
    twice = GOOD + GOOD[GOOD.index("[[files]]") :].replace('"model"', '"Other"').replace("/model.s", "/MODEL.s")
    with pytest.raises(ManifestError, match="two files with the same to"):
        parse(twice, "it")


def test_a_manifest_that_is_not_there(tmp_path):
    with pytest.raises(ManifestError, match=r"cannot be read .*give the path or address"):
        read(tmp_path / "none.toml")


def test_every_checksum_looks_like_one():
    assert all(not file.sha256 or re.fullmatch("[0-9a-f]{64}", file.sha256) for file in read(DEFAULT).files)
