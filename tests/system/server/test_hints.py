"""What the extension tells by itself: hints over the event bus, and metrics."""

import asyncio
import json
from typing import Any

import httpx
import pytest

from jupyter_dodas import aio
from jupyter_dodas.testing.waiting import blocking_until
from tests.jupyter import HINT, JupyterServer
from tests.place import Place


def test_hints_tell_of_every_change_and_nothing_else(server: JupyterServer) -> None:
    """One hint may stand for several changes that follow each other at once, so each is heard before the next is made."""
    heard: list[dict[str, Any]] = []

    def hear(generation: int) -> None:
        while not heard or heard[-1]["generation"] != generation:
            hint = json.loads(bus.recv(timeout=20))
            if hint["schema_id"] == HINT and hint["id"] == "heard":
                heard.append(hint)

    with server.events() as bus:
        server.launch("heard")
        hear(1)
        server.client.patch("clusters/heard", json={"workers": 2})
        hear(2)
        server.client.delete("clusters/heard")
        hear(0)
    assert all(hint.keys() == {"schema_id", "id", "generation"} for hint in heard)
    generations = [hint["generation"] for hint in heard[:-1]]
    assert generations == sorted(generations)


def test_hints_tell_of_clusters_from_elsewhere(server: JupyterServer, shared_place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in shared_place.variables.items():
        monkeypatch.setenv(name, value)
    with server.events() as bus:
        asyncio.run(aio.launch("toy", name="elsewhere", wait=False, workers=0))
        assert json.loads(bus.recv(timeout=20))["id"] == "elsewhere"


def test_metrics_count_and_name_nobody(server: JupyterServer) -> None:
    server.launch("counted")

    def metrics() -> str:
        return httpx.get(f"{server.url}/metrics", headers=server.headers).text

    blocking_until(metrics, within=10, meets=lambda text: 'dodas_clusters{kind="toy",phase="ready"} 1.0' in text)
    assert 'dodas_workers{kind="toy"} 1.0' in metrics()
    assert not [line for line in metrics().splitlines() if line.startswith("dodas") and "counted" in line]
