"""What a backend is: two small protocols, a store for records and a runner for instances.

`Store` holds the truth; `Runner` makes processes or pods. Neither knows a kind. The contract suites in `jupyter_dodas.testing`
say what each owes; passing them is what makes a backend.
"""

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Final, Protocol, TypeAlias

from jupyter_dodas.limits import Allowance
from jupyter_dodas.options import Options
from jupyter_dodas.services.base import Endpoint, Instance, Service, Site
from jupyter_dodas.settings import Limits
from jupyter_dodas.spec import ClusterSpec, ClusterStatus, Problem, Receipt, Record

__all__ = [
    "MANDATE",
    "TOKEN",
    "Backend",
    "Connection",
    "InstanceState",
    "Line",
    "Load",
    "Runner",
    "Running",
    "Store",
    "Tenure",
    "lost",
]


Line: TypeAlias = tuple[str, str]
"""An instance, and a line that it wrote."""

MANDATE: Final = "mandate"
"""The secret of a place with which its controller asks a hub for access tokens of the user; see `iam.mandate`."""

TOKEN: Final = "token"  # noqa: S105 - its name
"""The secret of a place that is such a token. Instances find it in the file that BEARER_TOKEN_FILE names."""


class Store(Protocol):
    """Versioned records. A write on a stale generation fails; a status write never makes a user's write fail."""

    async def create(self, spec: ClusterSpec) -> Record:
        """Write a new record. `AlreadyExists` if the name is taken."""
        ...

    async def get(self, name: str) -> Record:
        """Read one. `NotFound`, `DamagedRecord`, `NewerRecord`."""
        ...

    async def list(self) -> Sequence[Record]:
        """Read all that can be read, by name."""
        ...

    async def change(self, spec: ClusterSpec) -> Record:
        """Replace a spec by one derived from the generation that stands there; it is stored as the next generation.

        Raises
        ------
        StaleGeneration
            If `spec.generation` is not the stored one.
        NotFound
            If the record is gone or is another uid's.
        """
        ...

    async def report(self, name: str, status: ClusterStatus) -> None:
        """Replace the status. `NotFound` if the record is gone or is another uid's."""
        ...

    async def remove(self, name: str, uid: str) -> None:
        """Remove a record with its secrets and logs. Removing twice is no error."""
        ...

    async def keep_secrets(self, name: str, secrets: Mapping[str, bytes]) -> None:
        """Store the secrets of a cluster, readable by its owner alone."""
        ...

    async def secrets(self, name: str) -> Mapping[str, bytes]:
        """Read the secrets of a cluster; empty before there are any."""
        ...

    async def entrust(self, name: str, secret: bytes) -> None:
        """Store a secret of the place itself, of no cluster, readable by its owner alone. An empty one is none."""
        ...

    async def entrusted(self, name: str) -> bytes:
        """Read a secret of the place itself; empty if there is none."""
        ...

    async def account(self, receipt: Receipt) -> None:
        """Append one line to the accounts."""
        ...

    async def receipts(self) -> Sequence[Receipt]:
        """Read the accounts, oldest first. A cluster stands there once, also if a controller was killed while it wrote."""
        ...

    def watch(self) -> AbstractAsyncContextManager[AsyncIterator[str]]:
        """Yield names of records that may have changed; an empty name is for all. Nothing that came after entering is lost."""
        ...


class InstanceState(StrEnum):
    """What a runner knows of an instance: whether it runs, not whether it answers."""

    RUNNING = "running"
    ENDED = "ended"
    WAITING = "waiting"
    """It was applied and the place did not take it; applied again it may be."""


@dataclass(frozen=True)
class Running:
    """An instance as its runner sees it.

    Parameters
    ----------
    exit
        How it ended, in words: "exit code 1", "killed by SIGKILL".
    cpu_seconds, peak_memory
        What it took, children included, once it has ended.
    pending
        Whether its program has yet to begin, so that nobody can expect it to answer.
    began
        When its program began, in Unix seconds, where the runner knows that.
    trouble
        What keeps it from running, once that is known.
    """

    state: InstanceState
    exit: str | None = None
    ok: bool = False
    cpu_seconds: float = 0.0
    peak_memory: int = 0
    pending: bool = field(default=False, compare=False)
    began: float | None = field(default=None, compare=False)
    trouble: Problem | None = field(default=None, compare=False)


class Runner(Protocol):
    """Where instances run. Every call may be repeated without harm; names are deterministic."""

    @property
    def epoch(self) -> str:
        """Identifies the life of the runner; instances never outlive it."""
        ...

    async def place(self, cluster: str, name: str, ports: Sequence[str]) -> Endpoint:
        """Choose where an instance will be reached. A second call may choose other ports, after some were found taken."""
        ...

    async def secrets_folder(self, cluster: str) -> Path:
        """Where an instance of this cluster finds its secrets."""
        ...

    async def kept_folder(self, cluster: str) -> Path:
        """Return the folder, as instances see it, for what they find again when they are started again; see `Site.kept`."""
        ...

    @property
    def listen(self) -> str | None:
        """The address that instances listen on; None for the hosts of their endpoints."""
        ...

    async def reach(self, site: Site) -> Site:
        """Return a site as this process sees it: where it reaches the instances, and a folder of secrets that it can read."""
        ...

    async def apply(self, instance: Instance) -> None:
        """Run it, unless an instance of its name is there, running or ended."""
        ...

    async def observe(self, cluster: str) -> Mapping[str, Running]:
        """Return every instance of a cluster that was applied and not deleted."""
        ...

    async def clusters(self) -> Collection[str]:
        """Names of all clusters of which there is an instance, whether or not there is a record."""
        ...

    async def delete(self, cluster: str, name: str) -> None:
        """Ask it to end; after its grace it is killed, children and all. Returns at once; it is seen as ended until `forget`."""
        ...

    async def kill(self, cluster: str, name: str) -> None:
        """End it and all its children at once. Otherwise as `delete`."""
        ...

    async def forget(self, cluster: str, name: str) -> None:
        """Let go of an instance that has ended, so that its name can be applied again."""
        ...

    def watch(self) -> AbstractAsyncContextManager[AsyncIterator[str]]:
        """Yield names of clusters of which an instance may have changed."""
        ...

    async def logs(self, cluster: str, instance: str | None = None, *, lines: int = 200) -> Mapping[str, str]:
        """Return the last lines of what each instance wrote, by its name, also of ended ones as long as the record is there."""
        ...


@dataclass(frozen=True)
class Connection:
    """What a client needs to reach a cluster.

    Parameters
    ----------
    addresses
        By name: ``scheduler``, ``dashboard``.
    secrets
        A folder with keys and certificates.
    """

    addresses: Mapping[str, str]
    secrets: Path


@dataclass(frozen=True)
class Load:
    """What something uses now: cores that compute, and bytes of memory."""

    cores: float = 0.0
    memory: int = 0

    def __add__(self, other: "Load") -> "Load":
        return Load(self.cores + other.cores, self.memory + other.memory)


class Tenure(Protocol):
    """What the one controller of a place holds: its records and its instances, for as long as it is in charge."""

    @property
    def store(self) -> Store:
        """The records that it looks after."""
        ...

    @property
    def runner(self) -> Runner:
        """Who runs their instances."""
        ...

    async def limits(self) -> Limits:
        """Return the limits that hold now, those that somebody else has set for the place among them. It is asked at every look."""
        ...

    async def resign(self) -> bool:
        """Give it up, since there was nothing to do for a while; False if something has come in between."""
        ...


class Backend(Protocol):
    """A place: where users look and write. The controller of the place has a runner as well."""

    name: str

    @property
    def store(self) -> Store:
        """The records of the place."""
        ...

    @property
    def here(self) -> str | None:
        """The address at which instances reach this process; None if they cannot."""
        ...

    def check(self, service: Service, asked: Options) -> Options:
        """See that a cluster of this kind with these options can run here, before anything is started.

        Returns the options with what this place takes from whoever launches: a folder, an interpreter; and with what
        `Service.apart` needs, where instances cannot reach this process.

        Raises
        ------
        InvalidOption, MissingSoftware
        """
        ...

    async def wake(self, cluster: str | None = None, *, expect: Sequence[str] = ()) -> None:
        """See that a controller runs here, and that it looks at `cluster` soon.

        Parameters
        ----------
        expect
            Modules that instances of a coming launch preload: a place that is only now started begins to import them.
        """
        ...

    async def allowance(self) -> Allowance:
        """Return the limits that hold here: the user's own, and below them those that somebody else has set for the place."""
        ...

    async def connection(self, record: Record) -> Connection:
        """Return what a client in this process needs to reach a cluster."""
        ...

    async def logs(self, cluster: str, instance: str | None = None, *, lines: int = 200) -> Mapping[str, str]:
        """See `Runner.logs`."""
        ...

    def tail(self, cluster: str, wanted: Callable[[str], bool], *, lines: int) -> AsyncGenerator[Sequence[Line], None]:
        """Yield the last lines of the instances that are wanted, then what is new, until the cluster is gone."""
        ...

    def loads(self, *, every: float) -> AsyncGenerator[Mapping[str, Mapping[str, Load]], None]:
        """Yield what instances use now, by cluster and instance, about every so many seconds until it is closed.

        It costs something only meanwhile, writes nothing and gives no hints. Whose use is not known is left out; where nobody can
        tell at all, it ends.
        """
        ...


def lost(name: str) -> Problem:
    """Say that a cluster ended because its runner did: what a store and a controller tell of it."""
    return Problem(
        code="keeper-died",
        message=f"Everything of {name!r} has ended",
        cause="The process that kept it ended, or the machine was restarted.",
        remedy=f"Start it again with `dodas restart {name}`, or dismiss it with `dodas stop {name}`.",
    )
