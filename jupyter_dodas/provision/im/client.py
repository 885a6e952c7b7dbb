"""The REST interface of the Infrastructure Manager: requests with deadlines, and what goes wrong in words that hold no secret."""

import asyncio
import json
import re
import ssl
from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final, TypeVar

import httpx

from jupyter_dodas.errors import (
    Busy,
    CredentialsRefused,
    DodasError,
    InfrastructureNotFound,
    InvalidSetting,
    NotAllowed,
    ProvisionerUnreachable,
    ProvisionFailed,
    TemplateInvalid,
)
from jupyter_dodas.provision.im.words import sentence

__all__ = ["Client"]

T = TypeVar("T")

_PATIENCE: Final = 60.0
"""Seconds that an answer may take. It asks the cloud about every machine, and may have much to do."""
_CONNECT: Final = 10.0
_LARGEST: Final = 32 << 20
"""Bytes of the largest answer that is read: the log of a hundred machines has some."""

_CREDENTIALS: Final = re.compile("Invalid InfrastructureManager credentials|Error trying to decode OIDC|Invalid username used for")
"""How it says that it does not take a token, with 401 or 400."""
_UNREACHED: Final = re.compile(r"credentials\. (Code: 5\d\d|HTTPS?Connection|.*(Connection|timed out|Max retries))", re.DOTALL)
"""And how, in the same words, that it could not ask who has given the token."""
_UNFETCHED: Final = re.compile(r"Error downloading the implementation script '([^']*)'")
"""How it says that it could not read a recipe, in the same answer as of a template that will not do."""


class Client:
    """Requests to one Infrastructure Manager in one name.

    Connections are not kept: it is asked every few seconds at most, may be started again at any time, and nobody has to close this.

    Parameters
    ----------
    url
        Where it is.
    header
        Returns the header ``Authorization`` as it is now; it is asked for at each request.
    ca_file
        Authorities to trust instead of those of the system.
    patience
        Seconds that an answer may take.
    """

    def __init__(
        self, url: str, header: Callable[[], Awaitable[str]], *, ca_file: Path | None = None, patience: float = _PATIENCE
    ) -> None:
        self._url, self._header, self._patience = url.rstrip("/"), header, patience
        try:
            self._trust = ssl.create_default_context(cafile=ca_file) if url.startswith("https:") else False
        except (OSError, ssl.SSLError) as error:
            raise InvalidSetting(f"The file of certificates {ca_file} cannot be read", cause=str(error)) from error

    async def get(self, path: str, field: str, kind: type[T]) -> T:
        """Return what a field of an answer holds, from JSON.

        Raises
        ------
        InfrastructureNotFound, DodasError
        """
        answer = await self._ask("GET", path)
        found = read.get(field) if isinstance(read := _parsed(answer), Mapping) else None
        if not isinstance(found, kind):
            raise _unreachable(f"What it answered has no {field} in it: perhaps something else listens at its address.")
        return found

    async def post(self, path: str, text: str, *, patience: float | None = None) -> Mapping[str, Any]:
        """Send a document in YAML, and return the answer.

        Raises
        ------
        InfrastructureNotFound, DodasError
        """
        found = _parsed(await self._ask("POST", path, content=text.encode(), patience=patience))
        if not isinstance(found, Mapping):
            raise _unreachable("What it answered is something else: perhaps something else listens at its address.")
        return found

    async def put(self, path: str) -> None:
        """Have something done.

        Raises
        ------
        InfrastructureNotFound, DodasError
        """
        await self._ask("PUT", path)

    async def delete(self, path: str, *, patience: float | None = None) -> None:
        """Delete something.

        Raises
        ------
        InfrastructureNotFound, DodasError
        """
        await self._ask("DELETE", path, patience=patience)

    async def _ask(self, method: str, path: str, *, content: bytes | None = None, patience: float | None = None) -> bytes:
        header = await self._header()
        status, body = await self._once(method, path, header, content, patience or self._patience)
        if _expired(status, body) and (fresh := await self._header()) != header:
            status, body = await self._once(method, path, fresh, content, patience or self._patience)  # it ran out on the way
        if status < HTTPStatus.MULTIPLE_CHOICES:
            return body
        raise _error(method, path, status, body)

    async def _once(self, method: str, path: str, header: str, content: bytes | None, patience: float) -> tuple[int, bytes]:
        headers = {"Authorization": header, "Accept": "application/json"}
        if content is not None:
            headers["Content-Type"] = "text/yaml"
        body = bytearray()
        try:
            async with (
                asyncio.timeout(patience),  # over all of it: a server that drips would outlast those of httpx
                httpx.AsyncClient(verify=self._trust, timeout=httpx.Timeout(patience, connect=_CONNECT), trust_env=False) as client,
                client.stream(method, f"{self._url}/{path}", headers=headers, content=content) as answer,
            ):
                async for part in answer.aiter_bytes():
                    body += part
                    if len(body) > _LARGEST:
                        raise _unreachable(f"Its answer is larger than {_LARGEST >> 20} MiB.")
                return answer.status_code, bytes(body)
        except (TimeoutError, httpx.TimeoutException):
            raise _unreachable(f"It did not answer within {patience:g} s.") from None
        except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
            # Not chained: some of these hold the request, with its header.
            raise _unreachable(f"{type(error).__name__}: {error}") from None


def _parsed(body: bytes) -> Any:
    try:
        return json.loads(body)
    except ValueError:
        raise _unreachable("What it answered is no JSON: perhaps something else listens at its address.") from None


def _said(body: bytes) -> str:
    """Return its own words for what went wrong."""
    try:
        found = json.loads(body)
    except ValueError:
        found = body.decode("utf-8", "replace")
    if isinstance(found, Mapping):
        found = found.get("message") or found.get("detail") or ""
    return found if isinstance(found, str) else json.dumps(found)


def _expired(status: int, body: bytes) -> bool:
    if status not in (HTTPStatus.UNAUTHORIZED, HTTPStatus.BAD_REQUEST):
        return False
    said = _said(body)
    return bool(_CREDENTIALS.search(said)) and not _UNREACHED.search(said)


def _error(method: str, path: str, status: int, body: bytes) -> DodasError:
    said = _said(body)
    if status == HTTPStatus.NOT_FOUND:
        return InfrastructureNotFound(path.split("/")[1] if "/" in path else path)
    if _UNREACHED.search(said):
        return _unreachable(f"It could not ask the identity provider about the token: {sentence(said)}")
    if status == HTTPStatus.UNAUTHORIZED or _CREDENTIALS.search(said):
        return CredentialsRefused(
            "The Infrastructure Manager does not take the credentials",
            cause=sentence(said),
            remedy="Sign in again. If that does not help, an administrator sees to it that the Infrastructure Manager takes tokens "
            "of this identity provider, and of this audience.",
        )
    if status == HTTPStatus.FORBIDDEN:
        return NotAllowed("The Infrastructure Manager does not let this user do that", cause=sentence(said))
    if status == HTTPStatus.CONFLICT:
        return Busy("The infrastructure is being changed", cause=sentence(said), after=2)
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR or status < HTTPStatus.BAD_REQUEST:
        return _unreachable(f"It, or what stands before it, said {status}: {sentence(said)}")
    return _refused(method, status, said)


def _refused(method: str, status: int, said: str) -> DodasError:
    cause = sentence(said)
    if found := _UNFETCHED.search(said):
        return ProvisionerUnreachable(
            "The Infrastructure Manager cannot read a recipe",
            cause=f"It does not get {found[1]}. {cause}",
            remedy="It is tried again. If that goes on, see that it is there, and that the Infrastructure Manager reaches it.",
        )
    if status == HTTPStatus.UNPROCESSABLE_ENTITY or "Error parsing request body" in said or "TOSCA" in said:
        return TemplateInvalid(
            "The Infrastructure Manager does not understand the template",
            cause=cause,
            remedy="Mend the template; `dodas template validate` tells more.",
        )
    if re.search(r"AuthFailure|InvalidCredsError|credentials|Unauthorized|not able to validate", said, re.IGNORECASE):
        return CredentialsRefused("The cloud does not take the credentials", cause=cause, remedy="Enter the credentials again.")
    return ProvisionFailed(
        "The Infrastructure Manager refuses" + (" to make it" if method == "POST" else ""),
        cause=cause,
        remedy="See what the cloud offers, and choose other inputs.",
    )


def _unreachable(cause: str) -> ProvisionerUnreachable:
    return ProvisionerUnreachable(
        "The Infrastructure Manager does not answer as it should",
        cause=cause,
        remedy="Try again in a moment; an administrator looks after it.",
    )
