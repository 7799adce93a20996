"""What the canvas may ask the server: POST JSON to a path, get JSON back.

Whoever asks may be a stranger, so that every route has a limit of size, takes JSON only (which a foreign page cannot send without being asked about
first), touches no file, and answers what is wrong with one sentence.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

from ...nn_layers.errors import InputError
from ..host import host
from .convert import convert
from .shapes import RefusedShapesError, shapes


def converted(data: Any) -> dict[str, Any]:
    """{"workflow": …} of an old pack → {"workflow": …, "notes": […]}."""
    if not isinstance(data, dict) or "workflow" not in data:
        raise InputError('the body has no workflow; send {"workflow": …}.')
    workflow, notes = convert(data["workflow"], known=host().node_types())
    return {"workflow": workflow, "notes": notes}


ROUTES: dict[str, tuple[Callable[[Any], Any], int]] = {
    "/visionsmith/convert": (converted, 5_000_000),
    "/visionsmith/shapes": (shapes, 2_000_000),
}
"""Path → what answers (parsed JSON to JSON, InputError for a refusal; runs in a thread) and the most bytes it takes."""


def register() -> None:
    """Tell the host every route."""
    for path, (answer, limit) in ROUTES.items():
        host().serve(path, handler(answer, limit))


def handler(answer: Callable[[Any], Any], limit: int) -> Callable[[Any], Awaitable[Any]]:
    """An aiohttp handler around `answer`."""
    from aiohttp import web

    def refusal(status: int, sentence: str, **more: Any) -> web.Response:
        return web.json_response({"error": sentence, **more}, status=status)

    async def handle(request: web.Request) -> web.Response:
        if request.content_type != "application/json":
            return refusal(415, f"the body is {request.content_type}; send application/json.")
        body = await _read(request, limit)
        if body is None:
            return refusal(413, f"the body is larger than {limit:,} bytes; send less.")
        try:
            text = await asyncio.to_thread(_answered, answer, body)
        except RefusedShapesError as error:
            return refusal(400, str(error), **error.answer)
        except InputError as error:
            return refusal(400, str(error))
        return web.Response(text=text, content_type="application/json")

    return handle


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


def _answered(answer: Callable[[Any], Any], body: bytes) -> str:
    """Parse, answer and write, all off the server's loop."""
    try:
        data = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise InputError(
            f"the body is no JSON that can be read ({error}); send a workflow as ComfyUI saves it."
        ) from None
    return json.dumps(answer(data))
