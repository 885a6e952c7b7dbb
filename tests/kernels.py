"""A kernel of a notebook server, reached as a page reaches it: through the proxy of a hub, with a browser's cookies."""

import json
import uuid
from contextlib import AbstractContextManager, ExitStack
from typing import Any, Self

from websockets.sync.client import connect

from tests.hubs import Browser

__all__ = ["Kernel"]


class Kernel(AbstractContextManager["Kernel"]):
    """A kernel in the server of a user, who is signed in."""

    def __init__(self, browser: Browser, user: str) -> None:
        browser.follow(browser.get(f"/user/{user}/lab"))
        self._browser, self._base = browser, f"/user/{user}/api"
        self._open = ExitStack()
        self._kernel = self.api("POST", "/kernels", json={"name": "python3"})["id"]
        self._open.callback(self.api, "DELETE", f"/kernels/{self._kernel}")
        address = f"{browser.hub.url}{self._base}/kernels/{self._kernel}/channels".replace("http", "ws", 1)
        headers = {"Cookie": browser.client.build_request("GET", f"{browser.hub.url}{self._base}/kernels").headers["Cookie"]}
        self._socket = self._open.enter_context(connect(address, additional_headers=headers, max_size=None, open_timeout=30))

    def api(self, method: str, path: str, **how: Any) -> Any:
        """Ask the server's API as its pages do; return what stands in its JSON."""
        server = self._base.removesuffix("api")
        tokens = [cookie.value for cookie in self._browser.client.cookies.jar if (cookie.name, cookie.path) == ("_xsrf", server)]
        reply = self._browser.client.request(
            method, f"{self._browser.hub.url}{self._base}{path}", headers={"X-XSRFToken": tokens[0] or ""}, **how
        )
        assert reply.is_success, reply.text
        return reply.json() if reply.content else None

    def run(self, code: str, *, within: float = 120) -> str:
        """Run a cell, and return what it has printed.

        Raises
        ------
        AssertionError
            If it fails, with what it has to say.
        """
        asked = uuid.uuid4().hex
        header = {"msg_id": asked, "msg_type": "execute_request", "session": asked, "username": "", "version": "5.3"}
        content = {"code": code, "silent": False, "store_history": False, "allow_stdin": False, "stop_on_error": True}
        message = {"header": header, "parent_header": {}, "metadata": {}, "content": content, "channel": "shell", "buffers": []}
        self._socket.send(json.dumps(message))
        said = ""
        while True:
            heard = json.loads(self._socket.recv(timeout=within))
            if heard["parent_header"].get("msg_id") != asked:
                continue
            content = heard["content"]
            match heard["msg_type"]:
                case "stream":
                    said += content["text"]
                case "error":
                    raise AssertionError("\n".join([said, *content["traceback"]]))
                case "status" if content["execution_state"] == "idle":
                    return said

    def close(self) -> None:
        """End it."""
        self._open.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
