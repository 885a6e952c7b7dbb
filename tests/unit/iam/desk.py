"""A hub's desk for tokens, of which a test decides what it says."""

import json
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

__all__ = ["Desk"]


class Desk(ThreadingHTTPServer):
    """It gives ``t1``, ``t2`` and so on to who has the key."""

    status, lifetime, body = 200, 3600, b""
    key, location = "key", ""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Reply)
        self.asked: list[dict[str, Any]] = []
        self.url = f"http://127.0.0.1:{self.server_port}/hub/api"
        Thread(target=self.serve_forever, args=(0.02,), daemon=True).start()

    def close(self) -> None:
        """Be gone."""
        self.shutdown()
        self.server_close()


class _Reply(BaseHTTPRequestHandler):
    server: Desk

    def do_POST(self) -> None:
        self.server.asked.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        given = {"access_token": f"t{len(self.server.asked)}", "expires_in": self.server.lifetime}
        self.send_response(self.server.status if self.headers["Authorization"] == f"token {self.server.key}" else 403)
        if self.server.location:
            self.send_header("Location", self.server.location)
        self.end_headers()
        self.wfile.write(self.server.body or json.dumps(given).encode())

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""
