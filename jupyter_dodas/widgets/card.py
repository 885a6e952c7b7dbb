"""What the widgets share: the state of a cluster as traits, what a card asks for, and what a notebook keeps of it."""

import asyncio
import threading
import time
from abc import abstractmethod
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from contextlib import aclosing
from functools import partial
from logging import getLogger
from typing import Any, Final, TypeAlias

import anywidget
import traitlets
from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError

from jupyter_dodas import aio, display, registry
from jupyter_dodas.errors import DodasError, NotFound, NotSupported
from jupyter_dodas.spec import Condition, Phase, Record
from jupyter_dodas.views import ClusterPatch, ErrorView, LogLine, PictureView, drawn
from jupyter_dodas.widgets.background import Background
from jupyter_dodas.widgets.built import STYLE

__all__ = ["Ask", "Card", "Verb"]

logger = getLogger(__name__)

Verb: TypeAlias = Callable[["Ask"], Awaitable[None]]

_AGAIN: Final = 5.0
"""Seconds until the next try after a record could not be read."""

_LINES: Final = 1000
"""Of each log, to begin with."""

_MOST_OUTPUTS: Final = 16
"""Cells that show the same cluster and are kept up to date."""


class Ask(BaseModel):
    """What a card asks for. The replies have its id: ``heard`` at once, ``more`` of what goes on, then ``ok`` or a ``problem``."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str = Field(max_length=64)
    do: str
    given: JsonValue = None


class Card(anywidget.AnyWidget):
    """A cluster, drawn in a cell, which changes as the cluster does.

    The traits can be observed; they change in a thread of the widget, also while a cell runs.
    """

    _css = STYLE

    record: Any = traitlets.Dict(help="What the card draws, as the REST interface has it; empty before a launch.").tag(sync=True)
    title: Any = traitlets.Unicode(help="The name of its kind.").tag(sync=True)
    snippet: Any = traitlets.Unicode(help="Python that makes of `cluster` what its community works with.").tag(sync=True)
    phase: Any = traitlets.Unicode(help="Where it is in its life: `ready`, ...; `stopped` once it is gone.")
    workers: Any = traitlets.Int(help="How many workers answer.")
    target: Any = traitlets.Int(help="How many workers it is to have now.")

    def __init__(self, **traits: Any) -> None:
        super().__init__(**traits)
        self._background = Background()
        self._outputs: deque[Any] = deque(maxlen=_MOST_OUTPUTS)
        self._drawing = threading.Lock()
        self._last: Record | None = None
        self.on_msg(self._take)

    def close(self) -> None:
        """Show it no more; the cluster goes on."""
        self._background.close()
        super().close()

    # -- what it shows ----------------------------------------------------------------------------------------------------

    def _show(self, record: Record) -> None:
        before, self._last = self._last, record
        status, kind = record.status, record.spec.kind
        known = registry.service(kind) if kind in registry.kinds() else None
        with self.hold_sync():
            self.title = known.title if known is not None else kind
            self.snippet = known.snippet if known is not None else ""
            self.record = drawn(record)
            self.workers, self.target = _ready(record), sum(status.targets.values())
        self.phase = str(status.phase)  # last, so that whoever observes it finds the rest
        if before is None or _kept(before) != _kept(record):
            self._draw_again()

    async def _follow(self, cluster: aio.Cluster) -> None:
        """Show each state until it is gone."""
        while True:
            try:
                async with aclosing(cluster.follow()) as states:
                    async for record in states:
                        self._show(record)
                break
            except NotFound:
                break
            except (DodasError, OSError) as error:
                # What is shown stays; whoever asks for something is told why it cannot be.
                logger.info("The card of %s stands still: %s", cluster.name, error)
                await asyncio.sleep(_AGAIN)
        if self._last is not None:
            self._show(_gone(self._last))
        self._background.finish()

    # -- what a notebook keeps --------------------------------------------------------------------------------------------

    def _ipython_display_(self) -> None:
        """Show it below a cell; what the notebook keeps there follows the phases of the cluster."""
        from IPython.display import display as show

        with self._drawing:
            self._outputs.append(show(self._bundle(), raw=True, display_id=True))  # type: ignore[no-untyped-call]

    def _draw_again(self) -> None:
        with self._drawing:
            if self._outputs:
                bundle = self._bundle()
                for output in self._outputs:
                    output.update(bundle, raw=True)

    def _bundle(self) -> Mapping[str, Any]:
        """Return what a screen may draw: our own renderer's, the widget, and what is drawn where there is neither."""
        live, _ = self._repr_mimebundle_() or ({}, {})
        picture = PictureView.of(self._last, time.time()).model_dump(mode="json")
        return {**live, **self._still(), PictureView.MIME: picture}

    def _still(self) -> Mapping[str, str]:
        assert self._last is not None
        gone = self._last.status.phase is Phase.STOPPED
        return display.bundle_of_one(self._last.name if gone else self._last)

    # -- what it is asked for ---------------------------------------------------------------------------------------------

    @abstractmethod
    def _verbs(self) -> Mapping[str, Verb]:
        """Return what a card can ask for."""

    def _of(self, cluster: aio.Cluster) -> Mapping[str, Verb]:
        """Return what can be asked of a cluster."""

        async def change(ask: Ask) -> None:
            await _change(cluster, ClusterPatch.model_validate(ask.given))

        async def stop(_: Ask) -> None:
            await cluster.stop()

        async def logs(ask: Ask) -> None:
            async with aclosing(cluster.tail(lines=_LINES)) as said:
                async for lines in said:
                    if lines:
                        views = [LogLine(instance=name, line=line).model_dump() for name, line in lines]
                        self.send({"id": ask.id, "more": views})

        return {"change": change, "stop": stop, "logs": logs}

    def _take(self, _widget: object, content: Any, _buffers: object) -> None:
        """Hand over what is asked, at once: this may be the thread in which cells run."""
        try:
            ask = Ask.model_validate(content)
        except ValidationError:
            logger.debug("A message that no card of ours sends")
            return
        self.send({"id": ask.id, "heard": True})
        if ask.do == "cancel":
            self._background.cancel(str(ask.given))
        elif not self._background.start(partial(self._answer, ask), ask.id):
            gone = NotFound(self._last.name if self._last is not None else "")
            self.send({"id": ask.id, "problem": ErrorView.of(gone).model_dump()})

    async def _answer(self, ask: Ask) -> None:
        try:
            await self._verbs().get(ask.do, _refuse)(ask)
            reply: dict[str, Any] = {"ok": True}
        except ValidationError:
            reply = {"problem": ErrorView.of(_unknown(ask)).model_dump()}
        except DodasError as error:
            reply = {"problem": ErrorView.of(error).model_dump()}
        except Exception as error:
            logger.exception("A card asked for %s", ask.do)
            reply = {"problem": ErrorView.of(DodasError(str(error) or type(error).__name__)).model_dump()}
        self.send({"id": ask.id, **reply})


async def _refuse(ask: Ask) -> None:
    raise _unknown(ask)


async def _change(cluster: aio.Cluster, patch: ClusterPatch) -> None:
    if patch.workers is not None:
        await cluster.scale(patch.workers)
    if patch.adapt is not None:
        await cluster.adapt(patch.adapt.minimum, patch.adapt.maximum)
    if patch.keep_until is not None:
        await cluster.keep(hours=max(0.0, (patch.keep_until - time.time()) / 3600))
    if patch.restart:
        await cluster.restart(wait=False)


def _unknown(ask: Ask) -> NotSupported:
    return NotSupported(
        f"The kernel does not know what the card asks for: {ask.do[:40]!r}",
        cause="They are of different versions.",
        remedy="Restart the kernel, and run the cell again.",
    )


def _kept(record: Record) -> object:
    """Return what is worth a change of what the notebook keeps."""
    status = record.status
    # Not each worker that comes or goes, but once all have.
    settled = _ready(record) == sum(status.targets.values())
    return status.phase, status.targets, settled, status.problem, record.spec.options.get("adapt")


def _ready(record: Record) -> int:
    return sum(i.group is not None and i.condition is Condition.READY for i in record.status.instances.values())


def _gone(record: Record) -> Record:
    status: dict[str, Any] = {
        "phase": Phase.STOPPED,
        "instances": {},
        "targets": {},
        "problem": None,
        "stops_at": None,
        "ready_at": None,
    }
    return record.model_copy(
        update={"status": record.status.model_copy(update=status), "spec": record.spec.model_copy(update={"keep_until": None})}
    )
