"""The page of the service in the hub, for people with a browser."""

from collections.abc import Sequence

from jupyterhub.services.auth import HubOAuthCallbackHandler, HubOAuthenticated  # type: ignore[import-untyped]
from tornado import web

from jupyter_dodas.hub.infrastructures.replies import Room

__all__ = ["routes"]


class Page(HubOAuthenticated, web.RequestHandler):  # type: ignore[misc]
    """All that somebody has."""

    def initialize(self, room: Room) -> None:
        """Take what is shared."""
        self.room = room

    @web.authenticated
    async def get(self) -> None:
        """Show it."""
        found = await self.room.desk.list(self.current_user["name"])
        self.set_header("Content-Type", "text/plain; charset=utf-8")
        self.finish("".join(f"{one.name}: {one.phase}\n" for one in found))


def routes(prefix: str, room: Room) -> Sequence[tuple[str, type, dict[str, Room]] | tuple[str, type]]:
    """Return the handlers of the page.

    Parameters
    ----------
    prefix
        Path of the service.
    """
    return [(prefix, Page, {"room": room}), (f"{prefix}oauth_callback", HubOAuthCallbackHandler)]
