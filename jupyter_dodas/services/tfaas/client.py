"""HTTP to an endpoint: connections that are kept, used by several threads, and the server's errors as the same errors here.

It blocks: numbers are copied from the caller's memory to the socket, and from the socket to where the caller wants them.
The token is read when it is used.
"""

import json
import ssl
import threading
import time
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from pathlib import Path
from typing import Any, Final, Protocol
from urllib.parse import quote, urlsplit

import numpy as np
from numpy.typing import NDArray

from jupyter_dodas import errors
from jupyter_dodas.errors import Busy, DodasError, PlaceUnreachable, Unauthenticated
from jupyter_dodas.services.tfaas.tensors import HEADER, question, raw, shapes
from jupyter_dodas.services.tfaas.versions import Tensor

__all__ = ["MANAGEMENT", "Answer", "Client", "Reach", "Sent", "error_of", "model_path"]

MANAGEMENT: Final = "/dodas/v1"

_CODES: Final[Mapping[str, type[DodasError]]] = {
    kind.code: kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, DodasError)
}

_BY_STATUS: Final[Mapping[int, type[DodasError]]] = {
    400: errors.BadInput,
    401: errors.Unauthenticated,
    403: errors.NotAllowed,
    404: errors.ModelNotFound,
    413: errors.TooLarge,
    429: errors.Busy,
    500: errors.ModelBroken,
    503: errors.Busy,
    504: errors.TimedOut,
}
"""What an error of the inference protocols is, which are a sentence alone."""

_PAUSE: Final = 0.05
_LONGEST_PAUSE: Final = 2.0

_BROKEN: Final = (ConnectionError, HTTPException, ssl.SSLError)


@dataclass(frozen=True)
class Reach:
    """How an endpoint is reached.

    Parameters
    ----------
    address
        ``http://127.0.0.1:8080``
    token
        Reads the token; None where none is needed.
    file
        Where it is read, if that lasts.
    authority
        A file with the certificates that its own is to be signed by, if it speaks HTTPS.
    inner
        Addresses of it as other clusters of the same place have it.
    """

    address: str
    token: Callable[[], str] | None = field(default=None, repr=False)
    file: Path | None = field(default=None, repr=False)
    authority: Path | None = None
    inner: tuple[str, ...] = ()

    def connect(self, timeout: float) -> HTTPConnection:
        """Return a connection, which opens with its first request."""
        parts = urlsplit(self.address)
        if parts.scheme == "https":
            context = ssl.create_default_context(cafile=self.authority)
            return HTTPSConnection(parts.hostname or "", parts.port, timeout=timeout, context=context)
        return HTTPConnection(parts.hostname or "", parts.port, timeout=timeout)

    def headers(self) -> dict[str, str]:
        """Return the headers that say who asks."""
        return {"Authorization": f"Bearer {self.token()}"} if self.token is not None else {}


@dataclass(frozen=True)
class Answer:
    """What a model gave.

    Parameters
    ----------
    version
        Which version it was.
    outputs
        In the order of the answer, by name.
    """

    version: str | None
    outputs: Mapping[str, NDArray[Any]]


class Sent(Protocol):
    """Bytes to send, in pieces."""

    size: int

    def __iter__(self) -> Iterator[bytes]: ...


class Client:
    """Asks an endpoint. It may be used by several threads; each request has a connection of its own while it lasts.

    Parameters
    ----------
    find
        Tells how the endpoint is reached; asked again when it does not answer there any more.
    timeout
        Seconds that an answer may take.
    """

    def __init__(self, find: Callable[[], Reach], *, timeout: float = 60.0) -> None:
        self._find, self._timeout = find, timeout
        self._reach: Reach | None = None
        self._idle: list[HTTPConnection] = []
        self._lock = threading.Lock()
        weakref.finalize(self, _close, self._idle)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self._reach.address if self._reach is not None else 'an endpoint'}>"

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def reach(self) -> Reach:
        """How the endpoint is reached."""
        if self._reach is None:
            self._reach = self._find()
        return self._reach

    def close(self) -> None:
        """Close the connections that are kept. It can be used again."""
        with self._lock:
            _close(self._idle)

    def get(self, path: str) -> Any:
        """Return what the endpoint tells, as JSON."""
        return self.send("GET", path)

    def send(self, method: str, path: str, value: Any = None, *, once: bool = False) -> Any:
        """Ask for something; returns its JSON, if there is any.

        Parameters
        ----------
        once
            Whether it must not be asked for a second time where nobody knows what became of the first.
        """
        body = [json.dumps(value).encode()] if value is not None else None
        headers = {"Content-Type": "application/json", "Content-Length": str(len(body[0]))} if body is not None else {}

        def ask() -> Any:
            with self._asked(method, path, body, headers, fresh=once) as reply:
                text = reply.read()
            return json.loads(text) if text.strip() else None

        if once:
            self.get(f"{MANAGEMENT}/status")  # finds it, where it has moved
            return ask()
        return self._patiently(ask, patience=0)

    def infer(
        self,
        model: str,
        version: str | None,
        inputs: Sequence[Tensor],
        arrays: Sequence[NDArray[Any]],
        *,
        into: Mapping[str, NDArray[Any]] | None = None,
        patience: float | None = None,
    ) -> Answer:
        """Ask a model for the outputs of some rows, again if the endpoint is busy or a connection breaks: that harms nobody.

        Parameters
        ----------
        version
            By default the published one.
        into
            Contiguous arrays, by output, to put the numbers into where they fit.
        patience
            Seconds after which it is not asked again; by default those that an answer may take.
        """
        head, parts = question(inputs, arrays)
        path = f"/v2/models/{quote(model)}{f'/versions/{quote(version)}' if version is not None else ''}/infer"
        headers = {
            "Content-Type": "application/octet-stream",
            HEADER: str(len(head)),
            "Content-Length": str(len(head) + sum(part.nbytes for part in parts)),
        }

        def ask() -> Answer:
            with self._asked("POST", path, [head, *parts], headers) as reply:
                return _answer(reply, into or {})

        answer: Answer = self._patiently(ask, patience=self._timeout if patience is None else patience)
        return answer

    def upload(self, model: str, kind: str, archive: "Sent", told: Callable[[str, float], None]) -> Mapping[str, Any]:
        """Upload a model, and tell each step of its conversion. Interrupted, the endpoint keeps nothing of it.

        Parameters
        ----------
        kind
            Media type of the archive.
        archive
            Its pieces, and how many bytes they are.
        told
            Is called with each step that is done, and the seconds that it took.

        Returns
        -------
        :
            The version that was made.
        """
        headers = {"Content-Type": kind, "Content-Length": str(archive.size)}
        self.get(f"{MANAGEMENT}/status")  # a token that will not do is better told before the bytes have gone
        with self._asked("POST", f"{model_path(model)}/versions", archive, headers, fresh=True) as reply:
            for line in reply:
                if not line.strip():
                    continue
                said = json.loads(line)
                if "error" in said:
                    raise error_of(said["error"])
                if "version" in said:
                    made: Mapping[str, Any] = said["version"]
                    return made
                told(said["step"], float(said.get("seconds", 0.0)))
        raise PlaceUnreachable(
            "The endpoint ended the upload without a result",
            cause="Its server may have been stopped.",
            remedy="Look at it, then upload again.",
        )

    def _patiently(self, ask: Callable[[], Any], *, patience: float) -> Any:
        """Ask until there is an answer: again at once where a kept connection had gone, for some time where it is busy."""
        began, pause, again = time.monotonic(), _PAUSE, False
        while True:
            try:
                return ask()
            except Busy as error:
                if time.monotonic() - began + error.after > patience:
                    raise
                time.sleep(min(error.after, _LONGEST_PAUSE))
            except (PlaceUnreachable, Unauthenticated):
                # It may have been restarted: at another port, with another token.
                if again and time.monotonic() - began + pause > patience:
                    raise
                if again:
                    time.sleep(pause)
                    pause = min(2 * pause, _LONGEST_PAUSE)
                again = True
                self.close()
                self._reach = None

    @contextmanager
    def _asked(
        self, method: str, path: str, body: Iterable[bytes | memoryview] | None, headers: Mapping[str, str], *, fresh: bool = False
    ) -> Iterator[HTTPResponse]:
        """Send a request and yield the answer, which has the status of success. Its connection is kept if it was read whole."""
        connection = self._connection(fresh=fresh)
        reply: HTTPResponse | None = None
        keep = False
        try:
            with suppress(BrokenPipeError, ConnectionResetError):  # a server that refuses a body says so, and does not read on
                connection.request(method, path, body=body, headers={**headers, **self.reach.headers()})
            reply = connection.getresponse()
            if reply.status >= 300:
                raise _refusal(reply)
            yield reply
            keep = (reply.isclosed() or reply.length == 0) and not reply.will_close
        except TimeoutError as error:
            raise errors.TimedOut(
                f"The endpoint at {self.reach.address} did not answer within {self._timeout:g} s",
                cause="It works on other requests, or has stopped.",
                remedy="Look at it, or ask for fewer rows at a time.",
            ) from error
        except (*_BROKEN, OSError) as error:
            raise PlaceUnreachable(
                f"The endpoint at {self.reach.address} does not answer",
                cause=f"{type(error).__name__}: {error}",
                remedy="Look whether it runs: dodas.list(), or `dodas list`.",
            ) from error
        finally:
            if reply is not None:
                reply.close()
            if keep:
                with self._lock:
                    self._idle.append(connection)
            else:
                connection.close()

    def _connection(self, *, fresh: bool) -> HTTPConnection:
        with self._lock:
            if self._idle and not fresh:
                return self._idle.pop()
        return self.reach.connect(self._timeout)


def _close(connections: list[HTTPConnection]) -> None:
    while connections:
        connections.pop().close()


def model_path(model: str, version: str | None = None) -> str:
    """Return the path of a model, or of a version of it, in the management's API."""
    return f"{MANAGEMENT}/models/{quote(model, safe='')}" + (f"/versions/{quote(version, safe='')}" if version is not None else "")


def error_of(said: Any, *, status: int = 500, after: float = 1.0) -> DodasError:
    """Return the error that the endpoint tells of, as the same error here."""
    if isinstance(said, Mapping):
        kind = _CODES.get(str(said.get("code")), _BY_STATUS.get(status, DodasError))
        words = [str(said.get(part) or "") for part in ("message", "cause", "remedy")]
    else:
        kind, words = _BY_STATUS.get(status, DodasError), [str(said), "", ""]
    error = kind.__new__(kind)
    DodasError.__init__(error, words[0], cause=words[1], remedy=words[2])
    if isinstance(error, Busy):
        error.after = after
    return error


def _refusal(reply: HTTPResponse) -> DodasError:
    text = reply.read()
    try:
        said = json.loads(text)["error"]
    except (ValueError, KeyError, TypeError):
        said = f"The endpoint answered with {reply.status} {reply.reason}"
    try:
        after = float(reply.headers.get("Retry-After", "1"))
    except ValueError:
        after = 1.0
    return error_of(said, status=reply.status, after=after)


def _answer(reply: HTTPResponse, into: Mapping[str, NDArray[Any]]) -> Answer:
    """Read the numbers of an answer, straight into where they are to be."""
    version, found = shapes(reply.read(int(reply.headers.get(HEADER, reply.length or 0))))
    outputs = {}
    for name, dtype, shape in found:
        place = into.get(name)
        if place is None or place.shape != shape or place.dtype != dtype:
            place = np.empty(shape, dtype)
        rest = raw(place)
        while rest:
            if not (got := reply.readinto(rest)):
                raise ConnectionResetError("The answer ended before its time")
            rest = rest[got:]
        outputs[name] = place
    return Answer(version, outputs)
