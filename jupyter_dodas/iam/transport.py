"""Requests to an identity provider: bounded in time and size, and errors that hold no secret."""

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from types import SimpleNamespace
from typing import Any, Final
from urllib.parse import SplitResult, quote, urlencode, urlsplit
from urllib.request import getproxies, proxy_bypass

import aiohttp

from jupyter_dodas.errors import IamRefused, IamUnreachable

__all__ = ["PATIENCE", "Transport"]

PATIENCE: Final = 5.0
"""Seconds that anything which waits for the provider waits at most."""

_IDLE: Final = 5.0
"""Seconds after which a connection that nobody uses is closed, before the provider does so."""

_MOST: Final = 32
"""Connections at once."""

_LARGEST: Final = 1 << 20
"""Bytes of the largest reply that is read; a user in a thousand groups has 40 kB."""


class Transport:
    """A pool of connections to one provider.

    Parameters
    ----------
    patience
        Seconds for a request, with the wait for a connection, to the last byte of the reply.
    """

    def __init__(self, patience: float = PATIENCE) -> None:
        self._patience = patience
        self._opened: aiohttp.ClientSession | None = None
        self._proxies = getproxies()

    async def get(self, url: str, bearer: str | None = None) -> Mapping[str, Any]:
        """Read a JSON object.

        Raises
        ------
        IamUnreachable
            If there is no usable reply in time.
        IamRefused
            If the reply is a refusal.
        """
        headers = {"Authorization": f"Bearer {bearer}"} if bearer is not None else {}
        return await self._ask("GET", url, headers=headers)

    async def post(self, url: str, form: Mapping[str, str], client: tuple[str, str]) -> Mapping[str, Any]:
        """Send a form as the client with this id and secret, and read the JSON object that comes back. Raises as `get` does."""
        pair = ":".join(quote(part, safe="") for part in client)  # RFC 6749, 2.3.1
        headers = {
            "Authorization": f"Basic {base64.b64encode(pair.encode()).decode()}",
            "Content-Type": "application/x-www-form-urlencoded",
        }
        return await self._ask("POST", url, headers=headers, data=urlencode(form).encode())

    async def close(self) -> None:
        """Close the connections."""
        if self._opened is not None:
            await self._opened.close()

    def _session(self) -> aiohttp.ClientSession:
        """Return the pool, which belongs to the loop of who asked first."""
        if self._opened is None:
            # The resolver of the system and not the one of its own that aiohttp may find installed: names in /etc/hosts count.
            pool = aiohttp.TCPConnector(limit=_MOST, keepalive_timeout=_IDLE, resolver=aiohttp.ThreadedResolver())
            trace = aiohttp.TraceConfig()
            trace.on_request_headers_sent.append(_note_sent)
            self._opened = aiohttp.ClientSession(
                connector=pool,
                trace_configs=[trace],
                timeout=aiohttp.ClientTimeout(total=self._patience),
                cookie_jar=aiohttp.DummyCookieJar(),  # people share the connections, and nothing else
                headers={"Accept": "application/json"},
            )
        return self._opened

    def _proxy(self, where: SplitResult) -> str | None:
        # aiohttp would look for one with each request, in a thread, and for passwords in ~/.netrc as well.
        found = self._proxies.get(where.scheme) or self._proxies.get("all")
        if not found or proxy_bypass(where.hostname or ""):
            return None
        return found if "://" in found else f"http://{found}"

    async def _ask(self, method: str, url: str, **how: Any) -> Mapping[str, Any]:
        where = urlsplit(url)
        host = where.netloc  # alone: a path could hold what nobody should read in a log
        question = _Question()
        # No redirects: nobody else is told a token because the provider says so.
        asking = self._session().request(
            method, url, proxy=self._proxy(where), allow_redirects=False, trace_request_ctx=question, **how
        )
        try:
            async with asking as response:
                body = await _read(response)
        except TimeoutError:
            why = (
                f"No reply within {self._patience:g} s." if question.sent else f"Nothing could be sent within {self._patience:g} s."
            )
        except (aiohttp.ClientError, OSError, ValueError) as error:
            why = _why(error)
        else:
            return _judged(host, response.status, body, in_doubt=method == "POST")
        # Not chained: some of these errors hold the whole request.
        raise IamUnreachable(host, why, in_doubt=method == "POST" and question.sent)


@dataclass
class _Question:
    """Whether the provider may have heard it: what was never sent, as when all connections are taken, has done nothing."""

    sent: bool = False


async def _note_sent(_: aiohttp.ClientSession, context: SimpleNamespace, __: aiohttp.TraceRequestHeadersSentParams) -> None:
    context.trace_request_ctx.sent = True


async def _read(response: aiohttp.ClientResponse) -> bytes:
    body = bytearray()
    async for part in response.content.iter_any():
        body += part
        if len(body) > _LARGEST:
            raise aiohttp.ClientPayloadError(f"the reply is larger than {_LARGEST} bytes")
    return bytes(body)


def _why(error: Exception) -> str:
    if isinstance(error, aiohttp.ClientResponseError):
        return f"{type(error).__name__}: {error.message}"
    # What was to be sent was no text, or no address: such an error may quote it.
    return type(error).__name__ if isinstance(error, ValueError) else f"{type(error).__name__}: {error}"


def _judged(host: str, status: int, body: bytes, *, in_doubt: bool) -> Mapping[str, Any]:
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR or status == HTTPStatus.TOO_MANY_REQUESTS:
        raise IamUnreachable(host, f"It replied {status}.", in_doubt=in_doubt)
    try:
        reply = json.loads(body) if body.strip() else {}
    except ValueError:
        reply = None
    if status >= HTTPStatus.BAD_REQUEST:
        said = reply if isinstance(reply, dict) else {}
        error = str(said.get("error") or ("invalid_token" if status == HTTPStatus.UNAUTHORIZED else f"status {status}"))
        raise IamRefused(error[:100], str(said.get("error_description", ""))[:300])
    if status >= HTTPStatus.MULTIPLE_CHOICES or not isinstance(reply, dict):
        raise IamUnreachable(host, f"It replied {status} without a JSON object.", in_doubt=in_doubt)
    return reply
