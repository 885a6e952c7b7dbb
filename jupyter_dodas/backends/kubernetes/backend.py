"""The Kubernetes backend as its users see it: the records of a namespace, and a controller that is started where none is."""

import os
import subprocess
import sys
import time
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Final

from jupyter_dodas.backends.base import Connection, Line, Load
from jupyter_dodas.backends.kubernetes import loads, parcel, patch
from jupyter_dodas.backends.kubernetes.allowance import Allowances
from jupyter_dodas.backends.kubernetes.api import Api
from jupyter_dodas.backends.kubernetes.lease import Lease, here
from jupyter_dodas.backends.kubernetes.logs import Logs
from jupyter_dodas.backends.kubernetes.pods import image_beside
from jupyter_dodas.backends.kubernetes.reach import Reach
from jupyter_dodas.backends.kubernetes.store import KubernetesStore
from jupyter_dodas.backends.kubernetes.tail import tail
from jupyter_dodas.backends.kubernetes.tenure import lock_file
from jupyter_dodas.backends.local.layout import Layout
from jupyter_dodas.backends.local.surroundings import inherited
from jupyter_dodas.backends.locks import is_held
from jupyter_dodas.errors import ControllerUnreachable, InvalidOption
from jupyter_dodas.limits import Allowance
from jupyter_dodas.options import Options
from jupyter_dodas.services.base import Service
from jupyter_dodas.settings import Settings
from jupyter_dodas.spec import Record

__all__ = ["KubernetesBackend"]

_START: Final = 5.0
"""Seconds that a controller which was started may take to hold its lock."""

_ALLOWED: Final = ("create", "pods")


class KubernetesBackend:
    """Clusters as pods of a namespace."""

    name = "kubernetes"

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._api = Api(settings)
        self._allowances = Allowances(self._api)
        # The controller that was started last: when, and which process it is.
        self._started, self._process = 0.0, 0
        # Until when a controller elsewhere is known to be alive.
        self._led_until = 0.0
        self._may_lead: bool | None = None

    @cached_property
    def store(self) -> KubernetesStore:
        """The records of this namespace."""
        return KubernetesStore(self._api)

    @cached_property
    def _reach(self) -> Reach:
        return Reach(self._api, self.store)

    @property
    def here(self) -> str | None:
        """See `Backend.here`."""
        return self._api.own_address

    def check(self, service: Service, asked: Options) -> Options:
        """See `Backend.check`. What instances need is in their image."""
        around = asked.environment
        patch.checked(self._settings.kubernetes_pod)
        if around.python is not None:
            raise InvalidOption(
                f"environment.python={around.python!r} will not do on Kubernetes",
                cause="The interpreter of a pod is the one of its image.",
                remedy="Name an image instead: environment.image.",
            )
        # A folder is one of the pods, on a volume; all else is sent from here.
        around.model_copy(update={"folder": None}).check()
        parcel.of_options({"environment": around.model_dump()})
        if around.image is None and service.image != Service.image:
            image = image_beside(self._settings.kubernetes_image, service.image)
            asked = asked.model_copy(update={"environment": around.model_copy(update={"image": image})})
        return asked if self._api.inside else service.apart(asked)

    async def wake(self, cluster: str | None = None, *, expect: Sequence[str] = ()) -> None:
        """See `Backend.wake`. A controller hears of records by itself; it must only be there."""
        lock = lock_file(self._settings, self._api)
        now = time.monotonic()
        if now < self._led_until or self._starts_now() or is_held(lock):
            return
        held = await Lease(self._api).holder()
        if held is not None and held[0] and not held[0].startswith(here()):
            self._led_until = now + held[1]
            return
        if not await self._may_run_pods():
            if held is not None:
                return  # whoever held it will be back, or the next look tells
            raise ControllerUnreachable(
                f"No controller looks after the namespace {self._api.namespace}",
                cause="You may write records there, and not run pods, so somebody else must run it.",
                remedy=f"An administrator can install it: kubectl apply -n {self._api.namespace} -f deploy/controller.yaml",
            )
        Layout.of(self._settings).make()
        self._process = self._start(self._settings.state / "controller-kubernetes.log")
        self._started = time.monotonic()

    def _starts_now(self) -> bool:
        """Whether a controller was just started, and has yet to hold its lock."""
        return time.monotonic() - self._started < _START and _lives(self._process)

    async def _may_run_pods(self) -> bool:
        """Whether a controller could be run here, with the rights of this user."""
        if self._may_lead is None:
            verb, resource = _ALLOWED
            attributes = {"namespace": self._api.namespace, "verb": verb, "resource": resource}
            review = {"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview"}
            path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
            answer = await self._api.ask("POST", path, {**review, "spec": {"resourceAttributes": attributes}})
            self._may_lead = bool(answer.body.get("status", {}).get("allowed"))
        return self._may_lead

    def _start(self, log: Path) -> int:
        """Start a controller in the background, and return its process. A shell forgets it at once: nobody has to wait for it."""
        command = 'exec "$@" >>"$0" 2>&1 </dev/null & echo $!'
        controller = [sys.executable, "-m", "jupyter_dodas.controller", self.name]
        started = subprocess.run(
            ["/bin/sh", "-c", command, str(log), *controller],
            env=inherited(os.environ) | self._settings.variables() | self._kubeconfig(),
            cwd="/",
            start_new_session=True,
            stdout=subprocess.PIPE,
            check=True,
        )
        return int(started.stdout)

    def _kubeconfig(self) -> dict[str, str]:
        names = ("KUBECONFIG", "KUBERNETES_SERVICE_HOST", "KUBERNETES_SERVICE_PORT")
        found = {name: os.environ[name] for name in names if name in os.environ}
        if "KUBECONFIG" in found:
            found["KUBECONFIG"] = os.pathsep.join(str(Path(file).absolute()) for file in found["KUBECONFIG"].split(os.pathsep))
        return {**found, "DODAS_KUBERNETES_NAMESPACE": self._api.namespace}

    async def allowance(self) -> Allowance:
        """See `Backend.allowance`."""
        return (await self._allowances.now()).within(self._settings.limits)

    async def connection(self, record: Record) -> Connection:
        """See `Backend.connection`."""
        return await self._reach.connection(record)

    async def logs(self, cluster: str, instance: str | None = None, *, lines: int = 200) -> Mapping[str, str]:
        """See `Backend.logs`."""
        return await Logs(self._api, self.store).read(cluster, instance, lines=lines)

    def tail(self, cluster: str, wanted: Callable[[str], bool], *, lines: int) -> AsyncGenerator[Sequence[Line], None]:
        """See `Backend.tail`."""
        return tail(self._api, self.store, cluster, wanted, lines=lines)

    def loads(self, *, every: float) -> AsyncGenerator[Mapping[str, Mapping[str, Load]], None]:
        """See `Backend.loads`."""
        return loads.follow(self._api, every)


def _lives(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True
