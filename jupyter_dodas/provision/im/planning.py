"""What the Infrastructure Manager, and the clouds behind it, say to something before it is created."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from jupyter_dodas.errors import CredentialsRefused, DodasError, InfrastructureNotFound, ProvisionerUnreachable
from jupyter_dodas.provision.base import Order, Plan, QuotaLine
from jupyter_dodas.provision.clouds import Cloud
from jupyter_dodas.provision.im.authorization import cloud_id
from jupyter_dodas.provision.im.client import Client

__all__ = ["plan"]

_GIB: Final = 1 << 30


async def plan(client: Client, order: Order, clouds: Iterable[Cloud]) -> Plan:
    """See `Provisioner.plan`."""
    document = order.template.fill({**order.inputs, **order.secrets}, name=order.name, recipes=order.recipes)
    answer = await client.post("infrastructures?dry_run=true", document)
    machines = order.template.machines(order.inputs)
    quota: list[QuotaLine] = []
    notes: list[str] = []
    for cloud in clouds:
        computes = _computes(answer, cloud_id(cloud))
        if not computes:
            continue
        cores, wanted = sum(int(one.get("cpuCores") or 1) for one in computes), sum(one.cores * one.count for one in machines)
        if cores > wanted:
            notes.append(f"The smallest machines of {cloud.name} that will do have {cores} cores in all; {wanted} are asked for.")
        try:
            quota += _lines(await client.get(f"clouds/{cloud_id(cloud)}/quotas", "quotas", dict), computes)
        except (CredentialsRefused, ProvisionerUnreachable):
            raise
        except (DodasError, InfrastructureNotFound):
            notes.append(f"The cloud {cloud.name} does not tell how much of its quota is used.")
    return Plan(machines=tuple(machines), quota=tuple(quota), notes=tuple(notes))


def _computes(answer: Any, cloud: str) -> Sequence[Mapping[str, Any]]:
    found = answer.get(cloud) if isinstance(answer, Mapping) else None
    return found.get("compute") or () if isinstance(found, Mapping) else ()


def _lines(quotas: Mapping[str, Any], computes: Sequence[Mapping[str, Any]]) -> Iterable[QuotaLine]:
    asked = {
        "cores": ("cores", sum(int(one.get("cpuCores") or 1) for one in computes), 1),
        "ram": ("memory", sum(float(one.get("memoryInMegabytes") or 0) for one in computes) * 1e6, _GIB),
        "instances": ("machines", len(computes), 1),
        "floating_ips": ("public addresses", sum(int(one.get("publicIP") or 0) for one in computes), 1),
        "volume_storage": ("disk", sum(float(one.get("diskSizeInGigabytes") or 0) for one in computes) * 1e9, _GIB),
    }
    for key, (name, amount, unit) in asked.items():
        if isinstance(found := quotas.get(key), Mapping):
            yield QuotaLine(name=name, asked=amount, used=_number(found.get("used"), unit), limit=_number(found.get("limit"), unit))


def _number(found: Any, unit: int) -> float | None:
    """Return an amount; what is negative is not limited."""
    return found * unit if isinstance(found, (int, float)) and found >= 0 else None
