"""What a service is: a kind of cluster, described without knowing where it runs.

A kind is a package with a `Service` (pure: which instances it wants, and how to talk to them) and a face for Python. Both are
found by entry points, so that another package can bring a kind: groups `jupyter_dodas.services` and `jupyter_dodas.faces`.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Protocol

from jupyter_dodas import options
from jupyter_dodas.options import GroupOptions
from jupyter_dodas.spec import ClusterSpec

__all__ = ["Endpoint", "Instance", "Link", "Report", "Role", "Service", "Site"]


@dataclass(frozen=True)
class Role:
    """A part of a cluster.

    Parameters
    ----------
    name
        ``scheduler``, ``worker``, ...
    ports
        Names of the ports that an instance of it listens on.
    after
        Roles that must answer before this one is started. Leave it empty where the program itself waits for the others.
    scaled
        Whether there are as many as `Options.workers` and its groups say; otherwise there is one.
    step
        What a user reads while it starts: "Scheduler answers".
    """

    name: str
    ports: tuple[str, ...] = ()
    after: tuple[str, ...] = ()
    scaled: bool = False
    step: str = ""


@dataclass(frozen=True)
class Endpoint:
    """Where an instance is reached: a host, and its ports by name."""

    host: str
    ports: Mapping[str, int]

    def __getitem__(self, port: str) -> str:
        """``host:port`` of a named port."""
        return f"{self.host}:{self.ports[port]}"


@dataclass(frozen=True)
class Site:
    """What a service may know of the place that an instance runs in, or that it is reached from.

    Parameters
    ----------
    cluster
        The name of the cluster.
    endpoints
        Every instance that has ports, by its name.
    secrets
        A folder with the files that `Service.secrets` made, as the instance (or the link) sees it.
    listen
        The address that instances listen on, where it is not the host of their endpoint: that leads to them, and is not their own.
    inner
        The endpoints as instances know each other by, where this is how another process reaches them.
    kept
        A folder for what instances write and find again when they are started again. It goes with the cluster; where a place has
        nothing that lasts as long, with each instance. Relative: to where they work.
    """

    cluster: str
    endpoints: Mapping[str, Endpoint]
    secrets: Path
    listen: str | None = None
    inner: Mapping[str, Endpoint] | None = None
    kept: Path = Path()


@dataclass(frozen=True)
class Instance:
    """One process or pod to run.

    Parameters
    ----------
    command
        Program and arguments, never a secret. ``python`` as the program is the cluster's own interpreter.
    preload
        Modules that a ``python -m`` command may find imported already, where a runner forks instances from a prepared process.
    variables
        Environment variables, never a secret.
    files
        Paths of the user to lay beside the instance; `folder` is where it works.
    credentials
        A folder of the user's data credentials.
    grace
        Seconds between the polite and the hard end.
    notice
        Seconds, beyond the grace, in which it brings its work to an end when the place takes it away: a node that is emptied.
    any_port
        Whether others connect to ports of it that are not in its endpoint.
    interactive
        Whether it is where the user works: it may launch clusters beside it, and has the user's home where a place keeps one.
    lasting
        Bytes of `Site.kept` that must outlast it, so that another in its place finds what it wrote; 0 if nothing must.
    """

    name: str
    cluster: str
    role: str
    command: tuple[str, ...]
    group: str | None = None
    preload: tuple[str, ...] = ()
    variables: Mapping[str, str] = field(default_factory=dict)
    endpoint: Endpoint | None = None
    cores: int = 1
    memory: int = 0
    gpus: int = 0
    python: str | None = None
    image: str | None = None
    folder: str | None = None
    files: tuple[str, ...] = ()
    credentials: str | None = None
    grace: float = 5.0
    notice: float = 0.0
    any_port: bool = False
    interactive: bool = False
    lasting: int = 0


@dataclass(frozen=True)
class Report:
    """What a running service says of itself.

    Parameters
    ----------
    ready
        Instances that answer, by name.
    busy
        Instances that must not be taken away now.
    wanted
        Workers that the present work could use, over all groups; None if the service cannot tell.
    active
        Whether a task, job or request runs or waits. An open connection alone is not activity.
    last_active
        Seconds since activity ended; None if there was none since the start.
    versions
        Of Python and of `Service.packages` where its workers run, once that is known.
    """

    ready: frozenset[str] = frozenset()
    busy: frozenset[str] = frozenset()
    wanted: int | None = None
    active: bool = False
    last_active: float | None = None
    versions: Mapping[str, str] = field(default_factory=dict)


class Link(Protocol):
    """The controller's connection to one running cluster. It survives deaths of the instances that it talks to."""

    async def report(self) -> Report:
        """Return the latest state; an empty report while nothing answers. Never raises for an unreachable service."""
        ...

    async def drain(self, instances: Sequence[str]) -> Collection[str]:
        """Take no new work to these, move what they hold, and return those that can be deleted now. May be repeated."""
        ...

    async def close(self) -> None:
        """Let go of every connection."""
        ...


class Service(ABC):
    """A kind of cluster. Stateless: one object serves all clusters of the kind."""

    kind: ClassVar[str]
    title: ClassVar[str]
    """The name that its community knows: ``Dask``."""
    summary: ClassVar[str]
    """One sentence for launchers and help."""
    worker: ClassVar[str] = "worker"
    """What its community calls a worker."""
    snippet: ClassVar[str] = "client = cluster.client()"
    """Python that makes of `cluster` what its community works with; screens insert it."""
    example: ClassVar[str] = ""
    """Python that a newcomer runs after it, to see the workers at work for some seconds."""
    preload: ClassVar[tuple[str, ...]] = ()
    """Modules that its ``python -m`` commands run or import, for runners that fork instances from a prepared process."""
    packages: ClassVar[tuple[str, ...]] = ()
    """Packages that must have the same version at both ends, where data and code are sent between them."""
    image: ClassVar[str] = "worker"
    """Which of the images of ``script/images`` has what its instances need."""
    reserved: ClassVar[frozenset[str]] = frozenset()
    """Names that no cluster of this kind can have."""
    hidden: ClassVar[bool] = False
    """Whether lists and limits leave it out."""
    panel: ClassVar[str] = ""
    """What its cards show besides, of the panels that the screens have: ``models``."""
    verbs: ClassVar[frozenset[str]] = frozenset()
    """Dashboards through which something can be changed as well; others are only looked at."""
    tries: ClassVar[int] = 4
    """Deaths in a row, of a part that it cannot be without, after which a cluster has failed; with 1 nothing is started again."""
    handed: ClassVar[frozenset[str]] = frozenset()
    """Files of secrets that whoever launches a cluster gives to `Store.keep_secrets`. Nothing starts before they are there."""
    Options: ClassVar[type[options.Options]] = options.Options

    @abstractmethod
    def roles(self, asked: options.Options) -> tuple[Role, ...]:
        """Return the parts of a cluster with these options, in the order of their start."""

    @abstractmethod
    def instance(self, name: str, role: Role, group: GroupOptions, spec: ClusterSpec, site: Site) -> Instance:
        """Describe one instance. Pure: the same arguments give the same instance."""

    def secrets(self, spec: ClusterSpec) -> Mapping[str, bytes]:
        """Make the secrets of a new cluster, by file name."""
        return {}

    def require(self, asked: options.Options) -> str:
        """See that this machine has what instances with these options run on, and say what that is. Quick; starts nothing.

        Raises
        ------
        MissingSoftware
        """
        return self.summary

    def apart(self, asked: options.Options) -> options.Options:
        """Return the options that a cluster needs whose instances cannot reach the processes that use it. Pure."""
        return asked

    @abstractmethod
    def link(self, site: Callable[[], Site], changed: Callable[[], None]) -> Link:
        """Return a connection to a cluster.

        Parameters
        ----------
        site
            Where its instances are now.
        changed
            To be called, on the loop's thread, when a new report differs from the last.
        """

    def addresses(self, site: Site) -> Mapping[str, str]:
        """Return what faces show and connect to, by name: ``scheduler``, ``dashboard``. No secrets."""
        return {}

    def key(self, dashboard: str, secrets: Path, now: float) -> Mapping[str, str]:
        """Return the headers that open one of its dashboards: a bearer token, from the file ``<dashboard>.token`` if there is one.

        Parameters
        ----------
        secrets
            The folder with the files that `secrets` made.
        now
            Unix seconds, for keys that lose their worth.
        """
        file = secrets / f"{dashboard}.token"
        return {"Authorization": f"Bearer {file.read_text().strip()}"} if file.is_file() else {}

    def mounted(self, page: str, path: str, mount: str, address: str) -> str:
        """Return a page of one of its dashboards as it must read below a path: with links that do not leave it.

        Parameters
        ----------
        page
            HTML or JSON.
        path
            Where the page is, from the root of the dashboard: ``/jobs/``.
        mount
            Where a browser sees that root: ``/user/ada/dodas/api/v1/clusters/higgs/ui/dashboard``.
        address
            Where the dashboard itself listens, as in `addresses`.
        """
        return page
