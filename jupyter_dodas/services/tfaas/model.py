"""A model at an endpoint, as its user holds it: deployed from a cell, measured, asked, published.

The blocking face holds the logic here, and the asynchronous one calls it in threads: exports, numbers and the bytes of HTTP
block whoever handles them, and nothing else is done.
"""

import asyncio
import functools
import json
import shlex
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final, ParamSpec

import numpy as np
from numpy.typing import NDArray

from jupyter_dodas.errors import BadInput, ModelNotFound
from jupyter_dodas.services.tfaas import measuring, scoring, showing
from jupyter_dodas.services.tfaas.client import Client, model_path
from jupyter_dodas.services.tfaas.inputs import arrays, rows_of
from jupyter_dodas.services.tfaas.measuring import Benchmark
from jupyter_dodas.services.tfaas.predicting import predicted
from jupyter_dodas.services.tfaas.tensors import DATATYPES
from jupyter_dodas.services.tfaas.versions import Traffic, Version

__all__ = ["AsyncModel", "Curl", "Model"]

P = ParamSpec("P")

_MOST_IN_A_COMMAND: Final = 100_000
"""Characters: a command line has an end."""


class Model:
    """A model at an endpoint: one version of it, or whichever is published.

    Parameters
    ----------
    endpoint
        Name of the endpoint.
    version
        The version that it stands for; None for the one that is published when it is asked.
    """

    def __init__(self, client: Client, endpoint: str, name: str, version: Version | str | None = None) -> None:
        self._client, self._endpoint, self.name = client, endpoint, name
        self._version = version.version if isinstance(version, Version) else version
        self._known = version if isinstance(version, Version) else None

    @property
    def version(self) -> str | None:
        """The version that it stands for; None if it follows what is published."""
        return self._version

    def versions(self) -> Sequence[Version]:
        """Return all versions that you may see, newest first.

        Raises
        ------
        ModelNotFound
        """
        return self._look()[1]

    def info(self) -> Version:
        """Return what is known of the version that it stands for: signature, check, lineage, state.

        Raises
        ------
        ModelNotFound
            Also if none is published.
        """
        published, versions, _ = self._look()
        wanted = self._version or published
        found = next((one for one in versions if one.version == wanted), None)
        if found is None:
            staged = [one.version for one in versions]
            raise ModelNotFound(self.name, wanted or "published", staged)
        self._known = found
        return found

    def predict(self, data: Any, *, nan: bool = False) -> Any:
        """Return what the model gives for some rows.

        Parameters
        ----------
        data
            Rows as an array, a frame, columns by name, an awkward array or lists; columns with names are put in the model's order.
        nan
            Whether the model is to get numbers that are missing or infinite.

        Returns
        -------
        :
            An array with a row for each; of a model with several outputs, a dictionary of them.

        Raises
        ------
        BadInput
            Before anything is sent.
        ModelBroken
            If the model gives no finite numbers.
        ModelNotFound, Busy, TimedOut, PlaceUnreachable
        """
        version = self._known if self._known is not None and self._version is not None else self.info()
        outputs = predicted(self._client, version, data, nan=nan)
        return next(iter(outputs.values())) if len(version.outputs) == 1 else outputs

    def benchmark(
        self, data: Any = None, *, batches: Sequence[int] = (1, 16, 256), clients: Sequence[int] = (1, 4, 16), seconds: float = 0.5
    ) -> Benchmark:
        """Measure how long answers take and how many come, by rows in a request and clients at a time. The endpoint keeps it.

        Parameters
        ----------
        data
            Rows to ask with; by default random ones.
        batches, clients
            All pairs of them are measured.
        seconds
            How long each.

        Raises
        ------
        BadInput, ModelNotFound, Busy, ModelBroken
        """
        version = self.info()
        if not version.rowwise:
            raise BadInput(
                f"{self.name!r} cannot be measured by rows",
                cause="Its inputs or outputs have other free lengths than that of rows.",
                remedy="Measure model.predict(...) yourself.",
            )
        if bad := [number for number in (*batches, *clients) if isinstance(number, bool) or int(number) != number or number < 1]:
            raise BadInput(f"{bad[0]!r} rows or clients will not do", cause="Whole numbers from 1 are needed.", remedy="")
        made = arrays(data, version) if data is not None else _random(version)
        if not rows_of(made):
            raise BadInput("There are no rows to measure with", cause="An empty array was given.", remedy="Give some: X[:100].")
        pairs = [(batch, number) for batch in batches for number in clients]
        steps = {pair: f"{_count(pair[0], 'row')}, {_count(pair[1], 'client')}" for pair in pairs}
        found = []
        with showing.task(f"{self.name} {version.version}", "benchmark", list(steps.values()), f"{self.name} measured") as told:
            for (batch, number), step in steps.items():
                rows = [np.resize(array, (batch, *array.shape[1:])) for array in made]
                whole = measuring.request(self._client.reach, self.name, version.version, version.inputs, rows)()
                found.append(_in_thread(measuring.measure, self._client.reach, whole, batch=batch, clients=number, seconds=seconds))
                told(step, None)
        self._client.send("PUT", f"{model_path(self.name, version.version)}/benchmark", [vars(one) for one in found])
        return Benchmark(self.name, version.version, tuple(found), seconds)

    def publish(self) -> "Model":
        """Open the version that it stands for to everybody who may predict. Requests under way end on the version they began with.

        Raises
        ------
        ModelNotFound, NotAllowed
        """
        self._client.send("POST", f"{model_path(self.name)}/publish", {"version": self.info().version})
        return self

    def rollback(self) -> "Model":
        """Publish again what was published before, and stand for that from now on.

        Raises
        ------
        ModelNotFound
            If nothing was.
        NotAllowed
        """
        self._client.send("POST", f"{model_path(self.name)}/rollback", once=True)
        if self._version is not None:
            self._version, self._known = self._look()[0], None
        return self

    def delete(self, *, everything: bool = False) -> None:
        """Remove the version that it stands for, or all of it if it stands for what is published. Requests under way end first.

        Parameters
        ----------
        everything
            Whether to remove the whole model, with all versions.

        Raises
        ------
        ModelNotFound, NotAllowed
        """
        self._client.send("DELETE", model_path(self.name, None if everything else self._version))

    def traffic(self) -> Traffic:
        """Return how much is asked of it, all versions together."""
        return self._look()[2]

    def curl(self, data: Any, *, nan: bool = False) -> "Curl":
        """Return a command that asks for the same rows in a shell. The token is not in it: it names the file, or ``$TOKEN``.

        Parameters
        ----------
        data, nan
            See `predict`.
        """
        version = self.info()
        made = arrays(data, version, nan=nan)
        inputs = [
            {"name": one.name, "shape": list(array.shape), "datatype": DATATYPES[one.dtype], "data": _short(array)}
            for one, array in zip(version.inputs, made, strict=True)
        ]
        body = json.dumps({"inputs": inputs})
        if len(body) > _MOST_IN_A_COMMAND:
            raise BadInput(
                f"{rows_of(made)} rows are too many for a command",
                cause=f"They take {len(body):,} characters.",
                remedy="Try X[:1].",
            )
        at = "" if version.state == "published" and self._version is None else f"/versions/{version.version}"
        reach = self._client.reach
        lines = [f"curl -sS {reach.address}/v2/models/{self.name}{at}/infer", "-H 'Content-Type: application/json'"]
        if reach.token is not None:
            # Written by the shell itself, so that the token stands in no list of processes.
            lines.append(f"-H @<(printf 'Authorization: Bearer %s' {_token(reach.file)})")
        if reach.authority is not None:
            lines.append(f"--cacert {shlex.quote(str(reach.authority))}")
        return Curl(" \\\n  ".join([*lines, f"-d {shlex.quote(body)}"]))

    def map(self, frame: Any) -> Any:
        """Score a frame or array of Dask through the endpoint, partition by partition on its workers, when it is computed.

        The workers get the token over Dask's encrypted connections, and keep it in memory; it is in no task and no log.

        Parameters
        ----------
        frame
            A Dask DataFrame whose columns are the model's features, beside others; or a Dask array of rows.

        Returns
        -------
        :
            Of the same kind: a series for one number a row, else a frame with a column for each; of an array, an array.

        Raises
        ------
        BadInput, ModelNotFound
        NotSupported
            If its connections to the workers are not encrypted.
        """
        return scoring.mapped(frame, self.info(), self._client)

    def _look(self) -> tuple[str | None, Sequence[Version], Traffic]:
        told = self._client.get(model_path(self.name))
        return told.get("published"), tuple(map(Version.read, told["versions"])), Traffic.read(told.get("traffic") or {})

    def __repr__(self) -> str:
        return f"<Model {self.name!r} at {self._endpoint!r}, {self._version or 'as published'}>"

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, str]:
        try:
            published, versions, _ = self._look()
        except ModelNotFound:
            return {"text/plain": f"{self!r}: deleted"}
        return showing.card(self.name, versions, self._version or published, self._endpoint)


class AsyncModel:
    """The asynchronous face of `Model`: the same names and arguments, each in a thread."""

    def __init__(self, inner: Model) -> None:
        self._inner = inner

    @property
    def name(self) -> str:
        """See `Model`."""
        return self._inner.name

    @property
    def version(self) -> str | None:
        """See `Model.version`."""
        return self._inner.version

    async def versions(self) -> Sequence[Version]:
        """See `Model.versions`."""
        return await asyncio.to_thread(self._inner.versions)

    async def info(self) -> Version:
        """See `Model.info`."""
        return await asyncio.to_thread(self._inner.info)

    async def predict(self, data: Any, *, nan: bool = False) -> Any:
        """See `Model.predict`."""
        return await asyncio.to_thread(self._inner.predict, data, nan=nan)

    async def benchmark(
        self, data: Any = None, *, batches: Sequence[int] = (1, 16, 256), clients: Sequence[int] = (1, 4, 16), seconds: float = 0.5
    ) -> Benchmark:
        """See `Model.benchmark`."""
        return await asyncio.to_thread(self._inner.benchmark, data, batches=batches, clients=clients, seconds=seconds)

    async def publish(self) -> "AsyncModel":
        """See `Model.publish`."""
        await asyncio.to_thread(self._inner.publish)
        return self

    async def rollback(self) -> "AsyncModel":
        """See `Model.rollback`."""
        await asyncio.to_thread(self._inner.rollback)
        return self

    async def delete(self, *, everything: bool = False) -> None:
        """See `Model.delete`."""
        await asyncio.to_thread(self._inner.delete, everything=everything)

    async def traffic(self) -> Traffic:
        """See `Model.traffic`."""
        return await asyncio.to_thread(self._inner.traffic)

    async def curl(self, data: Any, *, nan: bool = False) -> "Curl":
        """See `Model.curl`."""
        return await asyncio.to_thread(self._inner.curl, data, nan=nan)

    async def map(self, frame: Any) -> Any:
        """See `Model.map`."""
        return await asyncio.to_thread(self._inner.map, frame)

    def __repr__(self) -> str:
        return repr(self._inner)


class Curl(str):
    """A command, shown as it is copied."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)


def _token(file: Path | None) -> str:
    return f'"$(cat {shlex.quote(str(file))})"' if file is not None else '"$TOKEN"'


def _short(array: NDArray[Any]) -> list[Any]:
    """Return numbers as short as they can be written: 0.1 is not 0.10000000149 because it has 32 bits."""
    return [float(str(number)) for number in array.ravel()] if array.dtype.kind == "f" else array.ravel().tolist()


def _random(version: Version) -> list[NDArray[Any]]:
    """Return rows as they come from scaled features: for timing it matters little which."""
    random = np.random.default_rng(0)
    return [
        random.standard_normal((256, *(n or 1 for n in one.shape[1:]))).clip(0 if one.dtype[0] in "ub" else -4, 4).astype(one.dtype)
        for one in version.inputs
    ]


def _in_thread(function: Callable[P, Any], *args: P.args, **kwargs: P.kwargs) -> Any:
    """Run a coroutine to its end in a thread: the caller's may have a loop that runs, as that of a notebook."""
    with ThreadPoolExecutor(1, thread_name_prefix="dodas-benchmark") as thread:
        return thread.submit(lambda: asyncio.run(functools.partial(function, *args, **kwargs)())).result()


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
