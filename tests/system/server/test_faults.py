"""What is killed or broken, and goes on."""

import json
from contextlib import ExitStack, closing

from jupyter_dodas.testing.waiting import blocking_until
from tests.jupyter import HINT, JupyterServer, error
from tests.place import Place


def test_a_new_server_shows_the_same_clusters(place: Place) -> None:
    with closing(JupyterServer(place.variables)) as first, ExitStack() as later:
        made = first.launch("lasting")
        first.kill()
        second = later.enter_context(closing(JupyterServer(place.variables)))
        again = second.cluster("lasting")
        assert again["tag"] == made["tag"]
        assert again["status"]["instances"] == made["status"]["instances"]
        with second.events() as bus:
            assert second.client.patch("clusters/lasting", json={"workers": 2}).status_code == 200
            assert json.loads(bus.recv(timeout=20)) == {"schema_id": HINT, "id": "lasting", "generation": 2}
        second.client.delete("clusters/lasting")
        second.until_gone("lasting")


def test_a_controller_that_is_killed_is_followed_again(place: Place) -> None:
    with closing(JupyterServer(place.variables)) as server:
        server.launch("followed")
        place.controller().kill()
        with server.events() as bus:
            server.client.patch("clusters/followed", json={"workers": 2})
            assert json.loads(bus.recv(timeout=20))["id"] == "followed"
        blocking_until(lambda: server.ready_workers("followed"), within=20, meets=lambda number: number == 2)
        server.client.delete("clusters/followed")
        server.until_gone("followed")


def test_a_configuration_that_is_broken_and_mended(place: Place) -> None:
    file = place.root / "config.toml"
    file.write_text("workers = [")
    with closing(JupyterServer(place.variables)) as server:
        reply = server.client.get("clusters")
        assert (reply.status_code, error(reply)["code"]) == (500, "invalid-setting")
        file.unlink()
        assert server.client.get("clusters").json() == {"clusters": []}
