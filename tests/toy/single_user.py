"""The smallest single-user server: it answers whatever is asked below its prefix, with its variables; and it runs programs."""

import json
import os
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit


class Answer(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        body = json.dumps({"user": os.environ["JUPYTERHUB_USER"], "variables": dict(os.environ)}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self) -> None:
        """Run a program, as a kernel does. It says what is to be known of it as `said`."""
        scope: dict[str, object] = {}
        exec(self.rfile.read(int(self.headers["Content-Length"])), scope)
        body = json.dumps(scope["said"]).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


if __name__ == "__main__":
    while Path("wait").exists():  # for tests that want a start to take its time
        time.sleep(0.02)
    where = urlsplit(os.environ["JUPYTERHUB_SERVICE_URL"])
    ThreadingHTTPServer((where.hostname or "", where.port or 0), Answer).serve_forever()
