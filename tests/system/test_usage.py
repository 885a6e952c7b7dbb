"""What clusters use: measured while somebody looks, written nowhere."""

import asyncio
import json
from collections.abc import Iterator
from contextlib import aclosing
from pathlib import Path
from typing import Any

import httpx
import pytest

import jupyter_dodas as dodas
from jupyter_dodas.backends.local.backend import LocalBackend
from jupyter_dodas.settings import load
from jupyter_dodas.testing.waiting import blocking_until
from tests.jupyter import JupyterServer
from tests.place import Place


@pytest.mark.parametrize("namespaces", ["true", "false"])
def test_who_computes_is_told_from_who_waits(place: Place, namespaces: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DODAS_NAMESPACES", namespaces)
    with dodas.toy(name="higgs", workers=1) as busy, dodas.toy(name="top", workers=1) as idle:
        with busy.client() as client:
            client.submit(600, does="burn")
            # It need not get a whole core on a machine that others use as well.
            used = blocking_until(busy.usage, within=60, meets=lambda found: found is not None and found.cores > 0.2)
            assert used is not None
            assert used.cores < 1.5
            assert used.memory > 1 << 20
        assert idle.usage().cores < 0.1


def test_nobody_uses_anything_where_nothing_runs(place: Place) -> None:
    async def first() -> Any:
        async with aclosing(LocalBackend(load()).loads(every=0.05)) as looks:
            return await anext(looks)

    assert asyncio.run(first()) == {}
    assert not place.keepers(), "a look starts nothing"


@pytest.fixture
def server(place: Place) -> Iterator[JupyterServer]:
    found = JupyterServer(place.variables)
    yield found
    found.close()


def test_it_is_pushed_to_who_looks_at_all_clusters(server: JupyterServer) -> None:
    assert server.client.get("usage").json() == {"usage": {}}
    server.launch("higgs")
    server.launch("top", workers=2)
    wires = connections(server)
    with httpx.stream("GET", f"{server.api}/usage", params={"follow": True}, headers=server.headers, timeout=60) as reply:
        assert reply.headers["Content-Type"] == "application/x-ndjson"
        lines = reply.iter_lines()
        looks = [json.loads(next(lines))["usage"] for _ in range(2)]
    assert [set(look) for look in looks] == [{"higgs", "top"}] * 2
    assert all(load["memory"] > 1 << 20 and load["cores"] >= 0 for look in looks for load in look.values())
    # Nobody is asked any more once nobody reads.
    blocking_until(lambda: connections(server), within=30, meets=lambda number: number == wires)
    assert set(server.client.get("usage").json()["usage"]) == {"higgs", "top"}
    assert server.client.get("usage", params={"follow": "perhaps"}).status_code == 400
    assert "Traceback" not in server.log.read_text()
    for name in ("higgs", "top"):
        server.client.delete(f"clusters/{name}")
        server.until_gone(name)


def connections(server: JupyterServer) -> int:
    """How many clients a server has."""
    lines = Path(f"/proc/{server.process.pid}/net/tcp").read_text().splitlines()[1:]
    return sum(line.split()[1].endswith(f":{server.port:04X}") and line.split()[3] == "01" for line in lines)
