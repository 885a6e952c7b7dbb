"""The nursery: a process that has imported what a place needs, and forks the keepers of many places.

A keeper and its controller take a quarter of a second when each has an interpreter to start, most of it for imports. To one user
that is little; of fifty who start at once on a hub it is most of what they wait for. So a hub has a nursery, and so has each of
its agents (see `hub.accounts`).

It has only the variables that keepers take over, so it never knew a secret of whoever started it, and it ends with them. A keeper
does not: it has a session of its own, and nothing of the nursery's but what that has imported. Whatever happens to a nursery costs
time and nothing else: `Nursery.keeper` then says that there is none, and a keeper is executed.
"""

import asyncio
import gc
import importlib
import json
import os
import site
import socket
import subprocess
import sys
import traceback
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, Final, Self

from jupyter_dodas.backends.local import guard, keeper, preload
from jupyter_dodas.backends.local.keeper import Born
from jupyter_dodas.backends.local.surroundings import inherited
from jupyter_dodas.backends.local.title import ROOM, entitle

__all__ = ["Nursery", "prepare"]

_MODULES: Final = ("jupyter_dodas.controller.__main__", "jupyter_dodas.backends.local.tenure", "jupyter_dodas.iam.bearer")
"""What controllers need, imported by name: nothing here may know them."""

_NAME: Final = "jupyter_dodas.backends.local.nursery"

_LONGEST: Final = 1 << 17
"""Bytes of a message, which comes as a whole or not at all."""

_PATIENCE: Final = 20.0
"""Seconds in which it must answer; the first time it imports everything."""

_REST: Final = 60.0
"""Seconds for which there is none after one that did not answer: not everybody in the queue is to wait for the next one."""


class Nursery:
    """The nursery of this process, as it asks it for keepers. Made for one event loop.

    Parameters
    ----------
    modules
        What is to be imported beside the controller, for the kinds that will be launched.
    """

    def __init__(self, modules: Sequence[str]) -> None:
        self._modules = tuple(modules)
        self._processes: list[subprocess.Popen[bytes]] = []  # the first one serves; any other hung, and is yet to end
        self._socket: socket.socket | None = None
        self._asking = asyncio.Lock()
        self._forked = False
        self._resting = 0.0  # until then, by the clock of the loop

    @classmethod
    def forked(cls) -> Self:
        """Fork a nursery from this process, which has imported everything, knows no secret yet and has only one thread."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        if os.fork() == 0:
            _serve(theirs)
        theirs.close()
        made = cls(())
        made._forked = True
        ours.setblocking(False)
        made._socket = ours
        return made

    async def keeper(self, argv: Sequence[str], environment: Mapping[str, str], log: Path) -> int | None:
        """Have a keeper forked.

        Parameters
        ----------
        argv
            See `keeper.main`.
        environment
            All the variables that it is to have.
        log
            Where its output goes.

        Returns
        -------
        int or None
            Its exit code, 0 once it holds its lock or another one does; None if there is no nursery that can do it.
        """
        order = json.dumps({"argv": list(argv), "environment": dict(environment), "log": str(log)}).encode()
        # Whoever is cancelled meanwhile leaves no answer behind for who asks next.
        return await asyncio.shield(asyncio.create_task(self._ask(order)))

    async def _ask(self, order: bytes) -> int | None:
        loop = asyncio.get_running_loop()
        async with self._asking:
            if loop.time() < self._resting:
                return None
            try:
                if self._socket is None:
                    self._socket = self._execute()
                async with asyncio.timeout(_PATIENCE):
                    self._socket.send(order)
                    return int(await loop.sock_recv(self._socket, _LONGEST))
            except TimeoutError:
                self._resting = loop.time() + _REST
            except (OSError, ValueError):
                pass  # it has ended
            self.close()  # one that hangs ends as soon as it can see this
            return None

    def _execute(self) -> socket.socket:
        if self._forked:
            raise ConnectionResetError("this process has learnt secrets since")
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours.setblocking(False)
        # -P: nothing that lies where it is started is imported.
        command = [sys.executable, "-P", "-m", _NAME, ",".join(self._modules), ROOM]
        with theirs:
            process = subprocess.Popen(
                command,
                stdin=theirs.fileno(),
                stdout=subprocess.DEVNULL,
                cwd="/",
                env={**inherited(os.environ), "_": ROOM},
                start_new_session=True,  # a Ctrl-C is for the hub
            )
        self._processes = [process, *(one for one in self._processes if one.poll() is None)]
        return ours

    def close(self) -> None:
        """Hang up, by which it ends."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None


def prepare(modules: Sequence[str] = ()) -> None:
    """Import what every place needs, and these modules, and leave it out of collections, which would unshare it in every fork."""
    for module in (*_MODULES, *filter(None, modules)):
        importlib.import_module(module)
    gc.collect()
    gc.freeze()


def _serve(client: socket.socket) -> None:
    """Fork a keeper for each order, until the client hangs up. Never returns."""
    try:
        guard.close_all_but(client.fileno())
        guard.become_readable()
        entitle([sys.executable, "-m", _NAME])
        while data := client.recv(_LONGEST):
            namespace = _namespace()
            pid = os.fork()
            if pid == 0:
                _bear(json.loads(data), Born(preload.start, namespace=namespace))
            # What is waited for has forked the keeper and ends.
            client.send(str(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])).encode())
    except ConnectionError:
        pass  # nobody is there any more
    except Exception:  # noqa: BLE001 - whoever asked executes a keeper instead
        traceback.print_exc()
    finally:
        os._exit(0)


_namespace = cache(guard.try_namespace)
"""The same for all keepers that it forks."""


def _bear(order: Mapping[str, Any], born: Born) -> None:
    """Become a keeper. Never returns."""
    try:
        log = os.open(order["log"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        null = os.open(os.devnull, os.O_RDONLY)
        for source, target in ((null, 0), (log, 1), (log, 2)):
            os.dup2(source, target)
        guard.close_all_but()
        preload.take_on(order["environment"])
        _add_packages_of_the_user()
        entitle([sys.executable, "-m", keeper.__name__, *order["argv"]], order["environment"])
        keeper.main(order["argv"], born)
    except Exception:  # noqa: BLE001 - whatever it is stands in the log
        traceback.print_exc()
    finally:
        os._exit(1)


def _add_packages_of_the_user() -> None:
    """Find what the user has installed, as an interpreter of theirs does; this one began as somebody else's."""
    if site.ENABLE_USER_SITE:
        site.USER_BASE = site.USER_SITE = None
        site.addusersitepackages(set(sys.path))


def main() -> None:
    """Serve whoever is at the other end of standard input, which is a socket."""
    client = socket.socket(fileno=os.dup(0))
    prepare(sys.argv[1].split(","))
    _serve(client)


if __name__ == "__main__":
    main()
