"""What hub and agent say to each other: JSON, one message a line. Whatever comes from an agent must fit these models."""

import re
from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field

from jupyter_dodas import errors
from jupyter_dodas.errors import DodasError
from jupyter_dodas.limits import NOTHING, Share
from jupyter_dodas.spec import Problem, Record

__all__ = ["LONGEST", "Order", "Reply", "Request", "Verb"]

LONGEST: Final = 1 << 20
"""Bytes of a message."""

_WORDS: Final = 2000
"""Letters of a sentence in an error."""

Verb = Literal["record", "start", "handed", "entrust", "address", "beside", "end", "dismiss", "cancel"]


class _Message(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_bytes="base64", val_json_bytes="base64")

    def line(self) -> bytes:
        """Return it as it is sent."""
        return self.model_dump_json(exclude_defaults=True).encode() + b"\n"


class Order(_Message):
    """What the prepared process needs to make an agent. Nothing in it is a secret."""

    uid: Annotated[int, Field(ge=1000)]
    gid: Annotated[int, Field(gt=0)]
    environment: Mapping[str, str]
    groups: tuple[str, ...] = ()
    """Files that it writes itself into while it is still root."""


class Request(_Message):
    """What the hub asks for: a verb of `Notebook`, for one notebook at one place. `cancel` is about the request of its number."""

    number: int = 0
    do: Verb
    settings: str = ""
    """Those of the place, as JSON."""
    notebook: str = ""
    owner: str = ""
    home: str = ""
    options: Mapping[str, Any] = Field(default_factory=dict)
    variables: Mapping[str, str] = Field(default_factory=dict)
    secrets: Mapping[str, bytes] = Field(default_factory=dict)
    timeout: float = 0


class Reply(_Message):
    """What the agent has to say to a request: states that it saw on the way, and at last, when it is `over`, what came of it."""

    number: int = 0
    over: bool = False
    record: Record | None = None
    variables: Mapping[str, str] | None = None
    address: Annotated[str, Field(pattern=r"^http://127(\.\d{1,3}){3}:\d{1,5}$")] | None = None
    """Of the loopback interface: the hub's proxy leads there."""
    share: Share = NOTHING
    problem: Problem | None = None

    @classmethod
    def refusal(cls, number: int, error: Exception) -> Self:
        """Return an error as an answer."""
        if not isinstance(error, DodasError):
            return cls(number=number, over=True, problem=Problem(code="error", message=f"{type(error).__name__}: {error}"))
        problem = Problem(code=error.code, message=error.message, cause=error.cause, remedy=error.remedy, retry=error.retry)
        return cls(number=number, over=True, problem=problem)

    def error(self) -> DodasError | None:
        """Return the error that it tells of."""
        if self.problem is None:
            return None
        named = (getattr(errors, name) for name in errors.__all__ if name != "did_you_mean")
        kind = {error.code: error for error in named}.get(self.problem.code, DodasError)
        made: DodasError = kind.__new__(kind)  # its own constructor makes up sentences that are here already
        problem = self.problem
        DodasError.__init__(made, _words(problem.message), cause=_words(problem.cause), remedy=_words(problem.remedy))
        return made


def _words(text: str) -> str:
    """Return a sentence as one line, so that nobody writes lines into the log of the hub."""
    return re.sub(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+", " ", text[:_WORDS])
