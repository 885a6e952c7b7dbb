"""Somebody who uses a hub with a browser, without a screen: cookies, links, forms, and what the scripts of its pages ask."""

import contextlib
import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import Any, Final, Self
from urllib.parse import urlsplit

import httpx
from tornado.httpclient import HTTPRequest
from tornado.websocket import WebSocketClientConnection, websocket_connect

from jupyter_dodas.errors import DodasError

__all__ = ["Form", "Page", "Visitor"]

PATIENCE: Final = 60.0
LARGEST: Final = 64 * 2**20
"""Bytes of a message of a kernel."""


@dataclass
class Form:
    """A form as it stands on a page, with what is chosen in it."""

    action: str = ""
    method: str = "get"
    fields: dict[str, str] = field(default_factory=dict)
    buttons: set[tuple[str, str]] = field(default_factory=set)
    """Names and values of those that can be pressed."""


class Page:
    """A page that was opened.

    Raises
    ------
    DodasError
        If it is none, but an error.
    """

    def __init__(self, reply: httpx.Response) -> None:
        self.url, self.path, self.text = str(reply.url), reply.url.path, reply.text
        if reply.is_error:
            raise DodasError(f"{reply.url} answered {reply.status_code}", cause=" ".join(reply.text.split())[:500])
        found = _Reader()
        found.feed(reply.text)
        self.forms, self.links = found.forms, found.links

    def form(self, *names: str) -> Form:
        """Return the form that has these fields or buttons.

        Raises
        ------
        DodasError
            If there is none.
        """
        for form in self.forms:
            if set(names) <= {*form.fields, *(name for name, _ in form.buttons)}:
                return form
        raise DodasError(f"There is no form with {' and '.join(names)} on {self.url}", cause=" ".join(self.text.split())[:500])

    def link(self, part: str) -> str:
        """Return the first link that has `part` in its address.

        Raises
        ------
        DodasError
            If there is none.
        """
        for link in self.links:
            if part in link:
                return link
        raise DodasError(f"There is no link to {part} on {self.url}", cause=" ".join(self.text.split())[:500])


class _Reader(HTMLParser):
    """Finds links and forms."""

    def __init__(self) -> None:
        super().__init__()
        self.forms: list[Form] = []
        self.links: list[str] = []
        self._within: Form | None = None
        self._select = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        about = {name: value or "" for name, value in attrs}
        if tag == "a":
            self.links.append(about.get("href", ""))
        elif tag == "form":
            self._within = Form(about.get("action", ""), about.get("method", "get").lower())
            self.forms.append(self._within)
        elif self._within is not None and "disabled" not in about:
            self._field(self._within, tag, about)

    def _field(self, form: Form, tag: str, about: Mapping[str, str]) -> None:
        name, value, kind = about.get("name", ""), about.get("value", ""), about.get("type", "")
        if tag == "button" or kind == "submit":
            form.buttons.add((name, value))
        elif tag == "input" and name and (kind not in {"radio", "checkbox"} or "checked" in about):
            form.fields[name] = value
        elif tag == "select":
            self._select = name
        elif tag == "option" and self._select and ("selected" in about or self._select not in form.fields):
            form.fields[self._select] = value

    def handle_endtag(self, tag: str) -> None:
        if tag == "form":
            self._within = None
        elif tag == "select":
            self._select = ""


class Visitor:
    """A browser without a screen.

    Parameters
    ----------
    url
        The hub.
    cookies
        Those of another browser, by somebody who has copied them.
    """

    def __init__(self, url: str, cookies: httpx.Cookies | None = None) -> None:
        self.url = url
        self._client = httpx.AsyncClient(base_url=url, cookies=cookies, timeout=PATIENCE, follow_redirects=True, trust_env=False)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._client.aclose()

    @property
    def cookies(self) -> httpx.Cookies:
        """A copy of all cookies."""
        return httpx.Cookies(self._client.cookies)

    async def open(self, address: str) -> Page:
        """Open a page, wherever it leads."""
        return Page(await self._ask("GET", address))

    async def submit(self, page: Page, form: Form, **pressed: str) -> Page:
        """Send a form, with the button that was pressed."""
        address = str(httpx.URL(page.url).join(form.action))
        sent = {**form.fields, **pressed}
        if form.method == "post":
            return Page(await self._ask("POST", address, data=sent, headers={"Origin": _origin(page.url)}))
        return Page(await self._ask("GET", address, params=sent))

    async def get(self, address: str) -> Any:
        """Ask an API as the scripts of a page do; returns what stands in its JSON."""
        return (await self._api("GET", address)).json()

    async def post(self, address: str, content: object) -> Any:
        """Send JSON to an API."""
        return (await self._api("POST", address, json=content)).json()

    async def delete(self, address: str) -> None:
        """Have an API remove something."""
        await self._api("DELETE", address)

    async def status(self, address: str) -> int:
        """Return how an address answers, without going where it leads."""
        return (await self._ask("GET", address, follow_redirects=False)).status_code

    async def events(self, address: str) -> AsyncIterator[Mapping[str, Any]]:
        """Yield the events of a stream."""
        headers = {"Accept": "text/event-stream"}
        try:
            async with self._client.stream("GET", address, headers=headers) as reply:
                if reply.is_error:
                    raise DodasError(f"{address} answered {reply.status_code}")
                async for line in reply.aiter_lines():
                    if line.startswith("data:"):
                        yield json.loads(line.removeprefix("data:"))
        except httpx.HTTPError as error:
            raise DodasError(f"{address} broke off", cause=repr(error)) from error

    @contextlib.asynccontextmanager
    async def socket(self, address: str) -> AsyncIterator[WebSocketClientConnection]:
        """Open a websocket."""
        full = str(httpx.URL(self.url).join(address))
        cookie = self._client.build_request("GET", full).headers.get("Cookie", "")
        headers = {"Cookie": cookie, "Origin": _origin(self.url)}
        try:
            connection = await websocket_connect(
                HTTPRequest(full.replace("http", "ws", 1), headers=headers), max_message_size=LARGEST
            )
        except Exception as error:  # whatever the way to the kernel has to say
            raise DodasError(f"{address} takes no websocket", cause=str(error)) from error
        try:
            yield connection
        finally:
            connection.close()

    async def _api(self, method: str, address: str, **how: Any) -> httpx.Response:
        headers = {"X-XSRFToken": self._xsrf(address), "Origin": _origin(self.url)}
        reply = await self._ask(method, address, headers=headers, **how)
        if reply.is_error:
            raise DodasError(f"{method} {address} answered {reply.status_code}", cause=" ".join(reply.text.split())[:500])
        return reply

    async def _ask(self, method: str, address: str, **how: Any) -> httpx.Response:
        try:
            return await self._client.request(method, address, **how)
        except httpx.HTTPError as error:
            raise DodasError(f"{address} does not answer", cause=repr(error)) from error

    def _xsrf(self, address: str) -> str:
        """Return the token against forged requests, which the hub and each server have a cookie of their own for."""
        path = urlsplit(str(httpx.URL(self.url).join(address))).path
        fitting = [one for one in self._client.cookies.jar if one.name == "_xsrf" and path.startswith(one.path)]
        return max(fitting, key=lambda one: len(one.path)).value or "" if fitting else ""


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"
