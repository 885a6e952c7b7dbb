"""The form for a new cluster as a widget, which becomes the card of what it launched."""

from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from typing import Any, Final

import traitlets

from jupyter_dodas import aio, blocking, settings
from jupyter_dodas.aio.checking import checked
from jupyter_dodas.backends import places
from jupyter_dodas.backends.base import Backend
from jupyter_dodas.errors import DodasError
from jupyter_dodas.limits import Quota
from jupyter_dodas.views import ClusterRequest, KindView, QuotaView
from jupyter_dodas.widgets.built import LAUNCHER
from jupyter_dodas.widgets.card import Ask, Card, Verb

__all__ = ["Launcher"]

_QUOTA: Final = "quota"
_NO_FORM: Final = "The form for a new cluster is drawn by a running kernel: run this cell again."


class Launcher(Card):
    """The form for a new cluster.

    Parameters
    ----------
    hold
        Makes what its user holds of a cluster.
    kind
        The kind to begin with.
    backend
        Where to launch; by default what the settings say.
    """

    _esm = LAUNCHER

    kinds: Any = traitlets.List(help="Every kind, with the schema of its options.").tag(sync=True)
    kind: Any = traitlets.Unicode(help="The kind to begin with.").tag(sync=True)
    quota: Any = traitlets.Dict(help="What may be held, and what is held.").tag(sync=True)
    cluster: Any = traitlets.Any(help="What was launched; None before.")

    def __init__(self, hold: Callable[[aio.Cluster], object], kind: str | None = None, backend: str | None = None) -> None:
        kinds = [KindView.of(one) for one in aio.kinds()]
        quota = blocking.run(aio.quota, backend=backend)
        super().__init__(kinds=[one.model_dump(mode="json") for one in kinds], kind=kind or "", quota=_shown(quota))
        self._hold, self._backend = hold, backend
        self._launched: aio.Cluster | None = None
        self._background.start(self._watch_quota, _QUOTA)

    def _verbs(self) -> Mapping[str, Verb]:
        return {"launch": self._launch} if self._launched is None else self._of(self._launched)

    async def _launch(self, ask: Ask) -> None:
        request = ClusterRequest.model_validate(ask.given)
        options: dict[str, Any] = dict(request.options)
        # By itself, since an option could have the name of an argument.
        checked(request.kind, options, (await self._place().allowance()).limits)
        made = await aio.launch(request.kind, name=request.name, backend=self._backend, wait=False, **options)
        self._launched = made
        self._show(await made.record())
        self.cluster = self._hold(made)
        self._background.cancel(_QUOTA)
        self._background.start(partial(self._follow, made))

    async def _watch_quota(self) -> None:
        with suppress(DodasError, OSError):  # what is shown stays; a launch tells what is wrong
            async with self._place().store.watch() as hints:
                async for _ in hints:
                    self.quota = _shown(await aio.quota(backend=self._backend))

    def _place(self) -> Backend:
        return places.backend(settings.load(), self._backend)

    def _still(self) -> Mapping[str, str]:
        return super()._still() if self._last is not None else {"text/plain": _NO_FORM, "text/html": f"<p>{_NO_FORM}</p>"}


def _shown(quota: Quota) -> dict[str, Any]:
    return QuotaView.of(quota).model_dump(mode="json")
