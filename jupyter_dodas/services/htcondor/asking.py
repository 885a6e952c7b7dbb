"""The manager of a pool, asked by a process of its user for what its daemons cannot be asked for. Over HTTP, as its page asks."""

import json
from collections.abc import Mapping
from http.client import HTTPConnection, HTTPException
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from jupyter_dodas.errors import BadInput, PoolUnreachable
from jupyter_dodas.services.htcondor.tokens import PAGE_TOKEN

if TYPE_CHECKING:
    from jupyter_dodas.backends.base import Connection

__all__ = ["ask"]

_PATIENCE: Final = 20.0


def ask(pool: str, connection: "Connection", verb: str, value: Mapping[str, object]) -> Mapping[str, Any]:
    """Have a manager do something, and return what it says. It blocks.

    Parameters
    ----------
    pool
        The name of the pool.
    connection
        How it is reached.
    verb
        One of those that `web.serve` was given.
    value
        What the verb takes, which may hold secrets.

    Raises
    ------
    BadInput, PoolUnreachable
    """
    parts = urlsplit(connection.addresses["page"])
    token = (connection.secrets / PAGE_TOKEN).read_text().strip()
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    page = HTTPConnection(parts.hostname or "", parts.port, timeout=_PATIENCE)
    try:
        page.request("POST", f"/{verb}", body=json.dumps(value), headers=headers)
        reply = page.getresponse()
        status, text = reply.status, reply.read()
    except (OSError, HTTPException) as error:
        raise _silent(pool, f"{type(error).__name__}: {error}") from error
    finally:
        page.close()
    return _answer(pool, status, text)


def _answer(pool: str, status: int, text: bytes) -> Mapping[str, Any]:
    try:
        said: Mapping[str, Any] = json.loads(text)
        error = said.get("error")
    except (ValueError, AttributeError):
        raise _silent(pool, f"It answered with status {status}.") from None
    if status == 200:
        return said
    if status == 400 and error:
        raise BadInput(error["message"], cause=error["cause"], remedy=error["remedy"])
    raise _silent(pool, error["message"] if error else f"It answered with status {status}.")


def _silent(pool: str, why: str) -> PoolUnreachable:
    remedy = f"It may be starting again: try again in some seconds. `dodas show {pool}` tells how it is."
    return PoolUnreachable(f"The manager of {pool!r} does not answer as it should", cause=why, remedy=remedy)
