"""Errors as replies: one shape for all of them."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final, Self

from pydantic import BaseModel, ConfigDict, ValidationError
from tornado.web import HTTPError

from jupyter_dodas.errors import DodasError, InvalidOption
from jupyter_dodas.statuses import status_of
from jupyter_dodas.views import ErrorView

__all__ = ["ErrorReply", "invalid", "view_of"]

_CODES: Final[Mapping[int, str]] = {
    HTTPStatus.BAD_REQUEST: "invalid-request",
    HTTPStatus.FORBIDDEN: "forbidden",
    HTTPStatus.NOT_FOUND: "not-found",
    HTTPStatus.METHOD_NOT_ALLOWED: "method-not-allowed",
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "too-large",
}
"""Codes of what is refused before it reaches a cluster."""

_PHRASES: Final[Mapping[int, str]] = {
    HTTPStatus.FORBIDDEN: "This request is not allowed",
    HTTPStatus.NOT_FOUND: "There is nothing at this path",
    HTTPStatus.METHOD_NOT_ALLOWED: "This cannot be done here",
}

_REMEDIES: Final[Mapping[int, str]] = {
    HTTPStatus.FORBIDDEN: "Sign in to Jupyter, and send its token or its _xsrf cookie and header.",
    HTTPStatus.METHOD_NOT_ALLOWED: "openapi.json lists what can be done.",
}


class ErrorReply(BaseModel):
    """The body of every reply that is not a success."""

    model_config = ConfigDict(frozen=True)

    error: ErrorView

    @classmethod
    def of(cls, error: DodasError) -> Self:
        """Put an error into the one shape."""
        return cls(error=ErrorView.of(error))


def view_of(status: int, error: BaseException | None) -> tuple[int, ErrorReply]:
    """Turn whatever a handler raised into a status and a body.

    Parameters
    ----------
    status
        What tornado would reply.
    """
    match error:
        case DodasError():
            return status_of(error), ErrorReply.of(error)
        case ValidationError():
            wrong = invalid(error)
            return status_of(wrong), ErrorReply.of(wrong)
        case HTTPError():
            said = error.log_message or _phrase(status)
            view = ErrorView(code=_CODES.get(status, "error"), message=said, remedy=_REMEDIES.get(status, ""))
            return status, ErrorReply(error=view)
    view = ErrorView(
        code=DodasError.code,
        message="Something unexpected happened",
        cause="This is a defect of jupyter-dodas.",
        remedy="Please report it, with what the log of Jupyter Server says.",
    )
    return status, ErrorReply(error=view)


def invalid(error: ValidationError) -> InvalidOption:
    """Put the first thing that a model found wrong into a sentence."""
    detail: Any = error.errors(include_url=False, include_context=False)[0]
    if detail["type"] == "json_invalid":
        return InvalidOption("The body is not JSON", cause=detail["msg"], remedy="openapi.json says what is taken.")
    where = ".".join(map(str, detail["loc"]))
    return InvalidOption(
        f"{where or 'The request'} will not do: {detail['msg']}", option=where, remedy="openapi.json says what is taken."
    )


def _phrase(status: int) -> str:
    return _PHRASES.get(status) or f"Jupyter Server refuses this with status {status}"
