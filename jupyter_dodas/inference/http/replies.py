"""What is sent back: errors with their status, in the form of each protocol, and numbers in their shortest form."""

import math
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any, Final

import msgspec

from jupyter_dodas import errors
from jupyter_dodas.errors import DodasError

__all__ = ["JSON", "STATUS", "Headers", "Reply", "as_bytes", "as_known", "explained", "json_reply", "plain", "refusal", "sentence"]

Headers = list[tuple[bytes, bytes]]

JSON: Final = b"application/json"

STATUS: Final[Mapping[str, HTTPStatus]] = {
    errors.BadInput.code: HTTPStatus.BAD_REQUEST,
    errors.ModelRefused.code: HTTPStatus.BAD_REQUEST,
    errors.InvalidOption.code: HTTPStatus.BAD_REQUEST,
    errors.Unauthenticated.code: HTTPStatus.UNAUTHORIZED,
    errors.TokenInvalid.code: HTTPStatus.UNAUTHORIZED,
    errors.NotAllowed.code: HTTPStatus.FORBIDDEN,
    errors.NotFound.code: HTTPStatus.NOT_FOUND,
    errors.ModelNotFound.code: HTTPStatus.NOT_FOUND,
    errors.StaleGeneration.code: HTTPStatus.CONFLICT,
    errors.TooLarge.code: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    errors.ModelBroken.code: HTTPStatus.INTERNAL_SERVER_ERROR,
    errors.NotSupported.code: HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
    errors.Busy.code: HTTPStatus.SERVICE_UNAVAILABLE,
    errors.IamUnreachable.code: HTTPStatus.SERVICE_UNAVAILABLE,
    errors.IamRefused.code: HTTPStatus.SERVICE_UNAVAILABLE,
    errors.TimedOut.code: HTTPStatus.GATEWAY_TIMEOUT,
    errors.StateNotWritable.code: HTTPStatus.INSUFFICIENT_STORAGE,
    errors.StoreFull.code: HTTPStatus.INSUFFICIENT_STORAGE,
}
"""By the code of an error; what is not here is a defect of ours, 500."""


class Reply(msgspec.Struct, frozen=True):
    """A whole reply."""

    status: int
    headers: Headers
    body: bytes


def plain(status: int, body: bytes, kind: bytes = JSON, *more: tuple[bytes, bytes]) -> Reply:
    """Return a reply with this body."""
    return Reply(status, [(b"content-type", kind), (b"content-length", b"%d" % len(body)), *more], body)


def as_bytes(reply: Reply) -> bytes:
    """Return a reply as it goes over the wire."""
    head = b"HTTP/1.1 %d %b\r\n" % (reply.status, HTTPStatus(reply.status).phrase.encode())
    return b"".join((head, *(b"%b: %b\r\n" % header for header in reply.headers), b"\r\n", reply.body))


def json_reply(value: Any, status: int = 200, *more: tuple[bytes, bytes], end: bytes = b"") -> Reply:
    """Return a value as JSON."""
    return plain(status, msgspec.json.encode(value) + end, JSON, *more)


def sentence(error: DodasError) -> str:
    """Return what happened, why and what to do, on one line: for protocols whose errors are one string."""
    parts = (part.strip() for part in (error.message, error.cause, error.remedy))
    return " ".join(part if part.endswith((".", "?", "!")) else f"{part}." for part in parts if part)


def explained(error: DodasError) -> dict[str, str]:
    """Return an error in the form of our own API."""
    return {"code": error.code, "message": error.message, "cause": error.cause, "remedy": error.remedy}


def refusal(error: DodasError, *more: tuple[bytes, bytes], status: int | None = None, ours: bool = False) -> Reply:
    """Return the reply to a request that failed.

    Parameters
    ----------
    error
        Why it did.
    more
        Headers to send along.
    status
        Another one than that of `STATUS`.
    ours
        In the form of our own API; otherwise ``{"error": "..."}`` and a newline, as TFaaS and V2 have it.
    """
    status = STATUS.get(error.code, HTTPStatus.INTERNAL_SERVER_ERROR) if status is None else status
    headers: Sequence[tuple[bytes, bytes]] = more
    if isinstance(error, errors.Busy):
        headers = (*headers, (b"retry-after", b"%d" % max(1, math.ceil(error.after))))
    elif status == HTTPStatus.SERVICE_UNAVAILABLE:
        headers = (*headers, (b"retry-after", b"5"))
    if status == HTTPStatus.UNAUTHORIZED:
        headers = (*headers, (b"www-authenticate", b'Bearer realm="dodas-tfaas"'))
    value = {"error": explained(error) if ours else sentence(error)}
    return json_reply(value, status, *headers, end=b"" if ours else b"\n")


def as_known(error: Exception) -> DodasError:
    """Return an error that nobody foresaw as one of ours: it tells callers no more than that."""
    if isinstance(error, DodasError):
        return error
    return DodasError(
        "Something unexpected happened",
        cause=f"{type(error).__name__}. This is a defect of jupyter-dodas; the log of the server has more.",
        remedy="Please report it.",
    )
