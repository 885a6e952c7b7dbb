"""Starts of notebooks by the API of the hub: what is not offered is refused at once, and not as a start that fails later."""

from collections.abc import Mapping, Sequence
from typing import Any

from jupyterhub.apihandlers.users import UserServerAPIHandler  # type: ignore[import-untyped]

from jupyter_dodas.hub.spawner import DodasSpawner

__all__ = ["routes"]


class Server(UserServerAPIHandler):  # type: ignore[misc]
    """See `UserServerAPIHandler`. By then it is clear that whoever asks may start this server."""

    async def spawn_single_user(
        self, user: Any, server_name: str = "", *more: Any, options: Mapping[str, Any] | None = None, **named: Any
    ) -> Any:
        """Look at the options, then start it. From one version of JupyterHub to the next there is more to it."""
        spawner = user.spawners[server_name]
        if options is not None and isinstance(spawner, DodasSpawner):
            spawner.check(options)
        return await super().spawn_single_user(user, server_name, *more, options=options, **named)


def routes() -> Sequence[tuple[str, type]]:
    """Return the handlers, which stand before those of JupyterHub."""
    return [(r"/api/users/([^/]+)/server", Server), (r"/api/users/([^/]+)/servers/([^/]*)", Server)]
