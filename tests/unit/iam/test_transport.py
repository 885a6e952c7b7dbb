"""Requests to a provider: nothing of them goes elsewhere, and no error quotes them."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import ClientTimeout

from jupyter_dodas.errors import IamUnreachable
from jupyter_dodas.iam import transport as transport_module
from jupyter_dodas.iam.transport import Transport
from jupyter_dodas.testing.waiting import until

pytestmark = pytest.mark.anyio

SECRET = "s3cr3t-of-the-client"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"


@asynccontextmanager
async def answering(reply: bytes, opened: list[object] | None = None) -> AsyncIterator[tuple[str, Sequence[bytes]]]:
    """Say this to whoever asks; yields the address, and the heads of the requests. Connections are added to what was opened."""
    heads: list[bytes] = []
    connections = [] if opened is None else opened

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.append(writer)
        try:
            while True:
                heads.append(await reader.readuntil(b"\r\n\r\n"))
                writer.write(reply)
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", heads


@pytest.fixture
async def transport() -> AsyncIterator[Transport]:
    made = Transport(patience=5.0)
    yield made
    await made.close()


async def test_a_redirect_is_no_answer_and_is_not_followed(transport: Transport) -> None:
    async with answering(OK) as (elsewhere, heads):
        moved = f"HTTP/1.1 307 Temporary Redirect\r\nLocation: {elsewhere}/\r\nContent-Length: 0\r\n\r\n"
        async with answering(moved.encode()) as (address, _):
            with pytest.raises(IamUnreachable, match="307"):
                await transport.get(address, bearer=SECRET)
    assert not heads


async def test_what_a_provider_sets_as_a_cookie_is_shown_for_nobody_else(transport: Transport) -> None:
    async with answering(OK.replace(b"\r\n", b"\r\nSet-Cookie: session=alice\r\n", 1)) as (address, heads):
        await transport.get(address, bearer="alice's")
        await transport.get(address, bearer="bob's")
    assert len(heads) == 2
    assert b"cookie" not in heads[1].lower()


async def test_connections_are_used_again(transport: Transport) -> None:
    opened: list[object] = []
    async with answering(OK, opened) as (address, heads):
        for _ in range(5):
            await transport.get(address)
    assert (len(heads), len(opened)) == (5, 1)


@pytest.mark.parametrize(("without", "by_proxy"), [("", True), ("127.0.0.1", False)])
async def test_the_proxy_of_the_environment_is_used(monkeypatch: pytest.MonkeyPatch, without: str, by_proxy: bool) -> None:
    async with answering(OK) as (proxy, through), answering(OK) as (address, straight):
        monkeypatch.setenv("http_proxy", proxy)
        monkeypatch.setenv("no_proxy", without)
        transport = Transport()
        await transport.get(f"{address}/userinfo")
        await transport.close()
    assert (bool(through), bool(straight)) == (by_proxy, not by_proxy)


@pytest.mark.parametrize(
    "reply", [b"nonsense\r\n\r\n", b"", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{", b"HTTP/1.1 200 OK\r\nX\r\n\r\n"]
)
async def test_no_error_quotes_the_request(reply: bytes) -> None:
    transport = Transport(patience=0.3)
    async with answering(reply) as (address, _):
        with pytest.raises(IamUnreachable) as raised:
            await transport.post(f"{address}/{SECRET}?{SECRET}", {"code": SECRET}, ("hub", SECRET))
        await transport.close()
    assert raised.value.__cause__ is None
    assert SECRET not in f"{raised.value} {raised.value!r} {raised.value.cause}"
    assert raised.value.in_doubt, "the form was sent"


async def test_a_token_that_is_no_text_of_a_header_is_an_outage(transport: Transport) -> None:
    async with answering(OK) as (address, heads):
        with pytest.raises(IamUnreachable) as raised:
            await transport.get(address, bearer=f"{SECRET}\r\nX-Evil: 1")
    assert not any(b"Evil" in head for head in heads)
    assert SECRET not in f"{raised.value} {raised.value.cause}"


async def test_where_nobody_listens_nothing_was_sent(transport: Transport) -> None:
    with pytest.raises(IamUnreachable) as raised:
        await transport.post("http://127.0.0.1:9/", {"code": SECRET}, ("hub", SECRET))
    assert not raised.value.in_doubt


async def test_what_waited_in_vain_for_a_connection_has_done_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport_module, "_MOST", 2)
    transport = Transport(patience=0.3)
    async with answering(b"") as (address, heads):
        # Others, who have more patience.
        patient: dict[str, Any] = {"timeout": ClientTimeout(total=60), "trace_request_ctx": transport_module._Question()}
        held = [asyncio.ensure_future(transport._session().get(address, **patient)) for _ in range(2)]
        await until(lambda: len(heads), within=20, meets=lambda count: count == 2)
        with pytest.raises(IamUnreachable) as raised:
            await transport.post(address, {"grant_type": "refresh_token"}, ("hub", SECRET))
        for one in held:
            one.cancel()
        await asyncio.gather(*held, return_exceptions=True)
        await transport.close()
    assert len(heads) == 2
    assert not raised.value.in_doubt
