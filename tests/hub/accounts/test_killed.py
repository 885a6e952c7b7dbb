"""Hubs with an account for each user that are killed, and agents of theirs that are killed or frozen: all is found again."""

import os
import signal
from contextlib import suppress
from pathlib import Path
from typing import Final

import pytest

from jupyter_dodas.testing.waiting import blocking_until
from tests.hubs import Browser
from tests.roothub import AS_ROOT, RootHub, is_of, parent, press_start, ready, stop

pytestmark = AS_ROOT


# -- agents that do not do what they should ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
def test_an_agent_that_is_killed_or_frozen_is_started_again_and_so_is_who_made_it(
    hub: RootHub, alice: Browser, number: signal.Signals
) -> None:
    assert alice.spawn("alice").is_success

    def hit() -> int:
        for agent in hub.agents("alice"):
            with suppress(ProcessLookupError):  # nobody had asked it anything for a while
                maker = parent(agent)
                os.kill(agent, number)
                if number == signal.SIGKILL:
                    os.kill(maker, number)
                return agent
        return 0

    agent = blocking_until(hit, within=20)
    assert ready(alice, "alice")
    stop(alice, "alice")
    assert alice.spawn("alice").is_success
    blocking_until(lambda: Path(f"/proc/{agent}").exists(), within=20, meets=lambda there: not there)


# -- a hub that is killed ------------------------------------------------------------------------------------------


PHASES: Final = {"alice": "running", "bob": "wait", "carol": "address", "dave": "start"}
"""Where each user's notebook is when the hub is killed."""


def test_a_killed_hub_finds_the_notebooks_of_all_accounts_again(hub: RootHub) -> None:
    hub.iam.change("dave", groups=["cms"])
    browsers = {user: hub.browser() for user in PHASES}
    for user, browser in browsers.items():
        browser.sign_in(user)
    try:
        for user, phase in PHASES.items():
            if phase in {"running", "wait"}:
                assert browsers[user].spawn(user).is_success
            if phase == "wait":
                stop(browsers[user], user)
            if phase != "running":
                gate(hub, user).touch()
                assert browsers[user].api("POST", f"/users/{user}/server").is_success
                blocking_until(lambda: is_held(hub, user), within=60)  # noqa: B023 - it is over before the next round
        before = hub.server("alice")
        hub.kill()
        blocking_until(lambda: [one for user in PHASES for one in hub.agents(user)], within=20, meets=lambda left: not left)
        for user, phase in PHASES.items():
            if phase != "running":
                gate(hub, user).unlink()
        hub.start()
        for user, browser in browsers.items():
            blocking_until(lambda: press_start(browser, user), within=90)  # noqa: B023
            assert browser.variables(user)["JUPYTERHUB_USER"] == user
            tokens = [one["note"] for one in browser.api("GET", f"/users/{user}/tokens").json()["api_tokens"]]
            assert len([note for note in tokens if note.startswith("Server at")]) == 1
            assert hub.server(user)
        assert hub.server("alice") == before
    finally:
        for user, browser in browsers.items():
            gate(hub, user).unlink(missing_ok=True)
            stop(browser, user)


def gate(hub: RootHub, user: str) -> Path:
    return hub.place(user) / "home" / "wait" if PHASES[user] == "wait" else hub.folder / f"gate-{PHASES[user]}-{user}"


def is_held(hub: RootHub, user: str) -> bool:
    if PHASES[user] != "wait":
        return gate(hub, user).with_name(f"reached-{user}").exists()
    return any(is_of(hub, user, one) for one in hub.running("single_user.py"))
