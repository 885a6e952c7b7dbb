"""A server that starts at once and answers with nothing: what is measured is the hub, and how it starts servers."""

import os
import socketserver
from http.server import BaseHTTPRequestHandler
from urllib.parse import urlsplit


class Nothing(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True


if __name__ == "__main__":
    where = urlsplit(os.environ["JUPYTERHUB_SERVICE_URL"])
    Server((where.hostname or "", where.port or 0), Nothing).serve_forever()
