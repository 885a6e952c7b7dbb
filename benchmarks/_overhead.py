"""What passes from the moment at which the Infrastructure Manager says that all is configured until the spawner would go on."""

import asyncio
import random
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import httpx

from jupyter_dodas.errors import InfrastructureNotFound
from jupyter_dodas.provision.client import Infrastructures
from jupyter_dodas.provision.clouds import DummyCloud
from jupyter_dodas.provision.views import Wanted
from jupyter_dodas.spec import Phase
from tests.provision.im import InfrastructureManager, header
from tests.provision.service import KUBECONFIG, ServiceHub, im

__all__ = ["overhead"]

_LOOK: Final = 0.02
"""Seconds between two looks at the Infrastructure Manager: what it says is known this late at most."""


def overhead(count: int) -> Sequence[float]:
    """Return the seconds, of as many infrastructures, each of which takes some time of its own to be configured."""
    with tempfile.TemporaryDirectory(prefix="dodas-overhead-") as name:
        folder = Path(name)
        (folder / "kubeconfig").write_text(KUBECONFIG, "utf-8")
        with (
            InfrastructureManager(folder / "im", kubeconfig=folder / "kubeconfig") as manager,
            ServiceHub(folder, im(manager.url, folder)) as hub,
        ):
            return asyncio.run(_measure(manager, hub, count))


async def _measure(manager: InfrastructureManager, hub: ServiceHub, count: int) -> Sequence[float]:
    chance, found = random.Random(1), []
    async with hub.hub_client("alice") as service, httpx.AsyncClient(headers=header(), timeout=60) as direct:
        await service.add_cloud(DummyCloud(name="dummy"))
        for number in range(count):
            manager.control(seconds=1 + 5 * chance.random())
            name = f"one-{number}"
            await service.create(Wanted(name=name, template="kubernetes", inputs={"workers": 1}))
            began = asyncio.create_task(_configured(service, name, direct, manager.url))
            ready = await service.ready(name)
            goes_on = time.monotonic()
            assert ready.phase is Phase.READY, ready.problem
            # Our look may have been quicker than the one beside it.
            found.append(max(0.0, goes_on - await began))
            await service.delete(name)
            await _gone(service, name)
    return found


async def _configured(service: Infrastructures, name: str, direct: httpx.AsyncClient, url: str) -> float:
    """Return when the Infrastructure Manager says so itself."""
    identifier, known = "", -1
    while not identifier:
        seen = await service.get(name, newer_than=known)
        identifier, known = seen.identifier, seen.generation
    while True:
        said = (await direct.get(f"{url}/infrastructures/{identifier}/state")).json()
        if said["state"]["state"] == "configured":
            return time.monotonic()
        await asyncio.sleep(_LOOK)


async def _gone(service: Infrastructures, name: str) -> None:
    try:
        async for _ in service.follow(name):
            pass
    except InfrastructureNotFound:
        return
