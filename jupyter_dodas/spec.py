"""The vocabulary that crosses a process boundary: what was asked (spec) and what is (status).

A user writes the spec, the controller alone writes the status. Both are stored, versioned and read by every face, so these are
pydantic models; everything that stays inside a process is a frozen dataclass elsewhere. Times are Unix seconds, sizes bytes.
"""

import re
from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue, StringConstraints

from jupyter_dodas.errors import InvalidOption

__all__ = [
    "FORMAT",
    "LIVE",
    "ClusterSpec",
    "ClusterStatus",
    "Condition",
    "InstanceStatus",
    "Intent",
    "Model",
    "Name",
    "Phase",
    "PhaseChange",
    "Problem",
    "Receipt",
    "Record",
    "Step",
    "Usage",
    "check_name",
]

FORMAT: Final = 1
"""Version of the records; a reader refuses a higher one."""

# A DNS label, short enough that an instance's name made from it ("higgs-worker-12") still is one.
_NAME = re.compile(r"[a-z](?:-?[a-z0-9])*")
_NAME_LENGTH: Final = 40

Name = Annotated[str, StringConstraints(pattern=f"^{_NAME.pattern}$", max_length=_NAME_LENGTH)]


class Phase(StrEnum):
    """Where a cluster is in its life."""

    PENDING = "pending"
    STARTING = "starting"
    READY = "ready"
    DEGRADED = "degraded"
    STOPPING = "stopping"
    STOPPED = "stopped"
    FAILED = "failed"


LIVE: Final = frozenset({Phase.STARTING, Phase.READY, Phase.DEGRADED, Phase.STOPPING})
"""The phases in which instances may exist."""


class Intent(StrEnum):
    """What the user wants of a cluster."""

    RUN = "run"
    STOP = "stop"


class Model(BaseModel):
    """Closed and immutable: a change makes a new one with `model_copy(update=...)`."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class ClusterSpec(Model):
    """What was asked. Every change raises `generation`; `uid` tells successors of one name apart."""

    format: int = FORMAT
    name: Name
    uid: str
    kind: str
    owner: str
    generation: int = 1
    created: float
    place: str = ""
    """Where it runs: host and boot of a machine, or a namespace. The store fills it in."""
    session: str | None = None
    """The platform that it was launched through, which stops it when it ends."""
    intent: Intent = Intent.RUN
    options: Mapping[str, JsonValue] = Field(default_factory=dict)
    """The options of the kind, as its model wrote them."""
    keep_until: float | None = None
    """It is not stopped for idleness before this moment."""
    restarts: int = 0
    """How often a restart was asked for."""


class Problem(Model):
    """What is wrong, why, and what to do."""

    code: str
    message: str
    cause: str = ""
    remedy: str = ""
    retry: Mapping[str, JsonValue] = Field(default_factory=dict)
    """Options with which it would do, by their paths with dots."""


class PhaseChange(Model):
    """A cluster entered a phase."""

    phase: Phase
    at: float


class Step(Model):
    """One named part of a launch, as its user follows it."""

    name: str
    started: float
    ended: float | None = None
    usually: float | None = None
    """Seconds that it took before, as the median; None the first time."""


class Condition(StrEnum):
    """What is known of one instance."""

    STARTING = "starting"
    READY = "ready"
    DRAINING = "draining"
    ENDING = "ending"
    WAITING = "waiting"
    """It died and waits for its next try."""


class InstanceStatus(Model):
    """One process or pod, as the controller last saw it."""

    role: str
    group: str | None = None
    condition: Condition = Condition.STARTING
    host: str = "127.0.0.1"
    ports: Mapping[str, int] = Field(default_factory=dict)
    cores: int = 0
    memory: int = 0
    since: float
    """When its condition changed."""
    started: float | None = None
    """When it was started last."""
    failures: int = 0
    """How often in a row it ended before it was ready or soon after."""
    retry_at: float | None = None
    last_exit: str | None = None
    """How it ended last, in words."""
    drain_until: float | None = None


class Usage(Model):
    """What the instances that have ended took."""

    cpu_seconds: float = 0.0
    peak_memory: int = 0
    core_seconds: float = 0.0
    """Cores held, summed over time."""
    cores: int = 0
    """The most cores that were held at once."""


class ClusterStatus(Model):
    """What is. The controller alone writes it."""

    format: int = FORMAT
    uid: str
    observed_generation: int = 0
    phase: Phase = Phase.PENDING
    history: tuple[PhaseChange, ...] = ()
    steps: tuple[Step, ...] = ()
    instances: Mapping[str, InstanceStatus] = Field(default_factory=dict)
    targets: Mapping[str, int] = Field(default_factory=dict)
    """Workers that each group is to have now."""
    addresses: Mapping[str, str] = Field(default_factory=dict)
    problem: Problem | None = None
    """Why it failed, is degraded, or waits."""
    epoch: str = ""
    """Which life of the runner its instances belong to; they end with it."""
    restarts: int = 0
    idle_since: float | None = None
    stops_at: float | None = None
    """When it will be stopped for idleness, once its user was warned."""
    expired: bool = False
    """It was idle for too long and is being stopped."""
    usage: Usage = Usage()
    ready_at: float | None = None
    versions: Mapping[str, str] = Field(default_factory=dict)
    """Of Python and the packages that matter, where its workers run."""


class Record(Model):
    """A cluster as a store holds it."""

    spec: ClusterSpec
    status: ClusterStatus

    @property
    def name(self) -> str:
        """Its name, which is also its identifier."""
        return self.spec.name

    @property
    def tag(self) -> str:
        """Which state of which cluster this is: uid and generation."""
        return f"{self.spec.uid}.{self.spec.generation}"


class Receipt(Model):
    """What a cluster took from its start to its end: one line of the accounts."""

    format: Literal[1] = 1
    name: str
    uid: str
    kind: str
    owner: str
    start: float
    end: float
    wall_seconds: float
    cpu_seconds: float
    peak_memory: int
    cores: int
    """The most that it held at once."""
    core_seconds: float
    """Cores held, summed over time."""
    outcome: str
    steps: Mapping[str, float] = Field(default_factory=dict)
    """Seconds that each part of its launch took."""


def check_name(name: str) -> str:
    """Return `name` if it can name a cluster.

    Raises
    ------
    InvalidOption
        If it is not a DNS label of at most 40 characters.
    """
    if len(name) <= _NAME_LENGTH and _NAME.fullmatch(name):
        return name
    slug = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-0123456789")[:_NAME_LENGTH].strip("-")
    shown = name if len(name) <= _NAME_LENGTH else f"{name[:_NAME_LENGTH]}..."
    raise InvalidOption(
        f"{shown!r} cannot name a cluster",
        option="name",
        cause=(f"A name has at most {_NAME_LENGTH} lower-case letters, digits and single hyphens, and begins with a letter."),
        remedy=f"For example {slug or 'higgs'!r}.",
        retry={"name": slug or "higgs"},
    )
