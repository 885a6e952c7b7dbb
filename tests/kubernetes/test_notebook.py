"""Notebooks of a hub as pods: by themselves, and with a real hub outside the cluster."""

import json
import os
from collections.abc import AsyncGenerator, Iterator
from typing import Any, Final

import httpx
import pytest

from jupyter_dodas import settings
from jupyter_dodas.backends import places
from jupyter_dodas.hub.notebooks import Notebook
from jupyter_dodas.hub.story import Story
from jupyter_dodas.options import validate
from jupyter_dodas.services.notebook.handover import TOKEN
from jupyter_dodas.services.notebook.service import NotebookOptions
from jupyter_dodas.spec import Phase
from jupyter_dodas.testing.waiting import blocking_until, until
from tests.hubs import PROXY, Hub
from tests.namespace import Namespace

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(600)]

# The smallest server that answers for a notebook, in an image that holds none.
SERVER: Final = """
import http.server, json, os, urllib.parse
class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps({"variables": dict(os.environ)}).encode())
where = urllib.parse.urlsplit(os.environ["JUPYTERHUB_SERVICE_URL"])
http.server.ThreadingHTTPServer((where.hostname, where.port), Answer).serve_forever()
"""
COMMAND: Final = ["python", "-c", SERVER]
VARIABLES: Final = {"JUPYTERHUB_SERVICE_PREFIX": "/user/ada/", "JUPYTERHUB_USER": "ada", TOKEN: "a-token-of-the-hub"}


def options() -> NotebookOptions:
    return validate(NotebookOptions, "notebook", {"command": COMMAND, "memory": "256 MiB"})


@pytest.fixture
async def notebook(namespace: Namespace) -> AsyncGenerator[Notebook]:
    found = Notebook(places.backend(settings.load()), "notebook-ada", "ada")
    yield found
    await found.end()
    await until(namespace.left, within=60, meets=lambda left: not left)


async def test_a_pod_gets_the_token_and_nobody_reads_it_in_its_manifest(namespace: Namespace, notebook: Notebook) -> None:
    await notebook.start(options(), VARIABLES, Story().see)
    address = await notebook.address(timeout=10)
    assert address is not None
    async with httpx.AsyncClient() as client:
        answer = await client.get(f"{address}/user/ada/api")
    assert answer.json()["variables"][TOKEN] == "a-token-of-the-hub"
    assert "a-token-of-the-hub" not in namespace.kubectl("get", "pods,configmaps,services,events", "-o", "json")
    before = namespace.kubectl("get", "pods", "-o", "jsonpath={.items[*].metadata.uid}")
    again = await notebook.start(options(), {**VARIABLES, TOKEN: "another"}, Story().see)
    assert again[TOKEN] == "a-token-of-the-hub", "it was not taken over"
    assert namespace.kubectl("get", "pods", "-o", "jsonpath={.items[*].metadata.uid}") == before


async def test_a_pod_that_is_gone_is_not_started_again(namespace: Namespace, notebook: Notebook) -> None:
    await notebook.start(options(), VARIABLES, Story().see)
    namespace.kubectl("delete", "pods", "--all", "--grace-period=1")

    async def phase() -> Phase | None:
        record = await notebook.record()
        return None if record is None else record.status.phase

    await until(phase, within=60, meets=lambda found: found is Phase.FAILED)
    record = await notebook.record()
    assert record is not None
    assert record.status.problem is not None
    assert record.status.problem.message.startswith("server of 'notebook-ada' has ended: ")
    assert namespace.kubectl("get", "pods", "-o", "name") == ""


@pytest.fixture
def hub(namespace: Namespace) -> Iterator[Hub]:
    if not PROXY.exists():
        pytest.skip("the proxy is missing: npm ci in hub_config")
    # What leads this process to the namespace is not for programs that it starts, so the hub is told.
    told = {name: value for name, value in os.environ.items() if name.startswith("DODAS_KUBERNETES_")}
    lines = [
        "import os",
        f"os.environ.update({told!r})",
        "c.DodasSpawner.backend = 'kubernetes'",
        f"c.DodasSpawner.namespace = {namespace.name!r}",
        f"c.Spawner.cmd = {COMMAND!r}",
        "c.DodasSpawner.profiles = [{'name': 'small', 'title': 'Small', 'memory': ['256 MiB']}]",
    ]
    with Hub("\n".join(lines) + "\n") as made:
        yield made


def test_a_hub_outside_starts_a_pod_finds_it_again_and_ends_it(namespace: Namespace, hub: Hub) -> None:
    browser = hub.browser()
    browser.sign_in("alice")
    assert browser.spawn("alice").is_success
    assert browser.variables("alice")["JUPYTERHUB_USER"] == "alice"
    assert list(namespace.left("pods")) == ["pod/notebook-alice-server"]
    hub.kill()
    hub.start()

    def ready() -> Any:
        return browser.api("GET", "/users/alice").json()["servers"].get("", {}).get("ready")

    blocking_until(ready, within=90)
    assert browser.variables("alice")["JUPYTERHUB_USER"] == "alice", "the proxy leads to where the hub before it forwarded"
    assert len(json.loads(namespace.kubectl("get", "pods", "-o", "json"))["items"]) == 1
    assert browser.api("DELETE", "/users/alice/server").is_success
    blocking_until(lambda: namespace.left("pods"), within=60, meets=lambda left: not left)
