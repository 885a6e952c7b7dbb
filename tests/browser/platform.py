"""The platform as `script/up` starts it, for journeys on the screen."""

import json
import re
import signal
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from playwright.sync_api import Page, expect

from tests.place import ROOT, Place

__all__ = ["STARTS_WITHIN", "platform", "sign_in", "start"]

STARTS_WITHIN: Final = 90_000

# Every cell is drawn, so that one can scroll to it; and no question about news stands in a picture.
SETTINGS: Final = {
    "@jupyterlab/notebook-extension/tracker": {"windowingMode": "none"},
    "@jupyterlab/apputils-extension/notification": {"fetchNews": "false", "checkForUpdates": False},
}


@contextmanager
def platform(place: Place, folder: Path, settings: Mapping[str, Mapping[str, Any]] | None = None) -> Iterator[str]:
    """Start it with this folder, and these settings of alice's Lab; yields its address."""
    home = place.state / "hub" / "users" / "alice" / "home"
    for name, values in {**SETTINGS, **(settings or {})}.items():
        file = home / ".jupyter" / "lab" / "user-settings" / f"{name}.jupyterlab-settings"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(values))
    command = [str(ROOT / "script" / "up"), "--port", "0"]
    with subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        said = ""
        while "Ctrl-C" not in said:
            line = process.stdout.readline()
            assert line, f"it ended: {said}"
            said += line
        try:
            found = re.search(r"http://127\.0\.0\.1:\d+/", said)
            assert found, said
            yield found[0]
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(90)


def sign_in(page: Page, url: str) -> None:
    """Sign in as alice, by clicks."""
    page.goto(url)
    page.get_by_role("link", name="Sign in with INDIGO IAM").click()
    page.get_by_role("button", name="Alice Ampère").click()


def start(page: Page) -> None:
    """Start the notebook that is offered first, and wait until Lab is there."""
    page.get_by_role("button", name="Start").click()
    page.wait_for_url(re.compile(r"/user/alice/lab"), timeout=STARTS_WITHIN)
    expect(page.get_by_role("menuitem", name="File", exact=True)).to_be_visible(timeout=STARTS_WITHIN)
