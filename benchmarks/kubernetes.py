"""What a launch on Kubernetes costs, beside the same pods applied by hand with kubectl: ratios in one interleaved run.

    script/bench kubernetes [--runs N]

By hand means: the very manifests of a cluster of ours in a file, its certificates included; `kubectl apply`, `kubectl port-forward`
and a client of Dask. Both sides are a fresh process that has imported `distributed`, and begin when the launch does. The images are
on the node. The controller is in the namespace, as an administrator installs it, unless a row says otherwise.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from statistics import median
from typing import Any

import pytest

from benchmarks.launch import ratio, say, table

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "script"), str(ROOT / "tests" / "toy")]

from cluster import layout  # noqa: E402 - found from here on
from ground import script, start_test_cluster  # noqa: E402

from tests.namespace import Namespace, install_controller  # noqa: E402
from tests.place import Place  # noqa: E402

IDLE = 30.0

# Until the scheduler itself knows so many workers.
WAIT = """
import time
def wait(client, workers):
    while client.run_on_scheduler(lambda dask_scheduler: len(dask_scheduler.workers)) < workers:
        time.sleep(0.02)
"""

# Prints seconds to the first result, seconds of the growth, and when the launch began and ended.
OURS = """
import sys, time
import distributed
import jupyter_dodas as dodas
import jupyter_dodas.services.dask.face
at, began = time.time(), time.perf_counter()
with dodas.dask(workers=2, name="bench", memory="1 GiB") as cluster, cluster.client() as client:
    assert client.submit(sum, range(1000)).result() == 499500
    first, ended = time.perf_counter() - began, time.time()
    began = time.perf_counter()
    cluster.scale(6)
    wait(client, 6)
    print(first, time.perf_counter() - began, at, ended)
"""

# The same by hand. Whether the scheduler answers is tried all the time, and sooner than a person would.
PEER = """
import re, socket, ssl, subprocess, sys, time
from contextlib import suppress
from pathlib import Path
from distributed import Client
from distributed.security import Security

folder, *kubectl = Path(sys.argv[1]), *sys.argv[2:]
pem = {name: str(folder / f"{name}.pem") for name in ("ca", "cert", "key")}
security = Security(
    tls_ca_file=pem["ca"], tls_client_cert=pem["cert"], tls_client_key=pem["key"], require_encryption=True
)
trust = ssl.create_default_context(cafile=pem["ca"])
trust.check_hostname = False
trust.load_cert_chain(pem["cert"], pem["key"])

def apply(file):
    subprocess.run([*kubectl, "apply", "-f", folder / file], check=True, stdout=subprocess.DEVNULL)

def forward():
    process = subprocess.Popen(
        [*kubectl, "port-forward", "pod/bench-scheduler", ":18000"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    found = re.search(r":(\\d+) ->", process.stdout.readline())
    return process, int(found[1]) if found else 0

def answers(port):
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), 1) as raw, trust.wrap_socket(raw):
        return True

def connect():
    while True:
        process, port = forward()
        while process.poll() is None:
            if answers(port):
                return process, Client(f"tls://127.0.0.1:{port}", security=security)
            time.sleep(0.05)

began = time.perf_counter()
apply("cluster.json")
subprocess.run(
    [*kubectl, "wait", "--for=condition=Ready", "--timeout=60s", "pod/bench-scheduler"], check=True, stdout=subprocess.DEVNULL
)
process, client = connect()
with client:
    wait(client, 2)
    assert client.submit(sum, range(1000)).result() == 499500
    first = time.perf_counter() - began
    began = time.perf_counter()
    apply("growth.json")
    wait(client, 6)
    print(first, time.perf_counter() - began)
process.kill()
"""

STANDING = """
import time
import jupyter_dodas as dodas
with dodas.dask(workers=2, name="bench", memory="1 GiB"):
    time.sleep(3)
    began = time.time()
    time.sleep({idle})
    print(began, time.time())
"""

SERVERS = frozenset({"uid", "resourceVersion", "creationTimestamp", "generation", "managedFields", "ownerReferences"})
"""What the API server and we write into the metadata of an object, and nobody does by hand."""
GIVEN = frozenset({"nodeName", "serviceAccount", "serviceAccountName", "tolerations", "priority", "clusterIP", "clusterIPs"})
"""What it writes into a specification."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=7)
    runs = parser.parse_args().runs
    with a_cluster():
        found = measure(runs)
    for line in rows(found):
        print(line)
    folder = Path("benchmarks/results")
    folder.mkdir(exist_ok=True)
    (folder / "kubernetes.json").write_text(json.dumps({**found, "at": time.time(), "python": sys.version}, indent=1))


@contextmanager
def a_cluster() -> Iterator[None]:
    """The user's Kubernetes, or a test cluster that goes again if it was started here."""
    started = "KUBECONFIG" not in os.environ and start_test_cluster(say)
    try:
        yield
    finally:
        if started:
            script("kubernetes", "down")


def measure(runs: int) -> dict[str, Any]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DODAS_TEST_KUBECONFIG", os.environ["KUBECONFIG"])  # of the administrator; users have others
        place = Place()
        for name, value in place.variables.items():
            patch.setenv(name, value)
        bare, ours = Namespace(place, patch), Namespace(place, patch)
        try:
            ours.install("user.yaml")
            install_controller(ours)
            ours.become("ada", "jupyter-dodas-user")
            by_hand(place.root, ours)
            found = pairs(runs, place.root, ours, bare)
            say("Standing:")
            found["idle"] = standing(ours)
        finally:
            ours.close()
            bare.close()
        say("With a controller that the launch starts:")
        alone = Namespace(place, patch)
        try:
            found["alone"] = [run(OURS)[0] for _ in range(min(runs, 3))]
        finally:
            alone.close()
            place.close()
    return found


def pairs(runs: int, folder: Path, ours: Namespace, bare: Namespace) -> dict[str, Any]:
    """Both ways in turns; who comes first takes turns, too."""
    found: dict[str, Any] = {name: [] for name in ("launch", "launch by hand", "growth", "growth by hand", "requests", "load")}
    for number in range(-1, runs):  # the first round fills caches
        times: dict[str, list[float]] = {}
        for who in ("ours", "bare") if number % 2 else ("bare", "ours"):
            if who == "ours":
                times[who] = run(OURS)
            else:
                times[who] = run(PEER, folder, *kubectl(bare))
                bare.kubectl("delete", "pods,services,secrets", "--all", "--grace-period=1")
        first, growth, began, ended = times["ours"]
        theirs = times["bare"]
        asked = requests(ours, began, ended)
        load = os.getloadavg()[0]
        say(f"  by hand {theirs[0]:.2f} s, growth {theirs[1]:.2f} s; ours {first:.2f} s, {growth:.2f} s (load {load:.1f})")
        say("    " + ", ".join(f"{count} {what}" for what, count in sorted((asked or {}).items())))
        if number >= 0:
            for name, value in zip(found, (first, theirs[0], growth, theirs[1], asked, load), strict=True):
                found[name].append(value)
    return found


def by_hand(folder: Path, ours: Namespace) -> None:
    """Write down what a cluster of ours is made of, as if by hand, and the keys of its client."""
    import jupyter_dodas as dodas

    with dodas.dask(workers=6, name="bench", memory="1 GiB") as cluster:
        found = json.loads(ours.kubectl("get", "secrets,services,pods", "-l", "jupyter-dodas/cluster=bench", "-o", "json"))["items"]
        keys = cluster.connection_now().secrets
        for file in ("ca.pem", "cert.pem", "key.pem"):
            (folder / file).write_bytes((keys / file).read_bytes())
    things = [plain(thing) for thing in found]
    growth = [thing for thing in things if thing["metadata"]["name"] in {f"bench-worker-{number}" for number in range(3, 7)}]
    for name, part in (("cluster", [thing for thing in things if thing not in growth]), ("growth", growth)):
        (folder / f"{name}.json").write_text(json.dumps({"apiVersion": "v1", "kind": "List", "items": part}))


def plain(thing: dict[str, Any]) -> dict[str, Any]:
    """Return an object as somebody would have written it, who has no controller."""
    metadata = {name: value for name, value in thing["metadata"].items() if name not in SERVERS | {"namespace"}}
    metadata["labels"] = {name: value for name, value in metadata["labels"].items() if "managed-by" not in name}
    written = {name: value for name, value in thing.items() if name != "status"} | {"metadata": metadata}
    if "spec" in written:
        written["spec"] = {name: value for name, value in written["spec"].items() if name not in GIVEN}
    return written


def standing(ours: Namespace) -> dict[str, int] | None:
    """Requests while a cluster stands and nobody looks, but watches and renewals of the Lease."""
    return requests(ours, *run(STANDING.format(idle=IDLE)))


def requests(namespace: Namespace, began: float, ended: float) -> dict[str, int] | None:
    """Count what was asked of the API server in some seconds, by who asked for what; only the test cluster keeps such a log."""
    log = layout.RUN / "audit.log"
    if os.environ["DODAS_TEST_KUBECONFIG"] != str(layout.KUBECONFIG):
        return None
    asked = {}
    for line in log.read_text("utf-8").splitlines():
        if namespace.name not in line:
            continue
        said = json.loads(line)
        moment = datetime.fromisoformat(said["requestReceivedTimestamp"]).timestamp()
        what = said.get("objectRef", {})
        renewal = what.get("resource") == "leases" and said["verb"] == "update"
        who = said["user"]["username"].rpartition(":")[2]
        if began <= moment <= ended and who != "admin" and not renewal:
            kind = "/".join(filter(None, (what.get("resource"), what.get("subresource"))))
            asked[said["auditID"]] = f"{'user' if who == 'ada' else 'controller'} {said['verb']} {kind}"
    return dict(Counter(asked.values()))


def kubectl(namespace: Namespace) -> Sequence[str]:
    return (
        os.environ.get("DODAS_TEST_KUBECTL", "kubectl"),
        "--kubeconfig",
        os.environ["DODAS_TEST_KUBECONFIG"],
        "-n",
        namespace.name,
    )


def run(code: str, *arguments: str | Path) -> list[float]:
    ended = subprocess.run([sys.executable, "-c", WAIT + code, *arguments], capture_output=True, text=True, check=False)
    if ended.returncode:
        raise SystemExit(ended.stderr)
    return [float(word) for word in ended.stdout.split()]


def rows(found: dict[str, Any]) -> Iterator[str]:
    def compared(what: str) -> str:
        ours, theirs = found[what], found[f"{what} by hand"]
        return f"{ratio(ours, theirs):.2f} x ({median(ours):.2f} s, {median(theirs):.2f} s)"

    counted = [sum(asked.values()) for asked in found["requests"] if asked is not None]
    standing = [(what, count) for what, count in (found["idle"] or {}).items() if " watch " not in what]
    unknown = "only a test cluster tells"
    yield table(
        [
            ("Dask with 2 workers: launch to first result, against the same pods by hand", "1.25 x", "1.05 x", compared("launch")),
            ("2 to 6 workers: ask to all registered, against 4 pods by hand", "1.15 x", "1.05 x", compared("growth")),
            ("API requests of one launch", "25", "12", f"{median(counted):.0f}" if counted else unknown),
            (
                f"API requests in {IDLE:.0f} s of standing, beyond watches and renewals of the Lease",
                "0",
                "0",
                unknown if found["idle"] is None else str(sum(count for _, count in standing)),
            ),
            ("launch, with a controller that it starts itself", "", "", f"{median(found['alone']):.2f} s"),
        ]
    )
    yield f"\nLoad of the machine while launches were measured: {median(found['load']):.1f} on {os.cpu_count()} cores."


if __name__ == "__main__":
    main()
