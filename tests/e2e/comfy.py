"""A real ComfyUI server for tests: where it is, how to start it, how to talk to it."""

from __future__ import annotations

import http.client
import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parents[2]
ARTIFACTS = Path(__file__).parent / "artifacts"


def find_comfyui() -> Path | None:
    """The ComfyUI checkout in COMFYUI_PATH, or where comfy-cli puts one."""
    places = [os.environ.get("COMFYUI_PATH"), Path.home() / "comfy" / "ComfyUI"]
    return next((Path(place) for place in places if place and (Path(place) / "main.py").is_file()), None)


def python_of(comfyui: Path) -> str:
    """The Python that has ComfyUI's requirements: its own environment, or else this one."""
    found = [
        path
        for name in (".venv", "venv")
        for path in (comfyui / name / "bin/python", comfyui / name / "Scripts/python.exe")
    ]
    return str(next((path for path in found if path.is_file()), sys.executable))


@dataclass
class Server:
    """A running server; `base` is the folder it reads and writes below."""

    url: str
    base: Path
    process: subprocess.Popen
    log: Path

    def get(self, path: str) -> Any:
        """GET, as JSON."""
        with urllib.request.urlopen(f"{self.url}{path}", timeout=60) as response:
            return json.load(response)

    def post(self, path: str, data: Any) -> Any:
        """POST JSON; the answer as JSON, also of a refusal."""
        request = urllib.request.Request(
            f"{self.url}{path}", json.dumps(data).encode(), {"Content-Type": "application/json"}
        )
        try:
            with urllib.request.urlopen(request, timeout=60) as response:
                text = response.read()
        except urllib.error.HTTPError as error:
            text = error.read()
        return json.loads(text) if text else None

    def run(self, prompt: dict[str, Any], timeout: float = 300) -> dict[str, Any]:
        """Queue a prompt and wait for its end; ComfyUI's history entry of it."""
        return self.wait(self.queue(prompt), timeout)

    def queue(self, prompt: dict[str, Any]) -> str:
        """Queue a prompt; its id. A prompt that does not pass validation fails the test."""
        answer = self.post("/prompt", {"prompt": prompt, "client_id": uuid.uuid4().hex})
        assert not answer.get("node_errors") and "prompt_id" in answer, answer
        return answer["prompt_id"]

    def wait(self, prompt_id: str, timeout: float = 300) -> dict[str, Any]:
        """Wait until a queued prompt has ended."""
        end = time.monotonic() + timeout
        while time.monotonic() < end:
            history = self.get(f"/history/{prompt_id}")
            if history.get(prompt_id, {}).get("status", {}).get("status_str"):
                return history[prompt_id]
            assert self.process.poll() is None, f"the server died; see {self.log}"
            time.sleep(0.1)
        raise TimeoutError(f"prompt {prompt_id} did not end in {timeout} s; see {self.log}")

    def picture(self, entry: dict[str, str]) -> bytes:
        """The file that a node's `images` entry describes."""
        folder = {"output": "output", "temp": "temp", "input": "input"}[entry["type"]]
        return (self.base / folder / entry["subfolder"] / entry["filename"]).read_bytes()


def start_server(comfyui: Path, base: Path, package_name: str = "visionsmith-under-test") -> Server:
    """Start ComfyUI on a free loopback port, on the CPU, with nothing but this package and folders of its own.

    It may take VISIONSMITH_START_SECONDS, 180 if that is not set.
    """
    (base / "custom_nodes").mkdir(parents=True)
    for name in ("input", "output", "temp", "models", "user"):
        (base / name).mkdir(exist_ok=True)
    (base / "custom_nodes" / package_name).symlink_to(REPOSITORY, target_is_directory=True)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    ARTIFACTS.mkdir(exist_ok=True)
    log = ARTIFACTS / f"server-{port}.log"
    command = [
        python_of(comfyui),
        "main.py",
        "--cpu",
        "--listen",
        "127.0.0.1",
        "--port",
        str(port),
        "--base-directory",
        str(base),
    ]
    command += ["--disable-auto-launch", "--disable-api-nodes"]
    environment = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "VIRTUAL_ENV")}
    environment = {"OMP_NUM_THREADS": "2"} | environment | {"HF_HUB_OFFLINE": "1"}
    with log.open("w") as stream:
        process = subprocess.Popen(command, cwd=comfyui, stdout=stream, stderr=subprocess.STDOUT, env=environment)
    server = Server(f"http://127.0.0.1:{port}", base, process, log)
    end = time.monotonic() + float(os.environ.get("VISIONSMITH_START_SECONDS", 180))
    while time.monotonic() < end:
        assert process.poll() is None, f"ComfyUI did not start:\n{log.read_text()[-3000:]}"
        try:
            server.get("/object_info/VisionsmithTrain")
            server.post("/api/settings", {"Comfy.TutorialCompleted": True})
            return server
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            time.sleep(0.3)
    process.kill()
    raise TimeoutError(f"ComfyUI did not answer in time:\n{log.read_text()[-3000:]}")


def stop_server(server: Server) -> None:
    """End the server; by force if it does not go by itself."""
    server.process.terminate()
    try:
        server.process.wait(10)
    except subprocess.TimeoutExpired:
        server.process.kill()


def ask(server: Server, route: str, body: object, **headers: str) -> tuple[int, dict, float]:
    """POST `body` (bytes as they are, anything else as JSON): status, parsed answer, and how many seconds it took."""
    place = urllib.parse.urlsplit(server.url)
    connection = http.client.HTTPConnection(place.hostname, place.port, timeout=30)
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    began = time.monotonic()
    connection.request("POST", route, data, {"Content-Type": "application/json", **headers})
    answer = connection.getresponse()
    text = answer.read()
    return answer.status, json.loads(text) if text[:1] == b"{" else {}, time.monotonic() - began
