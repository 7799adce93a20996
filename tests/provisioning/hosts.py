"""Two servers on this machine that behave as the real hosts do, each under a host name of its own.

`home` is 127.0.0.1 and knows tokens, `store` is localhost on another port and holds the bytes. The first part of a path says how the
answer goes: see `Handler.do_GET`. Everything that was asked is kept in `Host.asked`.
"""

import contextlib
import hashlib
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

TOKEN = "hf_secretSECRETsecret0123456789"
STRANGER = "hf_somebodywithoutaccess0123456"


@dataclass
class Host:
    """One server: what it gives, what it was asked, and how fast it sends."""

    name: str
    content: dict = field(default_factory=dict)
    asked: list = field(default_factory=list)
    rate: int = 0  # bytes per second and connection, 0 for no limit
    other: str = ""
    meeting: threading.Barrier | None = None
    etag: str = '"one"'
    url: str = ""

    def times(self, path):
        return sum(one[0] == path for one in self.asked)

    def headers(self, path):
        return [headers for asked, headers in self.asked if asked == path]


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        host = self.server.host
        path = self.path.partition("?")[0]
        before = host.times(path)
        host.asked.append((path, dict(self.headers)))
        way, _, name = path.lstrip("/").partition("/")
        with contextlib.suppress(ConnectionError):
            match way:
                case "file" | "meet" | "plain":
                    if way == "meet":
                        host.meeting.wait(10)  # breaks unless several downloads run at once
                    self.give(name, ranges=way != "plain")
                case "linked":  # as Hugging Face gives large files
                    digest = hashlib.sha256(host.content[name]).hexdigest()
                    self.redirect(
                        f"{host.other}/file/{name}?signature=SIGNED",
                        {"X-Linked-Etag": f'"{digest}"', "X-Repo-Commit": "c" * 40},
                    )
                case "here":
                    self.redirect(f"/gated/{name}")
                case "gated":
                    self.gated(name)
                case "busy":  # 500, then 429, then the file
                    if before < 2:
                        self.answer((500, 429)[before], {"Retry-After": "0"})
                    else:
                        self.give(name)
                case "down":
                    self.answer(503)
                case "later":
                    self.answer(429, {"Retry-After": "3600"})
                case "page":
                    self.answer(
                        200, {"Content-Type": "text/html; charset=utf-8"}, b"<!DOCTYPE html><title>Log in</title>"
                    )
                case "hidden-page":
                    self.answer(
                        200, {"Content-Type": "application/octet-stream"}, b"\n<!doctype HTML><title>Log in</title>"
                    )
                case "broken":  # the connection ends in the middle, the first two times
                    self.give(name, stop=0.3 if before < 2 else 1)
                case "stalled":  # nothing more comes, the first time
                    self.give(name, stop=0.3 if before < 1 else 1, stall=3.0)
                case "circle":
                    self.redirect(f"/circle/{name}")
                case "outside":
                    self.redirect("file:///etc/hostname")
                case "api":
                    good = self.headers.get("Authorization") in (f"Bearer {TOKEN}", f"Bearer {STRANGER}")
                    self.answer(
                        200 if good else 401,
                        {"Content-Type": "application/json"},
                        b'{"name": "ada"}' if good else b"{}",
                    )
                case _:
                    self.answer(404)

    def gated(self, name):
        match self.headers.get("Authorization"):
            case None:
                self.answer(401)
            case value if value == f"Bearer {TOKEN}":
                self.redirect(f"{self.server.host.other}/file/{name}?signature=SIGNED")
            case _:
                self.answer(403)

    def redirect(self, to, headers=()):
        self.answer(302, {"Location": to, **dict(headers)})

    def answer(self, status, headers=(), body=b""):
        self.send_response(status)
        for key, value in {"Content-Length": str(len(body)), **dict(headers)}.items():
            self.send_header(key, value)
        self.end_headers()
        self.wfile.write(body)

    def give(self, name, ranges=True, stop=1.0, stall=0.0):
        host = self.server.host
        data = host.content.get(name)
        if data is None:
            self.answer(404)
            return
        start = int((self.headers.get("Range") or "bytes=0-")[6:].split("-")[0]) if ranges else 0
        if self.headers.get("If-Range", host.etag) != host.etag:
            start = 0
        if start and start >= len(data):
            self.answer(416, {"Content-Range": f"bytes */{len(data)}"})
            return
        self.send_response(206 if start else 200)
        self.send_header("Content-Type", "application/octet-stream")
        self.send_header("Content-Length", str(len(data) - start))
        self.send_header("ETag", host.etag)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
        self.end_headers()
        end = start + int((len(data) - start) * stop)
        for place in range(start, end, 16384):
            block = data[place : min(place + 16384, end)]
            self.wfile.write(block)
            if host.rate:
                time.sleep(len(block) / host.rate)
        if stop < 1:
            self.wfile.flush()
            time.sleep(stall)
            self.close_connection = True
            self.connection.close()

    def log_message(self, *_):
        pass


@contextlib.contextmanager
def running(host, name="127.0.0.1"):
    """Serve a host until the block ends."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads, server.block_on_close, server.host = True, False, host
    host.url = f"http://{name}:{server.server_address[1]}"
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    try:
        yield host
    finally:
        server.shutdown()
        server.server_close()
