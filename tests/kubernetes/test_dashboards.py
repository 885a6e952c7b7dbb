"""Dashboards through a Jupyter Server that runs in a pod: reached by name, and nothing else is."""

import json
import os
import re
import secrets
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import httpx
import pytest

import jupyter_dodas as dodas
from jupyter_dodas.testing.waiting import blocking_until
from tests.namespace import Namespace, kubeconfig

pytestmark = pytest.mark.timeout(240)

SERVER: Final = """
import sys
from jupyter_server.serverapp import main
sys.argv[1:] = ["--ip=127.0.0.1", "--port=8888", "--no-browser", "--IdentityProvider.token={token}"]
main()
"""

DASHBOARD: Final = "/dodas/api/v1/clusters/higgs/ui/dashboard"


def test_a_server_in_the_namespace_shows_the_dashboards_of_its_clusters(namespace: Namespace) -> None:
    namespace.install("user.yaml")
    token = secrets.token_hex(16)
    dodas.dask(name="higgs", workers=1, warm=False)
    namespace.become("alice", "jupyter-dodas-user")
    namespace.notebook(SERVER.format(token=token), "alice")
    blocking_until(lambda: "running at" in namespace.kubectl("logs", "notebook", check=False), within=60)
    with forwarded(namespace, 8888) as url, httpx.Client(base_url=url, headers={"Authorization": f"token {token}"}) as owner:
        page = owner.get(f"{DASHBOARD}/status")
        assert page.status_code == 200, page.text
        assert "Dask" in page.text
        (script, *_) = re.findall(r'src="([^"]+/bokeh[^"]+)"', page.text)
        assert owner.get(str(httpx.URL(f"{url}{DASHBOARD}/status").join(script))).status_code == 200
        for stranger in ({}, {"Authorization": f"token {secrets.token_hex(16)}"}):
            refused = httpx.get(f"{url}{DASHBOARD}/status", headers=stranger)
            assert refused.is_redirect, refused.text
            assert refused.headers["Location"].startswith("/login?")
        namespace.place.controller().kill()  # it would mend what is now made of the record
        for host in ("169.254.169.254", "kubernetes.default", "higgs-scheduler.kube-system", "top-scheduler"):
            lead_to(namespace, host)
            refused = owner.get(f"{DASHBOARD}/status")
            assert refused.status_code == 403, (host, refused.text)
            assert "not-yours" in refused.text


def lead_to(namespace: Namespace, host: str) -> None:
    """Write another host into the record, as somebody might who can write records."""
    name = namespace.kubectl("get", "configmaps", "-l", "jupyter-dodas/part=status", "-o", "name").strip()
    written = json.loads(namespace.kubectl("get", name, "-o", "json"))["data"]["status.json"]
    status = json.loads(written)
    before = status["instances"]["scheduler"]["host"]
    changed = written.replace(f'"{before}"', json.dumps(host)).replace(f"//{before}:", f"//{host}:")
    assert changed != written
    namespace.kubectl("patch", name, "--type=merge", "-p", json.dumps({"data": {"status.json": changed}}))


@contextmanager
def forwarded(namespace: Namespace, port: int) -> Iterator[str]:
    """Reach a port of the notebook's pod as an administrator does."""
    program = os.environ.get("DODAS_TEST_KUBECTL", "kubectl")
    command = [program, "--kubeconfig", kubeconfig(), "-n", namespace.name, "port-forward", "pod/notebook", f":{port}"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            found = re.search(r"127\.0\.0\.1:(\d+) ->", process.stdout.readline())
            assert found is not None
            yield f"http://127.0.0.1:{found[1]}"
        finally:
            process.kill()
