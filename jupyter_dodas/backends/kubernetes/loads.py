"""What pods use now, where the cluster has a metrics server and the account may ask it."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncGenerator, Mapping
from decimal import Decimal
from typing import Any, Final
from urllib.parse import urlencode

from jupyter_dodas.backends.base import Load
from jupyter_dodas.backends.kubernetes.api import Api
from jupyter_dodas.backends.kubernetes.objects import INSTANCE, MANAGED, OURS, PART, name_of
from jupyter_dodas.errors import MissingRights, PlaceUnreachable

__all__ = ["follow", "of_pods"]

_EVERY: Final = 15.0
"""Seconds; a metrics server looks no more often."""

_UNITS: Final = {"n": "1e-9", "u": "1e-6", "m": "1e-3", "k": "1e3", "M": "1e6", "G": "1e9", "T": "1e12"}
_BINARY: Final = {"Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40}


async def follow(api: Api, every: float) -> AsyncGenerator[Mapping[str, Mapping[str, Load]], None]:
    """See `Backend.loads`. Without a metrics server, or without the right to ask it, it ends at once."""
    query = urlencode({"labelSelector": f"{MANAGED}={OURS},{PART}=pod"})
    while True:
        try:
            answer = await api.ask("GET", f"/apis/metrics.k8s.io/v1beta1/namespaces/{api.namespace}/pods?{query}")
        except (MissingRights, PlaceUnreachable):
            return
        if not answer.ok:
            return
        yield of_pods(answer.body)
        await asyncio.sleep(max(every, _EVERY))


def of_pods(body: Mapping[str, Any]) -> Mapping[str, Mapping[str, Load]]:
    """Return what a list of PodMetrics says, by cluster and instance."""
    found: dict[str, dict[str, Load]] = defaultdict(dict)
    for pod in body.get("items", ()):
        used = [container.get("usage", {}) for container in pod.get("containers", ())]
        cores = sum((_amount(one.get("cpu", "0")) for one in used), Decimal())
        memory = sum((_amount(one.get("memory", "0")) for one in used), Decimal())
        if cluster := name_of(pod):
            found[cluster][name_of(pod, INSTANCE)] = Load(float(cores), int(memory))
    return found


def _amount(quantity: str) -> Decimal:
    """Return a quantity as Kubernetes writes it: ``125m``, ``12345678n``, ``2Gi``."""
    if quantity[-2:] in _BINARY:
        return Decimal(quantity[:-2]) * _BINARY[quantity[-2:]]
    if quantity[-1:] in _UNITS:
        return Decimal(quantity[:-1]) * Decimal(_UNITS[quantity[-1]])
    return Decimal(quantity)
