"""The service of infrastructures, as the hub, a notebook and a command use it."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import quote

import httpx
from pydantic import TypeAdapter, ValidationError

from jupyter_dodas import errors
from jupyter_dodas.errors import DodasError, ProvisionerUnreachable, Unauthenticated
from jupyter_dodas.provision.base import Plan
from jupyter_dodas.provision.clouds import Cloud
from jupyter_dodas.provision.views import Change, CloudView, InfrastructureView, TemplateView, Wanted
from jupyter_dodas.spec import Model, Phase

__all__ = ["Infrastructures"]

_PATIENCE: Final = 30.0
"""Seconds that one answer may take."""
_WATCH: Final = 20.0
"""Seconds for which the service holds a question that waits for a change."""
_PAUSE: Final = 1.0
"""Seconds between two tries to reach a service that is being started again."""

_ERRORS: Final = {
    one.code: one
    for one in vars(errors).values()
    if isinstance(one, type) and issubclass(one, DodasError) and one is not DodasError
}


class Infrastructures:
    """Infrastructures of one user.

    Parameters
    ----------
    url
        Of the service: ``https://HUB/services/infrastructures``.
    token
        Returns a token of the hub that may use the service.
    owner
        Whose; by default whoever the token is of. Only the hub and its administrators may name others.
    groups
        Which groups the owner is in, whose credentials they may use.
    """

    def __init__(self, url: str, token: Callable[[], Awaitable[str]], owner: str = "", groups: Sequence[str] = ()) -> None:
        self._url, self._token, self._owner, self._groups = url.rstrip("/"), token, owner, groups
        self._client = httpx.AsyncClient(timeout=httpx.Timeout(_PATIENCE, connect=5.0), follow_redirects=False)

    async def close(self) -> None:
        """Close its connections."""
        await self._client.aclose()

    async def __aenter__(self) -> "Infrastructures":
        """Return it."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close its connections."""
        await self.close()

    # -- what is there -------------------------------------------------------------------------------------------------

    async def list(self) -> tuple[InfrastructureView, ...]:
        """Return all of them, oldest first."""
        found = await self._ask("GET", "infrastructures")
        return TypeAdapter(tuple[InfrastructureView, ...]).validate_json(found)

    async def get(self, name: str, *, newer_than: int | None = None) -> InfrastructureView:
        """Return one.

        Parameters
        ----------
        newer_than
            A generation: the answer comes as soon as there is a newer one, or after a while.

        Raises
        ------
        InfrastructureNotFound
        """
        more = {} if newer_than is None else {"newer_than": str(newer_than), "wait": str(_WATCH)}
        return InfrastructureView.model_validate_json(await self._ask("GET", f"infrastructures/{quote(name, safe='')}", query=more))

    async def follow(self, name: str) -> AsyncIterator[InfrastructureView]:
        """Yield one as it is now, and each time that anything of it has changed, until it is gone.

        The service may be started again meanwhile.

        Raises
        ------
        InfrastructureNotFound
            If it is gone.
        """
        known: int | None = None
        since: float | None = None
        while True:
            try:
                found = await self.get(name, newer_than=known)
            except ProvisionerUnreachable:
                since = since or time.monotonic()
                if time.monotonic() > since + 2 * _PATIENCE:
                    raise
                await asyncio.sleep(_PAUSE)
                continue
            since = None
            if found.generation != known:
                known = found.generation
                yield found

    async def ready(self, name: str, see: Callable[[InfrastructureView], None] = lambda _: None) -> InfrastructureView:
        """Return one as soon as it is ready or has failed.

        Parameters
        ----------
        see
            Is called with every state on the way.
        """
        async for found in self.follow(name):
            see(found)
            if found.phase in (Phase.READY, Phase.DEGRADED, Phase.FAILED):
                return found
        raise AssertionError("it goes on until something is returned or raised")

    async def kubeconfig(self, name: str) -> str:
        """Return the secret with which its Kubernetes cluster is reached."""
        return (await self._ask("GET", f"infrastructures/{quote(name, safe='')}/kubeconfig")).decode()

    async def log(self, name: str) -> str:
        """Return what was said while it was made."""
        return (await self._ask("GET", f"infrastructures/{quote(name, safe='')}/log")).decode()

    # -- what is asked -------------------------------------------------------------------------------------------------

    async def plan(self, wanted: Wanted) -> Plan:
        """Return what would be created."""
        return Plan.model_validate_json(await self._ask("POST", "plans", body=wanted))

    async def create(self, wanted: Wanted) -> InfrastructureView:
        """Begin to create one. One that is there, is the same, and is not on its way out, will do.

        Raises
        ------
        InfrastructureExists
            If another one has the name.
        """
        return InfrastructureView.model_validate_json(await self._ask("POST", "infrastructures", body=wanted))

    async def change(self, name: str, change: Change) -> InfrastructureView:
        """Begin to change one."""
        return InfrastructureView.model_validate_json(
            await self._ask("PATCH", f"infrastructures/{quote(name, safe='')}", body=change)
        )

    async def delete(self, name: str) -> InfrastructureView:
        """Begin to delete one; it is gone when it is not found any more."""
        return InfrastructureView.model_validate_json(await self._ask("DELETE", f"infrastructures/{quote(name, safe='')}"))

    async def hold(self, name: str, holder: str) -> None:
        """Keep one, for a holder, however long nobody else uses it."""
        await self._ask("PUT", f"infrastructures/{quote(name, safe='')}/holders/{quote(holder, safe='')}")

    async def release(self, name: str, holder: str) -> None:
        """Let go of one: after the last holder it stays for as long as `linger` says."""
        await self._ask("DELETE", f"infrastructures/{quote(name, safe='')}/holders/{quote(holder, safe='')}")

    # -- what there is to choose from ----------------------------------------------------------------------------------

    async def templates(self) -> tuple[TemplateView, ...]:
        """Return the templates that the service offers."""
        return TypeAdapter(tuple[TemplateView, ...]).validate_json(await self._ask("GET", "templates"))

    async def clouds(self) -> tuple[CloudView, ...]:
        """Return the credentials that there are, without what is secret in them."""
        return TypeAdapter(tuple[CloudView, ...]).validate_json(await self._ask("GET", "clouds"))

    async def add_cloud(self, cloud: Cloud) -> CloudView:
        """Keep credentials, encrypted, instead of any of this name."""
        from pydantic import SecretStr

        plain = {
            name: value.get_secret_value() if isinstance(value, SecretStr) else value for name, value in cloud if value is not None
        }
        return CloudView.model_validate_json(await self._ask("PUT", f"clouds/{cloud.name}", body=plain))

    async def remove_cloud(self, name: str) -> None:
        """Forget credentials."""
        await self._ask("DELETE", f"clouds/{quote(name, safe='')}")

    async def _ask(
        self, method: str, path: str, *, body: Model | Mapping[str, Any] | None = None, query: Mapping[str, str] | None = None
    ) -> bytes:
        asked: dict[str, Any] = {**(query or {}), **({"owner": self._owner, "group": list(self._groups)} if self._owner else {})}
        content = body.model_dump(mode="json", exclude_unset=True) if isinstance(body, Model) else body
        try:
            answer = await self._client.request(
                method,
                f"{self._url}/api/v1/{path}",
                params=asked,
                json=content,
                headers={"Authorization": f"token {await self._token()}", "Accept": "application/json"},
            )
        except httpx.HTTPError as error:
            raise ProvisionerUnreachable(
                "The service of infrastructures does not answer",
                cause=str(error) or type(error).__name__,
                remedy="Try again in a moment: the hub starts it again. An administrator finds why in the log of the hub.",
            ) from error
        if answer.is_success:
            return answer.content
        raise _as_error(answer)


def _as_error(answer: httpx.Response) -> DodasError:
    """Return the error that an answer is."""
    try:
        said = answer.json()
        kind = _ERRORS[str(said["code"])]
        made = kind.__new__(kind)  # several take other arguments, of which the sentences are made
        DodasError.__init__(
            made,
            str(said["message"]),
            cause=str(said.get("cause", "")),
            remedy=str(said.get("remedy", "")),
            retry=said.get("retry"),
        )
        if isinstance(made, errors.InvalidOption):
            made.option = str(said.get("option") or "")
    except (ValueError, KeyError, TypeError, ValidationError):
        if answer.status_code in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN, HTTPStatus.FOUND):
            return Unauthenticated(
                "The service of infrastructures does not know you", cause=f"It said {answer.status_code}.", remedy="Sign in again."
            )
        return ProvisionerUnreachable(
            "The service of infrastructures cannot answer now",
            cause=f"It, or what stands before it, said {answer.status_code}.",
            remedy="Try again in a moment.",
        )
    return made
