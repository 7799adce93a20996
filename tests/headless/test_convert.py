"""The command that converts an old workflow's file; what it makes of one is tested with the nodes."""

import copy
import json

import pytest
from visionsmith.headless import cli


def node(type, **inputs):
    return {"class_type": type, "inputs": inputs}


BAD = {
    "missing": (None, "does not exist"),
    "no JSON": ("{", "is no JSON"),
    "a list": ("[1, 2]", "is no workflow"),
    "strange nodes": ('{"nodes": [{"type": "Conv_layer"}], "links": []}', "is no workflow"),
    "strange links": ('{"nodes": [], "links": [3]}', "is no workflow"),
    "nothing old": ('{"1": {"class_type": "SaveImage", "inputs": {}}}', "has no node of"),
    "a circle": (
        json.dumps({"1": node("Conv_layer", layer=["2", 0]), "2": node("Conv_layer", layer=["1", 0])}),
        "circle",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_files_are_told_in_one_sentence(case, tmp_path, capsys):
    text, words = BAD[case]
    if text is not None:
        (tmp_path / "old.json").write_text(text)
    assert cli.main(["convert", str(tmp_path / "old.json"), str(tmp_path / "new.json")]) == 2
    error = capsys.readouterr().err
    assert words in error and error.count("\n") == 1 and not (tmp_path / "new.json").exists()


def test_command_writes_and_tells(tmp_path, capsys):
    old, new = tmp_path / "old.json", tmp_path / "deep" / "new.json"
    data = {
        "1": node("Conv_layer", in_channels=3, out_channels=4),
        "2": node("create_model", layer=["1", 0], save_path="D:/a/k.pkl"),
        "3": node("PreviewImage", images=["4", 0]),
        "4": node("LoadImage", image="a.png"),
    }
    before = copy.deepcopy(data)
    old.write_text(json.dumps(data))
    assert cli.main(["convert", str(old), str(new)]) == 0
    told = capsys.readouterr().out
    assert "create_model (2)" in told and "another pack" not in told
    assert "VisionsmithConv" in new.read_text() and json.loads(old.read_text()) == before
    assert cli.main(["convert", str(new), str(old)]) == 2
    assert "no node of" in capsys.readouterr().err
    assert cli.main(["convert", str(old), str(old)]) == 2
