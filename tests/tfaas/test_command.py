"""The command: its settings, what it says, how it ends."""

import json
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import pytest

from jupyter_dodas.certificates import issue
from jupyter_dodas.credentials import AUTHORITY, CERTIFICATE, KEY
from jupyter_dodas.inference.settings import Settings
from jupyter_dodas.testing.waiting import blocking_until
from tests.place import Process
from tests.tfaas.endpoint import Endpoint
from tests.tfaas.seeded import seeded

pytestmark = pytest.mark.timeout(300)

ROW = {"model": "net", "values": [0.5] * 9}


def run(*arguments: object, folder: Path) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "jupyter_dodas.inference", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=folder, timeout=120)


def test_help_explains_every_setting(tmp_path: Path) -> None:
    said = run("--help", folder=tmp_path)
    assert said.returncode == 0
    words = " ".join(said.stdout.replace("│", " ").split())
    for name, field in Settings.model_fields.items():
        assert f"--{name.replace('_', '-')}" in words
        assert field.description, name


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["--no-such"], 2, "No such option"),
        ([], 2, "The setting folder will not do"),
        (["--folder", "x"], 2, "nobody could call it"),
        (["--folder", "x", "--port", "-1", "--anonymous", "all"], 2, "The setting port will not do"),
        (["--folder", "x", "--anonymous", "some"], 2, "The setting anonymous will not do"),
        (["--folder", "x", "--issuer", "https://iam.example.org"], 2, "needs an audience"),
        (["--folder", "x", "--token-file", "missing"], 2, "cannot be read"),
        (["--folder", "x", "--anonymous", "all", "--certificate", "c"], 2, "a certificate needs its key"),
        (["--folder", "x", "--anonymous", "all", "--base", "models"], 2, "begins with a slash"),
        (["--folder", "file/x", "--anonymous", "all"], 7, "file"),
        (["--config", "bad.toml"], 2, "cannot be read"),
        (["--config", "odd.toml"], 2, "The setting colour will not do"),
    ],
)
def test_settings_that_will_not_do_are_told_before_anything_starts(
    tmp_path: Path, arguments: list[str], code: int, said: str
) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "bad.toml").write_text("folder =")
    (tmp_path / "odd.toml").write_text('folder = "x"\nanonymous = "all"\ncolour = "red"\n')
    done = run(*arguments, folder=tmp_path)
    assert (done.returncode, done.stdout) == (code, "")
    assert done.stderr.startswith("error: ")
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_a_port_that_is_taken_is_told(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        done = run("--folder", "x", "--anonymous", "all", "--port", taken.getsockname()[1], folder=tmp_path)
    assert (done.returncode, "cannot be listened on" in done.stderr) == (2, True)


@contextmanager
def started(folder: Path, *arguments: object) -> Iterator["subprocess.Popen[str]"]:
    command = [sys.executable, "-m", "jupyter_dodas.inference", *map(str, arguments)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=folder) as process:
        try:
            yield process
        finally:
            process.kill()


def test_it_says_where_it_is_once_it_answers_and_takes_a_file_of_settings(tmp_path: Path) -> None:
    (tmp_path / "settings.toml").write_text(
        'folder = "models"\nport = 0\nanonymous = "predict"\nport_file = "port"\nlog = "-"\nbase = "/tfaas"\n'
    )
    with started(tmp_path, "--config", "settings.toml") as process:
        assert process.stderr is not None
        said = next(line for line in process.stderr if line.startswith("Ready at "))
        port = (tmp_path / "port").read_text().strip()
        assert said == f"Ready at http://127.0.0.1:{port}/tfaas/\n"
        assert httpx.get(f"http://127.0.0.1:{port}/tfaas/models").json() == []
        process.send_signal(signal.SIGTERM)
        out, _ = process.communicate(timeout=60)
        assert process.returncode == 0
        assert not (tmp_path / "port").exists()
    (line,) = map(json.loads, out.splitlines())
    assert (line["caller"], line["method"], line["path"], line["status"]) == ("anonymous", "GET", "/tfaas/models", 200)


def test_https_with_a_certificate(tmp_path: Path) -> None:
    for name, content in issue("localhost", "token").items():
        (tmp_path / name).write_bytes(content)
    flags = ("--folder", "models", "--port", 0, "--anonymous", "predict", "--certificate", CERTIFICATE, "--key", KEY)
    with started(tmp_path, *flags) as process:
        assert process.stdout is not None
        url = process.stdout.readline().removeprefix("Ready at ").strip()
        assert url.startswith("https://")
        trusted = ssl.create_default_context(cafile=tmp_path / AUTHORITY)
        assert httpx.get(url.replace("127.0.0.1", "localhost") + "models", verify=trusted).json() == []


@pytest.fixture
def endpoint(models: Path) -> Iterator[Endpoint]:
    with seeded(models, grace=20.0) as made:
        yield made


def below(pid: int) -> list[Process]:
    """All processes below one."""
    found = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        with suppress(OSError):
            for child in map(int, task.read_text().split()):
                found += [*Process.with_number(child), *below(child)]
    return found


def test_a_server_that_is_told_to_end_answers_what_it_has_begun(endpoint: Endpoint) -> None:
    replies: list[Any] = []
    stopped = threading.Event()

    def ask() -> None:
        with endpoint.caller(endpoint.token) as client:
            while not stopped.is_set():
                try:
                    replies.append(client.post("/json", json=ROW).status_code)
                except httpx.TransportError as error:
                    replies.append(error)
                    return

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    try:
        blocking_until(lambda: len(replies), within=60, meets=lambda count: count > 100)
        workers = below(endpoint.process.pid)
        assert workers
        endpoint.process.send_signal(signal.SIGTERM)
        assert endpoint.process.wait(60) == 0
    finally:
        stopped.set()
        for thread in threads:
            thread.join()
    answered = [reply for reply in replies if isinstance(reply, int)]
    refused = [reply for reply in replies if not isinstance(reply, int)]
    assert set(answered) == {200}
    # What hears nothing was never begun: new connections are refused, idle ones closed.
    assert all(isinstance(reply, httpx.ConnectError | httpx.RemoteProtocolError | httpx.ReadError) for reply in refused), refused
    blocking_until(lambda: [one for one in workers if one.alive()], within=10, meets=lambda left: not left)


def test_a_server_that_is_killed_leaves_no_process(endpoint: Endpoint) -> None:
    assert endpoint.client.post("/json", json=ROW).status_code == 200
    workers = below(endpoint.process.pid)
    assert workers
    endpoint.kill()
    blocking_until(lambda: [one for one in workers if one.alive()], within=20, meets=lambda left: not left)
    assert endpoint.again().client.post("/json", json=ROW).status_code == 200


def test_a_long_prediction_does_not_hold_the_end_up_for_longer_than_the_grace(models: Path) -> None:
    with seeded(models, grace=1.0, timeout=120.0) as endpoint, endpoint.caller(endpoint.token) as client:
        assert client.post("/json", json=ROW).status_code == 200
        with socket.create_connection(("127.0.0.1", int(endpoint.url.rpartition(":")[2]))) as connection:
            body = json.dumps({"model": "endless", "values": [1e30]}).encode()
            lines = (
                f"POST /json HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {endpoint.token}\r\nContent-Length: {len(body)}\r\n\r\n"
            )
            connection.sendall(lines.encode() + body)
            blocking_until(lambda: client.get("/metrics").text, within=60, meets=lambda text: 'in_flight{model="endless"' in text)
            began = time.monotonic()
            endpoint.process.send_signal(signal.SIGTERM)
            assert endpoint.process.wait(60) == 0
            assert time.monotonic() - began < 50


def test_lines_of_the_log_and_counts_are_of_requests_and_hold_no_token(endpoint: Endpoint) -> None:
    client = endpoint.client
    assert client.post("/json?token=secret", json=ROW).status_code == 200
    assert client.post("/json", json={"model": "net", "values": []}).status_code == 400
    assert client.get("/params/net").status_code == 200
    with endpoint.caller("wrong-" + endpoint.token) as stranger:
        assert stranger.get("/models").status_code == 401
    counts = client.get("/metrics").text
    assert 'dodas_tfaas_requests_total{model="net",status="200"} 2.0' in counts
    assert 'dodas_tfaas_requests_total{model="net",status="400"} 1.0' in counts
    assert 'dodas_tfaas_request_seconds_count{model="net"} 3.0' in counts
    log = endpoint.root / "access.log"
    text = blocking_until(log.read_text, within=10, meets=lambda text: text.count("\n") >= 5)
    lines = [json.loads(line) for line in text.splitlines()]
    assert [(one["path"], one["status"]) for one in lines[:4]] == [
        ("/json", 200),
        ("/json", 400),
        ("/params/net", 200),
        ("/models", 401),
    ]
    assert lines[0]["caller"] == "owner"
    assert {"time", "ms", "taken", "given", "model", "version"} <= lines[0].keys()
    assert log.stat().st_mode & 0o777 == 0o600
    said = text + endpoint.said() + counts
    assert endpoint.token not in said
    assert "secret" not in said
    for name in ("cmdline", "environ"):
        assert endpoint.token.encode() not in Path(f"/proc/{endpoint.process.pid}/{name}").read_bytes()
