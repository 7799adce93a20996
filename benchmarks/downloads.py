"""Twenty files from a server that limits each connection: all at once, against one after another.

Bound: at least 3 × faster. The server runs here and sends 2 MB/s per connection, as hosts of models do on a small scale.
Usage: python benchmarks/downloads.py
"""

from __future__ import annotations

import hashlib
import random
import tempfile
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from visionsmith.provisioning.manifest import File
from visionsmith.provisioning.plan import Notes, plan
from visionsmith.provisioning.profiles import Machine
from visionsmith.provisioning.transfer import JOBS, transfer

FILES, SIZE, RATE, ROUNDS = 20, 400_000, 2_000_000, 3
CONTENT = random.Random(0).randbytes(SIZE)


class Limited(BaseHTTPRequestHandler):
    """Sends CONTENT at RATE bytes a second."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(SIZE))
        self.end_headers()
        for start in range(0, SIZE, 20_000):
            self.wfile.write(CONTENT[start : start + 20_000])
            time.sleep(20_000 / RATE)

    def log_message(self, *_: object) -> None:
        """Keep quiet."""


def seconds(address: str, jobs: int) -> float:
    """How long all files take with so many at once."""
    checksum = hashlib.sha256(CONTENT).hexdigest()
    files = [File(f"{n}", "g", f"models/g/{n}.bin", f"{address}/{n}", size=SIZE, sha256=checksum) for n in range(FILES)]
    with tempfile.TemporaryDirectory() as folder:
        machine, notes = Machine(Path(folder), "python"), Notes(Path(folder) / "models")
        start = time.perf_counter()
        outcomes = transfer(plan(files, machine, notes), notes, {}, lambda _: None, jobs)
        took = time.perf_counter() - start
    assert all(outcome.state == "fetched" for outcome in outcomes)
    return took


def main() -> None:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Limited)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    address = f"http://127.0.0.1:{server.server_address[1]}"
    ratios = sorted(seconds(address, 1) / seconds(address, JOBS) for _ in range(ROUNDS))
    server.shutdown()
    print(
        f"downloads: {FILES} files, {JOBS} at once, {ratios[ROUNDS // 2]:.1f} × faster than one after another (at least 3)"
    )


if __name__ == "__main__":
    main()
