"""One file from hosts that redirect, refuse, stall, break off, lie and come back."""

import hashlib
import random
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from visionsmith.provisioning import fetch as module
from visionsmith.provisioning.fetch import fetch
from visionsmith.provisioning.remote import FetchError, Patience, Remote, Token, shown

from .hosts import STRANGER, TOKEN

CONTENT = random.Random(0).randbytes(300_000)
SUM = hashlib.sha256(CONTENT).hexdigest()
QUICK = Patience(timeout=0.5, tries=3, pause=0.01)


@pytest.fixture
def remote(home, tmp_path):
    """Fetch /WAY/model.safetensors of the home host."""
    home.content["model.safetensors"] = CONTENT

    def get(way, token=None, size=0, checksum="", on_bytes=None, patience=QUICK):
        address = f"{home.url}/{way}/model.safetensors"
        return fetch(Remote(address, size, checksum), tmp_path / "out" / "model.safetensors", token, on_bytes, patience)

    return get


@pytest.fixture
def out(tmp_path):
    return tmp_path / "out" / "model.safetensors"


def names(out):
    return sorted(path.name for path in out.parent.iterdir()) if out.parent.exists() else []


def test_a_redirect_is_followed_and_the_token_stays_at_home(remote, home, store, out):
    came = remote("gated", Token(TOKEN, home.url), len(CONTENT), SUM)

    assert came.path.read_bytes() == CONTENT
    assert came.checked == "published"
    assert names(out) == ["model.safetensors"]
    assert home.headers("/gated/model.safetensors")[0]["Authorization"] == f"Bearer {TOKEN}"
    assert "Authorization" not in store.headers("/file/model.safetensors")[0]
    assert not any(TOKEN in str(one) for one in store.asked)


def test_a_redirect_within_the_host_keeps_the_token(remote, home, store):
    assert remote("here", Token(TOKEN, home.url)).path.read_bytes() == CONTENT
    assert "Authorization" not in store.headers("/file/model.safetensors")[0]


def test_a_token_of_another_host_is_not_sent(remote, home, store):
    with pytest.raises(FetchError, match=r"\(401\)") as caught:
        remote("gated", Token(TOKEN, store.url))
    assert caught.value.kind == "refused"
    assert not any(TOKEN in str(one) for one in (*home.asked, *store.asked))


def test_the_host_tells_the_checksum(remote, home, store):
    assert remote("linked").checked == "host"
    assert remote("file").checked == ""
    store.asked.clear()
    with pytest.raises(FetchError, match="its host tells another checksum") as caught:
        remote("linked", checksum="0" * 64)
    assert caught.value.kind == "changed"
    assert not store.asked  # nothing was fetched to find that out


@pytest.mark.parametrize(
    ("way", "kind", "words"),
    [
        ("nowhere", "missing", r"there is no model.safetensors at .* \(404\)"),
        ("page", "page", "sent a web page instead of model.safetensors"),
        ("hidden-page", "page", "sent a web page instead of model.safetensors"),
        ("down", "answer", r"cannot give model.safetensors now \(answer 503, 3 times\); run again later"),
        ("later", "answer", "asks to wait 3600 seconds"),
        ("circle", "answer", "leads in a circle"),
        ("outside", "answer", "is no address of the web"),
    ],
)
def test_what_is_no_file(remote, out, way, kind, words):
    with pytest.raises(FetchError, match=words) as caught:
        remote(way, checksum=SUM)
    assert caught.value.kind == kind
    assert "\n" not in str(caught.value)
    assert names(out) == []


def test_refused_with_and_without_a_token(remote, home):
    for token, status in ((None, 401), (Token(STRANGER, home.url), 403)):
        with pytest.raises(FetchError) as caught:
            remote("gated", token)
        assert (caught.value.kind, caught.value.status) == ("refused", status)
        assert STRANGER not in str(caught.value)


def test_errors_that_pass_are_waited_for(remote, home):
    assert remote("busy", checksum=SUM).path.read_bytes() == CONTENT
    assert home.times("/busy/model.safetensors") == 3


@pytest.mark.parametrize("checksum", [SUM, ""])
@pytest.mark.parametrize("way", ["broken", "stalled"])
def test_a_connection_that_ends_is_taken_up_where_it_was(remote, home, out, way, checksum):
    assert remote(way, checksum=checksum).path.read_bytes() == CONTENT
    ranges = [headers.get("Range") for headers in home.headers(f"/{way}/model.safetensors")]
    assert ranges[0] is None
    assert all(ranges[1:])
    assert names(out) == ["model.safetensors"]


def stopped_at(count):
    def on_bytes(done, total):
        if done >= count:
            raise KeyboardInterrupt

    return on_bytes


@pytest.mark.parametrize("checksum", [SUM, ""])
def test_a_stopped_download_goes_on(remote, home, out, checksum):
    home.rate = 2_000_000
    with pytest.raises(KeyboardInterrupt):
        remote("file", checksum=checksum, on_bytes=stopped_at(50_000))
    assert not out.exists()
    there = out.with_name("model.safetensors.part").stat().st_size
    assert 50_000 <= there < len(CONTENT)
    assert remote("file", checksum=checksum).path.read_bytes() == CONTENT
    assert home.headers("/file/model.safetensors")[1]["Range"] == f"bytes={there}-"
    assert names(out) == ["model.safetensors"]


def test_another_file_is_not_joined_to_the_part(remote, home, out):
    home.rate = 2_000_000
    with pytest.raises(KeyboardInterrupt):
        remote("file", on_bytes=stopped_at(50_000))
    home.content["model.safetensors"], home.etag = CONTENT[::-1], '"two"'
    assert remote("file").path.read_bytes() == CONTENT[::-1]


def test_a_part_that_nobody_can_vouch_for_is_begun_anew(remote, home, out):
    out.parent.mkdir()
    out.with_name("model.safetensors.part").write_bytes(b"something else")
    assert remote("file").path.read_bytes() == CONTENT
    assert "Range" not in home.headers("/file/model.safetensors")[0]


@pytest.mark.parametrize("way", ["file", "plain"])
@pytest.mark.parametrize("length", [1000, len(CONTENT), len(CONTENT) + 5])
@pytest.mark.parametrize("size", [0, len(CONTENT)])
def test_parts_of_every_length(remote, out, way, length, size):
    out.parent.mkdir()
    out.with_name("model.safetensors.part").write_bytes((CONTENT + b"more!")[:length])
    assert remote(way, size=size, checksum=SUM).path.read_bytes() == CONTENT


def test_a_wrong_checksum_leaves_nothing(remote, out):
    with pytest.raises(FetchError, match=r"wrong checksum\) and was removed") as caught:
        remote("file", checksum="0" * 64)
    assert caught.value.kind == "damaged"
    assert names(out) == []


def test_a_file_of_another_size_is_not_fetched(remote, out):
    with pytest.raises(FetchError, match="has 300,000 bytes, but 7 were published") as caught:
        remote("file", size=7, checksum=SUM)
    assert caught.value.kind == "changed"
    assert names(out) == []


def test_a_disk_without_room_is_known_before_the_first_byte(remote, out, monkeypatch):
    monkeypatch.setattr(module.shutil, "disk_usage", lambda _: type("Usage", (), {"free": 1000}))
    with pytest.raises(FetchError, match=r"model.safetensors needs 0 MB space, but the disk of .* is full") as caught:
        remote("file", size=len(CONTENT))
    assert caught.value.kind == "full"


def test_two_programs_do_not_write_one_part(remote, home, out):
    home.rate = 1_000_000
    began, errors = threading.Event(), []

    def first():
        remote("file", checksum=SUM, on_bytes=lambda *_: began.set())

    thread = threading.Thread(target=first)
    thread.start()
    began.wait(5)
    try:
        remote("file", checksum=SUM)
    except FetchError as error:
        errors.append(str(error))
    thread.join()
    assert errors and "another program is fetching" in errors[0]
    assert out.read_bytes() == CONTENT


def test_no_server_at_all(tmp_path):
    with pytest.raises(FetchError, match="check the network and run again"):
        fetch(Remote("http://127.0.0.1:9/x"), tmp_path / "x", patience=QUICK)


def test_secrets_in_addresses_are_not_shown():
    assert shown("https://user:pass@host.org:8/a/b?token=secret#x") == "https://host.org:8/a/b"
    assert TOKEN not in repr(Token(TOKEN, "https://huggingface.co"))


def test_only_the_standard_library_is_needed():
    folder = str(Path(module.__file__).parents[1])
    code = f"import sys; sys.path.insert(0, {folder!r}); import provisioning.cli; print(sorted(m for m in sys.modules if 'site-packages' in str(getattr(sys.modules[m], '__file__', ''))))"
    done = subprocess.run([sys.executable, "-I", "-S", "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
