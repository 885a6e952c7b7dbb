"""What the ground costs: templates, infrastructures beside those asked for by hand, spawns beside a bare pod.

    script/bench provision [--rounds N] [--only ROW]

Each row is a function that returns what it found; it says itself what it needs, and whom it stands beside.
"""

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.launch import ratio, say, table  # noqa: E402 - found from here on


@dataclass(frozen=True)
class Row:
    """A line of the table: what was measured in words, and all values that were."""

    title: str
    must: str
    aim: str
    measured: str
    values: Mapping[str, Sequence[float]] = field(default_factory=dict)


def template(arguments: argparse.Namespace) -> list[Row]:
    """Reading, validating and describing each of our templates, from its text, in a process that has done so once."""
    from jupyter_dodas.provision.template import Template, load, names

    found: dict[str, list[float]] = {}
    for number in range(arguments.rounds * 10 + 1):
        for name in names():
            text = load(name).text
            began = time.perf_counter()
            Template(name, text).schema()
            if number:
                found.setdefault(name, []).append(time.perf_counter() - began)
    middle = {name: statistics.median(taken) for name, taken in found.items()}
    shown = ", ".join(f"{name} {taken * 1000:.0f} ms" for name, taken in middle.items())
    slowest = max(middle.values())
    return [Row("template: parse, validate, schema, p50", "150 ms", "50 ms", f"{slowest * 1000:.0f} ms ({shown})", found)]


def fifty(arguments: argparse.Namespace) -> list[Row]:
    """Infrastructures on the Dummy cloud of a real Infrastructure Manager, of $DODAS_TEST_IM, with pretended contextualization."""
    from benchmarks._fifty import COUNT, fifty

    found = fifty(arguments.rounds)
    sides = {name: f"{statistics.median(values):.2f} s" for name, values in found.items()}
    title = f"{COUNT} infrastructures created at once and deleted until every DELETE answered 200, against curl"
    measured = f"{ratio(found['ours'], found['peer']):.2f} x ({sides['ours']}, {sides['peer']}); 0 left"
    return [
        Row(title, "1.2 x", "1.05 x", measured, found),
        Row("after that, until none is found", "", "", f"{sides['ours gone']}, {sides['peer gone']}"),
    ]


def overhead(arguments: argparse.Namespace) -> list[Row]:
    """From "configured" by a real Infrastructure Manager, of $DODAS_TEST_IM, to the client of the spawner, under a real hub."""
    from benchmarks._overhead import overhead

    found = sorted(overhead(arguments.rounds * 4))
    p95 = found[min(len(found) - 1, round(0.95 * len(found)))]
    measured = f"{p95:.2f} s (p50 {statistics.median(found):.2f} s, {len(found)} infrastructures)"
    return [Row('from "configured" until the spawner goes on, p95', "3 s", "1 s", measured, {"ours": found})]


def spawn(arguments: argparse.Namespace) -> list[Row]:
    """A notebook on an infrastructure that is there, on the test cluster, beside a bare pod of the same image."""
    from benchmarks._spawn import spawn

    found = spawn(arguments.rounds)
    sides = ", ".join(f"{statistics.median(values):.2f} s" for values in found.values())
    title = "spawn on an existing infrastructure with a warm image, against a bare pod until its port answers"
    return [Row(title, "1.3 x", "1.1 x", f"{ratio(found['ours'], found['peer']):.2f} x ({sides})", found)]


ROWS: Final[Mapping[str, Callable[[argparse.Namespace], list[Row]]]] = {
    "template": template,
    "fifty": fifty,
    "overhead": overhead,
    "spawn": spawn,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", choices=tuple(ROWS))
    arguments = parser.parse_args()

    found: list[Row] = []
    for name in (arguments.only,) if arguments.only else ROWS:
        say(f"{name.capitalize()}:")
        found += ROWS[name](arguments)
    print(table([(row.title, row.must, row.aim, row.measured) for row in found]))
    folder = ROOT / "benchmarks" / "results"
    folder.mkdir(exist_ok=True)
    rows = [asdict(row) for row in found]
    (folder / "provision.json").write_text(json.dumps({"rows": rows, "at": time.time(), "python": sys.version}, indent=1))


if __name__ == "__main__":
    main()
