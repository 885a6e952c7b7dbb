"""What goes over the wire to a screen: the bodies of requests and replies, and what a notebook keeps of a cluster."""

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Annotated, Any, ClassVar, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, JsonValue, StrictBool, model_validator
from pydantic_core import PydanticCustomError

from jupyter_dodas import registry
from jupyter_dodas.errors import DodasError, InvalidOption
from jupyter_dodas.limits import Quota, Share
from jupyter_dodas.options import NUMBER, Adapt, Count
from jupyter_dodas.settings import Limits
from jupyter_dodas.spec import ClusterSpec, ClusterStatus, Name, Receipt, Record

__all__ = [
    "ClusterList",
    "ClusterPatch",
    "ClusterRequest",
    "ClusterView",
    "ErrorView",
    "GroupPatch",
    "KindList",
    "KindView",
    "LoadView",
    "LogLine",
    "LogsQuery",
    "LogsView",
    "PictureView",
    "QuotaView",
    "ReceiptList",
    "ReceiptsQuery",
    "UsageQuery",
    "UsageView",
    "dashboards",
    "drawn",
]

MOST_LINES: Final = 10_000


class Body(BaseModel):
    """Closed and immutable."""

    model_config = ConfigDict(frozen=True, extra="forbid")


# -- requests ---------------------------------------------------------------------------------------------------------


class ClusterRequest(Body):
    """A cluster to launch."""

    kind: str = Field(description="What: one of the kinds.")
    name: Name | None = Field(default=None, description="What to call it; by default the kind and a number.")
    options: Mapping[str, JsonValue] = Field(default_factory=dict, description="What the kind can be asked for; see its schema.")


class GroupPatch(Body):
    """Another size for a group of workers: a number, or bounds between which it follows the work."""

    workers: Count | None = Field(default=None, description="How many workers; they no longer follow the work.")
    adapt: Adapt | None = Field(default=None, description="Bounds for workers that follow the work; null ends that.")

    @model_validator(mode="after")
    def _one_of_them(self) -> Self:
        if self.workers is not None and self.adapt is not None:
            raise PydanticCustomError("size", "give a number of workers or bounds to adapt between, not both")
        return self

    def options(self) -> dict[str, Any]:
        """Return the options of a group that change."""
        if self.workers is not None:
            return {"workers": self.workers, "adapt": None}
        if "adapt" in self.model_fields_set:
            return {"adapt": self.adapt.model_dump() if self.adapt else None}
        return {}


class ClusterPatch(GroupPatch):
    """What is to be different. Fields that are left out stay as they are."""

    groups: Mapping[str, GroupPatch] = Field(default_factory=dict, description="The same for groups of workers, by their names.")
    keep_until: Annotated[float, Field(ge=0, allow_inf_nan=False), NUMBER] | None = Field(
        default=None, description="Unix seconds until which it is not stopped for idleness, at most a year from now; null for none."
    )
    restart: StrictBool = Field(default=False, description="End all that runs of it and start it again, also after a failure.")


class LogsQuery(Body):
    """Which lines of which logs."""

    instance: str | None = Field(default=None, description="One instance, `worker-2`, or all of a role or group, `worker`.")
    lines: Annotated[int, Field(ge=1, le=MOST_LINES)] = Field(default=200, description="At most so many of each instance.")
    follow: bool = Field(default=False, description="Go on with each new line until the cluster is gone.")


class ReceiptsQuery(Body):
    """Whose receipts."""

    uids: str = Field(default="", description="Of clusters with these uids, with commas between them; by default all there are.")


class UsageQuery(Body):
    """Whether to go on."""

    follow: bool = Field(
        default=False, description="Go on with a line of JSON about every two seconds, for as long as somebody reads."
    )


# -- replies ----------------------------------------------------------------------------------------------------------


class KindView(Body):
    """A kind of cluster that can be launched."""

    kind: str
    title: str = Field(description="The name that its community knows.")
    summary: str = Field(description="One sentence.")
    worker: str = Field(description="What its community calls a worker.")
    snippet: str = Field(description="Python that makes of `cluster` what its community works with.")
    example: str = Field(description="Python that shows it at work, after that; empty if there is none.")
    options: Mapping[str, JsonValue] = Field(description="JSON Schema of its options.")
    panel: str = Field(default="", description="What its cards show besides: `models`, or nothing.")
    usually: float | None = Field(default=None, description="Seconds until one is ready, as the median of the last ones.")

    @classmethod
    @cache
    def of(cls, kind: str) -> Self:
        """Describe a kind."""
        service = registry.service(kind)
        schema = service.Options.model_json_schema()
        return cls(
            kind=kind,
            title=service.title,
            summary=service.summary,
            worker=service.worker,
            snippet=service.snippet,
            example=service.example,
            options=schema,
            panel=service.panel,
        )


class KindList(Body):
    """Every kind that can be launched."""

    kinds: Sequence[KindView]


class ClusterView(Body):
    """A cluster: what was asked and what is."""

    name: str
    tag: str = Field(description="Which generation of which cluster this is, as in ETag and If-Match.")
    dashboards: Mapping[str, str] = Field(description="Paths of its dashboards below this API, by name.")
    spec: ClusterSpec
    status: ClusterStatus

    @classmethod
    def of(cls, record: Record) -> "ClusterView":
        """Show a record."""
        # A record that cannot be read is listed with what is known of it, which need not be valid.
        return cls.model_construct(
            name=record.name, tag=record.tag, dashboards=dashboards(record), spec=record.spec, status=record.status
        )


class ClusterList(Body):
    """Every cluster of the user, by name."""

    clusters: Sequence[ClusterView]


class LogsView(Body):
    """The last lines that instances wrote."""

    logs: Mapping[str, str] = Field(description="Text by instance.")


class LogLine(Body):
    """One line, of a reply that follows."""

    instance: str
    line: str


class LoadView(Body):
    """What the workers of a cluster use now."""

    cores: float = Field(description="Cores that compute.")
    memory: int = Field(description="Resident bytes.")


class UsageView(Body):
    """What is used of what is held. It is no part of a record, costs something only while it is asked for, and gives no hints."""

    usage: Mapping[str, LoadView] = Field(description="By cluster; those of which nobody can tell are left out.")


class ReceiptList(Body):
    """What clusters took that have ended, oldest first."""

    receipts: Sequence[Receipt]


class QuotaView(Body):
    """What may be held at once, and what is held."""

    limits: Limits = Field(description="null is no limit.")
    used: Share
    enforced: bool = Field(description="Whether somebody that the user cannot change sees to it; otherwise it is a guard rail.")

    groups: Sequence[str] = Field(description="Groups of the identity provider that give the limits.")

    @classmethod
    def of(cls, quota: Quota) -> Self:
        """Show a quota."""
        return cls(limits=quota.limits, used=quota.used, enforced=quota.enforced, groups=quota.groups)


class ErrorView(BaseModel):
    """What happened, why, and what to do."""

    model_config = ConfigDict(frozen=True)

    code: str = Field(description="Stable, for programs.")
    message: str = Field(description="What happened.")
    cause: str = Field(default="", description="Why.")
    remedy: str = Field(default="", description="What to do.")
    retryable: bool = Field(default=False, description="Whether the same request may succeed later.")
    option: str = Field(default="", description="Which option is to blame, as a path with dots, if it is one.")
    retry: Mapping[str, JsonValue] = Field(
        default_factory=dict, description="Options with which the same request would do, by their paths with dots."
    )

    @classmethod
    def of(cls, error: DodasError) -> Self:
        """Show an error."""
        return cls(
            code=error.code,
            message=error.message,
            cause=error.cause,
            remedy=error.remedy,
            retryable=error.retryable,
            option=error.option if isinstance(error, InvalidOption) else "",
            retry=error.retry,
        )


class PictureView(Body):
    """The last state of a cluster, as a notebook keeps it: what a card draws, and nothing else of what was asked."""

    MIME: ClassVar[str] = "application/vnd.jupyter-dodas.cluster+json"

    version: Literal[1] = 1
    at: float = Field(description="When it was so, in Unix seconds.")
    title: str = Field(description="The name of its kind that its community knows.")
    cluster: Mapping[str, JsonValue] | None = Field(
        description="A part of its `ClusterView`; null of one that is still to be launched."
    )

    @classmethod
    def of(cls, record: Record | None, at: float) -> Self:
        """Show a record."""
        if record is None:
            return cls(at=at, title="", cluster=None)
        kind = record.spec.kind
        title = registry.service(kind).title if kind in registry.kinds() else kind
        return cls(at=at, title=title, cluster=drawn(record))


def drawn(record: Record) -> dict[str, Any]:
    """Return what a card draws of a cluster, as JSON. Notebooks are shared: variables and folders of its user are not among it."""
    shown = ClusterView.of(record).model_dump(mode="json", include=_DRAWN, warnings=False)
    shown["spec"]["options"] = {name: record.spec.options[name] for name in ("workers", "adapt") if name in record.spec.options}
    return shown


_DRAWN: Final[Any] = {
    "name": True,
    "tag": True,
    "dashboards": True,
    "spec": {"uid", "kind", "generation", "intent", "keep_until"},
    "status": {
        "phase": True,
        "steps": True,
        "instances": {"__all__": {"role", "group", "condition", "cores", "memory"}},
        "targets": True,
        "problem": True,
        "idle_since": True,
        "stops_at": True,
        "ready_at": True,
        "versions": True,
    },
}


def dashboards(record: Record) -> dict[str, str]:
    """Return paths of dashboards below the API, by name: of every address that a browser could open."""
    return {
        name: f"clusters/{record.name}/ui/{name}/"
        for name, address in record.status.addresses.items()
        if address.startswith("http://")
    }
