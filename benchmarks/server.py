"""What the Jupyter Server extension costs: reading 200 clusters, and the way of a hint.

    script/bench server [--requests N] [--hints N]

The records are written as the controller writes them, by a store in this process that serves the place's bus; so what is measured
is the way from a write of the status to a client of Jupyter Server. Nothing runs for the records.
"""

import argparse
import asyncio
import fcntl
import http.client
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from websockets.asyncio.client import connect

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "toy")]

from benchmarks._records import spec, status  # noqa: E402 - found from here on
from jupyter_dodas.backends.local.bus import BusServer  # noqa: E402
from jupyter_dodas.backends.local.layout import Layout  # noqa: E402
from jupyter_dodas.backends.local.store import LocalStore  # noqa: E402
from jupyter_dodas.settings import load  # noqa: E402
from tests.jupyter import JupyterServer  # noqa: E402
from tests.place import Place  # noqa: E402

CLUSTERS = 200


def reads(server: JupyterServer, requests: int) -> list[float]:
    """Seconds that `GET /clusters` takes, over one connection that stays."""
    wire = http.client.HTTPConnection("127.0.0.1", server.port)
    found = []
    for number in range(requests + 20):
        began = time.perf_counter()
        wire.request("GET", "/dodas/api/v1/clusters", headers=server.headers)
        body = wire.getresponse().read()
        if number >= 20:
            found.append(time.perf_counter() - began)
    assert len(json.loads(body)["clusters"]) == CLUSTERS
    wire.close()
    return found


async def hints(server: JupyterServer, store: LocalStore, times: int) -> list[float]:
    """Seconds from the write of a status to the hint that a websocket client gets."""
    found = []
    address = f"ws://127.0.0.1:{server.port}/api/events/subscribe"
    async with connect(address, additional_headers=server.headers) as wire:
        for number in range(times + 20):
            name, uid = f"dask-{number % CLUSTERS}", f"{number % CLUSTERS:012x}"
            began = time.perf_counter()
            await store.report(name, status(uid, time.time()))
            while json.loads(await wire.recv())["id"] != name:
                pass
            if number >= 20:
                found.append(time.perf_counter() - began)
            await asyncio.sleep(0.02)
    return found


async def measure(place: Place, requests: int, times: int) -> tuple[list[float], list[float]]:
    layout = Layout.of(load(place.variables))
    layout.make()
    bus = BusServer(layout.controller_socket)
    store = LocalStore(layout, bus)
    with (layout.runtime / "keeper.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # without a keeper all of them would have failed
        async with bus.serve():
            for number in range(CLUSTERS):
                record = await store.create(spec(number))
                await store.report(record.name, status(record.spec.uid, time.time()))
            server = await asyncio.to_thread(JupyterServer, place.variables)
            try:
                await asyncio.sleep(3)  # until the files are older than the clock is coarse, as those of real clusters are
                read = await asyncio.to_thread(reads, server, requests)
                return read, await hints(server, store, times)
            finally:
                await asyncio.to_thread(server.close)


def quantile(values: Sequence[float], share: float) -> float:
    """In milliseconds."""
    return sorted(values)[min(int(len(values) * share), len(values) - 1)] * 1000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=500)
    parser.add_argument("--hints", type=int, default=300)
    arguments = parser.parse_args()
    place = Place()
    try:
        read, heard = asyncio.run(measure(place, arguments.requests, arguments.hints))
    finally:
        place.close()
    print("| measure | must reach | aim | measured |")
    print("|---|---|---|---|")
    fifty, last = quantile(read, 0.5), quantile(read, 0.99)
    print(f"| `GET /clusters` with {CLUSTERS} records, p50 / p99 | 10 / 30 ms | 3 / 10 ms | {fifty:.1f} / {last:.1f} ms |")
    fifty, last = quantile(heard, 0.5), quantile(heard, 0.99)
    print(f"| status change to hint at a websocket client, p99 | 150 ms | 50 ms | {last:.1f} ms (median {fifty:.1f} ms) |")
    Path("benchmarks/results").mkdir(exist_ok=True)
    Path("benchmarks/results/server.json").write_text(json.dumps({"reads": read, "hints": heard}, indent=1))


if __name__ == "__main__":
    main()
