"""What the extension does when it is asked: all verbs, logs and tags of changes."""

import asyncio
import json
import threading
from pathlib import Path

import httpx
import pytest

from jupyter_dodas import aio
from jupyter_dodas.testing.waiting import blocking_until
from tests.jupyter import JupyterServer, error
from tests.place import Place


def test_the_life_of_a_cluster(server: JupyterServer) -> None:
    reply = server.client.post("clusters", json={"kind": "toy", "options": {"workers": 1}})
    assert reply.status_code == 202
    made = reply.json()
    name = made["name"]
    assert name == "toy-1"
    assert reply.headers["Location"] == f"/dodas/api/v1/clusters/{name}"
    assert reply.headers["ETag"] == f'"{made["tag"]}"' == f'"{made["spec"]["uid"]}.1"'
    assert reply.headers["Cache-Control"] == "no-store"

    ready = server.until_phase(name, "ready")
    assert ready["status"]["targets"] == {"worker": 1}
    assert [cluster["name"] for cluster in server.client.get("clusters").json()["clusters"]] == [name]
    assert server.client.get("quota").json()["used"]["workers"] == 1

    changed = server.client.patch(f"clusters/{name}", json={"workers": 2}, headers={"If-Match": reply.headers["ETag"]})
    assert changed.status_code == 200
    assert changed.headers["ETag"] == f'"{made["spec"]["uid"]}.2"'
    blocking_until(lambda: server.ready_workers(name), within=20, meets=lambda number: number == 2)

    assert server.client.patch(f"clusters/{name}", json={"adapt": [0, 3]}).json()["spec"]["options"]["adapt"]["maximum"] == 3
    assert server.client.patch(f"clusters/{name}", json={"restart": True}).json()["spec"]["restarts"] == 1

    stopped = server.client.delete(f"clusters/{name}")
    assert (stopped.status_code, stopped.json()["spec"]["intent"]) == (202, "stop")
    server.until_gone(name)


def test_kinds_have_schemas(server: JupyterServer) -> None:
    kinds = {kind["kind"]: kind for kind in server.client.get("kinds").json()["kinds"]}
    assert kinds["toy"]["title"] == "Toy"
    assert "workers" in kinds["toy"]["options"]["properties"]
    assert kinds["dask"]["summary"]


def test_a_group_and_keeping(server: JupyterServer) -> None:
    server.launch("groups", groups={"big": {"workers": 1, "cores": 1}})
    reply = server.client.patch("clusters/groups", json={"groups": {"big": {"workers": 0}}, "keep_until": 0})
    assert reply.json()["spec"]["options"]["groups"]["big"]["workers"] == 0
    assert reply.json()["spec"]["keep_until"] == 0


def test_a_failed_launch_is_told_and_dismissed(server: JupyterServer) -> None:
    server.client.post("clusters", json={"kind": "toy", "name": "broken", "options": {"fail": "hub"}})
    found = server.until_phase("broken", "failed", within=60)
    assert found["status"]["problem"]["remedy"]
    reply = server.client.patch("clusters/broken", json={"workers": 3})
    assert reply.status_code == 409
    assert error(reply)["message"] == found["status"]["problem"]["message"]
    assert "asked to fail" in server.client.get("clusters/broken/logs").json()["logs"]["hub"]
    server.client.delete("clusters/broken")
    server.until_gone("broken")


def test_a_record_that_cannot_be_read(server: JupyterServer, shared_place: Place) -> None:
    folder = shared_place.state / "clusters" / "damaged"
    folder.mkdir(mode=0o700)
    (folder / "spec.json").write_text("{")
    (folder / "status.json").write_text("{}")
    (listed,) = server.client.get("clusters").json()["clusters"]
    assert listed["status"]["problem"]["code"] == "damaged-record"
    assert error(server.client.get("clusters/damaged"))["code"] == "damaged-record"
    assert server.client.delete("clusters/damaged").status_code == 204
    assert server.client.get("clusters/damaged").status_code == 404


def test_clusters_from_elsewhere_are_in_the_list(
    server: JupyterServer, shared_place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in shared_place.variables.items():
        monkeypatch.setenv(name, value)
    cluster = asyncio.run(aio.launch("toy", name="python", workers=1))
    assert server.cluster("python")["status"]["phase"] == "ready"
    server.client.delete("clusters/python")
    server.until_gone("python")
    assert asyncio.run(cluster.phase()) == "stopped"


# -- logs -------------------------------------------------------------------------------------------------------------


def test_logs_that_go_on(server: JupyterServer, shared_place: Place) -> None:
    server.launch("loud")
    log = shared_place.state / "clusters" / "loud" / "logs" / "hub.log"
    lines: list[dict[str, str]] = []
    with server.client.stream("GET", "clusters/loud/logs", params={"follow": True, "instance": "hub"}) as reply:
        assert reply.headers["Content-Type"] == "application/x-ndjson"

        def read() -> None:
            lines.extend(json.loads(line) for line in reply.iter_lines() if line)

        reader = threading.Thread(target=read)
        reader.start()
        with log.open("a") as file:
            file.write("one\ntwo\n")
        blocking_until(lambda: lines[-2:], within=10, meets=lambda last: [line["line"] for line in last] == ["one", "two"])
        server.client.delete("clusters/loud")
        reader.join(30)
        assert not reader.is_alive(), "it goes on after the cluster is gone"
    assert {line["instance"] for line in lines} == {"hub"}


def test_a_reader_who_leaves_is_not_served_on(server: JupyterServer) -> None:
    server.launch("left")
    wires = connections(server)
    with httpx.stream("GET", f"{server.api}/clusters/left/logs", params={"follow": True}, headers=server.headers) as reply:
        assert reply.status_code == 200
        assert connections(server) == wires + 1
    blocking_until(lambda: connections(server), within=10, meets=lambda number: number == wires)
    assert "Traceback" not in server.log.read_text()


def connections(server: JupyterServer) -> int:
    """How many clients a server has."""
    lines = Path(f"/proc/{server.process.pid}/net/tcp").read_text().splitlines()[1:]
    mine, established = f":{server.port:04X}", "01"
    return sum(line.split()[1].endswith(mine) and line.split()[3] == established for line in lines)


@pytest.mark.parametrize(
    ("query", "words"), [("instance=hup", "hub"), ("lines=0", "lines"), ("lines=x", "lines"), ("follow=perhaps", "follow")]
)
def test_logs_that_cannot_be(server: JupyterServer, query: str, words: str) -> None:
    server.launch("quiet")
    reply = server.client.get(f"clusters/quiet/logs?{query}")
    assert reply.status_code == 400
    assert words in json.dumps(error(reply))


# -- tags -------------------------------------------------------------------------------------------------------------


def test_a_stale_tag_changes_nothing(server: JupyterServer) -> None:
    made = server.launch("tagged")
    old = f'"{made["tag"]}"'
    assert server.client.patch("clusters/tagged", json={"workers": 2}, headers={"If-Match": old}).status_code == 200
    for reply in (
        server.client.patch("clusters/tagged", json={"workers": 3}, headers={"If-Match": old}),
        server.client.delete("clusters/tagged", headers={"If-Match": old}),
        server.client.patch("clusters/tagged", json={"workers": 3}, headers={"If-Match": '"another.2"'}),
        server.client.patch("clusters/tagged", json={"workers": 3}, headers={"If-Match": f'W/"{made["spec"]["uid"]}.2"'}),
        server.client.patch("clusters/tagged", json={"workers": 3}, headers={"If-Match": "nonsense"}),
    ):
        assert reply.status_code == 412
        assert error(reply)["code"] == "stale-generation"
        assert error(reply)["retryable"]
    assert server.cluster("tagged")["spec"]["options"]["workers"] == 2


def test_without_a_tag_the_last_one_counts(server: JupyterServer) -> None:
    server.launch("untagged")
    for headers in ({}, {"If-Match": "*"}):
        assert server.client.patch("clusters/untagged", json={"keep_until": 1}, headers=headers).status_code == 200


def test_a_tag_never_hides_a_new_status(server: JupyterServer) -> None:
    server.launch("fresh")
    tag = server.client.get("clusters/fresh").headers["ETag"]
    assert server.client.get("clusters/fresh", headers={"If-None-Match": tag}).status_code == 200
