"""Frames and arrays of Dask scored through an endpoint, by its workers, partition by partition.

A task has the name of a model and what is known of it. How the endpoint is reached, and its token, are with the worker: a
plugin has brought them there, over Dask's encrypted connections.
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

import numpy as np
from numpy.typing import NDArray

from jupyter_dodas.errors import BadInput, NotSupported
from jupyter_dodas.services.tfaas.client import Client
from jupyter_dodas.services.tfaas.inputs import arrays
from jupyter_dodas.services.tfaas.predicting import predicted
from jupyter_dodas.services.tfaas.versions import Version

__all__ = ["mapped"]

_LOOPBACK: Final = ("127.0.0.1", "::1", "localhost")


def mapped(frame: Any, version: Version, client: Client) -> Any:
    """See `Model.map`."""
    if not version.rowwise:
        raise BadInput(
            f"{version.model!r} cannot score a frame",
            cause="Its inputs or outputs have other free lengths than that of rows.",
            remedy="Ask it by hand: model.predict(...).",
        )
    if len(version.outputs) > 1:
        raise BadInput(
            f"{version.model!r} has {len(version.outputs)} outputs, a frame gets one",
            cause=f"They are {', '.join(one.name for one in version.outputs)}.",
            remedy="Use frame.map_partitions with model.predict of your own.",
        )
    if hasattr(frame, "map_partitions") and hasattr(frame, "columns"):
        return _frame(frame, version, client)
    if hasattr(frame, "map_blocks") and hasattr(frame, "chunks"):
        return _blocks(frame, version, client)
    raise BadInput(
        f"A {type(frame).__name__} is no frame or array of Dask",
        cause="map() is for data that are in parts, on workers.",
        remedy="Ask directly: model.predict(...).",
    )


@dataclass(frozen=True)
class _Scorer:
    """What a task calls. Pickled, it has no connection and no secret."""

    __name__ = "score"  # what Dask calls such tasks

    door: str
    version: Version
    columns: Sequence[str] | None
    client: Client | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "client": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)

    def __dask_tokenize__(self) -> tuple[Any, ...]:
        return (self.door, self.version.model, self.version.version, self.columns)

    def numbers(self, part: Any) -> NDArray[Any]:
        """Return the output for the rows of a part."""
        client = self.client
        if client is None:
            from jupyter_dodas.services.tfaas.doors import opened  # a second, and only where Dask is

            client = opened(self.door)
        return next(iter(predicted(client, self.version, part).values()))

    def __call__(self, part: Any) -> Any:
        import pandas as pd  # type: ignore[import-untyped]

        made = self.numbers(part).reshape(len(part), -1)
        if self.columns is None:
            return pd.Series(made[:, 0], index=part.index, name=self.version.model)
        return pd.DataFrame(made, index=part.index, columns=list(self.columns))


class _Blocks(_Scorer):
    """The same for blocks of an array."""

    def __call__(self, part: Any) -> Any:
        return self.numbers(part)


def _frame(frame: Any, version: Version, client: Client) -> Any:
    import pandas as pd

    arrays(frame._meta, version)  # noqa: SLF001 - as Dask's own collections do; tells of missing columns before anything runs
    wanted = frame[list(version.keys)] if version.keys else frame
    output = version.outputs[0]
    columns = _columns(version)
    scorer = _Scorer(_opened(client), version, columns, _here(client))
    if columns is None:
        meta: Any = pd.Series(np.empty(0, output.dtype), index=frame._meta.index[:0], name=version.model)  # noqa: SLF001
    else:
        meta = pd.DataFrame(np.empty((0, len(columns)), output.dtype), index=frame._meta.index[:0], columns=columns)  # noqa: SLF001
    return wanted.map_partitions(scorer, meta=meta)


def _columns(version: Version) -> list[str] | None:
    """Return names for the numbers that a row gets; None for a single one."""
    width = int(np.prod([n or 1 for n in version.outputs[0].shape[1:]], dtype=np.int64))
    if width == 1:
        return None
    if len(version.labels) == width:
        return list(version.labels)
    return [f"{version.model}_{number}" for number in range(width)]


def _blocks(array: Any, version: Version, client: Client) -> Any:
    wanted, output = version.inputs[0], version.outputs[0]
    if len(version.inputs) > 1 or array.ndim != len(wanted.shape) or array.shape[1:] != wanted.shape[1:]:
        raise BadInput(
            f"An array of the shape {array.shape} does not go into {version.model!r}",
            cause=f"Its input {wanted.name!r} has the shape {wanted.shape}.",
            remedy="The first axis is that of rows.",
        )
    whole = array.rechunk(dict.fromkeys(range(1, array.ndim), -1))
    scorer = _Blocks(_opened(client), version, None, _here(client))
    lost = list(range(len(output.shape), array.ndim))
    tail = tuple((n or 1,) for n in output.shape[1:])
    return whole.map_blocks(
        scorer,
        token=version.model,
        dtype=output.dtype,
        chunks=(whole.chunks[0], *tail),
        drop_axis=lost,
        meta=np.empty((0,) * len(output.shape), output.dtype),
    )


def _here(client: Client) -> Client | None:
    """Return the client for tasks of this process, if nobody else computes."""
    return client if _dask_client() is None else None


def _opened(client: Client) -> str:
    """Have the workers know the endpoint; returns the name by which tasks find it."""
    if (dask := _dask_client()) is None:
        return ""
    address = str(dask.scheduler.address)
    if not address.startswith(("tls://", "inproc://")) and urlsplit(address).hostname not in _LOOPBACK:
        raise NotSupported(
            f"The workers at {address} are not told the token of the endpoint",
            cause="Dask's connections to them are not encrypted, so that others could read it on its way.",
            remedy="Use a cluster of dodas.dask(), or one with a Security of TLS.",
        )
    from jupyter_dodas.services.tfaas.doors import open_at

    return open_at(dask, client.reach)


def _dask_client() -> Any:
    """Return the client of Dask that computes here by default, if there is any."""
    distributed = sys.modules.get("distributed")
    if distributed is None:
        return None
    try:
        return distributed.default_client()
    except ValueError:
        return None
