"""Other pools whose workers may run jobs of this one: what the manager keeps of them, and how its daemons are told.

They stand in a file that outlives the manager; from it the daemons' configuration and tokens are written anew. Part of the
manager's process.
"""

import asyncio
import json
import os
import re
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from logging import getLogger
from pathlib import Path
from typing import Any, Final

from jupyter_dodas.errors import BadInput, did_you_mean

__all__ = ["Neighbour", "Neighbours", "check_address", "check_name"]

logger = getLogger(__name__)

_EVERY: Final = 2.0
_NAME: Final = re.compile(r"[a-z0-9]([a-z0-9.-]{0,61}[a-z0-9])?")
_HOST: Final = re.compile(r"(?P<host>[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?|\[[0-9A-Fa-f:.]+\]):(?P<port>[0-9]{1,5})")
_TOKEN: Final = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")
_PREFIX: Final = "flock-"
_LARGE: Final = 16_384  # bytes; tokens have a few hundred


@dataclass(frozen=True)
class Neighbour:
    """Another pool.

    Parameters
    ----------
    name
        What it is called here.
    address
        ``host:port`` of its manager.
    token
        One that it has issued, with which a schedd may advertise itself there.
    file
        Where it writes its address, if it is on this machine and may move.
    """

    name: str
    address: str
    token: str
    file: str = ""

    def __repr__(self) -> str:
        return f"<pool {self.name!r} at {self.address}>"


_FIELDS: Final = frozenset(field.name for field in fields(Neighbour))
_NEEDED: Final = _FIELDS - {"file"}


class Neighbours:
    """The pools that jobs may flock to.

    Parameters
    ----------
    folder
        Of the manager; it outlives its process.
    configuration
        A folder that the daemons' configuration includes.
    address
        Of the manager itself.
    changed
        Has the daemons read their configuration again.
    """

    def __init__(self, folder: Path, configuration: Path, address: str, changed: Callable[[], object]) -> None:
        self._file, self._here, self._tokens = folder / "neighbours.json", folder / "address", folder / "tokens"
        self._configuration, self._address, self._changed = configuration, address, changed
        self._known = _moved({known.name: known for known in _read(self._file)})
        self._lock = threading.RLock()

    def lay(self) -> None:
        """Write what the daemons need to know of those that were there before. To be called before they start."""
        _private(self._here, self._address)
        self._write()

    def acts(self) -> Mapping[str, Callable[[Mapping[str, Any]], Mapping[str, Any]]]:
        """Return what a manager can be asked for: one pool more, one less, all of them. Tokens do not go out again."""
        return {
            "flock": lambda asked: self._told(lambda: self.add(_neighbour(asked))),
            "unflock": lambda asked: self._told(lambda: self.remove(str(asked.get("name")))),
            "flocks": lambda _: self._told(lambda: None),
        }

    def _told(self, do: Callable[[], None]) -> Mapping[str, Any]:
        with self._lock:
            do()
            flocks = {known.name: known.address for known in self._known.values()}
        return {"flocks": flocks, "file": str(self._here.absolute())}

    def names(self) -> Sequence[Neighbour]:
        """Return them, in the order in which they are asked."""
        return list(self._known.values())

    def add(self, neighbour: Neighbour) -> None:
        """Let jobs run there as well; one of the same name is replaced.

        Raises
        ------
        BadInput
        """
        _check(neighbour)
        if self._known.get(neighbour.name) != neighbour:
            self._known[neighbour.name] = neighbour
            self._write()
            self._changed()

    def remove(self, name: str) -> None:
        """Send no further jobs there. What runs there is run to its end.

        Raises
        ------
        BadInput
            If it is not among them.
        """
        if name not in self._known:
            raise BadInput(
                f"Jobs do not flock to {name!r}",
                cause=did_you_mean(name, self._known),
                remedy=f"They flock to: {', '.join(self._known) or 'no other pool'}.",
            )
        del self._known[name]
        self._write()
        self._changed()

    async def follow(self) -> None:
        """Notice, for ever, where those of this machine have moved."""
        while True:
            await asyncio.sleep(_EVERY)
            with self._lock:
                found = _moved(self._known)
                if found != self._known:
                    self._known = found
                    self._write()
                    self._changed()

    def _write(self) -> None:
        """Write configuration and tokens. Tokens come first: once the pool is configured, they are used."""
        _private(self._file, json.dumps([asdict(known) for known in self._known.values()]))
        for neighbour in self._known.values():
            _private(self._tokens / f"{_PREFIX}{neighbour.name}", neighbour.token + "\n")
        _private(self._configuration / "flock.conf", _text(self._known))
        for file in self._tokens.glob(f"{_PREFIX}*"):
            if file.name.removeprefix(_PREFIX) not in self._known:
                file.unlink(missing_ok=True)


def _read(file: Path) -> Iterator[Neighbour]:
    try:
        items = json.loads(file.read_text())
    except FileNotFoundError:
        return
    except ValueError:
        logger.exception("What is known of other pools cannot be read: %s", file)
        return
    for item in items:
        try:
            known = Neighbour(**item)
            _check(known)
        except (TypeError, BadInput):
            logger.exception("What is known of another pool cannot be read: %s", file)
        else:
            yield known


def check_address(address: str) -> None:
    """See that it is ``host:port``.

    Raises
    ------
    BadInput
    """
    found = _HOST.fullmatch(address)
    if found is None or not 0 < int(found["port"]) < 65536:
        raise BadInput(
            f"{address!r} is not the address of a pool",
            cause="It is written host:port, as the other pool's COLLECTOR_HOST.",
            remedy='For instance "condor.example.org:9618".',
        )


def check_name(name: str) -> None:
    """See that another pool can be called so.

    Raises
    ------
    BadInput
    """
    if not _NAME.fullmatch(name):
        raise BadInput(
            f"A pool cannot be called {name!r} here",
            cause="Small letters, digits, - and . can be in its name, 63 in all.",
            remedy='For instance "cms-pool".',
        )


def _neighbour(asked: Mapping[str, Any]) -> Neighbour:
    if not (asked.keys() <= _FIELDS and all(isinstance(value, str) for value in asked.values()) and asked.keys() >= _NEEDED):
        raise BadInput(
            "A pool to flock to is described in another way",
            cause=f"It has {', '.join(sorted(_NEEDED))}, and may have file; all of them are texts.",
            remedy="Use pool.flock(other) or pool.flock_to(address, token=...).",
        )
    return Neighbour(**asked)


def _check(neighbour: Neighbour) -> None:
    check_name(neighbour.name)
    check_address(neighbour.address)
    if len(neighbour.token) > _LARGE or not _TOKEN.fullmatch(neighbour.token):
        raise BadInput(
            f"That is no token of the pool {neighbour.name!r}",
            cause="An IDTOKEN has three parts with dots between them, in one line.",
            remedy="Ask its administrator for the output of `condor_token_create -authz ADVERTISE_SCHEDD -authz READ`.",
        )


def _moved(known: Mapping[str, Neighbour]) -> dict[str, Neighbour]:
    """Return them with the addresses that they have now."""
    found = {}
    for name, neighbour in known.items():
        try:
            address = Path(neighbour.file).read_text().strip() if neighbour.file else neighbour.address
            check_address(address)
        except (OSError, ValueError, BadInput):
            address = neighbour.address  # it is being written, or the pool has gone
        found[name] = Neighbour(name, address, neighbour.token, neighbour.file)
    return found


def _text(known: Mapping[str, Neighbour]) -> str:
    """Write the configuration. One more pool is asked at a time, in their order, when those before it have no place for a job.

    A list without hosts says that there are none: where there is no list at all, a queue goes on with the one that it had.
    """
    return f"FLOCK_TO = {', '.join(neighbour.address for neighbour in known.values()) or ','}\nFLOCK_INCREMENT = 1\n"


def _private(file: Path, text: str) -> None:
    """Write a file that only its owner can read, in one step."""
    file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    beside = file.with_name(f".{file.name}.new")
    beside.unlink(missing_ok=True)
    with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as opened:
        opened.write(text)
    beside.replace(file)
