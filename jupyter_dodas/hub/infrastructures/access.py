"""Tokens of people for provisioners and clouds, asked of the hub when they are used: short-lived, for one audience."""

import asyncio
import ssl
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any
from urllib.parse import quote

import httpx

from jupyter_dodas.errors import DodasError, IamRefused, ProvisionerUnreachable

__all__ = ["HubApi", "hub_ssl"]


def hub_ssl(variables: Mapping[str, str]) -> ssl.SSLContext | bool:
    """Return how the hub is reached that has started this service, by what it has put into the environment."""
    authority, key, certificate = (variables.get(f"JUPYTERHUB_SSL_{name}", "") for name in ("CLIENT_CA", "KEYFILE", "CERTFILE"))
    if not (authority and key and certificate):
        return True
    context = ssl.create_default_context(cafile=authority)
    context.load_cert_chain(certificate, key)
    return context


@dataclass(frozen=True)
class _Kept:
    token: str
    until: float


class HubApi:
    """What the service asks of the hub.

    Parameters
    ----------
    url, token
        Of the hub's API, and of this service.
    """

    def __init__(self, url: str, token: str, verify: ssl.SSLContext | bool = True) -> None:
        self._url = url.rstrip("/")
        self._client = httpx.AsyncClient(headers={"Authorization": f"token {token}"}, verify=verify, timeout=20.0)
        self._kept: dict[tuple[str, str], _Kept] = {}
        self._locks: dict[tuple[str, str], asyncio.Lock] = {}

    async def close(self) -> None:
        """Close its connections."""
        await self._client.aclose()

    async def token(self, user: str, audience: str) -> str:
        """Return an access token of a user, of which at least half of its life is left.

        Raises
        ------
        IamRefused
            If there is none, since the user has signed out, or the hub gives none for the audience.
        ProvisionerUnreachable
            If the hub does not answer.
        """
        key = (user, audience)
        async with self._locks.setdefault(key, asyncio.Lock()):
            kept = self._kept.get(key)
            if kept is None or time.time() > kept.until:
                kept = self._kept[key] = await self._ask(user, audience)
            return kept.token

    async def _ask(self, user: str, audience: str) -> _Kept:
        began = time.time()
        answer = await self._request("POST", "/dodas/token", json={"user": user, **({"audience": audience} if audience else {})})
        if answer.status_code == HTTPStatus.OK:
            given = answer.json()
            return _Kept(str(given["access_token"]), began + float(given["expires_in"]) / 2)
        said = _said(answer)
        if answer.status_code in (HTTPStatus.FORBIDDEN, HTTPStatus.NOT_FOUND, HTTPStatus.BAD_REQUEST):
            raise IamRefused("access_denied", said or f"The hub gives no token of {user}.")
        raise _silent(said or f"It said {answer.status_code}.")

    async def groups(self, user: str) -> Sequence[str]:
        """Return the groups of a user; of one whom the hub does not know there are none.

        Raises
        ------
        ProvisionerUnreachable
            If the hub does not answer.
        """
        answer = await self._request("GET", f"/users/{quote(user, safe='')}")
        if answer.status_code == HTTPStatus.NOT_FOUND:
            return ()
        if answer.status_code != HTTPStatus.OK:
            raise _silent(f"It said {answer.status_code}.")
        return [str(one) for one in answer.json().get("groups") or ()]

    async def servers(self) -> frozenset[str]:
        """Return the servers that run or are being started or stopped, as ``user/server``.

        Raises
        ------
        ProvisionerUnreachable
            If the hub does not answer: then nobody knows.
        """
        found: set[str] = set()
        offset = 0
        while True:
            query = {"state": "active", "offset": str(offset), "limit": "100"}
            answer = await self._request(
                "GET", "/users", params=query, headers={"Accept": "application/jupyterhub-pagination+json"}
            )
            if answer.status_code != HTTPStatus.OK:
                raise _silent(f"It said {answer.status_code}.")
            page: Any = answer.json()
            for user in page["items"]:
                found.update(f"{user['name']}/{server}" for server in user.get("servers") or {})
            following = page["_pagination"]["next"]
            if not following:
                return frozenset(found)
            offset = int(following["offset"])

    async def _request(self, method: str, path: str, **how: Any) -> httpx.Response:
        try:
            return await self._client.request(method, f"{self._url}{path}", **how)
        except httpx.HTTPError as error:
            raise _silent(str(error) or type(error).__name__) from None


def _said(answer: httpx.Response) -> str:
    try:
        return str(answer.json()["message"])[:500]
    except (ValueError, KeyError, TypeError):
        return ""


def _silent(cause: str) -> DodasError:
    return ProvisionerUnreachable("The hub does not answer", cause=cause, remedy="It is asked again; there is nothing to do.")
