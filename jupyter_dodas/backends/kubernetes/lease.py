"""The Lease of the controller: there is one controller for a namespace, wherever it runs."""

import asyncio
import logging
import os
import socket
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from jupyter_dodas.backends.kubernetes.api import Api, Object
from jupyter_dodas.backends.kubernetes.objects import LEASE
from jupyter_dodas.errors import ControllerUnreachable, DodasError, PlaceUnreachable

__all__ = ["Lease", "here"]

_log = logging.getLogger(__name__)

_LASTS: Final = 15
"""Seconds after which a holder that says nothing is taken for dead."""
_CHANGE: Final = 60.0
"""Seconds for which the next holder is waited for."""
_RENEW: Final = 5.0
_RETRY: Final = 1.0
_TIME: Final = "%Y-%m-%dT%H:%M:%S.%fZ"


def here() -> str:
    """Tell this machine in this boot from all others; who holds a Lease is named ``here/pid``."""
    boot = Path("/proc/sys/kernel/random/boot_id")
    return f"{socket.gethostname()}/{boot.read_text().strip()[:8] if boot.exists() else '-'}"


class Lease:
    """Who looks after a namespace."""

    def __init__(self, api: Api) -> None:
        self._api = api
        self._identity = f"{here()}/{os.getpid()}"

    async def holder(self) -> tuple[str, float] | None:
        """Return who holds it, and for how many seconds from now at the least; None if nobody does.

        Between two holders, such as two pods of one controller, it is held by nobody that has a name.
        """
        answer = await self._api.get(f"leases/{LEASE}")
        if not answer.ok:
            return None
        return _holder(answer.body) or _between(answer.body)

    @asynccontextmanager
    async def held(self, *, take_from: str | None = None) -> AsyncGenerator[None, None]:
        """Hold it for as long as the context lasts; wait until it is free.

        Parameters
        ----------
        take_from
            A holder whose name begins so is known to be dead.

        Raises
        ------
        ControllerUnreachable
            In the context, if it was lost: somebody else is in charge then.
        """
        lease = await self._acquire(take_from)
        owner = asyncio.current_task()
        lost: list[DodasError] = []

        async def renew() -> None:
            try:
                await self._renew(lease)
            except DodasError as error:
                lost.append(error)
                if owner is not None:
                    owner.cancel()

        renewing = asyncio.create_task(renew(), name="lease")
        try:
            yield
        except asyncio.CancelledError:
            if lost:
                raise lost[0] from None
            raise
        finally:
            renewing.cancel()
            with suppress(asyncio.CancelledError):
                await renewing
            if not lost:
                with suppress(DodasError):
                    await self._release()

    async def _acquire(self, take_from: str | None) -> Object:
        waited = False
        while True:
            answer = await self._api.get(f"leases/{LEASE}")
            if not answer.ok:
                fresh = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": LEASE}}
                answer = await self._api.post("leases", {**fresh, "spec": self._spec(datetime.now(UTC), 0)})
                if answer.ok:
                    return answer.body
                if answer.status != 409:
                    raise PlaceUnreachable(
                        f"Nobody can be in charge of the namespace {self._api.namespace}",
                        cause=f"The API server said: {answer.message}",
                        remedy="See that the namespace is there, and is not being deleted.",
                    )
                continue
            held = _holder(answer.body)
            if held is None or (take_from is not None and held[0].startswith(take_from)):
                changes = int(answer.body["spec"].get("leaseTransitions") or 0) + 1
                taken = await self._api.put(f"leases/{LEASE}", {**answer.body, "spec": self._spec(datetime.now(UTC), changes)})
                if taken.ok:
                    return taken.body
                await asyncio.sleep(_RETRY)
                continue
            if not waited:
                _log.info("%s looks after %s; waiting", held[0], self._api.namespace)
                waited = True
            await asyncio.sleep(min(_RETRY, held[1]))

    async def _renew(self, lease: Object) -> None:
        renewed = datetime.now(UTC)
        while True:
            await asyncio.sleep(_RENEW)
            try:
                now = datetime.now(UTC)
                spec = {**lease["spec"], "renewTime": now.strftime(_TIME)}
                answer = await self._api.put(f"leases/{LEASE}", {**lease, "spec": spec})
                if answer.ok:
                    lease, renewed = answer.body, now
                    continue
                raise ControllerUnreachable(
                    f"Somebody else looks after {self._api.namespace} now",
                    cause=f"The Lease {LEASE} was taken: {answer.message}",
                    remedy="Nothing needs to be done.",
                )
            except DodasError as error:
                if isinstance(error, ControllerUnreachable) or datetime.now(UTC) - renewed > timedelta(seconds=_LASTS):
                    raise
                _log.warning("The Lease cannot be renewed now: %s", error)

    async def _release(self) -> None:
        answer = await self._api.get(f"leases/{LEASE}")
        if answer.ok and answer.body["spec"].get("holderIdentity") == self._identity:
            spec = {**answer.body["spec"], "holderIdentity": None}
            await self._api.put(f"leases/{LEASE}", {**answer.body, "spec": spec})

    def _spec(self, now: datetime, transitions: int) -> Object:
        stamp = now.strftime(_TIME)
        return {
            "holderIdentity": self._identity,
            "leaseDurationSeconds": _LASTS,
            "acquireTime": stamp,
            "renewTime": stamp,
            "leaseTransitions": transitions,
        }


def _between(lease: Object) -> tuple[str, float] | None:
    last = lease.get("metadata", {}).get("managedFields") or [{}]
    touched = max((field.get("time", "") for field in last), default="")
    if not touched:
        return None
    ago = (datetime.now(UTC) - datetime.fromisoformat(touched)).total_seconds()
    return ("", _RETRY) if ago < _CHANGE else None


def _holder(lease: Object) -> tuple[str, float] | None:
    spec = lease.get("spec", {})
    if not spec.get("holderIdentity"):
        return None
    until = datetime.fromisoformat(spec["renewTime"]) + timedelta(seconds=spec["leaseDurationSeconds"])
    left = (until - datetime.now(UTC)).total_seconds()
    return (str(spec["holderIdentity"]), left) if left > 0 else None
