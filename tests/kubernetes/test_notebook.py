"""Notebooks of a hub as pods: by themselves, and with a real hub outside the cluster."""

import os
import socket
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import closing
from typing import Final
from urllib.parse import urlsplit

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
from tests.hubpods import Estate
from tests.hubs import PROXY, Browser, Hub, free_ports
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


# A notebook that starts when the test lets it: as soon as it can connect.
GATE: Final = """
import socket, time
while True:
    try:
        socket.create_connection(({host!r}, {port}), 5).close()
        break
    except OSError:
        time.sleep(0.1)
"""


class OutsideHub(Hub):
    """A hub on this machine, with the account that deploy/hub/roles.yaml is for."""

    configuration = "kubernetes_config.py"

    def __init__(self, estate: Estate) -> None:
        account, self.host = str(estate.account()), address_of_this_machine(estate)
        (self.gate,) = free_ports(1)
        images = os.environ.get("DODAS_TEST_IMAGES", "localhost/jupyter-dodas")
        type(self).variables = {
            "KUBECONFIG": account,
            "DODAS_HUB_ADDRESS": self.host,
            "DODAS_HUB_NAMESPACE": f"{estate.prefix}{{username}}",
            "DODAS_HUB_IMAGE": f"{images}/worker:1",
            "DODAS_HUB_CONTROLLER_IMAGE": f"{images}/controller:1",
            "DODAS_KUBERNETES_IMAGE": f"{images}/worker:1",
            "DODAS_KUBERNETES_RESERVE": "0.05",
        }
        small = {"name": "small", "title": "Small", "memory": ["256 MiB"]}
        command = ["python", "-c", GATE.format(host=self.host, port=self.gate) + SERVER]
        super().__init__(f"c.Spawner.cmd = {command!r}\nc.DodasSpawner.profiles = [{small!r}]\n")

    def open_gate(self) -> socket.socket:
        """Let notebooks start."""
        return socket.create_server((self.host, self.gate))


def address_of_this_machine(estate: Estate) -> str:
    """The one that the cluster knows it by."""
    server = estate.kubectl("config", "view", "--minify", "-o", "jsonpath={.clusters[0].cluster.server}")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect((urlsplit(server).hostname or "", 443))  # nothing is sent
        return str(probe.getsockname()[0])


@pytest.fixture(scope="module")
def estate() -> Iterator[Estate]:
    if not PROXY.exists():
        pytest.skip("the proxy is missing: npm ci in hub_config")
    with closing(Estate()) as made:
        made.install_rights()
        yield made


@pytest.fixture(scope="module")
def hub(estate: Estate) -> Iterator[OutsideHub]:
    with OutsideHub(estate) as made:
        yield made


def pods(estate: Estate, user: str) -> Sequence[str]:
    return estate.left(user, "pods")


def answers(browser: Browser, user: str) -> bool:
    """Whether a notebook does, through the proxy. A hub that has just come back first tells the proxy where it is now."""
    return browser.get(f"/user/{user}/variables").is_success


def assert_one_notebook_with_a_valid_token(estate: Estate, hub: Hub, browser: Browser, user: str) -> None:
    assert list(pods(estate, user)) == [f"pod/notebook-{user}-server"]
    token = browser.variables(user)["JUPYTERHUB_API_TOKEN"]
    said = httpx.get(f"{hub.url}/hub/api/user", headers={"Authorization": f"token {token}"})
    assert said.is_success, said.text
    assert said.json()["name"] == user
    found = browser.api("GET", f"/users/{user}/tokens")
    assert found.is_success, found.text
    assert len([one for one in found.json()["api_tokens"] if one["note"].startswith("Server at")]) == 1


def test_a_hub_outside_starts_a_pod_finds_it_again_and_ends_it(estate: Estate, hub: OutsideHub) -> None:
    browser = hub.browser()
    browser.sign_in("alice")
    with hub.open_gate():
        assert browser.spawn("alice").is_success
    assert browser.variables("alice")["JUPYTERHUB_USER"] == "alice"
    assert "BEARER_TOKEN_FILE" in browser.variables("alice"), "the access token came after the pod"
    before = uids(estate, "alice")
    hub.kill()
    hub.start()
    blocking_until(lambda: answers(browser, "alice"), within=90)
    assert_one_notebook_with_a_valid_token(estate, hub, browser, "alice")
    assert uids(estate, "alice") == before, "the proxy leads to where the hub before it forwarded"
    assert browser.api("DELETE", "/users/alice/server").is_success
    blocking_until(lambda: estate.left("alice"), within=60, meets=lambda left: not left)


def uids(estate: Estate, user: str) -> str:
    selector = ("-l", "app.kubernetes.io/managed-by=jupyter-dodas")
    return estate.kubectl("-n", estate.of(user), "get", "pods", *selector, "-o", "jsonpath={.items[*].metadata.uid}")


def test_a_hub_killed_while_the_pod_starts_has_one_notebook_after_the_next_start(estate: Estate, hub: OutsideHub) -> None:
    browser = hub.browser()
    browser.sign_in("bob")
    browser.api("POST", "/users/bob/server")
    blocking_until(lambda: pods(estate, "bob"), within=60)
    before = uids(estate, "bob")
    hub.kill()
    hub.start()

    def press_start() -> bool:
        if answers(browser, "bob"):
            return True
        # Only where the hub shows nothing: one that is asked to start what it is just looking at may leave its route out.
        if not browser.api("GET", "/users/bob").json()["servers"]:
            browser.api("POST", "/users/bob/server")
        return False

    assert not answers(browser, "bob")
    with hub.open_gate():
        blocking_until(press_start, within=90)
    assert uids(estate, "bob") == before, "it is the one that the hub before it was starting"
    assert_one_notebook_with_a_valid_token(estate, hub, browser, "bob")
    assert browser.api("DELETE", "/users/bob/server").is_success
    blocking_until(lambda: estate.left("bob"), within=60, meets=lambda left: not left)
