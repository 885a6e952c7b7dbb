"""Jobs that run in another pool when their own has no room.

A pool lets the queue of another one in by a token that it issues; the other's manager is given that token, and keeps it. Between
two pools of one user at one place both are done here, with the key of the one and the page of the other.
"""

import asyncio
import base64
import json
import re
import time
from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Final

from jupyter_dodas import aio
from jupyter_dodas.aio import Follower
from jupyter_dodas.errors import BadInput, ClusterFailed
from jupyter_dodas.options import validate
from jupyter_dodas.services.htcondor import tokens
from jupyter_dodas.services.htcondor.asking import ask
from jupyter_dodas.services.htcondor.neighbours import Neighbour, check_address, check_name
from jupyter_dodas.services.htcondor.options import HtcondorOptions
from jupyter_dodas.spec import Record

if TYPE_CHECKING:
    from jupyter_dodas.backends.base import Backend

__all__ = ["FlockingCluster", "admission", "foreign"]

_SCOPES: Final = ("ADVERTISE_SCHEDD", "READ")
_DAY: Final = 86_400.0


class FlockingCluster(aio.Cluster):
    """A pool whose jobs may run elsewhere, and that lets jobs of others in."""

    async def wait(self, *, timeout: float = 300, follower: Follower | None = None) -> None:
        """See `aio.Cluster.wait`. Pools that were named at launch are then known to the manager, with their present addresses."""
        await super().wait(timeout=timeout, follower=follower)
        if asked := validate(HtcondorOptions, self.kind, (await self.record()).spec.options).flock_to:
            there = await self.flocks()
            for name in asked:
                if name not in there:
                    await self.flock(name)

    async def flock(self, other: "FlockingCluster | str") -> None:
        """Let jobs of this pool run in another one of yours, whenever there is no room here. It stays so until `unflock`.

        Parameters
        ----------
        other
            The other pool, or its name. Both are at the same place.

        Raises
        ------
        NotFound, BadInput, ClusterFailed, PoolUnreachable
        """
        name = _name(self.name, other, self._backend)
        record = await self._backend.store.get(name)
        await _asked(self, "flock", asdict(await self._host(record)))

    async def unflock(self, other: "FlockingCluster | str") -> None:
        """Send no further jobs there; those that run there go on.

        Parameters
        ----------
        other
            The other pool, or what `flocks` calls it.

        Raises
        ------
        BadInput
            If there is no such pool among them.
        PoolUnreachable
        """
        name = other if isinstance(other, str) else other.name
        await _asked(self, "unflock", {"name": name})

    async def flocks(self) -> Mapping[str, str]:
        """Return the pools that jobs may run in besides: their addresses by name, in the order in which they are asked."""
        known: Mapping[str, str] = (await _asked(self, "flocks", {}))["flocks"]
        return known

    async def flock_to(self, address: str, *, token: str, name: str | None = None) -> None:
        """Let jobs of this pool run in somebody else's, whenever there is no room here.

        Parameters
        ----------
        address
            ``host:port`` of its manager.
        token
            One that it has issued, for ADVERTISE_SCHEDD and READ.
        name
            What to call it here; by default its address.

        Raises
        ------
        BadInput, PoolUnreachable
        """
        await _asked(self, "flock", asdict(foreign(address, token, name, time.time())))

    async def flock_token(self, guest: str, *, days: float | None = None) -> str:
        """Issue a token with which the queue of somebody else's pool may ask this one for workers. Jobs then run here as you.

        Parameters
        ----------
        guest
            What the other pool is called.
        days
            For how long it is good; by default as long as this pool is there.

        Raises
        ------
        BadInput
        """
        if days is not None and not 0 < days <= 3650:
            raise BadInput(f"days={days!r} will not do", cause="A number up to 3650 (ten years) is needed.", remedy="")
        record = await self.record()
        key = (await self._backend.store.secrets(self.name))[tokens.KEY]
        return admission(record, key, guest, None if days is None else days * _DAY)

    async def _host(self, record: Record) -> Neighbour:
        """Describe another pool of the user's, with a token for the queue of this one."""
        name = record.name
        if record.spec.kind != self.kind:
            raise BadInput(
                f"{name!r} is no pool",
                cause=f"It is of the kind {record.spec.kind!r}.",
                remedy="Jobs flock from one HTCondor pool to another.",
            )
        address = record.status.addresses.get("schedd")
        key = (await self._backend.store.secrets(name)).get(tokens.KEY)
        if address is None or key is None:
            raise ClusterFailed(
                f"{name!r} is {record.status.phase} and cannot take jobs of others yet",
                cause="Its manager has no address.",
                remedy=f'Wait for it: dodas.connect("{name}").wait().',
            )
        told = await _asked(aio.Cluster(self._backend, record), "flocks", {})
        return Neighbour(name, address, admission(record, key, self.name), told["file"])


async def _asked(pool: aio.Cluster, verb: str, value: Mapping[str, object]) -> Mapping[str, Any]:
    return await asyncio.to_thread(ask, pool.name, await pool.connection(), verb, value)


def admission(record: Record, key: bytes, guest: str, lifetime: float | None = None) -> str:
    """Issue a token with which the queue of another pool may ask for workers, and look around; nothing else.

    Parameters
    ----------
    record
        Of the pool that issues it.
    key
        Its signing key.
    guest
        What the other pool is called.
    lifetime
        Seconds; by default it is good for as long as the pool is there.

    Raises
    ------
    BadInput
    """
    check_name(guest)
    home = tokens.domain(record.name, record.spec.uid)
    return tokens.mint(key, home, f"flock-{guest}@{home}", _SCOPES, lifetime)


def foreign(address: str, token: str, name: str | None, now: float) -> Neighbour:
    """Describe somebody else's pool, after a look at the token; whether it is genuine only its issuer can tell.

    Parameters
    ----------
    now
        Unix seconds.

    Raises
    ------
    BadInput
    """
    check_address(address)
    claims = _claims(token)
    scopes = str(claims.get("scope", "")).split()
    if "exp" in claims and float(claims["exp"]) <= now:
        raise _unfit("It has expired.")
    if scopes and "condor:/ADVERTISE_SCHEDD" not in scopes:
        raise _unfit(f"It is good for {', '.join(scopes)}, and not for condor:/ADVERTISE_SCHEDD.")
    called = name or re.sub(r"[^a-z0-9]+", "-", address.lower()).strip("-")
    check_name(called)
    return Neighbour(called, address, token.strip())


def _name(pool: str, other: object, backend: "Backend") -> str:
    """Return the name of a pool that was given by its name, or as what holds it."""
    name = other if isinstance(other, str) else getattr(other, "name", None)
    held = getattr(other, "_inner", other)  # what a blocking face holds
    place = getattr(held, "_backend", backend).name
    if not isinstance(name, str) or name == pool:
        raise BadInput(
            f"{other!r} is no other pool",
            cause="Jobs flock to another pool of yours, which is given as such or by its name.",
            remedy='For instance pool.flock("second").',
        )
    if place != backend.name:
        raise BadInput(
            f"{name!r} is at another place than {pool!r}",
            cause=f"The one runs on {place!r}, the other on {backend.name!r}.",
            remedy="Where they reach each other: pool.flock_to(address, token=other.flock_token(name)).",
        )
    return name


def _claims(token: str) -> Mapping[str, Any]:
    try:
        _, middle, _ = token.strip().split(".")
        claims: Mapping[str, Any] = json.loads(base64.urlsafe_b64decode(middle + "=" * (-len(middle) % 4)))
        float(claims.get("exp", 0))
    except (ValueError, TypeError, AttributeError):
        raise _unfit("An IDTOKEN has three parts with dots between them; this has not.") from None
    return claims


def _unfit(why: str) -> BadInput:
    return BadInput(
        "The token will not do for flocking",
        cause=why,
        remedy="Whoever runs the other pool can issue one: other.flock_token(name), or "
        "`condor_token_create -authz ADVERTISE_SCHEDD -authz READ`.",
    )
