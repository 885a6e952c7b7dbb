"""A notebook server as a kind of cluster: one role, one instance, and variables that the hub hands over.

The controller and the hub import this module, so nothing heavy is imported with it.
"""

from collections.abc import Callable, Mapping
from typing import Annotated, ClassVar, Final

from pydantic import Field, field_validator
from pydantic_core import PydanticCustomError

from jupyter_dodas.options import Count, GroupOptions, validate
from jupyter_dodas.options import Options as CommonOptions
from jupyter_dodas.services.base import Instance, Link, Role, Service, Site
from jupyter_dodas.services.notebook.handover import VARIABLES
from jupyter_dodas.services.notebook.link import NotebookLink
from jupyter_dodas.spec import ClusterSpec

__all__ = ["NotebookOptions", "NotebookService"]

_PROCESS: Final = "jupyter_dodas.services.notebook.process"

_GRACE: Final = 10.0
"""Seconds in which kernels may end, and what is open be written."""


class NotebookOptions(CommonOptions):
    """What a notebook server can be asked for: its cores, its memory, its image, and what it runs."""

    workers: Annotated[Count, Field(le=0)] = Field(default=0, description="A notebook has none.")
    adapt: None = Field(default=None, description="A notebook has no workers.")
    idle_timeout: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = Field(
        default=None, description="Seconds of idleness; by default it is left to the hub to judge."
    )
    command: tuple[str, ...] = Field(default=("jupyterhub-singleuser",), min_length=1, description="What it runs. Never a secret.")

    @field_validator("groups")
    @classmethod
    def _no_groups(cls, groups: Mapping[str, GroupOptions]) -> Mapping[str, GroupOptions]:
        if groups:
            raise PydanticCustomError("group", "a notebook has no workers")
        return groups


class NotebookService(Service):
    """See `Service`."""

    kind: ClassVar[str] = "notebook"
    title: ClassVar[str] = "Notebook"
    summary: ClassVar[str] = "The notebook server of a user, started by a hub."
    hidden: ClassVar[bool] = True
    # A kernel that is started again has lost its work, so whoever wants that says so.
    tries: ClassVar[int] = 1
    handed: ClassVar[frozenset[str]] = frozenset({VARIABLES})
    Options: ClassVar[type[CommonOptions]] = NotebookOptions

    def roles(self, asked: CommonOptions) -> tuple[Role, ...]:
        """Return the one role."""
        return (Role("server", ports=("http",), step="Server answers"),)

    def instance(self, name: str, role: Role, group: GroupOptions, spec: ClusterSpec, site: Site) -> Instance:
        """Describe the server."""
        options = validate(NotebookOptions, self.kind, spec.options)
        endpoint = site.endpoints[name]
        host = site.listen or endpoint.host
        where = (f"--variables={site.secrets / VARIABLES}", f"--host={host}", f"--port={endpoint.ports['http']}")
        return Instance(
            name=name,
            cluster=spec.name,
            role=role.name,
            command=("python", "-m", _PROCESS, *where, "--", *options.command),
            endpoint=endpoint,
            cores=options.cores,
            memory=int(options.memory),
            gpus=options.gpus,
            grace=_GRACE,
            interactive=True,
        )

    def link(self, site: Callable[[], Site], changed: Callable[[], None]) -> Link:
        """See when it answers."""
        return NotebookLink(site, changed)

    def addresses(self, site: Site) -> Mapping[str, str]:
        """Return where it answers."""
        server = site.endpoints.get("server")
        return {"http": f"http://{server['http']}"} if server is not None else {}
