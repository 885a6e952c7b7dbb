"""What a launch costs, beside a plain LocalCluster: ratios in one interleaved run.

    script/bench launch [--runs N]

Every cold run is a fresh process with a state root of its own, so that nothing is warm but the file cache.
"""

import argparse
import asyncio
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

PEER = """
import time
began = time.perf_counter()
if __name__ == "__main__":
    from distributed import Client, LocalCluster
    with LocalCluster(n_workers=2, processes=True) as cluster, Client(cluster) as client:
        assert client.submit(sum, range(1000)).result() == 499500
        print(time.perf_counter() - began)
"""

OURS = """
import time
began = time.perf_counter()
import jupyter_dodas as dodas
with dodas.dask(workers=2) as cluster, cluster.client() as client:
    assert client.submit(sum, range(1000)).result() == 499500
    first = time.perf_counter() - began
    began = time.perf_counter()
    with dodas.dask(workers=2) as cluster, cluster.client() as client:
        assert client.submit(sum, range(1000)).result() == 499500
        print(first, time.perf_counter() - began)
"""

MODEL = "import pydantic\nclass Model(pydantic.BaseModel):\n    x: int\n"


@contextmanager
def place() -> Iterator[dict[str, str]]:
    """An environment with a state root of its own, which is gone afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="dodas-bench-"))
    try:
        yield {**os.environ, "DODAS_STATE": str(folder / "state"), "DODAS_RUNTIME": str(folder / "run"), "DODAS_LINGER": "0"}
    finally:
        deadline = time.monotonic() + 10
        while keepers(folder / "run") and time.monotonic() < deadline:
            time.sleep(0.05)
        shutil.rmtree(folder)


def keepers(runtime: Path) -> list[int]:
    """Processes that name this runtime folder: the keeper first, then the controller."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            arguments = (folder / "cmdline").read_bytes()
        except OSError:
            continue
        if os.fsencode(runtime) in arguments and int(folder.name) != os.getpid():
            found.append(int(folder.name))
    return sorted(found)


def run(code: str, environment: dict[str, str]) -> list[float]:
    ended = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    if ended.returncode:
        raise SystemExit(ended.stderr)
    return [float(word) for word in ended.stdout.split()]


def wall(code: str) -> float:
    began = time.perf_counter()
    subprocess.run([sys.executable, "-c", code], check=True)
    return time.perf_counter() - began


def launches(runs: int) -> dict[str, list[float]]:
    found: dict[str, list[float]] = {"peer": [], "first": [], "second": []}
    for number in range(-1, runs):  # the first round fills the file cache
        with place() as environment:
            (peer,) = run(PEER, environment)
            first, second = run(OURS, environment)
        if number >= 0:
            for name, seconds in zip(found, (peer, first, second), strict=True):
                found[name].append(seconds)
        say(f"  LocalCluster {peer:.2f} s, cold {first:.2f} s, second {second:.2f} s")
    return found


def imports(runs: int) -> dict[str, list[float]]:
    found: dict[str, list[float]] = {"model": [], "package": []}
    for _ in range(runs):
        found["model"].append(wall(MODEL))
        found["package"].append(wall("import jupyter_dodas"))
    return found


def standing() -> dict[str, Any]:
    """Reaction, memory and idle CPU, with one Dask cluster that has nothing to do."""
    with place() as environment:
        os.environ.update(environment)
        os.environ["DODAS_LINGER"] = "600"
        import jupyter_dodas as dodas

        with dodas.dask(workers=2, name="idle") as cluster:
            runtime = Path(environment["DODAS_RUNTIME"])
            keeper, controller = keepers(runtime)[:2]
            reactions = asyncio.run(react(300))
            time.sleep(2)
            before = {pid: cpu_seconds(pid) for pid in (keeper, controller)}
            began = time.monotonic()
            time.sleep(30)
            passed = time.monotonic() - began
            idle = sum(cpu_seconds(pid) - before[pid] for pid in before) / passed
            found = {
                "reactions": reactions,
                "keeper": resident(keeper),
                "controller": resident(controller),
                "idle": idle,
            }
            cluster.stop()
        os.kill(keeper, 15)
    return found


async def react(times: int) -> list[float]:
    """Seconds from a change of the spec to the status that has taken it in."""
    from jupyter_dodas import aio

    cluster = await aio.connect("idle")
    found = []
    for _ in range(times):
        began = time.perf_counter()
        await cluster.keep(hours=1)
        record = await cluster.record()
        async for seen in cluster.follow():
            if seen.status.observed_generation >= record.spec.generation:
                break
        found.append(time.perf_counter() - began)
    return found


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def resident(pid: int) -> float:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1]) * 1024 / 1e6
    raise LookupError(pid)


def say(text: str) -> None:
    print(text, file=sys.stderr)


def ratio(ours: Sequence[float], theirs: Sequence[float]) -> float:
    """The median of the ratios of neighbours, which see the same machine."""
    return statistics.median(a / b for a, b in zip(ours, theirs, strict=True))


def table(rows: Sequence[tuple[str, str, str, str]]) -> str:
    lines = ["| measure | must reach | aim | measured |", "|---|---|---|---|"]
    return "\n".join(lines + [f"| {' | '.join(row)} |" for row in rows])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=7)
    runs = parser.parse_args().runs
    say("Cold and second launches:")
    found = launches(runs)
    say("Imports:")
    cost = imports(runs)
    say("Reaction, memory, idleness:")
    still = standing()
    median: Callable[[Sequence[float]], float] = statistics.median
    p99 = sorted(still["reactions"])[int(len(still["reactions"]) * 0.99)]
    rows = [
        (
            "cold process: import to first result, against LocalCluster",
            "0.9 x",
            "0.65 x",
            f"{ratio(found['first'], found['peer']):.2f} x ({median(found['first']):.2f} s, {median(found['peer']):.2f} s)",
        ),
        (
            "second launch while the first runs, against the first",
            "0.6 x",
            "0.35 x",
            f"{ratio(found['second'], found['first']):.2f} x ({median(found['second']):.2f} s)",
        ),
        (
            "spec change to controller acts, p99",
            "150 ms",
            "50 ms",
            f"{p99 * 1000:.0f} ms (median {median(still['reactions']) * 1000:.0f} ms)",
        ),
        ("resident memory of the keeper", "25 MB", "15 MB", f"{still['keeper']:.0f} MB"),
        ("resident memory of the controller", "70 MB", "50 MB", f"{still['controller']:.0f} MB"),
        ("CPU of both when idle, of a core", "0.3 %", "0.1 %", f"{still['idle'] * 100:.2f} %"),
        (
            "`import jupyter_dodas`, against a script with one `pydantic.BaseModel`",
            "1.5 x",
            "",
            f"{ratio(cost['package'], cost['model']):.2f} x",
        ),
    ]
    print(table(rows))
    Path("benchmarks/results").mkdir(exist_ok=True)
    Path("benchmarks/results/launch.json").write_text(json.dumps({**found, **cost, **still}, indent=1))


if __name__ == "__main__":
    main()
