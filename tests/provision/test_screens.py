"""The screens of infrastructures: the page in the hub, and what stands below the clusters at the side of Lab."""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import httpx
import pytest
from playwright.sync_api import Browser, BrowserContext, Locator, Page, expect

from tests.browser.conftest import browser
from tests.browser.screen import picture
from tests.hubs import Browser as Session
from tests.jupyter import JupyterServer
from tests.lab.cards import AXE, barriers
from tests.lab.conftest import BUILT, open_lab
from tests.place import ROOT, Place
from tests.provision.im import InfrastructureManager
from tests.provision.service import ServiceHub, im

__all__ = ["browser", "open_lab", "server"]

pytestmark = pytest.mark.timeout(600)

SOON: Final = 120_000
"""Milliseconds."""

KUBECONFIG: Final = """apiVersion: v1
kind: Config
clusters:
- name: made
  cluster: {server: "https://192.0.2.1:6443"}
users:
- name: made
  user: {token: of-a-test}
contexts:
- name: made
  context: {cluster: made, user: made}
current-context: made
"""

Opener = Callable[..., Page]


@pytest.fixture(scope="module")
def manager(tmp_path_factory: pytest.TempPathFactory) -> Iterator[InfrastructureManager]:
    if not (ROOT / "jupyter_dodas" / "hub" / "static" / "infrastructures.js").is_file():
        pytest.skip("the screens are not built: script/test lab")
    folder = tmp_path_factory.mktemp("im")
    (folder / "kubeconfig").write_text(KUBECONFIG)
    with InfrastructureManager(folder / "im", kubeconfig=folder / "kubeconfig", seconds=4) as made:
        made.control(quota={"cores": 32, "ram": 64, "instances": 12, "floating_ips": 8, "security_groups": 20})
        yield made


@pytest.fixture(scope="module")
def hub(manager: InfrastructureManager, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServiceHub]:
    folder = tmp_path_factory.mktemp("service")
    with ServiceHub(folder, im(manager.url, folder)) as made:
        yield made


@pytest.fixture
def opened(browser: Browser, hub: ServiceHub) -> Iterator[Opener]:
    """Open the page as somebody who has signed in to the hub."""
    windows: list[BrowserContext] = []

    def opened(user: str, **looks: Any) -> Page:
        session = hub.browser()
        session.sign_in(user)
        windows.append(browser.new_context(**{"viewport": {"width": 1100, "height": 860}, "device_scale_factor": 1.5, **looks}))
        cookies = session.client.cookies.jar
        windows[-1].add_cookies([{"name": one.name, "value": one.value or "", "url": hub.url + one.path} for one in cookies])
        page = windows[-1].new_page()
        page.set_default_timeout(SOON)
        page.goto(f"{hub.service_url}/")
        return page

    yield opened
    for window in windows:
        window.close()


def card(page: Page, name: str) -> Locator:
    return page.get_by_role("article", name=name, exact=True)


def hindrances(page: Page) -> list[str]:
    """What axe finds on the page of the hub, which lets no script in but the browser's own."""
    found: list[str] = page.evaluate(
        f"async () => {{ {AXE.read_text()}; return (await axe.run()).violations.map(v => v.id + v.nodes.map(n => n.html)) }}"
    )
    return found


def add_dummy(page: Page) -> None:
    """Give credentials for the cloud of the tests, by the keyboard alone."""
    page.get_by_role("button", name="Add a cloud").press("Enter")
    expect(page.get_by_role("combobox", name="Kind")).to_be_focused()
    page.get_by_role("combobox", name="Kind").select_option("dummy")
    page.get_by_label("Name").fill("laboratory")
    page.get_by_label("Name").press("Enter")
    expect(page.get_by_role("list", name="Credentials")).to_contain_text("laboratory", timeout=SOON)
    expect(page.get_by_role("button", name="Add a cloud")).to_be_focused()


@contextmanager
def configuring(manager: InfrastructureManager) -> Iterator[None]:
    """Let nothing become ready meanwhile, so that there is time to look at it."""
    manager.control(hang=["dodas-"])
    try:
        yield
    finally:
        manager.control(hang=[])


def delete(page: Page, name: str) -> None:
    """Delete one by clicks, and wait until it is gone."""
    card(page, name).get_by_role("button", name="Delete").click()
    card(page, name).get_by_role("group", name=re.compile("Delete it")).get_by_role("button", name="Delete").click()
    expect(card(page, name)).to_have_count(0, timeout=SOON)


def test_from_the_form_until_it_is_gone(opened: Opener, manager: InfrastructureManager, tmp_path: Path) -> None:
    page = opened("alice")
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    expect(page.get_by_text("No infrastructure yet.")).to_be_visible(timeout=SOON)
    add_dummy(page)

    page.get_by_role("button", name="New infrastructure").click()
    form = page.get_by_role("form", name="New infrastructure")
    expect(form).to_contain_text("3 machines, 6 cores, 12 GiB", timeout=SOON)
    form.get_by_role("textbox", name="Name").fill("higgs")
    form.get_by_role("spinbutton", name="Workers").fill("1")
    form.get_by_label("Memory", exact=True).fill("2 GiB")
    expect(form).to_contain_text("2 machines, 4 cores, 6 GiB", timeout=SOON)
    assert hindrances(page) == []
    picture(page, "provision/create")
    with configuring(manager):
        form.get_by_role("button", name="Create").click()
        expect(card(page, "higgs").locator("[aria-current=step]")).to_contain_text("Kubernetes", timeout=SOON)
        picture(page, "provision/phases")
    expect(card(page, "higgs").get_by_role("status").first).to_contain_text("Ready", timeout=SOON)
    expect(card(page, "higgs")).to_contain_text("2 machines")
    assert len(manager.listed()) == 1

    workers = card(page, "higgs").get_by_role("spinbutton", name="Workers")
    workers.fill("2")
    workers.press("Enter")
    expect(card(page, "higgs")).to_contain_text("3 machines", timeout=SOON)
    expect(card(page, "higgs").get_by_role("button", name="Kubeconfig")).to_be_visible(timeout=SOON)
    with page.expect_download() as kept:
        card(page, "higgs").get_by_role("button", name="Kubeconfig").click()
    kept.value.save_as(tmp_path / "kubeconfig")
    assert "https://192.0.2.1:6443" in (tmp_path / "kubeconfig").read_text()

    card(page, "higgs").get_by_text("Machines", exact=True).click()
    expect(page.get_by_role("list", name="Machines of higgs").get_by_role("listitem")).to_have_count(3)
    card(page, "higgs").get_by_text("Log", exact=True).click()
    expect(card(page, "higgs").locator("pre")).to_contain_text("Contextualization", timeout=SOON)
    assert hindrances(page) == []
    picture(page, "provision/ready")

    delete(page, "higgs")
    expect(page.get_by_text("No infrastructure yet.")).to_be_visible(timeout=SOON)
    assert manager.listed() == set()
    assert [line for line in said if "Content Security Policy" in line or "Error" in line] == []


def test_a_failure_says_why_and_what_to_do(opened: Opener, manager: InfrastructureManager) -> None:
    page = opened("bob", color_scheme="dark", permissions=["clipboard-read", "clipboard-write"])
    add_dummy(page)
    page.get_by_role("button", name="New infrastructure").click()
    form = page.get_by_role("form", name="New infrastructure")
    form.get_by_role("combobox", name="Template").select_option("single-node")
    form.get_by_role("textbox", name="Name").fill("skim")
    manager.control(fail=["dodas-"])
    try:
        form.get_by_role("button", name="Create").click()
        expect(card(page, "skim").get_by_role("status").first).to_contain_text("Failed", timeout=SOON)
    finally:
        manager.control(fail=[])
    note = card(page, "skim").get_by_role("alert")
    expect(note.locator("p")).to_have_count(3)
    sentence = note.locator("p").first.inner_text()
    assert hindrances(page) == []
    picture(page, "provision/failed-dark")
    card(page, "skim").get_by_role("button", name="Copy report").click()
    report = page.evaluate("navigator.clipboard.readText()")
    assert sentence in report
    assert "skim (single-node, im, laboratory): failed" in report
    delete(page, "skim")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_small_window_shows_all_of_it(opened: Opener, scheme: str) -> None:
    page = opened("carol", color_scheme=scheme, viewport={"width": 320, "height": 640})
    for button in ("Add a cloud", "New infrastructure"):
        page.get_by_role("button", name=button).click()
        expect(page.get_by_role("form", name=button)).to_be_visible(timeout=SOON)
        assert page.evaluate("document.documentElement.scrollWidth") <= 320, "nothing leads to the side"
        assert hindrances(page) == []


@pytest.mark.parametrize(
    ("signed", "word", "method", "status"),
    [
        (False, True, "GET", 401),
        (True, False, "GET", 403),
        (True, False, "POST", 403),
        (True, False, "DELETE", 403),
        (True, True, "GET", 200),
    ],
)
def test_only_the_page_itself_may_ask_by_a_cookie(hub: ServiceHub, signed: bool, word: bool, method: str, status: int) -> None:
    session: Session = hub.browser()
    session.sign_in("alice")
    shown = session.follow(session.get("/services/infrastructures/")).text
    found = re.search(r'data-xsrf="([^"]+)"', shown)
    assert found
    answer = httpx.request(
        method,
        f"{hub.service_url}/page/api/v1/infrastructures{'/higgs' if method == 'DELETE' else ''}",
        headers={"X-XSRFToken": found[1]} if word else {},
        cookies=session.client.cookies if signed else None,
        json={"name": "higgs"} if method == "POST" else None,
        timeout=60,
    )
    assert answer.status_code == status
    assert answer.headers["Cache-Control"] == "no-store"


@pytest.fixture
def server(hub: ServiceHub, place: Place, tmp_path: Path) -> Iterator[JupyterServer]:
    """Jupyter Server as the hub would start it, with Lab."""
    (tmp_path / "labextensions").mkdir()
    (tmp_path / "labextensions" / "jupyter-dodas").symlink_to(BUILT)
    known = {"JUPYTERHUB_API_TOKEN": hub.token("alice"), "DODAS_INFRASTRUCTURES": hub.service_url, "JUPYTER_PATH": str(tmp_path)}
    extensions = {"jupyter_server_proxy": True, "jupyterlab": True, "jupyter_dodas": True}
    found = JupyterServer(
        {**place.variables, **known},
        {
            "ServerApp": {"jpserver_extensions": extensions},
            "LabApp": {"user_settings_dir": str(tmp_path / "settings"), "workspaces_dir": str(tmp_path / "workspaces")},
        },
    )
    yield found
    found.close()


def test_at_the_side_of_lab(open_lab: Opener, server: JupyterServer, opened: Opener, manager: InfrastructureManager) -> None:
    add_dummy(opened("alice")) if not server.client.get("clouds").json()["clouds"] else None
    page = open_lab()
    section = page.get_by_role("region", name="Infrastructure")
    expect(section).to_contain_text("No infrastructure yet.", timeout=SOON)
    section.get_by_role("button", name="New infrastructure").press("Enter")
    form = page.get_by_role("form", name="New infrastructure")
    expect(form).to_contain_text("3 machines", timeout=SOON)
    form.get_by_role("textbox", name="Name").fill("top")
    assert barriers(page, ".dodas-Tab") == []
    picture(page, "provision/lab-create")
    with configuring(manager):
        form.get_by_role("button", name="Create").click()
        expect(form).to_have_count(0, timeout=SOON)
        expect(card(page, "top").locator("[aria-current=step]")).to_contain_text("Kubernetes", timeout=SOON)
        picture(page, "provision/lab-phases")
    expect(card(page, "top").get_by_role("status").first).to_contain_text("Ready", timeout=SOON)
    card(page, "top").get_by_text("Machines", exact=True).click()
    expect(page.get_by_role("list", name="Machines of top").get_by_role("listitem")).to_have_count(3)
    assert barriers(page, ".dodas-Panel") == []
    assert "https://192.0.2.1:6443" in server.client.get("infrastructures/top/kubeconfig").text
    dark = open_lab("JupyterLab Dark")
    expect(card(dark, "top")).to_be_visible(timeout=SOON)
    assert barriers(dark, ".dodas-Panel") == []
    picture(dark, "provision/lab-dark")
    delete(page, "top")
    assert server.client.get("infrastructures/top").json()["error"]["code"] == "infrastructure-not-found"
    assert server.client.get("infrastructures").json() == {"available": True, "infrastructures": []}
