"""Versions over HTTP: staged, published, rolled back, deleted; who may; and what is left of what was interrupted."""

import json
import os
import random
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import httpx
import pytest
from anyio.from_thread import start_blocking_portal

from jupyter_dodas.testing.waiting import blocking_until
from tests.tfaas.endpoint import KEYS, Endpoint, packed
from tests.unit.iam.forger import Forger

pytestmark = pytest.mark.timeout(300)

SOON: Final = 60.0
AUDIENCE: Final = "https://models.example.org"
TAR: Final = {"Content-Type": "application/x-tar"}
ROW: Final = {"inputs": [{"name": "keras_tensor", "shape": [1, 9], "datatype": "FP32", "data": [0.5] * 9}]}


@pytest.fixture(scope="module")
def endpoint() -> Iterator[Endpoint]:
    with Endpoint() as made:
        yield made


def model(endpoint: Endpoint, name: str) -> Mapping[str, Any]:
    found: Mapping[str, Any] = endpoint.client.get(f"/dodas/v1/models/{name}").json()
    return found


def states(endpoint: Endpoint, name: str) -> Mapping[str, str]:
    return {one["version"]: one["state"] for one in model(endpoint, name)["versions"]}


def predicted(endpoint: Endpoint, name: str, version: str = "") -> httpx.Response:
    at = f"/versions/{version}" if version else ""
    return endpoint.client.post(f"/v2/models/{name}{at}/infer", json=ROW)


def staged(endpoint: Endpoint) -> list[Path]:
    """What is half made in the store."""
    return [one for one in (endpoint.store / "staging").iterdir() if one.is_dir()]


def refusal(reply: httpx.Response, status: int, code: str) -> Mapping[str, str]:
    assert reply.status_code == status, reply.text
    error: Mapping[str, str] = reply.json()["error"]
    assert error["code"] == code
    assert error["message"]
    assert error["remedy"]
    return error


# The way of a version.


def test_a_version_is_staged_published_rolled_back_and_deleted(endpoint: Endpoint, models: Path) -> None:
    lineage = {"packages": {"keras": "3.15.0"}, "metrics": {"auc": 0.97}, "note": "Nine inputs."}
    began = time.time()
    first = endpoint.deploy("way", models / "net.tflite", keys=KEYS, **lineage)
    second = endpoint.deploy("way", models / "net.tflite", keys=KEYS[::-1])
    assert states(endpoint, "way") == {first: "staged", second: "staged"}
    told = endpoint.client.get(f"/dodas/v1/models/way/versions/{first}").json()
    assert {name: told["lineage"][name] for name in lineage} == lineage
    assert told["lineage"]["owner"] == "owner"
    assert began - 1 < told["lineage"]["created"] < time.time() + 1
    assert told["keys"] == list(KEYS)
    assert {"no-new-privs", "seccomp", "rlimits"} <= set(told["check"]["layers"])
    assert told["bytes"] > 0
    assert predicted(endpoint, "way", first).status_code == 200
    assert predicted(endpoint, "way").status_code == 404  # nothing is published
    endpoint.publish("way", first)
    endpoint.publish("way", second)
    assert predicted(endpoint, "way").json()["model_version"] == second
    assert model(endpoint, "way")["previous"] == first
    assert states(endpoint, "way") == {first: "earlier", second: "published"}
    assert endpoint.client.post("/dodas/v1/models/way/rollback").json()["published"] == first
    assert predicted(endpoint, "way").json()["model_version"] == first
    error = refusal(endpoint.client.post("/dodas/v1/models/way/rollback"), 400, "bad-input")
    assert "No other version" in error["cause"]
    assert endpoint.client.delete(f"/dodas/v1/models/way/versions/{second}").status_code == 204
    assert list(states(endpoint, "way")) == [first]
    assert endpoint.client.delete("/dodas/v1/models/way").status_code == 204
    refusal(endpoint.client.get("/dodas/v1/models/way"), 404, "model-not-found")
    refusal(endpoint.client.delete("/dodas/v1/models/way"), 404, "model-not-found")
    for what in (
        f"owner uploaded {first} of way",
        f"owner published {second} of way",
        f"owner rolled back to {first} of way",
        "owner deleted",
    ):
        assert what in endpoint.said()


def test_steps_are_told_while_they_are_done(endpoint: Endpoint, models: Path) -> None:
    body = packed(models / "net.keras", keys=list(KEYS))
    steps, times = [], []
    with endpoint.client.stream("POST", "/dodas/v1/models/steps/versions", content=body, headers=TAR) as reply:
        assert reply.headers["content-type"].startswith("application/x-ndjson")
        for line in reply.iter_lines():
            steps.append(json.loads(line))
            times.append(time.monotonic())
    assert [one.get("step") for one in steps[:-1]] == ["Unpacked", "Loaded", "Converted", "Compared", "Measured"]
    assert all(one["seconds"] >= 0 for one in steps[:-1])
    assert steps[-1]["version"]["state"] == "staged"
    assert times[-1] - times[0] > 0.1  # not all at once, when it is over


def test_the_same_content_is_the_same_version(endpoint: Endpoint, models: Path) -> None:
    assert endpoint.deploy("same", models / "net.tflite") == endpoint.deploy("same", models / "net.tflite")
    assert len(states(endpoint, "same")) == 1


def test_a_benchmark_stands_beside_its_version(endpoint: Endpoint, models: Path) -> None:
    at = f"/dodas/v1/models/measured/versions/{endpoint.deploy('measured', models / 'net.tflite')}"
    assert endpoint.client.get(at).json()["benchmark"] is None
    rows = [{"batch": 1, "clients": 4, "p50_ms": 0.2, "p99_ms": 0.5, "rows_per_second": 19000.5}]
    assert endpoint.client.put(f"{at}/benchmark", json=rows).json()["benchmark"] == rows
    assert endpoint.client.get(at).json()["benchmark"] == rows
    wrongs: list[Any] = [[{**rows[0], "batch": 0}], [{**rows[0], "more": 1}], [{}], {}, "x"]
    for wrong in wrongs:
        refusal(endpoint.client.put(f"{at}/benchmark", json=wrong), 400, "bad-input")
    refusal(endpoint.client.put(f"{at}/benchmark", json=rows * 10_000), 413, "too-large")


def test_requests_under_way_are_answered_before_a_model_is_gone(endpoint: Endpoint, models: Path) -> None:
    """No request fails that was taken: those that come later are told that there is no such model."""
    endpoint.publish("drained", endpoint.deploy("drained", models / "net.tflite"))
    seen: list[int] = []

    def ask() -> None:
        with endpoint.caller(endpoint.token) as client:
            while not seen or seen[-1] == 200:
                seen.append(client.post("/v2/models/drained/infer", json=ROW).status_code)

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    blocking_until(lambda: seen.count(200) > 50, within=SOON)
    assert endpoint.client.delete("/dodas/v1/models/drained").status_code == 204
    for thread in threads:
        thread.join()
    assert set(seen) == {200, 404}
    assert endpoint.client.get("/dodas/v1/models/drained").status_code == 404


# What is refused.


@pytest.mark.parametrize("name", [".hidden", "a" * 65, "sp%20ace", "x%00"])
def test_names_that_will_not_do_are_refused(endpoint: Endpoint, models: Path, name: str) -> None:
    reply = endpoint.client.post(f"/dodas/v1/models/{name}/versions", content=packed(models / "net.tflite"), headers=TAR)
    assert "cannot be called" in refusal(reply, 400, "bad-input")["message"]


def test_uploads_that_will_not_do_are_refused_and_leave_nothing(endpoint: Endpoint, models: Path, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("no model")
    good = packed(models / "net.tflite")
    for body, code, said in (
        (b"no tar at all, " * 100, "model-refused", "no tar"),
        (good[:700], "model-refused", "too early"),
        (packed(models / "net.tflite", channels=7), "bad-input", "upload.json"),
        (packed(models / "net.tflite", kyes=["pt"]), "bad-input", "kyes"),
    ):
        reply = endpoint.client.post("/dodas/v1/models/wrong/versions", content=body, headers=TAR)
        assert said in str(refusal(reply, 400, code))
    for body, said in ((packed(tmp_path / "notes.txt"), "no model"), (packed(models / "net.tflite", keys=["pt"]), "1 names")):
        reply = endpoint.client.post("/dodas/v1/models/wrong/versions", content=body, headers=TAR)
        assert said in str(json.loads(reply.text.splitlines()[-1])["error"])
    refusal(endpoint.client.get("/dodas/v1/models/wrong"), 404, "model-not-found")
    blocking_until(lambda: staged(endpoint), within=SOON, meets=lambda found: not found)


def test_a_version_that_is_not_there_is_not_published(endpoint: Endpoint, models: Path) -> None:
    version = endpoint.deploy("lost", models / "net.tflite")
    reply = endpoint.client.post("/dodas/v1/models/lost/publish", json={"version": "0" * 12})
    assert version in refusal(reply, 404, "model-not-found")["remedy"]
    refusal(endpoint.client.post("/dodas/v1/models/lost/publish", content=b"{"), 400, "bad-input")
    refusal(endpoint.client.post("/dodas/v1/models/lost/publish", json={"versoin": version}), 400, "bad-input")


# What is interrupted.


def sending(endpoint: Endpoint, body: bytes, length: int) -> socket.socket:
    """Begin an upload by hand, so that it can be left where one likes."""
    at = urlsplit(endpoint.url)
    connection = socket.create_connection((at.hostname, at.port), timeout=SOON)
    head = f"POST /dodas/v1/models/half/versions HTTP/1.1\r\nHost: {at.netloc}\r\nAuthorization: Bearer {endpoint.token}\r\n"
    connection.sendall(f"{head}Content-Type: application/x-tar\r\nContent-Length: {length}\r\n\r\n".encode() + body)
    return connection


def test_an_upload_that_breaks_off_leaves_nothing(endpoint: Endpoint, models: Path) -> None:
    body = packed(models / "net.tflite")
    with sending(endpoint, body[: len(body) // 2], len(body)):
        blocking_until(lambda: staged(endpoint), within=SOON)
    blocking_until(lambda: staged(endpoint), within=SOON, meets=lambda found: not found)
    refusal(endpoint.client.get("/dodas/v1/models/half"), 404, "model-not-found")


def test_who_goes_away_cancels_the_conversion(endpoint: Endpoint, models: Path) -> None:
    body = packed(models / "net.keras")
    with sending(endpoint, body, len(body)) as connection:
        said = b""
        while b"Unpacked" not in said:
            said += connection.recv(4096)
    blocking_until(lambda: staged(endpoint), within=SOON, meets=lambda found: not found)
    refusal(endpoint.client.get("/dodas/v1/models/half"), 404, "model-not-found")
    assert "version" in endpoint.upload("after", models / "net.tflite")  # the next one is not kept waiting


def test_a_server_that_is_killed_during_uploads_has_nothing_half_stored(models: Path) -> None:
    seed = random.randrange(1 << 32)
    print("seed", seed)  # noqa: T201 - shown if it fails
    chosen = random.Random(seed)
    endpoint = Endpoint()
    try:
        kept = endpoint.deploy("kept", models / "net.tflite")
        endpoint.publish("kept", kept)
        body = packed(models / "net.keras", keys=list(KEYS))
        for _ in range(2):
            stop = chosen.choice([len(body) // 2, len(body)])
            step = chosen.choice(["Unpacked", "Loaded", "Converted", "Compared", "Measured"]).encode()
            with sending(endpoint, body[:stop], len(body)) as connection:
                if stop < len(body):
                    blocking_until(lambda: staged(endpoint), within=SOON)
                said = b""
                while stop == len(body) and step not in said:
                    said += connection.recv(4096)
                endpoint.kill()
            endpoint.again()
            assert staged(endpoint) == []
            for name in ("kept", "half"):
                shown = endpoint.client.get(f"/dodas/v1/models/{name}")
                assert shown.status_code == 200 if name == "kept" else shown.status_code in {200, 404}
                for version in shown.json().get("versions", []):
                    at = version["version"]
                    assert predicted(endpoint, name, at).status_code == 200, "what is there is whole"
        assert predicted(endpoint, "kept").json()["model_version"] == kept
    finally:
        endpoint.close()


# Who may.


class Shared:
    """An endpoint of several people, and who signs their tokens."""

    def __init__(self, forger: Forger) -> None:
        self._forger = forger
        self.endpoint = Endpoint(issuer=forger.issuer, audience=AUDIENCE, upload_scopes="upload", publish_groups="chiefs")
        self._clients: list[httpx.Client] = []

    def person(self, name: str | None, **claims: Any) -> httpx.Client:
        """Somebody with a token, or without one."""
        told = {"sub": name, "iss": self._forger.issuer, "aud": AUDIENCE, **claims}
        token = None if name is None else self._forger.sign(told)
        self._clients.append(self.endpoint.caller(token))
        return self._clients[-1]

    def close(self) -> None:
        for client in self._clients:
            client.close()
        self.endpoint.close()


@pytest.fixture(scope="module")
def shared() -> Iterator[Shared]:
    with start_blocking_portal() as portal, portal.wrap_async_context_manager(portal.call(Forger)) as forger:
        made = Shared(forger)
        try:
            yield made
        finally:
            made.close()


def test_what_is_staged_is_its_owners_alone_until_it_is_published(shared: Shared, models: Path) -> None:
    ada, bob = shared.person("ada", scope="upload"), shared.person("bob", scope="upload")
    chief = shared.person("chief", groups=["/chiefs"])
    version = shared.endpoint.upload("theirs", models / "net.tflite", ada)["version"]["version"]
    assert f"ada@127.0.0.1 uploaded {version} of theirs" in shared.endpoint.said()
    at = "/dodas/v1/models/theirs"

    def sees(client: httpx.Client) -> list[int]:
        asked = (at, f"{at}/versions/{version}", f"/v2/models/theirs/versions/{version}")
        found = [client.get(path).status_code for path in asked]
        return [*found, client.post(f"/v2/models/theirs/versions/{version}/infer", json=ROW).status_code]

    assert sees(ada) == [200] * 4
    assert sees(bob) == sees(chief) == [404] * 4
    assert sees(shared.endpoint.client) == [200] * 4  # the endpoint's own token administers it
    assert "theirs" not in bob.get("/dodas/v1/models").text
    assert "theirs" not in refusal(bob.get("/dodas/v1/models/others"), 404, "model-not-found")["remedy"]
    error = refusal(ada.post(f"{at}/publish", json={"version": version}), 403, "not-allowed")
    assert "predict, upload" in error["cause"]
    refusal(chief.post(f"{at}/publish", json={"version": version}), 404, "model-not-found")
    shared.endpoint.publish("theirs", version)
    assert sees(bob) == sees(chief) == [200] * 4
    rows = [{"batch": 1, "clients": 1, "p50_ms": 1, "p99_ms": 1, "rows_per_second": 1}]
    refusal(bob.put(f"{at}/versions/{version}/benchmark", json=rows), 403, "not-allowed")
    assert ada.put(f"{at}/versions/{version}/benchmark", json=rows).status_code == 200
    for client in (ada, bob):
        refusal(client.post(f"{at}/rollback"), 403, "not-allowed")
        refusal(client.delete(at), 403, "not-allowed")
        refusal(client.delete(f"{at}/versions/{version}"), 403, "not-allowed")


def test_one_may_delete_what_one_has_staged(shared: Shared, models: Path) -> None:
    ada = shared.person("ada", scope="upload")
    at = "/dodas/v1/models/mine"
    version = shared.endpoint.upload("mine", models / "net.tflite", ada)["version"]["version"]
    assert ada.delete(f"{at}/versions/{version}").status_code == 204
    assert ada.get(at).status_code == 404


def test_deleting_a_model_leaves_what_others_have_staged(shared: Shared, models: Path) -> None:
    ada, chief = shared.person("ada", scope="upload"), shared.person("chief", groups=["/chiefs"])
    at = "/dodas/v1/models/both"
    published = shared.endpoint.deploy("both", models / "net.tflite")
    shared.endpoint.publish("both", published)
    version = shared.endpoint.upload("both", models / "net.tflite", ada, keys=list(KEYS))["version"]["version"]
    assert chief.delete(at).status_code == 204
    assert chief.get(at).status_code == 404
    assert [one["version"] for one in ada.get(at).json()["versions"]] == [version]


def test_the_same_content_of_two_people_is_a_version_of_each(shared: Shared, models: Path) -> None:
    people = [shared.person(name, scope="upload") for name in ("ada", "bob")]
    staged = [shared.endpoint.upload("twice", models / "net.tflite", one)["version"]["version"] for one in people]
    assert len(set(staged)) == 2
    for one, version in zip(people, staged, strict=True):
        assert [each["version"] for each in one.get("/dodas/v1/models/twice").json()["versions"]] == [version]


def test_without_rights_nothing_is_taken(shared: Shared, models: Path) -> None:
    nobody, reader = shared.person(None), shared.person("eve")
    for method, path in (("GET", "models"), ("GET", "status"), ("POST", "models/x/versions"), ("DELETE", "models/x")):
        reply = nobody.request(method, f"/dodas/v1/{path}")
        refusal(reply, 401, "unauthenticated")
        assert reply.headers["www-authenticate"].startswith("Bearer")
    body = packed(models / "net.tflite")
    refusal(reader.post("/dodas/v1/models/x/versions", content=body, headers=TAR), 403, "not-allowed")
    assert reader.get("/dodas/v1/status").json()["caller"] == {
        "name": "eve@127.0.0.1",
        "rights": ["predict"],
        "administrator": False,
    }
    assert nobody.get("/").status_code == nobody.get("/openapi.json").status_code == nobody.get("/page/page.js").status_code == 200


# The disk.


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a small disk")
def test_a_full_disk_is_told_and_keeps_what_is_there(models: Path) -> None:
    endpoint = Endpoint(disk="2m")
    try:
        kept = endpoint.deploy("kept", models / "net.tflite")
        endpoint.publish("kept", kept)
        large = Path(endpoint.root / "large.tflite")
        large.write_bytes((models / "net.tflite").read_bytes() + bytes(2 << 20))
        reply = endpoint.client.post("/dodas/v1/models/large/versions", content=packed(large), headers=TAR)
        assert "no space left" in refusal(reply, 507, "store-full")["message"]
        blocking_until(lambda: staged(endpoint), within=SOON, meets=lambda found: not found)
        assert predicted(endpoint, "kept").json()["model_version"] == kept
        assert "version" in endpoint.upload("after", models / "net.tflite", keys=list(KEYS))
    finally:
        endpoint.close()
