"""The routes of the label editor are no open door."""

import base64
import zlib

import numpy as np
import pytest

from . import comfy
from .label_editor import CLASSES, FOLDER, HEIGHT, WIDTH, blank, furnish, plate


@pytest.fixture
def folder(server):
    return furnish(server.base / "input" / FOLDER)


PLACE = {"folder": FOLDER, "classes": CLASSES, "picture": "images/plate-1.png"}


def packed(values):
    return base64.b64encode(zlib.compress(np.asarray(values, np.uint8).tobytes())).decode()


def body(**more):
    return PLACE | {"width": WIDTH, "height": HEIGHT, "labels": packed(blank()), "version": ""} | more


REFUSED = {
    "another type": (b"folder=plates", {"Content-Type": "application/x-www-form-urlencoded"}, 415, "send application/json"),
    "a picture": (b"\x89PNG\r\n", {"Content-Type": "image/png"}, 415, "send application/json"),
    "another origin": (body(), {"Origin": "http://elsewhere.example"}, 403, None),
    "10 MB": (b'{"labels": "' + b"A" * 10_000_000 + b'"}', {}, 413, "larger than 8,000,000 bytes"),
    "no JSON": (b"{", {}, 400, "is no JSON"),
    "too deep": (b"[" * 100_000, {}, 400, "is no JSON"),
    "outside": (body(folder="../../etc"), {}, 400, "lies outside"),
    "an absolute path": (body(folder="/etc"), {}, 400, "lies outside"),
    "nul": (body(folder="plates\0"), {}, 400, "is no text"),
    "masks outside": (body(masks="../../output"), {}, 400, "no name of a folder"),
    "over the pictures": (body(masks="images"), {}, 400, "a folder of pictures"),
    "no such picture": (body(picture="images/../../plates/images/plate-1.png"), {}, 400, "has no picture"),
    "another size": (body(width=HEIGHT, height=WIDTH), {}, 400, "but its picture plate-1.png is 320 × 240"),
    "a bomb": (body(labels=packed(np.zeros(10**9 // 4))), {}, 400, "are not the 76,800 class numbers"),
    "a class too many": (body(labels=packed(blank() + 3)), {}, 400, "has class number 3"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_the_route_refuses(server, folder, case):
    data, headers, expected, words = REFUSED[case]
    status, answer, seconds = comfy.ask(server, "/visionsmith/labels/save", data, **headers)

    assert status == expected
    assert words is None or words in answer["error"]
    assert seconds < 2  # a tenth of a second on a machine of one's own
    assert not list((folder / "masks").iterdir())
    assert comfy.ask(server, "/visionsmith/labels/list", PLACE)[0] == 200


def test_a_link_that_leads_outside_is_not_followed(server, folder, tmp_path):
    plate(1).save(tmp_path / "secret.png")
    (folder / "images/link.png").symlink_to(tmp_path / "secret.png")
    for route in ("picture", "mask", "save"):
        status, answer, _ = comfy.ask(server, f"/visionsmith/labels/{route}", body(picture="images/link.png"))
        assert status == 400 and "lies outside" in answer["error"]
