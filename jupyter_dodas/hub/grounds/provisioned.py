"""A Kubernetes cluster that is made when a notebook is started, and taken away after the last one on it.

The service of infrastructures makes it. Whatever the hub has to know of it stands there, or in the cluster: a hub that was killed
finds both again by their names.
"""

import asyncio
import hashlib
import os
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from jupyter_dodas.aio.cluster import Follower
from jupyter_dodas.errors import (
    CredentialsRefused,
    DodasError,
    InfrastructureNotFound,
    InvalidSetting,
    NotFound,
    PlaceUnreachable,
)
from jupyter_dodas.hub.grounds.base import See, unseen
from jupyter_dodas.hub.grounds.kubeconfig import plain
from jupyter_dodas.hub.grounds.namespaces import OwnNamespace
from jupyter_dodas.hub.grounds.tenancy import Tenancy
from jupyter_dodas.hub.notebooks import Notebook, notebook_name
from jupyter_dodas.limits import NOTHING, Allowance, Share
from jupyter_dodas.provision.views import InfrastructureView
from jupyter_dodas.services.notebook.service import NotebookOptions
from jupyter_dodas.settings import Settings
from jupyter_dodas.spec import Phase, Record, Step

__all__ = ["Provisioned"]

_GLANCE: Final = 4.0
"""Seconds that a cluster, and then the service, have to say how a notebook is."""


class Provisioned:
    """See `Ground`.

    Parameters
    ----------
    user
        The name in the hub.
    configured
        The settings of the user's place there, without the kubeconfig.
    tenancy
        The infrastructure, as the server of this notebook has it.
    file
        Where the kubeconfig is kept while the notebook runs; nobody but the hub must come there.
    upon
        Returns the user's namespace, by settings with a kubeconfig.
    stores
        Whether a volume is made there.
    """

    unprotected = ""
    is_away: Final = True

    def __init__(
        self,
        user: str,
        configured: Settings,
        tenancy: Tenancy,
        file: Path,
        upon: Callable[[Settings], OwnNamespace],
        *,
        stores: bool,
    ) -> None:
        self._furnishing = "Storage and controller" if stores else "Controller"
        self._user, self.tenancy, self._file, self._upon = user, tenancy, file, upon
        self.settings = configured.model_copy(
            update={"backend": "kubernetes", "kubernetes_config": file, "kubernetes_context": None}
        )
        self._stands: tuple[str, OwnNamespace] | None = None

    @property
    def phases(self) -> Sequence[str]:
        """See `Ground.phases`."""
        return ("Queued", "Machines", "Kubernetes", self._furnishing)

    # -- prepare -------------------------------------------------------------------------------------------------------

    async def prepare(self, allowance: Allowance, see: See = unseen) -> None:
        """See `Ground.prepare`."""
        found, text = await self.tenancy.have(see)
        self._keep(plain(text, found.uid))
        began = time.time()
        see([*found.steps, Step(name=self._furnishing, started=began)], [])
        await self._namespace().prepare(allowance)
        see([*found.steps, Step(name=self._furnishing, started=began, ended=time.time())], [])

    async def renew(self, allowance: Allowance) -> None:
        """See `Ground.renew`."""
        await self._namespace().prepare(allowance)

    async def release(self) -> None:
        """See `Ground.release`."""
        await self.tenancy.release()
        self._forget()

    async def abandon(self) -> None:
        """See `Ground.abandon`."""
        await self.tenancy.abandon()
        self._forget()

    def _keep(self, kubeconfig: bytes) -> None:
        """Write it where nobody else reads it, at once or not at all."""
        try:
            for folder in (self._file.parents[1], self._file.parent):
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            beside = self._file.with_suffix(".new")
            beside.unlink(missing_ok=True)
            with open(beside, "xb", opener=lambda path, flags: os.open(path, flags, 0o600)) as file:
                file.write(kubeconfig)
            beside.replace(self._file)
        except OSError as error:
            raise InvalidSetting(
                "The hub cannot keep what leads to the infrastructure",
                cause=f"{self._file.parent}: {error.strerror}",
                remedy="An administrator sees that the hub can write there, or sets c.DodasSpawner.state to another folder.",
            ) from error

    def _forget(self) -> None:
        with suppress(OSError):
            self._file.unlink(missing_ok=True)
        self._stands = None

    def _namespace(self) -> OwnNamespace:
        """Return the user's namespace in the cluster that the kubeconfig leads to.

        Raises
        ------
        NotFound
            If there is none.
        """
        try:
            known = hashlib.sha256(self._file.read_bytes()).hexdigest()
        except OSError:
            raise NotFound(self.tenancy.wanted.name) from None
        if self._stands is None or self._stands[0] != known:
            self._stands = known, self._upon(self.settings)
        return self._stands[1]

    # -- what a notebook has of it -------------------------------------------------------------------------------------

    def surroundings(self) -> Mapping[str, str]:
        """See `Ground.surroundings`."""
        return self._upon(self.settings).surroundings()

    def environment(self) -> Mapping[str, Any]:
        """See `Ground.environment`."""
        return {}

    def notebook(self, server: str) -> "Afar":
        """See `Ground.notebook`."""
        return Afar(notebook_name(self._user, server), self.tenancy, self._namespace, server)


class Afar:
    """See `Held`: a notebook on an infrastructure, which may go away below it, or not be there yet.

    Parameters
    ----------
    namespace
        Returns the namespace in its cluster; raises `NotFound` if no way leads to one.
    server
        Its name in the hub.
    """

    def __init__(self, name: str, tenancy: Tenancy, namespace: Callable[[], OwnNamespace], server: str) -> None:
        self.name, self._tenancy, self._namespace, self._server = name, tenancy, namespace, server
        self._found: tuple[OwnNamespace, Notebook] | None = None

    def _there(self) -> Notebook:
        """Return the notebook in its cluster; the same for as long as that is, since the way to it ends with this object."""
        namespace = self._namespace()
        if self._found is None or self._found[0] is not namespace:
            self._found = namespace, namespace.notebook(self._server)
        return self._found[1]

    async def record(self) -> Record | None:
        """See `Notebook.record`.

        Raises
        ------
        InfrastructureNotFound
            If the cluster does not answer, since it is no more.
        """
        try:
            there = self._there()
        except NotFound:
            return None
        try:
            async with asyncio.timeout(_GLANCE):
                return await there.record()
        except (PlaceUnreachable, CredentialsRefused, InvalidSetting, TimeoutError) as error:
            await self._see_that_it_is()
            if isinstance(error, DodasError):
                raise
            raise PlaceUnreachable(
                "The cluster of the notebook does not answer", cause=f"Not within {_GLANCE:g} s.", remedy="It is looked at again."
            ) from error

    async def _see_that_it_is(self) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(_GLANCE):
                if _is_over(await self._tenancy.look()):
                    raise InfrastructureNotFound(self._tenancy.wanted.name)

    async def start(self, options: NotebookOptions, variables: Mapping[str, str], follower: Follower) -> Mapping[str, str]:
        """See `Notebook.start`."""
        return await self._there().start(options, variables, follower)

    async def handed(self) -> Mapping[str, str] | None:
        """See `Notebook.handed`."""
        return await self._there().handed()

    async def entrust(self, secrets: Mapping[str, bytes]) -> None:
        """See `Notebook.entrust`."""
        await self._there().entrust(secrets)

    async def address(self, *, timeout: float) -> str | None:
        """See `Notebook.address`."""
        try:
            return await self._there().address(timeout=timeout)
        except NotFound:
            return None

    async def beside(self) -> Share:
        """See `Notebook.beside`. Where no cluster is, nothing is held."""
        try:
            return await self._there().beside()
        except NotFound:
            return NOTHING

    async def end(self, *, timeout: float = 60) -> None:
        """See `Notebook.end`. With a cluster that is no more, it has ended."""
        try:
            await self._there().end(timeout=timeout)
        except NotFound:
            return
        except (PlaceUnreachable, CredentialsRefused, InvalidSetting):
            with suppress(InfrastructureNotFound):
                await self._see_that_it_is()
                raise

    async def dismiss(self) -> None:
        """See `Notebook.dismiss`."""
        with suppress(DodasError):
            await self._there().dismiss()


def _is_over(found: InfrastructureView) -> bool:
    return found.wanted == "absent" or found.phase is Phase.FAILED
