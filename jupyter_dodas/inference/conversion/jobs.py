"""Have uploads converted, one at a time, by a process that is confined and may be killed.

A process with TensorFlow imported waits while uploads are likely, so that nobody waits for the import; see `converter`.
"""

import asyncio
import os
import shutil
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from jupyter_dodas.errors import Busy, MissingSoftware, ModelRefused, TimedOut
from jupyter_dodas.inference.conversion.converter.messages import Converted, Job
from jupyter_dodas.inference.conversion.standby import Standby
from jupyter_dodas.inference.records import Lineage, Manifest
from jupyter_dodas.inference.versions.formats import recognised

__all__ = ["Converter", "Upload"]


@dataclass(frozen=True)
class Upload:
    """What was uploaded, unpacked.

    Parameters
    ----------
    folder
        Of `Store.staging`; the files are in ``original/`` there.
    examples
        An npz file with rows, by the names of inputs.
    """

    folder: Path
    model: str
    keys: Sequence[str] = ()
    labels: Sequence[str] = ()
    channels: int = 0
    params: Mapping[str, Any] = field(default_factory=dict)
    examples: Path | None = None


class Converter:
    """Converts uploads, one after the other.

    Parameters
    ----------
    waiting
        Uploads that may wait for the one that is being converted.
    deadline
        Seconds after which a conversion is ended.
    memory
        Bytes that it may take.
    size
        Bytes that it may write to one file.
    idle
        Seconds after which the process that waits for uploads is ended, if none came.
    """

    def __init__(
        self, *, waiting: int = 4, deadline: float = 120.0, memory: int = 4 << 30, size: int = 4 << 30, idle: float = 600.0
    ) -> None:
        self._waiting, self._deadline, self._memory, self._size, self._idle = waiting, deadline, memory, size, idle
        self._turn = asyncio.Lock()
        self._asked = 0
        self._standby: Standby | None = None
        self._starting = asyncio.Lock()
        self._closed = False
        self._numbers = 0
        self._idler: asyncio.TimerHandle | None = None
        self._background: set[asyncio.Task[None]] = set()

    def expect(self) -> None:
        """Have a process ready soon: an upload is likely. Returns at once."""
        self._put_off()
        if (self._standby is None or self._standby.gone) and find_spec("tensorflow"):
            self._run(self._expected())

    @property
    def process(self) -> int | None:
        """The process that waits, if there is one."""
        return None if self._standby is None or self._standby.gone else self._standby.pid

    async def convert(self, upload: Upload, lineage: Lineage, progress: Callable[[str], None]) -> Manifest:
        """Convert an upload: ``engine/`` is in its folder then. Cancelled, it leaves no process.

        Returns
        -------
        Manifest
            Without version and checksums, which `Store.add` gives.

        Raises
        ------
        ModelRefused
            If it is not a model that can be served, or was too much for the process.
        StoreFull
        ModelBroken
            If the process was ended from outside.
        Busy
            If too many wait already.
        MissingSoftware
            If there is no TensorFlow here.
        TimedOut
        """
        _see_that_there_is_tensorflow()
        found = await asyncio.to_thread(recognised, upload.folder / "original", upload.params)
        if self._asked > self._waiting:
            raise Busy("Too many models are being converted", cause=f"One is, {self._waiting} wait.", after=10.0)
        self._asked += 1
        try:
            progress("Unpacked")
            async with self._turn:
                self._put_off()
                self._numbers += 1
                job = Job(
                    number=self._numbers,
                    folder=str(upload.folder),
                    format=found.format,
                    path=found.path,
                    params=dict(upload.params),
                    examples=str(upload.examples or ""),
                    memory=self._memory,
                    seconds=int(self._deadline * (os.cpu_count() or 1)) + 1,
                    size=self._size,
                )
                done = await self._convert(job, progress)
        finally:
            self._asked -= 1
            self._put_off()
        _fitting(upload.keys, done)
        return Manifest(
            model=upload.model,
            version="",
            format=found.format,
            engine=done.engine,
            signature=done.signature,
            lineage=lineage,
            check=done.check,
            keys=tuple(upload.keys),
            labels=tuple(upload.labels),
            channels=upload.channels,
            params=dict(upload.params),
        )

    async def close(self) -> None:
        """End the process that waits."""
        self._closed = True
        if self._idler:
            self._idler.cancel()
        for task in (waiting := list(self._background)):
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
        if self._standby:
            await self._standby.close()

    async def _convert(self, job: Job, progress: Callable[[str], None]) -> Converted:
        folder = Path(job.folder)
        for name in ("engine", "work"):
            (folder / name).mkdir(mode=0o700)
        begin = time.monotonic()
        try:
            async with asyncio.timeout(self._deadline):
                standby = await self._started()
                return await standby.do(job, progress)
        except TimeoutError:
            raise TimedOut(
                "The conversion took too long",
                cause=f"It was ended after {time.monotonic() - begin:.0f} s.",
                remedy="Is there a loop in the model that does not end? If it is only large, the server needs a longer deadline.",
            ) from None
        finally:
            await asyncio.to_thread(shutil.rmtree, folder / "work", ignore_errors=True)

    async def _started(self) -> Standby:
        async with self._starting:
            if self._standby is None or self._standby.gone:
                if self._standby:
                    await self._standby.close()
                self._standby = await Standby.start()
            return self._standby

    async def _expected(self) -> None:
        await self._started()

    def _put_off(self) -> None:
        if self._idler:
            self._idler.cancel()
        if not self._closed:
            self._idler = asyncio.get_running_loop().call_later(self._idle, self._end_idle)

    def _end_idle(self) -> None:
        if self._asked:
            self._put_off()
        elif self._standby:
            standby, self._standby = self._standby, None
            self._run(standby.close())

    def _run(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._background.add(task)
        task.add_done_callback(self._background.discard)


def _see_that_there_is_tensorflow() -> None:
    if find_spec("tensorflow") is None:
        raise MissingSoftware(
            "Models cannot be taken in here, since TensorFlow is not installed",
            cause="Uploads are converted by it, and compared with what it gives; predictions go on without.",
            remedy='Where the server runs: pip install "jupyter-dodas[tfaas,tensorflow]"',
        )


def _fitting(keys: Sequence[str], done: Converted) -> None:
    """See that the features that an upload names are as many as the model takes."""
    widths = {one.shape[-1] for one in done.signature.inputs if len(one.shape) > 1}
    if keys and len(done.signature.inputs) == 1 and widths and not widths & {len(keys), None}:
        raise ModelRefused(
            "The names of the features do not fit the model",
            cause=f"There are {len(keys)} names; a row of the model has {widths.pop()} numbers.",
            remedy="Give one name for each feature, in the order of the model's input.",
        )
