"""Notebooks that nobody uses end; those with a busy cell or a busy cluster do not."""

import json
import os
import subprocess
import sys
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import httpx
import pytest
from websockets.sync.client import connect

from jupyter_dodas.testing.waiting import blocking_until
from tests.hubs import ROOT, Browser, Hub

AFTER = 15
"""Seconds without activity after which a notebook ends."""

CULLING = f"""
import sys
from jupyter_dodas.hub.culling import end_idle

c.Spawner.cmd = [sys.executable, "-m", "jupyterhub.singleuser"]
c.Spawner.args = ["--allow-root", "--DodasServer.activity_interval=0.5"]
c.Spawner.environment = {{"JUPYTERHUB_SINGLEUSER_APP": "jupyter_server.serverapp.ServerApp"}}
end_idle(c, after={AFTER})
"""


@pytest.mark.timeout(180)
def test_a_notebook_that_nobody_uses_ends_and_one_with_a_busy_cell_or_cluster_does_not(make_hub: Any) -> None:
    hub: Hub = make_hub(CULLING)
    cell, cluster, idle = (signed_in(hub, user) for user in ("alice", "bob", "carol"))
    with busy_cluster(hub, "bob"):
        assert cluster.spawn("bob").is_success
        assert cell.spawn("alice").is_success
        variables = of_notebook(hub, "alice")
        computing = start_computing(hub, variables)
        # Nobody listens, nobody looks. What ends is the one that nobody uses.
        assert idle.spawn("carol").is_success
        blocking_until(lambda: not runs(idle, "carol"), within=60)
        assert "Culling server carol" in hub.program.said()
        # The others have been without any other activity for longer.
        assert runs(cell, "alice")
        assert runs(cluster, "bob")
        ask(hub, variables, f"/api/kernels/{computing}/interrupt")
    for browser, user in ((cell, "alice"), (cluster, "bob")):
        blocking_until(lambda browser=browser, user=user: not runs(browser, user), within=60)  # type: ignore[misc]
        assert f"Culling server {user}" in hub.program.said()


def signed_in(hub: Hub, user: str) -> Browser:
    browser = hub.browser()
    browser.sign_in(user)
    return browser


def runs(browser: Browser, user: str) -> bool:
    return bool(browser.api("GET", f"/users/{user}").json()["servers"])


def of_notebook(hub: Hub, user: str) -> Mapping[str, str]:
    """The variables that a notebook was handed."""
    file = hub.folder / "state" / "users" / user / "clusters" / f"notebook-{user}" / "secrets" / "variables.json"
    found: dict[str, str] = json.loads(file.read_text())
    return found


def ask(hub: Hub, variables: Mapping[str, str], path: str, **how: Any) -> httpx.Response:
    url = f"{hub.url}/user/{variables['JUPYTERHUB_USER']}{path}"
    headers = {"Authorization": f"token {variables['JUPYTERHUB_API_TOKEN']}"}
    return httpx.post(url, headers=headers, timeout=30, **how).raise_for_status()


def start_computing(hub: Hub, variables: Mapping[str, str]) -> str:
    """Run a cell that never ends and says nothing; return its kernel once it is busy."""
    kernel: str = ask(hub, variables, "/api/kernels").json()["id"]
    address = f"{hub.url.replace('http', 'ws', 1)}/user/{variables['JUPYTERHUB_USER']}/api/kernels/{kernel}/channels"
    header = {
        "msg_id": uuid.uuid4().hex,
        "msg_type": "execute_request",
        "username": "",
        "session": uuid.uuid4().hex,
        "version": "5.3",
    }
    content = {
        "code": "while True: pass",
        "silent": False,
        "store_history": True,
        "user_expressions": {},
        "allow_stdin": False,
    }
    request = {"header": header, "parent_header": {}, "metadata": {}, "content": content, "channel": "shell", "buffers": []}
    headers = {"Authorization": f"token {variables['JUPYTERHUB_API_TOKEN']}"}
    with connect(address, additional_headers=headers, max_size=None) as channels:
        channels.send(json.dumps(request))
        while True:
            said = json.loads(channels.recv(timeout=60))
            if said["msg_type"] == "execute_input" and said["parent_header"]["msg_id"] == header["msg_id"]:
                return kernel


@contextmanager
def busy_cluster(hub: Hub, user: str) -> Iterator[None]:
    """A cluster at the place of a user, which works as long as this lasts."""
    code = (
        "import sys, jupyter_dodas as dodas\n"
        "with dodas.launch('toy', name='busy', workers=1) as cluster:\n"
        "    with cluster.client() as client:\n"
        "        client.submit(3600)\n"
        "        print('at work', flush=True)\n"
        "        sys.stdin.read()\n"
    )
    place = {"DODAS_STATE": str(hub.folder / "state" / "users" / user), "XDG_RUNTIME_DIR": str(hub.runtime), "DODAS_LINGER": "0"}
    inherited = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT / "tests" / "toy")}
    with subprocess.Popen(
        [sys.executable, "-c", code], env={**inherited, **place}, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "at work\n"
        yield
        process.communicate()
    assert process.returncode == 0
