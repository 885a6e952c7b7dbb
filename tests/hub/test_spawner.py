"""Notebooks of a hub: started, found again, ended, and what is told of them."""

import json
import os
import signal
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import httpx
import pytest

from jupyter_dodas.hub.notebooks import notebook_name
from jupyter_dodas.testing.waiting import blocking_until
from tests.hubs import Browser, Hub

pytestmark = pytest.mark.timeout(600)

# Holds the hub before it does something, for as long as a file of that name says so.
GATES = """
import asyncio, functools, pathlib
from jupyter_dodas.hub.notebooks import Notebook

def gated(verb):
    real = getattr(Notebook, verb)
    @functools.wraps(real)
    async def call(*arguments, **named):
        gate = pathlib.Path.cwd() / f"gate-{verb}"
        while gate.exists():
            gate.with_name("reached").touch()
            await asyncio.sleep(0.02)
        return await real(*arguments, **named)
    setattr(Notebook, verb, call)

for verb in ("start", "_hand_over", "address", "end"):
    gated(verb)
"""
NAMED = "c.JupyterHub.allow_named_servers = True\n"
PROFILES = """
c.DodasSpawner.profiles = [
    {"name": "small", "title": "Small"},
    {"name": "large", "title": "Large", "description": "More.", "cores": [2, 4], "memory": ["4 GiB", "8 GiB"]},
]
"""
STARTING = ("start", "_hand_over", "wait", "address")


@pytest.fixture(scope="module")
def gated() -> Iterator[Hub]:
    with Hub(GATES + NAMED + PROFILES) as made:
        yield made


@pytest.fixture
def alice(gated: Hub) -> Iterator[Browser]:
    """Somebody who is signed in, and whose notebooks end with the test."""
    browser = gated.browser()
    browser.sign_in("alice")
    yield browser
    stop(browser)
    assert_nothing_is_left(gated, browser)


# -- what there is ----------------------------------------------------------------------------------------------------


def place(hub: Hub, user: str = "alice") -> Path:
    return hub.folder / "state" / "users" / user


def servers(hub: Hub) -> Sequence[int]:
    """The processes of single-user servers."""
    return [process for process in hub.running("single_user.py") if b"process" not in Path(f"/proc/{process}/cmdline").read_bytes()]


def records(hub: Hub, user: str = "alice") -> Sequence[str]:
    return sorted(found.name for found in (place(hub, user) / "clusters").glob("[a-z]*"))


def spec(hub: Hub, user: str = "alice", server: str = "") -> Mapping[str, Any]:
    file = place(hub, user) / "clusters" / notebook_name(user, server) / "spec.json"
    found: dict[str, Any] = json.loads(file.read_text("utf-8"))
    return found


def tokens(browser: Browser, user: str = "alice") -> Sequence[str]:
    """The tokens of servers that the hub would take."""
    found = browser.api("GET", f"/users/{user}/tokens").json()["api_tokens"]
    return [token["note"] for token in found if token["note"].startswith("Server at")]


def is_ready(browser: Browser, server: str = "") -> bool:
    return bool(browser.api("GET", "/users/alice").json()["servers"].get(server, {}).get("ready"))


def press_start(browser: Browser) -> bool:
    """Press Start as somebody does who sees that nothing runs; true once something does."""
    if is_ready(browser):
        return True
    # A hub that is asked to start what it is just looking at may leave its route out until it looks again.
    if not browser.api("GET", "/users/alice").json()["servers"]:
        browser.api("POST", "/users/alice/server")
    return False


def stop(browser: Browser, server: str = "") -> None:
    path = f"/users/alice/servers/{server}" if server else "/users/alice/server"

    def gone() -> bool:
        found = browser.api("GET", "/users/alice").json()["servers"]
        if server not in found:
            return True
        browser.api("DELETE", path)
        return False

    blocking_until(gone, within=60)


def assert_nothing_is_left(hub: Hub, browser: Browser) -> None:
    blocking_until(lambda: servers(hub), within=20, meets=lambda left: not left)
    blocking_until(lambda: records(hub), within=20, meets=lambda left: not left)
    assert tokens(browser) == []


# -- start and stop ---------------------------------------------------------------------------------------------------


def test_who_presses_start_gets_a_notebook_at_home(gated: Hub, alice: Browser) -> None:
    assert alice.spawn("alice").is_success
    variables = alice.variables("alice")
    assert variables["USER"] == variables["JUPYTERHUB_USER"] == "alice"
    assert variables["HOME"] == str(place(gated) / "home")
    assert variables["DODAS_STATE"] == str(place(gated)), "clusters launched in it are at another place"
    assert (len(servers(gated)), records(gated), len(tokens(alice))) == (1, ["notebook-alice"], 1)
    assert gated.notes("launch")[-1]["user"] == "alice"


def test_a_user_has_servers_of_several_names(gated: Hub, alice: Browser) -> None:
    assert alice.spawn("alice").is_success
    assert alice.api("POST", "/users/alice/servers/second").is_success
    blocking_until(lambda: is_ready(alice, "second"), within=60)
    assert records(gated) == sorted(["notebook-alice", notebook_name("alice", "second")])
    assert len(servers(gated)) == 2
    stop(alice, "second")
    assert is_ready(alice)
    assert alice.variables("alice")["JUPYTERHUB_SERVER_NAME"] == ""


def test_who_waits_reads_steps_with_what_they_usually_take(gated: Hub, alice: Browser) -> None:
    assert alice.spawn("alice").is_success
    stop(alice)
    hold(gated, "wait")
    alice.api("POST", "/users/alice/server")
    lines: list[str] = []
    with alice.client.stream("GET", f"{gated.url}/hub/api/users/alice/server/progress") as reply:
        for line in reply.iter_lines():
            if line.startswith("data: "):
                event = json.loads(line.removeprefix("data: "))
                lines.append(event["message"])
                if lines[-1].startswith("Server answers ... usually"):
                    assert "progress" not in event, "nobody knows how far that is"
                    release(gated, "wait")
    assert any(line.startswith("Server answers: ") for line in lines), lines
    assert lines[-1].startswith("Server ready")


# -- the end that nobody asked for --------------------------------------------------------------------------------------


def test_how_a_notebook_ended_is_told_in_words_and_it_is_not_started_again(gated: Hub, alice: Browser) -> None:
    assert alice.spawn("alice").is_success
    (server,) = servers(gated)
    os.kill(server, signal.SIGKILL)
    blocking_until(lambda: not is_ready(alice), within=30)
    assert servers(gated) == []
    said = "server of 'notebook-alice' has ended: killed by SIGKILL"
    assert said in gated.program.said()
    assert "server of &#x27;notebook-alice&#x27; has ended: killed by SIGKILL" in alice.get("/hub/spawn").text
    assert alice.spawn("alice").is_success
    assert (len(servers(gated)), records(gated), len(tokens(alice))) == (1, ["notebook-alice"], 1)


def test_a_damaged_record_is_told_to_who_starts_and_does_not_stand_in_the_way(gated: Hub, alice: Browser) -> None:
    folder = place(gated) / "clusters" / "notebook-alice"
    folder.mkdir(mode=0o700, parents=True)
    (folder / "spec.json").write_text("{")
    alice.api("POST", "/users/alice/server")
    pending = "/hub/spawn-pending/alice"
    page = blocking_until(lambda: alice.get(pending).text, within=30, meets=lambda found: "did not start" in found)
    assert "is damaged, and was removed" in page
    assert "Start it again." in page
    assert "dodas stop" not in page, "nobody here has a command line"
    assert alice.spawn("alice").is_success


def test_a_notebook_whose_record_is_damaged_can_be_stopped(gated: Hub, alice: Browser) -> None:
    assert alice.spawn("alice").is_success
    (place(gated) / "clusters" / "notebook-alice" / "spec.json").write_text("{")
    assert alice.press(alice.get("/hub/home"), "Stop").is_success
    assert_nothing_is_left(gated, alice)


def test_a_notebook_that_cannot_start_says_why(make_hub: Any) -> None:
    hub = make_hub("c.Spawner.cmd = ['python', '-c', 'raise SystemExit(\"no such licence\")']\n")
    browser = hub.browser()
    browser.sign_in("alice")
    browser.api("POST", "/users/alice/server")

    def last() -> str:
        reply = browser.get("/hub/api/users/alice/server/progress")
        return reply.text if "failed" in reply.text else ""

    told = blocking_until(last, within=60)
    assert "server of 'notebook-alice' has ended: exit code 1" in told
    assert "no such licence" in told
    assert tokens(browser) == []


# -- cancelled, and killed ------------------------------------------------------------------------------------------------


def hold(hub: Hub, phase: str) -> None:
    """Have the next start stop at a point."""
    (hub.folder / "reached").unlink(missing_ok=True)
    (place(hub) / "home").mkdir(mode=0o700, parents=True, exist_ok=True)
    gate(hub, phase).touch()


def release(hub: Hub, phase: str) -> None:
    gate(hub, phase).unlink()


def gate(hub: Hub, phase: str) -> Path:
    return place(hub) / "home" / "wait" if phase == "wait" else hub.folder / f"gate-{phase}"


def is_held(hub: Hub, phase: str) -> bool:
    return bool(servers(hub)) if phase == "wait" else (hub.folder / "reached").exists()


@pytest.mark.parametrize("way", ["the API", "the page"])
@pytest.mark.parametrize("phase", STARTING)
def test_a_start_that_is_cancelled_leaves_nothing(gated: Hub, alice: Browser, phase: str, way: str) -> None:
    hold(gated, phase)
    alice.api("POST", "/users/alice/server")
    blocking_until(lambda: is_held(gated, phase), within=60)
    if way == "the API":
        assert alice.api("DELETE", "/users/alice/server").is_success
    else:
        page = alice.get("/hub/spawn-pending/alice")
        assert "<noscript><meta http-equiv" in page.text, "without scripts it looks again by itself"
        assert alice.press(page, "Cancel").url.path == "/hub/home"
    release(gated, phase)
    assert_nothing_is_left(gated, alice)
    assert alice.spawn("alice").is_success


@pytest.mark.parametrize("phase", STARTING)
def test_a_hub_killed_during_a_start_finds_its_notebook_again(gated: Hub, alice: Browser, phase: str) -> None:
    hold(gated, phase)
    alice.api("POST", "/users/alice/server")
    blocking_until(lambda: is_held(gated, phase), within=60)
    gated.kill()
    release(gated, phase)
    gated.start()
    blocking_until(lambda: press_start(alice), within=90)
    assert_one_notebook_with_a_valid_token(gated, alice)


def test_a_hub_killed_while_a_notebook_runs_finds_it_again(gated: Hub, alice: Browser) -> None:
    assert alice.spawn("alice").is_success
    before = servers(gated)
    gated.kill()
    gated.start()
    blocking_until(lambda: press_start(alice), within=90)
    assert servers(gated) == before
    assert_one_notebook_with_a_valid_token(gated, alice)


def test_a_hub_killed_while_it_ends_a_notebook_starts_a_new_one(gated: Hub, alice: Browser) -> None:
    assert alice.spawn("alice").is_success
    before = servers(gated)
    hold(gated, "end")
    alice.api("DELETE", "/users/alice/server")
    blocking_until(lambda: is_held(gated, "end"), within=60)
    gated.kill()
    release(gated, "end")
    for process in before:
        os.kill(process, signal.SIGTERM)  # as if the place had ended it meanwhile
    gated.start()
    blocking_until(lambda: press_start(alice), within=90)
    assert servers(gated) != before
    assert_one_notebook_with_a_valid_token(gated, alice)


def assert_one_notebook_with_a_valid_token(hub: Hub, browser: Browser) -> None:
    assert (len(servers(hub)), records(hub), len(tokens(browser))) == (1, ["notebook-alice"], 1)
    token = browser.variables("alice")["JUPYTERHUB_API_TOKEN"]
    said = httpx.get(f"{hub.url}/hub/api/user", headers={"Authorization": f"token {token}"})
    assert said.json()["name"] == "alice"


# -- what can be chosen -----------------------------------------------------------------------------------------------------


def test_a_choice_is_what_is_started_and_is_remembered(gated: Hub, alice: Browser) -> None:
    page = alice.get("/hub/spawn").text
    assert "<script" not in page[page.index("<fieldset") : page.rindex("</fieldset>")]
    sent = {"profile": "large", "small.cores": "1", "large.cores": "4", "large.memory": "8 GiB"}
    assert post_form(alice, sent).is_redirect
    blocking_until(lambda: is_ready(alice), within=60)
    options = spec(gated)["options"]
    assert (options["cores"], options["memory"]) == (4, 8 * 2**30)
    stop(alice)
    page = alice.get("/hub/spawn").text
    assert 'value="large" aria-describedby="about-large" checked' in page
    assert '<option value="4" selected>' in page


@pytest.mark.parametrize(
    ("sent", "words"),
    [
        ({"profile": "large", "large.cores": "64"}, "cores=64 is not offered"),
        ({"profile": "large", "large.image": "evil"}, "image="),
        ({"profile": "vast"}, "There is no profile"),
    ],
)
def test_what_is_not_offered_cannot_be_had(gated: Hub, alice: Browser, sent: Mapping[str, str], words: str) -> None:
    reply = post_form(alice, sent)
    assert reply.status_code == 400
    assert words in reply.text
    chosen = {name.rpartition(".")[2]: int(value) if value.isdigit() else value for name, value in sent.items()}
    refused = alice.api("POST", "/users/alice/server", json=chosen)
    assert refused.status_code == 400
    assert words in refused.json()["message"]
    assert records(gated) == []


def post_form(browser: Browser, sent: Mapping[str, str]) -> httpx.Response:
    token = next(cookie.value for cookie in browser.client.cookies.jar if cookie.name == "_xsrf" and cookie.path == "/hub/")
    return browser.client.post(f"{browser.hub.url}/hub/spawn", params={"_xsrf": token}, data=dict(sent))


# -- the real server ---------------------------------------------------------------------------------------------------------


def test_jupyter_lab_opens_and_its_token_is_nowhere_to_be_read(make_hub: Any) -> None:
    hub: Hub = make_hub("c.Spawner.cmd = ['jupyterhub-singleuser']\nc.Spawner.args = ['--allow-root']\n")
    browser = hub.browser()
    browser.sign_in("alice")
    assert browser.spawn("alice").is_success
    page = browser.follow(browser.get("/user/alice/lab"))
    assert page.status_code == 200
    assert "JupyterLab" in page.text
    cluster = place(hub) / "clusters" / "notebook-alice"
    token = json.loads((cluster / "secrets" / "variables.json").read_text())["JUPYTERHUB_API_TOKEN"].encode()
    assert (cluster / "secrets").stat().st_mode & 0o077 == 0
    files = [file for file in hub.folder.rglob("*") if file.is_file() and file.parent.name != "secrets"]
    found = [file for file in files if token in file.read_bytes()]
    assert {file.parent.name for file in found} <= {"runtime"}, found
    assert all(file.stat().st_mode & 0o077 == 0 for file in found), "what Jupyter Server notes for its own command line"
    running = hub.running()
    assert hub.running("jupyter_dodas.services.notebook.process")
    assert hub.running("jupyter_dodas.backends.local.keeper"), "which the hub's nursery forked"
    for process in running:
        for file in ("cmdline", "environ"):
            assert token not in Path(f"/proc/{process}/{file}").read_bytes(), file
