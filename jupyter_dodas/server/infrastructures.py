"""Infrastructures in Jupyter Server: what the hub's service of infrastructures says, for the screens of this notebook.

Nothing is kept here. The token of the notebook for its hub goes no further than this process: a browser never sees it.
"""

import asyncio
import os
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any, Final, TypeVar

from jupyter_server.auth.decorator import authorized
from jupyter_server.utils import url_path_join
from pydantic import BaseModel, ConfigDict, Field
from tornado import web

from jupyter_dodas import settings
from jupyter_dodas.errors import DodasError, NotSupported
from jupyter_dodas.provision.base import Plan
from jupyter_dodas.provision.client import Infrastructures
from jupyter_dodas.provision.views import Change, CloudView, InfrastructureView, TemplateView, Wanted
from jupyter_dodas.server.base import DodasHandler
from jupyter_dodas.server.clusters import Clusters

__all__ = ["CloudList", "Desk", "InfrastructureList", "InfrastructureQuery", "TemplateList", "address_in", "infrastructure_routes"]

_KEY: Final = "JUPYTERHUB_API_TOKEN"
_SERVICE: Final = "services/infrastructures"

ResultT = TypeVar("ResultT")


class InfrastructureList(BaseModel):
    """Infrastructures of the user."""

    model_config = ConfigDict(frozen=True)

    available: bool = Field(description="Whether this notebook's hub has a service of infrastructures.")
    infrastructures: tuple[InfrastructureView, ...] = ()


class TemplateList(BaseModel):
    """Templates that the service offers."""

    model_config = ConfigDict(frozen=True)

    templates: tuple[TemplateView, ...]


class CloudList(BaseModel):
    """Credentials for clouds, without what is secret in them."""

    model_config = ConfigDict(frozen=True)

    clouds: tuple[CloudView, ...]


class InfrastructureQuery(BaseModel):
    """What of one is asked."""

    newer_than: int | None = Field(default=None, ge=0, description="A generation: the reply waits for a newer one, or a while.")


def address_in(environ: Mapping[str, str], configured: str | None) -> str | None:
    """Return where the service of the notebook's hub is; None if there is no hub.

    Parameters
    ----------
    configured
        What the settings say of it.
    """
    if not environ.get(_KEY):
        return None
    if configured:
        return configured
    # What is said to browsers leads through the proxy, where services are; what is said to notebooks may be the hub itself.
    hub = environ.get("JUPYTERHUB_PUBLIC_HUB_URL", "").rstrip("/") or environ.get("JUPYTERHUB_API_URL", "").rstrip(
        "/"
    ).removesuffix("/api")
    return f"{hub.removesuffix('/hub')}/{_SERVICE}" if hub else None


class Desk:
    """Where this notebook asks for infrastructures, made when it is first asked for.

    Parameters
    ----------
    environ
        Of this process: the hub has put addresses and a token there.
    """

    def __init__(self, environ: Mapping[str, str] | None = None, configured: Callable[[], str | None] | None = None) -> None:
        self._environ = os.environ if environ is None else environ
        self._configured = configured or (lambda: settings.load().infrastructures)
        self._service: Infrastructures | None = None

    @property
    def address(self) -> str | None:
        """See `address_in`."""
        return address_in(self._environ, self._configured())

    def service(self) -> Infrastructures:
        """Return the service.

        Raises
        ------
        NotSupported
            If there is none.
        """
        if self._service is None:
            address = self.address
            if address is None:
                raise NotSupported(
                    "This notebook has no service of infrastructures",
                    cause="It was not started by a hub that has one.",
                    remedy="Sign in to a hub that makes infrastructures; its pages tell of them.",
                )
            self._service = Infrastructures(address, self._token)
        return self._service

    async def list(self) -> InfrastructureList:
        """Return all of them, or that nobody makes any here."""
        if self.address is None:
            return InfrastructureList(available=False)
        try:
            return InfrastructureList(available=True, infrastructures=await self.service().list())
        except DodasError:
            if self._configured():
                raise
            return InfrastructureList(available=False)  # its hub has none, which nobody has promised

    async def close(self) -> None:
        """Close its connections."""
        if self._service is not None:
            await self._service.close()

    async def _token(self) -> str:
        return self._environ[_KEY]


class InfrastructuresBase(DodasHandler):
    """What these handlers share."""

    def initialize(self, clusters: Clusters, desk: Desk) -> None:  # type: ignore[override]
        """Take what the route was made with."""
        super().initialize(clusters)
        self.desk = desk
        self._asked: asyncio.Task[Any] | None = None

    async def while_read(self, asked: "asyncio.Task[ResultT]") -> ResultT | None:
        """Return a result, or None if whoever has asked does not listen any more."""
        self._asked = asked
        await asyncio.wait([asked])
        return None if asked.cancelled() else asked.result()

    def on_connection_close(self) -> None:
        """Ask no longer for what nobody reads."""
        super().on_connection_close()
        if self._asked is not None:
            self._asked.cancel()

    def text(self, said: str, name: str = "") -> None:
        """Finish with a text; with a name, browsers keep it as a file."""
        if name:
            self.set_header("Content-Disposition", f'attachment; filename="{name}"')
        self.finish(said, set_content_type="text/plain; charset=utf-8")


class InfrastructuresHandler(InfrastructuresBase):
    """All infrastructures of the user."""

    @web.authenticated
    @authorized
    async def get(self) -> None:
        """Return every one."""
        self.reply(await self.desk.list())

    @web.authenticated
    @authorized
    async def post(self) -> None:
        """Begin to create one."""
        made = await self.desk.service().create(self.body(Wanted))
        self.set_header("Location", url_path_join(self.base_url, "dodas/api/v1/infrastructures", made.name))
        self.reply(made, HTTPStatus.ACCEPTED)


class InfrastructureHandler(InfrastructuresBase):
    """One infrastructure."""

    @web.authenticated
    @authorized
    async def get(self, name: str) -> None:
        """Return it, or wait until something of it has changed."""
        newer_than = self.query(InfrastructureQuery).newer_than
        found = await self.while_read(asyncio.create_task(self.desk.service().get(name, newer_than=newer_than)))
        if found is not None:
            self.reply(found)

    @web.authenticated
    @authorized
    async def patch(self, name: str) -> None:
        """Begin to change it."""
        self.reply(await self.desk.service().change(name, self.body(Change)), HTTPStatus.ACCEPTED)

    @web.authenticated
    @authorized
    async def delete(self, name: str) -> None:
        """Begin to delete it; it is gone when it is not found any more."""
        self.reply(await self.desk.service().delete(name), HTTPStatus.ACCEPTED)


class InfrastructureLogHandler(InfrastructuresBase):
    """What was said while one was made."""

    @web.authenticated
    @authorized
    async def get(self, name: str) -> None:
        """Return it."""
        self.text(await self.desk.service().log(name))


class KubeconfigHandler(InfrastructuresBase):
    """The secret with which the Kubernetes cluster of one is reached."""

    @web.authenticated
    @authorized
    async def get(self, name: str) -> None:
        """Return it, as a file."""
        self.text(await self.desk.service().kubeconfig(name), f"{name}.kubeconfig")


class PlansHandler(InfrastructuresBase):
    """What would be created."""

    @web.authenticated
    @authorized
    async def post(self) -> None:
        """Return it; nothing is created."""
        plan: Plan = await self.desk.service().plan(self.body(Wanted))
        self.reply(plan)


class TemplatesHandler(InfrastructuresBase):
    """What infrastructures can be made of."""

    @web.authenticated
    @authorized
    async def get(self) -> None:
        """Return every template, with the schema of its inputs."""
        self.reply(TemplateList(templates=await self.desk.service().templates()))


class CloudsHandler(InfrastructuresBase):
    """Where they can be made. Credentials are given to the hub's page alone: no secret of a cloud comes through a notebook."""

    @web.authenticated
    @authorized
    async def get(self) -> None:
        """Return what there are credentials for."""
        self.reply(CloudList(clouds=await self.desk.service().clouds()))


def infrastructure_routes(api: str, shared: Mapping[str, Any], desk: Desk) -> list[tuple[Any, ...]]:
    """Return the handlers.

    Parameters
    ----------
    api
        The path of the API.
    """
    given, name = {**shared, "desk": desk}, "([^/]+)"
    return [
        (rf"{api}/infrastructures", InfrastructuresHandler, given),
        (rf"{api}/infrastructures/{name}", InfrastructureHandler, given),
        (rf"{api}/infrastructures/{name}/log", InfrastructureLogHandler, given),
        (rf"{api}/infrastructures/{name}/kubeconfig", KubeconfigHandler, given),
        (rf"{api}/plans", PlansHandler, given),
        (rf"{api}/templates", TemplatesHandler, given),
        (rf"{api}/clouds", CloudsHandler, given),
    ]
