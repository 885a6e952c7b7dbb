"""Clusters on demand for physicists in Jupyter: say what, never how.

>>> import jupyter_dodas as dodas
>>> with dodas.dask(workers=2) as cluster, cluster.client() as client:
...     client.submit(sum, range(1000)).result()
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jupyter_dodas.cluster import Cluster, connect, kinds, launch, launcher, list, quota

__all__ = ["Cluster", "connect", "kinds", "launch", "launcher", "list", "quota"]

__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    """Find a public name, or the shorthand of a kind: ``dask(...)`` is ``launch("dask", ...)``.

    Everything is imported when it is first used, so that importing the package costs next to nothing.
    """
    if name in __all__:
        from jupyter_dodas import cluster

        return getattr(cluster, name)
    if not name.startswith("_"):
        from jupyter_dodas.registry import kinds

        if name in kinds():
            from jupyter_dodas.cluster import shorthand

            return shorthand(name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> Iterable[str]:
    from jupyter_dodas.registry import kinds

    return sorted({*__all__, *kinds(), "aio"})


def _jupyter_server_extension_points() -> Sequence[Mapping[str, Any]]:
    """Tell Jupyter Server where the extension is."""
    from jupyter_dodas.server.app import DodasServer

    return [{"module": "jupyter_dodas.server.app", "app": DodasServer}]
