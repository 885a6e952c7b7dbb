"""Start a hub on loopback, say where it is, and at the end stop it and the clusters that were launched through it."""

import argparse
import asyncio
import contextlib
import ctypes
import os
import secrets
import signal
import socket
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import demo
import psutil
from ground import GROUNDS
from hub import Hub, alone, places, users

from jupyter_dodas import settings
from jupyter_dodas.aio import Cluster
from jupyter_dodas.backends.places import backend
from jupyter_dodas.errors import DodasError
from jupyter_dodas.settings import Settings
from jupyter_dodas.spec import Phase, Record

EXAMPLES: Final = [
    Path(__file__).resolve().parent.parent / "examples" / name for name in ("z-boson.ipynb", "k0s.ipynb", "batch.ipynb")
]
WHO: Final = "alice"
"""Signs in for the demo."""

GONE_WITHIN: Final = 20.0


def main() -> int:
    """Run until a signal comes, the server ends, or the demo is through."""
    parser = argparse.ArgumentParser(prog="script/up")
    parser.add_argument("--demo", action="store_true")
    parser.add_argument("--backend", choices=GROUNDS, default="local")
    parser.add_argument("--keep", action="store_true")
    parser.add_argument("--port", type=int, default=8888)
    arguments = parser.parse_args()
    try:
        asyncio.run(platform(arguments))
    except (asyncio.CancelledError, KeyboardInterrupt):
        # A signal is how the platform is stopped; a demo that was stopped was not seen to work.
        return 130 if arguments.demo else 0
    except DodasError as error:
        say(f"error: {error}")
        return 1
    return 0


async def platform(arguments: argparse.Namespace) -> None:
    """Prepare where clusters run, serve, and clear away."""
    end_orderly_on_signals()
    adopt_orphans()
    state = settings.load().state / "hub"
    with alone(state):
        async with GROUNDS[arguments.backend](say, keep=arguments.keep) as variables:
            await serve(arguments, state, variables)


async def serve(arguments: argparse.Namespace, state: Path, variables: Mapping[str, str]) -> None:
    """Start the hub, wait, stop it and what was launched through it."""
    session = f"up-{secrets.token_hex(6)}"
    hasty = {"DODAS_LINGER": "0"} if arguments.demo else {}
    with tempfile.TemporaryDirectory(prefix="jupyter-dodas-") as folder:
        hub = Hub(Path(folder), state, session, {**variables, **hasty})
        try:
            say("Starting JupyterHub ...")
            await hub.start(arguments.port)
            if arguments.demo:
                say(f"It answers at {hub.url} after {hub.seconds:.1f} s. Running the examples, as a browser would:")
                await hub.unless_it_ends(demo.run(hub.url, WHO, EXAMPLES))
            else:
                announce(hub, keep=arguments.keep)
                await hub.unless_it_ends(asyncio.Event().wait())
        finally:
            say("Stopping ...")
            await hub.stop()
            await stop_what_was_launched(state, session, keep=arguments.keep)
            # Where clusters go on, with --keep or those of others, who looks after them does as well.
            if await end_idle_places(state, session):
                await nothing_is_left(session)
                say("Nothing of it runs any more.")


def end_orderly_on_signals() -> None:
    """Let the first signal cancel the running task, whose `finally` stops everything; a second Ctrl-C cuts that short."""
    task = asyncio.current_task()
    assert task is not None
    stopping = False

    def stop(number: signal.Signals) -> None:
        nonlocal stopping
        # A terminal that closes sends SIGHUP twice, from its shell and from the kernel: only Ctrl-C is meant twice.
        if not stopping or number == signal.SIGINT:
            stopping = True
            task.cancel()

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if number != signal.SIGHUP or signal.getsignal(number) is not signal.SIG_IGN:  # nohup ignores it
            asyncio.get_running_loop().add_signal_handler(number, stop, number)


def announce(hub: Hub, *, keep: bool) -> None:
    """Print the address, and who can sign in."""
    lines = [f"JupyterHub: {hub.url} (after {hub.seconds:.1f} s)", "  sign in, without a password, as one of these:"]
    for name, user in users().items():
        lines.append(f"    {name:<8}{'suspended' if user.suspended else ', '.join(user.groups)}")
    if "SSH_CONNECTION" in os.environ:
        forwarded = " ".join(f"-L {port}:127.0.0.1:{port}" for port in hub.seen)
        lines.append(f"  from your own computer, first: ssh -N {forwarded} {socket.gethostname()}")
    lines.append(f"  its log: {hub.log}")
    lines.append("Ctrl-C stops it" + ("; clusters go on." if keep else " and the clusters that were launched through it."))
    print("\n".join(lines), flush=True)


async def stop_what_was_launched(state: Path, session: str, *, keep: bool) -> None:
    """Stop notebooks that the hub has left, and clusters that were launched through it, unless they are to be kept."""
    for place in places(state):
        for cluster, record in await recorded(place):
            if record.spec.kind == "notebook" or (record.spec.session == session and not keep):
                say(f"Stopping {record.spec.kind} {record.name} ...")
                try:
                    await cluster.stop()
                except DodasError as error:
                    say(f"error: {error}")


async def recorded(place: Settings) -> Sequence[tuple[Cluster, Record]]:
    """Return everything that is recorded at a place: its notebooks on this machine, and its clusters wherever they run."""
    at = [backend(place, name) for name in sorted({"local", place.backend})]
    return [(Cluster(one, record), record) for one in at for record in await one.store.list()]


async def end_idle_places(state: Path, session: str) -> bool:
    """End who looks after a place where nothing is left to look after. Return whether all of them could go."""
    all_went = True
    for place in places(state):
        if any(record.status.phase is not Phase.FAILED for _, record in await recorded(place)):
            all_went = False
            continue
        for process in processes_of(session, DODAS_STATE=str(place.state)):
            with contextlib.suppress(psutil.Error):
                process.terminate()
    return all_went


async def nothing_is_left(session: str) -> None:
    """Wait until no process that was started through this platform is there any more.

    Raises
    ------
    DodasError
        With those that stayed.
    """
    deadline = time.monotonic() + GONE_WITHIN
    while left := [f"{process.pid} ({process.name()})" for process in processes_of(session)]:
        reap_orphans()
        if time.monotonic() > deadline:
            raise DodasError(f"Processes of the platform are still there: {', '.join(left)}", remedy="End them with kill.")
        await asyncio.sleep(0.1)
    reap_orphans()


def adopt_orphans() -> None:
    """Become the parent of what our descendants leave behind: in a container the first process may not be one that cares."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)  # PR_SET_CHILD_SUBREAPER


def reap_orphans() -> None:
    """Let the adopted ones that have ended go."""
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def processes_of(session: str, **more: str) -> Sequence[psutil.Process]:
    """Return the processes that descend from this platform: children inherit its variables."""
    wanted = {"DODAS_SESSION": session, **more}.items()
    return [one for one in psutil.process_iter(["name", "environ"]) if wanted <= (one.info["environ"] or {}).items()]


def say(line: str) -> None:
    """Tell people how it goes; the terminal may be closed already."""
    with contextlib.suppress(OSError):
        print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
