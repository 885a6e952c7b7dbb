"""Where the platform's clusters run: on this machine, or as pods of a namespace that is there for as long as the platform."""

import asyncio
import os
import re
import secrets
import subprocess
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

from jupyter_dodas import registry, settings
from jupyter_dodas.errors import DodasError, MissingRights

if TYPE_CHECKING:
    from jupyter_dodas.backends.kubernetes.api import Api

__all__ = ["GROUNDS", "Say"]

Say = Callable[[str], None]

SCRIPTS: Final = Path(__file__).resolve().parent
KUBECONFIG: Final = Path("~/.kube/config")
PATIENCE: Final = 90.0
LOOK_EVERY: Final = 0.3

# Pods keep to the strictest rules that Kubernetes has.
LABELS: Final = {"pod-security.kubernetes.io/enforce": "restricted", "app.kubernetes.io/managed-by": "jupyter-dodas"}

# A node that is a laptop has no core to spare for each worker; they share what there is, as local ones do.
SHARED: Final = {"DODAS_KUBERNETES_RESERVE": "0.05"}


@asynccontextmanager
async def local(say: Say, *, keep: bool) -> AsyncIterator[Mapping[str, str]]:  # noqa: ARG001 - nothing is made, so nothing is kept
    """Run clusters on this machine. Yields the variables of notebooks."""
    os.environ["DODAS_BACKEND"] = "local"
    yield {}


@asynccontextmanager
async def kubernetes(say: Say, *, keep: bool) -> AsyncIterator[Mapping[str, str]]:
    """Run clusters in a namespace of their own: of the user's Kubernetes, or of a test cluster where she has none.

    Yields the variables of notebooks.

    Parameters
    ----------
    keep
        Leave the namespace, and a test cluster that was started for it.

    Raises
    ------
    DodasError
        If there is no cluster, or the user may not make a namespace in it.
    """
    theirs = "KUBECONFIG" in os.environ or KUBECONFIG.expanduser().is_file()
    started = False if theirs else await asyncio.to_thread(start_test_cluster, say)
    try:
        async with namespace(say, "your Kubernetes" if theirs else "the test cluster", keep=keep):
            # Notebooks have a home of their own, where no kubeconfig is.
            known = os.environ.get("KUBECONFIG", str(KUBECONFIG.expanduser()))
            yield {"DODAS_BACKEND": "kubernetes", "KUBECONFIG": known}
    finally:
        if started and (keep or await asyncio.to_thread(others_use_it)):
            say("The test cluster goes on: script/kubernetes down ends it.")
        elif started:
            say("Ending the test cluster ...")
            await asyncio.to_thread(script, "kubernetes", "down")


GROUNDS: Final[Mapping[str, Callable[..., AbstractAsyncContextManager[Mapping[str, str]]]]] = {
    "local": local,
    "kubernetes": kubernetes,
}
"""By the name of a backend."""


def start_test_cluster(say: Say) -> bool:
    """See that the test cluster runs and has its images, and point this process at it; return whether it was started for that.

    Raises
    ------
    DodasError
        If this user cannot start one.
    """
    if os.geteuid():
        raise DodasError(
            "There is no Kubernetes cluster to run on",
            cause=f"KUBECONFIG is not set, {KUBECONFIG} is not there, and a test cluster takes root.",
            remedy="Point KUBECONFIG at a cluster of yours, or run it as root: sudo script/up --backend kubernetes",
        )
    began = time.monotonic()
    say("Making the images of the pods and the test cluster, where they are missing ...")
    script("images", *sorted({registry.service(kind).image for kind in registry.kinds() if not registry.is_hidden(kind)}))
    there = subprocess.run([SCRIPTS / "kubernetes", "status"], capture_output=True, check=False).returncode == 0
    found = re.fullmatch(r"export KUBECONFIG=(\S+) PATH=(\S+):\$PATH\n", script("kubernetes", "up"))
    assert found is not None, "script/kubernetes tells a shell how to use the cluster"
    os.environ |= {"KUBECONFIG": found[1], **{name: value for name, value in SHARED.items() if name not in os.environ}}
    say(f"They are there after {time.monotonic() - began:.0f} s.")
    return not there


def others_use_it() -> bool:
    """Whether somebody has made a namespace in the test cluster meanwhile."""
    found = script("kubernetes", "kubectl", "get", "namespaces", "-o", "name").split()
    return any(not name.startswith(("namespace/kube-", "namespace/default")) for name in found)


def script(name: str, *arguments: str) -> str:
    """Run one of the scripts beside this one; return what it prints.

    Raises
    ------
    DodasError
        If it fails; it has said why.
    """
    done = subprocess.run([SCRIPTS / name, *arguments], stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True, check=False)
    if done.returncode:
        raise DodasError(f"script/{name} {' '.join(arguments)} failed", cause="The lines above say why.")
    return done.stdout


@asynccontextmanager
async def namespace(say: Say, where: str, *, keep: bool) -> AsyncIterator[None]:
    """Make a namespace and have all clusters run in it; one that the settings name is used, and left as it was."""
    from jupyter_dodas.backends.kubernetes.api import Api

    os.environ["DODAS_BACKEND"] = "kubernetes"
    named = settings.load().kubernetes_namespace
    name = named or f"dodas-up-{secrets.token_hex(3)}"
    os.environ["DODAS_KUBERNETES_NAMESPACE"] = name
    api = Api(settings.load())
    if named is None:
        await make_namespace(api)
    say(f"Clusters run as pods in the namespace {name} of {where}, {api.server}.")
    try:
        yield
    finally:
        if named is None and keep:
            say(f"The namespace stays: kubectl delete namespace {name} removes it with all that is in it.")
        elif named is None:
            say(f"Removing the namespace {name} ...")
            await remove_namespace(api)


async def make_namespace(api: "Api") -> None:
    """Make it, and wait until pods can run in it."""
    thing = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": api.namespace, "labels": LABELS}}
    try:
        answer = await api.ask("POST", "/api/v1/namespaces", thing)
    except MissingRights as error:
        raise DodasError(
            "You may not make a namespace for the platform",
            cause=error.cause,
            remedy="Name one that you may use: DODAS_KUBERNETES_NAMESPACE=higgs script/up --backend kubernetes",
        ) from error
    if not answer.ok:
        raise DodasError(f"The namespace {api.namespace} cannot be made", cause=answer.message)

    async def has_account() -> bool:
        return (await api.get("serviceaccounts/default")).ok

    await until("has no account for pods", api, has_account)


async def remove_namespace(api: "Api") -> None:
    """Remove it with all that is in it."""
    path = f"/api/v1/namespaces/{api.namespace}"
    await api.delete(path)

    async def gone() -> bool:
        return (await api.ask("GET", path)).status == 404

    await until("is still ending", api, gone)


async def until(otherwise: str, api: "Api", reached: Callable[[], Awaitable[bool]]) -> None:
    """Look until it is so.

    Raises
    ------
    DodasError
        If it takes too long.
    """
    deadline = time.monotonic() + PATIENCE
    while not await reached():
        if time.monotonic() > deadline:
            raise DodasError(
                f"The namespace {api.namespace} {otherwise}", remedy=f"Look: kubectl describe namespace {api.namespace}"
            )
        await asyncio.sleep(LOOK_EVERY)
