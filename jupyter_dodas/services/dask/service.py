"""Dask as a kind of cluster: one scheduler, and workers that find it by themselves.

The controller and every client import this module, so nothing heavy is imported with it.
"""

from collections.abc import Callable, Mapping
from importlib.util import find_spec
from typing import Annotated, ClassVar, Final

from pydantic import Field

from jupyter_dodas.errors import MissingSoftware
from jupyter_dodas.options import GroupOptions, Options, validate
from jupyter_dodas.services.base import Endpoint, Instance, Link, Role, Service, Site
from jupyter_dodas.services.dask.link import DaskLink
from jupyter_dodas.spec import ClusterSpec

__all__ = ["DaskOptions", "DaskService"]

_SCHEDULER: Final = "jupyter_dodas.services.dask.scheduler"
_WORKER: Final = "jupyter_dodas.services.dask.worker"


class DaskOptions(Options):
    """What a Dask cluster can be asked for."""

    threads: Annotated[int, Field(ge=1, le=1024)] | None = Field(
        default=None, description="Tasks that each worker runs at once; by default one for each of its cores."
    )
    spill: bool = Field(default=True, description="Let workers write results to disk when their memory runs short.")
    target: Annotated[float, Field(gt=0, le=86400, allow_inf_nan=False)] = Field(
        default=5.0, description="Seconds in which waiting work shall be done, where workers follow the work; smaller asks for more workers."
    )
    ship: bool = Field(default=True, description="Send modules of the working directory to the workers with `client()`.")


class DaskService(Service):
    """See `Service`."""

    kind: ClassVar[str] = "dask"
    title: ClassVar[str] = "Dask"
    summary: ClassVar[str] = "Python functions, arrays and data frames on many workers."
    Options: ClassVar[type[Options]] = DaskOptions

    def roles(self, options: Options) -> tuple[Role, ...]:
        """Return the scheduler and the workers, to be started together: a worker waits for its scheduler."""
        _require_distributed()
        return (
            Role("scheduler", ports=("comm", "dashboard", "control"), step="Scheduler answers"),
            Role("worker", scaled=True, step="Workers register"),
        )

    def instance(self, name: str, role: Role, group: GroupOptions, spec: ClusterSpec, site: Site) -> Instance:
        """Describe a scheduler or a worker.

        A worker offers Dask resources, so that tasks can ask for a kind of it: its threads under the name of its group, and
        ``GPU``: ``client.submit(train, resources={"gpu": 1})`` runs in the group ``gpu``.
        """
        options = validate(DaskOptions, self.kind, spec.options)
        where = options.environment
        scheduler = role.name == "scheduler"
        endpoint = site.endpoints.get(name)
        if scheduler:
            assert endpoint is not None
            arguments, variables = _scheduler(name, endpoint, options), {}
        else:
            own = _group_name(group, options)
            arguments, variables = _worker(name, own, group, endpoint, site, options), _thread_limits(group, options)
        return Instance(
            name=name,
            cluster=spec.name,
            role=role.name,
            group=None if scheduler else own,
            command=("python", "-m", *arguments, "--secrets", str(site.secrets)),
            preload=(_SCHEDULER, _WORKER),
            variables={**variables, **where.variables},
            endpoint=endpoint,
            cores=1 if scheduler else group.cores,
            memory=0 if scheduler else int(group.memory),
            gpus=0 if scheduler else group.gpus,
            python=where.python,
            image=where.image,
            folder=where.folder,
            files=where.files,
            credentials=where.credentials,
        )
