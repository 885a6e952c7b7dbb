"""What predictions of an endpoint cost, beside MLServer, BentoML, keras.predict behind FastAPI and a bare handler, by turns.

    script/bench tfaas [--rounds N] [--seconds S] [--only PART]

The load is wrk's: single rows as JSON, on TFaaS's own network of 42 features. Ours has its model in a process of its own, sign-in
and the access log on. The other servers come from the package index, each into an environment of its own, the first time.
"""

import argparse
import io
import json
import os
import shutil
import statistics
import subprocess
import sys
import tarfile
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

import httpx
import psutil

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks._peers import HERE, PEERS, free_port, running  # noqa: E402 - found from here on
from benchmarks._wrk import Measured, load  # noqa: E402
from benchmarks.launch import ratio, say, table  # noqa: E402

CLIENTS: Final = (1, 16, 64, 200)
JSON: Final = {"Content-Type": "application/json"}
TAR: Final = {"Content-Type": "application/x-tar"}
FLOOR, MLSERVER, BENTOML, KERAS = PEERS
OURS: Final = "jupyter-dodas"

ROWS: Final = 100_000

Loads = dict[str, dict[int, Measured]]
"""By server and number of clients."""


@dataclass(frozen=True)
class Ours:
    """A server of ours with both models published."""

    process: int
    url: str
    token: str

    @property
    def headers(self) -> Mapping[str, str]:
        """What opens it."""
        return {"Authorization": f"Bearer {self.token}"}

    def deploy(self, name: str, folder: Path, file: str = "") -> float:
        """Upload a Keras model, publish it and predict; return the seconds that this took."""
        with httpx.Client(base_url=self.url, headers=self.headers, timeout=120) as client:
            began = time.perf_counter()
            path = f"/dodas/v1/models/{name}"
            staged = client.post(f"{path}/versions", content=packed(folder / f"{file or name}.keras"), headers=TAR)
            last = json.loads(staged.raise_for_status().text.splitlines()[-1])
            assert "version" in last, last
            client.post(f"{path}/publish", json={"version": last["version"]["version"]}).raise_for_status()
            body = {"model": name, "values": row(name)}
            client.post("/json", json=body).raise_for_status()
            return time.perf_counter() - began


def packed(model: Path) -> bytes:
    """Return an upload."""
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w") as archive:
        archive.add(model, f"model/{model.name}")
        about = tarfile.TarInfo("upload.json")
        about.size = 2
        archive.addfile(about, io.BytesIO(b"{}"))
    return target.getvalue()


def row(model: str) -> list[float]:
    """Return values as a detector could give them."""
    return [round(((7919 * n) % 1000) / 500 - 1, 4) for n in range(784 if model == "image" else 42)]


def make_models(folder: Path) -> None:
    """Make the models, in a process that takes TensorFlow."""
    say("Models:")
    quiet = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    subprocess.run([sys.executable, str(HERE / "models.py"), str(folder)], check=True, env=quiet, stderr=subprocess.DEVNULL)


@contextmanager
def serving(folder: Path) -> Iterator[Ours]:
    """Start our server as anybody would, alone."""
    port, token = free_port(), "benchmark-" + os.urandom(8).hex()
    secret = folder / "token"
    secret.write_text(token)
    secret.chmod(0o600)
    command = [sys.executable, "-m", "jupyter_dodas.inference", "--folder", str(folder / "versions"), "--port", str(port)]
    command += ["--token-file", str(secret), "--log", str(folder / "access.log")]
    with (folder / "server.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, cwd=folder)
    try:
        ours = Ours(process.pid, f"http://127.0.0.1:{port}", token)
        deadline = time.monotonic() + 60
        while True:
            try:
                httpx.get(f"{ours.url}/v2/health/ready").raise_for_status()
                break
            except httpx.HTTPError as error:
                if process.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError((folder / "server.log").read_text()[-3000:]) from error
                time.sleep(0.1)
        yield ours
    finally:
        process.terminate()
        process.wait(30)


# -- what is measured ---------------------------------------------------------------------------------------------------


def under_load(folder: Path, ours: Ours, model: str, clients: Sequence[int], seconds: float) -> Loads:
    """Put each server under the load of so many clients, one server at a time."""
    found: Loads = {}
    body = json.dumps({"model": model, "values": row(model)}).encode()
    found[OURS] = {
        n: load(ours.process, f"{ours.url}/json", body, clients=n, seconds=seconds, headers={**JSON, **ours.headers})
        for n in clients
    }
    for peer in (FLOOR, MLSERVER, BENTOML) if model == "tabular" else (KERAS,):
        with running(peer, folder, model, row(model)) as (pid, url):
            found[peer.name] = {n: load(pid, url, peer.body(row(model)), clients=n, seconds=seconds, headers=JSON) for n in clients}
    for name, by in found.items():
        for n, one in by.items():
            times = f"p50 {one.p50:8.2f} ms  p99 {one.p99:8.2f} ms  {one.cpu:8.0f} us"
            say(f"  {name:24} {n:4} clients {one.rate:9.0f}/s  {times}  {one.failed} failed")
            assert name != OURS or not one.failed, "a request of ours has failed"
    return found


IN_PROCESS: Final = """
import sys, time
import numpy as np, onnxruntime
options = onnxruntime.SessionOptions()
options.intra_op_num_threads = options.inter_op_num_threads = 1
session = onnxruntime.InferenceSession(sys.argv[1], options, providers=["CPUExecutionProvider"])
x = np.random.default_rng(1).normal(size=(int(sys.argv[2]), 42)).astype(np.float32)
session.run(None, {"x": x[:1000]})
took = []
for _ in range(5):
    began = time.perf_counter()
    session.run(None, {"x": x})
    took.append(time.perf_counter() - began)
print(sorted(took)[2])
"""

FROM_A_NOTEBOOK: Final = """
import sys, time
from pathlib import Path
import numpy as np
from jupyter_dodas.services.tfaas.client import Client, Reach
from jupyter_dodas.services.tfaas.model import Model
token = Path(sys.argv[3]).read_text
x = np.random.default_rng(1).normal(size=(int(sys.argv[2]), 42)).astype(np.float32)
with Client(lambda: Reach(sys.argv[1], token)) as client:
    model = Model(client, "benchmark", "tabular")
    model.predict(x[:1000])
    took = []
    for _ in range(5):
        began = time.perf_counter()
        model.predict(x)
        took.append(time.perf_counter() - began)
print(sorted(took)[2])
"""


def seconds_of(code: str, *arguments: str) -> float:
    """Run Python in a fresh process; return what it prints."""
    command = [sys.executable, "-c", code, *arguments]
    return float(subprocess.run(command, check=True, capture_output=True, text=True, cwd=ROOT).stdout)


def many_rows(folder: Path, ours: Ours, rounds: int) -> dict[str, list[float]]:
    """Predict 100,000 rows from a notebook's place, and in a process with ONNX Runtime itself; seconds."""
    found: dict[str, list[float]] = {"endpoint": [], "in process": []}
    for _ in range(rounds):
        found["in process"].append(seconds_of(IN_PROCESS, str(folder / "tabular.onnx"), str(ROWS)))
        found["endpoint"].append(seconds_of(FROM_A_NOTEBOOK, ours.url, str(ROWS), str(folder / "token")))
        say(f"  {ROWS} rows: {found['endpoint'][-1]:.3f} s through the endpoint, {found['in process'][-1]:.3f} s in process")
    return found


def swap(ours: Ours, seconds: float) -> tuple[Measured, Measured]:
    """Put the server under load, without and with versions that change every half second; return both."""
    body = json.dumps({"model": "tabular", "values": row("tabular")}).encode()
    headers = {**JSON, **ours.headers}

    def measure() -> Measured:
        return load(ours.process, f"{ours.url}/json", body, clients=16, seconds=seconds, headers=headers)

    with httpx.Client(base_url=ours.url, headers=ours.headers, timeout=60) as client:
        path = "/dodas/v1/models/tabular"
        known = [one["version"] for one in client.get(path).raise_for_status().json()["versions"]]
        assert len(known) > 1, "there is nothing to swap"
        still = measure()
        ended = threading.Event()

        def swapping() -> None:
            turn = 0
            while not ended.wait(0.5):
                turn += 1
                client.post(f"{path}/publish", json={"version": known[turn % len(known)]}).raise_for_status()

        thread = threading.Thread(target=swapping)
        thread.start()
        try:
            return still, measure()
        finally:
            ended.set()
            thread.join()


def uploads(folder: Path, rounds: int) -> list[float]:
    """Start a server, wait until it is at rest, deploy a Keras model and predict; seconds."""
    found = []
    for number in range(rounds):
        place = folder / f"upload-{number}"
        place.mkdir()
        with serving(place) as ours:
            at_rest(ours.process)
            found.append(ours.deploy("tabular", folder))
        say(f"  upload to first prediction: {found[-1]:.2f} s")
    return found


def at_rest(pid: int) -> None:
    """Wait until a server has done what it does ahead."""
    process, still, last = psutil.Process(pid), 0, -1.0
    while still < 6:
        spent = sum(one.cpu_times().user for one in (process, *process.children(recursive=True)))
        still, last = (still + 1 if spent - last < 0.05 else 0), spent
        time.sleep(0.5)


def main() -> None:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=5.0, help="of load, each time")
    arguments = parser.parse_args()
    rounds, seconds = arguments.rounds, arguments.seconds
    if shutil.which("wrk") is None:
        sys.exit("error: wrk is not installed.\nhint: apt-get install wrk")
    with tempfile.TemporaryDirectory(prefix="dodas-bench-") as name:
        folder = Path(name)
        make_models(folder)
        say("Uploads:")
        uploaded = uploads(folder, rounds)
        tabular, image, swaps = [], [], []
        with serving(folder) as ours:
            ours.deploy("image", folder)
            ours.deploy("tabular", folder, file="other")
            ours.deploy("tabular", folder)
            say("Rows of 42 features:")
            tabular = [under_load(folder, ours, "tabular", CLIENTS, seconds) for _ in range(rounds)]
            say("Images of 28 x 28:")
            image = [under_load(folder, ours, "image", (16,), seconds) for _ in range(rounds)]
            say("100,000 rows at once:")
            many = many_rows(folder, ours, rounds)
            say("Versions that change under load:")
            swaps = [swap(ours, seconds) for _ in range(rounds)]
    raw = {
        "uploads": uploaded,
        "tabular": [_plain(one) for one in tabular],
        "image": [_plain(one) for one in image],
        "many": many,
        "swaps": [[asdict(still), asdict(changing)] for still, changing in swaps],
    }
    (ROOT / "benchmarks" / "results" / "tfaas.json").write_text(json.dumps(raw, indent=1) + "\n")
    print(table(rows(uploaded, tabular, image, many, swaps)))


def rows(
    uploaded: Sequence[float],
    tabular: Sequence[Loads],
    image: Sequence[Loads],
    many: Mapping[str, Sequence[float]],
    swaps: Sequence[tuple[Measured, Measured]],
) -> list[tuple[str, str, str, str]]:
    """Return the table: medians of ratios of neighbours."""

    def times(of: Callable[[Measured], float], peer: str, clients: int, loads: Sequence[Loads] = tabular) -> float:
        return ratio([of(one[OURS][clients]) for one in loads], [of(one[peer][clients]) for one in loads])

    def median(of: Callable[[Measured], float], clients: int, server: str = OURS, loads: Sequence[Loads] = tabular) -> float:
        return statistics.median(of(one[server][clients]) for one in loads)

    rate, cpu = (lambda one: one.rate), (lambda one: one.cpu)
    rates = ", ".join(f"{times(rate, MLSERVER.name, n):.0f} x ({median(rate, n):,.0f}/s)" for n in CLIENTS[1:])
    tail = statistics.median(one[OURS][64].p99 / one[OURS][64].p50 for one in tabular)
    failed = sum(changing.failed for _, changing in swaps)
    still, changing = (statistics.median(one.p99 for one in side) for side in zip(*swaps, strict=True))
    return [
        ("requests/s at 16, 64, 200 clients, against MLServer", ">= 10 x", "20 x", rates),
        ("the same, against BentoML", "", "", ", ".join(f"{times(rate, BENTOML.name, n):.0f} x" for n in CLIENTS[1:])),
        (
            "CPU per request at 64 clients, against bare uvicorn + ONNX Runtime",
            "<= 2.0 x",
            "1.3 x",
            f"{times(cpu, FLOOR.name, 64):.2f} x ({median(cpu, 64):.0f} us, {median(cpu, 64, FLOOR.name):.0f} us)",
        ),
        ("p99 at 64 clients, against p50", "<= 8 x", "4 x", f"{tail:.1f} x"),
        ("one client, p50", "<= 0.25 ms", "0.17 ms", f"{median(lambda one: one.p50, 1):.2f} ms"),
        (
            "image model, 16 clients, against `keras.predict` behind FastAPI",
            ">= 150 x",
            "300 x",
            f"{times(rate, KERAS.name, 16, image):.0f} x ({median(rate, 16, loads=image):,.0f}/s)",
        ),
        (
            "`model.predict` of 100,000 x 42, against ONNX Runtime in process",
            "<= 2.5 x",
            "1.6 x",
            f"{ratio(many['endpoint'], many['in process']):.2f} x ({statistics.median(many['endpoint']):.2f} s)",
        ),
        ("upload of a Keras model to its first prediction", "<= 12 s", "3 s", f"{statistics.median(uploaded):.1f} s"),
        ("versions that change under 16 clients: failed requests", "0", "0", str(failed)),
        ("the same: p99, against no change", "", "1 x", f"{changing / still:.2f} x"),
    ]


def _plain(loads: Loads) -> dict[str, dict[int, dict[str, float]]]:
    return {name: {clients: asdict(one) for clients, one in by.items()} for name, by in loads.items()}


if __name__ == "__main__":
    main()
