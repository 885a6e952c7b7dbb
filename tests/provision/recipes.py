"""The recipes of this package at an address, as the service of infrastructures gives them."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from jupyter_dodas.errors import DodasError
from jupyter_dodas.provision.template import recipe

__all__ = ["recipes"]


class _Recipes(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        _, digest, name = self.path.split("/", 2)
        try:
            found, text = recipe(name)
        except DodasError:
            found, text = "", ""
        self.send_response(HTTPStatus.OK if found == digest else HTTPStatus.NOT_FOUND)
        self.send_header("Cache-Control", "no-store")
        self.send_header("Content-Length", str(len(text.encode())))
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@contextmanager
def recipes() -> Iterator[str]:
    """Give them for as long as the block lasts, and yield where."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _Recipes) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()
