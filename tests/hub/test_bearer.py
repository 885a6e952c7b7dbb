"""The access token in a file: for the notebook and for every instance, renewed without them, and gone when its user is."""

import json
import os
import sqlite3
import stat
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import jwt
import pytest

from jupyter_dodas.testing.waiting import blocking_until
from tests.hubs import Browser, Hub
from tests.place import TOY

pytestmark = pytest.mark.timeout(300)

STORAGE = "https://storage.example.org"
LAUNCH = "import jupyter_dodas as dodas; print(dodas.launch('toy', workers=1).client().look()['variables']['BEARER_TOKEN_FILE'])"


@pytest.fixture(scope="module")
def hub() -> Iterator[Hub]:
    """A hub whose tokens last for seconds, and where clusters of the toy kind can be launched."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(TOY), prepend=os.pathsep)
        lines = "c.IAMAuthenticator.auth_refresh_age = 1\n"
        with Hub(lines, lifetimes={"access": 8, "id": 8, "refresh": 120}) as made:
            yield made


def place(hub: Hub, user: str) -> Path:
    return hub.folder / "state" / "users" / user


def token(hub: Hub, user: str) -> str:
    """The token that programs of a user find now."""
    file = place(hub, user) / "secrets" / "token"
    return file.read_text() if file.exists() else ""


def claims(found: str) -> Mapping[str, Any]:
    told: dict[str, Any] = jwt.decode(found, options={"verify_signature": False})
    return told


def mandates(hub: Hub, user: str) -> Sequence[int]:
    """The tokens of the hub for controllers of a user's clusters, by their numbers."""
    with closing(sqlite3.connect(hub.folder / "state" / "hub.sqlite")) as database:
        return [row[0] for row in database.execute("SELECT id FROM api_tokens WHERE note = ?", [f"Clusters of {user}"])]


def launch(browser: Browser, user: str) -> str:
    """Launch a cluster as a cell of the notebook does, with nothing of the notebook's token; return what its worker has."""
    variables = {name: value for name, value in browser.variables(user).items() if name != "BEARER_TOKEN_FILE"}
    ran = subprocess.run([sys.executable, "-c", LAUNCH], env=variables, check=True, timeout=60, stdout=subprocess.PIPE, text=True)
    return ran.stdout.strip()


def signed_in(hub: Hub, user: str) -> Browser:
    browser = hub.browser()
    browser.sign_in(user)
    assert browser.spawn(user).is_success
    return browser


def end_server(browser: Browser, user: str) -> None:
    browser.api("DELETE", f"/users/{user}/server")
    blocking_until(lambda: "" not in browser.api("GET", f"/users/{user}").json()["servers"], within=60)


def test_it_is_there_with_the_notebook_goes_on_without_it_and_ends_with_the_session(hub: Hub) -> None:
    browser = signed_in(hub, "alice")
    file = Path(browser.variables("alice")["BEARER_TOKEN_FILE"])
    first = file.read_text()
    assert claims(first)["aud"] == STORAGE
    assert [stat.S_IMODE(path.stat().st_mode) for path in (file, file.parent)] == [0o600, 0o700]

    assert launch(browser, "alice") == str(file)
    end_server(browser, "alice")
    second = blocking_until(lambda: token(hub, "alice"), within=30, meets=lambda found: found not in ("", first))
    third = blocking_until(lambda: token(hub, "alice"), within=30, meets=lambda found: found not in ("", second))
    assert claims(third)["exp"] > time.time()
    assert {note["whom"] for note in hub.notes("token") if note["user"] == "alice"} == {"Clusters of alice"}

    mandate = json.loads((file.parent / "mandate").read_text())
    assert set(mandate) == {"address", "key", "due"}
    browser.get("/hub/logout")
    blocking_until(lambda: list(file.parent.iterdir()), within=30, meets=lambda left: not left)
    assert mandates(hub, "alice") == []
    assert list((place(hub, "alice") / "clusters").glob("toy*")), "clusters go on by their own rules"
    assert httpx.post(f"{mandate['address']}/dodas/token", json={}, headers=authorized(mandate)).status_code == 403


def test_who_has_lost_access_has_no_token_left(hub: Hub) -> None:
    browser = signed_in(hub, "bob")
    launch(browser, "bob")
    end_server(browser, "bob")
    assert token(hub, "bob")
    hub.iam.change("bob", groups=["atlas"])
    blocking_until(lambda: token(hub, "bob"), within=30, meets=lambda found: not found)
    blocking_until(lambda: mandates(hub, "bob"), within=30, meets=lambda left: not left)


def test_there_is_one_mandate_however_often_it_was_given_and_it_opens_nothing_else(hub: Hub) -> None:
    browser = signed_in(hub, "alice")
    before = mandates(hub, "alice")
    hub.kill()
    hub.start()
    blocking_until(lambda: browser.api("GET", "/users/alice").json()["servers"].get("", {}).get("ready"), within=60)
    end_server(browser, "alice")
    assert browser.spawn("alice").is_success
    after = mandates(hub, "alice")
    assert (len(before), len(after), before == after) == (1, 1, False)

    mandate = json.loads((place(hub, "alice") / "secrets" / "mandate").read_text())
    assert httpx.post(f"{mandate['address']}/dodas/token", json={}, headers=authorized(mandate)).is_success
    said = httpx.get(f"{mandate['address']}/user", headers=authorized(mandate)).json()
    whose = {"read:users:name!user=alice", "read:users:groups!user=alice"}  # which every token of the hub says of itself
    assert set(said["scopes"]) - whose == {"custom:dodas:tokens!user=alice"}
    assert not said.keys() & {"auth_state", "servers", "roles"}


def authorized(mandate: Mapping[str, str]) -> Mapping[str, str]:
    return {"Authorization": f"token {mandate['key']}"}
