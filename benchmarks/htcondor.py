"""What jobs of a pool cost, beside a pool made by hand and beside `concurrent.futures`: ratios in one interleaved run.

    script/bench htcondor [--rounds N] [--jobs N] [--only PART]

Every first job is that of a fresh process with a state root of its own. The pool made by hand (`peers/condor.py`) has the same
daemons and the same job: Python that adds up numbers, with its result brought back. Who comes first takes turns.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.launch import cpu_seconds, keepers, place, ratio, run, say, table  # noqa: E402 - found from here on

PEER: Final = ROOT / "benchmarks" / "peers" / "condor.py"
QUEUED: Final = 10_000

FIRST: Final = """
import time
began = time.perf_counter()
import jupyter_dodas as dodas
with dodas.htcondor(workers=2) as pool:
    assert pool.submit(sum, range(1000)).result() == 499500
    print(time.perf_counter() - began)
"""

MANY: Final = """
import time
import jupyter_dodas as dodas
with dodas.htcondor(workers=2, memory="512 MiB") as pool:
    for job in pool.array(sum, [(range(1000),)] * 2, memory="64 MiB"):
        job.result()  # the workers are there
    began = time.perf_counter()
    jobs = pool.array(sum, [(range(1000),)] * {jobs}, memory="64 MiB")
    assert all(job.result() == 499500 for job in jobs)
    print(time.perf_counter() - began)
"""

CALLS: Final = """
import time
from concurrent.futures import ProcessPoolExecutor
import jupyter_dodas as dodas
def call(number):
    time.sleep(0.01)
    return number
def wall(all_of):
    began = time.perf_counter()
    assert sum(all_of()) == 499500
    return time.perf_counter() - began
def processes():
    with ProcessPoolExecutor(2) as executor:
        yield from executor.map(call, range(1000))
with dodas.htcondor(workers=2) as pool:
    pool.submit(call, 1).result()
    for number in range({rounds}):
        turns = [processes, lambda: pool.map(call, range(1000))]
        first, second = (wall(one) for one in (turns[::-1] if number % 2 else turns))
        print(*((second, first) if number % 2 else (first, second)))
"""

# As long as somebody looks at its queue it is measured, and then as long as nobody does.
QUEUE: Final = """
import sys, time
import jupyter_dodas as dodas
with dodas.htcondor(workers=2, memory="512 MiB", name="queue") as pool:
    waits = {{"executable": "/bin/true", "transfer_executable": "false", "request_memory": "512", "request_cpus": "1"}}
    schedd = pool.client()
    import htcondor2
    schedd.submit(htcondor2.Submit({{**waits, "executable": "/bin/sleep", "arguments": "3000"}}), count=2)
    while len(schedd.query("JobStatus == 2", ["ClusterId"])) < 2:
        time.sleep(0.1)
    schedd.submit(htcondor2.Submit(waits), count={queued})
    pool.queue("JobStatus == 2")  # pandas is imported
    for _ in range({rounds}):
        began = time.perf_counter()
        assert len(pool.queue()) == {queued} + 2
        print(time.perf_counter() - began, flush=True)
    print("still", flush=True)
    sys.stdin.readline()
"""


def firsts(release: Path, rounds: int) -> dict[str, list[float]]:
    found: dict[str, list[float]] = {"peer": [], "ours": []}
    for number in range(-1, rounds):  # the first round fills the file cache
        times = {name: first(release, name) for name in _turns(number)}
        if number >= 0:
            for name, seconds in times.items():
                found[name].append(seconds)
        say(f"  by hand {times['peer']:.2f} s, ours {times['ours']:.2f} s (load {os.getloadavg()[0]:.1f})")
    return found


def first(release: Path, name: str) -> float:
    if name == "peer":
        return by_hand(release, "first")
    with place() as environment:
        return run(FIRST, environment)[0]


def many(release: Path, rounds: int, jobs: int) -> dict[str, list[float]]:
    found: dict[str, list[float]] = {"peer": [], "ours": [], "named": []}
    for number in range(rounds):
        for name in (*_turns(number), "named"):
            if name != "ours":
                found[name].append(by_hand(release, "many" if name == "peer" else name, jobs))
            else:
                with place() as environment:
                    found[name].extend(run(MANY.format(jobs=jobs), environment))
        last = {name: times[-1] for name, times in found.items()}
        by_name = f"by hand {last['peer']:.1f} s, with named outputs {last['named']:.1f} s, ours {last['ours']:.1f} s"
        say(f"  {jobs} jobs: {by_name} (load {os.getloadavg()[0]:.1f})")
    return found


def calls(rounds: int) -> dict[str, list[float]]:
    with place() as environment:
        times = run(CALLS.format(rounds=rounds), environment)
    found = {"processes": times[::2], "map": times[1::2]}
    for one, other in zip(*found.values(), strict=True):
        say(f"  1,000 calls: two processes {one:.2f} s, map {other:.2f} s")
    return found


def queue(release: Path, rounds: int, seconds: float) -> dict[str, list[float]]:
    """Look at a long queue, and at what it costs the others when nobody does."""
    found: dict[str, list[float]] = {"peer": [by_hand(release, "queue", QUEUED) for _ in range(rounds)], "ours": []}
    with place() as environment:
        code = QUEUE.format(queued=QUEUED, rounds=rounds)
        command = [sys.executable, "-c", code]
        with subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            found["ours"] = [float(line) for line in iter(process.stdout.readline, "still\n")]
            runtime = Path(environment["DODAS_RUNTIME"])
            keeper, controller = keepers(runtime)[:2]
            watched = {"keeper": keeper, "controller": controller, **daemons(keeper)}
            before = {name: cpu_seconds(pid) for name, pid in watched.items()}
            began = time.monotonic()
            time.sleep(seconds)
            passed = time.monotonic() - began
            shares = {name: (cpu_seconds(pid) - before[name]) / passed for name, pid in watched.items()}
            process.communicate("\n")
    say(f"  {QUEUED} jobs: by hand {found['peer'][-1]:.2f} s, ours {found['ours'][-1]:.2f} s")
    say("  of a core: " + ", ".join(f"{name} {share:.1%}" for name, share in shares.items()))
    return {**found, **{f"cpu of {name}": [share] for name, share in shares.items()}}


def daemons(keeper: int) -> Mapping[str, int]:
    """Those of the manager, by name, with the process beside them that looks at the pool."""
    import psutil

    found = {}
    for process in psutil.Process(keeper).children(recursive=True):
        name = process.name()
        if name in ("condor_schedd", "condor_collector", "condor_negotiator"):
            found[name] = process.pid
            if name == "condor_schedd":
                found["manager"] = process.parents()[1].pid
    return found


def by_hand(release: Path, what: str, count: int = 1) -> float:
    """Run the other pool; return the seconds that it tells."""
    with new_folder() as folder:
        command = [sys.executable, str(PEER), str(release), str(folder), what, str(count)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise SystemExit(done.stderr + done.stdout)
        return float(done.stdout)


@contextmanager
def new_folder() -> Iterator[Path]:
    # Sockets of the daemons are below it, and their paths may have a hundred characters.
    folder = Path(tempfile.mkdtemp(prefix="bench-", dir="/tmp"))
    folder.chmod(0o755)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _turns(number: int) -> Sequence[str]:
    return ("ours", "peer") if number % 2 else ("peer", "ours")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument(
        "--jobs", type=int, default=200, help="of the row of short jobs, which has a round for every two of the others"
    )
    parser.add_argument("--still", type=float, default=30, help="seconds for which the controller is watched")
    parser.add_argument("--only", choices=("first", "many", "calls", "queue"))
    arguments = parser.parse_args()

    from jupyter_dodas.services.htcondor.daemons import find

    release, rounds, rows = find().root, arguments.rounds, []
    found: dict[str, dict[str, list[float]]] = {}
    wanted = (arguments.only,) if arguments.only else ("first", "many", "calls", "queue")
    middle = {}
    for what in wanted:
        say(f"{what.capitalize()}:")
        if what == "first":
            found[what] = firsts(release, rounds)
        elif what == "many":
            found[what] = many(release, (rounds + 1) // 2, arguments.jobs)
        elif what == "calls":
            found[what] = calls(rounds)
        else:
            found[what] = queue(release, rounds, arguments.still)
        middle[what] = {name: statistics.median(values) for name, values in found[what].items()}
    titles = {
        "first": ("nothing to the first job's result, against a pool made by hand", "1.3 x", "1.0 x"),
        "many": (f"{arguments.jobs} short jobs on 2 slots, against the same", "1.1 x", "1.0 x"),
        "calls": ("`pool.map` of 1,000 calls of 10 ms, against `concurrent.futures` on two processes", "3 x", "1.5 x"),
    }
    for what, title in titles.items():
        if what in found:
            theirs, ours = list(found[what].values())[:2]
            side = f"{statistics.median(ours):.2f} s, {statistics.median(theirs):.2f} s"
            rows.append((*title, f"{ratio(ours, theirs):.2f} x ({side})"))
    if "many" in found:
        named, ours = found["many"]["named"], found["many"]["ours"]
        side = f"{statistics.median(named):.2f} s"
        rows.append(("the same, against jobs by hand that name their outputs", "", "", f"{ratio(ours, named):.2f} x ({side})"))
    if "queue" in found:
        seen, cpu = middle["queue"], {name: share for name, share in middle["queue"].items() if name.startswith("cpu of ")}
        rows.append(
            ("`pool.queue()` of 10,000 jobs", "1 s", "0.6 s", f"{seen['ours']:.2f} s (a query by hand {seen['peer']:.2f} s)")
        )
        rows.append(("the same: CPU of the controller, of a core", "5 %", "1 %", f"{cpu['cpu of controller']:.1%}"))
    print(table(rows))
    folder = ROOT / "benchmarks" / "results"
    folder.mkdir(exist_ok=True)
    (folder / "htcondor.json").write_text(json.dumps({**found, "at": time.time(), "python": sys.version}, indent=1))


if __name__ == "__main__":
    main()
