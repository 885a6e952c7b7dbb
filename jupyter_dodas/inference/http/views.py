"""What goes over the wire of the management API, both ways."""

from typing import Annotated, Literal

import msgspec

from jupyter_dodas.inference.records import Manifest

__all__ = [
    "BenchmarkRow",
    "CallerView",
    "Done",
    "ErrorReply",
    "ErrorView",
    "Failed",
    "HostView",
    "ModelList",
    "ModelView",
    "Publication",
    "StatusView",
    "Step",
    "Traffic",
    "UploadNote",
    "VersionView",
]

Count = Annotated[int, msgspec.Meta(ge=1, le=1_000_000_000)]
Amount = Annotated[float, msgspec.Meta(ge=0, le=1e15)]


Health = Literal["ready", "starting", "cold", "broken"]


class BenchmarkRow(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What was measured of a version, at one size of batch and one number of clients.

    Parameters
    ----------
    batch
        Rows in each request.
    clients
        That asked at the same time.
    p50_ms
        Milliseconds within which half of the requests were answered.
    p99_ms
        Milliseconds within which 99 % were.
    rows_per_second
        Of all clients together.
    """

    batch: Count
    clients: Count
    p50_ms: Amount
    p99_ms: Amount
    rows_per_second: Amount


class VersionView(Manifest, frozen=True, kw_only=True):
    """One version of a model.

    Parameters
    ----------
    state
        Staged versions are seen and called by their owner and by administrators alone; earlier ones were published before.
    health
        Of its processes: a cold one starts with the next request, a broken one rests after too many ends in a row.
    bytes
        What the engine loads, on the disk.
    benchmark
        What its maker measured.
    """

    state: Literal["published", "staged", "earlier"]
    health: Health
    bytes: int
    benchmark: list[BenchmarkRow] | None = None


class Traffic(msgspec.Struct, frozen=True):
    """What goes through a model; rates and latencies are those of the last minutes.

    Parameters
    ----------
    requests
        Since the server has started.
    p50_ms
        Milliseconds within which half of the requests were answered; null if there were none.
    p99_ms
        Milliseconds within which 99 % were.
    """

    requests: int = 0
    failures: int = 0
    per_second: float = 0.0
    p50_ms: float | None = None
    p99_ms: float | None = None
    in_flight: int = 0
    queued: int = 0


class ModelView(msgspec.Struct, frozen=True):
    """A model, with the versions of it that the caller may see, newest first.

    Parameters
    ----------
    published
        The version that answers; null if none does.
    previous
        The version that a rollback would publish; null if there is none.
    """

    model: str
    published: str | None
    previous: str | None
    versions: list[VersionView]
    traffic: Traffic


class ModelList(msgspec.Struct, frozen=True):
    """All models of which the caller may see a version."""

    models: list[ModelView]


class HostView(msgspec.Struct, frozen=True):
    """Where models run: the server itself, or a replica."""

    name: str
    state: str
    in_flight: int


class CallerView(msgspec.Struct, frozen=True):
    """Who asks, and what they may do."""

    name: str
    rights: list[Literal["predict", "upload", "publish"]]
    administrator: bool


class StatusView(msgspec.Struct, frozen=True):
    """How the server is.

    Parameters
    ----------
    uptime
        Seconds.
    models
        How many there are for this caller.
    """

    version: str
    uptime: float
    hosts: list[HostView]
    models: int
    caller: CallerView


class Publication(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which version is to be published."""

    version: str


class Step(msgspec.Struct, frozen=True):
    """A line about an upload under way: what is done, and how many seconds it took."""

    step: str
    seconds: float


class ErrorView(msgspec.Struct, frozen=True):
    """What happened, why, and what to do."""

    code: str
    message: str
    cause: str
    remedy: str


class ErrorReply(msgspec.Struct, frozen=True):
    """The body of every reply of the management API that is no success."""

    error: ErrorView


class Done(msgspec.Struct, frozen=True):
    """The last line about an upload that is staged."""

    version: VersionView


class Failed(ErrorReply, frozen=True):
    """The last line about an upload that is refused; nothing of it is kept."""


class UploadNote(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``upload.json`` in an uploaded archive: what a maker tells of a model. Everything may be left out.

    Parameters
    ----------
    keys
        Names of the features of a row, in order.
    labels
        Names of the classes, in the order of outputs.
    channels
        Of the images that it takes: 1, 3 or 4; 0 if it takes none.
    packages
        Versions of packages where it was made, by name.
    metrics
        Numbers that its maker found: ``{"auc": 0.92}``.
    note
        A sentence.
    """

    keys: list[Annotated[str, msgspec.Meta(max_length=200)]] = []
    labels: list[Annotated[str, msgspec.Meta(max_length=200)]] = []
    channels: Literal[0, 1, 3, 4] = 0
    packages: dict[str, str] = {}
    metrics: dict[str, float] = {}
    note: Annotated[str, msgspec.Meta(max_length=2000)] = ""
