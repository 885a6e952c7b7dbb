"""JupyterLab as a child process: on loopback, signed in to with a token that no command line, environment or log shows."""

import asyncio
import contextlib
import ctypes
import json
import os
import secrets
import signal
import sys
import time
from collections.abc import Callable, Coroutine
from html import escape
from pathlib import Path
from typing import Any, TypeVar

from jupyter_core.paths import jupyter_runtime_dir

from jupyter_dodas.errors import DodasError

__all__ = ["Lab"]

T = TypeVar("T")

STARTS_WITHIN = 60.0
STOPS_WITHIN = 20.0  # Jupyter itself gives a busy kernel five seconds
LOOK_EVERY = 0.05

OPTIONS = (
    "--no-browser",
    "--ServerApp.ip=127.0.0.1",
    "--ServerApp.allow_remote_access=False",
    # Versions come from constraints.txt, so there is nothing to install or to update from inside.
    "--LabApp.extension_manager=readonly",
    "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
    "--LabApp.news_url=None",
    # It would forward any port of this machine to whoever is signed in, and costs a third of a second.
    '--ServerApp.jpserver_extensions={"jupyter_server_proxy": False}',
    # Other users of the machine can connect to a kernel's ports, and read its output unless it is encrypted.
    "--KernelManager.transport_encryption=auto",
)


class Lab:
    """One JupyterLab.

    Parameters
    ----------
    folder
        A private folder that is there for as long as it runs.
    session
        What the clusters that are launched through it belong to.
    isolated
        Leave the user's Jupyter configuration out, and let the controller go as soon as it has nothing to do.
    """

    def __init__(self, folder: Path, session: str, *, isolated: bool) -> None:
        self._folder, self._session, self._isolated = folder, session, isolated
        self._process: asyncio.subprocess.Process | None = None
        self.url = self.token = ""
        self.port = 0
        self.seconds = 0.0
        """How long it took until it answered."""

    @property
    def token_file(self) -> Path:
        """Where the server reads the token from."""
        return self._folder / "token"

    @property
    def sign_in_page(self) -> Path:
        """A page that signs a browser on this machine in; missing where the user's configuration has a token of its own."""
        return self._folder / "sign-in.html"

    @property
    def log(self) -> Path:
        """What the server says while it runs."""
        return self._folder / "jupyterlab.log"

    async def start(self, port: int) -> None:
        """Return once it takes requests, at `port` or the next free one.

        Raises
        ------
        DodasError
            If it ends or does not answer in time.
        """
        began = time.monotonic()
        token = secrets.token_hex(24)
        write_private(self.token_file, token)
        command = [
            sys.executable,
            "-m",
            "jupyterlab",
            *OPTIONS,
            f"--ServerApp.port={port}",
            f"--ServerApp.root_dir={Path.cwd()}",
        ]
        if os.geteuid() == 0:
            command.append("--allow-root")
        write_private(self.log, "")
        with self.log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *command,
                env=self._environment(),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # Ctrl-C is for our process, which stops this one in order
                preexec_fn=ends_with_parent(),
            )
        runtime = self._folder if self._isolated else Path(jupyter_runtime_dir())
        try:
            async with asyncio.timeout(STARTS_WITHIN):
                found = await self.unless_it_ends(when_it_listens(runtime / f"jpserver-{self._process.pid}.json"))
        except TimeoutError:
            raise DodasError(f"JupyterLab did not answer within {STARTS_WITHIN:.0f} seconds", cause=self._last_words()) from None
        self.url, self.token, self.port = found["url"], found["token"], found["port"]
        self.seconds = time.monotonic() - began
        if self.token == token:
            write_private(self.sign_in_page, page_that_signs_in(self.url, token))

    async def unless_it_ends(self, work: Coroutine[Any, Any, T]) -> T:
        """Wait for `work`.

        Raises
        ------
        DodasError
            If the server ends before.
        """
        assert self._process is not None
        wanted, ended = asyncio.ensure_future(work), asyncio.ensure_future(self._process.wait())
        try:
            await asyncio.wait({wanted, ended}, return_when=asyncio.FIRST_COMPLETED)
            if not wanted.done():
                raise DodasError(f"JupyterLab ended with exit code {self._process.returncode}", cause=self._last_words())
            return wanted.result()
        finally:
            wanted.cancel()
            ended.cancel()
            await asyncio.gather(wanted, ended, return_exceptions=True)

    async def stop(self) -> None:
        """Let it shut its kernels down and end; kill it if it does not."""
        if self._process is None or self._process.returncode is not None:
            return
        self._process.terminate()
        try:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(STOPS_WITHIN):
                    await self._process.wait()
        finally:
            if self._process.returncode is None:
                os.killpg(self._process.pid, signal.SIGKILL)  # its kernels end by themselves once they miss it

    def _last_words(self) -> str:
        return "\n".join(["Its last lines:", *self.log.read_text("utf-8", "replace").splitlines()[-15:]])

    def _environment(self) -> dict[str, str]:
        variables = {
            **os.environ,
            "DODAS_SESSION": self._session,
            "JUPYTER_TOKEN_FILE": str(self.token_file),
            # So that `!dodas list` in a cell and the terminals of Lab find the command.
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
        }
        variables.pop("JUPYTER_TOKEN", None)
        if self._isolated:
            configuration = {name: str(self._folder / name.lower()) for name in ("JUPYTER_CONFIG_DIR", "IPYTHONDIR")}
            variables |= {**configuration, "JUPYTER_RUNTIME_DIR": str(self._folder), "DODAS_LINGER": "0"}
        return variables


def ends_with_parent() -> Callable[[], None] | None:
    """Return what a child does before it runs its program, so that it is told to end should this process be killed."""
    if sys.platform != "linux":
        return None
    parent, prctl = os.getpid(), ctypes.CDLL(None).prctl

    def arrange() -> None:
        prctl(1, signal.SIGTERM)  # PR_SET_PDEATHSIG
        if os.getppid() != parent:  # it died before the line above
            os._exit(1)

    return arrange


async def when_it_listens(file: Path) -> dict[str, Any]:
    """Wait until the server listens where it said in its file that it would, and return what stands there."""
    while True:
        with contextlib.suppress(OSError, ValueError):
            found: dict[str, Any] = json.loads(file.read_bytes())
            _, writer = await asyncio.open_connection("127.0.0.1", found["port"])
            writer.close()
            return found
        await asyncio.sleep(LOOK_EVERY)


def write_private(file: Path, text: str) -> None:
    """Write a file that its owner alone can read."""
    with open(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as opened:  # noqa: PTH123
        opened.write(text)


def page_that_signs_in(url: str, token: str) -> str:
    """Return a page that posts the token: in a request's body it stands in no address, history or log."""
    return f"""<!doctype html>
<html lang="en">
<meta charset="utf-8">
<title>Sign in to JupyterLab</title>
<form method="post" action="{escape(url)}login?next=%2Flab">
  <input type="hidden" name="token" value="{escape(token)}">
  <input type="hidden" name="password" value="{escape(token)}">
  <button>Sign in to JupyterLab</button>
</form>
<script>document.forms[0].submit()</script>
</html>
"""
