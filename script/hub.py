"""The hub of a laptop as a child process: JupyterHub with its proxy and the development IAM, on free ports of loopback."""

import asyncio
import contextlib
import ctypes
import fcntl
import json
import os
import random
import signal
import socket
import sys
import time
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, TypeVar

import httpx
import psutil

from jupyter_dodas import settings
from jupyter_dodas.errors import DodasError
from jupyter_dodas.iam.development.directory import DirectoryFile, User

__all__ = ["Hub", "alone", "places", "users"]

T = TypeVar("T")

CONFIGURATION: Final = Path(__file__).resolve().parent.parent / "hub_config" / "laptop_config.py"
STARTS_WITHIN: Final = 60.0
STOPS_WITHIN: Final = 60.0  # a notebook has ten seconds to end its kernels
LOOK_EVERY: Final = 0.05
PORTS: Final = 4
"""The proxy, its API, the IAM, and the hub behind the proxy."""


class Hub:
    """One hub.

    Parameters
    ----------
    folder
        A private folder that is there for as long as it runs.
    state
        Where it keeps its keys and the places of its users.
    session
        What the clusters that are launched through it belong to.
    variables
        What notebooks have in their environment beside that.
    """

    def __init__(self, folder: Path, state: Path, session: str, variables: Mapping[str, str]) -> None:
        self._folder, self._state = folder, state
        # Everybody works as this account, so what was made ready for it once, as Spark's classes, serves all.
        cache = os.environ.get("XDG_CACHE_HOME") or str(Path("~/.cache").expanduser())
        self._variables = {"DODAS_SESSION": session, "XDG_CACHE_HOME": cache, **variables}
        self._process: asyncio.subprocess.Process | None = None
        self.port = 0
        self.seconds = 0.0
        """How long it took until it answered."""

    @property
    def url(self) -> str:
        """Where it answers, with a slash at the end."""
        return f"http://127.0.0.1:{self.port}/"

    @property
    def seen(self) -> Sequence[int]:
        """The ports that a browser connects to: the proxy's, and the IAM's."""
        return self.port, self.port + 2

    @property
    def log(self) -> Path:
        """What hub, proxy and IAM say while they run."""
        return self._folder / "jupyterhub.log"

    async def start(self, port: int) -> None:
        """Return once it takes requests, at `port` or one of the next.

        Raises
        ------
        DodasError
            If it ends or does not answer in time.
        """
        began = time.monotonic()
        self.port = free_ports(port)
        with open(os.open(self.log, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "ab") as log:  # noqa: PTH123
            self._process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "jupyterhub", "-f", str(CONFIGURATION)),
                env=self._environment(),
                cwd=self._folder,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # Ctrl-C is for our process, which stops this one in order
                preexec_fn=ends_with_parent(),
            )
        try:
            async with asyncio.timeout(STARTS_WITHIN):
                await self.unless_it_ends(self._answers())
        except TimeoutError:
            raise DodasError(f"JupyterHub did not answer within {STARTS_WITHIN:.0f} seconds", cause=self._last_words()) from None
        self.seconds = time.monotonic() - began

    def _environment(self) -> dict[str, str]:
        # So that `!dodas list` in a cell and the terminals of Lab find the command, and the proxy a Node that is there.
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
        own = {
            "DODAS_HUB_PORT": str(self.port),
            "DODAS_HUB_STATE": str(self._state),
            "DODAS_HUB_FOLDER": str(Path.cwd()),
            "DODAS_HUB_NOTEBOOKS": json.dumps(self._variables),
        }
        return {**os.environ, **settings.load().variables(), **self._variables, **own, "PATH": path}

    async def _answers(self) -> None:
        """Wait until the hub answers through its proxy, and the IAM, which the hub has started."""
        proxy, iam = self.seen
        wanted = f"http://127.0.0.1:{proxy}/hub/health", f"http://127.0.0.1:{iam}/.well-known/openid-configuration"
        async with httpx.AsyncClient(trust_env=False) as client:
            for address in wanted:
                await until(address, client)

    async def unless_it_ends(self, work: Coroutine[Any, Any, T]) -> T:
        """Wait for `work`.

        Raises
        ------
        DodasError
            If the hub ends before.
        """
        assert self._process is not None
        wanted, ended = asyncio.ensure_future(work), asyncio.ensure_future(self._process.wait())
        try:
            await asyncio.wait({wanted, ended}, return_when=asyncio.FIRST_COMPLETED)
            if not wanted.done():
                raise DodasError(f"JupyterHub ended with exit code {self._process.returncode}", cause=self._last_words())
            return wanted.result()
        finally:
            wanted.cancel()
            ended.cancel()
            await asyncio.gather(wanted, ended, return_exceptions=True)

    async def stop(self) -> None:
        """Let it end its notebooks, the proxy and the IAM, and then itself; kill them if it does not."""
        if self._process is None or self._process.returncode is not None:
            return
        family = descendants(self._process.pid)
        self._process.terminate()
        try:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(STOPS_WITHIN):
                    await self._process.wait()
        finally:
            for one in family:
                with contextlib.suppress(psutil.NoSuchProcess):
                    one.kill()

    def _last_words(self) -> str:
        return "\n".join(["Its last lines:", *self.log.read_text("utf-8", "replace").splitlines()[-15:]])


def users() -> Mapping[str, User]:
    """Return who can sign in."""
    return DirectoryFile(Path(os.environ.get("DODAS_HUB_USERS", CONFIGURATION.with_name("users.toml")))).now().users


def places(state: Path) -> Iterator[settings.Settings]:
    """Yield the settings of the place of each user of the hub that has its state there."""
    configured = settings.load()
    for folder in sorted((state / "users").glob("*/")):
        runtime = None if configured.runtime is None else configured.runtime / folder.name
        yield configured.model_copy(update={"state": folder, "runtime": runtime})


@contextlib.contextmanager
def alone(state: Path) -> Iterator[None]:
    """Hold the folder of a hub: two with the same database and the same users' places would end each other's notebooks.

    Raises
    ------
    DodasError
        If somebody else holds it.
    """
    state.mkdir(mode=0o700, parents=True, exist_ok=True)
    with (state / "up.lock").open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise DodasError(
                "script/up runs already",
                cause=f"Its records are in {state}.",
                remedy="End that one, or name another folder: DODAS_STATE=~/other script/up",
            ) from None
        yield


async def until(address: str, client: httpx.AsyncClient) -> None:
    """Look until all is well at an address."""
    while True:
        with contextlib.suppress(httpx.HTTPError):
            if (await client.get(address)).is_success:
                return
        await asyncio.sleep(LOOK_EVERY)


def free_ports(first: int) -> int:
    """Return the first of some ports in a row that nobody listens on.

    Parameters
    ----------
    first
        Where to begin; 0 is anywhere below those that the system gives to clients.
    """
    start = first or random.SystemRandom().randrange(20_000, 30_000)
    for port in range(start, 65_536 - PORTS):
        with contextlib.ExitStack() as stack, contextlib.suppress(OSError):
            for offset in range(PORTS):
                one = stack.enter_context(socket.socket())
                one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as servers do: what was closed just now is free
                one.bind(("127.0.0.1", port + offset))
            return port
    raise DodasError(f"There are no {PORTS} free ports from {start} on", remedy="Name others: script/up --port 20000")


def descendants(pid: int) -> list[psutil.Process]:
    """Return a process and what it has started, as far as that has not left it."""
    try:
        process = psutil.Process(pid)
        return [process, *process.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


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
