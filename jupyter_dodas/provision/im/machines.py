"""The machines of one infrastructure at the Infrastructure Manager: which they are, which are dead, and which go first."""

import asyncio
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any, Final

from jupyter_dodas.errors import InfrastructureNotFound
from jupyter_dodas.provision.base import Machine, Vm
from jupyter_dodas.provision.im.client import Client
from jupyter_dodas.provision.im.states import DEAD

__all__ = ["Machines", "dead", "fits", "surplus"]

_AT_ONCE: Final = 8
_SSH: Final = 22
_KNOCK: Final = 5.0
"""Seconds in which a machine that lives takes a connection, or refuses it."""
_ADDRESS: Final = re.compile(r"net_interface\.\d+\.ip(v6)?")


class Machines:
    """What is known of machines, so that each is asked about only when something of it has changed."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._known: dict[str, dict[str, Vm]] = {}

    async def look(self, identifier: str, states: Mapping[str, str]) -> tuple[Vm, ...]:
        """Return the machines that have these states."""
        known = self._known.setdefault(identifier, {})
        turn = asyncio.Semaphore(_AT_ONCE)

        async def one(number: str, state: str) -> Vm:
            before = known.get(number)
            if before is None or before.state != state:
                async with turn:
                    known[number] = await self._ask(identifier, number, state, before)
            return known[number]

        found = await asyncio.gather(*(one(number, state) for number, state in states.items()))
        self._known[identifier] = {vm.id: vm for vm in found}
        return tuple(sorted(found, key=lambda vm: (len(vm.id), vm.id)))

    def forget(self, identifier: str) -> None:
        """Forget all about an infrastructure."""
        self._known.pop(identifier, None)

    async def _ask(self, identifier: str, number: str, state: str, before: Vm | None) -> Vm:
        try:
            answer = await self._client.get(f"infrastructures/{identifier}/vms/{number}", "radl", list)
            # It has the machine's password in it too: only these two are taken.
            systems = [one for one in answer if one.get("class") == "system"]
            return Vm(id=number, role=str(systems[0]["id"]), state=state, addresses=_addresses(systems[0]))
        except (InfrastructureNotFound, LookupError, TypeError, AttributeError):
            return Vm(id=number, state=state, role=before.role if before else "")


def _addresses(system: Mapping[str, Any]) -> tuple[str, ...]:
    found = [str(value) for key, value in sorted(system.items()) if _ADDRESS.fullmatch(key) and value]
    return tuple(dict.fromkeys(found))


async def dead(vms: Sequence[Vm]) -> tuple[Vm, ...]:
    """Return machines that nothing can be installed on: off, or said to run although nothing there takes a connection.

    The latter only if another one of them does take one, so that it cannot be this side that reaches none.
    """
    lost = [vm for vm in vms if vm.state in DEAD]
    said = [vm for vm in vms if vm.state in ("configured", "unconfigured", "running")]
    lives = await asyncio.gather(*(_lives(vm) for vm in said))
    if any(lives):
        lost += [vm for vm, alive in zip(said, lives, strict=True) if alive is False]
    return tuple(lost)


async def _lives(vm: Vm) -> bool | None:
    """Knock at a machine; None if it has no address."""
    if not vm.addresses:
        return None
    return any(await asyncio.gather(*(_answers(address) for address in vm.addresses)))


async def _answers(address: str) -> bool:
    try:
        async with asyncio.timeout(_KNOCK):
            _, writer = await asyncio.open_connection(address, _SSH)
    except ConnectionRefusedError:
        return True  # something has said no
    except (OSError, TimeoutError):
        return False
    writer.close()
    with suppress(OSError):
        await writer.wait_closed()
    return True


def fits(vms: Sequence[Vm], wanted: Sequence[Machine]) -> bool:
    """Tell whether there are as many machines of each role as there should be."""
    there = Counter(vm.role for vm in vms)
    return all(there[machine.role] == machine.count for machine in wanted)


def surplus(vms: Sequence[Vm], wanted: Sequence[Machine]) -> tuple[str, ...]:
    """Return the machines that are too many, as the Infrastructure Manager would take the oldest: here the newest go."""
    found: list[str] = []
    for machine in wanted:
        numbers = sorted((int(vm.id) for vm in vms if vm.role == machine.role), reverse=True)
        found += [str(number) for number in numbers[: max(0, len(numbers) - machine.count)]]
    return tuple(found)
