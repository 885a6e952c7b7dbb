"""Models and versions as a caller may see them: from the store, and from what the plane knows of traffic."""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from jupyter_dodas.errors import ModelNotFound
from jupyter_dodas.inference.http.access import Caller
from jupyter_dodas.inference.http.views import BenchmarkRow, ModelView, Traffic, VersionView
from jupyter_dodas.inference.records import Manifest
from jupyter_dodas.inference.versions.store import State

if TYPE_CHECKING:
    from jupyter_dodas.inference.server import Server

__all__ = ["Listing"]


class Listing:
    """What a server has, for one caller. Its plane is asked at once, the store later: that may be done in a thread."""

    def __init__(self, server: "Server", caller: Caller) -> None:
        self._server = server
        self._store = server.store
        self._caller = caller
        self._status: Sequence[Mapping[str, Any]] = server.plane.status()["models"]

    def models(self) -> list[ModelView]:
        """Return the models of which the caller may see a version."""
        return [self._model(state, seen) for state, seen in self._server.catalogue(self._caller)]

    def model(self, name: str) -> ModelView:
        """Return one of them.

        Raises
        ------
        ModelNotFound
            Also where there are only versions that others have staged.
        """
        for state, seen in self._server.catalogue(self._caller, name):
            return self._model(state, seen)
        raise ModelNotFound(name, known=[state.model for state, _ in self._server.catalogue(self._caller)])

    def version(self, model: str, version: str) -> VersionView:
        """Return a version of one of them.

        Raises
        ------
        ModelNotFound
            Also where somebody else has staged it.
        """
        versions = self.model(model).versions
        for one in versions:
            if one.version == version:
                return one
        raise ModelNotFound(model, version, known=[one.version for one in versions])

    def hides(self, model: str) -> bool:
        """Whether there are versions of it that the caller may not see."""
        seen = [one for _, versions in self._server.catalogue(self._caller, model) for one in versions]
        return len(seen) < len(self._store.versions(model))

    def _model(self, state: State, seen: Sequence[Manifest]) -> ModelView:
        shown = [self._version(state, one) for one in seen]
        return ModelView(state.model, state.published, _previous(state), shown, _traffic(self._running(state.model)))

    def _running(self, model: str) -> list[Mapping[str, Any]]:
        return [one for one in self._status if one["model"] == model]

    def _version(self, state: State, manifest: Manifest) -> VersionView:
        rows = self._store.metrics(manifest.model, manifest.version).get("benchmark")
        running = [one["state"] for one in self._running(manifest.model) if one["version"] == manifest.version]
        return VersionView(
            **{name: getattr(manifest, name) for name in Manifest.__struct_fields__},
            state=_state(state, manifest.version),
            health=running[0] if running else "cold",
            bytes=_size(self._store.root, manifest.model, manifest.version),
            benchmark=None if rows is None else msgspec.convert(rows, list[BenchmarkRow]),
        )


def _traffic(running: Sequence[Mapping[str, Any]]) -> Traffic:
    """Return the sums over versions; latencies are those of the one that is asked most."""
    if not running:
        return Traffic()
    told = {name: sum(one[name] for one in running) for name in ("requests", "failures", "per_second", "in_flight", "queued")}
    busiest = max(running, key=lambda one: (one["per_second"], one["requests"]))
    return Traffic(p50_ms=busiest["p50_ms"] or None, p99_ms=busiest["p99_ms"] or None, **told)


@lru_cache(maxsize=1000)
def _size(root: Path, model: str, version: str) -> int:
    """Return the bytes of what an engine loads; it never changes."""
    folder = root / "models" / model / "versions" / version / "engine"
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


def _state(state: State, version: str) -> Literal["published", "staged", "earlier"]:
    if version == state.published:
        return "published"
    return "earlier" if version in state.history else "staged"


def _previous(state: State) -> str | None:
    history = state.history[:-1] if state.published else state.history
    return history[-1] if history else None
