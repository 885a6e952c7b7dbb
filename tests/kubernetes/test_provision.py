"""A notebook on a cluster that is made for it: a hub, its service, the Infrastructure Manager, Kubernetes, and Dask in that.

The Infrastructure Manager is real; the machines are of its Dummy cloud, whose Kubernetes is the one of the tests. What is left is
asked of both. Pictures of the way stand in the documentation; `UPDATE_PICTURES=1` takes them anew.
"""

import asyncio
import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, Final

import pytest
from playwright.sync_api import Browser as Chromium
from playwright.sync_api import Page, expect

from jupyter_dodas.provision.clouds import DummyCloud
from jupyter_dodas.testing.waiting import blocking_until
from tests.browser.conftest import browser as chromium  # noqa: F401 - a fixture
from tests.browser.platform import SETTINGS, STARTS_WITHIN, sign_in
from tests.browser.screen import picture, window
from tests.browser.test_hub import run_all, small_picture
from tests.hubpods import Estate
from tests.hubs import PROXY, Browser
from tests.kernels import Kernel
from tests.kubernetes.test_hub import WRITE
from tests.kubernetes.test_notebook import address_of_this_machine
from tests.provision.im import InfrastructureManager
from tests.provision.service import ServiceHub, im

pytestmark = pytest.mark.timeout(900)

IMAGES: Final = os.environ.get("DODAS_TEST_IMAGES", "localhost/jupyter-dodas")
SOON: Final = 60_000
"""Milliseconds."""

CELLS: Final = (
    'import jupyter_dodas as dodas\n\ncluster = dodas.dask(workers=2, memory="512 MiB", name="higgs")\ncluster',
    "with cluster.client() as client:\n    print(sum(client.gather(client.map(lambda x: x**2, range(10)))))",
)

MADE: Final = {"template": "kubernetes", "inputs": {"cores": 4, "memory": "8 GiB"}, "choose": {"workers": [2, 4, 8]}}
PROFILES: Final[Sequence[Mapping[str, Any]]] = [
    {
        "name": "kubernetes",
        "title": "Kubernetes",
        "description": "A cluster of your own, on machines that are made for it.",
        "memory": ["1 GiB"],
        "images": [f"{IMAGES}/notebook:1"],
    },
    {"name": "small", "title": "Small", "description": "On the machine of the hub, for trying things out."},
]


class MakingHub(ServiceHub):
    """A hub on this machine that has clusters made, which pods reach at its proxy."""

    def __init__(self, estate: Estate, manager: InfrastructureManager, folder: Path, *, linger: float = 0, home: str = "") -> None:
        self.estate = estate
        first, *others = PROFILES
        profiles = [{**first, "infrastructure": {**MADE, "linger": linger}}, *others]
        self.host = address_of_this_machine(estate)
        lines = f"""
c.JupyterHub.bind_url = c.JupyterHub.bind_url.replace("127.0.0.1", "0.0.0.0")
c.DodasSpawner.hub_address = "http://{self.host}:" + c.JupyterHub.bind_url.rstrip("/").rpartition(":")[2]
c.DodasSpawner.profiles = {profiles!r}
c.DodasSpawner.namespace = "{estate.prefix}{{username}}"
c.DodasSpawner.controller_image = "{IMAGES}/controller:1"
c.DodasSpawner.home_size = "{home}"
c.JupyterHub.cleanup_servers = False
c.JupyterHub.allow_named_servers = True
c.Spawner.cmd = ["jupyterhub-singleuser"]
"""
        super().__init__(folder, im(manager.url, folder), lines=lines, look_around=2)

    def start(self) -> None:
        """See `ServiceHub.start`."""
        more = {"DODAS_KUBERNETES_RESERVE": "0.05", "DODAS_KUBERNETES_IMAGE": f"{IMAGES}/worker:1"}
        self.__dict__["variables"] = {**self.variables, **more}  # of this one
        super().start()


@pytest.fixture(scope="module")
def estate() -> Iterator[Estate]:
    if not PROXY.exists():
        pytest.skip("the proxy is missing: npm ci in hub_config")
    with closing(Estate()) as made:
        yield made


@pytest.fixture(scope="module")
def manager(estate: Estate, tmp_path_factory: pytest.TempPathFactory) -> Iterator[InfrastructureManager]:
    with InfrastructureManager(tmp_path_factory.mktemp("im"), kubeconfig=Path(estate.admin), seconds=8) as made:
        yield made


@pytest.fixture(scope="module")
def hub(estate: Estate, manager: InfrastructureManager, tmp_path_factory: pytest.TempPathFactory) -> Iterator[MakingHub]:
    with MakingHub(estate, manager, tmp_path_factory.mktemp("hub")) as made:
        yield made


def give_a_cloud(hub: ServiceHub, user: str) -> None:
    """Let somebody have machines of the Dummy cloud."""
    browser = hub.browser()
    browser.sign_in(user)
    made = browser.api("POST", f"/users/{user}/tokens", json={"scopes": ["access:services!service=infrastructures"]}).json()
    cloud = DummyCloud(name="dummy").model_dump()
    reply = browser.client.put(
        f"{hub.service_url}/api/v1/clouds/dummy", json=cloud, headers={"Authorization": f"token {made['token']}"}
    )
    assert reply.is_success, reply.text


def write_notebook(hub: MakingHub, user: str) -> None:
    """Put a notebook into the home of somebody, and how their Lab looks."""
    cells: list[dict[str, Any]] = [
        {"cell_type": "code", "id": f"c{n}", "metadata": {}, "source": s, "outputs": [], "execution_count": None}
        for n, s in enumerate(CELLS)
    ]
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3 (ipykernel)", "language": "python"}}
    files = {"higgs.ipynb": json.dumps({"cells": cells, "metadata": kernel, "nbformat": 4, "nbformat_minor": 5})}
    files |= {f".jupyter/lab/user-settings/{name}.jupyterlab-settings": json.dumps(told) for name, told in SETTINGS.items()}
    browser = hub.browser()
    browser.sign_in(user)
    with Kernel(browser, user) as made:
        made.run(WRITE.format(files=files))


def kubeconfigs(hub: MakingHub) -> Sequence[Path]:
    return list((hub.folder / "state" / "users" / ".infrastructures").rglob("*.kubeconfig"))


def phase(page: Page, name: str) -> None:
    """Wait until a phase is under way."""
    expect(page.locator("#steps [aria-current=step]")).to_contain_text(name, timeout=SOON)


def test_from_the_choice_of_a_cluster_to_dask_in_it_and_back(
    hub: MakingHub,
    estate: Estate,
    manager: InfrastructureManager,
    chromium: Chromium,  # noqa: F811
) -> None:
    give_a_cloud(hub, "alice")
    page = window(chromium).new_page()
    sign_in(page, f"{hub.url}/")
    page.get_by_text("Kubernetes", exact=True).click()
    expect(page.get_by_role("combobox", name="Workers")).to_be_visible(timeout=SOON)
    page.get_by_text("What will be created").click()
    expect(page.get_by_text("2 workers", exact=True)).to_be_visible()
    expect(page.get_by_text(re.compile("Template Kubernetes, version [0-9a-f]{8}"))).to_be_visible()
    small_picture(page, "provision/start", 640)

    page.get_by_role("button", name="Start").click()
    phase(page, "Kubernetes")
    assert len(manager.listed()) == 1
    for name in ("Queued", "Machines", "Kubernetes", "Controller", "Lab"):
        expect(page.locator("#steps")).to_contain_text(name)
    expect(page.locator("#steps [aria-current=step]")).to_contain_text("3 s", timeout=SOON)
    small_picture(page, "provision/starting", 480)
    page.wait_for_url(re.compile(r"/user/alice/lab"), timeout=3 * STARTS_WITHIN)
    expect(page.get_by_role("menuitem", name="File", exact=True)).to_be_visible(timeout=STARTS_WITHIN)
    (file,) = kubeconfigs(hub)
    assert file.stat().st_mode & 0o777 == 0o600
    assert file.parents[1].stat().st_mode & 0o777 == 0o700

    write_notebook(hub, "alice")
    run_all(page, f"{hub.url}/")
    panel = page.locator(".jp-NotebookPanel")
    expect(panel.get_by_text("285", exact=True)).to_be_visible(timeout=STARTS_WITHIN)
    expect(panel.get_by_role("article", name="higgs").get_by_role("status")).to_contain_text("Ready")
    running = {pod.partition("-")[2] for pod in estate.left("alice", "pods")}
    assert running == {"scheduler", "worker-1", "worker-2", "alice-server"}
    page.mouse.move(0, 0)
    picture(page, "provision/started")

    browser = hub.browser()
    browser.sign_in("alice")
    with Kernel(browser, "alice") as kernel:
        kernel.run('import jupyter_dodas as dodas\ndodas.connect("higgs").stop()')
    page.goto(f"{hub.url}/hub/home")
    page.get_by_role("button", name="Stop").click()
    expect(page.get_by_role("button", name="Stop")).to_have_count(0, timeout=SOON)
    blocking_until(lambda: manager.listed() | manager.known(), within=120, meets=lambda left: not left)
    blocking_until(lambda: estate.left("alice"), within=60, meets=lambda left: not left)
    assert kubeconfigs(hub) == []
    said = hub.program.said()
    assert "Traceback" not in said
    assert "client-key-data" not in said
    assert not re.search(r"eyJ[\w-]{20,}|LS0tLS1CRUdJTi[\w+/]{20,}", said), "no secret stands in the log"


def test_a_hub_that_was_killed_finds_its_notebook_in_the_cluster_and_lets_go_of_that(
    hub: MakingHub, estate: Estate, manager: InfrastructureManager
) -> None:
    give_a_cloud(hub, "bob")
    browser = hub.browser()
    browser.sign_in("bob")
    for name in ("", "second"):
        path = f"/users/bob/servers/{name}" if name else "/users/bob/server"
        assert browser.api("POST", path, json={"profile": "kubernetes"}).is_success
    blocking_until(lambda: ready(browser), within=240, meets=lambda found: found == {"", "second"})
    assert len(manager.known()) == 1, "both are on one"
    selector = ("-l", "app.kubernetes.io/managed-by=jupyter-dodas", "-o", "jsonpath={.items[*].metadata.uid}")
    before = estate.kubectl("-n", estate.of("bob"), "get", "pods", *selector)
    hub.kill()
    hub.start()
    blocking_until(lambda: ready(browser), within=120, meets=lambda found: found == {"", "second"})
    blocking_until(lambda: browser.get("/user/bob/api").is_success, within=120)
    assert estate.kubectl("-n", estate.of("bob"), "get", "pods", *selector) == before
    token = next(one.read_text() for one in (hub.folder / "state" / "infrastructures").glob("*.token"))
    assert token not in hub.program.said()
    assert browser.api("DELETE", "/users/bob/server").is_success
    blocking_until(lambda: ready(browser), within=120, meets=lambda found: found == {"second"})
    assert len(manager.known()) == 1, "the other one holds it"
    assert browser.api("DELETE", "/users/bob/servers/second").is_success
    blocking_until(manager.known, within=120, meets=lambda left: not left)
    blocking_until(lambda: estate.left("bob"), within=60, meets=lambda left: not left)


def ready(browser: Browser, user: str = "bob") -> set[str]:
    """The servers of somebody that are."""
    servers = browser.api("GET", f"/users/{user}").json()["servers"]
    return {name for name, server in servers.items() if server["ready"]}


def test_a_home_on_the_cluster_outlives_the_server(estate: Estate, manager: InfrastructureManager, tmp_path: Path) -> None:
    (tmp_path / "homes").mkdir()
    with (
        estate.homes(tmp_path / "homes", "carol"),
        MakingHub(estate, manager, tmp_path, linger=3600, home="1Gi") as hub,
    ):
        give_a_cloud(hub, "carol")
        browser = hub.browser()
        browser.sign_in("carol")
        for code, said in (("open('mass', 'w').write('125')", ""), ("print(open('mass').read())", "125\n")):
            assert browser.api("POST", "/users/carol/server", json={"profile": "kubernetes"}).is_success
            blocking_until(lambda: ready(browser, "carol"), within=240, meets=lambda found: found == {""})
            with Kernel(browser, "carol") as kernel:
                assert kernel.run(code) == said
            assert browser.api("DELETE", "/users/carol/server").is_success
            blocking_until(lambda: estate.left("carol"), within=120, meets=lambda left: not left)
            assert len(manager.known()) == 1, "it stays for the next one"
        asyncio.run(delete_all(hub, "carol"))
        blocking_until(manager.known, within=120, meets=lambda left: not left)


async def delete_all(hub: MakingHub, user: str) -> None:
    async with hub.client(user) as service:
        for one in await service.list():
            await service.delete(one.name)
