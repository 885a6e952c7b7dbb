"""The service of infrastructures under a real hub, with the real Infrastructure Manager."""

import asyncio
import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any, TypeVar

import httpx
import pytest
from cryptography.fernet import Fernet

from jupyter_dodas.errors import DodasError, InfrastructureExists, InfrastructureNotFound, NotAllowed, QuotaExceeded
from jupyter_dodas.provision import template
from jupyter_dodas.provision.client import Infrastructures
from jupyter_dodas.provision.clouds import DummyCloud
from jupyter_dodas.provision.views import Change, Wanted
from jupyter_dodas.spec import Phase
from jupyter_dodas.testing.waiting import until
from tests.provision.im import InfrastructureManager, header
from tests.provision.service import KUBECONFIG, ServiceHub, im

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(300)]

T = TypeVar("T")

COMMAND = "import sys; from jupyter_dodas.cli import main; sys.exit(main())"


@pytest.fixture(scope="module")
def manager(tmp_path_factory: pytest.TempPathFactory) -> Iterator[InfrastructureManager]:
    folder = tmp_path_factory.mktemp("im")
    (folder / "kubeconfig").write_text(KUBECONFIG)
    with InfrastructureManager(folder / "im", kubeconfig=folder / "kubeconfig") as made:
        yield made


@pytest.fixture(scope="module")
def hub(manager: InfrastructureManager, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServiceHub]:
    folder = tmp_path_factory.mktemp("service")
    with ServiceHub(folder, im(manager.url, folder), look_around=1, most=3) as made:
        yield made


@pytest.fixture(scope="module")
def alices_token(hub: ServiceHub) -> str:
    return hub.token("alice")


@pytest.fixture
async def alice(hub: ServiceHub, alices_token: str) -> AsyncIterator[Infrastructures]:
    """What alice may do, with credentials for the Dummy cloud."""
    async with Infrastructures(hub.service_url, hub._keep(alices_token)) as client:
        await client.add_cloud(DummyCloud(name="dummy"))
        yield client
        for one in await client.list():  # of a test that has failed
            await gone(client, one.name)


async def gone(client: Infrastructures, name: str) -> None:
    """Delete one, and wait until nothing is left of it."""
    await client.delete(name)
    with pytest.raises(InfrastructureNotFound):
        async for _ in client.follow(name):
            pass


async def test_one_is_made_scaled_and_deleted(hub: ServiceHub, manager: InfrastructureManager, alice: Infrastructures) -> None:
    wanted = Wanted(name="higgs", template="kubernetes", inputs={"workers": 1})
    made = await alice.create(wanted)
    assert (made.owner, made.phase, made.workers) == ("alice", Phase.PENDING, 1)
    assert (await alice.create(wanted)).uid == made.uid
    steps: list[str] = []
    found = await alice.ready("higgs", lambda it: steps.extend(one.name for one in it.steps if one.name not in steps))
    assert found.phase is Phase.READY, found.problem
    assert steps == ["Queued", "Machines", "Kubernetes"]
    assert len(found.machines) == 2
    assert await alice.kubeconfig("higgs") == KUBECONFIG
    assert manager.listed() == {found.identifier}
    await alice.change("higgs", Change(workers=2))
    grown = await alice.ready("higgs")
    assert (grown.phase, len(grown.machines)) == (Phase.READY, 3)
    await gone(alice, "higgs")
    await until(manager.known, within=60, meets=lambda left: not left)


async def test_nobody_sees_or_takes_what_is_of_others(hub: ServiceHub, alice: Infrastructures) -> None:
    await alice.create(Wanted(name="mine", template="kubernetes"))
    async with hub.client("bob") as bob:
        assert await bob.list() == ()
        with pytest.raises(InfrastructureNotFound):
            await bob.get("mine")
    async with Infrastructures(hub.service_url, hub._keep(hub.token("bob")), owner="alice") as bob:
        for what in (bob.list(), bob.get("mine"), bob.kubeconfig("mine"), bob.delete("mine"), bob.clouds()):
            with pytest.raises(NotAllowed):
                await what
    async with hub.hub_client("alice") as trusted:
        assert [one.name for one in await trusted.list()] == ["mine"]
    await gone(alice, "mine")


def test_only_a_token_for_it_or_its_own_page_opens_it(hub: ServiceHub) -> None:
    browser = hub.browser()
    browser.sign_in("alice")
    url = f"{hub.service_url}/api/v1/infrastructures"
    assert browser.follow(browser.get("/services/infrastructures/")).is_success
    # The browser is known now, and a page of somebody else has its cookie sent along.
    assert browser.client.post(url, json={"name": "forged"}).status_code == 401
    assert browser.client.get(url).status_code == 401
    forged = browser.client.post(url, json={"name": "forged"}, headers={"X-XSRFToken": "guessed"})
    assert forged.status_code == 403
    token = next(one.value for one in browser.client.cookies.jar if one.name == "_xsrf" and "infrastructures" in one.path)
    assert browser.client.get(url, headers={"X-XSRFToken": token or ""}).json() == []
    assert httpx.get(url, headers={"Authorization": "token wrong"}).status_code == 401
    other = browser.api("POST", "/users/alice/tokens", json={"scopes": ["read:users!user"]}).json()["token"]
    refused = httpx.get(url, headers={"Authorization": f"token {other}"})
    assert (refused.status_code, refused.json()["code"]) == (403, "not-allowed")


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("POST", "infrastructures", b"{", 400),
        ("POST", "infrastructures", b'{"name": "UPPER"}', 400),
        ("POST", "infrastructures", b'{"name": "x", "template": "nothing"}', 400),
        ("POST", "infrastructures", b'{"name": "x", "template": "kubernetes", "inputs": {"workers": -1}}', 400),
        ("POST", "infrastructures", b'{"name": "x", "template": "kubernetes", "inputs": {"image": "a\\nb;file(/x)"}}', 400),
        ("POST", "infrastructures", b'{"name": "x", "text": "imports: [file:///etc/passwd]"}', 400),
        ("POST", "infrastructures", b'{"name": "x", "template": "kubernetes", "cloud": "nobodys"}', 404),
        ("POST", "infrastructures", b'{"name": "x", "template": "kubernetes", "provisioner": "nobody"}', 400),
        ("PUT", "clouds/x", b'{"kind": "ec2", "name": "x", "username": "a;b", "password": "hunter2"}', 400),
        ("PUT", "clouds/y", b'{"kind": "dummy", "name": "x"}', 400),
        ("PUT", "clouds/x?owner=group:cms", b'{"kind": "dummy", "name": "x"}', 403),
        ("GET", "infrastructures/nothing", b"", 404),
        ("GET", "infrastructures/nothing?newer_than=x", b"", 400),
        ("GET", "elsewhere", b"", 404),
    ],
)
def test_what_cannot_be_is_refused_in_words(
    hub: ServiceHub, alices_token: str, method: str, path: str, body: bytes, status: int
) -> None:
    headers = {"Authorization": f"token {alices_token}"}
    answer = httpx.request(method, f"{hub.service_url}/api/v1/{path}", content=body, headers=headers, timeout=60)
    said = answer.json()
    assert (answer.status_code, bool(said["code"]), bool(said["message"])) == (status, True, True), said
    assert "hunter2" not in answer.text
    assert "Traceback" not in answer.text


def test_more_than_anybody_needs_is_not_read(hub: ServiceHub, alices_token: str) -> None:
    headers = {"Authorization": f"token {alices_token}"}
    body = b'{"name": "x", "text": "' + b"x" * (3 << 20) + b'"}'
    try:
        answer = httpx.post(f"{hub.service_url}/api/v1/infrastructures", content=body, headers=headers, timeout=60)
    except httpx.TransportError:
        return  # it hung up
    assert answer.status_code in (400, 413, 503)


async def test_a_plan_creates_nothing(manager: InfrastructureManager, alice: Infrastructures) -> None:
    plan = await alice.plan(Wanted(name="higgs", template="kubernetes", inputs={"workers": 3}))
    assert sum(one.count for one in plan.machines) == 4
    assert not manager.listed()
    assert {one.name for one in await alice.templates()} >= {"kubernetes", "single-node"}


async def test_a_template_of_ones_own_is_made(alice: Infrastructures) -> None:
    text = template.load("single-node").text
    made = await alice.create(Wanted(name="own", text=text))
    assert made.template == "own"
    assert (await alice.ready("own")).phase is Phase.READY
    with pytest.raises(InfrastructureExists):
        await alice.create(Wanted(name="own", template="kubernetes"))
    await gone(alice, "own")


async def test_nobody_has_more_than_is_allowed(alice: Infrastructures) -> None:
    for number in range(3):
        await alice.create(Wanted(name=f"one-{number}", template="kubernetes"))
    with pytest.raises(QuotaExceeded):
        await alice.create(Wanted(name="one-more", template="kubernetes"))
    for number in range(3):
        await gone(alice, f"one-{number}")


async def test_what_fails_says_why_leaves_nothing_and_can_be_made_again(
    manager: InfrastructureManager, alice: Infrastructures
) -> None:
    manager.control(fail=["dodas-"])
    try:
        await alice.create(Wanted(name="higgs", template="kubernetes"))
        failed = await alice.ready("higgs")
        assert failed.phase is Phase.FAILED
        assert failed.problem is not None
        assert all((failed.problem.message, failed.problem.cause, failed.problem.remedy))
        await until(manager.known, within=120, meets=lambda left: not left)
        assert "fatal" in await alice.log("higgs")
    finally:
        manager.control(fail=[])
    again = await alice.create(Wanted(name="higgs", template="kubernetes"))
    assert (again.uid != failed.uid, again.generation > failed.generation) == (True, True)
    assert (await alice.ready("higgs")).phase is Phase.READY
    await gone(alice, "higgs")
    await until(manager.known, within=120, meets=lambda left: not left)


async def test_one_that_nobody_holds_goes_and_one_that_a_dead_server_held(
    hub: ServiceHub, manager: InfrastructureManager, alice: Infrastructures
) -> None:
    wanted = Wanted(name="held", template="kubernetes", linger=0.5)
    await alice.create(wanted)
    with pytest.raises(NotAllowed):
        await alice.hold("held", "bob/")
    browser = hub.browser()
    browser.sign_in("alice")
    browser.spawn("alice")
    await alice.hold("held", "alice/")
    assert (await alice.ready("held")).holders == ("alice/",)
    assert browser.api("DELETE", "/users/alice/server").status_code in (202, 204)
    with pytest.raises(InfrastructureNotFound):
        async for _ in alice.follow("held"):
            pass
    await until(manager.known, within=120, meets=lambda left: not left)


async def test_what_was_deleted_by_somebody_else_is_told(
    manager: InfrastructureManager, alice: Infrastructures, hub: ServiceHub
) -> None:
    await alice.create(Wanted(name="higgs", template="kubernetes"))
    ready = await alice.ready("higgs")
    async with httpx.AsyncClient(headers=header(), timeout=60) as somebody:
        (await somebody.delete(f"{manager.url}/infrastructures/{ready.identifier}?force=true")).raise_for_status()
    hub.kill_service()  # which looks anew, at once
    told = await until(lambda: again(lambda: alice.get("higgs")), within=120, meets=lambda it: it.phase is Phase.FAILED)
    assert told.problem is not None
    assert "no longer there" in told.problem.message
    await again(lambda: gone(alice, "higgs"))


async def test_what_is_in_no_record_is_found_and_deleted(
    manager: InfrastructureManager, alice: Infrastructures, hub: ServiceHub
) -> None:
    """As after a backup was put back that is older than it."""
    await alice.create(Wanted(name="higgs", template="kubernetes"))
    assert (await alice.ready("higgs")).phase is Phase.READY
    with sqlite3.connect(hub.store / "infrastructures.sqlite", timeout=30) as store:
        store.execute("DELETE FROM dodas_infrastructures")
    hub.kill_service()
    assert await again(alice.list) == ()
    await until(manager.known, within=120, meets=lambda left: not left)


async def test_a_new_key_needs_no_old_one_after_a_start(hub: ServiceHub, alice: Infrastructures) -> None:
    await alice.create(Wanted(name="higgs", template="kubernetes"))
    assert (await alice.ready("higgs")).phase is Phase.READY
    file = hub.store / "infrastructures.keys"
    before = file.read_text()
    after = Fernet.generate_key().decode() + "\n"
    for keys in (after + before, after):
        file.write_text(keys)
        hub.kill_service()
        assert await again(lambda: alice.kubeconfig("higgs")) == KUBECONFIG
    # With what is kept of her cloud, too.
    await alice.change("higgs", Change(workers=2))
    await until(lambda: alice.get("higgs"), within=120, meets=lambda it: it.phase is Phase.READY and len(it.machines) == 3)
    await gone(alice, "higgs")


async def again(what: Callable[[], Awaitable[T]]) -> T:
    """Ask until the service is there, which is just being started."""
    while True:
        try:
            return await what()
        except DodasError as error:
            if not error.retryable:
                raise
            await asyncio.sleep(0.2)


def test_recipes_are_for_everybody_and_for_no_cache(hub: ServiceHub) -> None:
    digest, text = template.recipe("kubernetes-front.yml")
    answer = httpx.get(f"{hub.service_url}/recipes/{digest}/kubernetes-front.yml")
    assert (answer.status_code, answer.text, answer.headers["cache-control"]) == (200, text, "no-store")
    for path in (f"{'0' * 16}/kubernetes-front.yml", f"{digest}/..%2f__init__.py", f"{digest}/nothing.yml", f"{digest}/"):
        assert httpx.get(f"{hub.service_url}/recipes/{path}").status_code == 404


async def test_the_command_does_it_all(hub: ServiceHub, alices_token: str, alice: Infrastructures) -> None:
    def dodas(*words: str, said: str = "", code: int = 0) -> Any:
        environment = {**os.environ, "DODAS_INFRASTRUCTURES": hub.service_url, "JUPYTERHUB_API_TOKEN": alices_token}
        command = [sys.executable, "-c", COMMAND, "infrastructure", *words, "--json"]
        ran = subprocess.run(command, check=False, env=environment, input=said, capture_output=True, text=True, timeout=200)
        assert ran.returncode == code, ran.stderr + ran.stdout
        return json.loads(ran.stdout)

    assert dodas("cloud", "add", "aws", "--kind", "ec2", "--set", "username=AKIA", said="hunter2\n")["public"] == {
        "username": "AKIA"
    }
    assert dodas("cloud", "add", "aws", "--kind", "ec2", "--set", "password=hunter2", code=2)["error"]["code"] == "invalid-option"
    assert [one["name"] for one in dodas("cloud", "list")] == ["aws", "dummy"]
    dodas("cloud", "remove", "aws")
    assert len(dodas("create", "cli", "--template", "kubernetes", "--set", "workers=2", "--plan")["machines"]) == 2
    assert dodas("create", "cli", "--template", "kubernetes", "--set", "workers=1")["phase"] == "ready"
    assert dodas("show", "cli")["workers"] == 1
    assert dodas("scale", "cli", "2")["workers"] == 2
    assert dodas("kubeconfig", "cli")["kubeconfig"].strip() == KUBECONFIG.strip()
    assert "log" in dodas("log", "cli")
    assert dodas("delete", "cli")["phase"] == "stopped"
    assert dodas("show", "cli", code=3)["error"]["code"] == "infrastructure-not-found"


def test_no_secret_is_in_a_log_or_a_file(hub: ServiceHub, alices_token: str) -> None:
    """What the tests before this one have used."""
    held = b"".join(file.read_bytes() for file in hub.store.iterdir() if file.name != "infrastructures.token")
    held += hub.program.log.read_bytes()
    for secret in ("hunter2", "a secret of tests", alices_token, (hub.store / "infrastructures.token").read_text()):
        assert secret.encode() not in held, secret
    assert all(not file.stat().st_mode & 0o077 for file in hub.store.iterdir())
