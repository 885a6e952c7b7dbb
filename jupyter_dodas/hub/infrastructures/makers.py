"""Provisioners as infrastructures use them: bound to a user's tokens and to credentials."""

from collections.abc import Awaitable, Callable, Sequence
from importlib import import_module
from importlib.metadata import entry_points
from typing import Any, Final

from jupyter_dodas.errors import InvalidSetting, MissingSoftware
from jupyter_dodas.hub.infrastructures.access import HubApi
from jupyter_dodas.hub.infrastructures.configuration import Configuration, Maker
from jupyter_dodas.hub.infrastructures.credentials import Credentials
from jupyter_dodas.provision.base import Access, Provisioner, no_token

__all__ = ["Makers", "kind"]

_GROUP: Final = "jupyter_dodas.provisioners"


def kind(name: str) -> type[Provisioner]:
    """Return the class of a kind of provisioner.

    Raises
    ------
    InvalidSetting, MissingSoftware
    """
    found: Any
    try:
        if ":" in name:
            module, _, attribute = name.partition(":")
            found = getattr(import_module(module), attribute)
        else:
            known = {one.name: one for one in entry_points(group=_GROUP)}
            if name not in known:
                raise InvalidSetting(
                    f"There is no kind of provisioner {name!r}", remedy=f"Kinds: {', '.join(sorted(known)) or 'none is installed'}."
                )
            found = known[name].load()
    except (ImportError, AttributeError) as error:
        raise MissingSoftware(
            f"The provisioner {name!r} cannot be loaded", cause=str(error), remedy='pip install "jupyter-dodas[provision]"'
        ) from error
    return found  # type: ignore[no-any-return]


class Makers:
    """Gives provisioners, and keeps those that were given, with their connections.

    Parameters
    ----------
    configuration
        Which there are.
    hub
        Where tokens come from.
    credentials
        Where those for clouds are.
    """

    def __init__(self, configuration: Configuration, hub: HubApi, credentials: Credentials) -> None:
        self._configuration, self._hub, self._credentials = configuration, hub, credentials
        self._bound: dict[tuple[str, str, str, str], tuple[Any, Provisioner]] = {}

    @property
    def names(self) -> Sequence[str]:
        """Which provisioners there are."""
        return [one.name for one in self._configuration.provisioners]

    async def bound(self, name: str, owner: str, cloud_owner: str, cloud: str) -> Provisioner:
        """Return a provisioner that works in the name of a user, with the credentials as they are now.

        Raises
        ------
        DodasError
            If it, or the credentials, cannot be used.
        """
        maker = self._configuration.maker(name)
        clouds = (await self._credentials.get(cloud_owner, cloud),) if cloud else ()
        key = (name, owner, cloud_owner, cloud)
        known = self._bound.get(key)
        if known is not None and known[0] == clouds:
            return known[1]
        made = kind(maker.kind).of(maker.options, Access(token=self._tokens(maker, owner), clouds=clouds))
        self._bound[key] = (clouds, made)
        return made

    def _tokens(self, maker: Maker, owner: str) -> Callable[[], Awaitable[str]]:
        audience = maker.audience
        if audience is None:
            return no_token

        async def token() -> str:
            return await self._hub.token(owner, audience)

        return token
