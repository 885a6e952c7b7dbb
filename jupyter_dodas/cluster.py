"""The blocking face: the same names and arguments as `aio`, no logic of its own. For scripts and notebooks."""

import functools
import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from jupyter_dodas import aio, blocking, display, registry
from jupyter_dodas.errors import DamagedRecord, MissingSoftware, NewerRecord, NotFound
from jupyter_dodas.spec import Phase, Receipt, Record

if TYPE_CHECKING:
    from jupyter_dodas.widgets import ClusterWidget, Launcher

__all__ = ["Cluster", "Clusters", "connect", "kinds", "launch", "launcher", "list", "quota", "shorthand"]


class Cluster:
    """The blocking face of `aio.Cluster`. The verbs of its kind are there as well: ``dir(cluster)`` lists them."""

    def __init__(self, inner: aio.Cluster) -> None:
        self._inner = inner
        self._widget: ClusterWidget | None = None

    @property
    def name(self) -> str:
        """What it is called."""
        return self._inner.name

    @property
    def kind(self) -> str:
        """What it is: ``dask``, ..."""
        return self._inner.kind

    @property
    def widget(self) -> "ClusterWidget":
        """Its card, for cells and other widgets: its traits can be observed.

        Raises
        ------
        MissingSoftware
            Without the extra ``lab``.
        NotFound
            If it has stopped.
        """
        if self._widget is None:
            state = blocking.run(_state_of, self._inner)
            if isinstance(state, str):
                raise NotFound(state)
            self._widget = _widgets().ClusterWidget(self._inner, state)
        return self._widget

    def __enter__(self) -> "Cluster":
        return self

    def __exit__(self, *exception: object) -> None:
        blocking.run(self._inner.__aexit__, *exception)

    def record(self) -> Record:
        """See `aio.Cluster.record`."""
        return blocking.run(self._inner.record)

    def phase(self) -> Phase:
        """See `aio.Cluster.phase`."""
        return blocking.run(self._inner.phase)

    def scale(self, workers: int, group: str = "worker") -> None:
        """See `aio.Cluster.scale`."""
        blocking.run(self._inner.scale, workers, group)

    def adapt(self, minimum: int, maximum: int, group: str = "worker") -> None:
        """See `aio.Cluster.adapt`."""
        blocking.run(self._inner.adapt, minimum, maximum, group)

    def keep(self, *, hours: float) -> None:
        """See `aio.Cluster.keep`."""
        blocking.run(self._inner.keep, hours=hours)

    def restart(self, *, wait: bool = True, timeout: float = 300, follower: aio.Follower | None = None) -> None:
        """See `aio.Cluster.restart`; shown as a launch is."""
        with display.progress(follower, interrupted="it goes on by itself") as shown:
            blocking.run(self._inner.restart, wait=wait, timeout=timeout, follower=shown)

    def stop(self, *, timeout: float = 60) -> Receipt | None:
        """See `aio.Cluster.stop`."""
        return display.Receipt.of(blocking.run(self._inner.stop, timeout=timeout))

    def wait(self, *, timeout: float = 300, follower: aio.Follower | None = None) -> None:
        """See `aio.Cluster.wait`."""
        blocking.run(self._inner.wait, timeout=timeout, follower=follower)

    def logs(self, instance: str | None = None, *, lines: int = 200) -> Mapping[str, str]:
        """See `aio.Cluster.logs`."""
        return display.Logs(blocking.run(self._inner.logs, instance, lines=lines))

    def usage(self) -> aio.Load | None:
        """See `aio.Cluster.usage`."""
        return blocking.run(self._inner.usage)

    def connection(self) -> aio.Connection:
        """See `aio.Cluster.connection`."""
        return blocking.run(self._inner.connection)

    def surroundings(self) -> Mapping[str, str]:
        """See `aio.Cluster.surroundings`."""
        return blocking.run(self._inner.surroundings)

    def client(self) -> Any:
        """See `aio.Cluster.client`."""
        return self._inner.blocking_client()

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        verb = getattr(self._inner, f"blocking_{name}", None) or getattr(self._inner, name)
        return _blocking(verb) if inspect.iscoroutinefunction(verb) else verb

    def __dir__(self) -> Sequence[str]:
        own = [name for name in dir(self._inner) if not name.startswith(("_", "blocking_"))]
        return sorted({*super().__dir__(), *own})

    def __repr__(self) -> str:
        return repr(self._inner)

    def _ipython_display_(self) -> None:
        """Show the card that changes; IPython falls back on `_repr_mimebundle_`, which shows how it is now."""
        if not display.in_notebook():
            raise NotImplementedError
        try:
            shown = self.widget
        except (MissingSoftware, NotFound) as error:
            raise NotImplementedError from error
        shown._ipython_display_()

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, str]:
        return display.bundle_of_one(blocking.run(_state_of, self._inner))


def _widgets() -> Any:
    try:
        from jupyter_dodas import widgets
    except ModuleNotFoundError as error:
        raise MissingSoftware(
            f"Cards in cells need {error.name}", cause="It is not installed here.", remedy='pip install "jupyter-dodas[lab]"'
        ) from error
    return widgets


def _blocking(verb: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(verb)
    def call(*args: Any, **kwargs: Any) -> Any:
        return blocking.run(verb, *args, **kwargs)

    return call


async def _state_of(cluster: aio.Cluster) -> Record | str:
    try:
        return await cluster.record()
    except NotFound:
        return cluster.name
    except (DamagedRecord, NewerRecord):
        # In a list such a record stands as failed, with the reason.
        records = await cluster._backend.store.list()  # noqa: SLF001
        return next((record for record in records if record.name == cluster.name), cluster.name)


class Clusters(Sequence[Cluster]):
    """Several clusters, shown as a table."""

    def __init__(self, clusters: Sequence[Cluster]) -> None:
        self._clusters = tuple(clusters)

    def __getitem__(self, index: Any) -> Any:
        return self._clusters[index]

    def __len__(self) -> int:
        return len(self._clusters)

    def __iter__(self) -> Iterator[Cluster]:
        return iter(self._clusters)

    def __repr__(self) -> str:
        return repr(self._clusters)

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, str]:
        async def states() -> Sequence[Record | str]:
            return [await _state_of(cluster._inner) for cluster in self._clusters]  # noqa: SLF001

        return display.bundle_of_many([state for state in blocking.run(states) if not isinstance(state, str)])


def launch(
    kind: str,
    *,
    name: str | None = None,
    backend: str | None = None,
    wait: bool = True,
    warm: bool = True,
    timeout: float = 300,
    follower: aio.Follower | None = None,
    **options: Any,
) -> Cluster:
    """See `aio.launch`. Without a `follower` the launch is shown where somebody can see it: a terminal or a notebook."""
    with display.progress(follower) as shown:
        inner = blocking.run(
            functools.partial(
                aio.launch, kind, name=name, backend=backend, wait=wait, warm=warm, timeout=timeout, follower=shown, **options
            )
        )
    return Cluster(inner)


def shorthand(kind: str) -> Callable[..., Cluster]:
    """Return `launch` for one kind, with the kind's options in its signature: ``dask(workers=2)``."""

    def call(**options: Any) -> Cluster:
        return launch(kind, **options)

    service = registry.service(kind)
    common = [p for p in inspect.signature(launch).parameters.values() if p.kind is p.KEYWORD_ONLY]
    own = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=field.default, annotation=field.annotation)
        for name, field in service.Options.model_fields.items()
    ]
    call.__name__ = call.__qualname__ = kind
    call.__doc__ = f"{service.summary}\n\nSee `launch`; the options are\n\n" + "\n".join(
        f"{name}\n    {field.description}" for name, field in service.Options.model_fields.items()
    )
    call.__signature__ = inspect.Signature([*common, *own], return_annotation=Cluster)  # type: ignore[attr-defined]
    return call


def connect(name: str, *, backend: str | None = None) -> Cluster:
    """See `aio.connect`."""
    return Cluster(blocking.run(aio.connect, name, backend=backend))


def list(*, backend: str | None = None, session: str | None = None) -> Clusters:
    """See `aio.list`."""
    return Clusters([Cluster(inner) for inner in blocking.run(aio.list, backend=backend, session=session)])


def kinds() -> Mapping[str, str]:
    """See `aio.kinds`."""
    return aio.kinds()


def quota(*, backend: str | None = None) -> display.Quota:
    """See `aio.quota`."""
    return display.Quota.of(blocking.run(aio.quota, backend=backend))


def launcher(kind: str | None = None, *, backend: str | None = None) -> "Launcher":
    """Return the form for a new cluster, for a cell. It becomes the card of what it launched, which is its ``cluster``.

    Parameters
    ----------
    kind
        The kind to begin with.
    backend
        Where to launch; by default what the settings say.

    Raises
    ------
    MissingSoftware
        Without the extra ``lab``.
    """
    shown: Launcher = _widgets().Launcher(Cluster, kind, backend)
    return shown
