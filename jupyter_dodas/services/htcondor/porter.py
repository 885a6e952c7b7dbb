"""What speaks with a pool for another process: HTCondor's library stops every thread of its process for as long as it waits.

`main` reads requests from the standard input and answers on the standard output; see `Session`, which starts such a process. One
serves one pool, since the library has one configuration for all that a process does.
"""

import os
import pickle
import select
import socket
import sys
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, BinaryIO, Final

__all__ = ["Failure", "Porter", "address_of", "clauses", "configure", "read", "write"]

_LENGTH: Final = 8
_PATIENCE: Final = 120.0
"""Seconds after which it ends if nobody has told it whom to serve."""
_LEASE: Final = 40
"""Seconds after which a job is given to another worker, if its own says nothing any more."""
_UNSENT: Final = (
    *("CEDAR:6001", "SECMAN:", "Failed to connect", "Failed communication", "DCSchedd::", "AUTHENTICATE:"),
    *("collector", "locate", "find daemon"),
)
"""Parts of messages which say that a request has not reached the queue."""
_NONE: Final = "Unable to edit jobs matching constraint"
"""What the library says when there are none."""


@dataclass(frozen=True)
class Failure:
    """What a request came to, if it failed.

    Parameters
    ----------
    words
        Those of the library.
    sent
        Whether the queue may have got it.
    """

    words: str
    sent: bool


def write(stream: BinaryIO, content: object) -> None:
    """Write one message."""
    data = pickle.dumps(content, pickle.HIGHEST_PROTOCOL)
    stream.write(len(data).to_bytes(_LENGTH, "big") + data)
    stream.flush()


def read(stream: BinaryIO) -> Any:
    """Read one message. `EOFError` if there are no more."""
    head = stream.read(_LENGTH)
    if len(head) < _LENGTH:
        raise EOFError
    return pickle.loads(stream.read(int.from_bytes(head, "big")))  # noqa: S301 - from a pipe between two processes of one user


def configure(folder: str) -> Any:
    """Import the library, have it show the tokens of a folder and nothing else, and return it."""
    alone = "CONDOR_CONFIG" not in os.environ
    import htcondor2

    if alone:
        os.environ.pop("CONDOR_CONFIG", None)  # which the library sets where nothing is configured
    for name in ("SEC_TOKEN_DIRECTORY", "SEC_TOKEN_SYSTEM_DIRECTORY"):
        htcondor2.param[name] = folder
    htcondor2.param["SEC_CLIENT_AUTHENTICATION_METHODS"] = "IDTOKENS"
    # The library writes this into jobs itself: what the queue is configured with is for others.
    htcondor2.param["JOB_DEFAULT_LEASE_DURATION"] = str(_LEASE)
    # Whoever has taken the port of a pool does not know its key.
    for name in ("AUTHENTICATION", "ENCRYPTION", "INTEGRITY"):
        htcondor2.param[f"SEC_CLIENT_{name}"] = "REQUIRED"
    return htcondor2


def address_of(said: str, reached: str) -> str:
    """Return how a daemon is addressed that says of itself that it is elsewhere: behind a port that is forwarded, for one.

    Parameters
    ----------
    said
        What its ad has: ``<10.1.2.3:9618?addrs=10.1.2.3-9618&alias=pool&noUDP&sock=schedd_1_2>``.
    reached
        ``host:port`` of the shared port.
    """
    _, _, query = said.strip("<>").partition("?")
    kept = [part for part in query.split("&") if part.startswith("sock=") or part == "noUDP"]
    host, _, port = reached.rpartition(":")
    # Behind a name, HTCondor takes nothing for a part of the address, and would ask whoever shares out the port.
    with suppress(OSError):
        host = socket.gethostbyname(host)
    return f"<{host}:{port}?{'&'.join(kept)}>" if kept else f"<{host}:{port}>"


class Porter:
    """Does what is asked of one pool.

    Parameters
    ----------
    address
        ``host:port`` of its collector.
    schedd
        The name of its queue.
    folder
        With its token.
    """

    def __init__(self, address: str, schedd: str, folder: str) -> None:
        self._library = configure(folder)
        self._address, self._name = address, schedd
        self._found: Any = None

    def answer(self, verb: str, *arguments: Any) -> Any:
        """Answer one request; a queue that is elsewhere now, or anew, is found again."""
        do: Callable[..., Any] = getattr(self, f"_do_{verb}")
        known = self._found is not None
        try:
            return do(*arguments)
        except Exception as error:  # noqa: BLE001 - the other side raises it again
            self._found = None
            failure = Failure(str(error) or repr(error), not any(part in str(error) for part in _UNSENT))
            if not known or (failure.sent and verb == "submit"):
                return failure
        try:
            return do(*arguments)
        except Exception as error:  # noqa: BLE001
            self._found = None
            return Failure(str(error) or repr(error), not any(part in str(error) for part in _UNSENT))

    @property
    def _collector(self) -> Any:
        return self._library.Collector(self._address)

    @property
    def _schedd(self) -> Any:
        if self._found is None:
            ad = self._collector.locate(self._library.DaemonType.Schedd, self._name)
            ad["MyAddress"] = address_of(ad["MyAddress"], self._address)
            self._found = self._library.Schedd(ad)
        return self._found

    def _do_locate(self) -> None:
        _ = self._schedd

    def _do_jobs(self, constraint: str, projection: Sequence[str], limit: int) -> str:
        return _json(self._schedd.query(constraint=constraint, projection=[*projection], limit=limit))

    def _do_history(self, constraint: str, projection: Sequence[str], limit: int) -> str:
        return _json(self._schedd.history(constraint, [*projection], limit))

    def _do_slots(self, constraint: str, projection: Sequence[str]) -> str:
        kind = self._library.AdType.Startd
        return _json(self._collector.query(kind, constraint=constraint, projection=[*projection]))

    def _do_submit(
        self,
        description: str | Mapping[str, str],
        also: Mapping[str, str],
        items: Sequence[Mapping[str, str]],
        count: int,
        spool: bool,
        folder: str,
    ) -> tuple[int, int, int]:
        os.chdir(folder)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a description may have what only another version knows
            submit = self._library.Submit(description)
            for name, value in also.items():
                submit.setdefault(name, value)
            rows = {"itemdata": iter([dict(item) for item in items])} if items else {}
            done = self._schedd.submit(submit, count=count, spool=spool, **rows)
        if spool:
            try:
                self._schedd.spool(done)
            except Exception:
                # Without its files it would be held for ever.
                self._schedd.act(self._library.JobAction.Remove, [str(done.cluster())])
                raise
        return done.cluster(), done.first_proc(), done.num_procs()

    def _do_retrieve(self, jobs: Sequence[str]) -> None:
        self._schedd.retrieve([*jobs])

    def _do_act(self, action: str, jobs: str | Sequence[str], reason: str) -> int:
        said = self._schedd.act(getattr(self._library.JobAction, action), jobs if isinstance(jobs, str) else [*jobs], (reason, 0))
        return int(said["TotalSuccess"]) if said is not None else 0

    def _do_edit(self, jobs: str | Sequence[str], attribute: str, value: str) -> int:
        try:
            return int(self._schedd.edit(jobs if isinstance(jobs, str) else [*jobs], attribute, value))
        except self._library.HTCondorException as error:
            if _NONE not in str(error):
                raise
            return 0

    def _do_clauses(self, job: str) -> list[tuple[str, int]]:
        """Return the clauses of what a job requires, and how many slots meet each."""
        import classad2

        ads = self._schedd.query(constraint=job, limit=1)
        if not ads or (requirements := ads[0].lookup("Requirements")) is None:
            return []
        slots = self._collector.query(self._library.AdType.Startd, constraint='SlotType isnt "Dynamic"')
        return [
            (text, sum(classad2.ExprTree(text).eval(ads[0], slot) is True for slot in slots)) for text in clauses(str(requirements))
        ]


def clauses(requirements: str) -> list[str]:
    """Take apart what is joined by ``&&`` in an expression, outside of parentheses and texts."""
    found, depth, quoted, start = [], 0, False, 0
    for place, sign in enumerate(requirements):
        if sign == '"' and requirements[place - 1 : place] != "\\":
            quoted = not quoted
        elif not quoted:
            depth += (sign in "([{") - (sign in ")]}")
            if depth == 0 and requirements.startswith("&&", place):
                found.append(requirements[start:place].strip())
                start = place + 2
    found.append(requirements[start:].strip())
    whole = [part for part in found if part]
    if len(whole) == 1 and whole[0].startswith("(") and _closes(whole[0]):
        return clauses(whole[0][1:-1])
    return whole


def _closes(text: str) -> bool:
    """Whether the parenthesis that a text begins with closes at its end."""
    depth = 0
    for place, sign in enumerate(text):
        depth += (sign == "(") - (sign == ")")
        if depth == 0:
            return place == len(text) - 1
    return False


def _json(ads: Iterable[Any]) -> str:
    return f"[{','.join(ad.printJson() for ad in ads)}]"


def main() -> None:
    """Serve until nobody asks any more."""
    requests, replies = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    # What the library prints would end up between answers.
    nothing = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(nothing, descriptor)
    import htcondor2  # noqa: F401 - while nobody waits for it yet

    if not select.select([requests], [], [], _PATIENCE)[0]:
        return
    try:
        porter = Porter(*read(requests))
        while True:
            write(replies, porter.answer(*read(requests)))
    except (EOFError, BrokenPipeError):
        sys.exit(0)
