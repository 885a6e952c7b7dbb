"""A running inference server of its own for tests, as the command starts it, and what one does with one."""

import io
import json
import shutil
import signal
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Self

import httpx

from jupyter_dodas.testing.waiting import blocking_until

__all__ = ["KEYS", "Endpoint", "packed"]

KEYS: Final = ("pt_1", "pt_2", "eta_1", "eta_2", "flight", "dca", "angle", "chi2", "mass")
"""Names for the nine features of the model `net`."""

_TOKEN: Final = "a-token-of-tests-0123456789"
_WITHIN: Final = 150.0


class Endpoint:
    """A server in a process of its own, with a folder of its own.

    Parameters
    ----------
    disk
        How large the disk is on which its folder lies, as mount has it; only root can say.
    flags
        Settings, by their names.
    """

    def __init__(self, disk: str = "", **flags: Any) -> None:
        self.root = Path(tempfile.mkdtemp(prefix="dodas-tfaas-"))
        self.store = self.root / "store"
        self.token = _TOKEN
        (self.root / "token").write_text(_TOKEN)
        self._flags = {"folder": self.store, "port": 0, "token_file": self.root / "token", "log": self.root / "access.log"}
        # Most tests upload nothing, and many servers would import TensorFlow at the same time.
        self._flags |= {"standby": False, **flags}
        self._disk = disk
        if disk:
            self.store.mkdir()
            subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={disk}", "tmpfs", self.store], check=True)
        try:
            self._start()
        except BaseException:
            self._remove()
            raise

    def _start(self) -> None:
        port = self.root / "port"
        port.unlink(missing_ok=True)
        flags = [
            word
            for name, value in {**self._flags, "port_file": port}.items()
            for word in (f"--{name.replace('_', '-')}", str(value))
        ]
        with (self.root / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "jupyter_dodas.inference", *flags], stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        blocking_until(lambda: port.is_file() or self.process.poll() is not None, within=_WITHIN)
        assert self.process.poll() is None, self.said()
        self.url = f"http://127.0.0.1:{port.read_text().strip()}"
        self.client = self.caller(self.token)

    def caller(self, token: str | None) -> httpx.Client:
        """A client with this token, or without one."""
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        return httpx.Client(base_url=self.url, headers=headers, timeout=_WITHIN)

    def said(self) -> str:
        """What the server wrote."""
        return (self.root / "log").read_text()

    # What is done with it.

    def upload(self, model: str, what: Path, client: httpx.Client | None = None, **note: Any) -> Mapping[str, Any]:
        """Upload a version, and return the last line about it."""
        kind = {"Content-Type": "application/x-tar"}
        reply = (client or self.client).post(f"/dodas/v1/models/{model}/versions", content=packed(what, **note), headers=kind)
        assert reply.status_code == 200, reply.text
        last: Mapping[str, Any] = json.loads(reply.text.splitlines()[-1])
        return last

    def deploy(self, model: str, what: Path, **note: Any) -> str:
        """Upload a version, and return its name."""
        return str(self.upload(model, what, **note)["version"]["version"])

    def publish(self, model: str, version: str) -> None:
        """Let it answer."""
        reply = self.client.post(f"/dodas/v1/models/{model}/publish", json={"version": version})
        assert reply.status_code == 200, reply.text

    # How it ends.

    def kill(self) -> None:
        """End it without a chance to tidy up."""
        self.client.close()
        self.process.kill()
        self.process.wait()

    def again(self) -> Self:
        """Start it once more, with the same folder."""
        self._start()
        return self

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End it, and see that it does so by itself."""
        self.client.close()
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(_WITHIN)
            finally:
                self.process.kill()
                self.process.wait()
        self._remove()

    def _remove(self) -> None:
        if self._disk:
            subprocess.run(["umount", self.store], check=True)
        shutil.rmtree(self.root)


def packed(what: Path, examples: bytes | None = None, members: Sequence[tuple[tarfile.TarInfo, bytes]] = (), **note: Any) -> bytes:
    """An archive as clients send it."""
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as archive:
        archive.add(what, "model" if what.is_dir() else f"model/{what.name}")
        for name, content in {"upload.json": json.dumps(note).encode(), "examples.npz": examples}.items():
            if content is not None:
                entry = tarfile.TarInfo(name)
                entry.size = len(content)
                archive.addfile(entry, io.BytesIO(content))
        for entry, content in members:
            archive.addfile(entry, io.BytesIO(content))
    return made.getvalue()
