"""Published files: fetched from a server on this machine, resumed, checked, and never left half under their names."""

import errno
import hashlib
import os
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from visionsmith.imaging.weights import Published, download, forget, loaded
from visionsmith.nn_layers import InputError

CONTENT = bytes(range(256)) * 8192  # 2 MB


class Server(BaseHTTPRequestHandler):
    """Sends CONTENT; /half breaks off in the middle unless it is asked to go on, /whole knows no ranges, others are missing."""

    def do_GET(self):
        start = int(self.headers.get("Range", "bytes=0-").removeprefix("bytes=").removesuffix("-"))
        if self.path not in ("/half", "/whole"):
            self.send_error(404, "Not Found")
            return
        if self.path == "/whole":
            start = 0
        self.server.starts.append(start)
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(CONTENT) - start))
        self.end_headers()
        stop = len(CONTENT) // 2 if self.path == "/half" and not start else len(CONTENT)
        self.wfile.write(CONTENT[start:stop])

    def log_message(self, *args):
        pass


@pytest.fixture
def server():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Server)
    server.starts = []
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def published(server, path, content=CONTENT):
    address = f"http://127.0.0.1:{server.server_address[1]}/{path}"
    return Published("weights.pt", address, len(CONTENT), hashlib.sha256(content).hexdigest(), "MIT")


def test_a_download_that_breaks_off_goes_on(server, tmp_path):
    seen = []
    file = download(published(server, "half"), tmp_path, lambda *args: seen.append(args))
    assert file.read_bytes() == CONTENT
    assert [file.name for file in tmp_path.iterdir()] == ["weights.pt"]
    assert server.starts == [0, len(CONTENT) // 2]
    assert seen[-1] == (len(CONTENT), len(CONTENT))


def test_a_server_without_ranges_sends_it_again(server, tmp_path):
    (tmp_path / "weights.pt.part").write_bytes(CONTENT[:1000])
    assert download(published(server, "whole"), tmp_path).read_bytes() == CONTENT


def test_a_wrong_checksum_leaves_nothing(server, tmp_path):
    with pytest.raises(InputError, match="wrong checksum"):
        download(published(server, "whole", b"other"), tmp_path)
    assert not list(tmp_path.iterdir())


def test_what_the_server_and_the_network_answer(server, tmp_path):
    with pytest.raises(InputError, match=r"there is no weights\.pt at http.* \(404\), or put weights\.pt into"):
        download(published(server, "missing"), tmp_path)
    closed = Published("weights.pt", "http://127.0.0.1:9/weights.pt", 1, "", "MIT")
    with pytest.raises(InputError, match="check the network"):
        download(closed, tmp_path)


def test_a_full_disk_and_a_cancel(server, tmp_path):
    def full(*args):
        raise OSError(errno.ENOSPC, "No space left on device")

    def cancel(*args):
        raise KeyboardInterrupt

    with pytest.raises(InputError, match=r"is full; free some space"):
        download(published(server, "whole"), tmp_path, full)
    with pytest.raises(KeyboardInterrupt):
        download(published(server, "whole"), tmp_path, cancel)
    assert not (tmp_path / "weights.pt").exists()


def test_one_model_of_a_kind_stays_in_memory(tmp_path):
    calls = []

    def load(path):
        calls.append(path.name)
        return path.read_text()

    file, other = tmp_path / "a", tmp_path / "b"
    file.write_text("one")
    other.write_text("two")
    assert [loaded("test", path, load) for path in (file, file, other, file)] == ["one", "one", "two", "one"]
    assert calls == ["a", "b", "a"]
    file.write_text("new")
    os.utime(file, (time.time() + 9, time.time() + 9))
    assert loaded("test", file, load) == "new"
    forget("test")
    loaded("test", file, load)
    assert calls == ["a", "b", "a", "a", "a"]
