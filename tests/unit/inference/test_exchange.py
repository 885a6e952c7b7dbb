"""Bodies within bounds, in whatever pieces they come; forms among them."""

import gzip
from collections.abc import AsyncIterator, Iterable, Mapping
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jupyter_dodas.errors import BadInput, NotSupported, TimedOut, TooLarge
from jupyter_dodas.inference.http.exchange import Exchange, inflate, of
from jupyter_dodas.inference.http.forms import Part, boundary, read_form, read_whole

pytestmark = pytest.mark.anyio


def exchange(*parts: bytes, ends: bool = True, broken: bool = False, **headers: str) -> Exchange:
    """A request whose body comes in these parts."""
    messages: list[Mapping[str, Any]] = [{"type": "http.request", "body": part, "more_body": True} for part in parts]
    if ends:
        messages.append({"type": "http.request", "body": b"", "more_body": False})
    if broken:
        messages.append({"type": "http.disconnect"})

    async def receive() -> Any:
        return messages.pop(0) if messages else await anyio.sleep_forever()

    named = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    scope = {"method": "POST", "path": "/", "query_string": b"", "client": ("127.0.0.1", 1), "headers": named}
    made = Exchange(scope, receive, 0.0)
    assert of(scope) is made
    return made


async def test_a_body_is_joined_and_counted() -> None:
    asked = exchange(b"ab", b"c")
    assert bytes(await asked.body(10, 1)) == b"abc"
    assert (asked.taken, asked.whole) == (3, True)


async def test_a_body_that_says_that_it_is_too_large_is_refused_before_it_comes() -> None:
    asked = exchange(ends=False, content_length="11")
    with pytest.raises(TooLarge, match="more than 10 bytes"):
        await asked.body(10, 60)


async def test_a_body_that_does_not_say_so_is_refused_as_soon_as_it_is() -> None:
    with pytest.raises(TooLarge):
        await exchange(b"a" * 6, b"a" * 6, ends=False).body(10, 60)


async def test_a_body_that_does_not_come_has_a_deadline() -> None:
    asked = exchange(b"a", ends=False)
    with pytest.raises(TimedOut, match="did not come in time"):
        await asked.body(10, 0.01)
    assert not asked.whole


async def test_a_body_that_breaks_off_is_told() -> None:
    with pytest.raises(BadInput, match="broke off"):
        await exchange(b"a", ends=False, broken=True).body(10, 60)


async def test_gzip_is_unpacked_within_the_cap() -> None:
    assert await exchange(gzip.compress(b"abc"), content_encoding="gzip").body(100, 1) == b"abc"
    bomb = gzip.compress(bytes(1_000_000))
    with pytest.raises(TooLarge):
        await exchange(bomb, content_encoding="gzip").body(10_000, 1)


@pytest.mark.parametrize("body", [b"", b"abc", gzip.compress(b"abc")[:-9], gzip.compress(b"abc")[:5]])
def test_what_is_no_gzip_is_refused(body: bytes) -> None:
    with pytest.raises(BadInput, match="no gzip"):
        inflate(body, b"gzip", 100)


def test_other_encodings_are_not_taken() -> None:
    with pytest.raises(NotSupported, match="'br'"):
        inflate(b"", b"br", 100)


async def test_what_is_left_of_a_refused_body_is_read_for_a_while_only() -> None:
    await exchange(b"a", b"b").linger(60)
    await exchange(b"a", ends=False).linger(0.01)
    await exchange(*[b"a" * 10] * 10, ends=False).linger(60, most=50)


def encoded(files: Mapping[str, Any], **fields: str) -> tuple[bytes, bytes]:
    """A form as httpx writes it: its Content-Type, and its body."""
    request = httpx.Request("POST", "http://localhost/", data=fields, files=files)
    return request.headers["content-type"].encode(), request.read()


async def pieces(parts: Iterable[bytes]) -> AsyncIterator[bytes]:
    for part in parts:
        yield part


async def form(kind: bytes, body: bytes, size: int = 1 << 16, folder: Path | None = None) -> Mapping[str, Part]:
    cut = (body[begin : begin + size] for begin in range(0, len(body), size))
    return await read_form(pieces(cut), boundary(kind), folder)


@pytest.mark.parametrize("size", [1, 7, 1 << 20])
async def test_a_form_is_read_in_pieces_of_any_size(size: int) -> None:
    kind, body = encoded({"image": ("7.png", b"\r\n--x\x00")}, model=" mnist ")
    read = await form(kind, body, size)
    assert read_whole(body, boundary(kind)) == read
    assert (read["image"].filename, read["image"].data) == ("7.png", b"\r\n--x\x00")
    assert (read["model"].text, read["model"].filename) == ("mnist", None)


async def test_large_files_go_to_the_disk(tmp_path: Path) -> None:
    content = bytes(range(256)) * 20_000
    kind, body = encoded({"model": ("m.pb", content), "params": ("p", b"{}")})
    read = await form(kind, body, folder=tmp_path)
    assert read["model"].file is not None
    assert read["model"].file.read_bytes() == content
    assert (read["params"].file, read["params"].data) == (None, b"{}")


@pytest.mark.parametrize("kind", [None, b"", b"application/json", b"multipart/form-data", b"multipart/mixed; boundary=x"])
def test_what_is_no_form_is_not_taken(kind: bytes | None) -> None:
    with pytest.raises(NotSupported, match="no form"):
        boundary(kind)


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b"", "breaks off"),
        (b"abc", "cannot be read"),
        (b"--x\r\n", "breaks off"),
        (b"--x\r\n\r\nabc\r\n--x--\r\n", "no name"),
        (b'--x\r\nContent-Disposition: form-data; name="a"\r\n\r\nabc', "breaks off"),
    ],
)
async def test_a_broken_form_is_refused(body: bytes, why: str) -> None:
    with pytest.raises(BadInput, match=why):
        await form(b"multipart/form-data; boundary=x", body)
    with pytest.raises(BadInput, match=why):
        read_whole(body, b"x")


async def test_a_form_has_only_so_many_parts_and_no_large_fields() -> None:
    many = {f"f{number}": ("f", b"") for number in range(70)}
    with pytest.raises(TooLarge, match="parts"):
        await form(*encoded(many))
    with pytest.raises(TooLarge, match="field"):
        await form(*encoded({"a": ("a", b"")}, large="a" * 2_000_000))
    with pytest.raises(BadInput, match="header size"):
        await form(b"multipart/form-data; boundary=x", b"--x\r\nA: " + b"a" * 20_000 + b"\r\n\r\n\r\n--x--")


TOKENS = (b"--x", b"--", b"\r\n", b'Content-Disposition: form-data; name="a"', b"; filename=b", b"x", b"y", b": ")
ODD = st.lists(st.sampled_from(TOKENS))


@given(ODD)
def test_a_form_is_the_same_in_pieces_and_at_once(tokens: list[bytes]) -> None:
    body = b"--x\r\n" + b"".join(tokens)

    async def read() -> Any:
        try:
            return await form(b"multipart/form-data; boundary=x", body, 3)
        except (BadInput, TooLarge):
            return None

    in_pieces = anyio.run(read)
    try:
        at_once = read_whole(body, b"x")
    except (BadInput, TooLarge):
        at_once = {}
    assert in_pieces is None or in_pieces == at_once


@given(st.binary(max_size=300), st.integers(1, 50))
def test_no_bytes_do_more_than_be_refused(body: bytes, size: int) -> None:
    async def read() -> None:
        try:
            await form(b"multipart/form-data; boundary=x", b"--x\r\n" + body, size)
        except (BadInput, TooLarge):
            return

    anyio.run(read)
