"""The pages of the hub: where they lie, and what their buttons do without a script. JupyterHub itself renders them."""

import asyncio
from collections.abc import Sequence
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote, urlsplit

from jupyterhub.handlers.base import BaseHandler  # type: ignore[import-untyped]
from jupyterhub.handlers.static import CacheControlStaticFilesHandler  # type: ignore[import-untyped]
from jupyterhub.scopes import needs_scope  # type: ignore[import-untyped]
from jupyterhub.utils import url_path_join  # type: ignore[import-untyped]
from tornado import web

from jupyter_dodas.hub.spawner import DodasSpawner

__all__ = ["TEMPLATES", "routes", "tell"]

_HERE: Final = Path(__file__).parent
TEMPLATES: Final = _HERE / "templates"

_SOON: Final = 5.0
"""Seconds that somebody who has cancelled waits for what is half made to be given up."""


def tell(app: Any) -> None:
    """Let the templates of a hub know what they say to everybody. What ``JupyterHub.template_vars`` says already holds."""
    facts = app.template_vars
    facts.setdefault("form_script", (_HERE / "static" / "form.js").is_file())
    facts.setdefault("provider_host", urlsplit(getattr(app.authenticator, "issuer", "")).hostname)
    if issubclass(app.spawner_class, DodasSpawner):
        spawner = app.spawner_class(config=app.config)
        facts.setdefault("unprotected", spawner.unprotected(app.users.settings))
        facts.setdefault("files_end", spawner.files_end(app.users.settings))


def routes() -> Sequence[tuple[Any, ...]]:
    """Return the handlers of these pages, below the hub's prefix."""
    return [
        (r"/dodas/static/(.*)", Static, {"path": str(_HERE / "static")}),
        (r"/dodas/start", Start),
        (r"/dodas/stop/([^/]+)/([^/]*)", Stop),
    ]


class Static(CacheControlStaticFilesHandler):  # type: ignore[misc]
    """The style sheet and the scripts."""

    def set_default_headers(self) -> None:
        """Keep browsers from taking them for something else."""
        self.set_header("X-Content-Type-Options", "nosniff")


class Start(BaseHandler):  # type: ignore[misc]
    """Leads from a name in a form to the page that starts the notebook of this name."""

    @web.authenticated
    async def get(self) -> None:
        """Go there."""
        name = self.get_query_argument("name", "")
        self.redirect(url_path_join(self.hub.base_url, "spawn", self.current_user.escaped_name, quote(name, safe="")))


class Stop(BaseHandler):  # type: ignore[misc]
    """Ends a notebook, or cancels its start in whatever phase that is: for forms what DELETE in the API is for programs."""

    @web.authenticated
    @needs_scope("delete:servers")  # type: ignore[untyped-decorator]
    async def post(self, user_name: str, server_name: str = "") -> None:
        """End it, and go home."""
        user = self.find_user(user_name)
        if user is None or server_name not in user.orm_user.orm_spawners:
            raise web.HTTPError(HTTPStatus.NOT_FOUND, "There is no such notebook.")
        spawner = user.spawners[server_name]
        if spawner.pending == "spawn" and spawner._spawn_future:  # noqa: SLF001 - as the handler of DELETE does
            spawner._spawn_future.cancel()  # noqa: SLF001
            await asyncio.wait([spawner._spawn_future], timeout=_SOON)  # noqa: SLF001
        if spawner.active and not spawner.pending:
            await self._stop(user, server_name)
        if self.get_body_argument("remove", "") and server_name and not spawner.active:
            self.db.delete(spawner.orm_spawner)
            user.spawners.pop(server_name, None)
            self.db.commit()
        self.redirect(url_path_join(self.hub.base_url, "home"), status=HTTPStatus.SEE_OTHER)

    async def _stop(self, user: Any, server_name: str) -> None:
        """Have it ended; whoever pressed the button need not wait for it for long."""
        stopping = asyncio.ensure_future(self.stop_single_user(user, server_name))
        await asyncio.wait([stopping], timeout=_SOON)
        if stopping.done():
            stopping.result()
