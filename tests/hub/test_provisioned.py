"""Notebooks on infrastructures that do not come up: told, cancelled, killed below. The hub, its service and IM are real.

No Kubernetes is needed: the machines are of the Dummy cloud, and what they say leads nowhere. tests/kubernetes has the whole way.
"""

import base64
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from jupyter_dodas.provision.clouds import DummyCloud
from jupyter_dodas.testing.waiting import blocking_until
from tests.hubs import Browser, free_ports
from tests.provision.im import InfrastructureManager
from tests.provision.service import ServiceHub, im

pytestmark = pytest.mark.timeout(600)

MADE: Final = {"template": "kubernetes", "choose": {"workers": [1, 3], "cores": [2, 4]}, "linger": 0}
LINES: Final = f"""
c.JupyterHub.allow_named_servers = True
c.DodasSpawner.profiles = [
    {{"name": "small", "title": "Small"}},
    {{"name": "made", "title": "Made", "infrastructure": {MADE!r}}},
]
"""
CHOSEN: Final = {"profile": "made", "input_workers": 1}


def nowhere(file: Path) -> Path:
    """Write a kubeconfig of a cluster that does not answer."""
    (port,) = free_ports(1)
    data = base64.b64encode(b"of nobody").decode()
    found = {
        "clusters": [{"name": "a", "cluster": {"server": f"https://127.0.0.1:{port}"}}],
        "users": [{"name": "a", "user": {"token": data}}],
        "contexts": [{"name": "a", "context": {"cluster": "a", "user": "a"}}],
        "current-context": "a",
    }
    file.write_text(json.dumps(found))
    return file


@pytest.fixture(scope="module")
def manager(tmp_path_factory: pytest.TempPathFactory) -> Iterator[InfrastructureManager]:
    folder = tmp_path_factory.mktemp("im")
    with InfrastructureManager(folder / "im", kubeconfig=nowhere(folder / "kubeconfig")) as made:
        yield made


@pytest.fixture(scope="module")
def hub(manager: InfrastructureManager, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServiceHub]:
    folder = tmp_path_factory.mktemp("hub")
    with ServiceHub(folder, im(manager.url, folder), lines=LINES, look_around=2) as made:
        yield made


@pytest.fixture
def alice(hub: ServiceHub, manager: InfrastructureManager) -> Iterator[Browser]:
    """Somebody who is signed in, may have machines, and has none; afterwards nobody has any."""
    browser = hub.browser()
    browser.sign_in("alice")
    give_a_cloud(hub, browser, "alice")
    yield browser
    manager.control(fail=[], hang=[])
    cancel(hub, browser)
    blocking_until(manager.known, within=120, meets=lambda left: not left)
    assert browser.get("/hub/home").is_success


def give_a_cloud(hub: ServiceHub, browser: Browser, user: str) -> None:
    """Let somebody have machines of the Dummy cloud."""
    made = browser.api("POST", f"/users/{user}/tokens", json={"scopes": ["access:services!service=infrastructures"]}).json()
    headers = {"Authorization": f"token {made['token']}"}
    url = f"{hub.service_url}/api/v1/clouds/dummy"
    reply = browser.client.put(url, json=DummyCloud(name="dummy").model_dump(), headers=headers)
    assert reply.is_success, reply.text


def start(browser: Browser, **chosen: Any) -> None:
    reply = browser.api("POST", "/users/alice/server", json={**CHOSEN, **chosen})
    assert reply.is_success, reply.text


def cancel(hub: ServiceHub, browser: Browser) -> None:
    """Press Cancel, or what there is."""
    token = next(one.value for one in browser.client.cookies.jar if one.name == "_xsrf" and one.path == "/hub/")
    reply = browser.client.post(f"{hub.url}/hub/dodas/stop/alice/", data={"_xsrf": token or ""})
    assert reply.status_code in (303, 404), reply.text


def steps(browser: Browser) -> dict[str, str]:
    """The phases that the page names, each with how far it is."""
    page = browser.get("/hub/spawn-pending/alice").text
    found = re.findall(r"<li(?: class=\"(\w+)\")?[^>]*><span[^>]*>[^<]*</span><span>(\w+)", page)
    return {name: how for how, name in found}


def at(browser: Browser, phase: str) -> None:
    blocking_until(lambda: steps(browser), within=90, meets=lambda found: found.get(phase) == "now")


def failed(browser: Browser) -> str:
    """Wait until the start has failed, and return the page that says so."""

    def told() -> str:
        text = browser.get("/hub/spawn-pending/alice").text
        return text if "did not start" in text else ""

    return blocking_until(told, within=120)


def test_a_failure_is_told_with_its_cause_and_a_report_and_leaves_no_machines(
    alice: Browser, manager: InfrastructureManager, hub: ServiceHub
) -> None:
    manager.control(fail=["dodas-"])
    start(alice)
    page = failed(alice)
    note = re.search(r'<div class="note" role="alert">(.*?)</div>', page, re.DOTALL)
    assert note is not None
    assert len(re.findall(r"<p>", note[1])) == 3, "a sentence, the cause, a remedy"
    report = re.search(r'<pre id="report"[^>]*>(.*?)</pre>', page, re.DOTALL)
    assert report is not None
    for word in ("Template: kubernetes", "workers = 1", "Phases: Queued", "fatal:"):
        assert word in report[1], report[1]
    blocking_until(manager.known, within=120, meets=lambda left: not left)
    assert "Traceback" not in hub.program.said()
    manager.control(fail=[])
    start(alice)
    page = failed(alice)
    assert "does not answer" in page, "another one is made, and leads nowhere"


@pytest.mark.parametrize("phase", ["Kubernetes", "Controller"])
def test_who_cancels_leaves_nothing(alice: Browser, manager: InfrastructureManager, hub: ServiceHub, phase: str) -> None:
    manager.control(hang=["dodas-"] if phase == "Kubernetes" else [])
    start(alice)
    blocking_until(manager.known, within=90)
    if phase == "Kubernetes":
        at(alice, phase)
    cancel(hub, alice)
    blocking_until(manager.known, within=120, meets=lambda left: not left)


def test_a_hub_killed_meanwhile_goes_on_with_what_there_is(alice: Browser, manager: InfrastructureManager, hub: ServiceHub) -> None:
    manager.control(hang=["dodas-"])
    start(alice)
    at(alice, "Kubernetes")
    before = manager.known()
    hub.kill()
    hub.start()
    alice.get("/hub/home")
    blocking_until(lambda: not alice.api("GET", "/users/alice").json()["servers"], within=60)
    start(alice)
    at(alice, "Kubernetes")
    assert manager.known() == before
    manager.control(hang=[])
    assert "does not answer" in failed(alice)
    blocking_until(manager.known, within=120, meets=lambda left: not left)


def test_a_hub_goes_on_without_its_cloud_and_its_service(alice: Browser, manager: InfrastructureManager, hub: ServiceHub) -> None:
    manager.kill()
    manager.control(hang=["dodas-"])
    start(alice)
    blocking_until(lambda: alice.get("/hub/spawn-pending/alice").text, within=90, meets=lambda text: "note warn" in text)
    bob = hub.browser()
    bob.sign_in("bob")
    assert bob.spawn("bob").is_success, "others do not wait for that"
    hub.kill_service()
    manager.start()
    at(alice, "Kubernetes")
    bob.api("DELETE", "/users/bob/server")


def test_another_choice_replaces_what_nobody_needs(alice: Browser, manager: InfrastructureManager, hub: ServiceHub) -> None:
    manager.control(hang=["dodas-"])
    start(alice)
    at(alice, "Kubernetes")
    before = manager.known()
    hub.kill()  # so that nobody takes it back
    hub.start()
    alice.get("/hub/home")
    blocking_until(lambda: not alice.api("GET", "/users/alice").json()["servers"], within=60)
    start(alice, input_cores=4)
    blocking_until(manager.known, within=120, meets=lambda now: len(now) == 1 and not now & before)
