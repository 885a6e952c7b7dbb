"""A namespace of Kubernetes for each user, which the hub makes and keeps as the administrator wants it."""

import asyncio
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import cached_property
from typing import Any, Final

from jupyter_dodas.backends import places
from jupyter_dodas.backends.kubernetes.api import Answer, Api, Object
from jupyter_dodas.backends.kubernetes.lease import Lease
from jupyter_dodas.backends.kubernetes.objects import INSTANCE, OWNER
from jupyter_dodas.backends.kubernetes.trouble import trouble
from jupyter_dodas.errors import ControllerUnreachable, DodasError, MissingRights, NotYours, PlaceUnreachable
from jupyter_dodas.hub.grounds import manifests
from jupyter_dodas.hub.grounds.base import Permanent, See, unseen
from jupyter_dodas.hub.grounds.manifests import CONTROLLER, HOME, HUB, ROLES, Estate
from jupyter_dodas.hub.notebooks import Notebook, notebook_name
from jupyter_dodas.limits import Allowance
from jupyter_dodas.settings import Settings

__all__ = ["OwnNamespace", "hindrance"]

_RBAC: Final = "rbac.authorization.k8s.io"

_SOON: Final = 10.0
"""Seconds in which a role that was just bound is known to every API server."""
_PATIENCE: Final = 60.0
"""Seconds in which a controller must be in charge, once its image is there."""
_FETCHING: Final = 240.0
"""Seconds in which its image must be; a start may take a little more."""
_PAUSE: Final = 0.25


class OwnNamespace(Permanent):
    """See `Ground`.

    Parameters
    ----------
    user
        The name in the hub.
    configured
        The settings of the user's place, with their namespace.
    estate
        What the namespace is to have; None if an administrator makes the namespaces.
    hub
        Addresses of the hub, where it is outside the cluster.
    roles
        What is to be in the cluster first, by path, if the hub may do that; else an administrator has.
    """

    unprotected = ""

    def __init__(
        self,
        user: str,
        configured: Settings,
        estate: Estate | None = None,
        hub: Sequence[str] = (),
        roles: Mapping[str, Object] | None = None,
    ) -> None:
        self._user, self.settings = user, configured
        self._estate, self._hub, self._roles = estate, hub, roles or {}

    @cached_property
    def _api(self) -> Api:
        return Api(self.settings)

    # -- prepare -------------------------------------------------------------------------------------------------------

    async def prepare(self, allowance: Allowance, see: See = unseen) -> None:
        """See `Ground.prepare`. What is there as it is to be stays as it is; what an administrator has added stays, too."""
        if self._estate is None:
            return
        try:
            _, myself, api, _ = await asyncio.gather(
                self._make_namespace(allowance.model_copy(update={"enforced": True})),
                self._myself(),
                self._api_servers(),
                self._install(),
            )
            things = manifests.wanted(self._api.namespace, self._estate, allowance.limits, hub=self._hub, api=api)
            await self._bind(myself)
            await self._furnish(things, self._estate)
            await self._see_in_charge()
        except MissingRights as error:
            raise self._unprepared(error.message, error.cause) from error

    async def _install(self) -> None:
        """See that the cluster knows the roles that are given here."""
        with suppress(MissingRights):
            for answer in await asyncio.gather(*(self._api.apply(path, role, HUB) for path, role in self._roles.items())):
                self._done(answer)

    async def _make_namespace(self, allowance: Allowance) -> None:
        """See that the namespace is there, belongs to the user, and says what they may hold."""
        wanted = manifests.namespace(self._api.namespace, self._user, allowance)
        path = f"/api/v1/namespaces/{self._api.namespace}"
        answer = await self._api.ask("GET", path)
        if answer.status == 404:
            answer = await self._api.ask("POST", "/api/v1/namespaces", wanted)
            if answer.status == 409:  # another start was quicker
                answer = await self._api.ask("GET", path)
        found = self._done(answer)["metadata"]
        if found.get("deletionTimestamp"):
            raise PlaceUnreachable(
                f"The namespace {self._api.namespace} is being deleted",
                cause="Somebody has removed it, with all that was in it.",
                remedy="Start again in a minute: it is made anew.",
            )
        owner = (found.get("annotations") or {}).get(OWNER)
        if owner != self._user:
            raise NotYours(
                f"The namespace {self._api.namespace} is not yours",
                cause=f"It belongs to {owner}." if owner else "It was there before, and says of nobody that it is theirs.",
                remedy=f"If it is to be yours, an administrator runs: kubectl annotate --overwrite namespace {self._api.namespace} "
                f"{OWNER}={self._user}",
            )
        ours = {part: wanted["metadata"][part] for part in ("labels", "annotations")}
        if any({**(found.get(part) or {}), **ours[part]} != found.get(part) for part in ours):
            self._done(await self._api.ask("PATCH", path, {"metadata": ours}, kind="application/merge-patch+json"))

    async def _bind(self, myself: str) -> None:
        """See that the hub may do here what it has to."""
        path, thing = manifests.binding(HUB, {"kind": "User", "apiGroup": _RBAC, "name": myself})
        answer = await self._api.apply(path, thing, HUB)
        self._done(answer)
        if answer.status == 201:  # a role that is not there can be bound
            self._done(await self._api.ask("GET", f"/apis/{_RBAC}/v1/clusterroles/{CONTROLLER}"))

    async def _myself(self) -> str:
        review = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}
        answer = self._done(await self._api.ask("POST", "/apis/authentication.k8s.io/v1/selfsubjectreviews", review))
        return str(answer["status"]["userInfo"]["username"])

    async def _furnish(self, things: Mapping[str, Object], estate: Estate) -> None:
        """See that everything else is there. A moment ago the hub may not have been allowed to, or not as who it is now."""
        until = time.monotonic() + _SOON
        while True:
            try:
                for answer in await asyncio.gather(*(self._api.apply(path, thing, HUB) for path, thing in things.items())):
                    self._done(answer)
                return await self._make_home(estate)
            except MissingRights:
                if time.monotonic() > until:
                    raise
            await asyncio.sleep(_PAUSE)

    async def _make_home(self, estate: Estate) -> None:
        """See that there is a claim, if there is to be one. Most of a claim cannot be changed, so it is left as it is."""
        if estate.home_size and not (await self._api.get(f"persistentvolumeclaims/{HOME}")).ok:
            answer = await self._api.post("persistentvolumeclaims", manifests.home(estate))
            if answer.status != 409:  # another start was quicker
                self._done(answer)

    async def _api_servers(self) -> Sequence[tuple[str, int]]:
        """Return where the API server listens: it is not a pod that a policy could name."""
        answer = await self._api.ask("GET", "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices/kubernetes")
        found = self._done(answer)
        ports = [int(port["port"]) for port in found.get("ports") or ()]
        return [(address, port) for end in found.get("endpoints") or () for address in end["addresses"] for port in ports]

    async def _see_in_charge(self) -> None:
        """Wait until the controller is there, as it is but for the first start of a user."""
        lease, began = Lease(self._api), time.monotonic()
        until = began + _PATIENCE
        while (held := await lease.holder()) is None or not held[0]:
            if time.monotonic() > until:
                if (why := await self._hindrance()) is not None or time.monotonic() > began + _FETCHING:
                    raise ControllerUnreachable(
                        f"The controller of the namespace {self._api.namespace} does not come up",
                        cause="Its image is still being fetched." if why is None else why,
                        remedy=f"An administrator can look: kubectl --namespace {self._api.namespace} describe deployment,pod",
                    )
                until = time.monotonic() + _PATIENCE
            await asyncio.sleep(_PAUSE)

    async def _hindrance(self) -> str | None:
        """See `hindrance`; empty if the pods cannot be looked at."""
        with suppress(DodasError):
            return hindrance(self._done(await self._api.get("pods", labelSelector=f"app.kubernetes.io/name={CONTROLLER}"))["items"])
        return ""

    def _done(self, answer: Answer) -> Object:
        if not answer.ok:
            raise self._unprepared(f"{answer.status} {answer.message}")
        return answer.body

    def _unprepared(self, *why: str) -> PlaceUnreachable:
        return PlaceUnreachable(
            f"The hub cannot prepare the namespace {self._api.namespace}",
            cause=". ".join(filter(None, why)),
            remedy=f"An administrator installs the roles that the hub needs: {ROLES}",
        )

    # -- what a notebook has of it -------------------------------------------------------------------------------------

    def surroundings(self) -> Mapping[str, str]:
        """See `Ground.surroundings`."""
        who = {"USER": self._user, "LOGNAME": self._user, "DODAS_BACKEND": "kubernetes"}
        return {**who, **manifests.told(self.settings), "DODAS_KUBERNETES_NAMESPACE": self._api.namespace}

    def environment(self) -> Mapping[str, Any]:
        """See `Ground.environment`."""
        return {}

    def notebook(self, server: str) -> Notebook:
        """See `Ground.notebook`."""
        return Notebook(places.backend(self.settings), notebook_name(self._user, server), self._user)


def hindrance(pods: Sequence[Object]) -> str | None:
    """Return what keeps a controller from running, by its pods; empty if nobody knows, None while its image is fetched. Pure."""
    for pod in pods:
        named = {**pod, "metadata": {**pod["metadata"], "labels": {INSTANCE: "The controller"}}}
        if (problem := trouble(named)) is not None:
            return f"{problem.message}. {problem.cause}"
    if not pods:
        return "It has no pod."
    return None if any(pod["status"].get("phase") == "Pending" for pod in pods) else ""
