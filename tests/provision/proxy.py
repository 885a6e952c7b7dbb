"""A proxy before the Infrastructure Manager that spoils answers."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx

__all__ = ["Spoils", "Spoilt", "spoiling"]


class Spoils(StrEnum):
    """What becomes of an answer."""

    NOTHING = "nothing"
    HANG = "hang"
    """There is none."""
    DRIP = "drip"
    """It comes, a byte at a time, and does not end."""
    CUT = "cut"
    """The connection ends in the middle of it."""
    LOST = "lost"
    """It is what was asked for, and gets lost."""
    ERROR = "error"
    """A proxy in between says 502 in HTML."""
    CRASH = "crash"
    """A 500 with a stack trace."""
    GARBAGE = "garbage"
    """It is JSON no more."""
    SHAPE = "shape"
    """It is JSON of quite another shape."""
    REDIRECT = "redirect"
    """It is told to ask somebody else."""


class Spoilt(ThreadingHTTPServer):
    """The proxy; `mode` may be changed at any time."""

    daemon_threads = True
    mode = Spoils.NOTHING
    behind = ""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.ended = threading.Event()
        self.url = f"http://127.0.0.1:{self.server_address[1]}"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of clients that have given up."""


class _Handler(BaseHTTPRequestHandler):
    server: Spoilt

    def _serve(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        mode = self.server.mode
        if mode in (Spoils.NOTHING, Spoils.LOST):
            kept = {key: value for key, value in self.headers.items() if key.lower() in ("authorization", "accept", "content-type")}
            answer = httpx.request(self.command, self.server.behind + self.path, headers=kept, content=body, timeout=60)
            if mode is Spoils.NOTHING:
                self._say(answer.status_code, answer.content)
        elif mode is Spoils.HANG:
            self.server.ended.wait(60)
        elif mode is Spoils.DRIP:
            self.send_response(200)
            self.end_headers()
            while not self.server.ended.wait(0.1):
                self.wfile.write(b" ")
        elif mode is Spoils.CUT:
            self._say(200, b'{"uri-list": [', length=1000)
        elif mode is Spoils.REDIRECT:
            self.send_response(302)
            self.send_header("Location", "http://127.0.0.1:9/elsewhere")
            self.send_header("Content-Length", "0")
            self.end_headers()
        else:
            said = {
                Spoils.ERROR: (502, b"<html><h1>Bad gateway</h1></html>"),
                Spoils.CRASH: (500, b'{"message": "Traceback (most recent call last):\\n ValueError: x", "code": 500}'),
                Spoils.GARBAGE: (200, b'{"state": {"state": "config'),
                Spoils.SHAPE: (200, b'[{"state": 7}, null]'),
            }
            self._say(*said[mode])

    def _say(self, status: int, body: bytes, length: int | None = None) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(length or len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST = do_PUT = do_DELETE = _serve  # noqa: N815 - these are the names

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@contextmanager
def spoiling(behind: str) -> Iterator[Spoilt]:
    """Run one before this address."""
    with Spoilt() as proxy:
        proxy.behind = behind
        thread = threading.Thread(target=proxy.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield proxy
        finally:
            proxy.ended.set()
            proxy.shutdown()
            thread.join()
