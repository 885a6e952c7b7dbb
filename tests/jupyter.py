"""A Jupyter Server of its own for tests and benchmarks, with the extension enabled by the file that the wheel installs."""

import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from typing import Any, Final

import httpx
from websockets.sync.client import ClientConnection, connect

from jupyter_dodas.testing.waiting import blocking_until

__all__ = ["HINT", "JupyterServer", "error"]

HINT: Final = "https://events.jupyter-dodas.org/cluster/v1"
"""The schema of what is told of clusters over the event bus."""

ROOT: Final = Path(__file__).resolve().parents[1]

_STARTS_WITHIN: Final = 90.0
"""Seconds: it imports much, and on a busy machine that takes its time."""


class JupyterServer:
    """A server process on loopback.

    Parameters
    ----------
    variables
        What leads it to a place.
    settings
        Traits, by class.
    """

    def __init__(self, variables: Mapping[str, str], settings: Mapping[str, Mapping[str, Any]] | None = None) -> None:
        self.token = secrets.token_hex(16)
        self._folder = tempfile.TemporaryDirectory(prefix="dodas-jupyter-")
        folder = Path(self._folder.name)
        self.log = folder / "log"
        with socket.socket() as found:
            found.bind(("127.0.0.1", 0))
            self.port = found.getsockname()[1]
        traits: dict[str, dict[str, Any]] = {
            # pip puts ours and jupyter-server-proxy's files where they enable the extensions; here nothing need be installed.
            "ServerApp": {
                "jpserver_extensions": {"jupyter_server_proxy": True},
                "port": self.port,
                "port_retries": 0,
                "open_browser": False,
                "allow_root": True,
                "root_dir": str(folder),
            },
            "IdentityProvider": {"token": self.token},
        }
        for name, values in (settings or {}).items():
            traits.setdefault(name, {}).update(values)
        (folder / "config").mkdir()
        (folder / "config" / "jupyter_server_config.json").write_text(json.dumps(traits))
        self._variables = variables
        self.process = self._begin()
        self.url = f"http://127.0.0.1:{self.port}{traits['ServerApp'].get('base_url', '').rstrip('/')}"
        self.api = f"{self.url}/dodas/api/v1"
        self.client = httpx.Client(base_url=f"{self.api}/", headers=self.headers, timeout=30)
        try:
            blocking_until(self._answers, within=_STARTS_WITHIN)
        except BaseException:
            self.close()  # nobody else can
            raise

    def _begin(self) -> subprocess.Popen[bytes]:
        folder = self.log.parent
        with self.log.open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "jupyter_server"],
                env={
                    **{name: value for name, value in os.environ.items() if not name.startswith("JUPYTER")},
                    **self._variables,
                    "JUPYTER_CONFIG_DIR": str(folder / "config"),
                    "JUPYTER_CONFIG_PATH": str(ROOT / "jupyter-config"),
                    "JUPYTER_RUNTIME_DIR": str(folder / "runtime"),
                    "JUPYTER_DATA_DIR": str(folder / "data"),
                },
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def begin_again(self) -> None:
        """Start it where it was, after it has ended."""
        self.process = self._begin()
        blocking_until(self._answers, within=_STARTS_WITHIN)

    @property
    def headers(self) -> dict[str, str]:
        """What a request of the owner carries."""
        return {"Authorization": f"token {self.token}"}

    def _answers(self) -> bool:
        assert self.process.poll() is None, self.log.read_text()
        try:
            return httpx.get(f"{self.url}/api/status", headers=self.headers).is_success
        except httpx.TransportError:
            return False

    def launch(self, name: str, kind: str = "toy", **options: Any) -> dict[str, Any]:
        """Launch a cluster, and wait until it is ready."""
        reply = self.client.post("clusters", json={"kind": kind, "name": name, "options": {"workers": 1, **options}})
        assert reply.status_code == 202, reply.text
        return self.until_phase(name, "ready")

    def events(self) -> AbstractContextManager[ClientConnection]:
        """Listen to the event bus."""
        return connect(f"{self.url.replace('http', 'ws', 1)}/api/events/subscribe", additional_headers=self.headers)

    def cluster(self, name: str) -> dict[str, Any]:
        """Read one cluster."""
        found: dict[str, Any] = self.client.get(f"clusters/{name}").raise_for_status().json()
        return found

    def until_phase(self, name: str, phase: str, within: float = 30) -> dict[str, Any]:
        """Wait until a cluster is in a phase."""
        return blocking_until(
            lambda: self.cluster(name), within=within, meets=lambda found: bool(found["status"]["phase"] == phase)
        )

    def until_gone(self, name: str, within: float = 30) -> None:
        """Wait until there is no such cluster."""
        blocking_until(lambda: self.client.get(f"clusters/{name}").status_code, within=within, meets=lambda code: code == 404)

    def ready_workers(self, name: str) -> int:
        """Count the workers of a cluster that answer."""
        instances = self.cluster(name)["status"]["instances"].values()
        return sum(instance["group"] is not None and instance["condition"] == "ready" for instance in instances)

    def raw(self, line: str, *headers: str) -> int:
        """Send a request line that no client would, and return the status."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=10) as wire:
            head = [line, f"Host: 127.0.0.1:{self.port}", f"Authorization: token {self.token}", "Connection: close", *headers]
            wire.sendall("\r\n".join(head).encode("latin-1") + b"\r\n\r\n")
            return int(wire.makefile("rb").readline().split()[1])

    def kill(self) -> None:
        """End it as a crash does."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def close(self) -> None:
        """End it politely, and remove what it wrote."""
        self.client.close()
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            # Jupyter Server never ends if it is told to while one of its threads is busy for a request; and Lab asks for
            # nbconvert's exporters, which takes seconds, whenever a notebook is opened.
            with suppress(subprocess.TimeoutExpired):
                self.process.wait(15)
            self.process.kill()
            self.process.wait()
        self._folder.cleanup()


def error(reply: httpx.Response) -> dict[str, Any]:
    """Return the error of a reply, which has the one shape."""
    assert reply.headers["Cache-Control"] == "no-store"
    assert reply.headers["Content-Type"] == "application/json"
    assert reply.json().keys() == {"error"}
    found: dict[str, Any] = reply.json()["error"]
    assert found.keys() == {"code", "message", "cause", "remedy", "retryable", "option", "retry"}
    return found
