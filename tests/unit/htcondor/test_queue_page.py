"""What serves the page of a pool: who gets in, how often the queue is asked, and errors in words."""

import asyncio
import io
import json
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from threading import Event
from typing import Any

import aiohttp
import pytest

from jupyter_dodas.errors import BadInput, PoolUnreachable
from jupyter_dodas.services.htcondor.web import serve

pytestmark = pytest.mark.anyio

TOKEN = "a token that nobody guesses"
KEY = {"Authorization": f"Bearer {TOKEN}"}


class Pool:
    """A queue that counts how often it is asked."""

    def __init__(self) -> None:
        self.looks = 0
        self.asked: list[Mapping[str, Any]] = []
        self.answers = True
        self.held = Event()
        self.held.set()

    def look(self) -> Mapping[str, Any]:
        self.looks += 1
        self.held.wait(30)
        if not self.answers:
            raise PoolUnreachable("The queue does not answer", cause="It starts again.", remedy="Wait a moment.")
        return {"jobs": []}

    def release(self, request: Mapping[str, Any]) -> Mapping[str, Any]:
        if request == {"jobs": []}:
            raise BadInput("It is not clear which jobs are meant")
        if request == {"jobs": None}:
            raise ZeroDivisionError
        self.asked.append(request)
        return {"released": 1}


@asynccontextmanager
async def served(pool: Pool, folder: Path) -> AsyncIterator[aiohttp.ClientSession]:
    (folder / "page.token").write_text(f"{TOKEN}\n")
    runner = await serve("127.0.0.1", 0, folder / "page.token", pool.look, {"release": pool.release})
    host, port = runner.addresses[0]
    async with aiohttp.ClientSession(f"http://{host}:{port}") as session:
        yield session
    await runner.cleanup()


@pytest.mark.parametrize(
    "header", [{}, {"Authorization": "Bearer "}, {"Authorization": f"Bearer {TOKEN}x"}, {"Authorization": TOKEN}]
)
async def test_a_stranger_sees_nothing_of_the_queue(header: Mapping[str, str], tmp_path: Path) -> None:
    pool = Pool()
    async with served(pool, tmp_path) as session:
        for method, path in (("GET", "/queue.json"), ("POST", "/release"), ("GET", "/no-such-path")):
            async with session.request(method, path, headers=header, data='{"jobs": ["1.0"]}') as reply:
                assert reply.status == 401
                error = (await reply.json())["error"]
                assert error["code"] == "unauthenticated"
                assert "JupyterLab" in error["remedy"]
                assert TOKEN not in json.dumps(error)
    assert (pool.looks, pool.asked) == (0, [])


async def test_the_page_comes_with_all_it_needs_and_lets_nothing_else_in(tmp_path: Path) -> None:
    async with served(Pool(), tmp_path) as session:
        for path, kind in (
            ("/", "text/html"),
            ("/page/page.js", "text/javascript"),
            ("/page/dom.js", "text/javascript"),
            ("/page/page.css", "text/css"),
        ):
            async with session.get(path) as reply:
                assert (reply.status, reply.content_type) == (200, kind)
                assert "default-src 'none'" in reply.headers["Content-Security-Policy"]
                text = await reply.text()
                assert not re.search("https?://", text)
        async with session.get("/page/__init__.py", headers=KEY) as reply:
            assert reply.status == 404


async def test_many_who_look_cost_one_look(tmp_path: Path) -> None:
    pool = Pool()
    pool.held.clear()
    async with served(pool, tmp_path) as session:

        async def look() -> float:
            async with session.get("/queue.json", headers=KEY) as reply:
                assert reply.status == 200
                told = await reply.json()
                assert told["jobs"] == []
                return float(told["now"])

        looking = asyncio.gather(*(look() for _ in range(20)))
        await asyncio.sleep(0)
        pool.held.set()
        await looking
        assert pool.looks <= 2, "what was seen less than a second ago serves all; the machine may be slow"


async def test_after_a_verb_the_queue_is_looked_at_anew(tmp_path: Path) -> None:
    pool = Pool()
    async with served(pool, tmp_path) as session:
        async with session.get("/queue.json", headers=KEY):
            before = pool.looks
        async with session.post("/release", headers=KEY, json={"jobs": ["1.0"]}) as reply:
            assert await reply.json() == {"released": 1}
        async with session.get("/queue.json", headers=KEY):
            assert pool.looks == before + 1
    assert pool.asked == [{"jobs": ["1.0"]}]


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ("no JSON", 400, "bad-input"),
        ("[]", 400, "bad-input"),
        ("[" * 100_000, 400, "bad-input"),
        ("\udcff", 400, "bad-input"),
        ('{"jobs": []}', 400, "bad-input"),
        ('{"jobs": null}', 500, "error"),
        ("x" * (2**20 + 1), 413, "too-large"),
    ],
)
async def test_what_cannot_be_done_is_told_in_words(body: str, status: int, code: str, tmp_path: Path) -> None:
    data = io.BytesIO(body.encode("utf-8", "surrogateescape"))
    async with served(Pool(), tmp_path) as session, session.post("/release", headers=KEY, data=data) as reply:
        assert reply.status == status
        error = (await reply.json())["error"]
        assert error["code"] == code
        assert error["message"]


async def test_a_queue_that_does_not_answer_is_told_and_comes_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("jupyter_dodas.services.htcondor.web._FRESH", 0.0)
    pool = Pool()
    async with served(pool, tmp_path) as session:
        pool.answers = False
        for _ in range(2):
            async with session.get("/queue.json", headers=KEY) as reply:
                assert reply.status == 503
                assert (await reply.json())["error"]["remedy"] == "Wait a moment."
        pool.answers = True
        async with session.get("/queue.json", headers=KEY) as reply:
            assert reply.status == 200
