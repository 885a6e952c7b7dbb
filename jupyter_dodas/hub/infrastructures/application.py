"""The service as a whole: everything that it consists of, put together in one place."""

import asyncio
import logging
import ssl
from collections.abc import Mapping
from contextlib import suppress
from socket import socket
from typing import Final
from urllib.parse import urlsplit

from jupyterhub.services.auth import HubOAuth  # type: ignore[import-untyped]
from tornado import httpserver, web
from tornado.netutil import bind_sockets

from jupyter_dodas.errors import InvalidSetting
from jupyter_dodas.hub.audit import Audit
from jupyter_dodas.hub.infrastructures import handlers, page
from jupyter_dodas.hub.infrastructures.access import HubApi, hub_ssl
from jupyter_dodas.hub.infrastructures.changes import Changes
from jupyter_dodas.hub.infrastructures.checks import Checks
from jupyter_dodas.hub.infrastructures.configuration import Configuration
from jupyter_dodas.hub.infrastructures.credentials import Credentials
from jupyter_dodas.hub.infrastructures.desk import Desk
from jupyter_dodas.hub.infrastructures.keeping import Keeping
from jupyter_dodas.hub.infrastructures.makers import Makers
from jupyter_dodas.hub.infrastructures.offers import Offers
from jupyter_dodas.hub.infrastructures.recipes import RecipeHandler
from jupyter_dodas.hub.infrastructures.replies import LARGEST, Room
from jupyter_dodas.hub.infrastructures.store import Store
from jupyter_dodas.hub.infrastructures.strays import Strays
from jupyter_dodas.hub.infrastructures.turning import turn
from jupyter_dodas.hub.infrastructures.vault import Vault

__all__ = ["Service"]

_REMEMBERED: Final = 30
"""Seconds for which the hub is not asked again about one token."""
_PORT: Final = 30.0
"""Seconds that a service before this one may hold on to the port."""

_GOODBYE: Final = 3.0
"""Seconds that answers may take that were begun."""

_log = logging.getLogger(__name__)


class Service:
    """The service, from its configuration and what the hub has put into the environment.

    Parameters
    ----------
    configuration
        What an administrator says.
    variables
        The environment.

    Raises
    ------
    InvalidSetting
    """

    def __init__(self, configuration: Configuration, variables: Mapping[str, str]) -> None:
        try:
            api, token = variables["JUPYTERHUB_API_URL"], variables["JUPYTERHUB_API_TOKEN"]
            self._address, self._prefix = variables["JUPYTERHUB_SERVICE_URL"], variables["JUPYTERHUB_SERVICE_PREFIX"]
        except KeyError as error:
            raise InvalidSetting(
                f"{error.args[0]} is not set",
                cause="This is a service of JupyterHub, which starts it.",
                remedy="See docs/guides/infrastructures-admin.md.",
            ) from None
        self._variables = variables
        self._store = Store(configuration.url)
        vault = self._vault = Vault.at(configuration.keys)
        self._hub = HubApi(api, token, hub_ssl(variables))
        changes = self._changes = Changes()
        credentials, offers = Credentials(self._store, vault), Offers(configuration)
        makers = Makers(configuration, self._hub, credentials)
        self._keeping = Keeping(self._store, vault, makers, changes, configuration)
        self._strays = Strays(self._store, self._hub, makers, self._keeping, credentials, configuration.look_around)
        desk = Desk(
            store=self._store,
            vault=vault,
            configuration=configuration,
            makers=makers,
            credentials=credentials,
            checks=Checks(self._store, configuration, credentials, offers),
            keeping=self._keeping,
            changes=changes,
            audit=Audit(configuration.audit, _log),
        )
        self._room = Room(desk, offers, credentials, self._hub, HubOAuth(cache_max_age=_REMEMBERED))

    async def run(self, stop: asyncio.Event) -> None:
        """Serve until it is told to stop."""
        await self._store.open()
        if turned := await turn(self._store, self._vault):
            _log.info("%d secrets are encrypted with the first key now", turned)
        looking = asyncio.create_task(self._strays.run(), name="look around")
        server = httpserver.HTTPServer(
            self._application(), ssl_options=_tls(self._variables), max_body_size=LARGEST, idle_connection_timeout=120
        )
        where = urlsplit(self._address)
        server.add_sockets(await _sockets(where.port or 80, where.hostname or "127.0.0.1"))
        _log.info("The service of infrastructures listens at %s", self._address)
        # Only now: what is made reads its recipes here.
        await self._keeping.start()
        await stop.wait()
        server.stop()
        self._changes.end()
        await asyncio.sleep(_GOODBYE / 10)  # those who waited are answered
        with suppress(TimeoutError):
            await asyncio.wait_for(server.close_all_connections(), _GOODBYE)
        looking.cancel()
        with suppress(asyncio.CancelledError):
            await looking
        await self._keeping.close()
        await self._hub.close()
        await self._store.close()

    def _application(self) -> web.Application:
        recipes = (f"{self._prefix}recipes/([0-9a-f]+)/([^/]+)", RecipeHandler)
        return web.Application(
            [*handlers.routes(self._prefix, self._room), recipes, *page.routes(self._prefix, self._room)],
            cookie_secret=self._variables["JUPYTERHUB_API_TOKEN"],
            xsrf_cookies=True,
            xsrf_cookie_kwargs={"path": self._prefix, "samesite": "Lax"},
        )


async def _sockets(port: int, host: str) -> list[socket]:
    deadline = asyncio.get_running_loop().time() + _PORT
    while True:
        try:
            return list(bind_sockets(port, host))
        except OSError:
            if asyncio.get_running_loop().time() > deadline:
                raise
            await asyncio.sleep(0.2)


def _tls(variables: Mapping[str, str]) -> ssl.SSLContext | None:
    """Return how the proxy is served when the hub has certificates for everything within (`internal_ssl`)."""
    authority, key, certificate = (variables.get(f"JUPYTERHUB_SSL_{name}", "") for name in ("CLIENT_CA", "KEYFILE", "CERTFILE"))
    if not (authority and key and certificate):
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=authority)
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_cert_chain(certificate, key)
    return context
