"""What a Spark launch costs, beside a plain local[2] script, and whether executors compute as fast: ratios in one interleaved run.

    script/bench spark [--runs N] [--job SECONDS]

Every cold run is a fresh process with a state root of its own, so that nothing is warm but the file cache and the class-data
archive, which is made first if it is not there.
"""

import argparse
import json
import os
import statistics
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.launch import place, ratio, run, say, table

PEER = """
import time
began = time.perf_counter()
from pyspark.sql import SparkSession
spark = SparkSession.builder.master("local[2]").getOrCreate()
assert spark.range(1000).selectExpr("sum(id) as total").first().total == 499500
print(time.perf_counter() - began)
"""

OURS = """
import time
began = time.perf_counter()
import jupyter_dodas as dodas
with dodas.spark(executors=2) as cluster:
    spark = cluster.session()
    assert spark.range(1000).selectExpr("sum(id) as total").first().total == 499500
    first = time.perf_counter() - began
    spark.stop()  # a process has one classic session; the cluster goes on
    began = time.perf_counter()
    with dodas.spark(executors=2) as other:
        spark = other.session()
        assert spark.range(1000).selectExpr("sum(id) as total").first().total == 499500
        print(first, time.perf_counter() - began)
"""

# Integers of which nothing can be skipped, in compiled code of the executors' own; {rows} is found out first.
JOB = """
import time
import jupyter_dodas as dodas
plain = {plain}
if plain:
    import jupyter_dodas.services.spark.conf as conf
    conf.executor_options = lambda archive, own: own
with dodas.spark(executors=2) as cluster:
    spark = cluster.session()
    spark.range(1000).selectExpr("sum(id)").collect()
    def work(rows):
        began = time.perf_counter()
        spark.range(0, rows, 1, 4).selectExpr("bit_xor(xxhash64(id, hash(id), id * 31))").collect()
        return time.perf_counter() - began
    if {warm}:
        work({rows})
    print(work({rows}))
"""

_TRY = 500_000_000


def make_archive() -> None:
    """Have the class-data archive, as any machine has after its first cluster."""
    from jupyter_dodas.services.spark import archive
    from jupyter_dodas.services.spark.java import find_java, find_spark

    found = find_java(os.environ), find_spark()
    if archive.find(*found) is None:
        say("  making the class-data archive")
        run("import sys; from jupyter_dodas.services.spark.training import main; sys.exit(main())", dict(os.environ))


def launches(runs: int) -> dict[str, list[float]]:
    found: dict[str, list[float]] = {"peer": [], "first": [], "second": []}
    for number in range(-1, runs):  # the first round fills the file cache
        times: dict[str, list[float]] = {}
        for code in _turns(number, PEER, OURS):
            with place() as environment:
                times[code] = run(code, environment)
        (peer,), (first, second) = times[PEER], times[OURS]
        if number >= 0:
            for name, seconds in zip(found, (peer, first, second), strict=True):
                found[name].append(seconds)
        say(f"  local[2] {peer:.2f} s, cold {first:.2f} s, second {second:.2f} s (load {os.getloadavg()[0]:.1f})")
    return found


def jobs(runs: int, seconds: float) -> dict[str, list[float]]:
    with place() as environment:
        (tried,) = run(JOB.format(plain=True, warm=True, rows=_TRY), environment)
    rows = int(_TRY * seconds / tried)
    found: dict[str, list[float]] = {"plain": [], "ours": []}
    for number in range(runs):
        for name in _turns(number, *found):
            with place() as environment:
                found[name].extend(run(JOB.format(plain=name == "plain", warm=False, rows=rows), environment))
        say(f"  default flags {found['plain'][-1]:.2f} s, ours {found['ours'][-1]:.2f} s (load {os.getloadavg()[0]:.1f})")
    return found


def _turns(number: int, first: str, second: str) -> Sequence[str]:
    """Who comes first takes turns, so that a machine which grows slower, or faster, favours neither."""
    return (second, first) if number % 2 else (first, second)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=7)
    parser.add_argument("--job", type=float, default=60.0, help="seconds that the CPU-bound job shall take")
    parser.add_argument("--job-runs", type=int, default=4, help="pairs of runs of the job; 0 leaves it out")
    arguments = parser.parse_args()
    make_archive()
    say("Cold and second launches:")
    found = launches(arguments.runs)
    if arguments.job_runs:
        say("A CPU-bound job:")
        found |= jobs(arguments.job_runs, arguments.job)
    middle = {name: statistics.median(seconds) for name, seconds in found.items()}
    rows = [
        (
            "Spark, cold: import to first result, against local[2]",
            "1.2 x",
            "0.9 x",
            f"{ratio(found['first'], found['peer']):.2f} x ({middle['first']:.2f} s, {middle['peer']:.2f} s)",
        ),
        (
            "second Spark launch while the first runs, against the first",
            "0.6 x",
            "0.35 x",
            f"{ratio(found['second'], found['first']):.2f} x ({middle['second']:.2f} s)",
        ),
    ]
    if arguments.job_runs:
        rows.append(
            (
                f"CPU-bound job of {arguments.job:.0f} s, against default flags",
                "1.05 x",
                "1.0 x",
                f"{ratio(found['ours'], found['plain']):.2f} x ({middle['ours']:.1f} s, {middle['plain']:.1f} s)",
            )
        )
    print(table(rows))
    folder = Path("benchmarks/results")
    folder.mkdir(exist_ok=True)
    (folder / "spark.json").write_text(json.dumps({**found, "at": time.time(), "python": sys.version}, indent=1))


if __name__ == "__main__":
    main()
