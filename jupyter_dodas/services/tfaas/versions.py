"""What an endpoint tells of the versions of its models, as Python holds it. Read from JSON; what is not known is left out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

__all__ = ["Measurement", "Tensor", "Traffic", "Version"]


@dataclass(frozen=True)
class Tensor:
    """One input or output of a model.

    Parameters
    ----------
    dtype
        NumPy's name of it.
    shape
        None where the length is free; the first axis is that of rows, if it is free.
    """

    name: str
    dtype: str
    shape: tuple[int | None, ...]

    @property
    def width(self) -> int | None:
        """Numbers in a row of a table; None if its rows are no plain rows of numbers."""
        return self.shape[1] if len(self.shape) == 2 and self.shape[0] is None else None

    @classmethod
    def read(cls, data: Mapping[str, Any]) -> Self:
        """Read what the endpoint tells."""
        return cls(data["name"], data["dtype"], tuple(data["shape"]))


@dataclass(frozen=True)
class Measurement:
    """How fast a version answered: rows in a request, and clients that asked at the same time.

    Parameters
    ----------
    p50_ms, p99_ms
        Milliseconds until an answer: of half of the requests, and of 99 %.
    rows_per_second
        Of all clients together.
    """

    batch: int
    clients: int
    p50_ms: float
    p99_ms: float
    rows_per_second: float


@dataclass(frozen=True)
class Traffic:
    """What is asked of a model: since its server began, and lately."""

    requests: int = 0
    failures: int = 0
    per_second: float = 0.0
    p50_ms: float | None = None
    p99_ms: float | None = None

    @classmethod
    def read(cls, data: Mapping[str, Any]) -> Self:
        """Read what the endpoint tells."""
        return cls(**{name: data[name] for name in cls.__dataclass_fields__ if data.get(name) is not None})


@dataclass(frozen=True)
class Version:
    """One version of a model. It never changes; its state does.

    Parameters
    ----------
    state
        ``published``: everybody gets it; ``staged``: its owner alone can ask for it; ``earlier``: it was published once.
    engine
        What runs it: ``litert``, ``onnx``, ``tensorflow``.
    keys
        Names of the features, in order, where they are known.
    compared, tolerance
        On how many rows it was compared with the original, and the largest difference seen.
    microseconds, memory
        For one row in the engine; bytes of a process that has it loaded.
    layers
        What held the sandbox in which it was converted.
    remark
        Why it is served by another engine than the first choice; nothing if it is not.
    """

    model: str
    version: str
    state: str
    format: str
    engine: str
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    keys: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    owner: str = ""
    created: float = 0.0
    packages: Mapping[str, str] = field(default_factory=dict)
    metrics: Mapping[str, float] = field(default_factory=dict)
    note: str = ""
    compared: int = 0
    tolerance: float = 0.0
    microseconds: float = 0.0
    memory: int = 0
    layers: tuple[str, ...] = ()
    remark: str = ""
    benchmark: tuple[Measurement, ...] = ()

    @property
    def rowwise(self) -> bool:
        """Whether its rows can be sent in several requests: the first axis alone is free, everywhere."""
        return all(one.shape and one.shape[0] is None and None not in one.shape[1:] for one in (*self.inputs, *self.outputs))

    @classmethod
    def read(cls, data: Mapping[str, Any]) -> Self:
        """Read what the endpoint tells."""
        lineage, check = data.get("lineage") or {}, data.get("check") or {}
        return cls(
            **{name: data[name] for name in ("model", "version", "state", "format", "engine")},
            inputs=_tensors(data["signature"]["inputs"]),
            outputs=_tensors(data["signature"]["outputs"]),
            keys=tuple(data.get("keys") or ()),
            labels=tuple(data.get("labels") or ()),
            **{name: lineage[name] for name in ("owner", "created", "packages", "metrics", "note") if name in lineage},
            **{name: check[name] for name in ("compared", "tolerance", "microseconds", "memory") if name in check},
            layers=tuple(check.get("layers") or ()),
            remark=check.get("note") or "",
            benchmark=tuple(Measurement(**row) for row in data.get("benchmark") or ()),
        )


def _tensors(told: Sequence[Mapping[str, Any]]) -> tuple[Tensor, ...]:
    return tuple(map(Tensor.read, told))
