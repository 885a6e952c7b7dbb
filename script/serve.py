"""Start JupyterLab on loopback, say where it is, and at the end stop it and the clusters that were launched through it."""

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
from pathlib import Path

import demo
from ground import GROUNDS
from lab import Lab

import jupyter_dodas as dodas
from jupyter_dodas.errors import DodasError

EXAMPLE = Path(__file__).resolve().parent.parent / "examples" / "z-boson.ipynb"
GONE_WITHIN = 20.0


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
    if arguments.demo:
        adopt_orphans()
    async with GROUNDS[arguments.backend](say, keep=arguments.keep):
        await serve(arguments)


async def serve(arguments: argparse.Namespace) -> None:
    """Start Lab, wait, stop it and what was launched through it."""
    session = f"up-{secrets.token_hex(6)}"
    with tempfile.TemporaryDirectory(prefix="jupyter-dodas-") as folder:
        lab = Lab(Path(folder), session, isolated=arguments.demo)
        try:
            say("Starting JupyterLab ...")
            await lab.start(arguments.port)
            if arguments.demo:
                say(f"It answers at {lab.url} after {lab.seconds:.1f} s. Running {EXAMPLE.name}, as a browser would:")
                await lab.unless_it_ends(demo.run(lab.url, lab.token, EXAMPLE))
            else:
                announce(lab, keep=arguments.keep)
                await lab.unless_it_ends(asyncio.Event().wait())
        finally:
            say("Stopping ...")
            await lab.stop()
            if not arguments.keep:
                await asyncio.to_thread(stop_clusters, session)
    # With --keep its cluster goes on; with clusters of others the controller does, though the demo may have started it.
    if arguments.demo and not dodas.list():
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


def announce(lab: Lab, *, keep: bool) -> None:
    """Print the address, and how to sign in."""
    terminal = sys.stdout.isatty()
    lines = [f"JupyterLab: {lab.url}lab (after {lab.seconds:.1f} s)"]
    if lab.sign_in_page.exists():
        lines.append(f"  the first time in a browser: open {lab.sign_in_page.as_uri()}")
        # The token is for the eyes of whoever started this, not for a log.
        lines.append(f"  or paste the token {lab.token if terminal else f'in {lab.token_file}'}")
    else:
        lines.append("  sign in with the token or password of your Jupyter configuration")
    if "SSH_CONNECTION" in os.environ:
        lines.append(f"  from your own computer, first: ssh -N -L {lab.port}:127.0.0.1:{lab.port} {socket.gethostname()}")
    lines.append(f"  its log: {lab.log}")
    lines.append("Ctrl-C stops it" + ("; its clusters go on." if keep else " and the clusters that were launched through it."))
    print("\n".join(lines), flush=True)


def stop_clusters(session: str) -> None:
    """Stop what was launched through this platform."""
    for cluster in dodas.list(session=session):
        say(f"Stopping the cluster {cluster.name} ...")
        try:
            cluster.stop()
        except DodasError as error:
            say(f"error: {error}")


async def nothing_is_left(session: str) -> None:
    """Wait until no process that was started through this platform is there any more.

    Raises
    ------
    DodasError
        With those that stayed.
    """
    deadline = time.monotonic() + GONE_WITHIN
    while left := processes_of(session):
        reap_orphans()
        if time.monotonic() > deadline:
            raise DodasError(f"Processes of the demo are still there: {', '.join(left)}", remedy="End them with kill.")
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


def processes_of(session: str) -> list[str]:
    """Return the processes that descend from this platform, in words: children inherit the variable."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # it ended meanwhile, or is another user's
            if f"DODAS_SESSION={session}".encode() in (folder / "environ").read_bytes().split(b"\0"):
                found.append(f"{folder.name} ({(folder / 'comm').read_text().strip()})")
    return found


def say(line: str) -> None:
    """Tell people how it goes; the terminal may be closed already."""
    with contextlib.suppress(OSError):
        print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
