"""The REST API of the service, see docs/reference/rest.md."""

import math
from collections.abc import Sequence
from http import HTTPStatus
from typing import Any, Final

from jupyter_dodas.errors import InvalidOption, NotAllowed
from jupyter_dodas.hub.infrastructures.replies import Handler, Room
from jupyter_dodas.provision.clouds import Cloud
from jupyter_dodas.provision.views import Change, Wanted

__all__ = ["routes"]

_LONGEST: Final = 25.0
"""Seconds for which a question is held: proxies end what is silent for longer."""


class InfrastructuresHandler(Handler):
    """All of them."""

    async def get(self) -> None:
        """List them; with ``?all`` those of everybody."""
        if self.get_query_argument("all", None) is not None:
            if not self.speaks_for_everybody:
                raise NotAllowed("You may not see what others have", remedy="Leave `all` out.")
            found = await self.room.desk.everything()
        else:
            found = await self.room.desk.list(self.owner)
        self.reply([one.view() for one in found])

    async def post(self) -> None:
        """Take a request for one."""
        wanted = self.body(Wanted)
        self.reply((await self.room.desk.create(await self.caller(), wanted)).view(), HTTPStatus.ACCEPTED)


class InfrastructureHandler(Handler):
    """One of them."""

    async def get(self, name: str) -> None:
        """Show it, at once or when it changes."""
        newer = self.get_query_argument("newer_than", None)
        known = None if newer is None else int(_number("newer_than", newer))
        wait = min(_LONGEST, _number("wait", self.get_query_argument("wait", "0")))
        self.reply((await self.room.desk.get(self.owner, name, newer_than=known, wait=wait)).view())

    async def patch(self, name: str) -> None:
        """Take a request for a change."""
        self.reply((await self.room.desk.change(self.owner, name, self.body(Change))).view(), HTTPStatus.ACCEPTED)

    async def delete(self, name: str) -> None:
        """Take a request to delete it."""
        self.reply((await self.room.desk.delete(self.owner, name)).view(), HTTPStatus.ACCEPTED)


class KubeconfigHandler(Handler):
    """The secret with which a cluster is reached."""

    async def get(self, name: str) -> None:
        """Send it to its owner."""
        found = await self.room.desk.kubeconfig(self.owner, name)
        self.set_header("Content-Type", "application/yaml")
        self.finish(found)


class LogHandler(Handler):
    """What was said while it was made."""

    async def get(self, name: str) -> None:
        """Send it."""
        found = await self.room.desk.log(self.owner, name)
        self.set_header("Content-Type", "text/plain; charset=utf-8")
        self.finish(found)


class HolderHandler(Handler):
    """Somebody who uses one."""

    async def put(self, name: str, holder: str) -> None:
        """Note it."""
        await self.room.desk.hold(self.owner, name, self._named(holder))
        self.set_status(HTTPStatus.NO_CONTENT)

    async def delete(self, name: str, holder: str) -> None:
        """Note that it is over."""
        await self.room.desk.release(self.owner, name, self._named(holder))
        self.set_status(HTTPStatus.NO_CONTENT)

    def _named(self, holder: str) -> str:
        if not self.speaks_for_everybody and not holder.startswith(f"{self.owner}/"):
            raise NotAllowed("That is the server of somebody else", remedy="Name one of your own, as user/server.")
        if len(holder) > 300:
            raise InvalidOption("The name of the holder is too long", option="holder")
        return holder


class PlansHandler(Handler):
    """What would be."""

    async def post(self) -> None:
        """Tell what would be created."""
        self.reply(await self.room.desk.plan(await self.caller(), self.body(Wanted)))


class TemplatesHandler(Handler):
    """What can be asked for."""

    async def get(self) -> None:
        """List the templates."""
        self.reply(list(self.room.offers.views))


class CloudsHandler(Handler):
    """Credentials."""

    async def get(self) -> None:
        """List them, without what is secret in them."""
        self.reply(list(await self.room.desk.clouds(await self.caller())))


class CloudHandler(Handler):
    """Some credentials."""

    async def put(self, name: str) -> None:
        """Keep them."""
        cloud = self.body(_CLOUD)
        if cloud.name != name:
            raise InvalidOption("The name in the path is another than in the body", option="name")
        self.reply(await self.room.credentials.put(self.purse, cloud))

    async def delete(self, name: str) -> None:
        """Forget them."""
        await self.room.credentials.remove(self.purse, name)
        self.set_status(HTTPStatus.NO_CONTENT)


_CLOUD: Final[Any] = Cloud


class NothingHandler(Handler):
    """Every other path."""

    async def prepare(self) -> None:
        """Say that there is nothing."""
        self.send_error(HTTPStatus.NOT_FOUND)


def _number(name: str, given: str) -> float:
    try:
        found = float(given)
    except ValueError:
        found = math.nan
    if not math.isfinite(found):
        raise InvalidOption(f"{name} is no number", option=name)
    return max(0.0, found)


def routes(prefix: str, room: Room) -> Sequence[tuple[str, type, dict[str, Room]]]:
    """Return the handlers of the API.

    Parameters
    ----------
    prefix
        Path of the service.
    """
    api, one, shared = f"{prefix}api/v1", r"([a-z][a-z0-9-]{0,39})", {"room": room}
    return [
        (f"{api}/infrastructures", InfrastructuresHandler, shared),
        (f"{api}/infrastructures/{one}", InfrastructureHandler, shared),
        (f"{api}/infrastructures/{one}/kubeconfig", KubeconfigHandler, shared),
        (f"{api}/infrastructures/{one}/log", LogHandler, shared),
        (f"{api}/infrastructures/{one}/holders/([^/]+)", HolderHandler, shared),
        (f"{api}/plans", PlansHandler, shared),
        (f"{api}/templates", TemplatesHandler, shared),
        (f"{api}/clouds", CloudsHandler, shared),
        (f"{api}/clouds/{one}", CloudHandler, shared),
        (f"{api}/.*", NothingHandler, shared),
    ]
