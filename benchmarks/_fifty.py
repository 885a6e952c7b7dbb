"""Infrastructures made and deleted at once by the Infrastructure Manager, through our provisioner, and by curl without it."""

import asyncio
import tempfile
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import httpx

from jupyter_dodas.errors import DodasError
from jupyter_dodas.provision.base import Order, State
from jupyter_dodas.provision.im.results import name as name_in
from tests.provision.im import InfrastructureManager, header
from tests.provision.orders import by_account, order
from tests.provision.recipes import recipes

__all__ = ["fifty"]

COUNT = 50


def fifty(rounds: int) -> Mapping[str, list[float]]:
    """Return seconds until every DELETE answered 200, and from then until each infrastructure is not found, of both."""
    found: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as folder, recipes() as address, InfrastructureManager(Path(folder) / "im") as im:
        for number in range(rounds + 1):  # the first is to warm up
            sides: Sequence[tuple[str, Any]] = (("ours", ours), ("peer", by_curl))
            for side, measure in sides if number % 2 else reversed(sides):
                seconds = asyncio.run(measure(im, address, Path(folder), f"{side}-{number}"))
                assert im.listed() == set(), "something is left"
                assert im.known() == set(), "something is left"
                if number:
                    for what, took in zip((side, f"{side} gone"), seconds, strict=True):
                        found.setdefault(what, []).append(took)
    return found


def orders(address: str, mark: str) -> Sequence[Order]:
    return [order(f"dodas-{mark}-{number}", address, workers=2) for number in range(COUNT)]


async def ours(im: InfrastructureManager, address: str, folder: Path, mark: str) -> tuple[float, float]:
    made, wanted = by_account(im.url, folder, patience=600), orders(address, mark)  # curl is as patient

    async def delete(identifier: str) -> None:
        await again(lambda: made.delete(identifier))

    async def gone(identifier: str) -> None:
        while (await made.status(identifier)).state is not State.GONE:
            await made.delete(identifier)
            await asyncio.sleep(0.5)

    began = time.perf_counter()
    identifiers = await asyncio.gather(*(made.create(one) for one in wanted))
    await asyncio.gather(*map(delete, identifiers))
    deleted = time.perf_counter()
    await asyncio.gather(*map(gone, identifiers))
    took = time.perf_counter() - deleted
    while im.listed():  # some come back: who looks at them has them deleted again
        await made.names()
        await asyncio.sleep(0.5)
    return deleted - began, took


async def again(what: Callable[[], Awaitable[None]]) -> None:
    while True:
        try:
            return await what()
        except DodasError as error:
            if not error.retryable:
                raise
            await asyncio.sleep(0.2)


async def by_curl(im: InfrastructureManager, address: str, folder: Path, mark: str) -> tuple[float, float]:
    headers = folder / "headers"
    headers.write_text("".join(f"{key}: {value}\n" for key, value in header().items()) + "Content-Type: text/yaml\n")
    bodies = []
    for one in orders(address, mark):
        text = one.template.fill({**one.inputs, **one.secrets}, name=one.name, recipes=one.recipes)
        assert name_in(text) == one.name
        bodies.append(folder / f"{one.name}.yaml")
        bodies[-1].write_text(text)
    base = f"{im.url}/infrastructures"

    async def curl(*words: str) -> tuple[int, str]:
        command = ("curl", "-s", "-H", f"@{headers}", "-w", "\n%{http_code}", *words)
        process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
        said, _, status = (await process.communicate())[0].decode().rpartition("\n")
        return int(status), said

    async def create(body: Path) -> str:
        status, said = await curl("--data-binary", f"@{body}", f"{base}?async=true")
        assert status == 200, said
        return said.rpartition("/")[2].rstrip('"}')

    async def delete(identifier: str) -> None:
        while True:
            status, _ = await curl("-X", "DELETE", f"{base}/{identifier}?async=true&force=true")
            if status == 200:
                return
            await asyncio.sleep(0.2)

    began = time.perf_counter()
    identifiers = await asyncio.gather(*map(create, bodies))
    await asyncio.gather(*map(delete, identifiers))
    deleted = time.perf_counter()
    async with httpx.AsyncClient(timeout=120) as client:
        await asyncio.gather(*(gone(client, f"{base}/{identifier}") for identifier in identifiers))
        took = time.perf_counter() - deleted
        while left := im.listed():
            await asyncio.gather(*(client.delete(f"{base}/{zombie}?force=true", headers=header()) for zombie in left))
            await asyncio.sleep(0.5)
    return deleted - began, took


async def gone(client: httpx.AsyncClient, url: str) -> None:
    """Ask for one until it is not found; some have to be deleted again."""
    began = time.monotonic()
    while True:
        answer = await client.get(f"{url}/contmsg?headeronly=true", headers=header())
        if answer.status_code == 404:
            return
        if time.monotonic() > began + 10:
            began = time.monotonic()
            await client.delete(f"{url}?async=true&force=true", headers=header())
        await asyncio.sleep(0.5)
