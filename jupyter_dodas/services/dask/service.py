"""Dask as a kind of cluster: one scheduler, and workers that find it by themselves.

The controller and every client import this module, so nothing heavy is imported with it.
"""

import sys
from collections.abc import Callable, Mapping
from importlib.metadata import version
from importlib.util import find_spec
from typing import Annotated, ClassVar, Final, Self

from pydantic import Field, StrictBool, model_validator
from pydantic_core import PydanticCustomError

from jupyter_dodas.errors import MissingSoftware
from jupyter_dodas.options import NUMBER, GroupOptions, validate
from jupyter_dodas.options import Options as CommonOptions
from jupyter_dodas.services.base import Endpoint, Instance, Link, Role, Service, Site
from jupyter_dodas.services.dask.signin import DASHBOARD
from jupyter_dodas.services.link import ReportingLink
from jupyter_dodas.spec import ClusterSpec

__all__ = ["DaskOptions", "DaskService"]

_SCHEDULER: Final = "jupyter_dodas.services.dask.scheduler"
_WORKER: Final = "jupyter_dodas.services.dask.worker"

_NOTICE: Final = 25.0
"""Seconds, so that with its grace a worker has the half minute that nodes are emptied with by default."""
_EXAMPLE: Final = """\
from random import Random

def hits(seed, points=1_000_000):
    draw = Random(seed).random
    return sum(draw()**2 + draw()**2 < 1 for _ in range(points))

# Pi from random points: twice the workers, half the time.
counts = client.map(hits, range(100), pure=False)
4 * sum(client.gather(counts)) / 100_000_000"""

_LEAST_MEMORY: Final = 128 * 2**20  # bytes; an idle worker takes half of it


class DaskOptions(CommonOptions):
    """What a Dask cluster can be asked for."""

    threads: Annotated[int, Field(ge=1, le=1024)] | None = Field(
        default=None, description="Tasks that each worker runs at once; by default one for each of its cores."
    )
    spill: StrictBool = Field(default=True, description="Let workers write results to disk when their memory runs short.")
    target: Annotated[float, Field(gt=0, le=86400, allow_inf_nan=False), NUMBER] = Field(
        default=5.0,
        description="Seconds in which workers that follow the work shall have done it; fewer seconds, more workers.",
    )
    ship: StrictBool = Field(default=True, description="Send modules of the working directory to the workers with `client()`.")

    @model_validator(mode="after")
    def _room(self) -> Self:
        if small := self.with_less_memory(_LEAST_MEMORY):
            why = "memory of less than 128 MiB has no room for a Dask worker, let alone for tasks"
            raise PydanticCustomError("room", why, {"retry": dict.fromkeys(small, _LEAST_MEMORY)})
        return self


class DaskService(Service):
    """See `Service`."""

    kind: ClassVar[str] = "dask"
    title: ClassVar[str] = "Dask"
    summary: ClassVar[str] = "Python functions, arrays and data frames on many workers."
    example: ClassVar[str] = _EXAMPLE
    preload: ClassVar[tuple[str, ...]] = (_SCHEDULER, _WORKER)
    packages: ClassVar[tuple[str, ...]] = (
        *("dask", "distributed", "cloudpickle", "msgpack", "tornado", "toolz"),
        *("numpy", "pandas", "pyarrow"),
    )
    Options: ClassVar[type[CommonOptions]] = DaskOptions

    def roles(self, options: CommonOptions) -> tuple[Role, ...]:
        """Return the scheduler and the workers, to be started together: a worker waits for its scheduler."""
        return (
            Role("scheduler", ports=("comm", "dashboard", "control"), step="Scheduler answers"),
            Role("worker", scaled=True, step="Workers register"),
        )

    def instance(self, name: str, role: Role, group: GroupOptions, spec: ClusterSpec, site: Site) -> Instance:
        """Describe a scheduler or a worker.

        A worker offers Dask resources, so that tasks can choose among groups: its threads under the name of its group, and its
        GPUs as ``GPU``. ``client.submit(train, resources={"gpu": 1})`` runs in the group ``gpu``.
        """
        options = validate(DaskOptions, self.kind, spec.options)
        endpoint = site.endpoints.get(name)
        if role.name == "scheduler":
            assert endpoint is not None, "a scheduler has ports, so it has a place"
            return Instance(
                name=name,
                cluster=spec.name,
                role=role.name,
                command=_scheduler(spec.name, endpoint, site, options),
                endpoint=endpoint,
            )
        threads = options.threads or group.cores
        return Instance(
            name=name,
            cluster=spec.name,
            role=role.name,
            group=_group(name),
            command=_worker(name, threads, group, site, options),
            variables={**_variables(threads, group), **options.environment.variables},
            endpoint=endpoint,
            cores=group.cores,
            memory=int(group.memory),
            gpus=group.gpus,
            notice=_NOTICE,
        )

    def secrets(self, spec: ClusterSpec) -> Mapping[str, bytes]:
        """Make a certificate authority, the one certificate it signs, and the key of the dashboard."""
        from jupyter_dodas.certificates import issue

        return issue(spec.name, DASHBOARD)

    def require(self, asked: CommonOptions) -> str:
        """See that the libraries are there."""
        _find("cryptography")
        if asked.environment.python not in (None, sys.executable):
            return self.summary  # of another environment nothing is known here
        _find("distributed")
        return f"distributed {version('distributed')}"

    def link(self, site: Callable[[], Site], changed: Callable[[], None]) -> Link:
        """Connect to the scheduler's control channel."""
        return ReportingLink(site, changed)

    def addresses(self, site: Site) -> Mapping[str, str]:
        """Return where clients and browsers go, once the scheduler has a place."""
        for endpoint in site.endpoints.values():
            if {"comm", "dashboard"} <= endpoint.ports.keys():
                return {"scheduler": f"tls://{endpoint['comm']}", "dashboard": f"http://{endpoint['dashboard']}"}
        return {}

    def mounted(self, page: str, path: str, mount: str, address: str) -> str:
        """Return a page with links that stay below the mount: those of tables go up by one step more than there are."""
        return page.replace('="../../../statics/', f'="{mount}/statics/')


def _find(library: str) -> None:
    if find_spec(library) is None:
        raise MissingSoftware(
            f"Dask clusters need {library}, which is not installed",
            cause="The bare jupyter-dodas comes without the libraries of any kind.",
            remedy='Run: pip install "jupyter-dodas[dask]"',
        )


def _scheduler(cluster: str, endpoint: Endpoint, site: Site, options: DaskOptions) -> tuple[str, ...]:
    ports = [f"--{port}={endpoint.ports[port]}" for port in ("comm", "dashboard", "control")]
    return (
        *("python", "-m", _SCHEDULER),
        *(f"--cluster={cluster}", f"--host={site.listen or endpoint.host}", *ports),
        *(f"--secrets={site.secrets}", f"--target={options.target}"),
    )


def _worker(name: str, threads: int, group: GroupOptions, site: Site, options: DaskOptions) -> tuple[str, ...]:
    own = site.endpoints.get(name)
    offers = [f"--resource={_group(name)}={threads}", *([f"--resource=GPU={group.gpus}"] if group.gpus else [])]
    return (
        *("python", "-m", _WORKER),
        *(f"--name={name}", f"--scheduler={DaskService().addresses(site)['scheduler']}"),
        *([f"--host={own.host}"] if own else []),
        *(f"--secrets={site.secrets}", f"--threads={threads}", f"--memory={int(group.memory)}", *offers),
        *([] if options.spill else ["--no-spill"]),
    )


def _group(name: str) -> str:
    """Tell the group from the name of an instance: ``gpu-3``."""
    return name.rpartition("-")[0]


def _variables(threads: int, group: GroupOptions) -> dict[str, str]:
    """Keep numerical libraries from starting a thread for every core of the machine in every task, and give memory back."""
    each = str(max(group.cores // threads, 1))
    libraries = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
    return {**dict.fromkeys(libraries, each), "MALLOC_TRIM_THRESHOLD_": "65536"}
