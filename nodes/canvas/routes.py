"""What the canvas may ask the server: POST JSON to a path, get JSON back.

Whoever asks may be a stranger, so that every route has a limit of size, takes JSON only (which a foreign page cannot send without being asked about
first), touches no file but the samples of a dataset and the runs that a node has shown and, for the label editor, pictures and masks where
`readable` and `writable_mask` allow, and answers what is wrong with one sentence.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from ...nn_layers.errors import InputError
from ..host import host
from . import charts, labels
from .convert import convert
from .samples import samples
from .shapes import RefusedShapesError, shapes


def converted(data: Any) -> dict[str, Any]:
    """{"workflow": …} of an old pack → {"workflow": …, "notes": […]}."""
    if not isinstance(data, dict) or "workflow" not in data:
        raise InputError('the body has no workflow; send {"workflow": …}.')
    workflow, notes = convert(data["workflow"], known=host().node_types())
    return {"workflow": workflow, "notes": notes}


ROUTES: dict[str, tuple[Callable[[Any], Any], int]] = {
    "/visionsmith/charts": (charts.charts, 50_000),
    "/visionsmith/charts/go-on": (charts.go_on, 1_000),
    "/visionsmith/charts/stop": (charts.stop, 1_000),
    "/visionsmith/convert": (converted, 5_000_000),
    "/visionsmith/labels/list": (labels.listed, 50_000),
    "/visionsmith/labels/mask": (labels.mask, 50_000),
    "/visionsmith/labels/picture": (labels.picture, 50_000),
    "/visionsmith/labels/save": (labels.save, 8_000_000),
    "/visionsmith/samples": (samples, 10_000),
    "/visionsmith/shapes": (shapes, 2_000_000),
}
"""Path → what answers (parsed JSON to JSON or a file, InputError for a refusal; runs in a thread) and the most bytes it takes."""

AT_ONCE = ("/visionsmith/charts/go-on", "/visionsmith/charts/stop")
"""Paths whose answer only sets a flag: no thread is waited for, however busy all of them are."""

MOST_VALUES = 200_000  # of one body: to read millions takes long, however few bytes they are
THREADS = 4
MOST_AT_ONCE = 16  # questions that are being answered or wait for a thread
BODY_SECONDS = 60  # until the whole body is there
_pool = ThreadPoolExecutor(THREADS, "visionsmith")  # ComfyUI's own work never waits for an answer of ours
_asked = 0


def register() -> None:
    """Tell the host every route, and that our modules may change."""
    for path, (answer, limit) in ROUTES.items():
        host().serve(path, handler(answer, limit, at_once=path in AT_ONCE))
    host().renew_modules()


def handler(answer: Callable[[Any], Any], limit: int, *, at_once: bool = False) -> Callable[[Any], Awaitable[Any]]:
    """An aiohttp handler around `answer`, which runs in a thread, or `at_once` on the server's loop."""
    from aiohttp import web

    def refusal(status: int, sentence: str, **more: Any) -> web.Response:
        return web.json_response({"error": sentence, **more}, status=status)

    async def handle(request: web.Request) -> web.Response:
        if request.content_type != "application/json":
            return refusal(415, f"the body is {request.content_type}; send application/json.")
        try:
            body = await asyncio.wait_for(_read(request, limit), BODY_SECONDS)
        except asyncio.TimeoutError:  # from Python 3.11 on the built-in one
            return refusal(408, f"the body did not come within {BODY_SECONDS} seconds; send it again.")
        if body is None:
            return refusal(413, f"the body is larger than {limit:,} bytes; send less.")
        if not at_once and _asked >= MOST_AT_ONCE:
            return refusal(429, f"{MOST_AT_ONCE} questions are being answered; ask again in a moment.")
        try:
            found = _answered(answer, body) if at_once else await _in_thread(answer, body)
        except RefusedShapesError as error:
            return refusal(400, str(error), **error.answer)
        except InputError as error:
            return refusal(400, str(error))
        if isinstance(found, labels.FileAnswer):
            return web.Response(
                body=found.content, content_type=found.type, headers={"X-Content-Type-Options": "nosniff"}
            )
        return web.Response(text=found, content_type="application/json")

    return handle


async def _in_thread(answer: Callable[[Any], Any], body: bytes) -> str | labels.FileAnswer:
    """`_answered` beside the server's loop. Whoever asked may have gone meanwhile; the thread counts until it is done."""
    global _asked
    _asked += 1
    work = asyncio.get_running_loop().run_in_executor(_pool, _answered, answer, body)
    work.add_done_callback(_done)
    return await asyncio.shield(work)


def _done(work: asyncio.Future[Any]) -> None:
    global _asked
    _asked -= 1
    work.cancelled() or work.exception()  # looked at, so that nobody is told of it when nobody waits


async def _read(request: Any, limit: int) -> bytes | None:
    """The body, or None if it is longer than `limit`; no more than that is ever in memory, whatever its header says."""
    if (request.content_length or 0) > limit:
        return None
    body = bytearray()
    async for part in request.content.iter_chunked(1 << 16):
        body += part
        if len(body) > limit:
            return None
    return bytes(body)


def _answered(answer: Callable[[Any], Any], body: bytes) -> str | labels.FileAnswer:
    """Parse, answer and write."""
    if body.count(b",") > MOST_VALUES:
        raise InputError(f"the body has more than {MOST_VALUES:,} values; send less.")
    try:
        data = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise InputError(
            f"the body is no JSON that can be read ({error}); send a workflow as ComfyUI saves it."
        ) from None
    found = answer(data)
    return found if isinstance(found, labels.FileAnswer) else json.dumps(found)
