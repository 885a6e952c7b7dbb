"""Requests to an identity provider: bounded in time and size, and errors that hold no secret."""

import asyncio
import json
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import quote, urlsplit

import httpx

from jupyter_dodas.errors import IamRefused, IamUnreachable

__all__ = ["PATIENCE", "Transport"]

PATIENCE: Final = 5.0
"""Seconds that anything which waits for the provider waits at most."""

_LARGEST: Final = 1 << 20
"""Bytes of the largest reply that is read; a user in a thousand groups has 40 kB."""


class Transport:
    """A pool of connections to one provider.

    Parameters
    ----------
    patience
        Seconds for a request, from the first byte to the last.
    """

    def __init__(self, patience: float = PATIENCE) -> None:
        self._patience = patience
        limits = httpx.Limits(max_connections=32, max_keepalive_connections=8)
        self._client = httpx.AsyncClient(timeout=patience, limits=limits, headers={"Accept": "application/json"})

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
        name, secret = (quote(part, safe="") for part in client)  # RFC 6749, 2.3.1
        return await self._ask("POST", url, data=dict(form), auth=httpx.BasicAuth(name, secret))

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def _ask(self, method: str, url: str, **how: Any) -> Mapping[str, Any]:
        # The host alone: a path could hold what nobody should read in a log.
        host = urlsplit(url).netloc
        try:
            async with asyncio.timeout(self._patience), self._client.stream(method, url, **how) as response:
                body = await _read(response)
        except TimeoutError:
            raise IamUnreachable(host, f"No reply within {self._patience:g} s.", in_doubt=method == "POST") from None
        except (httpx.HTTPError, httpx.InvalidURL, OverflowError) as error:
            asked = method == "POST" and not isinstance(error, httpx.ConnectError | httpx.ConnectTimeout | httpx.PoolTimeout)
            raise IamUnreachable(host, f"{type(error).__name__}: {error}", in_doubt=asked) from error
        return _judged(host, response.status_code, body, in_doubt=method == "POST")


async def _read(response: httpx.Response) -> bytes:
    body = bytearray()
    async for part in response.aiter_bytes():
        body += part
        if len(body) > _LARGEST:
            raise OverflowError(f"the reply is larger than {_LARGEST} bytes")
    return bytes(body)


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
