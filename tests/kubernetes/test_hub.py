"""A hub in the cluster with real notebooks in pods: the whole way of its users, and what they cannot do to each other."""

import json
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import httpx
import pytest
from playwright.sync_api import Browser as Chromium
from playwright.sync_api import expect

from jupyter_dodas.testing.waiting import blocking_until
from tests.browser.conftest import browser as chromium  # noqa: F401 - a fixture
from tests.browser.platform import SETTINGS, STARTS_WITHIN, sign_in, start
from tests.browser.screen import window as browser_window
from tests.browser.test_hub import assert_dead, run_all, write_notebook
from tests.hubpods import HUB, HubPod
from tests.hubs import Browser
from tests.kernels import Kernel
from tests.kubernetes.test_isolation import ASK, EVERY_VERB, EVERYWHERE, OBJECTS, PARTS, PLAIN, RIGHTS

pytestmark = pytest.mark.timeout(600)

LINES: Final = """
c.DodasSpawner.limits = {"cms": {"workers": 2, "memory": "4 GiB"}}
c.DodasSpawner.home_size = "1Gi"
"""


@pytest.fixture(scope="module")
def hub() -> Iterator[HubPod]:
    with HubPod(LINES) as made:
        yield made


@pytest.fixture(scope="module")
def homes(hub: HubPod, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with hub.estate.homes(tmp_path_factory.mktemp("homes"), "alice", "bob"):
        yield


@pytest.fixture(scope="module")
def alice(hub: HubPod, homes: None) -> Browser:
    return started(hub, "alice")


@pytest.fixture(scope="module")
def kernel(alice: Browser) -> Iterator[Kernel]:
    with Kernel(alice, "alice") as made:
        made.run("import json, warnings\nwarnings.simplefilter('ignore')\nimport jupyter_dodas as dodas")
        yield made


def started(hub: HubPod, user: str) -> Browser:
    """A browser of a user who has signed in, and whose server runs."""
    browser = hub.browser()
    browser.sign_in(user)
    reply = browser.api("POST", f"/users/{user}/server")
    assert reply.is_success, reply.text
    # A first pod of an image may wait for its disk.
    blocking_until(lambda: browser.api("GET", f"/users/{user}").json()["servers"].get("", {}).get("ready"), within=180)
    return browser


# -- the whole way ----------------------------------------------------------------------------------------------------


def test_a_cell_launches_dask_and_computes(hub: HubPod, kernel: Kernel) -> None:
    code = """
with dodas.dask(name="higgs", workers=1, memory="512 MiB") as cluster, cluster.client() as client:
    print("sum", client.submit(sum, [1, 2, 3]).result(), cluster.scheduler_address)
print("left", list(dodas.list()))
"""
    said = kernel.run(code)
    assert "sum 6 tls://higgs-scheduler:18000" in said
    assert said.endswith("left []\n")
    assert hub.estate.left("alice", "pods") == ["pod/notebook-alice-server"]


def test_limits_of_her_group_hold_whatever_she_says(hub: HubPod, kernel: Kernel) -> None:
    quota = json.loads(
        kernel.run("quota = dodas.quota()\nprint(json.dumps([quota.rows(), quota.enforced, list(quota.groups)]))").splitlines()[-1]
    )
    assert quota == [[["clusters", 0, None], ["workers", 0, 2], ["cores", 0, None], ["memory", 0, 2**32]], True, ["cms"]]
    code = """
import os
os.environ["DODAS_LIMITS_WORKERS"] = "99"
try:
    dodas.dask(name="greedy", workers=3, memory="256 MiB")
except Exception as error:
    print(error.code)
"""
    assert kernel.run(code).splitlines()[-1] == "quota-exceeded"
    # Past everything that asks her first: a record of her own making.
    code = """
import time, uuid
from jupyter_dodas import settings
from jupyter_dodas.backends import places
from jupyter_dodas.spec import ClusterSpec, Phase
from jupyter_dodas.testing.waiting import until
store = places.backend(settings.load()).store
options = {"workers": 3, "memory": "256 MiB"}
life = {"uid": uuid.uuid4().hex[:12], "created": time.time()}
await store.create(ClusterSpec(name="greedy", kind="dask", owner="alice", options=options, **life))

async def judged():
    status = (await store.get("greedy")).status
    return status if status.problem else None

status = await until(judged, within=30)
print(status.phase, status.problem.code, len(status.instances))
dodas.connect("greedy").stop()
"""
    assert kernel.run(code).splitlines()[-1] == "failed quota-exceeded 0"


# -- what she cannot do -----------------------------------------------------------------------------------------------


def test_everything_of_somebody_else_and_of_the_hub_is_closed_to_her(hub: HubPod, kernel: Kernel) -> None:
    started(hub, "bob")
    for there, pod in ((hub.estate.of("bob"), "notebook-bob-server"), (hub.estate.namespace, pod_of(hub))):
        names = {"pods": pod, "secrets": secret_of(hub, there), "configmaps": "dodas-notebook-bob"}
        parts = [part.format(pod=pod) for part in PARTS]
        own, found = attack(
            kernel,
            EVERY_VERB,
            parts=parts,
            everywhere=EVERYWHERE,
            names=names,
            objects=OBJECTS,
            here=hub.estate.of("alice"),
            there=there,
        )
        assert own == 200, "the account is one that works"
        assert len(found) > 100
        assert {call: status for call, status in found.items() if status != 403} == {}


def test_in_her_own_namespace_she_writes_records_and_no_pods(hub: HubPod, kernel: Kernel) -> None:
    tried = attack(kernel, RIGHTS, here=hub.estate.of("alice"), pod=PLAIN)
    assert {what: status for what, status in tried.items() if status != 403} == {}


def attack(kernel: Kernel, code: str, **known: object) -> Any:
    """Run code in a kernel; return what it has found, a JSON text in the last line."""
    given = "".join(f"{name} = json.loads({json.dumps(value)!r})\n" for name, value in known.items())
    return json.loads(kernel.run(f"import json\n{given}{ASK}{code}").splitlines()[-1])


def pod_of(hub: HubPod) -> str:
    return hub.kubectl("get", "pods", "-o", "jsonpath={.items[0].metadata.name}")


def secret_of(hub: HubPod, namespace: str) -> str:
    return hub.estate.kubectl("-n", namespace, "get", "secrets", "-o", "jsonpath={.items[0].metadata.name}")


def test_the_hub_comes_into_namespaces_of_its_users_alone(hub: HubPod, alice: Browser) -> None:
    account = ("--kubeconfig", str(hub.estate.account()))

    def may(*arguments: str, given: Any = None) -> str:
        program = os.environ.get("DODAS_TEST_KUBECTL", "kubectl")
        done = subprocess.run(
            [program, *account, *arguments], input=given and json.dumps(given), capture_output=True, text=True, check=False
        )
        return "yes" if done.returncode == 0 else done.stderr

    assert may("-n", hub.estate.of("alice"), "get", "configmaps") == "yes"
    for there in ("kube-system", "default", hub.estate.namespace):
        assert "forbidden" in may("-n", there, "get", "secrets")
        assert "users only" in may(
            "-n", there, "apply", "--server-side", "-f", "-", given=binding(there, "jupyter-dodas-controller")
        )
    assert "forbidden" in may(
        "-n", hub.estate.of("alice"), "apply", "--server-side", "-f", "-", given=binding(hub.estate.of("alice"), "admin")
    )
    assert "users only" in may("create", "namespace", "kube-mine")
    assert "restricted profile" in may("create", "namespace", hub.estate.of("mallory"))
    label = ("pod-security.kubernetes.io/enforce=privileged", "--overwrite")
    assert "restricted profile" in may("label", "namespace", hub.estate.of("alice"), *label)


def binding(namespace: str, role: str) -> Any:
    group = "rbac.authorization.k8s.io"
    subjects = [{"apiGroup": group, "kind": "User", "name": "mallory"}]
    metadata = {"namespace": namespace, "name": "mine"}
    reference = {"apiGroup": group, "kind": "ClusterRole", "name": role}
    return {"apiVersion": f"{group}/v1", "kind": "RoleBinding", "metadata": metadata, "roleRef": reference, "subjects": subjects}


def test_policies_let_the_hub_to_notebooks_and_keep_private_networks_away(hub: HubPod, alice: Browser) -> None:
    found = json.loads(hub.estate.kubectl("-n", hub.estate.of("alice"), "get", "networkpolicies", "-o", "json"))["items"]
    specs = {policy["metadata"]["name"]: policy["spec"] for policy in found}
    the_hub = {
        "namespaceSelector": {"matchLabels": {"jupyter-dodas/hub": "true"}},
        "podSelector": {"matchLabels": {"app.kubernetes.io/name": HUB}},
    }
    assert specs["jupyter-dodas-notebooks"]["podSelector"]["matchLabels"] == {"jupyter-dodas/interactive": "true"}
    assert specs["jupyter-dodas-notebooks"]["ingress"] == [{"from": [the_hub]}]
    assert specs["jupyter-dodas-clusters"]["ingress"] == [{"from": [{"podSelector": {}}]}]
    out = specs["jupyter-dodas-ways-out"]
    assert out["podSelector"]["matchLabels"] == {"app.kubernetes.io/managed-by": "jupyter-dodas"}
    assert {"to": [the_hub]} in out["egress"]
    blocks = [to["ipBlock"] for rule in out["egress"] for to in rule["to"] if "ipBlock" in to]
    world = [block for block in blocks if block["cidr"].endswith("/0")]
    assert {"169.254.0.0/16", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"} <= set(world[0]["except"])
    (server,) = (block["cidr"] for block in blocks if not block["cidr"].endswith("/0"))
    assert server == api_server(hub)
    labels = json.loads(hub.estate.kubectl("get", "namespace", hub.estate.namespace, "-o", "json"))["metadata"]["labels"]
    assert labels["jupyter-dodas/hub"] == "true"
    own = json.loads(hub.kubectl("get", "networkpolicies", "-o", "json"))["items"][0]["spec"]["ingress"]
    assert own[0] == {"ports": [{"port": 8000, "protocol": "TCP"}]}
    assert own[1]["from"][0] == {"namespaceSelector": {"matchLabels": {"app.kubernetes.io/managed-by": "jupyter-dodas"}}}


def api_server(hub: HubPod) -> str:
    slices = hub.estate.kubectl(
        "-n", "default", "get", "endpointslice", "kubernetes", "-o", "jsonpath={.endpoints[0].addresses[0]}"
    )
    return f"{slices}/32"


def test_a_namespace_that_is_somebody_elses_is_refused(hub: HubPod) -> None:
    browser = hub.browser()
    browser.sign_in("carol")
    namespace = hub.estate.of("carol")
    hub.estate.kubectl("create", "namespace", namespace)
    browser.api("POST", "/users/carol/server")

    def told() -> str:
        reply = browser.get("/hub/api/users/carol/server/progress")
        return reply.text if "failed" in reply.text else ""

    said = blocking_until(told, within=30)
    assert f"The namespace {namespace} is not yours" in said
    assert "It was there before, and says of nobody that it is theirs" in said
    hub.estate.kubectl("delete", "namespace", namespace, "--wait=false")


WRITE: Final = """
from pathlib import Path
for name, text in {files!r}.items():
    file = Path.home() / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
"""

# -- the end ----------------------------------------------------------------------------------------------------------


def test_the_whole_way_by_clicks_and_signing_out_leaves_her_home(
    hub: HubPod,
    alice: Browser,
    kernel: Kernel,
    chromium: Chromium,  # noqa: F811
    tmp_path: Path,
) -> None:
    write_notebook(tmp_path / "higgs.ipynb")
    files = {"higgs.ipynb": (tmp_path / "higgs.ipynb").read_text()}
    files |= {f".jupyter/lab/user-settings/{name}.jupyterlab-settings": json.dumps(told) for name, told in SETTINGS.items()}
    kernel.run(WRITE.format(files=files))
    kernel.close()  # what it holds open would be waited for
    assert alice.api("DELETE", "/users/alice/server").is_success
    copied = {"Cookie": alice.cookies}
    assert httpx.get(f"{hub.url}/hub/api/user", headers=copied).is_success
    blocking_until(lambda: hub.estate.left("alice"), within=60, meets=lambda left: not left)

    window = browser_window(chromium)
    page = window.new_page()
    sign_in(page, f"{hub.url}/")
    start(page)  # anew, with the files that she had
    run_all(page, f"{hub.url}/")
    panel = page.locator(".jp-NotebookPanel")
    expect(panel.get_by_text("285", exact=True)).to_be_visible(timeout=STARTS_WITHIN)
    expect(panel.get_by_role("article", name="higgs").get_by_role("status")).to_contain_text("Ready")
    running = {pod.partition("-")[2] for pod in hub.estate.left("alice", "pods")}
    assert running == {"scheduler", "worker-1", "worker-2", "alice-server"}
    stolen = chromium.new_context(storage_state=window.storage_state())
    page.goto(f"{hub.url}/hub/home")
    page.get_by_role("link", name="Sign out").click()
    expect(page.get_by_role("heading", name="You are signed out")).to_be_visible()

    assert_dead(stolen, f"{hub.url}/")
    assert httpx.get(f"{hub.url}/hub/api/user", headers=copied).status_code == 403, "her other browser is signed out, too"
    blocking_until(lambda: hub.estate.left("alice", "pods"), within=60, meets=lambda left: not any("server" in pod for pod in left))
    hub.estate.kubectl("-n", hub.estate.of("alice"), "delete", "configmap", "dodas-higgs")
    blocking_until(lambda: hub.estate.left("alice"), within=60, meets=lambda left: not left)
    claims = hub.estate.kubectl("-n", hub.estate.of("alice"), "get", "persistentvolumeclaims", "-o", "name")
    assert claims.split() == ["persistentvolumeclaim/home"]
    said = hub.said()
    assert "Traceback" not in said
    assert not re.search(r"eyJ[\w-]{20,}", said), "no token stands in the log"
